"""Real ccxt.pro clients listen to the stand-in exchange: prices, orders, fills, and the faults of websockets."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import ccxt
import pytest

from tests.standin.client import StandIn
from tests.standin.trading_clients import VENUES, name, number

PATIENCE_S = 10.0
TWO = (VENUES[0], VENUES[3])
Listening = Callable[[Any], Awaitable[Any]]


def listen(exchange: StandIn, venue: str, kind: str, work: Listening) -> Any:
    """Run ``work`` with a ccxt.pro client that is closed at the end."""

    async def run() -> Any:
        client = exchange.stream_client(venue, kind)
        try:
            await client.load_markets()
            return await asyncio.wait_for(work(client), PATIENCE_S)
        finally:
            await client.close()

    return asyncio.run(run())


async def signed_in(exchange: StandIn, venue: str) -> None:
    """Wait until a private stream is there."""
    while not (await asyncio.to_thread(exchange.call, "state"))["signed_in"][venue]:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)


@pytest.mark.parametrize(("venue", "kind", "symbol"), VENUES)
def test_order_book_when_the_price_moves_follows_it(exchange: StandIn, venue: str, kind: str, symbol: str) -> None:
    async def work(client: Any) -> Any:
        await client.watch_order_book(symbol)
        await asyncio.to_thread(exchange.price, "BTCUSDT", "50500")
        while True:
            book = await client.watch_order_book(symbol)
            bid, ask = number(book["bids"][0][0]), number(book["asks"][0][0])
            assert bid < ask
            if bid > 50000 and ask > 50500:
                return book

    book = listen(exchange, venue, kind, work)
    assert number(book["bids"][0][0]) < 50500 < number(book["asks"][0][0])
    assert number(book["asks"][-1][0]) < 51000


@pytest.mark.parametrize(("venue", "kind", "symbol"), VENUES)
def test_ticker_and_candle_when_watched_tell_the_price(exchange: StandIn, venue: str, kind: str, symbol: str) -> None:
    async def work(client: Any) -> Any:
        return (await client.watch_ticker(symbol))["last"], (await client.watch_ohlcv(symbol, "1m"))[-1][4]

    assert [number(each) for each in listen(exchange, venue, kind, work)] == [50000, 50000]


@pytest.mark.parametrize(("venue", "kind", "symbol"), VENUES)
def test_order_when_filled_is_told_with_its_client_id_and_trade(
    exchange: StandIn, venue: str, kind: str, symbol: str
) -> None:
    client_id = name()

    async def work(client: Any) -> Any:
        trades = asyncio.ensure_future(client.watch_my_trades(symbol))
        orders = asyncio.ensure_future(client.watch_orders(symbol))
        await signed_in(exchange, venue)
        placed = await client.create_order(symbol, "market", "buy", "0.01", None, {"clientOrderId": client_id})
        await orders
        trade = (await trades)[-1]
        while not any(order["status"] == "closed" for order in client.orders):
            await asyncio.sleep(0.01)
        return placed["id"], trade, client.orders

    placed, trade, orders = listen(exchange, venue, kind, work)
    told = {order["clientOrderId"]: order for order in orders}
    assert told[client_id]["id"] == trade["order"] == placed
    assert number(trade["amount"]) == number("0.01")
    assert trade["symbol"] == symbol


@pytest.mark.parametrize(("venue", "kind", "symbol"), TWO)
@pytest.mark.parametrize(
    ("fault", "count", "times"),
    [pytest.param("stream_duplicate", 20, 2, id="twice"), pytest.param("stream_lost", 20, 0, id="never")],
)
def test_messages_when_a_fault_strikes_come_as_often_as_it_says(
    exchange: StandIn, venue: str, kind: str, symbol: str, fault: str, count: int, times: int
) -> None:
    client_id = name()

    async def work(client: Any) -> Any:
        heard: list[Any] = []
        original = client.handle_my_trades if venue == "bybit" else client.handle_my_trade
        handler = "handle_my_trades" if venue == "bybit" else "handle_my_trade"

        def listener(stream: Any, message: Any) -> Any:
            heard.append(message)
            return original(stream, message)

        setattr(client, handler, listener)
        trades = asyncio.ensure_future(client.watch_my_trades(symbol))
        await signed_in(exchange, venue)
        await asyncio.to_thread(exchange.fault, fault, count=count, venue=venue)
        await client.create_order(symbol, "market", "buy", "0.01", None, {"clientOrderId": client_id})
        if times:
            await trades
        await asyncio.sleep(0.2)
        trades.cancel()
        return [message for message in heard if client_id in str(message) and _is_trade(message)]

    assert len(listen(exchange, venue, kind, work)) == times


def test_messages_when_reordered_come_last_first(exchange: StandIn) -> None:
    async def work(client: Any) -> Any:
        heard: list[str] = []
        original = client.handle_order

        def handler(stream: Any, message: Any) -> Any:
            heard.extend(row["orderStatus"] for row in message["data"])
            return original(stream, message)

        client.handle_order = handler
        waiting = asyncio.ensure_future(client.watch_orders("BTC/USDT"))
        await signed_in(exchange, "bybit")
        await asyncio.to_thread(exchange.fault, "stream_reorder", count=2, venue="bybit")
        await client.create_order("BTC/USDT", "market", "buy", "0.01", None, {"clientOrderId": name()})
        await waiting
        while len(heard) < 2:
            await asyncio.sleep(0.01)
        return heard

    assert listen(exchange, "bybit", "spot", work) == ["Filled", "New"]


@pytest.mark.parametrize(("venue", "kind", "symbol"), TWO)
def test_stream_when_silent_sends_nothing_and_stays_connected(
    exchange: StandIn, venue: str, kind: str, symbol: str
) -> None:
    async def work(client: Any) -> Any:
        await client.watch_ticker(symbol)
        await asyncio.to_thread(exchange.fault, "stream_silent", venue=venue)
        await asyncio.sleep(0.15)
        client.tickers = {}
        await asyncio.sleep(0.3)
        return dict(client.tickers), (await asyncio.to_thread(exchange.call, "state"))["streams"][venue]

    told, connected = listen(exchange, venue, kind, work)
    assert (told, connected) == ({}, 1)


@pytest.mark.parametrize(("venue", "kind", "symbol"), TWO)
def test_stream_when_dropped_can_be_opened_again(exchange: StandIn, venue: str, kind: str, symbol: str) -> None:
    async def work(client: Any) -> Any:
        await client.watch_ticker(symbol)
        opened = (await asyncio.to_thread(exchange.call, "state"))["opened"][venue]
        await asyncio.to_thread(exchange.call, "drop", venue=venue)
        while (await asyncio.to_thread(exchange.call, "state"))["opened"][venue] == opened:
            with contextlib.suppress(ccxt.NetworkError):
                await client.watch_ticker(symbol)
        return await client.watch_ticker(symbol)

    assert number(listen(exchange, venue, kind, work)["last"]) == 50000


def test_stream_when_refused_is_an_error(exchange: StandIn) -> None:
    exchange.fault("stream_refuse", venue="bybit")
    with pytest.raises(ccxt.NetworkError):
        listen(exchange, "bybit", "spot", lambda client: client.watch_ticker("BTC/USDT"))


def test_private_stream_when_the_key_is_revoked_is_refused(exchange: StandIn) -> None:
    async def work(client: Any) -> Any:
        await asyncio.to_thread(exchange.call, "key", revoked=True)
        client.options |= {"enableUnifiedMargin": False, "enableUnifiedAccount": True}
        return await client.watch_orders("BTC/USDT")

    with pytest.raises(ccxt.BaseError):
        listen(exchange, "bybit", "spot", work)


def test_dead_mans_switch_when_the_private_stream_is_gone_cancels(exchange: StandIn) -> None:
    client_id = name()

    async def work(client: Any) -> Any:
        waiting = asyncio.ensure_future(client.watch_orders("BTC/USDT:USDT"))
        await signed_in(exchange, "bybit")
        await client.cancel_all_orders_after(1000)
        await client.create_order("BTC/USDT:USDT", "limit", "buy", "0.01", "40000", {"clientOrderId": client_id})
        await waiting
        await asyncio.to_thread(exchange.call, "drop", venue="bybit")
        while client_id in str((await asyncio.to_thread(exchange.state, "bybit"))["open_orders"]):
            await asyncio.sleep(0.05)

    listen(exchange, "bybit", "swap", work)


def _is_trade(message: Any) -> bool:
    """Bybit tells trades on a topic of their own, Binance as a kind of order report."""
    return bool(message.get("topic") == "execution" or message.get("x") == "TRADE")
