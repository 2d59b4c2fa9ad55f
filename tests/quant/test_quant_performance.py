"""Performance ratios against empyrical and quantstats, and what they say when they mean nothing."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.quant import performance
from engine.quant.arrays import FloatArray
from tests.quant.reference import assert_close, case_of, reference, skip_listed
from tests.shared_data import shared_path

CASE = "synthetic_t4_180_daily365"
Metric = Callable[[FloatArray], float]


def _share_of_wins(returns: FloatArray) -> float:
    return performance.win_rate(int((returns > 0).sum()), int((returns != 0).sum())).rate


IMPLEMENTED: dict[str, dict[str, Metric]] = {
    "empyrical": {
        "sharpe": performance.sharpe,
        "sharpe_rf_daily_0.0001": lambda r: performance.sharpe(r, risk_free=0.0001),
        "sortino_req0": performance.sortino,
        "downside_risk": performance.downside_risk,
        "annual_vol": performance.annualised_volatility,
        "cagr": performance.cagr,
        "total_return": performance.total_return,
        "max_drawdown": performance.max_drawdown,
        "calmar": performance.calmar,
        "omega_0": performance.profit_factor,
    },
    "quantstats": {
        "sharpe": performance.sharpe,
        "sortino": performance.sortino,
        "max_drawdown": performance.max_drawdown,
        "profit_factor": performance.profit_factor,
        "win_rate": _share_of_wins,
        "payoff_ratio": performance.payoff_ratio,
    },
}
NOT_IMPLEMENTED = {
    ("empyrical", "value_at_risk_5pct"): "interpolated quantile; the product uses the order statistic (tailrisk)",
    ("empyrical", "cvar_5pct"): "rounds the tail down; the product uses Rockafellar-Uryasev (tailrisk)",
    ("empyrical", "stability"): "not shown anywhere",
    ("empyrical", "tail_ratio"): "not shown anywhere",
    ("quantstats", "ulcer_index"): "not shown anywhere",
    ("quantstats", "kelly_criterion"): "ignores cost and estimation error; see sizing.kelly_discrete",
}


@pytest.mark.parametrize(("library", "name"), [(lib, name) for lib, names in IMPLEMENTED.items() for name in names])
def test_metric_when_compared_with_reference_then_equal(library: str, name: str) -> None:
    content = reference("performance_metrics")
    case = case_of(content, CASE)
    actual = IMPLEMENTED[library][name](np.array(case["inputs"]["returns"]))
    assert_close(actual, case["expected"][library][name], content["tolerance"])


@pytest.mark.parametrize(("library", "name"), NOT_IMPLEMENTED)
def test_metric_when_not_implemented_then_skipped_by_name(library: str, name: str) -> None:
    present = set(case_of(reference("performance_metrics"), CASE)["expected"][library])
    assert present == set(IMPLEMENTED[library]) | {key for lib, key in NOT_IMPLEMENTED if lib == library}
    skip_listed({key: why for (lib, key), why in NOT_IMPLEMENTED.items() if lib == library}, name, present)


def test_metric_when_all_returns_are_gains_then_ratios_are_undefined() -> None:
    content = reference("performance_metrics")
    case = case_of(content, "all_positive_5")
    returns = case["inputs"]["returns"]
    expected = case["expected"]["empyrical"]
    assert_close(performance.sharpe(returns), expected["sharpe"], content["tolerance"])
    assert performance.max_drawdown(returns) == expected["max_drawdown"] == 0.0
    assert expected["sortino_req0"] == "inf"
    assert math.isnan(performance.sortino(returns))
    assert math.isnan(performance.calmar(returns))


def test_drawdown_when_compared_with_price_path_then_equal() -> None:
    content = reference("performance_metrics")
    case = case_of(content, "price_path_11")
    close = np.array(case["inputs"]["close"], dtype=np.float64)
    falls = performance.drawdowns(close[1:] / close[:-1] - 1.0)
    assert_close(falls.min(), case["expected"]["max_drawdown"], content["tolerance"])
    deepest = sorted(row["drawdown"] for row in case["expected"]["ffn_drawdown_details"])
    starts = np.flatnonzero((falls < 0.0) & (np.concatenate(([0.0], falls[:-1])) == 0.0))
    ends = [int(start + np.argmax(np.append(falls[start:], 0.0) == 0.0)) for start in starts]
    assert_close(
        sorted(falls[start:end].min() for start, end in zip(starts, ends, strict=True)), deepest, content["tolerance"]
    )


def test_metrics_when_bitcoin_2022_is_measured_then_published_values() -> None:
    hours = pd.read_parquet(shared_path("data/spot_binance/BTC_USDT-1h.parquet"), columns=["timestamp", "close"])
    days = hours.groupby(hours["timestamp"] // 86_400_000)["close"].last()
    first, last = (datetime(2022, *day, tzinfo=UTC).timestamp() // 86_400 for day in ((1, 1), (12, 31)))
    returns = days.loc[first:last].pct_change().dropna().to_numpy()
    assert len(returns) == 364
    assert performance.sharpe(returns) == pytest.approx(-1.343, abs=5e-4)
    assert performance.sortino(returns) == pytest.approx(-1.765, abs=5e-4)
    assert performance.max_drawdown(returns) == pytest.approx(-0.6693, abs=5e-5)
    assert performance.calmar(returns) == pytest.approx(-0.978, abs=5e-4)


@pytest.mark.parametrize(
    "metric",
    [
        performance.sharpe,
        performance.sortino,
        performance.cagr,
        performance.max_drawdown,
        performance.calmar,
        performance.total_return,
        performance.downside_risk,
        performance.annualised_volatility,
        performance.profit_factor,
        performance.payoff_ratio,
    ],
)
def test_metric_when_there_are_no_returns_then_nan(metric: Metric) -> None:
    assert math.isnan(metric(np.array([])))


@pytest.mark.parametrize("value", [0.0, 0.001, -0.02])
def test_sharpe_when_returns_never_vary_then_nan(value: float) -> None:
    assert math.isnan(performance.sharpe([value] * 50))


def test_cagr_when_more_than_everything_is_lost_then_nan() -> None:
    assert math.isnan(performance.cagr([-1.5, 0.1]))
    assert performance.cagr([-1.0, 0.1]) == -1.0


def test_cagr_when_growth_cannot_be_annualised_then_nan() -> None:
    assert math.isnan(performance.cagr([9.0]))


returns_lists = st.lists(st.floats(-0.5, 0.5), min_size=2, max_size=60)


@settings(max_examples=60, deadline=None)
@given(returns=returns_lists, scale=st.floats(0.01, 1.0))
def test_sharpe_when_returns_are_levered_then_unchanged(returns: list[float], scale: float) -> None:
    plain, levered = performance.sharpe(returns), performance.sharpe(np.array(returns) * scale)
    if not (math.isnan(plain) or math.isnan(levered)) and np.std(returns) > 1e-6:
        assert levered == pytest.approx(plain, rel=1e-6, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(returns=returns_lists)
def test_drawdown_when_more_returns_come_then_never_shallower(returns: list[float]) -> None:
    assert -1.0 <= performance.max_drawdown(returns) <= performance.max_drawdown(returns[:-1]) <= 0.0


@pytest.mark.parametrize("case_id", ["34_of_50", "75_of_100", "340_of_500", "7_of_10"])
def test_win_rate_when_compared_with_reference_then_equal(case_id: str) -> None:
    content = reference("win_rate")
    case = case_of(content, case_id)
    actual = performance.win_rate(case["inputs"]["wins"], case["inputs"]["trades"])
    assert_close(actual.rate, case["expected"]["win_rate"], content["tolerance"])
    assert_close([actual.low, actual.high], case["expected"]["wilson95"], content["tolerance"])


@pytest.mark.parametrize("case_id", ["breakeven_0.5", "breakeven_0.68"])
def test_breakeven_when_compared_with_reference_then_equal(case_id: str) -> None:
    content = reference("win_rate")
    case = case_of(content, case_id)
    (expected,) = case["expected"].values()
    assert_close(performance.breakeven_payoff_ratio(case["inputs"]["win_rate"]), expected, content["tolerance"])


@pytest.mark.parametrize("case_id", ["34_of_50", "75_of_100", "340_of_500", "7_of_10"])
def test_exact_win_rate_and_p_value_when_compared_with_reference_then_equal(case_id: str) -> None:
    content = reference("win_rate")
    case = case_of(content, case_id)
    wins, trades = case["inputs"]["wins"], case["inputs"]["trades"]
    actual = performance.exact_win_rate(wins, trades)
    assert_close([actual.low, actual.high], case["expected"]["clopper_pearson95"], content["tolerance"])
    p_value = case["expected"]["p_vs_50pct_one_sided"]
    assert performance.win_rate_p_value(wins, trades) == pytest.approx(p_value, rel=1e-9)


@settings(max_examples=40, deadline=None)
@given(wins=st.integers(0, 300), losses=st.integers(0, 300), rate=st.floats(0.01, 0.99))
def test_exact_win_rate_when_counted_then_its_ends_are_where_the_tails_hold_a_fortieth(
    wins: int, losses: int, rate: float
) -> None:
    trades = wins + losses
    exact = performance.exact_win_rate(wins, trades)
    upper, lower = (
        performance.win_rate_p_value(wins, trades, rate),
        performance.win_rate_p_value(losses, trades, 1 - rate),
    )
    assert 0.0 <= upper <= 1.0
    assert upper + lower >= 1.0 - 1e-9  # both hold the chance of exactly so many
    if trades == 0:
        assert math.isnan(exact.low)
        return
    assert 0.0 <= exact.low <= exact.rate <= exact.high <= 1.0
    if wins:
        assert performance.win_rate_p_value(wins, trades, exact.low) == pytest.approx(0.025, rel=1e-9)
    if losses:
        assert performance.win_rate_p_value(losses, trades, 1.0 - exact.high) == pytest.approx(0.025, rel=1e-9)


@pytest.mark.parametrize(
    ("wins", "trades", "rate"), [(2, 1, 0.5), (-1, 1, 0.5), (1, 1, 0.0), (1, 1, 1.0), (1, 2, math.nan)]
)
def test_win_rate_p_value_when_argument_is_impossible_then_refused(wins: int, trades: int, rate: float) -> None:
    with pytest.raises(ValueError, match=r"impossible|fair_rate"):
        performance.win_rate_p_value(wins, trades, rate)


@settings(max_examples=60, deadline=None)
@given(wins=st.integers(0, 200), losses=st.integers(0, 200))
def test_win_rate_when_counted_then_interval_holds_the_rate(wins: int, losses: int) -> None:
    rate = performance.win_rate(wins, wins + losses)
    if wins + losses == 0:
        assert math.isnan(rate.rate)
        assert math.isnan(rate.low)
    else:
        assert 0.0 <= rate.low <= rate.rate <= rate.high <= 1.0


@pytest.mark.parametrize(("wins", "trades", "confidence"), [(2, 1, 0.95), (-1, 1, 0.95), (1, 1, 1.0), (1, 1, 0.0)])
def test_win_rate_when_argument_is_impossible_then_refused(wins: int, trades: int, confidence: float) -> None:
    with pytest.raises(ValueError, match=r"impossible|confidence"):
        performance.win_rate(wins, trades, confidence)
    with pytest.raises(ValueError, match=r"impossible|confidence"):
        performance.exact_win_rate(wins, trades, confidence)


def test_breakeven_when_nothing_ever_wins_then_nan() -> None:
    assert math.isnan(performance.breakeven_payoff_ratio(0.0))
