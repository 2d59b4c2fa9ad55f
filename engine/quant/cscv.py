"""Probability of backtest overfitting: how often the best of many trials turns out below the middle out of sample."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, islice

import numpy as np
from numpy.typing import ArrayLike

from engine.quant.arrays import FloatArray
from engine.quant.overfitting import returns_table

MOST_BLOCKS = 20
_BATCH, _MOST_CELLS = 512, 2**20


@dataclass(frozen=True, slots=True, eq=False)
class BacktestOverfitting:
    """Outcome of combinatorially symmetric cross-validation (Bailey, Borwein, Lopez de Prado, Zhu 2017).

    Attributes
    ----------
    probability : float
        Share of halvings in which the trial that was best in sample was no better than the median out of sample. About
        0.5, and noisy, when the trials are worthless: the null is not 0.
    logits : float64[c]
        ``ln(w / (1 - w))`` of its relative rank ``w`` out of sample; 0 is the median, positive is better.
    probability_of_loss : float
        Share of halvings in which it lost money out of sample.
    trials, rows_used : int
        Columns, and rows after the oldest that did not fill a block were left out.
    """

    probability: float
    logits: FloatArray
    probability_of_loss: float
    trials: int
    rows_used: int


def _halves(blocks: int, most: int) -> Iterator[FloatArray]:
    """Every choice of half the blocks as rows of 0 and 1, at most ``most`` at a time, so that memory stays flat."""
    choices = combinations(range(blocks), blocks // 2)
    while batch := list(islice(choices, min(_BATCH, most))):
        chosen = np.zeros((len(batch), blocks))
        np.put_along_axis(chosen, np.array(batch), 1.0, axis=1)
        yield chosen


def _sharpes(sums: FloatArray, squares: FloatArray, centers: FloatArray, count: int) -> FloatArray:
    """Sharpe ratios from sums of moves around ``centers``; 0 for a trial that never varied, which took no risk.

    Rounded far below any meaning, so that trials with the same returns tie whatever the order of summation.
    """
    means = sums / count
    variances = (squares - sums * means) / (count - 1)
    result = np.zeros(sums.shape)
    varied = variances > 1e-12 * squares / count
    np.divide(means + centers, np.sqrt(np.maximum(variances, 0.0)), out=result, where=varied)
    rounded: FloatArray = np.round(result, 12)
    return rounded


def _rank_of_best(inside: FloatArray, outside: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Rank out of sample (from 1, ties averaged) of the column that is best in sample, and its value there."""
    own = np.take_along_axis(outside, inside.argmax(axis=1)[:, None], axis=1)
    ranks: FloatArray = (outside < own).sum(axis=1) + ((outside == own).sum(axis=1) + 1.0) / 2.0
    return ranks, own[:, 0]


def backtest_overfitting(trial_returns: ArrayLike, blocks: int = 16) -> BacktestOverfitting:
    """Probability of backtest overfitting by CSCV, ranked by the Sharpe ratio (mean over sample deviation).

    The rows are cut into ``blocks`` equal parts; each choice of half of them is once the sample in which the best trial
    is chosen, while the other half tells how that choice ranks: ``w = rank / (N + 1)``.

    Parameters
    ----------
    trial_returns : array_like, shape (t, n)
        One column per trial, aligned in time, finite: **every** trial that was run, not the good ones only.
    blocks : int
        Even, 4 to 20; 16 gives 12,870 halvings.

    Returns
    -------
    BacktestOverfitting

    Raises
    ------
    ValueError
        For fewer than two trials, fewer than two rows a block, another number of blocks, or a value that is not finite.

    Examples
    --------
    >>> good, bad = [0.02, 0.01] * 8, [-0.02, -0.01] * 8
    >>> backtest_overfitting(list(zip(good, bad)), blocks=4).probability
    0.0
    """
    table = returns_table(trial_returns)
    rows, trials = table.shape
    if blocks % 2 or not 4 <= blocks <= MOST_BLOCKS:
        raise ValueError(f"blocks is {blocks}; it must be even, from 4 to {MOST_BLOCKS}")
    if trials < 2 or rows < 2 * blocks:
        raise ValueError(f"{trials} trials with {rows} returns each; {blocks} blocks need 2 and {2 * blocks} at least")
    return overfitting_of([block_sums(table, blocks)])


@dataclass(frozen=True, slots=True, eq=False)
class BlockSums:
    """What `backtest_overfitting` needs of some trials: all may be too many to hold their returns at once.

    Attributes
    ----------
    sums, squares : float64[blocks, n]
        Of the moves around each trial's mean, and of their squares, by block.
    centers : float64[n]
        Those means.
    size : int
        Rows of a block.
    """

    sums: FloatArray
    squares: FloatArray
    centers: FloatArray
    size: int


def block_sums(table: FloatArray, blocks: int) -> BlockSums:
    """Sums of some trials, a column each, over ``blocks`` equal blocks of rows; the oldest that are over are left out.

    A column's sums depend on nothing but the column, so that trials may be summed up some at a time.
    """
    columns = np.asfortranarray(table)
    rows, trials = columns.shape
    size = rows // blocks
    sums, squares, centers = np.empty((blocks, trials)), np.empty((blocks, trials)), np.empty(trials)
    for n in range(trials):
        centers[n] = columns[:, n].mean()
        moves = (columns[rows - size * blocks :, n] - centers[n]).reshape(blocks, size)
        sums[:, n], squares[:, n] = moves.sum(axis=1), (moves**2).sum(axis=1)
    return BlockSums(sums, squares, centers, size)


def overfitting_of(parts: Sequence[BlockSums]) -> BacktestOverfitting:
    """`backtest_overfitting` of the trials of all parts, in their order; each part has the same blocks."""
    sums, squares = (np.hstack([getattr(part, name) for part in parts]) for name in ("sums", "squares"))
    centers, size, blocks = np.concatenate([part.centers for part in parts]), parts[0].size, len(parts[0].sums)
    trials = len(centers)
    ranks, results = [], []
    for chosen in _halves(blocks, max(1, _MOST_CELLS // trials)):
        sides = (_sharpes(half @ sums, half @ squares, centers, size * blocks // 2) for half in (chosen, 1.0 - chosen))
        rank, result = _rank_of_best(*sides)
        ranks.append(rank)
        results.append(result)
    share = np.concatenate(ranks) / (trials + 1.0)
    # up to the rounding of the division a rank in the middle is the median, which counts as overfitted
    logits = np.where(np.abs(share - 0.5) < 1e-12, 0.0, np.log(share / (1.0 - share)))
    losses = float(np.mean(np.concatenate(results) < 0.0))
    return BacktestOverfitting(float(np.mean(logits <= 0.0)), logits, losses, trials, size * blocks)
