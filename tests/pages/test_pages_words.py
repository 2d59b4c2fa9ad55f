"""What people read: which instant figures are of, one name for a strategy, percent in and shares out."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.views import FormField
from engine.domain.wallet_views import MoneyKind, WalletOwners
from pages import forms, wallets
from tests.pages.fake_console import FakeConsole
from tests.pages.page_runner import opened, text

D = Decimal


@pytest.mark.parametrize("page", ["overview", "positions", "strategies", "risk"])
def test_live_figures_when_drawn_then_say_which_instant_they_are_of(page: str) -> None:
    assert "As of 09:26:53 simulated market time, UTC" in text(opened(page, FakeConsole()))


def test_live_figures_when_they_are_old_then_say_stale() -> None:
    assert "STALE 20 s As of" in text(opened("overview", FakeConsole(stale_s=20.0)))


def test_orders_by_hand_when_listed_then_have_no_state_and_no_capital() -> None:
    assert "By hand — — — ▲ +3.10" in text(opened("overview", FakeConsole()))


def test_strategy_when_its_form_is_open_then_the_name_for_the_command_line_is_said_once() -> None:
    shown = text(opened("strategies", FakeConsole()))
    assert shown.count("On the command line and in settings: momentum") == 1
    assert "mean_reversion" not in shown


def test_refusal_when_listed_on_risk_then_names_the_strategy_by_its_title() -> None:
    assert "Trend momentum 2026-03-14 09:23:53 ETH/USDT · demo-a ▲ buy 1.9 ETH concentration" in text(
        opened("risk", FakeConsole())
    )


def owners(own: str, profit: str) -> str:
    whose = WalletOwners(MoneyKind.SIMULATED, D(100) + D(own), D(100), D(own), D(profit), D(100) + D(profit))
    return wallets.owners(whose, "USDT")


def test_wallets_when_nothing_is_open_then_what_is_traded_is_the_equity() -> None:
    assert owners("20", "0") == (
        "Of this, the engine trades 100.00 USDT; 20.00 USDT is your own and is never traded. What the engine trades is "
        "its equity at that time."
    )


def test_wallets_when_perpetuals_are_open_then_their_profit_is_the_rest() -> None:
    assert "With −4.00 USDT of unrealised P&L on perpetuals" in owners("20", "-4")
    assert owners("20", "-4").endswith("makes an equity of 96.00 USDT at that time.")


def test_wallets_when_they_hold_less_than_recorded_then_that_is_said() -> None:
    assert "the wallets hold 2.00 USDT less" in owners("-2", "0")


@given(st.decimals(min_value=0, max_value=10, places=6, allow_nan=False, allow_infinity=False))
def test_share_when_read_as_percent_and_entered_again_then_the_same(share: Decimal) -> None:
    percent = forms.percent_of(str(share))
    assert percent is not None
    stored = forms.share_of(float(percent))
    assert stored is not None
    assert Decimal(stored) == share


def test_share_when_changed_then_the_difference_is_in_percent() -> None:
    field = FormField("loss", "Loss, %", "number", "0.03", "0.03", 0.0, 0.5, (), "share")
    assert forms.changes([field], {"loss": "0.02"}) == (("Loss, %", "3 %", "2 %"),)
    assert forms.changes([field], {"loss": "0.030"}) == ()
