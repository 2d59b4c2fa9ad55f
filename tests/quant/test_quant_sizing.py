"""Risk-ratio schedule, Kelly and ATR leverage against exact numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.quant import indicators, sizing
from engine.quant.sizing import LeverageRule
from tests.quant.reference import assert_close, case_of, reference

SCHEDULE = ["B_0", "B_10000", "B_20000", "B_32500", "B_55000", "B_77500", "B_100000"]
BETS = ["even_money_p53", "b1p5_p55_loss1", "win1pct_loss1p5pct_p70", "negative_edge"]


@pytest.mark.parametrize("case_id", SCHEDULE)
def test_risk_ratio_when_compared_with_reference_then_equal(case_id: str) -> None:
    content = reference("risk_ratio_schedule")
    case = case_of(content, case_id)
    balance = case["inputs"]["balance"]
    ratio = sizing.aggressive_risk_ratio(balance)
    assert_close(ratio, case["expected"]["risk_ratio"], content["tolerance"])
    assert_close(ratio * balance, case["expected"]["risk_amount"], {"rel": 1e-12})
    assert {case["id"] for case in content["cases"]} == set(SCHEDULE)


def test_risk_amount_when_searched_then_peaks_where_documented() -> None:
    facts = reference("risk_ratio_schedule")["symbolic_check"]
    balances = np.linspace(10_000.0, 100_000.0, 90_001)
    amounts = [balance * sizing.aggressive_risk_ratio(balance) for balance in balances]
    assert balances[int(np.argmax(amounts))] == pytest.approx(facts["argmax_risk_amount_B"], abs=1.0)
    assert max(amounts) == pytest.approx(facts["max_risk_amount_on_interval"], abs=1e-4)


@settings(max_examples=60, deadline=None)
@given(low=st.floats(0, 1e6), high=st.floats(0, 1e6))
def test_risk_ratio_when_balance_grows_then_never_rises(low: float, high: float) -> None:
    small, large = sorted((low, high))
    assert 0.005 <= sizing.aggressive_risk_ratio(large) <= sizing.aggressive_risk_ratio(small) <= 0.02


@pytest.mark.parametrize("ratio", [sizing.aggressive_risk_ratio, sizing.conservative_risk_ratio])
def test_risk_ratio_when_balance_is_negative_or_unknown_then_nothing_is_risked(ratio: object) -> None:
    assert callable(ratio)
    assert ratio(-1.0) == 0.0
    with pytest.raises(ValueError, match="NaN"):
        ratio(float("nan"))


@pytest.mark.parametrize("case_id", BETS)
def test_kelly_when_bet_is_compared_with_reference_then_equal(case_id: str) -> None:
    case = case_of(reference("kelly"), case_id)
    (win, loss), (p, _) = case["inputs"]["outcome_per_unit_staked"], case["inputs"]["prob"]
    full = sizing.kelly_discrete(p, win, -loss)
    growth = p * math.log1p(full * win) + (1 - p) * math.log1p(full * loss)
    assert_close(full, case["expected"]["full_kelly_fraction"], case["tolerance"])
    assert_close(growth, case["expected"]["log_growth_per_bet"], case["tolerance"])
    assert_close(sizing.fractional_kelly(full, 0.5, cap=100.0), case["expected"]["half_kelly"], case["tolerance"])


def test_kelly_when_published_example_is_compared_then_equal() -> None:
    case = case_of(reference("kelly"), "thorp_2006_sp500_continuous")
    mu, sigma, r = (case["inputs"][name] for name in ("mu", "sigma", "r"))
    full = sizing.kelly_continuous(mu, sigma, r)
    assert_close(full, case["expected"]["full_kelly"], case["tolerance"])
    for share, name in ((1.0, "full"), (0.5, "half"), (2.0, "double")):
        growth = sizing.kelly_growth(share * full, mu, sigma, r)
        assert_close(growth, case["expected"][f"growth_rate_{name}"], case["tolerance"])


def test_kelly_when_crypto_example_is_compared_then_equal() -> None:
    content = reference("kelly")
    case = case_of(content, "crypto_mu100_vol60")
    full = sizing.kelly_continuous(case["inputs"]["mu"], case["inputs"]["sigma"], case["inputs"]["r"])
    assert_close(full, case["expected"]["full_kelly"], case["tolerance"])
    assert_close(sizing.fractional_kelly(full, 0.5, 9.0), case["expected"]["half_kelly"], case["tolerance"])
    assert_close(sizing.fractional_kelly(full, cap=9.0), case["expected"]["quarter_kelly"], case["tolerance"])
    known = {*BETS, "thorp_2006_sp500_continuous", "crypto_mu100_vol60"}
    assert {case["id"] for case in content["cases"]} == known


@settings(max_examples=60, deadline=None)
@given(p=st.floats(0.0, 1.0), win=st.floats(0.01, 5.0), loss=st.floats(0.01, 1.0))
def test_kelly_when_there_is_no_edge_then_zero(p: float, win: float, loss: float) -> None:
    stake = sizing.kelly_discrete(p, win, loss)
    assert stake >= 0.0
    assert (stake > 1e-9) == (p * win - (1 - p) * loss > 1e-9 * win * loss)


def test_kelly_when_volatility_is_unknown_then_nan() -> None:
    assert math.isnan(sizing.kelly_continuous(0.1, 0.0))
    assert math.isnan(sizing.fractional_kelly(float("nan")))


@pytest.mark.parametrize("arguments", [(1.1, 1.0, 1.0), (0.5, 0.0, 1.0), (0.5, 1.0, -1.0), (float("nan"), 1.0, 1.0)])
def test_kelly_when_argument_is_impossible_then_refused(arguments: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match=r"win_probability|positive"):
        sizing.kelly_discrete(*arguments)


@pytest.mark.parametrize("share", [0.0, 1.5])
def test_fractional_kelly_when_share_is_impossible_then_refused(share: float) -> None:
    with pytest.raises(ValueError, match="share is"):
        sizing.fractional_kelly(1.0, share)


@pytest.mark.parametrize("case_id", ["target0.02_k2.0", "target0.02_k3.0"])
def test_leverage_when_series_is_compared_with_reference_then_equal(case_id: str) -> None:
    content = reference("atr_leverage")
    case = case_of(content, case_id)
    inputs = case["inputs"]
    rule = LeverageRule(inputs["target_risk_per_trade"], inputs["atr_stop_multiple"], maximum=inputs["max"])
    atr = indicators.atr(inputs["high"], inputs["low"], inputs["close"], inputs["atr_n"])
    actual = [sizing.atr_leverage(a, price, rule) for a, price in zip(atr, inputs["close"], strict=True)]
    # where the ATR is not known yet the reference has no value, and the rule of the product is 1x
    expected = [1.0 if value is None else value for value in case["expected"]["leverage"]]
    assert_close(actual, expected, content["tolerance"])


@pytest.mark.parametrize(("case_id", "expected"), [("cap", 10.0), ("zero_atr", 1.0)])
def test_leverage_when_single_case_then_capped_or_refused(case_id: str, expected: float) -> None:
    inputs = case_of(reference("atr_leverage"), case_id)["inputs"]
    rule = LeverageRule(inputs["target_risk_per_trade"], inputs["atr_stop_multiple"])
    assert sizing.atr_leverage(inputs["atr"], inputs["price"], rule) == expected


@pytest.mark.parametrize(("atr", "price"), [(float("nan"), 1.0), (1.0, float("nan")), (-1.0, 1.0), (1.0, 0.0)])
def test_leverage_when_risk_is_unknown_then_never_levered(atr: float, price: float) -> None:
    assert sizing.atr_leverage(atr, price, LeverageRule()) == 1.0
    assert not sizing.stop_inside_liquidation(1.0, atr, price, LeverageRule())


@settings(max_examples=100, deadline=None)
@given(atr=st.floats(1e-6, 0.3), margin=st.floats(0.0, 0.05), buffer=st.floats(0.0, 0.05), risk=st.floats(0.001, 1.0))
def test_leverage_when_chosen_then_stop_lies_inside_liquidation(
    atr: float, margin: float, buffer: float, risk: float
) -> None:
    rule = LeverageRule(risk, 2.0, margin, buffer)
    leverage = sizing.atr_leverage(atr, 1.0, rule)
    assert 1.0 <= leverage <= 10.0
    assert sizing.stop_inside_liquidation(leverage * (1 - 1e-12), atr, 1.0, rule)
