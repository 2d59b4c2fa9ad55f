"""Records, wallets, risk and strategies of the stand-in console."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np

from engine.domain.errors import BadInput
from engine.domain.instruments import InstrumentKey
from engine.domain.tax_views import TaxKind, TaxReport, TaxRow
from engine.domain.trail_views import AuditRow, ChainView, JournalRow, LogRow
from engine.domain.views import EquityCurve, Figure, FillRow, FormField, OrderRow, PageOf, StrategyForm, TradeChart
from engine.domain.wallet_views import MoneyKind, RiskView, StressRow, WalletView
from tests.pages import fake_records as made
from tests.pages import fake_rows as rows_of
from tests.pages import fake_wallets as wallets_of
from tests.pages.fake_base import FakeBase

EMPTY_CURVE = EquityCurve(np.array([], np.int64), np.array([]), np.array([]), (), "USDT", 0)


class FakeViews(FakeBase):
    """`Records` and `Portfolio` of `engine.domain.facade`."""

    def equity_curve(self, book: str, since: datetime | None, points: int = 1500) -> EquityCurve:
        self._fail("equity_curve")
        return EMPTY_CURVE if self.empty else rows_of.equity_curve(points)

    def fills(self, book: str, page: int, size: int, filters: Mapping[str, str]) -> PageOf[FillRow]:
        self.calls.append(("fills", (book, page, size, dict(filters))))
        return self._page("fills", rows_of.fill_row, page, size)

    def orders(self, book: str, page: int, size: int, filters: Mapping[str, str]) -> PageOf[OrderRow]:
        return self._page("orders", rows_of.order_row, page, size)

    def trade_chart(self, book: str, instrument: InstrumentKey, sleeve: str | None, bars: int = 300) -> TradeChart:
        self._fail("trade_chart")
        fills = tuple(row for row in map(rows_of.fill_row, range(200)) if row.instrument == instrument)
        return rows_of.trade_chart(instrument, bars, fills[:8])

    def journal(self, page: int, size: int, filters: Mapping[str, str]) -> PageOf[JournalRow]:
        return self._page("journal", rows_of.journal_row, page, size)

    def audit(self, page: int, size: int, filters: Mapping[str, str]) -> PageOf[AuditRow]:
        return self._page("audit", rows_of.audit_row, page, size)

    def verify_chains(self) -> tuple[ChainView, ...]:
        self._fail("verify_chains")
        return (
            ChainView("money", 5000, True, None, "every hash follows from the one before"),
            ChainView("control", 900, False, 412, "row 412 does not follow from row 411"),
        )

    def export_csv(self, what: str, filters: Mapping[str, str]) -> tuple[str, bytes]:
        self._fail("export_csv")
        self.calls.append(("export_csv", (what, dict(filters))))
        return f"{what}.csv", b"simulated,at\nSIMULATED,2026-03-14\n"

    def tax_report(self, book: str, year: int, zone: str) -> TaxReport:
        self._fail("tax_report")
        rows = () if self.empty else tuple(_tax_row(index, year) for index in range(40))
        problems = () if self.empty else ("sale t-99 of 0.2 ETH has no earlier purchase for 0.1 ETH",)
        gain = sum((row.gain for row in rows), Decimal(0))
        sums = (Decimal("8200"), Decimal("7954.1"), gain, Decimal("3.2"), Decimal("1.1"), gain + Decimal("2.1"))
        return TaxReport(year, zone, "FIFO", "USDT", True, (*rows, *_funding(year, rows)), *sums, problems)

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

    def wallets(self, currency: str) -> WalletView:
        self._fail("wallets")
        if currency != "USDT" and self.convert(Decimal(1), currency) is None:
            raise BadInput(f"there is no rate for {currency}")
        if self.empty:
            return WalletView(currency, (), (), None)
        kinds = (MoneyKind.SIMULATED,) if not self.connected else (MoneyKind.REAL, MoneyKind.SIMULATED)
        groups = tuple(wallets_of.group(kind, self.risk("demo")) for kind in kinds)
        accounts = wallets_of.accounts() if self.connected else ()
        return WalletView(currency, groups, accounts, made.MARKET_NOW)

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
            FormField("brake_drawdown", "Brake at drawdown (%)", "number", "0.10", "0.10", 0.01, 0.5, (), "share"),
            FormField("max_leverage", "Largest leverage (x)", "number", "3", "3", 1, 10, ()),
            FormField("daily_loss", "Largest loss in a day, %", "number", "0.03", "0.03", 0, 0.5, (), "share"),
            FormField("max_orders_per_minute", "Orders a minute", "integer", 30, 30, 1, 600, ()),
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
        titles = {"momentum": "Trend momentum", "mean_reversion": "Mean reversion", "breakout": "Channel breakout"}
        return tuple(
            StrategyForm(name, title, f"{title}: what it does in one sentence.", fields)
            for name, title in titles.items()
        )

    def convert(self, amount: Decimal, currency: str) -> tuple[Decimal, str] | None:
        return (amount * Decimal("0.92"), "EUR/USDT 12 min ago") if currency == "EUR" else None


def _tax_row(index: int, year: int) -> TaxRow:
    sold = datetime(year, 2, 1, tzinfo=UTC) + timedelta(days=index)
    kind = (TaxKind.SALE, TaxKind.LONG, TaxKind.SHORT)[index % 3]
    return TaxRow(
        kind, sold, sold - timedelta(days=40), ("BTC", "ETH", "SOL")[index % 3], "demo-a",
        Decimal("0.01") * (index + 1),
        Decimal("205"), Decimal("198.85") + index % 4 * 4, Decimal("0.2"), Decimal("6.15") - index % 4 * 4, 40,
        f"t-{index}", f"t-{index - 1}",
    )  # fmt: skip


def _funding(year: int, rows: tuple[TaxRow, ...]) -> tuple[TaxRow, ...]:
    at, zero = datetime(year, 3, 1, 8, tzinfo=UTC), Decimal(0)
    payments = ((TaxKind.INCOME, Decimal("3.2"), zero), (TaxKind.EXPENSE, zero, Decimal("1.1")))
    return tuple(
        TaxRow(
            kind, at, at, "", "demo-b", zero, income, expense, zero, income - expense, 0, kind.name, "",
            "funding of BTC/USDT:USDT",
        )
        for kind, income, expense in payments
        if rows
    )  # fmt: skip
