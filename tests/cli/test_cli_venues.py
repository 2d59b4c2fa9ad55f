"""``venues``: keys sealed by command, what the exchange says about them, and what to do where it says no."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ccxt
import pytest

from engine.exchanges.accounts import AccountCheck
from engine.runtime import account_keys
from engine.runtime.clock import SystemClock
from engine.storage.chain import load_or_create_key
from engine.storage.control import ControlStore
from engine.storage.rows import AuditFilters
from tests.standin.client import KEY, SECRET, StandIn, running

Typed = Callable[..., tuple[int, str, str]]
USUAL = {"can_trade": True, "can_withdraw": False, "addresses": ["127.0.0.1"], "revoked": False, "expired": False}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    with running(tmp_path_factory.mktemp("exchange")) as started:
        yield started


@pytest.fixture
def exchange(shared: StandIn, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    monkeypatch.setattr(ccxt.Exchange, "throttle", lambda _self, _cost=None: None)
    yield shared
    shared.call("key", **USUAL)
    shared.call("clock", skew_ms=0)
    shared.clear()


@pytest.fixture
def described(exchange: StandIn, in_process: Path) -> Path:
    """A data folder whose settings describe an account at the stand-in exchange."""
    in_process.mkdir()
    text = (
        f'[venues.desk]\nexchange = "bybit"\nsandbox = true\nrest_url = "{exchange.rest_url("bybit")}"\n'
        f'websocket_url = "{exchange.websocket_url("bybit")}"\n'
        f'[venues.coins]\nexchange = "binance"\nrest_url = "{exchange.rest_url("binance")}"\n'
        f'websocket_url = "{exchange.websocket_url("binance")}"\n'
    )
    (in_process / "quarterdeck.toml").write_text(text, encoding="utf-8")
    return in_process


@pytest.fixture
def piped(typed: Typed, monkeypatch: pytest.MonkeyPatch) -> Typed:
    """Carries out a command with a text on its stdin."""

    def carry_out(text: str, *words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))
        return typed(*words)

    return carry_out


def add(piped: Typed, name: str = "desk", key: str = KEY, secret: str = SECRET) -> None:
    code, _, said = piped(f"{secret}\n", "venues", "add", name, "--key", key, "--secret-stdin")
    assert code == 0, said


def checked(typed: Typed, name: str = "desk") -> tuple[int, dict[str, Any], str]:
    code, out, err = typed("venues", "test", name, "--json")
    return code, json.loads(out), err


def audited(folder: Path) -> list[tuple[str, str]]:
    control = ControlStore(
        folder / "control.sqlite", load_or_create_key(folder / "keys" / "journal.key"), SystemClock()
    )
    try:
        return [(row.action, row.target) for row in control.audit.page(AuditFilters()).rows]
    finally:
        control.close()


def test_venues_when_added_tested_and_removed_then_the_whole_path_by_command(
    described: Path, piped: Typed, typed: Typed
) -> None:
    add(piped)
    code, told, _ = checked(typed)
    assert code == 0
    assert (told["connection"], told["ok"], told["reachable"]) == ("bybit/desk", True, True)
    assert told["permissions"] == {"can_trade": True, "can_withdraw": False, "ip_bound": True}
    assert abs(told["clock_offset_ms"]) < 1000
    assert 0 < told["limits"]["used_share"] <= 1
    (_, desk) = json.loads(typed("venues", "list", "--json")[1])
    assert (desk["name"], desk["has_keys"], desk["check_ok"], desk["stages"]) == ("desk", True, True, ["testnet"])
    assert typed("venues", "remove", "desk")[0] == 0
    assert typed("venues", "test", "desk")[0] == 2
    assert audited(described) == [("keys_removed", "bybit/desk"), ("keys_added", "bybit/desk")]
    everything = b"".join(file.read_bytes() for file in described.rglob("*") if file.is_file())
    assert SECRET.encode() not in everything


def test_venues_when_listed_then_accounts_without_keys_are_there_too(described: Path, typed: Typed) -> None:
    code, out, _ = typed("venues", "list")
    assert code == 0
    assert out.count("missing") == 2


def refuse(key: dict[str, Any]) -> Callable[[StandIn], None]:
    return lambda exchange: exchange.call("key", **{**USUAL, **key})


SAID_NO: dict[str, tuple[Callable[[StandIn], None], dict[str, str], str]] = {
    "another secret": (lambda _: None, {"secret": "another-secret-0001"}, "secret does not belong to the key"),
    "unknown key, or of another environment": (lambda _: None, {"key": "unknown-key-1"}, "The sandbox was asked"),
    "revoked": (refuse({"revoked": True}), {}, "Check that the key was pasted whole, still exists"),
    "expired": (refuse({"expired": True}), {}, "has expired: make a new one"),
    "address not allowed": (refuse({"addresses": ["10.0.0.1"]}), {}, "Bind the key to the address of this computer"),
    "can withdraw": (refuse({"can_withdraw": True}), {}, "Take the right to withdraw from the key"),
    "can only read": (refuse({"can_trade": False}), {}, "can only read"),
    "maintenance": (lambda exchange: exchange.fault("maintenance"), {}, "not available"),
}  # fmt: skip


@pytest.mark.parametrize("name", ["desk", "coins"])
@pytest.mark.parametrize("case", SAID_NO)
def test_key_when_the_exchange_says_no_then_its_words_and_what_to_do(
    described: Path, exchange: StandIn, piped: Typed, typed: Typed, case: str, name: str
) -> None:
    prepare, keys, way_out = SAID_NO[case]
    add(piped, name, keys.get("key", KEY), keys.get("secret", SECRET))
    prepare(exchange)
    code, told, said = checked(typed, name)
    assert code == 1
    assert told["ok"] is False
    assert told["message"] in said
    if name == "desk":
        assert way_out in told["message"]
    else:
        assert len(told["message"]) > 40, "Binance has one answer for most of these"
    assert SECRET not in said + json.dumps(told)


def test_clock_when_the_exchanges_is_behind_then_by_how_much(
    described: Path, exchange: StandIn, piped: Typed, typed: Typed
) -> None:
    add(piped)
    exchange.call("clock", skew_ms=-60_000)
    code, told, _ = checked(typed)
    assert code == 0
    assert -61_000 < told["clock_offset_ms"] < -59_000


def test_passphrase_when_wrong_then_said_by_kucoin_and_what_to_do(
    in_process: Path, piped: Typed, typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = "secret-0001\nwrong phrase\n"
    assert piped(lines, "venues", "add", "kucoin", "--key", "key-00001", "--secret-stdin", "--passphrase-stdin")[0] == 0
    sent: list[str] = []

    def check(_row: Any, door: Any) -> AccountCheck:
        sent.append(door.credentials.passphrase)
        words = 'KuCoin does not accept the key: {"code":"400004","msg":"Invalid KC-API-PASSPHRASE"}'
        return AccountCheck(True, words, can_trade=False)

    monkeypatch.setattr(account_keys, "check_at", check)
    code, _, said = typed("venues", "test", "kucoin")
    assert (code, sent) == (1, ["wrong phrase"])
    assert "Invalid KC-API-PASSPHRASE" in said
    assert "The passphrase is not the one chosen when the key was made" in said


BAD: dict[str, tuple[str, tuple[str, ...], str]] = {
    "nobody knows it": ("s", ("shadow", "--key", KEY), "add [venues.shadow] to quarterdeck.toml"),
    "no such exchange": ("s", ("x", "--exchange", "mtgox", "--key", KEY), "'mtgox' is not known; choose one of"),
    "another exchange": ("s", ("desk", "--exchange", "kraken", "--key", KEY), "is at bybit"),
    "no sandbox there": ("secret-0001", ("x", "--exchange", "kraken", "--sandbox", "--key", KEY), "no sandbox"),
    "no secret": ("", ("desk", "--key", KEY), "no secret came on stdin"),
    "a cut secret": ("abc", ("x", "--exchange", "bybit", "--key", KEY), "API secret has fewer than 8 characters"),
    "no passphrase": ("secret-0001", ("kucoin", "--key", KEY), "needs two lines on stdin"),
    "a passphrase too many": ("s", ("desk", "--key", KEY, "--passphrase-stdin"), "have no passphrase"),
    "no name": ("s", ("../x", "--key", KEY), "is no name for an account"),
}


@pytest.mark.parametrize("case", BAD)
def test_add_when_it_cannot_be_then_refused_in_one_sentence(described: Path, piped: Typed, case: str) -> None:
    text, words, reason = BAD[case]
    code, out, said = piped(text, "venues", "add", *words, "--secret-stdin")
    assert (code, out) == (2, "")
    assert reason in said
    assert len(said.strip().splitlines()) == 1


def test_add_when_the_account_is_a_stand_in_on_this_computer_then_keys_may_be_short(
    described: Path, piped: Typed
) -> None:
    assert piped("s", "venues", "add", "desk", "--key", "k", "--secret-stdin")[0] == 0


def test_add_when_keys_are_there_then_they_are_not_replaced(described: Path, piped: Typed) -> None:
    add(piped)
    code, _, said = piped("another-secret", "venues", "add", "desk", "--key", "another-key", "--secret-stdin")
    assert code == 2
    assert "bybit/desk has keys already; remove them first (python -m engine venues remove desk, or Forget keys" in said


def test_add_when_stdin_is_no_terminal_and_not_asked_for_then_says_how(described: Path, piped: Typed) -> None:
    code, _, said = piped("x", "venues", "add", "desk", "--key", KEY)
    assert code == 2
    assert "--secret-stdin" in said


def test_test_when_the_name_is_not_clear_then_says_what_there_is(described: Path, piped: Typed, typed: Typed) -> None:
    for exchange in ("bybit", "binance"):
        assert piped(SECRET, "venues", "add", "a", "--exchange", exchange, "--key", KEY, "--secret-stdin")[0] == 0
    assert "say which of binance/a, bybit/a" in typed("venues", "test", "a")[2]
    code, _, said = typed("venues", "test", "nobody")
    assert code == 2
    assert "there are binance/a, bybit/a, coins, desk" in said
