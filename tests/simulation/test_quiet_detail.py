"""Bars that are passed over while finer candles decide: every order is the same, to the price it was decided at."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from fine_cases import drawn
from held_cases import FIELDS, Known, request_of
from hypothesis import example, given, settings
from hypothesis import strategies as st
from kernel_twin import GivenOpinions

from engine.domain.facts import Outcome
from engine.domain.orders import OrderIntent
from engine.simulation.kernel_request import KernelRequest
from engine.simulation.replay import Replay, ReplayConfig, ReplayResult
from engine.simulation.replay_source import ReplaySource


class Noted(Replay):
    """A replay that keeps every order it sends."""

    def _observe(self, event: object, outcome: Outcome) -> None:
        self.sent = [*getattr(self, "sent", []), *(approved.intent for approved in outcome.approved)]
        super()._observe(event, outcome)


def thin(seed: int) -> KernelRequest:
    """Something is held through calm candles that finer ones decide, in a market that fills a stop only in part."""
    request = request_of(seed)
    thinned = tuple(
        replace(one, candles=replace(one.candles, volume=one.candles.volume * 0 + 40.0)) for one in request.series
    )
    costs = request.costs.model_copy(update={"volume_share": Decimal("0.05"), "carry_bars": seed % 2})
    return drawn(replace(request, series=thinned, costs=costs), seed)


def run_of(request: KernelRequest, opinions: type[GivenOpinions]) -> tuple[ReplayResult, list[OrderIntent]]:
    series = {one.instrument: one.candles for one in request.series}
    funding = {one.instrument.key: one.funding for one in request.series if one.instrument.can_short}
    fine = {one.instrument.key: one.fine.candles for one in request.series if one.fine is not None}
    rows = {i.key: {ms: row for row, ms in enumerate(c.opened_at_ms.tolist())} for i, c in series.items()}
    config = ReplayConfig(
        dict.fromkeys(request.views, "{}"), request.cash, request.costs, request.risk, request.brake,
        request.brake_reset_days,
    )  # fmt: skip
    source = ReplaySource(series, funding, fine=fine)
    replay = Noted(source, config, opinions(request.views, rows))
    result = replay.run(source.bars)
    assert result is not None
    return result, replay.sent


@given(seed=st.integers(0, 2**32))
@example(seed=10)
@settings(max_examples=3, deadline=None)
def test_run_when_finer_candles_decide_and_bars_are_passed_over_then_every_order_is_the_same(seed: int) -> None:
    request = thin(seed)
    (whole, orders), (short, others) = run_of(request, GivenOpinions), run_of(request, Known)
    assert [name for name in FIELDS if getattr(whole, name) != getattr(short, name)] == []
    assert orders == others
