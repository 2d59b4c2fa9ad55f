"""Which bars a model may learn from and which judge it: walk-forward, purged k-fold, combinatorial purged splits.

A label made at bar ``i`` is known only at bar ``label_ends[i]``. A training label that overlaps a test label has seen
the test, so it is left out (purged), and some bars after the test labels end are left out too (embargo).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import ArrayLike

from engine.quant.arrays import BoolArray, FloatArray, IntArray, read_only, require_at_least

MOST_SPLITS = 1_000


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Bars to learn from and bars to judge on; int64 indices, ascending, without a common bar."""

    train: IntArray
    test: IntArray


@dataclass(frozen=True, slots=True)
class WalkForward:
    """How windows move through time.

    Attributes
    ----------
    train_bars, test_bars : int
        At least 1; with ``anchored`` the first is the length of the first training window.
    purge_bars : int
        Left out between training and test: at least the bars a label looks ahead.
    step_bars : int, optional
        From one test window to the next; ``test_bars`` when left out. Never less, or windows would overlap and count
        the same bar twice.
    anchored : bool
        Training always starts at the first bar, instead of rolling.
    """

    train_bars: int
    test_bars: int
    purge_bars: int = 0
    step_bars: int | None = None
    anchored: bool = False

    def __post_init__(self) -> None:
        """Refuse empty or overlapping windows with a ValueError."""
        require_at_least(self.train_bars, 1, "train_bars")
        require_at_least(self.test_bars, 1, "test_bars")
        require_at_least(self.purge_bars, 0, "purge_bars")
        if self.step_bars is not None and self.step_bars < self.test_bars:
            raise ValueError(
                f"step_bars is {self.step_bars} and test_bars {self.test_bars}: test windows would overlap; "
                "step at least as far as a test window is long"
            )


def walk_forward(bars: int, windows: WalkForward) -> tuple[Split, ...]:
    """Windows that learn from the past and are judged on what follows; a last one that would be cut short is left out.

    Parameters
    ----------
    bars : int
        Length of the series.
    windows : WalkForward

    Returns
    -------
    tuple of Split
        At least one, in time order.

    Raises
    ------
    ValueError
        When there are too few bars for a single window.

    Examples
    --------
    >>> [(s.train.tolist(), s.test.tolist()) for s in walk_forward(7, WalkForward(train_bars=3, test_bars=2))]
    [([0, 1, 2], [3, 4]), ([2, 3, 4], [5, 6])]
    """
    first = windows.train_bars + windows.purge_bars
    needed = first + windows.test_bars
    if bars < needed:
        raise ValueError(f"{bars} bars are too few; the first window alone needs {needed}")
    splits = []
    for start in range(first, bars - windows.test_bars + 1, windows.step_bars or windows.test_bars):
        learned = start - windows.purge_bars
        begin = 0 if windows.anchored else learned - windows.train_bars
        splits.append(Split(np.arange(begin, learned), np.arange(start, start + windows.test_bars)))
    return tuple(splits)


def label_spans(bars: int, horizon_bars: int) -> IntArray:
    """Last bar each label depends on when all look ``horizon_bars`` ahead, cut at the end of the data; int64[bars].

    >>> label_spans(4, 2).tolist()
    [2, 3, 3, 3]
    """
    require_at_least(bars, 1, "bars")
    require_at_least(horizon_bars, 0, "horizon_bars")
    return np.minimum(np.arange(bars) + horizon_bars, bars - 1)


def _checked_ends(label_ends: ArrayLike) -> IntArray:
    given = read_only(label_ends, "label_ends")
    bars = len(given)
    bad = np.flatnonzero(~((given >= np.arange(bars)) & (given < bars) & (given == np.floor(given))))
    if len(bad):
        raise ValueError(
            f"label {bad[0]} ends at {given[bad[0]]}; an end is a bar index from the label's own bar to {bars - 1}"
        )
    return given.astype(np.int64)


def _folds(bars: int, count: int, name: str) -> list[IntArray]:
    require_at_least(count, 2, name)
    if bars < 2 * count:
        raise ValueError(f"{bars} bars are too few for {count} {name}; each needs 2 at least")
    return np.array_split(np.arange(bars), count)


def _split(ends: IntArray, tests: Sequence[IntArray], embargo_bars: int) -> Split:
    """Bars of ``tests`` to judge; from the others those that neither touch a test label nor lie in an embargo."""
    bars = np.arange(len(ends))
    kept: BoolArray = np.ones(len(ends), dtype=np.bool_)
    for test in tests:
        # the label intervals of neighbouring bars join up, so a test block covers one interval without holes
        last = int(ends[test].max())
        kept &= (ends < test[0]) | (bars > last + embargo_bars)
    if not kept.any():
        raise ValueError("purging and embargo leave nothing to learn from; take fewer test bars or shorter labels")
    return Split(np.flatnonzero(kept), np.concatenate(tests))


def purged_k_fold(label_ends: ArrayLike, folds: int, embargo_bars: int = 0) -> tuple[Split, ...]:
    """Contiguous test folds that together hold every bar once; training labels that touch a test label are dropped.

    After Lopez de Prado (2018, chapter 7), on the strict side: an end that touches counts as an overlap, and the
    embargo starts after the last test **label** has ended, not after the last test bar.

    Parameters
    ----------
    label_ends : array_like of int, shape (n,)
        Index of the last bar that label ``i`` depends on: `label_spans` where all look equally far.
    folds : int
        At least 2.
    embargo_bars : int
        About 1 % of the bars is usual.

    Returns
    -------
    tuple of Split
        One per fold, in time order.

    Raises
    ------
    ValueError
        For too few bars, an end before its own bar or beyond the data, or a split with nothing to learn from.

    Examples
    --------
    >>> purged_k_fold(label_spans(8, 1), folds=2)[1].train.tolist()
    [0, 1, 2]
    """
    ends = _checked_ends(label_ends)
    require_at_least(embargo_bars, 0, "embargo_bars")
    return tuple(_split(ends, [test], embargo_bars) for test in _folds(len(ends), folds, "folds"))


