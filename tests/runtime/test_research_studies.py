"""Studies through the console: a real search in a worker, continuing, the one look, refusals, notes, archive."""

from __future__ import annotations

import doctest
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from recorded_candles import made

from config.settings import load
from engine.domain.commands import Actor, Role
from engine.domain.errors import AccessDenied, BadInput, StorageError
from engine.domain.instruments import InstrumentKey
from engine.domain.studies import Studies, StudyState, StudyView, TrialEnd, WindowKind
from engine.domain.views import JobState
from engine.runtime import research_studies_views, research_studies_words
from engine.runtime.clock import SystemClock
from engine.runtime.console import Console
from engine.runtime.job_files import JobCancelled
from engine.runtime.jobs import JobRules, Jobs
from engine.runtime.replay_data import ReplayData
from engine.runtime.research_shelf import ResearchShelf
from engine.runtime.research_studies_job import checked_study
from engine.runtime.research_studies_shelf import StudyShelf
from engine.runtime.services import Services
from engine.runtime.studies import study
from engine.storage.candles import CandleStore, ImportRecord

WAIT_S = 120.0
BTC = InstrumentKey("binance:BTC/USDT")
REQUEST: dict[str, Any] = {
    "strategy": "sma_cross",
    "series": [(BTC, "1h")],
    "ranges": {"fast_bars": "2:30", "slow_bars": "20:150"},
    "trials": 8,
    "study": "mine",
    "seed": 3,
    "draws": 100,
    "costs": "plain",
}


class House:
    """A data folder with 150 days of candles, and the console of a person of some role."""

    def __init__(self, folder: Path) -> None:
        self.role = Role.OPERATOR
        self.folder = folder
        self.candles = CandleStore(folder / "candles")
        self.jobs = Jobs(folder, rules=JobRules(look_every_s=0.02))
        self.studies = StudyShelf(folder, self.jobs)
        self.audited: list[tuple[str, ...]] = []
        audit = SimpleNamespace(append=lambda actor, *rest: self.audited.append((actor.name, *rest)))
        services = SimpleNamespace(
            settings=load({"QUARTERDECK_DATA_DIR": str(folder)}), folder=folder, clock=SystemClock(),
            candles=self.candles, jobs=self.jobs, backtests=ResearchShelf(folder, self.jobs),
            studies=self.studies, control=SimpleNamespace(audit=audit),
        )  # fmt: skip
        self.desk = Console(cast(Services, services), lambda: Actor("sam", self.role, "console"))
        instrument, candles = made(24 * 150, seed=11)
        self.made = {instrument: candles}
        self.candles.merge(instrument, candles, ImportRecord("made", "0" * 64, len(candles), 0, datetime.now(UTC)))

    def run_here(self, trials: int, stop_after: int | None = None, name: str = "mine") -> None:
        """The search in this process, as the command line does it; cancelled once so many trials are told."""
        asked = {**REQUEST, "trials": trials, "study": name}

        def report(_share: float, text: str) -> bool:
            return stop_after is None or not text.startswith(f"{stop_after} of")

        study(checked_study(asked), ReplayData(self.made), self.folder, report)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    one = House(tmp_path)
    yield one
    one.jobs.close(stop_jobs=True)
    one.studies.close()


def facts(view: StudyView) -> list[tuple[Any, ...]]:
    return [(one.number, one.end, one.objective, one.settings) for one in view.trials]


# -- a real study ----------------------------------------------------------------------------------------------------


