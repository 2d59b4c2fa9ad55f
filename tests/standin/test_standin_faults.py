"""Each planted fault does what its name says, seen through real ccxt clients."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import ccxt
import pytest

from tests.standin.client import StandIn
from tests.standin.trading_clients import VENUES, accepted, at_venue, limit, name, number, seen, trader, until

NO_ANSWER = (ccxt.NetworkError, ccxt.ExchangeError)
SPOT = [row for row in VENUES if row[1] == "spot"]


@pytest.mark.parametrize(("venue", "kind", "symbol"), VENUES)
@pytest.mark.parametrize(
    ("fault", "times"),
    [
        ("ack_lost", 1),
        ("reset_after", 1),
        ("cut_body", 1),
        ("error_after", 1),
        ("reset_before", 0),
        ("error_before", 0),
        ("rate_limit", 0),
        ("ban", 0),
        ("refuse", 0),
    ],
)
def test_create_when_a_fault_strikes_is_accepted_as_often_as_it_says(
    exchange: StandIn, venue: str, kind: str, symbol: str, fault: str, times: int
) -> None:
    client, client_id = trader(exchange, venue, kind), name()
    exchange.fault(fault, "create", venue=venue)
    with pytest.raises(NO_ANSWER):
        limit(client, symbol, "49000", client_id)
    assert accepted(exchange, client_id) == times
    limit(client, symbol, "49000", name())


@pytest.mark.parametrize(("venue", "kind", "symbol"), VENUES)
@pytest.mark.parametrize("accept", [True, False])
@pytest.mark.parametrize("fault", ["html", "garbage"])
def test_unreadable_answer_when_sent_for_an_order_hides_whether_it_was_accepted(
    exchange: StandIn, venue: str, kind: str, symbol: str, fault: str, accept: bool
) -> None:
    """ccxt raises nothing: it makes an order without a number of it."""
    client, client_id = trader(exchange, venue, kind), name()
    exchange.fault(fault, "create", venue=venue, accept=accept)
    assert limit(client, symbol, "49000", client_id)["id"] is None
    assert accepted(exchange, client_id) == int(accept)


@pytest.mark.parametrize(("venue", "kind", "symbol"), VENUES)
def test_cancel_when_its_answer_is_lost_is_carried_out(exchange: StandIn, venue: str, kind: str, symbol: str) -> None:
    client, client_id = trader(exchange, venue, kind), name()
    placed = limit(client, symbol, "49000", client_id)
    exchange.fault("ack_lost", "cancel", venue=venue)
    with pytest.raises((ccxt.NetworkError, ccxt.OrderNotFound)):
        client.cancel_order(placed["id"], symbol)
    assert not at_venue(exchange, venue, client_id)


@pytest.mark.parametrize(("venue", "kind", "symbol"), VENUES)
def test_fill_before_cancel_when_whole_leaves_nothing_to_cancel(
    exchange: StandIn, venue: str, kind: str, symbol: str
) -> None:
    client = trader(exchange, venue, kind)
    placed = limit(client, symbol, "49000", name())
    exchange.fault("fill_before_cancel", "cancel", venue=venue, share="1")
    with pytest.raises(ccxt.OrderNotFound):
        client.cancel_order(placed["id"], symbol)
    assert seen(client, venue, symbol, placed["id"])["status"] == "closed"


@pytest.mark.parametrize(("venue", "kind", "symbol"), VENUES)
def test_fill_before_cancel_when_partial_leaves_a_filled_part(
    exchange: StandIn, venue: str, kind: str, symbol: str
) -> None:
    client = trader(exchange, venue, kind)
    placed = limit(client, symbol, "49000", name())
    exchange.fault("fill_before_cancel", "cancel", venue=venue, share="0.5")
    client.cancel_order(placed["id"], symbol)
    assert number(seen(client, venue, symbol, placed["id"])["filled"]) == Decimal("0.005")


@pytest.mark.parametrize(("venue", "kind", "symbol"), VENUES)
def test_empty_list_when_sent_hides_the_open_orders_once(exchange: StandIn, venue: str, kind: str, symbol: str) -> None:
    client = trader(exchange, venue, kind)
    limit(client, symbol, "49000", name())
    exchange.fault("empty_list", "orders", venue=venue)
    assert client.fetch_open_orders(symbol) == []
    assert client.fetch_open_orders(symbol)


@pytest.mark.parametrize(("venue", "kind", "symbol"), VENUES)
def test_stale_list_when_sent_shows_what_was_there_before(
    exchange: StandIn, venue: str, kind: str, symbol: str
) -> None:
    client, client_id = trader(exchange, venue, kind), name()
    before = client.fetch_open_orders(symbol)
    limit(client, symbol, "49000", client_id)
    exchange.fault("stale", "orders", venue=venue, count=2)
    for _ in range(2):
        assert len(client.fetch_open_orders(symbol)) == len(before)
    assert len(client.fetch_open_orders(symbol)) == len(before) + 1


@pytest.mark.parametrize(("venue", "kind", "symbol"), SPOT)
@pytest.mark.parametrize(("fault", "price"), [("zero", "0"), ("x10", "500000"), ("frozen", "50000")])
def test_published_price_when_spoiled_differs_from_the_true_one(
    exchange: StandIn, venue: str, kind: str, symbol: str, fault: str, price: str
) -> None:
    client = trader(exchange, venue, kind)
    exchange.fault(fault, venue=venue)
    client.fetch_ticker(symbol)
    if fault == "frozen":
        exchange.price("BTCUSDT", "51000")
    assert number(
        client.publicGetV5MarketTickers({"category": "spot", "symbol": "BTCUSDT"})["result"]["list"][0]["lastPrice"]
        if venue == "bybit"
        else client.publicGetTicker24hr({"symbol": "BTCUSDT"})["lastPrice"]
    ) == Decimal(price)
    exchange.clear()
    assert number(client.fetch_ticker(symbol)["last"]) == (51000 if fault == "frozen" else 50000)


@pytest.mark.parametrize(("venue", "kind", "symbol"), VENUES)
def test_price_when_no_number_breaks_the_ticker_of_ccxt(exchange: StandIn, venue: str, kind: str, symbol: str) -> None:
    client = trader(exchange, venue, kind)
    exchange.fault("nan", venue=venue)
    with pytest.raises((ValueError, ccxt.BaseError, ArithmeticError)):
        client.fetch_ticker(symbol)


@pytest.mark.parametrize(("venue", "kind", "symbol"), VENUES)
def test_slow_answer_when_slower_than_the_patience_is_a_timeout_after_acceptance(
    exchange: StandIn, venue: str, kind: str, symbol: str
) -> None:
    client, client_id = trader(exchange, venue, kind), name()
    client.timeout = 200
    exchange.fault("hold", "create", venue=venue)
    with pytest.raises(ccxt.RequestTimeout):
        limit(client, symbol, "49000", client_id)
    assert accepted(exchange, client_id) == 1


def test_held_request_when_released_is_carried_out_late(exchange: StandIn) -> None:
    client, client_id = trader(exchange, "bybit", "spot"), name()
    client.timeout = 200
    exchange.fault("hold_before", "create", venue="bybit")
    with pytest.raises(ccxt.RequestTimeout):
        limit(client, "BTC/USDT", "49000", client_id)
    assert accepted(exchange, client_id) == 0
    exchange.call("release")
    client.timeout = 5000
    until(lambda: accepted(exchange, client_id) == 1, "the held order")


@pytest.mark.parametrize(("venue", "kind", "symbol"), VENUES)
@pytest.mark.parametrize("skew_ms", [-60_000, 60_000])
def test_clock_when_skewed_refuses_signed_requests(
    exchange: StandIn, venue: str, kind: str, symbol: str, skew_ms: int
) -> None:
    client = trader(exchange, venue, kind)
    exchange.call("clock", skew_ms=skew_ms)
    with pytest.raises(ccxt.InvalidNonce):
        client.fetch_balance() if venue != "bybit" else client.privateGetV5AccountInfo()
    client.load_time_difference()
    client.fetch_balance()


@pytest.mark.parametrize(("venue", "kind", "symbol"), VENUES)
@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"revoked": True}, id="revoked"),
        pytest.param({"expired": True}, id="expired"),
        pytest.param({"addresses": ["10.1.2.3"]}, id="address not allowed"),
        pytest.param({"can_trade": False}, id="may only read"),
    ],
)
def test_key_when_it_may_not_is_refused(
    exchange: StandIn, venue: str, kind: str, symbol: str, change: dict[str, Any]
) -> None:
    client, client_id = trader(exchange, venue, kind), name()
    client.fetch_balance()
    exchange.call("key", **change)
    with pytest.raises((ccxt.AuthenticationError, ccxt.DDoSProtection, ccxt.ExchangeError)):
        limit(client, symbol, "49000", client_id)
    assert accepted(exchange, client_id) == 0


def test_key_when_it_can_withdraw_says_so(exchange: StandIn) -> None:
    exchange.call("key", can_withdraw=True)
    bybit, binance = (trader(exchange, venue, "spot") for venue in ("bybit", "binance"))
    assert "Withdraw" in bybit.privateGetV5UserQueryApi()["result"]["permissions"]["Wallet"]
    assert binance.sapiGetAccountApiRestrictions()["enableWithdrawals"] is True


@pytest.mark.parametrize(("venue", "kind", "symbol"), VENUES)
def test_signature_when_the_secret_is_wrong_is_refused(exchange: StandIn, venue: str, kind: str, symbol: str) -> None:
    client = trader(exchange, venue, kind)
    client.secret = "some-other-secret"
    with pytest.raises(ccxt.AuthenticationError):
        client.fetch_balance()


@pytest.mark.parametrize(("venue", "kind", "symbol"), VENUES)
def test_symbol_when_delisted_takes_no_orders(exchange: StandIn, venue: str, kind: str, symbol: str) -> None:
    client = trader(exchange, venue, kind)
    exchange.call("instrument", symbol="BTCUSDT", status="Closed")
    with pytest.raises(ccxt.BaseError):
        limit(client, symbol, "49000", name())
    assert client.load_markets(True)[symbol]["active"] is False


def test_tick_when_changed_refuses_the_old_one(exchange: StandIn) -> None:
    client = trader(exchange, "bybit", "spot")
    exchange.call("instrument", venue="bybit", symbol="SOLUSDT", tick="0.5")
    with pytest.raises(ccxt.InvalidOrder):
        client.create_order("SOL/USDT", "limit", "buy", "1", "140.01", {"clientOrderId": name()})
    assert number(client.load_markets(True)["SOL/USDT"]["precision"]["price"]) == Decimal("0.5")


@pytest.mark.parametrize(("venue", "kind", "symbol"), VENUES)
def test_maintenance_when_planted_lasts_until_cleared(exchange: StandIn, venue: str, kind: str, symbol: str) -> None:
    client = trader(exchange, venue, kind)
    exchange.fault("maintenance", venue=venue)
    for _ in range(2):
        with pytest.raises(ccxt.BaseError):
            client.fetch_balance()
    exchange.clear("maintenance")
    client.fetch_balance()


@pytest.mark.parametrize(("venue", "status"), [("binance", 429), ("bybit", 429)])
def test_limit_when_told_carries_retry_after(exchange: StandIn, venue: str, status: int) -> None:
    client = trader(exchange, venue, "spot")
    client.enableLastResponseHeaders = True
    exchange.fault("rate_limit", "balance", venue=venue, seconds=7)
    with pytest.raises((ccxt.DDoSProtection, ccxt.RateLimitExceeded)):
        client.fetch_balance()
    assert client.last_response_headers["Retry-After"] == "7"
    assert exchange.requests(venue=venue, where="balance")[-1]["status"] == status


def test_headers_when_asked_tell_the_use_of_limits(exchange: StandIn) -> None:
    bybit, binance = (trader(exchange, venue, "spot") for venue in ("bybit", "binance"))
    bybit.fetch_balance()
    binance.fetch_balance()
    assert int(bybit.last_response_headers["X-Bapi-Limit-Status"]) < int(bybit.last_response_headers["X-Bapi-Limit"])
    assert int(binance.last_response_headers["X-MBX-USED-WEIGHT-1M"]) >= 20


def test_limits_when_enforced_refuse_the_eleventh_order_of_a_second(exchange: StandIn) -> None:
    client = trader(exchange, "bybit", "swap")
    limit(client, "BTC/USDT:USDT", "49000", name())
    exchange.call("limits", enforce=True)
    with pytest.raises(ccxt.RateLimitExceeded):
        _many(client)


def test_control_call_when_misspelt_is_an_error(exchange: StandIn) -> None:
    with pytest.raises(AssertionError, match="unknown fault"):
        exchange.fault("ack_lots", "create")
    with pytest.raises(AssertionError, match="unknown place"):
        exchange.fault("ack_lost", "creation")


def _last(client: Any, venue: str) -> Decimal:
    """The last price as it is on the wire; ccxt hides a zero."""
    if venue == "bybit":
        answer = client.publicGetV5MarketTickers({"category": "spot", "symbol": "BTCUSDT"})
        return number(answer["result"]["list"][0]["lastPrice"])
    return number(client.publicGetTicker24hr({"symbol": "BTCUSDT"})["lastPrice"])


def _many(client: Any) -> None:
    for _ in range(60):
        limit(client, "BTC/USDT:USDT", "10000", name())
