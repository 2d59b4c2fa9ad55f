"""The line between the engine and a simulated venue: it carries calls and events, and fails as it was told to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from engine.domain.errors import CannotRecord, OrderNotFound, VenueAmbiguous, VenueRejected, VenueUnreachable
from engine.domain.orders import OrderUpdate
from engine.exchanges.paper.faults import Call, Fault, Outage, VenueFaults
from engine.exchanges.paper.turn import Message


class Line:
    """Outage, planned faults and delayed events of one venue.

    Parameters
    ----------
    venue : str
        Name, for messages.
    """

    def __init__(self, venue: str) -> None:
        self.faults = VenueFaults()
        self._venue = venue
        self._outage: Outage | None = None
        self._delayed: list[Message] = []

    def cut(self, outage: Outage) -> None:
        """Be down until the outage ends."""
        self._outage = outage

    def order_call(
        self, call: Call, client_id: str, at: datetime | None, carry_out: Callable[[], OrderUpdate]
    ) -> OrderUpdate:
        """Carry a call that changes something; raises what the line, or the venue, answers."""
        fault = self._outage.fault(client_id) if self._outage and self._is_down(at) else self.faults.take(call)
        if fault is Fault.UNREACHABLE:
            raise VenueUnreachable(f"{self._venue} cannot be reached; {call.value} of {client_id} was not sent")
        if fault is Fault.REJECTED:
            raise VenueRejected(f"{self._venue} refused {call.value} of {client_id}")
        if fault is Fault.NOT_FOUND:
            raise OrderNotFound(f"{self._venue} has no order {client_id!r}")
        try:
            answer = None if fault is Fault.LOST_BEFORE else carry_out()
        except CannotRecord as error:
            raise VenueUnreachable(f"{self._venue} could not record {call.value} of {client_id}: {error}") from error
        if answer is None or fault is Fault.LOST_AFTER:
            raise VenueAmbiguous(f"{self._venue} gave no answer to {call.value} of {client_id}; ask for the order")
        return answer

    def question(self, call: Call, at: datetime | None) -> Fault | None:
        """Carry a question; the fault its answer meets. Raises `VenueUnreachable`."""
        fault = Fault.UNREACHABLE if self._is_down(at) else self.faults.take(call)
        if fault is Fault.UNREACHABLE:
            raise VenueUnreachable(f"{self._venue} cannot be reached; {call.value} was not answered")
        return fault

    def deliver(self, messages: Sequence[Message], at: datetime) -> Sequence[Message]:
        """Carry events: none while the line is down, then all that were delayed first."""
        if self._outage is not None and self._is_down(at):
            self._delayed.extend(messages)
            return ()
        if self._delayed:
            messages = (*self._delayed, *messages)
            self._delayed.clear()
        return self._garble(messages) if messages else messages

    def _garble(self, messages: Sequence[Message]) -> Sequence[Message]:
        fault = self.faults.take(Call.OBSERVE)
        if fault is Fault.DUPLICATED:
            return tuple(copy for message in messages for copy in (message, message))
        if fault is Fault.REVERSED:
            return tuple(reversed(messages))
        return () if fault is Fault.WITHHELD else messages

    def _is_down(self, at: datetime | None) -> bool:
        if self._outage is not None and at is not None and at >= self._outage.until:
            self._outage = None
        return self._outage is not None
