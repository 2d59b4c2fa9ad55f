"""``backtest`` and ``check-strategy`` as typed: the promised fields, one whole run as it was, and clear refusals."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from recorded_candles import csv_of, made

from engine.domain.market import CandleArrays
from engine.runtime.cli.main import main

GOLDEN = Path(__file__).with_name("golden_backtest.json")
CHANGING = ("revision", "seconds", "bars_per_second", "evaluation_seconds", "made_at")
Typed = Callable[..., tuple[int, str, str]]

PEEKING = """
import numpy as np

class Peeking:
    lookback_bars = 20

    def __init__(self, bars=1):
        self.bars = bars

    def convictions(self, candles):
        later = np.append(candles.close[self.bars:], np.full(self.bars, candles.close[-1]))[:len(candles)]
        return np.where(later > candles.close, 1.0, 0.0)

    def stop_distances(self, candles):
        return 0.01 * candles.close

class HonestConfig:
    def __init__(self, bars=1):
        self.bars = bars

class Honest(Peeking):
    def __init__(self, config):
        super().__init__(config.bars)

    def convictions(self, candles):
        rises = np.append(np.zeros(self.bars), candles.close[self.bars:] > candles.close[:-self.bars])
        return rises[:len(candles)].astype(float)

READY = Peeking(3)
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """2,000 made-up hours of BTC/USDT."""
    return written(tmp_path, made(2_000, seed=5)[1])


def written(folder: Path, candles: CandleArrays, name: str = "BTC_USDT-1h.csv") -> Path:
    path = folder / "spot_binance" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(csv_of(candles))
    return path


def assert_like(found: Any, golden: Any, place: str = "") -> None:
    """Equal, statistics up to the rounding of sums."""
    if isinstance(golden, dict):
        assert set(found) == set(golden), place
        for name, value in golden.items():
            assert_like(found[name], value, f"{place}.{name}")
    elif isinstance(golden, list):
        assert len(found) == len(golden), place
        for number, value in enumerate(golden):
            assert_like(found[number], value, f"{place}[{number}]")
    elif isinstance(golden, float):
        assert found == pytest.approx(golden, rel=1e-9, abs=1e-12), place
    else:
        assert found == golden, place


def test_backtest_when_run_whole_then_everything_is_as_in_the_golden_file(typed: Typed, file: Path) -> None:
    code, out, _ = typed("backtest", "--strategy", "breakout", "--candles", file, "--draws", 200, "--json")
    assert code == 0
    found = {name: value for name, value in json.loads(out).items() if name not in CHANGING}
    assert_like(found, json.loads(GOLDEN.read_text("utf-8")))


@pytest.mark.parametrize("engine", ["kernel", "replay"])
def test_backtest_when_asked_as_promised_then_the_promised_fields_are_there(
    typed: Typed, file: Path, engine: str
) -> None:
    code, out, _ = typed(
        "backtest", "--strategy", "sma_cross", "--set", "fast_bars=10", "--set", "slow_bars=30", "--candles", file,
        "--from", "2023-01-05", "--to", "2023-03-01", "--cash", "10000", "--fee-bps", "10", "--slippage-bps", "0",
        "--engine", engine, "--draws", "100", "--json",
    )  # fmt: skip
    assert code == 0
    found = json.loads(out)
    assert found["bars"] == 55 * 24
    assert {"trades", "final_equity", "metrics", "verdict", "seconds"} <= set(found)
    assert found["engine"] == engine
    assert found["brake"] == "off"
    first = found["trades"][0]
    assert set(first) >= {
        "instrument", "side", "quantity", "entry_time", "entry_price", "exit_time", "exit_price", "exit_reason", "fees",
        "pnl",
    }  # fmt: skip
    assert (first["instrument"], first["side"], first["exit_reason"]) == ("binance:BTC/USDT", "long", "signal")
    assert isinstance(found["final_equity"], str)
    assert found["series"][0]["sha256"]


def test_backtest_when_printed_for_people_then_the_verdict_comes_first(typed: Typed, file: Path) -> None:
    code, out, _ = typed("backtest", "--strategy", "momentum", "--candles", file, "--draws", 100)
    lines = out.splitlines()
    assert code == 0
    assert lines[0].startswith("Too few trades to say: ")
    assert "momentum on binance:BTC/USDT: 2,000 candles" in out
    assert "holding instead returned" in out
    assert "Sharpe ratio" in out
    assert "USDT" in out


