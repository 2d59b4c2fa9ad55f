"""A stand-in for the whole console: deterministic, varied, and able to be empty, stale, stopped or broken."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar

import numpy as np

from engine.domain.commands import (
    REQUIRED_ROLE,
    Actor,
    CommandBody,
    CommandStatus,
    Rearm,
    Receipt,
    Role,
    TradingState,
)
from engine.domain.errors import AccessDenied, BadInput, QuarterdeckError
from engine.domain.facts import Severity
from engine.domain.instruments import InstrumentKey
from engine.domain.portfolio import BookSnapshot, EngineSnapshot, PeriodPnl
from engine.domain.views import (
    AlertRow,
    AuditRow,
    BackupRow,
    ChainView,
    ChannelView,
    ConnectionView,
    CoverageRow,
    EquityCurve,
    ExchangeView,
    Figure,
    FillRow,
    FormField,
    GapRow,
    HealthFigure,
    HoldingRow,
    JobState,
    JobView,
    JournalRow,
    LogRow,
    OrderRow,
    PageOf,
    ReplayView,
    RiskView,
    Series,
    SessionRow,
    SettingRow,
    StrategyForm,
    StressRow,
    TaxReport,
    TaxRow,
    TradeChart,
    UserRow,
    WalletView,
)
from tests.pages import fake_records as made

Row = TypeVar("Row")
_PROVEN = ("add_connection", "remove_connection", "add_user", "set_user", "change_setting")
_PROVEN = ("add_connection", "remove_connection", "add_user", "set_user", "change_setting")
EMPTY_CURVE = EquityCurve(np.array([], np.int64), np.array([]), np.array([]), (), "USDT", 0)


@dataclass(slots=True)
class FakeConsole:
    """Every call of `engine.domain.facade.ConsolePort`; ``broken`` maps a call's name to the error it raises."""

    role: Role = Role.ADMIN
    empty: bool = False
    stale_s: float = 0.4
    stop: str = ""
    broken: dict[str, QuarterdeckError] = field(default_factory=dict)
    refuses: str = ""
    pending: bool = False
    proven: bool = False
    submitted: dict[str, tuple[CommandBody, str]] = field(default_factory=dict)
    submits: int = 0
    calls: list[tuple[str, tuple[Any, ...]]] = field(default_factory=list)
    ids: int = 0
    job_list: list[JobView] = field(default_factory=list)

    # trading desk
    @property
    def actor(self) -> Actor:
        return Actor("sam", self.role, "console")

    def snapshot(self) -> EngineSnapshot:
        self._fail("snapshot")
        now = datetime.now(UTC) - timedelta(seconds=self.stale_s)
        books = (self._book(now), replace(_bare(now), name="paper", stage="paper"))
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
        if isinstance(body, Rearm) and not self.proven:
            raise AccessDenied("re-arming needs your password again")
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
        return Receipt(command_id, CommandStatus.DONE, "carried out at sequence 5001")

    def step_up(self, password: str) -> None:
        if password != "correct horse":
            raise AccessDenied("the password is not right")
        self.proven = True

    def stepped_up(self) -> bool:
        return self.proven

    # records
    def equity_curve(self, book: str, since: datetime | None, points: int = 1500) -> EquityCurve:
        self._fail("equity_curve")
        return EMPTY_CURVE if self.empty else made.equity_curve(points)

    def fills(self, book: str, page: int, size: int, filters: Mapping[str, str]) -> PageOf[FillRow]:
        self.calls.append(("fills", (book, page, size, dict(filters))))
        return self._page("fills", made.fill_row, page, size)

    def orders(self, book: str, page: int, size: int, filters: Mapping[str, str]) -> PageOf[OrderRow]:
        return self._page("orders", made.order_row, page, size)

    def trade_chart(self, book: str, instrument: InstrumentKey, sleeve: str | None, bars: int = 300) -> TradeChart:
        self._fail("trade_chart")
        fills = tuple(row for row in map(made.fill_row, range(200)) if row.instrument == instrument)
        return made.trade_chart(instrument, bars, fills[:8])

    def journal(self, page: int, size: int, filters: Mapping[str, str]) -> PageOf[JournalRow]:
        return self._page("journal", made.journal_row, page, size)

    def audit(self, page: int, size: int, filters: Mapping[str, str]) -> PageOf[AuditRow]:
        return self._page("audit", made.audit_row, page, size)

    def verify_chains(self) -> tuple[ChainView, ...]:
        self._fail("verify_chains")
        return (
            ChainView("money", 5000, True, None, "every hash follows from the one before"),
            ChainView("control", 900, False, 412, "row 412 does not follow from row 411"),
        )

    def export_csv(self, what: str, filters: Mapping[str, str]) -> tuple[str, bytes]:
        self._fail("export_csv")
        return f"{what}.csv", b"simulated,at\nSIMULATED,2026-03-14\n"

    def tax_report(self, book: str, year: int, zone: str) -> TaxReport:
        self._fail("tax_report")
        rows = () if self.empty else tuple(_tax_row(index, year) for index in range(40))
        problems = () if self.empty else ("sale t-99 of 0.2 ETH has no earlier purchase for 0.1 ETH",)
        gain = sum((row.gain for row in rows), Decimal(0))
        return TaxReport(year, zone, "FIFO", "USDT", True, rows, Decimal("8200"), Decimal("7954.1"), gain, problems)

    def tax_csv(self, book: str, year: int, zone: str) -> tuple[str, bytes]:
        return f"gains-{year}.csv", b"simulated,asset\nSIMULATED,BTC\n"

    def log(self, level: str, limit: int) -> tuple[LogRow, ...]:
        self._fail("log")
        if self.empty:
            return ()
        return tuple(
            LogRow(made.MARKET_NOW - timedelta(seconds=index), ("info", "warning", "error")[index % 3], "feed", "<i>x")
            for index in range(min(limit, 40))
        )

    # portfolio
    def wallets(self, currency: str) -> WalletView:
        self._fail("wallets")
        if currency != "USDT" and self.convert(Decimal(1), currency) is None:
            raise BadInput(f"there is no rate for {currency}")
        if currency != "USDT" and self.convert(Decimal(1), currency) is None:
            raise BadInput(f"there is no rate for {currency}")
        if self.empty:
            return WalletView(currency, Decimal(0), (), (), (), (), self.risk("demo"), None)
        rows = tuple(_holding(index) for index in range(6))
        return WalletView(
            currency,
            Decimal("10432.18"),
            rows,
            ("PEPE",),
            (("USDT", Decimal("7620.42")), ("BTC", Decimal("2694.93")), ("ETH", Decimal("116.83"))),
            (("demo-a", Decimal("8022.18")), ("demo-b", Decimal("2410.00"))),
            self.risk("demo"),
            made.MARKET_NOW,
        )

    def risk(self, book: str) -> RiskView:
        self._fail("risk")
        if self.empty:
            unknown = Figure("VaR 95 %, 1 day", None, "USDT", "0 days of history, at least 60 needed")
            return RiskView((unknown,), (), (), (), (), 0)
        figures = (
            Figure("VaR 95 %, 1 day", 142.2, "USDT", "historical, n = 250"),
            Figure("CVaR 95 %, 1 day", 201.9, "base", "historical, mean of the worst 13 of 250 days"),
            Figure("VaR 99 %, 1 day", None, "USDT", "250 days, at least 500 needed"),
            Figure("Volatility, yearly", 0.31, "share", "daily returns, 250 days"),
            Figure("Effective number of coins", 2.4, "coins", "inverse Herfindahl"),
        )
        stress = (
            StressRow(
                "COVID crash", "2020-03-08 to 2020-03-13", -1422.1, -0.136, "BTC and ETH own returns, SOL by ETH"
            ),
            StressRow("LUNA collapse", "2022-05-05 to 2022-05-13", -988.4, -0.095, "own returns"),
            StressRow("FTX collapse", "2022-11-05 to 2022-11-10", -640.0, -0.061, "own returns"),
        )
        exposures = (
            ("BTC", Decimal("2694.93"), Decimal("0.258")),
            ("ETH", Decimal("-1935.03"), Decimal("-0.185")),
            ("SOL", Decimal("781.65"), Decimal("0.075")),
        )
        coins = ("BTC", "ETH", "SOL")
        matrix = ((1.0, 0.82, 0.71), (0.82, 1.0, 0.77), (0.71, 0.77, 1.0))
        return RiskView(figures, exposures, coins, matrix, stress, 250)

    def risk_form(self, book: str) -> tuple[FormField, ...]:
        self._fail("risk_form")
        return (
            FormField(
                "mode", "Mode", "choice", "conservative", "conservative", None, None, ("conservative", "aggressive")
            ),
            FormField("brake_drawdown", "Brake at drawdown (share)", "number", "0.10", "0.10", 0.01, 0.5, ()),
            FormField("max_leverage", "Largest leverage (x)", "number", "3", "3", 1, 10, ()),
            FormField("orders_a_minute", "Orders a minute", "integer", 30, 30, 1, 600, ()),
            FormField("hedge", "Hedge by itself", "boolean", False, False, None, None, ()),
        )

    def strategies(self, book: str) -> tuple[StrategyForm, ...]:
        self._fail("strategies")
        fields = (
            FormField("fast_bars", "Fast window (bars)", "integer", 20, 20, 2, 500, ()),
            FormField("threshold", "Entry threshold (ATR)", "number", "1.5", "1.5", 0.1, 10, ()),
            FormField("timeframe", "Timeframe", "choice", "1h", "1h", None, None, ("5m", "1h", "4h")),
            FormField("trend_filter", "Trade with the trend only", "boolean", True, True, None, None, ()),
            FormField("label", "Note", "text", "first try", "", None, None, ()),
        )
        titles = {"momentum": "Momentum", "mean_reversion": "Mean reversion", "breakout": "Volatility breakout"}
        return tuple(
            StrategyForm(name, title, f"{title}: what it does in one sentence.", fields)
            for name, title in titles.items()
        )

    # library
    def coverage(self) -> tuple[CoverageRow, ...]:
        self._fail("coverage")
        if self.empty:
            return ()
        return tuple(
            CoverageRow(
                InstrumentKey(f"binance:{coin}/USDT"),
                "spot",
                "1h",
                52_608 - 24 * index,
                datetime(2020, 1, 1, tzinfo=UTC),
                datetime(2026, 1, 1, tzinfo=UTC),
                index * 3,
                index * 24,
                index,
                f"{coin}_USDT-1h.parquet",
                made.MARKET_NOW,
            )
            for index, coin in enumerate(("BTC", "ETH", "SOL"))
        )

    def gaps(self, instrument: InstrumentKey, timeframe: str) -> tuple[GapRow, ...]:
        first = datetime(2021, 4, 25, 4, tzinfo=UTC)
        return (GapRow(first, first + timedelta(hours=3), 4),)

    def candles(self, instrument: InstrumentKey, timeframe: str, bars: int) -> TradeChart:
        return replace(made.trade_chart(instrument, bars, ()), simulated=False, stop_price=None, target_price=None)

    def start_import(self, job_id: str, file_name: str, content: bytes, options: Mapping[str, str]) -> JobView:
        self._need(Role.OPERATOR)
        return self._job(job_id, "import", file_name, (file_name, len(content), dict(options)))

    def start_download(self, job_id: str, options: Mapping[str, str]) -> JobView:
        return self._job(job_id, "download", options.get("symbol", ""), (dict(options),))

    def start_backfill(self, job_id: str, instrument: InstrumentKey, timeframe: str) -> JobView:
        return self._job(job_id, "backfill", f"{instrument} {timeframe}", (instrument, timeframe))

    def start_replay(self, job_id: str, request: Mapping[str, Any]) -> JobView:
        return self._job(job_id, "replay", "momentum", (dict(request),))

    def _job(self, job_id: str, kind: str, title: str, arguments: tuple[Any, ...]) -> JobView:
        self._fail(f"start_{kind}")
        known = next((job for job in self.job_list if job.job_id == job_id), None)
        if known is not None:
            return known
        self.calls.append((f"start_{kind}", arguments))
        job = JobView(job_id, kind, title, JobState.RUNNING, 0.42, "row 22,000", made.MARKET_NOW, 3.2, 4.4, "")
        self.job_list.append(job)
        return job

    def jobs(self, kind: str | None = None) -> tuple[JobView, ...]:
        self._fail("jobs")
        return tuple(job for job in self.job_list if kind in (None, job.kind))

    def cancel_job(self, job_id: str) -> None:
        self.calls.append(("cancel_job", (job_id,)))

    def replays(self) -> tuple[ReplayView, ...]:
        self._fail("replays")
        return () if self.empty else tuple(self._replay(f"r-{index}") for index in range(3))

    def replay(self, run_id: str) -> ReplayView:
        return replace(self._replay(run_id), curve=made.equity_curve(400))

    def _replay(self, run_id: str) -> ReplayView:
        job = JobView(run_id, "replay", "momentum", JobState.DONE, 1.0, "done", made.MARKET_NOW, 4.1, 0.0, "{}")
        digest = "9f2c4be1" * 8
        return ReplayView(
            run_id, job, "momentum", '{"brake": "latch", "costs": "default"}', ("binance:BTC/USDT",), 52_584, 311, 640,
            Decimal("14210.55"), Decimal(10_000), Decimal("602.11"), digest, 48_211.0, None,
        )  # fmt: skip

    def replay_fills(self, run_id: str, page: int, size: int) -> PageOf[FillRow]:
        return self._page("replay_fills", made.fill_row, page, size)

    # operations
    def health(self) -> tuple[HealthFigure, ...]:
        self._fail("health")
        at = datetime.now(UTC)
        rows = (
            ("cpu", "CPU", 31.0, "%", 85.0),
            ("memory", "Memory", 92.4, "%", 90.0),
            ("disk", "Disk", 61.0, "%", 95.0),
            ("loop", "Loop latency p99", 0.0007, "s", 0.01),
            ("venue", "Exchange latency", None, "s", 5.0),
            ("errors", "Error rate", 0.2, "%", 5.0),
        )
        return tuple(
            HealthFigure(name, title, value, unit, limit, None if value is None else value < limit, at, note)
            for name, title, value, unit, limit in rows
            for note in ("not asked yet" if value is None else "last minute",)
        )

    def health_series(self, name: str, since: datetime, points: int = 400) -> Series:
        self._fail("health_series")
        return (
            Series(name, np.array([], np.int64), np.array([]), "%", "")
            if self.empty
            else made.wave(name, "%", 40, points)
        )

    def alerts(self, page: int, size: int, open_only: bool) -> PageOf[AlertRow]:
        self._fail("alerts")
        rows = () if self.empty else tuple(row for row in made.alert_rows() if not (open_only and row.acknowledged_by))
        return PageOf(rows[(page - 1) * size : page * size], len(rows), page, size)

    def acknowledge_alert(self, alert_id: int) -> None:
        self._act("acknowledge_alert", Role.OPERATOR, alert_id)

    def mute_alert(self, key: str, minutes: int) -> None:
        self._act("mute_alert", Role.OPERATOR, key, minutes)

    def channels(self) -> tuple[ChannelView, ...]:
        if self.empty:
            return ()
        at = made.MARKET_NOW
        return (
            ChannelView("ch-1", "telegram", "Phone", "telegram, api.telegram.org", Severity.WARNING, "delivered", at),
        )

    def add_channel(self, kind: str, label: str, address: str, minimum_severity: str) -> None:
        self._act("add_channel", Role.ADMIN, kind, label, address, minimum_severity)

    def test_channel(self, channel_id: str) -> str:
        self._act("test_channel", Role.OPERATOR, channel_id)
        return "telegram answered 200"

    def remove_channel(self, channel_id: str) -> None:
        self._act("remove_channel", Role.ADMIN, channel_id)

    def exchanges(self) -> tuple[ExchangeView, ...]:
        return (
            ExchangeView("binance", "Binance", True, False, "make a key without the right to withdraw"),
            ExchangeView("kucoin", "KuCoin", False, True, "the passphrase was chosen when the key was made"),
        )

    def connections(self) -> tuple[ConnectionView, ...]:
        self._fail("connections")
        if self.empty:
            return ()
        at = made.MARKET_NOW
        return (
            ConnectionView("cn-1", "binance", "main", True, at, at, True, "spot trading allowed, no right to withdraw"),
            ConnectionView("cn-2", "kucoin", "second", False, at, None, None, ""),
        )

    def add_connection(self, values: Mapping[str, str]) -> str:
        self._act("add_connection", Role.ADMIN, dict(values))
        return "cn-3"

    def test_connection(self, connection_id: str) -> ConnectionView:
        self._act("test_connection", Role.OPERATOR, connection_id)
        return self.connections()[0]

    def remove_connection(self, connection_id: str) -> None:
        self._act("remove_connection", Role.ADMIN, connection_id)

    def users(self) -> tuple[UserRow, ...]:
        self._fail("users")
        self._need(Role.ADMIN)
        at = made.MARKET_NOW
        return (UserRow("sam", Role.ADMIN, False, at, at), UserRow("eva", Role.VIEWER, True, at, None))

    def add_user(self, name: str, role: str, password: str) -> None:
        self._act("add_user", Role.ADMIN, name, role, password)

    def set_user(self, name: str, role: str | None, disabled: bool | None, password: str | None) -> None:
        self._act("set_user", Role.ADMIN, name, role, disabled, password)

    def sessions(self) -> tuple[SessionRow, ...]:
        at = datetime.now(UTC)
        return (
            SessionRow("h-1", "sam", "127.0.0.1", "Chromium 140", at, at, True),
            SessionRow(
                "h-2", "sam", "127.0.0.1", "Firefox 143", at - timedelta(days=1), at - timedelta(hours=3), False
            ),
        )

    def revoke_session(self, handle: str) -> None:
        self._act("revoke_session", Role.VIEWER, handle)

    def settings(self) -> tuple[SettingRow, ...]:
        return (
            SettingRow("display.currency", "EUR", "console", "Currency shown beside the base currency"),
            SettingRow("display.time_zone", "UTC", "default", "Zone of times in tables"),
            SettingRow("display.density", "compact", "default", "compact or roomy"),
            SettingRow("server.port", "8501", "environment", "Port of the console"),
        )

    def change_setting(self, name: str, value: str) -> None:
        self._act("change_setting", Role.ADMIN, name, value)

    def backups(self) -> tuple[BackupRow, ...]:
        if self.empty:
            return ()
        return (
            BackupRow(
                "quarterdeck-2026-03-14.tar.zst", made.MARKET_NOW, 4_100_000, True, "restored into a scratch folder"
            ),
        )

    def start_backup(self, job_id: str) -> JobView:
        return self._job(job_id, "backup", "backup", ())

    def start_paper_feed(self, exchange: str, symbols: Sequence[str], timeframe: str) -> None:
        self._act("start_paper_feed", Role.OPERATOR, exchange, tuple(symbols), timeframe)

    def stop_paper_feed(self) -> None:
        self._act("stop_paper_feed", Role.OPERATOR)

    def convert(self, amount: Decimal, currency: str) -> tuple[Decimal, str] | None:
        return (amount * Decimal("0.92"), "EUR/USDT 12 min ago") if currency == "EUR" else None

    # stand-in
    def named(self, name: str) -> list[tuple[Any, ...]]:
        """Arguments of every recorded call of that name."""
        return [arguments for called, arguments in self.calls if called == name]

    def _act(self, name: str, needed: Role, *arguments: Any) -> None:
        self._fail(name)
        self._need(needed)
        if name in _PROVEN and not self.proven:
            raise AccessDenied(f"{name} needs your password again")
        if name in _PROVEN and not self.proven:
            raise AccessDenied(f"{name} needs your password again")
        self.calls.append((name, arguments))

    def _fail(self, name: str) -> None:
        if name in self.broken:
            raise self.broken[name]

    def _need(self, needed: Role) -> None:
        if not self.role.allows(needed):
            raise AccessDenied(f"sam is {self.role.value}; this needs {needed.value}")

    def _page(self, name: str, make: Callable[[int], Row], page: int, size: int) -> PageOf[Row]:
        self._fail(name)
        assert page >= 1, "pages count from one"
        total = 0 if self.empty else 312
        rows = tuple(make(index) for index in range((page - 1) * size, min(total, page * size)))
        return PageOf(rows, total, page, size)


