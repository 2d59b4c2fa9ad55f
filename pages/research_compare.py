"""Up to five backtests side by side: growth since each one's start, and their figures in a table."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from engine.domain.facade import ConsolePort
from engine.domain.research import MOST_COMPARED, BacktestRow, ComparedFigure, Comparison
from engine.runtime.titles import title_of
from pages import charts, parts, research_charts, tables
from pages import format as fmt
from pages.format import Html, safe
from pages.research_result import figure
from pages.tables import Column


def draw(console: ConsolePort, titles: Mapping[str, str]) -> None:
    """Choose runs, then see them; ``titles`` names every run that can be chosen."""
    if len(titles) < 2:
        parts.empty("Nothing to compare yet", "Two backtests with a result are needed.")
        return
    chosen = st.multiselect(
        f"Backtests, two to {MOST_COMPARED}",
        list(titles),
        format_func=lambda run_id: titles.get(run_id, run_id),
        max_selections=MOST_COMPARED,
        key="research-compared",
        persist_state="session",
    )
    if len(chosen) < 2:
        parts.notice("Choose at least two backtests.")
        return
    compared = console.compare_backtests(chosen)
    for caution in compared.cautions:
        parts.notice(caution, "warn")
    tables.draw(_verdicts(compared), tuple(enumerate(compared.rows)))
    charts.show(research_charts.growth(compared), "research-growth", "Growth of the compared backtests")
    st.caption(
        "Growth since each run's own start, after all costs; a curve ends where its run was stopped. The numbers are "
        "those of the table's columns."
    )
    tables.draw(_columns(compared), compared.figures)
    st.caption(f"In small: 95 % interval; a difference inside the intervals says nothing. {_marks(compared)}")


def _marks(compared: Comparison) -> str:
    if compared.cautions:
        return "No figure is marked as the best: these runs are not comparable as they are."
    return "◆ marks the best of a figure where better can be said."


def _verdicts(compared: Comparison) -> tuple[Column[tuple[int, BacktestRow]], ...]:
    """What may be said of each run, before its figures."""

    def reasons(row: tuple[int, BacktestRow]) -> str:
        return "; ".join(row[1].verdict.reasons) if row[1].verdict is not None else fmt.NONE

    return (
        Column("Run", lambda row: f"{row[0] + 1} {title_of(row[1].strategy)}"),
        Column("Verdict", lambda row: fmt.sentence(row[1].verdict.level) if row[1].verdict is not None else fmt.NONE),
        Column("Days", lambda row: fmt.sentence(compared.lived[row[0]]) or "to the end"),
        Column("Why", reasons, wraps=True),
    )


def _columns(compared: Comparison) -> tuple[Column[ComparedFigure], ...]:
    runs = tuple(_column(compared, place) for place in range(len(compared.rows)))
    return (Column("Figure", lambda row: row.title), *runs)


def _column(compared: Comparison, place: int) -> Column[ComparedFigure]:
    row = compared.rows[place]
    head = f"{place + 1} {title_of(row.strategy)}, {', '.join(map(fmt.base_coin, row.instruments))}"

    def cell(item: ComparedFigure) -> Html:
        text = safe(figure(item.values[place], item.unit, row.currency))
        shown = Html(f"◆ <b>{text}</b>") if item.best == place else text
        bounds = item.intervals[place] if item.intervals else None
        if bounds is None:
            return shown
        low, high = (figure(end, item.unit, row.currency) for end in bounds)
        return Html(f'{shown}<br><span class="qd-dim">{safe(low)} to {safe(high)}</span>')

    return Column(head, cell, numeric=True)
