"""The candles of a kernel run as one table of whole ticks and lots."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Protocol

import numpy as np

from engine.domain.instruments import Instrument
from engine.domain.market import CandleArrays, FloatArray, IntArray
from engine.simulation import kernel_layout as layout
from engine.simulation.fine_candles import LAST, FineCandles
from engine.simulation.kernel_layout import Records
from engine.simulation.price_grid import price_ticks

_NEAR = 1e-4
_NO_LIMIT = 1e18


class Traded(Protocol):
    """What is read of a series; see `engine.simulation.kernel_request.KernelSeries`."""

    @property
    def instrument(self) -> Instrument:
        """What is traded."""

    @property
    def candles(self) -> CandleArrays:
        """All of them."""

    @property
    def first(self) -> int:
        """First row that is traded."""

    @property
    def stop(self) -> int:
        """The row after the last."""

    @property
    def fine(self) -> FineCandles | None:
        """Finer candles."""


def candle_table(series: Sequence[Traded], share: Decimal | None) -> Records:
    """Every instrument's candles, then every instrument's finer ones; written in place, for these may be millions."""
    fine = [one for one in series if one.fine is not None]
    table = np.empty(sum(one.stop - one.first for one in series) + sum(_used(one) for one in fine), layout.Candle)
    row = 0
    for one in series:
        row += _write(table[row:], one.candles.slice(one.first, one.stop), share, one.instrument)
        if one.fine is not None:
            table["kind"][row - len(one.fine.decided) : row][one.fine.decided] = layout.DECIDED
    for one in fine:
        assert one.fine is not None, "filtered above"
        part, roles = one.fine.only_used()
        row += _write(table[row:], part, share, one.instrument)
        table["kind"][row - len(part) : row] = np.where(roles == LAST, layout.LAST, layout.INSIDE)
    return table


def _used(one: Traded) -> int:
    return 0 if one.fine is None else one.fine.used


def _write(table: Records, candles: CandleArrays, share: Decimal | None, instrument: Instrument) -> int:
    """Write candles to the beginning of a table; how many there are."""
    rows = table[: len(candles)]
    if not len(rows):
        return 0
    rows["opened_ms"], rows["cap"] = candles.opened_at_ms, cap_lots(candles.volume, share, instrument)
    rows["volume"], rows["kind"] = candles.volume, layout.WHOLE
    for name in ("open", "high", "low", "close"):
        rows[name] = price_ticks(getattr(candles, name), instrument.tick_size)
    return len(rows)


def cap_lots(volume: FloatArray, share: Decimal | None, instrument: Instrument) -> IntArray:
    """Most lots one order may take of each candle, rounded down as the venue does; volumes in base."""
    if share is None:
        return np.full(len(volume), layout.UNLIMITED, dtype=np.int64)
    ratio = share / instrument.lot_size
    lots = np.minimum(volume * float(ratio), _NO_LIMIT)
    whole = np.floor(lots).astype(np.int64)
    for row in np.flatnonzero(np.abs(lots - np.rint(lots)) < np.maximum(_NEAR, lots * 1e-12)):
        whole[row] = min(int(Decimal(repr(float(volume[row]))) * ratio), int(_NO_LIMIT))
    return whole
