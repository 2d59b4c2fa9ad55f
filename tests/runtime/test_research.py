"""Backtests through the console's desk: a real run in a worker, refusals, notes, comparison, deleting, damage."""

from __future__ import annotations

import doctest
import json
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recorded_candles import made
from research_record import curve, record

from config.settings import load
from engine.domain.commands import Actor, Role
from engine.domain.errors import AccessDenied, BadInput, StorageError
from engine.domain.instruments import InstrumentKey, Kind
from engine.domain.research import Research, Standing
from engine.domain.views import JobState
from engine.quant.verdict import Level
from engine.runtime import research_report, research_views, research_words
from engine.runtime.clock import SystemClock
from engine.runtime.console import Console
from engine.runtime.job_files import JobCancelled
from engine.runtime.job_worker import JobWatch
from engine.runtime.jobs import JobRules, Jobs
from engine.runtime.research import ResearchDesk
from engine.runtime.research_files import ResearchFolder
from engine.runtime.research_job import backtest_task
from engine.runtime.research_shelf import ResearchShelf
from engine.runtime.research_views import histogram, trade_of
from engine.runtime.research_words import STANDINGS
from engine.runtime.services import Services
from engine.storage.candles import CandleStore, ImportRecord
from engine.storage.research import ResearchStore, TrialStamp, Tried, TriedDays

WAIT_S = 90.0
BTC = InstrumentKey("binance:BTC/USDT")
REQUEST: dict[str, Any] = {"strategy": "momentum", "series": [(BTC, "1h")], "cash": "10000", "draws": 100}


class House:
    """A data folder with the services research needs, and a person of some role."""

    def __init__(self, folder: Path) -> None:
        self.role = Role.OPERATOR
        self.folder = folder
        self.candles = CandleStore(folder / "candles")
        self.jobs = Jobs(folder, rules=JobRules(look_every_s=0.02))
        services = SimpleNamespace(
            settings=load({"QUARTERDECK_DATA_DIR": str(folder)}), folder=folder, clock=SystemClock(),
            candles=self.candles, jobs=self.jobs, backtests=ResearchShelf(folder, self.jobs),
        )  # fmt: skip
        self.desk = ResearchDesk(cast(Services, services), lambda: Actor("sam", self.role, "console"), self.require)
        self.audited: list[tuple[str, ...]] = []
        audit = SimpleNamespace(append=lambda actor, *rest: self.audited.append((actor.name, *rest)))
        services.control = SimpleNamespace(audit=audit)
        self.console = Console(cast(Services, services), lambda: Actor("sam", self.role, "console"))

    def require(self, role: Role) -> None:
        if not self.role.allows(role):
            raise AccessDenied(f"needs {role.value}")

    def store(self, kind: Kind = Kind.SPOT) -> None:
        """Put candles into the store without a job."""
        instrument, candles = made(kind=kind)
        record_of_import = ImportRecord("made", "0" * 64, len(candles), 0, datetime.now(UTC))
        self.candles.merge(instrument, candles, record_of_import)

    def put(self, run_id: str, **changes: Any) -> ResearchFolder:
        """A finished run that no job made."""
        folder = ResearchFolder(self.folder / "research" / run_id)
        folder.write_request({"request": REQUEST, "started_at": "2026-03-14T09:00:00.000000Z"})
        folder.write_result(record(id=run_id, **changes), curve())
        return folder


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made_house = House(tmp_path)
    yield made_house
    made_house.jobs.close(stop_jobs=True)


def test_desk_when_compared_then_it_is_the_research_of_the_facade(house: House) -> None:
    desk: Research = house.desk
    assert [form.name for form in desk.backtest_strategies()][-1] == "sma_cross"


# -- a real run ------------------------------------------------------------------------------------------------------


