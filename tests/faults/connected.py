"""A whole book at the stand-in exchange: loop, core, gateway, line and the real library; its journal is the judge.

Wall time, monotonic time and the exchange's own clock move together and only by hand, so that nothing waits for time.
A crash throws every object away; what comes after is built from the journal alone, as after a kill.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

from engine.domain.commands import Actor, CancelOrder, Command, CommandBody, PlaceOrder, Role
from engine.domain.facts import CommandDone, SleeveConfigured
from engine.domain.instruments import Instrument, InstrumentKey, Kind
from engine.domain.market import Bars, Candle, FeedStatus, Timeframe
from engine.domain.orders import CashFlow, OrderState, OrderType, Side
from engine.exchanges import EXCHANGES
from engine.exchanges.connected.dialects import VenueRow
from engine.exchanges.connected.lanes import SILENT_HEADERS, Lane, Pace
from engine.exchanges.connected.line import Line
from engine.exchanges.connected.line_setup import PATIENCE_S, LineSetup
from engine.exchanges.connected.listing import read_listed
from engine.exchanges.connected.venue import ConnectedVenue
from engine.exchanges.connected.venue_rows import BINANCE, BINANCE_PERP, BYBIT
from engine.execution.identity import ClientIds, base36
from engine.execution.tracker import TrackedOrder
from engine.ledger.ledger import Ledger
from engine.trading.book import Book
from engine.trading.config import PATIENT, BookConfig, StopScope
from engine.trading.core import TradingCore
from engine.trading.loop import TradingLoop
from engine.trading.recovery import Reconciler, Recovered, recover, take_baseline
from engine.trading.sleeves import build_strategy
from engine.trading.stopping import StopDriver
from tests.standin.client import SECRET, StandIn, running
from tests.standin.judge import BookedFill, Verdict, differences, judge
from tests.trading.harness import ListJournal, Script

D = Decimal
MINUTE = Timeframe(60)
FUNDS = "USDT=200000,BTC=0.5,ETH=2"
CAPITAL = D(100_000)
FAST = {Lane.CLOSE: 0.4, Lane.STATUS: 0.4, Lane.ENTRY: 0.4, Lane.DATA: 5.0}
"""Patience, seconds, of tests about answers that do not come."""
UNHURRIED = Pace(1_000_000, 1.0)
"""Limits of the exchange wait in real time; only tests about them keep them."""
_numbers = count(1)
_clocks: dict[int, MovedClock] = {}
"""Time at an exchange only moves forward, also from test to test."""


class Killed(BaseException):
    """The process is gone at this very line."""


@dataclass(frozen=True)
class Market:
    """Where a test trades: the venue row, what the stand-in calls it, the unified symbol."""

    row: VenueRow
    where: str
    symbol: str

    @property
    def key(self) -> InstrumentKey:
        return InstrumentKey(f"{self.row.name}:{self.symbol}")

    @property
    def is_perpetual(self) -> bool:
        return ":" in self.symbol

    def __str__(self) -> str:
        return f"{self.row.name}-{'perpetual' if self.is_perpetual else 'spot'}"


BYBIT_PERP = Market(BYBIT, "bybit", "BTC/USDT:USDT")
BYBIT_SPOT = Market(BYBIT, "bybit", "BTC/USDT")
BINANCE_SPOT = Market(BINANCE, "binance", "BTC/USDT")
USDM = Market(BINANCE_PERP, "usdm", "BTC/USDT:USDT")
THREE = (BYBIT_PERP, BYBIT_SPOT, BINANCE_SPOT)
FOUR = (*THREE, USDM)


@dataclass
class MovedClock:
    """Real time, moved forward by hand; both clocks together unless only one is."""

    ahead_s: float = 0.0
    wall_only_s: float = 0.0

    def now(self) -> datetime:
        """Aware UTC."""
        return datetime.now(UTC) + timedelta(seconds=self.ahead_s + self.wall_only_s)

    def monotonic(self) -> float:
        """Seconds."""
        return time.monotonic() + self.ahead_s

    def ms(self) -> int:
        """Wall time in milliseconds, as a client signs it."""
        return int(self.now().timestamp() * 1000)


@dataclass
class Start:
    """What the stand-in's journal held when a test began."""

    fills: int = 0
    orders: frozenset[str] = field(default_factory=frozenset)


