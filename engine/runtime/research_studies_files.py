"""The folder of one study: what a page asked, what was found, what a person noted; trials lie in the database."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from engine.domain.codec import utc_from_text, utc_text
from engine.domain.errors import StorageError
from engine.domain.research import RunNote
from engine.runtime.research_files import ResearchFolder, StoredCurve
from engine.storage.backup_research import STUDIES_FOLDER
from engine.storage.record_folder import RecordFolder

_REQUEST, _RECORD, _NOTE, _ARCHIVED = "request.json", "record.json", "note.json", "archived.json"
_BEST = "best"


@dataclass(frozen=True, slots=True)
class Asked:
    """A page's last request, the job that does it, and when; empty where the study was run on the command line."""

    request: Mapping[str, Any]
    job_id: str
    at: datetime | None


class StudyFolder:
    """Reads and writes the files of one study, each whole.

    Every writer raises `CannotRecord`, every reader `StorageError` where a file is damaged. ``record.json`` comes last
    and says that the study was judged.

    Parameters
    ----------
    data : Path
        The data folder.
    name : str
        Of the study, as `engine.runtime.studies.read_study` allows it.
    """

    def __init__(self, data: Path, name: str) -> None:
        self.path = data / STUDIES_FOLDER / name
        self._files = RecordFolder(self.path, "continue this study, which writes its results again")

    @property
    def best(self) -> ResearchFolder:
        """One run of the best settings over the days of all folds."""
        return ResearchFolder(self.path / _BEST)

    def write_request(self, request: Mapping[str, Any], job_id: str, at: datetime) -> None:
        """What is asked for now, and the job that does it."""
        self._write(_REQUEST, {"request": dict(request), "job_id": job_id, "asked_at": utc_text(at)})

    def write_record(self, record: Mapping[str, Any], curve: StoredCurve) -> None:
        """What was found: all that the command line prints, and the curve of the run of the best."""
        self.best.write_result(record["development"], curve)
        self._write(_RECORD, record)

    def write_note(self, note: RunNote | None) -> None:
        """Replace the note; None removes it."""
        if note is None:
            self._files.remove(_NOTE)
        else:
            self._write(_NOTE, {"text": note.text, "by": note.by, "at": utc_text(note.at)})

    def archive(self, at: datetime | None) -> None:
        """Leave the study out of lists from now on; None takes it back."""
        if at is None:
            self._files.remove(_ARCHIVED)
        else:
            self._write(_ARCHIVED, {"at": utc_text(at)})

    def asked(self) -> Asked:
        """What a page asked for last."""
        body = self._files.read(_REQUEST)
        if body is None:
            return Asked({}, "", None)
        try:
            return Asked(dict(body["request"]), str(body["job_id"]), utc_from_text(body["asked_at"]))
        except (KeyError, TypeError, ValueError) as error:
            raise self.damaged(_REQUEST, error) from error

    def record(self) -> dict[str, Any] | None:
        """What was found, None while it was not judged."""
        return self._files.read(_RECORD)

    def recorded_ns(self) -> int:
        """Another number for every record that was written; 0 before the first."""
        try:
            return (self.path / _RECORD).stat().st_mtime_ns
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise self.damaged(_RECORD, error) from error

    def note(self) -> RunNote | None:
        """What a person wrote about it."""
        body = self._files.read(_NOTE)
        if body is None:
            return None
        try:
            return RunNote(str(body["text"]), str(body["by"]), utc_from_text(body["at"]))
        except (KeyError, TypeError, ValueError) as error:
            raise self.damaged(_NOTE, error) from error

    def is_archived(self) -> bool:
        """Whether it is left out of lists."""
        return (self.path / _ARCHIVED).exists()

    def damaged(self, name: str, error: Exception) -> StorageError:
        """What to say about a file that cannot be read."""
        return self._files.damaged(name, error)

    def _write(self, name: str, body: Mapping[str, Any]) -> None:
        self._files.write(name, json.dumps(body, allow_nan=False, indent=1).encode())


def study_names(data: Path) -> list[str]:
    """Names of the studies that have a folder, sorted; raises `StorageError` where they cannot be listed."""
    folder = data / STUDIES_FOLDER
    try:
        return sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.exists() else []
    except OSError as error:
        raise StorageError(f"{folder} cannot be read: {error.strerror}; check its rights") from error
