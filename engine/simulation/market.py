"""The seeded market simulator: any day of the simulated market by its number, the same however it is reached."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from engine.domain.errors import BadInput
from engine.domain.instruments import Instrument, InstrumentKey
from engine.domain.market import CandleArrays, FloatArray
from engine.simulation.demo_listings import DEMO_COINS, DEMO_LISTINGS, Coin, Listing
from engine.simulation.market_day import GENESIS_MS, MINUTE, MarketDay, day_index, day_start_ms, joined
from engine.simulation.market_process import STATE_VERSION, MarketShape, MarketState, generate_day, random_stream

_log = logging.getLogger(__name__)


class MarketSimulator:
    """Days of candles by (seed, day index), the same however they are asked for and however often it was restarted.

    Parameters
    ----------
    seed : int
        Zero or above.
    listings, coins
        The markets and how they move; the defaults are the demo's.
    kept_days : int
        Days (and their start states) kept in memory; older ones are dropped and, if asked for, generated again.
    """

    def __init__(
        self,
        seed: int,
        listings: Sequence[Listing] = DEMO_LISTINGS,
        coins: Sequence[Coin] = DEMO_COINS,
        kept_days: int = 16,
    ) -> None:
        if seed < 0:
            raise BadInput(f"seed {seed} must be zero or above")
        self.seed = seed
        self.kept_days = kept_days
        self.listings = tuple(
            sorted(listings, key=lambda listing: (listing.instrument.venue, listing.instrument.symbol))
        )
        self._shape = MarketShape.of(self.listings, tuple(coins))
        self._rows = {listing.instrument.key: row for row, listing in enumerate(self.listings)}
        self._states: dict[int, MarketState] = {}
        self._days: dict[int, MarketDay] = {}
        self._lock = Lock()

    @property
    def instruments(self) -> tuple[Instrument, ...]:
        """Every instrument, sorted by (venue, symbol): the order of the rows in a `MarketDay`."""
        return tuple(listing.instrument for listing in self.listings)

    def row(self, key: InstrumentKey) -> int:
        """Row of an instrument in the arrays; raises `BadInput` naming the instrument."""
        if key not in self._rows:
            raise BadInput(f"{key} is not one of the simulated instruments: {', '.join(self._rows)}")
        return self._rows[key]

    def day(self, index: int) -> MarketDay:
        """Day ``index`` (0 is the first); raises `BadInput` below zero."""
        if index < 0:
            raise BadInput(f"the simulated market has no day {index}; it begins with day 0")
        with self._lock:
            if index not in self._days:
                self._generate_until(index)
            return self._days[index]

    def path(self, index: int, minute: int) -> FloatArray:
        """Mid prices at second 0 to 59 of a minute, in ticks: float64[L, 60], a Brownian bridge within its candle."""
        day = self.day(index)
        rng = random_stream(self.seed, index, minute)
        walk = np.cumsum(rng.standard_normal((self._shape.coins, 60)), axis=1) / math.sqrt(60)
        share = np.arange(60) / 60
        started = np.hstack([np.zeros((self._shape.coins, 1)), walk[:, :-1]])
        bridge = (started - share * walk[:, -1:])[self._shape.coin_of]
        first, last = np.log(day.open[:, minute, None]), np.log(day.close[:, minute, None])
        ticks = np.exp(first + (last - first) * share + day.sigma[:, minute, None] * bridge)
        clipped: FloatArray = np.clip(ticks, day.low[:, minute, None], day.high[:, minute, None])
        return clipped

    def state(self) -> dict[str, Any]:
        """Seed and kept day-start states as JSON values, for `from_state`."""
        with self._lock:
            days = [state.as_json() for state in self._states.values()]
        return {"version": STATE_VERSION, "seed": self.seed, "days": days}

    @classmethod
    def from_state(cls, values: Mapping[str, Any]) -> MarketSimulator:
        """Continue the demo market from `state`; raises `BadInput` where the values are not of this version."""
        if values.get("version") != STATE_VERSION or not isinstance(values.get("seed"), int):
            raise BadInput(
                f"saved market state is of version {values.get('version')!r}, this program reads {STATE_VERSION}"
            )
        simulator = cls(values["seed"])
        simulator.restore(values)
        return simulator

    def restore(self, values: Mapping[str, Any]) -> None:
        """Take over day-start states saved under the same seed; raises `BadInput` for another seed or broken values."""
        if values.get("version") != STATE_VERSION or values.get("seed") != self.seed:
            raise BadInput(f"saved market state is not of version {STATE_VERSION} and seed {self.seed}")
        days = values.get("days")
        if not isinstance(days, list) or not all(isinstance(day, Mapping) for day in days):
            raise BadInput("saved market state holds no list of days; delete it and it is rebuilt")
        states = [MarketState.from_json(day, self._shape.coins, len(self.listings)) for day in days]
        with self._lock:
            self._states.update({state.day: state for state in states})

    def window(self, key: InstrumentKey, start_ms: int, stop_ms: int) -> CandleArrays:
        """Candles opened from ``start_ms`` to before ``stop_ms``, no older than the kept days before ``stop_ms``.

        Raises `BadInput` for an unknown instrument.
        """
        row = self.row(key)
        stop_ms = max(GENESIS_MS, -(-stop_ms // MINUTE.ms) * MINUTE.ms)
        oldest_ms = day_start_ms(max(0, day_index(stop_ms) - self.kept_days + 1))
        start_ms = min(max(oldest_ms, -(-start_ms // MINUTE.ms) * MINUTE.ms), stop_ms)
        first = day_index(start_ms)
        days = [self.day(index) for index in range(first, max(first, day_index(stop_ms - 1)) + 1)]
        offset = (start_ms - day_start_ms(first)) // MINUTE.ms
        return joined(days, row, self.instruments[row]).slice(offset, offset + (stop_ms - start_ms) // MINUTE.ms)

    def load(self, file: Path) -> None:
        """Take over states saved by `save`. They are a cache: a broken or foreign file is ignored, with a warning."""
        if not file.exists():
            return
        try:
            values = json.loads(file.read_text("utf-8"))
            self.restore(values if isinstance(values, dict) else {})
        except (OSError, ValueError, BadInput) as error:
            _log.warning("simulated_market_state_ignored", extra={"file": str(file), "error": str(error)})

    def save(self, file: Path) -> None:
        """Replace ``file`` in one step; a full disk costs only time at the next start, so it is a warning."""
        partial = file.with_suffix(".partial")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            partial.write_text(json.dumps(self.state()), "utf-8")
            partial.replace(file)
        except OSError as error:
            _log.warning("simulated_market_state_not_saved", extra={"file": str(file), "error": str(error)})

    def _generate_until(self, index: int) -> None:
        known = [day for day in self._states if day <= index]
        state = self._states[max(known)] if known else self._shape.first_state(self.seed)
        while state.day <= index:
            self._states[state.day] = state
            day, state = generate_day(self.seed, self._shape, state)
            self._days[day.index] = day
            self._drop_old(keep=index)
        self._states[state.day] = state

    def _drop_old(self, keep: int) -> None:
        """Bound memory: the oldest days go first, the one being asked for never."""
        for kept in (self._days, self._states):
            for day in sorted(kept)[: -self.kept_days]:
                if day < keep:
                    del kept[day]