class Rig:
    """One book at one venue of the stand-in exchange."""

    def __init__(
        self,
        exchange: StandIn,
        market: Market,
        folder: Path,
        *,
        symbols: Sequence[str] = (),
        sleeves: Sequence[str] = ("momentum",),
        patience_s: dict[Lane, float] | None = None,
        stop_scope: StopScope = StopScope.ACCOUNT,
        journal: ListJournal | None = None,
        clock: MovedClock,
        paced: bool = False,
    ) -> None:
        self.exchange, self.market, self.folder = exchange, market, folder
        self.symbols = (market.symbol, *symbols)
        self.key = market.key
        self.name = market.row.name
        self.patience_s = dict(PATIENCE_S) if patience_s is None else patience_s
        self.stop_scope = stop_scope
        self.clock = clock
        self.paced = paced
        self.journal = ListJournal() if journal is None else journal
        self.script = Script()
        self.installation = base36(next(_numbers), 5)
        self.epoch = 0
        self.notices: list[tuple[str, str]] = []
        self.conditions: list[str] = []
        self.price = D(50_000)
        self.exchange.price("BTCUSDT", self.price)
        self.at = self.clock.now().replace(second=0, microsecond=0)
        verdict = judge(exchange.journal, market.where)
        self.start = Start(len(verdict.fills), frozenset(verdict.orders))
        self._commands = count(1)
        self.line: Line
        self.recovered: Recovered | None = None
        self._build()
        self._begin(sleeves)

    # -- building -------------------------------------------------------------------------------------------------

    def _opened(self, keyed: bool) -> Any:
        client = self.exchange.client(self.market.where, "swap" if self.market.is_perpetual else "spot")
        if not keyed:
            client.apiKey = client.secret = None
        client.enableLastJsonResponse = client.enableLastResponseHeaders = True
        client.options |= dict(self.market.row.dialect.options)
        client.milliseconds = self.clock.ms
        client.timeout = int(max(self.patience_s.values()) * 1000)
        return client

    def _line(self) -> Line:
        row = self.market.row
        exchange_row = replace(EXCHANGES["binance" if self.name.startswith("binance") else "bybit"])
        limits = row.limits
        setup = LineSetup(
            row.name, exchange_row, self._opened, self.folder / f"{self.installation}.json", (SECRET,),
            limits.pace if self.paced else UNHURRIED, limits.use_headers if self.paced else SILENT_HEADERS,
            limits.doubtful_codes, limits.refusals,
            has_nonce=limits.has_nonce, patience_s=self.patience_s,
        )  # fmt: skip
        return Line(setup, self.clock, lambda told: self.conditions.append(told.state.value))

    def _build(self) -> None:
        self.epoch += 1
        self.line = self._line()
        listed = read_listed(self.market.row, self.line.load_markets(), self.symbols, D(1))
        self.line.measure_offset()
        config = BookConfig(
            "live", "live", "t0", False, "USDT", MINUTE, reserve_bps=D(25), look_gap_s=2.0, not_found_window_s=10.0,
            looks=PATIENT, stop_scope=self.stop_scope,
        )  # fmt: skip
        self.book = Book(config, ClientIds("t0", self.installation, self.epoch), Ledger("USDT"))
        self.instruments: tuple[Instrument, ...] = tuple(each.instrument for each in listed)
        for instrument in self.instruments:
            self.book.add_instrument(instrument)

        def intent(client_id: str) -> Any:
            order = self.book.tracker.get(client_id)
            return None if order is None else order.intent

        self.venue = ConnectedVenue(self.market.row, self.line, listed, self.clock, intent)
        self.loop = TradingLoop(
            TradingCore(self.book, self.script), self.journal, {self.name: self.venue}, self.clock, self._observe
        )
        self.stop = StopDriver(self.loop, self.clock)
        self.reconciler = Reconciler(self.loop, self.clock)

    def _begin(self, sleeves: Sequence[str]) -> None:
        self.loop.load()
        at = self.clock.now()
        self.loop.fund([CashFlow(self.name, "capital", "USDT", CAPITAL, at, "capital")])
        take_baseline(self.loop)
        self.first_cursor = self.book.cursors[self.name]
        for name in sleeves:
            _, values = build_strategy(name, "{}")
            keys = tuple(sorted(i.key for i in self.instruments))
            self.loop.take([SleeveConfigured(name, True, values, keys, D(1) / len(sleeves), at)], at)
        self.loop.maybe_checkpoint(force=True)
        recover(self.loop, self.pass_time)
        self._go_online()

    def _go_online(self) -> None:
        self.loop.step(FeedStatus(self.name, self.at, True, "test"))
        self.bar()

    def _observe(self, _event: object, outcome: Any) -> None:
        self.notices += [(notice.title, notice.detail) for notice in outcome.notices]

    # -- time and market ------------------------------------------------------------------------------------------

    def pass_time(self, seconds: float) -> None:
        """Let time pass here and at the exchange."""
        self.clock.ahead_s += seconds
        self.exchange.call("clock", skew_ms=round(self.clock.ahead_s * 1000))

    def move(self, price: object) -> None:
        """Move the market at the exchange; the engine has not heard of it yet."""
        self.price = D(str(price))
        self.exchange.price("BTCUSDT", self.price)

    def bar(self, price: object = None, low: object = None, high: object = None) -> None:
        """One closed candle of every instrument, at the exchange first."""
        for each in (low, high, price):
            if each is not None:
                self.move(each)
        self.at += MINUTE.delta
        behind = (self.at - self.clock.now()).total_seconds()
        if behind > 0:
            self.pass_time(behind)
        close = self.price
        least, most = min(D(str(low or close)), close), max(D(str(high or close)), close)
        opened_at = self.at - MINUTE.delta
        candles = [
            Candle(i.key, MINUTE, opened_at, close, most, least, close, D(1000))
            for i in sorted(self.instruments, key=lambda each: each.key)
            if i.base == "BTC"
        ]
        self.loop.step(Bars(self.at, tuple(candles)))
        self.book.feeds[self.name].last_wall_time = self.clock.now()
        self.pulse()

    def pulse(self) -> None:
        """What the engine does between two market events."""
        self.loop.hear()
        self.stop.drive()
        if not self.book.latched:
            self.loop.resolve()
            self.loop.drive_baskets()
        self.reconciler.drive()
        self.loop.maybe_checkpoint()

    def live(self, seconds: float, beat_s: float = 3.0) -> None:
        """So many seconds of beats."""
        for _ in range(max(1, round(seconds / beat_s))):
            self.pass_time(beat_s)
            self.pulse()

    # -- orders ---------------------------------------------------------------------------------------------------

    def command(self, body: CommandBody) -> CommandDone:
        """Carry out a command under a new id."""
        actor = Actor("jo", Role.ADMIN, "test")
        name = f"{self.installation}-{self.epoch}-{next(self._commands)}"
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

    # -- crash and judgement --------------------------------------------------------------------------------------

    def crash(self) -> tuple[str, ...]:
        """Throw the engine away and build another from the journal; what its recovery found to differ."""
        self.loop.retire()
        self.hang_up()
        self._build()
        self.loop.load()
        self.recovered = recover(self.loop, lambda s: self.pass_time(max(s, 3.0)))
        self._go_online()
        return self.recovered.differences

    def settle(self) -> None:
        """Let every doubt end."""
        self.exchange.clear()
        self.live(45, 5.0)

    def differences(self, *, judges_money: bool = True) -> list[str]:
        """Everything in which the books and the exchange's own record disagree."""
        verdict = self.at_exchange()
        balances = self._balances() if judges_money else None
        found = differences(verdict, None, self._booked_fills(), balances, self._positions())
        return found + self._order_differences(verdict)

    def _booked_fills(self) -> list[BookedFill]:
        return [
            BookedFill(
                row["trade_id"].rpartition(":")[2], self._instrument_there(row["instrument"]), row["side"],
                D(row["quantity"]), D(row["price"]), D(row["fee"]), row["fee_currency"],
            )
            for row in self.journal.rows
            if row["type"] == "Fill"
        ]  # fmt: skip

    def _instrument_there(self, key: str) -> str:
        symbol = key.partition(":")[2]
        pair, _, settled = symbol.partition(":")
        return f"{'linear' if settled else 'spot'}:{pair.replace('/', '')}"

    def _balances(self) -> dict[str, Decimal]:
        sums: dict[str, Decimal] = {}
        for parts in (self.book.ledger.balances, self.book.external):
            for (_, coin), amount in parts.items():
                sums[coin] = sums.get(coin, D(0)) + amount
        return sums

    def _positions(self) -> dict[str, Decimal]:
        positions = {
            self._instrument_there(i.key): self.book.ledger.account_position(i.key)
            for i in self.instruments
            if i.kind is Kind.PERPETUAL
        }
        others = {self._instrument_there(key): held.quantity for key, held in self.book.outside.positions.items()}
        return {key: quantity for key, quantity in (positions | others).items() if quantity}

    def _order_differences(self, verdict: Verdict) -> list[str]:
        """Legs at the exchange are one order here; orders the gateway keeps itself are not there."""
        found: list[str] = []
        sums: dict[str, tuple[Decimal, bool]] = {}
        for each in verdict.sent:
            client_id = self._engine_id(each.client_id)
            filled, is_open = sums.get(client_id, (D(0), False))
            sums[client_id] = (filled + each.filled, is_open or each.is_open)
        known = set(self.ids())
        for client_id, (filled, is_open) in sums.items():
            if client_id not in known:
                found.append(f"order lost: {client_id} is not in the books")
                continue
            booked = sum((D(r["quantity"]) for r in self._fill_rows(client_id)), D(0))
            if booked != filled:
                found.append(f"{client_id}: {booked} booked, {filled} filled there")
            state = self.state(client_id)
            if is_open is state.is_final:
                found.append(f"{client_id}: {state.value} here, {'open' if is_open else 'not open'} there")
        booked_as = {r["client_id"]: OrderState(r["state"]) for r in self.journal.rows if r["type"] == "OrderUpdate"}
        for client_id, state in booked_as.items():
            order = self.book.tracker.get(client_id)
            works = state in (OrderState.WORKING, OrderState.PARTIAL)
            is_kept = order is not None and order.venue_order_id is None
            if client_id not in sums and works and not is_kept:
                found.append(f"{client_id} is {state.value} here and was never there")
        return found

    def _fill_rows(self, client_id: str) -> list[dict[str, Any]]:
        return [row for row in self.journal.rows if row["type"] == "Fill" and row["client_id"] == client_id]

    @staticmethod
    def _engine_id(exchange_id: str) -> str:
        if len(exchange_id) != 32 or exchange_id[24:27] != "1e6":
            return exchange_id
        number, text = int(exchange_id[:24], 16), ""
        while number:
            number, digit = divmod(number, 36)
            text = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + text
        return text.rjust(18, "0")

    def hang_up(self) -> None:
        """End the line; what it had begun to send arrives, as packets do that are on their way."""
        self.line.close()
        for pool in self.line._pools.values():
            pool.shutdown(wait=True)

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
def rig(exchange: StandIn, market: Market, folder: Path, *, judges_money: bool = True, **more: Any) -> Iterator[Rig]:
    """A book for the length of the block; at its end every doubt is resolved and nothing may differ."""
    clean(exchange, market.where)
    clock = _clocks.setdefault(exchange.port, MovedClock())
    clock.ahead_s += 1.0
    exchange.call("clock", skew_ms=round(clock.ahead_s * 1000))
    made = Rig(exchange, market, folder, clock=clock, **more)
    try:
        yield made
        made.settle()
        found = made.differences(judges_money=judges_money)
        assert not found, "\n".join(found)
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
