"""The manual order: its form, what is wrong with it, and the dialog that sends it."""

from __future__ import annotations

import re
from decimal import Decimal

import streamlit as st

from engine.domain.commands import PlaceOrder
from engine.domain.errors import BadInput
from engine.domain.facade import ConsolePort
from engine.domain.instruments import InstrumentKey
from engine.domain.orders import OrderType, Side
from engine.domain.portfolio import BookSnapshot
from pages import books, confirm, parts
from pages import format as fmt
from pages.access import missing_role_for
from pages.confirm import Look, Question, Request

ORDER = "place-order"
_PLAIN = re.compile(r"[0-9]{1,18}(\.[0-9]{1,18})?")


def form(console: ConsolePort) -> None:
    """Draw the form; its draft holds while other pages are visited."""
    book = books.current(console)
    if not book.instruments:
        parts.empty(
            "No instrument to trade",
            "A book trades what its markets offer. Connect one, then its instruments appear here.",
            parts.Help("Connect a market", "exchanges"),
        )
        return
    _fields(book)
    st.caption(
        "A manual order passes the same risk gate as a strategy's; a refusal names the rule, the value and the limit."
    )
    blocked = missing_role_for(console.actor, PlaceOrder)
    st.button(
        "Review order…",
        key="order-open",
        type="primary",
        disabled=bool(blocked),
        help=blocked or None,
        on_click=confirm.open_dialog,
        args=(ORDER,),
    )


def _fields(book: BookSnapshot) -> None:
    first, second, third = st.columns(3)
    names = [str(instrument.key) for instrument in book.instruments]
    sides, kinds = [side.value for side in Side], [kind.value for kind in OrderType]
    first.selectbox("Instrument", names, format_func=fmt.instrument, key="order-instrument", persist_state="session")
    second.segmented_control("Side", sides, default="buy", required=True, key="order-side", persist_state="session")
    kind = third.segmented_control(
        "Type", kinds, default="market", required=True, key="order-type", persist_state="session"
    )
    first.text_input("Quantity, base coin", key="order-quantity", placeholder="0.01", persist_state="session")
    second.text_input("Limit price, quote", key="order-limit", disabled=kind != "limit", persist_state="session")
    third.text_input("Stop price, quote", key="order-stop", disabled=kind != "stop", persist_state="session")
    st.checkbox("Reduce only: never opens or turns a position", key="order-reduce", persist_state="session")


def dialog(console: ConsolePort) -> None:
    """The dialog that says what the order does, if it is open."""
    if confirm.dialog_subject(ORDER) is not None:
        confirm.show_dialog("Place an order", lambda: _draw(console))


def _draw(console: ConsolePort) -> None:
    body = draft(books.current(console))
    price = body.limit_price or body.stop_price
    at = f"at {fmt.price(price)}" if price is not None else "at the market"
    lines = (
        f"{body.side.value.capitalize()} {fmt.quantity(body.quantity)} {fmt.instrument(body.instrument)}, "
        f"{body.order_type.value} {at}{', reduce-only' if body.reduce_only else ''}.",
        f"It belongs to the manual sleeve of the {body.book} book.",
        "The risk gate may refuse it; then nothing is sent to the venue.",
    )
    request = Request(ORDER, body, "manual order", "order-reason")
    confirm.ask_inside(console, Question("", lines, request, Look("Place this order", "primary")))


def draft(book: BookSnapshot) -> PlaceOrder:
    """The order in the form; raises `BadInput` naming every field that cannot be used."""
    state = st.session_state
    kind = OrderType(state.get("order-type", "market"))
    wrong: list[str] = []
    quantity = _positive("Quantity", str(state.get("order-quantity", "")), wrong)
    limit = _positive("Limit price", str(state.get("order-limit", "")), wrong) if kind is OrderType.LIMIT else None
    stop = _positive("Stop price", str(state.get("order-stop", "")), wrong) if kind is OrderType.STOP else None
    if wrong:
        raise BadInput("; ".join(wrong))
    return PlaceOrder(
        book.name,
        InstrumentKey(str(state["order-instrument"])),
        Side(state.get("order-side", "buy")),
        quantity,
        kind,
        limit,
        stop,
        bool(state.get("order-reduce", False)),
    )


def _positive(label: str, text: str, wrong: list[str]) -> Decimal:
    """A plain decimal above zero; a comma is refused, since 1,5 means 15 to some and 1.5 to others."""
    if _PLAIN.fullmatch(text.strip()) is None:
        wrong.append(f"{label} {text!r} is not a plain number such as 1.5")
        return Decimal(0)
    value = Decimal(text.strip())
    if value == 0:
        wrong.append(f"{label} must be above zero")
    return value
