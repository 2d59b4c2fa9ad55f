"""Trade back towards the rolling mean when the price strays, in stretches where a test says it does come back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from engine.domain.market import CandleArrays, FloatArray
from engine.quant import indicators, meanreversion
from engine.quant.meanreversion import Significance
from engine.strategies import stops
from engine.strategies.holding import DirectionArray, Triggers, held
from engine.strategies.stops import AtrPeriodBars, MaxHoldBars, StopAtrMultiple


class MeanReversionConfig(BaseModel):
    """Settings of `MeanReversion`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    zscore_window_bars: int = Field(48, ge=5, le=500, description="Mean and deviation window (bars)")
    entry_z: float = Field(2.0, gt=0.0, le=10.0, description="Entry (deviations from the mean)")
    exit_z: float = Field(0.5, ge=0.0, le=10.0, description="Exit (deviations from the mean)")
    stop_z: float = Field(4.0, gt=0.0, le=20.0, description="Give up (deviations from the mean)")
    stationarity_window_bars: int = Field(168, ge=30, le=1000, description="Stationarity test window (bars)")
    stationarity_lags: int = Field(1, ge=0, le=5, description="Stationarity test lags (bars)")
    significance: Significance = Field(
        Significance.TEN_PERCENT, description="Stationarity test: share of random walks that may pass"
    )
    max_hold_bars: MaxHoldBars = 72
    atr_period_bars: AtrPeriodBars = 14
    stop_atr_multiple: StopAtrMultiple = 4.0

    @model_validator(mode="after")
    def _levels_in_order(self) -> Self:
        if not self.exit_z < self.entry_z < self.stop_z:
            raise ValueError(
                f"exit_z ({self.exit_z}), entry_z ({self.entry_z}) and stop_z ({self.stop_z}) must rise in this order"
            )
        return self


@dataclass(frozen=True, slots=True)
class MeanReversion:
    """Against the deviation from the rolling mean; see `MeanReversionConfig`.

    Enter when the z-score crosses ``entry_z`` outwards while the augmented Dickey-Fuller test rejects a random walk
    over ``stationarity_window_bars``. Leave at ``exit_z``, at ``stop_z``, or after ``max_hold_bars``; after a stop a
    new crossing is needed.
    """

    config: MeanReversionConfig

    @property
    def lookback_bars(self) -> int:
        """Bars that fix the last value: the slowest memory of any input, then the longest holding."""
        c = self.config
        memories = (
            c.zscore_window_bars + 1,
            c.stationarity_window_bars,
            indicators.wilder_memory_bars(c.atr_period_bars),
        )
        return max(memories) + c.max_hold_bars

    def convictions(self, candles: CandleArrays) -> FloatArray:
        """float64[n] of -1, 0, 1; NaN before bar ``lookback_bars - 1``."""
        return held(candles, self.lookback_bars, self.config.max_hold_bars, self._triggers)

    def stop_distances(self, candles: CandleArrays) -> FloatArray:
        """float64[n] in quote currency: ``stop_atr_multiple`` ATR, or NaN."""
        c = self.config
        return stops.stop_distances(candles, c.atr_period_bars, c.stop_atr_multiple, self.lookback_bars)

    def _triggers(self, candles: CandleArrays, warm: int) -> Triggers:
        """What the bars from index ``warm`` on say."""
        c = self.config
        needed = candles.close[warm - c.zscore_window_bars :]
        z = meanreversion.zscore(needed, c.zscore_window_bars)[c.zscore_window_bars - 1 :]
        now, before = z[1:], z[:-1]
        moving = ~np.isnan(stops.moving_atr(candles, c.atr_period_bars, warm))
        below = (now <= -c.entry_z) & (before > -c.entry_z) & (now > -c.stop_z) & moving
        above = (now >= c.entry_z) & (before < c.entry_z) & (now < c.stop_z) & moving
        crossings = below.astype(np.int8) - above.astype(np.int8)
        return Triggers(
            entry=self._where_stationary(candles.close, crossings, warm),
            full_size=np.ones(len(now), dtype=np.bool_),
            exit_long=~((now < -c.exit_z) & (now > -c.stop_z) & moving),
            exit_short=~((now > c.exit_z) & (now < c.stop_z) & moving),
        )

    def _where_stationary(self, close: FloatArray, crossings: DirectionArray, warm: int) -> DirectionArray:
        """Keep the crossings where a random walk is rejected; only those bars are tested."""
        c = self.config
        bars = np.flatnonzero(crossings)
        statistics = meanreversion.adf_at(close, bars + warm, c.stationarity_window_bars, c.stationarity_lags)
        observations = c.stationarity_window_bars - 1 - c.stationarity_lags
        critical = meanreversion.adf_critical_value(observations, c.significance)
        crossings[bars[~(statistics < critical)]] = 0
        return crossings
