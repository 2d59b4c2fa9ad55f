"""What each exchange answers, in the shapes of its documentation, about one order; ccxt's own parsers read it.

The order is a sale of 0.5 of the base coin, of which 0.2 were executed at 100.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from requests.exceptions import HTTPError

Json = Any
MINE, HIS = "t1x7k2p00010000001", "by-hand-7"
NUMBER, TRADE = "9007199254740993", "77001"
AT_MS = 1_795_000_000_123
AT_ISO = "2026-11-18T11:06:40.123Z"
SITUATIONS = ("open", "part", "filled", "cut", "cancelled")
"""Nothing filled yet; 0.2 filled; all filled; 0.2 filled and then cancelled; cancelled with nothing filled."""
FILLED = {"open": "0", "part": "0.2", "filled": "0.5", "cut": "0.2", "cancelled": "0"}


class Answer:
    """An HTTP answer as the library behind ccxt gives it."""

    def __init__(self, body: Json, status: int = 200) -> None:
        self.status_code = status
        self.reason = "OK" if status == 200 else "error"
        self.text = body if isinstance(body, str) else json.dumps(body)
        self.content = self.text.encode()
        self.headers = {"Content-Type": "application/json"}
        self.encoding = "utf-8"

    def raise_for_status(self) -> None:
        """As the library does."""
        if self.status_code >= 400:
            raise HTTPError(f"{self.status_code} {self.reason}")

    def close(self) -> None:
        """Nothing is held."""


@dataclass
class Wires:
    """Takes the place of a client's session: answers by the path, remembers what was asked."""

    routes: dict[str, Json] = field(default_factory=dict)
    asked: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    cookies: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)

    def request(self, method: str, url: str, data: bytes | None = None, **_: Any) -> Answer:
        """The answer of the first route whose text is in ``METHOD /path``."""
        parts = urlsplit(url)
        query: dict[str, Any] = dict(parse_qsl(parts.query))
        if data:
            text = data.decode()
            query |= json.loads(text) if text.startswith("{") else dict(parse_qsl(text))
        self.asked.append((method, parts.path, query))
        name = f"{method} {parts.path}"
        for route, body in self.routes.items():
            if route in name:
                made = body(query) if callable(body) else body
                return made if isinstance(made, Answer) else Answer(made)
        raise AssertionError(f"nothing is prepared for {name} {query}")

    def close(self) -> None:
        """Nothing is held."""

    def sent(self, method_and_path: str) -> dict[str, Any]:
        """What the last such request carried."""
        found = [query for method, path, query in self.asked if method_and_path in f"{method} {path}"]
        assert found, f"{method_and_path} was not asked; asked were {[f'{m} {p}' for m, p, _ in self.asked]}"
        return found[-1]


@dataclass(frozen=True)
class Shapes:
    """The answers of one venue.

    ``create``, ``cancel``, ``orders``, ``trades``, ``balance``, ``positions``, ``funding`` are routes with the answer;
    ``order`` gives the routes for an order in a situation, ``flows`` those for lists of deposits: five of the quote
    coin, or none.
    """

    market: Mapping[str, Any]
    client_id_field: str
    create: tuple[str, Json]
    cancel: tuple[str, Json]
    order: Callable[[str], dict[str, Json]]
    missing: dict[str, Json]
    open_orders: dict[str, Json]
    trades: dict[str, Json]
    balance: dict[str, Json]
    short: tuple[str, Answer]
    stop_field: tuple[str, str]
    positions: dict[str, Json] = field(default_factory=dict)
    funding: dict[str, Json] = field(default_factory=dict)
    stop_create: tuple[str, Json] | None = None
    modes: dict[str, Json] = field(default_factory=dict)
    edit: tuple[str, Json] | None = None
    flows: Callable[[bool], dict[str, Json]] = lambda _paid: {}


def _market(market_id: str, base: str, quote: str, *, contract: bool = False, size: str = "1") -> dict[str, Any]:
    symbol = f"{base}/{quote}:{quote}" if contract else f"{base}/{quote}"
    lot = "1" if size != "1" else "0.001"
    return {
        "id": market_id, "lowercaseId": market_id.lower(), "symbol": symbol, "base": base, "quote": quote,
        "settle": quote if contract else None, "settleId": quote if contract else None, "baseId": base,
        "quoteId": quote,
        "type": "swap" if contract else "spot", "spot": not contract, "margin": False, "swap": contract,
        "future": False, "option": False, "active": True, "contract": contract, "linear": True if contract else None,
        "inverse": False if contract else None, "contractSize": size if contract else None, "taker": "0.0005",
        "maker": "0.0002", "precision": {"amount": lot, "price": "0.1"}, "percentage": True, "tierBased": False,
        "limits": {"amount": {"min": lot}, "price": {}, "cost": {"min": "5"}, "leverage": {"max": "20"}},
        "info": {"orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS", "STOP_MARKET", "STOP"],
                 "altname": market_id, "wsname": f"{base}/{quote}"},
    }  # fmt: skip


