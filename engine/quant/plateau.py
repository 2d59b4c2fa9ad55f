"""Whether good parameters lie on a plateau or on a peak: how much of the objective survives one step to the side.

A peak that its neighbours do not share was most likely fitted to noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from engine.quant.arrays import BoolArray, FloatArray, read_only


@dataclass(frozen=True, slots=True)
class Plateau:
    """The objective around the chosen parameters.

    Attributes
    ----------
    best : float
        Objective of the chosen parameters.
    neighbours : int
        Trials around it that have a result.
    median_share, worst_share : float
        Objective of the neighbours over ``best``: 1 is a plateau, 0 or less a peak; NaN where undefined.
    positive_share : float
        Share of the neighbours with an objective above 0.
    on_edge : bool
        Whether some parameter has its smallest or largest tried value: the best may lie beyond.
    reason : str
        Why a number is NaN.
    """

    best: float
    neighbours: int
    median_share: float
    worst_share: float
    positive_share: float
    on_edge: bool
    reason: str = ""


def _trials(parameters: ArrayLike, objectives: ArrayLike, chosen: int) -> tuple[FloatArray, FloatArray]:
    table = np.asarray(parameters, dtype=np.float64)
    results = read_only(objectives, "objectives")
    if table.ndim != 2 or table.shape[0] != len(results) or table.shape[1] < 1:
        raise ValueError(
            f"parameters have shape {table.shape} for {len(results)} objectives; one row for each is needed"
        )
    if not np.isfinite(table).all() or np.isinf(results).any():
        raise ValueError("a parameter is not finite, or an objective is infinite; a trial without a result is NaN")
    if not 0 <= chosen < len(results) or math.isnan(results[chosen]):
        raise ValueError(f"trial {chosen} of {len(results)} has no result, so it cannot be the chosen one")
    return table, results


def _survival(table: FloatArray, results: FloatArray, near: BoolArray, chosen: int) -> Plateau:
    around = results[near & np.isfinite(results)]
    best = float(results[chosen])
    varied = np.ptp(table, axis=0) > 0.0
    at_end = (table[chosen] == table.min(axis=0)) | (table[chosen] == table.max(axis=0))
    on_edge = bool((varied & at_end).any())
    if len(around) == 0:
        return Plateau(best, 0, math.nan, math.nan, math.nan, on_edge, "no neighbour has a result")
    positive = float((around > 0.0).mean())
    if best <= 0.0:
        reason = "the chosen objective is not above 0, so there is nothing to survive"
        return Plateau(best, len(around), math.nan, math.nan, positive, on_edge, reason)
    shares = around / best
    return Plateau(best, len(around), float(np.median(shares)), float(shares.min()), positive, on_edge)


def plateau_on_grid(parameters: ArrayLike, objectives: ArrayLike, chosen: int, steps: int = 1) -> Plateau:
    """Neighbours of a grid search: every parameter at most ``steps`` tried values away.

    Parameters
    ----------
    parameters : array_like, shape (m, k)
        One row per trial; distances are counted in distinct tried values, so the spacing plays no part.
    objectives : array_like, shape (m,)
        Larger is better; NaN for a trial without a result.
    chosen : int
        Row of the parameters in question.
    steps : int
        At least 1.

    Returns
    -------
    Plateau

    Raises
    ------
    ValueError
        When the shapes disagree, a parameter is not finite, the chosen trial has no result, or ``steps`` is below 1.

    Examples
    --------
    >>> found = plateau_on_grid([[5], [10], [20], [50]], [0.8, 1.0, 0.6, -0.1], chosen=1)
    >>> found.neighbours, found.median_share, found.worst_share
    (2, 0.7, 0.6)
    """
    if steps < 1:
        raise ValueError(f"steps is {steps}; it must be at least 1")
    table, results = _trials(parameters, objectives, chosen)
    ranks = np.column_stack([np.unique(column, return_inverse=True)[1] for column in table.T])
    away = np.abs(ranks - ranks[chosen]).max(axis=1)
    return _survival(table, results, (away > 0) & (away <= steps), chosen)


def plateau_within(parameters: ArrayLike, objectives: ArrayLike, chosen: int, reach: float = 0.1) -> Plateau:
    """Neighbours of a search without a grid: every parameter within ``reach`` of its tried range.

    Parameters and errors as `plateau_on_grid`; ``reach`` lies in (0, 1]. A search that crowds around its best finds
    more neighbours there than elsewhere, so this flatters; a grid is the fairer test.

    >>> plateau_within([[0.0], [0.48], [0.5], [1.0]], [0.0, 0.9, 1.0, 0.1], chosen=2).median_share
    0.9
    """
    if not 0.0 < reach <= 1.0:
        raise ValueError(f"reach is {reach}; it must be above 0 and at most 1")
    table, results = _trials(parameters, objectives, chosen)
    distances = np.abs(table - table[chosen])
    away = (distances / np.where(np.ptp(table, axis=0) > 0.0, np.ptp(table, axis=0), 1.0)).max(axis=1)
    return _survival(table, results, (away > 0.0) & (away <= reach), chosen)
