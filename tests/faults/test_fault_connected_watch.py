"""What the watch over a real exchange finds reaches the engine: books built by the engine's own assembly, with their
streams and their watch running, at the stand-in exchange; its journal is the judge."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from connected_book import Engine, engine_at
from connected_case import until

from engine.domain.commands import PlaceOrder
from engine.domain.conditions import VenueCondition
from engine.domain.facts import Notice, Severity
from engine.domain.instruments import Instrument, InstrumentKey
from engine.domain.market import Bars, Candle, FeedStatus, Timeframe
from engine.domain.orders import OrderType, Side
from engine.exchanges.connected.connection import StreamPlan
from engine.exchanges.connected.streams import Streams
from engine.exchanges.connected.watch import Watch
from engine.exchanges.connected.watch_setup import WatchPlan
from engine.trading.report import report
from tests.faults.connected_compared import booked_fills, rows_of
from tests.standin.client import StandIn, running
from tests.standin.judge import differences, judge

D = Decimal
PERP = InstrumentKey("bybit:BTC/USDT:USDT")
PRICES = {"BTC/USDT:USDT": "50000"}
STREAMS = StreamPlan(settle_s=0.1, keep_alive_s=0.2, silent_s=1.0, first_wait_s=0.05, longest_wait_s=0.2, leave_s=2)
LOOKS = WatchPlan(orders_s=2.0, money_s=2.0, deaf_s=1.0, beat_s=0.02)
LONG_S = 15.0


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same parts, in less of a hurry to wait."""
    streams, watch = Streams.__init__, Watch.__init__

    def begin_streams(self: Streams, setup: Any, *more: Any) -> None:
        streams(self, replace(setup, plan=STREAMS), *more)

    def begin_watch(self: Watch, setup: Any, *more: Any) -> None:
        watch(self, replace(setup, plan=LOOKS), *more)

    monkeypatch.setattr(Streams, "__init__", begin_streams)
    monkeypatch.setattr(Watch, "__init__", begin_watch)
    monkeypatch.setattr("engine.exchanges.connected.lanes.Budget.take", lambda *_: 0.0)
    monkeypatch.setattr("ccxt.Exchange.throttle", lambda *_: None)


class Watched:
    """A book that is driven as the engine drives it, one turn at a time."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.exchange = engine, engine.exchange
        self.begin()

    def begin(self) -> None:
        """Start the book, its streams and its watch."""
        self.running = self.engine.start("testnet")
        self.loop, self.book = self.running.loop, self.running.loop.book
        assert self.running.caretaker is not None
        [self.caretaker] = self.running.caretaker.each
        self.heard: list[Notice] = []
        observe = self.loop._observer
        assert observe is not None

        def observer(event: Any, outcome: Any) -> None:
            observe(event, outcome)
            self.heard += outcome.notices

        self.loop._observer = observer
        self.caretaker.start()
        self.engine.candle(PRICES)

    def turn(self) -> None:
        """What the engine does between two market events."""
        self.loop.hear()
        self.caretaker.drive()
        self.loop.resolve()
        self.running.reconciler.drive()

    @property
    def why_closed(self) -> str:
        """Why nothing may be opened now."""
        self.turn()
        return self.book.outside.why_closed(PERP, self.book.now)

    def until_open(self) -> None:
        """Turn until entries are possible."""
        until(lambda: not self.why_closed, LONG_S)

    def until_closed(self, words: str) -> None:
        """Turn until entries are refused for a reason with these words."""
        until(lambda: words in self.why_closed, LONG_S)

    def order(self, side: Side, quantity: str = "0.01", *, limit: str | None = None) -> str:
        """An order by hand; what became of it."""
        kind = OrderType.MARKET if limit is None else OrderType.LIMIT
        price = None if limit is None else D(limit)
        reduces = side is Side.SELL
        body = PlaceOrder("testnet", PERP, side, D(quantity), kind, price, None, reduces)
        done = self.engine.command(body)
        return f"{done.status}: {done.detail}"

    def buy(self) -> None:
        """Buy by hand, and see it booked."""
        assert self.order(Side.BUY).startswith("done")
        until(lambda: self.turned_and_holds(D("0.01")), LONG_S)

    def sells(self) -> None:
        """An exit by hand passes, and is executed at the exchange."""
        before = self.there()
        assert self.order(Side.SELL).startswith("done")
        until(lambda: self.there() == before - D("0.01"), LONG_S)

    def turned_and_holds(self, quantity: Decimal) -> bool:
        """Turn once and ask for executions; whether so much is held by hand then."""
        self.turn()
        self.loop.pull()
        return self.book.ledger.held("manual", PERP) == quantity

    def there(self) -> Decimal:
        """The position by the exchange's own journal."""
        return sum((D(str(quantity)) for quantity, _ in judge(self.exchange.journal, "bybit").positions.values()), D(0))

    def sent(self) -> int:
        """Orders that reached the exchange."""
        return len(self.exchange.requests(venue="bybit", where="create"))

    def condition(self) -> VenueCondition:
        """As the pages see it."""
        [feed] = report(self.book, (), self.engine.clock.now(), 1).feeds
        assert feed.condition is not None
        return feed.condition

    def look_at_rules(self) -> None:
        """What the watch does every hour."""
        for attended in self.loop.watch.watched._attended.values():
            attended.watch.ask_markets_soon()

    def crash(self) -> None:
        """Lose the process, and start the book again."""
        self.engine.crash()
        self.begin()

    def listed(self) -> Instrument:
        """The instrument as the book knows it."""
        return self.book.ledger.instruments[PERP]

    def told(self, key: str) -> list[Severity]:
        """How loudly something was told so far."""
        return [each.severity for each in self.heard if each.key == f"testnet:{key}"]


