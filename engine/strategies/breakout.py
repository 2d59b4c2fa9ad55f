"""Follow a close beyond the range of the previous bars, unless the market is asleep or in panic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from engine.domain.market import CandleArrays, FloatArray
from engine.quant import indicators, rolling
from engine.quant.arrays import BoolArray
from engine.strategies import stops
from engine.strategies.holding import Triggers, held
from engine.strategies.stops import AtrPeriodBars, MaxHoldBars, StopAtrMultiple


class BreakoutConfig(BaseModel):
    """Settings of `Breakout`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    channel_bars: int = Field(72, ge=5, le=1000, description="Entry channel (previous bars)")
    exit_channel_bars: int = Field(36, ge=2, le=1000, description="Exit channel (previous bars)")
    entry_buffer_atr: float = Field(0.25, ge=0.0, le=5.0, description="Close beyond the channel (multiple of ATR)")
    volatility_window_bars: int = Field(240, ge=20, le=2000, description="Usual true range (bars)")
    minimum_volatility_ratio: float = Field(0.8, ge=0.0, le=10.0, description="Least ATR (multiple of the usual)")
    maximum_volatility_ratio: float = Field(2.5, gt=0.0, le=50.0, description="Largest ATR (multiple of the usual)")
    max_hold_bars: MaxHoldBars = 168
    atr_period_bars: AtrPeriodBars = 14
    stop_atr_multiple: StopAtrMultiple = 3.0

    @model_validator(mode="after")
    def _channels_and_ratios_in_order(self) -> Self:
        if self.exit_channel_bars > self.channel_bars:
            raise ValueError(
                f"exit_channel_bars ({self.exit_channel_bars}) must not exceed channel_bars ({self.channel_bars})"
            )
        if self.minimum_volatility_ratio >= self.maximum_volatility_ratio:
            raise ValueError(
                f"minimum_volatility_ratio ({self.minimum_volatility_ratio}) must be below "
                f"maximum_volatility_ratio ({self.maximum_volatility_ratio})"
            )
        return self


@dataclass(frozen=True, slots=True)
class Breakout:
    """With a close beyond the Donchian channel of the previous bars; see `BreakoutConfig`.

    Enter when the close clears the channel by ``entry_buffer_atr`` ATR and the ATR lies between the two ratios of
    the usual true range. Leave when the close crosses the opposite side of the shorter exit channel, or
    ``max_hold_bars`` after the last bar that would have entered.
    """

    config: BreakoutConfig

    @property
    def lookback_bars(self) -> int:
        """Bars that fix the last value: the slowest memory of any input, then the longest holding."""
        c = self.config
        memories = (
            c.channel_bars + 1,
            c.volatility_window_bars + 1,
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
        close, atr = candles.close[warm:], stops.moving_atr(candles, c.atr_period_bars, warm)
        upper, lower = self._previous_channel(candles, c.channel_bars, warm)
        exit_upper, exit_lower = self._previous_channel(candles, c.exit_channel_bars, warm)
        allowed = self._volatility_allows(candles, atr, warm)
        above = (close > upper + c.entry_buffer_atr * atr) & allowed
        below = (close < lower - c.entry_buffer_atr * atr) & allowed
        dead = np.isnan(atr)
        return Triggers(
            entry=above.astype(np.int8) - below.astype(np.int8),
            full_size=np.ones(len(close), dtype=np.bool_),
            exit_long=(close < exit_lower) | dead,
            exit_short=(close > exit_upper) | dead,
        )

    def _previous_channel(self, candles: CandleArrays, bars: int, warm: int) -> tuple[FloatArray, FloatArray]:
        """Highest high and lowest low of the ``bars`` bars before each bar: with its own bar it could never break."""
        start = warm - bars
        channel = indicators.donchian(candles.high[start:-1], candles.low[start:-1], bars)
        return channel.upper[bars - 1 :], channel.lower[bars - 1 :]

    def _volatility_allows(self, candles: CandleArrays, atr: FloatArray, warm: int) -> BoolArray:
        """Whether the ATR is neither too small (no force behind the break) nor too large (a stop far away)."""
        c = self.config
        start = warm - c.volatility_window_bars
        ranges = indicators.true_range(candles.high[start:], candles.low[start:], candles.close[start:])[1:]
        usual = rolling.mean(ranges, c.volatility_window_bars)[c.volatility_window_bars - 1 :]
        allows: BoolArray = (atr >= c.minimum_volatility_ratio * usual) & (atr <= c.maximum_volatility_ratio * usual)
        return allows
