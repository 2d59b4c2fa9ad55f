"""Risk figures, exposure, correlation and stress as Wallets and Risk show them, each with what it was measured on."""

from __future__ import annotations

from decimal import Decimal
from math import isfinite

import streamlit as st

from engine.domain.views import Figure
from engine.domain.wallet_views import RiskView, StressRow
from pages import format as fmt
from pages import parts, tables
from pages.format import Html, safe
from pages.parts import Card
from pages.tables import Column


def value(figure: Figure, currency: str) -> str:
    """A figure with its unit (``base`` is ``currency``); unknown where it could not be measured."""
    if figure.value is None:
        return "unknown"
    if figure.unit == "share":
        return fmt.percent(figure.value)
    return parts.with_unit(fmt.number(figure.value), currency if figure.unit == "base" else figure.unit)


def cards(view: RiskView, currency: str) -> tuple[Card, ...]:
    """One card a figure; unknown ones say why."""
    return tuple(Card(figure.name, value(figure, currency), figure.note) for figure in view.figures)


def draw(view: RiskView, currency: str, whole: str = "equity") -> None:
    """Figures, exposure beside correlation, stress; money in ``currency``, shares of what ``whole`` names."""
    st.html(parts.cards(cards(view, currency), wide=True))
    left, right = st.columns(2, gap="medium")
    with left:
        st.subheader("Exposure by coin", anchor=False)
        tables.draw(_exposure_columns(currency, whole), view.exposures, "No exposure: nothing but cash is held.")
    with right:
        st.subheader("Correlation of returns", anchor=False)
        if len(view.coins) > 1:
            st.html(heat(view))
            st.caption(f"{view.observations:,} returns of each coin")
        else:
            parts.notice(f"Needs two coins with a common history; {view.observations:,} returns are known.")
    st.subheader("Stress: what the present holdings would have lost", anchor=False)
    tables.draw(_stress_columns(currency, whole), view.stress, "No scenario applies: nothing but cash is held.")


def heat(view: RiskView) -> Html:
    """The correlation matrix: each figure on a ground as strong as the correlation."""
    head = "".join(f"<th>{safe(coin)}</th>" for coin in view.coins)
    rows = "".join(
        f"<tr><td>{safe(coin)}</td>{''.join(map(_heat_cell, row))}</tr>"
        for coin, row in zip(view.coins, view.correlation, strict=True)
    )
    return Html(f'<div class="qd-scroll"><table class="qd qd-heat"><tr><th></th>{head}</tr>{rows}</table></div>')


def _heat_cell(value: float) -> str:
    if not isfinite(value):
        return '<td class="qd-dim">unknown</td>'
    tint = "var(--qd-accent)" if value >= 0 else "var(--qd-down)"
    ground = f"color-mix(in srgb,{tint} {abs(value) * 45:.0f}%,transparent)"
    return f'<td style="background:{ground}">{fmt.number(value, 2)}</td>'


def _exposure_columns(currency: str, whole: str) -> tuple[Column[tuple[str, Decimal, Decimal]], ...]:
    return (
        Column("Coin", lambda row: row[0]),
        Column(f"Notional, {currency}", lambda row: fmt.number(row[1], signed=True), numeric=True),
        Column(f"Share of {whole}", lambda row: fmt.percent(row[2], 1, signed=True), numeric=True),
        Column("", lambda row: parts.bar(abs(row[2]))),
    )


def _stress_columns(currency: str, whole: str) -> tuple[Column[StressRow], ...]:
    return (
        Column("Scenario", lambda row: row.scenario),
        Column("Window", lambda row: row.window),
        Column(f"P&L, {currency}", lambda row: parts.profit(row.pnl), numeric=True),
        Column(f"Of {whole}", lambda row: parts.profit_share(row.share_of_equity), numeric=True),
        Column("How returns were found", lambda row: row.proxy, wraps=True),
    )
