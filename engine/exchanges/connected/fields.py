"""Single fields of an answer: numbers, times and sides that are there and can be, or `Unreadable`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from engine.domain.errors import VenueUnreachable
from engine.domain.market import from_ms
from engine.domain.orders import Side

Answer = Mapping[str, Any]


class Unreadable(VenueUnreachable):
    """The exchange answered with something that cannot be; nothing is concluded from it."""


class Fields:
    """Takes fields out of the answers of one venue; whatever is missing or cannot be raises `Unreadable`.

    Parameters
    ----------
    venue : str
        For messages.
    now : callable
        The exchange's time as far as known, aware UTC.
    """

    def __init__(self, venue: str, now: Callable[[], datetime]) -> None:
        self._venue = venue
        self.now = now

    def mapping(self, value: Any, what: str) -> Answer:
        """The value, which must be a mapping."""
        if not isinstance(value, Mapping):
            raise Unreadable(f"{self._venue} sent something that is not {what}")
        return value

    def raw(self, row: Answer) -> Answer:
        """The exchange's own fields of a row; empty where ccxt kept none."""
        info = row.get("info")
        return info if isinstance(info, Mapping) else {}

    def side(self, row: Answer) -> Side:
        """The side a row names."""
        try:
            return Side(row.get("side"))
        except ValueError as error:
            raise Unreadable(f"{self._venue} names no side that is known: {row.get('side')!r}") from error

    def optional(self, row: Answer, name: str) -> Decimal | None:
        """A number, None where the row has none."""
        return None if row.get(name) is None else self.number(row[name], name)

    def amount(
        self,
        row: Answer,
        name: str,
        *,
        above: Decimal | None = None,
        least: Decimal | None = None,
        default: Decimal | None = None,
    ) -> Decimal:
        """A number within bounds; ``default`` where the row has none, else that is refused."""
        if row.get(name) is None:
            if default is not None:
                return default
            raise Unreadable(f"{self._venue} left out {name}")
        value = self.number(row[name], name)
        if (above is not None and value <= above) or (least is not None and value < least):
            raise Unreadable(f"{self._venue} says {name} {value}, which cannot be")
        return value

    def number(self, value: Any, name: str) -> Decimal:
        """A finite number."""
        try:
            number = Decimal(str(value))
        except InvalidOperation as error:
            raise Unreadable(f"{self._venue} sent {value!r} as {name}") from error
        if not number.is_finite():
            raise Unreadable(f"{self._venue} sent {value!r} as {name}")
        return number

    def at(self, row: Answer, *names: str) -> datetime:
        """The first time that is told, else the exchange's present one."""
        told = next((row[name] for name in names if row.get(name)), None)
        return self.now() if told is None else self.time({"at": told}, "at")

    def time(self, row: Answer, name: str) -> datetime:
        """The time of an event, which must be told."""
        told = row.get(name)
        if type(told) is not int or told <= 0:
            raise Unreadable(f"{self._venue} sent {told!r} as the time of an event")
        return from_ms(told)
