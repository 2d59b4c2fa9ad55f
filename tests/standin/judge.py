"""Independent reader of the stand-in exchange's journal: what really happened there, for comparison with the books.

It shares no code with the engine, and none with the exchange: from the raw lines it computes orders, fills, balances
and positions by its own arithmetic, and lists in ``problems`` whatever the lines themselves contradict. Money is
compared to the last digit. Usage: ``differences(judge(path, "bybit"), orders, fills, balances, positions)`` is empty
when the books are right; a book that is not given is not compared.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from pathlib import Path
from typing import Any

ZERO = Decimal(0)
EIGHT = Decimal("1e-8")


@dataclass
class JudgedOrder:
    """An order as the lines tell it; ``origin`` is api, hand or venue, ``ended`` empty while it is open.

    ``accepted_ms`` and ``first_fill_ms`` are in the exchange's time, the latter None before there is one.
    """

    order_id: str
    client_id: str
    instrument: str
    side: str
    quantity: Decimal
    price: Decimal | None
    trigger: Decimal | None
    reduce_only: bool
    origin: str
    filled: Decimal = ZERO
    ended: str = ""
    accepted_ms: int = 0
    first_fill_ms: int | None = None

    @property
    def is_open(self) -> bool:
        return not self.ended and self.filled < self.quantity


@dataclass(frozen=True)
class JudgedFill:
    """An execution; ``kind`` is Trade or BustTrade (liquidation)."""

    trade_id: str
    client_id: str
    order_id: str
    instrument: str
    side: str
    quantity: Decimal
    price: Decimal
    fee: Decimal
    fee_coin: str
    kind: str


@dataclass
class Verdict:
    """Everything the journal proves about one account. ``positions`` maps an instrument to (quantity, cost), signed."""

    venue: str
    orders: dict[str, JudgedOrder] = field(default_factory=dict)
    fills: list[JudgedFill] = field(default_factory=list)
    moves: list[tuple[str, str, Decimal]] = field(default_factory=list)
    balances: dict[str, Decimal] = field(default_factory=dict)
    positions: dict[str, tuple[Decimal, Decimal]] = field(default_factory=dict)
    pairs: dict[str, tuple[str, str]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    seen: set[tuple[str, str]] = field(default_factory=set)
    lines: int = 0

    @property
    def open_orders(self) -> list[JudgedOrder]:
        return [order for order in self.orders.values() if order.is_open]

    @property
    def sent(self) -> list[JudgedOrder]:
        """Orders that came through the API under a client id."""
        return [order for order in self.orders.values() if order.origin == "api" and order.client_id]

    def named(self, client_id: str) -> list[JudgedOrder]:
        """All orders under a client id; more than one is a doubled order."""
        return [order for order in self.orders.values() if order.client_id == client_id]


@dataclass(frozen=True)
class BookedOrder:
    """An order as books tell it."""

    client_id: str
    filled: Decimal
    is_open: bool


@dataclass(frozen=True)
class BookedFill:
    """A fill as books tell it; ``instrument`` as in the journal (spot:BTCUSDT, linear:BTCUSDT)."""

    trade_id: str
    instrument: str
    side: str
    quantity: Decimal
    price: Decimal
    fee: Decimal
    fee_coin: str


def judge(path: Path, venue: str) -> Verdict:
    """Read the journal's whole lines for one account."""
    verdict = Verdict(venue)
    with localcontext() as context:
        context.prec = 60
        for raw in path.read_bytes().split(b"\n")[:-1]:
            line = json.loads(raw)
            verdict.lines += 1
            if line["n"] != verdict.lines:
                verdict.problems.append(f"line number {line['n']} where {verdict.lines} belongs")
            if line["venue"] == venue and line["kind"] in _READ:
                _READ[line["kind"]](verdict, line)
                _compare_holdings(verdict, line)
    return verdict


