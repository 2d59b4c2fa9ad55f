"""Compares a book at an exchange with the exchange's own record, from the rows of the book's journal."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

from engine.domain.orders import OrderState
from tests.standin.judge import BookedFill, JudgedOrder, Verdict

D = Decimal
Row = Mapping[str, Any]
_WORKS = (OrderState.WORKING, OrderState.PARTIAL)
OVERLAP_MS = 15_000
"""Where an exchange cannot change a stop, the new one rests before the old one ends, so that the position is never
without; a market that crashes through both just then sells twice, but never more than the account holds."""
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def instrument_there(key: str) -> str:
    """An instrument as the stand-in's journal names it.

    >>> instrument_there("bybit:BTC/USDT:USDT"), instrument_there("binance:ETH/BTC")
    ('linear:BTCUSDT', 'spot:ETHBTC')
    """
    pair, _, settled = key.partition(":")[2].partition(":")
    return f"{'linear' if settled else 'spot'}:{pair.replace('/', '')}"


def engine_id(exchange_id: str) -> str:
    """The order behind a further leg's own id, which carries the order's in another writing."""
    if len(exchange_id) != 32 or exchange_id[24:27] != "1e6":
        return exchange_id
    number, text = int(exchange_id[:24], 16), ""
    while number:
        number, digit = divmod(number, 36)
        text = _DIGITS[digit] + text
    return text.rjust(18, "0")


def rows_of(path: Path, book: str) -> list[dict[str, Any]]:
    """The journal's rows of a book in a money file."""
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute("SELECT payload FROM journal WHERE book = ? ORDER BY sequence", (book,))
        return [json.loads(payload) for (payload,) in found]


def booked_fills(rows: Sequence[Row]) -> list[BookedFill]:
    """What the journal's rows booked."""
    return [
        BookedFill(
            row["trade_id"].rpartition(":")[2], instrument_there(row["instrument"]), row["side"],
            D(row["quantity"]), D(row["price"]), D(row["fee"]), row["fee_currency"],
        )
        for row in rows
        if row["type"] == "Fill"
    ]  # fmt: skip


def last_states(rows: Sequence[Row]) -> dict[str, OrderState]:
    """Every order that was told of, and its last state."""
    return {row["client_id"]: OrderState(row["state"]) for row in rows if row["type"] == "OrderUpdate"}


def order_differences(
    rows: Sequence[Row], verdict: Verdict, states: Mapping[str, OrderState], kept: Sequence[str]
) -> list[str]:
    """Orders that are lost, doubled or told wrongly; legs at the exchange are one order here.

    Parameters
    ----------
    rows : sequence of mapping
        The book's journal.
    verdict : Verdict
        The exchange's.
    states : mapping
        Client id to state, as the book has it now.
    kept : sequence of str
        Client ids of orders that the gateway keeps itself: those are not at the exchange.
    """
    found: list[str] = []
    sums: dict[str, tuple[Decimal, Decimal]] = {}
    for each in verdict.sent:
        client_id = engine_id(each.client_id)
        filled, rests = sums.get(client_id, (D(0), D(0)))
        sums[client_id] = (filled + each.filled, rests + (each.quantity - each.filled if each.is_open else 0))
    wanted = _wanted(rows)
    for client_id, (filled, rests) in sums.items():
        is_open = rests > 0
        if client_id not in wanted:
            found.append(f"order lost: {client_id} is not in the books")
            continue
        legs = [each for each in verdict.sent if engine_id(each.client_id) == client_id]
        if filled + rests > wanted[client_id] and (is_open or not _hit_while_replaced(legs)):
            found.append(f"doubled: {client_id} is for {wanted[client_id]}; {filled} filled and {rests} open there")
        fills = [row for row in rows if row["type"] == "Fill" and row["client_id"] == client_id]
        booked = sum((D(row["quantity"]) for row in fills), D(0))
        if booked != filled:
            found.append(f"{client_id}: {booked} booked, {filled} filled there")
        state = states[client_id]
        if is_open is state.is_final:
            found.append(f"{client_id}: {state.value} here, {'open' if is_open else 'not open'} there")
    never = [c for c, s in last_states(rows).items() if s in _WORKS and c not in sums and c not in kept]
    return [*found, *(f"{each} is {states[each].value} here and was never there" for each in never)]


def _hit_while_replaced(legs: Sequence[JudgedOrder]) -> bool:
    """Whether a stop was triggered within moments of the acceptance of the stop that was to replace it."""
    return any(
        new.trigger is not None and new.reduce_only and old.trigger is not None and old.first_fill_ms is not None
        and 0 <= old.first_fill_ms - new.accepted_ms <= OVERLAP_MS
        for old in legs
        for new in legs
        if new is not old
    )  # fmt: skip


def _wanted(rows: Sequence[Row]) -> dict[str, Decimal]:
    """The largest quantity each order was ever to have."""
    found: dict[str, Decimal] = {}
    for row in rows:
        if row["type"] == "OrderIntent" or (row["type"] == "OrderUpdate" and row.get("quantity")):
            found[row["client_id"]] = max(found.get(row["client_id"], D(0)), D(row["quantity"]))
    return found
