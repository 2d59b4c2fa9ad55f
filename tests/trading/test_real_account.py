"""A book on the real gateway at the stand-in exchange: whatever happens there, books and exchange stay equal."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from connected_case import STAND_IN, Case, until

from engine.domain.commands import Actor, Command, CommandBody, EmergencyStop, PlaceOrder, Role, TradingState
from engine.domain.facts import CommandDone
from engine.domain.instruments import InstrumentKey
from engine.domain.market import Bars, Candle, FeedStatus, Timeframe
from engine.domain.orders import CashFlow, OrderType, Side
from engine.exchanges.connected.dialects import VenueRow
from engine.exchanges.connected.lanes import Budget, Pace
from engine.exchanges.connected.line import Line
from engine.exchanges.connected.venue import ConnectedVenue
from engine.exchanges.connected.venue_rows import BINANCE, BYBIT
from engine.execution.identity import ClientIds
from engine.ledger.ledger import Ledger
from engine.runtime.clock import SystemClock
from engine.trading.book import Book
from engine.trading.config import PATIENT, BookConfig
from engine.trading.core import TradingCore
from engine.trading.loop import TradingLoop
from engine.trading.recovery import compare, recover, take_baseline
from engine.trading.report import report
from engine.trading.stopping import StopDriver
from tests.standin.client import StandIn, running
from tests.trading.harness import ListJournal

SPOT, PERP = "BTC/USDT", "BTC/USDT:USDT"
MINUTE = Timeframe(60)
D = Decimal


class WideLine(Case):
    """A case whose line is not held back by the exchange's request limit."""

    def _line(self) -> Line:
        line = super()._line()
        line._budget = Budget(Pace(1_000_000, 60.0), SystemClock().monotonic)
        return line


class Account:
    """One engine on one account of the stand-in exchange."""

    def __init__(self, exchange: StandIn, row: VenueRow, symbols: tuple[str, ...], folder: Path) -> None:
        self.exchange, self.row = exchange, row
        self.where = STAND_IN[row.name][0]
        self.case = WideLine(exchange, row, symbols, folder)
        self.clock = SystemClock()
        self.journal = ListJournal()
        self.notices: list[str] = []
        self.epoch = 1
        self._build()
        self.loop.load()
        at = self.clock.now()
        self.loop.fund([CashFlow(self.row.name, "capital", "USDT", D(5000), at, "capital")])
        take_baseline(self.loop)
        self.loop.maybe_checkpoint(force=True)
        assert recover(self.loop, lambda _: None).differences == ()

    def _build(self) -> None:
        listed = self.case.venue.instruments()
        config = BookConfig("test", "test", "t1", False, "USDT", MINUTE, look_gap_s=0.2, looks=PATIENT)
        self.book = Book(config, ClientIds("t1", "abcde", self.epoch), Ledger("USDT"))
        for instrument in listed:
            self.book.add_instrument(instrument)
        self.venue = self.case.venue = ConnectedVenue(
            self.row, self.case.line, list(self.case.venue._parts.listed.values()), self.clock, self._intent
        )
        core = TradingCore(self.book)
        self.loop = TradingLoop(core, self.journal, {self.row.name: self.venue}, self.clock, self._observe)
        self.stop = StopDriver(self.loop, self.clock)

    def _intent(self, client_id: str) -> Any:
        order = self.book.tracker.get(client_id)
        return order.intent if order is not None else None

    def _observe(self, event: object, outcome: Any) -> None:
        self.notices += [notice.title for notice in outcome.notices]

    def restart(self) -> tuple[str, ...]:
        """Kill and recover."""
        self.epoch += 1
        self._build()
        self.loop.load()
        return recover(self.loop, lambda _: None).differences

    def price(self, price: str) -> None:
        """The market moves, at the exchange and in the book."""
        self.exchange.price("BTCUSDT", price)
        at, last = datetime.now(UTC), D(price)
        self.loop.step(FeedStatus(self.row.name, at, True, "test"))
        candles = tuple(
            Candle(key, MINUTE, at - MINUTE.delta, last, last, last, last, D(1))
            for key in sorted(self.book.ledger.instruments)
        )
        self.loop.step(Bars(at, candles))
        self.book.feeds[self.row.name].last_wall_time = self.clock.now()

    def command(self, body: CommandBody, number: str) -> CommandDone:
        """An operator's command."""
        done = self.loop.command(Command(number, Actor("jo", Role.ADMIN, "t"), self.clock.now(), "test", body))
        assert done is not None
        return done

    def trade(self, symbol: str, side: Side, quantity: str, number: str) -> None:
        """An order by hand at the market."""
        key = InstrumentKey(f"{self.row.name}:{symbol}")
        done = self.command(PlaceOrder("test", key, side, D(quantity), OrderType.MARKET), number)
        assert done.status == "done", done.detail

    def look(self) -> list[str]:
        """What a reconciliation finds, by two looks."""
        for _ in range(2):
            self.loop.pull()
            self.loop.resolve(everything=True)
            self.loop.price_owed_fees()
            found = compare(self.loop)
        return found


