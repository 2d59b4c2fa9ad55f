"""A row that cannot be read, at the stand-in exchange: gateway and watch wait for it no more once it is set aside."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from connected_book import Engine, engine_at

from engine.domain.commands import SetRowAside, TradingState
from engine.domain.unread import Moved
from engine.exchanges.connected.fields import Unreadable
from engine.exchanges.connected.reading import Reader
from engine.runtime.cli import reconcile as by_command
from engine.runtime.obeying import Order, carry_out
from engine.trading.reconciling import reconcile
from tests.standin.client import StandIn, running

D = Decimal


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.exchanges.connected.lanes.Budget.take", lambda *_: 0.0)
    monkeypatch.setattr("ccxt.Exchange.throttle", lambda *_: None)


@pytest.fixture
def exchange(tmp_path: Path) -> Iterator[StandIn]:
    with running(tmp_path, funds="USDT=10000,BTC=0.5") as process:
        yield process


@pytest.fixture
def engine(exchange: StandIn, tmp_path: Path) -> Iterator[Engine]:
    with engine_at(exchange, tmp_path / "data", testnet__symbols=["BTC/USDT"]) as made:
        made.connect()
        yield made


@pytest.fixture
def odd(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Numbers of executions that cannot be read."""
    numbers: set[str] = set()
    real = Reader.trade

    def trade(self: Reader, answer: Any) -> Any:
        if numbers & {"all", str(answer.get("id"))}:
            raise Unreadable("bybit told an execution without its fee")
        return real(self, answer)

    monkeypatch.setattr(Reader, "trade", trade)
    return numbers


def test_row_when_it_is_set_aside_with_what_it_moved_then_books_and_exchange_are_equal_also_after_a_crash(
    engine: Engine, odd: set[str]
) -> None:
    book = engine.start("testnet")
    odd.add("all")
    engine.exchange.call("order", venue="bybit", symbol="BTCUSDT", side="buy", quantity="0.01")
    found = reconcile(book.loop)
    [row] = [each for each in found.rows if each.kind.value == "execution"]
    assert (found.equal, row.equal) == (False, False)
    odd.remove("all")
    odd.add(row.what.rpartition("/")[2])

    there = {each.currency: each.total for each in book.loop.venues["bybit"].balances()}
    moved = (Moved("BTC", there["BTC"] - D("0.5")), Moved("USDT", there["USDT"] - D(10000)))
    done = engine.command(SetRowAside("testnet", row.what, moved))
    assert done.status == "done", done.detail
    again = reconcile(book.loop)
    assert again.equal, again
    assert [each.books for each in again.rows if each.kind.value == "execution"] == ["set aside"]

    engine.crash()
    book = engine.start("testnet")
    assert book.recovered.differences == ()
    assert book.loop.book.state is TradingState.ACTIVE
    assert book.loop.venues["bybit"].unread == ""
    [watch] = [each._ways.watch for each in book.caretaker.each]
    watch._look_at_money()

    odd.clear()
    book.loop.venues["bybit"]._executions._aside_due_ms = 0
    for _ in range(3):
        book.loop.pull()
    assert book.loop.book.outside.aside["bybit"] == ()
    assert reconcile(book.loop).equal


def test_command_when_it_names_a_row_then_says_what_it_is_before_anything_is_changed(
    engine: Engine, odd: set[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    book = engine.start("testnet")
    odd.add("all")
    engine.exchange.call("order", venue="bybit", symbol="BTCUSDT", side="buy", quantity="0.01")

    def carried_out(_folder: Path, command: Any, _wait_s: float) -> str:
        status, detail = carry_out(book, Order(command))
        assert status.value == "done", detail
        return detail

    monkeypatch.setattr(by_command, "carried_out", carried_out)
    monkeypatch.setattr(by_command, "holder", lambda _folder: 1)
    monkeypatch.setattr(by_command, "data_folder", lambda: engine.folder)
    monkeypatch.setattr(by_command, "published", lambda _folder: {"books": {"testnet": {}}})
    monkeypatch.setattr(by_command, "LOOK_AGAIN_S", 1e9)
    row = reconcile(book.loop).rows[0].what

    from engine.runtime.cli.main import main

    assert main(["reconcile", "--set-aside", "nothing", "--reason", "so"]) == 4
    assert f"those that cannot be read now are {row}" in capsys.readouterr().err
    assert main(["reconcile", "--set-aside", row]) == 2
    assert "without its fee" in capsys.readouterr().err
    assert book.loop.book.outside.aside == {}
    assert main(["reconcile", "--set-aside", row, "--moved", "BTC=ten", "--reason", "so"]) == 2
    capsys.readouterr()
    assert main(["reconcile", "--set-aside", row, "--moved", "BTC=0.01", "--reason", "looked up", "--json"]) in (0, 1)
    assert "counted as your own: BTC=+0.01" in capsys.readouterr().err
    [kept] = book.loop.book.outside.aside["bybit"]
    assert (kept.row.name, kept.reason, kept.moved) == (row, "looked up", (Moved("BTC", D("0.01")),))
