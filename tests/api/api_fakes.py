"""A host without an engine: real access control on a temporary database, and a stop with steps to set."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from engine.domain.commands import Actor
from engine.security.access import Access
from engine.security.access_config import AccessConfig
from engine.security.door_config import DoorConfig
from tests.security.door_fakes import ListeningAudit, MovableClock, open_door

STEPS = ("latched", "entries refused", "orders cancelled at the venue", "no open orders, seen twice", "VERIFIED FLAT")


class FakeHost:
    """`engine.api.ports.HostPort` for tests. ``stops`` are the orders received, ``steps`` how many are proven."""

    def __init__(self, folder: Path, door: DoorConfig | None = None, clock: Any = None) -> None:
        self.door = door or DoorConfig()
        self.stops: list[tuple[Actor, str, str]] = []
        self.steps = 0
        self.live = True
        self.failure: Exception | None = None
        self._folder = folder
        self._stack = ExitStack()
        self.clock = clock or MovableClock()

    def start(self) -> None:
        """Open the database."""
        self.parts = self._stack.enter_context(open_door(self._folder, AccessConfig(), self.clock))

    def stop(self) -> None:
        """Close it."""
        self._stack.close()

    @property
    def access(self) -> Access:
        return self.parts.access

    @property
    def audit(self) -> ListeningAudit:
        return self.parts.audit

    def health(self) -> Mapping[str, object]:
        if self.failure is not None:
            raise self.failure
        return {"live": self.live, "ready": self.live, "version": "test"}

    def post_stop(self, actor: Actor, reason: str, command_id: str) -> str:
        if self.failure is not None:
            raise self.failure
        if command_id not in [stop[2] for stop in self.stops]:
            self.stops.append((actor, reason, command_id))
        return "stop-1"

    def stop_status(self) -> Mapping[str, Any]:
        latched, flat = bool(self.stops), self.steps >= len(STEPS)
        steps = [{"step": s, "detail": "seen <b>twice</b>", "at": "2026-03-01T12:00:00Z"} for s in STEPS[: self.steps]]
        book = {
            "name": "demo",
            "state": "HALTED" if latched else "ACTIVE",
            "latched": latched,
            "flat": flat,
            "reason": self.stops[0][1] if latched else "",
            "waiting_for": "" if flat or not latched else "two open orders at kraken-sim",
            "steps": steps if latched else [],
        }
        return {"latched": latched, "flat": flat, "books": [book]}
