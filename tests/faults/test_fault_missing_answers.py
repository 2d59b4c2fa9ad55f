"""An exchange that does not offer everything: what a book can trade without, and what it does not start without."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from connected_book import Engine, engine_at, settings_for
from connected_case import until

from engine.domain.commands import PlaceOrder, TradingState
from engine.domain.errors import BadInput, VenueUnreachable
from engine.domain.instruments import InstrumentKey
from engine.domain.orders import OrderType, Side
from engine.exchanges.connected.connection import StreamPlan
from engine.exchanges.connected.streams import Streams
from engine.exchanges.connected.watch import Watch
from engine.exchanges.connected.watch_setup import WatchPlan
from tests.faults.connected import BINANCE_SPOT, clean, rig, stand_in
from tests.standin.client import StandIn

D = Decimal
LONG_S = 60.0
NOT_THERE = {"status": 404, "count": 1_000_000}


@dataclass(frozen=True)
class Wallet:
    """Where a book trades: the exchange's name, what the stand-in calls the wallet, the venue, the symbol."""

    exchange: str
    where: str
    venue: str
    symbol: str

    @property
    def key(self) -> InstrumentKey:
        return InstrumentKey(f"{self.venue}:{self.symbol}")

    def __str__(self) -> str:
        return f"{self.venue}-{self.symbol.replace('/', '-').replace(':', '-')}"


