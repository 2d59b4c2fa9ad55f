"""What luck alone would have earned: random entries with the equal holding times, and the same trades reordered."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from numpy.typing import ArrayLike

from engine.quant.arrays import FloatArray, IntArray, read_only, read_only_together, require_at_least, unwatched
from engine.quant.performance import wilson_interval

BPS = 1e-4


@dataclass(frozen=True, slots=True, eq=False)
class HeldTrades:
    """Closed trades of one instrument by bar.

    Attributes
    ----------
    entry_bars : int64[m]
        Index of the price at which each was entered, ascending.
    holding_bars : int64[m]
        Bars from entry to exit, at least 1.
    sides : float64[m]
        1 long, -1 short.
    stakes : float64[m]
        Notional at entry as a share of the equity **at that entry**, above 0. Shares of the starting capital would
        grow with the real path, and trades drawn at other times could not be compared with them.
    """

    entry_bars: IntArray
    holding_bars: IntArray
    sides: FloatArray
    stakes: FloatArray

    @classmethod
    def of(
        cls, entry_bars: ArrayLike, holding_bars: ArrayLike, sides: ArrayLike, stakes: ArrayLike | None = None
    ) -> HeldTrades:
        """Check and sort; the stakes are 1 when left out.

        Raises
        ------
        ValueError
            When the lengths differ, an entry is negative, a holding time below 1, a side not 1 or -1, a stake of 0.
        """
        entries, holdings, signs = read_only_together(entry_bars=entry_bars, holding_bars=holding_bars, sides=sides)
        shares = read_only(np.ones(len(entries)) if stakes is None else stakes, "stakes")
        if len(shares) != len(entries):
            raise ValueError(f"there are {len(shares)} stakes for {len(entries)} trades")
        if not (np.isfinite(shares).all() and (shares > 0.0).all() and (np.abs(signs) == 1.0).all()):
            raise ValueError("each trade needs a side of 1 or -1 and a stake above 0")
        if not ((entries >= 0.0) & (holdings >= 1.0) & (entries % 1.0 == 0.0) & (holdings % 1.0 == 0.0)).all():
            raise ValueError("each trade needs an entry bar of at least 0 and a holding time of at least 1 whole bar")
        order = np.argsort(entries, kind="stable")
        whole = (entries[order].astype(np.int64), holdings[order].astype(np.int64))
        return cls(*whole, signs[order], shares[order])

    def __len__(self) -> int:
        """Number of trades."""
        return len(self.entry_bars)

    def overlap(self) -> bool:
        """Whether one was entered before the one before it was left; entering at the bar of an exit does not count."""
        exits = self.entry_bars + self.holding_bars
        return bool((self.entry_bars[1:] < np.maximum.accumulate(exits)[:-1]).any())


@dataclass(frozen=True, slots=True)
class NullPlan:
    """How the null is drawn: draws (at least 100), seed, and the cost of each side in basis points of its notional.

    ``watch`` is called at each draw; what it raises ends the drawing.
    """

    draws: int = 1_000
    seed: int = 0
    cost_bps: float = 0.0
    watch: Callable[[], None] = field(default=unwatched, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse too few draws or a negative cost with a ValueError."""
        require_at_least(self.draws, 100, "draws")
        require_at_least(self.seed, 0, "seed")
        if not 0.0 <= self.cost_bps < math.inf:
            raise ValueError(f"cost_bps is {self.cost_bps}; it must be at least 0")


@dataclass(frozen=True, slots=True, eq=False)
class RandomEntryNull:
    """The result of real entries among random ones.

    Attributes
    ----------
    actual : float
        Sum of the stakes times the net trade returns: each a fraction of the equity at its entry, not compounded.
    draws : float64[d]
        The same of each random draw.
    trades : int
    percentile : float
        Share of draws below the actual result, 0 to 1, ties half; NaN without trades.
    low, high : float
        Wilson's 95 % interval of the percentile: another seed draws others.
    p_value : float
        ``(1 + draws at or above) / (1 + draws)``: never 0, because luck was tried a finite number of times.
    reason : str
        Why the numbers are NaN.
    """

    actual: float
    draws: FloatArray
    trades: int
    percentile: float
    p_value: float
    low: float = math.nan
    high: float = math.nan
    reason: str = ""


