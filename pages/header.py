"""The strip on top of every page: where we are, how it goes, how old that is, and the red button."""

from __future__ import annotations

from datetime import datetime

import streamlit as st

from engine.domain.commands import TradingState
from engine.domain.facade import ConsolePort
from engine.domain.portfolio import BookSnapshot, EngineSnapshot, StopView
from pages import appearance, books, parts, stop
from pages import format as fmt
from pages.format import Html, safe
from pages.guard import guarded, live

STATE_TONES = {
    TradingState.ACTIVE: "accent",
    TradingState.CLOSE_ONLY: "warn",
    TradingState.HALTED: "stop",
    TradingState.LOCKED: "stop",
}


def render(console: ConsolePort) -> None:
    """Draw the header; the red button is drawn even where the rest cannot be."""
    asked = books.asked_for()
    with st.container(key="qd-header", horizontal=True, vertical_alignment="center", wrap=True):
        strip = st.container(key="qd-strip", width="stretch")
        guarded(_selector)(console)
        guarded(stop.button)(console)
        with strip:  # after the selector, which reads the book from the address: else another's figures flash first
            live(_strip)(console)
    guarded(_missing)(console, asked)
    guarded(stop.dialog)(console)
    live(_stop_banner)(console)


def _selector(console: ConsolePort) -> None:
    books.choose(console.snapshot())


def _missing(console: ConsolePort, asked: str) -> None:
    books.say_missing(console.snapshot(), asked)


def _strip(console: ConsolePort) -> None:
    snapshot = console.snapshot()
    book = books.chosen(snapshot)
    now = fmt.now()
    stale_s = fmt.seconds_since(book.published_at, now) or 0.0
    grey = "qd-grey" if stale_s > fmt.GREY_AFTER_S else ""
    cells = "".join(
        f'<span class="qd-cell {grey}"><span class="qd-label">{safe(label)}</span><b>{safe(value)}</b></span>'
        for label, value in _figures(book)
    )
    gone = bool(console.absence()) or book.name in dict(snapshot.absent)
    told = Html(badges(book, absent=gone) + books.absent_badges(snapshot))
    st.html(
        f'<div class="qd-bar" data-drawn="{now.timestamp():.3f}" data-zone="{safe(appearance.current(console).zone)}">'
        f'<span class="qd-badges">{told}</span>{cells}'
        f"{_clock(console, book, now)}{_alerts(console)}</div>"
    )


def badges(book: BookSnapshot, *, absent: bool) -> Html:
    """Stage, simulation mark and trading state of a book."""
    state = state_badge(book, absent=absent)
    return Html(parts.badge(book.stage.upper()) + parts.simulated_mark(book.simulated) + state)


def state_badge(book: BookSnapshot, *, absent: bool) -> Html:
    """The trading state, and whether a latch holds it; grey and as last told while engine or book are ``absent``."""
    latched = " · latched" if book.latched else ""
    if absent:
        return parts.badge(f"○ last told {book.state.value}{latched}", "dim")
    return parts.badge(f"● {book.state.value}{latched}", STATE_TONES[book.state])


def _figures(book: BookSnapshot) -> tuple[tuple[str, str], ...]:
    currency = book.base_currency
    if not book.is_valued:
        return (("Equity, P&L today, drawdown", f"{fmt.NONE} {parts.NOT_VALUED}"),)
    return (
        ("Equity", fmt.money(book.equity, currency)),
        ("P&L today", parts.profit(book.pnl.today, currency)),
        ("Drawdown", fmt.percent(-book.drawdown)),
    )


def _clock(console: ConsolePort, book: BookSnapshot, now: datetime) -> Html:
    look = appearance.current(console)
    age_s = fmt.seconds_since(book.published_at, now)
    clock = "no price yet" if book.market_time is None else look.clock(book.market_time)
    text = Html(f"{safe(clock)} · {parts.counting(age_s)} ago")
    label = f"{'Simulated market' if book.simulated else 'Market'} time, {look.zone}"
    return Html(
        f'<span class="qd-cell"><span class="qd-label">{safe(label)}</span>'
        f"<b>{parts.aged(book.published_at, now, text)}</b></span>"
    )


def _alerts(console: ConsolePort) -> Html:
    count = console.alerts(1, 1, open_only=True).total
    tone = "warn" if count else "dim"
    return parts.badge(f"{count} open alert{'' if count == 1 else 's'}" if count else "no open alerts", tone)


def _stop_banner(console: ConsolePort) -> None:
    gone = console.absence()
    if gone:
        st.html(_absent(gone))
    snapshot: EngineSnapshot = console.snapshot()
    for book in snapshot.books:
        if book.stop is not None and (not book.stop.flat or book.latched):
            st.html(_banner(book, book.stop))


def _absent(why: str) -> Html:
    words = (
        why,
        "nothing is decided, and figures are as last told; orders at the venues stay as they are",
        "a stop can be ordered now: it is carried out first when the engine is back",
    )
    return Html(
        '<div class="qd-stopbar"><strong>The engine does not answer</strong>'
        + "".join(f"<span>{safe(word)}</span>" for word in words)
        + "</div>"
    )


def _banner(book: BookSnapshot, view: StopView) -> Html:
    verdict = "VERIFIED FLAT" if view.flat else "NOT FLAT"
    last = view.steps[-1][0].value if view.steps else "starting"
    waiting = f"waiting for {stop.waited_for(view)}" if view.waiting_for else ""
    rest = "re-arm on the Risk page when you are sure" if view.flat else waiting
    spared = stop.left_alone(book) if view.flat else ""
    held = (stop.held_words(row) for row in view.held)
    left = (stop.still_open(book, view), *held, view.dust, spared)
    words = (*left, f"stopped by {view.actor}: {view.reason}", f"proven: {last}", rest)
    return Html(
        f'<div class="qd-stopbar"><strong>{safe(book.name)} · {verdict}</strong>'
        + "".join(f"<span>{safe(word)}</span>" for word in words if word)
        + "</div>"
    )
