"""The walk ahead stops at every instant that may change anything, one reason at a time, and at no other."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from engine.simulation import walk
from engine.simulation.walk import Records, Sights, Standing, next_lived

ROWS, BARRIER, HOUR_MS = 12, 11, 3_600_000
SPOT, PERP = 0, 1


class Scene:
    """One spot coin held by one strategy, just as large as it wishes, and a perpetual nobody holds; nothing moves."""

    def __init__(self) -> None:
        price = np.repeat([[100.0], [50.0]], ROWS, axis=1)
        convictions = np.repeat([[0.5], [np.nan]], ROWS, axis=1)
        rows = np.arange(ROWS, dtype=np.int64)
        no = np.zeros((2, ROWS), dtype=np.bool_)
        self.sights = Sights(
            rows * HOUR_MS, no[0].copy(), price, price + 0.5, price - 0.5, np.stack((rows, rows)), no.copy(),
            convictions, np.full((2, ROWS), 50.0), np.array([[True] * ROWS, [False] * ROWS]),
        )  # fmt: skip
        self.book = _record(walk.Book, cash=9900.0, units=10_000.0, peak=2.0, brake=np.inf, maintenance=0.05)
        self.book[["oldest_ms", "share", "exposure", "concentration"]] = (np.inf, 0.3, 1.0, 0.4)
        self.book[["untouched", "ratio_high", "ratio_low"]] = (0.1, 0.01, 0.01)
        self.book[["schedule_start", "schedule_end"]] = (1e4, 1e5)
        self.positions = _record(walk.Position, tick=0.01, lot=0.001, least=5.0, leverage=1.0, allowed=1.0, count=2)
        self.positions["quantity"] = (1.0, 0.0)
        self.positions["coin"] = self.positions["is_derivative"] = (0, 1)
        self.places = _record(walk.Place, count=2)
        self.places["held"], self.places["cost"], self.places["lane"] = (1.0, 0.0), (100.0, 0.0), (0, 1)
        self.strategies = _record(walk.Strategy, weight=1.0, peak=1000.0, is_asked=1)
        self.resting = _record(walk.Resting, count=0)
        self.balances = np.array([9900.0])

    def hold_perpetual(self, quantity: float, balance: float) -> None:
        self.positions["quantity"][PERP], self.positions["cost"][PERP] = quantity, quantity * 50.0
        self.balances[0] = balance

    def rest(self, price: float, *, is_below: bool, begin: int = 1) -> None:
        self.resting = _record(walk.Resting, price=price, is_below=is_below, begin=begin)

    def answer(self, row: int, conviction: float, *, wants: bool = True) -> None:
        self.sights.convictions[SPOT, row], self.sights.wants[SPOT, row] = conviction, wants

    def next(self, row: int = 0) -> int:
        standing = Standing(self.book, self.positions, self.places, self.strategies, self.resting, self.balances)
        return next_lived(self.sights, standing, row, BARRIER)


def _record(kind: np.dtype, count: int = 1, **values: float) -> Records:
    rows = np.zeros(count, dtype=kind)
    for name, value in values.items():
        rows[name] = value
    return rows


def turn(scene: Scene) -> None:
    scene.sights.forced[5] = True


def stop_reached(scene: Scene) -> None:
    scene.rest(95.0, is_below=True)
    scene.sights.low[SPOT, 5] = 95.0


def target_reached(scene: Scene) -> None:
    scene.rest(120.0, is_below=False)
    scene.sights.high[SPOT, 5] = 120.0


def book_peak(scene: Scene) -> None:
    scene.book["peak"] = 1.0005
    scene.sights.price[SPOT, 5] = 105.0


def strategy_peak(scene: Scene) -> None:
    scene.strategies["peak"] = 5.0
    scene.sights.price[SPOT, 5] = 105.0


def brake(scene: Scene) -> None:
    scene.book[["peak", "brake"]] = (1.001, 0.0025)
    scene.sights.price[SPOT, 5] = 80.0


def ruin(scene: Scene) -> None:
    scene.book["cash"] = -100.0
    scene.sights.price[SPOT] = 101.0
    scene.sights.price[SPOT, 5] = 99.0
    scene.sights.convictions[SPOT] = np.nan


def funding(scene: Scene) -> None:
    scene.hold_perpetual(1.0, 5000.0)
    scene.sights.funded[PERP, 5] = True


def liquidation_of_a_long(scene: Scene) -> None:
    scene.hold_perpetual(100.0, 300.0)  # at (5000 - 300) / (100 - 5) = 49.47
    scene.sights.low[PERP, 5] = 49.4


def liquidation_of_a_short(scene: Scene) -> None:
    scene.hold_perpetual(-100.0, 300.0)  # at (-5000 - 300) / (-100 - 5) = 50.48
    scene.sights.high[PERP] = 50.4
    scene.sights.high[PERP, 5] = 50.5


def liquidation_by_another_loss(scene: Scene) -> None:
    scene.hold_perpetual(100.0, 300.0)  # at 49.53, with a loss of 20 beside it at 49.73
    scene.positions["is_derivative"][SPOT], scene.positions["cost"][SPOT] = 1, 100.0
    scene.sights.price[SPOT, 5] = 80.0
    scene.sights.low[PERP] = 49.6


def stale(scene: Scene) -> None:
    scene.book["oldest_ms"] = 4.0 * HOUR_MS
    scene.sights.closed_row[SPOT, 1:] = 0
    scene.sights.convictions[SPOT, 1:] = np.nan


def turned(scene: Scene) -> None:
    scene.answer(5, -0.5)
    scene.positions["least"] = 1e9


def out_of_range(scene: Scene) -> None:
    scene.answer(5, 1.1)
    scene.positions["least"] = 1e9


def gone(scene: Scene) -> None:
    scene.answer(5, 0.0, wants=False)


def wished_by_the_idle(scene: Scene) -> None:
    scene.places["held"][SPOT] = scene.positions["quantity"][SPOT] = 0.0
    scene.sights.wants[SPOT] = False
    scene.sights.wants[SPOT, 5] = True


def latch_released(scene: Scene) -> None:
    scene.places["held"][SPOT] = scene.positions["quantity"][SPOT] = 0.0
    scene.places["latch"][SPOT] = 1
    scene.answer(5, 0.0, wants=False)


def latch_turned(scene: Scene) -> None:
    scene.places["latch"][SPOT] = 3
    scene.answer(5, -0.5)


def nearer_stop(scene: Scene) -> None:
    scene.sights.distances[SPOT, 5] = 40.0  # wishes 1.25


def no_stop(scene: Scene) -> None:
    scene.positions["least"] = 500.0
    scene.sights.distances[SPOT, 5] = np.nan


def stop_beyond_zero(scene: Scene) -> None:
    scene.positions["least"] = 500.0
    scene.sights.distances[SPOT, 5] = 100.5


def stop_within_a_tick(scene: Scene) -> None:
    scene.positions["least"] = 5000.0
    scene.sights.distances[SPOT, 5] = 0.009


def larger_capital(scene: Scene) -> None:
    scene.book[["ratio_high", "ratio_low"]] = (0.02, 0.005)
    scene.book[["cash", "units"]] = (39_900.0, 40_000.0)
    scene.sights.convictions[SPOT] = 0.1  # of 1.26 %, wishes 1.008
    scene.answer(5, 0.125)


STOPS = (
    turn, stop_reached, target_reached, book_peak, strategy_peak, brake, ruin, funding, liquidation_of_a_long,
    liquidation_of_a_short, liquidation_by_another_loss, stale, turned, out_of_range, gone, wished_by_the_idle,
    latch_released, latch_turned, nearer_stop, no_stop, stop_beyond_zero, stop_within_a_tick, larger_capital,
)  # fmt: skip


@pytest.mark.parametrize("happens", STOPS, ids=lambda happens: happens.__name__)
def test_walk_when_something_may_happen_then_it_stops_there(happens: Callable[[Scene], None]) -> None:
    scene = Scene()
    happens(scene)
    assert scene.next() == 5


@pytest.mark.parametrize("limit", ["share", "exposure", "concentration"])
def test_walk_when_a_limit_cuts_the_position_then_it_stops_at_once(limit: str) -> None:
    scene = Scene()
    scene.book[limit] = 0.005
    assert scene.next() == 1


def test_walk_when_leverage_cuts_the_position_then_it_stops_at_once() -> None:
    scene = Scene()
    scene.positions["allowed"] = 0.005
    assert scene.next() == 1


def nothing(scene: Scene) -> None:
    pass


def over(scene: Scene) -> None:
    scene.book["is_over"] = 1
    wished_by_the_idle(scene)


def near_enough(scene: Scene) -> None:
    scene.sights.distances[SPOT, 5] = 47.0  # wishes 1.06


def no_view(scene: Scene) -> None:
    scene.answer(5, np.nan)


def paused(scene: Scene) -> None:
    scene.strategies["is_asked"] = 0
    scene.answer(5, 0.0, wants=False)


def dust(scene: Scene) -> None:
    scene.positions["least"] = 101.0
    scene.answer(5, 0.0, wants=False)


def waits_after_its_stop(scene: Scene) -> None:
    scene.places["held"][SPOT] = scene.positions["quantity"][SPOT] = 0.0
    scene.places["latch"][SPOT] = 1


def waits_for_its_target(scene: Scene) -> None:
    scene.places["latch"][SPOT] = 3
    scene.answer(5, 1.0)


def no_cash_for_more(scene: Scene) -> None:
    scene.sights.convictions[SPOT] = 1.0  # wishes 2
    scene.balances[0] = 0.0


def margin_claims_the_cash(scene: Scene) -> None:
    scene.sights.convictions[SPOT] = 1.0
    scene.hold_perpetual(20.0, 1000.0)


def weights(scene: Scene) -> None:
    scene.book["by_weight"] = 1
    scene.sights.convictions[SPOT] = 0.01
    scene.sights.distances[SPOT] = np.nan


def funding_of_nothing(scene: Scene) -> None:
    scene.sights.funded[PERP, 5] = True


def schedule(scene: Scene) -> None:
    larger_capital(scene)
    scene.answer(5, 0.1)


def short_of_its_limits(scene: Scene) -> None:
    scene.rest(95.0, is_below=True)
    scene.sights.low[SPOT, 5], scene.sights.high[SPOT, 5] = 95.01, 120.0


QUIETS = (
    nothing, over, near_enough, no_view, paused, dust, waits_after_its_stop, waits_for_its_target, no_cash_for_more,
    margin_claims_the_cash, weights, funding_of_nothing, schedule, short_of_its_limits,
)  # fmt: skip


@pytest.mark.parametrize("happens", QUIETS, ids=lambda happens: happens.__name__)
def test_walk_when_nothing_can_happen_then_it_goes_up_to_the_barrier(happens: Callable[[Scene], None]) -> None:
    scene = Scene()
    happens(scene)
    assert scene.next() == BARRIER


def test_walk_when_a_stop_was_reached_and_is_still_there_then_it_does_not_move() -> None:
    scene = Scene()
    scene.rest(95.0, is_below=True, begin=1)
    scene.sights.low[SPOT, 2] = 94.0
    assert scene.next(row=3) == 4
    assert scene.next(row=4) == 5


def test_walk_when_a_position_was_stopped_out_in_part_then_it_does_not_move() -> None:
    scene = Scene()
    scene.places["latch"][SPOT] = 1
    assert scene.next() == 1


def test_walk_when_a_price_was_left_behind_then_its_close_is_lived_too() -> None:
    scene = Scene()
    scene.sights.closed_row[PERP, 4:] = 3
    scene.sights.forced[6] = True
    assert [scene.next(row) for row in (0, 3, 6)] == [3, 6, BARRIER]
