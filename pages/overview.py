"""Overview: how the book stands, and what makes it so."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import streamlit as st

from engine.domain.facade import ConsolePort
from engine.domain.operations_views import HealthFigure
from engine.domain.portfolio import BookSnapshot, EngineSnapshot, SleeveView
from engine.domain.views import EquityCurve
from engine.runtime.titles import is_strategy, title_of
from pages import appearance, books, charts, desk, parts, tables
from pages import format as fmt
from pages.format import Html, safe
from pages.guard import live
from pages.parts import Card
from pages.tables import Column

SPANS: dict[str, timedelta | None] = {
    "24 h": timedelta(hours=24),
    "7 d": timedelta(days=7),
    "30 d": timedelta(days=30),
    "1 y": timedelta(days=365),
    "All": None,
}


def render(console: ConsolePort) -> None:
    """Draw the page."""
    st.header("Overview", anchor=False)
    live(_figures)(console)
    live(_equity, every_s=10)(console)
    left, right = st.columns([5, 3], gap="medium")
    with left:
        st.subheader("Open positions", anchor=False)
        live(_positions)(console)
    with right:
        st.subheader("Health and alerts", anchor=False)
        live(_state, every_s=5)(console)
    st.subheader("P&L by strategy", anchor=False)
    live(_sleeves)(console)


def _figures(console: ConsolePort) -> None:
    snapshot = console.snapshot()
    books.say_absent(snapshot)
    book = books.chosen(snapshot)
    zone = appearance.current(console).zone
    st.html(Html(parts.cards(figures(console, book)) + parts.as_of(book, zone)))


def figures(console: ConsolePort, book: BookSnapshot) -> tuple[Card, ...]:
    """The cards that answer how the book stands, all in its base currency."""
    unit = book.base_currency
    if not book.is_valued:
        unknown = ("Equity", "P&L today", "P&L this week", "P&L this month")
        cards = tuple(Card(label, fmt.NONE, parts.NOT_VALUED) for label in unknown)
        return (*cards, unrealised_card(book), realised_card(book), drawdown_card(book))
    foreign = appearance.converted(console, book.equity, unit)
    return (
        Card("Equity", fmt.number(book.equity), foreign or f"{unit}, cash {fmt.number(book.cash)}"),
        Card("P&L today", parts.profit(book.pnl.today), f"{unit}, since 00:00 UTC"),
        Card("P&L this week", parts.profit(book.pnl.week), f"{unit}, since Monday UTC"),
        Card("P&L this month", parts.profit(book.pnl.month), f"{unit}, since the 1st UTC"),
        unrealised_card(book),
        realised_card(book),
        drawdown_card(book),
    )


def drawdown_card(book: BookSnapshot) -> Card:
    """How far the book is below its peak."""
    if not book.is_valued:
        return Card("Drawdown", fmt.NONE, parts.NOT_VALUED)
    peak = f"from peak {fmt.money(book.peak_equity, book.base_currency)}"
    return Card("Drawdown", fmt.percent(-book.drawdown), peak)


def unrealised_card(book: BookSnapshot) -> Card:
    """Unrealised P&L and the positions it rests on."""
    count = sum(1 for position in book.positions if position.quantity)
    note = f"{book.base_currency}, {count} open position{'' if count == 1 else 's'}"
    if not book.is_valued:
        return Card("Unrealised P&L", fmt.NONE, f"{note}, {parts.NOT_VALUED}")
    return Card("Unrealised P&L", parts.profit(book.unrealised), note)


def realised_card(book: BookSnapshot) -> Card:
    """Realised P&L with the fees and funding beside it."""
    paid = f"fees {fmt.number(book.fees)}, funding {fmt.number(book.funding, signed=True)}"
    note = f"{book.base_currency}, {book.fills:,} fills, {paid}"
    return Card("Realised P&L, gross", parts.profit(book.realised), note)


def _equity(console: ConsolePort) -> None:
    book = books.current(console)
    chosen = st.segmented_control(
        "Span",
        list(SPANS),
        default="30 d",
        required=True,
        key="overview-span",
        label_visibility="collapsed",
        persist_state="session",
    )
    curve = console.equity_curve(book.name, _since(book.market_time, SPANS[chosen or "30 d"]))
    if not len(curve.at_ms):
        parts.empty(
            "No equity recorded in this span",
            "The first point is stored a minute after the book sees its first price. Choose a longer span, or look at "
            "Health to see whether its market is online.",
            parts.Help("Look at Health", "health"),
        )
        return
    charts.show(charts.equity(curve), "overview-equity", f"Equity and drawdown of the {book.name} book")
    st.caption(
        f"{basis(curve, book)} · drawdown from the highest equity since the start or the last re-arm, deposits removed"
    )


def basis(curve: EquityCurve, book: BookSnapshot) -> str:
    """What a curve rests on: period, samples, costs, source."""
    first, last = (datetime.fromtimestamp(float(at) / 1000, tz=UTC) for at in (curve.at_ms[0], curve.at_ms[-1]))
    samples = "sample" if curve.samples == 1 else "samples"
    return (
        f"{parts.source_of(book)} · {fmt.moment(first)} to {fmt.moment(last)} UTC, market time · "
        f"{curve.samples:,} {samples} · after fees and funding, in {curve.currency}"
    )


def _since(market_time: datetime | None, span: timedelta | None) -> datetime | None:
    return None if market_time is None or span is None else market_time - span


def _positions(console: ConsolePort) -> None:
    book = books.current(console)
    held = [position for position in book.positions if position.quantity]
    if not held and not book.instruments:
        parts.empty(
            "No market connected",
            "This book sees no instrument yet. Connect public market data or an exchange, then start a strategy.",
            parts.Help("Connect a market", "exchanges"),
        )
        return
    columns = desk.position_columns(book)
    brief = (*columns[:5], columns[6], columns[7])
    tables.draw(brief, held, "No open position. Strategies open them; see their last ideas.")


def _state(console: ConsolePort) -> None:
    snapshot, health = console.snapshot(), console.health()
    page = console.alerts(1, 5, open_only=True)
    zone = appearance.current(console)
    rows = [
        f"{zone.moment(row.last_at)} · {row.severity.value} · {row.title}"
        + (f" (×{row.count})" if row.count > 1 else "")
        for row in page.rows
    ]
    body = parts.bullets(rows) if rows else safe("No open alert.")
    more = f'<p class="qd-dim">{page.total - len(rows)} more on the Alerts page</p>' if page.total > len(rows) else ""
    parts.panel(Html(f"{_health_line(snapshot, health, absent=bool(console.absence()))}{body}{more}"))


def _health_line(snapshot: EngineSnapshot, health: tuple[HealthFigure, ...], *, absent: bool) -> Html:
    bad = [figure for figure in health if figure.ok is False]
    unknown = sum(1 for figure in health if figure.value is None)
    early = sum(1 for figure in health if figure.value is not None and figure.threshold and figure.ok is None)
    slow = next((figure.value for figure in health if figure.name == "loop_p99_s"), None)
    words = ", ".join(f"{figure.title} {fmt.number(figure.value, 1)} {figure.unit}" for figure in bad)
    said, tone = (f"over threshold: {words}", "warn") if bad else ("all judged within limits", "accent")
    verdict = parts.badge(f"unknown now, last told {said}", "dim") if absent else parts.badge(said, tone)
    waiting = parts.badge(f"{early} not judged so soon after the start", "dim") if early else ""
    return Html(
        f'<div class="qd-badges">{verdict}{parts.badge(f"{unknown} not measured", "dim") if unknown else ""}{waiting}'
        f"{parts.badge(f'loop p99 {fmt.latency(slow)}', 'dim')}"
        f"{parts.badge(f'{snapshot.queue_length} in queue', 'dim')}</div>"
    )


def _sleeves(console: ConsolePort) -> None:
    book = books.current(console)
    if not book.sleeves:
        parts.empty(
            "No strategy in this book",
            "A strategy turns prices into ideas; risk sizes them. Start one and watch its ideas first.",
            parts.Help("Choose a strategy", "strategies"),
        )
        return
    tables.draw(sleeve_columns(book), book.sleeves)


def sleeve_columns(book: BookSnapshot) -> tuple[Column[SleeveView], ...]:
    """Attribution per strategy, in the book's base currency; what rests on unknown prices is a dash."""
    unit, known = book.base_currency, book.is_valued
    return (
        Column("Strategy", lambda row: title_of(row.strategy)),
        Column("State", sleeve_state),
        Column("Weight", lambda row: fmt.percent(_allocated(row, row.weight), 1), numeric=True),
        Column(
            f"Allocated, {unit}", lambda row: fmt.number(_allocated(row, row.equity) if known else None), numeric=True
        ),
        Column(f"Realised, {unit}", lambda row: parts.profit(row.realised), numeric=True),
        Column(f"Unrealised, {unit}", lambda row: parts.profit(row.unrealised if known else None), numeric=True),
        Column(f"Fees, {unit}", lambda row: fmt.number(row.fees), numeric=True),
        Column(f"Funding, {unit}", lambda row: fmt.number(row.funding, signed=True), numeric=True),
        Column("Trades won", _won, numeric=True),
        Column("Fills", lambda row: f"{row.fills:,}", numeric=True),
    )


def sleeve_state(row: SleeveView) -> Html:
    """Running, paused or quarantined, as a badge; orders by hand have no state."""
    if not is_strategy(row.strategy):
        return safe(fmt.NONE)
    if row.quarantined:
        return parts.badge(f"quarantined: {row.quarantined}", "warn")
    return parts.badge("running", "accent") if row.running else parts.badge("paused", "dim")


def _allocated(row: SleeveView, amount: Decimal) -> Decimal | None:
    """Capital is allocated to strategies only; the other sleeves have none to show."""
    return amount if is_strategy(row.strategy) else None


def _won(row: SleeveView) -> str:
    return f"{row.wins:,} of {row.trades:,}"
