"""A tax report as CSV: what the screen shows, safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import io
from zoneinfo import ZoneInfo

from engine.domain.codec import plain, utc_text
from engine.domain.tax_views import TaxKind, TaxReport, TaxRow
from engine.tax.lots import held_over_a_year
from engine.tax.report import zone_of

COLUMNS = (
    "SIMULATED",
    "year",
    "zone",
    "method",
    "kind",
    "sold_or_closed_at_utc",
    "bought_or_opened_at_utc",
    "sold_or_closed_on",
    "bought_or_opened_on",
    "asset",
    "venue",
    "quantity",
    "currency",
    "proceeds",
    "cost",
    "fees_inside_proceeds_and_cost",
    "gain",
    "income",
    "expense",
    "held_days",
    "held_over_one_year",
    "sale_or_closing_id",
    "purchase_or_opening_id",
    "detail",
    "problem",
)
_STARTS_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def csv_of(report: TaxReport) -> bytes:
    """The report as UTF-8 CSV (RFC 4180, lines end with CR LF).

    One line a row, then one a problem, so that nothing on the screen is missing in the file. Times are UTC, days are
    those of the report's zone, numbers plain decimals without exponent. Text that a spreadsheet would take for a
    formula gets a quote in front. The first column says SIMULATED in every line of a simulated book, else ``no``.
    Funding disposes of nothing: its amount stands under income or expense, and what belongs to a disposal is empty.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    zone = zone_of(report.zone)
    head = ["SIMULATED" if report.simulated else "no", str(report.year), report.zone, report.method]
    head = [safe_cell(cell) for cell in head]
    writer.writerows([*head, *_cells(row, report.currency, zone), ""] for row in report.rows)
    blank = [""] * (len(COLUMNS) - len(head) - 1)
    writer.writerows([*head, *blank, safe_cell(problem)] for problem in report.problems)
    return text.getvalue().encode()


def safe_cell(text: str) -> str:
    """A text cell no spreadsheet runs as a formula.

    >>> safe_cell("=1+1"), safe_cell("BTC")
    ("'=1+1", 'BTC')
    """
    return f"'{text}" if text.startswith(_STARTS_FORMULA) else text


def _cells(row: TaxRow, currency: str, zone: ZoneInfo) -> list[str]:
    if row.kind.is_funding:
        return _funding_cells(row, currency, zone)
    disposed, acquired = row.disposed_at.astimezone(zone).date(), row.acquired_at.astimezone(zone).date()
    return [
        row.kind.value,
        utc_text(row.disposed_at),
        utc_text(row.acquired_at),
        disposed.isoformat(),
        acquired.isoformat(),
        safe_cell(row.asset),
        safe_cell(row.venue),
        plain(row.quantity),
        safe_cell(currency),
        plain(row.proceeds),
        plain(row.cost),
        plain(row.fees),
        plain(row.gain),
        "",
        "",
        str(row.held_days),
        "yes" if held_over_a_year(acquired, disposed) else "no",
        safe_cell(row.disposal_trade_id),
        safe_cell(row.acquisition_trade_id),
        safe_cell(row.detail),
    ]


def _funding_cells(row: TaxRow, currency: str, zone: ZoneInfo) -> list[str]:
    day = row.disposed_at.astimezone(zone).date().isoformat()
    income = row.kind is TaxKind.INCOME
    when = [utc_text(row.disposed_at), "", day, ""]
    place = ["", safe_cell(row.venue), "", safe_cell(currency)]
    amounts = ["", "", "", "", plain(row.proceeds) if income else "", "" if income else plain(row.cost)]
    names = ["", "", safe_cell(row.disposal_trade_id), "", safe_cell(row.detail)]
    return [row.kind.value, *when, *place, *amounts, *names]
