"""A stand-in for the whole console: deterministic, varied, and able to be empty, stale, stopped or broken."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from engine.domain.commands import (
    REQUIRED_ROLE,
    ArmLive,
    CommandBody,
    CommandStatus,
    EmergencyStop,
    Promote,
    Rearm,
    Receipt,
    TradingState,
)
from engine.domain.errors import AccessDenied
from engine.domain.instruments import InstrumentKey
from engine.domain.portfolio import BookSnapshot, EngineSnapshot, PeriodPnl
from tests.pages import fake_records as made
from tests.pages.fake_library import FakeLibrary
from tests.pages.fake_operations import FakeOperations
from tests.pages.fake_research import FakeResearch
from tests.pages.fake_stages import FakeStages, live_book
from tests.pages.fake_studies import FakeStudies
from tests.pages.fake_views import FakeViews

RISK = '{"mode": "conservative", "max_leverage": "3", "max_orders_per_minute": 30}'


class FakeConsole(FakeViews, FakeLibrary, FakeResearch, FakeStudies, FakeStages, FakeOperations):
    """Every call of `engine.domain.facade.ConsolePort`."""

    def snapshot(self) -> EngineSnapshot:
        self._fail("snapshot")
        now = datetime.now(UTC) - timedelta(seconds=self.stale_s)
        books: tuple[BookSnapshot, ...] = (self._book(now), replace(_bare(now), name="paper", stage="paper"))
        if self.live:
            books = (*books, live_book(_bare(now), now, armed=self.live == "armed"))
        return EngineSnapshot(now - timedelta(hours=31), now, "0.1.0", 7, 1, books, 0.00021, 0.00074, 3, 1_204_311)

    def _book(self, now: datetime) -> BookSnapshot:
        if self.empty:
            return replace(_bare(now), name="demo", stage="demo", simulated=True)
        stopped = bool(self.stop)
        return replace(
            _bare(now),
            name="demo",
            stage="demo",
            simulated=True,
            state=TradingState.HALTED if stopped else TradingState.ACTIVE,
            latched=stopped,
            state_reason="red button" if stopped else "",
            market_time=made.MARKET_NOW,
            equity=Decimal("10432.18"),
            cash=Decimal("7620.42"),
            unrealised=Decimal("28.78"),
            realised=Decimal("168.18"),
            fees=Decimal("42.06"),
            funding=Decimal("-2.52"),
            peak_equity=Decimal("10655.02"),
            drawdown=Decimal("0.0209"),
            pnl=PeriodPnl(Decimal("42.10"), Decimal("-18.40"), Decimal("212.77")),
            speed=60,
            positions=() if self.stop == "flat" else made.positions(),
            orders=() if stopped else made.working_orders(),
            sleeves=made.sleeves(),
            instruments=made.instruments(),
            balances=made.balances(),
            marks=tuple((InstrumentKey(key), Decimal(price)) for key, price in made.PRICES.items()),
            quotes=made.quotes(),
            fee_bps=Decimal(10),
            feeds=made.feeds(now, online=self.stale_s < 15),
            limits=made.limits(),
            refused=made.refusals(),
            stop=made.stop_view(now, flat=self.stop == "flat") if stopped else None,
            fills=131,
            unpriced=("PEPE",),
        )

    def new_command_id(self) -> str:
        self.ids += 1
        return f"c-{self.ids}"

    def submit(self, command_id: str, body: CommandBody, reason: str) -> Receipt:
        self._fail("submit")
        self._need(REQUIRED_ROLE[type(body)])
        if isinstance(body, Rearm | ArmLive | Promote) and not self.proven:
            raise AccessDenied(f"{type(body).__name__} needs your password again")
        self.submits += 1
        self.submitted.setdefault(command_id, (body, reason))
        answer = self.receipt(command_id)
        assert answer is not None
        return answer

    def receipt(self, command_id: str) -> Receipt | None:
        if command_id not in self.submitted:
            return None
        if self.pending:
            return Receipt(command_id, CommandStatus.PENDING, "")
        if self.refuses:
            return Receipt(command_id, CommandStatus.REFUSED, self.refuses)
        if self.loses:
            return Receipt(command_id, CommandStatus.UNKNOWN, self.loses)
        done = "carried out at sequence 5001"
        if isinstance(self.submitted[command_id][0], EmergencyStop):
            done = "stop s-1 is already under way"
        return Receipt(command_id, CommandStatus.DONE, done)

    def step_up(self, password: str) -> None:
        if password != "correct horse":
            raise AccessDenied("the password is not right")
        self.proven = True

    def absence(self) -> str:
        return self.gone

    def stepped_up(self) -> bool:
        return self.proven


def _bare(now: datetime) -> BookSnapshot:
    """A book that has not seen a market yet."""
    zero, cash = Decimal(0), Decimal(10_000)
    return BookSnapshot(
        name="paper", stage="paper", simulated=False, base_currency="USDT", state=TradingState.ACTIVE, latched=False,
        state_reason="", market_time=None, published_at=now, sequence=5000, equity=cash, cash=cash, capital=cash,
        unrealised=zero, realised=zero, fees=zero, funding=zero, peak_equity=cash, drawdown=zero,
        pnl=PeriodPnl(zero, zero, zero), speed=None, positions=(), orders=(), sleeves=(),
        allocation='{"method": "fixed"}', balances=(), instruments=(), marks=(), feeds=(), limits=(),
        risk=RISK, refused=(), stop=None, fills=0, unpriced=(),
    )  # fmt: skip
