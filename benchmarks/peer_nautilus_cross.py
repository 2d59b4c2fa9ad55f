"""The crossing of two averages in nautilus_trader, for `backtest`; run by that environment's interpreter."""

from __future__ import annotations

import sys
from decimal import Decimal
from pathlib import Path

import numpy as np
from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.config import LoggingConfig
from nautilus_trader.model.currencies import USDT
from nautilus_trader.model.data import Bar, BarType
from nautilus_trader.model.enums import AccountType, OmsType, OrderSide
from nautilus_trader.model.objects import Money
from peer_loop import Work, serve
from peer_nautilus import VENUE, Cross, bars_of, instrument

FOLDER = Path(sys.argv[1])
LOTS = 100_000


class AllIn(Cross):
    """`Cross`, all in with whole lots; a tie of the averages is flat, and the last close trades no more."""

    def __init__(self, pair: object, bar_type: BarType, fast_bars: int, slow_bars: int, bars: int) -> None:
        super().__init__(pair, bar_type, fast_bars, slow_bars)
        self.left = bars

    def on_bar(self, bar: Bar) -> None:
        """Decide at the close. The averages are means of two decimals; a rounding error is no crossing."""
        self.left -= 1
        if not self.left or not self.indicators_initialized():
            return
        above = self.fast.value - self.slow.value > 1e-9
        if above and self.held is None:
            cash = float(self.portfolio.account(VENUE).balance_free(USDT))
            lots = int(cash / (float(bar.close) * 1.001) * LOTS + 1e-9)
            if lots:
                self.held = self.pair.make_qty(Decimal(lots) / LOTS)
                self._send(OrderSide.BUY)
        elif not above and self.held is not None:
            self._send(OrderSide.SELL)
            self.held = None
            self.trades += 1


def cross() -> Work:
    """One run; the candles are converted before."""
    data = np.load(FOLDER / "nautilus.npz")
    pair = instrument()
    bar_type = BarType.from_str(f"{pair.id}-1-MINUTE-LAST-EXTERNAL")
    bars = bars_of(str(FOLDER / "nautilus.npz"), pair, bar_type, 1)

    def run() -> tuple[int, float]:
        engine = BacktestEngine(BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True)))
        cash = Money(float(data["cash"]), USDT)
        engine.add_venue(
            venue=VENUE, oms_type=OmsType.NETTING, account_type=AccountType.CASH, base_currency=None,
            starting_balances=[cash],
        )  # fmt: skip
        engine.add_instrument(pair)
        engine.add_data(bars)
        strategy = AllIn(pair, bar_type, int(data["fast"]), int(data["slow"]), len(bars))
        engine.add_strategy(strategy)
        engine.run()
        equity = float(engine.portfolio.account(VENUE).balance_total(USDT))
        equity += float(strategy.held or 0) * float(bars[-1].close)
        engine.dispose()
        return strategy.trades, equity

    return run


if __name__ == "__main__":
    serve({"cross": cross})
