"""Puts the own exchange's candles in the place of those that another one told while it was silent."""

from __future__ import annotations

import numpy as np

from engine.domain.market import CandleArrays
from engine.market.windows import CandleWindow


def with_own(window: CandleWindow, own: CandleArrays) -> CandleWindow:
    """The window, or another one where some of its candles are not the own exchange's.

    Entries rest on what the book's own exchange traded: after it was silent, what was borrowed meanwhile must not
    decide them.

    Parameters
    ----------
    window : CandleWindow
    own : CandleArrays
        What the own exchange tells now, oldest first.

    Returns
    -------
    CandleWindow
        ``window`` itself where both agree on every candle they share. Else a new one that ends at the same time: the
        own candles, and before and after them what was known.
    """
    known = window.view()
    _, here, there = np.intersect1d(known.opened_at_ms, own.opened_at_ms, assume_unique=True, return_indices=True)
    columns = ("open", "high", "low", "close", "volume")
    if all(np.array_equal(getattr(known, name)[here], getattr(own, name)[there]) for name in columns):
        return window
    until = int(np.searchsorted(own.opened_at_ms, known.opened_at_ms[-1], side="right"))
    before = int(np.searchsorted(known.opened_at_ms, own.opened_at_ms[0], side="left"))
    mended = CandleWindow(window.timeframe, window.capacity_bars)
    mended.extend(known.slice(0, before))
    mended.extend(own.slice(0, until))
    after = int(np.searchsorted(known.opened_at_ms, own.opened_at_ms[until - 1], side="right"))
    mended.extend(known.slice(after, len(known)))
    return mended
