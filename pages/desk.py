"""Columns of live positions and working orders, shared by the pages that show them."""

from __future__ import annotations

from engine.domain.instruments import InstrumentKey
from engine.domain.orders import OrderState, Purpose
from engine.domain.portfolio import BookSnapshot, HandStop, Position, WorkingOrder
from engine.domain.views import FillRow, OrderRow
from engine.runtime.titles import title_of
from pages import format as fmt
from pages import parts
from pages.appearance import Appearance
from pages.format import Html
from pages.tables import Column

EXTERNAL = "external"
"""Sleeve of what the trader does at the exchange himself."""


def position_columns(book: BookSnapshot) -> tuple[Column[Position], ...]:
    """Columns of open positions; money in the book's base currency, prices in quote."""
    unit = book.base_currency
    ticks = {instrument.key: instrument.tick_size for instrument in book.instruments}
    has_targets = any(position.target_price is not None for position in book.positions)
    places = _places(book)
    return (
        Column("Instrument", instrument_of),
        Column("Side", lambda row: side(row.quantity > 0)),
        Column("Quantity", lambda row: fmt.quantity(abs(row.quantity)), numeric=True),
        Column(f"Notional, {unit}", lambda row: fmt.number(row.notional), numeric=True),
        Column(f"Unrealised P&L, {unit}", lambda row: parts.profit(row.unrealised), numeric=True),
        Column("Entry", lambda row: fmt.entry_price(row.entry_price, ticks.get(row.instrument)), numeric=True),
        Column("Mark", mark, numeric=True),
        Column("Stop", lambda row: stop(row, places.get((row.sleeve, row.instrument, Purpose.STOP), "")), numeric=True),
        Column(
            "Target",
            lambda row: target(row, places.get((row.sleeve, row.instrument, Purpose.TARGET), "")),
            numeric=True,
            shown=has_targets,
        ),
        Column("Strategy", lambda row: sleeve(row.sleeve)),
        Column("Opened, UTC", lambda row: fmt.moment(row.opened_at)),
        Column("Realised ever", lambda row: parts.profit(row.realised), numeric=True),
        Column("Fees ever", lambda row: fmt.number(row.fees), numeric=True),
    )


def side(is_long: bool) -> Html:
    """Long or short with its arrow."""
    return Html('<span class="qd-up">▲ long</span>' if is_long else '<span class="qd-down">▼ short</span>')


def mark(row: Position) -> Html:
    """The mark with its source; unknown is said in words."""
    if row.mark is None:
        return parts.badge("no trusted price", "warn")
    return Html(f'{fmt.price(row.mark)} <span class="qd-dim">{fmt.safe(row.mark_source)}</span>')


def is_connected(book: BookSnapshot) -> bool:
    """Whether the book trades at a real exchange: one that tells how it is."""
    return any(feed.condition is not None for feed in book.feeds)


def place(row: WorkingOrder) -> str:
    """Where an order lies: at the exchange, or with the engine until its time comes."""
    if row.venue_order_id is not None:
        return "rests at the exchange"
    if row.state in (OrderState.WORKING, OrderState.PARTIAL):
        return "kept by the engine"
    return "not confirmed yet"


def _places(book: BookSnapshot) -> dict[tuple[str, InstrumentKey, Purpose], str]:
    """Where stops and targets lie, by sleeve, instrument and purpose; nothing for a simulated venue."""
    if not is_connected(book):
        return {}
    return {(row.sleeve, row.instrument, row.purpose): place(row) for row in book.orders}


def instrument_of(row: Position) -> Html:
    """The instrument, with UNMANAGED where nothing can be done about the position."""
    mark_of = "" if row.managed else f" {parts.badge('UNMANAGED', 'stop')}"
    return Html(f"{fmt.safe(fmt.instrument(row.instrument))}{mark_of}")


def sleeve(name: str) -> Html:
    """Who holds it: a strategy, or the trader himself from outside."""
    return parts.badge(title_of(name), "dim") if name == EXTERNAL else fmt.safe(title_of(name))


def target(row: Position, where: str) -> Html:
    """The take-profit and where it lies."""
    return Html(f"{fmt.safe(fmt.price(row.target_price))}{_below(where if row.target_price is not None else '')}")


def _below(where: str) -> str:
    """Where an order lies, small under its price."""
    return f'<div class="qd-dim">{fmt.safe(where)}</div>' if where else ""


def stop(row: Position, where: str = "") -> Html:
    """The protective stop, whether it follows the market and where it lies, or a warning that there is none.

    Stop orders by hand are told with what they cover, and never as the strategy's stop.
    """
    if row.stop_price is None and row.by_hand is not None:
        return by_hand(row.by_hand)
    if row.stop_price is None and row.is_dust:
        return parts.badge("dust, none needed", "dim")
    if row.stop_price is None:
        return parts.badge("no stop, yours", "dim") if row.sleeve == EXTERNAL else parts.badge("no stop", "warn")
    follows = ' <span class="qd-dim">trails</span>' if row.trails else ""
    bare = f" {parts.badge(f'{fmt.quantity(row.unprotected)} unprotected', 'warn')}" if row.unprotected else ""
    told = row.by_hand
    also = _below(f"by hand too: {fmt.quantity(told.quantity)} at {fmt.price(told.price)}") if told else ""
    return Html(f"{fmt.safe(fmt.price(row.stop_price))}{follows}{bare}{_below(where)}{also}")