# -- Binance ------------------------------------------------------------------------------------------------------


def _binance_order(situation: str, client_id: str = MINE, **more: Any) -> dict[str, Any]:
    status = {"open": "NEW", "part": "PARTIALLY_FILLED", "filled": "FILLED"}.get(situation, "CANCELED")
    return {
        "symbol": "ABCUSDT", "orderId": int(NUMBER), "orderListId": -1, "clientOrderId": client_id, "price": "100.0",
        "origQty": "0.500", "executedQty": FILLED[situation], "cummulativeQuoteQty": "20.0", "status": status,
        "timeInForce": "GTC", "type": "LIMIT", "side": "SELL", "stopPrice": "0.0", "time": AT_MS, "updateTime": AT_MS,
        "isWorking": True, **more,
    }  # fmt: skip


_BINANCE_TRADE = {
    "symbol": "ABCUSDT", "id": int(TRADE), "orderId": int(NUMBER), "orderListId": -1, "price": "100.0", "qty": "0.2",
    "quoteQty": "20.0", "commission": "0.0003", "commissionAsset": "BNB", "time": AT_MS, "isBuyer": False,
    "isMaker": True, "isBestMatch": True,
}  # fmt: skip
_SHORT_OF_FUNDS = Answer({"code": -2010, "msg": "Account has insufficient balance for requested action."}, 400)
BINANCE = Shapes(
    _market("ABCUSDT", "ABC", "USDT"),
    "newClientOrderId",
    ("POST /api/v3/order", _binance_order("open")),
    ("DELETE /api/v3/order", _binance_order("cancelled", "made-for-the-cancel", origClientOrderId=MINE)),
    lambda situation: {"GET /api/v3/order": _binance_order(situation)},
    {"GET /api/v3/order": Answer({"code": -2013, "msg": "Order does not exist."}, 400)},
    {"GET /api/v3/openOrders": [_binance_order("part"), _binance_order("open", HIS, orderId=5)]},
    {"GET /api/v3/myTrades": [_BINANCE_TRADE]},
    {
        "GET /api/v3/account": {
            "makerCommission": 10, "updateTime": AT_MS, "accountType": "SPOT",
            "balances": [
                {"asset": "ABC", "free": "1.5", "locked": "0.5"}, {"asset": "USDT", "free": "70.25", "locked": "0"},
                {"asset": "OLD", "free": "0.0", "locked": "0.0"},
            ],
        }
    },
    ("POST /api/v3/order", _SHORT_OF_FUNDS),
    ("stopPrice", "95.5"),
    flows=lambda paid: {
        "GET /sapi/v1/capital/deposit/hisrec": [
            {"id": "d1", "amount": "5", "coin": "USDT", "network": "ETH", "status": 1, "address": "a", "txId": "t",
             "insertTime": AT_MS, "transferType": 0, "confirmTimes": "1/1"}
        ] if paid else [],
        "GET /sapi/v1/capital/withdraw/history": [],
        "GET /sapi/v1/asset/transfer": {"total": 0, "rows": []},
    },
)  # fmt: skip


def _usdm_order(situation: str, client_id: str = MINE, **more: Any) -> dict[str, Any]:
    order = _binance_order(situation, client_id, **more)
    return {**order, "positionSide": "BOTH", "cumQuote": "20.0", "avgPrice": "100.0", "reduceOnly": False}


def _algo(status: str = "NEW", actual: str = "", client_id: str = MINE) -> dict[str, Any]:
    return {
        "algoId": 3358, "clientAlgoId": client_id, "algoType": "CONDITIONAL", "orderType": "STOP_MARKET",
        "symbol": "ABCUSDT", "side": "SELL", "positionSide": "BOTH", "timeInForce": "GTC", "quantity": "0.500",
        "algoStatus": status, "actualOrderId": actual, "actualPrice": "0.0", "triggerPrice": "95.5", "price": "0",
        "workingType": "CONTRACT_PRICE", "closePosition": False, "reduceOnly": True, "createTime": AT_MS,
        "updateTime": AT_MS, "triggerTime": 0, "goodTillDate": 0,
    }  # fmt: skip


def _incomes(kind: str, amount: str) -> Callable[[dict[str, Any]], Json]:
    row = {
        "symbol": "ABCUSDT", "incomeType": kind, "income": amount, "asset": "USDT", "time": AT_MS, "info": "",
        "tranId": 9_689_322_392, "tradeId": "",
    }  # fmt: skip
    return lambda query: [row] if query.get("incomeType") == kind else []


