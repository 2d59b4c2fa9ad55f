"""Candles, imports, downloads and replays through the console's library: refused early, done in workers, shown."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from exchange_stand_in import MINUTE_MS, BinanceCandles, MovedClock, StandIn, running_stand_in
from recorded_candles import START_MS, csv_of, made

from config.settings import load
from engine.domain.commands import Role
from engine.domain.errors import AccessDenied, BadInput, CandleError
from engine.domain.facade import Library
from engine.domain.instruments import InstrumentKey, Kind
from engine.domain.market import CandleArrays, Timeframe, from_ms
from engine.domain.views import JobState, JobView
from engine.market.checks import take
from engine.runtime.clock import SystemClock
from engine.runtime.jobs import JobRules, Jobs
from engine.runtime.library import LibraryDesk
from engine.runtime.services import Services
from engine.storage.candles import CandleStore, ImportRecord

WAIT_S = 90.0
BTC = InstrumentKey("binance:BTC/USDT")
NAME = "BTC_USDT-1h.csv"
SPOT = {"venue": "binance", "kind": "spot"}
NOBODY_LISTENS = "http://127.0.0.1:9"
NOW = datetime.now(UTC)


class House:
    """A data folder with the services the library needs, and a person of some role."""

    def __init__(self, folder: Path, rest_url: str = NOBODY_LISTENS) -> None:
        environment = {"QUARTERDECK_DATA_DIR": str(folder), "QUARTERDECK_PAPER__REST_URL": rest_url}
        self.role = Role.OPERATOR
        self.folder = folder
        self.candles = CandleStore(folder / "candles")
        self.jobs = Jobs(folder, rules=JobRules(look_every_s=0.02))
        services = SimpleNamespace(
            settings=load(environment), folder=folder, clock=SystemClock(), candles=self.candles, jobs=self.jobs
        )
        self.desk = LibraryDesk(cast(Services, services), self.require)

    def require(self, role: Role) -> None:
        if not self.role.allows(role):
            raise AccessDenied(f"needs {role.value}")

    def store(self, candles: CandleArrays | None = None, kind: Kind = Kind.SPOT) -> CandleArrays:
        """Put candles into the store without a job."""
        instrument, series = made(kind=kind)
        series = candles or series
        self.candles.merge(instrument, series, ImportRecord("test", "0" * 64, len(series), 0, NOW))
        return series

    def ended(self, job: JobView) -> JobView:
        """The job once its worker is done."""
        return self.jobs.wait(job.job_id, WAIT_S)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made_house = House(tmp_path)
    yield made_house
    made_house.jobs.close(stop_jobs=True)


def replay_request(**changes: Any) -> dict[str, Any]:
    asked = {"series": [(BTC, "1h")], "strategies": ["momentum"], "settings": {"momentum": {}}, "cash": "10000"}
    conditions = {"from": "", "to": "", "brake": "off", "costs": "default", "speed": 0}
    return {**asked, **conditions, **changes}


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_desk_when_type_checked_then_it_is_the_library_of_the_facade(house: House) -> None:
    library: Library = house.desk
    assert library.coverage() == ()


# -- what is stored ----------------------------------------------------------------------------------------------


def test_gaps_when_candles_are_missing_then_first_and_last_missing_are_told(house: House) -> None:
    _, candles = made(200)
    house.store(take(candles, np.r_[0:50, 53:200]))
    (gap,) = house.desk.gaps(BTC, "1h")
    (row,) = house.desk.coverage()
    assert (gap.bars, row.missing_bars, row.gaps, row.rows) == (3, 3, 1, 197)
    assert (gap.first, gap.last) == tuple(from_ms(int(candles.opened_at_ms[at])) for at in (50, 52))


def test_candles_when_few_are_asked_for_then_the_last_ones_come(house: House) -> None:
    series = house.store()
    chart = house.desk.candles(BTC, "1h", 300)
    assert (chart.timeframe, len(chart.close), chart.simulated) == ("1h", 300, False)
    assert np.array_equal(chart.close, series.close[-300:])


def test_candles_when_too_many_for_a_chart_then_a_longer_timeframe_is_named(house: House) -> None:
    series = house.store(made(9000)[1])
    chart = house.desk.candles(BTC, "1h", 9000)
    assert chart.timeframe == "4h"
    assert len(chart.close) == pytest.approx(2250, abs=1)
    assert chart.high.max() == series.high.max()
    assert house.desk.candles(BTC, "1h", 3001).timeframe == "2h"


@pytest.mark.parametrize("bars", [0, -1, 1_000_001])
def test_candles_when_the_number_is_absurd_then_refused(house: House, bars: int) -> None:
    with pytest.raises(BadInput, match="cannot be drawn"):
        house.desk.candles(BTC, "1h", bars)


def test_candles_when_not_stored_then_said_what_is(house: House) -> None:
    house.store()
    with pytest.raises(BadInput, match="holds no kraken:BTC/EUR 1h; it holds binance:BTC/USDT 1h"):
        house.desk.candles(InstrumentKey("kraken:BTC/EUR"), "1h", 10)


# -- imports -----------------------------------------------------------------------------------------------------


def test_start_import_when_the_file_is_good_then_its_candles_are_stored(house: House) -> None:
    _, candles = made(300)
    lines = csv_of(candles).decode().splitlines()
    lines[10] = lines[10].rsplit(",", 1)[0] + ",-5"
    job = house.ended(house.desk.start_import("i-1", NAME, "\n".join(lines).encode(), SPOT))
    result = json.loads(job.result)
    (row,) = house.desk.coverage()
    assert (job.state, job.kind, job.title) == (JobState.DONE, "import", NAME)
    assert (result["added"], result["rows_rejected"], result["rejected"]) == (299, 1, {"a negative value": 1})
    assert "1 rows left out: a negative value" in job.detail
    assert (row.instrument, row.rows, row.rejected_rows, row.source) == (BTC, 299, 1, NAME)
    assert not (house.folder / "jobs" / "i-1" / "upload").exists()


def test_start_import_when_repeated_with_its_id_then_done_once(house: House) -> None:
    content = csv_of(made(50)[1])
    first = house.ended(house.desk.start_import("i-1", NAME, content, SPOT))
    again = house.desk.start_import("i-1", NAME, content, SPOT)
    assert again == first
    assert len(house.desk.jobs("import")) == 1


@pytest.mark.parametrize(
    ("name", "content", "options", "words"),
    [
        (NAME, b"", SPOT, "is empty"),
        (NAME, b"\x1f\x8b\x08 zipped", SPOT, "compressed with gzip"),
        ("../../etc/passwd", b"x", SPOT, "holds a path"),
        ("notes.txt", b"x", SPOT, "neither a .parquet nor a .csv"),
        ("candles.csv", b"x", SPOT, "is not named like"),
        (NAME, b"x", {"kind": "spot"}, "which venue"),
        (NAME, b"x", {"venue": "binance"}, "spot or perpetual"),
        (NAME, b"x", {**SPOT, "kind": "option"}, "kind 'option' is not spot or perpetual"),
        (NAME, b"x", {**SPOT, "tick_size": "abc"}, "tick_size 'abc' is not a number"),
        (NAME, b"x", {**SPOT, "timeframe": "soon"}, "timeframe 'soon'"),
        (NAME, b"x", {**SPOT, "colour": "red"}, "has no colour"),
        ("FUN_USDT-1h.csv", b"x", SPOT, "is not known"),
        ("BTC_USDT_USDT-1h-mark.parquet", b"x", {"venue": "binance"}, "holds mark prices"),
    ],
)
def test_start_import_when_it_cannot_work_then_refused_at_once(
    house: House, name: str, content: bytes, options: dict[str, str], words: str
) -> None:
    with pytest.raises((BadInput, CandleError), match=words):
        house.desk.start_import("i-1", name, content, options)
    assert house.desk.jobs() == ()


def test_start_import_when_too_large_then_refused_at_once(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.runtime.library.MAX_UPLOAD_BYTES", 10)
    with pytest.raises(CandleError, match="over the limit"):
        house.desk.start_import("i-1", NAME, b"x" * 11, SPOT)


def test_start_import_when_the_rows_are_rubbish_then_the_job_says_why(house: House) -> None:
    job = house.ended(house.desk.start_import("i-1", NAME, b"timestamp,open\n1,2\n", SPOT))
    assert job.state is JobState.FAILED
    assert "has no column high, low, close, volume" in job.detail
    assert house.desk.coverage() == ()


def test_start_import_when_of_funding_then_kept_for_replays(house: House) -> None:
    house.store(kind=Kind.PERPETUAL)
    asked = replay_request(series=[("binance:BTC/USDT:USDT", "1h")])
    with pytest.raises(BadInput, match="no funding of it is stored: import its rates"):
        house.desk.start_replay("r-1", asked)
    stamps = [START_MS + number * 8 * 3_600_000 for number in range(1, 300)]
    content = "timestamp,funding_rate\n" + "".join(f"{at_ms},0.0005\n" for at_ms in stamps)
    options = {"venue": "binance"}
    job = house.ended(house.desk.start_import("i-1", "BTC_USDT_USDT-funding.csv", content.encode(), options))
    assert (job.state, json.loads(job.result)["rates_stored"]) == (JobState.DONE, 299)
    paid = json.loads(house.ended(house.desk.start_replay("r-1", asked)).result)
    free = json.loads(house.ended(house.desk.start_replay("r-2", {**asked, "funding": "none"})).result)
    assert paid["funding"] != "0"
    assert free["funding"] == "0"


# -- downloads ---------------------------------------------------------------------------------------------------


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    with running_stand_in() as server:
        yield server


@pytest.fixture
def exchange(stand_in: StandIn) -> BinanceCandles:
    return BinanceCandles(stand_in, MovedClock(round(time.time() * 1000)))


@pytest.fixture
def online(tmp_path: Path, stand_in: StandIn) -> Iterator[House]:
    made_house = House(tmp_path, stand_in.url)
    yield made_house
    made_house.jobs.close(stop_jobs=True)


def minutes_ago(minutes: int) -> str:
    return from_ms((round(time.time() * 1000) // MINUTE_MS - minutes) * MINUTE_MS).isoformat()


def download(**changes: str) -> dict[str, str]:
    asked = {"exchange": "binance", "symbol": "BTC/USDT", "timeframe": "1m", "since": minutes_ago(400), "until": ""}
    return {**asked, **changes}


def test_start_download_when_the_exchange_answers_then_the_candles_are_stored(
    online: House, exchange: BinanceCandles
) -> None:
    job = online.ended(online.desk.start_download("d-1", download()))
    (row,) = online.desk.coverage()
    assert (job.state, job.title) == (JobState.DONE, "binance:BTC/USDT 1m")
    assert row.rows == pytest.approx(400, abs=2)
    assert row.source == "Binance public candles"
    assert online.candles.instrument(BTC).tick_size == Decimal("0.01")


def test_start_download_when_there_is_no_network_then_failed_and_nothing_stored(house: House) -> None:
    job = house.ended(house.desk.start_download("d-1", download()))
    assert job.state is JobState.FAILED
    assert "Binance" in job.detail
    assert house.desk.coverage() == ()


def test_start_download_when_the_symbol_is_not_traded_then_failed_with_the_reason(
    online: House, exchange: BinanceCandles
) -> None:
    job = online.ended(online.desk.start_download("d-1", download(symbol="FUN/USDT")))
    assert (job.state, online.desk.coverage()) == (JobState.FAILED, ())
    assert "Binance does not trade 'FUN/USDT'" in job.detail


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"exchange": "mtgox"}, "'mtgox' is no exchange that can be asked for candles; there are binance"),
        ({"symbol": "BTCUSDT"}, "is not of the form BTC/USDT"),
        ({"timeframe": ""}, "timeframe ''"),
        ({"since": ""}, "since '' is not a date"),
        ({"since": "2040-01-01"}, "nothing to download from 2040-01-01"),
        ({"since": "2024-01-01", "until": "2023-01-01"}, "nothing to download"),
        ({"since": "2010-01-01"}, "are more than 5,000,000 at once"),
        ({"depth": "5"}, "has no depth"),
    ],
)
def test_start_download_when_an_option_is_wrong_then_it_is_named(
    house: House, changes: dict[str, str], words: str
) -> None:
    with pytest.raises(BadInput, match=words):
        house.desk.start_download("d-1", download(**changes))
    assert house.desk.jobs() == ()


def minute_candles(kept: np.ndarray[Any, np.dtype[np.int64]]) -> CandleArrays:
    start = (round(time.time() * 1000) // MINUTE_MS - 500) * MINUTE_MS
    columns = [np.full(len(kept), price) for price in (50_000.0, 50_000.0, 50_000.0, 50_000.0, 1.0)]
    return CandleArrays(Timeframe(60), start + kept * MINUTE_MS, *columns)


def test_start_backfill_when_candles_are_missing_then_only_they_are_fetched(
    online: House, exchange: BinanceCandles
) -> None:
    series = minute_candles(np.r_[0:100, 110:200, 205:300].astype(np.int64))
    online.store(series)
    exchange.missing.add(("BTCUSDT", int(series.opened_at_ms[0]) + 202 * MINUTE_MS))
    job = online.ended(online.desk.start_backfill("b-1", BTC, "1m"))
    result = json.loads(job.result)
    assert (job.state, result["added"], result["still_missing"]) == (JobState.DONE, 14, 1)
    assert "1 the exchange does not have either" in job.detail
    assert online.candles.read(BTC, Timeframe(60)).close[0] == 50_000


def test_start_backfill_when_nothing_is_missing_then_refused(house: House) -> None:
    house.store()
    with pytest.raises(BadInput, match="has no gap"):
        house.desk.start_backfill("b-1", BTC, "1h")


def test_start_backfill_when_the_venue_is_no_exchange_then_refused(house: House) -> None:
    instrument, candles = made(100)
    own = type(instrument)("notebook", "BTC", "USDT", Kind.SPOT, instrument.tick_size, instrument.lot_size)
    house.candles.merge(own, take(candles, np.r_[0:50, 60:100]), ImportRecord("test", "0" * 64, 90, 0, NOW))
    with pytest.raises(BadInput, match="'notebook' is no exchange"):
        house.desk.start_backfill("b-1", own.key, "1h")


# -- replays -----------------------------------------------------------------------------------------------------


def test_start_replay_when_done_then_result_curve_and_fills_are_shown(house: House) -> None:
    house.store()
    job = house.ended(house.desk.start_replay("r-1", replay_request(cash="5000")))
    (row,) = house.desk.replays()
    view = house.desk.replay("r-1")
    fills = house.desk.replay_fills("r-1", 1, 5)
    assert (job.state, job.title) == (JobState.DONE, "Trend momentum on BTC/USDT")
    assert (row.strategy, row.instruments, row.cash, row.curve) == ("momentum", (BTC,), Decimal(5000), None)
    assert (row.bars, row.fills) == (2500, fills.total)
    assert json.loads(row.settings)["risk"]["mode"] == "conservative"
    assert view.curve is not None
    assert (view.curve.currency, view.curve.samples) == ("USDT", 2500)
    assert len(view.curve.at_ms) <= 1500
    assert Decimal(repr(float(view.curve.equity[-1]))) == pytest.approx(row.final_equity, abs=Decimal("0.001"))
    assert [fill.at for fill in fills.rows] == sorted((fill.at for fill in fills.rows), reverse=True)


def test_replays_when_the_job_is_forgotten_then_the_result_stays(house: House) -> None:
    house.store()
    house.ended(house.desk.start_replay("r-1", replay_request()))
    before = house.desk.replay("r-1")
    house.jobs.close(stop_jobs=True)
    jobs = house.folder / "jobs" / "r-1"
    jobs.rename(house.folder / "elsewhere")
    later = House(house.folder).desk
    assert later.replay("r-1").digest == before.digest
    assert later.replays()[0].job.state is JobState.DONE


def test_cancel_job_when_a_replay_is_slow_then_it_stops_and_shows_how_far_it_came(house: House) -> None:
    house.store()
    house.desk.start_replay("r-1", replay_request(speed=36_000))
    until(lambda: house.desk.replay("r-1").bars > 5)
    live = house.desk.replay("r-1")
    assert live.job.state is JobState.RUNNING
    assert live.curve is not None
    assert live.final_equity is not None
    house.desk.cancel_job("r-1")
    job = house.jobs.wait("r-1", WAIT_S)
    assert job.state is JobState.CANCELLED
    assert "of 2,500 candles; there is no result" in job.detail
    assert house.desk.replay("r-1").final_equity is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"series": []}, "at least one series"),
        ({"series": [("binance:ETH/USDT", "1h")]}, "holds no binance:ETH/USDT 1h"),
        ({"series": [(BTC, "5m")]}, "holds no binance:BTC/USDT 5m"),
        ({"strategies": ["martingale"], "settings": {}}, "no strategy 'martingale'"),
        ({"settings": {"momentum": {"luck": 1}}}, "luck"),
        ({"settings": {"momentum": {"fast_ema_bars": "x"}}}, "fast_ema_bars"),
        ({"cash": "0"}, "cash 0"),
        ({"from": "2024-01-01", "to": "2023-01-01"}, "before it begins"),
        ({"from": "2035-01-01"}, "no candle lies between"),
        ({"to": "2001-01-01"}, "no candle lies between"),
        ({"funding": "free"}, "funding 'free' is not stored or none"),
        ({"leverage": 5}, "has no leverage"),
    ],
)
def test_start_replay_when_the_request_cannot_be_used_then_refused_at_once(
    house: House, changes: dict[str, Any], words: str
) -> None:
    house.store()
    with pytest.raises(BadInput, match=words):
        house.desk.start_replay("r-1", replay_request(**changes))
    assert house.desk.jobs() == ()
    assert house.desk.replays() == ()


def test_delete_replay_when_done_then_nothing_of_it_is_left(house: House) -> None:
    house.store()
    for run_id in ("r-1", "r-2"):
        house.ended(house.desk.start_replay(run_id, replay_request()))
    house.desk.replay("r-1")
    house.desk.delete_replay("r-1")
    assert [run.run_id for run in house.desk.replays()] == ["r-2"]
    assert [job.job_id for job in house.desk.jobs()] == ["r-2"]
    assert [path.name for path in (house.folder / "replays").iterdir()] == ["r-2"]
    with pytest.raises(BadInput, match="there is no replay 'r-1'"):
        house.desk.replay("r-1")


def test_delete_replay_when_it_runs_then_refused_and_it_goes_on(house: House) -> None:
    house.store()
    house.desk.start_replay("r-1", replay_request(speed=36_000))
    until(lambda: house.desk.replay("r-1").bars > 5)
    with pytest.raises(BadInput, match="replay r-1 is running; cancel it first"):
        house.desk.delete_replay("r-1")
    assert house.desk.replay("r-1").job.state is JobState.RUNNING


def test_delete_replay_when_cancelled_before_then_gone(house: House) -> None:
    house.store()
    house.desk.start_replay("r-1", replay_request(speed=36_000))
    until(lambda: house.desk.replay("r-1").bars > 5)
    house.desk.cancel_job("r-1")
    house.jobs.wait("r-1", WAIT_S)
    house.desk.delete_replay("r-1")
    assert house.desk.replays() == ()


@pytest.mark.parametrize("name", ["mine.csv", "BTC_USDT.csv", "NEWCOIN_USDT-1h.csv"])
def test_start_import_when_the_name_leaves_a_question_then_a_field_is_named_not_a_flag(house: House, name: str) -> None:
    with pytest.raises(BadInput, match="the field") as refused:
        house.desk.start_import("i-1", name, b"timestamp", SPOT)
    assert "--" not in str(refused.value)
    assert house.desk.jobs() == ()


def test_start_import_when_the_fields_say_what_the_name_does_not_then_stored(house: House) -> None:
    fields = {**SPOT, "symbol": "BTC/USDT", "timeframe": "1h"}
    job = house.ended(house.desk.start_import("i-1", "mine.csv", csv_of(made()[1]), fields))
    assert job.state is JobState.DONE, job.detail
    assert [(row.instrument, row.timeframe) for row in house.desk.coverage()] == [(BTC, "1h")]


def test_replay_when_unknown_then_refused(house: House) -> None:
    desk = house.desk
    asks: list[Callable[[], object]] = [
        lambda: desk.replay("none"),
        lambda: desk.replay_fills("none", 1, 10),
        lambda: desk.delete_replay("none"),
    ]
    for ask in asks:
        with pytest.raises(BadInput, match="there is no replay 'none'"):
            ask()


@pytest.mark.parametrize(("page", "size"), [(0, 10), (1, 0), (1, 10_001)])
def test_replay_fills_when_the_page_is_absurd_then_refused(house: House, page: int, size: int) -> None:
    with pytest.raises(BadInput, match="pages count from 1"):
        house.desk.replay_fills("r-1", page, size)


# -- roles -------------------------------------------------------------------------------------------------------


def test_desk_when_a_viewer_asks_then_reading_works_and_starting_is_denied(house: House) -> None:
    house.store()
    house.role = Role.VIEWER
    desk = house.desk
    deeds: list[Callable[[], object]] = [
        lambda: desk.delete_replay("x"),
        lambda: desk.start_import("x", NAME, b"x", SPOT),
        lambda: desk.start_download("x", download()),
        lambda: desk.start_backfill("x", BTC, "1h"),
        lambda: desk.start_replay("x", replay_request()),
        lambda: desk.cancel_job("x"),
    ]
    for deed in deeds:
        with pytest.raises(AccessDenied):
            deed()
    assert len(desk.coverage()) == 1
    assert (desk.jobs(), desk.replays()) == ((), ())
