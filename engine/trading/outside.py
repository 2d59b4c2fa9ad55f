"""What a book knows of its venues beyond prices: how they stand, what the trader does there, and what fees are owed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from engine.domain.codec import decode, encode
from engine.domain.conditions import VenueCondition, VenueState
from engine.domain.instruments import InstrumentKey, venue_of
from engine.domain.orders import CashFlow, Fill, FundingPaid
from engine.domain.portfolio import VenueOrder
from engine.domain.positions import Booked
from engine.domain.unread import RowSetAside, UnreadRow

COOL_DOWN = timedelta(hours=24)
"""Market time after a liquidation in which nothing is opened on its instrument."""
BEGUN = 4000
"""Orders of the trader's that have executed and are remembered."""


@dataclass(frozen=True, slots=True)
class OwedFee:
    """A fee charged in a coin that has had no price yet: ``amount`` of it, for a trade of this sleeve."""

    venue: str
    coin: str
    amount: Decimal
    sleeve: str
    instrument: InstrumentKey


@dataclass(slots=True)
class Outside:
    """The venues of one book. What rests on facts is in checkpoints; the rest is asked anew after a start.

    Attributes
    ----------
    conditions : dict
        By venue; simulated ones have none.
    awaiting : dict
        By venue: why nothing is opened there until books and venue have been compared.
    unheard : dict
        By venue: why entries wait until it is known again what happens there.
    untended : dict
        By venue: why entries wait because nobody looks after its key.
    instead : dict
        By venue: that questions take the place of a stream that stays away, where entries go on so.
    troubles : dict
        By venue: why what is asked beside its streams has not been answered for a while.
    closed : dict
        By instrument: why nothing may be opened on it, as its exchange's rules are now.
    refusals : dict
        By venue: how many orders it has refused; the rules they were made by may be old.
    orders : dict
        By venue: the trader's own open orders.
    begun : dict
        Venue and id of orders whose executions were booked as not ours; a list of orders may be older than they are.
    coin_prices : dict
        Base currency for a coin that fees were charged in, as last noted, and when.
    owed : list of OwedFee
    cooling : dict
        By instrument: until when (market time) nothing is opened after a liquidation.
    positions : dict
        The trader's own derivative positions in instruments that the book does not trade.
    unreadable : dict
        By venue: rows of its executions that could not be read at the last look, and were not set aside.
    aside : dict
        By venue: rows that were set aside and could not be read since.
    """

    conditions: dict[str, VenueCondition] = field(default_factory=dict)
    awaiting: dict[str, str] = field(default_factory=dict)
    unheard: dict[str, str] = field(default_factory=dict)
    untended: dict[str, str] = field(default_factory=dict)
    instead: dict[str, str] = field(default_factory=dict)
    troubles: dict[str, str] = field(default_factory=dict)
    closed: dict[InstrumentKey, str] = field(default_factory=dict)
    refusals: dict[str, int] = field(default_factory=dict)
    orders: dict[str, tuple[VenueOrder, ...]] = field(default_factory=dict)
    begun: dict[tuple[str, str], None] = field(default_factory=dict)
    coin_prices: dict[str, tuple[Decimal, datetime]] = field(default_factory=dict)
    owed: list[OwedFee] = field(default_factory=list)
    cooling: dict[InstrumentKey, datetime] = field(default_factory=dict)
    positions: dict[InstrumentKey, Booked] = field(default_factory=dict)
    unreadable: dict[str, tuple[UnreadRow, ...]] = field(default_factory=dict)
    aside: dict[str, tuple[RowSetAside, ...]] = field(default_factory=dict)

    def is_locked(self, venue: str) -> bool:
        """Whether the venue accepts no key of ours."""
        condition = self.conditions.get(venue)
        return condition is not None and condition.state is VenueState.LOCKED

    def why_closed(self, key: InstrumentKey, now: datetime | None) -> str:
        """Why nothing may be opened on an instrument now (market time), in words; "" where nothing is against it."""
        venue = venue_of(key)
        condition = self.conditions.get(venue)
        if condition is not None and condition.state is not VenueState.ONLINE:
            said = f" ({condition.detail})" if condition.detail else ""
            return f"{venue} is {condition.state.value}: it {condition.state.words}{said}"
        if waits := self.untended.get(venue) or self.unheard.get(venue):
            return waits
        if venue in self.awaiting:
            return f"{venue} waits for a reconciliation: {self.awaiting[venue]}"
        if key in self.closed:
            return f"{key} is closed to entries: {self.closed[key]}"
        until = self.cooling.get(key)
        if until is not None and now is not None and now < until:
            return f"{key} was liquidated; nothing is opened on it before {until.isoformat(timespec='minutes')}"
        return ""

    def shown(self, venue: str) -> VenueCondition | None:
        """How a venue stands, with why entries wait there and on which instruments; None for a simulated one."""
        condition = self.conditions.get(venue)
        if condition is None:
            return None
        closed = tuple((key, why) for key, why in sorted(self.closed.items()) if venue_of(key) == venue)
        waits = self.untended.get(venue) or self.unheard.get(venue, "")
        instead = self.instead.get(venue, "")
        told = replace(condition, waits=waits, instead=instead, trouble=self.troubles.get(venue, ""), closed=closed)
        unreadable = tuple(row.words for row in self.unreadable.get(venue, ()))
        return replace(told, unreadable=unreadable, aside=tuple(row.words for row in self.aside.get(venue, ())))

    def set_aside(self, row: RowSetAside) -> list[RowSetAside]:
        """Wait for a row no more; what was decided about it before, which this takes the place of."""
        before = self.aside.get(row.venue, ())
        self.aside[row.venue] = (*(each for each in before if each.row.where != row.row.where), row)
        left = self.unreadable.get(row.venue, ())
        self.unreadable[row.venue] = tuple(each for each in left if each.where != row.row.where)
        return [each for each in before if each.row.where == row.row.where]

    def note_told(self, fact: Fill | FundingPaid | CashFlow) -> list[RowSetAside]:
        """What had been set aside and is told now: it is set aside no longer."""
        rows = self.aside.get(fact.venue, ())
        if not rows:
            return []
        match fact:
            case Fill(trade_id=number) | FundingPaid(payment_id=number) | CashFlow(flow_id=number):
                told = [each for each in rows if each.row.is_told_as(number)]
        self.aside[fact.venue] = tuple(each for each in rows if each not in told)
        return told

    def note_refusal(self, venue: str) -> None:
        """Count an order that a venue refused."""
        self.refusals[venue] = self.refusals.get(venue, 0) + 1

    def cool(self, key: InstrumentKey, since: datetime) -> None:
        """Open nothing on an instrument for a while."""
        self.cooling[key] = max(self.cooling.get(key, since), since + COOL_DOWN)

    def list_orders(self, venue: str, orders: Iterable[VenueOrder]) -> list[VenueOrder]:
        """Take over the trader's open orders at a venue; those that were not there before."""
        known = {order.client_id for order in self.orders.get(venue, ())}
        self.orders[venue] = listed = tuple(orders)
        return [order for order in listed if order.client_id not in known]

    def note_execution(self, fill: Fill) -> None:
        """Remember whose execution was booked as not ours, under the order's client id and the exchange's number."""
        for number in (fill.client_id, fill.venue_order_id):
            self.begun[fill.venue, number] = None
        while len(self.begun) > BEGUN:
            del self.begun[next(iter(self.begun))]

    def has_begun(self, order: VenueOrder) -> bool:
        """Whether the trader's own order has executed, as it was listed or as was booked since."""
        ids = (order.client_id, order.venue_order_id)
        return bool(order.filled) or any((order.venue, number) in self.begun for number in ids)

    def orders_on(self, key: InstrumentKey) -> list[VenueOrder]:
        """The trader's own open orders on an instrument."""
        return [order for order in self.orders.get(venue_of(key), ()) if order.instrument == key]

    def state(self) -> dict[str, Any]:
        """JSON values of what facts have added up to."""
        return {
            "coin_prices": {c: [str(price), at.isoformat()] for c, (price, at) in sorted(self.coin_prices.items())},
            "owed": [[o.venue, o.coin, str(o.amount), o.sleeve, o.instrument] for o in self.owed],
            "cooling": {key: until.isoformat() for key, until in sorted(self.cooling.items())},
            "positions": [[key, str(p.quantity), str(p.cost)] for key, p in sorted(self.positions.items())],
            "aside": [encode(row) for _, rows in sorted(self.aside.items()) for row in rows],
        }

    @classmethod
    def restored(cls, state: Mapping[str, Any] | None) -> Outside:
        """From a checkpoint; None is one made before there were connected venues."""
        if state is None:
            return cls()
        restored = cls(
            coin_prices={c: (Decimal(p), datetime.fromisoformat(at)) for c, (p, at) in state["coin_prices"].items()},
            owed=[OwedFee(v, c, Decimal(a), s, InstrumentKey(k)) for v, c, a, s, k in state["owed"]],
            cooling={InstrumentKey(key): datetime.fromisoformat(until) for key, until in state["cooling"].items()},
            positions={
                InstrumentKey(key): Booked(Decimal(q), Decimal(c), Decimal(0)) for key, q, c in state["positions"]
            },
        )
        for row in map(decode, state.get("aside", ())):
            assert isinstance(row, RowSetAside)
            restored.set_aside(row)
        return restored