_USDM_TRADE = {
    "symbol": "ABCUSDT", "id": int(TRADE), "orderId": int(NUMBER), "side": "SELL", "price": "100.0", "qty": "0.2",
    "realizedPnl": "0", "marginAsset": "USDT", "quoteQty": "20.0", "commission": "0.01", "commissionAsset": "USDT",
    "time": AT_MS, "positionSide": "BOTH", "buyer": False, "maker": True,
}  # fmt: skip
BINANCE_PERP = Shapes(
    _market("ABCUSDT", "ABC", "USDT", contract=True),
    "newClientOrderId",
    ("POST /fapi/v1/order", _usdm_order("open")),
    ("DELETE /fapi/v1/order", _usdm_order("cancelled")),
    lambda situation: {"GET /fapi/v1/order": _usdm_order(situation)},
    {"GET /fapi/v1/order": Answer({"code": -2013, "msg": "Order does not exist."}, 400)},
    {
        "GET /fapi/v1/openOrders": [_usdm_order("part"), _usdm_order("open", HIS, orderId=5)],
        "GET /fapi/v1/openAlgoOrders": [],
    },
    {"GET /fapi/v1/userTrades": [_USDM_TRADE]},
    {
        "GET /fapi/v3/account": {
            "totalWalletBalance": "70.25", "assets": [
                {"asset": "USDT", "walletBalance": "70.25", "unrealizedProfit": "-9", "marginBalance": "61.25",
                 "initialMargin": "10", "availableBalance": "51.25", "updateTime": AT_MS},
                {"asset": "BNB", "walletBalance": "0", "unrealizedProfit": "0", "marginBalance": "0",
                 "initialMargin": "0", "availableBalance": "0", "updateTime": AT_MS},
            ], "positions": [],
        }
    },
    ("POST /fapi/v1/order", Answer({"code": -2019, "msg": "Margin is insufficient."}, 400)),
    ("triggerPrice", "95.5"),
    {
        "GET /fapi/v3/positionRisk": [
            {"symbol": "ABCUSDT", "positionSide": "BOTH", "positionAmt": "-0.3", "entryPrice": "101.5",
             "markPrice": "100", "unRealizedProfit": "0.45", "liquidationPrice": "0", "isolatedMargin": "0",
             "notional": "-30", "isolatedWallet": "0", "updateTime": AT_MS, "initialMargin": "3", "maintMargin": "1"},
        ]
    },
    {"GET /fapi/v1/income": _incomes("FUNDING_FEE", "-0.0125"), "GET /fapi/v1/userTrades": []},
    ("POST /fapi/v1/algoOrder", _algo()),
    {
        "GET /fapi/v1/positionSide/dual": {"dualSidePosition": True},
        "GET /fapi/v1/symbolConfig": [{"symbol": "ABCUSDT", "marginType": "CROSSED", "leverage": 5}],
    },
    flows=lambda paid: {"GET /fapi/v1/income": _incomes("TRANSFER" if paid else "", "5")},
)  # fmt: skip


# -- Bybit --------------------------------------------------------------------------------------------------------


def _bybit(result: Json) -> dict[str, Any]:
    return {"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": AT_MS}


def _bybit_list(*rows: Json) -> dict[str, Any]:
    return _bybit({"nextPageCursor": "", "category": "linear", "list": list(rows)})


def _bybit_order(situation: str, client_id: str = MINE, number: str = NUMBER) -> dict[str, Any]:
    status = {"open": "New", "part": "PartiallyFilled", "filled": "Filled"}.get(situation, "Cancelled")
    return {
        "symbol": "ABCUSDT", "orderType": "Limit", "orderLinkId": client_id, "orderId": number, "cancelType": "UNKNOWN",
        "avgPrice": "100", "stopOrderType": "", "orderStatus": status, "cumExecValue": "20", "triggerDirection": 0,
        "isLeverage": "", "rejectReason": "EC_NoError", "price": "100", "createdTime": str(AT_MS), "tpslMode": "",
        "positionIdx": 0, "timeInForce": "GTC", "leavesQty": "0.3", "updatedTime": str(AT_MS), "side": "Sell",
        "triggerPrice": "", "cumExecFee": "0", "closeOnTrigger": False, "cumExecQty": FILLED[situation],
        "reduceOnly": False, "qty": "0.5", "stopLoss": "", "takeProfit": "",
    }  # fmt: skip


def _bybit_found(situation: str) -> dict[str, Json]:
    order = _bybit_order(situation)
    live = situation in ("open", "part")
    return {
        "GET /v5/order/realtime": _bybit_list(order) if live else _bybit_list(),
        "GET /v5/order/history": _bybit_list() if live else _bybit_list(order),
    }


def _bybit_execution(kind: str, **more: Any) -> dict[str, Any]:
    return {
        "symbol": "ABCUSDT", "orderType": "Limit", "orderLinkId": MINE, "side": "Sell", "orderId": NUMBER,
        "stopOrderType": "UNKNOWN", "leavesQty": "0.3", "execTime": str(AT_MS), "isMaker": True, "execFee": "0.01",
        "feeRate": "0.0005", "feeCurrency": "", "execId": TRADE, "markPrice": "100", "execPrice": "100",
        "orderQty": "0.5", "orderPrice": "100", "execValue": "20", "execType": kind, "execQty": "0.2",
        "createType": "CreateByUser", **more,
    }  # fmt: skip


