"""Opinions computed over a whole series at once: for replays, of strategies proven to be causal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from engine.domain.errors import BadInput
from engine.domain.instruments import InstrumentKey
from engine.domain.market import CandleArrays
from engine.market.windows import CandleWindow
from engine.simulation.foresight import Values
from engine.trading.sleeves import Opinion, Sleeve, opinion_of


@dataclass(frozen=True, slots=True)
class _Known:
    """A strategy's values over a series as plain floats, and the row of each bar by its open time (ms UTC)."""

    rows: Mapping[int, int]
    convictions: list[float]
    distances: list[float]
    lookback_bars: int


class PrecomputedOpinions:
    """Looks a strategy's value up by the open time of the bar.

    The strategy sees the whole series, but its value at a bar depends on that bar and earlier ones alone: the tests
    show for every registered strategy that window and whole agree. Bars before the lookback give no view, as live.
    """

    def __init__(self, series: Mapping[InstrumentKey, CandleArrays]) -> None:
        self._series = series
        self._known: dict[tuple[str, str, InstrumentKey], _Known] = {}

    def opinion(self, sleeve: Sleeve, key: InstrumentKey, opened_at_ms: int, window: CandleWindow) -> Opinion | None:
        """The value at the bar; None before the strategy's lookback is full."""
        known = self._known_of(sleeve, key)
        row = known.rows.get(opened_at_ms, -1)
        if row < known.lookback_bars - 1:
            return None
        return opinion_of(known.convictions[row], known.distances[row])

    def values(self, sleeve: Sleeve, key: InstrumentKey) -> Values:
        """All of them; no view before the strategy's lookback is full."""
        known = self._known_of(sleeve, key)
        convictions = np.array(known.convictions)
        convictions[: max(0, known.lookback_bars - 1)] = np.nan
        return Values(convictions, np.array(known.distances))

    def _known_of(self, sleeve: Sleeve, key: InstrumentKey) -> _Known:
        known = self._known.get((sleeve.name, sleeve.values, key))
        if known is None:
            known = self._known[(sleeve.name, sleeve.values, key)] = self._compute(sleeve, key)
        return known

    def _compute(self, sleeve: Sleeve, key: InstrumentKey) -> _Known:
        candles = self._series[key]
        convictions, distances = sleeve.strategy.convictions(candles), sleeve.strategy.stop_distances(candles)
        if len(convictions) != len(candles) or len(distances) != len(candles):
            raise BadInput(f"{sleeve.name} gave {len(convictions)} convictions for {len(candles)} bars")
        rows = {ms: row for row, ms in enumerate(candles.opened_at_ms.tolist())}
        return _Known(rows, convictions.tolist(), distances.tolist(), sleeve.strategy.lookback_bars)
