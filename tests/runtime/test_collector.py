"""What is alive is set aside, so that the garbage collector need not stop the engine to look at it again."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from engine.runtime import collector


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    gc.unfreeze()


def test_set_aside_when_things_are_alive_then_the_collector_passes_over_them() -> None:
    collector.set_aside()
    assert gc.get_freeze_count() > 1_000


def test_set_aside_new_when_more_came_then_it_joins_what_lies_aside() -> None:
    collector.set_aside()
    before, more = gc.get_freeze_count(), [[number] for number in range(500)]
    collector.set_aside_new()
    assert gc.get_freeze_count() - before > len(more)
