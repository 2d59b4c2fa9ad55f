"""Candles of several lengths in one run are refused before it begins, by name and with the way out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.domain.errors import BadInput
from engine.domain.instruments import InstrumentKey, Kind
from engine.domain.market import CandleArrays, Timeframe
from engine.runtime.replay_data import file_candles, read_file_facts, read_series_names
from engine.simulation.instrument_table import instrument_for
from engine.simulation.replay import Replay, ReplayConfig
from engine.simulation.replay_source import ReplaySource
from engine.storage.candle_import import ImportWatch

START_MS = 1_704_067_200_000


def candles(timeframe: Timeframe, bars: int = 48) -> CandleArrays:
    flat = np.full(bars, 100.0)
    return CandleArrays(timeframe, START_MS + np.arange(bars, dtype=np.int64) * timeframe.ms, *[flat] * 5)


def written(path: Path, timeframe: Timeframe) -> Path:
    rows = [f"{at},100,100,100,100,100" for at in candles(timeframe).opened_at_ms.tolist()]
    path.write_text("\n".join(["timestamp,open,high,low,close,volume", *rows]) + "\n")
    return path


def test_replay_when_instruments_have_candles_of_different_lengths_then_refused_at_the_start() -> None:
    one, two = (instrument_for("binance", base, "USDT", Kind.SPOT) for base in ("BTC", "ETH"))
    source = ReplaySource({one: candles(Timeframe(3600)), two: candles(Timeframe(86400))})
    with pytest.raises(BadInput, match=r"binance:BTC/USDT has 1h, binance:ETH/USDT has 1d\. Give .* of one length"):
        Replay(source, ReplayConfig({"momentum": "{}"}, one.min_notional * 1000))


def test_series_when_lengths_differ_then_every_series_is_named() -> None:
    with pytest.raises(BadInput, match=r"binance:BTC/USDT has 1h, binance:ETH/USDT has 1d"):
        read_series_names([(InstrumentKey("binance:BTC/USDT"), "1h"), (InstrumentKey("binance:ETH/USDT"), "1d")])


@pytest.mark.parametrize("second", ["ETH_USDT", "BTC_USDT"])
def test_files_when_lengths_differ_then_every_file_is_named(tmp_path: Path, second: str) -> None:
    files = [
        written(tmp_path / "BTC_USDT-1h.csv", Timeframe(3600)),
        written(tmp_path / f"{second}-1d.csv", Timeframe(86400)),
    ]
    facts = read_file_facts({"venue": "binance", "kind": "spot"})
    with pytest.raises(BadInput, match=rf"{second}-1d\.csv \(binance:.*\) has 1d.*may be given as detail"):
        file_candles(files, facts, None, ImportWatch())
