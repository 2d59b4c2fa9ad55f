"""What a command asks for, in words for the audit trail: the old value and the new one where it changes something."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from enum import Enum
from typing import Any

from engine.domain.codec import plain
from engine.domain.commands import (
    AdoptOrder,
    CancelOrder,
    ClosePosition,
    CommandBody,
    ConfigureRisk,
    ConfigureStrategy,
    Demote,
    InjectFault,
    PlaceOrder,
    Promote,
    SetAllocation,
    SetRowAside,
    SetSpeed,
    SetStrategy,
    SetTrading,
)
from engine.domain.errors import BadInput
from engine.domain.portfolio import BookSnapshot, SleeveView
from engine.risk.limits import RiskConfig, limit_rows, read_config
from engine.runtime.forms import SHARE
from engine.runtime.limit_words import title_of_limit
from engine.runtime.titles import title_of
from engine.runtime.trail_words import market_name
from engine.trading.commands import MOST_DIGITS
from engine.trading.sleeves import build_strategy

NO_CHANGE = "nothing changes"
_UNITS = {row.name: row.unit for row in limit_rows(RiskConfig())}


def asked_words(body: CommandBody, book: BookSnapshot | None) -> str:
    """What a command asks for; where it changes something, from which value to which.

    Parameters
    ----------
    body : CommandBody
    book : BookSnapshot or None
        The book as it was last published; None where it is not known, which leaves the old values out.
    """
    match body:
        case SetTrading(state=state):
            return _change(book.state.value if book else None, state.value)
        case SetStrategy(strategy=name, running=running):
            sleeve = _sleeve(book, name)
            before = ("running" if sleeve.running else "paused") if sleeve else None
            return f"{title_of(name)}: {_change(before, 'running' if running else 'paused')}"
        case ConfigureStrategy():
            return _strategy(body, _sleeve(book, body.strategy))
        case SetAllocation():
            return _allocation(body, book)
        case ConfigureRisk(values=values):
            return _limits(values, book)
        case SetSpeed(speed=speed):
            return _change(f"{book.speed}x" if book and book.speed else None, f"{speed}x")
        case _:
            return _act(body)


def _act(body: CommandBody) -> str:
    """Commands that do something rather than set something."""
    match body:
        case PlaceOrder(side=side, quantity=quantity, instrument=key, order_type=kind):
            price = body.limit_price or body.stop_price
            at = f" at {_number(price)}" if price is not None else ""
            only = (", reduce-only" if body.reduce_only else "") + (", post-only" if body.post_only else "")
            return f"{side.value} {_number(quantity)} {market_name(key)}, {kind.value}{at}{only}"
        case ClosePosition(sleeve=sleeve, instrument=key, share=share):
            return f"{_percent(share)} of {title_of(sleeve)}'s {market_name(key)}"
        case AdoptOrder(venue_order_id=number):
            return f"order {number} of the exchange"
        case SetRowAside(row=row, moved=moved):
            counted = f", which moved {', '.join(each.words for each in moved)}" if moved else ""
            return f"row {row} of the exchange's executions{counted}"
        case CancelOrder(client_id=client_id):
            return f"order {client_id}"
        case Promote(strategy=name, from_book=before):
            return f"{title_of(name)} out of {before}"
        case Demote(strategy=name):
            return title_of(name)
        case InjectFault(venue=venue, fault=fault, minutes=minutes):
            return f"{fault} at {venue} for {minutes} market minutes"
        case _:
            return ""


def _limits(values: str, book: BookSnapshot | None) -> str:
    if book is None:
        return ""
    before = RiskConfig.model_validate_json(book.risk).model_dump()
    try:
        after = read_config(values).model_dump()
    except BadInput as error:
        return f"limits that cannot be used: {error}"
    return _differences(before, after, title_of_limit, _UNITS)


def _strategy(body: ConfigureStrategy, sleeve: SleeveView | None) -> str:
    title = title_of(body.strategy)
    try:
        after = json.loads(build_strategy(body.strategy, body.values)[1])
    except BadInput as error:
        return f"{title}: settings that cannot be used: {error}"
    if sleeve is None:
        return title
    changes = [_differences(json.loads(sleeve.values), after, _words, {})]
    if body.instruments is not None and sorted(body.instruments) != sorted(sleeve.instruments):
        lists = (", ".join(map(market_name, sorted(keys))) or "none" for keys in (sleeve.instruments, body.instruments))
        changes = [change for change in changes if change != NO_CHANGE] + [f"instruments {' → '.join(lists)}"]
    return f"{title}: {'; '.join(changes)}"


def _allocation(body: SetAllocation, book: BookSnapshot | None) -> str:
    changes = []
    if book is None or book.allocation != body.method:
        changes.append(f"method {_change(book.allocation if book else None, body.method)}")
    for name, weight in body.weights:
        sleeve = _sleeve(book, name)
        if sleeve is None or sleeve.weight != weight:
            changes.append(f"{title_of(name)} {_change(_percent(sleeve.weight) if sleeve else None, _percent(weight))}")
    return "; ".join(changes) or NO_CHANGE


def _differences(
    before: Mapping[str, Any], after: Mapping[str, Any], title: Callable[[str], str], units: Mapping[str, str]
) -> str:
    changed = [name for name in after if before.get(name) != after[name]]
    told = (
        f"{title(name)} {_shown(before.get(name), units.get(name))} → {_shown(after[name], units.get(name))}"
        for name in changed
    )
    return "; ".join(told) or NO_CHANGE


def _shown(value: Any, unit: str | None) -> str:
    if value is None:
        return "as the mode says"
    if isinstance(value, Enum):
        return str(value.value)
    return _percent(Decimal(str(value))) if unit == SHARE else str(value)


def _change(before: str | None, after: str) -> str:
    return after if before is None else f"{before} → {after}"


def _sleeve(book: BookSnapshot | None, name: str) -> SleeveView | None:
    return next((sleeve for sleeve in book.sleeves if sleeve.strategy == name), None) if book else None


def _percent(share: Decimal) -> str:
    return f"{_number(share * 100)} %" if share.is_finite() else str(share)


def _number(value: Decimal) -> str:
    """In full, unless that would fill pages: the engine refuses such a number, and the trail says which it was."""
    return plain(value) if value.is_finite() and abs(value.adjusted()) <= MOST_DIGITS else str(value)


def _words(name: str) -> str:
    return name.replace("_", " ")