def _bybit_log(paid: bool) -> Callable[[dict[str, Any]], Json]:
    row = {
        "id": "592324", "symbol": "", "side": "None", "funding": "", "orderLinkId": "", "orderId": "", "fee": "0",
        "change": "5", "cashFlow": "0", "transactionTime": str(AT_MS), "type": "TRANSFER_IN", "qty": "5", "size": "0",
        "cashBalance": "75.25", "currency": "USDT", "category": "", "tradePrice": "", "tradeId": "",
    }  # fmt: skip
    return lambda query: _bybit_list(row) if paid and query.get("type") == "TRANSFER_IN" else _bybit_list()


BYBIT = Shapes(
    _market("ABCUSDT", "ABC", "USDT", contract=True),
    "orderLinkId",
    ("POST /v5/order/create", _bybit({"orderId": NUMBER, "orderLinkId": MINE})),
    ("POST /v5/order/cancel", _bybit({"orderId": NUMBER, "orderLinkId": MINE})),
    _bybit_found,
    {"GET /v5/order/realtime": _bybit_list(), "GET /v5/order/history": _bybit_list()},
    {"GET /v5/order/realtime": _bybit_list(_bybit_order("part"), _bybit_order("open", HIS, "5"))},
    {"GET /v5/execution/list": _bybit_list(_bybit_execution("Trade"))},
    {
        "GET /v5/account/wallet-balance": _bybit({"list": [{
            "accountType": "UNIFIED", "totalEquity": "61.25", "coin": [
                {"coin": "USDT", "equity": "61.25", "walletBalance": "70.25", "unrealisedPnl": "-9", "locked": "0",
                 "totalPositionIM": "10", "totalOrderIM": "0", "availableToWithdraw": "", "borrowAmount": "0",
                 "accruedInterest": "0"},
            ]}]}),
    },
    ("POST /v5/order/create", Answer({"retCode": 110007, "retMsg": "ab not enough for new order", "result": {}})),
    ("triggerPrice", "95.5"),
    {
        "GET /v5/position/list": _bybit_list(
            {"symbol": "ABCUSDT", "leverage": "10", "side": "Sell", "positionValue": "30", "avgPrice": "101.5",
             "unrealisedPnl": "0.45", "markPrice": "100", "size": "0.3", "positionIdx": 0, "positionIM": "3",
             "positionMM": "1", "createdTime": str(AT_MS), "updatedTime": str(AT_MS), "liqPrice": "", "bustPrice": ""}
        )
    },
    {
        "GET /v5/execution/list": _bybit_list(
            _bybit_execution("Funding", execFee="0.0125", feeRate="0.0001", orderLinkId="", orderId="f-1")
        )
    },
    modes={
        "GET /v5/position/list": _bybit_list(
            {"symbol": "ABCUSDT", "leverage": "5", "side": "Buy", "size": "0", "positionIdx": 1, "positionValue": ""},
            {"symbol": "ABCUSDT", "leverage": "5", "side": "Sell", "size": "0", "positionIdx": 2, "positionValue": ""},
        )
    },
    edit=("POST /v5/order/amend", _bybit({"orderId": NUMBER, "orderLinkId": MINE})),
    flows=lambda paid: {"GET /v5/account/transaction-log": _bybit_log(paid)},
)  # fmt: skip


# -- KuCoin -------------------------------------------------------------------------------------------------------


def _kucoin(data: Json) -> dict[str, Any]:
    return {"code": "200000", "data": data}


def _kucoin_page(*rows: Json) -> dict[str, Any]:
    return _kucoin({"currentPage": 1, "pageSize": 500, "totalNum": len(rows), "totalPage": 1, "items": list(rows)})


def _kucoin_order(situation: str, client_id: str = MINE, number: str = NUMBER) -> dict[str, Any]:
    return {
        "id": number, "symbol": "ABC-USDT", "opType": "DEAL", "type": "limit", "side": "sell", "price": "100",
        "size": "0.5", "funds": "0", "dealFunds": "20", "dealSize": FILLED[situation], "fee": "0.01",
        "feeCurrency": "USDT", "stop": "", "stopTriggered": False, "stopPrice": "0", "timeInForce": "GTC",
        "postOnly": False, "hidden": False, "clientOid": client_id, "isActive": situation in ("open", "part"),
        "cancelExist": situation in ("cut", "cancelled"), "createdAt": AT_MS, "tradeType": "TRADE",
    }  # fmt: skip