@pytest.fixture
def exchange(tmp_path: Path) -> Iterator[StandIn]:
    with running(tmp_path, funds="USDT=10000,BTC=0.5") as process:
        yield process


@pytest.fixture
def watched(exchange: StandIn, tmp_path: Path) -> Iterator[Watched]:
    with engine_at(exchange, tmp_path / "data") as engine:
        engine.connect()
        yield Watched(engine)


def test_book_when_nothing_is_wrong_then_it_trades_within_seconds_of_its_start(watched: Watched) -> None:
    assert "entries wait" in watched.book.outside.why_closed(PERP, watched.book.now)
    assert watched.order(Side.BUY).startswith("refused")
    watched.until_open()
    watched.buy()
    assert (watched.condition().waits, watched.condition().closed) == ("", ())


SILENCES: list[tuple[str, Callable[[StandIn], object]]] = [
    ("stream_silent", lambda exchange: exchange.fault("stream_silent", "any", venue="bybit")),
    ("stream_refuse", lambda exchange: (exchange.fault("stream_refuse", "any", venue="bybit"),
                                        exchange.call("drop", venue="bybit"))),
]  # fmt: skip


@pytest.mark.parametrize(("what", "silence"), SILENCES, ids=[row[0] for row in SILENCES])
def test_fault_29_order_stream_is_away_then_entries_wait_exits_pass_and_it_goes_on_by_itself(
    watched: Watched, what: str, silence: Callable[[StandIn], object]
) -> None:
    watched.until_open()
    watched.buy()
    silence(watched.exchange)
    watched.until_closed("the order stream of bybit is away since")
    assert "entries wait" in watched.condition().waits
    before = watched.sent()
    refused = watched.order(Side.BUY)
    assert refused.startswith("refused")
    assert "the order stream of bybit is away since" in refused
    assert watched.sent() == before
    watched.sells()
    watched.exchange.clear()
    watched.until_open()
    watched.buy()


@pytest.mark.parametrize(
    ("kind", "count"), [("stream_duplicate", 100), ("stream_reorder", 3), ("stream_lost", 8)], ids=str
)
def test_fault_06_to_09_events_of_the_order_stream_come_twice_in_another_order_or_not_then_each_is_booked_once(
    watched: Watched, kind: str, count: int
) -> None:
    watched.until_open()
    watched.exchange.fault(kind, venue="bybit", count=count)
    for _ in range(3):
        assert watched.order(Side.BUY).startswith("done")
        watched.turn()
    until(lambda: watched.turned_and_holds(D("0.03")), LONG_S)
    watched.until_open()
    watched.sells()
    until(lambda: watched.turned_and_holds(D("0.02")), LONG_S)
    watched.exchange.clear()
    until(lambda: not watched.why_closed, LONG_S)
    verdict = judge(watched.exchange.journal, "bybit")
    booked = booked_fills(rows_of(watched.engine.folder / "money.sqlite", "testnet"))
    assert differences(verdict, None, booked) == []
    assert (len(verdict.sent), len(booked)) == (4, 4)
    assert watched.exchange.call("idle") == []


