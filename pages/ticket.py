"""The manual order: its form, what is wrong with it, and the dialog that sends it."""

from __future__ import annotations

import re
from decimal import Decimal

import streamlit as st

from engine.domain.commands import PlaceOrder
from engine.domain.errors import BadInput
from engine.domain.facade import ConsolePort
from engine.domain.instruments import Instrument, InstrumentKey
from engine.domain.orders import OrderType, Side
from engine.domain.portfolio import BookSnapshot
from engine.runtime.order_review import (
    MarketLook,
    OrderReview,
    after_order,
    look_at_market,
    review_order,
    why_it_would_take,
)
from pages import books, confirm, parts
from pages import format as fmt
from pages.access import missing_role_for
from pages.confirm import Look, Question, Request
from pages.guard import live

ORDER = "place-order"
_SENT = "order-sent"
_PLAIN = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,18})?")


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
    live(_market, every_s=2)(console)
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
    traded = _instrument(book)
    amount, price = f"Amount, {traded.base}", traded.quote
    first.text_input(amount, key="order-quantity", placeholder=str(traded.lot_size), persist_state="session")
    second.text_input(f"Limit price, {price}", key="order-limit", disabled=kind != "limit", persist_state="session")
    third.text_input(f"Stop price, {price}", key="order-stop", disabled=kind != "stop", persist_state="session")
    st.caption(_rules(traded))
    st.checkbox("Reduce only: never opens or turns a position", key="order-reduce", persist_state="session")
    st.checkbox(
        "Post only: a limit that waits; where it would trade at once, the venue ends it",
        key="order-post",
        disabled=kind != "limit",
        persist_state="session",
    )


def _market(console: ConsolePort) -> None:
    """The market as it is now, and what the order in the form would cost there, before anything is reviewed."""
    book = books.current(console)
    lines = [_market_words(book, look_at_market(book, _instrument(book), fmt.now()))]
    try:
        review = review_order(book, draft(book))
    except BadInput:
        lines.append("Enter the amount, and the price where the type needs one: the worth and the fee stand here then.")
    else:
        lines.append(f"This order: {_worth(review)}.")
    st.html(parts.bullets(lines))


def _market_words(book: BookSnapshot, look: MarketLook) -> str:
    if look.price is None:
        return "No trusted price yet: an order of the type market would be refused."
    kind = "Simulated price" if book.simulated else "Last price"
    said = f"{kind} {fmt.price(look.price)} {look.currency}, {look.source}, {fmt.age(look.age_s)} old"
    if look.bid is None:
        return f"{said}. Bid and ask are not known here."
    bid, ask = fmt.price(look.bid), fmt.price(look.ask)
    return f"{said}. Best bid {bid}, best ask {ask}, {fmt.age(look.top_age_s)} old."


def _worth(review: OrderReview) -> str:
    """Worth and fee of an order in the base currency of its book, and at which price."""
    if review.price is None:
        return "its worth is unknown until there is a price"
    if review.worth is None:
        worth = fmt.money(review.value, review.currency)
        return f"worth about {worth} at the {review.price_source}; no market leads to {review.base}, the fee is unknown"
    worth, fee = fmt.money(review.worth, review.base), f"{fmt.fee(review.fee)} {review.base}"
    return f"worth about {worth} at the {review.price_source}, fee about {fee} where it takes"


def dialog(console: ConsolePort) -> None:
    """The dialog that says what the order does, if it is open."""
    if confirm.dialog_subject(ORDER) is not None:
        confirm.show_dialog("Place an order", lambda: _draw(console))


def _instrument(book: BookSnapshot) -> Instrument:
    chosen = str(st.session_state.get("order-instrument", ""))
    return next((one for one in book.instruments if one.key == chosen), book.instruments[0])


def _rules(instrument: Instrument) -> str:
    """What the venue demands of an order of this instrument."""
    least = (
        f"least order {fmt.money(instrument.min_notional, instrument.quote)}"
        if instrument.min_notional
        else "no least order"
    )
    return (
        f"{fmt.instrument(instrument.key)}: {least}, step of the amount {fmt.quantity(instrument.lot_size)} "
        f"{instrument.base}, step of the price {fmt.quantity(instrument.tick_size)} {instrument.quote}"
    )


