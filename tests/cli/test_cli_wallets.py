"""``wallets``: connected accounts read through real clients, from the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import ccxt
import pytest
from command_line import Engine

from engine.runtime.clock import SystemClock
from engine.runtime.connections import PURPOSE
from engine.security import KEY_STORES
from engine.security.vault import Vault
from engine.storage.chain import load_or_create_key
from engine.storage.control import ControlStore
from tests.standin.client import KEY, SECRET, StandIn, running


@pytest.fixture
def exchange(tmp_path: Path) -> Iterator[StandIn]:
    folder = tmp_path / "standin"
    folder.mkdir()
    with running(folder, funds="USDT=1000,XRP=70,NEWCOIN=3") as started:
        yield started


def connect(folder: Path, key: str) -> None:
    """Seal keys as the console does, for the account that the settings describe."""
    control = ControlStore(
        folder / "control.sqlite", load_or_create_key(folder / "keys" / "journal.key"), SystemClock()
    )
    vault = Vault(KEY_STORES["file"](folder / "keys"), folder / "keys" / "keyring.json")
    fields = json.dumps({"key": key, "secret": SECRET}).encode()
    try:
        sealed = vault.seal(PURPOSE, "bybit/main", "keys", fields)
        control.credentials.add("bybit", "main", sealed, {"sandbox": True})
    finally:
        control.close()


@pytest.fixture
def linked(traded: Engine, exchange: StandIn, monkeypatch: pytest.MonkeyPatch) -> Engine:
    monkeypatch.setattr(ccxt.Exchange, "throttle", lambda _self, _cost=None: None)
    settings = (
        f'[venues.main]\nexchange = "bybit"\nsandbox = true\nrest_url = "{exchange.rest_url("bybit")}"\n'
        f'websocket_url = "{exchange.websocket_url("bybit")}"\n'
    )
    (traded.folder / "quarterdeck.toml").write_text(settings, encoding="utf-8")
    return traded


def test_wallets_when_an_account_is_connected_then_every_coin_with_path_and_silent_wallets(linked: Engine) -> None:
    connect(linked.folder, KEY)
    said = linked("wallets", "--json")
    assert said.code == 0, said.err
    told = json.loads(said.out)
    rows = {row["currency"]: row for row in told["holdings"]}
    assert (rows["XRP"]["value"], rows["XRP"]["price_path"]) == ("42", "XRP → USDT")
    assert rows["NEWCOIN"]["value"] is None
    assert {row["kind"] for row in told["holdings"]} == {"sandbox"}
    (account,) = told["accounts"]
    assert (account["account"], account["failure"]) == ("bybit/main", "")
    assert [each["wallet"] for each in account["silent"]] == ["earn"]
    assert SECRET not in said.out + said.err


def test_wallets_when_the_key_is_refused_then_exit_code_and_reason(linked: Engine) -> None:
    connect(linked.folder, "another-key-0001")
    said = linked("wallets")
    assert said.code == 1
    assert "bybit/main was not read" in said.err
    assert "does not accept the key" in said.err


def test_wallets_when_no_account_is_connected_then_says_where_to_connect_one(traded: Engine) -> None:
    said = traded("wallets")
    assert said.code == 0
    assert "no account is connected" in said.out
