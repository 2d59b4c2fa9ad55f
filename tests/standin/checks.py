"""What a new order must pass at the stand-in exchange before it is accepted."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from .amounts import ZERO, is_multiple
from .market import Market
from .orders import Order, Refused, Why, Wish

if TYPE_CHECKING:
    from .exchange import Exchange


def check_wish(exchange: Exchange, wish: Wish, market: Market) -> None:
    """Raise Refused with the reason, in the order in which exchanges look."""
    if wish.instrument.status != "Trading":
        raise Refused(Why.HALTED, wish.instrument.status)
    _check_name(exchange, wish)
    if wish.quote_quantity is not None:
        wish.quantity = _affordable(wish, market)
    _check_steps(wish)
    if not wish.reduce_only:
        _check_value(wish, market)
    if wish.trigger is not None:
        _check_trigger(wish, market)
    elif wish.time_in_force == "PO" and exchange.style.takes_refused:
        _check_post_only(wish, market)
    if wish.origin != "venue":
        _check_means(exchange, wish, market)


def _check_name(exchange: Exchange, wish: Wish) -> None:
    if any(order.open or exchange.style.unique_for_ever for order in exchange.named(wish.client_id)):
        raise Refused(Why.DUPLICATE, wish.client_id)


def _affordable(wish: Wish, market: Market) -> Decimal:
    """The quantity that a value in quote buys or sells level by level, rounded down to the lot."""
    left, bought = wish.quote_quantity or ZERO, ZERO
    for level in market.asks if wish.side == "buy" else market.bids:
        size = min(level.size, left / level.price)
        bought, left = bought + size, left - size * level.price
        if left <= 0:
            break
    return bought // wish.instrument.lot * wish.instrument.lot


def _check_steps(wish: Wish) -> None:
    instrument = wish.instrument
    if wish.quantity <= 0 or not instrument.min_quantity <= wish.quantity <= instrument.max_quantity:
        raise Refused(Why.QUANTITY, str(wish.quantity))
    if not is_multiple(wish.quantity, instrument.lot):
        raise Refused(Why.LOT, str(wish.quantity))
    for price in (wish.price, wish.trigger):
        if price is not None and (price <= 0 or not is_multiple(price, instrument.tick)):
            raise Refused(Why.TICK, str(price))


def _check_value(wish: Wish, market: Market) -> None:
    value = wish.quantity * (wish.price or wish.trigger or market.price)
    if value < wish.instrument.min_notional:
        raise Refused(Why.NOTIONAL, str(value))


def _check_trigger(wish: Wish, market: Market) -> None:
    assert wish.trigger is not None
    past = market.price >= wish.trigger if wish.rises else market.price <= wish.trigger
    if wish.rises is not None and past:
        raise Refused(Why.TRIGGERED, f"{wish.trigger} at {market.price}")


def _check_post_only(wish: Wish, market: Market) -> None:
    assert wish.price is not None
    if wish.price >= market.ask if wish.side == "buy" else wish.price <= market.bid:
        raise Refused(Why.TAKES)


def _check_means(exchange: Exchange, wish: Wish, market: Market) -> None:
    """Coins for spot; margin, or a position to close, for a perpetual."""
    trial = Order("", 0, wish, 0, 0)
    if not wish.instrument.perpetual:
        coin, amount = exchange.wallet.hold(trial)
        if wish.trigger is not None and not wish.locks:
            return
        if wish.quote_quantity is None and wish.market and wish.side == "buy":
            amount = _cost(wish, market)
        if amount > exchange.free(coin):
            raise Refused(Why.FUNDS, f"{amount} {coin}")
        return
    if wish.reduce_only:
        held = exchange.wallet.position(wish.instrument).quantity
        if wish.trigger is None and (held if wish.side == "sell" else -held) <= 0:
            raise Refused(Why.NO_POSITION)
        return
    if wish.trigger is None and exchange.wallet.order_margin(trial) > exchange.free(wish.instrument.quote):
        raise Refused(Why.FUNDS, wish.instrument.quote)


def _cost(wish: Wish, market: Market) -> Decimal:
    """What a market buy will pay, level by level."""
    left, cost = wish.quantity, ZERO
    for level in market.asks:
        size = min(level.size, left)
        left, cost = left - size, cost + size * level.price
        if left <= 0:
            break
    return cost
