"""Allocation: which share of a book's capital each strategy gets, and how the shares move."""

from __future__ import annotations

import json
from decimal import Decimal

import streamlit as st

from engine.domain.commands import SetAllocation
from engine.domain.facade import ConsolePort
from engine.domain.portfolio import BookSnapshot
from pages import books, confirm, parts
from pages import format as fmt
from pages.access import missing_role_for
from pages.confirm import Look, Question, Request
from pages.forms import share_of

ALLOCATE = "allocate"


def form(console: ConsolePort) -> None:
    """Draw the shares, what they add up to, and the button that asks before it applies them."""
    book = books.current(console)
    titles = {item.name: item.title for item in console.strategies(book.name)}
    blocked = missing_role_for(console.actor, SetAllocation)
    key = f"allocation-{book.name}"
    method = _method(key, book, disabled=bool(blocked))
    weights = _weights(key, book, titles, disabled=bool(blocked))
    total = sum(weights.values(), Decimal(0))
    known = fmt.money(book.equity, book.base_currency) if book.is_valued else parts.NOT_VALUED
    equity = f"the present equity, {known}"
    rest = ", more than there is" if total > 1 else "; the rest stays in cash" if total < 1 else ""
    st.caption(f"{fmt.percent(total)} of {equity}, allocated{rest}")
    if total > 1:
        st.error(f"The shares add up to {fmt.percent(total)}; they may reach 100 % at most. Lower one of them.")
    st.button(
        "Apply allocation…",
        key="allocation-apply",
        disabled=bool(blocked or total > 1),
        help=blocked or None,
        on_click=confirm.open_dialog,
        args=(ALLOCATE,),
    )
    _ask(console, SetAllocation(book.name, method, tuple(weights.items())), titles)


def method_of(book: BookSnapshot) -> str:
    """``fixed`` or ``performance`` as the book's allocation says."""
    try:
        stored = json.loads(book.allocation)
    except ValueError:
        stored = book.allocation
    method = stored.get("method", "fixed") if isinstance(stored, dict) else str(stored)
    return method if method in {"fixed", "performance"} else "fixed"


def _method(key: str, book: BookSnapshot, *, disabled: bool) -> str:
    chosen = st.segmented_control(
        "Method",
        ["fixed", "performance"],
        default=method_of(book),
        required=True,
        key=f"{key}-method",
        disabled=disabled,
        help="fixed: the shares below; performance: shares move with measured performance, starting from these",
        persist_state="session",
    )
    return str(chosen or "fixed")


def _weights(key: str, book: BookSnapshot, titles: dict[str, str], *, disabled: bool) -> dict[str, Decimal]:
    """The shares as entered; one that nobody touched stays what it is, to the last digit."""
    given = {sleeve.strategy: sleeve.weight for sleeve in book.sleeves}
    weights: dict[str, Decimal] = {}
    slots = st.columns(max(3, len(titles)))
    for slot, (name, title) in zip(slots, titles.items(), strict=False):
        stored = given.get(name, Decimal(0))
        shown = float(stored * 100)
        percent = slot.number_input(
            f"{title}, %",
            0.0,
            100.0,
            shown,
            5.0,
            format="%0.2f",
            key=f"{key}-{name}",
            disabled=disabled,
            persist_state="session",
        )
        weights[name] = stored if percent == shown else Decimal(share_of(percent) or 0)
    return weights


def _ask(console: ConsolePort, body: SetAllocation, titles: dict[str, str]) -> None:
    lines = (
        f"Method: {body.method}.",
        *(f"{titles[name]}: {fmt.percent(weight)} of the present equity" for name, weight in body.weights),
        "In force at once: at its next candle each running strategy sizes anew and trades to the new size with market "
        "orders, up or down; a difference under 10 % is left.",
        "Positions of paused strategies and those by hand stay as they are.",
    )
    request = Request(ALLOCATE, body, "allocation changed by hand", "allocation-reason")
    confirm.ask(console, Question("Apply allocation", lines, request, Look("Apply this allocation", "primary")))
