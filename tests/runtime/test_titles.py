"""One title for every sleeve, and which sleeves are no strategy."""

from __future__ import annotations

import doctest

from engine.runtime import titles
from engine.strategies import STRATEGIES


def test_examples_when_run_then_hold() -> None:
    outcome = doctest.testmod(titles)
    assert (outcome.attempted, outcome.failed) == (4, 0)


def test_title_when_a_strategy_is_registered_then_its_own() -> None:
    assert [titles.title_of(name) for name in STRATEGIES] == [kind.title for kind in STRATEGIES.values()]
    assert all(titles.is_strategy(name) for name in STRATEGIES)
