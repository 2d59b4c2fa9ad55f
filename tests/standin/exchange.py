"""One account at the stand-in exchange: takes orders, keeps them, tells its journal and its streams what happened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from . import records
from .amounts import is_multiple, to_cent
from .checks import check_wish
from .instruments import Instrument, listed
from .journal import Journal
from .market import Market
from .matching import Matching
from .orders import Entry, Fill, Order, Refused, State, Why, Wish
from .wallet import Wallet

Listener = Callable[[str, Any], None]
"""Gets "order" with an Order, "fill" with a Fill, "wallet" with coins, "position" with an Instrument."""
TRADER_FUNDS = {"USDT": Decimal(10_000)}


@dataclass(frozen=True, slots=True)
class Style:
    """In what the exchanges differ when they decide.

    ``unique_for_ever``: client ids are never free again; ``takes_refused``: a post-only order that would take is
    refused, else accepted and cancelled; ``uuids``: orders and trades have long names instead of numbers.
    """

    unique_for_ever: bool
    takes_refused: bool
    uuids: bool


_BINANCE = Style(unique_for_ever=False, takes_refused=True, uuids=False)
STYLES = {
    "bybit": Style(unique_for_ever=True, takes_refused=False, uuids=True),
    "binance": _BINANCE,
    "usdm": _BINANCE,
}


@dataclass(frozen=True, slots=True)
class FeeCoin:
    """A third coin that fees are charged in, at a price in the quote coin."""

    coin: str
    price: Decimal


@dataclass
class Exchange:
    """The account ``name`` ("bybit", "binance", "usdm").

    Attributes
    ----------
    share : Decimal
        Part of a resting order that one touch of its price fills.
    first_recent : int
        Number of the first order that recent lists remember; a restart of the exchange's services moves it.
    """

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
    first_recent: int = 1
    _open: dict[str, Order] = field(default_factory=dict)
    _named: dict[str, list[Order]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.style = STYLES[self.name]
        now = self.clock()
        self.instruments = listed(self.name)
        self.markets = {key: Market(each, self.seed, now) for key, each in self.instruments.items()}
        self.wallet = Wallet(self.markets)
        self.matching = Matching(self)
        for coin, amount in self.funds.items():
            self.wallet.book(now, "TRANSFER_IN", coin, amount)
        self.write("started", {})

    # --- questions

    def instrument(self, perpetual: bool, symbol: str) -> Instrument:
        """An instrument by the exchange's own name."""
        found = self.instruments.get(f"{'linear' if perpetual else 'spot'}:{symbol}")
        if found is None:
            raise Refused(Why.SYMBOL, symbol)
        return found

    def market(self, order: Order) -> Market:
        """The market of an order."""
        return self.markets[order.instrument.key]

    def open_orders(self) -> list[Order]:
        """Waiting and working orders, oldest first."""
        return list(self._open.values())

    def named(self, client_id: str) -> list[Order]:
        """All orders under a client id, oldest first."""
        return self._named.get(client_id, []) if client_id else []

    def find(self, order_id: str | None, client_id: str | None) -> Order | None:
        """The order by either name; by client id the newest, as ids may be free again."""
        if order_id:
            return self.orders.get(order_id)
        named = self.named(client_id or "")
        return named[-1] if named else None

    def free(self, coin: str) -> Decimal:
        """What a new order may use of a coin."""
        return self.wallet.free(coin, self.open_orders())

    # --- orders

    def place(self, wish: Wish) -> Order:
        """Take an order, or raise Refused with nothing changed."""
        market = self.markets[wish.instrument.key]
        check_wish(self, wish, market)
        if wish.trigger is not None and wish.rises is None:
            wish.rises = wish.trigger > market.price
        order = self.accept(wish)
        if order.state is State.WORKING:
            self.matching.meet(order)
        return order

    def accept(self, wish: Wish) -> Order:
        """Write an order into the journal; from here on it exists."""
        now, number = self.clock(), len(self.orders) + 1
        state = State.WORKING if wish.trigger is None else State.WAITING
        name = records.order_id(self.style.uuids, number)
        order = Order(name, number, wish, now, now, state, last_price=self.markets[wish.instrument.key].price)
        self.orders[order.id] = self._open[order.id] = order
        self._named.setdefault(wish.client_id, []).append(order)
        self.write("accepted", {"order": records.order(order)})
        self.tell("order", order)
        return order

    def cancel(self, order: Order, why: str = "user") -> Order:
        """End an open order."""
        if not order.open:
            raise Refused(Why.FINISHED, order.state.value)
        self.end(order, State.CANCELLED, why)
        return order

    def amend(self, order: Order, quantity: Decimal | None, price: Decimal | None, trigger: Decimal | None) -> Order:
        """Change an open order in its place."""
        if not order.open:
            raise Refused(Why.FINISHED, order.state.value)
        wish, lot, tick = order.wish, order.instrument.lot, order.instrument.tick
        wanted = (quantity or wish.quantity, price or wish.price, trigger or wish.trigger)
        if wanted == (wish.quantity, wish.price, wish.trigger):
            raise Refused(Why.UNCHANGED)
        if not is_multiple(wanted[0], lot) or wanted[0] <= order.filled:
            raise Refused(Why.LOT, str(quantity))
        if any(each is not None and not is_multiple(each, tick) for each in wanted[1:]):
            raise Refused(Why.TICK)
        wish.quantity, wish.price, wish.trigger = wanted
        order.updated_ms = self.clock()
        self.write("amended", {"order": records.order(order)})
        self.tell("order", order)
        if order.state is State.WORKING:
            self.matching.meet(order)
        return order

    def end(self, order: Order, state: State, why: str) -> None:
        """An order ends without being filled, or with less than it wanted."""
        order.state, order.ending, order.updated_ms = state, why, self.clock()
        self.forget(order)
        body = {"order_id": order.id, "client_id": order.client_id, "state": state.value, "why": why}
        self.write("ended", {**body, "filled": str(order.filled)})
        self.tell("order", order)

    def forget(self, order: Order) -> None:
        """An order that is not open any more."""
        self._open.pop(order.id, None)

    # --- money and market

    def set_price(self, key: str, price: Decimal) -> None:
        """Move a market, trigger stops and fill what it crosses."""
        self.markets[key].set_price(price, self.clock())
        self.matching.match(self.markets[key])

    def book(self, kind: str, coin: str, change: Decimal, **reason: Any) -> Entry:
        """Money that moves without an order: deposit, withdrawal, funding."""
        entry = self.wallet.book(self.clock(), kind, coin, change, **reason)
        self.write("moved", {"entry": records.entry(entry)})
        self.tell("wallet", [coin])
        return entry

    def pay_funding(self, instrument: Instrument, rate: Decimal) -> Decimal:
        """Funding of one position at the market's price; positive when received."""
        held, mark = self.wallet.position(instrument).quantity, self.markets[instrument.key].price
        amount = to_cent(-held * mark * rate)
        if held:
            about = {"funding": amount, "rate": rate, "mark": mark, "quantity": held}
            self.book("SETTLEMENT", instrument.quote, amount, instrument=instrument, **about)
        return amount

    # --- telling

    def tell(self, kind: str, about: Any) -> None:
        """Tell the streams."""
        for listener in self.listeners:
            listener(kind, about)

    def write(self, kind: str, body: dict[str, Any]) -> None:
        """Tell the journal, with what the account holds now."""
        self.journal.write(self.clock(), self.name, kind, body | records.holdings(self.wallet))
