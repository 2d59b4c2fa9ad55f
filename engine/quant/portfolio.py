"""How positions hang together: correlation, concentration, and weights that share risk."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from engine.quant.arrays import FloatArray, kernel, read_only

_ROUNDS = 10_000
_TOLERANCE = 1e-12


@kernel
def _risk_budget_weights(covariance: FloatArray, budgets: FloatArray, rounds: int, tolerance: float) -> FloatArray:
    """Minimise ``0.5 x'Sx - sum b ln x`` (Spinu 2013), one coordinate after the other."""
    size = len(budgets)
    x = np.empty(size)
    for i in range(size):
        x[i] = math.sqrt(budgets[i] / covariance[i, i])
    for _ in range(rounds):
        largest = 0.0
        for i in range(size):
            others = 0.0
            for j in range(size):
                if j != i:
                    others += covariance[i, j] * x[j]
            value = (math.sqrt(others * others + 4.0 * covariance[i, i] * budgets[i]) - others) / (
                2.0 * covariance[i, i]
            )
            largest = max(largest, abs(value / x[i] - 1.0))
            x[i] = value
        if largest < tolerance:
            break
    else:
        x[:] = np.nan
    x /= x.sum()
    return x


def correlation_matrix(returns: ArrayLike) -> FloatArray:
    """Pearson correlation of the columns.

    Parameters
    ----------
    returns : array_like, shape (t, n)
        One column per instrument, aligned in time, without NaN.

    Returns
    -------
    float64[n, n]
        -1 to 1, 1 on the diagonal; NaN in the rows and columns of an instrument that never moved, and everywhere
        below two rows.

    Raises
    ------
    ValueError
        When ``returns`` is not two-dimensional.

    Examples
    --------
    >>> correlation_matrix([[1.0, 2.0], [2.0, 1.0], [3.0, 0.0]]).round(12).tolist()
    [[1.0, -1.0], [-1.0, 1.0]]
    """
    table = np.asarray(returns, dtype=np.float64)
    if table.ndim != 2:
        raise ValueError(f"returns have {table.ndim} dimensions; a table has two")
    if len(table) < 2:
        return np.full((table.shape[1], table.shape[1]), np.nan)
    moves = table - table.mean(axis=0)
    lengths = np.sqrt((moves**2).sum(axis=0))
    unit = np.full(moves.shape, np.nan)
    np.divide(moves, lengths, out=unit, where=lengths > 1e-14 * np.abs(table).max(axis=0))
    correlation: FloatArray = np.clip(unit.T @ unit, -1.0, 1.0)
    np.fill_diagonal(correlation, np.where(np.isnan(np.diag(correlation)), np.nan, 1.0))
    return correlation


def herfindahl(notionals: ArrayLike) -> float:
    """Concentration of exposures: sum of squared shares of the absolute notionals.

    Parameters
    ----------
    notionals : array_like, shape (n,)
        Signed money; a short counts as much as a long.

    Returns
    -------
    float
        1 / n (spread evenly) to 1 (one position); its inverse is the effective number of positions. NaN without
        exposure.

    Examples
    --------
    >>> herfindahl([100.0, -100.0]), herfindahl([5.0, 0.0]), herfindahl([])
    (0.5, 1.0, nan)
    """
    sizes = np.abs(read_only(notionals, "notionals"))
    total = float(sizes.sum())
    return float(((sizes / total) ** 2).sum()) if total > 0.0 else math.nan


def risk_contributions(weights: ArrayLike, covariance: ArrayLike) -> FloatArray:
    """Share of the portfolio's variance that each position carries: ``w_i (S w)_i / w'S w``; NaN without variance.

    >>> risk_contributions([0.5, 0.5], [[1.0, 0.0], [0.0, 3.0]]).tolist()
    [0.25, 0.75]
    """
    w = read_only(weights, "weights")
    parts = w * (np.asarray(covariance, dtype=np.float64) @ w)
    total = float(parts.sum())
    shares: FloatArray = parts / total if total > 0.0 else np.full(len(w), np.nan)
    return shares


def _budgets(size: int, budgets: ArrayLike | None) -> FloatArray:
    if budgets is None:
        return np.full(size, 1.0 / size)
    chosen = read_only(budgets, "budgets")
    if len(chosen) != size or not bool((chosen > 0.0).all()) or abs(float(chosen.sum()) - 1.0) > 1e-9:
        raise ValueError(f"budgets must be {size} positive shares that sum to 1, got {chosen.tolist()}")
    return chosen


def risk_parity(covariance: ArrayLike, budgets: ArrayLike | None = None) -> FloatArray:
    """Long-only weights whose risk contributions equal the budgets (ERC; Maillard, Roncalli, Teiletche 2010).

    Inverse volatility is the same only where all correlations are equal.

    Parameters
    ----------
    covariance : array_like, shape (n, n)
        Positive definite.
    budgets : array_like, shape (n,), optional
        Positive shares that sum to 1; equal by default.

    Returns
    -------
    float64[n]
        Positive weights that sum to 1.

    Raises
    ------
    ValueError
        When the matrix is not square, symmetric and positive definite, or the budgets do not fit it.

    Examples
    --------
    >>> risk_parity([[0.01, 0.0], [0.0, 0.04]]).round(6).tolist()
    [0.666667, 0.333333]
    """
    matrix = np.ascontiguousarray(covariance, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or matrix.shape[0] == 0:
        raise ValueError(f"a covariance is square, got shape {matrix.shape}")
    if not np.allclose(matrix, matrix.T, rtol=1e-9, atol=0.0) or not float(np.linalg.eigvalsh(matrix)[0]) > 0.0:
        raise ValueError("the covariance is not symmetric and positive definite; drop instruments that never moved")
    scale = float(np.trace(matrix)) / len(matrix)
    weights = _risk_budget_weights(matrix / scale, np.array(_budgets(len(matrix), budgets)), _ROUNDS, _TOLERANCE)
    if bool(np.isnan(weights).any()):
        raise ValueError("risk parity did not converge; the covariance is close to singular")
    return weights
