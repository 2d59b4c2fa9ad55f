"""Health, alerts, keys and people of the stand-in console."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np

from engine.domain.commands import (
    Role,
)
from engine.domain.facts import Severity
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
from engine.domain.views import JobView, PageOf, Series
from tests.pages import fake_records as made
from tests.pages import fake_rows as rows_of
from tests.pages.fake_base import FakeBase


class FakeOperations(FakeBase):
    """`Operations` of `engine.domain.facade`."""

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
            else rows_of.wave(name, "%", 40, points)
        )

    def alerts(self, page: int, size: int, open_only: bool) -> PageOf[AlertRow]:
        self._fail("alerts")
        rows = (
            () if self.empty else tuple(row for row in rows_of.alert_rows() if not (open_only and row.acknowledged_by))
        )
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
            ConnectionView(
                "binance/play", "binance", "play", True, None, None, None, "", "http://127.0.0.1:9/binance", True
            ),
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

    def change_password(self, old: str, new: str) -> None:
        self._act("change_password", Role.VIEWER, old, new)

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
