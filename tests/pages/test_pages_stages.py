"""Testnet and live on the pages: what they need, starting and arming, promotion, and what is nobody's to manage."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from engine.domain.commands import AdoptOrder, ArmLive, Demote, Promote, Role
from engine.domain.errors import BadInput
from engine.domain.instruments import InstrumentKey
from engine.domain.orders import OrderState, OrderType, Purpose, Side
from engine.domain.portfolio import EngineSnapshot, WorkingOrder
from tests.pages import fake_records as made
from tests.pages.fake_console import FakeConsole
from tests.pages.page_runner import button_keys, opened, problems, text

D = Decimal


class Live(FakeConsole):
    """A console whose live book has orders of its own: a resting stop, a kept target and one from outside."""

    def snapshot(self) -> EngineSnapshot:
        known = super().snapshot()
        rows = (
            ("l1", "v-1", OrderType.STOP, Purpose.STOP, "breakout"),
            ("l2", None, OrderType.LIMIT, Purpose.TARGET, "breakout"),
            ("by-hand", "v-3", OrderType.LIMIT, Purpose.ENTRY, "external"),
        )
        orders = tuple(
            WorkingOrder(
                client_id, number, InstrumentKey("bybit:ETH/USDT:USDT"), Side.BUY, D("0.62"), D(0), kind,
                D("2900"), D("3171.20"), OrderState.WORKING, purpose, sleeve, made.MARKET_NOW,
            )
            for client_id, number, kind, purpose, sleeve in rows
        )  # fmt: skip
        books = tuple(replace(book, orders=orders) if book.name == "live" else book for book in known.books)
        return replace(known, books=books)


def test_stages_when_drawn_then_each_condition_says_ok_missing_or_unknown_and_how_to_reach_it() -> None:
    shown = text(opened("exchanges", FakeConsole()))
    nothing = text(opened("exchanges", FakeConsole(empty=True)))
    assert "Account missing No account was chosen. Connect an account below" in nothing
    assert "Key unknown Not checked yet. Press Test beside the account" in shown
    assert "Account ok binance/main" in shown
    assert "KuCoin, Kraken and Coinbase (spot) have no sandbox" in shown
    assert "Demo and paper need no account and no key" in shown


def test_testnet_when_started_then_account_symbols_candles_and_capital_are_handed_over() -> None:
    console = FakeConsole()
    at = opened("exchanges", console)
    at.text_input(key="stage-testnet-symbols").set_value("btc/usdt, eth/usdt ,")
    at.text_input(key="stage-testnet-capital").set_value("750.5")
    at.button(key="stage-testnet-start").click().run()
    assert console.named("start_stage") == [
        ("testnet", ("binance/main",), ("BTC/USDT", "ETH/USDT"), "1m", Decimal("750.5"))
    ]
    assert "The testnet book starts at binance/main" in text(at)


def test_testnet_when_the_capital_is_no_number_then_nothing_is_started() -> None:
    console = FakeConsole()
    at = opened("exchanges", console)
    at.text_input(key="stage-testnet-capital").set_value("1,000")
    at.button(key="stage-testnet-start").click().run()
    assert "is not a number" in problems(at)
    assert console.named("start_stage") == []


def test_testnet_when_the_engine_refuses_then_its_reason_is_said() -> None:
    console = FakeConsole(broken={"start_stage": BadInput("KuCoin has no sandbox")})
    at = opened("exchanges", console).button(key="stage-testnet-start").click().run()
    assert "Not done. KuCoin has no sandbox" in problems(at)


def test_stage_when_no_account_fits_then_it_cannot_be_started_and_says_what_is_needed() -> None:
    at = opened("exchanges", FakeConsole(empty=True))
    assert at.button(key="stage-testnet-start").disabled
    assert "the testnet book needs one of a sandbox" in text(at)


def test_live_when_the_password_is_not_proven_then_it_cannot_be_started() -> None:
    button = opened("exchanges", FakeConsole()).button(key="stage-live-start")
    assert button.disabled
    assert "password" in button.help


def test_live_when_started_then_its_settings_are_kept_as_they_were() -> None:
    console = FakeConsole(proven=True)
    opened("exchanges", console).button(key="stage-live-start").click().run()
    assert console.named("start_stage") == [
        ("live", ("binance/main",), ("BTC/USDT", "ETH/USDT"), "1h", Decimal("2500.50"))
    ]


def test_stage_when_a_viewer_looks_then_nothing_can_be_started() -> None:
    at = opened("exchanges", FakeConsole(role=Role.VIEWER))
    assert at.button(key="stage-testnet-start").disabled
    assert at.button(key="stage-live-start").disabled


def test_live_when_it_runs_then_it_can_be_stopped_and_says_what_stays() -> None:
    console = FakeConsole(live="halted", proven=True)
    at = opened("exchanges", console)
    assert "binance/main · BTC/USDT, ETH/USDT · 1h candles · at most 2,500.50 USDT at each venue" in text(at)
    at.button(key="stage-stop-live").click().run()
    assert console.named("stop_stage") == [("live",)]


def test_arming_when_something_is_missing_then_blocked_with_it() -> None:
    at = opened("exchanges", FakeConsole(live="halted", proven=True))
    button = at.button(key="arm-live")
    assert button.disabled
    assert "bybit was not compared yet" in button.help
    assert "Cannot be armed yet" in text(at)


class Ready(FakeConsole):
    """A live book with nothing missing but its arming."""

    def snapshot(self) -> EngineSnapshot:
        known = super().snapshot()
        return replace(known, books=tuple(replace(book, obstacles=()) for book in known.books))


def test_arming_when_asked_then_password_and_one_command() -> None:
    console = Ready(live="halted")
    at = opened("exchanges", console).button(key="arm-live").click().run()
    assert "may open positions with real money" in text(at)
    assert at.button(key="send-arm-live").disabled
    at.text_input(key="step-up-password-arm-live").set_value("correct horse")
    at.button(key="step-up-arm-live").click().run()
    at.button(key="send-arm-live").click().run()
    assert [body for body, _ in console.submitted.values()] == [ArmLive("live")]


def test_arming_when_armed_then_it_is_not_offered() -> None:
    at = opened("exchanges", FakeConsole(live="armed", proven=True))
    assert "arm-live" not in button_keys(at)
    assert "armed" in text(at)


def test_venues_when_in_trouble_then_state_words_until_use_and_clock_are_told() -> None:
    shown = text(opened("exchanges", FakeConsole(live="armed")))
    assert "LOCKED does not accept the key: positions there are unmanaged" in shown
    assert "BANNED has shut this address or key out for a while" in shown
    assert "until 20" in shown
    assert "86 %, near the limit" in shown
    assert "−1,700 ms" in shown
    assert "Books and exchange have not been compared yet" in shown
    assert "81.0 ms" in shown


def test_exchange_when_it_has_no_sandbox_then_the_form_says_that_its_account_is_a_real_one() -> None:
    at = opened("exchanges", FakeConsole())
    assert "Binance has a sandbox of its own" in text(at)
    at.selectbox(key="connect-exchange").set_value("kucoin").run()
    assert "KuCoin has no sandbox: an account there is a real one" in text(at)


def test_promotion_when_drawn_then_evidence_rule_and_refusal_are_told() -> None:
    shown = text(opened("strategies", FakeConsole()))
    assert "Trend momentum demo book 64 19 ▲ +3.10 % −4.10 % may be promoted" in shown
    assert "not yet 12 of 30 trades were made" in shown
    assert "The rule for the paper book: at least 30 trades on 14 days" in shown


def test_promotion_when_confirmed_then_one_command_after_the_password() -> None:
    console = FakeConsole(proven=True)
    at = opened("strategies", console).button(key="promote-open").click().run()
    assert "64 trades on 19 days since 2026-02-23 09:26:53, result after costs +3.10 %" in text(at)
    at.button(key="send-promote-strategy").click().run()
    assert [body for body, _ in console.submitted.values()] == [Promote("momentum", "demo", "paper")]


def test_promotion_when_the_rule_says_no_then_blocked_in_words() -> None:
    at = opened("strategies", FakeConsole())
    at.selectbox(key="promotion-chosen").set_value("mean_reversion|demo|paper").run()
    button = at.button(key="promote-open")
    assert button.disabled
    assert "Refused by the rule: 12 of 30 trades" in button.help


def test_promotion_when_the_engine_refuses_then_its_reason_is_the_answer() -> None:
    console = FakeConsole(proven=True, refuses="live has seen 3 closed trades; it needs 30")
    at = opened("strategies", console).button(key="promote-open").click().run()
    at.button(key="send-promote-strategy").click().run()
    assert "Refused, nothing was changed. Live has seen 3 closed trades" in text(at)


def test_demotion_when_confirmed_then_one_command_and_its_consequences_were_told() -> None:
    console = FakeConsole(live="armed")
    at = opened("strategies", console)
    assert "Promoted strategies" in text(at)
    at.button(key="demote-open").click().run()
    assert "Its positions there keep their stops" in text(at)
    at.button(key="send-demote-strategy").click().run()
    assert [body for body, _ in console.submitted.values()] == [Demote("momentum", "live")]


def test_promotion_when_no_strategy_trades_before_then_the_way_is_told() -> None:
    assert "No strategy trades in a book before paper" in text(opened("strategies", FakeConsole(empty=True)))


def test_positions_when_some_are_not_ours_to_manage_then_said_and_not_offered_for_closing() -> None:
    at = opened("positions", Live(live="armed"), book="live")
    shown = text(at)
    assert "From outside 1 position held, 1 order open: yours, counted in risk, never managed" in shown
    assert "UNMANAGED 1 held at bybit, where no key of ours works" in shown
    assert at.button(key="close-open").disabled
    assert "the engine counts it in risk and leaves it alone" in shown


@pytest.mark.parametrize(("client_id", "blocked"), [("by-hand", True), ("l2", False)])
def test_orders_when_from_outside_then_not_offered_for_cancelling(client_id: str, blocked: bool) -> None:
    at = opened("positions", Live(live="armed"), book="live", positions__tab="Working orders")
    at.selectbox(key="orders-chosen").set_value(client_id).run()
    assert at.button(key="cancel-open").disabled is blocked


def test_stops_and_targets_when_shown_then_where_they_lie_is_told() -> None:
    at = opened("positions", Live(live="armed"), book="live")
    assert "3,171.20 rests at the exchange" in text(at)
    shown = text(opened("positions", Live(live="armed"), book="live", positions__tab="Working orders"))
    assert "kept by the engine target" in shown
    assert "rests at the exchange stop" in shown


@pytest.mark.parametrize(("spared", "said"), [(True, "2 working orders, 1 open"), (False, "3 working orders, 2 open")])
def test_red_button_when_the_trader_has_orders_of_his_own_then_listed_unless_they_are_spared(
    spared: bool, said: str
) -> None:
    class Sparing(Live):
        def snapshot(self) -> EngineSnapshot:
            known = super().snapshot()
            return replace(known, books=tuple(replace(book, stop_spares_own=spared) for book in known.books))

    at = opened("header", Sparing(live="armed"), book="live").button(key="stop-open").click().run()
    at.radio(key="stop-scope").set_value("only live").run()
    shown = text(at)
    assert f"live book: {said} position" in shown
    assert ("close +" in shown and "BTC/USDT · binance" in shown.split("Yours, left as they are")[0]) is not spared
    assert ("Yours, left as they are: buy 0.62 ETH/USDT" in shown) is spared


def test_own_order_when_taken_over_then_asked_once_with_what_it_means_and_one_command() -> None:
    console = Live(live="armed")
    at = opened("positions", console, book="live", positions__tab="Working orders")
    at.selectbox(key="orders-chosen").set_value("by-hand").run()
    assert at.button(key="cancel-open").disabled
    at.button(key="adopt-open").click().run()
    shown = text(at)
    assert "an emergency stop cancels it" in shown
    assert "manual sleeve of the live book" in shown
    at.button(key="send-adopt-order").click().run()
    assert [body for body, _ in console.submitted.values()] == [AdoptOrder("live", "v-3")]


def test_stop_when_not_flat_then_the_exposure_is_told_or_that_it_is_unknown() -> None:
    class Stopped(FakeConsole):
        def snapshot(self) -> EngineSnapshot:
            known = super().snapshot()
            (first, *rest) = known.books
            assert first.stop is not None
            return replace(known, books=(replace(first, stop=replace(first.stop, exposure=D("1234.5"))), *rest))

    assert "NOT FLAT still open at worst: 1,234.50 USDT" in text(opened("header", Stopped(stop="running")))
    assert "what is still open cannot be valued: a price is missing" in text(
        opened("header", FakeConsole(stop="running"))
    )


def test_wallets_when_accounts_are_connected_then_silent_wallets_paths_and_ages_are_told() -> None:
    shown = text(opened("wallets", FakeConsole(connected=True)))
    assert "binance/main: the earn, locked wallet gave no answer, what is in it is not counted" in shown
    assert "kucoin/second real as last read" in shown
    assert "ETH → BTC → EUR" in shown or "ETH → BTC → USDT" in shown
    assert "Real balances" in shown
    assert "SIMULATED balances" in shown
    assert "1000 NEWCOIN at kucoin" in shown
    assert "no price, not counted" in shown


def test_testnet_when_an_account_is_connected_later_then_it_is_chosen() -> None:
    console = FakeConsole(empty=True)
    at = opened("exchanges", console)
    console.empty = False
    at.run()
    assert at.multiselect(key="stage-testnet-account").value == ["binance/main"]


def test_testnet_when_two_accounts_are_chosen_then_the_needs_of_both_are_told_and_both_are_handed_over() -> None:
    console = FakeConsole()
    at = opened("exchanges", console)
    at.multiselect(key="stage-testnet-account").set_value(["binance/main", "bybit/second"]).run()
    assert "Account ok bybit/second" in text(at)
    at.button(key="stage-testnet-start").click().run()
    assert [call[1] for call in console.named("start_stage")] == [("binance/main", "bybit/second")]


def test_testnet_when_no_account_is_left_in_the_form_then_nothing_is_started() -> None:
    console = FakeConsole()
    at = opened("exchanges", console)
    at.multiselect(key="stage-testnet-account").set_value([]).run()
    at.button(key="stage-testnet-start").click().run()
    assert "no account was chosen" in problems(at).lower()
    assert console.named("start_stage") == []
