"""A stretch of candles as whole ticks, made into `Candle`s one at a time."""

from __future__ import annotations

from dataclasses import dataclass

from engine.domain.instruments import Instrument
from engine.domain.market import Candle, CandleArrays, Timeframe, from_ms
from engine.simulation.price_grid import decimal_volume, price_ticks


@dataclass(frozen=True, slots=True)
class CandleColumns:
    """Candles of one instrument as plain numbers, prices in ticks; ``rows`` by close time (ms UTC)."""

    instrument: Instrument
    timeframe: Timeframe
    rows: dict[int, int]
    opened_at_ms: list[int]
    open: list[int]
    high: list[int]
    low: list[int]
    close: list[int]
    volume: list[float]

    @classmethod
    def of(cls, instrument: Instrument, part: CandleArrays) -> CandleColumns:
        """Round to the instrument's tick."""
        open_, high, low, close = (
            price_ticks(column, instrument.tick_size).tolist()
            for column in (part.open, part.high, part.low, part.close)
        )
        opened, volume = part.opened_at_ms.tolist(), part.volume.tolist()
        rows = {opened_ms + part.timeframe.ms: row for row, opened_ms in enumerate(opened)}
        return cls(instrument, part.timeframe, rows, opened, open_, high, low, close, volume)

    def candle(self, row: int) -> Candle:
        """One of them."""
        tick_size = self.instrument.tick_size
        return Candle(
            self.instrument.key,
            self.timeframe,
            from_ms(self.opened_at_ms[row]),
            self.open[row] * tick_size,
            self.high[row] * tick_size,
            self.low[row] * tick_size,
            self.close[row] * tick_size,
            decimal_volume(self.volume[row]),
        )
