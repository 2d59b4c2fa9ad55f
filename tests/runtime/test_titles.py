"""One title for every sleeve, and which sleeves are no strategy."""

from __future__ import annotations

import doctest

import pytest

from engine.runtime import titles
from engine.strategies import BACKTESTS, STRATEGIES


def test_examples_when_run_then_hold() -> None:
    outcome = doctest.testmod(titles)
    assert (outcome.attempted, outcome.failed) == (6, 0)


def test_title_when_a_strategy_is_registered_then_its_own() -> None:
    assert [titles.title_of(name) for name in STRATEGIES] == [kind.title for kind in STRATEGIES.values()]
    assert all(titles.is_strategy(name) for name in STRATEGIES)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("momentum is running", "Trend momentum is running"),
        ("momentum configured", "Trend momentum configured"),
        ("breakout holds no demo-a:BTC/USDT", "Channel breakout holds no demo-a:BTC/USDT"),
        ("strategy mean_reversion quarantined after", "strategy Mean reversion quarantined after"),
        ("weight 2 of manual must be a number", "weight 2 of By hand must be a number"),
        ("momentum: slow must be above fast", "Trend momentum: slow must be above fast"),
        ("the momentum of the market", "the momentum of the market"),
        ("somebody is running", "somebody is running"),
    ],
)
def test_sentence_when_it_names_a_sleeve_then_by_its_title(said: str, shown: str) -> None:
    assert titles.with_titles(said) == shown


def test_places_when_taken_for_colours_then_each_sleeve_that_can_be_has_its_own() -> None:
    names = [*BACKTESTS, *titles.NO_STRATEGY]
    assert len({titles.place_of(name) % 8 for name in names}) == len(names)