def test_backtest_when_run_in_a_worker_then_result_chart_trades_and_report(house: House) -> None:
    house.store()
    desk = house.desk
    job = desk.start_backtest("c-1", {**REQUEST, "brake": "off"})
    assert desk.start_backtest("c-1", {**REQUEST, "brake": "off"}).job_id == job.job_id
    ended = house.jobs.wait("c-1", WAIT_S)
    assert ended.state is JobState.DONE, ended.detail
    view = desk.backtest("c-1")
    row = view.row
    assert (row.strategy, row.instruments, row.timeframe, row.currency) == ("momentum", (BTC,), "1h", "USDT")
    assert row.verdict is not None
    assert row.verdict.reasons
    assert float(view.curve.equity[-1]) == pytest.approx(float(row.final_equity or 0), rel=1e-6)
    assert {figure.key for figure in view.statistics} >= {"net_return", "sharpe", "max_drawdown", "win_rate"}
    assert view.doubled[0].value is not None
    closed = [trade for trade in _all_trades(house) if trade.exit_at is not None]
    assert len(closed) == row.trades == sum(ended.trades for ended in view.exits)
    whole = desk.backtest_chart("c-1", BTC, None)
    near = desk.backtest_chart("c-1", BTC, closed[0].number)
    assert (len(whole.candles.opened_at_ms), whole.candles.timeframe) == (625, "4h")
    assert desk.backtest_chart("c-1", BTC, None).candles is whole.candles
    assert closed[0] in near.trades
    assert len(near.candles.opened_at_ms) < len(whole.candles.opened_at_ms)
    name, content = desk.backtest_report("c-1")
    assert name == "quarterdeck-backtest-c-1.html"
    assert b"Net return" in content


def _all_trades(house: House) -> tuple[Any, ...]:
    return house.desk.backtest_trades("c-1", 1, 1000, {}).rows


def test_backtest_when_candles_are_too_few_then_the_job_says_so_and_has_no_result(house: House) -> None:
    house.store()
    house.desk.start_backtest("c-2", {**REQUEST, "to": "2023-01-02"})
    job = house.jobs.wait("c-2", WAIT_S)
    assert job.state is JobState.FAILED
    assert "candles" in job.detail
    row = house.desk.backtests(1, 10, {}).rows[0]
    assert (row.is_done, row.strategy, row.job.detail) == (False, "momentum", job.detail)
    with pytest.raises(BadInput, match="has no result"):
        house.desk.backtest("c-2")


def test_backtest_when_cancelled_then_it_ends_without_a_result_and_can_be_deleted(house: House) -> None:
    house.store()
    house.desk.start_backtest("c-3", {**REQUEST, "engine": "replay"})
    house.jobs.cancel("c-3")
    assert house.jobs.wait("c-3", WAIT_S).state in (JobState.CANCELLED, JobState.DONE)
    house.desk.delete_backtest("c-3")
    assert house.desk.backtests(1, 10, {}).total == 0


def test_backtest_when_nothing_has_run_yet_then_it_says_that_a_first_run_compiles(tmp_path: Path) -> None:
    told: list[str] = []

    def progress(_share: float, said: str) -> None:
        told.append(said)
        raise JobCancelled("heard enough")

    watch = SimpleNamespace(clock=SystemClock(), progress=progress)
    arguments = {"data": str(tmp_path), "candles": str(tmp_path), "run_id": "c-9", "request": REQUEST}
    with pytest.raises(JobCancelled):
        backtest_task(arguments, cast(JobWatch, watch))
    assert told == ["reading candles; a first run then compiles the engine, once, which takes about a minute"]


