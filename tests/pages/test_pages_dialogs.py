"""Dialogs cover the header: each carries the red button itself, and it leads to the stop dialog."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from engine.domain.commands import EmergencyStop
from pages import allocation, confirm, positions, risk, strategies, ticket
from tests.pages.fake_console import FakeConsole
from tests.pages.page_runner import button_keys, opened, problems, text

FOOT = "stop-open-above"
DIALOGS = {
    "a position to close": ("positions", "close-open", {}),
    "an order to cancel": ("positions", "", {"dialog": positions.CANCEL, "dialog__of": "d1"}),
    "an order to place": ("positions", "", {"dialog": ticket.ORDER, "positions__tab": "Manual order"}),
    "a strategy's settings": ("strategies", "", {"dialog": strategies.CONFIGURE, "dialog__of": "momentum"}),
    "the allocation": ("strategies", "", {"dialog": allocation.ALLOCATE}),
    "the trading state": ("risk", "state-HALTED", {}),
    "new limits": ("risk", "", {"dialog": risk.LIMITS}),
    "a replay to delete": ("replay", "delete-open", {}),
    "a backtest to delete": ("research", "research-delete-open", {"research__tab": "History"}),
}


def _page_under_its_header(console):  # type: ignore[no-untyped-def]
    from pages import header, positions

    header.render(console)
    positions.render(console)


@pytest.mark.parametrize("what", DIALOGS)
def test_dialog_when_open_then_the_red_button_is_at_its_foot(what: str) -> None:
    page, opener, state = DIALOGS[what]
    at = opened(page, FakeConsole(), **state)
    at = at.button(key=opener).click().run() if opener else at
    problems(at)
    assert FOOT in button_keys(at)


def test_dialog_when_drawn_then_by_the_one_place_that_adds_the_red_button() -> None:
    pages = Path(confirm.__file__).parent
    assert [path.name for path in pages.glob("*.py") if "st.dialog(" in path.read_text("utf-8")] == ["confirm.py"]


def test_red_button_when_pressed_in_a_dialog_then_only_the_stop_dialog_is_left_and_it_stops() -> None:
    console = FakeConsole()
    at = AppTest.from_function(_page_under_its_header, args=(console,), default_timeout=30).run()
    at = at.button(key="close-open").click().run()
    assert FOOT in button_keys(at)
    at = at.button(key=FOOT).click().run()
    assert "send-close-position" not in button_keys(at)
    assert FOOT not in button_keys(at)
    assert "Positions are closed at the market" in text(at)
    at.button(key="send-stop").click().run()
    assert [type(body) for body, _ in console.submitted.values()] == [EmergencyStop]
