"""The simulated venue as the engine meets it: the exchange at the end of a line that can fail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from engine.domain.errors import BadInput, OrderNotFound
from engine.domain.instruments import Instrument
from engine.domain.market import MarketEvent
from engine.domain.orders import Approved, Fill, FundingPaid, OrderUpdate
from engine.domain.portfolio import Balance, VenuePosition
from engine.exchanges.paper.accounts import ACCOUNT
from engine.exchanges.paper.costs import PaperCosts
from engine.exchanges.paper.exchange import PaperExchange
from engine.exchanges.paper.faults import Call, Fault, Outage, OutageMode
from engine.exchanges.paper.journal import VenueJournal
from engine.exchanges.paper.line import Line
from engine.exchanges.paper.turn import Message


class PaperVenue:
    """A simulated spot and perpetual exchange: `Gateway` and `Matching`, driven by candles on the caller's thread.

    Parameters
    ----------
    name : str
        Venue name as in the settings; trade ids are ``<name>-<n>``.
    instruments : Sequence[Instrument]
        What can be traded; market events of others only move the time.
    costs : PaperCosts
    journal : VenueJournal
        An empty one. `restore` continues a journal, `open` does whichever fits.
    start_balances : Mapping[str, Decimal]
        Coin to total, the trader's own holdings included.

    Raises
    ------
    StorageError
        The journal already holds a venue.

    Attributes
    ----------
    faults : VenueFaults
        Troubles planned for the next calls.
    """

    def __init__(
        self,
        name: str,
        instruments: Sequence[Instrument],
        costs: PaperCosts,
        journal: VenueJournal,
        start_balances: Mapping[str, Decimal],
    ) -> None:
        exchange = PaperExchange(name, instruments, costs, journal)
        exchange.open_with(start_balances)
        self._connect(exchange)

    @classmethod
    def restore(
        cls, name: str, instruments: Sequence[Instrument], costs: PaperCosts, journal: VenueJournal
    ) -> PaperVenue:
        """The venue as its journal left it: orders, balances, positions, counters and market time.

        Last prices are not restored: until the next candle, positions are valued at their entry. An outage is over.
        """
        if journal.is_empty:
            raise BadInput(f"the journal of {name} is empty; make a new venue with its start balances")
        venue = cls.__new__(cls)
        venue._connect(PaperExchange(name, instruments, costs, journal))
        return venue

    @classmethod
    def open(
        cls,
        name: str,
        instruments: Sequence[Instrument],
        costs: PaperCosts,
        journal: VenueJournal,
        start_balances: Mapping[str, Decimal],
    ) -> PaperVenue:
        """Restore from the journal, or start with ``start_balances`` when it is empty."""
        if journal.is_empty:
            return cls(name, instruments, costs, journal, start_balances)
        return cls.restore(name, instruments, costs, journal)

    def _connect(self, exchange: PaperExchange) -> None:
        self._exchange = exchange
        self._line = Line(exchange.name)
        self.faults = self._line.faults

    @property
    def venue(self) -> str:
        """Name as in the settings."""
        return self._exchange.name

    @property
    def resume_time(self) -> datetime | None:
        """Latest market time the venue has seen; None before the first event."""
        return self._exchange.market_time

    @property
    def bars_time(self) -> datetime | None:
        """Close of the last bars the venue has seen; a market source continues after it. None before the first."""
        return self._exchange.bars_time

    def set_outage(self, until: datetime, mode: OutageMode = OutageMode.UNREACHABLE, seed: int = 0) -> None:
        """Cut the line until a market time; candles go on matching, and their messages come when it is back."""
        self._line.cut(Outage(until, mode, seed))

    def submit(self, approved: Approved) -> OrderUpdate:
        """Place the order under its client id; the same id again returns the same order, never a second one.

        Raises
        ------
        VenueRejected
            It does not exist; the message holds the numbers.
        VenueUnreachable
            It was not sent, or the venue could not write it down and undid it.
        VenueAmbiguous
            It was sent; it may exist.
        """
        intent = approved.intent
        return self._line.order_call(
            Call.SUBMIT, intent.client_id, intent.created_at, lambda: self._exchange.submit(intent)
        )

    def cancel(self, client_id: str) -> OrderUpdate:
        """Cancel; for an order that has ended, how it ended. Raises as `submit`, and `OrderNotFound`."""
        return self._line.order_call(Call.CANCEL, client_id, self.resume_time, lambda: self._exchange.cancel(client_id))

    def amend(self, client_id: str, quantity: Decimal | None = None, stop_price: Decimal | None = None) -> OrderUpdate:
        """Change the quantity (base) or stop price (quote) of a working order; raises as `submit`, and `OrderNotFound`.

        A target follows its stop's quantity; a stop that has triggered or ended is answered as it is, where only its
        price was to change.
        """
        return self._line.order_call(
            Call.AMEND, client_id, self.resume_time, lambda: self._exchange.amend(client_id, quantity, stop_price)
        )

    def order(self, client_id: str) -> OrderUpdate:
        """State of one order. Raises `OrderNotFound`, `VenueUnreachable`."""
        if self._ask(Call.ORDER) is Fault.NOT_FOUND:
            raise OrderNotFound(f"{self.venue} has no order {client_id!r}")
        return self._exchange.order(client_id)

    def open_orders(self) -> Sequence[OrderUpdate]:
        """Every order that may still fill. Raises `VenueUnreachable`."""
        return () if self._ask(Call.OPEN_ORDERS) is Fault.EMPTY else self._exchange.open_orders()

    def executions_since(self, cursor: str) -> tuple[Sequence[Fill | FundingPaid], str]:
        """Fills and funding after ``cursor`` ("" is the beginning), oldest first, and the new cursor.

        Raises
        ------
        BadInput
            The cursor is not one of this venue's.
        StorageError
            The cursor is beyond the last execution: the venue's journal is older than the books.
        VenueUnreachable
            The line is down.
        """
        if cursor and not (cursor.isascii() and cursor.isdigit()):
            raise BadInput(f"cursor {cursor!r} is not one of {self.venue}; it gives whole numbers")
        if self._ask(Call.EXECUTIONS) is Fault.EMPTY:
            return (), cursor
        number = int(cursor or 0)
        found = self._exchange.executions_after(number)
        return found, str(number + len(found))

    def balances(self) -> Sequence[Balance]:
        """Every coin ever held here, by name. Raises `VenueUnreachable`."""
        if self._ask(Call.BALANCES) is Fault.EMPTY:
            return ()
        accounts = self._exchange.accounts
        coins = sorted(accounts.totals)
        return tuple(Balance(self.venue, ACCOUNT, coin, accounts.total(coin), accounts.free(coin)) for coin in coins)

    def known_balances(self) -> Sequence[Balance]:
        """As `balances`: this venue is near."""
        return self.balances()

    def positions(self) -> Sequence[VenuePosition]:
        """Every open derivative position, by instrument. Raises `VenueUnreachable`."""
        if self._ask(Call.POSITIONS) is Fault.EMPTY:
            return ()
        held = sorted(self._exchange.accounts.positions.items())
        return tuple(
            VenuePosition(self.venue, ACCOUNT, key, position.quantity, position.entry_price) for key, position in held
        )

    def observe(self, event: MarketEvent) -> Sequence[Message]:
        """Match resting orders against the event; what happened, in order. Raises `CannotRecord`."""
        return self._line.deliver(self._exchange.observe(event), event.at)

    def _ask(self, call: Call) -> Fault | None:
        return self._line.question(call, self.resume_time)
