"""A portfolio with shared cash that is rebalanced to the strongest of many instruments, at machine speed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.domain.errors import BadInput
from engine.domain.market import FloatArray, IntArray
from engine.simulation.plain_rules import (
    CASH,
    FEE,
    LOT,
    SHARE,
    PlainRules,
    buy_price,
    is_price,
    plain_kernel,
    sell_price,
    whole_lots,
)

_BPS = 1e-4


@dataclass(frozen=True, slots=True)
class TopMomentum:
    """Which instruments are held, in equal parts, and how often that is decided.

    Attributes
    ----------
    lookback_bars : int
        The strongest are those whose close has risen most over so many bars, be it less than zero.
    every_bars : int
        Decided at the close of every so many-th bar, from the first with a whole lookback on; traded at the next open.
    top : int
        How many are held.
    """

    lookback_bars: int
    every_bars: int
    top: int

    def __post_init__(self) -> None:
        if min(self.lookback_bars, self.every_bars, self.top) < 1:
            raise BadInput(
                f"lookback {self.lookback_bars}, interval {self.every_bars} and top {self.top} must be 1 or more"
            )


@dataclass(frozen=True, slots=True)
class PortfolioRun:
    """What a rebalanced portfolio did.

    Attributes
    ----------
    orders : int
        Fills, buys and sells.
    bars : int64[k]
        Bars at whose opens it was rebalanced.
    equity : float64[k]
        Quote currency, at those opens, before the orders.
    quantities : float64[assets]
        Base currency at the end.
    cash, final_equity : float
        Quote currency at the end; holdings at the last close.
    """

    orders: int
    bars: IntArray
    equity: FloatArray
    quantities: FloatArray
    cash: float
    final_equity: float


def run_top_momentum(opens: FloatArray, closes: FloatArray, choice: TopMomentum, rules: PlainRules) -> PortfolioRun:
    """Backtest a portfolio; ``rules.share`` of its equity is invested, valued at the opens it trades at.

    Parameters
    ----------
    opens, closes : float64[n, assets]
        Quote currency; bars of all instruments at the same times.
    choice : TopMomentum
    rules : PlainRules
        ``sized_at_close`` is not offered here: quantities are decided at the open.

    Raises
    ------
    BadInput
        Arrays that do not fit, a share that leaves nothing for costs, or a price that is not finite and positive.
    """
    if opens.ndim != 2 or opens.shape != closes.shape or opens.shape[1] < choice.top or not len(opens):
        raise BadInput(f"opens {opens.shape} and closes {closes.shape} must be (bars, at least {choice.top} assets)")
    most = 1.0 - 2.0 * _BPS * (rules.fee_bps + rules.slippage_bps)
    if rules.share > most or rules.sized_at_close or rules.tick:
        raise BadInput(f"share {rules.share} must leave cash for fees: at most {most:g}; no tick, sized at opens alone")
    bars, equity, quantities, orders, cash = _rebalance(
        _read_only(opens), _read_only(closes), choice.lookback_bars, choice.every_bars,
        choice.top, rules.numbers(),
    )  # fmt: skip
    final_equity = cash + float(quantities @ closes[-1])
    if not 0.0 <= final_equity < np.inf:
        raise BadInput(f"equity became {final_equity}: a price that was used is not finite and positive")
    return PortfolioRun(orders, bars, equity, quantities, cash, final_equity)


def _read_only(prices: FloatArray) -> FloatArray:
    """The passes see one array type, so that they are compiled once."""
    view = np.ascontiguousarray(prices, dtype=np.float64).view()
    view.flags.writeable = False
    return view


@plain_kernel
def _choose(now: FloatArray, before: FloatArray, rises: FloatArray, best: FloatArray, chosen: IntArray) -> None:
    """Fill ``chosen`` with the columns that rose most, strongest first; of equal ones the earlier column."""
    for column in range(len(now)):
        rises[column] = now[column] / before[column]
    best[:] = -np.inf
    last = len(best) - 1
    for column in range(len(rises)):
        rise = rises[column]
        if rise > best[last]:
            place = last
            while place > 0 and rise > best[place - 1]:
                best[place], chosen[place] = best[place - 1], chosen[place - 1]
                place -= 1
            best[place], chosen[place] = rise, column


@plain_kernel
def _order(change: float, price: float, rules: FloatArray) -> float:
    """Cash that an order brings: negative for a buy."""
    fee: float = rules[FEE]
    if change > 0.0:
        return -change * buy_price(price, rules) * (1.0 + fee)
    return -change * sell_price(price, rules) * (1.0 - fee)


@plain_kernel
def _rebalance(
    opens: FloatArray, closes: FloatArray, lookback: int, every: int, top: int, rules: FloatArray
) -> tuple[IntArray, FloatArray, FloatArray, int, float]:
    n, assets = opens.shape
    bars, equity = np.empty(n // every + 1, dtype=np.int64), np.empty(n // every + 1)
    quantities, targets, rises = np.zeros(assets), np.zeros(assets), np.empty(assets)
    best, chosen, held = np.empty(top), np.zeros(top, dtype=np.int64), np.zeros(top, dtype=np.int64)
    count, orders, cash = 0, 0, rules[CASH]
    for t in range(-(-(lookback + 1) // every) * every - 1, n - 1, every):
        _choose(closes[t], closes[t - lookback], rises, best, chosen)
        price, value = opens[t + 1], cash
        for column in held:
            if count:
                value += quantities[column] * price[column]
            targets[column] = 0.0
        for column in chosen:
            targets[column] = whole_lots(rules[SHARE] * value / (top * price[column]), rules[LOT])
        for columns in (held, chosen):
            for column in columns:
                change = targets[column] - quantities[column]
                if change != 0.0:
                    if not is_price(price[column]):
                        return bars[:count], equity[:count], quantities, orders, np.nan
                    cash += _order(change, price[column], rules)
                    quantities[column] = targets[column]
                    orders += 1
        held[:] = chosen
        bars[count], equity[count] = t + 1, value
        count += 1
    return bars[:count], equity[:count], quantities, orders, cash
