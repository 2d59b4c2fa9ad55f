"""Shares a book's capital among its strategies: at each market day's turn, by what they have made."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import ROUND_DOWN, Decimal

from engine.domain.facts import SleeveConfigured
from engine.risk.allocation import AllocationConfig, AllocationMethod, performance_weights
from engine.trading.book import Book
from engine.trading.records import DailyRecords, DayStart

STEP = Decimal("0.0001")


def turn_day(book: Book, at: datetime) -> list[SleeveConfigured]:
    """Keep the records, and share the capital anew where a day has ended and performance decides the weights.

    Parameters
    ----------
    book : Book
        Its equity is known.
    at : datetime
        Market time of the close at hand.

    Returns
    -------
    list of SleeveConfigured
        The strategies whose weight has changed, for the journal; the book has the new weights already.
    """
    if book.records.day is not None and at.date() <= book.records.day:
        return []
    running = {name: sleeve for name, sleeve in sorted(book.sleeves.items()) if sleeve.running}
    now = {name: DayStart(book.sleeve_pnl(name), book.sleeve_equity(name)) for name in running}
    if not book.records.turn(at.date(), now) or book.allocation is not AllocationMethod.PERFORMANCE:
        return []
    facts = []
    for name, weight in reweighted({name: s.weight for name, s in running.items()}, book.records).items():
        if weight != running[name].weight:
            running[name].weight = weight
            facts.append(running[name].fact(at))
    return facts


def reweighted(
    present: Mapping[str, Decimal], records: DailyRecords, config: AllocationConfig | None = None
) -> dict[str, Decimal]:
    """Weights by measured performance that together deploy exactly what was deployed before.

    Parameters
    ----------
    present : mapping
        Name to present weight of the strategies that run; their sum is what may be shared out.
    records : DailyRecords
    config : AllocationConfig or None
        None is the default.

    Returns
    -------
    dict
        Name to weight, multiples of 0.0001 but for the largest, which takes what rounding leaves.
    """
    deployed = sum(present.values(), Decimal(0))
    shares = performance_weights([records.of(name) for name in sorted(present)], config or AllocationConfig())
    weights = {name: (share * deployed).quantize(STEP, ROUND_DOWN) for name, share in shares.items()}
    if weights:
        largest = max(sorted(weights), key=lambda name: weights[name])
        weights[largest] += deployed - sum(weights.values(), Decimal(0))
    return weights
