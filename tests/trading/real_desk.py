"""A book at the end of a line: the simulated venue behind a wire that counts questions, falls silent, loses its key."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from engine.domain.commands import PlaceOrder
from engine.domain.conditions import VenueCondition, VenueState
from engine.domain.errors import VenueHeld, VenueRejected, VenueUnreachable
from engine.domain.facts import CommandDone
from engine.domain.market import MarketEvent
from engine.domain.orders import Approved, CashFlow, Fill, FundingPaid, OrderState, OrderType, OrderUpdate, Side
from engine.domain.portfolio import Balance, VenueOrder, VenuePosition
from engine.exchanges.paper import PaperVenue
from engine.execution.identity import ClientIds
from engine.ledger.ledger import Ledger
from engine.trading.book import Book
from engine.trading.config import PATIENT, BookConfig, StopScope
from engine.trading.core import TradingCore
from engine.trading.loop import TradingLoop
from engine.trading.recovery import Reconciler
from engine.trading.stopping import StopDriver
from tests.trading.harness import MINUTE, Desk


class Wire:
    """A connected venue; what the simulated one does not know of (flows, the trader's orders) is told beside it."""

    def __init__(self, inner: PaperVenue) -> None:
        self.inner = inner
        self.venue = inner.venue
        self.asked: Counter[str] = Counter()
        self.is_down = self.is_left_alone = False
        self.state = VenueState.ONLINE
        self.resync = ""
        self.own_orders: list[VenueOrder] = []
        self.flows: list[CashFlow] = []
        self.moved: dict[str, Decimal] = {}
        self.missing: set[str] = set()
        self.refuses = ""

    @property
    def condition(self) -> VenueCondition:
        """As set by the test."""
        return VenueCondition(self.venue, self.state)

    @property
    def needs_resync(self) -> str:
        """As set by the test."""
        return self.resync

    def resync_begins(self) -> None:
        """Forget why."""
        self.resync = ""

    def foreign_orders(self) -> Sequence[VenueOrder]:
        """The trader's own."""
        return tuple(self.own_orders)

    def flow(self, coin: str, amount: str, number: str = "f1") -> None:
        """The trader pays in, or takes out."""
        self.flows.append(CashFlow(self.venue, number, coin, Decimal(amount), self._at(), "by hand"))
        self.moved[coin] = self.moved.get(coin, Decimal(0)) + Decimal(amount)

    def _at(self) -> Any:
        return self.inner.resume_time

    def _line(self, what: str) -> None:
        self.asked[what] += 1
        if self.is_left_alone:
            raise VenueHeld("asked for a pause")
        if self.is_down:
            raise VenueUnreachable("no answer")

    def submit(self, approved: Approved) -> OrderUpdate:
        """Send."""
        self._line("submit")
        if self.refuses:
            raise VenueRejected(self.refuses)
        return self.inner.submit(approved)

    def cancel(self, client_id: str) -> OrderUpdate:
        """Send; an order of the trader's own goes, too."""
        self._line("cancel")
        for order in self.own_orders:
            if order.client_id == client_id:
                self.own_orders.remove(order)
                return self._told(order, OrderState.CANCELLED)
        return self.inner.cancel(client_id)

    def amend(self, client_id: str, quantity: Decimal | None = None, stop_price: Decimal | None = None) -> OrderUpdate:
        """Send."""
        self._line("amend")
        return self.inner.amend(client_id, quantity, stop_price)

    def order(self, client_id: str) -> OrderUpdate:
        """Ask."""
        self._line("order")
        return self.inner.order(client_id)

    def open_orders(self) -> Sequence[OrderUpdate]:
        """Ask; those in `missing` are left out."""
        self._line("open_orders")
        listed = [each for each in self.inner.open_orders() if each.client_id not in self.missing]
        return (*listed, *(self._told(order, OrderState.WORKING) for order in self.own_orders))

    def _told(self, order: VenueOrder, state: OrderState) -> OrderUpdate:
        return OrderUpdate(order.client_id, self.venue, order.instrument, state, Decimal(0), order.at)

    def executions_since(self, cursor: str) -> tuple[Sequence[Fill | FundingPaid | CashFlow], str]:
        """Ask; flows come each time, as exchanges tell them again."""
        self._line("executions")
        found, following = self.inner.executions_since(cursor)
        return (*found, *self.flows), following

    def balances(self) -> Sequence[Balance]:
        """Ask."""
        self._line("balances")
        rows = {row.currency: row for row in self.inner.balances()}
        for coin, amount in self.moved.items():
            row = rows.get(coin) or Balance(self.venue, "main", coin, Decimal(0), Decimal(0))
            rows[coin] = replace(row, total=row.total + amount)
        return tuple(rows.values())

    def positions(self) -> Sequence[VenuePosition]:
        """Ask."""
        self._line("positions")
        return self.inner.positions()

    def observe(self, event: MarketEvent) -> Sequence[OrderUpdate | Fill | FundingPaid]:
        """What happened; a line that is down tells it later."""
        return self.inner.observe(event)


class RealDesk(Desk):
    """A `Desk` that reaches its venue over a wire, looks at it as patiently as at a real one, and reconciles."""

    scope = StopScope.ACCOUNT
    simulated = True

    def _build(self) -> None:
        if not hasattr(self, "wires"):
            self.wires = {name: Wire(venue) for name, venue in self.venues.items()}
            self.wire = self.wires[self.instrument.venue]
        config = BookConfig("test", "test", "t0", self.simulated, "USDT", MINUTE, looks=PATIENT, stop_scope=self.scope)
        self.book = Book(config, ClientIds("t0", "abcde", self.epoch), Ledger("USDT"))
        for instrument in self.instruments:
            self.book.add_instrument(instrument)
        core = TradingCore(self.book, self.script)
        self.loop = TradingLoop(core, self.journal, self.wires, self.clock, self._observe)
        self.stop = StopDriver(self.loop, self.clock)
        self.reconciler = Reconciler(self.loop, self.clock)

    def turn(self, seconds: float = 1.0, times: int = 1) -> None:
        """What the engine's thread does between two closes."""
        for _ in range(times):
            self.pass_time(seconds)
            self.stop.drive()
            if not self.book.latched:
                self.loop.resolve()
            self.reconciler.drive()

    def order_by_hand(self, quantity: str = "1", command_id: str = "by-hand") -> CommandDone:
        """An order of an operator at the market."""
        done = self.command(PlaceOrder("test", self.key, Side.BUY, Decimal(quantity), OrderType.MARKET), command_id)
        assert done is not None
        return done

    def own_order(self, side: Side, quantity: str, price: str, client_id: str = "mine-1") -> VenueOrder:
        """An order the trader placed at the venue himself."""
        order = VenueOrder(
            "v", client_id, f"x-{client_id}", self.key, side, Decimal(quantity), Decimal(0), OrderType.LIMIT,
            Decimal(price), None, False, self.at,
        )  # fmt: skip
        self.wire.own_orders.append(order)
        return order