@dataclass(frozen=True, slots=True, eq=False)
class CombinatorialSplits:
    """Every choice of test groups, and how their results join to whole paths.

    Attributes
    ----------
    splits : tuple of Split
        ``C(N, k)`` of them.
    groups : tuple of int64 arrays
        The ``N`` contiguous groups of bars.
    paths : int64[k / N * C(N, k), N]
        Which split judges group ``g`` on path ``p``; no split is used twice for the same group.
    """

    splits: tuple[Split, ...]
    groups: tuple[IntArray, ...]
    paths: IntArray

    def joined(self, results: Sequence[ArrayLike]) -> FloatArray:
        """Put the out-of-sample results of the splits together to one series over all bars for each path.

        Parameters
        ----------
        results : sequence of array_like
            One series per split, aligned with its ``test`` bars.

        Returns
        -------
        float64[p, n]

        Raises
        ------
        ValueError
            When a series is missing or has another length than its test.
        """
        if len(results) != len(self.splits):
            raise ValueError(f"{len(results)} results for {len(self.splits)} splits")
        whole = np.full((len(self.splits), int(self.groups[-1][-1]) + 1), np.nan)
        for row, (split, result) in enumerate(zip(self.splits, results, strict=True)):
            series = read_only(result, f"result {row}")
            if len(series) != len(split.test):
                raise ValueError(f"result {row} has {len(series)} values for {len(split.test)} test bars")
            whole[row, split.test] = series
        return np.hstack([whole[self.paths[:, g]][:, bars] for g, bars in enumerate(self.groups)])


def combinatorial_purged(
    label_ends: ArrayLike, groups: int, test_groups: int, embargo_bars: int = 0
) -> CombinatorialSplits:
    """Combinatorial purged cross-validation (Lopez de Prado 2018, chapter 12): many paths instead of one.

    Parameters
    ----------
    label_ends : array_like of int, shape (n,)
        As for `purged_k_fold`.
    groups, test_groups : int
        ``N`` and ``k``, ``1 <= k < N``; (10, 2) gives 45 splits and 9 paths.
    embargo_bars : int
        After the end of each test group's labels.

    Returns
    -------
    CombinatorialSplits

    Raises
    ------
    ValueError
        As `purged_k_fold`; and for a choice of groups that is impossible or makes more than 1,000 splits.

    Examples
    --------
    >>> made = combinatorial_purged(label_spans(60, 0), groups=6, test_groups=2)
    >>> len(made.splits), made.paths.shape
    (15, (5, 6))
    """
    ends = _checked_ends(label_ends)
    require_at_least(embargo_bars, 0, "embargo_bars")
    parts = _folds(len(ends), groups, "groups")
    if not 1 <= test_groups < groups or comb(groups, test_groups) > MOST_SPLITS:
        raise ValueError(
            f"test_groups is {test_groups} of {groups}; choose 1 to {groups - 1}, at most {MOST_SPLITS} splits"
        )
    chosen = list(combinations(range(groups), test_groups))
    splits = tuple(_split(ends, [parts[g] for g in choice], embargo_bars) for choice in chosen)
    judges = [[row for row, choice in enumerate(chosen) if g in choice] for g in range(groups)]
    return CombinatorialSplits(splits, tuple(parts), np.array(judges, dtype=np.int64).T)


def final_holdout(label_ends: ArrayLike, share: float = 0.2) -> Split:
    """The latest part of the data, to be touched once, and the purged rest; ValueError unless both keep two bars.

    >>> held = final_holdout(label_spans(10, 1))
    >>> held.train.tolist(), held.test.tolist()
    ([0, 1, 2, 3, 4, 5, 6], [8, 9])
    """
    ends = _checked_ends(label_ends)
    bars = len(ends)
    start = bars - round(share * bars) if 0.0 < share < 1.0 else bars
    if not 2 <= start <= bars - 2:
        raise ValueError(f"a holdout of {share} of {bars} bars does not leave two bars on both sides")
    return _split(ends, [np.arange(start, bars)], 0)


def require_separate(splits: Sequence[Split], label_ends: ArrayLike) -> None:
    """Refuse splits made elsewhere whose training labels reach into a test, or whose test windows overlap.

    Not for combinatorial splits, which judge every bar several times on purpose.

    Parameters
    ----------
    splits : sequence of Split
    label_ends : array_like of int, shape (n,)

    Raises
    ------
    ValueError
        Naming the split and the bar.
    """
    ends = _checked_ends(label_ends)
    judged: BoolArray = np.zeros(len(ends), dtype=np.bool_)
    for number, split in enumerate(splits):
        used = np.concatenate((split.train, split.test))
        if len(used) and not (used.min() >= 0 and used.max() < len(ends)):
            raise ValueError(f"split {number} uses bars {used.min()} to {used.max()} of {len(ends)}")
        seen: BoolArray = np.zeros(len(ends), dtype=np.bool_)
        for bar in split.test:
            seen[bar : ends[bar] + 1] = True
        leaks = [int(bar) for bar in split.train if seen[bar : ends[bar] + 1].any()]
        if leaks:
            raise ValueError(f"split {number} learns from bar {leaks[0]}, whose label overlaps one it is judged on")
        if judged[split.test].any():
            raise ValueError(f"split {number} judges bar {int(split.test[judged[split.test]][0])} a second time")
        judged[split.test] = True
