"""Wishes whose order would be below a venue's minimum: counted once until they change, as the core would find."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from kernel_cases import Cases
from kernel_twin import GivenOpinions, candles_of, difference, kernel_of, replay_of, request_with

from engine.domain.instruments import Instrument, InstrumentKey, Kind
from engine.domain.market import Bars
from engine.domain.portfolio import Idea
from engine.exchanges.paper import PaperCosts
from engine.market.funding import FundingSeries
from engine.risk.limits import RiskConfig, Sizer
from engine.risk.sizing import is_dust
from engine.simulation.kernel_request import KernelRequest, View
from engine.simulation.replay import Replay, ReplayConfig
from engine.simulation.replay_source import ReplaySource
from engine.trading.book import Book

COARSE = Instrument("aa", "BTC", "USDT", Kind.SPOT, Decimal("0.1"), Decimal("0.001"), Decimal(300))
"""No order below 300 USDT: three coins at 100."""
CALM = (100.0, 101.0, 99.0, 100.0, 1e6)
NONE = float("nan")


def wished(convictions: Sequence[float], cash: str, distance: float = 10.0) -> KernelRequest:
    candles = candles_of([CALM] * len(convictions))
    view = View(np.array(convictions, dtype=np.float64), np.full(len(candles), distance))
    views = {"momentum": {COARSE.key: view}}
    costs, risk = PaperCosts.plain(Decimal(0)), RiskConfig()
    return request_with({COARSE: candles}, views, costs=costs, risk=risk, cash=Decimal(cash))


@pytest.mark.parametrize(
    ("convictions", "cash", "distance", "count"),
    [
        pytest.param([1, 1, 1, 1], "500", 10.0, 1, id="one wish that lasts"),
        pytest.param([0.5, 1, 0.2, 1], "500", 10.0, 1, id="a wish of another size is the same"),
        pytest.param([1, 0, 1, 0, 1], "500", 10.0, 3, id="each new wish"),
        pytest.param([1, NONE, NONE, 1], "500", 10.0, 1, id="no view changes nothing"),
        pytest.param([-1, -1, 0, -1], "500", 10.0, 0, id="spot is never short"),
        pytest.param([1, 1, 0, 1], "100000", 10.0, 0, id="orders that are large enough"),
        pytest.param([1, 1, 0, 1], "500", 0.0, 0, id="without a stop there is another reason"),
    ],
)
def test_wishes_when_too_small_for_the_venue_then_counted_until_they_change(
    convictions: list[float], cash: str, distance: float, count: int
) -> None:
    request = wished(convictions, cash, distance)
    result = kernel_of(request)
    assert result.below_minimum == count
    assert difference(result, replay_of(request)) == ""


class Coarse(Cases):
    """Random requests on venues that take no small order."""

    def _instrument(self, coin: str) -> Instrument:
        return replace(super()._instrument(coin), min_notional=Decimal(self._one_of("200", "1500", "6000")))


@pytest.mark.parametrize("seed", range(25))
def test_count_when_compared_with_the_ideas_of_the_core_then_the_same(seed: int) -> None:
    request = Coarse(seed, many=True).request()
    assert kernel_of(request).below_minimum == counted_by_hand(request)


def counted_by_hand(request: KernelRequest) -> int:
    """What the ideas of the core say, read after every close of a replay that lives through all of them."""
    replay, source = replay_to_step(request)
    count, last = 0, dict[tuple[str, InstrumentKey], int]()
    for event in source.events():
        replay.step(event)
        for sleeve in replay._loop.book.sleeves.values():
            for key, idea in sleeve.ideas.items():
                if idea.at != event.at or not isinstance(event, Bars):
                    continue
                sign = too_small(replay._loop.book, idea)
                if sign is not None:
                    count += sign not in (0, last.get((sleeve.name, key), 0))
                    last[sleeve.name, key] = sign
    return count


def too_small(book: Book, idea: Idea) -> int | None:
    """The sign of a wish that is too small, 0 for none; None where the strategy has no view or leaves it alone."""
    if idea.outcome.startswith(("no view", "target")):
        return None
    price, instrument = book.price(idea.instrument), book.ledger.instruments[idea.instrument]
    assert price is not None
    opens = idea.conviction > 0 or (idea.conviction < 0 and instrument.can_short)
    stop = idea.stop_distance or Decimal(0)
    unsized = book.risk.sizer is not Sizer.WEIGHTS and (
        stop < instrument.tick_size or (idea.conviction > 0 and price - stop < instrument.tick_size)
    )
    if (
        not opens
        or unsized
        or not is_dust(idea.target, instrument, price)
        or idea.outcome.startswith(("stopped out", "cancels"))
    ):
        return 0
    if book.tracker.working(idea.strategy, idea.instrument) or not is_dust(idea.held, instrument, price):
        return 0
    return 1 if idea.conviction > 0 else -1


def replay_to_step(request: KernelRequest) -> tuple[Replay, ReplaySource]:
    series = {one.instrument: one.candles for one in request.series}
    funding: dict[InstrumentKey, FundingSeries | None] = {
        one.instrument.key: one.funding for one in request.series if one.instrument.can_short
    }
    source = ReplaySource(series, funding)
    names = dict.fromkeys(request.views, "{}")
    days = request.brake_reset_days
    config = ReplayConfig(names, request.cash, request.costs, request.risk, request.brake, days)
    rows = {i.key: {ms: row for row, ms in enumerate(c.opened_at_ms.tolist())} for i, c in series.items()}
    return Replay(source, config, GivenOpinions(request.views, rows)), source
