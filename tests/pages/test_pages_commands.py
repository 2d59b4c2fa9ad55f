"""Every control sends exactly one command, whatever the hand does; a viewer sends none."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

import pytest
from streamlit.testing.v1 import AppTest

from engine.domain.commands import (
    CancelOrder,
    ClosePosition,
    CommandBody,
    ConfigureRisk,
    ConfigureStrategy,
    InjectFault,
    PlaceOrder,
    Rearm,
    Role,
    SetAllocation,
    SetSpeed,
    SetStrategy,
    SetTrading,
    TradingState,
)
from engine.domain.instruments import InstrumentKey
from engine.domain.orders import OrderType, Side
from engine.domain.portfolio import BookSnapshot
from tests.pages.fake_console import FakeConsole
from tests.pages.page_runner import opened, problems, text


def sent(console: FakeConsole) -> list[CommandBody]:
    return [body for body, _ in console.submitted.values()]


def press(at: AppTest, *keys: str) -> AppTest:
    for key in keys:
        at.button(key=key).click().run()
        assert problems(at) == ""
    return at


def test_close_when_part_is_chosen_then_closes_that_share() -> None:
    console = FakeConsole()
    at = press(opened("positions", console), "close-open")
    assert "Sell 100 % of 0.0421 BTC/USDT" in text(at)
    at.slider(key="close-share").set_value(25).run()
    press(at, "send-close-position")
    assert sent(console) == [ClosePosition("demo", "momentum", InstrumentKey("demo-a:BTC/USDT"), Decimal("0.25"))]
    shown = text(at)
    assert "Carried out at sequence 5001" in shown
    assert "Sell 100 %" not in shown, "the question is gone once it is answered"
    assert "send-close-position" not in {button.key for button in at.button}
    assert at.button(key="close-close-position").label == "Close"


def test_cancel_when_confirmed_then_cancels_that_order() -> None:
    console = FakeConsole()
    at = opened("positions", console, positions__tab="Working orders")
    at.selectbox(key="orders-chosen").set_value("d1k7m000124").run()
    press(at, "cancel-open", "send-cancel-order")
    assert sent(console) == [CancelOrder("demo", "d1k7m000124")]


def manual_order(console: FakeConsole, quantity: str, kind: str = "market", price: str = "") -> AppTest:
    at = opened("positions", console, positions__tab="Manual order")
    at.segmented_control(key="order-type").set_value(kind).run()
    at.text_input(key="order-quantity").set_value(quantity)
    if kind != "market":
        at.text_input(key=f"order-{kind}").set_value(price)
    at.run()
    return at.button(key="order-open").click().run()


def test_order_when_limit_then_placed_with_its_price() -> None:
    console = FakeConsole()
    at = manual_order(console, "0.05", "limit", "64000.5")
    press(at, "send-place-order")
    order = PlaceOrder(
        "demo", InstrumentKey("demo-a:BTC/USDT"), Side.BUY, Decimal("0.05"), OrderType.LIMIT, Decimal("64000.5")
    )
    assert sent(console) == [order]


@pytest.mark.parametrize(
    ("quantity", "words"),
    [
        ("", "The amount is empty"),
        ("1,5", "The amount must be a plain number such as 1.5; you entered 1,5"),
        ("abc", "you entered abc"),
        ("-5", "The amount must be above 0; you entered -5"),
        ("0", "The amount must be above 0; you entered 0"),
        ("1e5", "you entered 1e5"),
        ("nan", "you entered nan"),
        ("٣", "must be a plain number"),
    ],
)
def test_order_when_quantity_is_odd_then_refused_by_name_and_not_sent(quantity: str, words: str) -> None:
    console = FakeConsole()
    at = manual_order(console, quantity)
    assert words in problems(at)
    assert "send-place-order" not in {button.key for button in at.button}


def test_order_when_several_fields_are_wrong_then_all_are_named() -> None:
    shown = problems(manual_order(FakeConsole(), "x", "stop", "y"))
    assert "The amount must be a plain number such as 1.5; you entered x" in shown
    assert "The stop price must be a plain number such as 1.5; you entered y" in shown


def test_order_when_reviewed_then_says_price_worth_and_what_the_venue_demands() -> None:
    shown = text(manual_order(FakeConsole(), "0.05", "limit", "64000.5"))
    assert "limit order at 64,000.5 USDT" in shown
    assert "Worth about 3,200.02 USDT at the limit price" in shown
    assert "Simulated market price now:" in shown
    assert "least order" in shown
    assert "step of the amount" in shown
    assert "step of the price" in shown


def test_order_form_before_review_then_says_price_bid_ask_age_worth_and_fee() -> None:
    at = manual_order(FakeConsole(), "0.05")
    shown = text(at)
    assert re.search(
        r"Simulated price [\d,.]+ USDT, middle of bid and ask, [\d.]+ s old\. Best bid [\d,.]+, best", shown
    )
    assert re.search(
        r"This order: worth about [\d,.]+ USDT at the best ask, fee about [\d.]+ USDT where it takes", shown
    )


def test_order_form_while_the_amount_is_missing_then_says_what_to_enter() -> None:
    assert "Enter the amount" in text(manual_order(FakeConsole(), ""))


def test_order_when_it_is_off_the_step_then_said_and_not_to_be_sent() -> None:
    at = manual_order(FakeConsole(), "0.050000000001")
    assert "is not a multiple of the step" in text(at)
    assert at.button(key="send-place-order").disabled


def test_order_when_answered_then_only_the_answer_is_left() -> None:
    at = press(manual_order(FakeConsole(), "0.05", "limit", "64000.5"), "send-place-order")
    shown = text(at)
    assert "Carried out at sequence 5001" in shown
    assert "Worth about" not in shown
    assert "send-place-order" not in {button.key for button in at.button}


def test_strategy_when_paused_then_one_command() -> None:
    console = FakeConsole()
    press(opened("strategies", console), "send-run-momentum")
    assert sent(console) == [SetStrategy("demo", "momentum", running=False)]


@pytest.mark.parametrize("pending", [True, False])
def test_strategy_when_double_clicked_then_one_command(pending: bool) -> None:
    console = FakeConsole(pending=pending)
    at = opened("strategies", console)
    button = at.button(key="send-run-momentum")
    button.click().run()
    button.click().run()
    assert len(console.submitted) == 1
    assert at.button(key="send-run-momentum").disabled


def test_strategy_when_refused_then_the_receipt_says_why() -> None:
    console = FakeConsole(refuses="momentum has no instrument it may trade")
    at = press(opened("strategies", console), "send-run-momentum")
    assert "Refused, nothing was changed. Momentum has no instrument it may trade" in text(at)


def test_command_when_the_engine_failed_over_it_then_the_receipt_does_not_say_that_nothing_was_changed() -> None:
    console = FakeConsole(loses="the engine failed while carrying it out")
    at = press(opened("strategies", console), "send-run-momentum")
    assert "Not known whether it was done. The engine failed while carrying it out" in text(at)
    assert "nothing was changed" not in text(at)


def test_settings_when_changed_then_the_difference_is_shown_before_it_is_sent() -> None:
    console = FakeConsole()
    at = opened("strategies", console)
    at.number_input(key="strategy-demo-momentum-fast_bars").set_value(33)
    at.number_input(key="strategy-demo-momentum-threshold").set_value(2.25).run()
    press(at, "strategy-demo-momentum-apply")
    assert "Fast window (bars): 20 → 33" in text(at)
    assert sent(console) == []
    press(at, "send-configure-strategy")
    (body,) = sent(console)
    assert isinstance(body, ConfigureStrategy)
    assert '"fast_bars": 33' in body.values
    assert '"threshold": "2.25"' in body.values
    assert body.instruments == (
        InstrumentKey("demo-a:BTC/USDT"),
        InstrumentKey("demo-a:ETH/USDT"),
        InstrumentKey("demo-a:SOL/USDT"),
    )


def test_settings_when_nothing_differs_then_nothing_can_be_applied() -> None:
    assert opened("strategies", FakeConsole()).button(key="strategy-demo-momentum-apply").disabled


def test_settings_when_undone_then_what_is_in_force_shows_again() -> None:
    at = opened("strategies", FakeConsole())
    at.number_input(key="strategy-demo-momentum-fast_bars").set_value(33).run()
    press(at, "strategy-demo-momentum-undo")
    assert at.number_input(key="strategy-demo-momentum-fast_bars").value == 20


def test_allocation_when_over_one_hundred_percent_then_cannot_be_applied() -> None:
    at = opened("strategies", FakeConsole())
    at.number_input(key="allocation-demo-momentum").set_value(90).run()
    assert "add up to 150.00 %" in " ".join(item.value for item in at.error)
    assert at.button(key="allocation-apply").disabled


def test_allocation_when_applied_then_every_share_is_sent() -> None:
    console = FakeConsole()
    at = opened("strategies", console)
    at.number_input(key="allocation-demo-momentum").set_value(20).run()
    press(at, "allocation-apply", "send-allocate")
    shares = (("momentum", Decimal("0.2")), ("mean_reversion", Decimal("0.3")), ("breakout", Decimal("0.3")))
    assert sent(console) == [SetAllocation("demo", "fixed", shares)]


class OddShares(FakeConsole):
    """Three strategies whose shares are no whole percents."""

    shares = ("0.3166", "0.3333", "0.333333")

    def _book(self, now: datetime) -> BookSnapshot:
        book = super()._book(now)
        given = zip(book.sleeves, self.shares, strict=False)
        odd = tuple(replace(sleeve, weight=Decimal(share)) for sleeve, share in given)
        return replace(book, sleeves=(*odd, *book.sleeves[len(odd) :]))


def test_allocation_when_only_the_method_changes_then_the_shares_stay_to_the_last_digit() -> None:
    console = OddShares()
    at = opened("strategies", console)
    at.segmented_control(key="allocation-demo-method").set_value("performance").run()
    press(at, "allocation-apply", "send-allocate")
    names = ("momentum", "mean_reversion", "breakout")
    shares = tuple(zip(names, map(Decimal, OddShares.shares), strict=True))
    assert sent(console) == [SetAllocation("demo", "performance", shares)]


def test_allocation_when_one_share_is_edited_then_only_that_one_is_another() -> None:
    console = OddShares()
    at = opened("strategies", console)
    at.number_input(key="allocation-demo-momentum").set_value(31.67).run()
    press(at, "allocation-apply", "send-allocate")
    shares = (("momentum", Decimal("0.3167")), ("mean_reversion", Decimal("0.3333")), ("breakout", Decimal("0.333333")))
    assert sent(console) == [SetAllocation("demo", "fixed", shares)]


def test_allocation_when_odd_shares_add_up_to_less_than_all_then_can_be_applied() -> None:
    class AlmostAll(OddShares):
        shares = ("0.4166", "0.4166", "0.1666")

    at = opened("strategies", AlmostAll())
    assert "99.98 % of" in text(at)
    assert not at.button(key="allocation-apply").disabled
    assert "add up to" not in problems(at)


def test_trading_state_when_switched_then_asks_first() -> None:
    console = FakeConsole()
    at = press(opened("risk", console), "state-CLOSE_ONLY")
    assert "moves from ACTIVE to CLOSE_ONLY" in text(at)
    press(at, "send-trading-state")
    assert sent(console) == [SetTrading("demo", TradingState.CLOSE_ONLY)]


def test_rearm_when_password_is_not_proven_then_blocked_and_then_sent() -> None:
    console = FakeConsole(stop="flat")
    at = press(opened("risk", console), "rearm-open")
    assert at.button(key="send-rearm").disabled
    at.text_input(key="step-up-password-rearm").set_value("wrong")
    at.button(key="step-up-rearm").click().run()
    assert "The password is not right" in problems(at)
    at.text_input(key="step-up-password-rearm").set_value("correct horse")
    press(at, "step-up-rearm", "send-rearm")
    assert sent(console) == [Rearm("demo")]
    assert "step-up-password-rearm" not in at.session_state


def test_limits_when_changed_then_shown_and_sent() -> None:
    console = FakeConsole()
    at = opened("risk", console)
    at.number_input(key="risk-demo-brake_drawdown").set_value(8.0).run()
    press(at, "risk-apply")
    assert "Brake at drawdown (%): 10 % → 8 %" in text(at)
    press(at, "send-risk-limits")
    (body,) = sent(console)
    assert isinstance(body, ConfigureRisk)
    assert '"brake_drawdown": "0.08"' in body.values


def test_mode_when_aggressive_is_chosen_then_names_the_peak_of_money_at_risk() -> None:
    at = opened("risk", FakeConsole())
    at.selectbox(key="risk-demo-mode").set_value("aggressive").run()
    assert "peaks at 557.21 near an equity of 64,921" in text(at)


def test_simulated_market_when_sped_up_or_broken_then_one_command_each() -> None:
    console = FakeConsole()
    at = opened("exchanges", console)
    at.select_slider(key="sim-speed").set_value(300).run()
    press(at, "send-speed", "send-fault")
    assert sent(console) == [SetSpeed("demo", 300), InjectFault("demo", "demo-a", "outage", 5)]


OPENERS = {
    "positions": ("close-open",),
    "strategies": ("send-run-momentum", "strategy-demo-momentum-apply", "allocation-apply"),
    "risk": ("state-CLOSE_ONLY", "state-HALTED", "risk-apply"),
    "exchanges": ("send-speed", "send-fault", "connect-add", "test-cn-1", "forget-cn-1", "paper-start", "paper-stop"),
    "alerts": ("ack-3", "mute-3"),
    "data": ("import",),
}


@pytest.mark.parametrize(("page", "key"), [(page, key) for page, keys in OPENERS.items() for key in keys])
def test_control_when_viewer_then_disabled_with_the_reason(page: str, key: str) -> None:
    console = FakeConsole(role=Role.VIEWER)
    button = opened(page, console).button(key=key)
    assert button.disabled
    assert "signed in as viewer; this needs" in button.help


def test_command_when_the_console_denies_it_then_the_page_says_so() -> None:
    console = FakeConsole()
    at = opened("strategies", console)
    console.role = Role.VIEWER
    at.button(key="send-run-momentum").click().run()
    assert "Not sent. Sam is viewer; this needs operator" in problems(at)
    assert console.submitted == {}