def differences(
    verdict: Verdict,
    orders: Iterable[BookedOrder] | None = None,
    fills: Iterable[BookedFill] | None = None,
    balances: Mapping[str, Decimal] | None = None,
    positions: Mapping[str, Decimal] | None = None,
) -> list[str]:
    """What books say differently, in words: orders and fills lost or doubled, balances and positions that differ."""
    found = list(verdict.problems)
    found += [f"doubled: {times} orders under {name}" for name, times in _doubled(verdict) if times > 1]
    if orders is not None:
        found += _order_differences(verdict, list(orders))
    if fills is not None:
        found += _fill_differences(verdict, list(fills))
    if balances is not None:
        found += _amount_differences(balances, verdict.balances)
    if positions is not None:
        found += _amount_differences(positions, {key: held[0] for key, held in verdict.positions.items()})
    return found


def _doubled(verdict: Verdict) -> list[tuple[str, int]]:
    return sorted(Counter(order.client_id for order in verdict.sent).items())


def _order_differences(verdict: Verdict, booked: list[BookedOrder]) -> list[str]:
    known = {order.client_id for order in booked}
    found = [f"order lost: {o.client_id} is not in the books" for o in verdict.sent if o.client_id not in known]
    for order in booked:
        true = verdict.named(order.client_id)
        if not true:
            if order.is_open or order.filled:
                found.append(f"the books hold {order.client_id}, which the exchange never had")
            continue
        filled, is_open = sum((each.filled for each in true), ZERO), any(each.is_open for each in true)
        if filled != order.filled:
            found.append(f"{order.client_id}: the books say {order.filled} is filled, the exchange filled {filled}")
        if is_open != order.is_open:
            says, does = ("open" if each else "not open" for each in (order.is_open, is_open))
            found.append(f"{order.client_id}: the books say {says}, at the exchange it is {does}")
    return found


def _fill_differences(verdict: Verdict, booked: list[BookedFill]) -> list[str]:
    true = {
        BookedFill(each.trade_id, each.instrument, each.side, each.quantity, each.price, each.fee, each.fee_coin)
        for each in verdict.fills
    }
    found = [f"fill lost: {each}" for each in sorted(true - set(booked), key=str)]
    found += [f"booked, but never happened: {each}" for each in sorted(set(booked) - true, key=str)]
    found += [f"fill doubled: booked {times} times: {each}" for each, times in Counter(booked).items() if times > 1]
    return found


def _amount_differences(says: Mapping[str, Decimal], holds: Mapping[str, Decimal]) -> list[str]:
    return [
        f"{name}: the books say {says.get(name, ZERO)}, the exchange holds {holds.get(name, ZERO)}"
        for name in sorted({*says, *holds})
        if says.get(name, ZERO) != holds.get(name, ZERO)
    ]


def _started(verdict: Verdict, line: dict[str, Any]) -> None:
    verdict.balances = {coin: Decimal(total) for coin, total in line["balances"].items()}


def _accepted(verdict: Verdict, line: dict[str, Any]) -> None:
    raw = line["order"]
    if raw["order_id"] in verdict.orders:
        verdict.problems.append(f"two orders under the number {raw['order_id']}")
    verdict.pairs[raw["instrument"]] = raw["base"], raw["quote"]
    verdict.orders[raw["order_id"]] = JudgedOrder(
        raw["order_id"],
        raw["client_id"],
        raw["instrument"],
        raw["side"],
        Decimal(raw["quantity"]),
        _number(raw["price"]),
        _number(raw["trigger"]),
        raw["reduce_only"],
        raw["origin"],
        accepted_ms=line["at"],
    )


def _amended(verdict: Verdict, line: dict[str, Any]) -> None:
    raw = line["order"]
    order = verdict.orders[raw["order_id"]]
    order.quantity, order.price, order.trigger = (
        Decimal(raw["quantity"]),
        _number(raw["price"]),
        _number(raw["trigger"]),
    )


def _ended(verdict: Verdict, line: dict[str, Any]) -> None:
    order = verdict.orders[line["order_id"]]
    if not order.is_open:
        verdict.problems.append(f"{order.client_id or order.order_id} ended although it was not open")
    if Decimal(line["filled"]) != order.filled:
        verdict.problems.append(f"{order.client_id} ended with {line['filled']} filled, its fills are {order.filled}")
    order.ended = line["state"]


