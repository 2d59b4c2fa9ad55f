"""What pages and the HTTP API may ask of the engine: one facade, bound to the person who asks.

`engine.runtime.console.Console` implements it; page tests use a stand-in. Everything raises errors of
`engine.domain.errors`; nothing returns an empty list for a failure. Changes are commands or jobs: they return at
once, are idempotent under their id, and refuse with `AccessDenied` where the role does not allow them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

from engine.domain.commands import Actor, CommandBody, Receipt
from engine.domain.instruments import InstrumentKey
from engine.domain.library_views import CoverageRow, GapRow, ReplayView
from engine.domain.operations_views import (
    AlertRow,
    BackupRow,
    ChannelView,
    ConnectionView,
    ExchangeView,
    HealthFigure,
    SessionRow,
    SettingRow,
    UserRow,
)
from engine.domain.portfolio import EngineSnapshot
from engine.domain.research import Research
from engine.domain.stage_views import CandidateView, StageView
from engine.domain.studies import Studies
from engine.domain.tax_views import TaxReport
from engine.domain.trail_views import AuditRow, ChainView, JournalRow, LogRow
from engine.domain.views import (
    EquityCurve,
    FillRow,
    FormField,
    JobView,
    OrderRow,
    PageOf,
    Series,
    StrategyForm,
    TradeChart,
)
from engine.domain.wallet_views import RiskView, WalletView


class TradingDesk(Protocol):
    """Live state and the commands that change it."""

    @property
    def actor(self) -> Actor:
        """Who is asking."""

    def snapshot(self) -> EngineSnapshot:
        """The newest immutable snapshot; never blocks, never reads a database."""

    def absence(self) -> str:
        """Why nobody trades now, in words; "" while the engine answers. Known within two seconds."""

    def new_command_id(self) -> str:
        """An id for a form that is being drawn; the same id is carried out once."""

    def submit(self, command_id: str, body: CommandBody, reason: str) -> Receipt:
        """Store the command durably and wake the engine; PENDING, or the receipt of an earlier submit."""

    def receipt(self, command_id: str) -> Receipt | None:
        """What became of a command, None if it was never submitted."""

    def step_up(self, password: str) -> None:
        """Prove the password again (5 minutes) for re-arming, limits, keys and users; raises `AccessDenied`."""

    def stepped_up(self) -> bool:
        """Whether the last step-up still holds."""


class Records(Protocol):
    """What was recorded; paged, newest first."""

    def equity_curve(self, book: str, since: datetime | None, points: int = 1500) -> EquityCurve:
        """Equity and drawdown by market time, thinned to ``points`` without losing extremes."""

    def fills(self, book: str, page: int, size: int, filters: Mapping[str, str]) -> PageOf[FillRow]:
        """Filters: ``instrument``, ``sleeve``, ``since``, ``until`` (ISO)."""

    def orders(self, book: str, page: int, size: int, filters: Mapping[str, str]) -> PageOf[OrderRow]:
        """Filters: ``instrument``, ``sleeve``, ``state``, ``since``, ``until``."""

    def trade_chart(self, book: str, instrument: InstrumentKey, sleeve: str | None, bars: int = 300) -> TradeChart:
        """Candles with the sleeve's fills, stop and target."""

    def journal(self, page: int, size: int, filters: Mapping[str, str]) -> PageOf[JournalRow]:
        """Filters: ``book``, ``kind``, ``text``, ``since``, ``until``."""

    def audit(self, page: int, size: int, filters: Mapping[str, str]) -> PageOf[AuditRow]:
        """Filters: ``actor``, ``action``, ``text``."""

    def verify_chains(self) -> tuple[ChainView, ...]:
        """Recompute every hash chain; takes seconds on a long journal."""

    def export_csv(self, what: str, filters: Mapping[str, str]) -> tuple[str, bytes]:
        """File name and CSV bytes of ``fills``, ``orders``, ``journal``, ``audit``; safe against formulas."""

    def tax_report(self, book: str, year: int, zone: str) -> TaxReport:
        """Realised gains FIFO over the year."""

    def tax_csv(self, book: str, year: int, zone: str) -> tuple[str, bytes]:
        """The same rows as CSV."""

    def log(self, level: str, limit: int) -> tuple[LogRow, ...]:
        """The newest lines of the engine's log."""


class Portfolio(Protocol):
    """Wallets, risk and strategies."""

    def wallets(self, currency: str) -> WalletView:
        """Every balance on every connected or simulated venue; simulated and real are never added."""

    def risk(self, book: str) -> RiskView:
        """Exposure, VaR, stress of a book's positions."""

    def risk_form(self, book: str) -> tuple[FormField, ...]:
        """The book's limits as a form."""

    def strategies(self, book: str) -> tuple[StrategyForm, ...]:
        """Every registered strategy with the form of its configuration in this book."""


