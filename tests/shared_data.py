"""Finds the reference cases and market data that some tests read; they lie outside the project."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def shared_path(relative: str) -> Path:
    """Path of a shared file; skips the test where it is missing, fails it where ``CI=true``."""
    folder = Path(os.environ.get("QUARTERDECK_SHARED", ROOT.parent / "shared"))
    path = folder / relative
    if path.exists():
        return path
    reason = f"reference data {relative} not found; set QUARTERDECK_SHARED to the folder that holds it"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
