"""Messages of the websockets that no stand-in exchange speaks, as their documentation shows them, through ccxt.pro."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from copy import deepcopy
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import ccxt.pro
import pytest
from connected_shapes import AT_ISO, AT_MS, MINE, SHAPES

from engine.domain.market import from_ms
from engine.domain.orders import OrderState
from engine.exchanges import EXCHANGES
from engine.exchanges.connected.ears import Ears
from engine.exchanges.connected.reading import Reader, Report, Trade
from engine.exchanges.connected.stream_client import Told
from engine.exchanges.connected.stream_rows import STREAM_ROWS

ROWS = {venue.name: venue for row in EXCHANGES.values() for venue in row.venues}


class Stream:
    """One venue's client, and what was believed of what it was told."""

    def __init__(self, name: str) -> None:
        self.row, self.market = ROWS[name], SHAPES[name].market
        self.reader = Reader(name, self.row.dialect, lambda: from_ms(AT_MS))
        self.orders: list[Report] = []
        self.trades: list[Trade] = []
        self.doubts = 0
        ears = Ears(STREAM_ROWS[name], self.reader, self, self._doubt, AT_MS - 1000)
        self.client = getattr(ccxt.pro, self.row.ccxt_id)({"enableRateLimit": False})
        self.client.number = str
        self.client.set_markets([deepcopy(dict(self.market))])
        self.client.orders = self.client.triggerOrders = Told(lambda row: ears.order(self.client, row))
        self.client.myTrades = Told(lambda row: ears.trade(self.client, row))

    def _doubt(self) -> None:
        self.doubts += 1

    def hear_order(self, answer: Mapping[str, Any]) -> None:
        self.orders.append(self.reader.report(answer))

    def hear_trade(self, answer: Mapping[str, Any]) -> None:
        self.trades.append(self.reader.trade(answer))

    def tell(self, message: dict[str, Any]) -> None:
        socket = SimpleNamespace(resolve=lambda *_: None, futures={}, subscriptions={}, url="wss://there")
        self.client.handle_message(socket, message)


