"""The array types of this package, the door that checks them, and the compiler for loops over bars."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

_P = ParamSpec("_P")
_R = TypeVar("_R")


def unwatched() -> None:
    """Nobody watches: what a long calculation calls at each of its steps where it was given nothing else."""


def kernel(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Compile a loop with numba and keep the machine code on disk.

    No fast-math: the same input gives the same bits on every machine, which a digest of a run relies on.
    """
    return cast("Callable[_P, _R]", numba.njit(cache=True)(function))


def read_only(values: ArrayLike, name: str = "values") -> FloatArray:
    """A contiguous, read-only float64 view of a one-dimensional series (a copy only where the layout demands it).

    Every kernel sees one array type this way, so it is compiled once, whoever calls it.

    Parameters
    ----------
    values : array_like, shape (n,)
    name : str
        Used in the error message.

    Raises
    ------
    ValueError
        When ``values`` is not one-dimensional.

    Examples
    --------
    >>> read_only([1, 2]).flags.writeable
    False
    """
    view = np.ascontiguousarray(values, dtype=np.float64).view()
    if view.ndim != 1:
        raise ValueError(f"{name} has {view.ndim} dimensions; a series has one")
    view.flags.writeable = False
    return view


def finite_series(values: ArrayLike, name: str = "values") -> FloatArray:
    """`read_only`, for statistics in which one NaN or infinite value would silently spoil everything.

    Raises
    ------
    ValueError
        When a value is NaN or infinite; the message names it and its place.

    Examples
    --------
    >>> finite_series([1.0, 2.0]).tolist()
    [1.0, 2.0]
    """
    series = read_only(values, name)
    bad = np.flatnonzero(~np.isfinite(series))
    if len(bad):
        raise ValueError(f"{name}: {series[bad[0]]} at index {bad[0]} is not a finite number; fill or drop it first")
    return series


def read_only_together(**series: ArrayLike) -> tuple[FloatArray, ...]:
    """Like `read_only` for several series of one length, in the order given.

    Raises
    ------
    ValueError
        When the lengths differ; the message names them.
    """
    views = tuple(read_only(values, name) for name, values in series.items())
    if len({len(view) for view in views}) > 1:
        lengths = ", ".join(f"{name} {len(view)}" for name, view in zip(series, views, strict=True))
        raise ValueError(f"series of one market must have one length, got {lengths}")
    return views


def require_at_least(value: int, minimum: int, name: str) -> None:
    """Refuse a window that is too short for its formula, naming it."""
    if value < minimum:
        raise ValueError(f"{name} is {value}; it must be at least {minimum}")
