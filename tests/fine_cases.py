"""Finer candles for tests: by hand, or drawn so that they add up to the candles of a request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import numpy as np
from kernel_twin import HOUR, START_MS

from engine.domain.instruments import Instrument, InstrumentKey
from engine.domain.market import CandleArrays, FloatArray, Timeframe
from engine.simulation.fine_candles import fine_candles
from engine.simulation.kernel_request import KernelRequest, View
from engine.simulation.replay_source import Fine

Row = tuple[float, float, float, float, float]
PARTS = 4
QUARTER = Timeframe(900)


def quarters(*hours: Sequence[Row]) -> CandleArrays:
    """Candles of a quarter of an hour from (open, high, low, close, volume), four an hour; fewer leave the end out."""
    rows = [row for hour in hours for row in hour]
    opened = [START_MS + HOUR.ms * n + QUARTER.ms * part for n, hour in enumerate(hours) for part in range(len(hour))]
    columns = np.array(rows, dtype=np.float64).T
    return CandleArrays(QUARTER, np.array(opened, dtype=np.int64), *map(np.ascontiguousarray, columns))


def hours_of(*hours: Sequence[Row]) -> list[Row]:
    """The candle of an hour that each group of finer ones adds up to."""
    return [
        (rows[0][0], max(row[1] for row in rows), min(row[2] for row in rows), rows[-1][3], sum(row[4] for row in rows))
        for rows in hours
    ]


def with_fine(request: KernelRequest, fine: Fine) -> KernelRequest:
    """The same request with finer candles by instrument."""
    series = tuple(
        replace(one, fine=fine_candles(one.instrument, one.candles, (one.first, one.stop), fine[one.instrument.key]))
        if one.instrument.key in fine
        else one
        for one in request.series
    )
    return replace(request, series=series)


def drawn(request: KernelRequest, seed: int) -> KernelRequest:
    """Random finer candles for most of the instruments, with holes, and some market impact."""
    rng = np.random.default_rng(seed)
    parts = int(rng.choice([2, 3, 6, 12, 60]))
    fine = {one.instrument.key: _split(rng, one.instrument, one.candles, parts) for one in request.series}
    kept = {key: candles for key, candles in fine.items() if len(candles) and rng.random() < 0.85}
    impact = Decimal(str(rng.choice(["0", "1", "0.3", "2.5"])))
    return with_fine(replace(request, costs=request.costs.model_copy(update={"impact": impact})), kept)


def lasting(request: KernelRequest, seed: int) -> KernelRequest:
    """The request with wishes that last, so that something is held through quiet bars."""
    rng = np.random.default_rng(seed)
    views: dict[str, dict[InstrumentKey, View]] = {}
    for name, by_key in request.views.items():
        for key, view in by_key.items():
            wishes = np.repeat(rng.choice([0.0, 1.0, 0.5, -1.0, np.nan], len(view.convictions)), 40)
            views.setdefault(name, {})[key] = replace(view, convictions=wishes[: len(view.convictions)])
    return replace(request, views=views)


def _split(rng: np.random.Generator, instrument: Instrument, candles: CandleArrays, parts: int) -> CandleArrays:
    """A path through each candle that begins at its open, ends at its close and touches its high and its low."""
    tick, bars = float(instrument.tick_size), len(candles)
    open_, high, low, close = (_on_grid(getattr(candles, name), tick) for name in ("open", "high", "low", "close"))
    bottom_, top_ = low[:, None], high[:, None]
    path = np.clip(_on_grid(rng.uniform(bottom_, top_, (bars, parts + 1)), tick), bottom_, top_)
    path[:, 0], path[:, -1] = open_, close
    first, last = path[:, :-1].copy(), path[:, 1:]
    if rng.random() < 0.5:
        first[:, 1:] = np.clip(_on_grid(rng.uniform(bottom_, top_, (bars, parts - 1)), tick), bottom_, top_)
    top, bottom, rows = np.maximum(first, last), np.minimum(first, last), np.arange(bars)
    top[rows, rng.integers(0, parts, bars)] = high
    bottom[rows, rng.integers(0, parts, bars)] = low
    volume = np.round(candles.volume[:, None] * rng.dirichlet(np.ones(parts), bars), 3) + 0.00123
    kept = rng.random((bars, parts)) > (0.3 * (rng.random((bars, 1)) < 0.3) if rng.random() < 0.6 else 0.0)
    length = candles.timeframe.ms // parts
    opened = (candles.opened_at_ms[:, None] + length * np.arange(parts))[kept]
    columns = (np.round(column[kept], 6) for column in (first, top, bottom, last, volume))
    return CandleArrays(Timeframe(length // 1000), opened, *columns)


def _on_grid(prices: FloatArray, tick: float) -> FloatArray:
    grid: FloatArray = np.maximum(np.rint(prices / tick), 1.0) * tick
    return grid
