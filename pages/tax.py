"""Tax: what a year's sales and closed positions gained, each traced to its opening, and the funding beside it."""

from __future__ import annotations

from decimal import Decimal
from zoneinfo import available_timezones

import streamlit as st

from engine.domain.facade import ConsolePort
from engine.domain.portfolio import BookSnapshot
from engine.domain.tax_views import TaxKind, TaxReport, TaxRow
from engine.domain.views import PageOf
from pages import appearance, books, desk, export, parts, tables
from pages import format as fmt
from pages.export import Export
from pages.format import Html
from pages.guard import alone, guarded
from pages.parts import Card
from pages.tables import Column, Stored

_YEARS = 8
REAL = "real fills"
"""Of real money."""


def render(console: ConsolePort) -> None:
    """Draw the page."""
    st.header("Tax", anchor=False)
    guarded(_report)(console)


def _report(console: ConsolePort) -> None:
    book = books.current(console)
    newest = (book.market_time or fmt.now()).year
    with st.container(horizontal=True, vertical_alignment="bottom"):
        year = st.selectbox(
            "Year", [newest - back for back in range(_YEARS)], key="tax-year", persist_state="session", width=120
        )
        home = appearance.current(console).zone
        zones = [home, *sorted(available_timezones() - {home})]
        zone = st.selectbox("Days begin at midnight in", zones, key="tax-zone", persist_state="session", width=240)
    draw(console, console.tax_report(book.name, int(year), zone), book)
    export.offer(Export("tax-csv", "CSV of the year", lambda: console.tax_csv(book.name, int(year), zone)))


def fills_of(book: BookSnapshot) -> str:
    """What the fills of a book are to a tax office: only those of real money are anything."""
    if book.simulated:
        return "SIMULATED fills"
    return {"paper": "paper fills, no money moved", "testnet": "sandbox fills, play money"}.get(book.stage, REAL)


def draw(console: ConsolePort, report: TaxReport, book: BookSnapshot) -> None:
    """The year's sums, what could not be matched, and every match."""
    if not report.rows and not report.problems:
        parts.empty(
            f"No disposal in {report.year}",
            "A gain is realised when something bought is sold again, or a position is closed. Choose another year, or "
            "look at the fills.",
            parts.Help("See all fills", "positions"),
        )
        return
    kind = fills_of(book)
    st.html(parts.cards(cards(report, kind)))
    for problem in report.problems:
        parts.notice(f"Not matched: {fmt.named(problem)}", "warn")
    look, unit = appearance.current(console), report.currency
    disposals = [row for row in report.rows if not row.kind.is_funding]
    funding = [row for row in report.rows if row.kind.is_funding]
    st.subheader("Sales and closed positions", anchor=False)
    alone(tables.paged)(_table("tax", columns(look, unit), disposals, "Nothing was sold or closed in this year."))
    st.subheader("Income and expense: funding of perpetuals", anchor=False)
    alone(tables.paged)(_table("tax-funding", funding_columns(look, unit), funding, "No funding in this year."))
    kind = kind if kind == REAL else f"{kind}: not for a tax return"
    sums = "gain = proceeds − cost, fees are inside both and not taken off again · funding is apart"
    counted = f" · counted {look.moment(report.counted_at)} {look.zone}" if report.counted_at else ""
    st.caption(f"{report.method} · tax days in {report.zone} · {kind} · {sums}{counted} · not tax advice")


def _table(key: str, shown: tuple[Column[TaxRow], ...], rows: list[TaxRow], nothing: str) -> Stored[TaxRow]:
    return Stored(
        key=key,
        columns=shown,
        load=lambda page, size, _: PageOf(newest(rows, page, size), len(rows), page, size),
        nothing=nothing,
    )


def newest(rows: list[TaxRow], page: int, size: int) -> tuple[TaxRow, ...]:
    """One page of rows, newest first."""
    ordered = sorted(rows, key=lambda row: row.disposed_at, reverse=True)
    return tuple(ordered[(page - 1) * size : page * size])


def cards(report: TaxReport, what: str) -> tuple[Card, ...]:
    """The year in a row of figures: sales and closed positions, then funding, then what is missing.

    ``what`` says of which fills.
    """
    unit = report.currency
    count = len(report.problems)
    matches = sum(1 for row in report.rows if not row.kind.is_funding)
    return (
        Card(f"Realised gain {report.year}", parts.profit(report.gain), f"{unit}, {report.method}, {what}"),
        Card("Proceeds, fees taken off", parts.with_unit(fmt.number(report.proceeds), unit), f"{matches:,} matches"),
        Card("Cost, fees added", parts.with_unit(fmt.number(report.cost), unit), "of what was sold or closed"),
        Card("Funding received", parts.with_unit(fmt.number(report.income), unit), "income, not in the gain"),
        Card("Funding paid", parts.with_unit(fmt.number(report.expense), unit), "expense, not in the gain"),
        Card("Gain and funding together", parts.profit(report.result), unit),
        Card(
            "Not matched",
            str(count),
            "fills, named below" if count else "every fill is matched",
            "warn" if count else "",
        ),
    )


def columns(look: appearance.Appearance, unit: str) -> tuple[Column[TaxRow], ...]:
    """A match: sale and purchase of a coin, or closing and opening of a position, and what lies between."""
    return (
        Column("What", lambda row: _what(row.kind)),
        Column("Asset", lambda row: f"{fmt.named(row.asset)} · {row.venue}"),
        Column(f"Sold or closed, {look.zone}", lambda row: look.moment(row.disposed_at)),
        Column(f"Bought or opened, {look.zone}", lambda row: look.moment(row.acquired_at)),
        Column("Quantity", lambda row: fmt.quantity(row.quantity), numeric=True),
        Column(f"Proceeds, {unit}", lambda row: fmt.number(row.proceeds), numeric=True),
        Column(f"Cost, {unit}", lambda row: fmt.number(row.cost), numeric=True),
        Column(f"Fees inside both, {unit}", lambda row: fmt.number(row.fees), numeric=True),
        Column(f"Gain, {unit}", lambda row: parts.profit(row.gain), numeric=True),
        Column("Held", lambda row: f"{row.held_days:,} d", numeric=True),
        Column("Sale or closing", lambda row: desk.mono(row.disposal_trade_id), shown=False),
        Column("Purchase or opening", lambda row: desk.mono(row.acquisition_trade_id), shown=False),
    )


def funding_columns(look: appearance.Appearance, unit: str) -> tuple[Column[TaxRow], ...]:
    """A payment of funding: nothing is bought or sold by it."""
    return (
        Column("What", lambda row: row.kind.value),
        Column("Of", lambda row: f"{fmt.named(row.detail)} · {row.venue}"),
        Column(f"Time, {look.zone}", lambda row: look.moment(row.disposed_at)),
        Column(f"Income, {unit}", lambda row: fmt.number(_only(row, TaxKind.INCOME)), numeric=True),
        Column(f"Expense, {unit}", lambda row: fmt.number(_only(row, TaxKind.EXPENSE)), numeric=True),
        Column("Payment", lambda row: desk.mono(row.disposal_trade_id), shown=False),
    )


def _only(row: TaxRow, kind: TaxKind) -> Decimal | None:
    """The amount under the heading it belongs to, nothing under the other."""
    return abs(row.gain) if row.kind is kind else None


def _what(kind: TaxKind) -> Html:
    """A sale, or the side of the position that was closed, with its arrow."""
    arrow = {TaxKind.LONG: "▲ ", TaxKind.SHORT: "▼ "}.get(kind, "")
    return fmt.safe(f"{arrow}{kind.value}")
