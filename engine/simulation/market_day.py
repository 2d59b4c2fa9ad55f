"""One simulated day of every market as whole ticks and lots, and the domain objects made from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np

from engine.domain.instruments import Instrument, Kind
from engine.domain.market import BookTop, Candle, CandleArrays, FloatArray, FundingRate, IntArray, Timeframe, from_ms

MINUTE = Timeframe(60)
MINUTES_A_DAY = 1440
DAY_MS = MINUTES_A_DAY * MINUTE.ms
FUNDING_MINUTES = 480
RATE_UNIT = Decimal("0.00000001")

HISTORY_DAYS = 14
LIVE_START = datetime(2026, 1, 1, tzinfo=UTC)
"""First live instant of the simulated market: its first live candle opens here."""

GENESIS = LIVE_START - timedelta(days=HISTORY_DAYS)
GENESIS_MS = round(GENESIS.timestamp() * 1000)


def day_index(opened_at_ms: int) -> int:
    """Number of the simulated day a candle belongs to; 0 is the first, earlier instants are negative."""
    return (opened_at_ms - GENESIS_MS) // DAY_MS


def day_start_ms(index: int) -> int:
    """Opening instant of day ``index``, ms UTC."""
    return GENESIS_MS + index * DAY_MS


def minute_of(at_ms: int) -> int:
    """Minute of its day, 0 to 1439."""
    return at_ms % DAY_MS // MINUTE.ms


@dataclass(frozen=True, slots=True)
class MarketDay:
    """1,440 one-minute candles of L instruments. Every array but the last is int64 and read-only.

    Attributes
    ----------
    index : int
        Days since the first simulated day.
    open, high, low, close : int64[L, 1440]
        Prices in ticks.
    volume : int64[L, 1440]
        Traded base in lots, at least 1.
    spread : int64[L, 1440]
        Ask minus bid in ticks, at least 1.
    bid_depth, ask_depth : int64[L, 1440]
        Lots resting at the best price, at least 1.
    funding : int64[L, 3]
        Funding rates of the day's three stamps in 1e-8; zero for spot.
    sigma : float64[L, 1440]
        Standard deviation of the minute's log return, for the path inside the minute.
    """

    index: int
    open: IntArray
    high: IntArray
    low: IntArray
    close: IntArray
    volume: IntArray
    spread: IntArray
    bid_depth: IntArray
    ask_depth: IntArray
    funding: IntArray
    sigma: FloatArray

    def opened_at_ms(self, minute: int) -> int:
        """Opening instant of the day's candle ``minute`` (0 to 1439), ms UTC."""
        return day_start_ms(self.index) + minute * MINUTE.ms

    def candle(self, row: int, instrument: Instrument, minute: int) -> Candle:
        """The candle of ``minute`` (0 to 1439) of the instrument in ``row``, exact on its grids."""
        tick = instrument.tick_size
        return Candle(
            instrument.key,
            MINUTE,
            from_ms(self.opened_at_ms(minute)),
            int(self.open[row, minute]) * tick,
            int(self.high[row, minute]) * tick,
            int(self.low[row, minute]) * tick,
            int(self.close[row, minute]) * tick,
            int(self.volume[row, minute]) * instrument.lot_size,
        )

    def funding_stamps(self, instruments: Sequence[Instrument], minute: int) -> tuple[FundingRate, ...]:
        """The perpetuals' stamps at the close of ``minute`` if an 8-hour window ends there; the mark is that close."""
        if (minute + 1) % FUNDING_MINUTES:
            return ()
        at = from_ms(self.opened_at_ms(minute) + MINUTE.ms)
        return tuple(
            FundingRate(
                instrument.key,
                at,
                int(self.funding[row, minute // FUNDING_MINUTES]) * RATE_UNIT,
                int(self.close[row, minute]) * instrument.tick_size,
            )
            for row, instrument in enumerate(instruments)
            if instrument.kind is Kind.PERPETUAL
        )

    def top(self, row: int, instrument: Instrument, at_ms: int, mid_ticks: float) -> BookTop:
        """Best bid and ask around ``mid_ticks`` at ``at_ms``, with that minute's spread and depth."""
        minute = max(0, min((at_ms - day_start_ms(self.index)) // MINUTE.ms, MINUTES_A_DAY - 1))
        spread = int(self.spread[row, minute])
        bid = max(1, round(mid_ticks - spread / 2))
        tick, lot = instrument.tick_size, instrument.lot_size
        return BookTop(
            instrument.key,
            from_ms(at_ms),
            bid * tick,
            (bid + spread) * tick,
            int(self.bid_depth[row, minute]) * lot,
            int(self.ask_depth[row, minute]) * lot,
        )


def joined(days: Sequence[MarketDay], row: int, instrument: Instrument) -> CandleArrays:
    """Whole days after one another as one series of float candles, each the float nearest to its exact decimal.

    Parameters
    ----------
    days : sequence of MarketDay
        Consecutive, oldest first, not empty.
    row : int
        Row of the instrument in the arrays.
    instrument : Instrument
        For its grids.

    Returns
    -------
    CandleArrays
        1,440 candles a day; prices in quote, volume in base.
    """
    minutes = np.arange(len(days) * MINUTES_A_DAY, dtype=np.int64) * MINUTE.ms
    opened = minutes + day_start_ms(days[0].index)
    opened.setflags(write=False)
    columns = [
        _on_grid(np.concatenate([getattr(day, name)[row] for day in days]), grid)
        for name, grid in (
            ("open", instrument.tick_size),
            ("high", instrument.tick_size),
            ("low", instrument.tick_size),
            ("close", instrument.tick_size),
            ("volume", instrument.lot_size),
        )
    ]
    return CandleArrays(MINUTE, opened, *columns)


def _on_grid(counts: IntArray, grid: Decimal) -> FloatArray:
    """Counts of a decimal grid as floats; numerator and denominator are exact, so one rounding is all there is."""
    numerator, denominator = grid.as_integer_ratio()
    values: FloatArray = (counts * numerator) / denominator
    values.setflags(write=False)
    return values
