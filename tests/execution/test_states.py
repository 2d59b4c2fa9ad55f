"""Every state meets every report; only evidence ends an order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.orders import OrderState
from engine.execution.states import TABLE, advance

STATES = list(OrderState)


def test_table_when_read_then_has_a_row_for_every_state() -> None:
    assert set(TABLE) == set(STATES)


@pytest.mark.parametrize("current", STATES)
@pytest.mark.parametrize("reported", STATES)
def test_advance_every_pair_then_lands_in_a_known_state(current: OrderState, reported: OrderState) -> None:
    assert advance(current, reported) in (current, *TABLE[current].values())


@pytest.mark.parametrize("late", [s for s in STATES if s is not OrderState.FILLED])
def test_filled_when_a_late_report_comes_then_stays_filled(late: OrderState) -> None:
    assert advance(OrderState.FILLED, late) is OrderState.FILLED


@given(st.lists(st.sampled_from([OrderState.WORKING, OrderState.UNKNOWN, OrderState.SENT, OrderState.PENDING_CANCEL])))
def test_order_without_an_ending_report_then_never_ends(reports: list[OrderState]) -> None:
    state = OrderState.INTENT
    for reported in reports:
        state = advance(state, reported)
    assert not state.is_final


@given(st.lists(st.sampled_from(STATES)))
def test_filled_once_reported_then_final_whatever_follows(reports: list[OrderState]) -> None:
    state = advance(OrderState.WORKING, OrderState.FILLED)
    for reported in reports:
        state = advance(state, reported)
    assert state is OrderState.FILLED


def test_cancelled_when_a_fill_overtook_it_then_becomes_filled() -> None:
    assert advance(OrderState.CANCELLED, OrderState.FILLED) is OrderState.FILLED


@pytest.mark.parametrize("alive", [OrderState.WORKING, OrderState.PARTIAL])
def test_rejected_when_seen_alive_then_is_in_doubt(alive: OrderState) -> None:
    assert advance(OrderState.REJECTED, alive) is OrderState.UNKNOWN


def test_pending_cancel_when_reported_working_then_waits_for_proof() -> None:
    assert advance(OrderState.PENDING_CANCEL, OrderState.WORKING) is OrderState.PENDING_CANCEL
