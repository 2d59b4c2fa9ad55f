"""Splits against three libraries, two of them right, and the invariants that no split may break."""

from __future__ import annotations

import math
from math import comb
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.quant import validation
from engine.quant.arrays import IntArray
from engine.quant.validation import Split, WalkForward
from tests.quant.reference import case_of, reference

METHOD = "purged_cv_walk_forward"
HORIZONS = {"n20_k4_h2_e0": 2, "n50_k5_h5_e2pct": 5}


def _as_lists(splits: tuple[Split, ...]) -> list[dict[str, list[int]]]:
    return [{"train": split.train.tolist(), "test": split.test.tolist()} for split in splits]


def _k_fold_case(case_id: str) -> tuple[dict[str, Any], IntArray, tuple[Split, ...]]:
    case = case_of(reference(METHOD), case_id)
    inputs = case["inputs"]
    ends = validation.label_spans(inputs["n"], HORIZONS[case_id])
    return case["expected"], ends, validation.purged_k_fold(ends, inputs["n_splits"], inputs["embargo_bars"])


@pytest.mark.parametrize("case_id", HORIZONS)
def test_purged_k_fold_when_compared_with_reference_then_within_its_bounds(case_id: str) -> None:
    expected, _, splits = _k_fold_case(case_id)
    lower, upper = expected["strict_with_additive_embargo_lower_bound"], expected["afml_snippet_7_3_upper_bound"]
    assert _as_lists(splits) == lower
    for split, most in zip(splits, upper, strict=True):
        assert set(split.train.tolist()) <= set(most["train"])
        assert split.test.tolist() == most["test"]


def test_purged_k_fold_when_there_is_no_embargo_then_equal_to_the_library_that_is_right() -> None:
    expected, _, splits = _k_fold_case("n20_k4_h2_e0")
    assert _as_lists(splits) == expected["holdout"]


@pytest.mark.parametrize("case_id", HORIZONS)
def test_require_separate_when_a_library_leaks_then_refused(case_id: str) -> None:
    expected, ends, splits = _k_fold_case(case_id)
    validation.require_separate(splits, ends)
    leaking = [
        Split(*(np.array(each[side]) for side in ("train", "test"))) for each in expected["mlfinpy_PurgedKFold_LEAKS"]
    ]
    with pytest.raises(ValueError, match="split 1 learns from bar"):
        validation.require_separate(leaking, ends)


def test_combinatorial_when_counted_then_as_many_splits_and_paths_as_the_reference() -> None:
    case = case_of(reference(METHOD), "cpcv_counts")
    for inputs, expected in zip(case["inputs"], case["expected"], strict=True):
        made = validation.combinatorial_purged(validation.label_spans(60, 0), inputs["N"], inputs["k"])
        assert len(made.splits) == expected["n_splits"]
        assert len(made.paths) == expected["n_paths"]


def test_walk_forward_when_rolling_then_equal_to_skfolio() -> None:
    case = case_of(reference(METHOD), "skfolio_wf_train10_test5_purge2")
    splits = validation.walk_forward(case["inputs"]["n"], WalkForward(10, 5, purge_bars=2))
    assert _as_lists(splits) == case["expected"]


def test_walk_forward_when_anchored_then_equal_to_scikit_learn() -> None:
    case = case_of(reference(METHOD), "sklearn_TimeSeriesSplit_n23_s4_gap2_test3")
    inputs = case["inputs"]
    first = inputs["n"] - inputs["n_splits"] * inputs["test_size"] - inputs["gap"]
    windows = WalkForward(first, inputs["test_size"], purge_bars=inputs["gap"], anchored=True)
    assert _as_lists(validation.walk_forward(inputs["n"], windows)) == case["expected"]