# -- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"strategy": "martingale"}, "no strategy 'martingale'"),
        ({"strategy": ["momentum"]}, "is not a strategy's name"),
        ({"settings": {"fast_ema_bars": 0}}, "fast_ema_bars"),
        ({"engine": "abacus"}, "engine 'abacus' is not kernel or replay"),
        ({"cash": "0"}, "cash 0 must be above 0"),
        ({"series": []}, "at least one series"),
        ({"series": [("kraken:BTC/USDT", "1h")]}, "kraken:BTC/USDT"),
        ({"from": "2024-02-01", "to": "2024-01-01"}, "before it begins"),
        ({"from": "2031-01-01"}, "no candle lies between"),
        ({"costs": "default", "fee_bps": "5"}, "only be given with costs plain"),
        ({"strategy": "sma_cross", "risk": {"trail": "1"}}, "trail would have no effect: sma_cross has no stop"),
        ({"speed": 5}, "speed"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_start_when_a_value_cannot_be_used_then_it_is_named_and_nothing_starts(
    house: House, changes: dict[str, Any], words: str
) -> None:
    house.store()
    with pytest.raises(BadInput, match=words):
        house.desk.check_backtest({**REQUEST, **changes})
    with pytest.raises(BadInput, match=words):
        house.desk.start_backtest("c-4", {**REQUEST, **changes})
    assert house.desk.backtests(1, 10, {}).total == 0


def test_start_when_a_perpetual_has_no_funding_then_refused(house: House) -> None:
    house.store(Kind.PERPETUAL)
    with pytest.raises(BadInput, match="no funding of it is stored"):
        house.desk.start_backtest("c-5", {**REQUEST, "series": [("binance:BTC/USDT:USDT", "1h")]})


@pytest.mark.parametrize("run_id", ["../../etc", "a/b", "", ".", "x" * 81, "a\0b", "c 1"])
def test_reading_when_the_id_is_no_name_of_a_run_then_refused(house: House, run_id: str) -> None:
    house.put("b-1")
    for read in (house.desk.backtest, house.desk.backtest_report, house.desk.delete_backtest):
        with pytest.raises(BadInput, match="job id"):
            read(run_id)
    assert house.desk.backtests(1, 10, {}).total == 1


def test_viewer_when_acting_then_denied_and_looking_allowed(house: House) -> None:
    house.put("b-1")
    house.role = Role.VIEWER
    for act in (
        lambda: house.desk.start_backtest("c-6", REQUEST),
        lambda: house.desk.note_backtest("b-1", "mine"),
        lambda: house.desk.delete_backtest("b-1"),
    ):
        with pytest.raises(AccessDenied):
            act()
    assert house.desk.backtest("b-1").row.note is None


# -- history, notes, comparison --------------------------------------------------------------------------------------


def test_history_when_filtered_then_by_strategy_and_by_text_of_note_or_instrument(house: House) -> None:
    house.put("b-1")
    house.put("b-2", strategy="breakout")
    house.desk.note_backtest("b-2", "Wide STOPS")
    found = {text: house.desk.backtests(1, 10, {"text": text}).total for text in ("stops", "eth/usdt", "b-1", "doge")}
    assert found == {"stops": 1, "eth/usdt": 2, "b-1": 1, "doge": 0}
    assert [row.run_id for row in house.desk.backtests(1, 10, {"strategy": "breakout"}).rows] == ["b-2"]
    with pytest.raises(BadInput, match="cannot be filtered by colour"):
        house.desk.backtests(1, 10, {"colour": "red"})


@pytest.mark.parametrize(("page", "size"), [(0, 10), (1, 0), (1, 10_001), (-1, 5)])
def test_history_when_the_page_cannot_be_then_refused(house: House, page: int, size: int) -> None:
    with pytest.raises(BadInput, match="pages count from 1"):
        house.desk.backtests(page, size, {})


def test_note_when_written_then_kept_with_name_and_removed_by_an_empty_one(house: House) -> None:
    house.put("b-1")
    house.desk.note_backtest("b-1", "  first\r\nsecond <b>  ")
    note = house.desk.backtest("b-1").row.note
    assert note is not None
    assert (note.text, note.by) == ("first\nsecond <b>", "sam")
    assert House(house.folder).desk.backtest("b-1").row.note == note
    house.desk.note_backtest("b-1", " ")
    assert house.desk.backtest("b-1").row.note is None


@pytest.mark.parametrize("text", ["x" * 2001, "a\0b", "tab\there", "over\u202eride", "lone \ud800"])
def test_note_when_too_long_or_unreadable_then_refused_and_the_old_one_stays(house: House, text: str) -> None:
    house.put("b-1")
    house.desk.note_backtest("b-1", "kept")
    with pytest.raises(BadInput, match="the note"):
        house.desk.note_backtest("b-1", text)
    note = house.desk.backtest("b-1").row.note
    assert note is not None
    assert note.text == "kept"


def test_compare_when_two_differ_in_costs_then_growth_figures_and_a_caution(house: House) -> None:
    house.put("b-1")
    metrics = {**record()["metrics"], "sharpe": {"value": 1.5, "low": None, "high": None, "reason": ""}}
    house.put("b-2", costs={"name": "plain"}, metrics=metrics)
    found = house.desk.compare_backtests(["b-1", "b-2"])
    assert [float(line.values[-1]) for line in found.curves] == pytest.approx([0.1832, 0.1832], abs=0.03)
    best = {figure.title: figure.best for figure in found.figures}
    assert set(best.values()) == {None}
    assert found.cautions == ("They pay different costs: a difference may come from that alone.",)


def test_compare_when_two_are_comparable_then_the_best_intervals_and_the_test_against_luck(house: House) -> None:
    house.put("b-1")
    metrics = {**record()["metrics"], "sharpe": {"value": 1.5, "low": 0.2, "high": 2.4, "reason": ""}}
    house.put("b-2", metrics=metrics)
    found = house.desk.compare_backtests(["b-1", "b-2"])
    figures = {figure.title: figure for figure in found.figures}
    assert found.cautions == ()
    assert (figures["Sharpe ratio"].best, figures["Net return"].best, figures["Payoff"].best) == (1, None, None)
    assert figures["Sharpe ratio"].intervals == ((-0.42, 2.17), (0.2, 2.4))
    assert figures["Deflated Sharpe"].values == (0.83, 0.83)


def test_compare_when_one_was_stopped_then_it_ends_there_and_nothing_is_the_best(house: House) -> None:
    house.put("b-1")
    metrics = {**record()["metrics"], "drawdown_days": {"value": 3, "low": None, "high": None, "reason": ""}}
    days = {"lived": 100, "asked": 420, "line": "x"}
    house.put("b-2", metrics=metrics, stopped_at="2024-02-09T00:00:00Z", days=days, trades=[])
    found = house.desk.compare_backtests(["b-1", "b-2"])
    assert found.lived == ("", "stopped on 2024-02-09 after 100 of 420 days")
    assert found.curves[1].at_ms[-1] <= 1_707_436_800_000 < found.curves[0].at_ms[-1]
    assert {figure.best for figure in found.figures} == {None}
    assert "2 Trend momentum stopped on 2024-02-09 after 100 of 420 days" in found.cautions[-1]


def test_compare_when_nothing_but_the_candles_differs_then_that_is_said(house: House) -> None:
    house.put("b-1")
    house.put("b-2", series=[{**part, "sha256": "cd" * 32} for part in record()["series"]])
    assert "Their candles differ" in house.desk.compare_backtests(["b-1", "b-2"]).cautions[0]


@pytest.mark.parametrize("chosen", [[], ["b-1"], ["b-1", "b-1"], ["b-1"] + [f"x-{index}" for index in range(5)]])
def test_compare_when_too_few_or_too_many_then_refused(house: House, chosen: list[str]) -> None:
    with pytest.raises(BadInput, match="two to 5 different"):
        house.desk.compare_backtests(chosen)


def test_delete_when_ended_then_nothing_is_left_and_a_second_time_is_refused(house: House) -> None:
    folder = house.put("b-1")
    house.desk.delete_backtest("b-1")
    assert not folder.path.exists()
    assert list(folder.path.parent.iterdir()) == []
    with pytest.raises(BadInput, match="there is no backtest 'b-1'"):
        house.desk.delete_backtest("b-1")


def test_console_when_a_run_is_started_noted_and_deleted_then_each_is_audited_once(house: House) -> None:
    house.store()
    for _ in range(2):
        house.console.start_backtest("c-7", REQUEST)
    house.jobs.wait("c-7", WAIT_S)
    house.console.note_backtest("c-7", "too good")
    house.console.delete_backtest("c-7")
    assert house.audited == [
        ("sam", "backtest_started", "c-7", "Trend momentum on BTC/USDT"),
        ("sam", "backtest_noted", "c-7", "8 characters"),
        ("sam", "backtest_deleted", "c-7", "momentum on binance:BTC/USDT"),
    ]


def test_console_when_an_act_is_refused_then_nothing_is_audited(house: House) -> None:
    house.put("b-1")
    for act in (
        lambda: house.console.note_backtest("b-1", "a\0b"),
        lambda: house.console.delete_backtest("b-2"),
        lambda: house.console.start_backtest("c-8", {**REQUEST, "cash": "0"}),
    ):
        with pytest.raises(BadInput):
            act()
    assert house.audited == []


# -- trades ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filters", "count"),
    [
        ({}, 105), ({"outcome": "won"}, 70), ({"outcome": "lost"}, 35), ({"side": "short"}, 26),
        ({"instrument": "binance:BTC/USDT"}, 52), ({"reason": "stop"}, 35), ({"side": "short", "outcome": "lost"}, 8),
    ],
)  # fmt: skip
def test_trades_when_filtered_then_counted(house: House, filters: dict[str, str], count: int) -> None:
    house.put("b-1")
    assert house.desk.backtest_trades("b-1", 1, 10, filters).total == count


