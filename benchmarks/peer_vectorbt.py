"""The workloads of `backtest` in vectorbt; run by that environment's interpreter with a folder and an engine's name."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import vectorbt as vbt
from peer_loop import Work, serve

FOLDER, ENGINE = Path(sys.argv[1]), sys.argv[2]
vbt.settings["engine"] = ENGINE


def edges(above: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Entries and exits at the closes where the wish changes; the last close has no bar after it to fill in."""
    before = np.zeros_like(above)
    before[1:] = above[:-1]
    entries, exits = above & ~before, before & ~above
    entries[-1] = exits[-1] = False
    return entries, exits


def figures(made: Any) -> tuple[int, float]:
    """Completed trades and final equity."""
    return int(np.sum(made.trades.closed.count())), float(np.sum(made.final_value()))


def crossed(data: Any, fast: Any, slow: Any, **more: Any) -> Any:
    """Averages of whole ticks (so that ties are exact), then signals filled at the close: the next bar's open here."""
    ticks = data["ticks"]
    above = vbt.MA.run(ticks, fast).ma.to_numpy() > vbt.MA.run(ticks, slow).ma.to_numpy()
    entries, exits = edges(above)
    close = data["close"].reshape(-1, *[1] * (above.ndim - 1))
    return vbt.Portfolio.from_signals(
        close, entries, exits, fees=float(data["fee"]), init_cash=float(data["cash"]), freq="1min", **more
    )


def cross() -> Work:
    """One run."""
    data = dict(np.load(FOLDER / "cross.npz"))
    return lambda: figures(crossed(data, int(data["fast"]), int(data["slow"])))


def levels() -> Work:
    """One run with a stop and a target; their distances, shares of the entry, are given and not timed."""
    data = dict(np.load(FOLDER / "cross.npz"))
    more = {
        "sl_stop": data["stop_share"],
        "tp_stop": data["target_share"],
        "open": data["open"],
        "high": data["high"],
        "low": data["low"],
        "stop_entry_price": "fillprice",
    }
    return lambda: figures(crossed(data, int(data["fast"]), int(data["slow"]), **more))


def sweep() -> Work:
    """Every pair; trades and equity are sums over the pairs."""
    data = dict(np.load(FOLDER / "sweep.npz"))
    fast, slow = data["pairs"].T.tolist()
    return lambda: figures(crossed(data, fast, slow))


def portfolio() -> Work:
    """The strongest of many, rebalanced; choosing is left to numpy at the rebalanced bars alone. Orders, not trades."""
    data = dict(np.load(FOLDER / "portfolio.npz"))

    def run() -> tuple[int, float]:
        closes, lookback, every = data["closes"], int(data["lookback"]), int(data["every"])
        decided = np.arange(-(-(lookback + 1) // every) * every - 1, len(closes) - 1, every)
        rises = closes[decided] / closes[decided - lookback]
        chosen = np.argsort(-rises, axis=1, kind="stable")[:, : int(data["top"])]
        targets = np.full(closes.shape, np.nan)
        targets[decided + 1] = 0.0
        targets[decided[:, None] + 1, chosen] = float(data["share"]) / int(data["top"])
        made = vbt.Portfolio.from_orders(
            closes, targets, size_type="targetpercent", price=data["opens"], fees=float(data["fee"]),
            init_cash=float(data["cash"]), cash_sharing=True, group_by=True, call_seq="auto", freq="1h",
        )  # fmt: skip
        return int(np.sum(made.orders.count())), float(np.sum(made.final_value()))

    return run


if __name__ == "__main__":
    serve({"cross": cross, "levels": levels, "sweep": sweep, "portfolio": portfolio})
