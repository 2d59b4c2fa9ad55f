"""Wallets: every balance that was found, valued in one currency, with the wallets that stayed silent."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

import streamlit as st

from engine.domain.facade import ConsolePort
from engine.domain.wallet_views import AccountRead, HoldingRow, MoneyKind, WalletGroup, WalletOwners, WalletView
from pages import appearance, books, figures, parts, tables, theme
from pages import format as fmt
from pages.format import Html
from pages.guard import live
from pages.parts import Card
from pages.tables import Column

TITLES = {
    MoneyKind.REAL: "Real balances",
    MoneyKind.SANDBOX: "Sandbox balances",
    MoneyKind.SIMULATED: "SIMULATED balances",
}
_NOTES = {
    MoneyKind.REAL: "money of yours",
    MoneyKind.SANDBOX: "coins of an exchange's test exchange, worth nothing",
    MoneyKind.SIMULATED: "no money",
}
_RISK_OF = {MoneyKind.REAL: "the real balances", MoneyKind.SIMULATED: "the SIMULATED balances"}
_OLD_S = 300.0
"""From here on the age of a price is a warning: coins move a percent in five minutes."""


def render(console: ConsolePort) -> None:
    """Draw the page."""
    st.header("Wallets", anchor=False)
    live(_wallets, every_s=5)(console)


def _wallets(console: ConsolePort) -> None:
    base = books.current(console).base_currency
    view = console.wallets(appearance.currency_of(console, base))
    _accounts(console, view.accounts)
    if not view.groups:
        parts.empty(
            "No balance found",
            "Connect an exchange with a key that may read; every coin on every account of it appears here by itself.",
            parts.Help("Connect an exchange", "exchanges"),
        )
        return
    for group in view.groups:
        _group(view, group)
    with_risk = [group for group in view.groups if group.kind in _RISK_OF]
    for group in with_risk:
        st.subheader(f"Risk of {_RISK_OF[group.kind]}", anchor=False)
        figures.draw(group.risk, base, "these holdings")
    if with_risk:
        st.caption(
            "Shares are of all these holdings, your own coins included. Perpetuals are not in these figures, since no "
            "wallet holds them: their exposure, value at risk and stress are on the Risk page."
        )


def _accounts(console: ConsolePort, accounts: Sequence[AccountRead]) -> None:
    """The connected accounts: when each was read, and which of its wallets said nothing."""
    if not accounts:
        return
    now, look = fmt.now(), appearance.current(console)
    columns: tuple[Column[AccountRead], ...] = (
        Column("Account", lambda row: row.connection),
        Column("Kind", lambda row: kind_badge(row.kind)),
        Column("Balances", _state),
        Column(f"Read, {look.zone}", lambda row: look.moment(row.read_at)),
        Column("Age", lambda row: _age(row.read_at, now), numeric=True),
        Column("Not read", _unread, wraps=True),
    )
    st.subheader("Connected accounts", anchor=False)
    tables.draw(columns, accounts)
    for row in accounts:
        for wallet, why in row.silent:
            told = f"{row.connection}: the {wallet} wallet gave no answer, what is in it is not counted."
            parts.notice(f"{told} {fmt.sentence(why)}.", "warn")
        if row.no_prices:
            parts.notice(f"{row.exchange}: its prices could not be read. {fmt.sentence(row.no_prices)}.", "warn")


def _state(row: AccountRead) -> Html:
    if row.failure:
        return parts.badge("not read", "warn") if row.read_at is None else parts.badge("as last read", "warn")
    if row.read_at is None:
        return parts.badge("being read", "dim")
    return parts.badge("read", "accent")


def _unread(row: AccountRead) -> str:
    if row.failure:
        return fmt.sentence(row.failure)
    if row.read_at is None:
        return "nothing is read yet, and nothing of it is counted"
    silent = ", ".join(wallet for wallet, _ in row.silent)
    return silent or f"every wallet answered{', being read again now' if row.is_reading else ''}"


def kind_badge(kind: MoneyKind) -> Html:
    """Real, sandbox or SIMULATED."""
    if kind is MoneyKind.SIMULATED:
        return parts.simulated_mark(True)
    return parts.badge(kind.value, "warn" if kind is MoneyKind.REAL else "dim")


def _group(view: WalletView, group: WalletGroup) -> None:
    """Balances of one kind with their own sums: kinds are never added."""
    st.subheader(TITLES[group.kind], anchor=False)
    st.html(parts.cards(_cards(view, group)))
    if group.owners is not None and any(row.engine_owned for row in group.holdings):
        parts.notice(owners(group.owners, view.currency))
    left, right = st.columns(2)
    with left:
        _split("By coin", group.by_coin, view.currency)
    with right:
        _split("By venue", group.by_venue, view.currency)
    tables.draw(columns(view.currency, fmt.now()), group.holdings)
    simulated = group.kind is MoneyKind.SIMULATED and view.priced_at is not None
    market = f"priced at {fmt.moment(view.priced_at)} UTC, market time · " if simulated else ""
    st.caption(
        f"{TITLES[group.kind]}: {_NOTES[group.kind]} · in {view.currency} · {market}"
        "real, sandbox and SIMULATED balances are never added"
    )


def _cards(view: WalletView, group: WalletGroup) -> tuple[Card, ...]:
    coins = len({row.currency for row in group.holdings})
    venues = sorted({row.venue for row in group.holdings})
    return (
        Card("Total of what is priced", parts.with_unit(fmt.number(group.total), view.currency), f"{coins} coins"),
        Card("Venues", str(len(venues)), ", ".join(venues)),
        Card(
            "Without a price",
            str(len(group.unpriced)),
            ", ".join(group.unpriced) or "every coin is priced",
            "warn" if group.unpriced else "",
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


def columns(currency: str, now: datetime) -> tuple[Column[HoldingRow], ...]:
    """Columns of balances; a coin without a price says so and is not counted."""
    return (
        Column("Coin", lambda row: row.currency),
        Column("Venue and wallet", lambda row: f"{row.venue} · {row.account}"),
        Column("Total", lambda row: fmt.quantity(row.total), numeric=True),
        Column("Free", lambda row: fmt.quantity(row.free), numeric=True),
        Column(f"Value, {currency}", _value, numeric=True),
        Column("Share", lambda row: fmt.percent(row.share, 1), numeric=True),
        Column(f"Price, {currency}", lambda row: fmt.price(row.price), numeric=True),
        Column("Price over", _path, wraps=True),
        Column("Price age", lambda row: _price_age(row, now), numeric=True),
        Column("Of it, traded by the engine", lambda row: fmt.quantity(row.engine_owned), numeric=True),
        Column("Account", lambda row: row.connection or fmt.NONE),
        Column("Kind", lambda row: kind_badge(row.kind)),
    )


def _path(row: HoldingRow) -> Html:
    if row.price is None:
        return fmt.safe("no market leads to a price")
    source = f'<span class="qd-dim">{fmt.safe(fmt.named(row.price_source))}</span>'
    return Html(f"{fmt.safe(row.path)} {source}".strip())


def _price_age(row: HoldingRow, now: datetime) -> Html:
    age_s = fmt.seconds_since(row.priced_at, now)
    if age_s is None:
        return fmt.safe(fmt.NONE)
    return parts.badge(fmt.age(age_s), "warn") if age_s > _OLD_S else fmt.safe(fmt.age(age_s))


def _age(at: datetime | None, now: datetime) -> Html:
    age_s = fmt.seconds_since(at, now)
    if age_s is None:
        return fmt.safe("never")
    return parts.badge(fmt.age(age_s), "warn") if age_s > _OLD_S else fmt.safe(fmt.age(age_s))


def _value(row: HoldingRow) -> object:
    return parts.badge("no price, not counted", "warn") if row.value is None else fmt.number(row.value)
