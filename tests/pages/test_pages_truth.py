"""What a page says before and after an act is what the engine does: orders, stops, limits, allocation, results."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from streamlit.testing.v1 import AppTest
from structlog.testing import capture_logs

from engine.domain.instruments import InstrumentKey
from engine.domain.orders import OrderState, OrderType, Purpose, Side
from engine.domain.portfolio import BookSnapshot, EngineSnapshot, HandStop
from engine.domain.views import JobState
from pages import health, risk
from tests.pages import fake_records as made
from tests.pages.fake_console import FakeConsole
from tests.pages.page_runner import opened, problems, text

D = Decimal


class Changed(FakeConsole):
    """A console whose first book differs in a few fields."""

    def with_book(self, **fields: object) -> Changed:
        self.fields = fields
        return self

    def snapshot(self) -> EngineSnapshot:
        snapshot = super().snapshot()
        first: BookSnapshot = replace(snapshot.books[0], **getattr(self, "fields", {}))
        return replace(snapshot, books=(first, *snapshot.books[1:]))


def press(at: AppTest, *keys: str) -> AppTest:
    for key in keys:
        at.button(key=key).click().run()
        assert problems(at) == ""
    return at


def limits(console: FakeConsole, **percents: float) -> AppTest:
    at = opened("risk", console)
    for name, value in percents.items():
        at.number_input(key=f"risk-demo-{name}").set_value(value)
    return press(at.run(), "risk-apply")


def fields(at: AppTest) -> set[str]:
    return {str(field.key) for field in at.text_input}


def test_limits_when_only_tightened_then_no_password_is_asked() -> None:
    at = limits(FakeConsole(), daily_loss=2.0)
    assert "step-up-password-risk-limits" not in fields(at)
    assert not at.button(key="send-risk-limits").disabled
    assert "none of these limits sizes a position" in text(at)


def test_limits_when_loosened_then_the_limit_is_named_and_the_password_is_asked() -> None:
    at = limits(FakeConsole(), daily_loss=5.0)
    assert "Looser: Largest loss in a day. That needs your password again." in text(at)
    assert "step-up-password-risk-limits" in fields(at)
    assert at.button(key="send-risk-limits").disabled


def test_limits_when_they_size_positions_then_says_that_strategies_trade_at_the_next_candle() -> None:
    shown = text(limits(FakeConsole(), max_leverage=2.0))
    assert "a position above what the new limits allow is then reduced with a market order" in shown
    assert "Positions by hand stay as they are" in shown
    assert "not touched" not in shown


def test_limits_when_the_brake_is_set_below_the_drawdown_then_says_that_it_acts() -> None:
    shown = text(limits(FakeConsole(), brake_drawdown=2.0))
    assert "The drawdown is 2.09 % now, at or past the new brake of 2 %" in shown


def test_risk_when_drawn_then_the_limit_on_one_position_is_explained_with_the_smallest_strategy() -> None:
    shown = text(opened("risk", FakeConsole()))
    assert "30 % of its own allocated equity for each strategy" in shown
    assert "A strategy with 30 % of the capital thus holds at most 9 % of the book's equity" in shown


def test_allocation_when_applied_then_says_that_strategies_trade_to_their_new_sizes() -> None:
    at = press(opened("strategies", FakeConsole()), "allocation-apply")
    shown = text(at)
    assert "trades to the new size with market orders" in shown
    assert "nothing is traded" not in shown


def test_allocation_when_below_and_above_all_then_rest_and_excess_are_said_against_the_equity() -> None:
    at = opened("strategies", FakeConsole())
    at.number_input(key="allocation-demo-momentum").set_value(10).run()
    assert "of the present equity, 10,432.18 USDT, allocated; the rest stays in cash" in text(at)
    at.number_input(key="allocation-demo-momentum").set_value(90).run()
    assert "allocated, more than there is" in text(at)
    assert "the rest stays in cash" not in text(at)


def test_cancel_when_a_stop_protects_a_position_then_not_offered_and_said_why() -> None:
    at = opened("positions", FakeConsole(), positions__tab="Working orders")
    assert at.button(key="cancel-open").disabled
    assert "close the position, its stop goes with it" in text(at)
    at.selectbox(key="orders-chosen").set_value("d1k7m000124").run()
    assert not at.button(key="cancel-open").disabled
    assert "without this stop" not in text(press(at, "cancel-open"))


def test_close_when_the_strategy_runs_then_stop_and_reopening_are_said_as_they_are() -> None:
    at = press(opened("positions", FakeConsole()), "close-open")
    assert "Its stop is cancelled with it." in text(at)
    assert "Its strategy is running and may open it again" in text(at)
    at.slider(key="close-share").set_value(50).run()
    assert "Its stop shrinks with it." in text(at)


def test_close_when_held_by_hand_without_a_stop_then_no_stop_and_no_strategy_are_promised() -> None:
    by_hand = replace(made.positions()[2], sleeve="manual")
    at = press(opened("positions", Changed().with_book(positions=(by_hand,))), "close-open")
    assert "It has no stop." in text(at)
    assert "shrinks" not in text(at)
    assert "may open it again" not in text(at)


def test_positions_when_a_part_has_no_stop_then_counted_marked_and_explained() -> None:
    why = "0.0004 BTC, worth 0.04 USDT, have no stop"
    partly = replace(made.positions()[0], unprotected=D("0.0004"), warnings=(why,))
    at = opened("positions", Changed().with_book(positions=(partly,)))
    assert "0.0004 unprotected" in text(at)
    assert f"{why}." in text(at)
    assert "positions, whole or in part" in text(at)


def test_close_when_its_order_still_works_then_sent_and_not_filled() -> None:
    key = InstrumentKey("demo-a:BTC/USDT")
    exit_order = replace(
        made.working_orders()[0], order_type=OrderType.MARKET, purpose=Purpose.EXIT, state=OrderState.SENT
    )
    console = Changed().with_book(orders=(exit_order,))
    at = press(opened("positions", console), "close-open", "send-close-position")
    assert "Sent; not filled yet: 0.0421 BTC still working." in text(at)
    console.with_book(orders=(), positions=tuple(p for p in made.positions() if p.instrument != key))
    assert "Sent and filled: the position is closed." in text(at.run())


def test_positions_when_a_stop_order_by_hand_covers_one_then_told_with_what_it_covers_and_not_counted_bare(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    console = FakeConsole()
    known = console.snapshot()
    (first, *rest) = known.books
    for told, said in (
        (HandStop(D(61000), D("0.0421"), D(0)), "61,000 by hand, covers 0.0421"),
        (HandStop(D(61000), D("0.02"), D("0.0221")), "61,000 by hand, covers 0.02 0.0221 uncovered"),
    ):
        held = replace(first.positions[0], stop_price=None, by_hand=told)
        books = (replace(first, positions=(held,)), *rest)
        monkeypatch.setattr(console, "snapshot", lambda books=books: replace(known, books=books))
        shown = text(opened("positions", console))
        assert said in shown
        assert "no stop" not in shown
        assert f"Without a stop {int(bool(told.uncovered))}" in shown


def test_order_when_it_opens_then_says_that_it_has_no_stop() -> None:
    at = opened("positions", FakeConsole(), positions__tab="Manual order")
    at.text_input(key="order-quantity").set_value("0.05")
    at = press(at.run(), "order-open")
    assert "has no stop and no strategy that closes it" in text(at)
    press(at, "send-place-order")
    assert "Sent. What was filled stands under Fills" in text(at)
    assert "Done." not in text(at)


def test_order_when_it_only_reduces_then_no_stop_is_missed() -> None:
    at = opened("positions", FakeConsole(), positions__tab="Manual order")
    at.text_input(key="order-quantity").set_value("0.05")
    at.checkbox(key="order-reduce").set_value(True)
    assert "has no stop and no strategy" not in text(press(at.run(), "order-open"))


def test_order_when_it_rests_then_sent_and_not_filled() -> None:
    resting = replace(
        made.working_orders()[1],
        instrument=InstrumentKey("demo-a:BTC/USDT"),
        sleeve="manual",
        quantity=D("0.05"),
        filled=D(0),
        limit_price=D(60000),
        side=Side.BUY,
    )
    at = opened("positions", Changed().with_book(orders=(resting,)), positions__tab="Manual order")
    at.segmented_control(key="order-type").set_value("limit").run()
    at.text_input(key="order-quantity").set_value("0.05")
    at.text_input(key="order-limit").set_value("60000")
    at = press(at.run(), "order-open", "send-place-order")
    assert "Sent; not filled yet: 0.05 BTC still working." in text(at)


def test_stop_when_answered_then_only_the_result_and_close_are_left() -> None:
    at = press(opened("header", FakeConsole(stop="running")), "stop-open")
    shown = text(at)
    assert "Reason" in {field.label.partition(" ")[0] for field in at.text_input}
    press(at, "send-stop")
    assert "stop-reason" not in fields(at)
    assert "send-stop" not in {button.key for button in at.button}
    assert at.button(key="close-stop").label == "Close"
    assert "Times of the steps: simulated market time, UTC" in text(at)
    assert "(momentum)" not in shown


def test_stop_when_it_will_touch_strategies_then_they_have_their_titles() -> None:
    shown = text(press(opened("header", FakeConsole()), "stop-open"))
    assert "(stop, Trend momentum)" in shown
    assert "(Channel breakout)" in shown


def test_stop_when_it_waits_then_instruments_are_named_as_everywhere() -> None:
    shown = text(opened("header", FakeConsole(stop="running")))
    assert "ETH/USDT perp is flat" in shown
    assert "ETH/USDT:USDT" not in shown


@pytest.mark.parametrize("page", ["tax", "positions", "audit", "replay"])
def test_perpetual_when_named_then_one_form_on_every_page(page: str) -> None:
    assert "/USDT:USDT" not in text(opened(page, FakeConsole()))


def test_replay_when_done_then_return_wins_drawdown_and_the_whole_digest_are_shown() -> None:
    at = opened("replay", FakeConsole())
    shown = text(at)
    for words in ("▲ +42.11 %", "118 of 311", "−18.34 %", "10,000.00 USDT", "14,210.55 USDT", "602.11 USDT"):
        assert words in shown
    assert at.code[0].value == "9f2c4be1" * 8


def test_replay_when_its_conditions_are_read_then_in_words_and_percent() -> None:
    shown = text(opened("replay", FakeConsole()))
    assert "Emergency brake: drawdown that flattens, % of peak 10 %" in shown
    assert "Most of a candle's volume one order may take (empty: no cap) 5 %" in shown
    assert "Run Speed, market seconds a wall second as fast as possible" in shown
    assert "plain: only fee and slippage" in shown
    assert "brake_drawdown" not in shown


def test_replay_when_a_strategy_is_chosen_then_its_own_defaults_are_shown_and_named() -> None:
    at = opened("replay", FakeConsole())
    at.multiselect(key="replay-strategies").set_value(["momentum"])
    at.multiselect(key="replay-series").set_value(["binance:BTC/USDT|1h"])
    at.run()
    assert at.number_input(key="replay-momentum-fast_bars").label == "Fast average, bars"
    assert "start from the strategy's own defaults" in text(at)
    assert at.number_input(key="replay-cash").label == "Cash, USDT"


def test_wallets_when_drawn_then_shares_are_of_holdings_and_perpetuals_are_sent_to_risk() -> None:
    shown = text(opened("wallets", FakeConsole()))
    assert "Share of these holdings" in shown
    assert "Share of equity" not in shown
    assert "Perpetuals are not in these figures" in shown


def test_orders_when_listed_then_created_comes_first_and_the_average_price_is_rounded() -> None:
    shown = text(opened("positions", FakeConsole(), positions__tab="Orders"))
    assert "Created, UTC Instrument" in shown
    assert "newest first by the time they were created" in shown
    assert "Average price" in shown
    assert "21,337.5000" in shown


def test_orders_when_over_then_type_and_end_are_said_apart_from_why_they_were_placed() -> None:
    shown = text(opened("positions", FakeConsole(), positions__tab="Orders"))
    assert "Type Quantity" in shown
    assert "How it ended Why placed" in shown
    assert "market, post-only" in shown
    assert "market, reduce-only" in shown
    assert "Ended at the venue: it would have traded at once Close above the channel" in shown


def test_cancel_when_asked_then_the_order_is_named_as_traders_name_it() -> None:
    at = opened("positions", FakeConsole(), positions__tab="Working orders")
    at.selectbox(key="orders-chosen").set_value("d1k7m000124").run()
    order = next(one for one in made.working_orders() if one.client_id == "d1k7m000124")
    shown = text(press(at, "cancel-open")).partition("The venue is asked to cancel:")[2][:80]
    assert order.client_id not in shown
    assert f"{order.side.value} " in shown


def test_positions_when_the_entry_has_many_digits_then_two_more_than_its_prices() -> None:
    held = replace(made.positions()[0], entry_price=D("55804.30566038"))
    shown = text(opened("positions", Changed().with_book(positions=(held,))))
    assert "55,804.3057" in shown
    assert "55,804.30566038" not in shown
    assert "the present one included, in USDT" in shown


class Importing(FakeConsole):
    """Candles arrive while the page is open."""

    def end(self, state: JobState, said: str) -> None:
        self.job_list = [replace(job, state=state, detail=said) for job in self.job_list]


def test_job_when_it_has_failed_then_it_is_not_called_started_any_more() -> None:
    console = Importing()
    at = opened("data", console, data__tab="Download")
    press(at, "download")
    assert "Started: BTC/USDT" in text(at)
    console.end(JobState.FAILED, "no network")
    shown = text(at.run())
    assert "Started:" not in shown
    assert "It failed; nothing goes on" in shown
    console.end(JobState.DONE, "done")
    assert "It failed" not in text(at.run())


@pytest.mark.parametrize(
    ("stage", "simulated", "said"),
    [
        ("demo", True, "SIMULATED fills: not for a tax return"),
        ("paper", False, "paper fills, no money moved: not for a tax return"),
        ("testnet", False, "sandbox fills, play money: not for a tax return"),
        ("live", False, "· real fills ·"),
    ],
)
def test_tax_when_drawn_then_only_fills_of_real_money_are_called_real(stage: str, simulated: bool, said: str) -> None:
    shown = text(opened("tax", Changed().with_book(stage=stage, simulated=simulated)))
    assert said in shown
    assert ("real fills" in shown) is (stage == "live")


def test_limit_when_it_is_one_of_something_then_in_the_singular() -> None:
    assert risk.amount(D(1), "orders") == "1 order"
    assert risk.amount(D(2), "orders") == "2 orders"
    assert risk.amount(D("0.1"), "share") == "10.00 %"


def test_positions_when_none_has_a_target_then_no_column_of_dashes() -> None:
    bare = replace(made.positions()[0], target_price=None)
    shown = text(opened("positions", Changed().with_book(positions=(bare,))))
    assert "Stop Strategy" in shown
    held = replace(bare, target_price=D("71000"))
    assert "Stop Target Strategy" in text(opened("positions", Changed().with_book(positions=(held,))))


def test_count_when_read_then_has_no_decimals() -> None:
    assert str(health.reading(2.0, "")).replace("<small></small>", "").strip() == "2"
    assert health.plain(10.0, "") == "10"
    assert health.plain(85.0, "%") == "85.0 %"


def test_overview_when_a_curve_is_drawn_then_says_from_where_the_drawdown_counts() -> None:
    assert "since the start or the last re-arm" in text(opened("overview", FakeConsole()))


def test_part_when_input_is_mistyped_then_no_warning_is_logged() -> None:
    with capture_logs() as logged:
        at = opened("positions", FakeConsole(), positions__tab="Manual order")
        at.text_input(key="order-quantity").set_value("abc").run()
        at.button(key="order-open").click().run()
    assert "you entered abc" in problems(at)
    assert {line["log_level"] for line in logged if line["event"] == "page_part_not_drawn"} == {"debug"}
