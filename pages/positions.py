"""Positions: what is held and ordered now, on the price it was traded at, and what was filled before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from decimal import Decimal

import streamlit as st

from engine.domain.commands import AdoptOrder, CancelOrder, ClosePosition
from engine.domain.facade import ConsolePort
from engine.domain.instruments import InstrumentKey, venue_of
from engine.domain.orders import OrderState
from engine.domain.portfolio import BookSnapshot, Position, WorkingOrder
from engine.domain.views import FillRow, OrderRow
from engine.runtime.order_review import after_close, close_words, why_not_cancelled
from engine.runtime.titles import title_of
from pages import appearance, books, charts, confirm, desk, overview, parts, tables, ticket
from pages import format as fmt
from pages.access import missing_role_for
from pages.confirm import Look, Opener, Question, Request
from pages.format import Html
from pages.guard import guarded, live, tabs
from pages.parts import Card
from pages.tables import Filter, Stored

CLOSE, CANCEL, ADOPT = "close-position", "cancel-order", "adopt-order"
_YOURS = "You placed it at the exchange yourself: the engine leaves it alone. Cancel it there, or have it taken over"


def render(console: ConsolePort) -> None:
    """Draw the page."""
    st.header("Positions", anchor=False)
    live(_figures)(console)
    tabs(
        "positions-tab",
        {
            "Open positions": lambda: _open(console),
            "Working orders": lambda: _pending(console),
            "Manual order": lambda: ticket.form(console),
            "Fills": lambda: tables.stored(console, fills_table, every_s=5),
            "Orders": lambda: tables.stored(console, orders_table, every_s=5),
        },
    )
    guarded(_dialogs)(console)


def _held(book: BookSnapshot) -> list[Position]:
    return [position for position in book.positions if position.quantity]


def _open(console: ConsolePort) -> None:
    live(_positions)(console)
    live(_detail, every_s=5)(console)


def _pending(console: ConsolePort) -> None:
    live(_working)(console)
    live(_cancel, every_s=2)(console)


def _figures(console: ConsolePort) -> None:
    book = books.current(console)
    held = _held(book)
    mine = [position for position in held if position.sleeve != desk.EXTERNAL]
    bare = sum(1 for position in mine if position.is_bare)
    unknown = sum(1 for order in book.orders if order.state.value == "unknown")
    cards = parts.cards(
        (
            Card("Open positions", str(len(held)), f"{parts.source_of(book)}"),
            overview.unrealised_card(book),
            Card("Working orders", str(len(book.orders)), f"{unknown} UNKNOWN", "warn" if unknown else ""),
            Card("Without a stop", str(bare), "positions, whole or in part", "warn" if bare else ""),
            overview.realised_card(book),
            *_outside_card(book, held),
        )
    )
    st.html(Html(cards + parts.as_of(book, appearance.current(console).zone)))


def _outside_card(book: BookSnapshot, held: list[Position]) -> tuple[Card, ...]:
    """What is not the engine's to manage: the trader's own, and what a locked venue keeps out of reach."""
    theirs = [position for position in held if position.sleeve == desk.EXTERNAL]
    orders = [order for order in book.orders if order.sleeve == desk.EXTERNAL]
    locked = [position for position in held if not position.managed]
    cards = []
    if locked:
        venues = ", ".join(sorted({venue_of(position.instrument) for position in locked}))
        cards.append(Card("UNMANAGED", str(len(locked)), f"held at {venues}, where no key of ours works", "stop"))
    if theirs or orders:
        open_ones = f"{len(orders)} order{'' if len(orders) == 1 else 's'} open"
        said = f"position{'' if len(theirs) == 1 else 's'} held, {open_ones}: yours, counted in risk, never managed"
        cards.append(Card("From outside", str(len(theirs)), said))
    return tuple(cards)


def _positions(console: ConsolePort) -> None:
    book = books.current(console)
    if not book.fills and not _held(book):
        parts.empty(
            "Nothing traded yet",
            "A running strategy opens a position when an idea passes every risk rule. Choose one, give it instruments "
            "and start it, or place an order by hand.",
            parts.Help("Choose a strategy", "strategies"),
        )
        return
    tables.draw(
        desk.position_columns(book),
        _held(book),
        "No open position. A running strategy opens one when an idea passes every risk rule; its refused ideas are "
        "listed on the Strategies page.",
    )
    for position in _held(book):
        for warning in position.warnings:
            parts.notice(f"{_title(position)}: {warning}.", "" if position.managed else "stop")
    if _held(book):
        st.caption(
            f"ever: all trades of that strategy in that instrument, the present one included, in {book.base_currency} "
            "· prices in the quote coin"
        )


def _working(console: ConsolePort) -> None:
    book = books.current(console)
    orders = sorted(book.orders, key=lambda order: order.created_at, reverse=True)
    tables.draw(desk.working_columns(appearance.current(console), book), orders, "No working order at any venue.")


def _name(position: Position) -> str:
    return f"{position.sleeve}|{position.instrument}"


def _title(position: Position) -> str:
    way = "long" if position.quantity > 0 else "short"
    return f"{fmt.instrument(position.instrument)} · {way} · {title_of(position.sleeve)}"


def _detail(console: ConsolePort) -> None:
    book = books.current(console)
    held = {_name(position): position for position in _held(book)}
    if not held:
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = st.selectbox(
            "Position", list(held), format_func=lambda name: _title(held[name]), key="positions-chosen", width=360
        )
        refused = _why_not_closed(held[chosen]) if chosen in held else ""
        blocked = missing_role_for(console.actor, ClosePosition) or refused
        confirm.opener(Opener("close-open", "Close all or part…", CLOSE, chosen, blocked))
    if refused:
        st.caption(f"{refused}.")
    _chart(console, book, chosen)


def _why_not_closed(position: Position) -> str:
    """Why a position cannot be closed here; empty where it can."""
    if position.sleeve == desk.EXTERNAL:
        return (
            "You opened it at the exchange yourself: the engine counts it in risk and leaves it alone. Close it there"
        )
    if not position.managed:
        venue = venue_of(position.instrument)
        return f"{venue} accepts no key of ours: give it a working key on the Exchanges page, or close it there by hand"
    return ""


def _chart(console: ConsolePort, book: BookSnapshot, name: str) -> None:
    sleeve, _, instrument = name.partition("|")
    chart = console.trade_chart(book.name, InstrumentKey(instrument), sleeve)
    if not len(chart.opened_at_ms):
        parts.notice("No candle of this instrument is stored yet; the chart starts with the next one.")
        return
    charts.show(charts.candles(chart), "positions-chart", f"Price of {instrument} with the fills of {title_of(sleeve)}")
    origin = "SIMULATED prices" if chart.simulated else "prices of the venue"
    st.caption(f"{chart.timeframe} candles, {origin}, UTC · ▲ bought ▼ sold · dashed: entry · dotted: stop and target")


def _order_title(order: WorkingOrder, look: appearance.Appearance) -> str:
    rest = fmt.quantity(order.quantity - order.filled)
    price = order.limit_price or order.stop_price
    at = f" at {fmt.price(price)}" if price is not None else ""
    kind = desk.kind(order.order_type.value, order)
    when = fmt.moment(order.created_at, look.zone, date=False)
    return f"{order.side.value} {rest} {fmt.instrument(order.instrument)} · {kind}{at} · {when}"


def _order_titles(orders: Iterable[WorkingOrder], look: appearance.Appearance) -> dict[str, str]:
    """What each order is called, by its id; two that would be called alike carry their ids, since a list takes equal
    names for one.
    """
    names = {order.client_id: _order_title(order, look) for order in orders}
    often = Counter(names.values())
    return {key: f"{name} · {key}" if often[name] > 1 else name for key, name in names.items()}


def _cancel(console: ConsolePort) -> None:
    orders = {order.client_id: order for order in books.current(console).orders}
    if not orders:
        return
    names = _order_titles(orders.values(), appearance.current(console))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = st.selectbox(
            "Order", list(orders), format_func=lambda name: names.get(name, name), key="orders-chosen", width=520
        )
        yours = orders[chosen].sleeve == desk.EXTERNAL if chosen in orders else False
        refused = _YOURS if yours else why_not_cancelled(books.current(console), chosen)
        blocked = missing_role_for(console.actor, CancelOrder) or refused
        confirm.opener(Opener("cancel-open", "Cancel order…", CANCEL, chosen, blocked))
        if yours:
            missing = missing_role_for(console.actor, AdoptOrder)
            number = orders[chosen].venue_order_id or chosen
            confirm.opener(Opener("adopt-open", "Have it taken over…", ADOPT, number, missing))
    if refused:
        st.caption(f"{refused}.")


def _dialogs(console: ConsolePort) -> None:
    book = books.current(console)
    name = confirm.dialog_subject(CLOSE)
    if name is not None:
        confirm.show_dialog("Close a position", lambda: _close_dialog(console, book, name))
    client_id = confirm.dialog_subject(CANCEL)
    if client_id is not None:
        order = next((one for one in book.orders if one.client_id == client_id), None)
        named = _order_title(order, appearance.current(console)) if order else f"order {client_id}"
        lines = (f"The venue is asked to cancel: {named}.", "What has filled stays filled.")
        request = Request(CANCEL, CancelOrder(book.name, client_id), "cancelled by hand", "cancel-reason")
        confirm.ask(console, Question("Cancel an order", lines, request, Look("Cancel this order", "primary")))
    number = confirm.dialog_subject(ADOPT)
    if number is not None:
        request = Request(ADOPT, AdoptOrder(book.name, number), "taken over by hand", "adopt-reason")
        look = Look("Have it taken over", "primary")
        confirm.ask(
            console, Question("Have your own order taken over", _adopt_lines(console, book, number), request, look)
        )
    ticket.dialog(console)


def _adopt_lines(console: ConsolePort, book: BookSnapshot, number: str) -> tuple[str, ...]:
    """What taking over an own order means, with the order as it stands now."""
    order = next((one for one in book.orders if number in (one.venue_order_id, one.client_id)), None)
    look = appearance.current(console)
    named = _order_title(order, look) if order is not None else f"order {number}, which is not listed any more"
    return (
        f"Yours: {named}.",
        "The engine manages it from now on as an order by hand: it follows it through restarts, counts it against the "
        "limits, and an emergency stop cancels it.",
        f"What it fills belongs to the manual sleeve of the {book.name} book. It has no stop and no strategy that "
        "closes it.",
        "The order itself is neither sent again nor changed. The risk gate may refuse; then it stays yours.",
    )


def _close_dialog(console: ConsolePort, book: BookSnapshot, name: str) -> None:
    sleeve, _, instrument = name.partition("|")
    position = next((row for row in _held(book) if _name(row) == name), None)
    if confirm.sent_receipt(console, CLOSE) is None and position is None:
        parts.notice("This position is closed already; there is nothing to do.", "good")
        return
    percent = 100
    if position is not None and confirm.sent_receipt(console, CLOSE) is None:
        with confirm.asked(f"{CLOSE}-share"):
            percent = _share(book, position)
    body = ClosePosition(book.name, sleeve, InstrumentKey(instrument), Decimal(percent) / 100)
    look = Look(f"Close {percent} %", "primary")
    request = Request(CLOSE, body, "closed by hand", "close-reason")
    confirm.ask_inside(
        console,
        Question("", (), request, look, after=lambda: after_close(books.current(console), sleeve, body.instrument)),
    )


def _share(book: BookSnapshot, position: Position) -> int:
    """The percent to close, with what that does."""
    percent = int(st.slider("Share to close", 5, 100, 100, 5, format="%d %%", key="close-share"))
    share_text = f"{percent} % of {fmt.quantity(abs(position.quantity))}"
    lines = (
        f"{'Sell' if position.quantity > 0 else 'Buy'} {share_text} {fmt.instrument(position.instrument)} "
        "at the market, reduce-only, rounded down to the lot.",
        f"Unrealised P&L of the whole position now: {fmt.number(position.unrealised, signed=True)} "
        f"{book.base_currency}; the fill decides.",
        *close_words(book, position, percent == 100),
    )
    st.html(parts.bullets(lines))
    return percent


def fills_table(console: ConsolePort) -> Stored[FillRow]:
    """Fills of the chosen book."""
    book = books.current(console)
    return Stored(
        key="fills",
        columns=desk.fill_columns(appearance.current(console)),
        load=lambda page, size, filters: console.fills(book.name, page, size, filters),
        nothing="No fill matches. A fill appears here the moment a venue reports it.",
        filters=_filters(book),
        export="fills",
        fixed=(("book", book.name),),
    )


def orders_table(console: ConsolePort) -> Stored[OrderRow]:
    """Orders of the chosen book, ended ones included."""
    book = books.current(console)
    return Stored(
        key="orders",
        columns=desk.order_columns(appearance.current(console), book),
        load=lambda page, size, filters: console.orders(book.name, page, size, filters),
        nothing="No order matches. Every order is stored before it is sent and stays listed after it ended.",
        filters=(*_filters(book), Filter("state", "State", tuple(state.value for state in OrderState))),
        export="orders",
        fixed=(("book", book.name),),
        ordered="newest first by the time they were created",
    )


def _filters(book: BookSnapshot) -> tuple[Filter, ...]:
    instruments = tuple(str(instrument.key) for instrument in book.instruments)
    sleeves = tuple(sleeve.strategy for sleeve in book.sleeves)
    return (
        Filter("instrument", "Instrument", instruments, shows=fmt.instrument),
        Filter("sleeve", "Strategy", sleeves, shows=title_of),
        Filter("since", "Since, UTC", is_date=True),
    )
