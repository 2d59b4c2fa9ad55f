"""How orders meet the moving book at the stand-in exchange: takes, fills, triggers, liquidations."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING

from . import records
from .amounts import ZERO, down, fee_of
from .instruments import Instrument
from .market import Level, Market
from .orders import Fill, Order, Refused, State, Why, Wish

if TYPE_CHECKING:
    from .exchange import Exchange


class Matching:
    """The matching engine of one account."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self._trades: Counter[str] = Counter()

    def match(self, market: Market) -> None:
        """Everything the present price triggers or fills, in order of acceptance."""
        for order in [each for each in self.exchange.open_orders() if each.instrument is market.instrument]:
            if order.state is State.WAITING and _is_due(order, market.price):
                self._trigger(order)
            elif order.state is State.WORKING and _is_crossed(order, market):
                self.fill_share(order, self.exchange.share)

    def meet(self, order: Order) -> None:
        """A working order meets the book: it takes what it may, then rests or ends."""
        wish, market, end = order.wish, self.exchange.market(order), self.exchange.end
        if wish.time_in_force == "PO" and _is_crossed(order, market):
            end(order, State.CANCELLED, "post-only")
            return
        levels = [level for level in _opposite(order, market) if _accepts(order, level.price)]
        if wish.time_in_force == "FOK" and sum(level.size for level in levels) < order.left:
            end(order, State.CANCELLED, "fill or kill")
            return
        for level in levels:
            if order.open:
                self.fill(order, level.size, level.price, maker=False)
        market.refresh()
        if order.open and (wish.market or wish.time_in_force in ("IOC", "FOK")):
            end(order, State.CANCELLED, "nothing left to take")

    def fill(self, order: Order, quantity: Decimal, price: Decimal, maker: bool, kind: str = "Trade") -> None:
        """One execution of at most what is left, and of at most the position for a reduce-only order."""
        exchange, now = self.exchange, self.exchange.clock()
        quantity = min(quantity, order.left, self._closable(order))
        if quantity <= 0:
            exchange.end(order, State.CANCELLED, "reduce-only")
            return
        made = self._execution(order, quantity, price, maker)
        made.kind = kind
        order.filled, order.cost = order.filled + quantity, order.cost + quantity * price
        order.fees[made.fee_coin] = order.fees.get(made.fee_coin, ZERO) + made.fee
        order.updated_ms, made.left = now, order.left
        order.fills.append(made)
        exchange.fills.append(made)
        if not order.left:
            order.state = State.FILLED
            exchange.forget(order)
        exchange.wallet.settle(made)
        exchange.write("filled", {"fill": records.fill(made)})
        exchange.tell("fill", made)
        exchange.tell("order", order)
        exchange.tell("wallet", list(dict.fromkeys((order.instrument.base, order.instrument.quote, made.fee_coin))))
        if order.instrument.perpetual:
            exchange.tell("position", order.instrument)
            self._sweep(order.instrument)

    def fill_share(self, order: Order, share: Decimal) -> None:
        """Fill a part of an open order at its price, at least one lot; a stop that waits is triggered by that."""
        if order.state is State.WAITING:
            self._awake(order)
        lot = order.instrument.lot
        price = order.wish.price or self.exchange.market(order).price
        self.fill(order, max(down(order.left * share, lot), lot), price, maker=True)

    def liquidate(self, instrument: Instrument) -> Order:
        """Close the position at the market's price in an order of the exchange's own."""
        held = self.exchange.wallet.position(instrument).quantity
        if not held:
            raise Refused(Why.NO_POSITION)
        side = "sell" if held > 0 else "buy"
        wish = Wish(instrument, side, True, abs(held), reduce_only=True, origin="venue")
        if self.exchange.name == "usdm":
            wish.client_id = f"autoclose-{self.exchange.clock()}"  # the only word Binance has for it
        order = self.exchange.accept(wish)
        self.fill(order, abs(held), self.exchange.market(order).price, maker=False, kind="BustTrade")
        return order

    def _trigger(self, order: Order) -> None:
        """A stop becomes an order, or is rejected where it lacks its means."""
        exchange = self.exchange
        order.triggered, order.state, order.updated_ms = True, State.WORKING, exchange.clock()
        coin, amount = exchange.wallet.hold(order)
        if self._closable(order) <= 0:
            exchange.end(order, State.REJECTED, "no position")
        elif not order.wish.locks and amount > exchange.wallet.total(coin):
            exchange.end(order, State.REJECTED, "not enough balance")
        else:
            self._awake(order)
            self.meet(order)

    def _awake(self, order: Order) -> None:
        order.triggered, order.state, order.updated_ms = True, State.WORKING, self.exchange.clock()
        self.exchange.write("triggered", {"order_id": order.id})
        self.exchange.tell("order", order)

    def _sweep(self, instrument: Instrument) -> None:
        """A flat position ends the reduce-only orders that rest."""
        if self.exchange.wallet.position(instrument).quantity:
            return
        for order in self.exchange.open_orders():
            if order.instrument is instrument and order.wish.reduce_only and order.state is State.WORKING:
                self.exchange.end(order, State.CANCELLED, "reduce-only")

    def _closable(self, order: Order) -> Decimal:
        """How much a reduce-only order may still fill; any other as much as it wants."""
        if not order.wish.reduce_only or not order.instrument.perpetual:
            return order.left
        held = self.exchange.wallet.position(order.instrument).quantity
        return max(ZERO, held if order.wish.side == "sell" else -held)

    def _execution(self, order: Order, quantity: Decimal, price: Decimal, maker: bool) -> Fill:
        self._trades[order.instrument.key] += 1
        number = self._trades[order.instrument.key]
        name = records.trade_id(self.exchange.style.uuids, order.instrument, number)
        fee, coin = self._fee(order, quantity, price, maker)
        return Fill(name, number, order, quantity, price, fee, coin, maker, self.exchange.clock())

    def _fee(self, order: Order, quantity: Decimal, price: Decimal, maker: bool) -> tuple[Decimal, str]:
        """Spot pays in the coin received, perpetuals in the quote coin, unless a third coin is set."""
        instrument, third = order.instrument, self.exchange.fee_coin
        rate = instrument.maker if maker else instrument.taker
        if third is not None:
            return fee_of(quantity * price / third.price, rate), third.coin
        if not instrument.perpetual and order.wish.side == "buy":
            return fee_of(quantity, rate), instrument.base
        return fee_of(quantity * price, rate), instrument.quote


def _opposite(order: Order, market: Market) -> list[Level]:
    return list(market.asks if order.wish.side == "buy" else market.bids)


def _is_due(order: Order, price: Decimal) -> bool:
    trigger = order.wish.trigger
    assert trigger is not None
    return price >= trigger if order.wish.rises else price <= trigger


def _is_crossed(order: Order, market: Market) -> bool:
    return _accepts(order, market.ask if order.wish.side == "buy" else market.bid)


def _accepts(order: Order, price: Decimal) -> bool:
    limit = order.wish.price
    return limit is None or (price <= limit if order.wish.side == "buy" else price >= limit)
