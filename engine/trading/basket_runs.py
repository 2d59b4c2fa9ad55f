"""The baskets of one book as facts add them up, and the ways between prices that were seen last."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from engine.domain.baskets import Basket, BasketMoved, BasketState, BasketView, Leg, Opportunity
from engine.domain.codec import decode, encode
from engine.domain.instruments import InstrumentKey
from engine.domain.market import BookTop
from engine.domain.orders import Fill, OrderIntent, Side
from engine.ledger.holdings import PriceOf

ZERO = Decimal(0)
REMEMBERED = 50
"""Ended baskets and sighted opportunities that are shown."""
SHOWN_FOR = timedelta(minutes=30)
"""Market time after which an opportunity that was not seen again is no longer shown."""


@dataclass(slots=True)
class Traded:
    """What one order of a basket has done: base quantity, its value (quote) and fees valued in quote."""

    instrument: InstrumentKey
    side: Side
    quantity: Decimal = ZERO
    value: Decimal = ZERO
    fees: Decimal = ZERO

    def book(self, fill: Fill) -> None:
        """Add an execution; a fee in the coin itself counts at its price, one in a third coin is left out."""
        self.quantity += fill.quantity
        self.value += fill.quantity * fill.price
        base, _, quote = fill.instrument.partition(":")[2].partition("/")
        if fill.fee_currency == quote.partition(":")[0]:
            self.fees += fill.fee
        elif fill.fee_currency == base:
            self.fees += fill.fee * fill.price


@dataclass(slots=True)
class BasketRun:
    """One basket under way.

    ``traded`` has every order sent for it, legs and repairs, by client id.
    ``first_seen_s`` and ``asked_s`` are on the machine's monotonic clock and known to the running engine alone.
    """

    basket: Basket
    state: BasketState = BasketState.OPEN
    reason: str = ""
    result: Decimal | None = None
    moved_at: datetime | None = None
    traded: dict[str, Traded] = field(default_factory=dict)
    first_seen_s: float | None = None
    asked_s: float = float("-inf")

    def __post_init__(self) -> None:
        for leg in self.basket.legs:
            self.traded.setdefault(leg.client_id, Traded(leg.instrument, leg.side))

    def done(self, leg: Leg) -> Decimal:
        """Base quantity done in a leg's direction on its instrument: what it filled and what repairs added or took."""
        return sum((one.quantity * one.side.sign for one in self._on(leg.instrument)), ZERO) * leg.side.sign

    @property
    def rounds(self) -> int:
        """How often a repair was tried: an order a round on a market that needs one."""
        legs = {leg.client_id: leg.instrument for leg in self.basket.legs}
        repairs = [one.instrument for client_id, one in self.traded.items() if client_id not in legs]
        return max((repairs.count(key) for key in legs.values()), default=0)

    def _on(self, key: InstrumentKey) -> Iterable[Traded]:
        return (one for one in self.traded.values() if one.instrument == key)

    def share(self, leg: Leg) -> Decimal:
        """Share of a leg that is done, 0 to 1 (more after an overfill)."""
        return self.done(leg) / leg.quantity

    @property
    def bought(self) -> Decimal:
        """Value bought by the legs, quote."""
        legs = {leg.client_id for leg in self.basket.legs}
        return sum((o.value for i, o in self.traded.items() if i in legs and o.side is Side.BUY), ZERO)

    def earned(self, price_of: PriceOf) -> Decimal | None:
        """After fees, in quote; what is left over by coin counts at the mark, None where that is missing."""
        total, left = ZERO, dict[str, tuple[Decimal, InstrumentKey]]()
        for one in self.traded.values():
            total -= one.side.sign * one.value + one.fees
            coin = one.instrument.partition(":")[2].partition("/")[0]
            quantity = left.get(coin, (ZERO, one.instrument))[0] + one.side.sign * one.quantity
            left[coin] = quantity, one.instrument
        for quantity, key in left.values():
            if quantity:
                price = price_of(key)
                if price is None:
                    return None
                total += quantity * price
        return total

    def view(self) -> BasketView:
        """For readers."""
        return BasketView(self.basket, self.state, self.reason, self.result, self.moved_at or self.basket.at)

    def dump(self) -> dict[str, Any]:
        """JSON values of a checkpoint."""
        rows = [
            [i, o.instrument, o.side.value, str(o.quantity), str(o.value), str(o.fees)] for i, o in self.traded.items()
        ]
        return {
            "basket": encode(self.basket),
            "state": self.state.value,
            "reason": self.reason,
            "result": None if self.result is None else str(self.result),
            "moved_at": self.moved_at.isoformat() if self.moved_at else None,
            "traded": rows,
        }

    @classmethod
    def restored(cls, row: Mapping[str, Any]) -> BasketRun:
        """From a checkpoint."""
        basket = decode(row["basket"])
        assert isinstance(basket, Basket)
        traded = {
            i: Traded(InstrumentKey(key), Side(side), Decimal(quantity), Decimal(value), Decimal(fees))
            for i, key, side, quantity, value, fees in row["traded"]
        }
        result, moved = row["result"], row["moved_at"]
        return cls(
            basket,
            BasketState(row["state"]),
            row["reason"],
            None if result is None else Decimal(result),
            datetime.fromisoformat(moved) if moved else None,
            traded,
        )