def test_fault_30_order_stream_is_cut_then_nothing_is_opened_before_what_was_missed_was_asked(
    watched: Watched,
) -> None:
    watched.until_open()
    asked = len(watched.exchange.requests(venue="bybit", where="fills"))
    watched.exchange.call("drop", venue="bybit")
    watched.until_closed("bybit")
    watched.until_open()
    assert len(watched.exchange.requests(venue="bybit", where="fills")) > asked
    watched.buy()


def _rules(exchange: StandIn, **changes: Any) -> None:
    exchange.call("instrument", symbol="BTCUSDT", venue="bybit", perpetual=True, **changes)


@pytest.mark.parametrize("restarts", [False, True], ids=["running", "after a crash"])
def test_fault_36_instrument_halted_then_closed_to_entries_told_shown_and_open_again_by_itself(
    watched: Watched, restarts: bool
) -> None:
    watched.until_open()
    watched.buy()
    _rules(watched.exchange, status="Closed")
    if restarts:
        watched.crash()
    else:
        watched.look_at_rules()
    watched.until_closed("is not being traded at bybit now")
    assert watched.told(f"closed-{PERP}") == [Severity.CRITICAL]
    assert [key for key, _ in watched.condition().closed] == [PERP]
    before = watched.sent()
    assert "is not being traded" in watched.order(Side.BUY)
    assert watched.sent() == before
    _rules(watched.exchange, status="Trading")  # which the engine does not know yet: an exit passes all the same
    watched.sells()
    assert watched.book.outside.closed
    watched.look_at_rules()
    watched.until_open()
    assert watched.told(f"closed-{PERP}") == [Severity.CRITICAL, Severity.INFO]


def test_fault_36_end_of_an_instrument_announced_days_ahead_then_told_and_closed_to_entries_while_exits_pass(
    watched: Watched,
) -> None:
    watched.until_open()
    watched.buy()
    in_six_days = watched.exchange.call("state")["now"] + 6 * 86_400_000
    _rules(watched.exchange, ends_ms=in_six_days)
    watched.look_at_rules()
    watched.until_closed("off its list on")
    assert watched.told(f"closed-{PERP}") == [Severity.CRITICAL]
    assert any("close what is held before" in each.detail for each in watched.heard)
    before = watched.sent()
    assert "off its list" in watched.order(Side.BUY)
    assert watched.sent() == before
    watched.sells()


def test_fault_37_tick_and_lot_grow_then_the_refusal_has_them_read_anew_and_the_next_order_keeps_to_them(
    watched: Watched,
) -> None:
    watched.until_open()
    watched.buy()
    _rules(watched.exchange, tick="7", lot="0.005")
    watched.order(Side.BUY, "0.012", limit="49000.1")
    until(lambda: _read_anew(watched), LONG_S)
    assert watched.told(f"rules-{PERP}") == [Severity.CRITICAL]
    assert (watched.listed().tick_size, watched.listed().lot_size) == (D(7), D("0.005"))
    before = watched.sent()
    assert watched.order(Side.BUY, "0.012", limit="49000").startswith("refused")
    assert watched.order(Side.BUY, "0.015", limit="49000.1").startswith("refused")
    assert watched.sent() == before
    watched.until_open()
    watched.order(Side.BUY, "0.015", limit="49000")
    [resting] = judge(watched.exchange.journal, "bybit").open_orders
    assert (resting.quantity, resting.price) == (D("0.015"), D(49000))
    watched.sells()
    _rules(watched.exchange, lot="0.0001")
    watched.look_at_rules()
    until(lambda: watched.turn() is None and watched.listed().lot_size == D("0.0001"), LONG_S)
    watched.until_open()
    assert watched.order(Side.BUY, "0.0053", limit="48993").startswith("done")
    [_, finer] = judge(watched.exchange.journal, "bybit").open_orders
    assert (finer.quantity, finer.price) == (D("0.0053"), D(48993)), "the gateway keeps to them, too"


