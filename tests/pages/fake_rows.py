"""Deterministic rows and series of the stand-in console: curves, charts, fills, orders, journal, alerts."""

from __future__ import annotations

import math
from datetime import timedelta
from decimal import Decimal

import numpy as np

from engine.domain.facts import Severity
from engine.domain.instruments import InstrumentKey
from engine.domain.operations_views import AlertRow
from engine.domain.trail_views import AuditRow, JournalRow
from engine.domain.views import EquityCurve, FillRow, OrderRow, Series, TradeChart
from tests.pages.fake_records import MARKET_NOW, PRICES, STRATEGIES, USDT


def equity_curve(points: int) -> EquityCurve:
    """A year of equity, thinned."""
    at = (
        np.linspace(0, 365 * 86_400_000, points).astype(np.int64)
        + int(MARKET_NOW.timestamp() * 1000)
        - 365 * 86_400_000
    )
    walk = np.cumsum(np.sin(np.arange(points) * 1.7) * 9 + np.cos(np.arange(points) / 37) * 6 + 0.35)
    equity = 10_000 + walk
    drawdown = equity / np.maximum.accumulate(equity) - 1
    parts = tuple(Series(name, at, walk * (0.5 - 0.2 * place), USDT, "ledger") for place, name in enumerate(STRATEGIES))
    return EquityCurve(at, equity, drawdown, parts, USDT, points)


def trade_chart(instrument: InstrumentKey, bars: int, fills: tuple[FillRow, ...]) -> TradeChart:
    """Candles that end at the instrument's price."""
    last = float(PRICES.get(str(instrument), "64012.50"))
    steps = np.sin(np.arange(bars) * 0.7) * 0.004 + np.cos(np.arange(bars) / 19) * 0.003
    close = last * np.exp(np.cumsum(steps) - steps.sum())
    opened = np.concatenate(([close[0]], close[:-1]))
    at = (int(MARKET_NOW.timestamp()) // 3600 * 3600 - np.arange(bars)[::-1] * 3600).astype(np.int64) * 1000
    high, low = np.maximum(opened, close) * 1.002, np.minimum(opened, close) * 0.998
    volume = 20 + 15 * np.abs(np.sin(np.arange(bars) / 5))
    levels = (last * 0.96, last * 1.06, last)
    return TradeChart(instrument, "1h", True, at, opened, high, low, close, volume, fills, *levels)


def fill_row(index: int) -> FillRow:
    """The ``index``-th newest fill."""
    key = list(PRICES)[index % len(PRICES)]
    return FillRow(
        MARKET_NOW - timedelta(minutes=17 * index),
        "demo",
        True,
        InstrumentKey(key),
        "buy" if index % 3 else "sell",
        Decimal("0.042") * (1 + index % 4),
        Decimal(PRICES[key]),
        Decimal("0.0269"),
        USDT,
        "taker" if index % 2 else "maker",
        STRATEGIES[index % 3],
        ("entry", "exit", "stop")[index % 3],
        f"d1k7m{100_000 - index:06d}",
        f"t-{100_000 - index}",
    )


ENDS = {
    "filled": "filled whole",
    "cancelled": "ended at the venue: it would have traded at once",
    "rejected": "precision: 0.0004 is under the lot 0.001",
    "working": "",
}


def order_row(index: int) -> OrderRow:
    """The ``index``-th newest order."""
    key = list(PRICES)[index % len(PRICES)]
    state = ("filled", "filled", "cancelled", "rejected", "working")[index % 5]
    return OrderRow(
        MARKET_NOW - timedelta(minutes=19 * index),
        MARKET_NOW - timedelta(minutes=17 * index),
        "demo",
        True,
        f"d1k7m{100_000 - index:06d}",
        f"v-{index}",
        InstrumentKey(key),
        "buy" if index % 3 else "sell",
        "market",
        Decimal("0.5"),
        Decimal("0.5") if state == "filled" else Decimal(0),
        None,
        None,
        state,
        "entry",
        STRATEGIES[index % 3],
        "close above the channel",
        Decimal(PRICES[key]) / 3 if state == "filled" else None,
        post_only=state == "cancelled",
        reduce_only=state == "rejected",
        end_reason=ENDS[state],
    )


def journal_row(index: int) -> JournalRow:
    """The ``index``-th newest journal row."""
    at = MARKET_NOW - timedelta(seconds=41 * index)
    kind = ("Fill", "OrderUpdate", "OrderIntent", "EquityMark", "StateChanged")[index % 5]
    return JournalRow(
        5000 - index, "demo", at, at, kind, f"{kind} of demo-a:BTC/USDT <b>&", f'{{"sequence": {5000 - index}}}'
    )


def audit_row(index: int) -> AuditRow:
    """The ``index``-th newest audit row."""
    at = MARKET_NOW - timedelta(minutes=9 * index)
    action = ("sign in", "SetStrategy", "EmergencyStop", "acknowledge alert")[index % 4]
    outcome = "refused: demo: nothing <b>& is latched" if action == "SetStrategy" else ""
    return AuditRow(900 - index, at, "sam", "console", action, "demo", "by hand", outcome)


def alert_rows() -> tuple[AlertRow, ...]:
    """A critical, a warning and an acknowledged one."""
    rows = (
        (
            3,
            "feed.demo-b",
            Severity.CRITICAL,
            "demo-b is silent",
            "no candle for 42 s; entries there are refused",
            3,
            "",
        ),
        (2, "orders.failed", Severity.WARNING, "Three failed orders in a row", "book demo is CLOSE_ONLY", 1, ""),
        (1, "disk", Severity.INFO, "Backup made", "quarterdeck-2026-03-14.tar.zst, 4.1 MB, verified", 1, "sam"),
    )
    return tuple(
        AlertRow(
            number,
            key,
            severity,
            title,
            detail,
            "demo",
            MARKET_NOW - timedelta(minutes=30),
            MARKET_NOW - timedelta(minutes=5 * number),
            count,
            by,
            None,
            "telegram: delivered",
        )
        for number, key, severity, title, detail, count, by in rows
    )


def wave(name: str, unit: str, level: float, points: int) -> Series:
    """Stored samples of a probe."""
    at = (int(MARKET_NOW.timestamp()) - np.arange(points)[::-1] * 60).astype(np.int64) * 1000
    values = level * (1 + 0.2 * np.sin(np.arange(points) / 11)) + 0.01 * math.pi
    return Series(name, at, values, unit, "stored samples, one a minute")
