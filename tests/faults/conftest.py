"""One stand-in exchange for the tests of a file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.connected import stand_in
from tests.standin.client import StandIn


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    """Every book cleans up after itself; see `tests.faults.connected.rig`."""
    with stand_in(tmp_path_factory.mktemp("exchange")) as started:
        yield started
