"""``optimise`` as typed: a study that goes on, a holdout that is looked at once, and clear refusals."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.domain.errors import BadInput
from engine.quant.verdict import Level
from engine.runtime.job_files import JobCancelled
from engine.runtime.studies import read_study, study_files
from engine.simulation import spread
from engine.simulation.study import run_study
from engine.storage.research import ResearchStore

ROOT = Path(__file__).resolve().parents[2]
Typed = Callable[..., tuple[int, str, str]]
WORDS = (
    "optimise", "--strategy", "sma_cross", "--range", "fast_bars=2:30", "--range", "slow_bars=20:150", "--draws", "100",
    "--seed", "3",
)  # fmt: skip
CHANGING = ("made_at", "created_at", "seconds", "bars_per_second", "evaluation_seconds")


def steady(value: Any) -> Any:
    """Without what the clock decides."""
    if isinstance(value, dict):
        return {key: steady(inner) for key, inner in value.items() if key not in CHANGING}
    return [steady(inner) for inner in value] if isinstance(value, list) else value


def test_optimise_when_done_then_the_record_tells_everything_and_luck_is_not_taken_for_skill(
    typed: Typed, file: Path
) -> None:
    code, out, _ = typed(*WORDS, "--candles", file, "--trials", "14", "--set", "fast_bars=5", "--json")
    assert code == 2  # fixed and with a range
    code, out, _ = typed(*WORDS, "--candles", file, "--trials", "14", "--json")
    assert code == 0
    found = json.loads(out)
    counts = found["counts"]
    assert counts["measured"] == counts["complete"] + counts["pruned"] == 14
    assert len(found["trials"]) == 14 + counts["refused"]
    assert found["overfitting"]["trials"] == 14 == found["development"]["overfitting"]["trials"]
    assert found["development"]["overfitting"]["pbo"] == found["overfitting"]["pbo"]
    assert found["development"]["overfitting"]["deflated_sharpe"] is not None
    assert found["verdict"]["level"] != Level.DISTINGUISHABLE.value
    assert found["holdout"]["record"] is None
    assert found["holdout"]["touched_at"] is None
    assert found["development"]["to"] < found["holdout"]["from"]
    assert found["best"]["value"] == max(one["value"] for one in found["trials"] if one["state"] == "complete")
    assert set(found["selection"]) == {"walk_forward", "choices", "k_fold", "k_folds", "paths", "reason", "note"}
    assert bool(found["selection"]["note"]) is (counts["pruned"] > 0)


def test_optimise_when_given_again_or_extended_then_it_goes_on(typed: Typed, file: Path) -> None:
    assert typed(*WORDS, "--candles", file, "--trials", "5", "--json")[0] == 0
    first = json.loads(typed(*WORDS, "--candles", file, "--trials", "9", "--json")[1])
    again = json.loads(typed(*WORDS, "--candles", file, "--trials", "9", "--json")[1])
    named = json.loads(typed(*WORDS, "--candles", file, "--trials", "9", "--study", "mine", "--json")[1])
    assert steady(first) == steady(again)
    assert steady(named) | {"study": first["study"]} == steady(first)
    assert first["study"].startswith("sma_cross-")


def test_optimise_when_the_holdout_was_looked_at_then_never_again(typed: Typed, file: Path) -> None:
    words = (*WORDS, "--candles", file, "--trials", "6")
    name = json.loads(typed(*words, "--json")[1])["study"]
    code, out, _ = typed(*words, "--study", name, "--holdout-report", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["holdout"]["touched_at"]
    record = found["holdout"]["record"]
    assert record["from"] == found["holdout"]["from"]
    assert record["overfitting"]["trials"] == 6
    day = found["holdout"]["touched_at"][:10]
    for more in (("--study", name), ("--study", "another"), ("--study", "fourth", "--seed", "4")):
        code, out, err = typed(*words, *more, "--holdout-report")
        assert (code, out) == (4, "")
        assert f"was looked at on {day}" in err
    code, _, err = typed(*words, "--trials", "12")
    assert code == 4
    assert "cannot go on. Read it with --trials 6" in err
    code, out, _ = typed(*words)
    assert code == 0
    assert f"looked at on {day}: final equity" in out


def test_optimise_when_the_look_is_not_a_step_of_its_own_then_refused_with_the_way_and_nothing_is_run(
    typed: Typed, file: Path, in_process: Path
) -> None:
    words = (*WORDS, "--candles", file)
    code, out, err = typed(*words, "--trials", "4", "--holdout-report")
    assert (code, out) == (2, "")
    assert "--holdout-report needs --study NAME" in err
    assert "no study of sma_cross is stored. Search first" in err
    assert typed(*words, "--trials", "4", "--study", "mine")[0] == 0
    code, out, err = typed(*words, "--trials", "6", "--study", "mine", "--holdout-report")
    assert (code, out) == (2, "")
    assert "study mine has 4 of 6 trials, and a look does not search" in err
    assert "look at what it has with --trials 4" in err
    code, out, _ = typed(*words, "--trials", "4", "--study", "mine")
    assert (code, "is untouched" in out) == (0, True)
    store = ResearchStore(in_process)
    assert [(one.name, len(store.trials(one.name))) for one in store.studies()] == [("mine", 4)]
    store.close()


def test_optimise_when_the_look_is_at_a_study_that_does_not_exist_then_refused_with_the_known_and_nothing_is_run(
    typed: Typed, file: Path, in_process: Path
) -> None:
    words = (*WORDS, "--candles", file, "--trials", "4")
    code, out, err = typed(*words, "--study", "never", "--holdout-report")
    assert (code, out) == (2, "")
    assert "no study never, so there is no holdout to look at; no study of sma_cross is stored" in err
    assert typed(*words, "--study", "mine")[0] == 0
    code, out, err = typed(*words, "--study", "never", "--holdout-report")
    assert (code, out) == (2, "")
    assert "those of sma_cross are mine" in err
    store = ResearchStore(in_process)
    assert [one.name for one in store.studies()] == ["mine"]
    store.close()


def test_optimise_when_another_study_used_the_holdout_up_then_said_with_every_result(typed: Typed, file: Path) -> None:
    words = (*WORDS, "--candles", file, "--trials", "4")
    assert (
        "is untouched; the same command with --study second --holdout-report looks at it"
        in typed(*words, "--study", "second")[1]
    )
    assert typed(*words, "--study", "first")[0] == 0
    code, out, _ = typed(*words, "--study", "first", "--holdout-report", "--json")
    assert (code, json.loads(out)["holdout"]["refused"]) == (0, "")
    out = typed(*words, "--study", "second")[1]
    assert "is used up, this study can not look at it" in out
    assert "by study first" in out
    assert "is untouched" not in out
    assert "by study first" in json.loads(typed(*words, "--study", "second", "--json")[1])["holdout"]["refused"]


def test_optimise_when_rows_were_put_in_order_then_told_at_the_top(typed: Typed, file: Path) -> None:
    lines = file.read_text().splitlines()
    lines[50], lines[51] = lines[51], lines[50]
    file.write_text("\n".join(lines) + "\n")
    out = typed(*WORDS, "--candles", file, "--trials", "1")[1]
    assert "1 row out of order, put in order" in out.splitlines()[1]


def test_optimise_when_printed_for_people_then_the_verdict_comes_first(typed: Typed, file: Path) -> None:
    code, out, _ = typed(*WORDS, "--candles", file, "--trials", "6")
    lines = out.splitlines()
    assert code == 0
    assert lines[0].split(":")[0].lower() in {level.value for level in Level}
    assert "6 trials" in out
    assert "best is trial" in out
    assert "fast_bars=" in out
    assert "is untouched; the same command with --study sma_cross-" in out


def test_optimise_when_interrupted_then_130_and_the_study_goes_on(
    typed: Typed, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = json.loads(typed(*WORDS, "--candles", file, "--trials", "9", "--study", "whole", "--json")[1])

    def interrupted(*arguments: Any, **more: Any) -> bool:
        run_study(arguments[0], arguments[1], 5)
        raise KeyboardInterrupt

    monkeypatch.setattr("engine.runtime.studies.run_study", interrupted)
    code, out, err = typed(*WORDS, "--candles", file, "--trials", "9", "--study", "mine", "--json")
    assert (code, out) == (130, "")
    assert "the same command goes on" in err
    monkeypatch.setattr("engine.runtime.studies.run_study", run_study)
    found = json.loads(typed(*WORDS, "--candles", file, "--trials", "9", "--study", "mine", "--json")[1])
    assert found["trials"] == whole["trials"]


def test_optimise_when_the_scheduler_of_the_settings_is_silent_then_exit_2_and_nothing_is_lost(
    typed: Typed, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spread, "CONNECT_TIMEOUT_S", 0.2)
    monkeypatch.setenv("QUARTERDECK_RESEARCH__SCHEDULER", "tcp://127.0.0.1:1")
    code, _, err = typed(*WORDS, "--candles", file, "--trials", "1")
    assert code == 2
    assert "no Dask scheduler answers at tcp://127.0.0.1:1" in err
    monkeypatch.setenv("QUARTERDECK_RESEARCH__SCHEDULER", "somewhere")
    code, _, err = typed(*WORDS, "--candles", file, "--trials", "1")
    assert code == 2
    assert "research.scheduler (environment)" in err
    monkeypatch.delenv("QUARTERDECK_RESEARCH__SCHEDULER")
    assert typed(*WORDS, "--candles", file, "--trials", "1")[0] == 0


def test_study_when_cancelled_then_it_says_what_is_stored(tmp_path: Path, file: Path) -> None:
    options = {"strategy": "sma_cross", "ranges": {"slow_bars": "20:150", "fast_bars": "2:19"}, "trials": 12}
    with pytest.raises(JobCancelled, match=r"cancelled; \d+ trials are stored"):
        study_files([file], options | {"study": "s"}, tmp_path / "d", lambda _share, text: not text.startswith("4 of"))
    store = ResearchStore(tmp_path / "d")
    assert len(store.trials("s")) == 4
    store.close()


KILLED = """
import os, signal, sys
from pathlib import Path
from engine.runtime.studies import study_files

