"""Tax reports are counted when something is new, seldom, and always for a file."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, cast

import pytest

from engine.domain.errors import BadInput
from engine.domain.orders import Fill, Liquidity, Side
from engine.domain.portfolio import BookSnapshot
from engine.runtime.taxes import KEPT_S, Taxes

AT = datetime(2025, 3, 1, tzinfo=UTC)
BOOK = cast(BookSnapshot, SimpleNamespace(name="demo", base_currency="USDT", simulated=True))


def fill(number: int, side: Side, price: str) -> Fill:
    return Fill(
        "demo-a", "main", f"t{number}", f"c{number}", f"o{number}", "demo-a:BTC/USDT", side, Decimal(1), Decimal(price),
        Decimal(1), "USDT", Liquidity.TAKER, AT.replace(hour=number),
    )  # fmt: skip


@dataclass
class Money:
    """Counts how often the fills are read."""

    fills: list[Fill] = field(default_factory=list)
    reads: int = 0

    def counts(self, book: str) -> Any:
        assert book == "demo"
        return SimpleNamespace(fills=len(self.fills), funding=0)

    def fills_for_digest(self, book: str) -> list[Fill]:
        self.reads += 1
        return self.fills

    def funding_paid(self, book: str) -> list[Any]:
        return []


@dataclass
class Clock:
    seconds: float = 0.0

    def now(self) -> datetime:
        return AT

    def monotonic(self) -> float:
        return self.seconds


@pytest.fixture
def money() -> Money:
    return Money([fill(1, Side.BUY, "100"), fill(2, Side.SELL, "150")])


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def taxes(money: Money, clock: Clock) -> Taxes:
    return Taxes(cast(Any, money), cast(Any, clock))


def test_report_when_nothing_is_new_then_counted_once_however_long_ago(
    taxes: Taxes, money: Money, clock: Clock
) -> None:
    first = taxes.report(BOOK, 2025, "UTC")
    clock.seconds = 10 * KEPT_S
    assert taxes.report(BOOK, 2025, "UTC") is first
    assert (money.reads, first.gain, first.counted_at) == (1, Decimal(48), AT)


def test_report_when_a_fill_came_then_counted_again_after_half_a_minute_and_at_once_for_a_file(
    taxes: Taxes, money: Money, clock: Clock
) -> None:
    first = taxes.report(BOOK, 2025, "UTC")
    money.fills += [fill(3, Side.BUY, "100"), fill(4, Side.SELL, "90")]
    clock.seconds = KEPT_S - 1
    assert taxes.report(BOOK, 2025, "UTC") is first
    assert taxes.report(BOOK, 2025, "UTC", fresh=True).gain == Decimal(36)
    money.fills += [fill(5, Side.BUY, "100"), fill(6, Side.SELL, "102")]
    clock.seconds = 3 * KEPT_S
    assert taxes.report(BOOK, 2025, "UTC").gain == Decimal(36)


def test_report_when_year_or_zone_is_another_then_counted_for_it(taxes: Taxes, money: Money) -> None:
    assert taxes.report(BOOK, 2025, "UTC").gain == Decimal(48)
    assert taxes.report(BOOK, 2024, "UTC").rows == ()
    assert taxes.report(BOOK, 2025, "Asia/Tokyo").zone == "Asia/Tokyo"
    assert money.reads == 3


@pytest.mark.parametrize(("year", "zone", "named"), [(1999, "UTC", "1999"), (2025, "Mars/Base", "Mars/Base")])
def test_report_when_asked_for_nonsense_then_named(taxes: Taxes, year: int, zone: str, named: str) -> None:
    with pytest.raises(BadInput, match=named):
        taxes.report(BOOK, year, zone)
