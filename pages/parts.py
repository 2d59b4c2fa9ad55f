"""Small building blocks of every page: cards, badges, bars, notes and empty states as safe HTML."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NoReturn

import streamlit as st

from engine.domain.portfolio import BookSnapshot
from pages import format as fmt
from pages.format import Html, Number, safe

NOT_VALUED = "unknown until the first prices"
"""Beside figures of a book that holds something without a price."""


@dataclass(frozen=True, slots=True)
class Card:
    """One figure: what it is, its value with unit, and what it rests on. ``tone`` is ``""``, ``warn`` or ``stop``."""

    label: str
    value: str
    note: str = ""
    tone: str = ""


def cards(items: Iterable[Card], *, wide: bool = False) -> Html:
    """A row of cards that wraps on narrow screens; ``wide`` ones hold a sentence."""
    body = "".join(
        f'<div class="qd-card {safe(item.tone)}"><div class="qd-label">{safe(item.label)}</div>'
        f'<div class="qd-value">{safe(item.value)}</div><div class="qd-note">{safe(item.note)}</div></div>'
        for item in items
    )
    return Html(f'<div class="qd-cards{" wide" if wide else ""}">{body}</div>')


def badge(text: str, tone: str = "") -> Html:
    """A small label; ``tone`` is ``accent``, ``warn``, ``stop``, ``dim``, ``sim`` or nothing."""
    return Html(f'<span class="qd-badge {safe(tone)}">{safe(text)}</span>')


def with_unit(figure: str, unit: str) -> Html:
    """A figure with its unit set small behind it."""
    return Html(f"{safe(figure)} <small>{safe(unit)}</small>")


def directed(value: Number | None, text: str) -> Html:
    """``text`` marked as gain or loss of ``value`` by arrow and hue; its sign is already in the text.

    What the text rounds to nothing is neither.
    """
    digits = {sign for sign in text if sign.isdigit()}
    if value is None or value == 0 or digits == {"0"}:
        return safe(text)
    tone, arrow = ("qd-up", "▲") if value > 0 else ("qd-down", "▼")
    return Html(f'<span class="{tone}">{arrow} {safe(text)}</span>')


def profit(value: Number | None, currency: str = "", places: int = 2) -> Html:
    """A signed amount with arrow, hue and (where given) currency."""
    text = fmt.number(value, places, signed=True)
    return directed(value, f"{text} {currency}".strip())


def profit_share(share: Number | None) -> Html:
    """A signed share in percent with arrow and hue."""
    return directed(share, fmt.percent(share, signed=True))


def bar(share: Number | None, tone: str = "") -> Html:
    """A bar filled to ``share`` (0 to 1); hatched where it is unknown."""
    if share is None:
        return Html('<span class="qd-track"><i class="unknown"></i></span>')
    width = max(0.0, min(100.0, float(share) * 100))
    return Html(f'<span class="qd-track"><i class="{safe(tone)}" style="width:{width:.1f}%"></i></span>')


def split(parts: Sequence[tuple[str, Number, str]], colours: Sequence[str]) -> Html:
    """A stacked bar of ``(name, positive amount, amount as text)`` with its legend."""
    total = float(sum(float(amount) for _, amount, _ in parts)) or 1.0
    tinted = [(*part, colours[index % len(colours)]) for index, part in enumerate(parts)]
    segments = "".join(
        f'<span style="width:{float(amount) / total * 100:.2f}%;background:{tint}"></span>'
        for _, amount, _, tint in tinted
    )
    legend = "".join(
        f'<span><span class="qd-dot" style="background:{tint}"></span>{safe(name)} '
        f"{safe(text)} · {float(amount) / total * 100:.1f} %</span>"
        for name, amount, text, tint in tinted
    )
    return Html(f'<div class="qd-split">{segments}</div><div class="qd-legend">{legend}</div>')


def panel(body: str) -> None:
    """Draw HTML inside a bordered panel."""
    st.html(f'<div class="qd-panel">{safe(body)}</div>')


def remarks(lines: Iterable[str]) -> None:
    """What is to be known of the candles before a figure of them is believed; nothing where all is well."""
    known = tuple(lines)
    if known:
        notice(Html(f"<b>About the candles</b>{bullets(known)}"), "warn")


def notice(text: str, tone: str = "") -> None:
    """A line worth reading; ``tone`` is ``good``, ``warn``, ``stop`` or nothing."""
    st.html(f'<div class="qd-notice {safe(tone)}">{safe(text)}</div>')


def bullets(lines: Iterable[str]) -> Html:
    """A plain list."""
    return Html('<ul class="qd-list">' + "".join(f"<li>{safe(line)}</li>" for line in lines) + "</ul>")


@dataclass(frozen=True, slots=True)
class Help:
    """The one button of an empty state: its label and the page it leads to (its address, e.g. ``exchanges``)."""

    label: str
    page: str


def empty(title: str, text: str, help_by: Help | None = None) -> None:
    """Nothing here yet: why, and the one thing that helps."""
    st.html(f'<div class="qd-empty-state"><h4>{safe(title)}</h4><p>{safe(text)}</p></div>')
    if help_by is not None and st.button(help_by.label, key=f"help-{title}", type="primary"):
        go_to(help_by.page)


def go_to(address: str) -> NoReturn:
    """Leave for another page of the console by its address."""
    st.switch_page(st.Page(_elsewhere, title=address, url_path=address))


def _elsewhere() -> None:
    """Stands for a page that is drawn elsewhere: Streamlit finds pages by their address."""


def counting(seconds: float | None) -> Html:
    """An age that counts on in the browser, so that it grows even while the server is dead.

    The instant it was drawn at makes each drawing another one: the browser counts on from the last it was given.
    """
    drawn = f'data-drawn="{fmt.now().timestamp():.3f}"'
    known = "" if seconds is None else f' data-age="{max(0.0, seconds):.1f}" {drawn}'
    return Html(f'<span class="qd-age"{known}>{safe(fmt.age(seconds))}</span>')


def aged(at: datetime | None, now: datetime, text: str) -> Html:
    """``text`` greyed out once ``at`` is more than 5 s of wall time ago, and marked STALE after 15 s."""
    seconds = fmt.seconds_since(at, now)
    if seconds is None or seconds > fmt.STALE_AFTER_S:
        return Html(
            f'<span class="qd-stale">STALE {counting(seconds)}</span> <span class="qd-grey">{safe(text)}</span>'
        )
    return Html(f'<span class="qd-grey">{safe(text)}</span>') if seconds > fmt.GREY_AFTER_S else safe(text)


def as_of(book: BookSnapshot, zone: str) -> Html:
    """Which instant live figures are of: parts of a page refresh one after the other, so each says its own."""
    if book.market_time is None:
        return Html('<div class="qd-dim">No price yet</div>')
    now = fmt.now()
    age = counting(fmt.seconds_since(book.published_at, now))
    clock = fmt.moment(book.market_time, zone, date=False)
    words = f"As of {clock} {'simulated ' if book.simulated else ''}market time, {zone}"
    text = Html(f"{safe(words)} · {age} ago")
    return Html(f'<div class="qd-dim">{aged(book.published_at, now, text)}</div>')


def simulated_mark(simulated: bool) -> Html:
    """SIMULATED beside numbers that no market made."""
    return badge("SIMULATED", "sim") if simulated else Html("")


def source_of(book: BookSnapshot) -> str:
    """What a book's numbers are: its name and whether they are simulated."""
    return f"{book.name} book, SIMULATED" if book.simulated else f"{book.name} book"
