"""Figures of trades: win rates never alone, shares by hand, reasons where nothing can be said."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.quant import performance, tradefigures
from engine.quant.summary import Measure
from tests.quant.reference import assert_close, reference


def test_trades_when_win_rates_of_the_reference_are_rebuilt_then_equal() -> None:
    content = reference("win_rate")
    for case in content["cases"]:
        if "trades" not in case["inputs"]:
            continue
        wins, trades = case["inputs"]["wins"], case["inputs"]["trades"]
        found = tradefigures.trade_figures([1.0] * wins + [-1.0] * (trades - wins)).win_rate
        assert_close(found.rate, case["expected"]["win_rate"], content["tolerance"])
        assert_close([found.low, found.high], case["expected"]["wilson95"], content["tolerance"])


def test_trades_when_three_in_four_win_and_still_lose_then_payoff_is_below_breakeven() -> None:
    found = tradefigures.trade_figures([2.0, 2.0, 2.0, -7.0])
    assert found.win_rate.rate == 0.75
    assert found.payoff.value == pytest.approx(2 / 7)
    assert found.breakeven_payoff.value == pytest.approx(1 / 3)
    assert found.expectancy.value == -0.25
    assert found.profit_factor.value == pytest.approx(6 / 7)


@settings(max_examples=60, deadline=None)
@given(results=st.lists(st.floats(0.01, 100.0) | st.floats(-100.0, -0.01), min_size=1, max_size=40))
def test_trades_when_the_payoff_beats_breakeven_then_the_expectancy_is_positive(results: list[float]) -> None:
    found = tradefigures.trade_figures(results)
    payoff, needed, mean = found.payoff.value, found.breakeven_payoff.value, found.expectancy.value
    assert mean is not None
    if payoff is not None and needed is not None and abs(payoff / needed - 1.0) > 1e-9:
        assert (payoff > needed) == (mean > 0.0)


@pytest.mark.parametrize(
    ("results", "payoff", "breakeven", "expectancy", "factor"),
    [
        ([], "there are no trades", "there are no trades", "there are no trades", "there are no trades"),
        ([1.0], "no trade lost", "", "", "no trade lost"),
        ([-1.0], "no trade won", "no trade won", "", ""),
        ([0.0], "no trade won", "no trade won", "", "no trade lost"),
    ],
)
def test_trades_when_a_figure_is_undefined_then_it_says_why(
    results: list[float], payoff: str, breakeven: str, expectancy: str, factor: str
) -> None:
    found = tradefigures.trade_figures(results)
    measures = (found.payoff, found.breakeven_payoff, found.expectancy, found.profit_factor)
    assert [measure.reason for measure in measures] == [payoff, breakeven, expectancy, factor]
    assert all((measure.value is None) == bool(measure.reason) for measure in measures)


def test_trades_when_a_result_is_nan_then_refused() -> None:
    with pytest.raises(ValueError, match="net_results: nan at index 1"):
        tradefigures.trade_figures([1.0, math.nan])


def test_exposure_when_bad_or_missing_then_refused_or_undefined() -> None:
    assert tradefigures.exposure([]).share_of_bars == Measure(None, "there are no bars")
    assert tradefigures.exposure([2.0, 0.0]).mean_gross.value == 1.0
    with pytest.raises(ValueError, match="shorts count as positive"):
        tradefigures.exposure([-0.1])
    with pytest.raises(ValueError, match="index 0"):
        tradefigures.exposure([math.nan])


def test_turnover_when_the_book_is_turned_once_a_day_then_365_a_year() -> None:
    assert tradefigures.turnover(np.full(30, 100.0), np.full(30, 100.0)).value == pytest.approx(365.0)
    assert tradefigures.turnover([-50.0, 50.0], [100.0, 100.0], 2.0).value == pytest.approx(1.0)


def test_turnover_when_there_is_no_equity_then_undefined_with_a_reason() -> None:
    assert tradefigures.turnover([], []).reason == "there are no bars"
    assert tradefigures.turnover([1.0], [0.0]).reason == "the mean equity is not above 0"


@pytest.mark.parametrize(
    ("traded", "equity", "periods"),
    [([1.0], [1.0, 2.0], 365.0), ([math.nan], [1.0], 365.0), ([1.0], [math.inf], 365.0), ([1.0], [1.0], 0.0)],
)
def test_turnover_when_input_is_bad_then_refused(traded: list[float], equity: list[float], periods: float) -> None:
    with pytest.raises(ValueError, match=r"length|traded_notionals|equities|periods_per_year"):
        tradefigures.turnover(traded, equity, periods)


def test_cost_share_when_costs_exceed_the_gross_profit_then_above_one() -> None:
    assert tradefigures.cost_share(-10.0, 40.0).value == pytest.approx(4 / 3)
    assert tradefigures.cost_share(10.0, -2.0).value == pytest.approx(-0.25)
    with pytest.raises(ValueError, match="finite"):
        tradefigures.cost_share(math.nan, 1.0)


@settings(max_examples=40, deadline=None)
@given(prices=st.lists(st.floats(1.0, 1e5), min_size=2, max_size=30), cost_bps=st.floats(0.0, 200.0))
def test_buy_and_hold_when_compounded_then_last_over_first_less_one_purchase(
    prices: list[float], cost_bps: float
) -> None:
    returns = tradefigures.buy_and_hold_returns(prices, cost_bps)
    expected = prices[-1] / prices[0] / (1.0 + cost_bps / 1e4) - 1.0
    # a fall to a hundred-thousandth leaves so few digits of the factor it is multiplied by
    assert performance.total_return(returns) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(
    ("prices", "cost_bps"), [([1.0], 0.0), ([1.0, 0.0], 0.0), ([1.0, math.nan], 0.0), ([1.0, 2.0], -1.0)]
)
def test_buy_and_hold_when_input_is_bad_then_refused(prices: list[float], cost_bps: float) -> None:
    with pytest.raises(ValueError, match=r"price|cost_bps"):
        tradefigures.buy_and_hold_returns(prices, cost_bps)
