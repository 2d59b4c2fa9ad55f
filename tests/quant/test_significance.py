"""Corrections for many tests against statsmodels' numbers and scipy, and what they must never do."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from engine.quant import significance
from engine.quant.overfitting import SharpeSample
from engine.quant.significance import Correction
from tests.quant.reference import assert_close, case_of, reference

p_lists = st.lists(st.floats(0.0, 1.0), min_size=0, max_size=30)


@pytest.mark.parametrize(
    ("case_id", "correction"),
    [("bonferroni", Correction.BONFERRONI), ("fdr_bh", Correction.BENJAMINI_HOCHBERG)],
)
def test_correction_when_compared_with_reference_then_equal(case_id: str, correction: Correction) -> None:
    content = reference("multiple_testing")
    case = case_of(content, case_id)
    raw, level = case["inputs"]["p"], case["inputs"]["alpha"]
    assert_close(significance.adjusted(raw, correction), case["expected"]["p_adjusted"], content["tolerance"])
    assert significance.discoveries(raw, correction, level).tolist() == case["expected"]["reject"]


@settings(max_examples=40, deadline=None)
@given(raw=p_lists.filter(len))
def test_correction_when_compared_with_scipy_then_equal(raw: list[float]) -> None:
    for method, correction in (("bh", Correction.BENJAMINI_HOCHBERG), ("by", Correction.BENJAMINI_YEKUTIELI)):
        expected = stats.false_discovery_control(raw, method=method)
        np.testing.assert_allclose(significance.adjusted(raw, correction), expected, atol=1e-12)


def test_holm_when_computed_by_hand_then_equal() -> None:
    # 4 * .01, then the larger of that and 3 * .02, then 2 * .03 is smaller than .06 and stays there, then .2
    assert_close(
        significance.adjusted([0.2, 0.03, 0.01, 0.02], Correction.HOLM), [0.2, 0.06, 0.04, 0.06], {"abs": 1e-12}
    )


@settings(max_examples=40, deadline=None)
@given(raw=p_lists, correction=st.sampled_from(Correction))
def test_correction_when_applied_then_no_p_value_falls_and_order_stays(
    raw: list[float], correction: Correction
) -> None:
    found = significance.adjusted(raw, correction)
    assert (found >= np.array(raw)).all()
    assert (found <= 1.0).all()
    assert (np.diff(found[np.argsort(raw, kind="stable")]) >= 0.0).all()


@settings(max_examples=40, deadline=None)
@given(raw=p_lists)
def test_corrections_when_compared_then_the_stricter_never_finds_more(raw: list[float]) -> None:
    bonferroni, holm, hochberg, yekutieli = (significance.discoveries(raw, correction) for correction in Correction)
    assert (bonferroni <= holm).all()
    assert (holm <= hochberg).all()
    assert (yekutieli <= hochberg).all()


@pytest.mark.parametrize("bad", [-0.01, 1.01, math.nan])
def test_correction_when_a_value_is_no_p_value_then_refused_by_place(bad: float) -> None:
    with pytest.raises(ValueError, match="index 1"):
        significance.adjusted([0.5, bad], Correction.HOLM)


@pytest.mark.parametrize("level", [0.0, 1.0, math.nan])
def test_discoveries_when_the_level_is_impossible_then_refused(level: float) -> None:
    with pytest.raises(ValueError, match="level"):
        significance.discoveries([0.5], Correction.HOLM, level)


def test_sharpe_p_value_when_the_ratio_is_undefined_then_nan() -> None:
    assert math.isnan(significance.sharpe_p_value(SharpeSample(math.nan, 100)))
    assert significance.sharpe_p_value(SharpeSample(0.0, 100)) == pytest.approx(0.5)
    assert significance.t_statistic(SharpeSample(0.05, 900)) == pytest.approx(1.5)