def test_backtest_when_files_are_swapped_then_the_same_run(typed: Typed, tmp_path: Path, file: Path) -> None:
    other = written(tmp_path, made(2_000, seed=6)[1], "ETH_USDT-1h.csv")
    runs = []
    for names in ((file, other), (other, file)):
        words = [word for name in names for word in ("--candles", name)]
        code, out, _ = typed("backtest", "--strategy", "breakout", *words, "--draws", 100, "--json")
        assert code == 0
        runs.append({name: value for name, value in json.loads(out).items() if name not in CHANGING})
    assert runs[0] == runs[1]
    assert {trade["instrument"] for trade in runs[0]["trades"]} == {"binance:BTC/USDT", "binance:ETH/USDT"}


def remarks_of(typed: Typed, *words: object) -> tuple[str, list[str]]:
    """What the text says, and the remarks of the first series in the record."""
    command = ("backtest", "--strategy", "sma_cross", "--draws", 100, *words)
    code, out, _ = typed(*command)
    assert code == 0
    code, record, _ = typed(*command, "--json")
    assert code == 0
    return out, json.loads(record)["series"][0]["remarks"]


def test_backtest_when_rows_are_unusable_then_told_at_the_top_with_count_and_time(typed: Typed, tmp_path: Path) -> None:
    lines = csv_of(made(300)[1]).decode().splitlines()
    lines[100] = ",".join([lines[100].split(",")[0], "nan", "nan", "nan", "nan", "1"])
    path = tmp_path / "BTC_USDT-1h.csv"
    path.write_text("\n".join(lines) + "\n")
    out, remarks = remarks_of(typed, "--candles", path)
    assert remarks == [
        "1 row left out: a value is missing or not a number, the first opens at 2023-01-05T03:00:00.000000Z",
        "1 candle of 1h missing in 1 hole, the first from 2023-01-05T03:00:00.000000Z to 2023-01-05T04:00:00.000000Z",
    ]
    assert out.splitlines()[1:3] == [f"binance:BTC/USDT: {one}" for one in remarks]
    assert "taken as --venue binance --kind spot" in typed("backtest", "--strategy", "sma_cross", "--candles", path)[2]


def test_backtest_when_rows_are_shuffled_doubled_or_missing_then_each_is_told(typed: Typed, tmp_path: Path) -> None:
    head, *rows = csv_of(made(600)[1]).decode().splitlines()
    rows = rows[:400] + rows[450:]
    path = tmp_path / "BTC_USDT-1h.csv"
    path.write_text("\n".join([head, *rows[10:20], *rows[:10], *rows[20:], *rows[30:35]]) + "\n")
    remarks = remarks_of(typed, "--candles", path)[1]
    assert [one.split(", the first")[0] for one in remarks] == [
        "15 rows out of order, put in order",
        "5 rows left out: the same candle twice",
        "50 candles of 1h missing in 1 hole",
    ]
    assert "2023-01-01T00:00:00" in remarks[0]
    assert "2023-01-02T06:00:00" in remarks[1]


def test_backtest_when_two_files_overlap_then_told(typed: Typed, tmp_path: Path) -> None:
    _, candles = made(600)
    one = written(tmp_path, candles.slice(0, 400))
    other = written(tmp_path / "spot_binance", candles.slice(300, 600))
    remarks = remarks_of(typed, "--candles", one, "--candles", other)[1]
    assert remarks == ["100 candles in more than one file"]


def test_backtest_when_every_order_would_be_below_the_minimum_then_said_why_nothing_was_traded(
    typed: Typed, file: Path
) -> None:
    out, remarks = remarks_of(typed, "--candles", file, "--cash", "1")
    assert "in 0 trades" in out
    assert remarks == [
        "no order: every one would be below the minimum of 5 USDT. The limits allow a position of 1 of the capital of "
        "1; give more --cash"
    ]
    assert remarks_of(typed, "--candles", file)[1] == []


