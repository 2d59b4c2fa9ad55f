"""An intent in ccxt's words: which arguments `create_order` gets at which exchange."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from engine.domain.errors import VenueRejected
from engine.domain.instruments import Instrument, Kind
from engine.domain.orders import OrderIntent, OrderType, Purpose, Side
from engine.exchanges.connected.dialects import Dialect, StopStyle
from engine.exchanges.connected.lanes import Lane


@dataclass(frozen=True, slots=True)
class Listed:
    """An instrument with what only its exchange needs: the base quantity of one contract, and why it is ``closed``.

    ``closed`` says why nothing can be traded on it now; "" where it can.
    """

    instrument: Instrument
    contract_size: Decimal = Decimal(1)
    closed: str = ""

    def contracts(self, quantity: Decimal) -> Decimal:
        """Quantity in base as the exchange counts it."""
        return quantity / self.contract_size


@dataclass(frozen=True, slots=True)
class Placement:
    """Arguments of `create_order`."""

    symbol: str
    type: str
    side: str
    amount: str | int
    price: str | None
    parameters: dict[str, Any]

    def send(self, client: Any) -> Any:
        """Place it with a ccxt client."""
        return client.create_order(self.symbol, self.type, self.side, self.amount, self.price, self.parameters)


@dataclass(frozen=True, slots=True)
class Wish:
    """What one leg is to be: quantity in base, prices in quote; ``stop_price`` None makes a stop a market order."""

    intent: OrderIntent
    exchange_id: str
    quantity: Decimal
    stop_price: Decimal | None
    reduce_only: bool


def lane_of(intent: OrderIntent) -> Lane:
    """Entries wait behind everything that makes a position smaller or safer."""
    return Lane.ENTRY if intent.purpose is Purpose.ENTRY else Lane.CLOSE


def placement(wish: Wish, listed: Listed, dialect: Dialect) -> Placement:
    """The order in ccxt's words.

    Raises
    ------
    VenueRejected
        Where it cannot be said: no whole contract is left of the quantity, or a price is missing.
    """
    intent, instrument = wish.intent, listed.instrument
    parameters: dict[str, Any] = {dialect.create_id: wish.exchange_id, **dialect.order_extra}
    if wish.reduce_only and instrument.kind is Kind.PERPETUAL:
        parameters["reduceOnly"] = True
    kind, price = "market", None
    if intent.order_type is OrderType.LIMIT:
        kind, price = "limit", _text(_required(intent, intent.limit_price))
        if intent.post_only:
            parameters["postOnly"] = True
    elif wish.stop_price is not None:
        kind, price = _add_stop(parameters, wish, instrument, dialect)
    elif dialect.buy_slack is not None and intent.side is Side.BUY and instrument.kind is Kind.SPOT:
        above = instrument.price_beyond(intent.reference_price, intent.reference_price * dialect.buy_slack)
        kind, price = "limit", _text(above)
        parameters["timeInForce"] = "IOC"
    return Placement(
        instrument.symbol, kind, intent.side.value, amount(wish.quantity, listed, dialect), price, parameters
    )


def _add_stop(
    parameters: dict[str, Any], wish: Wish, instrument: Instrument, dialect: Dialect
) -> tuple[str, str | None]:
    stop, side = _required(wish.intent, wish.stop_price), wish.intent.side
    perpetual = instrument.kind is Kind.PERPETUAL
    style = dialect.stop
    if style is StopStyle.TRIGGER_DIRECTED and not perpetual:
        style = StopStyle.STOP_LOSS
    if style is StopStyle.STOP_LOSS:
        parameters["stopLossPrice"] = _text(stop)
    else:
        parameters["triggerPrice"] = _text(stop)
    if style is StopStyle.TRIGGER_DIRECTED:
        parameters["triggerDirection"] = "ascending" if side is Side.BUY else "descending"
    parameters |= dialect.stop_extra
    if dialect.stop_limit_slack is None:
        return "market", None
    return "limit", _text(instrument.price_beyond(stop, side.sign * stop * dialect.stop_limit_slack))


def amount(quantity: Decimal, listed: Listed, dialect: Dialect) -> str | int:
    """Quantity (base) as the exchange counts it; raises `VenueRejected` where less than a contract is left."""
    contracts = listed.contracts(listed.instrument.round_quantity(quantity))
    if contracts <= 0:
        raise VenueRejected(
            f"{listed.instrument.key}: {quantity} is less than the smallest quantity {listed.instrument.lot_size}"
        )
    return int(contracts) if dialect.whole_contracts else _text(contracts)


def _required(intent: OrderIntent, price: Decimal | None) -> Decimal:
    if price is None or not price.is_finite() or price <= 0:
        raise VenueRejected(f"{intent.client_id}: a {intent.order_type.value} order needs a price above zero")
    return price


def _text(value: Decimal) -> str:
    """The number without trailing zeros or exponent."""
    return format(value.normalize(), "f")
