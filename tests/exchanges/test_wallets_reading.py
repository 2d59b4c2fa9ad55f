"""Every wallet of an account: what is found, what is one coin under two names, and which wallets stay silent."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import ccxt
import pytest
from exchange_stand_in import Answer, StandIn, running_stand_in

from engine.domain.errors import VenueUnreachable
from engine.domain.portfolio import Balance
from engine.exchanges import EXCHANGES
from engine.exchanges.client import Credentials, Door, KeyRefused, open_client
from engine.exchanges.wallets import WalletsRead, read_wallets

D = Decimal
CREDENTIALS = Credentials("key-of-an-account-1234", "c2VjcmV0LW9mLWFuLWFjY291bnQ=", "open sesame")


@pytest.fixture(autouse=True)
def _unthrottled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pauses between real requests would only make the tests slow."""
    monkeypatch.setattr(ccxt.Exchange, "throttle", lambda _self, _cost=None: None)


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    with running_stand_in() as server:
        yield server


def read(stand_in: StandIn, exchange: str) -> WalletsRead:
    row = EXCHANGES[exchange]
    client = open_client(row, Door(CREDENTIALS, timeout_s=5.0, rest_url=stand_in.url))
    client.markets = {}
    try:
        return read_wallets(row, client, CREDENTIALS.secrets)
    finally:
        client.close()


def totals(found: WalletsRead) -> dict[tuple[str, str, str], Decimal]:
    return {(each.venue, each.account, each.currency): each.total for each in found.balances}


def _binance(stand_in: StandIn, *spot: tuple[str, str]) -> None:
    coins = [{"asset": coin, "free": amount, "locked": "0"} for coin, amount in spot]
    stand_in.answer("/api/v3/account", Answer({"canTrade": True, "accountType": "SPOT", "balances": coins}))
    stand_in.answer("/sapi/v1/asset/get-funding-asset", Answer([]))
    asset = {"asset": "USDT", "walletBalance": "800", "marginBalance": "790", "availableBalance": "600"}
    stand_in.answer("/fapi/v3/account", Answer({"assets": [asset]}))
    stand_in.answer("/dapi/v1/account", Answer({"assets": []}))
    margin = {"asset": "BTC", "free": "1", "locked": "0", "borrowed": "0.4", "interest": "0.1", "netAsset": "0.5"}
    stand_in.answer("/sapi/v1/margin/account", Answer({"userAssets": [margin]}))
    stand_in.answer("/sapi/v1/simple-earn/flexible/position", Answer({"rows": [], "total": 0}))
    stand_in.answer("/sapi/v1/simple-earn/locked/position", Answer({"rows": [], "total": 0}))


def test_binance_when_every_wallet_answers_then_open_gains_and_debts_are_not_counted(stand_in: StandIn) -> None:
    _binance(stand_in, ("ETH", "2"))
    found = read(stand_in, "binance")
    assert found.silent == ()
    assert totals(found) == {
        ("binance", "spot", "ETH"): D(2),
        ("binance-perp", "USD-M futures", "USDT"): D(800),
        ("binance", "cross margin", "BTC"): D("0.5"),
    }


def test_binance_when_coins_are_lent_then_they_are_the_same_coin_in_earn_and_counted_once(stand_in: StandIn) -> None:
    _binance(stand_in, ("LDBTC", "0.3"), ("LDETH", "1"), ("LDO", "10"))
    rows = [{"asset": "BTC", "totalAmount": "0.3"}]
    stand_in.answer("/sapi/v1/simple-earn/flexible/position", Answer({"rows": rows, "total": 1}))
    found = totals(read(stand_in, "binance"))
    assert found[("binance", "earn, flexible", "BTC")] == D("0.3")
    assert ("binance", "earn", "BTC") not in found
    assert found[("binance", "earn", "ETH")] == D(1)
    assert found[("binance", "spot", "LDO")] == D(10)


