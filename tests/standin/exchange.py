"""One account at the stand-in exchange: takes orders, matches them against moving books, tells journal and streams."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from . import records
from .amounts import ZERO, down, fee_of, to_cent
from .checks import check_wish
from .instruments import Instrument, listed
from .journal import Journal
from .market import Market
from .orders import Entry, Fill, Order, Refused, State, Why, Wish
from .wallet import Wallet

Listener = Callable[[str, Any], None]
"""Gets "order" with an Order, "fill" with a Fill, "wallet" with coins, "position" with an Instrument."""
TRADER_FUNDS = {"USDT": Decimal(10_000)}


@dataclass(slots=True)
class Style:
    """In what the exchanges differ when they decide.

    ``unique_for_ever``: client ids are never free again; ``takes_refused``: a post-only order that would take is
    refused, else accepted and cancelled; ``instant_stops_refused``: a stop that is past its trigger is refused.
    """

    unique_for_ever: bool = True
    takes_refused: bool = False
    instant_stops_refused: bool = True
    uuids: bool = True


STYLES = {
    "bybit": Style(),
    "binance": Style(unique_for_ever=False, takes_refused=True, uuids=False),
    "usdm": Style(unique_for_ever=False, takes_refused=True, uuids=False),
}


@dataclass(slots=True)
class FeeCoin:
    """A third coin that fees are charged in, at a price in the quote coin."""

    coin: str
    price: Decimal


@dataclass
class Exchange:
    """The account ``name`` ("bybit", "binance", "usdm")."""

    name: str
    journal: Journal
    clock: Callable[[], int]
    seed: int = 1
    funds: dict[str, Decimal] = field(default_factory=lambda: dict(TRADER_FUNDS))
    listeners: list[Listener] = field(default_factory=list)
    orders: dict[str, Order] = field(default_factory=dict)
    fills: list[Fill] = field(default_factory=list)
    fee_coin: FeeCoin | None = None
    share: Decimal = Decimal(1)

    def __post_init__(self) -> None:
        self.style = STYLES[self.name]
        now = self.clock()
        self.instruments = listed(self.name)
        self.markets = {key: Market(each, self.seed, now) for key, each in self.instruments.items()}
        self.wallet = Wallet(self.markets)
        for coin, amount in self.funds.items():
            self.wallet.book(now, "TRANSFER_IN", coin, amount)
        self._write("started", {})

    # --- questions

    def instrument(self, perpetual: bool, symbol: str) -> Instrument:
        """An instrument by the exchange's own name."""
        found = self.instruments.get(f"{'linear' if perpetual else 'spot'}:{symbol}")
        if found is None:
            raise Refused(Why.SYMBOL, symbol)
        return found

    def open_orders(self) -> list[Order]:
        return [order for order in self.orders.values() if order.open]

    def find(self, order_id: str | None, client_id: str | None) -> Order | None:
        """The order by either name; by client id the newest, as ids may be free again."""
        if order_id:
            return self.orders.get(order_id)
        named = [order for order in self.orders.values() if client_id and order.client_id == client_id]
        return named[-1] if named else None

    def free(self, coin: str) -> Decimal:
        return self.wallet.free(coin, self.open_orders())

    # --- orders

    def place(self, wish: Wish) -> Order:
        """Take an order, or raise Refused with nothing changed."""
        market = self.markets[wish.instrument.key]
        check_wish(self, wish, market)
        now, number = self.clock(), len(self.orders) + 1
        order = Order(records.order_id(self.style.uuids, number), number, wish, now, now, last_price=market.price)
        if wish.trigger is not None:
            order.state = State.WAITING
            wish.rises = wish.trigger > market.price if wish.rises is None else wish.rises
        self.orders[order.id] = order
        self._write("accepted", {"order": records.order(order)})
        self._tell_order(order)
        if order.state is State.WORKING:
            self._meet(order, market)
        return order

    def cancel(self, order: Order, why: str = "user") -> Order:
        """End an open order."""
        if not order.open:
            raise Refused(Why.FINISHED, order.state.value)
        self._end(order, State.CANCELLED, why)
        return order

    def amend(self, order: Order, quantity: Decimal | None, price: Decimal | None, trigger: Decimal | None) -> Order:
        """Change an open order in its place."""
        if not order.open:
            raise Refused(Why.FINISHED, order.state.value)
        wish, lot, tick = order.wish, order.instrument.lot, order.instrument.tick
        if (quantity or wish.quantity, price or wish.price, trigger or wish.trigger) == (
            wish.quantity,
            wish.price,
            wish.trigger,
        ):
            raise Refused(Why.UNCHANGED)
        if quantity is not None and (quantity % lot or quantity <= order.filled):
            raise Refused(Why.LOT, str(quantity))
        if (price is not None and price % tick) or (trigger is not None and trigger % tick):
            raise Refused(Why.TICK)
        wish.quantity, wish.price = quantity or wish.quantity, price or wish.price
        wish.trigger, order.updated_ms = trigger or wish.trigger, self.clock()
        self._write("amended", {"order": records.order(order)})
        self._tell_order(order)
        if order.state is State.WORKING:
            self._meet(order, self.markets[order.instrument.key])
        return order

    # --- the market moves

    def set_price(self, key: str, price: Decimal) -> None:
        """Move a market, trigger stops and fill what it crosses."""
        market = self.markets[key]
        market.set_price(price, self.clock())
        self.match(market)

    def match(self, market: Market) -> None:
        """Everything the present price triggers or fills, in order of acceptance."""
        for order in [each for each in self.open_orders() if each.instrument is market.instrument]:
            if order.state is State.WAITING and self._is_due(order, market.price):
                self._trigger(order, market)
            elif order.state is State.WORKING and self._is_crossed(order, market):
                wanted = down(order.left * self.share, order.instrument.lot) or order.left
                self.fill(order, wanted, order.wish.price or market.price, maker=True)

    def fill(self, order: Order, quantity: Decimal, price: Decimal, maker: bool, kind: str = "Trade") -> Fill | None:
        """One execution of at most what is left, and of at most the position for a reduce-only order."""
        quantity = min(quantity, order.left, self._closable(order))
        if quantity <= 0:
            self._end(order, State.CANCELLED, "reduce-only")
            return None
        fee, coin = self._fee(order, quantity, price, maker)
        number = 1 + sum(1 for each in self.fills if each.order.instrument is order.instrument)
        name = records.trade_id(self.style.uuids, order.instrument, number)
        now = self.clock()
        made = Fill(name, number, order, quantity, price, fee, coin, maker, now, kind=kind)
        order.filled, order.cost = order.filled + quantity, order.cost + quantity * price
        order.fees[coin] = order.fees.get(coin, ZERO) + fee
        order.state = State.WORKING if order.left else State.FILLED
        order.updated_ms, made.left = now, order.left
        order.fills.append(made)
        self.fills.append(made)
        self.wallet.settle(made)
        self._write("filled", {"fill": records.fill(made)})
        self._tell("fill", made)
        self._tell_order(order)
        if order.instrument.perpetual:
            self._tell("position", order.instrument)
            self._sweep(order.instrument)
        self._tell("wallet", [order.instrument.base, order.instrument.quote, coin])
        return made

    def book(self, kind: str, coin: str, change: Decimal, **reason: Any) -> Entry:
        """Money that moves without an order: deposit, withdrawal, funding."""
        entry = self.wallet.book(self.clock(), kind, coin, change, **reason)
        self._write("moved", {"entry": records.entry(entry)})
        self._tell("wallet", [coin])
        return entry

    def fill_share(self, order: Order, share: Decimal) -> None:
        """Fill a part of an open order at its price, at least one lot."""
        lot = order.instrument.lot
        price = order.wish.price or self.markets[order.instrument.key].price
        self.fill(order, max(down(order.left * share, lot), lot), price, maker=True)

    def pay_funding(self, instrument: Instrument, rate: Decimal) -> Decimal:
        """Funding of one position at the market's price; positive when received."""
        held, mark = self.wallet.position(instrument).quantity, self.markets[instrument.key].price
        amount = to_cent(-held * mark * rate)
        if held:
            about = {"funding": amount, "rate": rate, "mark": mark, "quantity": held}
            self.book("SETTLEMENT", instrument.quote, amount, instrument=instrument, **about)
        return amount

    def liquidate(self, instrument: Instrument) -> Order:
        """Close the position at the market's price in an order of the exchange's own."""
        held = self.wallet.position(instrument).quantity
        if not held:
            raise Refused(Why.NO_POSITION)
        price, now, number = self.markets[instrument.key].price, self.clock(), len(self.orders) + 1
        side = "sell" if held > 0 else "buy"
        wish = Wish(instrument, side, True, abs(held), price=None, reduce_only=True, origin="venue")
        order = Order(records.order_id(self.style.uuids, number), number, wish, now, now, last_price=price)
        self.orders[order.id] = order
        self._write("accepted", {"order": records.order(order)})
        self.fill(order, abs(held), price, maker=False, kind="BustTrade")
        return order

    def _sweep(self, instrument: Instrument) -> None:
        """A flat position ends the reduce-only orders that rest."""
        if self.wallet.position(instrument).quantity:
            return
        for order in self.open_orders():
            if order.instrument is instrument and order.wish.reduce_only and order.state is State.WORKING:
                self._end(order, State.CANCELLED, "reduce-only")

    def _meet(self, order: Order, market: Market) -> None:
        """A working order meets the book: it takes what it may, then rests or ends."""
        wish = order.wish
        if wish.time_in_force == "PO" and self._is_crossed(order, market):
            self._end(order, State.CANCELLED, "post-only")
            return
        if wish.time_in_force == "FOK" and self._takeable(order, market) < order.left:
            self._end(order, State.CANCELLED, "fill or kill")
            return
        for level in list(market.asks if wish.side == "buy" else market.bids):
            if not order.open or not self._accepts(order, level.price):
                break
            self.fill(order, min(order.left, level.size), level.price, maker=False)
        market.refresh()
        if order.open and (wish.market or wish.time_in_force in ("IOC", "FOK")):
            self._end(order, State.CANCELLED, "nothing left to take")

    def _trigger(self, order: Order, market: Market) -> None:
        order.triggered, order.state, order.updated_ms = True, State.WORKING, self.clock()
        if self._closable(order) <= 0:
            self._end(order, State.REJECTED, "no position")
            return
        coin, amount = self.wallet.hold(order)
        if not order.wish.locks and amount > self.wallet.total(coin):
            self._end(order, State.REJECTED, "not enough balance")
            return
        self._write("triggered", {"order_id": order.id})
        self._tell_order(order)
        self._meet(order, market)

    def _end(self, order: Order, state: State, why: str) -> None:
        order.state, order.ending, order.updated_ms = state, why, self.clock()
        body = {"order_id": order.id, "client_id": order.client_id, "state": state.value, "why": why}
        self._write("ended", {**body, "filled": str(order.filled)})
        self._tell_order(order)

    # --- details

    def _is_due(self, order: Order, price: Decimal) -> bool:
        trigger = order.wish.trigger
        assert trigger is not None
        return price >= trigger if order.wish.rises else price <= trigger

    def _is_crossed(self, order: Order, market: Market) -> bool:
        price = order.wish.price
        if price is None:
            return True
        return price >= market.ask if order.wish.side == "buy" else price <= market.bid

    def _accepts(self, order: Order, price: Decimal) -> bool:
        limit = order.wish.price
        return limit is None or (price <= limit if order.wish.side == "buy" else price >= limit)

    def _takeable(self, order: Order, market: Market) -> Decimal:
        levels = market.asks if order.wish.side == "buy" else market.bids
        return sum((level.size for level in levels if self._accepts(order, level.price)), ZERO)

    def _closable(self, order: Order) -> Decimal:
        """How much a reduce-only order may still fill; any other as much as it wants."""
        if not order.wish.reduce_only or not order.instrument.perpetual:
            return order.left
        held = self.wallet.position(order.instrument).quantity
        return max(ZERO, held if order.wish.side == "sell" else -held)

    def _fee(self, order: Order, quantity: Decimal, price: Decimal, maker: bool) -> tuple[Decimal, str]:
        instrument = order.instrument
        rate = instrument.maker if maker else instrument.taker
        if self.fee_coin is not None:
            return fee_of(quantity * price / self.fee_coin.price, rate), self.fee_coin.coin
        if not instrument.perpetual and order.wish.side == "buy":
            return fee_of(quantity, rate), instrument.base
        return fee_of(quantity * price, rate), instrument.quote

    def _tell_order(self, order: Order) -> None:
        self._tell("order", order)

    def _tell(self, kind: str, about: Any) -> None:
        for listener in self.listeners:
            listener(kind, about)

    def _write(self, kind: str, body: dict[str, Any]) -> None:
        self.journal.write(self.clock(), self.name, kind, body | records.holdings(self.wallet))
