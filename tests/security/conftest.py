"""Access control on a real database in a temporary folder, with a clock that tests move."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.security.door_fakes import Door, open_door


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    """Access control with nobody in it yet."""
    with open_door(tmp_path) as made:
        yield made