@dataclass(slots=True)
class Baskets:
    """Baskets and sightings of one book.

    Attributes
    ----------
    running : dict
        Baskets that have not ended, by id, oldest first.
    ended : deque
        The last that have.
    tops : dict
        Newest best bid and ask by market.
    sighted : dict
        The last opportunity of each way.
    refused_until : dict
        Ways whose legs the gate refused, and until when (market time) they are not tried again.
    """

    running: dict[str, BasketRun] = field(default_factory=dict)
    ended: deque[BasketRun] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    tops: dict[InstrumentKey, BookTop] = field(default_factory=dict)
    sighted: dict[tuple[tuple[InstrumentKey, Side], ...], Opportunity] = field(default_factory=dict)
    refused_until: dict[tuple[tuple[InstrumentKey, Side], ...], tuple[datetime, str]] = field(default_factory=dict)

    # -- facts ---------------------------------------------------------------------------------------------------

    def fold(self, fact: Basket | BasketMoved) -> None:
        """Take in a basket that was decided, or where one stands."""
        if isinstance(fact, Basket):
            self.running.setdefault(fact.basket_id, BasketRun(fact))
        else:
            self._move(fact)

    def _move(self, moved: BasketMoved) -> None:
        run = self.running.get(moved.basket_id)
        if run is None:
            return
        run.state, run.reason, run.result, run.moved_at = moved.state, moved.reason, moved.result, moved.at
        if moved.state.is_final:
            self.ended.append(self.running.pop(moved.basket_id))

    def note_intent(self, intent: OrderIntent) -> None:
        """Fold an order sent for a basket: a leg is known, anything else repairs."""
        run = self.running.get(intent.basket_id or "")
        if run is not None and intent.client_id not in run.traded:
            run.traded[intent.client_id] = Traded(intent.instrument, intent.side)

    def book(self, fill: Fill) -> None:
        """Fold an execution of one of its orders, also one that comes after its end."""
        for run in (*self.running.values(), *self.ended) if self.running or self.ended else ():
            order = run.traded.get(fill.client_id)
            if order is not None:
                order.book(fill)
                return

    # -- readers -------------------------------------------------------------------------------------------------

    def busy(self) -> frozenset[InstrumentKey]:
        """Instruments that a basket under way trades."""
        return frozenset(leg.instrument for run in self.running.values() for leg in run.basket.legs)

    def sight(self, found: Iterable[Opportunity], now: datetime) -> None:
        """Remember what was seen; forget what has not been seen for `SHOWN_FOR`."""
        for one in found:
            self.sighted.pop(one.way, None)
            self.sighted[one.way] = one
        old = [way for way, one in self.sighted.items() if now - one.at > SHOWN_FOR]
        for way in [*old, *list(self.sighted)[: max(0, len(self.sighted) - REMEMBERED)]]:
            self.sighted.pop(way, None)

    def views(self) -> tuple[BasketView, ...]:
        """Baskets under way, then the last that ended, newest first."""
        return tuple(run.view() for run in (*reversed(self.running.values()), *reversed(self.ended)))

    # -- checkpoints ---------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """JSON values of what facts have added up to."""
        running, ended = ([run.dump() for run in runs] for runs in (self.running.values(), self.ended))
        return {"running": running, "ended": ended}

    @classmethod
    def restored(cls, state: Mapping[str, Any] | None) -> Baskets:
        """From a checkpoint; older ones have none."""
        baskets = cls()
        for row in state["running"] if state else ():
            run = BasketRun.restored(row)
            baskets.running[run.basket.basket_id] = run
        baskets.ended.extend(BasketRun.restored(row) for row in (state["ended"] if state else ()))
        return baskets
