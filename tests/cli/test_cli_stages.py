"""``run --stage testnet|live`` and ``arm --book live``: everything that is missing at once, and who arms real money."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ccxt
import pytest
from command_line import PASSWORD, Engine, SameProcess, end, wait_until

from tests.standin.client import KEY, SECRET, StandIn, running

Typed = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    with running(tmp_path_factory.mktemp("exchange")) as started:
        yield started


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ccxt.Exchange, "throttle", lambda _self, _cost=None: None)


def describe(folder: Path, exchange: StandIn, **accounts: bool) -> None:
    """Settings with accounts at the stand-in exchange: by name whether they are sandboxes."""
    folder.mkdir(exist_ok=True)
    parts = [
        f'[venues.{name}]\nexchange = "bybit"\nsandbox = {str(sandbox).lower()}\n'
        f'rest_url = "{exchange.rest_url("bybit")}"\nwebsocket_url = "{exchange.websocket_url("bybit")}"\n'
        for name, sandbox in accounts.items()
    ]
    (folder / "quarterdeck.toml").write_text("".join(parts), encoding="utf-8")


def add(typed: Typed, monkeypatch: pytest.MonkeyPatch, name: str, secret: str = SECRET) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(secret))
    code, _, said = typed("venues", "add", name, "--key", KEY, "--secret-stdin")
    assert code == 0, said


@pytest.mark.parametrize("stage", ["testnet", "live"])
def test_run_when_no_account_is_known_then_refused_with_the_way_there(typed: Typed, stage: str) -> None:
    code, out, said = typed("run", "--stage", stage)
    assert (code, out) == (2, "")
    assert f"{stage} cannot start: (1)" in said
    assert "[venues.NAME]" in said
    assert len(said.strip().splitlines()) == 1


def test_run_when_the_settings_want_only_a_stage_without_keys_then_the_reason_is_told_once(
    typed: Typed, in_process: Path, exchange: StandIn
) -> None:
    describe(in_process, exchange, desk=True)
    with (in_process / "quarterdeck.toml").open("a", encoding="utf-8") as file:
        file.write("[demo]\nenabled = false\n[testnet]\nenabled = true\n")
    code, out, said = typed("run", "--for", "1")
    assert (code, out) == (2, "")
    assert said.count("the keys of bybit/desk are not stored") == 1


def test_run_when_keys_are_missing_then_says_which_command_stores_them(
    typed: Typed, in_process: Path, exchange: StandIn
) -> None:
    describe(in_process, exchange, desk=True)
    code, _, said = typed("run", "--stage", "testnet")
    assert code == 2
    assert "venues add desk --key KEY --secret-stdin" in said


def test_run_when_live_lacks_several_things_then_every_one_is_named(
    typed: Typed, in_process: Path, exchange: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    describe(in_process, exchange, real=False)
    add(typed, monkeypatch, "real")
    exchange.call("key", can_withdraw=True)
    code, _, said = typed("run", "--stage", "live")
    exchange.call("key", can_withdraw=False)
    assert code == 2
    assert "(1) bybit/real: the key is not approved" in said
    assert "Take the right to withdraw from the key" in said
    assert "(2) nobody can arm it" in said
    assert "promoted strategy" in said


def test_run_when_the_key_is_refused_then_what_the_exchange_said(
    typed: Typed, in_process: Path, exchange: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    describe(in_process, exchange, desk=True)
    add(typed, monkeypatch, "desk", "another-secret-01")
    code, _, said = typed("run", "--stage", "testnet")
    assert code == 2
    assert "secret does not belong to the key" in said


@pytest.fixture(scope="module")
def live(exchange: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A live book at the stand-in exchange, HALTED as it begins, and an operator and a viewer."""
    engine = SameProcess(tmp_path_factory.mktemp("live") / "data")
    describe(engine.folder, exchange, real=False)
    added = engine("venues", "add", "real", "--key", KEY, "--secret-stdin", stdin=SECRET)
    assert added.code == 0, added.err
    for name, role in (("jo", "admin"), ("sam", "viewer")):
        assert engine("users", "add", name, "--role", role, "--password-stdin", stdin=f"{PASSWORD}\n").code == 0
    process = engine.start("--stage", "live")
    try:
        yield engine
    finally:
        code = end(process)
    assert code == 0


def arm(live: Engine, *words: str, password: str = PASSWORD) -> Any:
    return live("arm", "--book", "live", "--yes", *words, stdin=f"{password}\n")


def test_live_when_it_starts_then_it_waits_to_be_armed(live: Engine) -> None:
    status = live.published()
    assert (status["state"], status["needs_arming"], status["armed"]) == ("HALTED", True, False)
    refused = live("order", "real", "BTC/USDT", "buy", "0.001")
    assert refused.code == 4
    assert "the book is halted" in refused.err


@pytest.mark.parametrize(
    ("words", "password", "code", "reason"),
    [
        ((), PASSWORD, 2, "give --operator NAME"),
        (("--password-stdin",), PASSWORD, 2, "--password-stdin needs --operator NAME"),
        (("--operator", "jo", "--password-stdin"), "not the pass phrase", 4, "the name or the password is wrong"),
        (("--operator", "nobody", "--password-stdin"), PASSWORD, 4, "the name or the password is wrong"),
        (("--operator", "sam", "--password-stdin"), PASSWORD, 4, "needs the role operator"),
    ],
)
def test_arm_live_when_nobody_proves_it_then_refused(
    live: Engine, words: tuple[str, ...], password: str, code: int, reason: str
) -> None:
    said = arm(live, *words, password=password)
    assert said.code == code, said.err
    assert reason in said.err
    assert live.published()["armed"] is False


def test_arm_live_when_something_stands_against_it_then_every_reason_is_told(live: Engine, exchange: StandIn) -> None:
    exchange.fault("error_before", "balance", status=503)
    said = arm(live, "--operator", "jo", "--password-stdin")
    exchange.clear()
    assert said.code == 4
    assert "not armed: books and exchange were not found equal" in said.err


def test_arm_live_when_proven_then_it_trades_until_it_is_stopped_and_armed_again(live: Engine) -> None:
    said = arm(live, "--operator", "jo", "--password-stdin", "--json")
    assert said.code == 0, said.err
    assert said.json["books"]["live"]["state"] == "DONE"
    wait_until(lambda: live.published()["armed"])
    bought = live("order", "real", "BTC/USDT", "buy", "0.001", "--json")
    assert (bought.code, bought.json["status"], bought.json["book"]) == (0, "filled", "live"), bought.err
    assert live("stop", "--reason", "test", "--wait", "60").code == 0
    assert live("arm", "--yes").code == 0, "releasing the latch needs no password, and arms nothing"
    wait_until(lambda: not live.published()["latched"])
    assert live.published()["armed"] is False
    assert live("stop", "--reason", "again", "--wait", "60").code == 0
    again = arm(live, "--operator", "jo", "--password-stdin")
    assert again.code == 0, again.err
    wait_until(lambda: live.published()["state"] == "ACTIVE")