def _draw(console: ConsolePort) -> None:
    if confirm.sent_receipt(console, ORDER) is not None:
        _ask(console, PlaceOrder("", InstrumentKey(""), Side.BUY, Decimal(0), OrderType.MARKET), (), "")
        return
    book = books.current(console)
    body = st.session_state[_SENT] = draft(book)
    review = review_order(book, body)
    for problem in review.problems:
        parts.notice(problem, "warn")
    if taking := why_it_would_take(book, body):
        parts.notice(taking, "warn")
    blocked = "Correct the order first: the venue would refuse it" if review.problems else ""
    _ask(console, body, _lines(book, body, review), blocked)


def _ask(console: ConsolePort, body: PlaceOrder, lines: tuple[str, ...], blocked: str) -> None:
    look = Look("Place this order", "primary", blocked)
    request = Request(ORDER, body, "manual order", "order-reason")
    confirm.ask_inside(console, Question("", lines, request, look, after=lambda: _after(console)))


def _after(console: ConsolePort) -> str:
    """What has become of the order that was sent: the form may say another one by now."""
    sent = st.session_state.get(_SENT)
    return after_order(books.current(console), sent) if isinstance(sent, PlaceOrder) else "Sent."


def _lines(book: BookSnapshot, body: PlaceOrder, review: OrderReview) -> tuple[str, ...]:
    unit, now = review.currency, fmt.now()
    seen = f"{fmt.age(fmt.seconds_since(review.market_at, now))} old" if review.market_at else "its age is unknown"
    market = f"{fmt.price(review.market)} {unit}, {seen}" if review.market is not None else "no trusted price now"
    how = body.order_type.value
    at = f" at {fmt.price(review.price)} {unit}" if body.order_type is not OrderType.MARKET else ""
    return (
        f"{body.side.value.capitalize()} {fmt.quantity(body.quantity)} {review.instrument.base} on "
        f"{fmt.instrument(body.instrument)}: {how} order{at}{_only(body)}.",
        f"{fmt.sentence(_worth(review))}.",
        f"{'Simulated market' if book.simulated else 'Market'} price now: {market}.",
        f"{_rules(review.instrument)}.",
        f"It belongs to the manual sleeve of the {body.book} book.",
        *_protection(body),
        "The risk gate may refuse it; then nothing is sent to the venue.",
    )


def _only(body: PlaceOrder) -> str:
    return (", reduce-only" if body.reduce_only else "") + (", post-only" if body.post_only else "")


def _protection(body: PlaceOrder) -> tuple[str, ...]:
    """That nobody watches what an order by hand opens."""
    if body.reduce_only:
        return ()
    return (
        "What it opens or adds has no stop and no strategy that closes it; place a stop order, reduce-only, to limit "
        "the loss.",
    )


def draft(book: BookSnapshot) -> PlaceOrder:
    """The order in the form; raises `BadInput` naming every field that cannot be used."""
    state = st.session_state
    kind = OrderType(state.get("order-type", "market"))
    wrong: list[str] = []
    quantity = _positive("amount", str(state.get("order-quantity", "")), wrong)
    limit = _positive("limit price", str(state.get("order-limit", "")), wrong) if kind is OrderType.LIMIT else None
    stop = _positive("stop price", str(state.get("order-stop", "")), wrong) if kind is OrderType.STOP else None
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
        kind is OrderType.LIMIT and bool(state.get("order-post", False)),
    )


def _positive(label: str, typed: str, wrong: list[str]) -> Decimal:
    """A plain decimal above zero; a comma is refused, since 1,5 means 15 to some and 1.5 to others."""
    text = typed.strip()
    if not text:
        wrong.append(f"The {label} is empty; enter a number such as 1.5")
        return Decimal(0)
    if _PLAIN.fullmatch(text) is None:
        wrong.append(f"The {label} must be a plain number such as 1.5; you entered {text[:40]}")
        return Decimal(0)
    value = Decimal(text)
    if value <= 0:
        wrong.append(f"The {label} must be above 0; you entered {text}")
    return value
