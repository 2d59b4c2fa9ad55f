"""Orders, executions, balances and positions in the words of Bybit's v5 API."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from .amounts import ZERO, text, to_cent
from .calls import Call
from .exchange import Exchange
from .instruments import Instrument
from .orders import Entry, Fill, Order, State

_STATES = {State.WAITING: "Untriggered", State.FILLED: "Filled", State.REJECTED: "Rejected"}
_REASONS = {"post-only": "EC_PostOnlyWillTakeLiquidity", "no position": "EC_ReachMaxPositionQty"}
_FORCES = {"PO": "PostOnly"}


def category(instrument: Instrument) -> str:
    return "linear" if instrument.perpetual else "spot"


def status(order: Order) -> str:
    """Bybit's word for where an order is; spot and perpetuals differ after a partial fill and a cancel."""
    if order.state is State.WORKING:
        return "PartiallyFilled" if order.filled else "New"
    if order.state is State.CANCELLED:
        if order.is_stop and not order.triggered:
            return "Deactivated"
        return "PartiallyFilledCanceled" if order.filled and not order.instrument.perpetual else "Cancelled"
    return _STATES[order.state]


def order(each: Order) -> dict[str, Any]:
    """An order as lists and streams show it."""
    wish = each.wish
    shown = {
        "symbol": each.instrument.symbol,
        "category": category(each.instrument),
        "orderId": each.id,
        "orderLinkId": wish.client_id,
        "orderType": "Market" if wish.market else "Limit",
        "orderStatus": status(each),
        "side": wish.side.capitalize(),
        "price": text(wish.price) or "0",
        "qty": text(wish.quantity),
        "avgPrice": text(to_cent(each.average)) if each.average is not None else "",
        "leavesQty": text(each.left if each.open else ZERO),
        "leavesValue": text(each.left * (wish.price or ZERO) if each.open else ZERO),
        "cumExecQty": text(each.filled),
        "cumExecValue": text(each.cost),
        "cumExecFee": text(sum(each.fees.values(), ZERO)),
        "cumFeeDetail": {coin: text(fee) for coin, fee in each.fees.items()},
        "timeInForce": "IOC" if wish.market else _FORCES.get(wish.time_in_force, wish.time_in_force),
        "reduceOnly": wish.reduce_only,
        "closeOnTrigger": False,
        "triggerPrice": text(wish.trigger),
        "triggerDirection": 0 if wish.trigger is None else 1 if wish.rises else 2,
        "triggerBy": "" if wish.trigger is None else "LastPrice",
        "stopOrderType": "" if wish.trigger is None else wish.kind or "Stop",
        "rejectReason": _REASONS.get(each.ending, "EC_NoError"),
        "cancelType": "CancelByUser" if each.ending == "user" else "UNKNOWN",
        "createType": "CreateByLiq" if wish.origin == "venue" else "CreateByUser",
        "marketUnit": "quoteCoin" if wish.quote_quantity is not None else "baseCoin",
        "lastPriceOnCreated": text(each.last_price),
        "createdTime": str(each.created_ms),
        "updatedTime": str(each.updated_ms),
        "positionIdx": 0,
        "isLeverage": "0",
        "takeProfit": "",
        "stopLoss": "",
    }
    if each.instrument.perpetual:
        shown["tpslMode"] = ""
    return shown


def execution(each: Fill) -> dict[str, Any]:
    """A fill."""
    made, wish = each.order, each.order.wish
    return {
        "symbol": made.instrument.symbol,
        "category": category(made.instrument),
        "orderId": made.id,
        "orderLinkId": wish.client_id,
        "side": wish.side.capitalize(),
        "orderType": "Market" if wish.market else "Limit",
        "stopOrderType": "UNKNOWN" if wish.trigger is None else "Stop",
        "orderPrice": text(wish.price) or "0",
        "orderQty": text(wish.quantity),
        "leavesQty": text(each.left),
        "execId": each.trade_id,
        "execPrice": text(each.price),
        "execQty": text(each.quantity),
        "execValue": text(each.price * each.quantity),
        "execFee": text(each.fee),
        "feeCurrency": each.fee_coin,
        "feeCoin": each.fee_coin,
        "feeRate": text(made.instrument.maker if each.maker else made.instrument.taker),
        "execType": each.kind,
        "execTime": str(each.at_ms),
        "isMaker": each.maker,
        "createType": "CreateByLiq" if wish.origin == "venue" else "CreateByUser",
        "execPnl": text(each.realised),
        "markPrice": text(each.price),
        "seq": each.number,
        "closedSize": "0",
    }


def funding(each: Entry) -> dict[str, Any]:
    """A funding payment as an execution; its fee is positive when paid."""
    assert each.instrument is not None
    return {
        "symbol": each.instrument.symbol,
        "category": "linear",
        "orderId": f"funding-{each.number}",
        "orderLinkId": "",
        "side": "Buy" if each.quantity < 0 else "Sell",
        "orderType": "UNKNOWN",
        "execId": f"f0000000-0000-4000-8000-{each.number:012x}",
        "execPrice": text(each.mark),
        "execQty": text(abs(each.quantity)),
        "execValue": text(abs(each.quantity) * each.mark),
        "execFee": text(-each.funding),
        "feeRate": text(each.rate),
        "execType": "Funding",
        "execTime": str(each.at_ms),
        "isMaker": False,
        "createType": "",
        "leavesQty": "0",
    }