def test_study_when_run_in_a_worker_then_continued_and_looked_at_then_everything_is_told(house: House) -> None:
    desk: Studies = house.desk
    planned = desk.plan_study(REQUEST)
    assert (planned.name, planned.goes_on) == ("mine", False)
    job = desk.start_study("c-1", REQUEST)
    assert desk.start_study("c-1", REQUEST).job_id == job.job_id
    assert house.jobs.wait("c-1", WAIT_S).state is JobState.DONE
    view = desk.study("mine")
    row = view.row
    assert (row.state, row.measured, row.wanted, row.instruments) == (StudyState.DONE, 8, 8, (BTC,))
    assert row.complete + row.pruned == 8
    assert row.verdict is not None
    assert view.windows == planned.windows
    assert view.best is not None
    assert view.best.run is not None
    assert view.best.run.row.final_equity is not None
    assert {figure.key for figure in view.figures} >= {"deflated_sharpe", "pbo", "k_fold", "median_share", "trials"}
    assert [choice.window.number for choice in view.choices] == [2, 3, 4]
    assert all(0 <= place <= 1 for trial in view.trials for place in trial.places)
    first = facts(view)

    desk.continue_study("c-2", "mine", 10)
    assert house.jobs.wait("c-2", WAIT_S).state is JobState.DONE
    extended = desk.study("mine")
    assert extended.row.measured == 10
    assert facts(extended)[: len(first)] == first

    assert extended.look is None
    desk.look_at_holdout("c-3", "mine")
    assert house.jobs.wait("c-3", WAIT_S).state is JobState.DONE
    seen = desk.study("mine")
    assert seen.look is not None
    assert seen.look.at.date() == datetime.now(UTC).date()
    assert seen.row.looked_at == seen.look.at
    assert {figure.key for figure in seen.look.statistics} >= {"net_return", "sharpe", "deflated_sharpe"}
    house.run_here(4, name="other")
    assert f"Study mine looked at these days on {seen.look.at:%Y-%m-%d}" in desk.study("other").look_blocked
    for refused in (lambda: desk.look_at_holdout("c-4", "mine"), lambda: desk.continue_study("c-5", "mine", 20)):
        with pytest.raises(BadInput, match="looked at"):
            refused()
    name, content = desk.study_record("mine")
    assert name == "quarterdeck-study-mine.json"
    assert json.loads(content)["counts"]["measured"] == 10
    assert [line[1] for line in house.audited] == ["study_started", "study_continued", "holdout_looked_at"]


def test_study_when_cancelled_in_the_middle_then_it_can_go_on_to_the_same_trials(house: House) -> None:
    house.run_here(8, name="whole")
    house.studies.folder("mine").write_request({**REQUEST, "trials": 8}, "gone", datetime.now(UTC))
    with pytest.raises(JobCancelled, match="4 trials are stored, and it can go on"):
        house.run_here(8, stop_after=4)
    stopped = house.desk.study("mine")
    assert (stopped.row.state, stopped.row.measured, stopped.continue_blocked) == (StudyState.STOPPED, 4, "")
    assert stopped.row.detail == "it was stopped; 4 of 8 trials are stored"
    assert stopped.figures == ()
    assert "let it end first" in stopped.look_blocked
    house.run_here(8)
    assert house.desk.study("mine").row.state is StudyState.DONE
    assert facts(house.desk.study("mine")) == facts(house.desk.study("whole"))


def test_study_when_run_on_the_command_line_then_it_is_listed_but_goes_on_there(house: House) -> None:
    house.run_here(5)
    view = house.desk.study("mine")
    assert view.row.state is StudyState.DONE
    assert not view.row.started_here
    with pytest.raises(BadInput, match="run on the command line"):
        house.desk.continue_study("c-1", "mine", 9)


def test_backtest_of_the_best_when_asked_for_then_it_ends_before_the_holdout(house: House) -> None:
    house.run_here(5)
    view = house.desk.study("mine")
    assert view.best is not None
    asked = view.best.backtest
    holdout = next(one for one in view.windows if one.kind is WindowKind.HOLDOUT)
    assert asked["from"] < asked["to"] <= f"{holdout.start:%Y-%m-%d}"
    assert asked["series"] == [(BTC, "1h")]
    assert (asked["costs"], asked["fee_bps"]) == ("plain", "10")
    assert set(asked["settings"]) == {"fast_bars", "slow_bars"}