def test_binance_when_a_wallet_is_closed_or_broken_then_it_is_named_with_its_reason(stand_in: StandIn) -> None:
    _binance(stand_in, ("ETH", "2"))
    stand_in.answer("/fapi/v3/account", Answer({"code": -2015, "msg": "Invalid API-key, IP, or permissions."}, 401))
    stand_in.answer("/dapi/v1/account", Answer({"nothing": "here"}))
    full = [{"asset": f"C{number}", "totalAmount": "1"} for number in range(100)]
    stand_in.answer("/sapi/v1/simple-earn/flexible/position", Answer({"rows": full, "total": 240}))
    found = read(stand_in, "binance")
    reasons = {each.wallet: each.why for each in found.silent}
    assert set(reasons) == {"USD-M futures", "COIN-M futures", "earn, flexible"}
    assert "closed to this key, or not opened" in reasons["USD-M futures"]
    assert "no list of balances" in reasons["COIN-M futures"]
    assert "not all of them were told" in reasons["earn, flexible"]
    assert totals(found)[("binance", "spot", "ETH")] == D(2)


def test_binance_when_the_first_wallet_does_not_answer_then_nothing_is_known(stand_in: StandIn) -> None:
    _binance(stand_in)
    stand_in.answer("/api/v3/account", Answer({"code": -2015, "msg": "Invalid API-key, IP, or permissions."}, 401))
    with pytest.raises(KeyRefused):
        read(stand_in, "binance")


@pytest.mark.parametrize("amount", ["NaN", "a lot", None])
def test_wallet_when_an_amount_is_no_number_then_it_is_silent_and_not_empty(stand_in: StandIn, amount: Any) -> None:
    _binance(stand_in, ("ETH", "2"))
    rows = [{"asset": "BTC", "totalAmount": amount}]
    stand_in.answer("/sapi/v1/simple-earn/flexible/position", Answer({"rows": rows, "total": 1}))
    assert [each.wallet for each in read(stand_in, "binance").silent] == ["earn, flexible"]


def test_kraken_when_coins_are_staked_then_they_are_the_same_coin_in_earn(stand_in: StandIn) -> None:
    told = {
        "XXBT": {"balance": "0.5", "hold_trade": "0.1"},
        "XBT.F": {"balance": "0.25", "hold_trade": "0"},
        "DOT28.S": {"balance": "10", "hold_trade": "0"},
        "DOT.S": {"balance": "2", "hold_trade": "0"},
        "ZUSD": {"balance": "0", "hold_trade": "0"},
    }
    stand_in.answer("/0/private/BalanceEx", Answer({"error": [], "result": told}))
    found = read(stand_in, "kraken")
    assert set(found.balances) == {
        Balance("kraken", "spot", "BTC", D("0.5"), D("0.4")),
        Balance("kraken", "earn", "BTC", D("0.25"), D(0)),
        Balance("kraken", "earn", "DOT", D(12), D(0)),
    }


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_plan_when_read_then_every_method_is_one_of_the_client_and_venues_are_the_rows_own(exchange: str) -> None:
    row = EXCHANGES[exchange]
    client = open_client(row, Door())
    try:
        for wallet in row.wallets.rows:
            assert callable(getattr(client, wallet.method)), wallet.label
            assert wallet.questions
        named = {wallet.venue for wallet in row.wallets.rows if wallet.venue}
        assert named <= {venue.name for venue in row.venues}
        assert row.wallets.rows[0].venue
    finally:
        client.close()


def test_wallets_when_the_exchange_is_gone_then_said_as_a_failure() -> None:
    row = EXCHANGES["bybit"]
    client = open_client(row, Door(CREDENTIALS, timeout_s=1.0, rest_url="http://127.0.0.1:9"))
    client.markets = {}
    try:
        with pytest.raises(VenueUnreachable):
            read_wallets(row, client, CREDENTIALS.secrets)
    finally:
        client.close()