KUCOIN = Shapes(
    _market("ABC-USDT", "ABC", "USDT"),
    "clientOid",
    ("POST /api/v1/orders", _kucoin({"orderId": NUMBER})),
    ("DELETE /api/v1/order/client-order/", _kucoin({"cancelledOrderId": NUMBER, "clientOid": MINE})),
    lambda situation: {"GET /api/v1/order/client-order/": _kucoin(_kucoin_order(situation))},
    {
        "GET /api/v1/order/client-order/": Answer({"code": "400100", "msg": "order not exist."}),
        "GET /api/v1/stop-order/queryOrderByClientOid": _kucoin([]),
    },
    {
        "GET /api/v1/orders": _kucoin_page(_kucoin_order("part"), _kucoin_order("open", HIS, "5")),
        "GET /api/v1/stop-order": _kucoin_page(),
    },
    {
        "GET /api/v1/fills": _kucoin_page(
            {"symbol": "ABC-USDT", "tradeId": TRADE, "orderId": NUMBER, "counterOrderId": "c", "side": "sell",
             "liquidity": "maker", "forceTaker": False, "price": "100", "size": "0.2", "funds": "20", "fee": "0.01",
             "feeRate": "0.0005", "feeCurrency": "USDT", "stop": "", "type": "limit", "createdAt": AT_MS}
        )
    },
    {
        "GET /api/v1/accounts": _kucoin([
            {"id": "a", "currency": "USDT", "type": "trade", "balance": "70.25", "available": "60.25", "holds": "10"},
            {"id": "b", "currency": "ABC", "type": "trade", "balance": "2", "available": "1.5", "holds": "0.5"},
        ])
    },
    ("POST /api/v1/orders", Answer({"code": "200004", "msg": "Balance insufficient!"})),
    ("stopPrice", "95.5"),
    stop_create=("POST /api/v1/stop-order", _kucoin({"orderId": NUMBER})),
    flows=lambda paid: {
        "GET /api/v1/accounts/ledgers": _kucoin_page(*([
            {"id": "l1", "currency": "USDT", "amount": "5", "fee": "0", "balance": "75.25", "accountType": "TRADE",
             "bizType": "Transfer", "direction": "in", "createdAt": AT_MS, "context": ""},
            {"id": "l2", "currency": "USDT", "amount": "9", "fee": "0", "balance": "84.25", "accountType": "TRADE",
             "bizType": "Exchange", "direction": "in", "createdAt": AT_MS, "context": ""},
        ] if paid else []))
    },
)  # fmt: skip


def _kucoin_contract(situation: str, client_id: str = MINE, number: str = NUMBER) -> dict[str, Any]:
    """Ten contracts make 1 of the base coin: an order of 5, of which 2 were executed."""
    contracts = int(float(FILLED[situation]) * 10)
    return {
        "id": number, "symbol": "ABCUSDTM", "type": "limit", "side": "sell", "price": "100", "size": 5,
        "value": "50", "dealValue": "20", "dealSize": contracts, "stop": "", "stopPriceType": "",
        "stopTriggered": False, "stopPrice": None, "timeInForce": "GTC", "leverage": "1", "clientOid": client_id,
        "isActive": situation in ("open", "part"), "cancelExist": situation in ("cut", "cancelled"),
        "createdAt": AT_MS, "updatedAt": AT_MS, "settleCurrency": "USDT", "status": "open", "filledValue": "20",
        "filledSize": contracts, "reduceOnly": False,
    }  # fmt: skip