@pytest.fixture(autouse=True)
def _loop() -> Iterator[None]:
    """ccxt looks for an event loop when a client is made."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    loop.close()


def _kraken(**row: Any) -> dict[str, Any]:
    return {"channel": "executions", "type": "update", "data": [{"timestamp": AT_ISO, "order_id": "O1"} | row]}


def test_kraken_when_an_order_is_told_then_its_client_id_is_the_engines() -> None:
    stream = Stream("kraken")
    stream.tell(
        _kraken(
            symbol=stream.market["symbol"], cl_ord_id=MINE, order_userref=0, order_qty="0.5", cum_qty="0",
            exec_type="new", order_status="new", side="sell", order_type="limit", limit_price="100",
        )
    )  # fmt: skip
    [report] = stream.orders
    assert (report.client_id, report.state, report.filled, stream.doubts) == (MINE, OrderState.WORKING, 0, 0)


def test_kraken_when_a_part_filled_order_is_cancelled_then_it_has_filled_that_part() -> None:
    stream = Stream("kraken")
    stream.tell(_kraken(exec_type="canceled", order_status="canceled", order_userref=0, cum_qty="0.2", cum_cost="20"))
    [report] = stream.orders
    assert (report.client_id, report.state, report.filled) == (None, OrderState.CANCELLED, Decimal("0.2"))


def test_kraken_when_an_execution_is_told_then_fee_and_order_are_its_own() -> None:
    stream = Stream("kraken")
    stream.tell(
        _kraken(
            symbol=stream.market["symbol"], exec_id="T1", trade_id=7, exec_type="trade", side="sell", last_qty="0.2",
            last_price="100", liquidity_ind="m", fees=[{"asset": "USD", "qty": "0.08"}],
            order_status="partially_filled",
        )
    )  # fmt: skip
    [trade] = stream.trades
    assert (trade.number, trade.venue_order_id, trade.quantity, trade.fee, trade.fee_currency) == (
        "T1", "O1", Decimal("0.2"), Decimal("0.08"), "USD",
    )  # fmt: skip


def test_kraken_futures_when_an_execution_is_told_then_it_carries_the_engines_id() -> None:
    stream = Stream("kraken-perp")
    stream.tell(
        {
            "feed": "fills",
            "fills": [
                {
                    "instrument": stream.market["id"], "time": AT_MS, "price": "100", "seq": 1, "buy": False,
                    "qty": "0.2", "order_id": "O1", "cli_ord_id": MINE, "fill_id": "F1", "fill_type": "maker",
                    "fee_paid": "0.004", "fee_currency": "USD",
                }
            ],
        }
    )  # fmt: skip
    [trade] = stream.trades
    assert (trade.number, trade.client_id, trade.quantity, trade.fee) == ("F1", MINE, Decimal("0.2"), Decimal("0.004"))


def _kucoin(stream: Stream, subject: str, topic: str, **data: Any) -> dict[str, Any]:
    usual = {"symbol": stream.market["id"], "orderId": "O1", "clientOid": MINE, "side": "sell", "orderType": "limit"}
    return {"type": "message", "subject": subject, "topic": topic, "data": usual | data}


def _kucoin_spot(stream: Stream, kind: str, filled: str, **data: Any) -> dict[str, Any]:
    sizes = {"size": "0.5", "originSize": "0.5", "filledSize": filled, "orderTime": AT_MS, "price": "100"}
    return _kucoin(stream, "orderChange", "/spotMarket/tradeOrdersV2", type=kind, **sizes, **data)


def test_kucoin_when_an_order_is_told_then_it_works() -> None:
    stream = Stream("kucoin")
    stream.tell(_kucoin_spot(stream, "open", "0", status="open"))
    [report] = stream.orders
    assert (report.client_id, report.state, stream.doubts) == (MINE, OrderState.WORKING, 0)


def test_kucoin_when_a_match_is_told_then_the_exchange_is_asked_for_the_execution_with_its_fee() -> None:
    stream = Stream("kucoin")
    stream.tell(
        _kucoin_spot(
            stream, "match", "0.2", status="match", tradeId="7", matchPrice="100", matchSize="0.2", ts=AT_MS * 1_000_000
        )
    )
    [report] = stream.orders
    assert (report.state, report.filled) == (OrderState.PARTIAL, Decimal("0.2"))
    assert stream.trades == []
    assert stream.doubts >= 1


@pytest.mark.parametrize(("kind", "filled", "state"), [("filled", "0.5", "filled"), ("canceled", "0.2", "cancelled")])
def test_kucoin_when_an_order_ends_then_its_end_is_judged_by_what_it_filled(kind: str, filled: str, state: str) -> None:
    stream = Stream("kucoin")
    stream.tell(_kucoin_spot(stream, kind, filled, status="done"))
    [report] = stream.orders
    assert (report.state, report.filled) == (OrderState(state), Decimal(filled))


def test_kucoin_futures_when_an_order_fills_in_part_then_contracts_are_told_in_base() -> None:
    stream = Stream("kucoin-perp")
    size = Decimal(str(stream.market["contractSize"]))
    stream.tell(
        _kucoin(
            stream, "orderChange", "/contractMarket/tradeOrders", type="match", status="match", size="5",
            filledSize="2", orderTime=AT_MS * 1_000_000, ts=AT_MS * 1_000_000, tradeId="7", matchPrice="100",
            matchSize="2",
        )
    )  # fmt: skip
    [report] = stream.orders
    assert (report.filled, report.quantity) == (2 * size, 5 * size)
    assert stream.doubts >= 1


def _coinbase(stream: Stream, status: str, filled: str, left: str) -> dict[str, Any]:
    order = {
        "order_id": "O1", "client_order_id": MINE, "cumulative_quantity": filled, "leaves_quantity": left,
        "avg_price": "100", "total_fees": "0.1", "status": status, "product_id": stream.market["id"],
        "creation_time": AT_ISO, "order_side": "SELL", "order_type": "Limit", "filled_value": "20",
    }  # fmt: skip
    return {"channel": "user", "sequence_num": 1, "events": [{"type": "update", "orders": [order]}]}


@pytest.mark.parametrize(
    ("status", "filled", "left", "state", "doubts"),
    [
        ("OPEN", "0", "0.5", OrderState.WORKING, 0),
        ("OPEN", "0.2", "0.3", OrderState.PARTIAL, 1),
        ("FILLED", "0.5", "0", OrderState.FILLED, 1),
        ("CANCELLED", "0.2", "0.3", OrderState.CANCELLED, 1),
        ("CANCELLED", "0", "0.5", OrderState.CANCELLED, 0),
    ],
)
def test_coinbase_when_an_order_is_told_then_its_end_is_no_fill_and_its_executions_are_asked_for(
    status: str, filled: str, left: str, state: OrderState, doubts: int
) -> None:
    stream = Stream("coinbase")
    stream.tell(_coinbase(stream, status, filled, left))
    [report] = stream.orders
    assert (report.client_id, report.state, report.filled, stream.doubts) == (MINE, state, Decimal(filled), doubts)
