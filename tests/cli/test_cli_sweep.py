"""``sweep`` as typed: every combination told and counted, a sweep that goes on, and clear refusals."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.domain.errors import BadInput
from engine.quant.verdict import Level
from engine.runtime.job_files import JobCancelled
from engine.runtime.jobs import JobRules, Jobs
from engine.runtime.research_studies_shelf import StudyShelf
from engine.runtime.sweeps import read_sweep, sweep_files
from engine.storage.research import ResearchStore, TrialState

Typed = Callable[..., tuple[int, str, str]]
WORDS = (
    "sweep", "--strategy", "sma_cross", "--grid", "fast_bars=2:30:4", "--grid", "slow_bars=20:100:20", "--draws", "100",
)  # fmt: skip
ASKED: dict[str, Any] = {"strategy": "sma_cross", "grid": {"fast_bars": "2:30:4", "slow_bars": "20,40"}, "draws": 100}


def test_sweep_when_done_then_every_combination_is_told_counted_and_stored(
    typed: Typed, file: Path, in_process: Path
) -> None:
    code, out, _ = typed(*WORDS, "--candles", file, "--json")
    assert code == 0
    found = json.loads(out)
    assert found["counts"] == {"combinations": 40, "measured": 37, "refused": 3}
    assert len(found["combinations"]) == 40
    run = [one for one in found["combinations"] if one["trades"] is not None]
    assert all(isinstance(one["final_equity"], str) and one["max_drawdown"] <= 0.0 for one in run)
    assert found["best"] == max(run, key=lambda one: (one["sharpe"], -one["number"]))
    over = found["development"]["overfitting"]
    assert over["trials"] == found["overfitting"]["trials"] == 37
    assert over["pbo"] == found["overfitting"]["pbo"] is not None
    assert over["deflated_sharpe"] is not None
    assert found["verdict"]["level"] != Level.DISTINGUISHABLE.value
    assert found["development"]["final_equity"] == found["best"]["final_equity"]
    assert found["development"]["to"] < found["holdout"]["from"]
    assert found["plateau"]["neighbours"] > 0
    store = ResearchStore(in_process)
    trials = store.trials(found["study"])
    store.close()
    assert len(trials) == 40
    assert sum(one.state is TrialState.COMPLETE for one in trials) == 37
    assert {len(one.returns) for one in trials if one.state is TrialState.COMPLETE} != {0}


def test_sweep_when_asked_again_then_the_stored_one_is_told_and_the_words_say_how_many_were_tried(
    typed: Typed, file: Path
) -> None:
    first = json.loads(typed(*WORDS, "--candles", file, "--json")[1])
    again = json.loads(typed(*WORDS, "--candles", file, "--json")[1])
    assert again["combinations"] == first["combinations"]
    assert again["created_at"] == first["created_at"]
    code, out, _ = typed(*WORDS, "--candles", file)
    assert code == 0
    assert "37 combinations" in out
    assert "3 contradicted themselves" in out
    assert "probability of overfitting" in out
    assert "was not looked at" in out


def test_sweep_when_cancelled_then_it_goes_on_and_ends_as_one_that_was_not(file: Path, tmp_path: Path) -> None:
    grid = {"fast_bars": "2:30:1", "slow_bars": "40:100:10"}

    def told(folder: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = sweep_files([file], {**ASKED, "grid": grid}, tmp_path / folder)["combinations"]
        return rows

    with pytest.raises(JobCancelled, match="128 combinations are stored"):
        sweep_files([file], {**ASKED, "grid": grid}, tmp_path / "one", lambda _share, text: "128 of" not in text)
    assert told("one") == told("other")
    assert len(told("one")) == 203


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--grid", "fast_bars"), "is not of the form key=LOW:HIGH:STEP"),
        (("--grid", "fast_bars=3"), "fast_bars is given twice"),
        (("--grid", "moon=1:2:1"), "there is no setting moon"),
        (("--set", "fast_bars=3"), "is fixed and in the grid"),
        (("--study", "a/b"), "is no name"),
        (("--embargo-days", "0"), "--embargo-days 0 is not a whole number from 1 to 366; leave it out for 1"),
        (("--to", "2023-01-20"), "19 whole days are too few: a holdout of 20% needs 33 days before the holdout"),
    ],
)
def test_sweep_when_the_request_is_wrong_then_refused_by_name(
    words: tuple[str, ...], said: str, typed: Typed, file: Path
) -> None:
    code, _, err = typed(*WORDS, "--candles", file, *words)
    assert code == 2
    assert said in err
    assert "folds" not in err
    assert len(err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("values", "words"),
    [({"workers": 0}, "workers 0"), ({"embargo_days": 0}, "embargo_days 0"), ({"folds": 3}, "folds")],
)
def test_request_when_a_number_cannot_be_then_named(values: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        read_sweep({**ASKED, **values})


def test_sweep_when_done_then_the_studies_of_the_research_page_show_it(file: Path, tmp_path: Path) -> None:
    record = sweep_files([file], ASKED, tmp_path / "data")
    jobs = Jobs(tmp_path / "data", rules=JobRules(look_every_s=0.02))
    shelf = StudyShelf(tmp_path / "data", jobs)
    try:
        (row,) = shelf.rows()
        view = shelf.view(row.name)
    finally:
        shelf.close()
        jobs.close()
    assert row.name == record["study"]
    assert len(view.trials) == len(record["combinations"])
    assert view.best is not None
    assert view.best.number == record["best"]["number"]
    assert [(one.low, one.high) for one in view.settings] == [(2.0, 30.0), (20.0, 40.0)]
    assert "one piece" in view.choices_reason