def _net_results(prices: FloatArray, entries: IntArray, trades: HeldTrades, cost_bps: float) -> float:
    """Net result of the trades if they had been entered at these bars; both sides pay on their own notional."""
    change = prices[entries + trades.holding_bars] / prices[entries]
    net = trades.sides * (change - 1.0) - cost_bps * BPS * (1.0 + change)
    return float((trades.stakes * net).sum())


def _placed(generator: np.random.Generator, last: int, trades: HeldTrades) -> tuple[IntArray, HeldTrades]:
    """Entries that keep the trades apart: shuffled, with the idle bars spread at random between them."""
    order = generator.permutation(len(trades))
    mixed = HeldTrades(trades.entry_bars, trades.holding_bars[order], trades.sides[order], trades.stakes[order])
    idle = last - int(mixed.holding_bars.sum())
    offsets = np.sort(generator.integers(0, idle + 1, len(trades)))
    return offsets + np.cumsum(mixed.holding_bars) - mixed.holding_bars, mixed


def _drawn(prices: FloatArray, trades: HeldTrades, plan: NullPlan) -> FloatArray:
    generator = np.random.default_rng(plan.seed)
    apart = not trades.overlap()
    last = len(prices) - 1
    results = np.empty(plan.draws)
    for row in range(plan.draws):
        plan.watch()
        if apart:
            entries, mixed = _placed(generator, last, trades)
        else:
            entries, mixed = generator.integers(0, last - trades.holding_bars + 1), trades
        results[row] = _net_results(prices, entries, mixed, plan.cost_bps)
    return results


def _ranked(actual: float, draws: FloatArray, trades: int) -> RandomEntryNull:
    below, equal = int((draws < actual).sum()), int((draws == actual).sum())
    percentile = (below + equal / 2.0) / len(draws)
    low, high = wilson_interval(percentile, len(draws))
    p_value = (1.0 + len(draws) - below) / (1.0 + len(draws))
    return RandomEntryNull(actual, draws, trades, percentile, p_value, low, high)


def random_entry_null(
    prices: ArrayLike, trades: HeldTrades, plan: NullPlan | None = None, actual: float | None = None
) -> RandomEntryNull:
    """Compare real entries with random ones: as many trades, the same holding times, sides, stakes and costs.

    Trades that never overlapped are placed without overlap; those that did are placed independently. Results are added,
    not compounded, so that order does not matter and instruments can be `pooled`.

    Parameters
    ----------
    prices : array_like, shape (n,)
        What entries and exits are filled at, per bar (opens where a signal trades at the next open); positive.
    trades : HeldTrades
        All closed within the prices.
    plan : NullPlan, optional
        1,000 draws with seed 0 and no costs when left out.
    actual : float, optional
        What the trades really earned, on the same basis, where stops filled inside bars; from the prices when left out.

    Returns
    -------
    RandomEntryNull
        NaN with a reason when there are no trades.

    Raises
    ------
    ValueError
        When a price is not positive and finite, a trade ends beyond them, or ``actual`` is not finite.

    Examples
    --------
    >>> prices = [10.0, 11.0, 10.0, 11.0, 10.0, 11.0, 10.0, 11.0]
    >>> random_entry_null(prices, HeldTrades.of([0, 2, 4], [1, 1, 1], [1, 1, 1])).percentile > 0.8
    True
    """
    series = read_only(prices, "prices")
    if not (np.isfinite(series).all() and (series > 0.0).all()):
        raise ValueError("a price is NaN, infinite or not positive; fill or drop it first")
    if actual is not None and not math.isfinite(actual):
        raise ValueError(f"the actual result is {actual}; it must be a finite number")
    if len(trades) == 0:
        return RandomEntryNull(math.nan, np.empty(0), 0, math.nan, math.nan, reason="there are no trades")
    last_exit = int((trades.entry_bars + trades.holding_bars).max())
    if last_exit >= len(series):
        raise ValueError(f"a trade is left at bar {last_exit}, but there are {len(series)} prices")
    chosen = plan or NullPlan()
    real = _net_results(series, trades.entry_bars, trades, chosen.cost_bps) if actual is None else actual
    return _ranked(real, _drawn(series, trades, chosen), len(trades))


