"""A backtest's record written by hand: what a run hands over, with every part filled in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from engine.runtime.research_files import StoredCurve

FIRST = datetime(2023, 11, 1, tzinfo=UTC)
DAYS = 420


def figure(
    value: float | None, low: float | None = None, high: float | None = None, reason: str = ""
) -> dict[str, Any]:
    return {"value": value, "low": low, "high": high, "reason": reason}


def trade(index: int) -> dict[str, Any]:
    """The ``index``-th trade: two won, one lost, one short in four."""
    entry = FIRST + timedelta(days=4 * index)
    pnl = -42.5 if index % 3 == 2 else 61.25 + index
    return {
        "instrument": "binance:BTC/USDT" if index % 2 else "binance:ETH/USDT",
        "side": "sell" if index % 4 == 3 else "buy",
        "quantity": "0.05",
        "entry_time": entry.isoformat().replace("+00:00", "Z"),
        "entry_price": "40000.10",
        "exit_time": (entry + timedelta(hours=30 + index)).isoformat().replace("+00:00", "Z"),
        "exit_price": "40600.20",
        "exit_reason": "stop" if index % 3 == 2 else "signal",
        "fees": "4.03",
        "pnl": str(pnl),
        "stop_price": "39200",
        "strategy": "momentum",
        "bars_held": 30 + index,
    }


def record(**changes: Any) -> dict[str, Any]:
    """A complete record; ``changes`` replace its parts."""
    sha = "ab12" * 16
    series = [
        {"instrument": f"binance:{coin}/USDT", "timeframe": "1h", "bars": 24 * DAYS, "sha256": sha,
         "first": "2023-11-01T00:00:00.000000Z", "last": "2024-12-24T23:00:00.000000Z"}
        for coin in ("BTC", "ETH")
    ]  # fmt: skip
    metrics = {
        "net_return": figure(0.1832, -0.0921, 0.4417),
        "cagr": figure(0.157, -0.08, 0.371),
        "sharpe": figure(0.91, -0.42, 2.17),
        "sortino": figure(1.33, -0.6, 3.2),
        "calmar": figure(1.24),
        "max_drawdown": figure(-0.1266, -0.24, -0.08),
        "drawdown_days": figure(88),
        "win_rate": figure(0.667, 0.57, 0.75),
        "payoff": figure(None, reason="no trade has lost"),
        "trades": figure(105),
        "expectancy": figure(17.45, -2.1, 36.0),
        "exposure": figure(0.38),
        "turnover": figure(21.4),
        "cost_share": figure(0.22),
    }
    hold = {"net_return": figure(1.21), "sharpe": figure(1.62), "max_drawdown": figure(-0.315)}
    steady = {"net_return": figure(0.47), "sharpe": figure(1.71), "max_drawdown": figure(-0.129)}
    made = {
        "id": "b-1", "made_at": "2026-03-14T09:00:00.000000Z", "revision": "0.1.0+1a2b3c", "engine": "kernel",
        "below_minimum": 3,
        "strategy": "momentum", "settings": {"fast_ema_bars": 24, "slow_ema_bars": 72}, "series": series,
        "from": "", "to": "", "costs": {"name": "default", "taker_bps": "10"}, "risk": {"mode": "conservative"},
        "brake": "latch", "cash": "10000", "currency": "USDT", "seed": 7, "bars": 20_160, "seconds": 1.4, "study": None,
        "trial": None, "final_equity": "11832.25", "fees": "423.15", "funding": "0", "stopped_at": None,
        "stop_reason": "", "trades": [trade(index) for index in range(105)], "metrics": metrics, "buy_and_hold": hold,
        "volatility_hold": steady,
        "years": [
            {"year": 2023, "net_return": 0.021, "max_drawdown": -0.03, "sharpe": 0.8, "trades": 15, "hold_return": 0.2},
            {"year": 2024, "net_return": 0.159, "max_drawdown": -0.1266, "sharpe": 0.95, "trades": 90,
             "hold_return": 0.81},
        ],
        "months": [
            {"year": 2023 + month // 12, "month": month % 12 + 1, "return": (-1) ** month * 0.01 * (month % 5)}
            for month in range(10, 24)
        ],
        "regimes": [
            {"name": "rising market", "share": 0.4, "net_return": 0.2, "sharpe": 1.4},
            {"name": "falling market", "share": 0.6, "net_return": -0.014, "sharpe": None},
        ],
        "double_costs": {"final_equity": "11409.10", "net_return": 0.1409, "sharpe": 0.71},
        "null": {"percentile": 0.81, "draws": 1000, "reason": ""},
        "trade_order": {"worst_twentieth_drawdown": -0.21, "draws": 1000, "reason": ""},
        "costs_paid": {"fees": "423.15", "spread_and_slippage": "211.20", "funding": "0"},
        "exit_reasons": [{"reason": "signal", "trades": 70, "pnl": "3320.75"},
                         {"reason": "stop", "trades": 35, "pnl": "-1487.50"}],
        "verdict": {"level": "not distinguishable from luck",
                    "line": "Not distinguishable from luck: better than 81 % of random entries; 95 % are asked for.",
                    "reasons": ["better than 81 % of random entries; 95 % are asked for", "no study was made"]},
        "overfitting": {"trials": 1, "deflated_sharpe": 0.83, "pbo": None, "minimum_track_record_days": 610.0,
                        "reason": "one trial is no choice among trials"},
    }  # fmt: skip
    return {**made, **changes}


def curve(points: int = 2000) -> StoredCurve:
    """Equity that ends where the record ends, with a hold beside it."""
    at_ms = int(FIRST.timestamp() * 1000) + np.linspace(0, DAYS * 86_400_000, points).astype(np.int64)
    equity = 10_000 + np.linspace(0, 1832.25, points) + 300 * np.sin(np.arange(points) / 40)
    hold = 10_000 * (1 + np.linspace(0, 1.21, points))
    return StoredCurve(at_ms, equity, np.minimum(0.0, equity / np.maximum.accumulate(equity) - 1), hold)
