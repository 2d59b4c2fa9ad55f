"""Backtests as faces draw them, and what a face may ask about them: every figure comes ready, with its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Protocol

from engine.domain.instruments import InstrumentKey
from engine.domain.market import FloatArray, IntArray
from engine.domain.views import JobView, PageOf, Series, StrategyForm, TradeChart

MOST_COMPARED = 5
"""Runs that are compared at once: more lines than this cannot be told apart."""

MOST_NOTE_CHARACTERS = 2000
"""Length of a note at most."""


class Standing(Enum):
    """What a verdict means for the reader: the evidence holds, is not enough, or speaks against the strategy."""

    HOLDS = "holds"
    DOUBTFUL = "doubtful"
    FAILS = "fails"


class Unit(Enum):
    """What a statistic is measured in; ``MONEY`` is the currency of the run."""

    SHARE = "share"
    RATIO = "ratio"
    DAYS = "days"
    COUNT = "count"
    MONEY = "money"


@dataclass(frozen=True, slots=True)
class RunVerdict:
    """One line on a run and the reasons for it, under words that say what they are.

    ``passed`` are the tests it did pass, where that was not enough; none where the record does not tell them.
    """

    level: str
    line: str
    reasons: tuple[str, ...]
    standing: Standing
    lead: str = ""
    passed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RunNote:
    """What a person wrote about a run; untrusted text."""

    text: str
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Statistic:
    """A figure of a run.

    ``low`` and ``high`` bound it with 95 % confidence, None where that was not measured. ``value`` None is undefined,
    and ``reason`` says why. ``hold`` is the same figure of buying at the start and holding, ``steady`` that of holding
    at a constant volatility; None where there is none.
    """

    key: str
    title: str
    unit: Unit
    value: float | None
    low: float | None
    high: float | None
    reason: str
    meaning: str
    hold: float | None = None
    steady: float | None = None


@dataclass(frozen=True, slots=True)
class BacktestRow:
    """A run in the history; figures are None while it has no result.

    ``net_return`` and ``max_drawdown`` (negative) are shares; ``start`` and ``stop`` the first and last candle.
    """

    run_id: str
    job: JobView
    strategy: str
    instruments: tuple[InstrumentKey, ...]
    timeframe: str
    engine: str
    cash: Decimal
    currency: str
    start: datetime | None
    stop: datetime | None
    final_equity: Decimal | None
    trades: int | None
    net_return: float | None
    sharpe: float | None
    max_drawdown: float | None
    verdict: RunVerdict | None
    note: RunNote | None

    @property
    def is_done(self) -> bool:
        """Whether there is a result to look at."""
        return self.final_equity is not None


@dataclass(frozen=True, slots=True)
class RunCurve:
    """Equity and buy-and-hold (the run's currency) and drawdown (share, negative) by market time, thinned."""

    at_ms: IntArray
    equity: FloatArray
    drawdown: FloatArray
    hold: FloatArray
    currency: str


@dataclass(frozen=True, slots=True)
class RunTrade:
    """A round trip. ``share`` is its result against what was paid at entry; an exit of None is still open.

    ``pnl`` and ``fees`` are in the run's currency, fees already deducted from ``pnl``. ``stop_price`` is the first
    stop, ``last_stop_price`` where it lay at the exit, None where that is not known.
    """

    number: int
    instrument: InstrumentKey
    side: str
    quantity: Decimal
    entry_at: datetime
    entry_price: Decimal
    exit_at: datetime | None
    exit_price: Decimal | None
    exit_reason: str
    fees: Decimal
    pnl: Decimal
    share: float | None
    stop_price: Decimal | None
    strategy: str
    bars_held: int
    target_price: Decimal | None = None
    last_stop_price: Decimal | None = None


@dataclass(frozen=True, slots=True)
class YearRow:
    """One calendar year (UTC) of a run, buy-and-hold beside it; shares, drawdown negative; why Sharpe is undefined."""

    year: int
    net_return: float | None
    hold_return: float | None
    max_drawdown: float | None
    sharpe: float | None
    trades: int
    reason: str


@dataclass(frozen=True, slots=True)
class YearOfMonths:
    """Returns of the twelve months of a year as shares, None outside the run, and of the year as a whole."""

    year: int
    months: tuple[float | None, ...]
    total: float | None


@dataclass(frozen=True, slots=True)
class RegimeRow:
    """A kind of market: the share of bars in it, how the run did there, and why Sharpe is undefined."""

    name: str
    share: float | None
    net_return: float | None
    sharpe: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class CostRow:
    """A kind of cost over a whole run, positive where paid; ``share`` of all that was paid, None where received."""

    name: str
    amount: Decimal
    share: float | None


@dataclass(frozen=True, slots=True)
class ExitRow:
    """Trades that ended for one reason."""

    reason: str
    trades: int
    pnl: Decimal


@dataclass(frozen=True, slots=True)
class Histogram:
    """How often trades had which result: ``edges`` are shares, one more than ``counts``; zero is an edge."""

    edges: FloatArray
    counts: IntArray


@dataclass(frozen=True, slots=True)
class BacktestView:
    """Everything about a run that is done, but its trades.

    ``statistics`` have buy-and-hold beside them; ``doubled`` are figures at twice the costs; ``checks`` weigh luck and
    overfitting; ``conditions`` say what was run on what, as name and value. Of a run that the brake ended ``lived``
    says when and after how many days; ``curve`` ends there. ``price_steps`` are those of the instruments, where
    known. The verdict is as of ``judged_at`` and knows nothing of ``tried_since``: distinct settings of the
    strategy tried on these days later, None where not known. ``remarks`` say what its candles lack, or what was done to
    their rows; none where every row was taken as it stood. ``below_minimum`` counts wishes to open a position whose
    order would have been below the venue's minimum, None where they were not counted. ``doubled_days`` says of which
    days the figures at twice the costs are where those are other days than the run's, "" where not or not known.
    """

    row: BacktestRow
    curve: RunCurve
    statistics: tuple[Statistic, ...]
    doubled: tuple[Statistic, ...]
    checks: tuple[Statistic, ...]
    years: tuple[YearRow, ...]
    months: tuple[YearOfMonths, ...]
    regimes: tuple[RegimeRow, ...]
    costs: tuple[CostRow, ...]
    exits: tuple[ExitRow, ...]
    distribution: Histogram
    conditions: tuple[tuple[str, str], ...]
    stopped: str
    lived: str = ""
    price_steps: Mapping[str, Decimal] = field(default_factory=dict)
    judged_at: datetime | None = None
    tried_since: int | None = None
    remarks: tuple[str, ...] = ()
    below_minimum: int | None = None
    doubled_days: str = ""


@dataclass(frozen=True, slots=True)
class RunChart:
    """Candles of one instrument of a run and the trades that lie in them."""

    candles: TradeChart
    trades: tuple[RunTrade, ...]


@dataclass(frozen=True, slots=True)
class ComparedFigure:
    """One statistic of every compared run, in the order of the runs; ``best`` numbers the best one, None if unclear.

    ``intervals`` bound the values with 95 % confidence, None where that was not measured.
    """

    title: str
    unit: Unit
    values: tuple[float | None, ...]
    best: int | None
    intervals: tuple[tuple[float, float] | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """Runs side by side: growth since each one's start as shares, their figures, and what makes them incomparable.

    Where there are ``cautions`` no figure has a best one; ``lived`` says of each run when it was stopped, "" if not.
    """

    rows: tuple[BacktestRow, ...]
    curves: tuple[Series, ...]
    figures: tuple[ComparedFigure, ...]
    cautions: tuple[str, ...]
    lived: tuple[str, ...] = ()


class Research(Protocol):
    """Backtests of stored candles: asked for by operators, looked at by everybody."""

    def backtest_strategies(self) -> tuple[StrategyForm, ...]:
        """Every strategy that can be backtested with the form of its configuration, defaults filled in."""

    def check_backtest(self, request: Mapping[str, Any]) -> None:
        """Raise `BadInput` that says what in a request cannot be used; nothing is started. Keys as `start_backtest`."""

    def start_backtest(self, job_id: str, request: Mapping[str, Any]) -> JobView:
        """Start a backtest as a job of its own, in a process of low priority.

        Keys: ``series`` [(instrument, timeframe)], ``strategy`` name, ``settings`` {field: value}, ``cash``, ``from``
        and ``to`` (ISO or ""), ``brake``, ``costs`` (``default`` or ``plain``), ``fee_bps`` and ``slippage_bps`` with
        plain costs, ``engine`` (``kernel`` or ``replay``), ``funding`` (``stored`` or ``none``).
        """

    def backtests(self, page: int, size: int, filters: Mapping[str, str]) -> PageOf[BacktestRow]:
        """History, newest first. Filters: ``strategy`` (its name), ``text`` (in instrument or note)."""

    def backtest(self, run_id: str) -> BacktestView:
        """One run that is done; `BadInput` where there is none."""

    def backtest_trades(self, run_id: str, page: int, size: int, filters: Mapping[str, str]) -> PageOf[RunTrade]:
        """Its trades. Filters: ``instrument``, ``side``, ``outcome`` (``won`` or ``lost``), ``reason``, ``order``."""

    def backtest_chart(self, run_id: str, instrument: InstrumentKey, number: int | None) -> RunChart:
        """Candles around trade ``number``, or of the whole run for None, with the trades in them."""

    def compare_backtests(self, run_ids: Sequence[str]) -> Comparison:
        """Two to five runs side by side."""

    def note_backtest(self, run_id: str, text: str) -> None:
        """Replace the note of a run; empty text removes it."""

    def delete_backtest(self, run_id: str) -> None:
        """Remove a run that has ended with its files; `BadInput` while it runs."""

    def backtest_report(self, run_id: str) -> tuple[str, bytes]:
        """File name and bytes of one HTML file that needs nothing else."""
