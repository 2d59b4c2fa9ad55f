"""How orders, fills and balances are written into the stand-in exchange's journal."""

from __future__ import annotations

from typing import Any

from .instruments import Instrument
from .orders import Entry, Fill, Order
from .wallet import Wallet


def order_id(uuids: bool, number: int) -> str:
    """The exchange's own name of its n-th order."""
    return f"5a1d0000-0000-4000-8000-{number:012x}" if uuids else str(7_000_000 + number)


def trade_id(uuids: bool, instrument: Instrument, number: int) -> str:
    """The name of the n-th trade of an instrument; where trades are numbers, each instrument has a row of its own."""
    if not uuids:
        return str(300_000 + number)
    spread = sum(ord(letter) * 31**place for place, letter in enumerate(instrument.key)) % 0xFFFF_FFFF
    return f"{spread:08x}-0000-4000-9000-{number:012x}"


def order(each: Order) -> dict[str, Any]:
    """An accepted or amended order."""
    wish = each.wish
    return {
        "order_id": each.id,
        "client_id": wish.client_id,
        "instrument": wish.instrument.key,
        "base": wish.instrument.base,
        "quote": wish.instrument.quote,
        "side": wish.side,
        "type": "market" if wish.market else "limit",
        "quantity": str(wish.quantity),
        "price": None if wish.price is None else str(wish.price),
        "trigger": None if wish.trigger is None else str(wish.trigger),
        "time_in_force": wish.time_in_force,
        "reduce_only": wish.reduce_only,
        "origin": wish.origin,
    }


def fill(each: Fill) -> dict[str, Any]:
    """An execution."""
    return {
        "trade_id": each.trade_id,
        "order_id": each.order.id,
        "client_id": each.order.client_id,
        "instrument": each.order.instrument.key,
        "side": each.order.wish.side,
        "quantity": str(each.quantity),
        "price": str(each.price),
        "fee": str(each.fee),
        "fee_coin": each.fee_coin,
        "maker": each.maker,
        "kind": each.kind,
        "realised": str(each.realised),
    }


def entry(each: Entry) -> dict[str, Any]:
    """Money that moved without an order."""
    return {
        "kind": each.kind,
        "coin": each.coin,
        "change": str(each.change),
        "instrument": each.instrument.key if each.instrument else None,
    }


def holdings(wallet: Wallet) -> dict[str, Any]:
    """What the account holds after the line."""
    return {
        "balances": {coin: str(total) for coin, total in sorted(wallet.totals.items()) if total},
        "positions": {
            key: [str(held.quantity), str(held.cost)] for key, held in sorted(wallet.positions.items()) if held.quantity
        },
    }
