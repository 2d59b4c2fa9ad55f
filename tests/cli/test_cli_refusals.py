"""What cannot be run is refused by every command that runs strategies: one sentence, a code, never a traceback."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from recorded_candles import csv_of, made

Typed = Callable[..., tuple[int, str, str]]
COMMANDS: dict[str, Callable[[object], tuple[object, ...]]] = {
    "backtest": lambda file: ("backtest", "--strategy", "momentum", "--candles", file),
    "optimise": lambda file: ("optimise", "--strategy", "momentum", "--candles", file),
    "sweep": lambda file: ("sweep", "--strategy", "momentum", "--grid", "fast_ema_bars=10,20", "--candles", file),
    "replay": lambda file: ("replay", "--strategy", "momentum", file),
    "check-strategy": lambda file: ("check-strategy", "momentum", "--candles", file),
}
RUNS = [name for name in COMMANDS if name != "check-strategy"]
STORES = [name for name in RUNS if name != "replay"]
WORDS = {
    "no capital": (("--cash", "0"), "cash 0 must be above 0 and at most 1,000,000,000,000"),
    "capital that is no number": (("--cash", "much"), "cash 'much' is not a number above 0 and at most"),
    "capital that is none": (("--cash", "nan"), "cash 'nan' is not a number above 0"),
    "a date that is none": (("--from", "2024-13-01"), "from '2024-13-01' is not a date like 2026-01-31"),
    "a range that ends first": (("--from", "2023-03-01", "--to", "2023-02-01"), "swap from and to"),
    "a setting that there is not": (("--set", "moon=1"), "there is no setting moon; there are fast_ema_bars"),
    "an unknown strategy": (("--strategy", "tea_leaves"), "no strategy 'tea_leaves'; there are breakout"),
    "impact that is no number": (("--impact", "some"), "impact 'some' is not a number from 0 (none) to 10"),
    "a lot that is no number": (("--lot-size", "small"), "lot_size 'small' is not a number as the exchange states it"),
    "finer candles that are not there": (("--detail", "none-1m.csv"), "there is no file none-1m.csv"),
}


def one_sentence(answer: tuple[int, str, str], code: int = 2) -> str:
    """The refusal; it is all that was said, and nothing was printed."""
    assert answer[:2] == (code, "")
    (line,) = answer[2].strip().splitlines()
    assert line.startswith("quarterdeck: ")
    return line


@pytest.mark.parametrize("case", WORDS)
@pytest.mark.parametrize("command", RUNS)
def test_command_when_asked_for_what_cannot_be_then_refused_in_one_sentence(
    command: str, case: str, typed: Typed, file: Path
) -> None:
    words, reason = WORDS[case]
    if words[0] == "--strategy":
        asked = [words[1] if word == "momentum" else word for word in COMMANDS[command](file)]
    else:
        asked = [*COMMANDS[command](file), *words]
    assert reason in one_sentence(typed(*asked))


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "there is no file"),
        ("", "BTC_USDT-1h.csv"),
        ("hello", "BTC_USDT-1h.csv"),
        ("timestamp,open,high,low,close\n1,2,3,4,5\n", "has no column volume"),
    ],
)
def test_command_when_the_file_holds_no_candles_then_refused_in_one_sentence(
    command: str, text: str | None, reason: str, typed: Typed, file: Path
) -> None:
    if text is None:
        file.unlink()
    else:
        file.write_text(text)
    assert reason in one_sentence(typed(*COMMANDS[command](file)))


@pytest.mark.parametrize("command", COMMANDS)
def test_command_when_candles_are_too_few_then_refused_with_what_is_needed(
    command: str, typed: Typed, file: Path
) -> None:
    file.write_bytes(csv_of(made(30)[1]))
    line = one_sentence(typed(*COMMANDS[command](file)))
    assert "too few" in line or "has 30 candles" in line
    assert "give" in line.lower()


@pytest.mark.parametrize("command", COMMANDS)
def test_command_when_the_instrument_is_unknown_then_refused_with_what_to_state(
    command: str, typed: Typed, file: Path
) -> None:
    unknown = file.rename(file.with_name("MOON_USDT-1h.csv"))
    assert "--tick-size --lot-size --min-notional" in one_sentence(typed(*COMMANDS[command](unknown)))


@pytest.mark.parametrize("command", STORES)
def test_command_when_the_data_folder_cannot_be_made_then_nothing_is_run(
    command: str, typed: Typed, file: Path
) -> None:
    line = one_sentence(typed("--data-dir", file / "data", *COMMANDS[command](file)), code=1)
    assert f"{file / 'data'} cannot be made" in line
    assert "give another folder with --data-dir" in line


def test_check_strategy_when_a_strategy_prints_then_the_answer_for_programs_stays_whole(
    typed: Typed, file: Path
) -> None:
    path = file.with_name("talks.py")
    path.write_text(
        "import numpy as np\n"
        "class Talks:\n"
        "    lookback_bars = 2\n"
        "    def convictions(self, candles):\n"
        "        print('hello')\n"
        "        return np.zeros(len(candles))\n"
        "    def stop_distances(self, candles):\n"
        "        return np.ones(len(candles))\n"
    )
    code, out, _ = typed("check-strategy", "Talks", "--file", path, "--candles", file, "--json")
    assert (code, json.loads(out)["ok"]) == (0, True)
