"""What a backtest is asked for: one strategy, candles, costs and range; and the signals that come of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import Enum

from engine.domain.errors import BadInput
from engine.domain.instruments import Instrument
from engine.domain.market import CandleArrays
from engine.simulation.backtest_trades import TradedSeries
from engine.simulation.kernel_layout import Records
from engine.simulation.kernel_request import KernelSeries, market_tables
from engine.simulation.replay import ReplayConfig
from engine.simulation.replay_source import Fine, Funding, ReplaySource
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
    fine : mapping of InstrumentKey to CandleArrays
        Finer candles that decide what happens inside those of ``series``; may be missing, whole or in part.
    """

    config: ReplayConfig
    series: Mapping[Instrument, CandleArrays]
    funding: Funding = field(default_factory=dict)
    start: datetime | None = None
    stop: datetime | None = None
    fine: Fine = field(default_factory=dict)

    @property
    def strategy(self) -> str:
        """The strategy's name; raises `BadInput` where there is not exactly one, for figures are those of one."""
        names = sorted(self.config.strategies)
        if len(names) != 1:
            raise BadInput(
                f"a backtest tells about one strategy, not {len(names)} ({', '.join(names)}); test each alone"
            )
        return names[0]


@dataclass(frozen=True, slots=True)
class Market:
    """Candles of a test, checked once for many runs that differ in settings, costs or capital.

    Attributes
    ----------
    series : tuple of KernelSeries
        Each instrument's rows, sorted by (venue, symbol).
    """

    series: tuple[KernelSeries, ...]
    _tables: dict[Decimal | None, dict[str, Records]] = field(default_factory=dict, init=False, repr=False)

    def tables(self, volume_share: Decimal | None) -> Mapping[str, Records]:
        """The kernel's tables of these candles, laid out at the first call; see `market_tables`."""
        if volume_share not in self._tables:
            self._tables[volume_share] = market_tables(self.series, volume_share)
        return self._tables[volume_share]


def market_of(setup: BacktestSetup) -> Market:
    """Each instrument's rows that a test trades.

    Raises
    ------
    BadInput
        Candles that cannot be traded, candles of different lengths, or a perpetual without a word on its funding.
    """
    source = ReplaySource(setup.series, setup.funding, setup.start, setup.stop, setup.fine)
    frames = sorted({candles.timeframe for candles in setup.series.values()})
    if len(frames) > 1:
        raise BadInput(f"a backtest has one length of candle, these are {', '.join(map(str, frames))}; test them apart")
    keys = [(one, one.key) for one in source.instruments()]
    return Market(
        tuple(
            KernelSeries(one, source.precomputed(k), *source.span(k), source.funding(k), source.fine(k))
            for one, k in keys
        )
    )


def traded_series(setup: BacktestSetup, market: Market) -> tuple[TradedSeries, ...]:
    """Each instrument's rows and signals, sorted by (venue, symbol).

    Raises
    ------
    BadInput
        As `run_backtest`.
    """
    name = setup.strategy
    strategy, _ = build_strategy(name, setup.config.strategies[name])
    series = []
    for one in market.series:
        if one.stop < strategy.lookback_bars or one.stop <= one.first:
            raise BadInput(
                f"{one.instrument.key} has {one.stop:,} candles up to the end of the test ({one.stop - one.first:,} in "
                f"its range); {name} needs {strategy.lookback_bars:,} before its first signal. Give more candles or a "
                "wider range"
            )
        values = checked_values(name, strategy, one.candles)
        series.append(TradedSeries(one.instrument, one.candles, one.first, one.stop, one.funding, values, one.fine))
    return tuple(series)
