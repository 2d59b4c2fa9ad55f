"""Plateaus and peaks of parameter searches, on grids and without."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.quant import plateau
from engine.quant.arrays import FloatArray


def _grid(rows: int = 5, columns: int = 5) -> FloatArray:
    """Every pair of a geometric and an even axis."""
    return np.array([(2.0**i, 10.0 * j) for i in range(rows) for j in range(columns)])


def test_plateau_when_the_objective_is_flat_then_all_survives() -> None:
    found = plateau.plateau_on_grid(_grid(), np.full(25, 1.5), chosen=12)
    assert (found.neighbours, found.median_share, found.worst_share, found.positive_share) == (8, 1.0, 1.0, 1.0)
    assert not found.on_edge
    assert found.reason == ""


def test_plateau_when_the_best_is_a_lonely_peak_then_nothing_survives() -> None:
    objectives = np.full(25, -0.2)
    objectives[12] = 2.0
    found = plateau.plateau_on_grid(_grid(), objectives, chosen=12)
    assert found.median_share == pytest.approx(-0.1)
    assert found.positive_share == 0.0


def test_plateau_when_more_steps_are_allowed_then_more_neighbours() -> None:
    found = plateau.plateau_on_grid(_grid(), np.ones(25), chosen=12, steps=2)
    assert found.neighbours == 24


@pytest.mark.parametrize("corner", [0, 4, 20, 24, 2])
def test_plateau_when_the_best_lies_on_the_edge_then_said(corner: int) -> None:
    found = plateau.plateau_on_grid(_grid(), np.ones(25), chosen=corner)
    assert found.on_edge
    assert found.neighbours in {3, 5}


def test_plateau_when_a_parameter_was_never_varied_then_it_is_no_edge() -> None:
    parameters = np.column_stack((np.arange(3.0), np.full(3, 7.0)))
    assert not plateau.plateau_on_grid(parameters, [1.0, 2.0, 1.0], chosen=1).on_edge


def test_plateau_when_neighbours_have_no_result_then_they_do_not_count() -> None:
    found = plateau.plateau_on_grid([[1], [2], [3]], [math.nan, 1.0, 0.5], chosen=1)
    assert (found.neighbours, found.worst_share) == (1, 0.5)
    alone = plateau.plateau_on_grid([[1], [2], [3]], [math.nan, 1.0, math.nan], chosen=1)
    assert math.isnan(alone.median_share)
    assert alone.reason == "no neighbour has a result"


@pytest.mark.parametrize("best", [0.0, -1.0])
def test_plateau_when_the_best_is_not_positive_then_undefined_with_a_reason(best: float) -> None:
    found = plateau.plateau_on_grid([[1], [2], [3]], [-2.0, best, -2.0], chosen=1)
    assert math.isnan(found.median_share)
    assert math.isnan(found.worst_share)
    assert "not above 0" in found.reason
    assert found.positive_share == 0.0


def test_plateau_when_there_is_no_grid_then_neighbours_lie_within_reach() -> None:
    parameters = [[0.0, 0.0], [0.5, 50.0], [0.55, 55.0], [0.55, 70.0], [1.0, 100.0]]
    found = plateau.plateau_within(parameters, [0.1, 1.0, 0.8, 0.2, 0.1], chosen=1, reach=0.1)
    assert (found.neighbours, found.median_share) == (1, 0.8)
    assert plateau.plateau_within(parameters, np.ones(5), chosen=1, reach=0.2).neighbours == 2


@settings(max_examples=40, deadline=None)
@given(objectives=st.lists(st.floats(0.01, 10.0), min_size=25, max_size=25), scale=st.floats(0.1, 10.0))
def test_plateau_when_the_objective_is_scaled_then_the_shares_stay(objectives: list[float], scale: float) -> None:
    best = int(np.argmax(objectives))
    plain = plateau.plateau_on_grid(_grid(), objectives, best)
    scaled = plateau.plateau_on_grid(_grid() * 3.0, np.array(objectives) * scale, best)
    assert plain.worst_share <= plain.median_share <= 1.0
    assert scaled.median_share == pytest.approx(plain.median_share)
    assert scaled.neighbours == plain.neighbours


@pytest.mark.parametrize(
    ("parameters", "objectives", "chosen"),
    [
        ([1.0, 2.0], [1.0, 2.0], 0),
        ([[1.0]], [1.0, 2.0], 0),
        ([[math.nan], [1.0]], [1.0, 2.0], 0),
        ([[1.0], [2.0]], [1.0, math.inf], 0),
        ([[1.0], [2.0]], [math.nan, 1.0], 0),
        ([[1.0], [2.0]], [1.0, 1.0], 2),
    ],
)
def test_plateau_when_trials_are_unusable_then_refused(
    parameters: list[list[float]], objectives: list[float], chosen: int
) -> None:
    with pytest.raises(ValueError, match=r"parameter|trial"):
        plateau.plateau_on_grid(parameters, objectives, chosen)


def test_plateau_when_the_neighbourhood_is_empty_by_definition_then_refused() -> None:
    with pytest.raises(ValueError, match="steps"):
        plateau.plateau_on_grid([[1.0], [2.0]], [1.0, 1.0], 0, steps=0)
    with pytest.raises(ValueError, match="reach"):
        plateau.plateau_within([[1.0], [2.0]], [1.0, 1.0], 0, reach=0.0)
