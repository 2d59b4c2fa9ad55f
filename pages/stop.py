"""The red button: what it will do to which orders and positions, then its steps as they are proven."""

from __future__ import annotations

from datetime import datetime

import streamlit as st

from engine.domain.commands import EmergencyStop, Receipt
from engine.domain.facade import ConsolePort
from engine.domain.facts import StopStep
from engine.domain.portfolio import BookSnapshot, EngineSnapshot, StillHeld, StopView
from engine.runtime.titles import title_of
from pages import appearance, books, confirm, desk, parts
from pages import format as fmt
from pages.access import missing_role_for
from pages.format import Html, safe
from pages.guard import live

KEY = confirm.STOP
_ALL = "every book"
_SHOWN = 8


def button(console: ConsolePort) -> None:
    """The button itself: always drawn, in the same place; it opens the dialog and does nothing else."""
    blocked = missing_role_for(console.actor, EmergencyStop)
    st.button(
        "■ STOP",
        key="stop-open",
        help=blocked or "Cancel every order, close every engine position, prove it, stay halted",
        disabled=bool(blocked),
        on_click=confirm.open_dialog,
        args=(KEY,),
    )


def dialog(console: ConsolePort) -> None:
    """The dialog, if it is open."""
    if confirm.dialog_subject(KEY) is not None:
        confirm.show_dialog("Emergency stop", lambda: _draw(console))


def _draw(console: ConsolePort) -> None:
    answered = confirm.sent_receipt(console, KEY) is not None
    if answered:
        confirm.answered_mark()
        live(_after)(console)
    else:
        with confirm.asked(KEY):
            _before(console)
    confirm.close_button(KEY, answered)


def _before(console: ConsolePort) -> None:
    snapshot = console.snapshot()
    chosen = books.chosen(snapshot)
    scope = st.radio("What to stop", [_ALL, f"only {chosen.name}"], key="stop-scope", horizontal=True)
    name = None if scope == _ALL else chosen.name
    st.html(consequences(snapshot, name))
    reason_key = "stop-reason"
    st.text_input("Reason (goes into the audit trail)", key=reason_key, placeholder="red button")
    request = confirm.Request(KEY, EmergencyStop(name), "red button", reason_key)
    label = "Stop everything now" if name is None else f"Stop {chosen.name} now"
    confirm.command_button(console, request, confirm.Look(label, "primary", wide=True))
    failure = st.session_state.get(f"failed:{KEY}")
    if failure:
        st.error(f"Not sent, nothing is stopped. {failure}")


def consequences(snapshot: EngineSnapshot, name: str | None) -> Html:
    """What a stop of that book, or of all, will do to which orders and positions, as of the snapshot."""
    touched = [book for book in snapshot.books if name is None or book.name == name]
    said = "".join(_consequences_of(book) for book in touched)
    after = (
        "New entries are refused at once. Positions are closed at the market, reduce-only. It says NOT FLAT until "
        "two looks, 2 s apart, find no order and no position. Then the book stays HALTED until it is re-armed on the "
        "Risk page. Your own coins are not touched."
    )
    taken = f"As of {fmt.moment(snapshot.published_at, date=False)} UTC; what happens until you confirm is included."
    return Html(f'{said}<p>{safe(after)}</p><p class="qd-dim">{safe(taken)}</p>')


def _consequences_of(book: BookSnapshot) -> Html:
    spares = book.stop_spares_own
    orders = [
        f"cancel {order.side.value} {fmt.quantity(order.quantity - order.filled)} {fmt.instrument(order.instrument)} "
        f"({order.order_type.value}, {title_of(order.sleeve)})"
        for order in book.orders
        if not (spares and order.sleeve == desk.EXTERNAL)
    ]
    held = [
        position
        for position in book.positions
        if position.quantity and not (spares and position.sleeve == desk.EXTERNAL)
    ]
    positions = [
        f"close {fmt.quantity(position.quantity, signed=True)} {fmt.instrument(position.instrument)}, "
        f"{fmt.money(position.notional, book.base_currency)} ({title_of(position.sleeve)})"
        for position in held
    ]
    title = (
        f"{parts.source_of(book)}: {len(orders)} working order{'' if len(orders) == 1 else 's'}, "
        f"{len(held)} open position{'' if len(held) == 1 else 's'}"
    )
    spared = left_alone(book)
    own = f'<p class="qd-dim">{safe(fmt.sentence(spared))}.</p>' if spared else ""
    return Html(f"<p><b>{safe(title)}</b></p>{_shortened(orders)}{_shortened(positions)}{own}")