@settings(max_examples=60, deadline=None)
@given(
    bars=st.integers(20, 200),
    train=st.integers(1, 10),
    test=st.integers(1, 6),
    purge=st.integers(0, 4),
    extra=st.integers(0, 3),
    anchored=st.booleans(),
)
def test_walk_forward_when_made_then_only_the_past_is_learned_from(
    bars: int, train: int, test: int, purge: int, extra: int, anchored: bool
) -> None:
    splits = validation.walk_forward(bars, WalkForward(train, test, purge, test + extra, anchored))
    for split in splits:
        assert split.train.max() + purge < split.test.min()
        assert len(split.test) == test
        assert split.train[0] == 0 or (not anchored and len(split.train) == train)
    tested = np.concatenate([split.test for split in splits])
    assert len(set(tested.tolist())) == len(tested)
    assert bars - 1 - tested.max() < test + extra
    validation.require_separate(splits, validation.label_spans(bars, purge))


def test_walk_forward_when_test_windows_would_overlap_then_refused() -> None:
    with pytest.raises(ValueError, match="test windows would overlap"):
        WalkForward(train_bars=100, test_bars=30, step_bars=10)


def test_walk_forward_when_bars_are_too_few_then_refused_with_the_number_needed() -> None:
    with pytest.raises(ValueError, match="131 bars are too few; the first window alone needs 132"):
        validation.walk_forward(131, WalkForward(train_bars=100, test_bars=30, purge_bars=2))
    assert len(validation.walk_forward(132, WalkForward(100, 30, 2))) == 1


@pytest.mark.parametrize(
    ("arguments", "name"), [((0, 1, 0), "train_bars"), ((1, 0, 0), "test_bars"), ((1, 1, -1), "purge_bars")]
)
def test_walk_forward_when_a_window_is_empty_then_refused_by_name(arguments: tuple[int, int, int], name: str) -> None:
    with pytest.raises(ValueError, match=name):
        WalkForward(*arguments)


@st.composite
def label_ends(draw: st.DrawFn) -> IntArray:
    """Labels of uneven length, not always in the order of their bars."""
    bars = draw(st.integers(30, 80))
    reach = draw(st.lists(st.integers(0, 4), min_size=bars, max_size=bars))
    ends: IntArray = np.minimum(np.arange(bars) + np.array(reach), bars - 1)
    return ends


def _spans_touch(ends: IntArray, train: int, test: int) -> bool:
    return bool(train <= ends[test] and test <= ends[train])


@settings(max_examples=25, deadline=None)
@given(ends=label_ends(), folds=st.integers(2, 5), embargo=st.integers(0, 3))
def test_purged_k_fold_when_labels_differ_in_length_then_nothing_leaks(
    ends: IntArray, folds: int, embargo: int
) -> None:
    splits = validation.purged_k_fold(ends, folds, embargo)
    assert np.concatenate([split.test for split in splits]).tolist() == list(range(len(ends)))
    for split in splits:
        last = int(ends[split.test].max())
        assert not any(_spans_touch(ends, i, j) for i in split.train for j in split.test)
        assert not set(range(last + 1, last + embargo + 1)) & set(split.train.tolist())
        free = [i for i in range(len(ends)) if ends[i] < split.test[0] or i > last + embargo]
        assert split.train.tolist() == free


