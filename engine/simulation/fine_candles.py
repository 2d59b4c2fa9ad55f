"""Finer candles inside the candles that decide: which of these they can speak for, checked candle by candle.

A longer candle is decided by its finer ones where all of them are there. It is too where some are missing but the
volumes of the others add up to its own: an exchange that leaves out minutes without a trade has left out nothing.
Elsewhere the longer candle stands for itself, with the rules that assume the worse path.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.domain.errors import BadInput
from engine.domain.instruments import Instrument
from engine.domain.market import CandleArrays, FloatArray, IntArray, from_ms

OUTSIDE, INSIDE, LAST = range(3)
"""What a finer candle is: of no use, inside a longer one that it decides, or the last inside it."""

TOLERANCE_TICKS = 0.5
"""How far open, high, low and close of the finer candles together may lie from the longer one's."""

_SAME_VOLUME = 1e-9
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class FineCandles:
    """Finer candles of one instrument; the arrays given, not copied.

    Attributes
    ----------
    candles : CandleArrays
        Oldest first.
    roles : uint8[n]
        OUTSIDE, INSIDE or LAST for each.
    decided : bool[bars]
        For each longer candle of the run whether its finer ones decide.
    """

    candles: CandleArrays
    roles: NDArray[np.uint8]
    decided: NDArray[np.bool_]

    @property
    def used(self) -> int:
        """How many decide."""
        return int(np.count_nonzero(self.roles))

    def only_used(self) -> tuple[CandleArrays, NDArray[np.uint8]]:
        """Those that decide, with their roles: views where they lie together, else copies."""
        rows = np.flatnonzero(self.roles)
        if not len(rows) or rows[-1] - rows[0] + 1 == len(rows):
            first, stop = (int(rows[0]), int(rows[-1]) + 1) if len(rows) else (0, 0)
            return self.candles.slice(first, stop), self.roles[first:stop]
        one = self.candles
        prices = (column[rows] for column in (one.open, one.high, one.low, one.close, one.volume))
        return CandleArrays(one.timeframe, one.opened_at_ms[rows], *prices), self.roles[rows]

    def rows_closed(self, after_ms: int, until_ms: int) -> IntArray:
        """Rows of those that decide and close after one instant and up to another (ms UTC)."""
        length, opened = self.candles.timeframe.ms, self.candles.opened_at_ms
        first, stop = np.searchsorted(opened, (after_ms - length, until_ms - length), side="right")
        rows: IntArray = first + np.flatnonzero(self.roles[first:stop])
        return rows


@dataclass(frozen=True, slots=True)
class DetailFacts:
    """How a run decided what happened inside its candles."""

    timeframe: str
    bars_decided: int
    bars_without: int


def inside_record(facts: DetailFacts | None) -> dict[str, Any]:
    """How it was decided what happened inside a candle, in numbers (None without finer candles) and in words."""
    detail = None if facts is None else {
        "timeframe": facts.timeframe, "bars_decided_by_detail": facts.bars_decided, "bars_without": facts.bars_without,
    }  # fmt: skip
    return {"detail": detail, "inside_bar": inside_bar(facts)}


def detail_facts(parts: Sequence[tuple[FineCandles | None, int]]) -> DetailFacts | None:
    """What to say of a run; ``parts`` has each instrument's finer candles with its longer ones. None without any."""
    fine = [one for one, _ in parts if one is not None]
    if not fine:
        return None
    decided = sum(int(np.count_nonzero(one.decided)) for one in fine)
    return DetailFacts(str(fine[0].candles.timeframe), decided, sum(bars for _, bars in parts) - decided)


def inside_bar(facts: DetailFacts | None) -> str:
    """In words for people how the path inside a candle was decided.

    >>> inside_bar(None), inside_bar(DetailFacts("1m", 8, 2))
    ('pessimistic', 'decided by 1m candles; 2 of 10 bars have none: pessimistic')
    """
    if facts is None:
        return "pessimistic"
    words = f"decided by {facts.timeframe} candles"
    if not facts.bars_without:
        return words
    bars = facts.bars_decided + facts.bars_without
    return f"{words}; {facts.bars_without:,} of {bars:,} bars have none: pessimistic"


