"""A whole engine at the stand-in exchange: loop, core, gateway, line and the real library, moved on by hand.

Wall time, monotonic time and the exchange's own clock move together and only by hand, so that nothing waits for time.
A crash throws every object away; what comes after is built from the journal alone, as after a kill.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

from engine.domain.facts import SleeveConfigured
from engine.domain.instruments import Instrument
from engine.domain.market import Bars, Candle, FeedStatus
from engine.domain.orders import CashFlow
from engine.exchanges import EXCHANGES, ExchangeRow
from engine.exchanges.client import Credentials, Door, open_client
from engine.exchanges.connected.lanes import SILENT_HEADERS, Lane
from engine.exchanges.connected.line import Line
from engine.exchanges.connected.line_setup import PATIENCE_S, LineSetup
from engine.exchanges.connected.listing import read_listed
from engine.exchanges.connected.venue import ConnectedVenue
from engine.execution.identity import ClientIds, base36
from engine.ledger.ledger import Ledger
from engine.trading.book import Book
from engine.trading.config import PATIENT, BookConfig, StopScope
from engine.trading.core import TradingCore
from engine.trading.loop import TradingLoop
from engine.trading.recovery import Reconciler, Recovered, recover, take_baseline
from engine.trading.sleeves import build_strategy
from engine.trading.stopping import StopDriver
from tests.faults.connected_markets import CAPITAL, MINUTE, UNHURRIED, D, Market, MovedClock
from tests.standin.client import KEY, SECRET, StandIn
from tests.standin.judge import judge
from tests.trading.harness import ListJournal, Script

FIRST_PRICE = D(50_000)
_numbers = count(1)


@dataclass
class Start:
    """What the stand-in's journal held when a test began."""

    fills: int = 0
    orders: frozenset[str] = field(default_factory=frozenset)


class Driven:
    """One book at one venue of the stand-in exchange, and what makes its time pass."""

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
        installation: str = "",
        price: Decimal = FIRST_PRICE,
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
        self.journal: Any = ListJournal()
        self.script = Script()
        self.installation = installation or base36(next(_numbers), 5)
        self.epoch = 0
        self.notices: list[tuple[str, str]] = []
        self.conditions: list[str] = []
        self.price = price
        self.exchange.price("BTCUSDT", self.price)
        self.at = self.clock.now().replace(second=0, microsecond=0)
        verdict = judge(exchange.journal, market.where)
        self.start = Start(len(verdict.fills), frozenset(verdict.orders))
        self.line: Line
        self.recovered: Recovered | None = None
        self._build()
        self._begin(sleeves)

    # -- building -------------------------------------------------------------------------------------------------

    def _opened(self, keyed: bool) -> Any:
        row = self.market.row
        door = Door(Credentials(KEY, SECRET) if keyed else None, rest_url=self.exchange.rest_url(self.market.where))
        client = open_client(replace(self._exchange_row(), ccxt_id=row.ccxt_id), door)
        client.options |= dict(row.dialect.options) | {"defaultType": "swap" if self.market.is_perpetual else "spot"}
        client.milliseconds = self.clock.ms
        client.timeout = int(max(self.patience_s.values()) * 1000)
        return client

    def _exchange_row(self) -> ExchangeRow:
        return EXCHANGES["binance" if self.name.startswith("binance") else "bybit"]

    def _line(self) -> Line:
        row = self.market.row
        limits = row.limits
        setup = LineSetup(
            row.name, self._exchange_row(), self._opened, self.folder / f"{self.installation}.json", (SECRET,),
            limits.pace if self.paced else UNHURRIED, limits.use_headers if self.paced else SILENT_HEADERS,
            limits.doubtful_codes, limits.refusals,
            has_nonce=limits.has_nonce, patience_s=self.patience_s,
        )  # fmt: skip
        return Line(setup, self.clock, lambda told: self.conditions.append(told.state.value))

    def _take_over(self) -> None:
        """A new epoch begins."""
        self.epoch += 1

    def _build(self) -> None:
        self._take_over()
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

    # -- crash ----------------------------------------------------------------------------------------------------

    def crash(self) -> tuple[str, ...]:
        """Throw the engine away and build another from the journal; what its recovery found to differ."""
        self.loop.retire()
        self.hang_up()
        self._build()
        self.loop.load()
        self.recovered = recover(self.loop, lambda s: self.pass_time(max(s, 3.0)))
        self._go_online()
        return self.recovered.differences

    def hang_up(self) -> None:
        """End the line; what it had begun to send arrives, as packets do that are on their way."""
        self.line.close()
        for pool in self.line._pools.values():
            pool.shutdown(wait=True)