def test_record_when_it_is_damaged_then_named(house: House) -> None:
    house.run_here(5)
    (house.folder / "studies" / "mine" / "record.json").write_text('{"verdict": {}}')
    with pytest.raises(StorageError, match=r"record\.json is damaged"):
        house.desk.study("mine")


def test_studies_when_one_is_damaged_then_the_list_shows_it_and_the_others(house: House) -> None:
    house.run_here(5)
    (house.folder / "studies" / "mine" / "record.json").write_text("{half")
    (row,) = house.desk.studies(1, 10, {}).rows
    assert (row.name, row.state, row.measured) == ("mine", StudyState.FAILED, 5)
    assert "record.json is damaged" in row.detail


# -- planning --------------------------------------------------------------------------------------------------------


def test_plan_when_made_then_windows_lie_in_order_without_a_hole(house: House) -> None:
    windows = house.desk.plan_study({**REQUEST, "folds": 3, "embargo_days": 2}).windows
    assert [one.kind.value for one in windows] == ["history", *["embargo", "fold"] * 3, "embargo", "holdout"]
    assert [one.number for one in windows if one.kind is WindowKind.FOLD] == [1, 2, 3]
    assert all(left.stop == right.start for left, right in pairwise(windows))
    assert all(one.days >= 2 for one in windows if one.kind is WindowKind.EMBARGO)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ranges": {"fast_bars": "30:2"}}, r"range 30:2 of Fast average \(bars\) must rise"),
        ({"ranges": {}, "fixed": {"fast_bars": 5, "slow_bars": 50}}, "every setting is fixed"),
        ({"fixed": {"fast_bars": 0}, "ranges": {}}, r"Fast average \(bars\)=0"),
        ({"trials": 0}, "trials 0 is not a whole number from 1"),
        ({"trials": 6_000}, "trials 6,000 are more than 5,000"),
        ({"folds": 1}, "folds 1 is not a whole number from 2 to 50"),
        ({"folds": 20}, "days are too few: 20 folds"),
        ({"embargo_days": 0}, "days left out between 0"),
        ({"from": "2023-05-20"}, "days are too few"),
        ({"study": "no name"}, "is no name"),
        ({"series": []}, "at least one series"),
        ({"series": [("binance:ETH/USDT", "1h")]}, "binance:ETH/USDT"),
        ({"holdout_report": True}, "holdout_report"),
        ({"cash": "0"}, "cash 0"),
    ],
)
def test_plan_when_a_value_cannot_be_used_then_it_is_named(house: House, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        house.desk.plan_study({**REQUEST, **changes})


def test_plan_when_the_name_has_other_settings_then_says_which(house: House) -> None:
    house.run_here(4)
    assert house.desk.plan_study(REQUEST).measured == 4
    with pytest.raises(BadInput, match="there is a study mine with another seed; give this one another name"):
        house.desk.plan_study({**REQUEST, "seed": 4})


def test_plan_when_no_name_is_given_then_the_same_request_has_the_same_one(house: House) -> None:
    names = [house.desk.plan_study({**REQUEST, "study": "", "trials": count}).name for count in (8, 20)]
    other = house.desk.plan_study({**REQUEST, "study": "", "seed": 4}).name
    assert names[0] == names[1] != other
    assert names[0].startswith("sma_cross-")


def test_plan_when_newer_candles_come_then_a_study_that_was_asked_for_keeps_its_end(house: House) -> None:
    asked, _ = house.desk._planned_study(REQUEST)
    (_, candles), *_ = house.made.items()
    assert datetime.fromisoformat(asked["to"]) == datetime(2023, 1, 1, tzinfo=UTC) + timedelta(hours=len(candles))


def test_forms_when_asked_for_then_every_number_has_the_bounds_of_a_search(house: House) -> None:
    forms = {form.name: {one.field.name: one for one in form.fields} for form in house.desk.study_forms()}
    assert (forms["sma_cross"]["fast_bars"].low, forms["sma_cross"]["fast_bars"].high) == (1, 999)
    assert forms["momentum"]["entry_gap_atr"].low == pytest.approx(0.01)
    assert forms["mean_reversion"]["significance"].low is None
    assert house.desk.study_machines().scheduler == ""
    asked = {**REQUEST, "strategy": "mean_reversion", "fixed": {"significance": "5%"}, "ranges": {}}
    assert house.desk.plan_study({**asked, "study": ""}).name.startswith("mean_reversion-")


# -- the table, notes, archive ---------------------------------------------------------------------------------------


def test_trials_when_filtered_and_ordered_then_the_complete_ones_lead(house: House) -> None:
    house.run_here(8)
    desk = house.desk
    best = desk.study_trials("mine", 1, 25, {"order": "best"}).rows
    complete = [one.objective for one in best if one.end is TrialEnd.COMPLETE]
    assert complete == sorted(complete, reverse=True, key=lambda value: value or 0.0)
    assert best[0].number == desk.study("mine").best.number  # type: ignore[union-attr]
    assert desk.study_trials("mine", 1, 25, {"order": "worst"}).rows[0].objective == min(filter(None, complete))
    assert desk.study_trials("mine", 1, 2, {}).rows[0].number == desk.study_trials("mine", 1, 1, {}).total - 1
    assert desk.study_trials("mine", 1, 25, {"state": "complete"}).total == len(complete)
    for filters in ({"order": "x"}, {"state": "x"}, {"x": "y"}):
        with pytest.raises(BadInput):
            desk.study_trials("mine", 1, 25, filters)
    with pytest.raises(BadInput, match="there is no study"):
        desk.study_trials("other", 1, 25, {})


def test_history_when_noted_and_archived_then_found_and_left_out(house: House) -> None:
    house.run_here(4)
    desk = house.desk
    desk.note_study("mine", " wide stops ")
    assert desk.studies(1, 25, {"text": "WIDE"}).rows[0].note.text == "wide stops"  # type: ignore[union-attr]
    assert desk.studies(1, 25, {"strategy": "momentum"}).total == 0
    desk.archive_study("mine", True)
    assert [desk.studies(1, 25, {"archived": which}).total for which in ("no", "yes", "")] == [0, 1, 1]
    desk.archive_study("mine", False)
    desk.note_study("mine", "")
    assert desk.studies(1, 25, {}).rows[0].note is None
    with pytest.raises(BadInput, match="archived"):
        desk.studies(1, 25, {"archived": "never"})


def test_history_when_nothing_was_studied_then_empty_and_no_database_is_made(house: House) -> None:
    assert house.desk.studies(1, 25, {}).total == 0
    assert not (house.folder / "research.sqlite").exists()
    with pytest.raises(BadInput, match="there is no study"):
        house.desk.study("mine")


def test_desk_when_a_viewer_asks_for_a_change_then_denied(house: House) -> None:
    house.role = Role.VIEWER
    desk = house.desk
    for deed in (
        lambda: desk.start_study("c-1", REQUEST),
        lambda: desk.continue_study("c-1", "mine", 9),
        lambda: desk.look_at_holdout("c-1", "mine"),
        lambda: desk.note_study("mine", "x"),
        lambda: desk.archive_study("mine", True),
    ):
        with pytest.raises(AccessDenied):
            deed()


def test_job_when_nothing_could_be_run_then_the_study_failed_and_says_why(house: House) -> None:
    ranges = {"fast_bars": "2:30", "slow_bars": "900:999"}
    house.desk.start_study("c-1", {**REQUEST, "ranges": ranges, "trials": 1})
    assert house.jobs.wait("c-1", WAIT_S).state is JobState.FAILED
    row = house.desk.study("mine").row
    assert (row.state, row.measured, row.refused >= 20) == (StudyState.FAILED, 0, True)
    assert "candles before its first signal" in row.detail
    assert "--set" not in row.detail


def test_examples_then_they_hold() -> None:
    for module in (research_studies_views, research_studies_words):
        assert doctest.testmod(module).failed == 0
