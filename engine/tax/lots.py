"""Matches disposals to the lots they came from: pure arithmetic on Decimal, exact to the last digit.

What is rounded off when a lot or a disposal is split stays in its rest, so that costs, proceeds and quantities of all
parts add up to the whole exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Context, Decimal, localcontext
from enum import Enum
from typing import NamedTuple, Protocol

from engine.domain.codec import plain, utc_text
from engine.domain.errors import BadInput

EXACT = Context(prec=100)
"""Wide enough that sums and products of amounts are never rounded."""
SPLIT = Decimal("1E-18")
"""Grid that shares of a cost are rounded to: finer than any coin is divided."""
ZERO = Decimal(0)


class Reason(Enum):
    """Why coins went; only a sale has a price somebody paid, the others count at market value."""

    SALE = "sale"
    FEE = "fee"
    MOVE = "move"
    GIFT = "gift"
    DONATION = "donation"


class Acquisition(NamedTuple):
    """Coins that came in and became a lot.

    ``cost`` is in the report's currency, fees included, ``fees`` says how much of it they are; ``income`` marks coins
    that nobody paid for (staking, airdrop, interest): their value at receipt is income and the lot's cost.
    """

    event_id: str
    at: datetime
    asset: str
    account: str
    quantity: Decimal
    cost: Decimal
    fees: Decimal = ZERO
    income: bool = False


class Disposal(NamedTuple):
    """Coins that went for good.

    ``proceeds`` in the report's currency, fees already taken off, ``fees`` says how much they were.
    """

    event_id: str
    at: datetime
    asset: str
    account: str
    quantity: Decimal
    proceeds: Decimal
    fees: Decimal = ZERO
    reason: Reason = Reason.SALE


class Transfer(NamedTuple):
    """Coins that went to another account of the same owner: no disposal, date and cost go with them.

    ``quantity`` is what arrived; a network fee is a `Disposal` of its own with `Reason.MOVE`.
    """

    event_id: str
    at: datetime
    asset: str
    account: str
    to_account: str
    quantity: Decimal


Event = Acquisition | Transfer | Disposal
_RANK = {Acquisition: 0, Transfer: 1, Disposal: 2}


class Part(NamedTuple):
    """A piece split off a lot, with its share of the lot's cost and fees."""

    quantity: Decimal
    cost: Decimal
    fees: Decimal


@dataclass(slots=True)
class Lot:
    """What is left of an acquisition: a quantity, and the cost and fees that belong to it."""

    origin: Acquisition
    quantity: Decimal
    cost: Decimal
    fees: Decimal

    @property
    def order(self) -> tuple[datetime, int, str]:
        """Place in time; the length before the id puts trade 9 before trade 10."""
        return self.origin.at, len(self.origin.event_id), self.origin.event_id

    def take(self, wanted: Decimal) -> Part:
        """Split off up to ``wanted``; nothing is left of the lot when it has no more than that."""
        quantity = self.quantity
        if wanted >= quantity:
            part = Part(quantity, self.cost, self.fees)
            self.quantity = self.cost = self.fees = ZERO
            return part
        part = Part(wanted, _share(self.cost, wanted, quantity), _share(self.fees, wanted, quantity))
        self.quantity = quantity - wanted
        self.cost -= part.cost
        self.fees -= part.fees
        return part


class LotQueue(Protocol):
    """A lot method: the lots of one pool, and which of them a disposal takes from next."""

    def add(self, lot: Lot) -> None:
        """Take a lot in; acquisitions come in the order of time, lots moved here later."""

    def next(self) -> Lot | None:
        """The lot to take from, None when the pool is empty; it stays until dropped."""

    def drop(self) -> None:
        """Forget the lot that `next` gave."""


class Match(NamedTuple):
    """A disposal, or a part of it, and the lot it came from; fees are inside both cost and proceeds."""

    disposal: Disposal
    lot: Acquisition
    quantity: Decimal
    proceeds: Decimal
    cost: Decimal
    fees: Decimal

    @property
    def gain(self) -> Decimal:
        """Proceeds less cost."""
        return EXACT.subtract(self.proceeds, self.cost)


@dataclass(frozen=True, slots=True)
class Shortfall:
    """More went than had come: ``quantity`` has no lot. It has no cost basis, so no gain is invented for it.

    ``proceeds`` is the part of the disposal's proceeds that stays unmatched; zero for a transfer.
    """

    event: Disposal | Transfer
    quantity: Decimal
    proceeds: Decimal

    def __str__(self) -> str:
        event = self.event
        what = "moved" if isinstance(event, Transfer) else event.reason.value
        return (
            f"{event.asset} at {event.account}, {utc_text(event.at)}: {plain(self.quantity)} of the "
            f"{plain(event.quantity)} of {event.event_id} ({what}) have no earlier purchase on record, so no gain is "
            "counted for them; record where they came from"
        )


@dataclass(frozen=True, slots=True)
class Held:
    """What is left of a lot at the end; ``account`` is where it is now, empty where pools span accounts."""

    account: str
    lot: Acquisition
    quantity: Decimal
    cost: Decimal


@dataclass(frozen=True, slots=True)
class Matching:
    """Everything that was matched, everything that could not be, and what is left."""

    matches: tuple[Match, ...]
    shortfalls: tuple[Shortfall, ...]
    held: tuple[Held, ...]


