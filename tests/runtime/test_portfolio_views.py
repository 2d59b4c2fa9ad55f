"""Whose the balances are, and what the forms of limits and strategies show as default and in percent."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from config.settings import load
from engine.domain.instruments import Instrument, InstrumentKey, Kind
from engine.domain.portfolio import Balance, BookSnapshot
from engine.domain.wallet_views import MoneyKind, WalletOwners
from engine.risk.limits import RiskConfig
from engine.runtime.forms import form_of
from engine.runtime.portfolio import Portfolio
from engine.runtime.valuation import Prices
from engine.runtime.wallet_shelf import AccountHoldings, KnownAccounts
from engine.strategies import STRATEGIES
from tests.pages.fake_console import FakeConsole

D = Decimal
BTC = Instrument("demo-a", "BTC", "USDT", Kind.SPOT, D("0.01"), D("0.001"), D(5), D(1))


def book(*balances: Balance, equity: str = "1500", **changes: Any) -> BookSnapshot:
    """A book that sees BTC at 1,000 and nothing else."""
    made = FakeConsole(empty=True).snapshot().book("demo")
    marks = ((BTC.key, D(1000)),)
    return replace(made, balances=balances, equity=D(equity), instruments=(BTC,), marks=marks, **changes)


class Held(Portfolio):
    """Portfolio over given books, without an engine."""

    def __init__(self, *books: BookSnapshot) -> None:
        self._books = books
        self.accounts: tuple[AccountHoldings, ...] = ()
        self.prices = Prices(())
        self._services: Any = SimpleNamespace(settings=load(environment={}))

    def snapshot(self) -> Any:
        return SimpleNamespace(books=self._books, book=lambda name: self._books[0])

    def _accounts(self) -> KnownAccounts:
        return KnownAccounts(self.accounts)

    def _connected_prices(self) -> Prices:
        return self.prices

    def _history(self, book: str, instrument: InstrumentKey, bars: int) -> Any:
        return SimpleNamespace(timeframe="1h", close=np.linspace(900.0, 1000.0, 50))


def balance(currency: str, total: str, traded: str) -> Balance:
    return Balance("demo-a", "spot", currency, D(total), D(total), D(traded))


def test_wallets_when_some_coins_are_the_traders_own_then_the_difference_to_the_equity_is_told() -> None:
    held = Held(book(balance("USDT", "1300", "1000"), balance("BTC", "2", "0.5"), equity="1480"))
    (group,) = held.wallets("USDT").groups
    owners = group.owners
    assert owners is not None
    assert owners == WalletOwners(MoneyKind.SIMULATED, D(3300), D(1500), D(1800), D(-20), D(1480))
    assert owners.total == owners.traded + owners.own
    assert owners.equity == owners.traded + owners.open_profit


def test_wallets_when_risk_is_shown_then_shares_are_of_the_holdings_and_a_books_are_of_its_equity() -> None:
    held = Held(book(balance("USDT", "1300", "1000"), balance("BTC", "2", "0.5")))
    names = {figure.name for figure in held.wallets("USDT").groups[0].risk.figures}
    assert "Gross exposure of these holdings" in names
    assert not [name for name in names if "equity" in name]
    assert "Gross exposure of equity" in {figure.name for figure in held.risk("demo").figures}


def test_wallets_when_simulated_and_real_then_each_kind_has_its_own_sums() -> None:
    simulated = book(balance("USDT", "100", "100"), equity="100")
    real = book(balance("USDT", "70", "50"), equity="50", simulated=False, stage="live", name="live")
    groups = Held(simulated, real).wallets("USDT").groups
    assert [(one.kind, one.owners and (one.owners.total, one.owners.own)) for one in groups] == [
        (MoneyKind.REAL, (D(70), D(20))),
        (MoneyKind.SIMULATED, (D(100), D(0))),
    ]


def test_wallets_when_a_coin_has_no_price_then_it_belongs_to_no_sum() -> None:
    held = Held(book(balance("USDT", "10", "10"), balance("PEPE", "5", "5"), equity="10"))
    (group,) = held.wallets("USDT").groups
    owners = group.owners
    assert owners is not None
    assert group.unpriced == ("5 PEPE at demo-a",)
    assert (owners.total, owners.traded, owners.own) == (D(10), D(10), D(0))


def test_strategy_form_when_the_book_started_with_other_settings_then_those_are_the_default() -> None:
    held = Held(book())
    forms = {form.name: {field.name: field for field in form.fields} for form in held.strategies("demo")}
    assert (forms["momentum"]["slow_ema_bars"].default, forms["momentum"]["atr_period_bars"].default) == (144, 14)
    assert forms["breakout"]["channel_bars"].default == 360


def test_strategy_form_when_the_book_names_no_settings_then_the_default_is_the_strategys_own() -> None:
    forms = {form.name: {field.name: field for field in form.fields} for form in Held(book()).strategies("paper")}
    assert forms["momentum"]["slow_ema_bars"].default == 72


@pytest.mark.parametrize("kind", STRATEGIES.values(), ids=lambda kind: kind.name)
def test_form_when_nothing_is_set_then_every_default_is_the_fields_own(kind: Any) -> None:
    own = kind.config().model_dump(mode="json")
    assert {field.name: field.default for field in form_of(kind.config, {})} == own


def test_form_when_a_field_is_a_share_then_it_is_asked_for_in_percent_and_stored_as_before() -> None:
    held = Held(book(risk=RiskConfig().model_dump_json()))
    fields = {field.name: field for field in held.risk_form("demo")}
    daily = fields["daily_loss"]
    assert (daily.unit, daily.label, daily.value) == ("share", "Largest loss in a day, % of equity", "0.03")
    assert fields["max_exposure"].unit == "x equity"
