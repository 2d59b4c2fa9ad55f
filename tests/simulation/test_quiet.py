"""Bars that are passed over because nothing can happen: the run is the same, to the last digit, as if it lived them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import pytest
from held_cases import FIELDS, difference
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.domain.instruments import Instrument, InstrumentKey, Kind
from engine.domain.market import CandleArrays, FloatArray, Timeframe
from engine.exchanges.paper import PaperCosts
from engine.market.funding import FundingSeries
from engine.market.windows import CandleWindow
from engine.risk.limits import RiskConfig, RiskMode, Sizer
from engine.simulation.foresight import Values
from engine.simulation.replay import Replay, ReplayConfig, ReplayResult
from engine.simulation.replay_source import ReplaySource
from engine.trading.config import BrakeMode
from engine.trading.sleeves import Opinion, Opinions, Sleeve, opinion_of

START_MS = 1_704_067_200_000
BARS = 300
SPOT = Instrument("binance", "BTC", "USDT", Kind.SPOT, Decimal("0.01"), Decimal("0.001"), Decimal(5))
PERP = Instrument("binance", "ETH", "USDT", Kind.PERPETUAL, Decimal("0.01"), Decimal("0.001"), Decimal(5), Decimal(5))
ELSEWHERE = Instrument("kraken", "SOL", "USDT", Kind.SPOT, Decimal("0.01"), Decimal("0.1"), Decimal(5))


@dataclass(frozen=True)
class Given:
    """Opinions by sleeve, instrument and open time."""

    convictions: Mapping[tuple[str, InstrumentKey], Mapping[int, float]]

    def opinion(self, sleeve: Sleeve, key: InstrumentKey, opened_at_ms: int, window: CandleWindow) -> Opinion | None:
        return opinion_of(self.convictions[sleeve.name, key][opened_at_ms], 4.0)


@dataclass(frozen=True)
class Foreseen(Given):
    """The same, known ahead."""

    def values(self, sleeve: Sleeve, key: InstrumentKey) -> Values:
        known = np.array(list(self.convictions[sleeve.name, key].values()))
        return Values(known, np.full(len(known), 4.0))


def candles(random: np.random.Generator, timeframe: Timeframe, bars: int, jumps: float) -> CandleArrays:
    steps = random.normal(0, 0.02, bars) + np.where(random.random(bars) < jumps, random.choice([-1.4, 1.4], bars), 0)
    close = 100 * np.exp(np.clip(np.cumsum(steps), -3, 3))
    first = np.concatenate(([100.0], close[:-1])) * np.exp(random.normal(0, 0.003, bars))
    high = np.maximum(first, close) * (1 + random.random(bars) * 0.03)
    low = np.minimum(first, close) * (1 - random.random(bars) * 0.03)
    kept = np.flatnonzero(random.random(bars) > 0.02)
    opened = START_MS + np.arange(bars, dtype=np.int64) * timeframe.ms
    columns = (np.round(column, 2)[kept] for column in (first, high, low, close, random.uniform(1, 900, bars)))
    return CandleArrays(timeframe, opened[kept], *columns)


def convictions(random: np.random.Generator, bars: int) -> FloatArray:
    """Runs of one wish, mostly none; at times no view."""
    out = np.zeros(bars)
    at = 0
    while at < bars:
        length = int(random.integers(1, 60))
        out[at : at + length] = random.choice([0.0, 0.0, 0.0, 1.0, 0.5, -1.0, np.nan])
        at += length
    return out


@dataclass(frozen=True)
class Case:
    series: Mapping[Instrument, CandleArrays]
    funding: Mapping[InstrumentKey, FundingSeries | None]
    values: Mapping[tuple[str, InstrumentKey], Mapping[int, float]]
    config: ReplayConfig

    def run(self, opinions: Opinions) -> tuple[ReplayResult, int]:
        """The result, and how many closes the core saw."""
        source = ReplaySource(self.series, self.funding)
        replay, seen = Replay(source, self.config, opinions), 0
        step = replay.step

        def counted(event: object) -> None:
            nonlocal seen
            seen += 1
            step(event)  # type: ignore[arg-type]

        replay.step = counted  # type: ignore[assignment]
        result = replay.run(source.bars)
        assert result is not None
        return result, seen


MARKETS = ((SPOT,), (PERP,), (SPOT, PERP), (SPOT, ELSEWHERE), (SPOT, PERP, ELSEWHERE))
BRAKES = ((BrakeMode.OFF, 0), (BrakeMode.LATCH, 0), (BrakeMode.RESET, 2))


def case_of(seed: int, market: int, brake: int, mode: RiskMode) -> Case:
    """Candles, funding and wishes of a seed."""
    random, chosen = np.random.default_rng(seed), MARKETS[market]
    jumps = float(random.choice([0.0, 0.0, 0.02]))
    series = {one: candles(random, Timeframe(3600), BARS, jumps) for one in chosen}
    every_8_h = START_MS + np.arange(1, BARS // 8, dtype=np.int64) * 28_800_000
    rates = FundingSeries(every_8_h, tuple(Decimal("0.0001") for _ in every_8_h))
    strategies = ("momentum",) if random.random() < 0.5 else ("breakout", "momentum")
    values = {
        (name, one.key): dict(zip(own.opened_at_ms.tolist(), convictions(random, len(own)).tolist(), strict=True))
        for name in strategies
        for one, own in series.items()
    }
    ends, days = BRAKES[brake]
    costs, limits = PaperCosts(), RiskConfig(mode=mode)
    config = ReplayConfig(dict.fromkeys(strategies, "{}"), Decimal(10_000), costs, limits, ends, days)
    return Case(series, {PERP.key: rates} if PERP in chosen else {}, values, config)


@given(
    seed=st.integers(0, 2**32),
    market=st.integers(0, len(MARKETS) - 1),
    brake=st.integers(0, len(BRAKES) - 1),
    mode=st.sampled_from(RiskMode),
)
@example(seed=443066016, market=0, brake=1, mode=RiskMode.CONSERVATIVE)
@settings(max_examples=30, deadline=None)
def test_run_when_quiet_bars_are_passed_over_then_everything_is_the_same(
    seed: int, market: int, brake: int, mode: RiskMode
) -> None:
    case = case_of(seed, market, brake, mode)
    (whole, all_seen), (short, seen) = case.run(Given(case.values)), case.run(Foreseen(case.values))
    assert [name for name in FIELDS if getattr(whole, name) != getattr(short, name)] == []
    assert seen <= all_seen


@given(seed=st.integers(0, 2**32))
@example(seed=63485)
@settings(max_examples=25, deadline=None)
def test_run_when_much_is_held_for_long_then_everything_is_the_same(seed: int) -> None:
    assert difference(seed) == ""


@pytest.mark.long
@pytest.mark.timeout(900)
@given(seed=st.integers(0, 2**32))
@settings(max_examples=1500, deadline=None)
def test_run_when_many_more_cases_are_held_through_then_everything_is_the_same(seed: int) -> None:
    assert difference(seed) == ""


@pytest.mark.parametrize("chosen", [(SPOT,), (SPOT, ELSEWHERE)])
def test_run_when_nobody_wants_anything_then_only_the_turns_of_days_are_lived_through(
    chosen: tuple[Instrument, ...],
) -> None:
    random = np.random.default_rng(1)
    series = {one: candles(random, Timeframe(3600), BARS, 0.0) for one in chosen}
    values = {("momentum", one.key): dict.fromkeys(own.opened_at_ms.tolist(), 0.0) for one, own in series.items()}
    case = Case(series, {}, values, ReplayConfig({"momentum": "{}"}, Decimal(10_000)))
    result, seen = case.run(Foreseen(values))
    assert result.bars == sum(len(own) for own in series.values())
    assert seen < BARS / 24 * 5
    assert {point.equity for point in result.equity} == {Decimal(10_000)}
    assert len(result.equity) == len(np.unique(np.concatenate([own.opened_at_ms for own in series.values()])))


def test_run_when_two_quiet_days_together_move_far_then_no_price_is_refused_that_was_not() -> None:
    """Each day rises by less than a factor of 2, both by more than 3: what was lived last must not be too long ago."""
    close = np.array([100.0] * 26 + [175.0] * 21 + [310.0] * 25)
    first = np.concatenate(([100.0], close[:-1]))
    opened = START_MS + np.arange(len(close), dtype=np.int64) * 3_600_000
    own = CandleArrays(
        Timeframe(3600), opened, first, np.maximum(first, close), np.minimum(first, close), close,
        np.full(len(close), 1e6),
    )  # fmt: skip
    values = {("momentum", SPOT.key): {ms: float(47 <= row < 60) for row, ms in enumerate(opened.tolist())}}
    config = ReplayConfig({"momentum": "{}"}, Decimal(10_000), PaperCosts(), RiskConfig(), BrakeMode.OFF)
    case = Case({SPOT: own}, {}, values, config)
    (whole, _), (short, _) = case.run(Given(values)), case.run(Foreseen(values))
    assert [name for name in FIELDS if getattr(whole, name) != getattr(short, name)] == []


def walk_of(seed: int) -> tuple[Instrument, CandleArrays]:
    return SPOT, candles(np.random.default_rng(seed), Timeframe(3600), 2000, 0.0)


@pytest.mark.parametrize("sizer", Sizer)
def test_run_when_one_position_is_held_then_few_bars_are_lived_through(sizer: Sizer) -> None:
    """What is lived through: the turns of days, new peaks, bars near the stop, and where the size drifts off."""
    instrument, own = walk_of(3)
    values = {("momentum", instrument.key): dict.fromkeys(own.opened_at_ms.tolist(), 1.0)}
    limits = RiskConfig(sizer=sizer, max_position_share=Decimal(1), max_concentration=Decimal(1))
    config = ReplayConfig({"momentum": "{}"}, Decimal(10_000), PaperCosts(), limits, BrakeMode.OFF)
    case = Case({instrument: own}, {}, values, config)
    (whole, all_seen), (short, seen) = case.run(Given(values)), case.run(Foreseen(values))
    assert [name for name in FIELDS if getattr(whole, name) != getattr(short, name)] == []
    assert len(whole.fills) > 0
    assert seen < all_seen / 5
