"""Sizes: the schedule against its reference, the caps, and the properties that keep money safe."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shared_data import shared_path

from engine.domain.errors import BadInput
from engine.domain.instruments import Instrument, Kind
from engine.quant.sizing import aggressive_risk_ratio
from engine.risk.limits import RiskConfig, RiskMode, Sizer
from engine.risk.sizing import (
    Elsewhere,
    SizeRequest,
    conviction_share,
    is_dust,
    missing_input,
    order_quantity,
    risk_ratio,
    room,
    target_quantity,
)

D = Decimal
NAN = D("NaN")
UNUSABLE = [None, NAN, D("sNaN"), D("Infinity"), D("-Infinity")]
WIDE = RiskConfig(max_position_share=D(10), max_leverage=D(10))


@pytest.fixture
def request_(perpetual: Instrument) -> SizeRequest:
    """1 % of 10,000 at a stop of 500 is 0.2 BTC, worth 12,000: leverage allows it."""
    return SizeRequest(
        conviction=1.0,
        stop_distance=D(500),
        price=D(60_000),
        instrument=perpetual,
        sleeve_equity=D(10_000),
        book_equity=D(10_000),
        config=WIDE,
    )


# The schedule


def test_risk_ratio_when_compared_with_the_reference_then_agrees_to_twelve_digits() -> None:
    cases = json.loads(shared_path("cases/quant/risk_ratio_schedule.json").read_text(encoding="utf-8"))
    for case in cases["cases"]:
        balance = D(str(case["inputs"]["balance"]))
        ratio = risk_ratio(RiskMode(case["inputs"]["mode"]), balance)
        assert abs(ratio - D(repr(case["expected"]["risk_ratio"]))) <= D("1E-12"), case["id"]
        amount = D(repr(case["expected"]["risk_amount"]))
        assert abs(ratio * balance - amount) <= D("1E-8"), case["id"]


@given(st.decimals(0, 200_000, places=2))
@settings(max_examples=100, deadline=None)
def test_risk_ratio_when_aggressive_then_agrees_with_the_float_schedule(equity: Decimal) -> None:
    ratio = risk_ratio(RiskMode.AGGRESSIVE, equity)
    assert float(ratio) == pytest.approx(aggressive_risk_ratio(float(equity)), abs=1e-12)
    assert D("0.005") <= ratio <= D("0.02")


@given(st.decimals(0, 200_000, places=2), st.decimals(0, 50_000, places=2))
@settings(max_examples=60, deadline=None)
def test_risk_ratio_when_equity_grows_then_never_rises(equity: Decimal, more: Decimal) -> None:
    assert risk_ratio(RiskMode.AGGRESSIVE, equity + more) <= risk_ratio(RiskMode.AGGRESSIVE, equity)


@pytest.mark.parametrize("mode", RiskMode)
@pytest.mark.parametrize("equity", [D("-0.01"), NAN, D("Infinity")], ids=str)
def test_risk_ratio_when_equity_is_unusable_then_risks_nothing(mode: RiskMode, equity: Decimal) -> None:
    assert risk_ratio(mode, equity) == 0


def test_risk_ratio_when_conservative_then_one_percent_of_any_equity() -> None:
    assert {risk_ratio(RiskMode.CONSERVATIVE, D(equity)) for equity in (0, 1, 64_921, 10**9)} == {D("0.01")}


# Targets


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "0.2"),
        ({"conviction": -1.0}, "-0.2"),
        ({"conviction": 0.5}, "0.1"),
        ({"conviction": 7.0}, "0.2"),
        ({"conviction": 0.00001}, "0"),
        ({"stop_distance": D(700)}, "0.142"),
        ({"sleeve_equity": D(5_000)}, "0.1"),
        ({"quote_rate": D(2)}, "0.1"),
        ({"notional_cap": D(3_000)}, "0.05"),
        ({"notional_cap": D(-1)}, "0"),
        ({"config": RiskConfig()}, "0.05"),
        ({"config": RiskConfig(max_position_share=D(5))}, "0.166"),
        ({"config": RiskConfig(max_position_share=D("0.5")), "book_equity": D(3_000)}, "0.025"),
        ({"config": WIDE.model_copy(update={"mode": RiskMode.AGGRESSIVE})}, "0.4"),
        ({"config": RiskConfig(sizer=Sizer.WEIGHTS)}, "0.166"),
        ({"config": RiskConfig(sizer=Sizer.WEIGHTS), "stop_distance": None, "conviction": -0.5}, "-0.083"),
        ({"config": RiskConfig(sizer=Sizer.WEIGHTS), "cost_rate": D("0.01")}, "0.165"),
    ],
)
def test_target_when_known_then_conviction_times_risk_over_stop_within_the_caps(
    changes: dict[str, Any], expected: str, request_: SizeRequest
) -> None:
    assert target_quantity(replace(request_, **changes)) == D(expected)


@pytest.mark.parametrize("conviction", [None, float("nan"), float("inf"), float("-inf"), 0.0])
def test_target_when_there_is_no_opinion_then_zero(conviction: float | None, request_: SizeRequest) -> None:
    assert target_quantity(replace(request_, conviction=conviction)) == 0


@pytest.mark.parametrize("bad", [*UNUSABLE, D(0), D(-1)], ids=str)
@pytest.mark.parametrize("field", ["stop_distance", "price", "sleeve_equity", "book_equity", "quote_rate"])
def test_target_when_an_input_is_unusable_then_zero(field: str, bad: Any, request_: SizeRequest) -> None:
    assert target_quantity(replace(request_, **{field: bad})) == 0


@pytest.mark.parametrize("bad", [NAN, D("Infinity"), D(-1)], ids=str)
def test_target_when_cost_or_cap_is_unusable_then_zero(bad: Decimal, request_: SizeRequest) -> None:
    assert target_quantity(replace(request_, cost_rate=bad)) == 0
    assert target_quantity(replace(request_, notional_cap=bad)) == 0


def test_target_when_the_stop_cannot_be_placed_then_zero(request_: SizeRequest) -> None:
    assert target_quantity(replace(request_, stop_distance=D("0.09"))) == 0
    below_a_tick = replace(request_, stop_distance=D("59999.95"), sleeve_equity=D(10**9), book_equity=D(10**9))
    assert target_quantity(below_a_tick) == 0
    assert target_quantity(replace(below_a_tick, conviction=-1.0)) < 0


def test_target_when_spot_then_never_short_and_never_leveraged(request_: SizeRequest, spot: Instrument) -> None:
    held = replace(request_, instrument=spot)
    assert target_quantity(replace(held, conviction=-1.0)) == 0
    assert target_quantity(held) == D("0.16666")
    assert target_quantity(replace(held, cost_rate=D("0.001"))) == D("0.16650")


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("price", "price"),
        ("quote_rate", "quote rate"),
        ("sleeve_equity", "equity of the strategy"),
        ("book_equity", "equity of the book"),
    ],
)
def test_missing_input_when_a_fact_is_unknown_then_named(field: str, name: str, request_: SizeRequest) -> None:
    changes: dict[str, Any] = {field: None}
    assert missing_input(replace(request_, **changes)) == name
    assert missing_input(replace(request_, stop_distance=None, conviction=None)) == ""


def test_conviction_share_when_a_float_then_its_shortest_digits() -> None:
    assert str(conviction_share(0.1)) == "0.1"


convictions = st.floats(-1, 1)
money = st.decimals("0.01", "1000000", places=2)
shares = st.decimals("0.01", "3", places=2)


@st.composite
def requests(draw: st.DrawFn) -> SizeRequest:
    spot = draw(st.booleans())
    instrument = Instrument(
        "demo",
        "BTC",
        "USDT",
        Kind.SPOT if spot else Kind.PERPETUAL,
        D("0.01"),
        D(draw(st.sampled_from(["0.00001", "0.003", "1", "10"]))),
        D(5),
        D(draw(st.integers(1, 20))),
    )
    config = RiskConfig(
        mode=draw(st.sampled_from(RiskMode)),
        max_position_share=draw(shares),
        max_leverage=D(draw(st.integers(1, 10))),
    )
    book = draw(money)
    return SizeRequest(
        conviction=draw(convictions),
        stop_distance=draw(st.decimals("0.01", "5000", places=2)),
        price=draw(st.decimals("0.01", "100000", places=2)),
        instrument=instrument,
        sleeve_equity=draw(st.decimals("0.01", book, places=2)),
        book_equity=book,
        config=config,
        notional_cap=draw(st.none() | money),
        quote_rate=draw(st.decimals("0.5", "2", places=4)),
        cost_rate=draw(st.decimals("0", "0.01", places=4)),
    )


@given(requests())
@settings(max_examples=200, deadline=None)
def test_target_when_any_request_then_within_every_cap_and_on_the_lot(request: SizeRequest) -> None:
    price, rate, sleeve, book = request.price, request.quote_rate, request.sleeve_equity, request.book_equity
    assert price is not None
    assert rate is not None
    assert sleeve is not None
    assert book is not None
    target, instrument, config = target_quantity(request), request.instrument, request.config
    notional = abs(target) * price * rate
    assert notional <= config.max_position_share * min(sleeve, book)
    leverage = D(1) if instrument.kind is Kind.SPOT else min(config.max_leverage, instrument.max_leverage)
    assert notional <= leverage * sleeve
    assert notional <= (notional if request.notional_cap is None else request.notional_cap)
    assert target % instrument.lot_size == 0
    assert instrument.can_short or target >= 0
    assert request.conviction is not None
    assert target * D(request.conviction) >= 0


@given(requests())
@settings(max_examples=200, deadline=None)
def test_target_when_stopped_out_then_loses_at_most_the_risk_ratio_of_equity(request: SizeRequest) -> None:
    assert request.stop_distance is not None
    assert request.quote_rate is not None
    assert request.sleeve_equity is not None
    assert request.book_equity is not None
    loss = abs(target_quantity(request)) * request.stop_distance * request.quote_rate
    assert loss <= risk_ratio(request.config.mode, request.book_equity) * request.sleeve_equity


@given(requests(), convictions, convictions)
@settings(max_examples=150, deadline=None)
def test_target_when_conviction_rises_then_never_falls(request: SizeRequest, one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert target_quantity(replace(request, conviction=low)) <= target_quantity(replace(request, conviction=high))


# Room


@pytest.mark.parametrize(
    ("elsewhere", "direction", "expected"),
    [
        (Elsewhere(D(0), D(0)), 1, 4_000),
        (Elsewhere(D(7_000), D(0)), 1, 3_000),
        (Elsewhere(D(0), D(1_500)), 1, 2_500),
        (Elsewhere(D(0), D(1_500)), -1, 5_500),
        (Elsewhere(D(12_000), D(0)), 1, 0),
        (Elsewhere(None, D(0)), 1, 0),
        (Elsewhere(D(0), NAN), 1, 0),
    ],
)
def test_room_when_others_hold_something_then_the_nearer_limit_decides(
    elsewhere: Elsewhere, direction: int, expected: int, config: RiskConfig
) -> None:
    assert room(config, D(10_000), elsewhere, direction) == expected


def test_room_when_equity_is_unknown_then_none_and_a_wrong_direction_is_refused(config: RiskConfig) -> None:
    assert room(config, None, Elsewhere(D(0), D(0)), 1) == 0
    with pytest.raises(BadInput, match="direction 0"):
        room(config, D(1), Elsewhere(D(0), D(0)), 0)


# Orders


@pytest.mark.parametrize(
    ("target", "held", "working", "expected", "why"),
    [
        ("1", "0", "0", "1", "opens"),
        ("1", "0.4", "0.6", "0", "what works counts"),
        ("1", "0.95", "0", "0", "under 10 % of the target"),
        ("1", "0.9", "0", "0.1", "exactly 10 % of the target"),
        ("0.5", "1", "0", "-0.5", "reduces"),
        ("0", "0.001", "0", "-0.001", "to zero without a threshold"),
        ("0", "1", "-1", "0", "already on its way out"),
        ("-1", "1", "0", "-1", "a change of sign goes to zero first"),
        ("-1", "1", "-1", "-1", "and on once zero is on its way"),
        ("0.04", "0", "0", "0", "under the venue's minimum"),
        ("0.05", "0", "0", "0.05", "exactly the venue's minimum"),
        ("1", "0.0005", "0", "0.999", "a fee in coins left a fraction of a lot"),
    ],
)
def test_order_when_target_and_position_are_known_then_the_difference(
    target: str, held: str, working: str, expected: str, why: str, perpetual: Instrument
) -> None:
    assert order_quantity(D(target), D(held), D(working), perpetual, D(100)) == D(expected), why


@pytest.mark.parametrize("bad", [None, NAN, D(0), D(-1)], ids=str)
def test_order_when_the_price_is_unknown_then_only_to_zero(bad: Decimal | None, perpetual: Instrument) -> None:
    assert order_quantity(D(1), D(0), D(0), perpetual, bad) == 0
    assert order_quantity(D(0), D(1), D(0), perpetual, bad) == -1


@pytest.mark.parametrize(("target", "held", "working"), [(NAN, D(0), D(0)), (D(1), NAN, D(0)), (D(0), D(1), NAN)])
def test_order_when_a_quantity_is_not_a_number_then_none(
    target: Decimal, held: Decimal, working: Decimal, perpetual: Instrument
) -> None:
    assert order_quantity(target, held, working, perpetual, D(100)) == 0


lots = st.integers(-10_000, 10_000).map(lambda n: D(n) * D("0.001"))


@given(lots, lots, lots)
@settings(max_examples=200, deadline=None)
def test_order_when_filled_then_the_next_one_settles_and_a_third_never_follows(
    target: Decimal, held: Decimal, working: Decimal
) -> None:
    btc = Instrument("demo", "BTC", "USDT", Kind.PERPETUAL, D("0.1"), D("0.001"), D(5), D(10))
    first = order_quantity(target, held, working, btc, D(100))
    assert first % btc.lot_size == 0
    second = order_quantity(target, held + first, working, btc, D(100))
    if second:
        assert target * (held + working) < 0
    assert order_quantity(target, held + first + second, working, btc, D(100)) == 0


@given(lots, lots)
@settings(max_examples=100, deadline=None)
def test_order_when_sent_then_never_passes_the_target(target: Decimal, held: Decimal) -> None:
    btc = Instrument("demo", "BTC", "USDT", Kind.PERPETUAL, D("0.1"), D("0.001"), D(5), D(10))
    after = held + order_quantity(target, held, D(0), btc, D(100))
    assert min(held, target) <= after <= max(held, target)


@pytest.mark.parametrize(
    ("quantity", "dust"), [("0", True), ("0.0009", True), ("0.049", True), ("0.05", False), ("-0.05", False)]
)
def test_dust_when_under_a_lot_or_the_minimum_then_named(quantity: str, dust: bool, perpetual: Instrument) -> None:
    assert is_dust(D(quantity), perpetual, D(100)) is dust