def test_trades_when_ordered_then_the_worst_come_first_and_pages_hold_together(house: House) -> None:
    house.put("b-1")
    pages = [house.desk.backtest_trades("b-1", page, 50, {"order": "worst"}).rows for page in (1, 2, 3)]
    results = [trade.pnl for rows in pages for trade in rows]
    assert (len(results), results) == (105, sorted(results))


@pytest.mark.parametrize("filters", [{"order": "random"}, {"outcome": "drawn"}, {"colour": "red"}])
def test_trades_when_a_filter_cannot_be_then_refused(house: House, filters: dict[str, str]) -> None:
    house.put("b-1")
    with pytest.raises(BadInput, match=r"random|drawn|colour"):
        house.desk.backtest_trades("b-1", 1, 10, filters)


def test_trade_when_it_is_a_sold_one_then_it_is_short_and_its_share_is_of_what_was_paid() -> None:
    trade = trade_of(1, record()["trades"][3])
    assert trade.side == "short"
    assert trade.share == pytest.approx(float(trade.pnl / (Decimal("0.05") * Decimal("40000.10"))))


def test_chart_when_the_run_has_no_such_instrument_or_trade_then_refused(house: House) -> None:
    house.store()
    house.put("b-1")
    with pytest.raises(BadInput, match="did not trade kraken:X/Y"):
        house.desk.backtest_chart("b-1", InstrumentKey("kraken:X/Y"), None)
    with pytest.raises(BadInput, match="trade 999"):
        house.desk.backtest_chart("b-1", BTC, 999)


