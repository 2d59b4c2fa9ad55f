"""Trades of a backtest: on the candle chart with entry, exit and stop, and as a table that sorts and filters."""

from __future__ import annotations

from decimal import Decimal

import streamlit as st

from engine.domain.facade import ConsolePort
from engine.domain.instruments import InstrumentKey
from engine.domain.research import BacktestView, RunTrade
from pages import appearance, charts, parts, research_charts, tables
from pages import format as fmt
from pages.appearance import Appearance
from pages.desk import side
from pages.guard import alone
from pages.tables import Column, Filter, Stored

_ORDERS = ("newest", "oldest", "best", "worst", "best share", "worst share", "longest", "shortest")
_OUTCOMES = ("won", "lost")
_LEVELS = "the dotted levels are stop and target as set at the entry; a trailing stop moved from there"
_CROWDED = "a dot is an entry; enter the number of a trade to see its exit, stop and target"


def draw(console: ConsolePort, view: BacktestView) -> None:
    """The chart above, the table below."""
    alone(_chart)(console, view)
    look = appearance.current(console)
    run_id = view.row.run_id
    table = Stored(
        key=f"research-trades-{run_id}",
        columns=_columns(look, view.row.currency),
        load=lambda page, size, filters: console.backtest_trades(run_id, page, size, filters),
        nothing="No trade matches.",
        filters=(
            Filter("order", "Order", _ORDERS),
            Filter("instrument", "Instrument", tuple(view.row.instruments), shows=fmt.instrument),
            Filter("side", "Side", ("long", "short")),
            Filter("outcome", "Outcome", _OUTCOMES),
            Filter("reason", "Why it ended", tuple(row.reason for row in view.exits), shows=fmt.words),
        ),
        ordered="newest first unless ordered otherwise",
    )
    alone(tables.paged)(table)


def _chart(console: ConsolePort, view: BacktestView) -> None:
    run_id = view.row.run_id
    with st.container(horizontal=True, vertical_alignment="bottom"):
        instrument = st.selectbox(
            "Instrument", view.row.instruments, format_func=fmt.instrument, key=f"research-on-{run_id}", width=220
        )
        number = st.number_input(
            "Trade number, 0: the whole run",
            0,
            None,
            0,
            key=f"research-trade-{run_id}",
            width=220,
            help="The first column of the table below",
        )
    chart = console.backtest_chart(run_id, InstrumentKey(str(instrument)), int(number) or None)
    place = f"research-candles-{instrument}-{number}"
    charts.show(research_charts.trades(chart), place, f"Candles and trades of backtest {run_id}")
    count = f"{len(chart.trades):,} trade{'' if len(chart.trades) == 1 else 's'}"
    drawn = _CROWDED if research_charts.is_crowd(chart.trades) else _LEVELS
    st.caption(
        f"{count} on {chart.candles.timeframe} candles as they are stored now · the line joins entry and exit "
        f"(whole: won, dashed: lost), {drawn}"
    )


def _columns(look: Appearance, unit: str) -> tuple[Column[RunTrade], ...]:
    return (
        Column("#", lambda row: f"{row.number:,}", numeric=True),
        Column("Instrument", lambda row: fmt.instrument(row.instrument)),
        Column("Side", lambda row: side(row.side == "long")),
        Column("Quantity", lambda row: fmt.quantity(row.quantity), numeric=True),
        Column(f"Entered, {look.zone}", lambda row: look.moment(row.entry_at)),
        Column("Entry", lambda row: _average(row.entry_price), numeric=True),
        Column(f"Left, {look.zone}", lambda row: look.moment(row.exit_at)),
        Column("Exit", lambda row: _average(row.exit_price), numeric=True),
        Column("First stop", lambda row: fmt.price(row.stop_price), numeric=True),
        Column("Last stop", lambda row: fmt.price(row.last_stop_price), numeric=True, shown=False),
        Column("Target", lambda row: fmt.price(row.target_price), numeric=True, shown=False),
        Column("Why it ended", lambda row: fmt.words(row.exit_reason or "still open")),
        Column("Candles", lambda row: f"{row.bars_held:,}", numeric=True, shown=False),
        Column(f"Fees, {unit}", lambda row: fmt.number(row.fees), numeric=True, shown=False),
        Column(f"P&L, {unit}", lambda row: parts.profit(row.pnl), numeric=True),
        Column("Of what was paid", lambda row: parts.profit_share(row.share), numeric=True),
    )


def _average(price: Decimal | None) -> str:
    """A price of one or several fills: their average has more decimals than anybody reads."""
    return fmt.price(None if price is None else float(price))
