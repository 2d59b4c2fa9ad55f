"""Wallets: every balance that was found, valued in one currency."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal

import streamlit as st

from engine.domain.facade import ConsolePort
from engine.domain.wallet_views import HoldingRow, WalletOwners, WalletView
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
    base = books.current(console).base_currency
    view = console.wallets(appearance.currency_of(console, base))
    if not view.holdings:
        parts.empty(
            "No balance found",
            "Connect an exchange with a key that may read; every coin on every account of it appears here by itself.",
            parts.Help("Connect an exchange", "exchanges"),
        )
        return
    for name, simulated in (("Not simulated", False), ("SIMULATED", True)):
        rows = [row for row in view.holdings if row.simulated is simulated]
        if rows:
            _kind(view, name, rows)
    st.subheader("Risk of these holdings", anchor=False)
    figures.draw(view.risk, base, "these holdings")
    st.caption(
        "Shares are of all these holdings, your own coins included. Perpetuals are not in these figures, since no "
        "wallet holds them: their exposure, value at risk and stress are on the Risk page."
    )


def _kind(view: WalletView, name: str, rows: Sequence[HoldingRow]) -> None:
    """Balances of one kind with their own sums: simulated and real are never added."""
    st.subheader(f"{name} balances", anchor=False)
    st.html(parts.cards(_cards(view, rows)))
    for whose in view.owners:
        if whose.simulated is rows[0].simulated:
            parts.notice(owners(whose, view.currency))
    left, right = st.columns(2)
    with left:
        _split("By coin", sums((row.currency, row.value) for row in rows), view.currency)
    with right:
        _split("By venue", sums((row.venue, row.value) for row in rows), view.currency)
    tables.draw(columns(view.currency), rows)
    priced = f"priced at {fmt.moment(view.priced_at)} UTC, market time" if view.priced_at else "not priced"
    st.caption(f"{name} · in {view.currency} · {priced} · SIMULATED and real balances are never added")


def sums(amounts: Iterable[tuple[str, Decimal | None]]) -> tuple[tuple[str, Decimal], ...]:
    """Known values added up by name, largest first."""
    found: dict[str, Decimal] = {}
    for name, amount in amounts:
        if amount is not None:
            found[name] = found.get(name, Decimal(0)) + amount
    return tuple(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def _cards(view: WalletView, rows: Sequence[HoldingRow]) -> tuple[Card, ...]:
    total = sum((row.value for row in rows if row.value is not None), Decimal(0))
    unpriced = [f"{fmt.quantity(row.total)} {row.currency}" for row in rows if row.value is None]
    venues = sorted({row.venue for row in rows})
    coins = len({row.currency for row in rows})
    return (
        Card("Total of what is priced", parts.with_unit(fmt.number(total), view.currency), f"{coins} coins"),
        Card("Venues", str(len(venues)), ", ".join(venues)),
        Card(
            "Without a price",
            str(len(unpriced)),
            ", ".join(unpriced) or "every coin is priced",
            "warn" if unpriced else "",
        ),
    )


def owners(whose: WalletOwners, unit: str) -> str:
    """Why the total of the wallets is not the equity of the book, in words."""
    traded, own = fmt.money(whose.traded, unit), fmt.money(whose.own, unit)
    text = f"Of this, the engine trades {traded}; {own} is your own and is never traded."
    if whose.own < 0:
        short = fmt.money(-whose.own, unit)
        text = f"The engine's records say {traded}; the wallets hold {short} less. Look at Health and Audit."
    if not whose.open_profit:
        return f"{text} What the engine trades is its equity at that time."
    profit = fmt.money(whose.open_profit, unit, signed=True)
    equity = fmt.money(whose.equity, unit)
    return (
        f"{text} With {profit} of unrealised P&L on perpetuals, which no wallet holds before they are closed, that "
        f"makes an equity of {equity} at that time."
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
        Column("Price from", lambda row: fmt.named(row.price_source)),
        Column(f"Value, {currency}", _value, numeric=True),
        Column("Share", lambda row: fmt.percent(row.share, 1), numeric=True),
        Column("Of it, traded by the engine", lambda row: fmt.quantity(row.engine_owned), numeric=True),
        Column("Source", lambda row: parts.simulated_mark(row.simulated) or "not simulated"),
    )


def _value(row: HoldingRow) -> object:
    return parts.badge("no price, not counted", "warn") if row.value is None else fmt.number(row.value)
