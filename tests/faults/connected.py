"""A book at the stand-in exchange as fault tests use it: orders by hand, looks at both sides, and the verdict."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

from engine.domain.commands import Actor, CancelOrder, Command, CommandBody, PlaceOrder, Role
from engine.domain.facts import CommandDone
from engine.domain.instruments import InstrumentKey, Kind
from engine.domain.orders import OrderState, OrderType, Side
from engine.execution.tracker import TrackedOrder
from tests.faults.connected_compared import booked_fills, instrument_there, last_states, order_differences
from tests.faults.connected_driven import Driven
from tests.faults.connected_markets import (
    BINANCE_SPOT,
    BYBIT_PERP,
    BYBIT_SPOT,
    FAST,
    FOUR,
    FUNDS,
    THREE,
    USDM,
    D,
    Killed,
    Market,
    MovedClock,
)
from tests.standin.client import StandIn, running
from tests.standin.judge import Verdict, differences, judge

__all__ = [
    "BINANCE_SPOT", "BYBIT_PERP", "BYBIT_SPOT", "FAST", "FOUR", "THREE", "USDM", "D", "Killed", "Market", "Rig",
    "rig", "stand_in", "until",
]  # fmt: skip
_clocks: dict[int, MovedClock] = {}
"""Time at an exchange only moves forward, also from test to test."""
_commands = count(1)


class Rig(Driven):
    """What a test does with a book, and what it looks at."""

    # -- orders ---------------------------------------------------------------------------------------------------

    def command(self, body: CommandBody) -> CommandDone:
        """Carry out a command under a new id."""
        actor = Actor("jo", Role.ADMIN, "test")
        name = f"{self.installation}-{self.epoch}-{next(_commands)}"
        done = self.loop.command(Command(name, actor, self.clock.now(), "test", body))
        assert done is not None
        return done

    def place(
        self,
        side: Side,
        quantity: str,
        limit: object = None,
        stop: object = None,
        *,
        reduce_only: bool = False,
        key: InstrumentKey | None = None,
    ) -> CommandDone:
        """An order by hand."""
        kind = (
            OrderType.MARKET if limit is None and stop is None else OrderType.LIMIT if stop is None else OrderType.STOP
        )
        prices = [None if each is None else D(str(each)) for each in (limit, stop)]
        return self.command(PlaceOrder("live", key or self.key, side, D(quantity), kind, *prices, reduce_only))

    def buy(self, quantity: str = "0.01", limit: object = None) -> str:
        """Buy by hand; its client id."""
        done = self.place(Side.BUY, quantity, limit)
        assert done.status == "done", done.detail
        return self.ids()[-1]

    def cancel(self, client_id: str) -> CommandDone:
        """Cancel by hand."""
        return self.command(CancelOrder("live", client_id))

    def want(self, conviction: float, stop: str = "4000", sleeve: str = "momentum") -> None:
        """Script a strategy's opinion; ``stop`` is its distance."""
        for instrument in self.instruments:
            self.script.views[(sleeve, instrument.key)] = (conviction, stop)

    def enter(self) -> None:
        """Have the strategy buy, and its stop rest at the exchange."""
        self.want(1.0)
        self.bar()
        self.live(35, 5.0)
        assert self.held("momentum") > 0, f"{self.book.sleeves['momentum'].ideas} {self.titles()}"

    # -- looking --------------------------------------------------------------------------------------------------

    def ids(self, purpose: str = "") -> list[str]:
        """Client ids of the intents in the journal, oldest first."""
        rows = [row for row in self.journal.rows if row["type"] == "OrderIntent"]
        return [row["client_id"] for row in rows if purpose in ("", row["purpose"])]

    def order(self, client_id: str) -> TrackedOrder:
        """An order as the book knows it."""
        order = self.book.tracker.get(client_id)
        assert order is not None
        return order

    def state(self, client_id: str) -> OrderState:
        """Its state, also when the book has put it away."""
        order = self.book.tracker.get(client_id)
        if order is not None:
            return order.state
        told = [r for r in self.journal.rows if r["type"] == "OrderUpdate" and r["client_id"] == client_id]
        return OrderState(told[-1]["state"])

    def held(self, sleeve: str = "manual") -> Decimal:
        """A sleeve's position."""
        return self.book.ledger.held(sleeve, self.key)

    def told(self) -> str:
        """The last words, for a failing test."""
        return "; ".join(f"{title}: {detail}" for title, detail in self.notices[-4:])

    def titles(self) -> str:
        """All notices so far."""
        return " | ".join(f"{title}: {detail}" for title, detail in self.notices)

    def sent(self) -> list[str]:
        """Client ids of every order that the exchange has accepted; twice where it was placed twice."""
        return [order.client_id for order in self.at_exchange().sent]

    def asked(self, where: str = "create") -> int:
        """How many such requests reached the exchange so far."""
        return len(self.exchange.requests(venue=self.market.where, where=where))

    def at_exchange(self) -> Verdict:
        """What the exchange wrote down since this test began."""
        whole = judge(self.exchange.journal, self.market.where)
        orders = {number: order for number, order in whole.orders.items() if number not in self.start.orders}
        return replace(whole, orders=orders, fills=whole.fills[self.start.fills :])

    def open_there(self) -> list[str]:
        """Client ids that work at the exchange."""
        return [order.client_id for order in self.at_exchange().open_orders]

    # -- judgement ------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Let every doubt end."""
        self.exchange.clear()
        self.live(45, 5.0)

    def differences(self, *, judges_money: bool = True) -> list[str]:
        """Everything in which the books and the exchange's own record disagree."""
        verdict = self.at_exchange()
        balances = self._balances() if judges_money else None
        found = differences(verdict, None, booked_fills(self.journal.rows), balances, self._positions())
        orders = [each for each in map(self.book.tracker.get, self.ids()) if each is not None]
        states = last_states(self.journal.rows) | {each.intent.client_id: each.state for each in orders}
        kept = [each.intent.client_id for each in orders if each.venue_order_id is None]
        return found + order_differences(self.journal.rows, verdict, states, kept)

    def _balances(self) -> dict[str, Decimal]:
        sums: dict[str, Decimal] = {}
        for parts in (self.book.ledger.balances, self.book.external):
            for (_, coin), amount in parts.items():
                sums[coin] = sums.get(coin, D(0)) + amount
        return sums

    def _positions(self) -> dict[str, Decimal]:
        positions = {
            instrument_there(i.key): self.book.ledger.account_position(i.key)
            for i in self.instruments
            if i.kind is Kind.PERPETUAL
        }
        others = {instrument_there(key): held.quantity for key, held in self.book.outside.positions.items()}
        return {key: quantity for key, quantity in (positions | others).items() if quantity}

    def uncovered(self) -> Decimal:
        """Base of the strategies' positions that no stop at the exchange covers; below a hundredth of a lot is none."""
        held = sum((self.held(name) for name in self.book.sleeves), D(0))
        resting = [o for o in self.at_exchange().open_orders if o.trigger is not None and o.origin == "api"]
        return held - sum((o.quantity - o.filled for o in resting), D(0))

    def close(self) -> None:
        """Let the line go, and leave the account without orders and positions for the next test."""
        self.hang_up()
        clean(self.exchange, self.market.where)


