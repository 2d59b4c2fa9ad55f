"""The result of one backtest: the verdict first, then equity, figures, trades, periods, costs and conditions."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from engine.domain.facade import ConsolePort
from engine.domain.research import (
    BacktestRow,
    BacktestView,
    ExitRow,
    RegimeRow,
    RunVerdict,
    Standing,
    Statistic,
    Unit,
    YearRow,
)
from pages import appearance, charts, export, parts, research_charts, research_trades, tables
from pages import format as fmt
from pages.export import Export
from pages.format import Html, safe
from pages.guard import guarded, tabs
from pages.parts import Card
from pages.tables import Column

_TONES = {Standing.HOLDS: "good", Standing.DOUBTFUL: "warn", Standing.FAILS: "stop"}
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_FULL_TINT_AT = 0.15
"""A month of this much, up or down, gets the strongest ground."""


def draw(console: ConsolePort, view: BacktestView) -> None:
    """Draw a run that is done."""
    row = view.row
    verdict(row)
    _as_of(console, view)
    if view.stopped:
        parts.notice(view.stopped, "warn")
    parts.remarks(view.remarks)
    st.html(parts.cards(_cards(view)))
    charts.show(research_charts.curve(view.curve), "research-equity", f"Equity and drawdown of backtest {row.run_id}")
    st.caption(_basis(console, view))
    tabs(
        "research-parts",
        {
            "Figures": lambda: _figures(view),
            "Trades": lambda: research_trades.draw(console, view),
            "Periods": lambda: _periods(view),
            "Costs and exits": lambda: _costs(view),
            "Conditions": lambda: guarded(_conditions)(view),
        },
    )
    run = row.run_id
    export.offer(
        Export("research-report", "Report as one HTML file", lambda: console.backtest_report(run), "text/html", run)
    )


def verdict(row: BacktestRow) -> None:
    """The verdict in words, with its reasons; colour only repeats them."""
    if row.verdict is None:
        parts.notice("This run has no verdict.", "warn")
        return
    verdict_notice(row.verdict)


def _as_of(console: ConsolePort, view: BacktestView) -> None:
    """When the verdict was made, and how many settings it does not know of."""
    if view.judged_at is None or view.row.verdict is None:
        return
    look, later = appearance.current(console), view.tried_since
    if later is None:
        known = "how many settings were tried since is not known"
    elif later == 0:
        known = "no other setting was tried on these days since"
    else:
        more = "1 more setting was" if later == 1 else f"{later:,} more settings were"
        known = f"{more} tried on these days since, which it does not count; run it again to count them"
    st.caption(f"Verdict as of {look.moment(view.judged_at)} {look.zone}: {known}")


def verdict_notice(found: RunVerdict) -> None:
    """The same of a verdict that is known."""
    title = f"{found.level[:1].upper()}{found.level[1:]}"
    lead = f" {found.lead}:" if found.lead else ""
    passed = f"Passed, which alone is not enough:{parts.bullets(found.passed)}" if found.passed else ""
    words = f"<b>{safe(title)}.</b>{safe(lead)}{parts.bullets(found.reasons)}{passed}"
    parts.notice(Html(words), _TONES[found.standing])


def figure(value: float | None, unit: Unit, currency: str) -> str:
    """A figure with its unit; a dash where it is undefined."""
    if value is None:
        return fmt.NONE
    match unit:
        case Unit.SHARE:
            return fmt.percent(value)
        case Unit.DAYS:
            return f"{fmt.number(value, 0)} d"
        case Unit.COUNT:
            return fmt.number(value, 0)
        case Unit.MONEY:
            return fmt.money(value, currency)
        case Unit.RATIO:
            return fmt.number(value)


def _basis(console: ConsolePort, view: BacktestView) -> str:
    look, row = appearance.current(console), view.row
    span = f"{look.moment(row.start)} to {look.moment(row.stop)} {look.zone}, market time"
    return (
        f"{row.timeframe} candles, {f'asked for {span}; {view.lived}' if view.lived else span} · "
        f"after all costs, in {row.currency} · run {row.run_id} by the {row.engine} · a result of the past, no promise"
    )


def _cards(view: BacktestView) -> tuple[Card, ...]:
    row, known = view.row, {item.key: item for item in view.statistics}
    unit = row.currency
    start = f"from {fmt.money(row.cash, unit)}"
    return (
        Card("Final equity", parts.with_unit(fmt.number(row.final_equity), unit), start),
        _card(known, "net_return", unit),
        _card(known, "sharpe", unit),
        _card(known, "max_drawdown", unit),
        _card(known, "win_rate", unit, _won(known)),
        _card(known, "expectancy", unit),
    )


def _card(known: Mapping[str, Statistic], key: str, currency: str, note: str = "") -> Card:
    item = known.get(key)
    if item is None:
        return Card(key.replace("_", " ").capitalize(), fmt.NONE, "not measured")
    if item.value is None:
        return Card(item.title, fmt.NONE, item.reason)
    hold = f"buy and hold {figure(item.hold, item.unit, currency)}" if item.hold is not None else ""
    return Card(item.title, figure(item.value, item.unit, currency), note or hold or interval(item, currency))


def _won(known: Mapping[str, Statistic]) -> str:
    payoff, trades = known.get("payoff"), known.get("trades")
    count = "" if trades is None else f" of {figure(trades.value, trades.unit, '')}"
    paid = "payoff undefined" if payoff is None or payoff.value is None else f"payoff {fmt.number(payoff.value)}"
    return f"{paid},{count} trades".replace(", of", ";")


def interval(item: Statistic, currency: str) -> str:
    """The bounds of a figure in words; empty where none were measured."""
    if item.low is None or item.high is None:
        return ""
    return f"{figure(item.low, item.unit, currency)} to {figure(item.high, item.unit, currency)}"


def _figures(view: BacktestView) -> None:
    unit = view.row.currency
    tables.draw(_figure_columns(unit), view.statistics, "No figure was measured.")
    st.caption(
        "Interval: 95 %, stationary block bootstrap of the returns; the true figure may well lie anywhere in it. "
        f"Buy and hold: bought at the first candle, held to {_held_to(view)}, same costs. Hold at 20 % volatility: "
        "each day only as much of it as had a volatility of 20 % a year over the 30 days before, never borrowed, "
        "same costs."
    )
    left, right = st.columns(2, gap="medium")
    with left:
        st.subheader("At twice the costs", anchor=False)
        if view.doubled_days:
            parts.notice(view.doubled_days, "warn")
        tables.draw(_check_columns(unit), view.doubled, "This run was not repeated at twice the costs.")
    with right:
        st.subheader("Luck and overfitting", anchor=False)
        tables.draw(_check_columns(unit), view.checks, "No test against luck was made.")


def _held_to(view: BacktestView) -> str:
    return "the day on which the run was stopped" if view.lived else "the last"


def _figure_columns(unit: str) -> tuple[Column[Statistic], ...]:
    return (
        Column("Figure", lambda row: row.title),
        Column("Value", lambda row: figure(row.value, row.unit, unit), numeric=True),
        Column("95 % interval", lambda row: interval(row, unit) or fmt.NONE, numeric=True),
        Column("Buy and hold", lambda row: figure(row.hold, row.unit, unit), numeric=True),
        Column("Hold at 20 % volatility", lambda row: figure(row.steady, row.unit, unit), numeric=True),
        Column("What it means", meaning, wraps=True),
    )


def _check_columns(unit: str) -> tuple[Column[Statistic], ...]:
    return (
        Column("Figure", lambda row: row.title),
        Column("Value", lambda row: figure(row.value, row.unit, unit), numeric=True),
        Column("What it means", meaning, wraps=True),
    )


def meaning(row: Statistic) -> Html:
    """What a figure means, and why it is missing where it is."""
    if row.value is not None:
        return safe(row.meaning)
    return Html(f'{safe(row.meaning)} <span class="qd-dim">Undefined here: {safe(row.reason)}.</span>')


def _periods(view: BacktestView) -> None:
    st.subheader("Returns by month", anchor=False)
    if view.months:
        st.html(heat(view))
        st.caption("UTC months; the strongest ground is 15 % and more, up or down")
    else:
        parts.notice("The run is too short for a month.")
    left, right = st.columns(2, gap="medium")
    with left:
        st.subheader("By year", anchor=False)
        tables.draw(_YEARS, view.years, "The run is too short for a year.")
    with right:
        st.subheader("By kind of market", anchor=False)
        tables.draw(_REGIMES, view.regimes, "There are too few candles to tell kinds of market apart.")


def heat(view: BacktestView) -> Html:
    """Months across, years down: each figure on a ground as strong as the return."""
    head = "".join(f"<th>{month}</th>" for month in (*_MONTHS, "Year"))
    rows = "".join(
        f"<tr><td>{row.year}</td>{''.join(map(_heat_cell, (*row.months, row.total)))}</tr>" for row in view.months
    )
    return Html(f'<div class="qd-scroll"><table class="qd qd-heat"><tr><th></th>{head}</tr>{rows}</table></div>')


def _heat_cell(share: float | None) -> str:
    if share is None:
        return f'<td class="qd-dim">{fmt.NONE}</td>'
    tint = "var(--qd-up)" if share >= 0 else "var(--qd-down)"
    strength = min(1.0, abs(share) / _FULL_TINT_AT) * 50
    ground = f"color-mix(in srgb,{tint} {strength:.0f}%,transparent)"
    return f'<td style="background:{ground}">{fmt.number(share * 100, 1, signed=True)}</td>'


def _or_why(value: float | None, reason: str) -> Html:
    """A figure, or a dash with the reason in small."""
    if value is not None or not reason:
        return safe(fmt.number(value))
    return Html(f'{fmt.NONE} <span class="qd-dim">{safe(reason)}</span>')


_YEARS: tuple[Column[YearRow], ...] = (
    Column("Year", lambda row: str(row.year)),
    Column("Net return", lambda row: parts.profit_share(row.net_return), numeric=True),
    Column("Buy and hold", lambda row: parts.profit_share(row.hold_return), numeric=True),
    Column("Deepest drawdown", lambda row: fmt.percent(row.max_drawdown), numeric=True),
    Column("Sharpe", lambda row: _or_why(row.sharpe, row.reason), numeric=True),
    Column("Trades", lambda row: f"{row.trades:,}", numeric=True),
)

_REGIMES: tuple[Column[RegimeRow], ...] = (
    Column("Market", lambda row: fmt.words(row.name)),
    Column("Of the time", lambda row: fmt.percent(row.share, 1), numeric=True),
    Column("Net return", lambda row: parts.profit_share(row.net_return), numeric=True),
    Column("Sharpe", lambda row: _or_why(row.sharpe, row.reason), numeric=True),
)


def _costs(view: BacktestView) -> None:
    unit = view.row.currency
    left, right = st.columns(2, gap="medium")
    with left:
        st.subheader("Costs paid", anchor=False)
        cards = (
            Card(row.name, parts.with_unit(fmt.number(row.amount), unit), _of_costs(row.share)) for row in view.costs
        )
        st.html(parts.cards(cards))
        st.caption("Already deducted from every figure of this run; funding below zero was received.")
        st.subheader("Why trades ended", anchor=False)
        tables.draw(_exit_columns(unit), view.exits, "No trade ended.")
        st.caption(below_minimum(view.below_minimum))
    with right:
        st.subheader("Results of trades", anchor=False)
        if len(view.distribution.counts):
            chart = research_charts.results(view.distribution)
            charts.show(chart, "research-results", "How many trades had which result")
            st.caption("Number of trades by their result after costs, as a share of what was paid at entry")
        else:
            parts.notice("No trade has a result.")


def below_minimum(count: int | None) -> str:
    """How many wishes were too small for the venue, or that nobody counted them."""
    if count is None:
        return "How many orders would have been below the venue's minimum was not counted in this run."
    if count == 0:
        return "No wish to open a position came to nothing because its order would have been below the venue's minimum."
    wishes = "1 wish" if count == 1 else f"{count:,} wishes"
    return (
        f"{wishes} to open a position came to nothing: the largest order that risk allows would have been below the "
        "venue's minimum. A wish counts once until it changes."
    )


def _of_costs(share: float | None) -> str:
    return "received" if share is None else f"{fmt.percent(share, 1)} of all costs"


def _exit_columns(unit: str) -> tuple[Column[ExitRow], ...]:
    return (
        Column("Reason", lambda row: fmt.words(row.reason)),
        Column("Trades", lambda row: f"{row.trades:,}", numeric=True),
        Column(f"P&L, {unit}", lambda row: parts.profit(row.pnl), numeric=True),
    )


def _conditions(view: BacktestView) -> None:
    tables.draw(_CONDITIONS, view.conditions, "This run stored no conditions.")


_CONDITIONS: tuple[Column[tuple[str, str]], ...] = (
    Column("What", lambda row: row[0], wraps=True),
    Column("Value", lambda row: row[1], wraps=True),
)
