"""The control calls of the stand-in exchange: what a test may do to it from outside, as `POST /standin/<name>`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from aiohttp import web

from . import records
from .amounts import text
from .calls import Answer
from .exchange import Exchange, FeeCoin
from .instruments import Instrument
from .keys import KEY, Key
from .orders import Order, Refused, State, Why, Wish
from .world import World

Body = dict[str, Any]


class Control:
    """Answers the control calls; a mistake in one is a 400 with the reason."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._gate = asyncio.Event()
        self._calls: dict[str, Callable[[Body], Any]] = {
            name: getattr(self, f"_{name}")
            for name in (
                "state", "journal", "requests", "fault", "faults", "clear", "price", "walk", "order", "cancel",
                "fill", "clock", "key", "instrument", "funding", "liquidate", "transfer", "fees", "depth", "limits",
                "release", "forget", "restart", "idle",
            )
        }  # fmt: skip

    async def answer(self, request: web.Request, name: str) -> Answer:
        """Run a control call."""
        raw = await request.text()
        body: Body = json.loads(raw) if raw else {}
        if name == "drop":
            return Answer({"dropped": await self.world.hub.drop(body.get("venue", ""))})
        if name not in self._calls:
            return Answer({"error": f"no control call {name}; known are {', '.join(self._calls)}"}, 404)
        try:
            return Answer(self._calls[name](body))
        except (Refused, ValueError, KeyError, ArithmeticError, TypeError) as error:
            return Answer({"error": f"{type(error).__name__}: {error}"}, 400)

    async def released(self, longest_s: float) -> None:
        """Wait for the call that releases what is held."""
        try:
            await asyncio.wait_for(self._gate.wait(), longest_s)
        except TimeoutError:
            return

    # --- looking

    def _state(self, _: Body) -> Any:
        return {
            "now": self.world.now_ms(),
            "skew_ms": self.world.skew_ms,
            "streams": {name: len(self.world.hub.of(name)) for name in self.world.exchanges},
            "opened": dict(self.world.hub.opened),
            "signed_in": {name: len(self.world.hub.of(name, private=True)) for name in self.world.exchanges},
            "venues": {name: _account(each) for name, each in self.world.exchanges.items()},
        }

    def _journal(self, _: Body) -> Any:
        return [json.loads(line) for line in self.world.journal.path.read_bytes().splitlines()]

    def _requests(self, body: Body) -> Any:
        wanted = {name: value for name, value in body.items() if name in ("venue", "where")}
        return [line for line in self.world.requests if all(line[name] == value for name, value in wanted.items())]

    def _forget(self, _: Body) -> Any:
        self.world.requests.clear()
        return {}

    # --- faults

    def _fault(self, body: Body) -> Any:
        fault = self.world.faults.plant(body)
        self.world.journal.write(self.world.now_ms(), fault.venue, "fault", {"fault": body})
        return {"planted": fault.kind}

    def _faults(self, _: Body) -> Any:
        return self.world.faults.listing()

    def _clear(self, body: Body) -> Any:
        self.world.faults.clear(body.get("kind", ""))
        return {}

    def _idle(self, _: Body) -> Any:
        """Faults that were planted, forgotten, and changed nothing in between."""
        return self.world.faults.told_idle()

    def _release(self, _: Body) -> Any:
        self._gate.set()
        self._gate = asyncio.Event()
        return {}

    def _restart(self, body: Body) -> Any:
        """The exchange's services restart: recent lists forget closed orders, which the history still has."""
        exchange = self.world.exchanges[body["venue"]]
        exchange.first_recent = len(exchange.orders) + 1
        return {}

    def _clock(self, body: Body) -> Any:
        self.world.skew_ms = int(body["skew_ms"])
        return {"now": self.world.now_ms()}

    def _limits(self, body: Body) -> Any:
        self.world.enforce_limits = bool(body["enforce"])
        return {}

    def _key(self, body: Body) -> Any:
        """Change a key, or make one that was not there."""
        name = body.get("key", KEY)
        found = self.world.keys.setdefault(name, Key(key=name))
        for field, value in body.items():
            setattr(found, field, tuple(value) if field == "addresses" else value)
        return {"key": name}

    # --- the market

    def _price(self, body: Body) -> Any:
        moved = self._chosen(body)
        for exchange, instrument in moved:
            exchange.set_price(instrument.key, Decimal(str(body["price"])))
        return {"moved": len(moved)}

    def _walk(self, body: Body) -> Any:
        share = body.get("share")
        if "steps" not in body:
            self.world.walking = None if share is None else Decimal(str(share))
            return {}
        for _ in range(int(body["steps"])):
            for exchange, instrument in self._chosen(body):
                exchange.markets[instrument.key].walk(Decimal(str(share or "0.001")), self.world.now_ms())
                exchange.matching.match(exchange.markets[instrument.key])
        return {}

    def _depth(self, body: Body) -> Any:
        """How much is on offer, and which share of a resting order one touch fills."""
        for exchange, instrument in self._chosen(body):
            market = exchange.markets[instrument.key]
            market.level_notional = Decimal(str(body.get("notional", market.level_notional)))
            market.levels = int(body.get("levels", market.levels))
            market.refresh()
            exchange.share = Decimal(str(body.get("share", exchange.share)))
        return {}

    def _instrument(self, body: Body) -> Any:
        """Delist (also by announcement), halt, or change the steps of an instrument."""
        chosen = self._chosen(body)
        for exchange, instrument in chosen:
            for name in ("tick", "lot", "min_quantity", "max_quantity", "min_notional", "maker", "taker"):
                if name in body:
                    setattr(instrument, name, Decimal(str(body[name])))
            instrument.status = body.get("status", instrument.status)
            instrument.ends_ms = int(body.get("ends_ms", instrument.ends_ms))
            exchange.set_price(instrument.key, exchange.markets[instrument.key].price)
        return {"changed": len(chosen)}

    def _fees(self, body: Body) -> Any:
        """Charge fees in a third coin, or in the usual ones again."""
        coin = body.get("coin")
        fee = FeeCoin(coin, Decimal(str(body.get("price", 1)))) if coin else None
        self.world.exchanges[body["venue"]].fee_coin = fee
        return {}

    # --- the account

    def _order(self, body: Body) -> Any:
        """The trader's own order by hand."""
        exchange = self.world.exchanges[body["venue"]]
        instrument = exchange.instrument(_is_perpetual(body), body["symbol"])
        price, trigger = body.get("price"), body.get("trigger")
        wish = Wish(
            instrument,
            body["side"],
            price is None,
            Decimal(str(body["quantity"])),
            body.get("client_id", ""),
            None if price is None else Decimal(str(price)),
            body.get("time_in_force", "GTC"),
            bool(body.get("reduce_only", False)),
            None if trigger is None else Decimal(str(trigger)),
            origin="hand",
        )
        return _order(exchange.place(wish))

    def _cancel(self, body: Body) -> Any:
        exchange, order = self._named(body)
        return _order(exchange.cancel(order, "hand"))

    def _fill(self, body: Body) -> Any:
        """Fill part of an open order at its price."""
        exchange, order = self._named(body)
        quantity = Decimal(str(body.get("quantity", order.left)))
        price = body.get("price") or order.wish.price or exchange.markets[order.instrument.key].price
        exchange.matching.fill(order, quantity, Decimal(str(price)), maker=True)
        return _order(order)

    def _transfer(self, body: Body) -> Any:
        """A deposit, or with a negative amount a withdrawal."""
        amount = Decimal(str(body["amount"]))
        kind = "TRANSFER_IN" if amount > 0 else "TRANSFER_OUT"
        entry = self.world.exchanges[body["venue"]].book(kind, body["coin"], amount)
        return {"balance": text(entry.balance)}

    def _funding(self, body: Body) -> Any:
        """Longs pay ``rate`` of the position's value at the market's price; shorts get it."""
        exchange = self.world.exchanges[body["venue"]]
        instrument = exchange.instrument(True, body["symbol"])
        paid = exchange.pay_funding(instrument, Decimal(str(body["rate"])))
        return {"received": text(paid)}

    def _liquidate(self, body: Body) -> Any:
        """The exchange closes the position at the market's price, as it does when the margin is gone."""
        exchange = self.world.exchanges[body["venue"]]
        order = exchange.matching.liquidate(exchange.instrument(True, body["symbol"]))
        return _order(order)

    # --- details

    def _chosen(self, body: Body) -> list[tuple[Exchange, Instrument]]:
        """Instruments by symbol, at one venue or all, spot and perpetual unless one is named."""
        names = [body["venue"]] if body.get("venue") else list(self.world.exchanges)
        found = [
            (self.world.exchanges[name], instrument)
            for name in names
            for instrument in self.world.exchanges[name].instruments.values()
            if body.get("symbol") in (None, instrument.symbol) and body.get("perpetual") in (None, instrument.perpetual)
        ]
        if not found:
            raise KeyError(f"no instrument for {body}")
        return found

    def _named(self, body: Body) -> tuple[Exchange, Order]:
        exchange = self.world.exchanges[body["venue"]]
        order = exchange.find(body.get("order_id"), body.get("client_id"))
        if order is None:
            raise Refused(Why.NOT_FOUND, str(body))
        return exchange, order


def _is_perpetual(body: Body) -> bool:
    return bool(body.get("perpetual", body["venue"] == "usdm"))


def _order(order: Order) -> dict[str, Any]:
    return {"state": order.state.value, "filled": text(order.filled), **records.order(order)}


def _account(exchange: Exchange) -> dict[str, Any]:
    held = records.holdings(exchange.wallet)
    working = [_order(order) for order in exchange.orders.values() if order.state in (State.WAITING, State.WORKING)]
    prices = {key: text(market.price) for key, market in exchange.markets.items()}
    return {**held, "open_orders": working, "prices": prices, "fills": len(exchange.fills)}
