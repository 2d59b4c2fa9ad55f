"""What the Research page shows is the same after its folder was lost and a backup was restored."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from research_record import curve, record

from engine.domain.research import RunNote
from engine.runtime.backup_job import make_backup
from engine.runtime.job_files import JobFolder
from engine.runtime.job_worker import JobWatch
from engine.runtime.jobs import Jobs
from engine.runtime.research_files import ResearchFolder
from engine.runtime.research_shelf import FOLDER, ResearchShelf
from engine.runtime.research_studies_files import StudyFolder
from engine.storage.backup import BACKUP_FOLDER
from engine.storage.base import Database
from engine.storage.migrate import migrate
from engine.storage.research import ResearchStore, StoredStudy, Trial, TrialStamp, TrialState
from engine.storage.restore import restore

NOW = datetime(2026, 3, 14, 9, tzinfo=UTC)
STUDY = StoredStudy("s", "breakout", {"seed": 1}, NOW)


def fill(folder: Path) -> None:
    """Two runs, one of them noted, one that ended without a result, and a study with a trial."""
    for run_id, strategy in (("b-1", "momentum"), ("b-2", "breakout")):
        run = ResearchFolder(folder / FOLDER / run_id)
        run.write_request(
            {"request": {"strategy": strategy, "series": []}, "started_at": "2026-03-14T09:00:00.000000Z"}
        )
        run.write_result(record(id=run_id, strategy=strategy), curve())
    ResearchFolder(folder / FOLDER / "b-2").write_note(RunNote("wide stops", "sam", NOW))
    failed = ResearchFolder(folder / FOLDER / "b-3")
    failed.write_request(
        {"request": {"strategy": "momentum", "series": []}, "started_at": "2026-03-14T10:00:00.000000Z"}
    )
    StudyFolder(folder, "s").write_note(RunNote("narrow it", "sam", NOW))
    store = ResearchStore(folder)
    store.begin(STUDY)
    store.add_trials(
        "s", [Trial(0, TrialState.COMPLETE, {"a": 1}, 0.5, (0.5,), np.array([0.1]), "")], TrialStamp("r", NOW)
    )
    store.close()


def shown(folder: Path) -> dict[str, Any]:
    """What the page asks for, of every run and study."""
    jobs = Jobs(folder)
    shelf = ResearchShelf(folder, jobs)
    rows = shelf.rows()
    done = [row.run_id for row in rows if row.is_done]
    store = ResearchStore(folder)
    told = {
        "rows": rows,
        "records": [shelf.record(run_id) for run_id in done],
        "trades": [shelf.trades(run_id) for run_id in done],
        "curves": [shelf.folder(run_id).curve().equity.tolist() for run_id in done],
        "studies": store.studies(),
        "note of the study": StudyFolder(folder, "s").note(),
        "trials": [(trial.settings, trial.value, trial.returns.tolist()) for trial in store.trials("s")],
    }
    store.close()
    jobs.close(stop_jobs=True)
    return told


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    data = tmp_path / "data"
    migrate(data)
    return data


def test_shelf_when_its_folder_was_lost_and_a_backup_restored_then_the_same_runs_notes_and_studies(
    folder: Path,
) -> None:
    fill(folder)
    before = shown(folder)
    assert [row.run_id for row in before["rows"]] == ["b-3", "b-2", "b-1"]
    assert before["rows"][1].note == RunNote("wide stops", "sam", NOW)
    outcome = make_backup({"data": str(folder)}, JobWatch(JobFolder(folder.parent / "job")))
    shutil.rmtree(folder / FOLDER)
    shutil.rmtree(folder / "studies")
    Database.RESEARCH.path(folder).unlink()
    assert shown(folder)["rows"] == ()
    restore(folder / BACKUP_FOLDER / outcome.result["name"], folder)
    assert shown(folder) == before
