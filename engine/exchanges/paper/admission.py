"""Whether the simulated venue takes an order, and what the order holds back while it works.

Dust: an exit worth less than the minimum notional is refused like any other order, reduce-only or not, because spot
venues do so and a close that can never fill must be known at once. A child is exempt: it belongs to its entry.
"""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, Decimal

from engine.domain.errors import VenueRejected
from engine.domain.instruments import Instrument, Kind
from engine.domain.orders import Liquidity, OrderIntent, OrderType, Side
from engine.exchanges.paper.costs import EXACT, PaperCosts
from engine.exchanges.paper.orders import NOTHING, Reserve, VenueOrder
from engine.exchanges.paper.state import VenueState

_CLIENT_ID = re.compile(r"[0-9a-z]{1,18}")
_RESERVE_STEP = Decimal("0.000000000001")


class Admission:
    """Checks orders before they exist; every refusal is a `VenueRejected` that holds the numbers."""

    def __init__(self, state: VenueState, costs: PaperCosts) -> None:
        self._state = state
        self._costs = costs

    def admit(self, intent: OrderIntent, last_price: Decimal | None) -> Reserve:
        """What the order will hold back.

        Parameters
        ----------
        intent : OrderIntent
        last_price : Decimal or None
            Last close, quote; None before the first candle, then the intent's reference price is used.

        Raises
        ------
        VenueRejected
            Form, grid, parent, minimum notional or balance.
        """
        instrument = self._state.instruments.get(intent.instrument)
        if instrument is None:
            known = ", ".join(sorted(self._state.instruments))
            raise VenueRejected(f"{intent.client_id}: {intent.instrument} is not traded here; there are {known}")
        _check_form(intent, instrument)
        market = intent.reference_price if last_price is None else last_price
        if intent.pair_id is not None:
            self._check_pair(intent)
        if intent.parent_id is not None:
            self._check_parent(intent)
            return Reserve(instrument.quote, NOTHING)
        check_notional(intent, instrument, intent.quantity, _valued_at(intent, market))
        if intent.pair_id is not None:
            return Reserve(instrument.quote, NOTHING)  # its stop holds back for both
        reserve = self._reserve(intent, instrument, market)
        self._check_balance(intent.client_id, reserve, reserve.amount(intent.quantity))
        return reserve

    def check_move(self, order: VenueOrder, stop_price: Decimal) -> None:
        """Check a new price (quote) for a stop; raises `VenueRejected`."""
        tick = self._state.instruments[order.intent.instrument].tick_size
        if order.intent.order_type is not OrderType.STOP or not _is_multiple(stop_price, tick):
            raise VenueRejected(
                f"{order.client_id}: a {order.intent.order_type.value} cannot be moved to {stop_price}: only stops are "
                f"moved, to a positive multiple of the tick {tick}"
            )

    def readmit(self, order: VenueOrder, quantity: Decimal, last_price: Decimal | None) -> None:
        """Check a new quantity (base) for a working order; raises `VenueRejected`."""
        intent = order.intent
        instrument = self._state.instruments[intent.instrument]
        if not order.is_open:
            raise VenueRejected(f"{order.client_id} is {order.state.value} and cannot be changed")
        if intent.pair_id is not None:
            raise VenueRejected(f"{order.client_id} follows its stop {intent.pair_id}; change that")
        if quantity <= order.filled:
            raise VenueRejected(f"{order.client_id} has filled {order.filled}; {quantity} is not above it: cancel it")
        _check_lots(intent.client_id, quantity, instrument)
        if intent.parent_id is None:
            market = intent.reference_price if last_price is None else last_price
            check_notional(intent, instrument, quantity, _valued_at(intent, market))
            more = order.reserve.amount(quantity - order.filled) - order.held_back
            self._check_balance(order.client_id, order.reserve, more)

    def _check_parent(self, intent: OrderIntent) -> None:
        parent = self._state.orders.get(intent.parent_id or "")
        if parent is None:
            raise VenueRejected(f"{intent.client_id}: its entry {intent.parent_id} is unknown here; submit that first")
        if not parent.is_open and not parent.filled:
            raise VenueRejected(f"{intent.client_id}: its entry {intent.parent_id} ended with nothing filled")
        if parent.intent.instrument != intent.instrument or parent.intent.side is intent.side:
            raise VenueRejected(
                f"{intent.client_id}: a child is on the other side of its entry {intent.parent_id}, same instrument"
            )
        limit = parent.quantity if parent.is_open else parent.filled
        if intent.order_type is OrderType.MARKET or intent.quantity > limit:
            raise VenueRejected(
                f"{intent.client_id}: a child is a stop or limit of at most {limit}, the quantity of its entry; "
                f"this is a {intent.order_type.value} of {intent.quantity}"
            )

    def _check_pair(self, intent: OrderIntent) -> None:
        stop = self._state.orders.get(intent.pair_id or "")
        if stop is None or not stop.is_open or stop.triggered or stop.intent.order_type is not OrderType.STOP:
            raise VenueRejected(f"{intent.client_id}: its stop {intent.pair_id} does not work here; submit that first")
        same = (stop.intent.instrument, stop.intent.side) == (intent.instrument, intent.side)
        if intent.order_type is not OrderType.LIMIT or not same or intent.quantity > stop.remaining:
            raise VenueRejected(
                f"{intent.client_id}: a target is a limit on the side and instrument of its stop {intent.pair_id}, of "
                f"at most {stop.remaining}; this is a {intent.order_type.value} of {intent.quantity}"
            )
        if self._state.target_of(stop) is not None:
            raise VenueRejected(f"{intent.client_id}: its stop {intent.pair_id} has a target already")

    def _check_balance(self, client_id: str, reserve: Reserve, needed: Decimal) -> None:
        free = self._state.accounts.free(reserve.currency)
        if needed > 0 and needed > free:
            raise VenueRejected(f"{client_id}: insufficient balance: needs {needed} {reserve.currency}, free {free}")

    def _reserve(self, intent: OrderIntent, instrument: Instrument, market: Decimal) -> Reserve:
        """Reduce-only orders hold nothing back: they are cut to what is there when they fill."""
        if intent.reduce_only:
            return Reserve(instrument.quote, NOTHING)
        if instrument.kind is Kind.SPOT and intent.side is Side.SELL:
            return Reserve(instrument.base, Decimal(1))
        fee = max(self._costs.fee_rate(Liquidity.TAKER), self._costs.fee_rate(Liquidity.MAKER))
        price = _valued_at(intent, market)
        if intent.order_type is not OrderType.LIMIT:
            worst = market if intent.stop_price is None else intent.stop_price
            price = worst * (1 + self._costs.taking)
        per_unit = (EXACT.divide(price, instrument.max_leverage) + price * fee).quantize(
            _RESERVE_STEP, ROUND_CEILING, EXACT
        )
        held = self._state.accounts.held(intent.instrument)
        return Reserve(instrument.quote, per_unit, max(-held * intent.side.sign, NOTHING))