def match_lots(events: Iterable[Event], method: Callable[[], LotQueue], per_account: bool = True) -> Matching:
    """Match every disposal to lots.

    Events are taken in the order of time, at one instant acquisitions first, so the order they are given in changes
    nothing.

    Parameters
    ----------
    events : iterable of Event
        The whole history, not one year of it.
    method : callable
        Makes the pool of one asset; an entry of `engine.tax.LOT_METHODS`.
    per_account : bool
        One pool an account and asset (the rule of the United States since 2025); False pools an asset over all
        accounts, and transfers move nothing.

    Raises
    ------
    BadInput
        A quantity is not above zero, an amount is not finite, or an event occurs twice.
    """
    matcher = _Matcher(method, per_account)
    with localcontext(EXACT):
        for event in _in_order(events):
            matcher.apply(event)
        return matcher.result()


def held_over_a_year(acquired: date, disposed: date) -> bool:
    """Whether more than a calendar year lies between, both local dates: the anniversary itself is not enough.

    The year counts from the day after the acquisition (26 USC 1222; ATO TD 2002/10), so ``>= 365 days`` is wrong. A
    purchase on 29 February has its anniversary on the 28th.

    >>> held_over_a_year(date(2020, 1, 1), date(2020, 12, 31)), held_over_a_year(date(2020, 1, 1), date(2021, 1, 2))
    (False, True)
    """
    leap_day = acquired.month == 2 and acquired.day == 29
    return disposed > acquired.replace(year=acquired.year + 1, day=28 if leap_day else acquired.day)


class _Matcher:
    """Pools of lots while a history is walked through; the decimal context is the caller's."""

    def __init__(self, method: Callable[[], LotQueue], per_account: bool) -> None:
        self._method = method
        self._per_account = per_account
        self._pools: dict[tuple[str, str], LotQueue] = {}
        self._matches: list[Match] = []
        self._shortfalls: list[Shortfall] = []

    def apply(self, event: Event) -> None:
        if isinstance(event, Acquisition):
            self._pool(event.asset, event.account).add(Lot(event, event.quantity, event.cost, event.fees))
        elif isinstance(event, Disposal):
            self._dispose(event)
        elif self._per_account:
            self._move(event)

    def result(self) -> Matching:
        return Matching(tuple(self._matches), tuple(self._shortfalls), tuple(self._held()))

    def _dispose(self, event: Disposal) -> None:
        pool = self._pool(event.asset, event.account)
        left, proceeds, fees = event.quantity, event.proceeds, event.fees
        while left and (lot := pool.next()) is not None:
            part = lot.take(left)
            got, paid = _share(proceeds, part.quantity, left), _share(fees, part.quantity, left)
            left, proceeds, fees = left - part.quantity, proceeds - got, fees - paid
            if not lot.quantity:
                pool.drop()
            self._matches.append(Match(event, lot.origin, part.quantity, got, part.cost, part.fees + paid))
        if left:
            self._shortfalls.append(Shortfall(event, left, proceeds))

    def _move(self, event: Transfer) -> None:
        pool, target = self._pool(event.asset, event.account), self._pool(event.asset, event.to_account)
        left = event.quantity
        moved = []
        while left and (lot := pool.next()) is not None:
            part = lot.take(left)
            left -= part.quantity
            if not lot.quantity:
                pool.drop()
            moved.append(Lot(lot.origin, *part))
        for lot in moved:
            target.add(lot)
        if left:
            self._shortfalls.append(Shortfall(event, left, ZERO))

    def _pool(self, asset: str, account: str) -> LotQueue:
        place = (asset, account if self._per_account else "")
        pool = self._pools.get(place)
        if pool is None:
            pool = self._pools[place] = self._method()
        return pool

    def _held(self) -> Iterator[Held]:
        for (_, account), pool in sorted(self._pools.items(), key=lambda item: item[0]):
            while (lot := pool.next()) is not None:
                pool.drop()
                yield Held(account, lot.origin, lot.quantity, lot.cost)


def _share(whole: Decimal, part: Decimal, of: Decimal) -> Decimal:
    """``whole * part / of`` on the grid of 1e-18; the whole itself when nothing is left over."""
    return whole if part == of or not whole else (whole * part / of).quantize(SPLIT)


def _place(event: Event) -> tuple[datetime, int, int, str, str, str]:
    return event.at, _RANK[type(event)], len(event.event_id), event.event_id, event.asset, event.account


def _in_order(events: Iterable[Event]) -> Iterator[Event]:
    """Events by time, each checked; one that occurs twice would stand beside itself."""
    before: Event | None = None
    for event in sorted(events, key=_place):
        if before is not None and event.event_id == before.event_id and _place(event) == _place(before):
            raise BadInput(f"{event.asset} {event.event_id} at {event.account} occurs twice; remove the duplicate")
        before = event
        quantity = event.quantity
        if not quantity.is_finite() or quantity <= ZERO:
            raise BadInput(f"{event.asset} {event.event_id}: quantity {quantity} is not above zero")
        if not isinstance(event, Transfer):
            amount = event.cost if isinstance(event, Acquisition) else event.proceeds
            if not (amount.is_finite() and event.fees.is_finite()):
                raise BadInput(f"{event.asset} {event.event_id}: {amount} with fees {event.fees} is not an amount")
        yield event
