"""A sweep: every combination of a grid of settings over the same development days, a handful of numbers each."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import numpy as np

from engine.domain.codec import plain
from engine.domain.market import FloatArray, IntArray
from engine.simulation.backtest import BacktestEngine, BacktestSetup, run_backtest
from engine.simulation.backtest_engines import money
from engine.simulation.backtest_setup import Market, market_of
from engine.simulation.evaluation_figures import DAY_MS, by_day, day_ends, returns_of
from engine.simulation.kernel_all_in import STRANGE, AllIn, all_in_of, changes_within, run_fills, run_marks
from engine.simulation.kernel_request import KernelRequest
from engine.simulation.plain_changes import cross_changes
from engine.simulation.study import score
from engine.strategies.sma_cross import SmaCrossConfig

CROSS = "sma_cross"
_BARS_AT_ONCE, _MOST_AT_ONCE = 4_000_000, 64


@dataclass(frozen=True, slots=True)
class SweepTask:
    """Some combinations, each as complete settings in JSON."""

    settings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Combination:
    """What a combination did over all days.

    Attributes
    ----------
    trades : int
        Ended ones.
    final_equity : Decimal
        Quote, what is held at the last close.
    net_return : float
        Of the capital.
    sharpe : float
        Of daily returns after costs, a year; 0 where nothing was risked.
    max_drawdown : float
        At closes, a share of the peak, at most 0.
    returns : float64[d]
        By day.
    """

    trades: int
    final_equity: Decimal
    net_return: float
    sharpe: float
    max_drawdown: float
    returns: FloatArray

    def figures(self) -> dict[str, Any]:
        """All but the returns, as JSON values."""
        return {
            "trades": self.trades,
            "final_equity": plain(self.final_equity),
            "net_return": self.net_return,
            "sharpe": self.sharpe,
            "max_drawdown": self.max_drawdown,
        }


@dataclass(frozen=True, slots=True)
class SweepWork:
    """What every combination shares: candles of the development days, checked and laid out once in each process.

    Attributes
    ----------
    setup : BacktestSetup
        Of the strategy with any settings.
    engine : BacktestEngine
    """

    setup: BacktestSetup
    engine: BacktestEngine
    _laid_out: list[_LaidOut] = field(default_factory=list, init=False, repr=False, compare=False)

    def __reduce__(self) -> tuple[type[SweepWork], tuple[BacktestSetup, BacktestEngine]]:
        """Travels without what can be laid out again."""
        return SweepWork, (self.setup, self.engine)

    def run(self, task: SweepTask) -> tuple[Combination, ...]:
        """Run some combinations; each result depends on nothing but its own settings.

        Raises
        ------
        BadInput
            As `run_backtest`.
        """
        if not task.settings:
            return ()
        if not self._laid_out:
            self._laid_out.append(self._prepared())
        there = self._laid_out[0]
        if there.rules is None:
            return tuple(self._alone(settings, there) for settings in task.settings)
        return self._crossed(task, there, there.rules)

    def _prepared(self) -> _LaidOut:
        market, config = market_of(self.setup), self.setup.config
        candle_ms = max(one.candles.timeframe.ms for one in market.series)
        rules, days = None, np.empty(0, dtype=np.int64)
        if self.engine is BacktestEngine.KERNEL and self.setup.strategy == CROSS:
            one = market.series[0]
            rules = all_in_of(
                KernelRequest(market.series, {CROSS: {}}, config.cash, config.costs, config.risk, config.brake)
            )
            days = day_ends(one.candles.opened_at_ms[one.first : one.stop] + candle_ms, candle_ms)[1]
        return _LaidOut(market, candle_ms, rules, days)

    def _crossed(self, task: SweepTask, there: _LaidOut, rules: AllIn) -> tuple[Combination, ...]:
        """Crossings of averages together; one that is out of the ordinary goes through the general kernel."""
        one = there.market.series[0]
        configs = [SmaCrossConfig(**json.loads(settings)) for settings in task.settings]
        edges = cross_changes(one.candles.close, configs, one.instrument.tick_size)
        if edges is None:
            return tuple(self._alone(settings, there) for settings in task.settings)
        ends = np.append(there.days, len(rules.close) - 1)
        found = []
        for settings, changes in zip(task.settings, edges, strict=True):
            within = changes_within(changes, one.first, one.stop)
            rows, fees, count, how = run_fills(rules.open, rules.close, within, rules.whole, rules.real)
            if how == STRANGE:
                found.append(self._alone(settings, there))
                continue
            levels, deepest = run_marks(rules.close, rows[:count], fees[:count], ends, rules.real)
            returns = returns_of(levels[:-1], float(self.setup.config.cash))
            found.append(self._told(count // 2, money(float(levels[-1])), deepest, returns))
        return tuple(found)

    def _alone(self, settings: str, there: _LaidOut) -> Combination:
        config = replace(self.setup.config, strategies={self.setup.strategy: settings})
        run = run_backtest(replace(self.setup, config=config), self.engine, market=there.market)
        assert run is not None, "nothing cancels it"
        returns = by_day(run.at_ms, run.equity, float(config.cash), there.candle_ms).returns
        return self._told(len(run.trades), run.final_equity, float(run.drawdown.max(initial=0.0)), returns)

    def _told(self, trades: int, final_equity: Decimal, deepest: float, returns: FloatArray) -> Combination:
        candle_ms = max(candles.timeframe.ms for candles in self.setup.series.values())
        return Combination(
            trades=trades,
            final_equity=final_equity,
            net_return=float(final_equity / self.setup.config.cash) - 1.0,
            sharpe=score(returns, max(DAY_MS, candle_ms)),
            max_drawdown=-deepest or 0.0,
            returns=returns,
        )


@dataclass(frozen=True, slots=True)
class _LaidOut:
    """Candles as a process holds them; with ``rules`` where combinations go together, and rows of the ends of days."""

    market: Market
    candle_ms: int
    rules: AllIn | None
    days: IntArray


def combinations_at_once(bars: int) -> int:
    """How many combinations a task holds: enough to share averages, few enough to be lost or cancelled within seconds.

    >>> combinations_at_once(10_000), combinations_at_once(1_000_000)
    (64, 4)
    """
    return max(1, min(_MOST_AT_ONCE, _BARS_AT_ONCE // max(1, bars)))
