"""A real exchange as one book uses it: the same orders, evidence and accounts as the simulated one gives."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from threading import Event
from typing import Any

from engine.domain.conditions import VenueCondition
from engine.domain.errors import VenueError
from engine.domain.instruments import Instrument, InstrumentKey
from engine.domain.market import MarketEvent, from_ms, to_ms
from engine.domain.orders import Approved, CashFlow, Fill, FundingPaid, OrderUpdate
from engine.domain.portfolio import Balance, VenueOrder, VenuePosition
from engine.domain.ports import Clock
from engine.domain.unread import UnreadRow
from engine.exchanges.connected.aside import Aside
from engine.exchanges.connected.asking import Asker, Asks, Parts
from engine.exchanges.connected.children import Children
from engine.exchanges.connected.desk import Desk
from engine.exchanges.connected.dialects import VenueRow
from engine.exchanges.connected.executions import Executions
from engine.exchanges.connected.fills import Fills
from engine.exchanges.connected.finding import Finder, Foreign
from engine.exchanges.connected.hearing import Hearing
from engine.exchanges.connected.holdings import Holdings
from engine.exchanges.connected.inbox import HeardOrder, HeardTrade, Inbox, Message, News
from engine.exchanges.connected.legs import KeptOrder
from engine.exchanges.connected.ordering import Means, Ordering
from engine.exchanges.connected.placing import Listed
from engine.exchanges.connected.pricing import CoinPrices
from engine.exchanges.connected.reading import Reader, Report
from engine.exchanges.connected.registry import Lookup, Registry
from engine.exchanges.connected.spot_pairs import SpotPairs

LOOK_AGAIN_S = 1.0
"""Wall seconds between two looks at entries whose stops wait for them, at least."""
LOOK_SHARE = 5
"""So many such questions fit into the exchange's limit for each that is put: the others are for everything else."""