KUCOIN_PERP = Shapes(
    _market("ABCUSDTM", "ABC", "USDT", contract=True, size="0.1"),
    "clientOid",
    ("POST /api/v1/orders", _kucoin({"orderId": NUMBER})),
    ("DELETE /api/v1/orders/client-order/", _kucoin({"clientOid": MINE})),
    lambda situation: {"GET /api/v1/orders/byClientOid": _kucoin(_kucoin_contract(situation))},
    {"GET /api/v1/orders/byClientOid": Answer({"code": "100001", "msg": "error.getOrder.orderNotExist"})},
    {
        "GET /api/v1/orders": _kucoin_page(_kucoin_contract("part"), _kucoin_contract("open", HIS, "5")),
        "GET /api/v1/stopOrders": _kucoin_page(),
    },
    {
        "GET /api/v1/fills": _kucoin_page(
            {"symbol": "ABCUSDTM", "tradeId": TRADE, "orderId": NUMBER, "side": "sell", "liquidity": "maker",
             "price": "100", "size": 2, "value": "20", "feeRate": "0.0005", "fixFee": "0", "feeCurrency": "USDT",
             "stop": "", "fee": "0.01", "orderType": "limit", "tradeType": "trade", "createdAt": AT_MS,
             "settleCurrency": "USDT", "tradeTime": AT_MS * 1_000_000}
        ),
        "GET /api/v1/funding-history": _kucoin({"dataList": [], "hasMore": False}),
    },
    {
        "GET /api/v1/account-overview": _kucoin(
            {"accountEquity": 61.25, "unrealisedPNL": -9, "marginBalance": 70.25, "positionMargin": 10,
             "orderMargin": 0, "frozenFunds": 0, "availableBalance": 51.25, "currency": "USDT"}
        )
    },
    ("POST /api/v1/orders", Answer({"code": "300003", "msg": "Balance insufficient."})),
    ("stopPrice", "95.5"),
    {
        "GET /api/v1/positions": _kucoin([
            {"id": "p", "symbol": "ABCUSDTM", "crossMode": True, "currentTimestamp": AT_MS, "currentQty": -3,
             "isOpen": True, "markPrice": 100, "posCost": -30.45, "posInit": 3, "avgEntryPrice": 101.5,
             "realLeverage": 1, "settleCurrency": "USDT", "isInverse": False}
        ])
    },
    {
        "GET /api/v1/fills": _kucoin_page(),
        "GET /api/v1/funding-history": _kucoin({"dataList": [
            {"id": 239_471_298_749_817, "symbol": "ABCUSDTM", "timePoint": AT_MS, "fundingRate": 0.0001,
             "markPrice": 100, "positionQty": 3, "positionCost": 30, "funding": -0.0125, "settleCurrency": "USDT"}
        ], "hasMore": False}),
    },
    modes={
        "GET /api/v2/position/getPositionMode": _kucoin({"positionMode": 1}),
        "GET /api/v2/getCrossUserLeverage": _kucoin({"symbol": "ABCUSDTM", "leverage": "5"}),
    },
    flows=lambda paid: {
        "GET /api/v1/transaction-history": _kucoin({"hasMore": False, "dataList": [
            {"time": AT_MS, "type": "TransferIn", "amount": 5, "fee": 0, "accountEquity": 75.25, "status": "Completed",
             "remark": "", "offset": 51, "currency": "USDT"}] if paid else []})
    },
)  # fmt: skip


# -- Kraken -------------------------------------------------------------------------------------------------------


def _kraken(result: Json) -> dict[str, Any]:
    return {"error": [], "result": result}


def _kraken_order(situation: str, client_id: str = MINE) -> dict[str, Any]:
    status = {"open": "open", "part": "open", "filled": "closed"}.get(situation, "canceled")
    return {
        "refid": None, "userref": 0, "cl_ord_id": client_id, "status": status, "opentm": AT_MS / 1000,
        "descr": {"pair": "ABCUSDT", "type": "sell", "ordertype": "limit", "price": "100", "price2": "0",
                  "leverage": "none", "order": "sell 0.50000000 ABCUSDT @ limit 100", "close": ""},
        "vol": "0.50000000", "vol_exec": FILLED[situation], "cost": "20", "fee": "0.01", "price": "100",
        "stopprice": "0", "limitprice": "0", "misc": "", "oflags": "fciq",
    }  # fmt: skip


def _kraken_found(situation: str) -> dict[str, Json]:
    live = situation in ("open", "part")
    row = {NUMBER: _kraken_order(situation)}
    return {
        "POST /0/private/OpenOrders": _kraken({"open": row if live else {}}),
        "POST /0/private/ClosedOrders": _kraken({"closed": {} if live else row, "count": 1}),
        "POST /0/private/QueryOrders": _kraken(row),
    }


def _kraken_trades(query: dict[str, Any]) -> dict[str, Any]:
    row = {
        "ordertxid": NUMBER, "postxid": "OEN3VX", "pair": "ABCUSDT", "time": AT_MS / 1000, "type": "sell",
        "ordertype": "limit", "price": "100", "cost": "20", "fee": "0.01", "vol": "0.2", "margin": "0", "misc": "",
        "trade_id": 1, "maker": True,
    }  # fmt: skip
    return _kraken({"trades": {TRADE: row} if query.get("ofs") == "0" else {}, "count": 1})


KRAKEN = Shapes(
    _market("ABCUSDT", "ABC", "USDT"),
    "cl_ord_id",
    ("POST /0/private/AddOrder", _kraken({"descr": {"order": "sell 0.5 ABCUSDT @ market"}, "txid": [NUMBER]})),
    ("POST /0/private/CancelOrder", _kraken({"count": 1})),
    _kraken_found,
    {
        "POST /0/private/OpenOrders": _kraken({"open": {}}),
        "POST /0/private/ClosedOrders": _kraken({"closed": {}, "count": 0}),
    },
    {"POST /0/private/OpenOrders": _kraken({"open": {NUMBER: _kraken_order("part"), "5": _kraken_order("open", HIS)}})},
    {"POST /0/private/TradesHistory": _kraken_trades},
    {"POST /0/private/BalanceEx": _kraken({"USDT": {"balance": "70.25", "hold_trade": "10"},
                                           "ABC": {"balance": "2", "hold_trade": "0.5"},
                                           "OLD": {"balance": "0.0", "hold_trade": "0"}})},
    ("POST /0/private/AddOrder", Answer({"error": ["EOrder:Insufficient funds"]})),
    ("price", "95.5"),
    edit=("POST /0/private/AmendOrder", _kraken({"amend_id": "TJSMEH"})),
    flows=lambda paid: {"POST /0/private/Ledgers": _kraken({"count": 1, "ledger": {
        "L4UESK": {"refid": "r", "time": AT_MS / 1000, "type": "deposit", "subtype": "", "aclass": "currency",
                   "asset": "USDT", "amount": "5.5", "fee": "0.5", "balance": "75.25"},
        "LMKZCZ": {"refid": TRADE, "time": AT_MS / 1000, "type": "trade", "subtype": "", "aclass": "currency",
                   "asset": "USDT", "amount": "9", "fee": "0", "balance": "84.25"}} if paid else {}})},
)  # fmt: skip