def _filled(verdict: Verdict, line: dict[str, Any]) -> None:
    raw = line["fill"]
    fill = JudgedFill(
        raw["trade_id"],
        raw["client_id"],
        raw["order_id"],
        raw["instrument"],
        raw["side"],
        Decimal(raw["quantity"]),
        Decimal(raw["price"]),
        Decimal(raw["fee"]),
        raw["fee_coin"],
        raw["kind"],
    )
    order = verdict.orders[fill.order_id]
    if not order.is_open:
        verdict.problems.append(f"{fill.trade_id} fills {fill.order_id}, which is not open")
    order.filled += fill.quantity
    order.first_fill_ms = line["at"] if order.first_fill_ms is None else order.first_fill_ms
    if order.filled > order.quantity:
        verdict.problems.append(f"{fill.order_id} filled {order.filled} of {order.quantity}")
    if (fill.instrument, fill.trade_id) in verdict.seen:
        verdict.problems.append(f"trade {fill.trade_id} of {fill.instrument} twice")
    verdict.seen.add((fill.instrument, fill.trade_id))
    verdict.fills.append(fill)
    _settle(verdict, fill)


def _settle(verdict: Verdict, fill: JudgedFill) -> None:
    base, quote = verdict.pairs[fill.instrument]
    signed = fill.quantity if fill.side == "buy" else -fill.quantity
    if fill.instrument.startswith("linear:"):
        _add(verdict, quote, _gain(verdict, fill.instrument, signed, fill.price))
    else:
        _add(verdict, base, signed)
        _add(verdict, quote, -signed * fill.price)
    _add(verdict, fill.fee_coin, -fill.fee)


def _gain(verdict: Verdict, instrument: str, signed: Decimal, price: Decimal) -> Decimal:
    """Realised gain at average entry; what is left keeps what is left of the cost."""
    held, cost = verdict.positions.pop(instrument, (ZERO, ZERO))
    after = held + signed
    gain = ZERO
    if held == 0 or (held > 0) == (signed > 0):
        cost += signed * price
    elif after and (after > 0) == (held > 0):
        released = (cost * -signed / held).quantize(EIGHT, ROUND_HALF_EVEN)
        gain = (-signed * price - released).quantize(EIGHT, ROUND_HALF_EVEN)
        cost -= released
    else:
        gain = (held * price - cost).quantize(EIGHT, ROUND_HALF_EVEN)
        cost = after * price
    if after:
        verdict.positions[instrument] = after, cost
    return gain


def _moved(verdict: Verdict, line: dict[str, Any]) -> None:
    raw = line["entry"]
    verdict.moves.append((raw["kind"], raw["coin"], Decimal(raw["change"])))
    _add(verdict, raw["coin"], Decimal(raw["change"]))


def _nothing(verdict: Verdict, line: dict[str, Any]) -> None:
    """A triggered stop moves no money."""


def _compare_holdings(verdict: Verdict, line: dict[str, Any]) -> None:
    """The exchange's own sums after each line must be ours."""
    balances = {coin: Decimal(total) for coin, total in line["balances"].items()}
    found = [f"line {line['n']}: {text}" for text in _amount_differences(verdict.balances, balances)]
    positions = {key: (Decimal(held[0]), Decimal(held[1])) for key, held in line["positions"].items()}
    if positions != verdict.positions:
        found.append(f"line {line['n']}: positions {positions} are not {verdict.positions}")
    verdict.problems += found


def _add(verdict: Verdict, coin: str, change: Decimal) -> None:
    verdict.balances[coin] = verdict.balances.get(coin, ZERO) + change


def _number(raw: str | None) -> Decimal | None:
    return None if raw is None else Decimal(raw)


_READ = {
    "started": _started,
    "accepted": _accepted,
    "amended": _amended,
    "triggered": _nothing,
    "ended": _ended,
    "filled": _filled,
    "moved": _moved,
}
