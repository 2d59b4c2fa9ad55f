"""Compiles the functions of a kernel run as one piece, and keeps it on disk for as long as none of them has changed."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import ParamSpec, TypeVar, cast

import numba

from engine.quant import candle_impact

_P = ParamSpec("_P")
_R = TypeVar("_R")


def part(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """A function of the loop, compiled with it and never kept by itself.

    Machine code that numba keeps is renewed when the file of its own function changes, not when a function it calls
    does; a part kept alone could outlive the others. No fast-math: a run gives the same bits on every machine.
    """
    return cast("Callable[_P, _R]", numba.njit(function))


def stamp() -> str:
    """Digest of every file of the loop. As a constant in it, it is part of the name its machine code is kept under."""
    files = [*sorted(Path(__file__).parent.glob("kernel_*.py")), Path(candle_impact.__file__)]
    return sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
