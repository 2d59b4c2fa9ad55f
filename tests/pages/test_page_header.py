"""The strip on every page and the red button in it."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from streamlit.testing.v1 import AppTest

from engine.domain.commands import EmergencyStop, Role
from engine.domain.errors import CannotRecord
from engine.domain.instruments import InstrumentKey
from engine.domain.portfolio import StillHeld
from tests.pages.fake_console import FakeConsole
from tests.pages.page_runner import linked, opened, problems, text


def stop_dialog(console: FakeConsole) -> AppTest:
    return opened("header", console).button(key="stop-open").click().run()


def test_header_when_fresh_then_says_stage_state_money_and_age() -> None:
    shown = text(opened("header", FakeConsole()))
    for word in (
        "DEMO",
        "SIMULATED",
        "● ACTIVE",
        "10,432.18 USDT",
        "▲ +42.10 USDT",
        "−2.09 %",
        "09:26:53",
        "2 open alerts",
    ):
        assert word in shown
    assert "STALE" not in shown


@pytest.mark.parametrize(("age_s", "grey", "stale"), [(1.0, False, False), (6.0, True, False), (16.0, True, True)])
def test_header_when_data_ages_then_greys_and_says_stale(age_s: float, grey: bool, stale: bool) -> None:
    at = opened("header", FakeConsole(stale_s=age_s))
    body = " ".join(str(item.proto.body) for item in at.html)
    assert ("qd-grey" in body) is grey
    assert ("STALE" in body) is stale


def test_header_when_no_alert_is_open_then_says_so() -> None:
    assert "no open alerts" in text(opened("header", FakeConsole(empty=True)))


def test_header_when_stopping_then_says_not_flat_and_what_it_waits_for() -> None:
    shown = text(opened("header", FakeConsole(stop="running")))
    assert "NOT FLAT" in shown
    assert "VERIFIED FLAT" not in shown
    assert "waiting for demo-b to confirm" in shown
    assert "HALTED · latched" in shown


def test_header_when_flat_then_points_to_the_deliberate_re_arm() -> None:
    shown = text(opened("header", FakeConsole(stop="flat")))
    assert "VERIFIED FLAT" in shown
    assert "NOT FLAT" not in shown
    assert "re-arm on the Risk page" in shown


def test_red_button_when_pressed_then_says_what_will_happen_and_does_nothing_yet() -> None:
    console = FakeConsole()
    at = stop_dialog(console)
    shown = text(at)
    assert problems(at) == ""
    assert "demo book, SIMULATED: 3 working orders, 4 open positions" in shown
    assert "cancel buy 250 XRP/USDT" in shown
    assert "close −0.62 ETH/USDT perp" in shown
    assert "Your own coins are not touched" in shown
    assert console.submits == 0


def test_red_button_when_confirmed_then_sends_one_stop_of_every_book_with_its_reason() -> None:
    console = FakeConsole()
    at = stop_dialog(console)
    at.text_input(key="stop-reason").set_value("it smells")
    at.button(key="send-stop").click().run()
    assert list(console.submitted.values()) == [(EmergencyStop(None), "it smells")]
    assert "send-stop" not in {button.key for button in at.button}


def test_red_button_when_scope_is_one_book_then_stops_that_one() -> None:
    console = FakeConsole()
    at = stop_dialog(console)
    at.radio(key="stop-scope").set_value("only demo").run()
    at.button(key="send-stop").click().run()
    assert [body for body, _ in console.submitted.values()] == [EmergencyStop("demo")]


def test_stop_dialog_when_under_way_then_shows_each_step_and_not_flat() -> None:
    console = FakeConsole(stop="running")
    at = stop_dialog(console)
    at.button(key="send-stop").click().run()
    shown = text(at)
    assert "NOT FLAT" in shown
    assert "orders in flight settled evidence of the venue" in shown
    assert "no positions, seen twice not yet" in shown


def test_stop_dialog_when_the_stop_is_not_carried_out_yet_then_no_steps_of_an_old_one() -> None:
    at = stop_dialog(FakeConsole(stop="flat", pending=True))
    at.button(key="send-stop").click().run()
    answer = text(at).partition("Stored. Waiting for the engine to carry it out.")[2]
    assert answer
    assert "no positions, seen twice" not in answer


def test_stop_dialog_when_held_and_dust_are_known_then_told_with_worth_and_age(monkeypatch: pytest.MonkeyPatch) -> None:
    console = FakeConsole(stop="running")
    known = console.snapshot()
    (first, *rest) = known.books
    assert first.stop is not None
    held = StillHeld(InstrumentKey("bybit:BTC/USDT"), Decimal("0.003996"), Decimal("199.8"), "USDT", 12.0)
    for view, said in (
        (replace(first.stop, held=(held,)), "+0.003996 BTC/USDT · bybit, worth 199.80 USDT at a price 12 s old"),
        (replace(first.stop, held=(replace(held, worth=None, price_age_s=None),)), "it has no trusted price"),
        (replace(first.stop, flat=True, dust="flat except dust: 0.1 XRP"), "Flat except dust: 0.1 XRP"),
    ):
        snapshot = replace(known, books=(replace(first, simulated=False, latched=True, stop=view), *rest))
        monkeypatch.setattr(console, "snapshot", lambda snapshot=snapshot: snapshot)
        at = stop_dialog(console)
        at.button(key="send-stop").click().run()
        assert said in text(at)
        assert "Times of the steps: wall time, UTC" in text(at)


def test_stop_dialog_when_the_command_cannot_be_stored_then_says_nothing_is_stopped() -> None:
    console = FakeConsole(broken={"submit": CannotRecord("disk full")})
    at = stop_dialog(console)
    at.button(key="send-stop").click().run()
    assert "nothing is stopped. Disk full" in problems(at)
    assert "send-stop" in {button.key for button in at.button}


def test_red_button_when_viewer_then_disabled_with_the_reason() -> None:
    button = opened("header", FakeConsole(role=Role.VIEWER)).button(key="stop-open")
    assert button.disabled
    assert "needs operator" in button.help


def test_stop_dialog_when_left_then_gone() -> None:
    at = stop_dialog(FakeConsole())
    at.button(key="close-stop").click().run()
    assert "send-stop" not in {button.key for button in at.button}


def test_book_when_chosen_then_the_strip_follows() -> None:
    at = opened("header", FakeConsole())
    at.selectbox(key="book").set_value("paper").run()
    shown = text(at)
    assert "PAPER" in shown
    assert "10,000.00 USDT" in shown
    assert "SIMULATED" not in shown


def test_book_when_a_link_names_it_then_its_figures_are_the_first_ones_shown() -> None:
    shown = text(linked("header", FakeConsole(), book="paper"))
    assert "PAPER" in shown
    assert "SIMULATED" not in shown
    assert "No book named" not in shown


def test_book_when_a_link_names_one_that_does_not_run_then_said_and_the_first_shown() -> None:
    at = linked("header", FakeConsole(), book="live")
    assert "No book named live runs now: this is the demo book." in text(at)
    assert "DEMO" in text(at)
    assert at.selectbox(key="book").value == "demo"
    assert "No book named" not in text(at.run())


def test_strip_when_the_book_cannot_be_valued_then_a_dash_and_why(monkeypatch: pytest.MonkeyPatch) -> None:
    console = FakeConsole()
    known = console.snapshot()
    books = tuple(replace(book, is_valued=False) for book in known.books)
    monkeypatch.setattr(console, "snapshot", lambda: replace(known, books=books))
    for page in ("header", "overview", "risk", "positions", "strategies"):
        shown = text(opened(page, console))
        assert problems(opened(page, console)) == ""
        if page != "strategies":
            assert "unknown until the first prices" in shown, page
        assert "10,432.18" not in shown, page


def test_pages_when_the_engine_is_gone_then_nothing_is_called_active_or_within_limits() -> None:
    console = FakeConsole(gone="the engine has ended: process 7 is gone", live="armed")
    for page in ("header", "risk"):
        shown = text(opened(page, console))
        assert "last told ACTIVE" in shown
        assert "● ACTIVE" not in shown
    assert "unknown now, last told " in text(opened("overview", console))


def test_stop_dialog_when_the_engine_is_gone_then_stored_and_not_called_flat() -> None:
    console = FakeConsole(gone="the engine has ended: process 7 is gone", pending=True)
    at = stop_dialog(console)
    at.button(key="send-stop").click().run()
    shown = text(at)
    assert "Stored. Waiting for the engine to carry it out." in shown
    assert "NOT FLAT as far as anybody knows" in shown
    assert "close at the exchange itself" in shown