def pooled(nulls: Sequence[RandomEntryNull]) -> RandomEntryNull:
    """The null of several instruments together, draw by draw; those without trades play no part.

    Raises
    ------
    ValueError
        When they hold different numbers of draws. Draw each with its own seed.
    """
    traded = [null for null in nulls if null.trades]
    if not traded:
        return RandomEntryNull(math.nan, np.empty(0), 0, math.nan, math.nan, reason="there are no trades")
    if len({len(null.draws) for null in traded}) > 1:
        raise ValueError("the instruments have different numbers of draws; use one plan for all")
    together = np.sum([null.draws for null in traded], axis=0)
    return _ranked(sum(null.actual for null in traded), together, sum(null.trades for null in traded))


class Reorder(Enum):
    """How trades are drawn again."""

    SHUFFLED = "the same trades in another order"
    WITH_REPLACEMENT = "as many trades drawn with replacement"


@dataclass(frozen=True, slots=True, eq=False)
class TradeOrder:
    """What the same trades could have looked like.

    Attributes
    ----------
    actual_drawdown, actual_wealth : float
        Of the real order: deepest drawdown at trade ends (at most 0), and final wealth per unit of starting wealth.
    drawdowns, wealths : float64[d]
        The same of each draw. Shuffling cannot change the final wealth; drawing with replacement does.
    """

    actual_drawdown: float
    actual_wealth: float
    drawdowns: FloatArray
    wealths: FloatArray

    def drawdown_at(self, confidence: float) -> float:
        """Drawdown that only a share ``1 - confidence`` of the draws undercut; at most 0."""
        return float(np.quantile(self.drawdowns, 1.0 - confidence))

    def wealth_at(self, share: float) -> float:
        """Final wealth that a ``share`` of the draws fell short of."""
        return float(np.quantile(self.wealths, share))


def _walked(returns: FloatArray) -> tuple[float, float]:
    """Deepest drawdown and final wealth; a wealth of 0 is ruin and stays."""
    wealth = np.cumprod(np.maximum(1.0 + returns, 0.0))
    peaks = np.maximum(np.maximum.accumulate(wealth), 1.0)
    return float((wealth / peaks).min()) - 1.0, float(wealth[-1])


def trade_order(
    trade_returns: ArrayLike,
    reorder: Reorder = Reorder.SHUFFLED,
    draws: int = 1_000,
    seed: int = 0,
    watch: Callable[[], None] = unwatched,
) -> TradeOrder:
    """Monte Carlo of the order of trades: how deep the drawdown could have been with the same trades.

    Trades are taken as independent; losses that come in clusters make the true drawdown deeper.

    Parameters
    ----------
    trade_returns : array_like, shape (m,)
        Net result of each trade as a fraction of the equity when it was entered, in their real order; finite.
    reorder : Reorder
    draws : int
        At least 100.
    seed : int
        At least 0.
    watch : callable
        Called at each draw; what it raises ends the drawing.

    Returns
    -------
    TradeOrder

    Raises
    ------
    ValueError
        For fewer than two trades, a return that is not finite, or too few draws.

    Examples
    --------
    >>> found = trade_order([0.5, -0.5, 0.5, -0.5])
    >>> found.actual_drawdown, float(found.drawdowns.min())
    (-0.625, -0.75)
    """
    series = read_only(trade_returns, "trade_returns")
    require_at_least(draws, 100, "draws")
    require_at_least(seed, 0, "seed")
    if len(series) < 2 or not np.isfinite(series).all():
        raise ValueError(f"there are {len(series)} trade returns; two finite ones are needed at least")
    generator = np.random.default_rng(seed)
    replace = reorder is Reorder.WITH_REPLACEMENT
    results = np.empty((draws, 2))
    for row in range(draws):
        watch()
        results[row] = _walked(generator.choice(series, len(series), replace=replace))
    drawdown, wealth = _walked(series)
    return TradeOrder(drawdown, wealth, results[:, 0], results[:, 1])
