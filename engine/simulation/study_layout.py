"""Which days a study may look at: history, folds that judge, a gap, and a holdout that is kept for one look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from engine.domain.codec import utc_text
from engine.domain.errors import BadInput
from engine.domain.market import from_ms, to_ms
from engine.quant.validation import WalkForward, final_holdout, label_spans, walk_forward
from engine.simulation.backtest_setup import BacktestSetup
from engine.simulation.evaluation_figures import DAY_MS

HOLDOUT_SHARE = 0.2
FEWEST_FOLD_DAYS = 10
"""A Sharpe ratio of fewer returns says nothing at all."""
MOST_FOLDS = 50


@dataclass(frozen=True, slots=True)
class LayoutPlan:
    """How the days are cut.

    Attributes
    ----------
    folds : int
        2 to 50.
    embargo_days : int
        Left out before each fold and before the holdout, so that no position reaches from one into the next; at least
        1.
    holdout_share : float
        Latest share of all days, above 0 and below 1.
    in_one_piece : bool
        The days before the holdout are run as one, so that no fold has to hold a candle and no word is said of them.
    """

    folds: int = 4
    embargo_days: int = 1
    holdout_share: float = HOLDOUT_SHARE
    in_one_piece: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be with a `BadInput`."""
        if not 2 <= self.folds <= MOST_FOLDS:
            raise BadInput(f"folds {self.folds} is not 2 to {MOST_FOLDS}")
        if self.embargo_days < 1:
            raise BadInput(f"embargo_days {self.embargo_days} must be at least 1")
        if not 0.0 < self.holdout_share < 1.0:
            raise BadInput(f"holdout_share {self.holdout_share} must be above 0 and below 1")


@dataclass(frozen=True, slots=True)
class Span:
    """From ``start`` up to ``stop``, which is not in it; whole UTC days (or candles, where these are longer)."""

    start: datetime
    stop: datetime

    def record(self) -> dict[str, Any]:
        """As JSON values."""
        return {"from": utc_text(self.start), "to": utc_text(self.stop)}


@dataclass(frozen=True, slots=True)
class Extent:
    """What there is of one instrument: when its first candle opens and its last one closes, and a candle's length."""

    begin_ms: int
    end_ms: int
    candle_ms: int


@dataclass(frozen=True, slots=True)
class Layout:
    """The spans of a study.

    Attributes
    ----------
    folds : tuple of Span
        In time order, with a gap between them; before the first lies history alone.
    development : Span
        From the first fold's begin to the last one's end: all that a search ever sees.
    holdout : Span
        After a gap; the latest days.
    period_ms : int
        Length of a period of returns.
    """

    folds: tuple[Span, ...]
    development: Span
    holdout: Span
    period_ms: int


def layout_of(setup: BacktestSetup, plan: LayoutPlan) -> Layout:
    """Cut the days that all instruments have candles of.

    The first of ``folds + 1`` equal parts of the development days is history only: settings are judged on what
    followed it. Holdout and folds come from `engine.quant.validation`.

    Raises
    ------
    BadInput
        Too few days for so many folds, or a fold or the holdout holds no candle.
    """
    layout = layout_between(_extents(setup), (setup.start, setup.stop), plan)
    if plan.in_one_piece:
        _require_candles(setup, layout.development, "the part before the holdout")
    else:
        for number, fold in enumerate(layout.folds, start=1):
            _require_candles(setup, fold, f"fold {number} of {len(layout.folds)}")
    _require_candles(setup, layout.holdout, "the holdout")
    return layout


def _require_candles(setup: BacktestSetup, span: Span, what: str) -> None:
    """Refuse a part of the days that lies within a gap of every instrument."""
    begin, end = to_ms(span.start), to_ms(span.stop)
    for candles in setup.series.values():
        first, stop = np.searchsorted(candles.opened_at_ms, (begin, end - candles.timeframe.ms + 1))
        if first < stop:
            return
    candles = next(iter(setup.series.values()))
    row = int(np.searchsorted(candles.opened_at_ms, begin))
    gap = [
        utc_text(from_ms(int(candles.opened_at_ms[place]))) for place in (max(0, row - 1), min(row, len(candles) - 1))
    ]
    raise BadInput(
        f"{what} ({utc_text(span.start)} to {utc_text(span.stop)}) holds no candle: there is none between {gap[0]} and "
        f"{gap[1]}. Give these candles, or begin after the gap with --from"
    )


def layout_between(
    extents: Sequence[Extent], asked: tuple[datetime | None, datetime | None], plan: LayoutPlan
) -> Layout:
    """The same from what is known of the candles alone.

    Parameters
    ----------
    extents : sequence of Extent
        Of every instrument; at least one.
    asked : tuple of datetime or None
        From and to, None for all there is.
    plan : LayoutPlan

    Raises
    ------
    BadInput
        Too few days for so many folds.
    """
    period = max(DAY_MS, *(one.candle_ms for one in extents))
    first, stop = _whole_periods(extents, asked, period)
    days = max(0, stop - first)
    needed = (plan.folds + 1) * (FEWEST_FOLD_DAYS + plan.embargo_days)
    try:
        split = final_holdout(label_spans(days, 0), plan.holdout_share) if days else None
    except ValueError:
        split = None
    development = 0 if split is None else len(split.train) - plan.embargo_days
    if split is None or development < needed:
        parts = "" if plan.in_one_piece else f"{plan.folds} folds and "
        fewer = "" if plan.in_one_piece else " or fewer folds"
        raise BadInput(
            f"{days:,} whole days are too few: {parts}a holdout of {plan.holdout_share:.0%} need{'' if parts else 's'} "
            f"{needed:,} days before the holdout, there are {max(0, development):,}. Give more candles{fewer}"
        )
    history = development // (plan.folds + 1)
    test = (development - history) // plan.folds - plan.embargo_days
    windows = WalkForward(history, test, plan.embargo_days, test + plan.embargo_days, anchored=True)
    splits = walk_forward(development, windows)[: plan.folds]

    def span(begin: int, end: int) -> Span:
        return Span(from_ms((first + begin) * period), from_ms((first + end) * period))

    folds = tuple(span(int(one.test[0]), int(one.test[-1]) + 1) for one in splits)
    holdout = span(int(split.test[0]), int(split.test[-1]) + 1)
    return Layout(folds, Span(folds[0].start, folds[-1].stop), holdout, period)


def _extents(setup: BacktestSetup) -> list[Extent]:
    if not setup.series or any(not len(candles) for candles in setup.series.values()):
        raise BadInput("a series holds no candle; give files with candles of the range")
    return [
        Extent(int(one.opened_at_ms[0]), int(one.opened_at_ms[-1]) + one.timeframe.ms, one.timeframe.ms)
        for one in setup.series.values()
    ]


def _whole_periods(
    extents: Sequence[Extent], asked: tuple[datetime | None, datetime | None], period: int
) -> tuple[int, int]:
    """First whole period, and the one after the last, that every instrument has candles of."""
    start, stop = asked
    begin, end = max(one.begin_ms for one in extents), min(one.end_ms for one in extents)
    if start is not None:
        begin = max(begin, to_ms(start))
    if stop is not None:
        end = min(end, to_ms(stop))
    return -(-begin // period), end // period
