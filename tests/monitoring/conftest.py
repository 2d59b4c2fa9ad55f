"""Alerts over a real database, and a web server on this computer that receives them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from alert_fakes import Desk, Receiver, alert_desk, receiver


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """An alert centre that may tell this computer."""
    with alert_desk(tmp_path) as made:
        yield made


@pytest.fixture
def web() -> Iterator[Receiver]:
    """A web server that keeps what was posted."""
    with receiver() as made:
        yield made