BYBIT = Wallet("bybit", "bybit", "bybit", "BTC/USDT:USDT")
SPOT = Wallet("binance", "binance", "binance", "BTC/USDT")
USDM = Wallet("binance", "usdm", "binance-perp", "BTC/USDT:USDT")
CAN_BE_MISSED = [
    *((BYBIT, each) for each in ("key", "account", "currencies", "ledger", "history", "ticker", "deadman", "system")),
    *((SPOT, each) for each in ("key", "currencies", "ledger", "history", "ticker")),
    *((USDM, each) for each in ("account", "leverage", "ledger", "funding", "history", "currencies")),
]
"""Rights of a key, account mode, coins, deposits and transfers, position mode and leverage, funding."""
NEEDED = [(wallet, each) for wallet in (BYBIT, USDM) for each in ("time", "markets", "fills", "balance", "positions")]
"""Without these no book begins: nothing could be signed, sized, or compared with what the exchange holds."""


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-in exchange minds no haste."""
    monkeypatch.setattr("engine.exchanges.connected.lanes.Budget.take", lambda *_: 0.0)
    monkeypatch.setattr("ccxt.Exchange.throttle", lambda *_: None)


@pytest.fixture
def made(request: pytest.FixtureRequest, exchange: StandIn, tmp_path: Path) -> Iterator[tuple[Engine, Wallet, str]]:
    """An engine at an exchange that answers one kind of question with 404."""
    wallet, where = request.param
    clean(exchange, wallet.where)
    exchange.fault("error_before", where, **NOT_THERE)
    with engine_at(exchange, tmp_path / "data", wallet.exchange, testnet__symbols=[wallet.symbol]) as engine:
        engine.connect()
        yield engine, wallet, where
    clean(exchange, wallet.where)


@pytest.mark.parametrize("made", CAN_BE_MISSED, indirect=True, ids=lambda row: f"{row[0]}-{row[1]}")
def test_book_when_the_exchange_does_not_offer_a_question_then_it_starts_and_trades(
    made: tuple[Engine, Wallet, str],
) -> None:
    engine, wallet, where = made
    book = engine.start("testnet").loop
    engine.candle({wallet.symbol: "50000"})
    done = engine.command(PlaceOrder("testnet", wallet.key, Side.BUY, D("0.01"), OrderType.MARKET))
    assert done.status == "done", done.detail
    book.resolve(everything=True)
    book.pull()
    assert book.book.ledger.held("manual", wallet.key) > D("0.0099")
    assert book.book.state is TradingState.ACTIVE
    told = [notice.title for notice in engine.notices]
    assert ("How the account is set up is not known" in told) is (where in ("account", "leverage") and wallet is USDM)


def test_leverage_when_it_is_not_told_and_more_than_one_is_planned_with_then_entries_wait(
    exchange: StandIn, tmp_path: Path
) -> None:
    limits = {"risk__mode": "aggressive", "risk__max_leverage": "3", "testnet__symbols": [USDM.symbol]}
    clean(exchange, USDM.where)
    with engine_at(exchange, tmp_path / "data", "binance", **limits) as engine:
        engine.connect()
        exchange.fault("error_before", "leverage", **NOT_THERE)
        exchange.call("forget")
        running = engine.start("testnet")
        assert running.caretaker is not None
        [caretaker] = running.caretaker.each
        for news in caretaker._ways.watch.market_news():
            running.loop.watch.watched._take(news)
        engine.candle({USDM.symbol: "50000"})
        wish = PlaceOrder("testnet", USDM.key, Side.BUY, D("0.01"), OrderType.MARKET)
        done = engine.command(wish)
        assert "does not tell its leverage" in done.detail
        assert exchange.requests(venue=USDM.where, where="create") == []
    clean(exchange, USDM.where)


def test_restart_when_the_key_is_refused_then_a_book_of_perpetuals_starts_all_the_same_and_holds_what_it_has(
    exchange: StandIn, tmp_path: Path
) -> None:
    clean(exchange, BYBIT.where)
    with engine_at(exchange, tmp_path / "data", BYBIT.exchange) as engine:
        engine.connect()
        engine.start("testnet")
        engine.candle({BYBIT.symbol: "50000"})
        assert engine.command(PlaceOrder("testnet", BYBIT.key, Side.BUY, D("0.01"), OrderType.MARKET)).status == "done"
        assert engine.book is not None
        engine.book.loop.resolve(everything=True)
        engine.book.loop.pull()
        engine.crash()
        exchange.call("key", revoked=True)
        loop = engine.start("testnet").loop
        assert loop.book.ledger.held("manual", BYBIT.key) == D("0.01")
        exchange.call("key", revoked=False)
    clean(exchange, BYBIT.where)


@pytest.mark.parametrize("is_stopped", [True, False], ids=["stopped", "crashed"])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"testnet__symbols": ["ETH/USDT:USDT"]}, "symbol.* again"),
        ({"testnet__connections": ["bybit/other"]}, "account bybit/main: name that again"),
    ],
    ids=["symbol", "account"],
)
def test_restart_when_what_is_held_is_left_out_of_the_settings_then_it_is_refused_with_the_way_out(
    exchange: StandIn, tmp_path: Path, change: dict[str, Any], words: str, is_stopped: bool
) -> None:
    clean(exchange, BYBIT.where)
    with engine_at(exchange, tmp_path / "data", BYBIT.exchange) as engine:
        engine.connect()
        loop = engine.start("testnet").loop
        engine.candle({BYBIT.symbol: "50000"})
        assert engine.command(PlaceOrder("testnet", BYBIT.key, Side.BUY, D("0.01"), OrderType.MARKET)).status == "done"
        loop.resolve(everything=True)
        loop.pull()
        loop.maybe_checkpoint(force=is_stopped)
        engine.crash()
        engine.connect("other")
        first = engine.settings
        engine.settings = settings_for(exchange, engine.folder, BYBIT.exchange, **engine._changes | change)
        with pytest.raises(BadInput, match=words):
            engine.start("testnet")
        engine.crash()
        engine.settings = first
        assert engine.start("testnet").loop.book.ledger.held("manual", BYBIT.key) == D("0.01")
    clean(exchange, BYBIT.where)


@pytest.mark.parametrize("made", NEEDED, indirect=True, ids=lambda row: f"{row[0]}-{row[1]}")
def test_book_when_the_exchange_does_not_answer_what_is_needed_then_it_does_not_begin_and_says_why(
    made: tuple[Engine, Wallet, str], exchange: StandIn
) -> None:
    engine, wallet, _ = made
    exchange.call("forget")
    with pytest.raises(VenueUnreachable, match="404"):
        engine.start("testnet")
    assert exchange.requests(venue=wallet.where, where="create") == []


def test_executions_when_each_page_takes_as_long_as_a_look_may_then_they_are_read_to_the_end_all_the_same(
    exchange: StandIn, tmp_path: Path
) -> None:
    with rig(exchange, BINANCE_SPOT, tmp_path) as book:
        seconds = count(0, 5)
        book.venue._executions._monotonic = lambda: next(seconds)
        cursor = ""
        for _ in range(3):
            book.pass_time(3)
            _, cursor = book.venue.executions_since(cursor)
        assert book.venue.unread == ""


def drive(engine: Engine) -> str:
    """What the engine does between two events; why nothing may be opened after it."""
    assert engine.book is not None
    assert engine.book.caretaker is not None
    loop = engine.book.loop
    loop.hear()
    engine.book.caretaker.drive()
    loop.resolve()
    engine.book.reconciler.drive()
    [venue] = loop.venues
    return loop.book.outside.unheard.get(venue, "")


def held(engine: Engine, wallet: Wallet) -> Decimal:
    """The position by hand, after one more turn."""
    drive(engine)
    assert engine.book is not None
    return engine.book.loop.book.ledger.held("manual", wallet.key)


@pytest.fixture
def punctual(tmp_path: Path) -> Iterator[StandIn]:
    """A stand-in whose clock no other test has moved: entries need one that is right."""
    folder = tmp_path / "punctual"
    folder.mkdir()
    with stand_in(folder) as started:
        yield started


@pytest.mark.parametrize("wallet", [BYBIT, USDM], ids=str)
def test_fault_29_websockets_refused_from_the_first_on_then_questions_take_their_place_and_entries_go_on(
    punctual: StandIn, tmp_path: Path, wallet: Wallet, monkeypatch: pytest.MonkeyPatch
) -> None:
    streams, watch = Streams.__init__, Watch.__init__
    quick = StreamPlan(first_wait_s=0.05, longest_wait_s=0.1)
    often = WatchPlan(orders_s=2.0, money_s=2.0, alone_s=1.0, beat_s=0.02)

    def begin_streams(self: Streams, setup: Any, *more: Any) -> None:
        streams(self, replace(setup, plan=quick), *more)

    def begin_watch(self: Watch, setup: Any, *more: Any) -> None:
        watch(self, replace(setup, plan=often), *more)

    monkeypatch.setattr(Streams, "__init__", begin_streams)
    monkeypatch.setattr(Watch, "__init__", begin_watch)
    clean(punctual, wallet.where)
    punctual.fault("stream_refuse", "any", venue=wallet.where)
    with engine_at(punctual, tmp_path / "data", wallet.exchange, testnet__symbols=[wallet.symbol]) as engine:
        engine.connect()
        running = engine.start("testnet")
        assert running.caretaker is not None
        running.caretaker.start()
        engine.candle({wallet.symbol: "50000"})
        wish = PlaceOrder("testnet", wallet.key, Side.BUY, D("0.01"), OrderType.MARKET)
        assert "order stream" in drive(engine)
        assert "entries wait" in engine.command(wish).detail
        until(lambda: drive(engine) == "" and engine.command(wish).status == "done", LONG_S)
        until(lambda: held(engine, wallet) == D("0.01"), LONG_S)
        assert punctual.call("state")["streams"][wallet.where] == 0
    clean(punctual, wallet.where)


def test_account_when_only_its_rest_url_is_another_one_then_no_websocket_is_opened_and_it_trades_by_questions(
    punctual: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("engine.runtime.venue_wallets.open_stream_client", lambda name, *_: opened.append(name))
    clean(punctual, BYBIT.where)
    with engine_at(punctual, tmp_path / "data", BYBIT.exchange) as engine:
        engine.connect()
        here = {**engine._changes, "venues.main.websocket_url": ""}
        engine.settings = settings_for(punctual, engine.folder, BYBIT.exchange, **here)
        running = engine.start("testnet")
        assert running.caretaker is not None
        running.caretaker.start()
        engine.candle({BYBIT.symbol: "50000"})
        wish = PlaceOrder("testnet", BYBIT.key, Side.BUY, D("0.01"), OrderType.MARKET)
        until(lambda: drive(engine) == "" and engine.command(wish).status == "done", LONG_S)
        until(lambda: held(engine, BYBIT) == D("0.01"), LONG_S)
        assert "is not listened to" in running.loop.book.outside.instead["bybit"]
        assert opened == []
    clean(punctual, BYBIT.where)
