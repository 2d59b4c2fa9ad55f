"""``order`` and ``cancel``: orders by hand through the running engine, waited for until their state is durable."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from config.settings import Settings
from engine.domain.codec import plain
from engine.domain.commands import CancelOrder, Command, PlaceOrder, TradingState
from engine.domain.errors import BadInput, CommandRefused, EngineError
from engine.domain.instruments import Instrument, InstrumentKey, Kind
from engine.domain.orders import OrderState, OrderType, Side
from engine.exchanges import EXCHANGES
from engine.runtime.accounts import STAGES, connections_of
from engine.runtime.cli.asking import Deadline, carried_out, new_command
from engine.runtime.cli.context import effective
from engine.runtime.cli.exports import average_price, order_cells
from engine.runtime.cli.folder import data_folder
from engine.runtime.cli.output import complain, say, say_json, tell
from engine.runtime.cli.status import published
from engine.runtime.order_review import MANUAL, problems_of
from engine.storage.money_reader import MoneyReader
from engine.storage.rows import JournalFilters, OrderFilters, OrderRow

FAILED, REFUSED = 1, 4
_NO_PROOF = (OrderState.INTENT, OrderState.SENT, OrderState.UNKNOWN, OrderState.PENDING_CANCEL)
_NEVER = (OrderState.REJECTED, OrderState.ABANDONED)
_CLOCKS = timedelta(seconds=5)
READY_WITHIN_S = 20.0
"""So long a venue that has just been connected is given; then the gate says what is missing."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an order goes: a book of the running engine, the instrument there with its newest price, and why its venue
    takes no entries yet; "" where it does."""

    book: str
    instrument: Instrument
    price: Decimal | None
    waits: str

    @property
    def lacks(self) -> str:
        """What a book that has just started is given a moment for."""
        return self.waits or ("" if self.price is not None else "its market has not been heard yet")


def order(options: argparse.Namespace) -> int:
    """Place an order by hand; 4 where it was refused, 1 where its state is not known in time."""
    folder, settings = data_folder(), effective().settings
    deadline = Deadline(options.wait_s)
    place = _place(options, settings, published(folder))
    body = _body(options, place)
    _require_expressible(body, place.price, place.instrument)
    place = _once_ready(place, options, settings, folder, Deadline(min(deadline.left_s, READY_WITHIN_S)))
    _require_expressible(body, place.price, place.instrument)
    command = new_command("order", "by command", body)
    try:
        carried_out(folder, command, _left(deadline, options.wait_s))
    except CommandRefused as refusal:
        if options.json:
            say_json({"status": "refused", "reason": str(refusal), "book": place.book, **_asked(options)})
        _tell_state(place.book, published(folder)["books"].get(place.book, {}))
        raise
    with closing(MoneyReader(settings.money_file)) as reader:
        row = _settled(reader, place.book, command, deadline)
        return _finish(reader, row, as_json=options.json)


def _tell_state(name: str, book: Mapping[str, Any]) -> None:
    """Why a book that is not ACTIVE is not, and the way back; a refusal names its state alone."""
    state, reason = book.get("state"), book.get("state_reason")
    if state not in (None, TradingState.ACTIVE.value):
        tell(f"{name} is {state}{f' ({reason})' if reason else ''}; way back: python -m engine arm --book {name}")


def cancel(options: argparse.Namespace) -> int:
    """Cancel a working order; 4 where it is not working or protects a position."""
    folder, settings = data_folder(), effective().settings
    deadline = Deadline(options.wait_s)
    published(folder)
    with closing(MoneyReader(settings.money_file)) as reader:
        known = reader.order(options.client_order_id)
        if known is None or options.book not in (None, known.book):
            where = f"of the book {options.book}" if options.book else "of this engine"
            raise BadInput(f"{options.client_order_id} is no order {where}; export orders lists them")
        command = new_command("cancel", "by command", CancelOrder(known.book, options.client_order_id))
        carried_out(folder, command, _left(deadline, options.wait_s))
        row = _ended(reader, options.client_order_id, deadline)
        return _finish(reader, row, as_json=options.json)


# -- what is meant ----------------------------------------------------------------------------------------------------


def _place(options: argparse.Namespace, settings: Settings, status: Mapping[str, Any]) -> _Place:
    """The book and instrument that are meant; raises `BadInput` with what there is."""
    books = {name: each for name, each in status["books"].items() if options.book in (None, name)}
    if not books:
        raise BadInput(f"there is no book {options.book!r}; there are {', '.join(status['books'])}")
    venues, own = _venues_meant(options.venue, settings, books)
    traded = [(book, row) for book, each in own.items() for row in each["instruments"] if row["venue"] in venues]
    if not traded:
        there = sorted({row["venue"] for each in status["books"].values() for row in each["instruments"]})
        raise BadInput(f"no running book trades at {options.venue}; there are {', '.join(there) or 'none'}")
    fitting = [
        _read(book, row, books[book]["venues"])
        for book, row in traded
        if row["instrument"].partition(":")[2] == options.symbol
    ]
    if not fitting:
        known = ", ".join(sorted({row["instrument"].partition(":")[2] for _, row in traded}))
        setting = " and ".join(sorted({f"{book}.symbols" for book, _ in traded}))
        raise BadInput(f"{options.symbol} is not traded at {options.venue}; there are {known} (setting {setting})")
    if len(fitting) > 1:
        raise BadInput(f"{', '.join(each.book for each in fitting)} trade it: say which with --book")
    return fitting[0]


def _venues_meant(name: str, settings: Settings, books: Mapping[str, Any]) -> tuple[frozenset[str], Mapping[str, Any]]:
    """The venues behind a name, and the books that trade the account, where it is one of the settings."""
    if name not in settings.venues and "/" not in name:
        return frozenset({name}), books
    connection = f"{settings.venues[name].exchange}/{name}" if name in settings.venues else name
    exchange = EXCHANGES.get(connection.partition("/")[0])
    if exchange is None:
        raise BadInput(f"{name}: there is no such exchange; choose one of {', '.join(EXCHANGES)}")
    stages = [stage.name for stage in STAGES.values() if connection in connections_of(settings, stage)]
    own = {book: each for book, each in books.items() if book in stages}
    return frozenset(venue.name for venue in exchange.venues), own


def _read(book: str, row: Mapping[str, Any], venues: Sequence[Mapping[str, Any]]) -> _Place:
    instrument = Instrument(
        row["venue"],
        row["base"],
        row["quote"],
        Kind(row["kind"]),
        Decimal(row["tick_size"]),
        Decimal(row["lot_size"]),
        Decimal(row["min_notional"]),
    )
    waits = next((each["waits"] for each in venues if each["venue"] == row["venue"]), "")
    return _Place(book, instrument, Decimal(row["price"]) if row["price"] is not None else None, waits)


def _body(options: argparse.Namespace, place: _Place) -> PlaceOrder:
    if options.limit is not None and options.stop is not None:
        raise BadInput("--limit and --stop are two kinds of orders: give one of them")
    if options.post_only and options.limit is None:
        raise BadInput("--post-only is for limit orders: give --limit PRICE")
    kind = OrderType.LIMIT if options.limit is not None else OrderType.STOP if options.stop else OrderType.MARKET
    return PlaceOrder(
        place.book,
        InstrumentKey(place.instrument.key),
        Side(options.side),
        _positive("amount", options.amount),
        kind,
        _positive("--limit", options.limit) if options.limit is not None else None,
        _positive("--stop", options.stop) if options.stop is not None else None,
        options.reduce_only,
        options.post_only,
    )


def _positive(name: str, text: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or number <= 0 or abs(number.adjusted()) > 24:
        raise BadInput(f"{name} {text!r} is not a number above 0")
    return number


def _require_expressible(body: PlaceOrder, market: Decimal | None, instrument: Instrument) -> None:
    """Raises `BadInput` with every reason why the venue could not take the order as it stands."""
    price = body.limit_price or body.stop_price or market
    value = None if price is None or body.reduce_only else price * body.quantity
    if problems := problems_of(instrument, body, value):
        raise BadInput(f"{instrument.key}: {' '.join(problems)}")


def _once_ready(
    place: _Place, options: argparse.Namespace, settings: Settings, folder: Path, deadline: Deadline
) -> _Place:
    """The place as it is once its venue is heard and takes entries, or at the deadline; a way out waits for nothing."""
    if place.lacks and not options.reduce_only:
        tell(f"waiting: {place.lacks}")
    while place.lacks and not options.reduce_only and not deadline.is_over:
        deadline.pause()
        place = _place(options, settings, published(folder))
    return place


# -- what became of it ------------------------------------------------------------------------------------------------


def _settled(reader: MoneyReader, book: str, command: Command, deadline: Deadline) -> OrderRow:
    """The order once its state has proof; a market order once it has ended, where that comes in time."""
    client_id = _client_id_of(reader, book, command)
    while True:
        row = _order(reader, client_id)
        ends_soon = row.intent.order_type is OrderType.MARKET and not row.state.is_final
        if not (row.state in _NO_PROOF or ends_soon) or deadline.is_over:
            return row
        deadline.pause()


def _ended(reader: MoneyReader, client_id: str, deadline: Deadline) -> OrderRow:
    while True:
        row = _order(reader, client_id)
        if row.state.is_final or deadline.is_over:
            return row
        deadline.pause()


def _client_id_of(reader: MoneyReader, book: str, command: Command) -> str:
    """The order that a command became: it stands in the journal between the command and its end, in one record."""
    filters = JournalFilters(text=command.command_id, since=command.at - _CLOCKS)
    rows = [row.sequence for row in reader.journal(book, filters, 1, 10).rows]
    newest = reader.orders(book, OrderFilters(sleeve=MANUAL), 1, 50).rows
    for row in newest:
        if rows and min(rows) < row.sequence < max(rows):
            return row.intent.client_id
    raise EngineError(f"the engine carried out command {command.command_id}, and its order is not in the books")


def _order(reader: MoneyReader, client_id: str) -> OrderRow:
    row = reader.order(client_id)
    if row is None:
        raise EngineError(f"order {client_id} is not in the books; see the journal with export journal")
    return row


def _finish(reader: MoneyReader, row: OrderRow, *, as_json: bool) -> int:
    average = average_price(reader, row.intent.client_id)
    cells = order_cells(row, average)
    if as_json:
        say_json(cells)
    else:
        say(_words(row, cells["average_price"]))
    code, why = _verdict(row)
    if code:
        complain(why)
    return code


def _words(row: OrderRow, average: Decimal | None) -> str:
    intent = row.intent
    base, quote = intent.instrument.partition(":")[2].partition(":")[0].split("/")
    price = f" at {plain(average)} {quote} on average" if average is not None else ""
    number = f", number {row.venue_order_id} there" if row.venue_order_id else ""
    return (
        f"{intent.client_id}: {intent.side.value} {plain(intent.quantity)} {intent.instrument}, "
        f"{row.state.value}, {plain(row.filled)} {base} filled{price}{number}, book {row.book}"
    )


def _verdict(row: OrderRow) -> tuple[int, str]:
    """Exit code and what is said with it."""
    client_id, reason = row.intent.client_id, row.venue_reason
    if row.state in _NEVER and not row.filled:
        return REFUSED, f"order {client_id} was {row.state.value}: {reason or 'the exchange gave no reason'}"
    if row.state in _NO_PROOF:
        return FAILED, f"order {client_id} is {row.state.value}: no proof yet what became of it; the engine asks on"
    return 0, ""


def _asked(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "venue": options.venue,
        "symbol": options.symbol,
        "side": options.side,
        "amount": options.amount,
    }


def _left(deadline: Deadline, wait_s: float) -> float:
    """Seconds for the engine's answer: what is left, and at least a moment where anything was to be waited for."""
    return max(deadline.left_s, min(wait_s, 5.0))
