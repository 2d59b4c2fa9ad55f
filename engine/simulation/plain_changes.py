"""When the wishes of many crossings of averages change, over the same candles in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import numpy as np

from engine.domain.market import FloatArray, IntArray
from engine.quant.arrays import read_only
from engine.simulation.plain_kernel import MOST_TICKS, sum_ticks
from engine.simulation.plain_rules import plain_kernel
from engine.simulation.plain_sweep import WORD, block_of, fill_edges, fill_means
from engine.strategies.sma_cross import COARSE_FROM, UNIT, SmaCrossConfig


def cross_changes(close: FloatArray, configs: Sequence[SmaCrossConfig], tick_size: Decimal) -> list[IntArray] | None:
    """Bars at whose close each configuration's wish changes, a rise first; every average is computed once for all.

    Parameters
    ----------
    close : float64[n]
        Quote currency, finite and positive.
    configs : sequence of SmaCrossConfig
        At least one.
    tick_size : Decimal
        Quote currency.

    Returns
    -------
    list of int64[k] or None
        As `engine.strategies.sma_cross` decides; None where the closes are not whole ticks, or of too many, so that
        averages of ticks could decide otherwise.
    """
    pairs = np.array([(one.fast_bars, one.slow_bars) for one in configs], dtype=np.int64)
    windows = np.unique(pairs)
    most = MOST_TICKS // max(len(close), int((pairs[:, 0] * pairs[:, 1]).max()))
    if not len(close) or not _are_ticks(close, tick_size):
        return None
    rows = np.searchsorted(windows, pairs)
    edges, counts, sound = _changes(read_only(close), windows, rows, 1.0 / float(tick_size), most)
    return [edges[k, :count].copy() for k, count in enumerate(counts.tolist())] if sound else None


def _are_ticks(close: FloatArray, tick_size: Decimal) -> bool:
    """Whether every close is, as `engine.strategies.sma_cross` counts it, a whole number of ticks."""
    ratio = tick_size / Decimal(repr(UNIT))
    if ratio != ratio.to_integral_value() or not float(close.max()) < COARSE_FROM:
        return False
    units = np.rint(close * (1.0 / UNIT)).astype(np.int64)
    ticks = np.rint(close * (1.0 / float(tick_size))).astype(np.int64)
    return bool((units == ticks * int(ratio)).all())


@plain_kernel
def _changes(
    close: FloatArray, windows: IntArray, rows: IntArray, per_tick: float, most: int
) -> tuple[IntArray, IntArray, bool]:
    """Edges of every parameter set, in rows that grow, with the number of each; and whether all ticks are sound."""
    n, longest, sound = len(close), windows[-1], True
    block = block_of(len(windows))
    ticks, sums = np.empty(block + longest, dtype=np.int64), np.zeros(block + longest + 1, dtype=np.int64)
    means, found = np.empty((len(windows), block)), np.empty(block + WORD, dtype=np.int64)
    words = np.zeros(block // WORD, dtype=np.uint64)
    wishes = words.view(np.uint8)
    edges, counts = np.empty((len(rows), block), dtype=np.int64), np.zeros(len(rows), dtype=np.int64)
    for start in range(0, n, block):
        count, known = min(block, n - start), min(start, longest)
        sums[: longest + 1 - known] = 0
        sound &= sum_ticks(close[start - known : start + count], per_tick, most, ticks, sums[longest - known :])
        fill_means(sums[: longest + 1 + count], longest, known, windows, means)
        if counts.max() + block > edges.shape[1]:
            wider = np.empty((len(rows), 2 * edges.shape[1]), dtype=np.int64)
            wider[:, : edges.shape[1]] = edges
            edges = wider
        for k in range(len(rows)):
            fast, slow = means[rows[k, 0]], means[rows[k, 1]]
            for i in range(count):
                wishes[i] = fast[i] > slow[i]
            for i in range(count, block):
                wishes[i] = wishes[count - 1]
            more = fill_edges(wishes, words, counts[k] % 2, found)
            for i in range(more):
                edges[k, counts[k] + i] = found[i] + start
            counts[k] += more
    return edges, counts, sound
