"""What every part of the stand-in console shares: its variant, and the calls it was given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from engine.domain.commands import (
    Actor,
    CommandBody,
    Role,
)
from engine.domain.errors import AccessDenied, QuarterdeckError
from engine.domain.views import JobState, JobView, PageOf
from tests.pages import fake_records as made

Row = TypeVar("Row")
_PROVEN = ("add_connection", "remove_connection", "add_user", "set_user", "change_setting")


@dataclass
class FakeBase:
    """The variant: who looks, what is missing, what fails (``broken`` maps a call to its error), what is refused."""

    role: Role = Role.ADMIN
    empty: bool = False
    stale_s: float = 0.4
    stop: str = ""
    broken: dict[str, QuarterdeckError] = field(default_factory=dict)
    refuses: str = ""
    loses: str = ""
    pending: bool = False
    refuses_file: str = ""
    proven: bool = False
    gone: str = ""
    scheduler: str = ""
    looked: bool = False
    connected: bool = False
    live: str = ""
    submitted: dict[str, tuple[CommandBody, str]] = field(default_factory=dict)
    submits: int = 0
    calls: list[tuple[str, tuple[Any, ...]]] = field(default_factory=list)
    ids: int = 0
    job_list: list[JobView] = field(default_factory=list)

    @property
    def actor(self) -> Actor:
        return Actor("sam", self.role, "console")

    def named(self, name: str) -> list[tuple[Any, ...]]:
        """Arguments of every recorded call of that name."""
        return [arguments for called, arguments in self.calls if called == name]

    def _act(self, name: str, needed: Role, *arguments: Any) -> None:
        self._fail(name)
        self._need(needed)
        if name in _PROVEN and not self.proven:
            raise AccessDenied(f"{name} needs your password again")
        self.calls.append((name, arguments))

    def _fail(self, name: str) -> None:
        if name in self.broken:
            raise self.broken[name]

    def _need(self, needed: Role) -> None:
        if not self.role.allows(needed):
            raise AccessDenied(f"sam is {self.role.value}; this needs {needed.value}")

    def _page(self, name: str, make: Callable[[int], Row], page: int, size: int) -> PageOf[Row]:
        self._fail(name)
        assert page >= 1, "pages count from one"
        total = 0 if self.empty else 312
        rows = tuple(make(index) for index in range((page - 1) * size, min(total, page * size)))
        return PageOf(rows, total, page, size)

    def _job(self, job_id: str, kind: str, title: str, arguments: tuple[Any, ...]) -> JobView:
        self._fail(f"start_{kind}")
        known = next((job for job in self.job_list if job.job_id == job_id), None)
        if known is not None:
            return known
        self.calls.append((f"start_{kind}", arguments))
        job = JobView(job_id, kind, title, JobState.RUNNING, 0.42, "row 22,000", made.MARKET_NOW, 3.2, 4.4, "")
        self.job_list.append(job)
        return job
