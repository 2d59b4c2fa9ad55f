"""A replay gives one answer: whatever the order of files, the thread, or the way convictions are computed."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from queue import Queue
from threading import Thread

import pytest
from recorded_candles import made, recorded

from engine.domain.codec import digest_of
from engine.domain.instruments import Instrument
from engine.domain.market import CandleArrays, MarketEvent
from engine.exchanges.paper import PaperCosts
from engine.simulation.opinions import PrecomputedOpinions
from engine.simulation.replay import Replay, ReplayConfig, ReplayResult
from engine.simulation.replay_source import ReplaySource
from engine.strategies import STRATEGIES
from engine.trading.config import BrakeMode
from engine.trading.sleeves import LiveOpinions

Series = Mapping[Instrument, CandleArrays]
COINS = ("BTC", "ETH", "SOL")
ALL = dict.fromkeys(STRATEGIES, "{}")
EMPTY = digest_of([])


def config(strategies: Mapping[str, str] = ALL, brake: BrakeMode = BrakeMode.OFF) -> ReplayConfig:
    return ReplayConfig(strategies, Decimal(10_000), brake=brake)


def series_of(bars: int | None, coins: tuple[str, ...] = COINS) -> Series:
    return dict(recorded(coin, bars) for coin in coins)


def replay_of(series: Series, source: ReplaySource, settings: ReplayConfig) -> Replay:
    opinions = PrecomputedOpinions({instrument.key: candles for instrument, candles in series.items()})
    return Replay(source, settings, opinions)


def run(series: Series, settings: ReplayConfig | None = None) -> ReplayResult:
    source = ReplaySource(series)
    result = replay_of(series, source, settings or config()).run(source.bars)
    assert result is not None
    return result


def run_threaded(series: Series) -> ReplayResult:
    """One thread reads the market, another takes the events from a queue, as in the running engine."""
    source = ReplaySource(series)
    replay = replay_of(series, source, config())
    queue: Queue[MarketEvent | None] = Queue(64)

    def produce() -> None:
        for event in source.events():
            queue.put(event)
        queue.put(None)

    def consume() -> None:
        while (event := queue.get()) is not None:
            replay.step(event)

    threads = [Thread(target=produce), Thread(target=consume)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return replay.result(1.0)


@pytest.fixture(scope="module")
def real() -> Series:
    return series_of(8000)


@pytest.fixture(scope="module")
def first_run(real: Series) -> ReplayResult:
    return run(real)


def test_run_when_repeated_then_identical_to_the_last_digit(real: Series, first_run: ReplayResult) -> None:
    second = run(real)
    assert first_run.digest == second.digest != EMPTY
    assert len(first_run.fills) > 100
    assert (first_run.final_equity, first_run.fees) == (second.final_equity, second.fees)
    assert first_run.equity == second.equity


def test_run_when_the_files_are_shuffled_then_the_same_digest(real: Series, first_run: ReplayResult) -> None:
    shuffled = {instrument: real[instrument] for instrument in sorted(real, key=lambda one: one.base, reverse=True)}
    assert list(shuffled) != list(real)
    assert run(shuffled).digest == first_run.digest


def test_step_when_events_come_from_another_thread_then_the_same_digest(real: Series, first_run: ReplayResult) -> None:
    assert run_threaded(real).digest == first_run.digest


@pytest.mark.parametrize(
    ("bars", "coins", "strategies"),
    [
        (3000, ("BTC",), ("momentum",)),
        (3000, ("BTC",), ("mean_reversion",)),
        (3000, ("BTC",), ("breakout",)),
        (2400, COINS, tuple(STRATEGIES)),
        pytest.param(20_000, COINS, tuple(STRATEGIES), marks=[pytest.mark.long, pytest.mark.timeout(900)]),
    ],
)
def test_run_when_the_strategy_sees_only_the_window_then_the_same_digest(
    bars: int, coins: tuple[str, ...], strategies: tuple[str, ...]
) -> None:
    series, settings = series_of(bars, coins), config(dict.fromkeys(strategies, "{}"))
    source = ReplaySource(series)
    live = Replay(source, settings, LiveOpinions()).run(source.bars)
    assert live is not None
    assert len(live.fills) > 0
    assert live.digest == run(series, settings).digest


def test_run_when_sized_then_cash_positions_and_fees_balance(first_run: ReplayResult) -> None:
    cash, held = Decimal(10_000), dict.fromkeys({fill.instrument for fill in first_run.fills}, Decimal(0))
    for fill in first_run.fills:
        held[fill.instrument] += fill.side.sign * fill.quantity
        cash -= fill.side.sign * fill.quantity * fill.price + fill.fee
    # what is held is valued at the last close
    closes = {
        instrument.key: Decimal(repr(float(candles.close[-1]))) for instrument, candles in series_of(8000).items()
    }
    equity = cash + sum(quantity * closes[key] for key, quantity in held.items())
    assert equity == pytest.approx(first_run.final_equity, abs=Decimal("0.0001"))
    assert first_run.fees == sum(fill.fee for fill in first_run.fills)


def test_run_when_the_brake_latches_then_stopped_and_flat() -> None:
    instrument, candles = made(4000, seed=5)
    settings = ReplayConfig(ALL, Decimal(10_000), costs=PaperCosts.plain(Decimal(1000)), brake=BrakeMode.LATCH)
    result = run({instrument: candles}, settings)
    assert result.stopped_at is not None
    assert "emergency brake" in result.stop_reason
    assert sum(fill.side.sign * fill.quantity for fill in result.fills) == 0
    assert all(fill.at <= result.equity[-1].at for fill in result.fills)
    assert result.equity[-1].equity == result.final_equity


def test_run_when_the_brake_resets_then_trading_goes_on() -> None:
    instrument, candles = made(4000, seed=5)
    costs = PaperCosts.plain(Decimal(1000))
    latched = run({instrument: candles}, ReplayConfig(ALL, Decimal(10_000), costs=costs))
    reset = ReplayConfig(ALL, Decimal(10_000), costs=costs, brake=BrakeMode.RESET, brake_reset_days=5)
    assert len(run({instrument: candles}, reset).fills) > len(latched.fills)


def test_run_when_progress_says_no_then_nothing_is_returned() -> None:
    instrument, candles = made(3000)
    source = ReplaySource({instrument: candles})
    seen: list[tuple[int, int]] = []

    def progress(done: int, total: int) -> bool:
        seen.append((done, total))
        return done < 1000

    assert replay_of({instrument: candles}, source, config()).run(source.bars, progress) is None
    assert seen[-1][0] < 2000
    assert seen[-1][1] == 3000


@pytest.mark.long
@pytest.mark.timeout(900)
def test_run_when_all_years_of_three_coins_then_every_path_agrees() -> None:
    series = series_of(None)
    first = run(series)
    assert first.bars > 190_000
    assert run(dict(reversed(list(series.items())))).digest == first.digest
    assert run_threaded(series).digest == first.digest
