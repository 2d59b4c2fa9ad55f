"""Bars a second through the replay, the very loop that trades. ``python -m benchmarks.replay_speed [--peer PYTHON]``.

Three runs: one coin with momentum, three coins with every strategy, and one coin with the crossing of two moving
averages, which a peer can do too. The peer runs in the same measurement, in an environment of its own that
``--peer`` names by its interpreter; both then see the same candles and must make the same number of trades.
"""

from __future__ import annotations

import gc
import json
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.markets import Series, made, recorded
from benchmarks.measuring import ROOT, parser, tell
from engine.domain.instruments import InstrumentKey
from engine.domain.market import CandleArrays, FloatArray, Timeframe
from engine.exchanges.paper import PaperCosts
from engine.market.windows import CandleWindow
from engine.risk.limits import RiskConfig, Sizer
from engine.simulation.foresight import Values
from engine.simulation.opinions import PrecomputedOpinions
from engine.simulation.replay import Replay, ReplayConfig, ReplayResult
from engine.simulation.replay_source import ReplaySource
from engine.strategies import STRATEGIES
from engine.strategies.warm import compile_all
from engine.trading.config import BrakeMode
from engine.trading.sleeves import Opinion, Opinions, Sleeve

COINS = ("BTC", "ETH", "SOL")
FAST, SLOW = 20, 100
CASH = Decimal(100_000)
MADE_BARS = 70_000
FREE = PaperCosts(
    maker_bps=Decimal(10),
    taker_bps=Decimal(10),
    spread_bps=Decimal(0),
    slippage_bps=Decimal(0),
    volume_share=None,
)
"""What the peer's venue charges: a fee and nothing else."""
UNLIMITED = RiskConfig(
    sizer=Sizer.WEIGHTS, max_position_share=Decimal(1), max_exposure=Decimal(10), max_concentration=Decimal(10)
)


@dataclass(frozen=True, slots=True)
class CrossOpinions:
    """All in while the fast average is above the slow one, else out; computed ahead, as a replay may."""

    convictions: Mapping[int, float]

    @classmethod
    def of(cls, candles: CandleArrays) -> CrossOpinions:
        """Averages over the whole series."""
        above = np.where(_mean(candles.close, FAST) > _mean(candles.close, SLOW), 1.0, 0.0)
        above[: SLOW - 1] = 0.0
        return cls(dict(zip(candles.opened_at_ms.tolist(), above.tolist(), strict=True)))

    def opinion(self, sleeve: Sleeve, key: InstrumentKey, opened_at_ms: int, window: CandleWindow) -> Opinion | None:
        """The wish at the bar."""
        return Opinion(self.convictions[opened_at_ms], None)

    def values(self, sleeve: Sleeve, key: InstrumentKey) -> Values:
        """All wishes; none has a stop."""
        convictions = np.array(list(self.convictions.values()))
        return Values(convictions, np.full(len(convictions), np.nan))


def _mean(values: FloatArray, bars: int) -> FloatArray:
    sums = np.cumsum(np.concatenate((np.zeros(1), values)))
    out = np.full(len(values), np.nan)
    out[bars - 1 :] = (sums[bars:] - sums[:-bars]) / bars
    return out


@dataclass(frozen=True, slots=True)
class Case:
    """One run to measure."""

    series: Series
    config: ReplayConfig
    opinions: Opinions

    def run(self) -> tuple[ReplayResult, float]:
        """The result and the processor seconds it took; the collector rests, as in the product's own runs."""
        source = ReplaySource(self.series)
        replay = Replay(source, self.config, self.opinions)
        gc.collect()
        gc.disable()
        try:
            started = time.process_time()
            result = replay.run(source.bars)
            seconds = time.process_time() - started
        finally:
            gc.enable()
        assert result is not None
        return result, seconds


def _case(series: Series, strategies: tuple[str, ...]) -> Case:
    config = ReplayConfig(dict.fromkeys(strategies, "{}"), CASH, brake=BrakeMode.OFF)
    return Case(series, config, PrecomputedOpinions({one.key: candles for one, candles in series.items()}))


def _cross(series: Series) -> Case:
    candles = next(iter(series.values()))
    config = ReplayConfig({"momentum": "{}"}, CASH, FREE, UNLIMITED, BrakeMode.OFF)
    return Case(series, config, CrossOpinions.of(candles))


def _figures(case: Case, runs: int) -> dict[str, Any]:
    done = [case.run() for _ in range(runs)]
    results = [result for result, _ in done]
    assert len({result.digest for result in results}) == 1, "equal runs must give equal digests"
    return {
        "bars": results[0].bars,
        "trades": results[0].trades,
        "bars_per_second": round(max(result.bars_per_second for result in results)),
        "bars_per_cpu_second": round(max(result.bars / cpu for result, cpu in done)),
        "digest": results[0].digest[:16],
    }


def _peer(python: str, series: Series, runs: int) -> dict[str, Any]:
    candles = next(iter(series.values()))
    with tempfile.TemporaryDirectory(prefix="quarterdeck-bench-") as folder:
        file = Path(folder) / "candles.npz"
        np.savez(
            file,
            timestamp=candles.opened_at_ms,
            open=candles.open,
            high=candles.high,
            low=candles.low,
            close=candles.close,
            volume=candles.volume,
        )
        script = Path(__file__).with_name("peer_nautilus.py")
        minutes = candles.timeframe.seconds // 60
        arguments = [python, str(script), str(file), str(minutes), str(FAST), str(SLOW), str(runs)]
        done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"failed": done.stderr.strip().splitlines()[-1:] or done.returncode}
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def main() -> None:
    """Measure and tell."""
    options = parser(__doc__)
    options.add_argument("--runs", type=int, default=3, help="runs of each case, the best counts (default 3)")
    options.add_argument("--peer", default="", help="Python interpreter of an environment that has nautilus_trader")
    given = options.parse_args()
    compile_all()
    found = recorded(COINS)
    series = found if found is not None else made(len(COINS), MADE_BARS, Timeframe(3600))
    first = dict([min(series.items(), key=lambda item: item[0].key)])
    figures: dict[str, Any] = {
        "candles": "recorded, 1 h" if found is not None else "made up, 1 h",
        "one coin, momentum": _figures(_case(first, ("momentum",)), given.runs),
        "three coins, every strategy": _figures(_case(series, tuple(sorted(STRATEGIES))), max(1, given.runs - 1)),
        f"one coin, averages {FAST} and {SLOW}": _figures(_cross(first), given.runs),
    }
    figures["the same in nautilus_trader"] = _peer(given.peer, first, given.runs) if given.peer else "not run: --peer"
    tell("replay speed", figures, as_json=given.json)


if __name__ == "__main__":
    main()
