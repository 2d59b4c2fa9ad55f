"""Follow a trend of exponential averages that a longer timeframe shares; full size once volume confirms it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from engine.domain.market import CandleArrays, FloatArray
from engine.quant import indicators, rolling
from engine.quant.arrays import BoolArray
from engine.strategies import stops
from engine.strategies.higher_timeframe import higher_memory_bars, higher_trend
from engine.strategies.holding import Triggers, held
from engine.strategies.stops import AtrPeriodBars, MaxHoldBars, StopAtrMultiple


class MomentumConfig(BaseModel):
    """Settings of `Momentum`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    fast_ema_bars: int = Field(24, ge=2, le=150, description="Fast trend average (bars)")
    slow_ema_bars: int = Field(72, ge=3, le=300, description="Slow trend average (bars)")
    entry_gap_atr: float = Field(1.0, gt=0.0, le=10.0, description="Gap of the averages to enter (multiple of ATR)")
    exit_gap_atr: float = Field(0.0, ge=-5.0, le=10.0, description="Gap of the averages to leave (multiple of ATR)")
    volume_window_bars: int = Field(48, ge=2, le=500, description="Volume average (bars)")
    volume_ratio: float = Field(1.2, ge=0.0, le=20.0, description="Volume for full size (multiple of its average)")
    higher_timeframe_factor: int = Field(4, ge=2, le=60, description="Higher timeframe (multiple of the bar)")
    higher_timeframe_bars: int = Field(12, ge=2, le=60, description="Higher timeframe average (higher bars)")
    max_hold_bars: MaxHoldBars = 240
    atr_period_bars: AtrPeriodBars = 14
    stop_atr_multiple: StopAtrMultiple = 3.0

    @model_validator(mode="after")
    def _averages_and_gaps_in_order(self) -> Self:
        if self.fast_ema_bars >= self.slow_ema_bars:
            raise ValueError(f"fast_ema_bars ({self.fast_ema_bars}) must be below slow_ema_bars ({self.slow_ema_bars})")
        if self.exit_gap_atr >= self.entry_gap_atr:
            raise ValueError(
                f"exit_gap_atr ({self.exit_gap_atr}) must be below entry_gap_atr ({self.entry_gap_atr}), "
                "or every entry would be left at once"
            )
        return self


@dataclass(frozen=True, slots=True)
class Momentum:
    """Long while the fast average is above the slow one by a margin, short below; see `MomentumConfig`.

    Enter when the gap of the averages exceeds ``entry_gap_atr`` ATR and the higher timeframe points the same way,
    at half size until a bar of that trend trades ``volume_ratio`` times its usual volume. Leave when the gap falls to
    ``exit_gap_atr`` or ``max_hold_bars`` after the last bar that would have entered.
    """

    config: MomentumConfig

    @property
    def lookback_bars(self) -> int:
        """Bars that fix the last value: the slowest memory of any input, then the longest holding."""
        c = self.config
        memories = (
            indicators.ema_memory_bars(c.slow_ema_bars),
            indicators.wilder_memory_bars(c.atr_period_bars),
            higher_memory_bars(c.higher_timeframe_factor, c.higher_timeframe_bars),
            c.volume_window_bars + 1,
        )
        return max(memories) + c.max_hold_bars

    def convictions(self, candles: CandleArrays) -> FloatArray:
        """float64[n] of -1, -0.5, 0, 0.5, 1; NaN before bar ``lookback_bars - 1``."""
        return held(candles, self.lookback_bars, self.config.max_hold_bars, self._triggers)

    def stop_distances(self, candles: CandleArrays) -> FloatArray:
        """float64[n] in quote currency: ``stop_atr_multiple`` ATR, or NaN."""
        c = self.config
        return stops.stop_distances(candles, c.atr_period_bars, c.stop_atr_multiple, self.lookback_bars)

    def _triggers(self, candles: CandleArrays, warm: int) -> Triggers:
        """What the bars from index ``warm`` on say."""
        c = self.config
        fast, slow = (indicators.ema(candles.close, bars)[warm:] for bars in (c.fast_ema_bars, c.slow_ema_bars))
        gap = (fast - slow) / stops.moving_atr(candles, c.atr_period_bars, warm)
        higher = higher_trend(candles, c.higher_timeframe_factor, c.higher_timeframe_bars, warm)
        rising = (gap >= c.entry_gap_atr) & (higher > 0.0)
        falling = (gap <= -c.entry_gap_atr) & (higher < 0.0)
        return Triggers(
            entry=rising.astype(np.int8) - falling.astype(np.int8),
            full_size=self._volume_confirms(candles, warm),
            exit_long=~(gap > c.exit_gap_atr),
            exit_short=~(gap < -c.exit_gap_atr),
        )

    def _volume_confirms(self, candles: CandleArrays, warm: int) -> BoolArray:
        """Whether a bar trades enough more than the bars before it; never where nothing traded."""
        c = self.config
        start = warm - c.volume_window_bars
        usual = rolling.mean(candles.volume[start:-1], c.volume_window_bars)[c.volume_window_bars - 1 :]
        confirms: BoolArray = (candles.volume[warm:] >= c.volume_ratio * usual) & (usual > 0.0)
        return confirms