def fine_candles(
    instrument: Instrument, candles: CandleArrays, span: tuple[int, int], fine: CandleArrays
) -> FineCandles:
    """Finer candles beside the longer ones of a run.

    Parameters
    ----------
    instrument : Instrument
    candles : CandleArrays
        The longer ones, checked.
    span : tuple of int
        First row of them that is traded, and the one after the last.
    fine : CandleArrays
        Checked; gaps are allowed.

    Raises
    ------
    BadInput
        Lengths that do not divide, candles off the grid of the longer ones, or finer candles that contradict a longer
        one: open, high, low or close differ by more than half a tick. The first such candle is named.
    """
    opened = candles.opened_at_ms[slice(*span)]
    _require_grid(instrument, candles, opened, fine)
    starts = np.searchsorted(fine.opened_at_ms, opened)
    stops = np.searchsorted(fine.opened_at_ms, opened + candles.timeframe.ms)
    bars = np.flatnonzero(stops > starts)
    decided = np.zeros(len(opened), dtype=np.bool_)
    roles = np.zeros(len(fine), dtype=np.uint8)
    if len(bars):
        together = _together(fine, starts[bars], stops[bars])
        longer = _rows(candles, span[0] + bars)
        whole = stops[bars] - starts[bars] == candles.timeframe.ms // fine.timeframe.ms
        apart = np.abs(together["volume"] - longer["volume"])
        whole |= (longer["volume"] > 0.0) & (apart <= _SAME_VOLUME * longer["volume"])
        _require_agreement(instrument, (longer, together), whole, opened[bars])
        decided[bars[whole]] = True
        _mark(roles, starts[bars[whole]], stops[bars[whole]])
    return FineCandles(fine, roles, decided)


def _require_grid(instrument: Instrument, candles: CandleArrays, opened: IntArray, fine: CandleArrays) -> None:
    length = fine.timeframe.ms
    if length >= candles.timeframe.ms or candles.timeframe.ms % length:
        raise BadInput(
            f"{instrument.key}: candles of {fine.timeframe} do not divide candles of {candles.timeframe}; "
            "give a shorter timeframe that does"
        )
    if len(opened) and len(fine) and ((fine.opened_at_ms - opened[0]) % length).any():
        raise BadInput(
            f"{instrument.key}: the {fine.timeframe} candles do not begin where the {candles.timeframe} candles do; "
            "import their file to clean it"
        )


def _together(fine: CandleArrays, starts: IntArray, stops: IntArray) -> dict[str, FloatArray]:
    """Each longer candle made of its finer ones; every range holds at least one."""
    edges = np.stack((starts, stops), axis=1).ravel()
    edges = edges[:-1] if edges[-1] == len(fine) else edges
    return {
        "open": fine.open[starts],
        "high": np.maximum.reduceat(fine.high, edges)[::2],
        "low": np.minimum.reduceat(fine.low, edges)[::2],
        "close": fine.close[stops - 1],
        "volume": np.add.reduceat(fine.volume, edges)[::2],
    }


def _rows(candles: CandleArrays, rows: IntArray) -> dict[str, FloatArray]:
    return {name: getattr(candles, name)[rows] for name in ("open", "high", "low", "close", "volume")}


def _require_agreement(
    instrument: Instrument,
    both: tuple[dict[str, FloatArray], dict[str, FloatArray]],
    whole: NDArray[np.bool_],
    opened: IntArray,
) -> None:
    """Whole ones must show the longer candle's prices, the others nothing beyond its range."""
    longer, together = both
    most = TOLERANCE_TICKS * float(instrument.tick_size) * (1.0 + _ROUNDING)
    for name, sign in (("open", 0), ("high", 1), ("low", -1), ("close", 0)):
        apart = together[name] - longer[name]
        wrong = whole & (np.abs(apart) > most)
        if sign:
            wrong |= apart * sign > most
        if wrong.any():
            row = int(wrong.argmax())
            raise BadInput(
                f"{instrument.key}: the finer candles contradict the candle of {from_ms(int(opened[row]))}: {name} "
                f"{together[name][row]:.12g} against {longer[name][row]:.12g}. Both must come from the same market"
            )


def _mark(roles: NDArray[np.uint8], starts: IntArray, stops: IntArray) -> None:
    steps = np.zeros(len(roles) + 1, dtype=np.int8)
    steps[starts] += 1
    steps[stops] -= 1
    np.cumsum(steps[:-1], out=roles, dtype=np.uint8)
    roles[stops - 1] = LAST
