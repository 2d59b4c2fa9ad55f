"""Backtests side by side: growth since each one's start, their figures, and what makes them hard to compare."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from engine.domain.research import BacktestView, ComparedFigure, Comparison, Statistic
from engine.domain.views import Series
from engine.runtime.research_conditions import BRAKE, CANDLES, COSTS, LIMITS
from engine.runtime.research_words import words_of
from engine.runtime.titles import title_of


def comparison(views: Sequence[BacktestView]) -> Comparison:
    """Runs in the order given; curves are growth of equity over the cash at the start, as shares.

    Where anything makes them hard to compare, no figure has a best one.
    """
    cautions = tuple(_cautions(views))
    return Comparison(
        rows=tuple(view.row for view in views),
        curves=tuple(_growth(number, view) for number, view in enumerate(views, start=1)),
        figures=tuple(_figures(views, not cautions)),
        cautions=cautions,
        lived=tuple(view.lived for view in views),
    )


def _growth(number: int, view: BacktestView) -> Series:
    name = f"{number} {title_of(view.row.strategy)}"
    return Series(name, view.curve.at_ms, view.curve.equity / float(view.row.cash) - 1.0, "share", view.row.run_id)


def _figures(views: Sequence[BacktestView], comparable: bool) -> Iterator[ComparedFigure]:
    known = [{figure.key: figure for figure in (*view.statistics, *_weighed(view))} for view in views]
    for key in dict.fromkeys(key for figures in known for key in figures):
        found: list[Statistic | None] = [figures.get(key) for figures in known]
        one = next(figure for figure in found if figure is not None)
        values = tuple(figure.value if figure is not None else None for figure in found)
        better = words_of(key).more_is_better if comparable and key not in _WEIGHED else None
        yield ComparedFigure(one.title, one.unit, values, _best(values, better), tuple(map(_interval, found)))


def _weighed(view: BacktestView) -> Iterator[Statistic]:
    """What was weighed against luck and belongs beside the figures."""
    yield from (check for check in view.checks if check.key in _WEIGHED)


_WEIGHED = ("deflated_sharpe", "pbo")


def _interval(figure: Statistic | None) -> tuple[float, float] | None:
    if figure is None or figure.low is None or figure.high is None:
        return None
    return figure.low, figure.high


def _best(values: Sequence[float | None], more_is_better: bool | None) -> int | None:
    """Number of the best value; None where one is unknown, none is better by itself, or the best two are equal."""
    if more_is_better is None or any(value is None for value in values):
        return None
    ordered = sorted((value for value in values if value is not None), reverse=more_is_better)
    return values.index(ordered[0]) if ordered[0] != ordered[1] else None


_COMPARED: tuple[tuple[str, Callable[[BacktestView], Any]], ...] = (
    ("They cover different times", lambda view: (view.row.start, view.row.stop)),
    ("They trade different instruments", lambda view: view.row.instruments),
    ("They use different timeframes", lambda view: view.row.timeframe),
    ("They start with different cash or currencies", lambda view: (view.row.cash, view.row.currency)),
    ("They pay different costs", lambda view: _conditions(view, COSTS)),
    ("They have different limits or brakes", lambda view: (_conditions(view, LIMITS), _conditions(view, BRAKE))),
    ("One ran on the kernel, another on the replay", lambda view: view.row.engine),
)


def _cautions(views: Sequence[BacktestView]) -> Iterator[str]:
    found = [words for words, read in _COMPARED if _differ(views, read)]
    if not set(found) & {words for words, _ in _COMPARED[:3]} and _differ(views, _candles):
        found.append("Their candles differ, though instruments and times are the same")
    yield from (f"{words}: a difference may come from that alone." for words in found)
    for number, view in enumerate(views, start=1):
        if view.lived:
            name = f"{number} {title_of(view.row.strategy)}"
            yield f"{name} {view.lived}: its figures are of those days, its curve ends there."


def _differ(views: Sequence[BacktestView], read: Callable[[BacktestView], Any]) -> bool:
    return len({repr(read(view)) for view in views}) > 1


def _candles(view: BacktestView) -> list[tuple[str, str]]:
    return _conditions(view, CANDLES)


def _conditions(view: BacktestView, beginning: str) -> list[tuple[str, str]]:
    return [(name, value) for name, value in view.conditions if name.partition(":")[0] == beginning]
