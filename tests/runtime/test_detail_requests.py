"""Impact and finer candles from a request to the record: files, stored candles, studies, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fine_cases import QUARTER
from recorded_candles import HOUR, START_MS, csv_of, made

from engine.domain.errors import BadInput
from engine.domain.instruments import Kind
from engine.domain.library_views import CoverageRow, finer_timeframes
from engine.domain.market import CandleArrays
from engine.runtime.backtests import backtest_files, read_backtest
from engine.runtime.replay_data import ReplayData, read_detail, read_series_names, stored_fine
from engine.runtime.replay_request import read_request
from engine.runtime.replays import replay_files
from engine.runtime.studies import plan_of, read_study
from engine.runtime.sweeps import sweep_files
from engine.simulation.study import development_setup
from engine.storage.candle_import import ImportOptions, import_file
from engine.storage.candle_names import NameFlags
from engine.storage.candles import CandleStore

MARKET = {"venue": "binance", "kind": "spot"}
ASKED = {**MARKET, "strategy": "breakout", "draws": 100, "cash": "1000000"}


def _both(hours: int = 1_000) -> tuple[CandleArrays, CandleArrays]:
    """Hours, and the quarters they are made of."""
    _, walk = made(4 * hours, seed=5)
    opened = START_MS + np.arange(4 * hours, dtype=np.int64) * QUARTER.ms
    fine = replace(walk, timeframe=QUARTER, opened_at_ms=opened)
    parts = {name: getattr(fine, name).reshape(-1, 4) for name in ("open", "high", "low", "close", "volume")}
    columns = (
        parts["open"][:, 0], parts["high"].max(axis=1), parts["low"].min(axis=1), parts["close"][:, -1],
        parts["volume"].sum(axis=1),
    )  # fmt: skip
    return CandleArrays(HOUR, opened[::4], *map(np.ascontiguousarray, columns)), fine


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    hours, quarters = tmp_path / "BTC_USDT-1h.csv", tmp_path / "BTC_USDT-15m.csv"
    main, fine = _both()
    hours.write_bytes(csv_of(main))
    quarters.write_bytes(csv_of(fine.slice(0, len(fine) - 40)))
    return hours, quarters


@pytest.mark.parametrize("engine", ["kernel", "replay"])
def test_backtest_when_finer_candles_are_given_then_the_record_counts_the_bars_they_decided(
    files: tuple[Path, Path], engine: str
) -> None:
    asked: dict[str, Any] = {**ASKED, "engine": engine, "impact": "1", "detail": [str(files[1])]}
    asked["risk"] = {"take_profit": "1"}
    record = backtest_files([files[0]], asked).record
    assert record["detail"] == {"timeframe": "15m", "bars_decided_by_detail": 990, "bars_without": 10}
    assert record["inside_bar"] == "decided by 15m candles; 10 of 1,000 bars have none: pessimistic"
    assert record["series"][0]["detail"]["bars"] == 3_960
    assert len(record["series"][0]["detail"]["sha256"]) == 64
    assert record["costs"]["impact"] == "1"
    assert Decimal(record["costs_paid"]["spread_and_slippage"]) > 0
    entries = {trade["entry_time"][14:16] for trade in record["trades"]}
    assert entries == {"00"}  # decided at a close, filled at the next finer open
    assert {trade["exit_time"][14:16] for trade in record["trades"]} > {"00"}


def test_backtest_when_no_finer_candles_then_pessimistic(files: tuple[Path, Path]) -> None:
    record = backtest_files([files[0]], ASKED).record
    assert (record["detail"], record["inside_bar"]) == (None, "pessimistic")
    assert record["costs"]["impact"] == "0"
    assert "detail" not in record["series"][0]


def test_replay_when_finer_candles_are_given_then_its_result_says_so(files: tuple[Path, Path]) -> None:
    options = {**MARKET, "impact": "0.5", "detail": [str(files[1])]}
    result = replay_files([files[0]], {"breakout": {}}, options)
    assert result["detail"]["bars_decided_by_detail"] == 990
    assert result["digest"] != replay_files([files[0]], {"breakout": {}}, {**MARKET, "impact": "0.5"})["digest"]


def test_backtest_when_finer_candles_contradict_then_refused_with_the_first_bar(
    files: tuple[Path, Path],
) -> None:
    main, _ = _both()
    high = main.high.copy()
    high[7] += 5.0
    files[0].write_bytes(csv_of(replace(main, high=high)))
    with pytest.raises(BadInput, match=r"contradict the candle of 2023-01-01 07:00:00.*high"):
        backtest_files([files[0]], {**ASKED, "detail": [str(files[1])]})


@pytest.mark.parametrize(
    ("impact", "words"), [("-1", "must be 0"), ("11", "must be 0"), ("many", "not a number"), ("nan", "not a number")]
)
def test_request_when_impact_cannot_be_then_refused(impact: str, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        read_backtest({"strategy": "breakout", "impact": impact})


@pytest.mark.parametrize("costs", ["default", "plain"])
def test_request_when_impact_is_given_then_with_any_costs(costs: str) -> None:
    request = read_request({"strategies": ["breakout"], "costs": costs, "impact": "0.9"})
    assert request.config.costs.impact == Decimal("0.9")


def test_detail_when_it_does_not_divide_then_refused() -> None:
    names = read_series_names([("binance:BTC/USDT", "1h")])
    assert read_detail("", names) is read_detail(None, names) is None
    assert read_detail("15m", names) == QUARTER
    for wrong, words in (("1h", "does not divide"), ("7m", "does not divide"), ("soon", "not of the form")):
        with pytest.raises(BadInput, match=words):
            read_detail(wrong, names)


def test_stored_detail_when_asked_for_then_read_up_to_the_end(tmp_path: Path, files: tuple[Path, Path]) -> None:
    store = CandleStore(tmp_path / "store")
    instrument, flags = made(1)[0], NameFlags(venue="binance", kind=Kind.SPOT)
    options = ImportOptions(lambda *_: instrument, datetime(2026, 1, 1, tzinfo=UTC), flags)
    for path in files:
        import_file(store, path, path.name, options)
    names = read_series_names([(instrument.key, "1h")])
    found = stored_fine(store, names, "15m", datetime(2023, 1, 2, tzinfo=UTC))
    assert len(found[instrument.key]) == 96
    assert stored_fine(store, names, "", None) == {}
    with pytest.raises(BadInput, match="holds no binance:BTC/USDT 5m"):
        stored_fine(store, names, "5m", None)


def test_study_when_finer_candles_are_given_then_none_of_the_holdout_reaches_the_search() -> None:
    main, fine = _both(24 * 120)
    instrument = made(1)[0]
    data = ReplayData({instrument: main}, fine={instrument.key: fine})
    plan = plan_of(read_study({"strategy": "breakout"}), data)
    setup = development_setup(plan)
    closes = setup.fine[instrument.key].opened_at_ms + QUARTER.ms
    assert len(closes)
    assert int(closes[-1]) <= plan.layout.development.stop.timestamp() * 1000


def test_sweep_when_finer_candles_are_given_then_its_combinations_are_backtests_with_them(tmp_path: Path) -> None:
    main, fine = _both(24 * 60)
    hours, quarters = tmp_path / "BTC_USDT-1h.csv", tmp_path / "BTC_USDT-15m.csv"
    hours.write_bytes(csv_of(main))
    quarters.write_bytes(csv_of(fine))
    fixed = {"channel_bars": 20, "exit_channel_bars": 10}
    asked = {**ASKED, "brake": "off", "risk": {"take_profit": "1"}}
    sought = {**asked, "fixed": fixed, "grid": {"stop_atr_multiple": "0.5,1"}}
    found = sweep_files([hours], {**sought, "detail": [str(quarters)]}, tmp_path / "data")
    days = {name: found["definition"]["development"][name] for name in ("from", "to")}
    for one in found["combinations"]:
        settings = {**fixed, **one["settings"]}
        alone = backtest_files([hours], {**asked, **days, "settings": settings, "detail": [str(quarters)]}).record
        assert (alone["final_equity"], len(alone["trades"])) == (one["final_equity"], one["trades"])
    assert found["development"]["detail"]["bars_decided_by_detail"] > 0
    rough = sweep_files([hours], sought, tmp_path / "data")
    assert rough["study"] != found["study"]
    ends = [[one["final_equity"] for one in record["combinations"]] for record in (rough, found)]
    assert ends[0] != ends[1]


def _row(instrument: str, timeframe: str) -> CoverageRow:
    at = datetime(2023, 1, 1, tzinfo=UTC)
    return CoverageRow(instrument, "spot", timeframe, 1, at, at, 0, 0, 0, "test", at)  # type: ignore[arg-type]


def test_finer_timeframes_when_two_instruments_are_chosen_then_those_held_of_both() -> None:
    stored = [_row("a", one) for one in ("1m", "5m", "45m", "1h", "4h")]
    stored += [_row("b", one) for one in ("5m", "1m", "1h")]
    assert finer_timeframes(stored, [stored[3]]) == ("1m", "5m")
    assert finer_timeframes(stored, [stored[3], stored[-1]]) == ("1m", "5m")
    assert finer_timeframes(stored, [stored[4], stored[-1]]) == ("1m", "5m")
    assert finer_timeframes(stored, [stored[0]]) == ()
    assert finer_timeframes(stored, []) == ()
