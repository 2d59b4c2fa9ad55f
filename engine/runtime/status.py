"""The engine's state as JSON: counts are integers, money decimal strings, times ISO UTC, null is unknown."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from engine.domain.codec import plain
from engine.domain.instruments import Instrument, InstrumentKey
from engine.domain.portfolio import BookSnapshot, EngineSnapshot, FeedView

STATUS_FILE = "status.json"
_RATIO = Decimal("0.000001")
_FINE_PLACES = 8


def status_of(snapshot: EngineSnapshot) -> dict[str, Any]:
    """The default book's fields at the top, and one object per book under ``books``."""
    books = {book.name: _book(book) for book in snapshot.books}
    first = next(iter(books.values()), {})
    return {
        **first,
        "started_at": snapshot.started_at.isoformat(),
        "published_at": snapshot.published_at.isoformat(),
        "pid": os.getpid(),
        "version": snapshot.version,
        "epoch": snapshot.epoch,
        "restarts": snapshot.restarts,
        "events": snapshot.events,
        "books": books,
        "absent": dict(snapshot.absent),
    }


def rounded_average(price: Decimal, tick: Decimal | None) -> Decimal:
    """An average price as people and files carry it: eight decimals, or two more than a price of its market has.

    >>> rounded_average(Decimal(2) / 3, Decimal("0.01")), rounded_average(Decimal("64000.5"), None)
    (Decimal('0.66666667'), Decimal('64000.50000000'))
    """
    exponent = tick.normalize().as_tuple().exponent if tick is not None else 0
    places = max(_FINE_PLACES, 2 - exponent) if isinstance(exponent, int) else _FINE_PLACES
    return price.quantize(Decimal(1).scaleb(-places))


def _book(book: BookSnapshot) -> dict[str, Any]:
    tick_of = {instrument.key: instrument.tick_size for instrument in book.instruments}
    return {
        "book": book.name,
        "stage": book.stage,
        "simulated": book.simulated,
        "state": book.state.value,
        "latched": book.latched,
        "state_reason": book.state_reason,
        "market_time": _time(book.market_time),
        "currency": book.base_currency,
        "equity": _valued(book, book.equity),
        "cash": plain(book.cash),
        "capital": plain(book.capital),
        "realised": plain(book.realised),
        "unrealised": _valued(book, book.unrealised),
        "fees": plain(book.fees),
        "funding": plain(book.funding),
        "drawdown": _valued(book, book.drawdown.quantize(_RATIO)),
        "positions": [
            {
                "instrument": p.instrument,
                "strategy": p.sleeve,
                "quantity": plain(p.quantity),
                "entry_price": plain(rounded_average(p.entry_price, tick_of.get(p.instrument))),
                "mark": _money(p.mark),
                "unrealised": _money(p.unrealised),
                "stop_price": _money(p.stop_price),
                "target_price": _money(p.target_price),
            }
            for p in book.positions
        ],
        "open_orders": len(book.orders),
        "fills": book.fills,
        "sequence": book.sequence,
        "stop": _stop(book),
        "needs_arming": book.needs_arming,
        "armed": book.armed,
        "venues": [_venue(feed) for feed in book.feeds],
        "instruments": [_instrument(instrument, dict(book.marks)) for instrument in book.instruments],
    }


def _venue(feed: FeedView) -> dict[str, Any]:
    """When it was last heard, why nothing is opened there now ("" where it may be), and which executions are unread."""
    told = feed.condition.waits if feed.condition is not None else ""
    return {
        "venue": feed.venue,
        "online": feed.online,
        "last_heard_at": _time(feed.last_wall_time),
        "waits": told or feed.awaits,
        "unreadable": list(feed.condition.unreadable) if feed.condition is not None else [],
        "set_aside": list(feed.condition.aside) if feed.condition is not None else [],
    }


def _instrument(instrument: Instrument, marks: Mapping[InstrumentKey, Decimal]) -> dict[str, Any]:
    """What an order on it must fit, and its newest price."""
    return {
        "instrument": instrument.key,
        "venue": instrument.venue,
        "base": instrument.base,
        "quote": instrument.quote,
        "kind": instrument.kind.value,
        "tick_size": plain(instrument.tick_size),
        "lot_size": plain(instrument.lot_size),
        "min_notional": plain(instrument.min_notional),
        "price": _money(marks.get(instrument.key)),
    }


def _stop(book: BookSnapshot) -> dict[str, Any] | None:
    if book.stop is None:
        return None
    return {
        "id": book.stop.stop_id,
        "reason": book.stop.reason,
        "actor": book.stop.actor,
        "flat": book.stop.flat,
        "waiting_for": book.stop.waiting_for,
        "steps": [{"step": s.value, "detail": d, "at": at.isoformat()} for s, d, at in book.stop.steps],
    }


def _valued(book: BookSnapshot, amount: Decimal) -> str | None:
    """A figure that rests on the price of everything held; null while one is unknown."""
    return plain(amount) if book.is_valued else None


def _time(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


def _money(amount: Decimal | None) -> str | None:
    return plain(amount) if amount is not None else None


def write_status(folder: Path, snapshot: EngineSnapshot) -> None:
    """Publish for other processes; replaced whole."""
    target = folder / STATUS_FILE
    part = target.with_suffix(".part")
    part.write_text(json.dumps(status_of(snapshot)), encoding="utf-8")
    part.replace(target)


def read_status(folder: Path) -> dict[str, Any] | None:
    """What was last published, None if nothing was."""
    path = folder / STATUS_FILE
    if not path.exists():
        return None
    status: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return status
