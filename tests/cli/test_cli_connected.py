"""A book at the stand-in exchange by commands alone, judged by the exchange's own journal."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import ccxt
import pytest
from command_line import Engine, SameProcess, end, wait_until

from tests.standin.client import KEY, SECRET, StandIn, running
from tests.standin.judge import BookedFill, BookedOrder, differences, judge

D = Decimal
ORDER_FIELDS = {
    "client_order_id", "exchange_order_id", "venue", "symbol", "side", "amount", "filled", "average_price", "status",
}  # fmt: skip
FILL_FIELDS = {
    "trade_id", "exchange_order_id", "venue", "symbol", "side", "amount", "price", "fee", "fee_currency", "time",
}  # fmt: skip


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    with running(tmp_path_factory.mktemp("exchange"), funds="USDT=20000,BTC=0.5") as started:
        yield started


@pytest.fixture(scope="module")
def desk(exchange: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Keys added by command, then an engine of its own that trades at the stand-in exchange."""
    engine = SameProcess(tmp_path_factory.mktemp("desk") / "data")
    engine.folder.mkdir()
    (engine.folder / "quarterdeck.toml").write_text(
        f'[venues.desk]\nexchange = "bybit"\nsandbox = true\nrest_url = "{exchange.rest_url("bybit")}"\n'
        f'websocket_url = "{exchange.websocket_url("bybit")}"\n'
        '[testnet]\nsymbols = ["BTC/USDT", "ETH/USDT"]\ncapital = "10000"\n',
        encoding="utf-8",
    )
    added = engine("venues", "add", "desk", "--key", KEY, "--secret-stdin", stdin=f"{SECRET}\n")
    assert added.code == 0, added.err
    process = engine.start("--stage", "testnet")
    try:
        yield engine
    finally:
        code = end(process)
    assert code == 0


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ccxt.Exchange, "throttle", lambda _self, _cost=None: None)


def place(desk: Engine, *words: str) -> dict[str, Any]:
    said = desk("order", *words, "--json")
    assert said.code == 0, said.err
    told: dict[str, Any] = said.json
    return told


def booked(desk: Engine) -> tuple[list[BookedOrder], list[BookedFill]]:
    """Orders and fills as the exports tell them, in the words of the exchange's judge."""
    orders = [
        BookedOrder(row["client_order_id"], D(row["filled"]), row["status"] in ("working", "partial"))
        for row in desk("export", "orders", "--json").json
        if row["exchange_order_id"] is not None
    ]
    fills = [
        BookedFill(
            row["trade_id"], f"spot:{row['symbol'].replace('/', '')}", row["side"], D(row["amount"]),
            D(row["price"]), D(row["fee"]), row["fee_currency"],
        )
        for row in desk("export", "fills", "--json").json
    ]  # fmt: skip
    return orders, fills


def test_order_when_at_the_market_then_filled_and_told(desk: Engine, exchange: StandIn) -> None:
    told = place(desk, "desk", "BTC/USDT", "buy", "0.02")
    assert (told["status"], told["filled"], told["venue"], told["book"]) == ("filled", "0.02", "bybit", "testnet")
    assert D(told["average_price"]) > 0
    [there] = judge(exchange.journal, "bybit").named(told["client_order_id"])
    assert there.order_id == told["exchange_order_id"]


def test_order_when_a_limit_then_it_works_until_cancelled(desk: Engine) -> None:
    told = place(desk, "bybit", "BTC/USDT", "buy", "0.01", "--limit", "49000")
    assert (told["status"], told["type"], told["limit_price"]) == ("working", "limit", "49000")
    said = desk("cancel", told["client_order_id"], "--json")
    assert (said.code, said.json["status"]) == (0, "cancelled"), said.err
    again = desk("cancel", told["client_order_id"])
    assert again.code == 4
    assert "is not working" in again.err


def test_order_when_a_stop_then_it_rests_at_the_exchange(desk: Engine, exchange: StandIn) -> None:
    told = place(desk, "desk", "BTC/USDT", "sell", "0.005", "--stop", "48000")
    assert (told["status"], told["stop_price"]) == ("working", "48000")
    assert told["client_order_id"] in json.dumps(exchange.state("bybit")["open_orders"])
    assert desk("cancel", told["client_order_id"]).code == 0


BAD = {
    "unknown symbol": ("desk DOGE/USDT buy 1", "DOGE/USDT is not traded at desk; there are BTC/USDT, ETH/USDT"),
    "unknown venue": ("kraken BTC/USDT buy 1", "no running book trades at kraken; there are bybit"),
    "unknown book": ("desk BTC/USDT buy 1 --book nobody", "there is no book 'nobody'; there are testnet"),
    "between two steps": ("desk BTC/USDT buy 0.0123456789", "is not a multiple of the step 0.00001 BTC"),
    "below the least order": ("desk BTC/USDT buy 0.00001", "below the least order of 5 USDT"),
    "between two ticks": ("desk BTC/USDT buy 0.01 --limit 49000.001", "the limit price 49000.001 is not a multiple"),
    "no number": ("desk BTC/USDT buy much", "amount 'much' is not a number above 0"),
    "below zero": ("desk BTC/USDT buy -1", "amount '-1' is not a number above 0"),
    "infinite": ("desk BTC/USDT buy 0.01 --stop inf", "--stop 'inf' is not a number above 0"),
    "two kinds": ("desk BTC/USDT buy 0.01 --limit 1 --stop 1", "give one of them"),
    "post-only at the market": ("desk BTC/USDT buy 0.01 --post-only", "give --limit PRICE"),
}