class Library(Protocol):
    """Candles, imports and replays."""

    def coverage(self) -> tuple[CoverageRow, ...]:
        """What the candle store holds."""

    def gaps(self, instrument: InstrumentKey, timeframe: str) -> tuple[GapRow, ...]:
        """Every run of missing candles."""

    def candles(self, instrument: InstrumentKey, timeframe: str, bars: int) -> TradeChart:
        """The last candles of a stored series, without marks."""

    def start_import(self, job_id: str, file_name: str, content: bytes, options: Mapping[str, str]) -> JobView:
        """Options: ``venue``, ``kind``, ``timeframe``, ``tick_size``, ``lot_size``, ``min_notional``."""

    def start_download(self, job_id: str, options: Mapping[str, str]) -> JobView:
        """Public candles through the exchange: ``exchange``, ``symbol``, ``timeframe``, ``since``, ``until``."""

    def start_backfill(self, job_id: str, instrument: InstrumentKey, timeframe: str) -> JobView:
        """Fetch the missing candles of a series from its exchange."""

    def start_replay(self, job_id: str, request: Mapping[str, Any]) -> JobView:
        """Start a replay of stored candles as a run of its own.

        Keys: ``series`` [(instrument, timeframe)], ``strategies`` [name], ``settings`` {name: {field: value}},
        ``cash``, ``from`` and ``to`` (ISO or ""), ``brake`` (``latch``, ``off``, ``reset-after=DAYS``), ``costs``
        (``default`` or ``plain``), ``speed`` (0 is as fast as possible, else market seconds a wall second).
        """

    def jobs(self, kind: str | None = None) -> tuple[JobView, ...]:
        """Running and finished jobs, newest first."""

    def cancel_job(self, job_id: str) -> None:
        """Ask a job to stop; what it had stored stays consistent."""

    def replays(self) -> tuple[ReplayView, ...]:
        """Finished and running replays, newest first, without curves."""

    def replay(self, run_id: str) -> ReplayView:
        """One replay with its curve."""

    def delete_replay(self, run_id: str) -> None:
        """Remove a replay that has ended, its files and results; `BadInput` while it runs."""

    def replay_fills(self, run_id: str, page: int, size: int) -> PageOf[FillRow]:
        """Its fills."""


class Operations(Protocol):
    """Health, alerts, connections, people, backups."""

    def health(self) -> tuple[HealthFigure, ...]:
        """The newest measurement of every probe."""

    def health_series(self, name: str, since: datetime, points: int = 400) -> Series:
        """Stored samples of one probe."""

    def alerts(self, page: int, size: int, open_only: bool) -> PageOf[AlertRow]:
        """Alerts, newest first."""

    def acknowledge_alert(self, alert_id: int) -> None:
        """Mark as seen by the actor."""

    def mute_alert(self, key: str, minutes: int) -> None:
        """Do not deliver this key for a while; it is still recorded."""

    def channels(self) -> tuple[ChannelView, ...]:
        """Where alerts go."""

    def add_channel(self, kind: str, label: str, address: str, minimum_severity: str) -> None:
        """``address`` is an Apprise URL; sealed at once."""

    def test_channel(self, channel_id: str) -> str:
        """Send a test; what the channel answered."""

    def remove_channel(self, channel_id: str) -> None:
        """Forget a channel."""

    def exchanges(self) -> tuple[ExchangeView, ...]:
        """What can be connected."""

    def connections(self) -> tuple[ConnectionView, ...]:
        """Connected accounts."""

    def add_connection(self, values: Mapping[str, str]) -> str:
        """Keys: ``exchange``, ``label``, ``key``, ``secret``, ``passphrase``, ``sandbox``; sealed at once; its id."""

    def test_connection(self, connection_id: str) -> ConnectionView:
        """Ask the exchange; its own answer."""

    def remove_connection(self, connection_id: str) -> None:
        """Forget the sealed keys."""

    def users(self) -> tuple[UserRow, ...]:
        """People."""

    def add_user(self, name: str, role: str, password: str) -> None:
        """Raises `BadInput` where the password is too weak."""

    def set_user(self, name: str, role: str | None, disabled: bool | None, password: str | None) -> None:
        """Change a person; ends their sessions."""

    def change_password(self, old: str, new: str) -> None:
        """Change one's own password; ends all one's sessions. A wrong old one counts like a failed sign-in."""

    def sessions(self) -> tuple[SessionRow, ...]:
        """Own sessions; all for an admin."""

    def revoke_session(self, handle: str) -> None:
        """End one session."""

    def settings(self) -> tuple[SettingRow, ...]:
        """Effective settings."""

    def change_setting(self, name: str, value: str) -> None:
        """Versioned; applied at the next start unless its description says at once."""

    def backups(self) -> tuple[BackupRow, ...]:
        """Archives."""

    def start_backup(self, job_id: str) -> JobView:
        """Make one now."""

    def start_paper_feed(self, exchange: str, symbols: Sequence[str], timeframe: str) -> None:
        """Connect the paper book to public market data."""

    def stop_paper_feed(self) -> None:
        """Disconnect it."""

    def stages(self) -> tuple[StageView, ...]:
        """Testnet and live, whether they run or not: their accounts, and what they need."""

    def start_stage(
        self, stage: str, connections: Sequence[str], symbols: Sequence[str], timeframe: str, capital: Decimal
    ) -> None:
        """Start a stage's book at connected accounts (live: after a step-up); raises why it cannot run so."""

    def stop_stage(self, stage: str) -> None:
        """Stop a stage's book; its positions, and the stops that lie at the exchange, stay."""

    def candidates(self, to_book: str) -> tuple[CandidateView, ...]:
        """Strategies that might be promoted into a book: what they have shown, and why not."""

    def convert(self, amount: Decimal, currency: str) -> tuple[Decimal, str] | None:
        """Base currency to a display currency, with the rate's source; None where there is no rate."""


class ConsolePort(TradingDesk, Records, Portfolio, Library, Research, Studies, Operations, Protocol):
    """Everything above."""
