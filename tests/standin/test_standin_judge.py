"""The judge agrees with honest books, and names what is lost, doubled or different in others."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.standin.client import StandIn, running
from tests.standin.judge import BookedFill, BookedOrder, Verdict, differences, judge


@pytest.fixture(scope="module")
def verdict(tmp_path_factory: pytest.TempPathFactory) -> Verdict:
    """A day at Bybit: spot and perpetual, partial fills, a third coin, a liquidation, funding and a deposit."""
    with running(tmp_path_factory.mktemp("judged"), funds="USDT=50000,BTC=1,MNT=100", seed=3) as exchange:
        for number in range(40):
            _trade(exchange, number)
        exchange.call("fees", venue="bybit", coin="MNT", price="1")
        _order(exchange, False, "buy", "0.01", "51000", "third")
        exchange.call("funding", venue="bybit", symbol="BTCUSDT", rate="0.0003")
        exchange.call("transfer", venue="bybit", coin="USDT", amount="-123.45")
        exchange.call("fees", venue="bybit")
        _order(exchange, True, "buy", "0.5", None, "long")
        exchange.call("liquidate", venue="bybit", symbol="BTCUSDT")
        _order(exchange, False, "buy", "0.01", "40000", "resting")
        return judge(exchange.journal, "bybit")


def test_judge_when_the_journal_is_whole_finds_no_problem(verdict: Verdict) -> None:
    assert verdict.problems == []
    assert len(verdict.fills) > 30
    assert {fill.kind for fill in verdict.fills} == {"Trade", "BustTrade"}
    assert [order.client_id for order in verdict.open_orders][-1] == "resting"


def test_differences_when_the_books_are_right_are_none(verdict: Verdict) -> None:
    positions = {key: held[0] for key, held in verdict.positions.items()}
    assert differences(verdict, _orders(verdict), _fills(verdict), verdict.balances, positions) == []


@pytest.mark.parametrize(
    ("orders", "word"),
    [
        pytest.param(lambda rows: rows[1:], "order lost", id="lost"),
        pytest.param(lambda rows: [replace(rows[0], filled=Decimal(9)), *rows[1:]], "is filled", id="filled"),
        pytest.param(lambda rows: [replace(r, is_open=not r.is_open) for r in rows], "not open", id="open"),
        pytest.param(lambda rows: [*rows, BookedOrder("ghost", Decimal(1), False)], "never had", id="ghost"),
    ],
)
def test_differences_when_orders_are_wrong_name_them(verdict: Verdict, orders: Any, word: str) -> None:
    by_hand = [replace_origin(verdict)]
    found = differences(by_hand[0], orders=orders(_orders(by_hand[0])))
    assert found
    assert any(word in text for text in found)


@pytest.mark.parametrize(
    ("fills", "word"),
    [
        pytest.param(lambda rows: rows[1:], "fill lost", id="lost"),
        pytest.param(lambda rows: [rows[0], *rows], "fill doubled", id="doubled"),
        pytest.param(lambda rows: [*rows, replace(rows[0], trade_id="x")], "never happened", id="invented"),
    ],
)
def test_differences_when_fills_are_wrong_name_them(verdict: Verdict, fills: Any, word: str) -> None:
    assert [word in text for text in differences(verdict, fills=fills(_fills(verdict)))] == [True]


def test_differences_when_a_balance_is_off_by_a_hair_name_it(verdict: Verdict) -> None:
    says = {**verdict.balances, "USDT": verdict.balances["USDT"] + Decimal("0.00000001")}
    assert len(differences(verdict, balances=says)) == 1


def test_judge_when_a_line_was_changed_says_so(tmp_path: Path) -> None:
    with running(tmp_path) as exchange:
        _order(exchange, False, "buy", "0.01", None, "a")
        lines = exchange.journal.read_text().splitlines()
    forged = [json.loads(line) for line in lines]
    for line in forged:
        if line["kind"] == "filled":
            line["fill"]["quantity"] = "0.009"
    path = tmp_path / "forged.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in forged if line["n"] != 2))
    problems = judge(path, "bybit").problems
    assert any("line number" in text for text in problems)
    assert any("the exchange holds" in text for text in problems)


def replace_origin(verdict: Verdict) -> Verdict:
    """The same day as if its orders had come through the API."""
    orders = {key: replace(order, origin="api") for key, order in verdict.orders.items() if order.client_id}
    return replace(verdict, orders=orders)


def _trade(exchange: StandIn, number: int) -> None:
    """Orders on both sides of a walking price, filled in thirds."""
    exchange.call("depth", symbol="BTCUSDT", venue="bybit", share="0.34")
    side = "buy" if number % 3 else "sell"
    price = str(50000 + (number * 37 % 19 - 9) * 20)
    _order(exchange, bool(number % 2), side, "0.013", price, f"n{number}")
    exchange.call("walk", venue="bybit", symbol="BTCUSDT", steps=2, share="0.002")


def _order(exchange: StandIn, perpetual: bool, side: str, quantity: str, price: str | None, client_id: str) -> None:
    wish = {"symbol": "BTCUSDT", "perpetual": perpetual, "side": side, "quantity": quantity, "client_id": client_id}
    exchange.call("order", venue="bybit", **wish, **({} if price is None else {"price": price}))


def _orders(verdict: Verdict) -> list[BookedOrder]:
    return [
        BookedOrder(each.client_id, each.filled, each.is_open) for each in verdict.orders.values() if each.client_id
    ]


def _fills(verdict: Verdict) -> list[BookedFill]:
    return [
        BookedFill(each.trade_id, each.instrument, each.side, each.quantity, each.price, each.fee, each.fee_coin)
        for each in verdict.fills
    ]