def test_backtest_when_printed_then_the_costs_asked_for_are_told(typed: Typed, file: Path) -> None:
    words = ("backtest", "--strategy", "sma_cross", "--candles", file, "--draws", 100)
    assert "costs plain: fee 10, spread 0 and slippage 0 basis points, no cap, impact 0" in typed(*words)[1]
    told = "costs default: fee 10, spread 2 and slippage 1 basis points, at most 5% of a candle's volume, impact 1"
    assert told in typed(*words, "--costs", "default", "--impact", 1)[1]


REFUSED = {
    "an unknown strategy": (("--strategy", "tea_leaves"), "no strategy 'tea_leaves'"),
    "an unknown setting": (("--strategy", "sma_cross", "--set", "moon=1"), "no setting moon; there are fast_bars"),
    "a setting out of bounds": (("--strategy", "sma_cross", "--set", "fast_bars=0"), "than or equal to 1 (got 0)"),
    "settings that contradict": (
        ("--strategy", "sma_cross", "--set", "fast_bars=200"), "sma_cross: fast_bars (200) must be below slow_bars",
    ),
    "a target without a stop": (
        ("--strategy", "sma_cross", "--risk", "take_profit=2", "--risk", "trail=1"),
        "take_profit and trail would have no effect: sma_cross has no stop",
    ),
    "a negative fee": (
        ("--strategy", "momentum", "--fee-bps", "-3", "--slippage-bps", "1"), "fee_bps -3 must be 0 to 1000 basis",
    ),
    "a setting without a value": (("--strategy", "momentum", "--set", "moon"), "not of the form key=value"),
    "zero capital": (("--strategy", "momentum", "--cash", "0"), "cash 0 must be above 0"),
    "no number": (("--strategy", "momentum", "--fee-bps", "much"), "fee_bps 'much' is not a number"),
    "a range that ends first": (
        ("--strategy", "momentum", "--from", "2023-02-01", "--to", "2023-01-01"), "before it begins",
    ),
    "no candle in the range": (("--strategy", "momentum", "--from", "2030-01-01"), "are open from 2023-01-01T00:00:00"),
    "too few candles": (("--strategy", "momentum", "--to", "2023-01-10"), "needs 1,307 before its first signal"),
    "own fee with the default costs": (
        ("--strategy", "momentum", "--costs", "default", "--fee-bps", "5"), "only be given with costs plain",
    ),
    "a limit without a value": (("--strategy", "momentum", "--risk", "trail"), "--risk trail is not of the form"),
    "an unknown limit": (("--strategy", "momentum", "--risk", "moon=1"), "moon: there is no such limit; there are"),
    "a target at no distance": (("--strategy", "momentum", "--risk", "take_profit=0"), "limits refused: take_profit"),
    "a brake that is none": (("--strategy", "momentum", "--brake", "maybe"), "brake 'maybe' is not latch"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_backtest_when_asked_wrongly_then_one_line_and_exit_2(typed: Typed, file: Path, case: str) -> None:
    words, reason = REFUSED[case]
    code, out, err = typed("backtest", *words, "--candles", file)
    assert (code, out) == (2, "")
    assert reason in err
    assert len(err.strip().splitlines()) == 1


def test_backtest_when_the_file_is_missing_or_unknown_then_refused(typed: Typed, tmp_path: Path) -> None:
    assert typed("backtest", "--strategy", "momentum", "--candles", tmp_path / "none.csv")[0] in (1, 2)
    unknown = written(tmp_path, made(100)[1], "MOON_USDT-1h.csv")
    code, _, err = typed("backtest", "--strategy", "sma_cross", "--candles", unknown)
    assert code == 2
    assert "--tick-size" in err


def test_backtest_when_two_files_hold_candles_that_overlap_then_the_last_by_name_wins(
    typed: Typed, tmp_path: Path
) -> None:
    _, candles = made(600)
    one = written(tmp_path, candles.slice(0, 400))
    other = tmp_path / "more" / "spot_binance"
    other.mkdir(parents=True)
    path = other / one.name
    path.write_bytes(csv_of(candles.slice(200, 600)))
    words = ("backtest", "--strategy", "sma_cross", "--candles", one, "--candles", path, "--draws", 100, "--json")
    code, out, _ = typed(*words)
    assert code == 0
    assert json.loads(out)["bars"] == 600


@pytest.mark.parametrize("name", ["momentum", "mean_reversion", "breakout", "sma_cross"])
def test_check_strategy_when_it_is_ours_then_exit_0(typed: Typed, name: str) -> None:
    code, out, _ = typed("check-strategy", name)
    assert code == 0
    assert out.startswith(f"{name}: no look-ahead was found at ")


def test_check_strategy_when_a_file_peeks_then_exit_1_and_the_bar(typed: Typed, tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(PEEKING)
    code, out, _ = typed("check-strategy", "Peeking", "--file", path, "--set", "bars=2", "--json")
    found = json.loads(out)
    assert code == 1
    assert (found["ok"], found["fault"], found["strategy"]) == (False, "look_ahead", "Peeking")
    assert isinstance(found["bar"], int)
    assert found["at"].startswith("20")
    code, out, _ = typed("check-strategy", "READY", "--file", path)
    assert code == 1
    assert "READY: look-ahead at bar " in out
    sys.modules.pop("strategy_under_check", None)


def test_check_strategy_when_a_file_is_honest_then_exit_0(typed: Typed, tmp_path: Path, file: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(PEEKING)
    code, out, err = typed("check-strategy", "Honest", "--file", path, "--set", "bars=5", "--candles", file)
    assert (code, err) == (0, "")
    assert "of 2,000 bars" in out


@pytest.mark.parametrize(
    ("source", "name", "reason"),
    [
        (PEEKING, "Missing", "mine.py holds no Missing; it holds Honest, HonestConfig, Peeking, READY, np"),
        ("def broken(:\n", "X", "mine.py cannot be run: SyntaxError"),
        ("import no_such_library\n", "X", "mine.py cannot be run: ModuleNotFoundError"),
        (PEEKING, "np", "np is no strategy"),
        ("class Needs:\n    def __init__(self, bars):\n        pass\n", "Needs", "Needs of mine.py cannot be made"),
    ],
)
def test_check_strategy_when_the_file_cannot_be_used_then_exit_2(
    typed: Typed, tmp_path: Path, source: str, name: str, reason: str
) -> None:
    path = tmp_path / "mine.py"
    path.write_text(source)
    code, _, err = typed("check-strategy", name, "--file", path)
    assert code == 2
    assert reason in err


RAISES = """
import os, sys
import numpy as np

class Own(Exception):
    pass

class Base:
    lookback_bars = 5
    def convictions(self, candles):
        return np.zeros(len(candles))
    def stop_distances(self, candles):
        return np.ones(len(candles))

class Exits(Base):
    def convictions(self, candles):
        sys.exit(0)

class Ends(Base):
    def convictions(self, candles):
        os._exit(0)

class Raises(Base):
    def convictions(self, candles):
        raise Own("mine")

class Stops(Base):
    def convictions(self, candles):
        return next(iter(()))

class Looks(Base):
    @property
    def lookback_bars(self):
        raise KeyError("x")
"""


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Exits", "SystemExit: 0"),
        ("Ends", "it ended its process without an answer (exit code 0)"),
        ("Raises", "Own: mine"),
        ("Stops", "StopIteration"),
        ("Looks", "KeyError"),
    ],
)
def test_check_strategy_when_the_code_raises_or_exits_then_exit_1_and_said(
    typed: Typed, tmp_path: Path, name: str, reason: str
) -> None:
    path = tmp_path / "mine.py"
    path.write_text(RAISES)
    code, out, _ = typed("check-strategy", name, "--file", path)
    assert code == 1
    assert out.startswith(f"{name}: it does not work")
    assert reason in out


def test_check_strategy_when_candles_are_too_few_or_the_file_is_missing_then_exit_2(
    typed: Typed, tmp_path: Path
) -> None:
    short = written(tmp_path, made(200)[1])
    code, _, err = typed("check-strategy", "momentum", "--candles", short)
    assert code == 2
    assert "200 candles are too few to check it" in err
    assert typed("check-strategy", "X", "--file", tmp_path / "none.py")[0] == 2


def test_check_strategy_help_when_read_then_it_warns_that_code_is_run(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["check-strategy", "--help"])
    assert "RUNS THE CODE OF THAT FILE" in " ".join(capsys.readouterr().out.split())
