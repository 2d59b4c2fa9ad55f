"""Faults that a test plants in the stand-in exchange: what goes wrong, where, and how often."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

BEFORE = ("reset_before", "error_before", "rate_limit", "ban", "maintenance", "refuse", "hold_before", "slow_before")
"""The request is not carried out (the last two: not yet)."""
AFTER = ("ack_lost", "reset_after", "cut_body", "html", "garbage", "error_after", "empty_list", "stale", "slow", "hold")
"""The request is carried out, and the answer goes wrong."""
RACES = ("fill_before_cancel",)
"""What happens at the exchange in between."""
STREAMS = ("stream_silent", "stream_refuse", "stream_duplicate", "stream_reorder", "stream_lost")
"""What websockets do; `stream_silent` and `stream_refuse` last until cleared unless a count is given."""
PRICES = ("frozen", "nan", "zero", "x10")
"""What published prices look like (orders are matched at the true ones), until cleared unless a count is given."""
KINDS = (*BEFORE, *AFTER, *RACES, *STREAMS, *PRICES)
WHERES = (
    "any", "create", "cancel", "cancel_all", "amend", "status", "orders", "history", "fills", "balance", "positions",
    "ledger", "funding", "leverage", "deadman", "key", "account", "currencies", "listen", "time", "markets", "ticker",
    "book", "candles", "trades", "system",
)  # fmt: skip
_LASTING = ("maintenance", "stream_silent", "stream_refuse", *PRICES)
_ENDLESS = 1_000_000_000


@dataclass(slots=True)
class Fault:
    """A planted fault.

    Attributes
    ----------
    where : str
        Kind of request; "any" is all of them. Prices and streams ignore it.
    count : int
        How often it still happens.
    venue, symbol : str
        Only there; empty is everywhere.
    seconds : float
        How slow an answer is, or what Retry-After says.
    status : int
        HTTP status of an error.
    code, message : str
        What a refusal says in the exchange's own words.
    share : str
        Part of an order that is filled before its cancel is looked at.
    accept : bool
        Whether the request is carried out although its answer goes wrong (html, garbage).
    hits, vain : int
        How often it happened, and how often of those it changed nothing: a list that was empty anyway, an old answer
        that is the true one still.
    """

    kind: str
    where: str = "any"
    count: int = 1
    venue: str = ""
    symbol: str = ""
    seconds: float = 1.0
    status: int = 503
    code: str = ""
    message: str = ""
    share: str = "0.5"
    accept: bool = True
    hits: int = 0
    vain: int = 0

    @property
    def is_idle(self) -> bool:
        """Whether nothing was ever different because of it."""
        return self.hits <= self.vain


@dataclass(slots=True)
class Faults:
    """All planted faults, oldest first."""

    planted: list[Fault] = field(default_factory=list)
    idle: list[Fault] = field(default_factory=list)
    """Forgotten without having changed anything: what was to be proven with them was not."""

    def plant(self, raw: dict[str, Any]) -> Fault:
        """Add a fault from a control call; unknown words are an error, so that no test passes by a typing mistake."""
        kind, where = raw.get("kind"), raw.get("where", "any")
        if kind not in KINDS:
            raise ValueError(f"unknown fault {kind!r}; known are {', '.join(KINDS)}")
        if where not in WHERES:
            raise ValueError(f"unknown place {where!r}; known are {', '.join(WHERES)}")
        fault = Fault(**({"count": _ENDLESS} if kind in _LASTING else {}) | raw)
        self.planted.append(fault)
        return fault

    def clear(self, kind: str = "") -> None:
        """Forget all faults, or those of one kind."""
        gone = [fault for fault in self.planted if not kind or fault.kind == kind]
        self.idle += [fault for fault in gone if fault.is_idle]
        self.planted = [fault for fault in self.planted if fault not in gone]

    def told_idle(self) -> list[str]:
        """Faults that were forgotten and had changed nothing, each told once."""
        told = [f"{fault.kind} at {fault.where}: {fault.hits} times, {fault.vain} in vain" for fault in self.idle]
        self.idle = []
        return told

    def take(self, kinds: tuple[str, ...], where: str = "any", venue: str = "", symbol: str = "") -> Fault | None:
        """The first fault that applies; it has then happened once more."""
        found = self.look(kinds, where, venue, symbol)
        if found is not None:
            found.count -= 1
            found.hits += 1
        return found

    def look(self, kinds: tuple[str, ...], where: str = "any", venue: str = "", symbol: str = "") -> Fault | None:
        """The first fault that applies, without using it up."""
        for fault in self.planted:
            if (
                fault.kind in kinds
                and fault.count > 0
                and fault.where in ("any", where)
                and fault.venue in ("", venue)
                and (not symbol or fault.symbol in ("", symbol))
            ):
                return fault
        return None

    def listing(self) -> list[dict[str, Any]]:
        """All faults with how often they happened and still will."""
        return [asdict(fault) for fault in self.planted]