def left_alone(book: BookSnapshot) -> str:
    """The trader's own orders and positions a stop of the book leaves as they are; "" where there are none."""
    if not book.stop_spares_own:
        return ""
    orders = [
        f"{order.side.value} {fmt.quantity(order.quantity - order.filled)} {fmt.instrument(order.instrument)}"
        for order in book.orders
        if order.sleeve == desk.EXTERNAL
    ]
    held = [
        f"{fmt.quantity(position.quantity, signed=True)} {fmt.instrument(position.instrument)} held"
        for position in book.positions
        if position.quantity and position.sleeve == desk.EXTERNAL
    ]
    named = [*orders, *held]
    more = [f"and {len(named) - _SHOWN} more"] if len(named) > _SHOWN else []
    return f"yours, left as they are: {', '.join(named[:_SHOWN] + more)}" if named else ""


def _shortened(lines: list[str]) -> Html:
    more = [f"and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    return parts.bullets(lines[:_SHOWN] + more)


def _after(console: ConsolePort) -> None:
    receipt = confirm.sent_receipt(console, KEY)
    confirm.draw_receipt(receipt)
    if console.absence():
        parts.notice(
            "NOT FLAT as far as anybody knows: the engine does not answer. The stop is stored and is the first thing "
            "it does when it is back. What must not wait, close at the exchange itself.",
            "stop",
        )
        return
    if receipt is None:
        return
    zone = appearance.current(console).zone
    for book in console.snapshot().books:
        if book.stop is not None and is_of(receipt, book.stop):
            st.html(progress(book, book.stop, zone))


def is_of(receipt: Receipt, view: StopView) -> bool:
    """Whether a stop is the one that was ordered, or the one it was answered with as being under way already."""
    return view.stop_id == receipt.command_id or view.stop_id in receipt.detail


def progress(book: BookSnapshot, view: StopView, zone: str) -> Html:
    """The workflow's steps, each with the evidence that proved it; NOT FLAT in words until it is flat."""
    proven: dict[StopStep, tuple[str, datetime]] = {step: (detail, at) for step, detail, at in view.steps}
    rows = "".join(_step(step, proven.get(step), zone) for step in StopStep)
    verdict = parts.badge("VERIFIED FLAT", "accent") if view.flat else parts.badge("NOT FLAT", "stop")
    open_yet = (view.dust, left_alone(book)) if view.flat else (still_open(book, view),)
    left = "".join(f"<p><b>{safe(fmt.sentence(line))}</b></p>" for line in open_yet if line)
    held = parts.bullets([held_words(row) for row in view.held])
    waiting = f"<p>{safe(f'Waiting for {waited_for(view)}')}</p>" if view.waiting_for and not view.flat else ""
    clock = "simulated market time" if book.simulated else "wall time"
    times = f'<p class="qd-dim">Times of the steps: {clock}, {safe(zone)}</p>'
    head = f"<p><b>{safe(parts.source_of(book))}</b> {verdict}</p>{left}{held}"
    return Html(f'{head}<ul class="qd-steps">{rows}</ul>{times}{waiting}')


def still_open(book: BookSnapshot, view: StopView) -> str:
    """What a stop has not closed yet, positions and orders at worst; "" once it is flat."""
    if view.flat:
        return ""
    if view.exposure is None:
        return "what is still open cannot be valued: a price is missing"
    return f"still open at worst: {fmt.money(view.exposure, book.base_currency)}"


def held_words(row: StillHeld) -> str:
    """A position that a stop has not closed: how much, its worth, and how old the price of that is."""
    held = f"{fmt.quantity(row.quantity, signed=True)} {fmt.instrument(row.instrument)}"
    if row.worth is None:
        return f"{held}, worth unknown: it has no trusted price"
    return f"{held}, worth {fmt.money(row.worth, row.currency)} at a price {fmt.age(row.price_age_s)} old"


def waited_for(view: StopView) -> str:
    """What a stop waits for, in the names people know."""
    return fmt.named(view.waiting_for)


def _step(step: StopStep, proof: tuple[str, datetime] | None, zone: str) -> Html:
    if proof is None:
        return Html(
            f'<li><span class="mark">○</span><span>{safe(step.value)}</span><span class="when">not yet</span></li>'
        )
    detail, at = proof
    return Html(
        f'<li class="done"><span class="mark">✓</span><span>{safe(step.value)} '
        f'<span class="qd-dim">{safe(fmt.named(detail))}</span></span>'
        f'<span class="when">{fmt.moment(at, zone, date=False)}</span></li>'
    )
