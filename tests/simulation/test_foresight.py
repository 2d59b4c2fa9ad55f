"""A run's past by instant: what has to be lived through whatever is held, and how series of other times line up."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from kernel_twin import HOUR, START_MS, candles_of

from engine.domain.instruments import Instrument, InstrumentKey, Kind
from engine.domain.market import CandleArrays, IntArray
from engine.market.funding import FundingSeries
from engine.simulation.foresight import Timeline, Values
from engine.simulation.replay_source import ReplaySource
from engine.trading.sleeves import Sleeve, build_strategy

D = Decimal
SPOT = Instrument("aa", "BTC", "USDT", Kind.SPOT, D("0.01"), D("0.001"))
PERP = Instrument("bb", "ETH", "USDT", Kind.PERPETUAL, D("0.01"), D("0.001"), D(0), D(5))


@dataclass(frozen=True)
class Wishes:
    """Convictions by instrument."""

    convictions: dict[InstrumentKey, list[float]]

    def values(self, sleeve: Sleeve, key: InstrumentKey) -> Values:
        known = np.array(self.convictions[key])
        return Values(known, np.full(len(known), 2.0))


def flat(prices: list[float], opened_hours: list[int]) -> CandleArrays:
    rows = [(price, price + 1, price - 1, price, 10.0) for price in prices]
    return candles_of(rows, [START_MS + hour * HOUR.ms for hour in opened_hours])


def timeline_of(
    series: dict[Instrument, CandleArrays], wishes: dict[InstrumentKey, list[float]], stamps: IntArray | None = None
) -> Timeline:
    rates = FundingSeries(stamps, (D("0.0001"),) * len(stamps)) if stamps is not None else None
    source = ReplaySource(series, {PERP.key: rates} if PERP in series else {})
    strategy, values = build_strategy("momentum", "{}")
    keys = tuple(sorted(wishes))
    return Timeline(source, series, [Sleeve("momentum", strategy, values, keys, D(1), True)], Wishes(wishes))


def test_forced_when_the_day_turns_then_its_first_close_alone() -> None:
    hours = list(range(20, 30))
    timeline = timeline_of({SPOT: flat([100.0] * 10, hours)}, {SPOT.key: [0.0] * 10})
    # A candle that opens at 23:00 closes at midnight, the first close of the new day.
    assert timeline.instants[timeline.sights.forced].tolist() == [START_MS + hour * HOUR.ms for hour in (21, 24)]


def test_forced_when_a_day_begins_with_funding_then_also_its_first_close() -> None:
    stamps = np.array([START_MS + 24 * HOUR.ms + 5], dtype=np.int64)
    timeline = timeline_of({PERP: flat([100.0] * 4, [21, 22, 24, 25])}, {PERP.key: [0.0] * 4}, stamps)
    assert timeline.sights.forced.tolist() == [True, False, True, True, False]
    assert timeline.sights.funded[0].tolist() == [False, False, True, False, False]


def test_barriers_when_prices_jump_then_the_whole_day_and_first_closes_and_the_end() -> None:
    prices = [100.0] * 23 + [250.0] * 24 + [260.0] * 5
    series = {SPOT: flat(prices, list(range(52))), PERP: flat([50.0] * 3, [30, 31, 33])}
    timeline = timeline_of(series, {SPOT.key: [0.0] * 52, PERP.key: [0.0] * 3})
    # The jump comes with the close at midnight, so it is the second day that is wild; where it is refused, the close
    # before it stays the mark.
    assert timeline.barriers.tolist() == [0, *range(22, 47), 51]


def test_sights_when_times_differ_then_the_last_close_counts_and_nobody_is_asked_between() -> None:
    series = {SPOT: flat([100.0, 101.0, 102.0], [0, 1, 2]), PERP: flat([50.0, 60.0], [0, 2])}
    timeline = timeline_of(series, {SPOT.key: [1.0, -1.0, np.nan], PERP.key: [-1.0, 0.0]})
    sights = timeline.sights
    assert sights.price.tolist() == [[100.0, 101.0, 102.0], [50.0, 50.0, 60.0]]
    assert sights.closed_row.tolist() == [[0, 1, 2], [0, 0, 2]]
    assert sights.low[1].tolist() == [49.0, np.inf, 59.0]
    assert sights.high[1].tolist() == [51.0, -np.inf, 61.0]
    assert sights.wants.tolist() == [[True, False, False], [True, False, False]]
    assert timeline.prices(PERP.key, 1, 3) == [D("50.00"), D("60.00")]