def watched(share, text):
    if text.startswith("8 of"):
        os.kill(os.getpid(), signal.SIGKILL)
    return True

options = {"strategy": "sma_cross", "ranges": {"slow_bars": "20:150", "fast_bars": "2:19"}, "trials": 12, "study": "s"}
study_files([Path(sys.argv[1])], options, Path(sys.argv[2]), watched)
"""


def test_study_when_its_process_is_killed_then_the_next_one_ends_it_as_if_nothing_had_happened(
    tmp_path: Path, file: Path
) -> None:
    command = [sys.executable, "-c", KILLED, str(file), str(tmp_path / "killed")]
    ended = subprocess.run(command, check=False, cwd=ROOT, timeout=100)
    assert ended.returncode == -signal.SIGKILL
    store = ResearchStore(tmp_path / "killed")
    assert len(store.trials("s")) == 8
    store.close()
    options = {"strategy": "sma_cross", "ranges": {"slow_bars": "20:150", "fast_bars": "2:19"}, "trials": 12}
    again, whole = (
        study_files([file], options | {"study": "s", "draws": 100}, tmp_path / name) for name in ("killed", "whole")
    )
    assert steady(again) == steady(whole)


def test_optimise_when_the_same_name_means_something_else_then_refused(typed: Typed, file: Path) -> None:
    assert typed(*WORDS, "--candles", file, "--trials", "1", "--study", "mine")[0] == 0
    code, _, err = typed(*WORDS, "--candles", file, "--trials", "1", "--study", "mine", "--fee-bps", "20")
    assert code == 2
    assert "study mine exists with another costs" in err


REFUSED = {
    "an unknown strategy": (("--strategy", "tea_leaves"), "no strategy 'tea_leaves'"),
    "an unknown setting": (("--set", "moon=1"), "no setting moon"),
    "a fixed value out of bounds": (("--set", "slow_bars=0"), "slow_bars=0: Input should be greater"),
    "nothing to search": (("--set", "slow_bars=9", "--set", "fast_bars=5"), "nothing to search"),
    "a range of an unknown setting": (("--range", "moon=1:2"), "no setting moon"),
    "a range that is none": (("--range", "fast_bars=2"), "range '2' of fast_bars is not LOW:HIGH"),
    "a range without a name": (("--range", "2:3"), "not of the form key=LOW:HIGH"),
    "a range given twice": (("--range", "fast_bars=2:9", "--range", "fast_bars=3:9"), "fast_bars is given twice"),
    "no folds": (("--folds", "0"), "--folds 0 is not a whole number from 2 to 50; leave it out for 4"),
    "folds that are no number": (("--folds", "two"), "--folds 'two' is not a whole number from 2 to 50"),
    "too many workers": (("--workers", "999"), "--workers 999 is not a whole number from 1 to 256"),
    "too few draws": (("--draws", "7"), "--draws 7 is not a whole number from 100 to 100,000; leave it out for 1,000"),
    "a range beyond the bounds": (("--range", "fast_bars=1:5000"), "must rise and lie within 1 to 999"),
    "zero capital": (("--cash", "0"), "cash 0 must be above 0"),
    "too few days": (("--to", "2023-02-01"), "31 whole days are too few"),
    "too many folds": (("--folds", "40"), "40 folds and a holdout"),
    "a name that is none": (("--study", "../x"), "study '../x' is no name"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_optimise_when_asked_wrongly_then_one_line_and_exit_2(typed: Typed, file: Path, case: str) -> None:
    words, reason = REFUSED[case]
    code, out, err = typed("optimise", "--strategy", "sma_cross", *words, "--candles", file, "--trials", "1")
    assert (code, out) == (2, "")
    assert reason in err
    assert len(err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"trials": 0}, "trials 0 is not a whole number from 1 to 100,000"),
        ({"trials": True}, "trials True"),
        ({"folds": 51}, "folds 51 is not a whole number from 2 to 50"),
        ({"folds": 1}, "folds 1 is not a whole number from 2 to 50"),
        ({"study": 3}, "study 3 is no name"),
        ({"settings": {}}, "has no settings"),
        ({"workers": 1000}, "workers 1000 is not a whole number from 1 to 256"),
    ],
)
def test_study_request_when_wrong_then_named(wrong: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadInput, match=reason):
        read_study({"strategy": "breakout"} | wrong)
