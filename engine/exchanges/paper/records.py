"""Lines of a simulated venue's journal: what happened there, and how it is written as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any

from engine.domain.instruments import InstrumentKey
from engine.domain.orders import Fill, FundingPaid, Liquidity, OrderIntent, OrderType, Purpose, Side
from engine.exchanges.paper.orders import Reserve


@dataclass(frozen=True, slots=True)
class Started:
    """The venue opened with these balances (coin to total)."""

    venue: str
    balances: Mapping[str, Decimal]


@dataclass(frozen=True, slots=True)
class Accepted:
    """An order exists from now on."""

    intent: OrderIntent
    venue_order_id: str
    arrives_at: datetime
    reserve: Reserve
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Resized:
    """An order's quantity (base) became this: amended, or cut to what its entry filled."""

    client_id: str
    quantity: Decimal


@dataclass(frozen=True, slots=True)
class Moved:
    """A stop lies here from now on (quote)."""

    client_id: str
    stop_price: Decimal


@dataclass(frozen=True, slots=True)
class Triggered:
    """A stop was reached and is a market order from now on."""

    client_id: str


@dataclass(frozen=True, slots=True)
class Waited:
    """A candle left a market order with a rest."""

    client_id: str


@dataclass(frozen=True, slots=True)
class Ended:
    """An order was cancelled, by whom or why in ``reason``."""

    client_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Filled:
    """An execution."""

    fill: Fill


@dataclass(frozen=True, slots=True)
class Funded:
    """A funding payment."""

    payment: FundingPaid


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Everything the lines before add up to; JSON values only."""

    state: dict[str, Any]


Record = Started | Accepted | Resized | Moved | Triggered | Waited | Ended | Filled | Funded | Checkpoint


class Cause(Enum):
    """What made the venue write."""

    START = "start"
    SUBMIT = "submit"
    CANCEL = "cancel"
    AMEND = "amend"
    BARS = "bars"
    FUNDING = "funding"
    CHECKPOINT = "checkpoint"


@dataclass(frozen=True, slots=True)
class Moment:
    """One answer or one observed event with all its consequences: a line of the journal, whole or absent."""

    at: datetime
    cause: Cause
    records: tuple[Record, ...]


def _plain(value: object) -> object:
    """JSON form of what a record holds; money keeps every digit."""
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Enum):
        return value.value
    return {name: getattr(value, name) for name in type(value).__slots__}  # type: ignore[attr-defined]


_ENCODER = json.JSONEncoder(default=_plain, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def encode(moment: Moment, number: int) -> bytes:
    """A line of the journal, newline included; ``number`` counts lines from 1 without gaps."""
    records = [{"kind": _KINDS[type(record)], "body": record} for record in moment.records]
    line = {"n": number, "at": moment.at, "cause": moment.cause, "records": records}
    return _ENCODER.encode(line).encode("ascii") + b"\n"


def decode(line: bytes) -> tuple[int, Moment]:
    """Number and content of a line; an error of a lookup or conversion on anything else."""
    raw = json.loads(line)
    records = tuple(_READERS[record["kind"]](record["body"]) for record in raw["records"])
    return int(raw["n"]), Moment(datetime.fromisoformat(raw["at"]), Cause(raw["cause"]), records)


def read_intent(raw: Mapping[str, Any]) -> OrderIntent:
    """An intent from its JSON form."""
    return OrderIntent(
        raw["client_id"],
        InstrumentKey(raw["instrument"]),
        Side(raw["side"]),
        Decimal(raw["quantity"]),
        OrderType(raw["order_type"]),
        Purpose(raw["purpose"]),
        raw["sleeve"],
        datetime.fromisoformat(raw["created_at"]),
        Decimal(raw["reference_price"]),
        read_price(raw["limit_price"]),
        read_price(raw["stop_price"]),
        raw["reduce_only"],
        raw["parent_id"],
        raw["reason"],
        raw.get("pair_id"),
        read_price(raw.get("trail_distance")),
        post_only=raw.get("post_only", False),
    )


def read_reserve(raw: Mapping[str, Any]) -> Reserve:
    """A reserve from its JSON form."""
    return Reserve(raw["currency"], Decimal(raw["per_unit"]), Decimal(raw["exempt"]))


def to_json(value: object) -> Any:
    """Any record part as JSON values."""
    return json.loads(_ENCODER.encode(value))


def read_price(raw: str | None) -> Decimal | None:
    """A price (quote) from its JSON form."""
    return None if raw is None else Decimal(raw)


def _started(raw: Mapping[str, Any]) -> Started:
    return Started(raw["venue"], {coin: Decimal(total) for coin, total in raw["balances"].items()})


def _accepted(raw: Mapping[str, Any]) -> Accepted:
    return Accepted(
        read_intent(raw["intent"]),
        raw["venue_order_id"],
        datetime.fromisoformat(raw["arrives_at"]),
        read_reserve(raw["reserve"]),
        raw["reason"],
    )


def _filled(raw: Mapping[str, Any]) -> Filled:
    fill = raw["fill"]
    return Filled(
        Fill(
            fill["venue"],
            fill["account"],
            fill["trade_id"],
            fill["client_id"],
            fill["venue_order_id"],
            InstrumentKey(fill["instrument"]),
            Side(fill["side"]),
            Decimal(fill["quantity"]),
            Decimal(fill["price"]),
            Decimal(fill["fee"]),
            fill["fee_currency"],
            Liquidity(fill["liquidity"]),
            datetime.fromisoformat(fill["at"]),
        )
    )


def _funded(raw: Mapping[str, Any]) -> Funded:
    paid = raw["payment"]
    return Funded(
        FundingPaid(
            paid["venue"],
            paid["account"],
            paid["payment_id"],
            InstrumentKey(paid["instrument"]),
            Decimal(paid["rate"]),
            Decimal(paid["mark"]),
            Decimal(paid["amount"]),
            paid["currency"],
            datetime.fromisoformat(paid["at"]),
        )
    )


_KINDS: dict[type, str] = {
    Started: "started",
    Accepted: "accepted",
    Resized: "resized",
    Moved: "moved",
    Triggered: "triggered",
    Waited: "waited",
    Ended: "ended",
    Filled: "filled",
    Funded: "funded",
    Checkpoint: "checkpoint",
}

_READERS: dict[str, Callable[[Mapping[str, Any]], Record]] = {
    "started": _started,
    "accepted": _accepted,
    "resized": lambda raw: Resized(raw["client_id"], Decimal(raw["quantity"])),
    "moved": lambda raw: Moved(raw["client_id"], Decimal(raw["stop_price"])),
    "triggered": lambda raw: Triggered(raw["client_id"]),
    "waited": lambda raw: Waited(raw["client_id"]),
    "ended": lambda raw: Ended(raw["client_id"], raw["reason"]),
    "filled": _filled,
    "funded": _funded,
    "checkpoint": lambda raw: Checkpoint(dict(raw["state"])),
}
