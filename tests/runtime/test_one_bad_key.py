"""A book at two exchanges, one of which accepts its key no more: the other's positions stay protected and stoppable."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from connected_book import Engine, engine_at

from engine.domain.commands import ClosePosition, EmergencyStop, PlaceOrder, TradingState
from engine.domain.errors import VenueError
from engine.domain.instruments import InstrumentKey
from engine.domain.orders import OrderType, Side
from engine.security.keystore import SecretUnreadable
from engine.security.vault import Vault
from tests.standin.client import StandIn, running

BYBIT, BINANCE = InstrumentKey("bybit:BTC/USDT"), InstrumentKey("binance:BTC/USDT")
KEY, SECRET = "key-of-bybit-0001", "secret-of-bybit-0001"
PRICES = {"BTC/USDT": "50000"}
D = Decimal


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.exchanges.connected.lanes.Budget.take", lambda *_: 0.0)
    monkeypatch.setattr("ccxt.Exchange.throttle", lambda *_: None)


@pytest.fixture
def exchange(tmp_path: Path) -> Iterator[StandIn]:
    with running(tmp_path, funds="USDT=10000") as process:
        yield process


@pytest.fixture
def engine(exchange: StandIn, tmp_path: Path) -> Iterator[Engine]:
    values = {"testnet__connections": [], "testnet__symbols": ["BTC/USDT"], "testnet__capital": "5000"}
    with engine_at(exchange, tmp_path / "data", **values) as made:
        exchange.call("key", key=KEY, secret=SECRET, can_trade=True)
        made.connect("one", venue="bybit", key=KEY, secret=SECRET)
        made.connect("other", venue="binance")
        made.start("testnet")
        made.candle(PRICES)
        for key in (BYBIT, BINANCE):
            done = made.command(PlaceOrder("testnet", key, Side.BUY, D("0.02"), OrderType.MARKET))
            assert done.status == "done", done.detail
        look(made)
        assert all(held(made, key) > D("0.019") for key in (BYBIT, BINANCE))
        yield made


def look(engine: Engine) -> None:
    """What the engine does between two events."""
    assert engine.book is not None
    assert engine.book.caretaker is not None
    loop = engine.book.loop
    for _ in range(3):
        with suppress(VenueError):
            loop.pull()
        loop.resolve(everything=True)
        loop.watch.look()
        engine.book.caretaker.drive()
        engine.book.reconciler._due = 0.0
        engine.book.reconciler.drive()


def held(engine: Engine, key: InstrumentKey) -> Decimal:
    assert engine.book is not None
    return engine.book.loop.book.ledger.held("manual", key)


@pytest.fixture
def unreadable(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Accounts whose keys can be opened no more."""
    accounts: set[str] = set()
    real = Vault.open

    def opened(self: Vault, purpose: str, owner: str, *rest: Any) -> Any:
        if owner in accounts:
            raise SecretUnreadable("the key that sealed it is gone")
        return real(self, purpose, owner, *rest)

    monkeypatch.setattr(Vault, "open", opened)
    return accounts


def require_other_exchange_in_hand(engine: Engine) -> None:
    """The book holds on at Binance, opens nothing, and a stop says that Bybit is what it waits for."""
    look(engine)
    assert engine.book is not None
    book = engine.book.loop.book
    assert [book.outside.is_locked(name) for name in ("bybit", "binance")] == [True, False]
    assert (book.state, "Bybit" in book.state_reason) == (TradingState.CLOSE_ONLY, True)
    assert engine.command(PlaceOrder("testnet", BINANCE, Side.BUY, D("0.01"), OrderType.MARKET)).status == "refused"
    stop = PlaceOrder("testnet", BINANCE, Side.SELL, D("0.01"), OrderType.STOP, None, D("48000"), reduce_only=True)
    assert engine.command(stop).status == "done"
    assert any("48000" in str(order) for order in engine.exchange.state("binance")["open_orders"])
    done = engine.command(ClosePosition("testnet", "manual", BINANCE, D("0.4")))
    assert done.status == "done", done.detail
    engine.command(EmergencyStop("testnet"))
    for _ in range(60):
        engine.book.stop.drive()
        time.sleep(0.05)
    look(engine)
    assert held(engine, BINANCE) < D("0.0001")
    assert held(engine, BYBIT) > D("0.019")
    assert book.stop is not None
    assert not book.stop.is_flat
    assert "Bybit" in book.stop.waiting_for


@pytest.mark.parametrize("restarts", [False, True])
def test_key_when_one_is_revoked_then_the_other_exchange_stays_in_hand(engine: Engine, restarts: bool) -> None:
    engine.exchange.call("key", key=KEY, revoked=True)
    if restarts:
        engine.crash()
        engine.start("testnet")
        engine.candle(PRICES)
    require_other_exchange_in_hand(engine)


def test_keys_when_one_can_be_opened_no_more_then_the_other_exchange_stays_in_hand_and_it_is_told(
    engine: Engine, unreadable: set[str]
) -> None:
    unreadable.add("bybit/one")
    asked = len(engine.exchange.requests(venue="bybit", where="create"))
    engine.crash()
    engine.start("testnet")
    engine.candle(PRICES)
    assert [each.title for each in engine.notices] == ["The keys of bybit/one cannot be opened"]
    require_other_exchange_in_hand(engine)
    assert len(engine.exchange.requests(venue="bybit", where="create")) == asked


def test_keys_when_none_can_be_opened_then_the_start_is_refused(engine: Engine, unreadable: set[str]) -> None:
    unreadable |= {"bybit/one", "binance/other"}
    engine.crash()
    with pytest.raises(SecretUnreadable):
        engine.start("testnet")
