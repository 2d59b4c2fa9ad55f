"""The holding rule against its definition, written out by looking back."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.strategies.holding import Triggers, hold

Row = tuple[int, bool, bool, bool]
rows_of_bars = st.lists(
    st.tuples(st.sampled_from([0, 0, 0, 1, -1]), st.booleans(), st.booleans(), st.booleans()), min_size=1, max_size=60
)


def triggers_of(rows: list[Row]) -> Triggers:
    """From rows of (entry, full size, exit long, exit short)."""
    entry, full, exit_long, exit_short = zip(*rows, strict=True)
    return Triggers(np.array(entry, dtype=np.int8), np.array(full), np.array(exit_long), np.array(exit_short))


def by_definition(rows: list[Row], t: int, max_hold_bars: int) -> float:
    """Direction of the last entry in reach unless an exit followed; full if confirmed during the same holding."""
    reach = range(max(0, t - max_hold_bars + 1), t + 1)
    entries = [bar for bar in reach if rows[bar][0] != 0]
    if not entries:
        return 0.0
    direction = rows[entries[-1]][0]
    side = 2 if direction > 0 else 3
    ends = [bar for bar in reach if rows[bar][0] == -direction or (rows[bar][0] == 0 and rows[bar][side])]
    last_end = max(ends, default=-1)
    if last_end > entries[-1]:
        return 0.0
    full = any(rows[bar][0] == direction and rows[bar][1] for bar in reach if bar > last_end)
    return direction * (1.0 if full else 0.5)


@settings(max_examples=200, deadline=None)
@given(rows=rows_of_bars, max_hold_bars=st.integers(1, 20))
def test_hold_when_compared_with_definition_then_equal(rows: list[Row], max_hold_bars: int) -> None:
    expected = [by_definition(rows, t, max_hold_bars) for t in range(len(rows))]
    assert hold(triggers_of(rows), max_hold_bars).tolist() == expected


@settings(max_examples=100, deadline=None)
@given(rows=rows_of_bars, max_hold_bars=st.integers(1, 20))
def test_hold_when_older_bars_are_dropped_then_last_value_stays(rows: list[Row], max_hold_bars: int) -> None:
    whole = hold(triggers_of(rows), max_hold_bars)
    assert hold(triggers_of(rows[-max_hold_bars:]), max_hold_bars)[-1] == whole[-1]


def test_hold_when_entry_stays_unconfirmed_then_half_until_confirmed() -> None:
    rows = [(1, False, False, False), (0, True, False, False), (1, True, False, False), (0, False, False, False)]
    assert hold(triggers_of(rows), 10).tolist() == [0.5, 0.5, 1.0, 1.0]


def test_hold_when_time_is_over_then_flat_until_the_next_entry() -> None:
    rows: list[Row] = [(-1, True, False, False)] + [(0, False, False, False)] * 4 + [(-1, True, False, False)]
    assert hold(triggers_of(rows), 3).tolist() == [-1.0, -1.0, -1.0, 0.0, 0.0, -1.0]


def test_hold_when_other_side_exits_then_position_stays() -> None:
    rows = [(1, True, False, False), (0, False, False, True), (0, False, True, False)]
    assert hold(triggers_of(rows), 10).tolist() == [1.0, 1.0, 0.0]
