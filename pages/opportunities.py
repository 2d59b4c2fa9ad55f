"""Prices that lay apart: what could have been earned, whether it was traded, and what became of the baskets."""

from __future__ import annotations

from decimal import Decimal

import streamlit as st

from engine.domain.baskets import BasketState, BasketView, Opportunity
from engine.domain.facade import ConsolePort
from engine.domain.instruments import InstrumentKey
from engine.domain.orders import Side
from engine.domain.portfolio import BookSnapshot
from pages import appearance, books, desk, parts, tables
from pages import format as fmt
from pages.format import Html, safe
from pages.tables import Column

NOTHING_SEEN = (
    "No prices lay apart in the last half hour of market time. It looks at bid and ask of the same coin at two venues, "
    "and at three pairs of one venue, whenever quotes come; candles alone tell nothing of it."
)
NO_BASKET = "No basket was sent yet."
_TONES = {BasketState.COMPLETED: "accent", BasketState.FAILED: "stop"}


def panel(console: ConsolePort) -> None:
    """The last opportunities and the last baskets of the book in view."""
    book = books.current(console)
    st.subheader("Arbitrage seen and traded", anchor=False)
    tables.draw(_seen(book), book.opportunities[: tables.PAGE_SIZE], NOTHING_SEEN)
    if book.baskets:
        tables.draw(_baskets(book, appearance.current(console)), book.baskets[: tables.PAGE_SIZE], NO_BASKET)
    st.html(parts.as_of(book, appearance.current(console).zone))


def _seen(book: BookSnapshot) -> tuple[Column[Opportunity], ...]:
    return (
        Column("Seen, market time ago", lambda row: fmt.age(fmt.seconds_since(row.at, book.market_time or row.at))),
        Column("Legs at the worst price, quote", lambda row: _lines(row)),
        Column("Gap before fees, bp", lambda row: fmt.number(row.gap_bps, 2, signed=True), numeric=True),
        Column(
            "After fees, bp",
            lambda row: parts.directed(row.net_bps, fmt.number(row.net_bps, 2, signed=True)),
            numeric=True,
        ),
        Column("After fees", lambda row: parts.profit(row.net, row.currency), numeric=True),
        Column("Traded", lambda row: fmt.sentence(row.why_not) if row.why_not else "yes", wraps=True),
    )


def _baskets(book: BookSnapshot, look: appearance.Appearance) -> tuple[Column[BasketView], ...]:
    return (
        Column(f"Market time, {look.zone}", lambda row: look.moment(row.moved_at)),
        Column("Basket", lambda row: desk.mono(row.basket.basket_id)),
        Column("State", lambda row: parts.badge(row.state.value, _TONES.get(row.state, "warn"))),
        Column("Legs", lambda row: _legs(row)),
        Column(
            "Expected", lambda row: fmt.money(row.basket.expected_net, book.base_currency, signed=True), numeric=True
        ),
        Column("Result after fees", lambda row: parts.profit(row.result, book.base_currency), numeric=True),
        Column("Why", lambda row: fmt.named(row.reason), wraps=True),
    )


def _lines(row: Opportunity) -> Html:
    return Html(
        "<br>".join(f"{_leg(one.side, one.quantity, one.instrument)} at {fmt.price(one.price)}" for one in row.steps)
    )


def _legs(row: BasketView) -> Html:
    return Html("<br>".join(_leg(one.side, one.quantity, one.instrument) for one in row.basket.legs))


def _leg(side: Side, quantity: Decimal, key: InstrumentKey) -> str:
    return safe(f"{side.value} {fmt.quantity(quantity)} {fmt.instrument(key)}")
