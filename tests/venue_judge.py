"""Independent reader of a simulated venue's journal files: what really happened there, for comparison with the books.

It shares no code with the engine on purpose: from the raw lines it computes orders, fills, fees, funding, balances and
positions by its own arithmetic, and lists in ``problems`` whatever the lines themselves contradict.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from pathlib import Path
from typing import Any

ZERO = Decimal(0)
DIGITS = 80


@dataclass
class JudgedOrder:
    """An order as the lines tell it; ``state`` is working, partial, filled or cancelled."""

    client_id: str
    instrument: str
    side: str
    quantity: Decimal
    order_type: str
    reduce_only: bool
    parent_id: str | None
    filled: Decimal = ZERO
    cancelled: bool = False

    @property
    def state(self) -> str:
        if self.filled >= self.quantity:
            return "filled"
        if self.cancelled:
            return "cancelled"
        return "partial" if self.filled else "working"

    @property
    def is_open(self) -> bool:
        return self.state in ("working", "partial")


@dataclass(frozen=True)
class JudgedFill:
    """An execution; money in ``fee_currency`` and the quote of the instrument."""

    trade_id: str
    client_id: str
    instrument: str
    side: str
    quantity: Decimal
    price: Decimal
    fee: Decimal
    fee_currency: str


@dataclass(frozen=True)
class JudgedFunding:
    """A funding payment, positive when received."""

    payment_id: str
    instrument: str
    amount: Decimal
    currency: str


@dataclass
class Verdict:
    """Everything the journal proves. ``positions`` maps an instrument to signed quantity and signed cost."""

    start: dict[str, Decimal] = field(default_factory=dict)
    orders: dict[str, JudgedOrder] = field(default_factory=dict)
    fills: list[JudgedFill] = field(default_factory=list)
    funding: list[JudgedFunding] = field(default_factory=list)
    balances: dict[str, Decimal] = field(default_factory=dict)
    positions: dict[str, tuple[Decimal, Decimal]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    trade_ids: set[str] = field(default_factory=set)
    lines: int = 0
    torn: bool = False

    @property
    def open_orders(self) -> list[JudgedOrder]:
        return [order for order in self.orders.values() if order.is_open]

    @property
    def fees(self) -> dict[str, Decimal]:
        return _sums((fill.fee_currency, fill.fee) for fill in self.fills)

    @property
    def funding_received(self) -> dict[str, Decimal]:
        return _sums((payment.currency, payment.amount) for payment in self.funding)


def judge(path: Path) -> Verdict:
    """Read every part of the journal whose current part is ``path``."""
    verdict = Verdict()
    with localcontext() as context:
        context.prec = DIGITS
        for part in _parts(path):
            for line in _whole_lines(part, verdict):
                verdict.lines += 1
                if line["n"] != verdict.lines:
                    verdict.problems.append(f"{part.name}: line number {line['n']} where {verdict.lines} belongs")
                for record in line["records"]:
                    _READ[record["kind"]](verdict, record["body"])
    return verdict


def differences(
    verdict: Verdict,
    fills: Iterable[tuple[str, str, str, Decimal, Decimal, Decimal]],
    balances: Mapping[str, Decimal],
) -> list[str]:
    """What the books say differently.

    ``fills`` are (trade id, client id, side, quantity, price, fee) as booked, in any order; ``balances`` coin to total,
    zero and absent being the same.
    """
    booked = list(fills)
    true = {(each.trade_id, each.client_id, each.side, each.quantity, each.price, each.fee) for each in verdict.fills}
    found = list(verdict.problems)
    found += [f"booked, but never happened: {fill}" for fill in booked if fill not in true]
    found += [f"happened, but is not booked: {fill}" for fill in sorted(true - set(booked))]
    found += [f"booked {times} times: {fill}" for fill, times in Counter(booked).items() if times > 1]
    for coin in sorted({*balances, *verdict.balances}):
        says, is_ = balances.get(coin, ZERO), verdict.balances.get(coin, ZERO)
        if says != is_:
            found.append(f"{coin}: the books say {says}, the venue holds {is_}")
    return found


def _parts(path: Path) -> list[Path]:
    parts = sorted(path.parent.glob(f"{path.stem}.{'[0-9]' * 12}{path.suffix}"))
    unfinished = path.with_name(f"{path.stem}.next{path.suffix}")
    current = path if path.exists() else unfinished
    return [*parts, current] if current.exists() else parts


def _whole_lines(part: Path, verdict: Verdict) -> Iterator[dict[str, Any]]:
    rows = part.read_bytes().split(b"\n")
    verdict.torn = bool(rows.pop())
    for row in rows:
        yield json.loads(row)


def _started(verdict: Verdict, body: dict[str, Any]) -> None:
    verdict.start = {coin: Decimal(total) for coin, total in body["balances"].items()}
    verdict.balances = dict(verdict.start)


def _accepted(verdict: Verdict, body: dict[str, Any]) -> None:
    intent = body["intent"]
    client_id = intent["client_id"]
    if client_id in verdict.orders:
        verdict.problems.append(f"two orders under the client id {client_id}")
    verdict.orders[client_id] = JudgedOrder(
        client_id,
        intent["instrument"],
        intent["side"],
        Decimal(intent["quantity"]),
        intent["order_type"],
        intent["reduce_only"],
        intent["parent_id"],
    )


def _resized(verdict: Verdict, body: dict[str, Any]) -> None:
    verdict.orders[body["client_id"]].quantity = Decimal(body["quantity"])


def _ended(verdict: Verdict, body: dict[str, Any]) -> None:
    order = verdict.orders[body["client_id"]]
    if not order.is_open:
        verdict.problems.append(f"{order.client_id} was cancelled although it was {order.state}")
    order.cancelled = True


def _filled(verdict: Verdict, body: dict[str, Any]) -> None:
    raw = body["fill"]
    fill = JudgedFill(
        raw["trade_id"],
        raw["client_id"],
        raw["instrument"],
        raw["side"],
        Decimal(raw["quantity"]),
        Decimal(raw["price"]),
        Decimal(raw["fee"]),
        raw["fee_currency"],
    )
    order = verdict.orders.get(fill.client_id)
    if order is None or not order.is_open:
        verdict.problems.append(f"{fill.trade_id} fills {fill.client_id}, which is not open")
    else:
        order.filled += fill.quantity
        if order.filled > order.quantity:
            verdict.problems.append(f"{fill.client_id} filled {order.filled} of {order.quantity}")
    if fill.trade_id in verdict.trade_ids:
        verdict.problems.append(f"trade id {fill.trade_id} twice")
    verdict.trade_ids.add(fill.trade_id)
    verdict.fills.append(fill)
    _move(verdict, fill)


def _move(verdict: Verdict, fill: JudgedFill) -> None:
    """Spot moves coins; a perpetual (``venue:BASE/QUOTE:SETTLE``) moves a position at average entry."""
    _, pair, *settled = fill.instrument.split(":")
    base, quote = pair.split("/")
    signed = fill.quantity if fill.side == "buy" else -fill.quantity
    if settled:
        _add(verdict.balances, quote, _realise(verdict, fill.instrument, signed, fill.price))
    else:
        _add(verdict.balances, base, signed)
        _add(verdict.balances, quote, -signed * fill.price)
    _add(verdict.balances, fill.fee_currency, -fill.fee)


def _realise(verdict: Verdict, instrument: str, signed: Decimal, price: Decimal) -> Decimal:
    quantity, cost = verdict.positions.pop(instrument, (ZERO, ZERO))
    after = quantity + signed
    gain = ZERO
    if quantity == 0 or (quantity > 0) == (signed > 0):
        cost += signed * price
    elif after == 0 or (after > 0) != (quantity > 0):
        gain = quantity * price - cost
        cost = after * price
    else:
        released = (cost * -signed / quantity).quantize(Decimal("1e-8"), ROUND_HALF_EVEN)
        gain = -signed * price - released
        cost -= released
    if after:
        verdict.positions[instrument] = after, cost
    return gain


def _funded(verdict: Verdict, body: dict[str, Any]) -> None:
    raw = body["payment"]
    payment = JudgedFunding(raw["payment_id"], raw["instrument"], Decimal(raw["amount"]), raw["currency"])
    verdict.funding.append(payment)
    _add(verdict.balances, payment.currency, payment.amount)


def _checkpoint(verdict: Verdict, body: dict[str, Any]) -> None:
    """The venue's own sums must be ours."""
    state = body["state"]
    if {coin: Decimal(total) for coin, total in state["totals"].items()} != verdict.balances:
        verdict.problems.append(
            f"checkpoint at line {verdict.lines}: totals {state['totals']} are not {verdict.balances}"
        )
    positions = {key: (Decimal(quantity), Decimal(cost)) for key, (quantity, cost) in state["positions"].items()}
    if positions != verdict.positions:
        verdict.problems.append(
            f"checkpoint at line {verdict.lines}: positions {positions} are not {verdict.positions}"
        )
    theirs = {raw["intent"]["client_id"]: Decimal(raw["filled"]) for raw in state["orders"]}
    wrong = [client_id for client_id, filled in theirs.items() if verdict.orders[client_id].filled != filled]
    missing = [order.client_id for order in verdict.open_orders if order.client_id not in theirs]
    if wrong or missing or len(verdict.fills) + len(verdict.funding) != state["executed"]:
        verdict.problems.append(f"checkpoint at line {verdict.lines}: wrong fills {wrong}, open but missing {missing}")


def _nothing(verdict: Verdict, body: dict[str, Any]) -> None:
    """Triggered and waiting orders move no money."""


def _add(sums: dict[str, Decimal], coin: str, change: Decimal) -> None:
    sums[coin] = sums.get(coin, ZERO) + change


def _sums(pairs: Iterable[tuple[str, Decimal]]) -> dict[str, Decimal]:
    sums: dict[str, Decimal] = {}
    with localcontext() as context:
        context.prec = DIGITS
        for coin, amount in pairs:
            _add(sums, coin, amount)
    return sums


_READ = {
    "started": _started,
    "accepted": _accepted,
    "resized": _resized,
    "moved": _nothing,
    "triggered": _nothing,
    "waited": _nothing,
    "ended": _ended,
    "filled": _filled,
    "funded": _funded,
    "checkpoint": _checkpoint,
}