def clean(exchange: StandIn, where: str) -> None:
    """Faults forgotten, every order cancelled, every position closed, by hand."""
    exchange.clear()
    exchange.call("release")
    exchange.call("fees", venue=where)
    exchange.call("depth", notional="5000000", levels=50, share="1")
    exchange.call("limits", enforce=False)
    exchange.call("key", can_trade=True, can_withdraw=False, revoked=False, expired=False, addresses=["127.0.0.1"])
    state = exchange.state(where)
    for order in state["open_orders"]:
        exchange.call("cancel", venue=where, order_id=order["order_id"])
    coins = D(state["balances"].get("BTC", "0")) - D("0.5")
    if where != "usdm" and coins >= D("0.001"):
        sold = str(coins - coins % D("0.00001"))
        exchange.call("order", venue=where, symbol="BTCUSDT", side="sell", quantity=sold)
    for instrument, (quantity, *_) in state["positions"].items():
        side = "sell" if D(quantity) > 0 else "buy"
        symbol = instrument.split(":")[1]
        exchange.call("order", venue=where, symbol=symbol, side=side, quantity=str(abs(D(quantity))), perpetual=True)


@contextmanager
def rig(
    exchange: StandIn, market: Market, folder: Path, *, judges_money: bool = True, may_idle: bool = False, **more: Any
) -> Iterator[Rig]:
    """A book for the length of the block; at its end every doubt is resolved and nothing may differ.

    A planted fault that changed nothing proves nothing, and fails the test unless faults ``may_idle``.
    """
    clean(exchange, market.where)
    exchange.call("idle")
    clock = _clocks.setdefault(exchange.port, MovedClock())
    clock.ahead_s += 1.0
    exchange.call("clock", skew_ms=round(clock.ahead_s * 1000))
    made = Rig(exchange, market, folder, clock=clock, **more)
    try:
        yield made
        made.settle()
        found = made.differences(judges_money=judges_money)
        assert not found, "\n".join(found)
        idle = exchange.call("idle")
        assert may_idle or not idle, f"planted, and nothing came of it: {'; '.join(idle)}"
    finally:
        made.close()


def until(condition: Callable[[], bool], patience_s: float = 5.0) -> None:
    """Wait for something that happens on another thread or in another process."""
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


@contextmanager
def stand_in(folder: Path) -> Iterator[StandIn]:
    """A stand-in exchange for the tests of one file."""
    with running(folder, funds=FUNDS) as exchange:
        exchange.call("depth", notional="5000000", levels=50, share="1")
        yield exchange
