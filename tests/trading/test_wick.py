"""One bad wick moves no trailing stop."""

from __future__ import annotations

import pytest

from engine.domain.commands import ConfigureRisk
from engine.risk.limits import RiskConfig
from tests.trading.harness import PERP, D, Desk

TITLE = "A price too far away moved no trailing stop"


def _trailing(conviction: float) -> Desk:
    desk = Desk(PERP)
    desk.command(ConfigureRisk("test", RiskConfig(trail=D(1)).model_dump_json()))
    desk.want(conviction)
    desk.bar("100")
    desk.bar("100")
    assert desk.held() * D(conviction) > 0
    return desk


def _stop(desk: Desk) -> object:
    (stop,) = desk.book.tracker.stops("momentum", desk.key)
    return stop.stop_price


@pytest.mark.parametrize(
    ("conviction", "wick", "lies", "then"),
    [(1.0, {"high": "500"}, 90, 92), (-1.0, {"low": "20"}, 110, 108)],
    ids=["high of a long", "low of a short"],
)
def test_wick_when_beyond_the_band_then_the_stop_stays_and_follows_the_next_candle(
    conviction: float, wick: dict[str, str], lies: int, then: int
) -> None:
    desk = _trailing(conviction)
    desk.bar("100", **wick)
    assert _stop(desk) == lies
    better = "102" if conviction > 0 else "98"
    desk.bar("100", better, better)
    assert _stop(desk) == then
    assert desk.held() != 0


def test_wick_when_inside_the_band_then_the_stop_follows() -> None:
    desk = _trailing(1.0)
    desk.bar("100", high="299")
    assert _stop(desk) == 289


def test_wick_when_it_comes_again_then_told_once_until_a_candle_is_believed() -> None:
    desk = _trailing(1.0)
    desk.bar("100", high="500")
    desk.bar("100", high="600")
    assert desk.notices.count(TITLE) == 1
    desk.bar("100")
    desk.bar("100", high="500")
    assert desk.notices.count(TITLE) == 2


def test_wick_when_nothing_trails_then_nothing_is_told() -> None:
    desk = Desk(PERP)
    desk.want(1.0)
    desk.bar("100")
    desk.bar("100", high="500")
    desk.bar("100", high="500")
    assert TITLE not in desk.notices
