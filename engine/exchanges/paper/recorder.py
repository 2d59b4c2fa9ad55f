"""Keeps a simulated venue's state and its journal in step: what is told has been written, what failed is undone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal

from engine.domain.errors import CannotRecord, StorageError
from engine.domain.instruments import Instrument, InstrumentKey
from engine.domain.orders import Fill, FundingPaid
from engine.exchanges.paper.journal import VenueJournal
from engine.exchanges.paper.orders import VenueOrder
from engine.exchanges.paper.records import Cause, Checkpoint, Filled, Funded, Moment, Record
from engine.exchanges.paper.state import VenueState
from engine.exchanges.paper.turn import Turn

NEVER = datetime(1970, 1, 1, tzinfo=UTC)
"""Market time before the first event."""


class Recorder:
    """State and journal of one venue.

    Parameters
    ----------
    name : str
        Venue, for messages.
    instruments : Mapping[InstrumentKey, Instrument]
    journal : VenueJournal
        Replayed at once from its last checkpoint.
    marks : Mapping[InstrumentKey, Decimal]
        Last closes, kept by the exchange.

    Raises
    ------
    StorageError
        The journal cannot be read, or names an instrument or order that is not known.
    """

    def __init__(
        self,
        name: str,
        instruments: Mapping[InstrumentKey, Instrument],
        journal: VenueJournal,
        marks: Mapping[InstrumentKey, Decimal],
    ) -> None:
        self.journal = journal
        self._name = name
        self._instruments = instruments
        self._marks = marks
        self.state = self._restore()

    def start(self, record: Record) -> None:
        """Write the first line of a new venue; raises `StorageError` where the journal already holds one."""
        if not self.journal.is_empty:
            raise StorageError(f"the journal of {self._name} is not empty; restore from it, or move its files away")
        moment = Moment(NEVER, Cause.START, (record,))
        self.journal.append(moment)
        self.state.replay(moment)

    def write(self, turn: Turn, cause: Cause) -> None:
        """Make a turn durable; where that fails it is undone in memory too, as if it had never been asked for."""
        try:
            self.journal.append(Moment(turn.at, cause, tuple(turn.records)))
        except CannotRecord:
            self.state = self._restore()
            raise
        self.state.advance(turn.at, is_bars=cause is Cause.BARS)
        if self.journal.is_long:
            self.state.archive()
            checkpoint = Checkpoint(self.state.dump())
            with suppress(CannotRecord):  # the turn is durable already; the next line tries again
                self.journal.compact(Moment(self.state.at or turn.at, Cause.CHECKPOINT, (checkpoint,)))

    def tick(self, at: datetime, *, is_bars: bool) -> None:
        """Note that market time passed and nothing happened."""
        state = self.state
        state.advance(at, is_bars=is_bars)
        self.journal.tick(state.at or at, state.bars_at)

    def find(self, client_id: str) -> VenueOrder | None:
        """An order, even one ended so long ago that only the older parts of the journal know it (slow)."""
        order = self.state.orders.get(client_id)
        if order is None and self.state.archived.may_hold(client_id) and self.journal.mentions(client_id):
            return self._from_beginning().orders.get(client_id)
        return order

    def executions_after(self, number: int) -> tuple[Fill | FundingPaid, ...]:
        """Fills and funding with a number above ``number`` (the first has 1), oldest first.

        Raises `StorageError` where there are not that many: the reader has seen more than the journal holds.
        """
        executions = self.state.executions
        if number > self.state.executed:
            raise StorageError(
                f"{self._name} has made {self.state.executed} executions, the books have seen {number}: its journal is "
                "older than the books; restore the newer journal, or reset both"
            )
        before = self.state.executed - len(executions)
        if number >= before:
            return tuple(executions[number - before :])
        return tuple(self._all_executions())[number:]

    def _restore(self) -> VenueState:
        state = VenueState(self._instruments, self._marks)
        self._replay(state, self.journal.since_checkpoint())
        clock = self.journal.clock()
        if clock is not None:
            state.advance(clock[0], is_bars=False)
            if clock[1] is not None:
                state.advance(clock[1], is_bars=True)
        missing = sorted((state.open.keys() | state.accounts.positions.keys()) - self._instruments.keys())
        if missing:
            raise StorageError(f"the journal of {self._name} holds orders or positions in {missing}; add them")
        return state

    def _replay(self, state: VenueState, moments: Iterator[Moment]) -> None:
        try:
            for moment in moments:
                state.replay(moment)
        except KeyError as error:
            raise StorageError(
                f"the journal of {self._name} names {error}, unknown here: add the instrument"
            ) from error

    def _from_beginning(self) -> VenueState:
        state = VenueState(self._instruments, {})
        self._replay(state, (moment for moment in self.journal.history() if moment.cause is not Cause.CHECKPOINT))
        return state

    def _all_executions(self) -> Iterator[Fill | FundingPaid]:
        for moment in self.journal.history():
            for record in moment.records:
                if isinstance(record, Filled):
                    yield record.fill
                elif isinstance(record, Funded):
                    yield record.payment
