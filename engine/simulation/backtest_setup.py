"""What a backtest is asked for: one strategy, candles, costs and range; and the signals that come of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from engine.domain.errors import BadInput
from engine.domain.instruments import Instrument
from engine.domain.market import CandleArrays
from engine.simulation.backtest_trades import TradedSeries
from engine.simulation.replay import ReplayConfig
from engine.simulation.replay_source import Funding, ReplaySource
from engine.simulation.strategy_values import checked_values
from engine.trading.sleeves import build_strategy


class BacktestEngine(Enum):
    """What runs it: the compiled pass, or the very loop that trades."""

    KERNEL = "kernel"
    REPLAY = "replay"


@dataclass(frozen=True, slots=True)
class BacktestSetup:
    """What is tested.

    Attributes
    ----------
    config : ReplayConfig
        One strategy with its settings, cash, costs, limits and brake.
    series : mapping of Instrument to CandleArrays
        Checked candles; those before ``start`` are history only.
    funding : mapping of InstrumentKey to FundingSeries or None
        One entry for each perpetual; None states that it pays none.
    start, stop : datetime or None
        Candles that open from ``start`` on and close by ``stop``; None means all.
    """

    config: ReplayConfig
    series: Mapping[Instrument, CandleArrays]
    funding: Funding = field(default_factory=dict)
    start: datetime | None = None
    stop: datetime | None = None

    @property
    def strategy(self) -> str:
        """The strategy's name; raises `BadInput` where there is not exactly one, for figures are those of one."""
        names = sorted(self.config.strategies)
        if len(names) != 1:
            raise BadInput(
                f"a backtest tells about one strategy, not {len(names)} ({', '.join(names)}); test each alone"
            )
        return names[0]


def traded_series(setup: BacktestSetup) -> tuple[TradedSeries, ...]:
    """Each instrument's rows and signals, sorted by (venue, symbol).

    Raises
    ------
    BadInput
        As `run_backtest`.
    """
    source = ReplaySource(setup.series, setup.funding, setup.start, setup.stop)
    frames = sorted({candles.timeframe for candles in setup.series.values()})
    if len(frames) > 1:
        raise BadInput(f"a backtest has one length of candle, these are {', '.join(map(str, frames))}; test them apart")
    name = setup.strategy
    strategy, _ = build_strategy(name, setup.config.strategies[name])
    series = []
    for instrument in source.instruments():
        candles, (first, stop) = source.precomputed(instrument.key), source.span(instrument.key)
        if stop < strategy.lookback_bars or stop <= first:
            raise BadInput(
                f"{instrument.key} has {stop:,} candles up to the end of the test ({stop - first:,} in its range); "
                f"{name} needs {strategy.lookback_bars:,} before its first signal. Give more candles or a wider range"
            )
        values = checked_values(name, strategy, candles)
        series.append(TradedSeries(instrument, candles, first, stop, source.funding(instrument.key), values))
    return tuple(series)