def entry(each: Entry) -> dict[str, Any]:
    """A line of the transaction log."""
    fill = each.fill
    fee = fill.fee if fill is not None and fill.fee_coin == each.coin else ZERO
    return {
        "id": f"log-{each.number}",
        "symbol": each.instrument.symbol if each.instrument else "",
        "category": category(each.instrument) if each.instrument else "",
        "side": fill.order.wish.side.capitalize() if fill else "None",
        "transactionTime": str(each.at_ms),
        "type": "LIQUIDATION" if fill is not None and fill.kind == "BustTrade" else each.kind,
        "qty": text(fill.quantity if fill else abs(each.quantity)),
        "size": "0",
        "currency": each.coin,
        "tradePrice": text(fill.price if fill else each.mark),
        "funding": text(each.funding) if each.kind == "SETTLEMENT" else "",
        "fee": text(fee),
        "cashFlow": text(each.change + fee if each.kind == "TRADE" else ZERO),
        "change": text(each.change),
        "cashBalance": text(each.balance),
        "feeRate": text(each.rate),
        "tradeId": fill.trade_id if fill else "",
        "orderId": fill.order.id if fill else "",
        "orderLinkId": fill.order.client_id if fill else "",
    }


def wallet(exchange: Exchange) -> dict[str, Any]:
    """The unified account; coins that are not there are not shown."""
    dollars = text(exchange.wallet.total("USDT"))
    return {
        "accountType": "UNIFIED",
        "accountIMRate": "",
        "accountMMRate": "",
        "totalEquity": dollars,
        "totalWalletBalance": dollars,
        "totalMarginBalance": dollars,
        "totalAvailableBalance": text(exchange.free("USDT")),
        "totalPerpUPL": "0",
        "coin": [_coin(exchange, coin, total) for coin, total in sorted(exchange.wallet.totals.items()) if total],
    }


def _coin(exchange: Exchange, coin: str, total: Decimal) -> dict[str, Any]:
    working = exchange.open_orders()
    mine = [each for each in exchange.instruments.values() if each.perpetual and each.quote == coin]
    gain = sum((exchange.wallet.unrealised(each) for each in mine), ZERO)
    margin = sum((exchange.wallet.position_margin(each) for each in mine), ZERO)
    orders = sum((exchange.wallet.order_margin(each) for each in working if each.instrument in mine), ZERO)
    return {
        "coin": coin,
        "equity": text(total + gain),
        "walletBalance": text(total),
        "locked": text(exchange.wallet.locked(coin, working)),
        "totalOrderIM": text(orders),
        "totalPositionIM": text(margin),
        "totalPositionMM": text(margin / 10),
        "unrealisedPnl": text(gain),
        "cumRealisedPnl": "0",
        "borrowAmount": "0",
        "accruedInterest": "0",
        "availableToWithdraw": "",
        "availableToBorrow": "",
        "bonus": "0",
        "usdValue": "",
        "collateralSwitch": True,
        "marginCollateral": True,
    }


def position(exchange: Exchange, instrument: Instrument) -> dict[str, Any]:
    """A position; an empty side is a flat one."""
    held, mark = exchange.wallet.position(instrument), exchange.markets[instrument.key].price
    side = "" if not held.quantity else "Buy" if held.quantity > 0 else "Sell"
    margin = exchange.wallet.position_margin(instrument)
    return {
        "symbol": instrument.symbol,
        "category": "linear",
        "positionIdx": 0,
        "side": side,
        "size": text(abs(held.quantity)),
        "avgPrice": text(to_cent(held.entry)),
        "entryPrice": text(to_cent(held.entry)),
        "positionValue": text(abs(held.cost)),
        "leverage": text(held.leverage),
        "markPrice": text(mark),
        "liqPrice": "",
        "bustPrice": "",
        "positionIM": text(margin),
        "positionMM": text(margin / 10),
        "positionBalance": "0",
        "unrealisedPnl": text(exchange.wallet.unrealised(instrument)),
        "curRealisedPnl": text(held.realised),
        "cumRealisedPnl": text(held.realised),
        "positionStatus": "Normal",
        "tradeMode": 0,
        "autoAddMargin": 0,
        "takeProfit": "",
        "stopLoss": "",
        "createdTime": str(held.opened_ms),
        "updatedTime": str(held.updated_ms),
        "seq": len(exchange.fills),
    }


def page(call: Call, rows: Sequence[dict[str, Any]], usual: int, most: int) -> dict[str, Any]:
    """One page of a list and the name of the next."""
    first = call.integer("cursor", 0)
    size = min(call.integer("limit", usual), most)
    following = str(first + size) if len(rows) > first + size else ""
    return {"category": call.get("category"), "list": rows[first : first + size], "nextPageCursor": following}