@settings(max_examples=60)
@given(st.lists(st.floats(-0.9, 5.0, allow_subnormal=False), max_size=60))
def test_histogram_when_any_results_then_every_trade_is_in_one_bin_and_none_holds_both_signs(
    shares: list[float],
) -> None:
    found = histogram(shares)
    assert found.counts.sum() == len(shares)
    if shares:
        assert len(found.edges) == len(found.counts) + 1 <= 61
        assert np.abs(found.edges).min() < 1e-12
        assert found.counts[found.edges[:-1] >= -1e-12].sum() == sum(share >= 0 for share in shares)


@pytest.mark.parametrize("module", [research_views, research_words, research_report])
def test_examples_when_run_then_hold(module: ModuleType) -> None:
    outcome = doctest.testmod(module)
    assert outcome.attempted
    assert not outcome.failed


def test_verdict_when_any_level_then_it_has_a_standing() -> None:
    assert set(STANDINGS) == set(Level)
    assert STANDINGS[Level.LOSES] is Standing.FAILS


def test_verdict_when_settings_were_tried_later_then_the_view_says_how_many(house: House) -> None:
    house.put("b-1")
    view = house.desk.backtest("b-1")
    assert (view.judged_at, view.tried_since) == (datetime(2026, 3, 14, 9, tzinfo=UTC), None)
    days = (datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 6, 1, tzinfo=UTC))
    place = TriedDays("momentum", "later", ((str(BTC), "1h", ""),), *days)
    with closing(ResearchStore(house.folder)) as store:
        assert house.desk.backtest("b-1").tried_since == 0
        for key, day in (("a", 13), ("b", 15), ("c", 16)):
            store.add_run(place, Tried(key, 0.1, 100.0), TrialStamp("1", datetime(2026, 3, day, tzinfo=UTC)))
    assert house.desk.backtest("b-1").tried_since == 2