def _read_anew(watched: Watched) -> bool:
    watched.turn()
    return watched.listed().tick_size == 7


def test_fault_37_leverage_lowered_by_hand_then_closed_to_entries_also_after_a_crash_until_it_is_set_back(
    exchange: StandIn, tmp_path: Path
) -> None:
    trader, words = exchange.client("bybit", "swap"), "has leverage 1 at the exchange, the engine plans with 3"
    with engine_at(exchange, tmp_path / "data", risk__mode="aggressive", risk__max_leverage="3") as engine:
        engine.connect()
        watched = Watched(engine)
        watched.until_open()
        watched.buy()
        trader.set_leverage(1, "BTC/USDT:USDT")
        watched.look_at_rules()
        watched.until_closed(words)
        watched.crash()
        watched.until_closed(words)
        assert words in watched.order(Side.BUY)
        watched.sells()
        trader.set_leverage(10, "BTC/USDT:USDT")
        watched.look_at_rules()
        watched.until_open()


# -- several venues ----------------------------------------------------------------------------------------------------

TWO = (InstrumentKey("binance:BTC/USDT"), InstrumentKey("bybit:BTC/USDT"))


class Both(Watched):
    """A book that trades one pair at two exchanges."""

    def begin(self) -> None:
        """Start the book, and show it a close of both."""
        self.running = self.engine.start("testnet")
        self.loop, self.book = self.running.loop, self.running.loop.book
        assert self.running.caretaker is not None
        self.caretaker = self.running.caretaker
        self.caretaker.start()
        at, price, length = self.engine.clock.now().replace(second=0, microsecond=0), D(50_000), Timeframe(60)
        opened_at = at - length.delta
        candles = [Candle(key, length, opened_at, price, price, price, price, D(1000)) for key in TWO]
        for name in self.loop.venues:
            self.loop.step(FeedStatus(name, opened_at, True, "test"))
        self.loop.step(Bars(at, tuple(candles)))
        for feed in self.book.feeds.values():
            feed.last_wall_time = self.engine.clock.now()

    def closed(self, key: InstrumentKey) -> str:
        """Why nothing may be opened on an instrument now."""
        self.turn()
        return self.book.outside.why_closed(key, self.book.now)

    def buy_at(self, key: InstrumentKey, quantity: str) -> str:
        """Buy by hand; what became of it."""
        done = self.engine.command(PlaceOrder("testnet", key, Side.BUY, D(quantity), OrderType.MARKET))
        return f"{done.status}: {done.detail}"


def test_fault_39_one_venue_fails_then_it_alone_is_closed_and_no_more_than_its_capital_is_ever_at_stake_there(
    exchange: StandIn, tmp_path: Path
) -> None:
    both: dict[str, Any] = {"testnet__connections": [], "testnet__symbols": ["BTC/USDT"], "testnet__capital": "5000"}
    limits = {"risk__mode": "aggressive", "risk__max_position_share": "1", "risk__max_concentration": "1"}
    with engine_at(exchange, tmp_path / "data", **both, **limits) as engine:
        engine.connect("one", venue="bybit")
        engine.connect("other", venue="binance")
        book, (binance, bybit) = Both(engine), TWO
        until(lambda: not book.closed(binance) and not book.closed(bybit), LONG_S)
        exchange.fault("stream_refuse", "any", venue="bybit")
        exchange.fault("reset_before", "any", count=100_000, venue="bybit")
        exchange.call("drop", venue="bybit")
        until(lambda: bool(book.closed(bybit)), LONG_S)
        assert book.buy_at(bybit, "0.01").startswith("refused")
        assert book.closed(binance) == ""
        assert "are free at binance" in book.buy_at(binance, "0.15")  # 7,500 USDT of the account's 10,000
        assert book.buy_at(binance, "0.01").startswith("done")
        assert judge(exchange.journal, "bybit").sent == []
        assert len(judge(exchange.journal, "binance").sent) == 1
