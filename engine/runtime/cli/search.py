"""What ``optimise`` and ``sweep`` do alike: ask, run until done or interrupted, print, and say where the best lies."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.settings import load
from engine.domain.errors import BadInput
from engine.runtime.cli.folder import writable_folder
from engine.runtime.cli.output import complain, say_json
from engine.runtime.cli.progress import Progress
from engine.runtime.cli.run_options import BACKTEST_OPTIONS, asked_of
from engine.runtime.replay_request import parse_settings
from engine.runtime.replays import Report

INTERRUPTED = 130
_OPTIONS = (*BACKTEST_OPTIONS, "embargo_days", "study", "workers")


@dataclass(frozen=True, slots=True)
class Search:
    """A command that tries many settings.

    Attributes
    ----------
    unit : str
        What it tries, in the plural.
    options : tuple of str
        Its own, that go into the request as they are.
    run : callable
        From files, request, data folder and progress to the record.
    say : callable
        Prints the record for people.
    """

    unit: str
    options: tuple[str, ...]
    run: Callable[[Sequence[Path], Mapping[str, Any], Path, Report], dict[str, Any]]
    say: Callable[[Mapping[str, Any]], None]


def carry_out(options: argparse.Namespace, search: Search, values: Mapping[str, Any]) -> int:
    """Run, judge and print; what was interrupted goes on when the same command is given again.

    Parameters
    ----------
    options : Namespace
    search : Search
    values : mapping
        What goes into the request beside the options: ranges or a grid.

    Returns
    -------
    int
        Exit code.
    """
    asked = asked_of(options, (*_OPTIONS, *search.options))
    asked.request["fixed"] = parse_settings(options.settings, [options.strategy])[options.strategy]
    asked.request["scheduler"] = load().settings.research.scheduler
    folder = writable_folder()
    try:
        with Progress() as progress:
            record = search.run(asked.files, {**asked.request, **values}, folder, progress)
    except KeyboardInterrupt:
        complain(f"interrupted; finished {search.unit} are stored, and the same command goes on with them")
        return INTERRUPTED
    if options.json:
        say_json({**record, "assumed": asked.guesses})
    else:
        search.say(record)
    return 0


def values_by_setting(flag: str, form: str, pairs: Sequence[str]) -> dict[str, str]:
    """``key=VALUES`` pairs by setting; raises `BadInput` for another form and for a setting that is given twice.

    >>> values_by_setting("--range", "LOW:HIGH", ["fast_bars=2:30"])
    {'fast_bars': '2:30'}
    """
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, text = (part.strip() for part in pair.partition("="))
        if not equals or not name:
            raise BadInput(f"{flag} {pair!r} is not of the form key={form}")
        if name in found:
            raise BadInput(f"{flag} {name} is given twice; give its values once, as {form}")
        found[name] = text
    return found


def settings_words(settings: Mapping[str, Any]) -> str:
    """Settings in a line.

    >>> settings_words({"fast_bars": 5, "slow_bars": 20})
    'fast_bars=5, slow_bars=20'
    """
    return ", ".join(f"{name}={value}" for name, value in settings.items())


def ground_lines(record: Mapping[str, Any], unit: str, edge: str) -> list[str]:
    """The ground around the best and the code that ran it; no line where there is nothing to say.

    Parameters
    ----------
    record : mapping
    unit : str
        What was tried, in the plural.
    edge : str
        What it would be the edge of.
    """
    plateau, revisions, lines = record["plateau"], len(record["revisions"]), []
    if plateau["median_share"] is not None:
        lines.append(f"{plateau['neighbours']} neighbours keep {plateau['median_share']:.0%} of its Sharpe "
                     f"ratio in the middle, {plateau['worst_share']:.0%} at worst")  # fmt: skip
    if plateau["on_edge"]:
        lines.append(f"a setting of the best lies at the edge of {edge}; the best may lie beyond")
    if revisions > 1:
        lines.append(f"{revisions} versions of the code ran its {unit}, which may not be comparable")
    return lines
