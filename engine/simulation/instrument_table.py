"""Tick, lot, least order and leverage of common instruments, for candles that come without an exchange to ask."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path

from engine.domain.errors import BadInput
from engine.domain.instruments import Instrument, InstrumentKey, Kind

TABLE_STATED_ON = date(2025, 10, 31)
"""When the shipped facts were current; an exchange's own rules win."""
_TABLE = Path(__file__).with_name("instrument_table.csv")


@dataclass(frozen=True, slots=True)
class FactOverrides:
    """Facts a person states; each wins over the table. Tick and least order value in quote, lot in base."""

    tick_size: Decimal | None = None
    lot_size: Decimal | None = None
    min_notional: Decimal | None = None
    max_leverage: Decimal | None = None


@cache
def shipped_instruments() -> Mapping[InstrumentKey, Instrument]:
    """Every instrument of the shipped table, by key."""
    lines = (line for line in _TABLE.read_text("utf-8").splitlines() if not line.startswith("#"))
    rows = (
        Instrument(
            row["venue"],
            row["base"],
            row["quote"],
            Kind(row["kind"]),
            Decimal(row["tick_size"]),
            Decimal(row["lot_size"]),
            Decimal(row["min_notional"]),
            Decimal(row["max_leverage"]),
        )
        for row in csv.DictReader(lines)
    )
    return {instrument.key: instrument for instrument in rows}


def instrument_for(venue: str, base: str, quote: str, kind: Kind, overrides: FactOverrides | None = None) -> Instrument:
    """An instrument with the facts of the shipped table, or those a person states.

    Parameters
    ----------
    venue : str
        Lower case, as in the settings.
    base, quote : str
        Coins, upper case.
    kind : Kind
    overrides : FactOverrides, optional
        Where the table does not know the instrument, tick, lot and least order value must all be stated; a perpetual
        unknown to the table has leverage 1 unless stated.

    Raises
    ------
    BadInput
        The table does not know the instrument and a fact is not stated (the message names the flags), or a stated
        fact is not a positive number.

    Examples
    --------
    >>> instrument_for("binance", "BTC", "USDT", Kind.SPOT).tick_size
    Decimal('0.01')
    """
    stated = overrides or FactOverrides()
    _require_sensible(stated, kind)
    unknown = Instrument(venue, base, quote, kind, Decimal(1), Decimal(1))
    known = shipped_instruments().get(unknown.key)
    if known is None:
        _require_complete(unknown, stated)
    facts = known or unknown
    return Instrument(
        venue,
        base,
        quote,
        kind,
        _either(stated.tick_size, facts.tick_size),
        _either(stated.lot_size, facts.lot_size),
        _either(stated.min_notional, facts.min_notional),
        _either(stated.max_leverage, facts.max_leverage),
    )


def _either(stated: Decimal | None, known: Decimal) -> Decimal:
    return known if stated is None else stated


def _flags(stated: FactOverrides) -> dict[str, Decimal | None]:
    return {
        "--tick-size": stated.tick_size,
        "--lot-size": stated.lot_size,
        "--min-notional": stated.min_notional,
    }


def _require_sensible(stated: FactOverrides, kind: Kind) -> None:
    for flag, value in (*_flags(stated).items(), ("--max-leverage", stated.max_leverage)):
        least = Decimal(0) if flag == "--min-notional" else Decimal("1e-18")
        if value is not None and not (value.is_finite() and least <= value <= Decimal(10) ** 9):
            raise BadInput(f"{flag} {value} is not a number from {least} to 1000000000")
    if kind is Kind.SPOT and stated.max_leverage is not None and stated.max_leverage != 1:
        raise BadInput(f"--max-leverage {stated.max_leverage}: spot has no leverage")


def _require_complete(unknown: Instrument, stated: FactOverrides) -> None:
    missing = [flag for flag, value in _flags(stated).items() if value is None]
    if missing:
        raise BadInput(
            f"the grid of {unknown.key} is not known (the shipped table of {TABLE_STATED_ON} has "
            f"{len(shipped_instruments())} common USDT pairs): give {' '.join(missing)} as the exchange states them"
        )
