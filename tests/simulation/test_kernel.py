"""The kernel makes the trades of the replay: on random candles and on real ones."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kernel_cases import Cases
from kernel_twin import difference, kernel_of, replay_of
from recorded_candles import recorded

from engine.domain.errors import BadInput
from engine.exchanges.paper import PaperCosts
from engine.risk.limits import RiskConfig, RiskMode, Sizer
from engine.simulation.kernel import request_of, run_kernel
from engine.simulation.opinions import PrecomputedOpinions
from engine.simulation.replay import Replay, ReplayConfig
from engine.simulation.replay_source import ReplaySource
from engine.strategies import REFERENCES, STRATEGIES
from engine.trading.config import BrakeMode

COINS = ("BTC", "ETH", "SOL")
SEEDS = st.integers(0, 2**32 - 1)
SMALL = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow], database=None
)


def _check(seed: int, *, many: bool) -> None:
    request = Cases(seed, many=many).request()
    try:
        ours = kernel_of(request)
    except BadInput as error:
        assert "funding rate" in str(error)  # noqa: PT017 -- random stamps may leave a hole at the end
        return
    assert difference(ours, replay_of(request)) == ""


@SMALL
@given(SEEDS)
def test_run_when_one_spot_instrument_then_the_fills_of_the_replay(seed: int) -> None:
    _check(seed, many=False)


@SMALL
@given(SEEDS)
def test_run_when_venues_strategies_and_perpetuals_mix_then_the_fills_of_the_replay(seed: int) -> None:
    _check(seed, many=True)


@pytest.mark.long
@pytest.mark.timeout(900)
@settings(SMALL, max_examples=2000)
@given(SEEDS)
def test_run_when_many_more_cases_then_the_fills_of_the_replay(seed: int) -> None:
    _check(seed, many=True)


def _same(config: ReplayConfig, bars: int | None, coins: tuple[str, ...]) -> int:
    series = dict(recorded(coin, bars) for coin in coins)
    source = ReplaySource(series)
    ours = run_kernel(request_of(config, source))
    opinions = PrecomputedOpinions({instrument.key: candles for instrument, candles in series.items()})
    theirs = Replay(source, config, opinions).run(source.bars)
    assert ours is not None
    assert theirs is not None
    assert difference(ours, theirs) == ""
    return len(ours.fills)


@pytest.mark.parametrize("name", sorted({*STRATEGIES, *REFERENCES}))
def test_run_when_real_candles_then_every_strategy_trades_as_in_the_replay(name: str) -> None:
    sizer = Sizer.WEIGHTS if name in REFERENCES else Sizer.RISK
    config = ReplayConfig({name: "{}"}, Decimal(10_000), risk=RiskConfig(sizer=sizer), brake=BrakeMode.OFF)
    assert _same(config, 4000, ("BTC",)) > 10


@pytest.mark.parametrize("mode", list(RiskMode))
@pytest.mark.parametrize("brake", list(BrakeMode))
def test_run_when_three_coins_share_the_cash_then_the_fills_of_the_replay(mode: RiskMode, brake: BrakeMode) -> None:
    config = ReplayConfig(
        dict.fromkeys(STRATEGIES, "{}"),
        Decimal(10_000),
        costs=PaperCosts(taker_bps=Decimal(60)),
        risk=RiskConfig(mode=mode),
        brake=brake,
        brake_reset_days=3,
    )
    assert _same(config, 3000, COINS) > 50


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("coin", COINS)
def test_run_when_all_years_then_the_fills_of_the_replay(coin: str) -> None:
    config = ReplayConfig(dict.fromkeys(STRATEGIES, "{}"), Decimal(10_000), brake=BrakeMode.OFF)
    assert _same(config, None, (coin,)) > 500


def test_run_when_progress_says_no_then_nothing_is_returned() -> None:
    request = Cases(1, many=False).request()
    assert run_kernel(request, lambda done, total: False) is None


def test_run_when_repeated_then_identical_to_the_last_bit() -> None:
    request = Cases(7, many=True).request()
    first, second = kernel_of(request), kernel_of(request)
    assert first.fills.tobytes() == second.fills.tobytes()
    assert np.array_equal(first.equity, second.equity)
