"""Each test, or module, has a data folder of its own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from command_line import Engine, SameProcess, end, wait_until
from recorded_candles import csv_of, made

from engine.runtime.cli.main import main

Typed = Callable[..., tuple[int, str, str]]


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    """The command line on a fresh data folder."""
    return SameProcess(tmp_path / "data")


@pytest.fixture(scope="session")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder in which an engine has lived for a moment, to copy from."""
    engine = Engine(tmp_path_factory.mktemp("lived") / "data")
    said = engine("run", "--stage", "demo", "--speed", "600", "--seed", "7", "--for", "1")
    assert said.code == 0, said.err
    assert said.out.startswith("READY")
    return engine.folder


@pytest.fixture
def traded(engine: Engine, lived: Path) -> Engine:
    """The command line on a data folder of its own in which an engine has lived."""
    shutil.copytree(lived, engine.folder)
    return engine


@pytest.fixture(scope="module")
def trading(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """The command line beside an engine that trades and has traded already."""
    engine = SameProcess(tmp_path_factory.mktemp("trading") / "data")
    process = engine.start("--stage", "demo", "--speed", "300", "--seed", "7")
    try:
        wait_until(lambda: engine.published().get("fills", 0) >= 2)
        yield engine
    finally:
        code = end(process)
    assert code == 0


@pytest.fixture
def in_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A fresh data folder for `engine.runtime.cli.main.main` called directly; what it changes is put back."""
    monkeypatch.setenv("QUARTERDECK_DATA_DIR", str(tmp_path / "data"))
    mask = os.umask(0o022)
    os.umask(mask)
    yield tmp_path / "data"
    os.umask(mask)


@pytest.fixture
def typed(in_process: Path, capsys: pytest.CaptureFixture[str]) -> Typed:
    """Carries a command line out: exit code, what it printed, what it said."""

    def carry_out(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([str(word) for word in words])
        said = capsys.readouterr()
        return code, said.out, said.err

    return carry_out


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """150 days of a random walk, by the hour."""
    path = tmp_path / "spot_binance" / "BTC_USDT-1h.csv"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(csv_of(made(24 * 150, seed=11)[1]))
    return path
