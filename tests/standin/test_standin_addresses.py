"""The engine's own clients at another address: whatever its path, answers mean what they mean at the exchange's own."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import ccxt
import pytest

from engine.exchanges import EXCHANGES
from engine.exchanges.client import Credentials, Door, open_client, open_stream_client
from engine.exchanges.connected.venue_rows import BINANCE, BINANCE_PERP
from tests.standin.client import KEY, SECRET, StandIn

WALLETS = [(BINANCE, "BTC/USDT"), (BINANCE_PERP, "BTC/USDT:USDT")]
each_wallet = pytest.mark.parametrize(("row", "symbol"), WALLETS, ids=lambda each: getattr(each, "name", ""))


@each_wallet
@pytest.mark.parametrize("path", ["", "/binance"])
@pytest.mark.parametrize("sandbox", [False, True])
def test_refusal_of_binance_when_its_address_is_another_one_then_it_has_the_name_it_has_at_home(
    exchange: StandIn, row: Any, symbol: str, path: str, sandbox: bool
) -> None:
    door = Door(Credentials(KEY, SECRET), sandbox, rest_url=exchange.url + path)
    client = open_client(replace(EXCHANGES["binance"], ccxt_id=row.ccxt_id), door)
    client.options |= dict(row.dialect.options)
    client.load_markets()
    with pytest.raises(ccxt.InvalidOrder):  # a stop that the market has passed
        client.create_order(symbol, "market", "sell", "0.01", None, {"stopLossPrice": "51000", "reduceOnly": True})
    with pytest.raises(ccxt.OrderNotFound):
        client.cancel_order("123456", symbol)
    client.close()


@each_wallet
@pytest.mark.parametrize("path", ["", "/stream", "/binance"])
def test_stream_of_binance_when_its_address_has_any_path_then_its_symbols_are_those_of_the_wallet(
    exchange: StandIn, row: Any, symbol: str, path: str
) -> None:
    async def listen() -> Any:
        door = Door(rest_url=exchange.url)
        client = open_stream_client(row.ccxt_id, door, f"ws://127.0.0.1:{exchange.port}{path}")
        client.options |= dict(row.dialect.options)
        try:
            return await asyncio.wait_for(client.watch_bids_asks([symbol]), 10)
        finally:
            await client.close()

    assert asyncio.run(listen()).keys() == {symbol}
