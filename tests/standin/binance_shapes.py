"""Orders, trades and account events in the words of Binance's spot and USD-M APIs."""

from __future__ import annotations

from typing import Any

from .amounts import ZERO, text, to_cent
from .orders import Fill, Order, State, Wish

_EXPIRES = ("nothing left to take", "fill or kill", "reduce-only", "post-only")
_FORCES = {"PO": "GTX"}
ALGO_FIRST = 20_000_000
"""Conditional orders of USD-M are numbered apart from the orders they become."""


def status(order: Order) -> str:
    """Binance's word for where an order is."""
    if order.state is State.CANCELLED:
        return "EXPIRED" if order.ending in _EXPIRES else "CANCELED"
    if order.state is State.WORKING and order.filled:
        return "PARTIALLY_FILLED"
    return {State.FILLED: "FILLED", State.REJECTED: "REJECTED"}.get(order.state, "NEW")


def kind(wish: Wish) -> str:
    """The type, with stops told from take-profits as the client did."""
    if wish.kind:
        return wish.kind
    if wish.market:
        return "MARKET"
    return "LIMIT_MAKER" if wish.time_in_force == "PO" and not wish.instrument.perpetual else "LIMIT"


def force(wish: Wish) -> str:
    return _FORCES.get(wish.time_in_force, wish.time_in_force)


def order(each: Order) -> dict[str, Any]:
    """An order as questions and lists show it."""
    wish = each.wish
    shown = {
        "symbol": each.instrument.symbol,
        "orderId": int(each.id),
        "clientOrderId": wish.client_id,
        "price": text(wish.price) or "0",
        "origQty": text(wish.quantity),
        "executedQty": text(each.filled),
        "status": status(each),
        "timeInForce": force(wish) if not wish.market else "GTC",
        "type": kind(wish),
        "side": wish.side.upper(),
        "stopPrice": text(wish.trigger) or "0",
        "time": each.created_ms,
        "updateTime": each.updated_ms,
    }
    if each.instrument.perpetual:
        return shown | _contract(each)
    return shown | {
        "orderListId": -1,
        "icebergQty": "0",
        "cummulativeQuoteQty": text(each.cost),
        "origQuoteOrderQty": text(wish.quote_quantity) or "0",
        "isWorking": each.state is not State.WAITING,
        "workingTime": each.created_ms,
        "selfTradePreventionMode": "NONE",
    }


def _contract(each: Order) -> dict[str, Any]:
    average = text(to_cent(each.average)) if each.average is not None else "0.00"
    return {
        "avgPrice": average,
        "cumQuote": text(each.cost),
        "reduceOnly": each.wish.reduce_only,
        "closePosition": False,
        "positionSide": "BOTH",
        "origType": kind(each.wish),
        "workingType": "CONTRACT_PRICE",
        "priceProtect": False,
        "priceMatch": "NONE",
        "selfTradePreventionMode": "NONE",
        "goodTillDate": 0,
    }


def placed(each: Order, full: bool) -> dict[str, Any]:
    """The answer to a spot order: with its fills where they were asked for."""
    row = order(each) | {"transactTime": each.updated_ms}
    for name in ("time", "updateTime", "isWorking", "icebergQty", "stopPrice"):
        row.pop(name)
    fills = [
        {
            "price": text(fill.price),
            "qty": text(fill.quantity),
            "commission": text(fill.fee),
            "commissionAsset": fill.fee_coin,
            "tradeId": int(fill.trade_id),
        }
        for fill in each.fills
    ]
    return row | ({"fills": fills} if full else {})