def _bare(now: datetime) -> BookSnapshot:
    """A book that has not seen a market yet."""
    zero, cash = Decimal(0), Decimal(10_000)
    return BookSnapshot(
        name="paper", stage="paper", simulated=False, base_currency="USDT", state=TradingState.ACTIVE, latched=False,
        state_reason="", market_time=None, published_at=now, sequence=5000, equity=cash, cash=cash, capital=cash,
        unrealised=zero, realised=zero, fees=zero, funding=zero, peak_equity=cash, drawdown=zero,
        pnl=PeriodPnl(zero, zero, zero), speed=None, positions=(), orders=(), sleeves=(),
        allocation='{"method": "fixed"}', balances=(), instruments=(), marks=(), feeds=(), limits=(),
        risk='{"mode": "conservative"}', refused=(), stop=None, fills=0, unpriced=(),
    )  # fmt: skip


def _tax_row(index: int, year: int) -> TaxRow:
    sold = datetime(year, 2, 1, tzinfo=UTC) + timedelta(days=index)
    return TaxRow(
        sold, sold - timedelta(days=40), ("BTC", "ETH", "SOL")[index % 3], "demo-a", Decimal("0.01") * (index + 1),
        Decimal("205"), Decimal("198.85") + index % 4 * 4, Decimal("0.2"), Decimal("6.15") - index % 4 * 4, 40,
        f"t-{index}", f"t-{index - 1}",
    )  # fmt: skip


def _holding(index: int) -> HoldingRow:
    rows = (
        ("demo-a", "USDT", "5210.42", "1", "base currency"),
        ("demo-a", "BTC", "0.0421", "64012.50", "mid"),
        ("demo-b", "USDT", "2410.00", "1", "base currency"),
        ("demo-a", "ETH", "0.0374", "3120.44", "mid"),
        ("demo-a", "SOL", "5.5", "142.118", "last close"),
        ("demo-a", "PEPE", "1200000", None, "no market"),
    )
    venue, coin, total, price, source = rows[index]
    value = None if price is None else Decimal(total) * Decimal(price)
    share = None if value is None else value / Decimal("10432.18")
    held = Decimal(total)
    return HoldingRow(
        venue, True, "spot", coin, held, held, None if price is None else Decimal(price), source, value, share,
        held if coin in {"BTC", "SOL"} else Decimal(0),
    )  # fmt: skip
