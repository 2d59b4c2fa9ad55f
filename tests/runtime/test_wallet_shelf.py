"""Connected accounts read through real clients: what is found, how old it is, and what a failure leaves standing."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import ccxt
import pytest

from engine.domain.wallet_views import MoneyKind
from engine.runtime.accounts import Account
from engine.runtime.clock import SystemClock
from engine.runtime.connections import PURPOSE
from engine.runtime.wallet_shelf import AccountHoldings, KnownAccounts, WalletShelf
from engine.security import KEY_STORES
from engine.security.vault import Vault
from engine.storage.control import ControlStore
from engine.storage.migrate import migrate
from tests.standin.client import KEY, SECRET, StandIn, running

D = Decimal


class Watch:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.at = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()


class Desk:
    """A control file with sealed keys, and a shelf over it that asks the stand-in exchange."""

    def __init__(self, folder: Path, exchange: StandIn) -> None:
        migrate(folder)
        self.exchange = exchange
        self.control = ControlStore(folder / "control.sqlite", bytes(32), SystemClock())
        self.vault = Vault(KEY_STORES["file"](folder / "keys"), folder / "keys" / "keyring.json")
        self.watch = Watch()
        self.shelf = WalletShelf(self.control.credentials, self.vault, self.watch, self._account)

    def _account(self, connection: str, sandbox: bool) -> Account:
        name = connection.partition("/")[0]
        return Account(connection, name, sandbox, self.exchange.rest_url(name), self.exchange.websocket_url(name))

    def connect(self, exchange: str, label: str = "main", key: str = KEY) -> None:
        fields = json.dumps({"key": key, "secret": SECRET}).encode()
        sealed = self.vault.seal(PURPOSE, f"{exchange}/{label}", "keys", fields)
        self.control.credentials.add(exchange, label, sealed, {"sandbox": False})


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    with running(tmp_path_factory.mktemp("standin"), funds="USDT=1000,BTC=0.5,XRP=70,NEWCOIN=3") as started:
        yield started


@pytest.fixture
def desk(tmp_path: Path, exchange: StandIn, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setattr(ccxt.Exchange, "throttle", lambda _self, _cost=None: None)
    exchange.clear()
    made = Desk(tmp_path, exchange)
    yield made
    made.shelf.close()
    made.control.close()


def only(known: KnownAccounts) -> AccountHoldings:
    (found,) = known.holdings
    return found


@pytest.mark.parametrize("name", ["bybit", "binance"])
def test_account_when_read_then_its_coins_are_there_and_have_prices(desk: Desk, name: str) -> None:
    desk.connect(name)
    found = only(desk.shelf.read_now())
    assert found.failure == ""
    told = {each.currency: each.total for each in found.balances if each.venue == name}
    assert told == {"USDT": D(1000), "BTC": D("0.5"), "XRP": D(70), "NEWCOIN": D(3)}
    assert (found.kind, found.read_at) == (MoneyKind.REAL, desk.watch.at)
    worth = desk.shelf.prices.worth("XRP", "BTC", name)
    assert worth is not None
    assert worth.words == "XRP → USDT → BTC"
    assert desk.shelf.prices.worth("NEWCOIN", "USDT", name) is None


def test_account_when_wallets_are_missing_then_they_are_named_and_the_rest_stands(desk: Desk) -> None:
    desk.connect("binance")
    silent = dict(only(desk.shelf.read_now()).silent)
    assert "cross margin" in silent
    assert "spot" not in silent


def test_account_when_the_key_is_wrong_then_nothing_is_known_and_the_reason_is_said(desk: Desk) -> None:
    desk.connect("bybit", key="another-key-0001")
    found = only(desk.shelf.read_now())
    assert found.read_at is None
    assert "does not accept the key" in found.failure


def test_account_when_a_later_look_fails_then_the_balances_stand_with_their_age(desk: Desk) -> None:
    desk.connect("bybit")
    before = only(desk.shelf.read_now())
    desk.watch.at += timedelta(minutes=5)
    desk.exchange.fault("error_before", "any", count=50, venue="bybit", status=503)
    after = only(desk.shelf.read_now())
    assert after == replace(before, failure=after.failure)
    assert after.failure
    (told,) = desk.shelf.read_now().reads()
    assert (told.read_at, told.connection) == (before.read_at, "bybit/main")
    assert told.no_prices


def test_account_when_asked_for_then_read_in_the_background_and_not_again_within_a_minute(desk: Desk) -> None:
    desk.connect("bybit")
    first = desk.shelf.known()
    assert first.is_reading
    assert only(first).read_at is None
    look = next(thread for thread in threading.enumerate() if thread.name == "wallets")
    look.join(20)
    assert only(desk.shelf.known()).read_at == desk.watch.at
    asked = len(desk.exchange.requests(venue="bybit"))
    desk.watch.at += timedelta(seconds=59)
    assert not desk.shelf.known().is_reading
    assert len(desk.exchange.requests(venue="bybit")) == asked


def test_account_when_it_is_forgotten_then_its_balances_are_too(desk: Desk) -> None:
    desk.connect("bybit")
    desk.shelf.read_now()
    desk.control.credentials.remove("bybit", "main")
    assert desk.shelf.known().holdings == ()
    assert not desk.shelf.known().is_reading