@pytest.mark.parametrize("case", BAD)
def test_order_when_it_cannot_be_expressed_then_refused_before_it_is_sent(
    desk: Engine, exchange: StandIn, case: str
) -> None:
    line, reason = BAD[case]
    sent = len(exchange.requests(venue="bybit", where="create"))
    said = desk("order", *line.split())
    assert (said.code, said.out) == (2, "")
    assert reason.lower() in said.err.lower()
    assert len(exchange.requests(venue="bybit", where="create")) == sent


def test_order_when_the_gate_refuses_then_its_own_reason_and_code_4(desk: Engine) -> None:
    said = desk("order", "desk", "BTC/USDT", "buy", "10", "--json")
    assert said.code == 4
    assert said.json["status"] == "refused"
    assert "position" in said.err
    assert "% of equity" in said.err


def test_order_when_the_exchange_refuses_then_its_own_words_and_code_4(desk: Engine, exchange: StandIn) -> None:
    exchange.fault("refuse", "create", count=1, code="170131", message="Insufficient balance.")
    said = desk("order", "desk", "ETH/USDT", "buy", "0.1")
    assert said.code == 4
    assert "Insufficient balance" in said.err


def test_order_when_its_acknowledgement_is_lost_then_waited_for_and_there_once(desk: Engine, exchange: StandIn) -> None:
    exchange.fault("ack_lost", "create", count=1, venue="bybit")
    told = place(desk, "desk", "ETH/USDT", "buy", "0.1")
    assert told["status"] == "filled"
    assert len(judge(exchange.journal, "bybit").named(told["client_order_id"])) == 1


def test_exports_when_compared_then_they_equal_the_exchanges_own_journal(desk: Engine, exchange: StandIn) -> None:
    orders, fills = desk("export", "orders", "--json").json, desk("export", "fills", "--json").json
    assert len(orders) >= 4
    assert all(set(row) >= ORDER_FIELDS for row in orders)
    assert fills
    assert all(set(row) >= FILL_FIELDS for row in fills)
    assert {row["simulated"] for row in (*orders, *fills)} == {False}
    of_orders, of_fills = booked(desk)
    assert differences(judge(exchange.journal, "bybit"), orders=of_orders, fills=of_fills) == []


def test_reconcile_when_money_and_orders_of_the_trader_are_there_then_each_is_explained(
    desk: Engine, exchange: StandIn
) -> None:
    exchange.call("order", venue="bybit", symbol="ETHUSDT", side="buy", quantity="0.1", price="2000")
    exchange.call("transfer", venue="bybit", coin="USDT", amount="250")
    said = desk("reconcile", "--json")
    assert said.code == 0, said.err
    told = said.json
    assert told["equal"] is True
    assert all(
        set(row) >= {"venue", "kind", "what", "books", "exchange", "explanation", "equal"} for row in told["rows"]
    )
    kinds = {row["kind"] for row in told["rows"]}
    assert {"order", "balance"} <= kinds
    [order] = [row for row in told["rows"] if row["kind"] == "order"]
    assert "your own" in order["explanation"]
    [usdt] = [row for row in told["rows"] if row["what"] == "USDT" and row["kind"] == "balance"]
    assert "your own" in usdt["explanation"]
    assert "books and exchange are equal" in desk("reconcile", "--book", "testnet").out


def test_reconcile_when_the_book_is_unknown_then_says_which_there_are(desk: Engine) -> None:
    said = desk("reconcile", "--book", "nobody")
    assert said.code == 2
    assert "there is no book 'nobody'; there are testnet" in said.err


def test_reconcile_when_the_exchange_is_silent_then_not_equal_and_named(desk: Engine, exchange: StandIn) -> None:
    exchange.fault("error_before", "balance", status=503)
    said = desk("reconcile", "--json", "--wait", "1")
    exchange.clear()
    assert said.code == 1
    assert said.json["equal"] is False
    assert [row["venue"] for row in said.json["silent"]] == ["bybit"]


def test_venues_when_a_running_book_trades_it_then_its_keys_stay(desk: Engine) -> None:
    said = desk("venues", "remove", "desk")
    assert said.code == 4
    assert "is traded by the testnet book" in said.err


def test_stop_when_ordered_then_flat_by_the_exchanges_own_journal(desk: Engine, exchange: StandIn) -> None:
    said = desk("stop", "--reason", "the end of the day", "--wait", "60", "--json")
    assert (said.code, said.json["state"]) == (0, "VERIFIED FLAT"), said.err
    proof = said.json["steps"][-1]["detail"]
    assert said.json["detail"] == f"{proof}; trading stays halted until arm", "dust it left is named here, too"
    verdict = judge(exchange.journal, "bybit")
    assert [order.origin for order in verdict.open_orders] == ["hand"], "only the trader's own is left alone"
    refused = desk("order", "desk", "BTC/USDT", "buy", "0.001")
    assert refused.code == 4
    assert "testnet is HALTED (" in refused.err
    assert "way back: python -m engine arm --book testnet" in refused.err
    armed = desk("arm", "--book", "testnet", "--yes", "--reason", "test over")
    assert armed.code == 0, armed.err
    wait_until(lambda: desk.published()["state"] == "ACTIVE")


def test_reconcile_when_no_engine_runs_then_says_how_to_start_one(tmp_path: Path) -> None:
    said = SameProcess(tmp_path / "data")("reconcile")
    assert said.code == 3
    assert "start it with python -m engine run --stage testnet" in said.err
