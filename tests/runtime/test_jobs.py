"""Long work in processes: once per id, in turn, watched, cancelled, and honest about how it ended."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import job_tasks
import psutil
import pytest

from engine.domain.errors import BadInput, CannotRecord
from engine.domain.views import JobState, JobView
from engine.runtime.job_files import JobFolder, JobOrder, Life
from engine.runtime.job_worker import Task
from engine.runtime.jobs import JobRules, Jobs

WAIT_S = 60.0
RULES = JobRules(trusted=("engine.", "job_tasks"), look_every_s=0.02)


@pytest.fixture(autouse=True)
def _found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the worker processes find the work of these tests."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Jobs]:
    made = Jobs(tmp_path, rules=RULES)
    yield made
    made.close(stop_jobs=True)


def order(task: Task, kind: str = "test", **arguments: object) -> JobOrder:
    return JobOrder(kind, f"the {task.__name__} one", f"job_tasks:{task.__name__}", arguments)


def waiting(folder: Path, name: str, kind: str = "test") -> JobOrder:
    paths = {"log": str(folder / "log"), "until": str(folder / f"go-{name}")}
    return order(job_tasks.wait_for_file, kind, name=name, **paths)


def until(jobs: Jobs, job_id: str, wanted: Callable[[JobView], bool]) -> JobView:
    deadline = time.monotonic() + WAIT_S
    while not wanted(jobs.view(job_id)):
        assert time.monotonic() < deadline, jobs.view(job_id)
        time.sleep(0.01)
    return jobs.view(job_id)


def half_way(view: JobView) -> bool:
    return view.state is JobState.RUNNING and view.share == 0.5


def test_start_when_the_work_ends_then_the_view_holds_its_result(jobs: Jobs) -> None:
    first = jobs.start("one", order(job_tasks.answer, extra=3), {"upload": b"hello"})
    done = jobs.wait("one", WAIT_S)
    result = json.loads(done.result)
    assert first.state in (JobState.QUEUED, JobState.RUNNING)
    assert (done.state, done.share, done.detail, done.seconds_left) == (JobState.DONE, 1.0, "all done", None)
    assert (result["text"], result["extra"], result["threads"]) == ("hello", 3, "1")
    assert (result["niceness"], result["session"] in ("19", "none")) == (19, True)


def test_start_when_the_id_is_known_then_the_first_job_is_the_answer(jobs: Jobs) -> None:
    jobs.start("one", order(job_tasks.answer, extra=1))
    jobs.wait("one", WAIT_S)
    again = jobs.start("one", order(job_tasks.answer, extra=2))
    assert again.state is JobState.DONE
    assert json.loads(again.result)["extra"] == 1
    assert len(jobs.views()) == 1


@pytest.mark.parametrize("job_id", ["", "../x", "a/b", ".hidden", "x" * 81, "ümlaut", "a b"])
def test_start_when_the_id_cannot_name_a_folder_then_refused(jobs: Jobs, tmp_path: Path, job_id: str) -> None:
    with pytest.raises(BadInput, match="job id"):
        jobs.start(job_id, order(job_tasks.answer))
    assert not (tmp_path / "jobs").exists()


def test_start_when_two_are_of_one_kind_then_one_after_the_other(jobs: Jobs, tmp_path: Path) -> None:
    jobs.start("one", waiting(tmp_path, "one"))
    until(jobs, "one", half_way)
    jobs.start("two", waiting(tmp_path, "two"))
    jobs.start("other", waiting(tmp_path, "other", kind="other"))
    until(jobs, "other", half_way)
    assert jobs.view("two").state is JobState.QUEUED
    assert jobs.view("two").detail == "waits for its turn"
    for name in ("two", "other", "one"):
        (tmp_path / f"go-{name}").touch()
    assert jobs.wait("two", WAIT_S).state is JobState.DONE
    lines = [line for line in (tmp_path / "log").read_text().splitlines() if "other" not in line]
    assert lines == ["begin one", "end one", "begin two", "end two"]


def test_view_when_running_then_share_and_time_left_are_told(jobs: Jobs, tmp_path: Path) -> None:
    jobs.start("one", waiting(tmp_path, "one"))
    view = until(jobs, "one", half_way)
    assert view.detail == "half way"
    assert view.seconds_left == pytest.approx(view.seconds)
    (tmp_path / "go-one").touch()
    assert jobs.wait("one", WAIT_S).detail == "the file came"


def test_cancel_when_running_then_the_work_stops_by_itself(jobs: Jobs, tmp_path: Path) -> None:
    jobs.start("one", waiting(tmp_path, "one"))
    until(jobs, "one", half_way)
    jobs.cancel("one")
    ended = jobs.wait("one", WAIT_S)
    assert (ended.state, ended.detail) == (JobState.CANCELLED, "stopped half way; nothing was kept")
    jobs.cancel("one")
    assert jobs.view("one") == ended


def test_cancel_when_the_work_does_not_listen_then_its_process_is_ended(tmp_path: Path) -> None:
    rules = JobRules(trusted=("job_tasks",), grace_s=0.1, look_every_s=0.02)
    jobs = Jobs(tmp_path, rules=rules)
    jobs.start("one", order(job_tasks.deaf))
    until(jobs, "one", lambda view: view.share == 0.1)
    jobs.cancel("one")
    ended = jobs.wait("one", WAIT_S)
    jobs.close()
    assert (ended.state, ended.detail) == (JobState.CANCELLED, "stopped; what it had stored stays")


def test_cancel_when_queued_then_it_never_begins(jobs: Jobs, tmp_path: Path) -> None:
    jobs.start("one", waiting(tmp_path, "one"))
    until(jobs, "one", half_way)
    jobs.start("two", waiting(tmp_path, "two"))
    jobs.cancel("two")
    (tmp_path / "go-one").touch()
    assert jobs.wait("one", WAIT_S).state is JobState.DONE
    assert jobs.view("two").state is JobState.CANCELLED
    assert "two" not in (tmp_path / "log").read_text()


def test_cancel_when_unknown_then_refused(jobs: Jobs) -> None:
    with pytest.raises(BadInput, match="no job 'none'"):
        jobs.cancel("none")


@pytest.mark.parametrize(
    ("task", "words"),
    [
        (job_tasks.refuse, "the value 7 cannot be used; give another"),
        (job_tasks.crash, "its process failed: RuntimeError: a bug in the work"),
        (job_tasks.die, "ended by SIGKILL; the computer may have run out of memory"),
    ],
)
def test_view_when_the_work_fails_then_the_reason_is_told(jobs: Jobs, task: Task, words: str) -> None:
    jobs.start("one", order(task))
    ended = jobs.wait("one", WAIT_S)
    assert ended.state is JobState.FAILED
    assert words in ended.detail
    assert ended.result == ""


def test_resume_when_the_console_was_gone_then_the_worker_is_found_again(jobs: Jobs, tmp_path: Path) -> None:
    jobs.start("one", waiting(tmp_path, "one"))
    until(jobs, "one", half_way)
    jobs.start("two", waiting(tmp_path, "two"))
    jobs.close()
    later = Jobs(tmp_path, rules=RULES)
    later.resume()
    assert later.view("one").state is JobState.RUNNING
    (tmp_path / "go-two").touch()
    (tmp_path / "go-one").touch()
    assert later.wait("two", WAIT_S).state is JobState.DONE
    assert later.view("one").state is JobState.DONE
    later.close(stop_jobs=True)


def test_resume_when_the_worker_is_gone_too_then_failed_with_the_reason(jobs: Jobs, tmp_path: Path) -> None:
    jobs.start("one", waiting(tmp_path, "one"))
    until(jobs, "one", half_way)
    jobs.close()
    life = JobFolder(tmp_path / "jobs" / "one").read_life()
    assert life is not None
    psutil.Process(life.pid).kill()
    later = Jobs(tmp_path, rules=RULES)
    later.resume()
    ended = later.wait("one", WAIT_S)
    later.close()
    assert ended.state is JobState.FAILED
    assert "is gone and left no result" in ended.detail


def test_view_when_another_process_has_the_number_then_failed(jobs: Jobs, tmp_path: Path) -> None:
    jobs.start("one", waiting(tmp_path, "one"))
    view = until(jobs, "one", half_way)
    jobs.close(stop_jobs=True)
    folder = JobFolder(tmp_path / "jobs" / "one")
    for name in ("end.json", "cancel"):
        (folder.path / name).unlink()
    folder.write_life(Life(os.getpid(), 1.0, view.started_at))
    assert Jobs(tmp_path, rules=RULES).view("one").state is JobState.FAILED


def test_close_when_jobs_are_to_stop_then_no_process_is_left(jobs: Jobs, tmp_path: Path) -> None:
    jobs.start("one", waiting(tmp_path, "one"))
    until(jobs, "one", half_way)
    life = JobFolder(tmp_path / "jobs" / "one").read_life()
    jobs.close(stop_jobs=True)
    assert life is not None
    assert not psutil.pid_exists(life.pid)
    assert jobs.view("one").state is JobState.CANCELLED


def test_views_when_many_have_ended_then_the_oldest_are_forgotten(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path, rules=JobRules(trusted=("job_tasks",), kept=2, look_every_s=0.02))
    for name in ("a", "b", "c"):
        jobs.start(name, order(job_tasks.answer))
        assert jobs.wait(name, WAIT_S).state is JobState.DONE
    jobs.start("d", order(job_tasks.answer, kind="other"))
    jobs.wait("d", WAIT_S)
    jobs.close()
    assert [view.job_id for view in jobs.views()][:2] == ["d", "c"]
    assert "a" not in {view.job_id for view in jobs.views()}


def test_views_when_asked_for_a_kind_then_only_those(jobs: Jobs) -> None:
    jobs.start("one", order(job_tasks.answer))
    jobs.start("two", order(job_tasks.answer, kind="other"))
    assert [view.job_id for view in jobs.views("other")] == ["two"]
    jobs.wait("two", WAIT_S)


def test_views_when_a_file_is_damaged_then_that_job_failed_and_the_others_are_shown(jobs: Jobs, tmp_path: Path) -> None:
    jobs.start("one", order(job_tasks.answer))
    jobs.wait("one", WAIT_S)
    broken = tmp_path / "jobs" / "two"
    broken.mkdir()
    (broken / "order.json").write_text('{"kind": "te')
    views = {view.job_id: view for view in jobs.views()}
    assert views["one"].state is JobState.DONE
    assert views["two"].state is JobState.FAILED
    assert "order.json is damaged" in views["two"].detail


def test_launch_when_the_order_on_disk_names_other_code_then_it_is_not_run(tmp_path: Path) -> None:
    folder = JobFolder(tmp_path / "jobs" / "one")
    folder.path.mkdir(parents=True)
    jobs = Jobs(tmp_path)
    folder.write_order(JobOrder("test", "t", "shutil:rmtree", {}), jobs._clock.now())
    jobs.resume()
    ended = jobs.wait("one", WAIT_S)
    jobs.close()
    assert ended.state is JobState.FAILED
    assert "not among the work" in ended.detail


def test_start_when_the_folder_cannot_be_written_then_said_so(tmp_path: Path) -> None:
    (tmp_path / "jobs").write_text("in the way")
    jobs = Jobs(tmp_path, rules=RULES)
    with pytest.raises(CannotRecord, match="QUARTERDECK_DATA_DIR"):
        jobs.start("one", order(job_tasks.answer))


def test_start_backup_when_there_is_nothing_to_save_then_failed_with_the_reason(jobs: Jobs, tmp_path: Path) -> None:
    jobs.start_backup("b-1", tmp_path)
    ended = jobs.wait("b-1", WAIT_S)
    assert (ended.kind, ended.state) == ("backup", JobState.FAILED)
    assert "money" in ended.detail
