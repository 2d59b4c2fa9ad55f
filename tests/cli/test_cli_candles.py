"""Candle files on the command line: imported, listed, checked, replayed; and every wrong input answered in a line."""

from __future__ import annotations

import io
import json
import random
import socket
from pathlib import Path
from typing import Any

import pytest
from shared_data import shared_path

from engine.runtime.cli.main import main
from engine.runtime.cli.progress import Progress

HOUR_MS = 3_600_000
FIRST_MS = 1_704_067_200_000
BARS = 2_000


def csv_of(folder: Path, name: str = "BTC_USDT-1h.csv", seed: int = 1, without: range = range(0)) -> Path:
    """A file of hourly candles that trend and turn; rows in ``without`` are missing."""
    folder.mkdir(parents=True, exist_ok=True)
    steps, price, rows = random.Random(seed), 40_000.0, ["timestamp,open,high,low,close,volume"]
    for bar in range(BARS):
        drift = 0.004 if bar // 70 % 2 == 0 else -0.004
        close = round(price * (1 + drift + steps.gauss(0, 0.004)), 2)
        high, low = round(max(price, close) * 1.001, 2), round(min(price, close) * 0.999, 2)
        if bar not in without:
            rows.append(f"{FIRST_MS + bar * HOUR_MS},{price},{high},{low},{close},{100 + bar % 70}")
        price = close
    path = folder / name
    path.write_text("\n".join(rows) + "\n")
    return path