def check_notional(intent: OrderIntent, instrument: Instrument, quantity: Decimal, price: Decimal) -> None:
    """Raise `VenueRejected` for an order worth less than the minimum; an exit below it is dust."""
    notional = quantity * price
    if notional < instrument.min_notional:
        what = "dust, too small to close on its own" if intent.reduce_only else "too small"
        raise VenueRejected(
            f"{intent.client_id}: {what}: {quantity} x {price} = {notional} {instrument.quote}, "
            f"minimum {instrument.min_notional}"
        )


def _valued_at(intent: OrderIntent, market: Decimal) -> Decimal:
    """A limit is worth its price; everything else what the market says, so that a stop far below is not dust yet."""
    if intent.order_type is OrderType.LIMIT and intent.limit_price is not None:
        return intent.limit_price
    return market


def _check_form(intent: OrderIntent, instrument: Instrument) -> None:
    if not _CLIENT_ID.fullmatch(intent.client_id):
        raise VenueRejected(f"client id {intent.client_id!r} is not 1 to 18 characters of 0-9a-z")
    _check_lots(intent.client_id, intent.quantity, instrument)
    wanted = {OrderType.LIMIT: intent.limit_price, OrderType.STOP: intent.stop_price}
    if intent.order_type in wanted:
        price = wanted[intent.order_type]
        if price is None or not _is_multiple(price, instrument.tick_size):
            raise VenueRejected(
                f"{intent.client_id}: {intent.order_type.value} price {price} is not a positive multiple of the tick "
                f"{instrument.tick_size}"
            )
    if instrument.kind is Kind.SPOT and intent.side is Side.BUY and intent.reduce_only:
        raise VenueRejected(f"{intent.client_id}: a reduce-only buy of {instrument.symbol}: spot is never short")


def _check_lots(client_id: str, quantity: Decimal, instrument: Instrument) -> None:
    if not _is_multiple(quantity, instrument.lot_size):
        raise VenueRejected(
            f"{client_id}: quantity {quantity} is not a positive multiple of the lot {instrument.lot_size}"
        )


def _is_multiple(value: Decimal, step: Decimal) -> bool:
    return value.is_finite() and value > 0 and EXACT.remainder(value, step) == 0