def _futures_order(situation: str, client_id: str = MINE, number: str = NUMBER) -> dict[str, Any]:
    return {
        "type": "ORDER", "orderId": number, "cliOrdId": client_id, "symbol": "PF_ABCUSD", "side": "sell",
        "quantity": "0.5", "filled": FILLED[situation], "limitPrice": "100", "reduceOnly": False, "timestamp": AT_ISO,
        "lastUpdateTimestamp": AT_ISO,
    }  # fmt: skip


def _futures_found(situation: str) -> dict[str, Json]:
    status = {"open": "ENTERED_BOOK", "part": "ENTERED_BOOK", "filled": "FULLY_EXECUTED"}.get(situation, "CANCELLED")
    row = {"order": _futures_order(situation), "status": status, "updateReason": None, "error": None}
    return {"/derivatives/api/v3/orders/status": {"result": "success", "orders": [row]}}


def _futures_open(client_id: str, number: str, filled: str) -> dict[str, Any]:
    return {
        "order_id": number, "cliOrdId": client_id, "symbol": "PF_ABCUSD", "side": "sell", "orderType": "lmt",
        "limitPrice": 100, "unfilledSize": str(0.5 - float(filled)), "receivedTime": AT_ISO, "filledSize": filled,
        "status": "partiallyFilled" if float(filled) else "untouched", "reduceOnly": False, "lastUpdateTime": AT_ISO,
    }  # fmt: skip


def _sent(status: str = "placed", **order: Any) -> dict[str, Any]:
    placed = {"type": "PLACE", "order": {**_futures_order("open"), **order}, "reducedQuantity": None}
    return {"result": "success", "sendStatus": {
        "order_id": NUMBER, "status": status, "receivedTime": AT_ISO, "orderEvents": [placed]}}  # fmt: skip


KRAKEN_PERP = Shapes(
    {**_market("PF_ABCUSD", "ABC", "USD", contract=True)},
    "cliOrdId",
    ("POST /derivatives/api/v3/sendorder", _sent()),
    ("POST /derivatives/api/v3/cancelorder", {"result": "success", "cancelStatus": {
        "status": "cancelled", "order_id": NUMBER, "cliOrdId": MINE, "receivedTime": AT_ISO,
        "orderEvents": [{"type": "CANCEL", "uid": NUMBER, "order": _futures_order("cancelled")}]}}),
    _futures_found,
    {
        "/derivatives/api/v3/orders/status": {"result": "success", "orders": []},
        "GET /derivatives/api/v3/openorders": {"result": "success", "openOrders": []},
        "GET /api/history/v2/orders": {"elements": [], "len": 0},
        "GET /api/history/v2/triggers": {"elements": [], "len": 0},
    },
    {"GET /derivatives/api/v3/openorders": {"result": "success", "openOrders": [
        _futures_open(MINE, NUMBER, "0.2"), _futures_open(HIS, "5", "0")]}},
    {
        "GET /derivatives/api/v3/fills": {"result": "success", "fills": [
            {"fill_id": TRADE, "symbol": "PF_ABCUSD", "side": "sell", "order_id": NUMBER, "cliOrdId": MINE,
             "size": 0.2, "price": 100, "fillTime": AT_ISO, "fillType": "maker"}]},
        "GET /api/history/v3/account-log": {"accountUid": "u", "logs": []},
    },
    {
        "GET /derivatives/api/v3/accounts": {"result": "success", "serverTime": AT_ISO, "accounts": {
            "flex": {"type": "multiCollateralMarginAccount", "currencies": {
                "USD": {"quantity": 70.25, "value": 70.25, "collateral": 70.25, "available": 51.25}},
                "portfolioValue": 61.25, "totalUnrealized": -9}}}
    },
    ("POST /derivatives/api/v3/sendorder", Answer({"result": "success", "sendStatus": {
        "status": "insufficientAvailableFunds", "receivedTime": AT_ISO, "orderEvents": []}})),
    ("stopPrice", "95.5"),
    {
        "GET /derivatives/api/v3/openpositions": {"result": "success", "openPositions": [
            {"side": "short", "symbol": "PF_ABCUSD", "price": 101.5, "fillTime": AT_ISO, "size": 0.3,
             "unrealizedFunding": 0}]}
    },
    {
        "GET /derivatives/api/v3/fills": {"result": "success", "fills": []},
        "GET /api/history/v3/account-log": {"accountUid": "u", "logs": [
            {"asset": "usd", "contract": "pf_abcusd", "booking_uid": "b", "date": AT_ISO, "execution": None, "fee": 0,
             "funding_rate": 0.0001, "id": 16, "info": "funding rate change", "realized_funding": -0.0125}]},
    },
    edit=("POST /derivatives/api/v3/editorder", {"result": "success", "editStatus": {
        "status": "edited", "orderId": NUMBER, "receivedTime": AT_ISO, "orderEvents": [
            {"type": "EDIT", "old": _futures_order("open"), "new": _futures_order("open")}]}}),
)  # fmt: skip


