"""A tax report as CSV: what the screen shows, safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import io
from zoneinfo import ZoneInfo

from engine.domain.codec import plain, utc_text
from engine.domain.views import TaxReport, TaxRow
from engine.tax.lots import held_over_a_year
from engine.tax.report import zone_of

COLUMNS = (
    "SIMULATED",
    "year",
    "zone",
    "method",
    "disposed_at_utc",
    "acquired_at_utc",
    "disposed_on",
    "acquired_on",
    "asset",
    "venue",
    "quantity",
    "currency",
    "proceeds",
    "cost",
    "fees_included",
    "gain",
    "held_days",
    "held_over_one_year",
    "disposal_trade_id",
    "acquisition_trade_id",
    "problem",
)
_STARTS_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def csv_of(report: TaxReport) -> bytes:
    """The report as UTF-8 CSV (RFC 4180, lines end with CR LF).

    One line a row, then one a problem, so that nothing on the screen is missing in the file. Times are UTC, days are
    those of the report's zone, numbers plain decimals without exponent. Text that a spreadsheet would take for a
    formula gets a quote in front. The first column says SIMULATED in every line of a simulated book, else ``no``.
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
    disposed, acquired = row.disposed_at.astimezone(zone).date(), row.acquired_at.astimezone(zone).date()
    return [
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
        str(row.held_days),
        "yes" if held_over_a_year(acquired, disposed) else "no",
        safe_cell(row.disposal_trade_id),
        safe_cell(row.acquisition_trade_id),
    ]
