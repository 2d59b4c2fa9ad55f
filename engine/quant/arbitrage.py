"""What a round of simultaneous taking orders would earn: depth, every fee, grids and the inventory it needs at hand.

Prices are quote for one base, quantities base, money the coin the round starts and ends in; a *ladder* is what rests at
one side of a market, best price first. All arithmetic is Decimal: what is refused here for a hundredth of a basis point
would be a loss at the venue. Definitions: an edge exists while ``bid (1 - fee) > ask (1 + fee)`` at the margin
(two venues), or while the product of the rates after fees is above 1 (a cycle of three).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, ROUND_UP, Context, Decimal, localcontext

ZERO = Decimal(0)
ONE = Decimal(1)
BPS = Decimal(10_000)
MONEY_STEP = Decimal("0.00000001")
"""Fees are rounded up to whole multiples of this, in the coin they are charged in."""
_WIDE = Context(prec=60)

Ladder = Sequence[tuple[Decimal, Decimal]]
"""Price (quote) and size (base) of each level, best first: rising for asks, falling for bids."""


@dataclass(frozen=True, slots=True)
class LegTerms:
    """One leg: the ladder it takes from and what its venue asks.

    Attributes
    ----------
    is_buy : bool
        Buys take from asks, sells from bids.
    ladder : Ladder
    fee : Decimal
        Taker fee, share of the value; 0 to below 1.
    lot, tick : Decimal
        Grids of quantity (base) and price (quote), positive. A level off the grid counts at the worse price.
    min_notional : Decimal
        Smallest value of an order, quote.
    inventory : Decimal or None
        What is at hand of the coin the leg gives: quote for a buy, base for a sell. None: as much as it takes.
    """

    is_buy: bool
    ladder: Ladder
    fee: Decimal
    lot: Decimal
    tick: Decimal
    min_notional: Decimal = ZERO
    inventory: Decimal | None = None

    def __post_init__(self) -> None:
        if not ZERO <= self.fee < 1 or self.lot <= 0 or self.tick <= 0 or self.min_notional < 0:
            raise ValueError(
                f"fee {self.fee} must lie in 0 to below 1, lot {self.lot} and tick {self.tick} above 0, "
                f"min notional {self.min_notional} at or above 0"
            )
        previous: Decimal | None = None
        for price, size in self.ladder:
            if not (price.is_finite() and size.is_finite()) or price <= 0 or size < 0:
                raise ValueError(f"level {price} x {size} is no price with a size")
            if previous is not None and (price < previous if self.is_buy else price > previous):
                raise ValueError(f"level {price} after {previous}: the best price comes first")
            previous = price


@dataclass(frozen=True, slots=True)
class LegEdge:
    """What one leg would do: ``quantity`` (base), ``value`` (quote, before fees), ``fee`` in the coin charged (see the
    function) and ``worst_price`` (quote), the last level it reaches into.
    """

    quantity: Decimal
    value: Decimal
    fee: Decimal
    worst_price: Decimal


@dataclass(frozen=True, slots=True)
class Edge:
    """What the whole round would do, in the coin it starts and ends in.

    ``net`` is ``gross`` less ``fees``, ``net_bps`` basis points of what the first leg pays, before its fee. Where
    nothing is to be earned ``legs`` is empty and ``why_not`` says what stands against it.
    """

    legs: tuple[LegEdge, ...]
    gross: Decimal
    fees: Decimal
    net: Decimal
    net_bps: Decimal
    why_not: str = ""


def nothing(why_not: str) -> Edge:
    """No round, and why."""
    return Edge((), ZERO, ZERO, ZERO, ZERO, why_not)


def gap_bps(ask: Decimal, bid: Decimal) -> Decimal:
    """How far ``bid`` there lies above ``ask`` here, basis points of the ask, before any fee.

    >>> gap_bps(Decimal(100), Decimal("100.05"))
    Decimal('5.0000')
    """
    return (bid - ask) / ask * BPS


def two_venues(buy: LegTerms, sell: LegTerms, most_value: Decimal | None = None) -> Edge:
    """Buy the coin at one venue and sell as much of it at another at the same time; both fees are paid in quote.

    Parameters
    ----------
    buy, sell : LegTerms
        The same coin against the same quote. What ``buy`` spends, fee included, is at most its inventory.
    most_value : Decimal, optional
        Most value of the buy, quote, before its fee.

    Returns
    -------
    Edge
        The most profitable whole number of both lots; profit falls with size, so that every lot of it earns.

    Examples
    --------
    >>> d = Decimal
    >>> asks, bids = [(d(100), d(1)), (d(102), d(5))], [(d(103), d(2)), (d(101), d(5))]
    >>> grids = d("0.001"), d("0.1"), d("0.01")
    >>> edge = two_venues(LegTerms(True, asks, *grids), LegTerms(False, bids, *grids))
    >>> edge.legs[0].quantity, edge.legs[0].worst_price, edge.gross, edge.fees, edge.net
    (Decimal('2'), Decimal('102'), Decimal('4'), Decimal('0.40800000'), Decimal('3.59200000'))
    """
    if not buy.is_buy or sell.is_buy:
        raise ValueError("the first leg buys and the second sells")
    with localcontext(_WIDE):
        size = _profitable_size(buy, sell)
        if size <= 0:
            return nothing("fees are more than the gap between the prices")
        limits = [(size, "the depth")]
        if sell.inventory is not None:
            limits.append((sell.inventory, "the coins at hand to sell"))
        if buy.inventory is not None:
            limits.append((_affordable(buy, buy.inventory - MONEY_STEP, ONE + buy.fee), "the money at hand to buy"))
        if most_value is not None:
            limits.append((_affordable(buy, most_value, ONE), "the most that may be spent"))
        size, what = min(limits, key=lambda limit: limit[0])
        quantity = _down(size, common_lot(buy.lot, sell.lot))
        if quantity <= 0:
            return nothing(f"less than a lot: limited by {what}")
        return _judged((_take(buy, quantity), _take(sell, quantity)), (buy, sell), what)


def _judged(legs: tuple[LegEdge, LegEdge], terms: tuple[LegTerms, LegTerms], what: str) -> Edge:
    for leg, term in zip(legs, terms, strict=True):
        if leg.value < term.min_notional:
            return nothing(f"{leg.value:.2f} is below a venue's minimum of {term.min_notional}: limited by {what}")
    bought, sold = legs
    gross, fees = sold.value - bought.value, bought.fee + sold.fee
    net = gross - fees
    if net <= 0:
        return nothing("fees are more than the gap between the prices")
    return Edge(legs, gross, fees, net, net / bought.value * BPS)


def _profitable_size(buy: LegTerms, sell: LegTerms) -> Decimal:
    """Base quantity up to which one more unit still earns after both fees."""
    size = ZERO
    asks, bids = list(reversed(_priced(buy))), list(reversed(_priced(sell)))
    while asks and bids and bids[-1][0] * (ONE - sell.fee) > asks[-1][0] * (ONE + buy.fee):
        (ask, offered), (bid, wanted) = asks.pop(), bids.pop()
        step = min(offered, wanted)
        size += step
        asks += [(ask, offered - step)] if offered > step else []
        bids += [(bid, wanted - step)] if wanted > step else []
    return size


def _affordable(leg: LegTerms, money: Decimal, factor: Decimal) -> Decimal:
    """Base quantity that ``money`` (quote) buys from the ladder, each price times ``factor``."""
    size = ZERO
    for price, depth in _priced(leg):
        step = min(depth, max(money, ZERO) / (price * factor))
        size, money = size + step, money - step * price * factor
        if step < depth:
            break
    return size


def _take(leg: LegTerms, quantity: Decimal) -> LegEdge:
    """Walk the ladder for ``quantity``, which it holds; the fee in quote, rounded up."""
    value, worst, left = ZERO, ZERO, quantity
    for price, depth in _priced(leg):
        step = min(depth, left)
        if step > 0:
            value, worst, left = value + step * price, price, left - step
        if left <= 0:
            break
    assert left <= 0, f"{left} of {quantity} is beyond the depth"
    return LegEdge(quantity, value, _up(value * leg.fee), worst)


def cycle(legs: Sequence[LegTerms], most_start: Decimal | None = None) -> Edge:
    """Through several markets back to the coin one began with, all legs at the same time from what is at hand.

    Each fee is taken from the coin received. What rounding to lots leaves over in the coins between counts as nothing.

    Parameters
    ----------
    legs : sequence of LegTerms
        In order: what one receives the next gives. A triangle has three.
    most_start : Decimal, optional
        Most of the first coin to give.

    Returns
    -------
    Edge
        Money in the first coin. ``LegEdge.fee`` is in the coin that leg receives; ``Edge.fees`` is the sum of them
        carried to the end at the rates of the legs that follow.
    """
    if len(legs) < 2:
        raise ValueError(f"a cycle of {len(legs)} legs: it takes at least two")
    with localcontext(_WIDE):
        start = _profitable_start(legs)
        if start <= 0:
            return nothing("fees are more than the product of the rates earns")
        limits = [start, *([most_start] if most_start is not None else [])]
        taken = _forward(legs, min(limits))
        if taken is None:
            return nothing("a leg is below its venue's lot or minimum")
        given = taken[0].value if legs[0].is_buy else taken[0].quantity
        received = _received(legs[-1], taken[-1])
        net = received - given
        if net <= 0:
            return nothing("fees and rounding are more than the rates earn")
        fees = _carried_fees(legs, taken)
        return Edge(tuple(taken), net + fees, fees, net, net / given * BPS)


def rate_after_fee(leg: LegTerms) -> Decimal:
    """Of the coin received for one of the coin given at the best price, after the fee; 0 with an empty ladder."""
    priced = _priced(leg)
    return _rate(leg, priced[0][0]) if priced else ZERO


def _rate(leg: LegTerms, price: Decimal) -> Decimal:
    return (ONE / price if leg.is_buy else price) * (ONE - leg.fee)


def _profitable_start(legs: Sequence[LegTerms]) -> Decimal:
    """Of the first coin: how much of it earns at the margin, within depth and inventory of every leg."""
    levels = [list(reversed(_priced(leg))) for leg in legs]
    stock = [leg.inventory for leg in legs]
    start = ZERO
    while all(levels):
        # reach: how much a leg gives for one of the first coin, at the levels reached so far
        reach = [ONE]
        for leg, level in zip(legs, levels, strict=True):
            reach.append(reach[-1] * _rate(leg, level[-1][0]))
        if reach[-1] <= 1:
            break
        depths = [_given(leg, *level[-1]) / per for leg, level, per in zip(legs, levels, reach, strict=False)]
        stocks = [left / per for left, per in zip(stock, reach, strict=False) if left is not None]
        step = min((*depths, *stocks))
        start += step
        if stocks and step == min(stocks):
            break
        stock = [left if left is None else left - step * per for left, per in zip(stock, reach, strict=False)]
        for leg, level, depth, per in zip(legs, levels, depths, reach, strict=False):
            price, size = level.pop()
            left = size - (step * per / price if leg.is_buy else step * per)
            if depth > step and left > 0:
                level.append((price, left))
    return max(start, ZERO)


def _given(leg: LegTerms, price: Decimal, size: Decimal) -> Decimal:
    """What a leg gives for a whole level: quote for a buy, base for a sell."""
    return size * price if leg.is_buy else size


def _forward(legs: Sequence[LegTerms], start: Decimal) -> list[LegEdge] | None:
    """Each leg in whole lots of what the one before brings; None where one is too small to be sent."""
    taken: list[LegEdge] = []
    coin = start
    for leg in legs:
        stock = coin if leg.inventory is None else min(coin, leg.inventory)
        size = (
            _affordable(leg, stock, ONE) if leg.is_buy else min(stock, sum((depth for _, depth in _priced(leg)), ZERO))
        )
        quantity = _down(size, leg.lot)
        if quantity <= 0:
            return None
        filled = _take(leg, quantity)
        if filled.value < leg.min_notional:
            return None
        received = quantity if leg.is_buy else filled.value
        filled = LegEdge(quantity, filled.value, _up(received * leg.fee), filled.worst_price)
        taken.append(filled)
        coin = received - filled.fee
    return taken


def _received(leg: LegTerms, filled: LegEdge) -> Decimal:
    return (filled.quantity if leg.is_buy else filled.value) - filled.fee


def _carried_fees(legs: Sequence[LegTerms], taken: Sequence[LegEdge]) -> Decimal:
    total, onward = ZERO, ONE
    for leg, filled in zip(reversed(legs), reversed(taken), strict=True):
        total += filled.fee * onward
        received, given = (filled.quantity, filled.value) if leg.is_buy else (filled.value, filled.quantity)
        onward *= (received - filled.fee) / given
    return total


def _priced(leg: LegTerms) -> list[tuple[Decimal, Decimal]]:
    """The levels that hold something, at prices on the tick, rounded against who takes."""
    rounding = ROUND_CEILING if leg.is_buy else ROUND_FLOOR
    levels = (
        ((price / leg.tick).to_integral_value(rounding) * leg.tick, size) for price, size in leg.ladder if size > 0
    )
    return [(price, size) for price, size in levels if price > 0]


def common_lot(one: Decimal, other: Decimal) -> Decimal:
    """The smallest quantity that is a whole number of both lots.

    >>> common_lot(Decimal("0.001"), Decimal("0.00001")), common_lot(Decimal("0.04"), Decimal("0.06"))
    (Decimal('0.00100'), Decimal('0.12'))
    """
    digits = max(0, *(-int(lot.normalize().as_tuple().exponent) for lot in (one, other)))
    scale = Decimal(1).scaleb(digits)
    whole = math.lcm(int(one * scale), int(other * scale))
    return Decimal(whole).scaleb(-digits)


def _down(quantity: Decimal, step: Decimal) -> Decimal:
    return (quantity / step).to_integral_value(ROUND_DOWN) * step


def _up(fee: Decimal) -> Decimal:
    return fee.quantize(MONEY_STEP, ROUND_UP)
