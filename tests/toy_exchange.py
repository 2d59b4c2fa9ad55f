"""A spot exchange of one market in this process, in ccxt's words, with a line that can lose answers.

It keeps coins promised once, triggers stops when the price reaches them, and refuses what is not covered.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, TypeVar

from engine.domain.conditions import VenueCondition, VenueState
from engine.domain.errors import OrderNotFound, VenueAmbiguous, VenueRejected, VenueUnreachable
from engine.exchanges.connected.lanes import Lane

T = TypeVar("T")
SYMBOL = "ABC/USDT"
NONE = Decimal(0)


@dataclass
class ToyOrder:
    """An order there; a stop waits until ``stop`` is reached, then it is a market order."""

    number: str
    client_id: str
    side: str
    quantity: Decimal
    limit: Decimal | None
    stop: Decimal | None
    filled: Decimal = NONE
    status: str = "open"

    @property
    def left(self) -> Decimal:
        return self.quantity - self.filled


@dataclass
class ToyExchange:
    """The exchange itself, and the ccxt client to it."""

    price: Decimal = Decimal(100)
    coins: Decimal = NONE
    orders: list[ToyOrder] = field(default_factory=list)
    trades: list[dict[str, Any]] = field(default_factory=list)
    markets: dict[str, Any] = field(default_factory=lambda: {SYMBOL: {"contractSize": None}})
    last_json_response: Any = "read"
    now_ms: int = 1_795_000_000_000

    # -- what the market does -------------------------------------------------------------------------------------

    def move(self, price: Decimal) -> None:
        """Another price; everything it reaches is executed."""
        self.price = price
        self.now_ms += 1000
        for order in [each for each in self.orders if each.status == "open"]:
            reached = order.stop is not None and (price <= order.stop if order.side == "sell" else price >= order.stop)
            crossed = order.limit is not None and (
                price >= order.limit if order.side == "sell" else price <= order.limit
            )
            if reached or (order.stop is None and crossed):
                self.fill(order, order.left)

    def fill(self, order: ToyOrder, quantity: Decimal) -> None:
        """Execute a part of an open order."""
        quantity = min(quantity, order.left)
        if order.status != "open" or quantity <= 0:
            return
        order.filled += quantity
        self.coins += quantity if order.side == "buy" else -quantity
        assert self.coins >= 0, "more was sold than there was"
        order.status = "closed" if not order.left else "open"
        self.trades.append(
            {
                "id": str(len(self.trades) + 1), "order": order.number, "symbol": SYMBOL, "side": order.side,
                "amount": str(quantity), "price": str(self.price), "timestamp": self.now_ms, "takerOrMaker": "taker",
                "fee": {"cost": "0", "currency": "USDT"}, "info": {},
            }
        )  # fmt: skip

    @property
    def free(self) -> Decimal:
        """Coins that no open sale holds."""
        return self.coins - sum(
            (each.left for each in self.orders if each.status == "open" and each.side == "sell"), NONE
        )

    def named(self, client_id: str) -> ToyOrder | None:
        """The order of that client id."""
        return next((each for each in self.orders if each.client_id == client_id), None)

    # -- ccxt -----------------------------------------------------------------------------------------------------

    def create_order(self, symbol: str, kind: str, side: str, amount: str, price: str | None, params: Any) -> Any:
        """Place an order."""
        assert symbol == SYMBOL
        client_id, quantity = params["clientOrderId"], Decimal(amount)
        assert self.named(client_id) is None, f"{client_id} was sent twice"
        stop = Decimal(params["stopLossPrice"]) if "stopLossPrice" in params else None
        if side == "sell" and quantity > self.free:
            raise VenueRejected("Account has insufficient balance for requested action.")
        if stop is not None and (self.price <= stop if side == "sell" else self.price >= stop):
            raise VenueRejected("Order would trigger immediately. -2021")
        order = ToyOrder(str(len(self.orders) + 1), client_id, side, quantity, Decimal(price) if price else None, stop)
        self.orders.append(order)
        if kind == "market" and stop is None:
            self.fill(order, quantity)
        elif order.limit is not None and stop is None:
            self.move(self.price)
        return self._told(order)

    def cancel_order(self, _number: str | None, _symbol: str, params: Any) -> Any:
        """Cancel an order."""
        order = self.named(params["clientOrderId"])
        if order is None or order.status != "open":
            raise OrderNotFound("Unknown order sent.")
        order.status = "canceled"
        return self._told(order)

    def fetch_order(self, number: str | None, _symbol: str, params: Any) -> Any:
        """One order."""
        found = self.named(params["clientOrderId"]) if number is None else self.orders[int(number) - 1]
        if found is None:
            raise OrderNotFound("Order does not exist.")
        return self._told(found)

    def fetch_open_orders(self, *_: Any) -> Any:
        """All that may still fill."""
        return [self._told(order) for order in self.orders if order.status == "open"]

    def fetch_my_trades(self, _symbol: str, since: int, _limit: int, _params: Any) -> Any:
        """Executions, oldest first."""
        return [dict(trade) for trade in self.trades if trade["timestamp"] >= since]

    def fetch_balance(self, _params: Any) -> Any:
        """What is held."""
        total = {"ABC": str(self.coins), "USDT": "1"}
        return {"info": {}, "total": total, "free": {"ABC": str(self.free), "USDT": "1"}}

    def _told(self, order: ToyOrder) -> dict[str, Any]:
        return {
            "id": order.number, "clientOrderId": order.client_id, "symbol": SYMBOL, "side": order.side,
            "status": order.status, "amount": str(order.quantity), "filled": str(order.filled),
            "price": str(order.limit) if order.limit else None, "timestamp": self.now_ms, "info": {},
            "triggerPrice": str(order.stop) if order.stop else None,
        }  # fmt: skip


@dataclass
class ToyLine:
    """A line to it; ``troubles`` are used up one by one: "" is none, "lost" loses the answer, "cut" sends nothing, and
    "void" sends nothing that anybody would know of.
    """

    exchange: ToyExchange
    troubles: list[str] = field(default_factory=list)
    offset_ms: int = 0

    @property
    def condition(self) -> VenueCondition:
        """Always well."""
        return VenueCondition("binance", VenueState.ONLINE)

    def ask(self, _lane: Lane, question: Callable[[Any], T], _weight: int = 1) -> T:
        """Ask; may not be answered."""
        if self._trouble():
            raise VenueUnreachable("no answer")
        return question(self.exchange)

    def send(
        self, _lane: Lane, call: Callable[[Any], T], _weight: int = 1, late: Callable[[T], None] | None = None
    ) -> T:
        """Send; may not arrive, or not be answered."""
        trouble = self._trouble()
        if trouble == "cut":
            raise VenueUnreachable("nothing was sent")
        if trouble == "void":
            raise VenueAmbiguous("no answer")
        answer = call(self.exchange)
        if trouble == "lost":
            raise VenueAmbiguous("no answer")
        return answer

    def _trouble(self) -> str:
        return self.troubles.pop(0) if self.troubles else ""
