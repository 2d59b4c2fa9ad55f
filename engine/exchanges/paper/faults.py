"""Troubles of a simulated venue's line, on demand: lost answers, outages, wrong lists, events out of order."""

from __future__ import annotations

import zlib
from collections import deque
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from engine.domain.errors import BadInput


class Call(Enum):
    """What the engine asks of the venue."""

    SUBMIT = "submit"
    CANCEL = "cancel"
    AMEND = "amend"
    ORDER = "order"
    OPEN_ORDERS = "open_orders"
    EXECUTIONS = "executions_since"
    BALANCES = "balances"
    POSITIONS = "positions"
    OBSERVE = "observe"


class Fault(Enum):
    """What goes wrong with one call."""

    UNREACHABLE = "nothing was sent"
    LOST_BEFORE = "sent, not carried out, no answer"
    LOST_AFTER = "carried out, the answer is lost"
    REJECTED = "refused without a reason"
    NOT_FOUND = "the venue denies knowing the order"
    EMPTY = "an empty list as if it were true"
    DUPLICATED = "every event arrives twice"
    REVERSED = "events arrive in reverse order"
    WITHHELD = "events never arrive; only asking shows them"


_ORDERING = frozenset({Fault.UNREACHABLE, Fault.LOST_BEFORE, Fault.LOST_AFTER, Fault.REJECTED})
_LISTING = frozenset({Fault.UNREACHABLE, Fault.EMPTY})

POSSIBLE: dict[Call, frozenset[Fault]] = {
    Call.SUBMIT: _ORDERING,
    Call.CANCEL: _ORDERING | {Fault.NOT_FOUND},
    Call.AMEND: _ORDERING | {Fault.NOT_FOUND},
    Call.ORDER: frozenset({Fault.UNREACHABLE, Fault.NOT_FOUND}),
    Call.OPEN_ORDERS: _LISTING,
    Call.EXECUTIONS: _LISTING,
    Call.BALANCES: _LISTING,
    Call.POSITIONS: _LISTING,
    Call.OBSERVE: frozenset({Fault.DUPLICATED, Fault.REVERSED, Fault.WITHHELD}),
}


class VenueFaults:
    """Faults planned for the next calls, first planned, first met; empty in normal operation."""

    def __init__(self) -> None:
        self._planned: dict[Call, deque[Fault]] = {call: deque() for call in Call}

    def plan(self, call: Call, *faults: Fault) -> None:
        """Let the next calls of this kind meet these faults, one each.

        For `Call.OBSERVE` a fault waits for the next event that leads to messages. Raises `BadInput` for a fault that
        the call cannot meet.
        """
        for fault in faults:
            if fault not in POSSIBLE[call]:
                possible = ", ".join(sorted(other.name for other in POSSIBLE[call]))
                raise BadInput(f"{call.value} cannot meet {fault.name}; it can meet {possible}")
        self._planned[call].extend(faults)

    def take(self, call: Call) -> Fault | None:
        """The fault this call meets, used up by it."""
        planned = self._planned[call]
        return planned.popleft() if planned else None


class OutageMode(Enum):
    """What an order sent during an outage meets."""

    UNREACHABLE = "unreachable"
    ACCEPTED = "accepted, answer lost"
    LOST = "lost on the way"
    MIXED = "one of the three, by a seed"


@dataclass(frozen=True, slots=True)
class Outage:
    """The line is down until a market time.

    ``seed`` decides in `OutageMode.MIXED`, from it and the client id alone: the same order meets the same fate in every
    run.
    """

    until: datetime
    mode: OutageMode = OutageMode.UNREACHABLE
    seed: int = 0

    def fault(self, client_id: str) -> Fault:
        """What an order, cancellation or amendment meets."""
        choices = (Fault.UNREACHABLE, Fault.LOST_AFTER, Fault.LOST_BEFORE)
        modes = (OutageMode.UNREACHABLE, OutageMode.ACCEPTED, OutageMode.LOST)
        if self.mode is OutageMode.MIXED:
            return choices[zlib.crc32(f"{self.seed}:{client_id}".encode()) % len(choices)]
        return choices[modes.index(self.mode)]
