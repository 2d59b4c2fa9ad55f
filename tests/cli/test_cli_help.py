"""The help teaches, every command can be loaded, and neither loads anything heavy."""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.settings import DemoSettings, Settings
from engine.runtime.cli.arguments import build_parser
from engine.runtime.cli.main import main
from engine.runtime.run_numbers import DEMO_SEED, MARKET_SPEED, PORT

ROOT = Path(__file__).resolve().parents[2]


def leaves(parser: argparse.ArgumentParser, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str, str]]:
    """Words, help text and function of every command."""
    groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    for group in groups:
        for name, inner in group.choices.items():
            yield from leaves(inner, (*words, name))
    if not groups:
        yield words, parser.format_help(), str(parser.get_default("run"))


COMMANDS = list(leaves(build_parser()))


@pytest.mark.parametrize(("words", "text", "run"), COMMANDS, ids=[" ".join(words) for words, _, _ in COMMANDS])
def test_command_when_declared_then_it_teaches_and_can_be_loaded(words: tuple[str, ...], text: str, run: str) -> None:
    module, _, function = run.partition(":")
    assert callable(getattr(importlib.import_module(module), function))
    assert f"python -m engine {' '.join(words)}" in text.split("examples:")[1]


def test_commands_when_counted_then_all_that_others_rely_on_are_there() -> None:
    names = {" ".join(words) for words, _, _ in COMMANDS}
    assert names >= {
        "run", "status", "stop", "arm", "users add", "users list", "users reset", "candles import", "candles list",
        "candles check", "replay", "backtest", "check-strategy", "export", "audit verify", "backup", "restore",
    }  # fmt: skip


def test_parser_when_built_then_nothing_heavy_was_loaded() -> None:
    code = (
        "import sys; from engine.runtime.cli.main import build_parser; build_parser();"
        "sys.exit(str([m for m in ('numpy', 'numba', 'pydantic', 'sqlalchemy', 'structlog') if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("", "the following arguments are required: COMMAND"),
        ("fly", "invalid choice: 'fly'"),
        ("run --stage moon", "invalid choice: 'moon'"),
        ("export taxes", "invalid choice: 'taxes'"),
        ("users add jo", "the following arguments are required: --role"),
    ],
)
def test_arguments_when_wrong_then_one_line_says_so(
    line: str, problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        build_parser().parse_args(line.split())
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert said.startswith("quarterdeck: ")
    assert problem in said


NUMBERS = [
    ("stop --wait soon", "--wait 'soon' is not a whole number from 0 to 31,622,400; leave it out for 120"),
    ("run --for 0", "--for 0 is not a whole number from 1 to 31,622,400; or leave it out"),
    ("run --speed 1001", "--speed 1001 is not a whole number from 1 to 1,000; or leave it out"),
    ("run --seed=-1", "--seed -1 is not a whole number from 0 to 2,147,483,648; or leave it out"),
    ("console --port 70000", "--port 70000 is not a whole number from 1 to 65,535; or leave it out"),
]


@pytest.mark.parametrize(("line", "problem"), NUMBERS, ids=[line for line, _ in NUMBERS])
def test_number_when_it_cannot_be_then_one_line_names_it_and_what_can(
    line: str, problem: str, capsys: pytest.CaptureFixture[str], in_process: object
) -> None:
    assert main(line.split()) == 2
    assert capsys.readouterr().err == f"quarterdeck: {problem}\n"


def test_numbers_when_the_settings_have_bounds_then_the_command_line_has_the_same() -> None:
    for model, name, allowed in (
        (DemoSettings, "speed", MARKET_SPEED),
        (DemoSettings, "seed", DEMO_SEED),
        (Settings, "port", PORT),
    ):
        bounds = model.model_json_schema()["properties"][name]
        assert (bounds["minimum"], bounds["maximum"]) == (allowed.least, allowed.most)


@pytest.mark.parametrize("line", ["--data-dir here status", "status --data-dir here"])
def test_data_dir_when_given_anywhere_then_it_counts(line: str) -> None:
    assert build_parser().parse_args(line.split()).data_dir == "here"
