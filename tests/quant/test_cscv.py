"""Probability of backtest overfitting against two libraries and a plain loop, on noise and on skill."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from engine.quant import cscv
from engine.quant.arrays import FloatArray
from tests.quant.reference import assert_close, case_of, reference

CASES = ["noise_T160_N10_S8", "noise_T240_N8_S10", "noise_T160_N12_S8_seed22"]


@pytest.mark.parametrize("case_id", CASES)
def test_overfitting_when_compared_with_reference_then_equal(case_id: str) -> None:
    content = reference("pbo_cscv")
    assert {case["id"] for case in content["cases"]} == set(CASES)
    case = case_of(content, case_id)
    expected = case["expected"]
    found = cscv.backtest_overfitting(case["inputs"]["returns_T_by_N"], case["inputs"]["S"])
    assert len(found.logits) == expected["n_combinations"]
    assert_close([found.probability] * 2, [expected["pbo_pypbo"], expected["pbo_holdout"]], content["tolerance"])
    assert_close(found.logits.mean(), expected["mean_logit"], content["tolerance"])
    assert_close(found.probability_of_loss, expected["prob_oos_loss"], content["tolerance"])


def _plain(table: FloatArray, blocks: int) -> FloatArray:
    """Logits by the definition, one halving after the other."""
    parts = np.split(table, blocks)
    logits = []
    for chosen in combinations(range(blocks), blocks // 2):
        inside = np.concatenate([parts[i] for i in chosen])
        outside = np.concatenate([parts[i] for i in range(blocks) if i not in chosen])
        best = int(np.argmax(inside.mean(axis=0) / inside.std(axis=0, ddof=1)))
        rank = stats.rankdata(outside.mean(axis=0) / outside.std(axis=0, ddof=1))[best]
        share = rank / (table.shape[1] + 1)
        logits.append(math.log(share / (1.0 - share)))
    return np.array(logits)


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10_000), trials=st.integers(2, 7), blocks=st.sampled_from([4, 6]))
def test_overfitting_when_compared_with_the_definition_then_equal(seed: int, trials: int, blocks: int) -> None:
    table = np.random.default_rng(seed).normal(0.001, 0.02, (10 * blocks, trials))
    found = cscv.backtest_overfitting(table, blocks)
    np.testing.assert_allclose(found.logits, _plain(table, blocks), atol=1e-9)
    assert 0.0 <= found.probability <= 1.0


def test_overfitting_when_trials_are_worthless_then_about_half() -> None:
    generator = np.random.default_rng(4)
    found = [cscv.backtest_overfitting(generator.normal(0.0, 0.02, (320, 20)), 8).probability for _ in range(60)]
    assert np.mean(found) == pytest.approx(0.5, abs=0.1)


def test_overfitting_when_one_trial_has_skill_then_near_zero() -> None:
    table = np.random.default_rng(4).normal(0.0, 0.02, (800, 20))
    table[:, 3] += 0.006
    found = cscv.backtest_overfitting(table)
    assert len(found.logits) == 12_870
    assert found.probability < 0.01
    assert found.probability_of_loss < 0.01


def test_overfitting_when_all_trials_are_the_same_then_every_choice_is_the_median() -> None:
    table = np.tile(np.random.default_rng(1).normal(0.0, 0.02, (80, 1)), 7)
    found = cscv.backtest_overfitting(table, 8)
    assert (found.logits == 0.0).all()
    assert found.probability == 1.0


def test_overfitting_when_a_trial_never_traded_then_ranked_between_gain_and_loss() -> None:
    generator = np.random.default_rng(2)
    winner, loser = (generator.normal(mean, 0.001, 80) for mean in (0.01, -0.01))
    found = cscv.backtest_overfitting(np.column_stack((np.zeros(80), loser, loser)), 8)
    assert (found.logits == math.log(3.0)).all()
    assert cscv.backtest_overfitting(np.column_stack((np.zeros(80), winner)), 8).probability == 0.0


def test_overfitting_when_rows_do_not_fill_the_blocks_then_the_oldest_are_left_out() -> None:
    table = np.random.default_rng(2).normal(0.0, 0.02, (83, 5))
    found = cscv.backtest_overfitting(table, 8)
    assert found.rows_used == 80
    np.testing.assert_allclose(found.logits, cscv.backtest_overfitting(table[3:], 8).logits)


@pytest.mark.parametrize("blocks", [2, 5, 22, 0])
def test_overfitting_when_blocks_are_impossible_then_refused(blocks: int) -> None:
    with pytest.raises(ValueError, match="blocks"):
        cscv.backtest_overfitting(np.ones((100, 3)), blocks)


@pytest.mark.parametrize("shape", [(15, 4), (100, 1)])
def test_overfitting_when_there_is_too_little_then_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="8 blocks need 2 and 16 at least"):
        cscv.backtest_overfitting(np.ones(shape), 8)


def test_overfitting_when_a_return_is_nan_then_refused_by_place() -> None:
    table = np.ones((32, 3))
    table[5, 2] = math.nan
    with pytest.raises(ValueError, match="trial 2 has nan at row 5"):
        cscv.backtest_overfitting(table, 8)
