"""A moving order book per instrument, deterministic by seed and by control calls, with candles of its past."""

from __future__ import annotations

import math
import random
from collections import deque
from dataclasses import dataclass, field
from decimal import Decimal

from .amounts import ZERO, down
from .instruments import Instrument

MINUTE_MS = 60_000
LEVEL_NOTIONAL = Decimal(200_000)
LEVELS = 50
SAMPLES = 12
KEPT_CHANGES = 100
"""How many former books are remembered for those who listen to changes of it."""
Gone = tuple[int, tuple[Decimal, ...], tuple[Decimal, ...]]
_WAVES = ((7, 0.002), (61, 0.006), (977, 0.02), (9_001, 0.06), (100_003, 0.15))
"""Period in minutes and height of the waves that the past is made of."""


@dataclass(slots=True)
class Level:
    """Size on offer at a price."""

    price: Decimal
    size: Decimal


@dataclass(slots=True)
class Candle:
    """Open, high, low, close, volume in base."""

    opened_ms: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal


@dataclass(slots=True)
class Print:
    """A public trade."""

    number: int
    at_ms: int
    price: Decimal
    size: Decimal
    side: str


@dataclass(slots=True)
class Market:
    """Book, last price and candles of one instrument.

    Attributes
    ----------
    price : Decimal
        The true price in the middle of the book; orders are matched and triggered against it.
    level_notional, levels : Decimal, int
        Value offered at each price step and number of steps: what a market order can take.
    """

    instrument: Instrument
    seed: int
    started_ms: int
    price: Decimal = ZERO
    level_notional: Decimal = LEVEL_NOTIONAL
    levels: int = LEVELS
    bids: list[Level] = field(default_factory=list)
    asks: list[Level] = field(default_factory=list)
    live: dict[int, Candle] = field(default_factory=dict)
    prints: deque[Print] = field(default_factory=lambda: deque(maxlen=1000))
    changes: int = 1
    gone: deque[Gone] = field(default_factory=lambda: deque(maxlen=KEPT_CHANGES))
    phases: tuple[float, ...] = ()
    walker: random.Random = field(default_factory=random.Random)

    def __post_init__(self) -> None:
        chance = random.Random(f"{self.seed}/{self.instrument.key}")
        self.phases = tuple(chance.uniform(0, math.tau) for _ in _WAVES)
        self.walker.seed(f"{self.seed}/{self.instrument.key}/walk")
        self.set_price(self.instrument.price, self.started_ms)

    @property
    def bid(self) -> Decimal:
        """Best price a seller gets."""
        return self.price - self.instrument.tick

    @property
    def ask(self) -> Decimal:
        """Best price a buyer pays."""
        return self.price + self.instrument.tick

    def set_price(self, price: Decimal, now_ms: int) -> None:
        """Move the middle of the book, at least two ticks above zero."""
        tick = self.instrument.tick
        self.price = max(down(price, tick), 2 * tick)
        self.refresh()
        size = down(LEVEL_NOTIONAL / 100 / self.price, self.instrument.lot) or self.instrument.lot
        side = "buy" if self.changes % 2 else "sell"
        self.prints.append(Print(self.changes, now_ms, self.price, size, side))
        self._record(now_ms, size)

    def stand(self, now_ms: int) -> None:
        """Time goes by at the same price: the candle of this minute grows."""
        self.changes += 1
        self._record(now_ms, self.instrument.lot)

    def walk(self, share: Decimal, now_ms: int) -> None:
        """One random step of at most ``share`` of the price up or down."""
        step = Decimal(str(round(self.walker.uniform(-1, 1), 6)))
        self.set_price(self.price * (1 + step * share), now_ms)

    def refresh(self) -> None:
        """Fill the book again around the price."""
        tick, lot = self.instrument.tick, self.instrument.lot
        step = max(tick, down(self.price * Decimal("0.0001"), tick))
        self.changes += 1
        bids, asks = (tuple(level.price for level in side) for side in (self.bids, self.asks))
        self.gone.append((self.changes, bids, asks))
        self.bids, self.asks = [], []
        for depth in range(self.levels):
            for side, price in ((self.bids, self.bid - depth * step), (self.asks, self.ask + depth * step)):
                if price > 0:
                    side.append(Level(price, down(self.level_notional / price, lot)))

    def candles(self, minutes: int, first_ms: int, now_ms: int, limit: int) -> list[Candle]:
        """Candles from the one that holds ``first_ms`` on, oldest first; the last may be unfinished."""
        span = minutes * MINUTE_MS
        opened = first_ms - first_ms % span
        rows: list[Candle] = []
        while opened <= now_ms and len(rows) < limit:
            rows.append(self._candle(opened, span, now_ms))
            opened += span
        return rows

    def gone_since(self, number: int) -> tuple[set[Decimal], set[Decimal]]:
        """Prices of bids and of asks that were in the book at some time after change ``number``."""
        left = [row for row in self.gone if row[0] > number]
        return {price for row in left for price in row[1]}, {price for row in left for price in row[2]}

    def _candle(self, opened: int, span: int, now_ms: int) -> Candle:
        until = min(opened + span, now_ms + 1)
        if until > self.started_ms:
            return self._recent(opened, until)
        prices = [self._past(opened + span * at // SAMPLES) for at in range(SAMPLES + 1)]
        volume = down(LEVEL_NOTIONAL * span / MINUTE_MS / prices[0], self.instrument.lot)
        return Candle(opened, prices[0], max(prices), min(prices), prices[-1], volume)

    def _recent(self, opened: int, until: int) -> Candle:
        begun = opened if opened < self.started_ms else None
        first = self._past(opened) if begun is not None else self._last_before(opened)
        whole = Candle(opened, first, first, first, first, ZERO)
        for minute in sorted(each for each in self.live if opened <= each < until):
            part = self.live[minute]
            whole.high, whole.low = max(whole.high, part.high), min(whole.low, part.low)
            whole.close, whole.volume = part.close, whole.volume + part.volume
        return whole

    def _last_before(self, opened: int) -> Decimal:
        earlier = [minute for minute in self.live if minute < opened]
        return self.live[max(earlier)].close if earlier else self.instrument.price

    def _past(self, at_ms: int) -> Decimal:
        shape = self._wave(at_ms) - self._wave(self.started_ms)
        raw = self.instrument.price * Decimal(str(round(math.exp(shape), 8)))
        return max(down(raw, self.instrument.tick), self.instrument.tick)

    def _wave(self, at_ms: int) -> float:
        minutes = at_ms / MINUTE_MS
        waves = zip(_WAVES, self.phases, strict=True)
        return sum(height * math.sin(math.tau * minutes / period + phase) for (period, height), phase in waves)

    def _record(self, now_ms: int, size: Decimal) -> None:
        minute = now_ms - now_ms % MINUTE_MS
        found = self.live.get(minute)
        if found is None:
            self.live[minute] = Candle(minute, self.price, self.price, self.price, self.price, size)
            return
        found.high, found.low = max(found.high, self.price), min(found.low, self.price)
        found.close, found.volume = self.price, found.volume + size
