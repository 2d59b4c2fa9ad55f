"""Reads the reference cases: their inputs, their expected numbers, and the tolerance each file states."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from numpy.typing import ArrayLike

from engine.quant.arrays import FloatArray
from tests.shared_data import shared_path


def reference(method: str) -> dict[str, Any]:
    """The case file of a method, as it is."""
    content: dict[str, Any] = json.loads(shared_path(f"cases/quant/{method}.json").read_text(encoding="utf-8"))
    return content


def case_of(content: dict[str, Any], case_id: str) -> dict[str, Any]:
    """One case of a file, by its id."""
    found: dict[str, Any] = next(case for case in content["cases"] if case["id"] == case_id)
    return found


def numbers(values: Any) -> FloatArray:
    """Expected numbers as float64, where the file's null is NaN."""
    return np.array(values, dtype=np.float64)


def assert_close(actual: ArrayLike, expected: Any, tolerance: dict[str, float]) -> None:
    """Equal within the stated tolerance, NaN at the same places."""
    np.testing.assert_allclose(
        np.asarray(actual, dtype=np.float64),
        numbers(expected),
        rtol=tolerance.get("rel", 0.0),
        atol=tolerance.get("abs", 0.0),
        equal_nan=True,
    )


def skip_listed(reasons: dict[str, str], key: str, present: set[str]) -> None:
    """Skip a part of a case file that is not implemented, after checking that it is there."""
    assert key in present, f"{key} is no longer in the case file"
    pytest.skip(f"{key}: {reasons[key]}")