# -- Coinbase -----------------------------------------------------------------------------------------------------


def _coinbase_order(situation: str, client_id: str = MINE, number: str = NUMBER) -> dict[str, Any]:
    status = {"open": "OPEN", "part": "OPEN", "filled": "FILLED"}.get(situation, "CANCELLED")
    return {
        "order_id": number, "product_id": "ABC-USD", "user_id": "u", "side": "SELL", "client_order_id": client_id,
        "order_configuration": {"limit_limit_gtc": {"base_size": "0.5", "limit_price": "100", "post_only": False}},
        "status": status, "time_in_force": "GOOD_UNTIL_CANCELLED", "created_time": AT_ISO, "order_type": "LIMIT",
        "filled_size": FILLED[situation], "average_filled_price": "100", "fee": "", "total_fees": "0.01",
        "pending_cancel": False, "size_in_quote": False, "trigger_status": "INVALID_ORDER_TYPE",
    }  # fmt: skip


def _coinbase_found(situation: str) -> dict[str, Json]:
    order = _coinbase_order(situation)

    def listed(query: dict[str, Any]) -> dict[str, Any]:
        shown = query.get("order_status") != "OPEN" or situation in ("open", "part")
        return {"orders": [order] if shown else [], "sequence": "0", "has_next": False, "cursor": ""}

    return {
        "GET /api/v3/brokerage/orders/historical/batch": listed,
        "GET /api/v3/brokerage/orders/historical/": {"order": order},
    }


COINBASE = Shapes(
    _market("ABC-USD", "ABC", "USD"),
    "client_order_id",
    ("POST /api/v3/brokerage/orders", {"success": True, "order_id": NUMBER, "success_response": {
        "order_id": NUMBER, "product_id": "ABC-USD", "side": "SELL", "client_order_id": MINE}}),
    ("POST /api/v3/brokerage/orders/batch_cancel", {"results": [{"success": True, "order_id": NUMBER}]}),
    _coinbase_found,
    {"GET /api/v3/brokerage/orders/historical/batch": {"orders": [], "has_next": False, "cursor": ""}},
    {"GET /api/v3/brokerage/orders/historical/batch": {
        "orders": [_coinbase_order("part"), _coinbase_order("open", HIS, "5")], "has_next": False, "cursor": ""}},
    {"GET /api/v3/brokerage/orders/historical/fills": {"fills": [
        {"entry_id": "e", "trade_id": TRADE, "order_id": NUMBER, "trade_time": AT_ISO, "trade_type": "FILL",
         "price": "100", "size": "0.2", "commission": "0.01", "product_id": "ABC-USD", "sequence_timestamp": AT_ISO,
         "liquidity_indicator": "MAKER", "size_in_quote": False, "user_id": "u", "side": "SELL"}], "cursor": ""}},
    {"GET /api/v3/brokerage/accounts": {"accounts": [
        {"uuid": "1", "currency": "USD", "available_balance": {"value": "60.25", "currency": "USD"},
         "hold": {"value": "10", "currency": "USD"}, "type": "ACCOUNT_TYPE_FIAT", "active": True},
        {"uuid": "2", "currency": "ABC", "available_balance": {"value": "1.5", "currency": "ABC"},
         "hold": {"value": "0.5", "currency": "ABC"}, "type": "ACCOUNT_TYPE_CRYPTO", "active": True}],
        "has_next": False, "cursor": ""}},
    ("POST /api/v3/brokerage/orders", Answer({"success": False, "order_id": "", "error_response": {
        "error": "INSUFFICIENT_FUND", "message": "Insufficient balance in source account"}})),
    ("stop_price", "95.5"),
)  # fmt: skip

SHAPES: dict[str, Shapes] = {
    "binance": BINANCE,
    "binance-perp": BINANCE_PERP,
    "bybit": BYBIT,
    "kucoin": KUCOIN,
    "kucoin-perp": KUCOIN_PERP,
    "kraken": KRAKEN,
    "kraken-perp": KRAKEN_PERP,
    "coinbase": COINBASE,
}
