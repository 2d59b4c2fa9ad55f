"""Tax: what a year's disposals gained, each traced to the purchase it was matched with."""

from __future__ import annotations

from zoneinfo import available_timezones

import streamlit as st

from engine.domain.facade import ConsolePort
from engine.domain.views import PageOf, TaxReport, TaxRow
from pages import appearance, books, desk, export, parts, tables
from pages import format as fmt
from pages.export import Export
from pages.guard import alone, guarded
from pages.parts import Card
from pages.tables import Column, Stored

_YEARS = 8


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
    draw(console, console.tax_report(book.name, int(year), zone))
    export.offer(Export("tax-csv", "CSV of the year", lambda: console.tax_csv(book.name, int(year), zone)))


def draw(console: ConsolePort, report: TaxReport) -> None:
    """The year's sums, what could not be matched, and every match."""
    if not report.rows and not report.problems:
        parts.empty(
            f"No disposal in {report.year}",
            "A gain is realised when something bought is sold again. Choose another year, or look at the fills.",
            parts.Help("See all fills", "positions"),
        )
        return
    st.html(parts.cards(cards(report)))
    for problem in report.problems:
        parts.notice(f"Not matched: {problem}", "warn")
    look = appearance.current(console)
    table = Stored(
        key="tax",
        columns=columns(look, report.currency),
        load=lambda page, size, _: PageOf(newest(report, page, size), len(report.rows), page, size),
        nothing="No disposal could be matched.",
    )
    alone(tables.paged)(table)
    kind = "SIMULATED fills: not for a tax return" if report.simulated else "real fills"
    sums = "gain = proceeds − cost, fees inside both"
    st.caption(f"{report.method} · tax days in {report.zone} · {kind} · {sums} · not tax advice")


def newest(report: TaxReport, page: int, size: int) -> tuple[TaxRow, ...]:
    """One page of matches, newest disposal first."""
    ordered = sorted(report.rows, key=lambda row: row.disposed_at, reverse=True)
    return tuple(ordered[(page - 1) * size : page * size])


def cards(report: TaxReport) -> tuple[Card, ...]:
    """The year in four figures."""
    unit = report.currency
    what = "SIMULATED" if report.simulated else "real fills"
    count = len(report.problems)
    return (
        Card(f"Realised gain {report.year}", parts.profit(report.gain), f"{unit}, {report.method}, {what}"),
        Card("Proceeds", parts.with_unit(fmt.number(report.proceeds), unit), f"{len(report.rows):,} matches"),
        Card("Cost", parts.with_unit(fmt.number(report.cost), unit), "of the lots that were sold"),
        Card(
            "Not matched",
            str(count),
            "fills, named below" if count else "every fill is matched",
            "warn" if count else "",
        ),
    )


def columns(look: appearance.Appearance, unit: str) -> tuple[Column[TaxRow], ...]:
    """A match: the disposal, the purchase, and what lies between."""
    return (
        Column(f"Sold, {look.zone}", lambda row: look.moment(row.disposed_at)),
        Column(f"Bought, {look.zone}", lambda row: look.moment(row.acquired_at)),
        Column("Asset", lambda row: f"{row.asset} · {row.venue}"),
        Column("Quantity", lambda row: fmt.quantity(row.quantity), numeric=True),
        Column(f"Proceeds, {unit}", lambda row: fmt.number(row.proceeds), numeric=True),
        Column(f"Cost, {unit}", lambda row: fmt.number(row.cost), numeric=True),
        Column(f"Fees, {unit}", lambda row: fmt.number(row.fees), numeric=True),
        Column(f"Gain, {unit}", lambda row: parts.profit(row.gain), numeric=True),
        Column("Held", lambda row: f"{row.held_days:,} d", numeric=True),
        Column("Sale", lambda row: desk.mono(row.disposal_trade_id), shown=False),
        Column("Purchase", lambda row: desk.mono(row.acquisition_trade_id), shown=False),
    )
