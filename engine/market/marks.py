"""The last trustworthy price of every instrument, with its market time and its source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from enum import Enum

from engine.domain.errors import BadInput
from engine.domain.instruments import InstrumentKey
from engine.domain.market import Bars, BookTop, Candle, Quotes

_LEAST, _MOST = Decimal("1e-30"), Decimal("1e30")
"""Prices lie between these; past them even comparing two could overflow."""


class MarkSource(Enum):
    """What a mark was taken from: the middle of the book, else the close of a candle."""

    MID = "mid"
    CLOSE = "close"


_MID, _CLOSE = MarkSource.MID, MarkSource.CLOSE


class RejectedPrice(Enum):
    """Why a price was refused at the door."""

    NOT_A_NUMBER = "not a number"
    ZERO = "zero"
    NEGATIVE = "negative"
    MAGNITUDE = "beyond any price"
    CROSSED = "crossed book"
    DISORDER = "high and low do not enclose open and close"
    JUMP = "jump"
    LATE = "older than the mark"


@dataclass(frozen=True, slots=True)
class Mark:
    """A price in quote currency that may be used to value and to trade; ``at`` is market time."""

    price: Decimal
    at: datetime
    source: MarkSource


@dataclass(frozen=True, slots=True)
class PriceRejection:
    """A price that did not become a mark; ``detail`` holds the values, in words for people."""

    instrument: InstrumentKey
    at: datetime
    reason: RejectedPrice
    detail: str


@dataclass(frozen=True, slots=True)
class JumpBand:
    """How far a price may lie from the last mark.

    Attributes
    ----------
    factor : Decimal
        A price beyond ``factor`` times the mark, or below the mark divided by it, is a jump. 3 by default: no coin
        worth trading has moved so far between two candles, while a misplaced decimal point moves it by 10.
    confirmations : int
        After so many jumps in a row that agree with one another (each within the band of the one before, at rising
        market times) the last of them becomes the mark, because a mark that can never move again would hide a real
        crash for ever. 0 means never.
    apart : timedelta
        Of quotes at most one counts in so much market time: they come every second, and three in a row are no proof
        against an exchange that publishes nonsense for a moment, which the brake would take for a gain and then for a
        loss. A minute by default, as the shortest usual candle.
    """

    factor: Decimal = Decimal(3)
    confirmations: int = 3
    apart: timedelta = timedelta(minutes=1)

    def __post_init__(self) -> None:
        if not self.factor.is_finite() or self.factor <= 1 or self.confirmations < 0:
            raise BadInput(
                f"jump band: factor {self.factor} must be above 1 and confirmations {self.confirmations} at least 0"
            )

    def holds(self, price: Decimal, reference: Decimal) -> bool:
        """Whether ``price`` is within the band around ``reference``; both positive, quote currency."""
        return price <= reference * self.factor and price * self.factor >= reference


@dataclass(frozen=True, slots=True)
class _Doubt:
    """Jumps in a row that agree with one another; ``at`` is when the last one counted."""

    price: Decimal
    at: datetime
    count: int


class Marks:
    """Marks of every instrument, moved by events; nothing an event holds makes it raise.

    The newest price in market time wins; at the same instant the mid of a book is preferred to a close.

    Parameters
    ----------
    band : JumpBand
        How far a price may lie from the last mark.
    """

    def __init__(self, band: JumpBand | None = None) -> None:
        self._band = band or JumpBand()
        self._marks: dict[InstrumentKey, Mark] = {}
        self._doubts: dict[InstrumentKey, _Doubt] = {}
        self._rejected: dict[tuple[InstrumentKey, RejectedPrice], int] = {}

    def apply(self, event: Bars | Quotes) -> tuple[PriceRejection, ...]:
        """Move the marks; returns the prices that were refused and why, in the order of the event."""
        rejections: list[PriceRejection] = []
        if isinstance(event, Bars):
            for candle in event.candles:
                fault = _candle_fault(candle) or self._accept(candle.instrument, Mark(candle.close, event.at, _CLOSE))
                if fault is not None:
                    rejections.append(self._reject(candle.instrument, event.at, fault))
        else:
            for top in event.tops:
                fault = _top_fault(top) or self._accept(top.instrument, Mark(top.mid, event.at, _MID))
                if fault is not None:
                    rejections.append(self._reject(top.instrument, event.at, fault))
        return tuple(rejections)

    def price(self, key: InstrumentKey) -> Mark | None:
        """The last trustworthy price, or None before the first."""
        return self._marks.get(key)

    def believes(self, key: InstrumentKey, price: Decimal) -> bool:
        """Whether ``price`` (positive, quote) lies within the jump band around the mark; False before the first."""
        mark = self._marks.get(key)
        return mark is not None and self._band.holds(price, mark.price)

    def age(self, key: InstrumentKey, now: datetime) -> timedelta | None:
        """Market time since the mark was made, never negative; None before the first."""
        mark = self._marks.get(key)
        return None if mark is None else max(now - mark.at, timedelta(0))

    @property
    def rejected(self) -> Mapping[tuple[InstrumentKey, RejectedPrice], int]:
        """How many prices were refused, by instrument and reason."""
        return dict(self._rejected)

    def _reject(self, key: InstrumentKey, at: datetime, fault: _Fault) -> PriceRejection:
        reason, detail = fault
        self._rejected[key, reason] = self._rejected.get((key, reason), 0) + 1
        return PriceRejection(key, at, reason, detail)

    def _accept(self, key: InstrumentKey, new: Mark) -> _Fault | None:
        last = self._marks.get(key)
        if last is not None:
            if new.at < last.at:
                return RejectedPrice.LATE, f"{new.price} at {new.at} is older than the mark of {last.at}"
            if new.at == last.at and last.source is _MID and new.source is _CLOSE:
                return None
            if not self._band.holds(new.price, last.price) and not self._confirmed(key, new):
                return RejectedPrice.JUMP, (
                    f"{new.price} is beyond {self._band.factor} times, or below 1/{self._band.factor} of, "
                    f"the last mark {last.price} of {last.at}"
                )
        if self._doubts:
            self._doubts.pop(key, None)
        self._marks[key] = new
        return None

    def _confirmed(self, key: InstrumentKey, new: Mark) -> bool:
        doubt = self._doubts.get(key)
        agrees = doubt is not None and self._band.holds(new.price, doubt.price)
        count, at = 1, new.at
        if doubt is not None and agrees:
            counts = new.at > doubt.at if new.source is _CLOSE else new.at - doubt.at >= self._band.apart
            count, at = (doubt.count + 1, new.at) if counts else (doubt.count, doubt.at)
        self._doubts[key] = _Doubt(new.price, at, count)
        return 0 < self._band.confirmations <= count


_Fault = tuple[RejectedPrice, str]


def _candle_fault(candle: Candle) -> _Fault | None:
    open_, high, low, close = candle.open, candle.high, candle.low, candle.close
    try:
        if _LEAST < low <= open_ <= high < _MOST and low <= close <= high:
            return None
    except InvalidOperation:  # comparing with NaN
        pass
    reason = _value_fault((open_, high, low, close)) or RejectedPrice.DISORDER
    return reason, f"open {open_}, high {high}, low {low}, close {close}"


def _top_fault(top: BookTop) -> _Fault | None:
    bid, ask, sizes = top.bid, top.ask, (top.bid_size, top.ask_size)
    try:
        if _LEAST < bid <= ask < _MOST and 0 <= sizes[0] < _MOST and 0 <= sizes[1] < _MOST:
            return None
    except InvalidOperation:  # comparing with NaN
        pass
    reason = _value_fault((bid, ask)) or _size_fault(sizes) or RejectedPrice.CROSSED
    return reason, f"bid {bid} for {sizes[0]}, ask {ask} for {sizes[1]}"


def _value_fault(prices: tuple[Decimal, ...]) -> RejectedPrice | None:
    for price in prices:
        if not price.is_finite():
            return RejectedPrice.NOT_A_NUMBER
        if price <= 0:
            return RejectedPrice.NEGATIVE if price < 0 else RejectedPrice.ZERO
        if not _LEAST < price < _MOST:
            return RejectedPrice.MAGNITUDE
    return None


def _size_fault(sizes: tuple[Decimal, ...]) -> RejectedPrice | None:
    if not all(size.is_finite() for size in sizes):
        return RejectedPrice.NOT_A_NUMBER
    if any(size < 0 for size in sizes):
        return RejectedPrice.NEGATIVE
    return RejectedPrice.MAGNITUDE if any(size >= _MOST for size in sizes) else None
