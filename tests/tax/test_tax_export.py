"""The file says what the screen says, and no spreadsheet runs anything in it."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from decimal import Decimal

import pytest
from tax_makers import fill, funding

from engine.domain.tax_views import TaxReport
from engine.tax.export import COLUMNS, csv_of, safe_cell
from engine.tax.report import TaxYear, tax_report
from engine.tax.trades import Valuation

FILLS = (
    fill("1", "buy", "2", "0.00000001", "2024-01-01", fee="0.00000001"),
    fill("2", "sell", "1", "150", "2025-01-02T14:00", fee="1.5"),
    fill("3", "sell", "2", "150", "2025-03-01"),
)


SYDNEY = TaxYear.of(2025, "Australia/Sydney")


def made(simulated: bool = True) -> TaxReport:
    return tax_report(FILLS, (), SYDNEY, Valuation("USDT"), simulated=simulated)


def read(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode(), newline="")))


def test_csv_when_written_then_it_holds_every_row_and_problem_of_the_report() -> None:
    report = made()
    rows = read(csv_of(report))
    assert len(rows) == len(report.rows) + len(report.problems) == 3
    first = rows[0]
    assert first == {
        "SIMULATED": "SIMULATED",
        "year": "2025",
        "zone": "Australia/Sydney",
        "method": "FIFO",
        "kind": "sale",
        "sold_or_closed_at_utc": "2025-01-02T14:00:00.000000Z",
        "bought_or_opened_at_utc": "2024-01-01T00:00:00.000000Z",
        "sold_or_closed_on": "2025-01-03",
        "bought_or_opened_on": "2024-01-01",
        "asset": "BTC",
        "venue": "demo-a",
        "quantity": "1",
        "currency": "USDT",
        "proceeds": "148.5",
        "cost": "0.000000015",
        "fees_inside_proceeds_and_cost": "1.500000005",
        "gain": "148.499999985",
        "income": "",
        "expense": "",
        "held_days": "368",
        "held_over_one_year": "yes",
        "sale_or_closing_id": "2",
        "purchase_or_opening_id": "1",
        "detail": "",
        "problem": "",
    }
    assert rows[-1]["problem"] == report.problems[0]
    assert rows[-1]["proceeds"] == ""


def test_csv_when_read_back_then_numbers_are_exact_and_without_exponent() -> None:
    report = made()
    rows = [row for row in read(csv_of(report)) if not row["problem"]]
    assert [Decimal(row["gain"]) for row in rows] == [row.gain for row in report.rows]
    assert not [row for row in rows for name in ("quantity", "cost", "gain") if "E" in row[name].upper()]


@pytest.mark.parametrize(("simulated", "word"), [(True, "SIMULATED"), (False, "no")])
def test_csv_when_simulated_then_every_line_says_so(simulated: bool, word: str) -> None:
    content = csv_of(made(simulated))
    assert {row["SIMULATED"] for row in read(content)} == {word}
    assert content.count(b"\r\n") == 4


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1"])
def test_cell_when_it_begins_like_a_formula_then_it_gets_a_quote(text: str) -> None:
    assert safe_cell(text) == "'" + text


def test_csv_when_texts_are_hostile_then_quoted_safe_and_read_back_the_same() -> None:
    report = made()
    row = replace(
        report.rows[0], asset='=HYPERLINK("http://x")', venue='a,"b"\r\nc', disposal_trade_id="@1",
        acquisition_trade_id="-é" * 5000, gain=Decimal("-5"),
    )  # fmt: skip
    hostile = replace(report, rows=(row,), currency="+USD", problems=("=cmd|' /C calc'!A0",))
    first, last = read(csv_of(hostile))
    assert first["asset"] == '\'=HYPERLINK("http://x")'
    assert first["venue"] == 'a,"b"\r\nc'
    assert (first["sale_or_closing_id"], first["currency"]) == ("'@1", "'+USD")
    assert first["purchase_or_opening_id"] == "'" + "-é" * 5000
    assert first["gain"] == "-5"
    assert last["problem"] == "'=cmd|' /C calc'!A0"


def test_csv_when_there_is_funding_then_income_or_expense_and_nothing_of_a_disposal() -> None:
    paid = (funding("f1", "2.5", "2025-01-01T14:00"), funding("f2", "-1", "2025-01-01T16:00"))
    report = tax_report((), paid, SYDNEY, Valuation("USDT"), simulated=True)
    income, expense = read(csv_of(report))
    assert (income["kind"], income["income"], income["expense"]) == ("funding received", "2.5", "")
    assert (expense["kind"], expense["income"], expense["expense"]) == ("funding paid", "", "1")
    assert (income["detail"], income["venue"], income["currency"]) == ("funding of BTC/USDT:USDT", "demo-b", "USDT")
    assert (income["sold_or_closed_on"], income["sale_or_closing_id"]) == ("2025-01-02", "f1")
    empty = ("asset", "quantity", "proceeds", "cost", "gain", "held_days", "held_over_one_year", "bought_or_opened_on")
    assert {income[name] for name in empty} == {""}


def test_csv_when_empty_then_only_the_heading() -> None:
    empty = tax_report((), (), TaxYear.of(2024, "UTC"), Valuation("USDT"), simulated=False)
    assert csv_of(empty).decode() == ",".join(COLUMNS) + "\r\n"
