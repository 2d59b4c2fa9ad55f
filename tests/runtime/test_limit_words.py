"""What new limits would do is said before they apply."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from engine.domain.errors import SettingsError
from engine.domain.portfolio import BookSnapshot
from engine.risk.limits import RiskConfig
from engine.runtime.limit_words import position_limit_words, review_limits, title_of_limit
from tests.pages.fake_console import FakeConsole

D = Decimal


def book(**changes: Any) -> BookSnapshot:
    made = FakeConsole(empty=True).snapshot().book("demo")
    return replace(made, risk=RiskConfig().model_dump_json(), **changes)


def values(**changes: Any) -> str:
    return json.dumps({**RiskConfig().model_dump(mode="json"), **changes})


@pytest.mark.parametrize("name", RiskConfig.model_fields)
def test_title_when_a_setting_of_the_limits_then_words_and_no_code_name(name: str) -> None:
    title = title_of_limit(name)
    assert title[0].isupper()
    assert "_" not in title


def test_review_when_everything_is_tighter_then_nothing_needs_the_password() -> None:
    review = review_limits(book(), values(daily_loss="0.02", max_orders_per_minute=10))
    assert (review.looser, review.brakes) == ((), False)
    assert not any("password" in line for line in review.consequences)


def test_review_when_one_is_looser_then_named_by_its_title() -> None:
    review = review_limits(book(), values(daily_loss="0.05", max_exposure="0.5"))
    assert review.looser == ("Largest loss in a day",)
    assert "That needs your password again" in review.consequences[-1]


@pytest.mark.parametrize(
    ("change", "resizes"),
    [
        ({"max_position_share": "0.1"}, True),
        ({"max_exposure": "0.5"}, True),
        ({"max_concentration": "0.1"}, True),
        ({"mode": "aggressive"}, True),
        ({"daily_loss": "0.01"}, False),
        ({"price_band": "0.01"}, False),
    ],
)
def test_review_when_positions_are_sized_by_it_then_orders_at_the_next_candle_are_announced(
    change: dict[str, str], resizes: bool
) -> None:
    said = " ".join(review_limits(book(), values(**change)).consequences)
    assert ("size anew at their next candle" in said) is resizes


@pytest.mark.parametrize("change", [{"take_profit": "2"}, {"trail": "1.5"}])
def test_review_when_targets_or_trailing_change_then_said_for_whom_they_count(change: dict[str, str]) -> None:
    review = review_limits(book(), values(**change))
    assert "Targets and trailing stops come with the next entries" in review.consequences[-1]
    assert review.looser == ()


@pytest.mark.parametrize(("drawdown", "brakes"), [("0.0499", False), ("0.05", True), ("0.08", True)])
def test_review_when_the_drawdown_has_reached_the_new_brake_then_said(drawdown: str, brakes: bool) -> None:
    review = review_limits(book(drawdown=D(drawdown)), values(brake_drawdown="0.05"))
    assert review.brakes is brakes
    assert any("the brake closes every position" in line for line in review.consequences) is brakes


def test_review_when_the_book_is_latched_then_no_second_brake_is_announced() -> None:
    assert not review_limits(book(drawdown=D("0.2"), latched=True), values(brake_drawdown="0.05")).brakes


def test_review_when_a_limit_is_out_of_bounds_then_refused_by_name() -> None:
    with pytest.raises(SettingsError, match="daily_loss"):
        review_limits(book(), values(daily_loss="7"))


def test_position_limit_when_no_strategy_has_capital_then_no_example() -> None:
    assert position_limit_words(book()).endswith("for each strategy.")
