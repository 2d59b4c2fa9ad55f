"""A request to the stand-in exchange and its answer, the same for every exchange it stands in for."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Call:
    """One request: ``payload`` is the text as it was signed, ``params`` its fields as text."""

    method: str
    path: str
    query: str
    body: str
    params: dict[str, Any]
    headers: dict[str, str]
    address: str

    def get(self, name: str, default: str = "") -> str:
        """A field as text."""
        value = self.params.get(name)
        return default if value is None else str(value)

    def integer(self, name: str, default: int) -> int:
        """A field as a whole number."""
        raw = self.get(name)
        return int(raw) if raw.lstrip("-").isdigit() else default

    def true(self, name: str) -> bool:
        return self.get(name).lower() == "true"


@dataclass(slots=True)
class Answer:
    """What goes back: any JSON, or text as it is."""

    body: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"

    def payload(self) -> bytes:
        text = self.body if isinstance(self.body, str) else json.dumps(self.body, separators=(",", ":"))
        return text.encode()


class Denied(Exception):
    """A request that ends before its endpoint: wrong key, wrong time, too many."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(str(answer.body))
        self.answer = answer


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What answers a path: the kind of request it is for faults, whether it is signed and needs the right to trade."""

    where: str
    reply: Callable[[Call], Any]
    private: bool = False
    trades: bool = False
    weight: int = 1
