"""The emergency stop as a record: which steps are proven, what is still waited for.

It says nothing on the absence of evidence: a step is added only with the detail that proves it, each is journaled, and
after a crash the run continues behind the last one. A fill that arrives after VERIFIED FLAT reopens it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from engine.domain.facts import StopProgress, StopStep
from engine.domain.portfolio import StopView

ORDER = tuple(StopStep)
REOPEN_AT = StopStep.IN_FLIGHT_SETTLED


@dataclass(slots=True)
class StopRun:
    """One stop or brake of one book."""

    stop_id: str
    reason: str
    actor: str
    started_at: datetime
    steps: list[tuple[StopStep, str, datetime]] = field(default_factory=list)
    waiting_for: str = ""

    @property
    def done(self) -> frozenset[StopStep]:
        """Steps proven so far."""
        return frozenset(step for step, _, _ in self.steps)

    @property
    def is_flat(self) -> bool:
        """True only after VERIFIED FLAT."""
        return StopStep.VERIFIED_FLAT in self.done

    @property
    def next_step(self) -> StopStep | None:
        """The first step without proof; None when flat."""
        return next((step for step in ORDER if step not in self.done), None)

    def apply(self, progress: StopProgress) -> None:
        """Record a proven step; the same step again changes nothing."""
        if progress.stop_id == self.stop_id and progress.step not in self.done:
            self.steps.append((progress.step, progress.detail, progress.at))

    def reopen(self, why: str) -> None:
        """Forget the proofs that a late fill or order has overtaken."""
        keep = ORDER[: ORDER.index(REOPEN_AT) + 1]
        self.steps = [row for row in self.steps if row[0] in keep]
        self.waiting_for = why

    def view(self) -> StopView:
        """For readers."""
        waiting = "" if self.is_flat else self.waiting_for
        return StopView(
            self.stop_id, self.reason, self.actor, self.started_at, tuple(self.steps), self.is_flat, waiting
        )

    def state(self) -> dict[str, Any]:
        """JSON values of a checkpoint."""
        steps = [[step.value, detail, at.isoformat()] for step, detail, at in self.steps]
        return {
            "stop_id": self.stop_id,
            "reason": self.reason,
            "actor": self.actor,
            "started_at": self.started_at.isoformat(),
            "steps": steps,
        }

    @classmethod
    def restored(cls, state: Mapping[str, Any]) -> StopRun:
        """From a checkpoint."""
        run = cls(state["stop_id"], state["reason"], state["actor"], datetime.fromisoformat(state["started_at"]))
        run.steps = [(StopStep(s), detail, datetime.fromisoformat(at)) for s, detail, at in state["steps"]]
        return run
