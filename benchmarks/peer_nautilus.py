"""The crossing of two averages in nautilus_trader, for `replay_speed`; run by that environment's interpreter."""

from __future__ import annotations

import json
import sys
import time
from decimal import Decimal

import numpy as np
from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.config import LoggingConfig
from nautilus_trader.indicators import SimpleMovingAverage
from nautilus_trader.model.currencies import BTC, USDT
from nautilus_trader.model.data import Bar, BarType
from nautilus_trader.model.enums import AccountType, OmsType, OrderSide
from nautilus_trader.model.identifiers import InstrumentId, Symbol, Venue
from nautilus_trader.model.instruments import CurrencyPair
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.trading.strategy import Strategy

VENUE = Venue("BENCH")


def instrument() -> CurrencyPair:
    """Spot with the grid the other side uses and a fee of 10 basis points."""
    fee = Decimal("0.001")
    return CurrencyPair(
        instrument_id=InstrumentId(Symbol("BTCUSDT"), VENUE),
        raw_symbol=Symbol("BTCUSDT"),
        base_currency=BTC,
        quote_currency=USDT,
        price_precision=2,
        size_precision=5,
        price_increment=Price.from_str("0.01"),
        size_increment=Quantity.from_str("0.00001"),
        lot_size=None,
        max_quantity=Quantity.from_str("9000"),
        min_quantity=Quantity.from_str("0.00001"),
        max_notional=None,
        min_notional=None,
        max_price=None,
        min_price=None,
        margin_init=Decimal(0),
        margin_maint=Decimal(0),
        maker_fee=fee,
        taker_fee=fee,
        ts_event=0,
        ts_init=0,
    )


class Cross(Strategy):
    """Buys with almost all cash when the fast average rises above the slow one, sells all when it falls below."""

    def __init__(self, pair: CurrencyPair, bar_type: BarType, fast_bars: int, slow_bars: int) -> None:
        super().__init__()
        self.pair, self.bar_type = pair, bar_type
        self.fast, self.slow = SimpleMovingAverage(fast_bars), SimpleMovingAverage(slow_bars)
        self.held = None
        self.trades = 0

    def on_start(self) -> None:
        """Ask for the bars."""
        self.register_indicator_for_bars(self.bar_type, self.fast)
        self.register_indicator_for_bars(self.bar_type, self.slow)
        self.subscribe_bars(self.bar_type)

    def on_bar(self, bar: Bar) -> None:
        """Decide at the close."""
        if not self.indicators_initialized():
            return
        above = self.fast.value > self.slow.value
        if above and self.held is None:
            cash = float(self.portfolio.account(VENUE).balance_free(USDT))
            self.held = self.pair.make_qty(cash * 0.99 / float(bar.close))
            self._send(OrderSide.BUY)
        elif not above and self.held is not None:
            self._send(OrderSide.SELL)
            self.held = None
            self.trades += 1

    def _send(self, side: OrderSide) -> None:
        self.submit_order(self.order_factory.market(self.pair.id, side, self.held))


def bars_of(path: str, pair: CurrencyPair, bar_type: BarType, minutes: int) -> list[Bar]:
    """The candles as this tool takes them, stamped at their close."""
    found = np.load(path)
    close_ns = (found["timestamp"] + minutes * 60_000) * 1_000_000
    columns = [found[name].tolist() for name in ("open", "high", "low", "close")]
    volumes = found["volume"].tolist()
    return [
        Bar(bar_type, *(pair.make_price(c[row]) for c in columns), pair.make_qty(max(volumes[row], 0.00001)), at, at)
        for row, at in enumerate(close_ns.tolist())
    ]


def one_run(path: str, minutes: int, fast_bars: int, slow_bars: int) -> dict[str, float]:
    """Run once; loading and conversion of the candles are not counted."""
    engine = BacktestEngine(BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True)))
    pair = instrument()
    step = f"{minutes // 60}-HOUR" if minutes % 60 == 0 else f"{minutes}-MINUTE"
    bar_type = BarType.from_str(f"{pair.id}-{step}-LAST-EXTERNAL")
    engine.add_venue(
        venue=VENUE,
        oms_type=OmsType.NETTING,
        account_type=AccountType.CASH,
        base_currency=None,
        starting_balances=[Money(100_000, USDT)],
    )
    engine.add_instrument(pair)
    bars = bars_of(path, pair, bar_type, minutes)
    engine.add_data(bars)
    strategy = Cross(pair, bar_type, fast_bars, slow_bars)
    engine.add_strategy(strategy)
    wall, cpu = time.perf_counter(), time.process_time()
    engine.run()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    engine.dispose()
    return {"bars": len(bars), "trades": strategy.trades, "wall": wall, "cpu": cpu}


def main() -> None:
    """Print the best of some runs as JSON."""
    path, minutes, fast_bars, slow_bars, runs = sys.argv[1], *map(int, sys.argv[2:6])
    done = [one_run(path, minutes, fast_bars, slow_bars) for _ in range(runs)]
    best_wall, best_cpu = min(run["wall"] for run in done), min(run["cpu"] for run in done)
    bars = done[0]["bars"]
    figures = {
        "bars": bars,
        "trades": done[0]["trades"],
        "bars_per_second": round(bars / best_wall),
        "bars_per_cpu_second": round(bars / best_cpu),
    }
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
