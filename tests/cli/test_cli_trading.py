"""The commands beside an engine that trades. Each test leaves the book as it found it: active."""

from __future__ import annotations

import csv
import io
import re
from decimal import Decimal

import pytest
from command_line import PASSWORD, Engine, wait_until

from engine.domain.facts import StopStep
from engine.runtime.cli.exports import trade_number

ORDER_FIELDS = {
    "client_order_id", "exchange_order_id", "venue", "symbol", "side", "amount", "filled", "average_price", "status",
}  # fmt: skip
FILL_FIELDS = {
    "trade_id", "exchange_order_id", "client_order_id", "venue", "symbol", "side", "amount", "price", "fee",
    "fee_currency", "time", "simulated",
}  # fmt: skip


def test_status_when_an_engine_runs_then_every_field_is_there(trading: Engine) -> None:
    status = Engine(trading.folder)("status", "--json").json  # as typed, in a process of its own
    assert status["running"]
    assert {"state", "equity", "cash", "positions", "open_orders", "fills", "started_at", "sequence"} <= set(status)
    assert isinstance(status["equity"], str)
    assert isinstance(status["fills"], int)
    assert status["books"]["demo"]["simulated"] is True
    assert Decimal(status["books"]["demo"]["equity"]) > 0


def test_status_when_read_by_people_then_it_says_simulated(trading: Engine) -> None:
    said = trading("status").out
    assert "book demo SIMULATED" in said
    assert re.search(r"equity \d+\.\d\d USDT", said)
    assert re.search(r"drawdown \d+\.\d\d %", said)
    assert re.search(r"\d\.\d{9}", said) is None, "nothing unrounded"


@pytest.mark.parametrize("line", ["run --stage demo", "restore README.md"])
def test_command_when_the_folder_is_taken_then_refused_with_who_has_it(trading: Engine, line: str) -> None:
    said = trading(*line.split())
    assert said.code == 3
    assert "process" in said.err


def test_export_when_orders_then_the_average_price_is_that_of_their_fills(trading: Engine) -> None:
    fills = trading("export", "fills", "--json").json
    orders = {order["client_order_id"]: order for order in trading("export", "orders", "--json").json}
    first = fills[0]
    assert set(first) >= FILL_FIELDS
    assert first["simulated"] is True
    order = orders[first["client_order_id"]]
    assert set(order) >= ORDER_FIELDS
    own = [fill for fill in fills if fill["client_order_id"] == order["client_order_id"]]
    value = sum(Decimal(fill["amount"]) * Decimal(fill["price"]) for fill in own)
    exact = value / sum(Decimal(fill["amount"]) for fill in own)
    assert abs(Decimal(order["average_price"]) - exact) <= Decimal("0.000000005")
    assert all(len(row["average_price"].partition(".")[2]) <= 8 for row in orders.values() if row["average_price"])


def test_export_when_journal_then_rows_are_numbered_without_a_hole(trading: Engine) -> None:
    rows = trading("export", "journal", "--json").json
    assert [row["sequence"] for row in rows] == list(range(1, len(rows) + 1))
    assert {"CashFlow", "OrderIntent", "Fill"} <= {row["kind"] for row in rows}


@pytest.mark.parametrize("what", ["orders", "fills", "journal"])
def test_export_when_csv_then_every_row_says_simulated(trading: Engine, what: str) -> None:
    text = trading("export", what, "--csv", "--book", "demo").out
    rows = list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))
    assert rows
    assert {row["simulated"] for row in rows} == {"SIMULATED"}


def test_export_when_the_book_is_unknown_then_empty(trading: Engine) -> None:
    assert trading("export", "fills", "--book", "nobody").json == []


def test_stop_when_pressed_twice_then_one_stop_is_proven_until_flat(trading: Engine) -> None:
    said = trading("stop", "--reason", "a test of the button", "--json", "--wait", "60")
    again = trading("stop", "--reason", "once more", "--json", "--wait", "60")
    status = trading.published()
    assert (said.code, again.code) == (0, 0), said.err
    assert said.json["state"] == "VERIFIED FLAT"
    assert [row["step"] for row in said.json["steps"]] == [step.value for step in StopStep]
    assert again.json["books"]["demo"]["stop_id"] == said.json["command_id"]
    assert (status["state"], status["positions"], status["open_orders"]) == ("HALTED", [], 0)
    armed = trading("arm", "--yes", "--json")
    assert (armed.code, list(armed.json["books"])) == (0, ["demo"]), armed.err
    wait_until(lambda: trading.published()["state"] == "ACTIVE")


def test_stop_when_the_book_is_unknown_then_refused(trading: Engine) -> None:
    said = trading("stop", "--book", "nobody", "--reason", "test", "--json")
    assert said.code == 4
    assert said.json["state"] == "REFUSED"
    assert "demo" in said.json["detail"]


def test_arm_when_nothing_is_latched_then_refused(trading: Engine) -> None:
    assert trading("arm", "--book", "demo", "--reason", "test", "--yes").code == 4


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("arm --book demo --reason x", "--yes"),
        ("arm --book nobody --reason x --yes", "no book 'nobody'"),
        ("stop --book demo --reason=", "--reason is empty"),
    ],
)
def test_order_when_it_lacks_something_then_refused_by_name(trading: Engine, line: str, problem: str) -> None:
    said = trading(*line.split())
    assert said.code == 2
    assert problem in said.err


def test_audit_verify_when_an_engine_writes_then_both_chains_hold(trading: Engine) -> None:
    said = trading("audit", "verify", "--json")
    assert said.code == 0
    assert {row["name"]: row["holds"] for row in said.json["chains"]} == {
        "journal": True, "audit": True, "tables": None,
    }  # fmt: skip


def test_backup_when_an_engine_writes_then_verified(trading: Engine) -> None:
    said = trading("backup", "--json", "--to", str(trading.folder / "elsewhere"))
    assert said.code == 0
    assert said.json["journal_rows"] > 0
    assert said.json["with_keys"] is False


def test_users_when_added_beside_an_engine_then_listed(trading: Engine) -> None:
    assert trading("users", "add", "ada", "--role", "admin", "--password-stdin", stdin=f"{PASSWORD}\n").code == 0
    assert "ada" in [user["name"] for user in trading("users", "list", "--json").json]


@pytest.mark.parametrize(("booked", "number"), [("BTC/USDT:300001", "300001"), ("9f80b7f9", "9f80b7f9")])
def test_export_when_a_symbol_s_trades_are_counted_apart_then_the_exchanges_own_number(
    booked: str, number: str
) -> None:
    assert trade_number(booked, "BTC/USDT") == number