def said(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> Any:
    """Result of a command, which must end with ``code``."""
    found = main(words)
    streams = capsys.readouterr()
    assert found == code, streams.err
    return json.loads(streams.out)


@pytest.mark.usefixtures("in_process")
def test_candles_when_imported_then_listed_and_checked_with_their_gap(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = csv_of(tmp_path / "spot_binance", without=range(50, 53))
    (imported,) = said(capsys, "candles", "import", str(path), "--json")
    assert (imported["rows"], imported["added"], imported["rejected"]) == (BARS - 3, BARS - 3, 0)
    (listed,) = said(capsys, "candles", "list", "--json")
    assert (listed["instrument"], listed["timeframe"], listed["rows"]) == ("binance:BTC/USDT", "1h", BARS - 3)
    (checked,) = said(capsys, "candles", "check", "--json")
    assert [gap["missing_bars"] for gap in checked["gap_list"]] == [3]
    (again,) = said(capsys, "candles", "import", str(path), "--json")
    assert (again["added"], again["corrected"]) == (0, 0)


@pytest.mark.usefixtures("in_process")
def test_candles_import_when_one_file_is_bad_then_the_others_come_in(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = csv_of(tmp_path / "spot_binance"), tmp_path / "spot_binance" / "ETH_USDT-1h.csv"
    bad.write_text("timestamp,open\n1,2\n")
    rows = said(capsys, "candles", "import", str(bad), str(good), "--json", code=2)
    assert [row["imported"] for row in rows] == [False, True]
    assert "ETH_USDT-1h.csv" in rows[0]["problem"]


@pytest.mark.usefixtures("in_process")
def test_candles_import_when_read_by_people_then_rejected_rows_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = csv_of(tmp_path / "spot_binance")
    with path.open("a") as file:
        file.write(f"{FIRST_MS + BARS * HOUR_MS},1,2,3,4,5\n")
    assert main(["candles", "import", str(path)]) == 0
    assert "1 left out (1 high and low do not enclose open and close)" in capsys.readouterr().err


@pytest.mark.usefixtures("in_process")
def test_replay_when_run_twice_in_another_order_then_equal_digests(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "spot_binance"
    files = [str(csv_of(folder)), str(csv_of(folder, "ETH_USDT-1h.csv", seed=2))]
    words = ("--strategy", "momentum", "--set", "fast_ema_bars=12", "--cash", "25000", "--json")
    first = said(capsys, "replay", *files, *words)
    second = said(capsys, "replay", *reversed(files), *words)
    assert {"bars", "trades", "fills", "final_equity", "fees", "digest", "bars_per_second"} <= set(first)
    assert first["bars"] == 2 * BARS
    assert first["fills"] > 0
    assert first["digest"] == second["digest"]
    assert first["settings"]["strategies"]["momentum"]["fast_ema_bars"] == 12
    assert not (tmp_path / "data").exists()


@pytest.mark.usefixtures("in_process")
def test_replay_when_real_candles_then_it_trades(capsys: pytest.CaptureFixture[str]) -> None:
    path = shared_path("data/spot_binance/BTC_USDT-1h.parquet")
    words = ("--strategy", "momentum", "--from", "2024-01-01", "--to", "2024-04-01", "--json")
    result = said(capsys, "replay", str(path), *words)
    assert result["bars"] == (31 + 29 + 31) * 24
    assert result["trades"] > 0


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("replay FILE --strategy nope", "no strategy 'nope'"),
        ("replay FILE --strategy momentum --set fast=1", "fast"),
        ("replay FILE --strategy momentum --set fast_ema_bars", "key=value"),
        ("replay FILE --strategy momentum --set fast_ema_bars=-5", "fast_ema_bars"),
        ("replay FILE --strategy momentum --cash -1", "cash"),
        ("replay FILE --strategy momentum --brake never", "brake"),
        ("replay FILE --strategy momentum --fee-bps 10", "costs plain"),
        ("replay FILE --strategy momentum --from yesterday", "yesterday"),
        ("replay FILE --strategy momentum --from 2030-01-01", "2030"),
        ("replay missing_BTC-1h.csv --strategy momentum", "missing_BTC-1h.csv"),
        ("candles import missing.csv", "missing.csv"),
        ("candles import FILE --venue Binance!", "--venue"),
        ("candles import FILE --tick-size zero", "tick"),
        ("export fills", "holds no data"),
        ("audit verify", "holds no data"),
        ("backup", "holds no data"),
        ("restore missing.zip", "missing.zip"),
        ("run --stage paper --speed 5", "--speed"),
        ("run --speed 1001", "--speed 1001"),
        ("users add jo --role admin", "--password-stdin"),
    ],
)
def test_command_when_its_input_is_wrong_then_one_line_names_it(
    line: str, problem: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    path = csv_of(tmp_path / "spot_binance")
    assert main(line.replace("FILE", str(path)).split()) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("quarterdeck: ")
    assert problem in lines[0]


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("QUARTERDECK_PORT", "99999", "port (environment)"),
        ("QUARTERDECK_DEMO__SPEED", "fast", "demo.speed (environment)"),
        ("QUARTERDECK_COLOUR", "red", "colour (environment): unknown setting"),
    ],
)
def test_command_when_a_setting_is_wrong_then_it_is_named_with_where_it_came_from(
    name: str, value: str, problem: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(name, value)
    assert main(["status"]) == 2
    assert problem in capsys.readouterr().err


@pytest.mark.usefixtures("in_process")
def test_console_when_the_port_is_taken_then_nothing_starts(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert main(["console", "--port", str(port)]) == 3
    assert f"port {port} is taken" in capsys.readouterr().err


def test_progress_when_somebody_watches_then_a_bar_is_drawn_and_erased(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with Progress() as progress:
        assert progress(0.5, "BTC: 350 of 700 candles")
    drawn = capsys.readouterr().err
    assert "[##############..............]  50%  BTC: 350 of 700 candles" in drawn
    assert drawn.endswith("\r")


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize("command", ["replay", "backtest --candles", "candles import"])
@pytest.mark.parametrize(("name", "why"), [("nope.parquet", "there is no file"), (".", "is a folder, not a file")])
def test_file_when_it_is_not_there_then_that_is_said_and_not_that_its_name_is_odd(
    capsys: pytest.CaptureFixture[str], command: str, name: str, why: str
) -> None:
    strategy = [] if command.startswith("candles") else ["--strategy", "momentum"]
    assert main([*command.split(), name, *strategy]) == 2
    assert why in capsys.readouterr().err