@settings(max_examples=15, deadline=None)
@given(ends=label_ends(), groups=st.integers(3, 6), chosen=st.integers(1, 2), embargo=st.integers(0, 2))
def test_combinatorial_when_made_then_nothing_leaks_and_each_path_covers_every_bar_once(
    ends: IntArray, groups: int, chosen: int, embargo: int
) -> None:
    made = validation.combinatorial_purged(ends, groups, chosen, embargo)
    assert len(made.splits) == comb(groups, chosen)
    assert made.paths.shape == (comb(groups, chosen) * chosen // groups, groups)
    for split in made.splits:
        assert not any(_spans_touch(ends, i, j) for i in split.train for j in split.test)
    for group, column in enumerate(made.paths.T):
        assert len(set(column.tolist())) == len(column)
        assert all(set(made.groups[group].tolist()) <= set(made.splits[row].test.tolist()) for row in column)


def test_combinatorial_when_results_are_joined_then_each_bar_comes_from_the_split_of_its_path() -> None:
    made = validation.combinatorial_purged(validation.label_spans(12, 0), groups=3, test_groups=2)
    joined = made.joined([split.test + 100.0 * row for row, split in enumerate(made.splits)])
    assert joined.shape == (2, 12)
    for path, row in enumerate(joined):
        for group, bars in enumerate(made.groups):
            assert row[bars].tolist() == (bars + 100.0 * made.paths[path, group]).tolist()


def test_combinatorial_when_results_do_not_fit_then_refused() -> None:
    made = validation.combinatorial_purged(validation.label_spans(12, 0), groups=3, test_groups=1)
    with pytest.raises(ValueError, match="2 results for 3 splits"):
        made.joined([[0.0] * 4] * 2)
    with pytest.raises(ValueError, match="result 1 has 3 values for 4 test bars"):
        made.joined([[0.0] * 4, [0.0] * 3, [0.0] * 4])


@pytest.mark.parametrize(("groups", "chosen"), [(6, 0), (6, 6), (20, 10)])
def test_combinatorial_when_the_choice_is_impossible_or_too_large_then_refused(groups: int, chosen: int) -> None:
    with pytest.raises(ValueError, match="test_groups"):
        validation.combinatorial_purged(validation.label_spans(60, 0), groups, chosen)


@pytest.mark.parametrize(
    ("ends", "place"),
    [
        ([1, 0, 2], "label 1 ends at 0"),
        ([0, 1, 3], "label 2 ends at 3"),
        ([0, math.nan], "label 1"),
        ([0.5, 1], "label 0"),
    ],
)
def test_purged_k_fold_when_a_label_end_is_impossible_then_refused_by_place(ends: list[float], place: str) -> None:
    with pytest.raises(ValueError, match=place):
        validation.purged_k_fold(ends, 2)


@pytest.mark.parametrize(("bars", "folds"), [(7, 4), (0, 2), (10, 1)])
def test_purged_k_fold_when_there_is_too_little_then_refused(bars: int, folds: int) -> None:
    with pytest.raises(ValueError, match="folds"):
        validation.purged_k_fold(np.arange(bars), folds)


def test_purged_k_fold_when_labels_are_too_long_then_refused() -> None:
    with pytest.raises(ValueError, match="leave nothing to learn from"):
        validation.purged_k_fold(validation.label_spans(20, 15), 2)
    with pytest.raises(ValueError, match="embargo_bars"):
        validation.purged_k_fold(validation.label_spans(20, 1), 2, -1)


def test_holdout_when_labels_reach_into_it_then_they_are_purged() -> None:
    held = validation.final_holdout(validation.label_spans(100, 5), share=0.2)
    assert held.test.tolist() == list(range(80, 100))
    assert held.train.tolist() == list(range(75))


@pytest.mark.parametrize("share", [0.0, 1.0, 0.001, math.nan])
def test_holdout_when_a_side_would_be_empty_then_refused(share: float) -> None:
    with pytest.raises(ValueError, match="holdout"):
        validation.final_holdout(validation.label_spans(100, 0), share)


def test_require_separate_when_a_bar_is_judged_twice_then_refused() -> None:
    twice = [Split(np.array([0]), np.array([2, 3])), Split(np.array([0]), np.array([3, 4]))]
    with pytest.raises(ValueError, match="split 1 judges bar 3 a second time"):
        validation.require_separate(twice, validation.label_spans(5, 0))


def test_require_separate_when_a_bar_lies_outside_then_refused() -> None:
    with pytest.raises(ValueError, match="split 0 uses bars 0 to 9 of 5"):
        validation.require_separate([Split(np.array([0]), np.array([9]))], validation.label_spans(5, 0))
