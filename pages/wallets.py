"""Wallets: every balance that was found, valued in one currency."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import streamlit as st

from engine.domain.facade import ConsolePort
from engine.domain.views import HoldingRow, WalletView
from pages import appearance, books, figures, parts, tables, theme
from pages import format as fmt
from pages.format import Html
from pages.guard import live
from pages.parts import Card
from pages.tables import Column


def render(console: ConsolePort) -> None:
    """Draw the page."""
    st.header("Wallets", anchor=False)
    live(_wallets, every_s=5)(console)


def _wallets(console: ConsolePort) -> None:
    view = console.wallets(appearance.current(console).currency or books.current(console).base_currency)
    if not view.holdings:
        parts.empty(
            "No balance found",
            "Connect an exchange with a key that may read; every coin on every account of it appears here by itself.",
            parts.Help("Connect an exchange", "exchanges"),
        )
        return
    kinds = (("Real", False), ("SIMULATED", True))
    for name, simulated in kinds:
        rows = [row for row in view.holdings if row.simulated is simulated]
        if rows:
            _kind(view, name, rows)
    st.subheader("Risk of these holdings", anchor=False)
    figures.draw(view.risk)


def _kind(view: WalletView, name: str, rows: Sequence[HoldingRow]) -> None:
    mixed = len({row.simulated for row in view.holdings}) > 1
    priced = f"priced {fmt.age(fmt.seconds_since(view.priced_at, fmt.now()))} ago" if view.priced_at else "not priced"
    if not mixed:
        st.html(parts.cards(_cards(view, name)))
        left, right = st.columns(2)
        with left:
            _split("By coin", view.by_coin, view.currency)
        with right:
            _split("By venue", view.by_venue, view.currency)
    st.subheader(f"{name} balances", anchor=False)
    ordered = sorted(rows, key=lambda row: row.value if row.value is not None else Decimal(-1), reverse=True)
    tables.draw(columns(view.currency), ordered)
    st.caption(f"{name} · in {view.currency} · {priced} · SIMULATED and real balances are never added")


def _cards(view: WalletView, name: str) -> tuple[Card, ...]:
    unpriced = ", ".join(view.unpriced)
    venues = {row.venue for row in view.holdings}
    return (
        Card(f"Total, {name}", parts.with_unit(fmt.number(view.total), view.currency), f"{len(view.by_coin)} coins"),
        Card("Venues", str(len(venues)), ", ".join(sorted(venues))),
        Card(
            "Without a price", str(len(view.unpriced)), unpriced or "every coin is priced", "warn" if unpriced else ""
        ),
    )


def _split(title: str, amounts: Sequence[tuple[str, Decimal]], currency: str) -> None:
    shown = [(name, amount, fmt.money(amount, currency)) for name, amount in amounts if amount > 0]
    body = parts.split(shown, theme.series_colours())
    parts.panel(Html(f'<div class="qd-label">{fmt.safe(title)}</div>{body}'))


def columns(currency: str) -> tuple[Column[HoldingRow], ...]:
    """Columns of balances; a coin without a price says so and is not counted."""
    return (
        Column("Coin", lambda row: row.currency),
        Column("Venue", lambda row: f"{row.venue} · {row.account}"),
        Column("Total", lambda row: fmt.quantity(row.total), numeric=True),
        Column("Free", lambda row: fmt.quantity(row.free), numeric=True),
        Column(f"Price, {currency}", lambda row: fmt.price(row.price), numeric=True),
        Column("Price from", lambda row: row.price_source),
        Column(f"Value, {currency}", _value, numeric=True),
        Column("Share", lambda row: fmt.percent(row.share, 1), numeric=True),
        Column("Bought by the engine", lambda row: fmt.quantity(row.engine_owned), numeric=True),
        Column("Source", lambda row: parts.simulated_mark(row.simulated) or "real"),
    )


def _value(row: HoldingRow) -> object:
    return parts.badge("no price, not counted", "warn") if row.value is None else fmt.number(row.value)
