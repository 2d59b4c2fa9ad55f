"""``sweep``: what every combination of a grid of settings would have earned; how much of the best is the choosing."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from engine.runtime.cli.output import say, say_remarks
from engine.runtime.cli.search import Search, carry_out, ground_lines, settings_words, values_by_setting
from engine.runtime.sweeps import sweep_files

_SHOWN = 10


def sweep(options: argparse.Namespace) -> int:
    """Run, judge and print; an interrupted sweep goes on when the same command is given again."""
    grid = values_by_setting("--grid", "LOW:HIGH:STEP", options.grid)
    return carry_out(options, Search("combinations", (), sweep_files, _say), {"grid": grid})


def _say(record: Mapping[str, Any]) -> None:
    counts, days, development = record["counts"], record["definition"]["development"], record["development"]
    say(record["verdict"]["line"])
    say_remarks(record["development"]["series"])
    say("")
    say(f"study {record['study']}: {counts['measured']:,} combinations from {days['from'][:10]} to {days['to'][:10]}; "
        f"{counts['refused']:,} contradicted themselves")  # fmt: skip
    run = [one for one in record["combinations"] if one["trades"] is not None]
    run.sort(key=lambda one: (-one["sharpe"], one["number"]))
    say(f"{'Sharpe':>8} {'net return':>11} {'drawdown':>9} {'trades':>7}")
    for one in run[:_SHOWN]:
        say(f"{one['sharpe']:8.2f} {one['net_return']:11.2%} {one['max_drawdown']:9.2%} {one['trades']:7,}  "
            f"{settings_words(one['settings'])}")  # fmt: skip
    if len(run) > _SHOWN:
        say(f"and {len(run) - _SHOWN:,} more, down to a Sharpe ratio of {run[-1]['sharpe']:.2f}; --json tells all")
    double = development["double_costs"]
    unpaid = double["net_return"] is None
    say(f"the best at twice the costs is not known: {double['reason']}" if unpaid else
        f"the best at twice the costs ends with {double['final_equity']} {development['currency']}")  # fmt: skip
    for line in _doubts(record):
        say(line)


def _doubts(record: Mapping[str, Any]) -> list[str]:
    """How much of the best is the choosing."""
    over, holdout = record["overfitting"], record["holdout"]
    lines = []
    if over["pbo"] is None:
        lines.append(f"probability of overfitting not known: {over['reason']}")
    else:
        lines.append(f"probability of overfitting {over['pbo']:.2f}; worthless combinations give about 0.5")
    lines += ground_lines(record, "combinations", "the grid")
    lines.append(f"the holdout {holdout['from'][:10]} to {holdout['to'][:10]} was not looked at")
    return lines
