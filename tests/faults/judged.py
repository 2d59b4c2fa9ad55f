"""Compares a book with what its venues wrote down themselves, read by a reader that shares no code with the engine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import venue_judge

from engine.domain.instruments import Kind, venue_of
from engine.domain.orders import OrderState
from tests.trading.harness import Desk


def booked_fills(desk: Desk, venue: str) -> list[tuple[str, str, str, Decimal, Decimal, Decimal]]:
    return [
        (r["trade_id"], r["client_id"], r["side"], Decimal(r["quantity"]), Decimal(r["price"]), Decimal(r["fee"]))
        for r in desk.journal.rows
        if r["type"] == "Fill" and r["venue"] == venue
    ]


def balances_in_the_books(desk: Desk, venue: str) -> dict[str, Decimal]:
    sums: dict[str, Decimal] = {}
    for parts in (desk.book.ledger.balances, desk.book.external):
        for (where, coin), amount in parts.items():
            if where == venue:
                sums[coin] = sums.get(coin, Decimal(0)) + amount
    return sums


def differences(desk: Desk, folder: Path) -> list[str]:
    """Everything in which the books and the venues' own records disagree: fills, money, positions, open orders."""
    found: list[str] = []
    for venue in desk.venues:
        verdict = venue_judge.judge(folder / f"{venue}.jsonl")
        found += venue_judge.differences(verdict, booked_fills(desk, venue), balances_in_the_books(desk, venue))
        for instrument in desk.instruments:
            if instrument.venue == venue and instrument.kind is Kind.PERPETUAL:
                theirs = verdict.positions.get(instrument.key, (Decimal(0), Decimal(0)))[0]
                ours = desk.book.ledger.account_position(instrument.key)
                found += [f"{instrument.key}: {theirs} there, {ours} here"] if theirs != ours else []
        found += _order_differences(desk, venue, verdict)
    return found


def _order_differences(desk: Desk, venue: str, verdict: venue_judge.Verdict) -> Iterator[str]:
    for order in verdict.open_orders:
        known = desk.book.tracker.get(order.client_id)
        if known is None or known.state.is_final:
            yield f"{order.client_id} works there and is not known here"
    for tracked in desk.book.tracker.open_orders():
        sent = tracked.state not in (OrderState.INTENT, OrderState.UNKNOWN) and not tracked.state.is_final
        if sent and venue_of(tracked.intent.instrument) == venue and tracked.intent.client_id not in verdict.orders:
            yield f"{tracked.intent.client_id} is {tracked.state.value} here and was never there"


@contextmanager
def judged(folder: Path, *arguments: Any, **more: Any) -> Iterator[Desk]:
    """A desk whose venues write to files; at the end every doubt is resolved, and nothing may differ."""
    desk = Desk(*arguments, folder=folder, **more)
    yield desk
    for _ in range(3):
        desk.pass_time(3)
        desk.loop.pull()
        desk.loop.resolve(everything=True)
    assert differences(desk, folder) == []