def by_hand(told: HandStop) -> Html:
    """What stop orders by hand cover of a position that has no stop of its own."""
    rest = f"<div>{parts.badge(f'{fmt.quantity(told.uncovered)} uncovered', 'warn')}</div>" if told.uncovered else ""
    return Html(f"{fmt.safe(fmt.price(told.price))}{_below(f'by hand, covers {fmt.quantity(told.quantity)}')}{rest}")


def bought(name: str) -> Html:
    """Buy or sell with its arrow."""
    return Html('<span class="qd-up">▲ buy</span>' if name == "buy" else '<span class="qd-down">▼ sell</span>')


def working_columns(look: Appearance, book: BookSnapshot) -> tuple[Column[WorkingOrder], ...]:
    """Columns of orders the venue has not ended; of a real exchange, where each lies."""
    lies = (Column("Lies", place),) if is_connected(book) else ()
    return (
        Column("Instrument", lambda row: fmt.instrument(row.instrument)),
        Column("Side", lambda row: bought(row.side.value)),
        Column("Type", lambda row: kind(row.order_type.value, row)),
        Column("Quantity", lambda row: fmt.quantity(row.quantity), numeric=True),
        Column("Filled", lambda row: fmt.quantity(row.filled), numeric=True),
        Column("Limit", lambda row: fmt.price(row.limit_price), numeric=True),
        Column("Stop", lambda row: fmt.price(row.stop_price), numeric=True),
        Column("State", lambda row: state(row.state.value)),
        *lies,
        Column("Purpose", lambda row: row.purpose.value),
        Column("Strategy", lambda row: sleeve(row.sleeve)),
        Column(f"Created, {look.zone}", lambda row: look.moment(row.created_at)),
        Column("Order id", lambda row: mono(row.client_id)),
    )


def kind(name: str, row: WorkingOrder | OrderRow) -> str:
    """The type of an order with what holds it back: market, limit or stop, post-only, reduce-only."""
    return name + (", post-only" if row.post_only else "") + (", reduce-only" if row.reduce_only else "")


def state(name: str) -> Html:
    """An order state; UNKNOWN stands out."""
    tone = "warn" if name in {"unknown", "rejected"} else "accent" if name in {"working", "partial"} else "dim"
    return parts.badge(name.replace("_", " "), tone)


def mono(text: str) -> Html:
    """An identifier."""
    return Html(f'<span class="qd-mono">{fmt.safe(text)}</span>')


def fill_columns(look: Appearance) -> tuple[Column[FillRow], ...]:
    """Columns of fills."""
    return (
        Column(f"Market time, {look.zone}", lambda row: look.moment(row.at)),
        Column("Instrument", lambda row: fmt.instrument(row.instrument)),
        Column("Side", lambda row: bought(row.side)),
        Column("Quantity", lambda row: fmt.quantity(row.quantity), numeric=True),
        Column("Price", lambda row: fmt.price(row.price), numeric=True),
        Column("Fee", lambda row: f"{fmt.fee(row.fee)} {row.fee_currency}", numeric=True),
        Column("Role", lambda row: row.liquidity),
        Column("Purpose", lambda row: row.purpose),
        Column("Strategy", lambda row: title_of(row.sleeve)),
        Column("Source", lambda row: parts.simulated_mark(row.simulated) or row.book),
        Column("Order id", lambda row: mono(row.client_id), shown=False),
        Column("Trade id", lambda row: mono(row.trade_id), shown=False),
    )


def order_columns(look: Appearance, book: BookSnapshot) -> tuple[Column[OrderRow], ...]:
    """Columns of orders of a book, ended ones included."""
    ticks = {instrument.key: instrument.tick_size for instrument in book.instruments}

    def average(row: OrderRow) -> str:
        return fmt.NONE if row.average_price is None else fmt.entry_price(row.average_price, ticks.get(row.instrument))

    return (
        Column(f"Created, {look.zone}", lambda row: look.moment(row.created_at)),
        Column("Instrument", lambda row: fmt.instrument(row.instrument)),
        Column("Side", lambda row: bought(row.side)),
        Column("Type", lambda row: kind(row.order_type, row)),
        Column("Quantity", lambda row: fmt.quantity(row.quantity), numeric=True),
        Column("Filled", lambda row: fmt.quantity(row.filled), numeric=True),
        Column("Average price", average, numeric=True),
        Column("Limit or stop", lambda row: fmt.price(row.limit_price or row.stop_price), numeric=True),
        Column("State", lambda row: state(row.state)),
        Column("Purpose", lambda row: row.purpose),
        Column("Strategy", lambda row: title_of(row.sleeve)),
        Column("How it ended", lambda row: fmt.sentence(fmt.named(row.end_reason)) or fmt.NONE, wraps=True),
        Column("Why placed", lambda row: fmt.sentence(fmt.named(row.reason)), wraps=True),
        Column("Source", lambda row: parts.simulated_mark(row.simulated) or row.book),
        Column(f"Updated, {look.zone}", lambda row: look.moment(row.updated_at), shown=False),
        Column("Order id", lambda row: mono(row.client_id), shown=False),
        Column("Venue id", lambda row: mono(row.venue_order_id), shown=False),
    )