def algo(each: Order) -> dict[str, Any]:
    """A conditional order of USD-M."""
    wish = each.wish
    states = {State.WAITING: "NEW", State.CANCELLED: "CANCELED"}
    stands = "REJECTED" if each.state is State.REJECTED else "TRIGGERED" if each.open else "FINISHED"
    stands = stands if each.triggered else states[each.state]
    return {
        "algoId": ALGO_FIRST + each.number,
        "clientAlgoId": wish.client_id,
        "algoType": "CONDITIONAL",
        "orderType": kind(wish),
        "symbol": each.instrument.symbol,
        "side": wish.side.upper(),
        "positionSide": "BOTH",
        "timeInForce": force(wish),
        "quantity": text(wish.quantity),
        "algoStatus": stands,
        "actualOrderId": each.id if each.triggered else "",
        "actualPrice": text(to_cent(each.average)) if each.average is not None else "0",
        "triggerPrice": text(wish.trigger),
        "price": text(wish.price) or "0",
        "workingType": "CONTRACT_PRICE",
        "priceMatch": "NONE",
        "closePosition": False,
        "priceProtect": False,
        "reduceOnly": wish.reduce_only,
        "createTime": each.created_ms,
        "updateTime": each.updated_ms,
        "triggerTime": each.updated_ms if each.triggered else 0,
        "goodTillDate": 0,
    }


def trade(each: Fill) -> dict[str, Any]:
    """A fill in the list of trades; it does not carry the client id."""
    made = each.order
    row = {
        "symbol": made.instrument.symbol,
        "id": int(each.trade_id),
        "orderId": int(made.id),
        "price": text(each.price),
        "qty": text(each.quantity),
        "quoteQty": text(each.price * each.quantity),
        "commission": text(each.fee),
        "commissionAsset": each.fee_coin,
        "time": each.at_ms,
    }
    buys = made.wish.side == "buy"
    if not made.instrument.perpetual:
        return row | {"orderListId": -1, "isBuyer": buys, "isMaker": each.maker, "isBestMatch": True}
    about = {"side": made.wish.side.upper(), "positionSide": "BOTH", "realizedPnl": text(each.realised)}
    return row | about | {"buyer": buys, "maker": each.maker, "marginAsset": made.instrument.quote}


def report(each: Order, fill: Fill | None, now_ms: int) -> dict[str, Any]:
    """An execution report: of a fill, else of the order's new state."""
    wish = each.wish
    row = {
        "s": each.instrument.symbol,
        "c": wish.client_id,
        "S": wish.side.upper(),
        "o": kind(wish),
        "f": force(wish),
        "q": text(wish.quantity),
        "p": text(wish.price) or "0",
        "x": _execution(each, fill),
        "X": status(each),
        "i": int(each.id),
        "l": text(fill.quantity if fill else ZERO),
        "z": text(each.filled),
        "L": text(fill.price if fill else ZERO),
        "n": text(fill.fee) if fill else "0",
        "N": fill.fee_coin if fill else None,
        "T": each.updated_ms,
        "t": int(fill.trade_id) if fill else (0 if each.instrument.perpetual else -1),
        "m": fill.maker if fill else False,
    }
    if each.instrument.perpetual:
        about = {"e": "ORDER_TRADE_UPDATE", "E": now_ms, "T": each.updated_ms}
        return {**about, "o": row | _contract_report(each, fill)}
    return {"e": "executionReport", "E": now_ms} | row | _spot_report(each, fill)


def _contract_report(each: Order, fill: Fill | None) -> dict[str, Any]:
    return {
        "ap": text(to_cent(each.average)) if each.average is not None else "0",
        "sp": text(each.wish.trigger) or "0",
        "R": each.wish.reduce_only,
        "ps": "BOTH",
        "wt": "CONTRACT_PRICE",
        "ot": kind(each.wish),
        "cp": False,
        "rp": text(fill.realised if fill else ZERO),
    }


def _spot_report(each: Order, fill: Fill | None) -> dict[str, Any]:
    """A cancel has a name of its own; the order's is then in C."""
    row = {
        "P": text(each.wish.trigger) or "0",
        "F": "0",
        "g": -1,
        "C": "",
        "r": "NONE",
        "w": each.open,
        "M": False,
        "O": each.created_ms,
        "Z": text(each.cost),
        "Y": text(fill.price * fill.quantity if fill else ZERO),
        "Q": "0",
        "V": "NONE",
    }
    cancelled = _execution(each, fill) == "CANCELED"
    return row | ({"C": each.client_id, "c": f"cancel-{each.id}"} if cancelled else {})


def _execution(each: Order, fill: Fill | None) -> str:
    if fill is not None:
        return "TRADE"
    if each.state is State.CANCELLED:
        return "EXPIRED" if each.ending in _EXPIRES else "CANCELED"
    return "REJECTED" if each.state is State.REJECTED else "NEW"
