"""Balances of books and accounts side by side: each counted once, kinds apart, prices of their own market."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from engine.domain.errors import BadInput
from engine.domain.portfolio import Balance
from engine.domain.wallet_views import CoinPrice, MoneyKind
from engine.runtime.valuation import Prices
from engine.runtime.wallet_shelf import AccountHoldings
from tests.runtime.test_portfolio_views import Held, balance, book

D = Decimal
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def held(
    *books: Any, accounts: tuple[AccountHoldings, ...] = (), prices: tuple[tuple[str, str, str], ...] = ()
) -> Held:
    made = Held(*(books or (book(),)))
    made.accounts = accounts
    made.prices = Prices(CoinPrice("bybit", base, quote, D(value), NOON, "bybit mid") for base, quote, value in prices)
    return made


def account(*coins: tuple[str, str, str], sandbox: bool = False) -> AccountHoldings:
    told = tuple(Balance("bybit", wallet, coin, D(total), D(total)) for wallet, coin, total in coins)
    return AccountHoldings("bybit/main", "bybit", sandbox, told, read_at=NOON)


PRICES = (("ETH", "BTC", "0.05"), ("BTC", "USDT", "60000"))


def test_account_when_a_coin_has_no_market_of_its_own_then_valued_over_another_with_path_and_age() -> None:
    view = held(accounts=(account(("earn", "ETH", "2"), ("funding", "NEW", "5")),), prices=PRICES).wallets("USDT")
    rows = {row.currency: row for row in view.groups[0].holdings}
    assert view.groups[0].kind is MoneyKind.REAL
    eth = rows["ETH"]
    assert (eth.value, eth.path, eth.priced_at, eth.price_source) == (D(6000), "ETH → BTC → USDT", NOON, "bybit mid")
    assert (eth.account, eth.connection, eth.read_at) == ("earn", "bybit/main", NOON)
    assert (rows["NEW"].value, rows["NEW"].price_source) == (None, "no price")
    assert view.groups[0].unpriced == ("5 NEW at bybit",)
    assert view.groups[0].total == D(6000)


def test_account_when_a_book_trades_from_it_then_counted_once_with_what_the_engine_owns() -> None:
    told = (Balance("bybit", "main", "USDT", D(900), D(900), D(500)),)
    live = book(simulated=False, stage="live", name="live", equity="500")
    live = replace(live, balances=told)
    accounts = (account(("unified trading", "USDT", "900"), ("funding", "USDT", "50")),)
    (group,) = held(live, accounts=accounts).wallets("USDT").groups
    assert (group.total, len(group.holdings)) == (D(950), 2)
    assert sum(row.engine_owned for row in group.holdings) == D(500)
    assert group.owners is not None
    assert (group.owners.traded, group.owners.own) == (D(500), D(450))


def test_account_when_it_could_not_be_read_then_what_the_book_was_told_stands() -> None:
    live = replace(
        book(simulated=False, stage="live", name="live", equity="500"),
        balances=(Balance("bybit", "main", "USDT", D(900), D(900), D(500)),),
    )
    unread = AccountHoldings("bybit/main", "bybit", False, failure="bybit did not answer")
    view = held(live, accounts=(unread,)).wallets("USDT")
    assert [(row.venue, row.total) for row in view.groups[0].holdings] == [("bybit", D(900))]
    assert view.accounts[0].failure == "bybit did not answer"


def test_kinds_when_all_three_are_there_then_each_has_its_own_sum_and_shares() -> None:
    demo = book(balance("USDT", "100", "100"), equity="100")
    testnet = replace(
        book(simulated=False, stage="testnet", name="testnet"),
        balances=(Balance("bybit", "main", "USDT", D(10_000), D(10_000)),),
    )
    accounts = (account(("funding", "USDT", "40")), account(("funding", "USDT", "10000"), sandbox=True))
    groups = held(demo, testnet, accounts=accounts).wallets("USDT").groups
    assert [(group.kind, group.total) for group in groups] == [
        (MoneyKind.REAL, D(40)),
        (MoneyKind.SANDBOX, D(10_000)),
        (MoneyKind.SIMULATED, D(100)),
    ]
    assert [[row.share for row in group.holdings] for group in groups] == [[D(1)], [D(1)], [D(1)]]


def test_real_coin_when_only_a_simulated_market_lists_it_then_it_has_no_price() -> None:
    view = held(book(balance("BTC", "1", "0")), accounts=(account(("spot", "BTC", "1")),)).wallets("USDT")
    assert [(group.kind, group.holdings[0].value) for group in view.groups] == [
        (MoneyKind.REAL, None),
        (MoneyKind.SIMULATED, D(1000)),
    ]


def test_currency_when_no_market_leads_there_then_refused_with_what_can_be_chosen() -> None:
    with pytest.raises(BadInput, match=r"no rate for EUR; choose one of BTC, USDT"):
        held(book(balance("USDT", "1", "1"))).wallets("EUR")


def test_currency_when_a_connected_exchange_lists_it_then_amounts_are_converted_with_their_path() -> None:
    made = held(book(balance("BTC", "2", "0")), prices=(("EUR", "USDT", "1.25"),))
    (row,) = made.wallets("EUR").groups[0].holdings
    assert (row.value, row.path) == (D(1600), "BTC → USDT → EUR")
    assert made.convert(D(100), "EUR") == (D(80), "bybit mid")
