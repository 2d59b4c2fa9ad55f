"""What is traded where an exchange does not list every kind of market."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import ccxt
import pytest
from exchange_stand_in import Answer, Query, StandIn, running_stand_in

from engine.exchanges import EXCHANGES
from engine.exchanges.client import Credentials, Door, open_client
from engine.exchanges.connected.dialects import VenueRow
from engine.exchanges.connected.market_lists import load_markets
from engine.exchanges.connected.venue_rows import BINANCE, BINANCE_PERP

KINDS = {"types": ["spot", "linear"]}
COINS = {"symbol": "BTCUSDT", "baseCoin": "BTC", "quoteCoin": "USDT", "status": "Trading"}
ROWS: dict[str, dict[str, Any]] = {
    "spot": {
        "lotSizeFilter": {"basePrecision": "0.000001", "minOrderQty": "0.000001", "minOrderAmt": "5"},
        "priceFilter": {"tickSize": "0.01"},
    },
    "linear": {
        "contractType": "LinearPerpetual",
        "settleCoin": "USDT",
        "lotSizeFilter": {"minOrderQty": "0.001", "qtyStep": "0.001", "maxOrderQty": "100"},
        "priceFilter": {"tickSize": "0.1"},
    },
}


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    with running_stand_in() as server:
        yield server


def loaded(stand_in: StandIn, served: Sequence[str], symbols: Sequence[str], unserved: Answer) -> dict[str, Any]:
    def instruments(query: Query) -> Answer:
        kind = query["category"]
        if kind not in served:
            return unserved
        rows = {"category": kind, "list": [COINS | ROWS[kind]], "nextPageCursor": ""}
        return Answer({"retCode": 0, "retMsg": "OK", "result": rows})

    stand_in.routes["/v5/market/instruments-info"] = instruments
    client = open_client(EXCHANGES["bybit"], Door(rest_url=stand_in.url))
    client.enableRateLimit = False
    client.options["fetchMarkets"] = KINDS
    try:
        return load_markets(client, symbols)
    finally:
        assert client.options["fetchMarkets"] == KINDS
        client.close()


REFUSED = Answer({"retCode": 10001, "retMsg": "params error: Category is invalid", "result": {}})


def test_markets_when_every_kind_is_listed_then_all_are_known(stand_in: StandIn) -> None:
    assert set(loaded(stand_in, ("spot", "linear"), ["BTC/USDT"], REFUSED)) == {"BTC/USDT", "BTC/USDT:USDT"}


@pytest.mark.parametrize(("served", "symbol"), [("spot", "BTC/USDT"), ("linear", "BTC/USDT:USDT")])
def test_markets_when_a_kind_that_is_not_traded_is_refused_then_the_others_are_known(
    stand_in: StandIn, served: str, symbol: str
) -> None:
    assert set(loaded(stand_in, (served,), [symbol], REFUSED)) == {symbol}


@pytest.mark.parametrize("symbols", [[], ["BTC/USDT:USDT"], ["BTC/USDT", "BTC/USDT:USDT"]])
def test_markets_when_a_kind_that_is_traded_is_refused_then_there_is_no_list(
    stand_in: StandIn, symbols: list[str]
) -> None:
    with pytest.raises(ccxt.BadRequest, match="Category is invalid"):
        loaded(stand_in, ("spot",), symbols, REFUSED)


def test_markets_when_one_question_gets_no_answer_then_there_is_no_list(stand_in: StandIn) -> None:
    with pytest.raises(ccxt.NetworkError):
        loaded(stand_in, ("spot",), ["BTC/USDT"], Answer("Bad Gateway", 502, "text/plain"))


FILTERS = [
    {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000", "tickSize": "0.01"},
    {"filterType": "LOT_SIZE", "minQty": "0.001", "maxQty": "9000", "stepSize": "0.001"},
]
PAIR = {"symbol": "BTCUSDT", "status": "TRADING", "baseAsset": "BTC", "quoteAsset": "USDT", "filters": FILTERS}


@pytest.mark.parametrize(
    ("row", "symbol", "base"),
    [
        (BINANCE, "BTC/USDT", "/api/v3"),
        (BINANCE_PERP, "BTC/USDT:USDT", "/fapi/v1"),
    ],
    ids=lambda each: each.name if isinstance(each, VenueRow) else None,
)
def test_markets_when_binance_does_not_tell_the_kinds_of_order_then_it_is_asked_to_take_them(
    stand_in: StandIn, row: VenueRow, symbol: str, base: str
) -> None:
    contract = {"marginAsset": "USDT", "contractType": "PERPETUAL", "deliveryDate": 4133404800000}
    told = Answer({"symbols": [PAIR | (contract if ":" in symbol else {})]})
    taken = Answer({"orderId": 7, "symbol": "BTCUSDT", "status": "NEW"})
    stand_in.routes |= {f"{base}/exchangeInfo": lambda _query: told, f"{base}/order": lambda _query: taken}
    exchange = replace(EXCHANGES["binance"], ccxt_id=row.ccxt_id)
    client = open_client(exchange, Door(Credentials("k" * 20, "s" * 20), rest_url=stand_in.url))
    client.enableRateLimit = False
    client.options |= dict(row.dialect.options)
    try:
        load_markets(client, [symbol])
        assert client.create_order(symbol, "market", "buy", "0.01")["id"] == "7"
    finally:
        client.close()
