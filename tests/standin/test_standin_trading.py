"""Real ccxt clients trade at the stand-in exchange: orders, fills, balances, positions, refusals."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import ccxt
import pytest

from tests.standin.client import StandIn
from tests.standin.trading_clients import VENUES, accepted, limit, name, number, seen, trader, until

SPOT = [row for row in VENUES if row[1] == "spot"]
SWAPS = [row for row in VENUES if row[1] == "swap"]


@pytest.mark.parametrize(("venue", "kind", "symbol"), VENUES)
def test_limit_order_when_placed_rests_and_can_be_cancelled(
    exchange: StandIn, venue: str, kind: str, symbol: str
) -> None:
    client, client_id = trader(exchange, venue, kind), name()
    placed = limit(client, symbol, "49000", client_id)
    assert client_id in [order["clientOrderId"] for order in client.fetch_open_orders(symbol)]
    assert seen(client, venue, symbol, placed["id"])["status"] == "open"
    client.cancel_order(placed["id"], symbol)
    assert seen(client, venue, symbol, placed["id"])["status"] == "canceled"
    with pytest.raises(ccxt.OrderNotFound):
        client.cancel_order(placed["id"], symbol)


@pytest.mark.parametrize(("venue", "kind", "symbol"), VENUES)
def test_market_order_when_placed_fills_and_shows_its_trade(
    exchange: StandIn, venue: str, kind: str, symbol: str
) -> None:
    client = trader(exchange, venue, kind)
    placed = client.create_order(symbol, "market", "buy", "0.02", None, {"clientOrderId": name()})
    order = seen(client, venue, symbol, placed["id"])
    trades = [trade for trade in client.fetch_my_trades(symbol) if trade["order"] == placed["id"]]
    assert order["status"] == "closed"
    assert sum(number(trade["amount"]) for trade in trades) == Decimal("0.02")
    assert all(number(trade["fee"]["cost"]) > 0 for trade in trades)


@pytest.mark.parametrize(("venue", "kind", "symbol"), SPOT)
def test_spot_balance_when_bought_moves_by_cost_and_fee(exchange: StandIn, venue: str, kind: str, symbol: str) -> None:
    client = trader(exchange, venue, kind)
    before = client.fetch_balance()["total"]
    client.create_order(symbol, "market", "buy", "0.01", None, {"clientOrderId": name()})
    after = client.fetch_balance()["total"]
    assert number(after["BTC"]) - number(before["BTC"]) == Decimal("0.00999")
    assert number(before["USDT"]) - number(after["USDT"]) == Decimal("500.0001")


@pytest.mark.parametrize(("venue", "kind", "symbol"), SPOT)
def test_fee_when_a_third_coin_is_set_is_charged_in_it(exchange: StandIn, venue: str, kind: str, symbol: str) -> None:
    exchange.call("transfer", venue=venue, coin="BNB", amount="1")
    exchange.call("fees", venue=venue, coin="BNB", price="500")
    client = trader(exchange, venue, kind)
    placed = client.create_order(symbol, "market", "buy", "0.01", None, {"clientOrderId": name()})
    (trade,) = [each for each in client.fetch_my_trades(symbol) if each["order"] == placed["id"]]
    assert (trade["fee"]["currency"], number(trade["fee"]["cost"])) == (
        "BNB",
        Decimal("0.0010000002").quantize(Decimal("1e-8"), "ROUND_UP"),
    )


@pytest.mark.parametrize(("venue", "kind", "symbol"), SWAPS)
def test_position_when_opened_and_stopped_out_is_flat_with_its_loss_booked(
    exchange: StandIn, venue: str, kind: str, symbol: str
) -> None:
    client, stop_id = trader(exchange, venue, kind), name()
    client.create_order(symbol, "market", "buy", "0.1", None, {"clientOrderId": name()})
    held = [each for each in client.fetch_positions() if each["symbol"] == symbol]
    assert held[0]["side"] == "long"
    stop = {"clientOrderId": stop_id, "stopLossPrice": "49000", "reduceOnly": True}
    amount = str(held[0]["contracts"])
    target = client.create_order(
        symbol, "limit", "sell", amount, "52000", {"clientOrderId": name(), "reduceOnly": True}
    )
    client.create_order(symbol, "market", "sell", amount, None, stop)
    before = number(client.fetch_balance()["total"]["USDT"])
    exchange.price("BTCUSDT", "48900")
    assert not [each for each in client.fetch_positions() if each["symbol"] == symbol and number(each["contracts"])]
    assert number(client.fetch_balance()["total"]["USDT"]) < before
    assert seen(client, venue, symbol, target["id"])["status"] in ("canceled", "expired")


@pytest.mark.parametrize(("venue", "kind", "symbol"), SPOT)
def test_spot_stop_when_the_price_falls_sells(exchange: StandIn, venue: str, kind: str, symbol: str) -> None:
    client = trader(exchange, venue, kind)
    params = {"clientOrderId": name(), "triggerPrice": "49000"}
    placed = client.create_order(symbol, "market", "sell", "0.01", None, params)
    assert seen(client, venue, symbol, placed["id"])["status"] == "open"
    exchange.price("BTCUSDT", "48990")
    order = seen(client, venue, symbol, placed["id"])
    assert (order["status"], number(order["filled"])) == ("closed", Decimal("0.01"))


@pytest.mark.parametrize(("venue", "kind", "symbol"), VENUES)
def test_resting_order_when_touched_with_a_share_fills_in_parts(
    exchange: StandIn, venue: str, kind: str, symbol: str
) -> None:
    client = trader(exchange, venue, kind)
    exchange.call("depth", symbol="BTCUSDT", venue=venue, share="0.5")
    placed = limit(client, symbol, "49500", name())
    exchange.price("BTCUSDT", "49490")
    order = seen(client, venue, symbol, placed["id"])
    assert (order["status"], number(order["filled"])) == ("open", Decimal("0.005"))
    client.cancel_order(placed["id"], symbol)
    assert number(seen(client, venue, symbol, placed["id"])["filled"]) == Decimal("0.005")


@pytest.mark.parametrize(("venue", "kind", "symbol"), VENUES)
def test_market_order_when_larger_than_the_book_fills_what_is_there(
    exchange: StandIn, venue: str, kind: str, symbol: str
) -> None:
    exchange.call("depth", symbol="BTCUSDT", venue=venue, notional="5000", levels=2)
    client = trader(exchange, venue, kind)
    placed = client.create_order(symbol, "market", "buy", "1", None, {"clientOrderId": name()})
    order = seen(client, venue, symbol, placed["id"])
    assert 0 < number(order["filled"]) < 1
    assert order["status"] in ("closed", "canceled", "expired")


@pytest.mark.parametrize(("venue", "kind", "symbol"), VENUES)
def test_amended_order_when_asked_has_its_new_price(exchange: StandIn, venue: str, kind: str, symbol: str) -> None:
    client = trader(exchange, venue, kind)
    placed = limit(client, symbol, "49000", name())
    changed = client.edit_order(placed["id"], symbol, "limit", "buy", "0.02", "48000")
    order = seen(client, venue, symbol, changed["id"])
    assert (number(order["price"]), number(order["amount"]), order["status"]) == (
        Decimal(48000),
        Decimal("0.02"),
        "open",
    )


@pytest.mark.parametrize(("venue", "kind", "symbol"), VENUES)
@pytest.mark.parametrize(
    ("amount", "price"),
    [
        pytest.param("0.00001", "49000", id="below the least value or quantity"),
        pytest.param("90", "49000", id="more than the balance"),
    ],
)
def test_order_when_it_breaks_a_rule_is_refused_and_not_in_the_journal(
    exchange: StandIn, venue: str, kind: str, symbol: str, amount: str, price: str
) -> None:
    client, client_id = trader(exchange, venue, kind), name()
    client.markets[symbol]["precision"]["amount"] = "0.00001"
    with pytest.raises(ccxt.BaseError):
        client.create_order(symbol, "limit", "buy", amount, price, {"clientOrderId": client_id})
    assert all(line["order"]["client_id"] != client_id for line in _accepted(exchange))


@pytest.mark.parametrize(("venue", "kind", "symbol"), VENUES)
def test_client_id_when_used_twice_while_open_is_refused(exchange: StandIn, venue: str, kind: str, symbol: str) -> None:
    client, client_id = trader(exchange, venue, kind), name()
    limit(client, symbol, "49000", client_id)
    with pytest.raises(ccxt.ExchangeError, match=r"(?i)duplicate"):
        limit(client, symbol, "49000", client_id)
    assert sum(line["order"]["client_id"] == client_id for line in _accepted(exchange)) == 1


def test_client_id_when_its_order_is_finished_is_free_at_binance_and_not_at_bybit(exchange: StandIn) -> None:
    for venue, again in (("binance", True), ("bybit", False)):
        client, client_id = trader(exchange, venue, "spot"), name()
        client.cancel_order(limit(client, "BTC/USDT", "49000", client_id)["id"], "BTC/USDT")
        if again:
            limit(client, "BTC/USDT", "49000", client_id)
        else:
            with pytest.raises(ccxt.InvalidOrder):
                limit(client, "BTC/USDT", "49000", client_id)


@pytest.mark.parametrize(("venue", "kind", "symbol"), VENUES)
def test_post_only_when_it_would_take_never_takes(exchange: StandIn, venue: str, kind: str, symbol: str) -> None:
    """Bybit accepts and cancels it, Binance refuses it."""
    client, client_id = trader(exchange, venue, kind), name()
    if venue == "bybit":
        placed = limit(client, symbol, "51000", client_id, postOnly=True)
        assert seen(client, venue, symbol, placed["id"])["status"] == "canceled"
    else:
        with pytest.raises(ccxt.ExchangeError):
            limit(client, symbol, "51000", client_id, postOnly=True)
    assert accepted(exchange, client_id) == int(venue == "bybit")
    assert not _fills(exchange, client_id)


@pytest.mark.parametrize(("venue", "kind", "symbol"), SWAPS)
def test_funding_and_liquidation_when_called_are_told_as_such(
    exchange: StandIn, venue: str, kind: str, symbol: str
) -> None:
    client = trader(exchange, venue, kind)
    client.create_order(symbol, "market", "buy", "0.1", None, {"clientOrderId": name()})
    before = number(client.fetch_balance()["total"]["USDT"])
    received = Decimal(exchange.call("funding", venue=venue, symbol="BTCUSDT", rate="0.001")["received"])
    assert received < 0
    assert number(client.fetch_balance()["total"]["USDT"]) - before == received
    assert client.fetch_funding_history(symbol)
    closed = exchange.call("liquidate", venue=venue, symbol="BTCUSDT")
    assert (closed["origin"], closed["state"]) == ("venue", "filled")
    assert not [each for each in client.fetch_positions() if number(each["contracts"])]


@pytest.mark.parametrize("venue", ["bybit", "usdm"])
def test_reduce_only_when_there_is_no_position_is_refused(exchange: StandIn, venue: str) -> None:
    client = trader(exchange, venue, "swap")
    with pytest.raises(ccxt.ExchangeError):
        client.create_order("ETH/USDT:USDT", "market", "sell", "1", None, {"reduceOnly": True})


def test_orders_by_hand_when_placed_are_seen_by_the_client(exchange: StandIn) -> None:
    client = trader(exchange, "bybit", "spot")
    made = exchange.call("order", venue="bybit", symbol="BTCUSDT", side="buy", quantity="0.01", price="48000")
    assert made["order_id"] in [order["id"] for order in client.fetch_open_orders("BTC/USDT")]
    exchange.call("cancel", venue="bybit", order_id=made["order_id"])
    assert seen(client, "bybit", "BTC/USDT", made["order_id"])["status"] == "canceled"


@pytest.mark.parametrize(("venue", "kind", "symbol"), VENUES)
def test_candles_when_asked_are_whole_and_end_at_the_present_price(
    exchange: StandIn, venue: str, kind: str, symbol: str
) -> None:
    rows = trader(exchange, venue, kind).fetch_ohlcv(symbol, "1h", limit=100)
    opened = [row[0] for row in rows]
    assert opened == list(range(opened[0], opened[0] + 100 * 3_600_000, 3_600_000))
    assert all(number(row[3]) <= number(row[1]) <= number(row[2]) for row in rows)
    assert number(rows[-1][4]) == 50000


@pytest.mark.parametrize(("venue", "kind", "symbol"), SWAPS)
def test_leverage_when_set_is_shown_and_a_mode_that_is_set_already_is_told(
    exchange: StandIn, venue: str, kind: str, symbol: str
) -> None:
    client = trader(exchange, venue, kind)
    client.create_order(symbol, "market", "buy", "0.01", None, {"clientOrderId": name()})
    client.set_leverage(7, symbol)
    (held,) = client.fetch_positions([symbol])
    assert number(held["leverage"]) == 7
    with pytest.raises(ccxt.BaseError):
        client.set_position_mode(False, symbol)


@pytest.mark.parametrize(("venue", "kind", "symbol"), VENUES)
def test_take_profit_when_reached_closes(exchange: StandIn, venue: str, kind: str, symbol: str) -> None:
    client, client_id = trader(exchange, venue, kind), name()
    client.create_order(symbol, "market", "buy", "0.01", None, {"clientOrderId": name()})
    params = {"clientOrderId": client_id, "takeProfitPrice": "51000"}
    client.create_order(symbol, "market", "sell", "0.01", None, params)
    exchange.price("BTCUSDT", "50900")
    assert not _fills(exchange, client_id)
    exchange.price("BTCUSDT", "51000")
    assert len(_fills(exchange, client_id)) == 1


@pytest.mark.parametrize(("venue", "force"), [("bybit", "FOK"), ("binance", "FOK"), ("usdm", "IOC")])
def test_immediate_order_when_the_book_is_thin_ends_at_once(exchange: StandIn, venue: str, force: str) -> None:
    exchange.call("depth", symbol="BTCUSDT", venue=venue, notional="5000", levels=2)
    symbol = "BTC/USDT:USDT" if venue == "usdm" else "BTC/USDT"
    client, client_id = trader(exchange, venue, "swap" if venue == "usdm" else "spot"), name()
    params = {"clientOrderId": client_id, "timeInForce": force}
    client.create_order(symbol, "limit", "buy", "1", "52000", params)
    assert bool(_fills(exchange, client_id)) is (force == "IOC")
    assert all(order["client_id"] != client_id for order in exchange.state(venue)["open_orders"])


@pytest.mark.parametrize(("venue", "kind", "symbol"), SPOT)
def test_market_buy_when_given_a_value_spends_about_it(exchange: StandIn, venue: str, kind: str, symbol: str) -> None:
    client = trader(exchange, venue, kind)
    placed = client.create_market_buy_order_with_cost(symbol, "1000", {"clientOrderId": name()})
    assert 999 < number(seen(client, venue, symbol, placed["id"])["cost"]) <= 1000


def test_lists_when_long_come_in_pages(exchange: StandIn) -> None:
    client = trader(exchange, "bybit", "spot")
    for _ in range(25):
        client.create_order("BTC/USDT", "market", "buy", "0.001", None, {"clientOrderId": name()})
    first = client.privateGetV5ExecutionList({"category": "spot", "limit": 20})["result"]
    query = {"category": "spot", "limit": 20, "cursor": first["nextPageCursor"]}
    second = client.privateGetV5ExecutionList(query)["result"]
    assert len(first["list"]) == 20
    assert not {row["execId"] for row in first["list"]} & {row["execId"] for row in second["list"]}


def test_closed_order_when_the_services_restarted_is_in_the_history_only(exchange: StandIn) -> None:
    client, symbol = trader(exchange, "bybit", "spot"), "BTC/USDT"
    placed = client.create_order(symbol, "market", "buy", "0.01", None, {"clientOrderId": name()})
    exchange.call("restart", venue="bybit")
    with pytest.raises(ccxt.OrderNotFound):
        seen(client, "bybit", symbol, placed["id"])
    assert placed["id"] in [each["id"] for each in client.fetch_canceled_and_closed_orders(symbol)]


def test_dead_mans_switch_when_nobody_listens_cancels(exchange: StandIn) -> None:
    client, client_id = trader(exchange, "usdm", "swap"), name()
    placed = limit(client, "BTC/USDT:USDT", "49000", client_id)
    client.fapiPrivatePostCountdownCancelAll({"symbol": "BTCUSDT", "countdownTime": 1})
    until(lambda: seen(client, "usdm", "BTC/USDT:USDT", placed["id"])["status"] == "canceled", "the switch")


def _accepted(exchange: StandIn) -> list[dict[str, Any]]:
    return [line for line in exchange.call("journal") if line["kind"] == "accepted"]


def _fills(exchange: StandIn, client_id: str) -> list[dict[str, Any]]:
    lines = exchange.call("journal")
    return [line for line in lines if line["kind"] == "filled" and line["fill"]["client_id"] == client_id]
