"""Replays of files and of stored candles: every option checked, cancelled cleanly, and equal where they must be."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recorded_candles import START_MS, csv_of, made
from shared_data import shared_path

from engine.domain.errors import BadInput, CandleError
from engine.domain.instruments import Instrument, InstrumentKey, Kind
from engine.domain.market import CandleArrays, Timeframe, from_ms
from engine.market.funding import FundingSeries
from engine.risk.limits import RiskConfig
from engine.runtime.funding_shelf import FundingShelf
from engine.runtime.job_files import JobCancelled
from engine.runtime.replay_data import ReplayData, read_file_facts, read_series_names
from engine.runtime.replay_request import limits_for, parse_settings, read_instant, read_request
from engine.runtime.replays import Audience, replay_files, run_replay
from engine.simulation.run_files import Curve, RunFolder
from engine.storage.candle_import import FundingFile

BTC = InstrumentKey("binance:BTC/USDT")
PERPETUAL = InstrumentKey("binance:BTC/USDT:USDT")
SPOT = {"venue": "binance", "kind": "spot"}
MOMENTUM: dict[str, dict[str, Any]] = {"momentum": {}}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "BTC_USDT-1h.csv"
    path.write_bytes(csv_of(made()[1]))
    return path


def request(**changes: Any) -> dict[str, Any]:
    return {"strategies": ["momentum"], "brake": "off", **changes}


def data_of(instrument: Instrument, candles: CandleArrays, **more: Any) -> ReplayData:
    return ReplayData({instrument: candles}, **more)


# -- requests ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("strategy", "kept"), [("sma_cross", None), ("momentum", Decimal(2))])
def test_limits_when_the_settings_have_a_trail_then_a_strategy_without_a_stop_runs_without_it(
    strategy: str, kept: Decimal | None
) -> None:
    limits = RiskConfig(trail=Decimal(2)).model_dump(mode="json")
    asked = read_request({"strategies": [strategy], "risk": limits_for([strategy], limits)})
    assert asked.config.risk.trail == kept


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"strategies": ["martingale"]}, "no strategy 'martingale'; there are breakout"),
        ({"strategies": ["arbitrage"]}, "candles hold none: it cannot be backtested; others can: breakout"),
        ({"strategies": []}, "at least one strategy"),
        ({"strategies": "momentum"}, "is not a list of names"),
        ({"strategies": [7]}, "is not a list of names"),
        ({"strategies": ["momentum", "momentum"]}, "name one twice"),
        ({"settings": {"momentum": {"speed_of_light": 3}}}, "momentum: there is no setting speed_of_light; there are "),
        ({"settings": {"momentum": {"fast_ema_bars": "many"}}}, "momentum: fast_ema_bars: .*valid integer"),
        ({"settings": {"momentum": {"fast_ema_bars": 0}}}, "momentum: fast_ema_bars: .*greater than or equal to 2"),
        ({"settings": {"momentum": [1]}}, "is not of the form strategy"),
        ({"settings": {"breakout": {}}}, "settings for breakout, which are not replayed"),
        ({"cash": "0"}, "cash 0 must be above 0"),
        ({"cash": "-5"}, "must be above 0"),
        ({"cash": "a lot"}, "cash 'a lot' is not a number"),
        ({"cash": "NaN"}, "is not a number"),
        ({"cash": True}, "is not a number"),
        ({"cash": "1e30"}, "at most 1,000,000,000,000"),
        ({"from": "2024-02-01", "to": "2024-01-01"}, "before it begins"),
        ({"from": "2024-02-01", "to": "2024-02-01"}, "before it begins"),
        ({"from": "yesterday"}, "from 'yesterday' is not a date"),
        ({"to": "2024-01-01T00:00:00"}, "has no time zone"),
        ({"brake": "gently"}, "brake 'gently' is not latch, off or reset-after=DAYS"),
        ({"brake": "reset-after=0"}, "is not latch, off"),
        ({"costs": "none"}, "costs 'none' is not default or plain"),
        ({"costs": "default", "fee_bps": "5"}, "fee_bps can only be given with costs plain"),
        ({"costs": "plain", "fee_bps": "-1"}, "must be 0 to 1000"),
        ({"costs": "plain", "slippage_bps": "x"}, "slippage_bps 'x' is not a number"),
        ({"risk": {"brake_drawdown": "2"}}, "brake_drawdown"),
        ({"risk": {"lucky_number": "2"}}, "lucky_number"),
        ({"risk": 3}, "risk 3 is not of the form"),
        ({"speed": -1}, "speed -1 must be 0"),
        ({"speed": 1_000_001}, "must be 0 .* to 1,000,000"),
        ({"colour": "red"}, "a replay has no colour"),
    ],
)
def test_read_request_when_a_value_cannot_be_used_then_it_is_named(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        read_request(request(**changes))


def test_read_request_when_everything_is_given_then_the_record_holds_it() -> None:
    asked = request(
        settings={"momentum": {"fast_ema_bars": 30}}, cash="2500.50", brake="reset-after=30", costs="plain",
        fee_bps="7.5", slippage_bps=2, risk={"mode": "aggressive"}, speed=3600,
    )  # fmt: skip
    record = read_request({**asked, "from": "2024-01-01", "to": "2024-06-01T12:00:00+02:00"}).record()
    assert record["strategies"]["momentum"]["fast_ema_bars"] == 30
    assert record["strategies"]["momentum"]["slow_ema_bars"] == 72
    assert (record["cash"], record["brake"], record["speed"]) == ("2500.5", "reset-after=30", 3600.0)
    assert (record["costs"]["taker_bps"], record["costs"]["spread_bps"]) == ("7.5", "0")
    assert (record["from"][:10], record["to"]) == ("2024-01-01", "2024-06-01T10:00:00.000000Z")
    assert record["risk"]["mode"] == "aggressive"


@pytest.mark.parametrize("pair", ["fast_ema_bars", "=5", "nobody.fast_ema_bars=5"])
def test_parse_settings_when_a_pair_is_wrong_then_refused(pair: str) -> None:
    with pytest.raises(BadInput, match="--set"):
        parse_settings([pair], ["momentum"])


@pytest.mark.parametrize("text", ["", None, 7, "2024-13-01", "20240101", "2024-01-01T25:00Z"])
def test_read_instant_when_no_date_then_refused(text: Any) -> None:
    with pytest.raises(BadInput, match="since"):
        read_instant("since", text)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ("binance:BTC/USDT", "is not a list"),
        ([], "at least one series"),
        ([("binance:BTC/USDT",)], "is not .instrument, timeframe"),
        ([("binance:BTC/USDT", "soon")], "timeframe 'soon'"),
        ([("binance:BTC/USDT", "1h"), ("binance:BTC/USDT", "4h")], "given more than once"),
        ([("binance:BTC/USDT", "1h"), ("binance:ETH/USDT", "4h")], "binance:BTC/USDT has 1h, binance:ETH/USDT has 4h"),
    ],
)
def test_read_series_names_when_not_of_the_form_then_refused(names: Any, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        read_series_names(names)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"kind": "future"}, "kind 'future' is not spot or perpetual"),
        ({"symbol": "BTCUSDT"}, "symbol 'BTCUSDT' is not of the form"),
        ({"tick_size": "small"}, "tick_size 'small' is not a number"),
        ({"timeframe": "1 hour"}, "timeframe '1 hour'"),
    ],
)
def test_read_file_facts_when_an_option_is_wrong_then_it_is_named(options: Mapping[str, str], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        read_file_facts(options)


# -- runs --------------------------------------------------------------------------------------------------------


def test_run_replay_when_done_then_the_result_says_what_was_run() -> None:
    result = run_replay(read_request(request(cash="5000")), data_of(*made()))
    assert (result["bars"], result["cash"], result["currency"]) == (2500, "5000", "USDT")
    assert result["fills"] > 0
    assert isinstance(result["final_equity"], str)
    assert result["series"][0]["sha256"] == ReplayData(dict([made()])).record()[0]["sha256"]
    assert result["settings"]["costs"]["name"] == "default"
    assert 0 <= Decimal(result["max_drawdown"]) < 1
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_run_replay_when_costs_are_plain_and_nil_then_no_fee_is_paid() -> None:
    plain = request(costs="plain", fee_bps="0")
    assert run_replay(read_request(plain), data_of(*made()))["fees"] == "0"


def test_run_replay_when_a_range_is_given_then_only_its_candles_count() -> None:
    instrument, candles = made()
    begin, end = (from_ms(int(candles.opened_at_ms[row])).isoformat() for row in (1000, 2000))
    result = run_replay(read_request({**request(), "from": begin, "to": end}), data_of(instrument, candles))
    assert result["bars"] == 1000


def test_run_replay_when_no_candle_is_in_the_range_then_refused() -> None:
    asked = read_request({**request(), "from": "2030-01-01"})
    with pytest.raises(BadInput, match="no candle to replay"):
        run_replay(asked, data_of(*made()))


def test_run_replay_when_priced_in_two_coins_then_refused() -> None:
    instrument, candles = made()
    other = replace(instrument, quote="EUR")
    with pytest.raises(BadInput, match="priced in EUR, USDT"):
        run_replay(read_request(request()), ReplayData({instrument: candles, other: candles}))


def test_run_replay_when_a_perpetual_has_no_word_on_funding_then_refused() -> None:
    with pytest.raises(BadInput, match="funding was not given"):
        run_replay(read_request(request()), data_of(*made(kind=Kind.PERPETUAL)))


def test_run_replay_when_funding_is_paid_then_it_is_booked() -> None:
    instrument, candles = made(kind=Kind.PERPETUAL)
    at_ms = START_MS + np.arange(1, 300, dtype=np.int64) * 8 * 3_600_000
    rates = FundingSeries(at_ms, (Decimal("0.001"),) * len(at_ms))
    paying = run_replay(read_request(request()), data_of(instrument, candles, funding={instrument.key: rates}))
    without = run_replay(read_request(request()), data_of(instrument, candles, funding={instrument.key: None}))
    assert Decimal(paying["funding"]) != 0
    assert without["funding"] == "0"
    assert (paying["series"][0]["funding_rates"], without["series"][0]["funding_rates"]) == (299, 0)


def test_run_replay_when_cancelled_in_mid_run_then_no_result_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.runtime.replays._TELL_EVERY_S", 0.0)
    monkeypatch.setattr("engine.runtime.replays._PUBLISH_EVERY_S", 0.0)
    folder, shares = RunFolder(tmp_path / "run"), []
    folder.write_request({})

    def report(share: float, text: str) -> bool:
        shares.append(share)
        return len(shares) < 40

    with pytest.raises(JobCancelled, match=r"cancelled after \d+ of 2,500 candles"):
        run_replay(read_request(request()), data_of(*made()), Audience(report, folder))
    partial, curve = folder.partial(), folder.curve()
    assert folder.result() is None
    assert partial is not None
    assert curve is not None
    assert 39 <= partial["bars"] == len(curve) < 2500
    assert shares == sorted(shares)


def test_run_replay_when_paced_then_it_takes_at_least_the_market_time_over_the_speed() -> None:
    result = run_replay(read_request(request(speed=100_000)), data_of(*made(30)))
    assert result["seconds"] >= 29 * 3600 / 100_000


def test_run_replay_when_paced_and_nobody_is_there_then_at_full_speed() -> None:
    audience = Audience(attended=lambda: False)
    assert run_replay(read_request(request(speed=1)), data_of(*made(30)), audience)["bars"] == 30


def test_run_replay_when_paced_or_not_then_the_same_digest() -> None:
    instrument, candles = made()
    asked = {**request(), "from": from_ms(int(candles.opened_at_ms[2200])).isoformat()}
    fast = run_replay(read_request(asked), data_of(instrument, candles))
    slow = run_replay(read_request({**asked, "speed": 1_000_000}), data_of(instrument, candles))
    assert fast["fills"] > 0
    assert slow["digest"] == fast["digest"]


def test_write_result_when_read_back_then_fills_and_curve_are_whole(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    result = run_replay(read_request(request()), data_of(*made()), Audience(folder=folder))
    first, last = folder.fills(1, 10), folder.fills(10_000, 10)
    curve = folder.curve()
    assert folder.result() == result
    assert folder.partial() is None
    assert first.total == result["fills"]
    assert [row.at for row in first.rows] == sorted((row.at for row in first.rows), reverse=True)
    assert {row.sleeve for row in first.rows} == {"momentum"}
    assert last.rows == ()
    assert curve is not None
    assert len(curve) == 2500
    assert Decimal(f"{curve.equity[-1]:.4f}") == pytest.approx(Decimal(result["final_equity"]), abs=Decimal("0.001"))
    assert (curve.drawdown <= 0).all()


def test_thinned_when_many_points_then_the_extremes_stay() -> None:
    rng = np.random.default_rng(3)
    equity = 100 + np.cumsum(rng.normal(0, 1, 70_000))
    drawdown = equity / np.maximum.accumulate(equity) - 1
    thin = Curve(np.arange(70_000), equity, drawdown).thinned(1500)
    assert len(thin) <= 1500
    assert (thin.equity.max(), thin.equity.min()) == (equity.max(), equity.min())
    assert thin.drawdown.min() == drawdown.min()
    assert thin.at_ms[-1] == 69_999


# -- files -------------------------------------------------------------------------------------------------------


def test_replay_files_when_the_same_candles_are_stored_then_the_same_digest(file: Path) -> None:
    from_file = replay_files([file], MOMENTUM, {**SPOT, "brake": "off"})
    stored = run_replay(read_request(request()), data_of(*made()))
    assert from_file["digest"] == stored["digest"]
    assert from_file["series"] == stored["series"]


def test_replay_files_when_rows_break_the_schema_then_counted(file: Path) -> None:
    lines = file.read_text().splitlines()
    lines[500] = lines[500].rsplit(",", 2)[0] + ",nan,1"
    lines[600] = lines[600].rsplit(",", 1)[0] + ",-1"
    file.write_text("\n".join(lines))
    result = replay_files([file], MOMENTUM, SPOT)
    assert (result["rejected_rows"], result["bars"]) == (2, 2498)


def test_replay_files_when_split_in_two_and_shuffled_then_the_same_digest(file: Path, tmp_path: Path) -> None:
    whole = replay_files([file], MOMENTUM, SPOT)
    header, *rows = file.read_text().splitlines()
    parts = []
    for number, part in enumerate((rows[1000:], rows[:1200])):
        folder = tmp_path / f"part-{number}"
        folder.mkdir()
        parts.append(folder / file.name)
        parts[-1].write_text("\n".join([header, *part]))
    assert replay_files(parts, MOMENTUM, SPOT)["digest"] == whole["digest"]
    assert replay_files(parts[::-1], MOMENTUM, SPOT)["digest"] == whole["digest"]


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("BTC_USDT-1h.csv", {"kind": "spot"}, "which venue"),
        ("BTC_USDT-1h.csv", {"venue": "binance"}, "spot or perpetual"),
        ("candles.csv", SPOT, "is not named like BTC_USDT-1h.parquet"),
        ("FUN_USDT-1h.csv", SPOT, "the grid of binance:FUN/USDT is not known"),
        ("BTC_USDT-1h.xls", SPOT, "neither a .parquet nor a .csv"),
        ("BTC_USDT_USDT-1h-futures.csv", {"venue": "binance"}, "funding was not given: add --funding FILE"),
        ("BTC_USDT-1h.csv", {**SPOT, "timeframe": "4h"}, "the name says 1h, --timeframe says 4h"),
        ("BTC_USDT-1h.csv", {**SPOT, "colour": "red"}, "a replay has no colour"),
    ],
)
def test_replay_files_when_a_question_is_open_then_the_flag_is_named(
    file: Path, name: str, options: dict[str, str], words: str
) -> None:
    path = file.rename(file.with_name(name))
    with pytest.raises((BadInput, CandleError), match=words):
        replay_files([path], MOMENTUM, options)


def test_replay_files_when_missing_then_said_so(tmp_path: Path) -> None:
    with pytest.raises(CandleError, match="there is no file"):
        replay_files([tmp_path / "BTC_USDT-1h.parquet"], MOMENTUM, SPOT)


def test_replay_files_when_funding_files_are_given_then_used(file: Path, tmp_path: Path) -> None:
    path = file.rename(file.with_name("BTC_USDT_USDT-1h-futures.csv"))
    funding = tmp_path / "BTC_USDT_USDT-funding.csv"
    stamps = [START_MS + number * 8 * 3_600_000 for number in range(1, 300)]
    funding.write_text("timestamp,funding_rate\n" + "".join(f"{at_ms},0.0005\n" for at_ms in stamps))
    options = {"venue": "binance", "brake": "off"}
    paid = replay_files([path], MOMENTUM, {**options, "funding": [funding]})
    free = replay_files([path], MOMENTUM, {**options, "no_funding": True})
    assert Decimal(paid["funding"]) != 0
    assert free["funding"] == "0"


def test_replay_files_when_funding_is_of_another_instrument_then_refused(file: Path, tmp_path: Path) -> None:
    funding = tmp_path / "ETH_USDT_USDT-funding.csv"
    funding.write_text(f"timestamp,funding_rate\n{START_MS},0.0005\n")
    with pytest.raises(BadInput, match="binance:ETH/USDT:USDT, which is not replayed"):
        replay_files([file], MOMENTUM, {**SPOT, "funding": [funding]})


def test_replay_files_when_cancelled_while_reading_then_stopped(file: Path) -> None:
    with pytest.raises(JobCancelled, match="while reading"):
        replay_files([file], MOMENTUM, SPOT, lambda share, text: False)


def test_replay_files_when_real_years_then_bars_and_digest_are_there() -> None:
    path = shared_path("data/spot_kraken/BTC_USDT-1h.parquet")
    result = replay_files([path], MOMENTUM, {"cash": "10000"})
    assert result["bars"] == 8779 - result["rejected_rows"]
    assert len(result["digest"]) == 64


# -- funding that is kept ----------------------------------------------------------------------------------------


def rates(*pairs: tuple[int, str]) -> FundingFile:
    at_ms = np.array([START_MS + hour * 3_600_000 for hour, _ in pairs], dtype=np.int64)
    return FundingFile(PERPETUAL, FundingSeries(at_ms, tuple(Decimal(rate) for _, rate in pairs)))


def test_merge_when_imported_twice_then_the_newer_rates_win(tmp_path: Path) -> None:
    shelf = FundingShelf(tmp_path)
    shelf.merge(rates((0, "0.0001"), (8, "0.0002")))
    assert shelf.merge(rates((8, "0.0003"), (16, "-0.0001"))) == 3
    series = shelf.read(PERPETUAL)
    assert series is not None
    assert series.rates == (Decimal("0.0001"), Decimal("0.0003"), Decimal("-0.0001"))


def test_funding_of_when_nothing_is_stored_then_the_file_to_import_is_named(tmp_path: Path) -> None:
    perpetual, _ = made(kind=Kind.PERPETUAL)
    with pytest.raises(BadInput, match="a file such as BTC_USDT_USDT-funding"):
        FundingShelf(tmp_path).funding_of([perpetual], without=False)
    assert FundingShelf(tmp_path).funding_of([perpetual], without=True) == {perpetual.key: None}


def test_timeframe_when_used_in_names_then_text_is_stable() -> None:
    assert read_series_names([("binance:BTC/USDT", "60m")]) == [(BTC, Timeframe(3600))]