def test_record_needed_when_it_is_a_part_of_a_day_then_whole_days_as_the_verdict_says(house: House) -> None:
    over = {"trials": 1, "deflated_sharpe": 0.8, "pbo": None, "minimum_track_record_days": 2179.2, "reason": ""}
    house.put("b-1", overfitting=over)
    checks = {one.key: one.value for one in house.desk.backtest("b-1").checks}
    assert checks["minimum_track_record_days"] == 2180


# -- damage ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("result.json", b"{"),
        ("result.json", b"[]"),
        ("result.json", json.dumps({**record(), "trades": [], "metrics": {}}).encode()),
        ("result.json", json.dumps({**record(), "trades": [], "final_equity": "a lot"}).encode()),
        ("result.json", json.dumps({**record(), "verdict": {"level": "sure", "line": ""}}).encode()),
        ("curve.npz", b"PK"),
        ("trades.jsonl", b"{}\n"),
        ("trades.jsonl", b"nonsense\n"),
        ("note.json", b'{"text": 1}'),
    ],
)
def test_reading_when_a_file_is_damaged_then_it_is_named_and_never_empty(
    house: House, name: str, content: bytes
) -> None:
    folder = house.put("b-1")
    (folder.path / name).write_bytes(content)
    with pytest.raises(StorageError, match=name.replace(".", r"\.")):
        house.desk.backtest("b-1")


@pytest.mark.parametrize("name", ["result.json", "note.json", "request.json"])
def test_history_when_one_run_is_damaged_then_the_others_are_shown_and_it_can_be_deleted(
    house: House, name: str
) -> None:
    house.put("b-1")
    (house.put("b-2").path / name).write_bytes(b'{"half')
    rows = {row.run_id: row for row in house.desk.backtests(1, 10, {}).rows}
    assert rows["b-1"].job.state is JobState.DONE
    assert rows["b-2"].job.state is JobState.FAILED
    assert name in rows["b-2"].job.detail
    house.desk.delete_backtest("b-2")
    assert [row.run_id for row in house.desk.backtests(1, 10, {}).rows] == ["b-1"]


def test_curve_when_it_holds_an_object_then_it_is_not_loaded(house: House) -> None:
    folder = house.put("b-1")
    objects = np.array([{"a": 1}], dtype=object)
    np.savez(folder.path / "curve.npz", at_ms=objects, equity=objects, drawdown=objects, hold=objects)
    with pytest.raises(StorageError, match=r"curve\.npz"):
        house.desk.backtest("b-1")


def test_run_when_its_job_is_forgotten_then_it_stays_with_its_time(house: House) -> None:
    house.put("b-1")
    row = house.desk.backtests(1, 10, {}).rows[0]
    assert (row.job.state, row.job.started_at) == (JobState.DONE, datetime(2026, 3, 14, 9, tzinfo=UTC))
