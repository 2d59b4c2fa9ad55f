"""Health: every probe against its threshold, and how it went over time."""

from __future__ import annotations

from datetime import datetime, timedelta

import streamlit as st

from engine.domain.facade import ConsolePort
from engine.domain.operations_views import HealthFigure
from pages import books, charts, parts
from pages import format as fmt
from pages.format import Html, safe
from pages.guard import guarded, live
from pages.parts import Card

SPANS = {"1 h": timedelta(hours=1), "24 h": timedelta(days=1), "7 d": timedelta(days=7), "30 d": timedelta(days=30)}


def render(console: ConsolePort) -> None:
    """Draw the page."""
    st.header("Health", anchor=False)
    live(_cards, every_s=2)(console)
    guarded(_history)(console)


def _cards(console: ConsolePort) -> None:
    books.say_absent(console.snapshot())
    figures = console.health()
    if not figures:
        parts.empty("Nothing measured yet", "The first measurement is taken a few seconds after the engine starts.")
        return
    now = fmt.now()
    st.html(parts.cards([*(_card(figure, now) for figure in figures), *_loop(console)], wide=True))


def _card(figure: HealthFigure, now: datetime) -> Card:
    limit = f"threshold {plain(figure.threshold, figure.unit)}" if figure.threshold else "no threshold"
    if figure.value is None:
        return Card(figure.title, "not measured", f"{figure.note} · {limit}")
    age = fmt.age(fmt.seconds_since(figure.at, now))
    if not figure.threshold:
        return Card(figure.title, reading(figure.value, figure.unit), f"{limit} · {age} ago")
    verdict = {True: "within", False: "OVER its threshold", None: figure.note}[figure.ok]
    bar = parts.bar(min(1.0, figure.value / figure.threshold), _tone(figure))
    note = Html(f"{bar}{safe(f'{verdict}, {limit} · {age} ago')}")
    return Card(figure.title, reading(figure.value, figure.unit), note, _tone(figure))


def _tone(figure: HealthFigure) -> str:
    return "warn" if figure.ok is False else ""


def reading(value: float, unit: str) -> str:
    """A measurement in the unit people read it in."""
    if unit == "s":
        return fmt.latency(value)
    return parts.with_unit(_figure(value, unit), unit)


def plain(value: float, unit: str) -> str:
    """The same inside a sentence."""
    return fmt.latency(value) if unit == "s" else f"{_figure(value, unit)} {unit}".strip()


def _figure(value: float, unit: str) -> str:
    """A count has no unit and no decimals."""
    return fmt.number(value, 1 if unit else 0)


def _loop(console: ConsolePort) -> tuple[Card, ...]:
    snapshot = console.snapshot()
    up = fmt.duration(fmt.seconds_since(snapshot.started_at, fmt.now()))
    return (
        Card("Engine up", up, f"version {snapshot.version} · epoch {snapshot.epoch} · {snapshot.restarts} restarts"),
        Card("Events", f"{snapshot.events:,}", f"{snapshot.queue_length} waiting in the queue"),
    )


def _history(console: ConsolePort) -> None:
    figures = {figure.name: figure for figure in console.health()}
    if not figures:
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.selectbox(
            "Probe",
            list(figures),
            format_func=lambda key: figures[key].title,
            key="health-probe",
            persist_state="session",
            width=260,
        )
        st.segmented_control(
            "Span", list(SPANS), default="1 h", required=True, key="health-span", persist_state="session"
        )
    live(_chart, every_s=15)(console, name)


def _chart(console: ConsolePort, name: str) -> None:
    figure = next(item for item in console.health() if item.name == name)
    span = SPANS[str(st.session_state.get("health-span", "1 h"))]
    series = console.health_series(name, fmt.now() - span)
    if not len(series.at_ms):
        parts.notice(f"No sample of {figure.title} is stored in this span yet. One is stored every minute.")
        return
    charts.show(charts.lines([series], 280, figure.threshold or None), "health-chart", f"{figure.title} over time")
    st.caption(
        f"{figure.title} in {series.unit} · {series.source} · {len(series.at_ms):,} points drawn · UTC"
        + (f" · dotted: threshold {plain(figure.threshold, figure.unit)}" if figure.threshold else "")
    )