class ConnectedVenue:
    """`Gateway` over a line to an exchange; every method but `hear_order` and `hear_trade` is the engine's thread's.

    Parameters
    ----------
    row : VenueRow
    line : Line
    listed : sequence of Listed
        What is traded.
    clock : Clock
    lookup : callable
        The intent behind a client id as the book knows it, None where it does not; for orders of before a restart.
    """

    def __init__(self, row: VenueRow, line: Asks, listed: Sequence[Listed], clock: Clock, lookup: Lookup) -> None:
        self._venue = row.name
        self._clock = clock
        self._line = line
        self._reader = Reader(self._venue, row.dialect, self._now)
        self._listed = {each.instrument.key: each for each in listed}
        self._parts = Parts(row, line, self._reader, self._listed)
        self._inbox = Inbox()
        self._registry = Registry(lookup)
        self._asker = Asker(self._parts)
        self._holdings = Holdings(self._parts)
        self._desk = Desk(self._parts, self._asker, self._registry, self._inbox, self._holdings)
        self._children = Children(self._parts, self._desk, self._registry, self._holdings, self._touch)
        self._pairs = SpotPairs(self._parts, self._desk, self._registry, self._children, self._touch)
        self._hearing = Hearing(self._parts, self._desk, self._asker, self._registry, self._holdings)
        finder = Finder(self._parts, self._asker, self._desk, clock)
        self._foreign = Foreign(self._parts, self._asker, self._desk)
        means = Means(
            self._venue,
            self._parts,
            self._desk,
            self._registry,
            self._children,
            finder,
            self._foreign,
            self._touch,
        )
        self._ordering = Ordering(means)
        self.aside = Aside()
        self._executions = Executions(self._parts, self._now_ms, monotonic=clock.monotonic, aside=self.aside)
        self._fills = Fills(self._executions, self._hearing, self._children.after, clock.monotonic, self.aside)
        self._prices = CoinPrices(self._parts)
        self._touched: dict[str, None] = {}
        self._gap = ""
        self._look_pause_s = _look_pause_s(row)
        self._look_due = float("-inf")
        self._looked: dict[str, float] = {}

    @property
    def venue(self) -> str:
        """Name as in the settings."""
        return self._venue

    @property
    def pending(self) -> Event:
        """Set while something waits to be taken by `observe`."""
        return self._inbox.pending

    @property
    def condition(self) -> VenueCondition:
        """How the venue is to be dealt with now, as its own answers show it."""
        return self._line.condition

    @property
    def needs_resync(self) -> str:
        """Why books and venue must be compared before anything is opened; "" where nothing was missed since."""
        return self._gap or self._fills.unread

    @property
    def unread(self) -> str:
        """Why the last look at executions did not tell all of them, in words; "" where it did."""
        return self._fills.unread

    @property
    def unreadable(self) -> Sequence[UnreadRow]:
        """Rows of the exchange's lists that cannot be read, nor were set aside; they are asked for at every look."""
        return self._fills.unreadable

    def leave_aside(self, rows: Collection[UnreadRow]) -> None:
        """Wait for none of these rows any more, nor does the watch; one that can be read later is told."""
        self.aside.leave(rows)

    def resync_begins(self) -> None:
        """A comparison begins: what it answers is not asked for again."""
        self._gap = ""

    def missed(self, reason: str) -> None:
        """Something may have been missed, such as by an interrupted stream; from any thread."""
        self._gap = reason

    def instruments(self) -> tuple[Instrument, ...]:
        """What is traded."""
        return tuple(each.instrument for each in self._parts.listed.values())

    def relist(self, instrument: Instrument, contract_size: Decimal) -> None:
        """Keep to an instrument's new rules from the next order on."""
        self._listed[instrument.key] = Listed(instrument, contract_size)

    def _now(self) -> datetime:
        return from_ms(to_ms(self._clock.now()) + self._line.offset_ms)

    def _now_ms(self) -> int:
        return to_ms(self._now())

    def _touch(self, order: KeptOrder) -> None:
        self._touched[order.client_id] = None

    # -- orders ---------------------------------------------------------------------------------------------------

    def submit(self, approved: Approved) -> OrderUpdate:
        """Place the order under its client id; the same id again is never sent twice.

        Raises
        ------
        VenueRejected
            It does not exist; the exchange's words.
        VenueUnreachable
            It was not sent.
        VenueAmbiguous
            It was sent; it may exist.
        """
        return self._ordering.submit(approved)

    def cancel(self, client_id: str) -> OrderUpdate:
        """Ask for cancellation; the returned state is the exchange's evidence. Raises as `amend`."""
        return self._ordering.cancel(client_id)

    def amend(self, client_id: str, quantity: Decimal | None = None, stop_price: Decimal | None = None) -> OrderUpdate:
        """Change a resting order's quantity (base) or the price of its stop (quote); None leaves it as it is.

        Raises
        ------
        VenueRejected, VenueUnreachable, OrderNotFound
            It works on as it was.
        VenueAmbiguous
            It is not known how it works on.
        """
        return self._ordering.amend(client_id, quantity, stop_price)

    # -- evidence -------------------------------------------------------------------------------------------------

    def order(self, client_id: str) -> OrderUpdate:
        """State of one order, as the exchange says now. Raises `OrderNotFound`, `VenueUnreachable`."""
        told = self._ordering.order(client_id)
        self._touched.pop(client_id, None)
        return told

    def open_orders(self) -> Sequence[OrderUpdate]:
        """Every order that may still fill: the engine's, those it keeps itself, and the trader's own.

        Where a replacement was cut short, also by a crash, the leg it replaces is ended. Raises `VenueUnreachable`.
        """
        found: dict[str, OrderUpdate] = {}
        foreign: list[Report] = []
        for report in self._asker.open_orders():
            order = self._hearing.report(report)
            if order is None:
                foreign.append(report)
            else:
                with suppress(VenueError):
                    self._desk.settle(order)
                found[order.client_id] = self._told(order)
        found |= {order.client_id: self._told(order) for order in self._registry.open() if order.sleeps}
        return (*found.values(), *self._foreign.listed(foreign))

    def foreign_orders(self) -> Sequence[VenueOrder]:
        """The trader's own open orders, as `open_orders` last listed them; asks nothing."""
        return self._foreign.orders()

    def executions_since(self, cursor: str) -> tuple[Sequence[Fill | FundingPaid | CashFlow], str]:
        """Fills, funding and money the trader moved after ``cursor``, oldest first, and the new one.

        The beginning, for which the cursor "" stands, is a day ago. Where not all of it could be read, what was is told
        and `unread` says so; the next look goes on from there.

        The stops of entries that have filled are placed before it returns.

        Raises
        ------
        BadInput
            The cursor is not one of this venue's.
        VenueUnreachable
            Not all of it could be read, and nothing is told.
        """
        return self._fills.since(cursor)

    def pass_over(self, cursor: str) -> tuple[int, str]:
        """How many executions there are after a cursor, and the cursor after them; whose they are is not asked."""
        rows, following = self._executions.since(cursor)
        return len(rows), following

    # -- accounts -------------------------------------------------------------------------------------------------

    def balances(self) -> Sequence[Balance]:
        """Every coin above zero of the venue's own wallets. Raises `VenueUnreachable`."""
        before = {each.currency: each.total for each in self._holdings.known_balances}
        told = self._holdings.balances()
        if before != {each.currency: each.total for each in told}:
            self._executions.flows_soon()
        return told

    def known_balances(self) -> Sequence[Balance]:
        """What `balances` last told, without asking."""
        return self._holdings.known_balances

    def positions(self) -> Sequence[VenuePosition]:
        """Every open derivative position, by instrument. Raises `VenueUnreachable`."""
        return self._holdings.positions()

    def mode_problems(self) -> Mapping[InstrumentKey, str]:
        """Perpetuals that must not be traded as the account is set up, and why. Raises `VenueUnreachable`."""
        return self._holdings.mode_problems()

    def coin_price(self, coin: str, currency: str) -> Decimal | None:
        """``currency`` for one coin by a public price; None without such a market. Raises `VenueUnreachable`."""
        return self._prices.price(coin, currency)

    # -- what comes by itself -------------------------------------------------------------------------------------

    def hear_order(self, answer: Mapping[str, Any]) -> None:
        """An order as a stream told it, in ccxt's words; from any thread."""
        self._inbox.put(HeardOrder(answer))

    def hear_trade(self, answer: Mapping[str, Any]) -> None:
        """An execution as a stream told it, in ccxt's words; from any thread."""
        self._inbox.put(HeardTrade(answer))

    def hear(self, news: News) -> None:
        """Something that was asked for on another thread, as it was read there; from any thread."""
        self._inbox.put(news)

    def observe(self, event: MarketEvent) -> Sequence[Message]:
        """What has come since the last time; stops of entries that have filled are placed first.

        Troubles of the venue are told as the state of the orders they befell, never raised.
        """
        messages = self._drain()
        self._pairs.watch(event)
        return (*messages, *self._news())

    def drain(self) -> Sequence[Message]:
        """As `observe`, between two market events."""
        return (*self._drain(), *self._news())

    def _drain(self) -> list[Message]:
        messages, orders = self._hearing.news(self._inbox.drain())
        for order in [*orders, *self._awaited()]:
            self._children.after(order)
            self._touch(order)
        return messages

    def _awaited(self) -> Iterable[KeptOrder]:
        """The entry not looked at the longest whose stop sleeps, asked again; one, as the engine's thread waits."""
        now = self._clock.monotonic()
        if now < self._look_due:
            return
        ids = {each.intent.parent_id for each in self._registry.open() if each.sleeps and each.intent.parent_id}
        self._looked = {parent_id: self._looked.get(parent_id, float("-inf")) for parent_id in sorted(ids)}
        for parent_id in sorted(ids, key=self._looked.__getitem__):
            parent = self._registry.known(parent_id)
            if parent is None or parent.leg is None:
                continue
            self._look_due, self._looked[parent_id] = now + self._look_pause_s, now
            with suppress(VenueError):
                self._desk.refresh(parent, parent.leg)
                yield parent
            return

    def _news(self) -> list[OrderUpdate]:
        orders = [self._registry.known(client_id) for client_id in self._touched]
        self._touched.clear()
        return [self._told(order) for order in orders if order is not None]

    def _told(self, order: KeptOrder) -> OrderUpdate:
        return order.update(self._venue)


def _look_pause_s(row: VenueRow) -> float:
    """Wall seconds between two looks, so that they leave most of the exchange's limit to everything else."""
    limits = row.limits
    return max(LOOK_AGAIN_S, LOOK_SHARE * limits.weights.ask * limits.pace.window_s / limits.pace.weight)
