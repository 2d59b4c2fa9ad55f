"""Equity per unit: what peak, drawdown and P&L of a period are measured on, so that deposits never look like profit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from engine.domain.facts import EquityMark
from engine.domain.portfolio import PeriodPnl

ZERO = Decimal(0)
ONE = Decimal(1)
PEAK_STEP = ONE
"""A new peak is journaled once it exceeds the last journaled one by this factor: every new peak at a close is."""


@dataclass(slots=True)
class UnitValue:
    """Units and unit values of one book; UTC days, weeks from Monday, calendar months, all in market time."""

    units: Decimal = ZERO
    value: Decimal = ONE
    peak: Decimal = ONE
    day_start: Decimal = ONE
    week_start: Decimal = ONE
    month_start: Decimal = ONE
    at: datetime | None = None
    journaled_peak: Decimal = ONE

    def flow(self, amount: Decimal) -> None:
        """A deposit buys units at the present value, a withdrawal redeems them."""
        self.units += amount / self.value

    def observe(self, equity: Decimal, at: datetime) -> EquityMark | None:
        """Take a new equity; the fact to journal where a period began or the peak rose."""
        if not self.units:
            return None
        before = self.value
        self.value = equity / self.units
        turned = self._turn_periods(before, at)
        self.at = at
        self.peak = max(self.peak, self.value)
        if turned or self.peak > self.journaled_peak * PEAK_STEP:
            return self.mark(equity, at)
        return None

    def at_equity(self, equity: Decimal) -> UnitValue:
        """A copy as it would stand at this equity, for readers."""
        if not self.units:
            return self
        value = equity / self.units
        return replace(self, value=value, peak=max(self.peak, value))

    def _turn_periods(self, before: Decimal, at: datetime) -> bool:
        last = self.at
        if last is not None and last.date() == at.date():
            return False
        start = before if last is not None else self.value
        self.day_start = start
        if last is None or _monday(last) != _monday(at):
            self.week_start = start
        if last is None or (last.year, last.month) != (at.year, at.month):
            self.month_start = start
        return True

    def mark(self, equity: Decimal, at: datetime) -> EquityMark:
        """The present values as a fact."""
        self.journaled_peak = self.peak
        return EquityMark(at, equity, self.units, self.peak, self.day_start, self.week_start, self.month_start)

    def apply(self, mark: EquityMark) -> None:
        """Take over a journaled mark."""
        self.units, self.peak, self.journaled_peak = mark.units, mark.peak, mark.peak
        self.day_start, self.week_start, self.month_start = mark.day_start, mark.week_start, mark.month_start
        self.value = mark.equity / mark.units if mark.units else ONE
        self.at = mark.at

    def reset_peak(self) -> None:
        """Measure drawdown from here on; part of re-arming."""
        self.peak = self.value

    @property
    def drawdown(self) -> Decimal:
        """Share below the peak, 0 to 1."""
        return self._below_peak(self.value)

    def drawdown_at(self, equity: Decimal) -> Decimal:
        """The same at another equity that is no new peak, base currency."""
        return self._below_peak(equity / self.units)

    def _below_peak(self, value: Decimal) -> Decimal:
        return ONE - value / self.peak if self.peak else ZERO

    @property
    def day_loss(self) -> Decimal:
        """Share lost since the day began, positive is a loss."""
        return ONE - self.value / self.day_start if self.day_start else ZERO

    def pnl(self) -> PeriodPnl:
        """Money made since day, week and month began; base currency."""
        return PeriodPnl(*((self.value - s) * self.units for s in (self.day_start, self.week_start, self.month_start)))

    def state(self) -> dict[str, Any]:
        """JSON values of a checkpoint."""
        money = {n: str(getattr(self, n)) for n in _MONEY}
        return {**money, "at": self.at.isoformat() if self.at else None}

    @classmethod
    def restored(cls, state: Mapping[str, Any]) -> UnitValue:
        """From a checkpoint."""
        money = {name: Decimal(state[name]) for name in _MONEY}
        at = datetime.fromisoformat(state["at"]) if state["at"] else None
        return cls(**money, at=at, journaled_peak=money["peak"])


_MONEY = ("units", "value", "peak", "day_start", "week_start", "month_start")


def _monday(at: datetime) -> datetime:
    day = at.replace(hour=0, minute=0, second=0, microsecond=0)
    return day - timedelta(days=day.weekday())