def account_at(row: VenueRow, symbols: tuple[str, ...], folder: Path) -> Iterator[Account]:
    with running(folder, funds="USDT=10000,BTC=0.5,BNB=3,MNT=100") as exchange:
        account = Account(exchange, row, symbols, folder)
        account.price("50000")
        try:
            yield account
        finally:
            account.case.close()


@pytest.fixture(scope="module")
def bybit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    yield from account_at(BYBIT, (SPOT, PERP), tmp_path_factory.mktemp("bybit"))


@pytest.fixture(scope="module")
def binance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    yield from account_at(BINANCE, (SPOT,), tmp_path_factory.mktemp("binance"))


def test_fees_in_a_third_coin_then_books_and_exchange_are_equal(binance: Account) -> None:
    binance.exchange.call("fees", venue="binance", coin="BNB", price="600")
    binance.trade(SPOT, Side.BUY, "0.02", "buy")
    assert binance.look() == []
    binance.trade(SPOT, Side.SELL, "0.01", "sell")
    assert binance.look() == []
    assert binance.book.external["binance", "BNB"] < 3
    assert binance.book.outside.owed == []
    price, _ = binance.book.outside.coin_prices["BNB"]
    assert abs(price - 600) < 1
    binance.exchange.call("fees", venue="binance", coin=None)
    binance.trade(SPOT, Side.BUY, "0.01", "again")
    assert binance.look() == []
    assert binance.restart() == ()


def test_money_of_the_traders_own_then_booked_and_equal(bybit: Account) -> None:
    capital = bybit.book.ledger.capital
    bybit.exchange.call("transfer", venue="bybit", coin="USDT", amount="250")
    bybit.exchange.call("transfer", venue="bybit", coin="BTC", amount="-0.1")
    assert bybit.restart() == ()  # a gateway reads flows at once when it begins, and then once a minute
    assert bybit.journal.kinds().count("CashFlow") == 3
    assert bybit.book.ledger.capital == bybit.book.ledger.equity(bybit.book.price) == capital
    assert bybit.book.external["bybit", "BTC"] == D("0.4")
    assert bybit.book.state is TradingState.ACTIVE


def test_own_order_then_seen_counted_and_its_execution_booked(bybit: Account) -> None:
    bybit.exchange.call(
        "order", venue="bybit", symbol="BTCUSDT", side="buy", quantity="0.01", price="49000", perpetual=True
    )
    assert bybit.look() == []
    orders = report(bybit.book, (), bybit.clock.now(), 1).orders
    assert [(o.sleeve, o.quantity, o.limit_price) for o in orders] == [("external", D("0.01"), D(49_000))]
    bybit.price("48900")
    bybit.price("48900")
    until(lambda: bybit.look() == [] and bybit.book.ledger.account_position(InstrumentKey(f"bybit:{PERP}")) > 0)
    assert report(bybit.book, (), bybit.clock.now(), 1).orders == ()


def test_fault_16_funding_and_liquidation_then_booked_with_their_reason(bybit: Account) -> None:
    bybit.price("50000")
    bybit.trade(PERP, Side.BUY, "0.02", "perp")
    assert bybit.look() == []
    bybit.exchange.call("funding", venue="bybit", symbol="BTCUSDT", rate="0.0001")
    bybit.exchange.call("liquidate", venue="bybit", symbol="BTCUSDT")
    key = InstrumentKey(f"bybit:{PERP}")
    until(lambda: bybit.look() == [] and not bybit.book.ledger.account_position(key))
    assert "bybit closed a position: liquidation" in bybit.notices
    assert "was liquidated" in bybit.book.outside.why_closed(key, bybit.book.now)
    assert bybit.restart() == ()


def test_fault_60_stop_at_a_real_account_then_flat_with_the_traders_coins_left(bybit: Account) -> None:
    bybit.price("50000")
    bybit.trade(SPOT, Side.BUY, "0.01", "spot")
    assert bybit.look() == []
    bybit.command(EmergencyStop(None), "stop")

    def flat() -> bool:
        bybit.stop.drive()
        return bybit.book.stop is not None and bybit.book.stop.is_flat

    until(flat, 20.0)
    assert bybit.look() == []
    assert bybit.book.ledger.account_position(InstrumentKey(f"bybit:{SPOT}")) < D("0.0001")
    assert bybit.exchange.state("bybit")["open_orders"] == []
