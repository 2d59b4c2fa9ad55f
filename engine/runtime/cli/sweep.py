"""``sweep``: what every combination of a grid of settings would have earned; how much of the best is the choosing."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from config.settings import load
from engine.domain.errors import BadInput
from engine.runtime.cli.folder import data_folder
from engine.runtime.cli.output import complain, say, say_json, say_remarks
from engine.runtime.cli.progress import Progress
from engine.runtime.cli.run_options import asked_of
from engine.runtime.replay_request import parse_settings
from engine.runtime.sweeps import sweep_files

INTERRUPTED = 130
_REQUEST = (
    "strategy", "engine", "cash", "brake", "costs", "fee_bps", "slippage_bps", "impact", "seed", "draws",
    "embargo_days", "study", "workers",
)  # fmt: skip
_SHOWN = 10


def sweep(options: argparse.Namespace) -> int:
    """Run, judge and print; an interrupted sweep goes on when the same command is given again."""
    asked = asked_of(options, _REQUEST)
    asked.request["fixed"] = parse_settings(options.settings, [options.strategy])[options.strategy]
    asked.request["grid"] = _grid(options.grid)
    asked.request["scheduler"] = load().settings.research.scheduler
    try:
        with Progress() as progress:
            record = sweep_files(asked.files, asked.request, data_folder(), progress)
    except KeyboardInterrupt:
        complain("interrupted; finished combinations are stored, and the same command goes on with them")
        return INTERRUPTED
    if options.json:
        say_json({**record, "assumed": asked.guesses})
    else:
        _say(record)
    return 0


def _grid(pairs: Sequence[str]) -> dict[str, str]:
    grid: dict[str, str] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name.strip():
            raise BadInput(f"--grid {pair!r} is not of the form key=LOW:HIGH:STEP")
        if name.strip() in grid:
            raise BadInput(f"--grid {name.strip()} is given twice; give its values once, apart by commas")
        grid[name.strip()] = text.strip()
    return grid


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
        settings = ", ".join(f"{name}={value}" for name, value in one["settings"].items())
        say(f"{one['sharpe']:8.2f} {one['net_return']:11.2%} {one['max_drawdown']:9.2%} {one['trades']:7,}  {settings}")
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
    over, plateau, holdout = record["overfitting"], record["plateau"], record["holdout"]
    lines = []
    if over["pbo"] is None:
        lines.append(f"probability of overfitting not known: {over['reason']}")
    else:
        lines.append(f"probability of overfitting {over['pbo']:.2f}; worthless combinations give about 0.5")
    if plateau["median_share"] is not None:
        lines.append(f"{plateau['neighbours']} neighbours in the grid keep {plateau['median_share']:.0%} of its Sharpe "
                     f"ratio in the middle, {plateau['worst_share']:.0%} at worst")  # fmt: skip
    if plateau["on_edge"]:
        lines.append("a setting of the best lies at the edge of the grid; the best may lie beyond")
    if len(record["revisions"]) > 1:
        lines.append(f"{len(record['revisions'])} versions of the code ran its combinations, which may not compare")
    lines.append(f"the holdout {holdout['from'][:10]} to {holdout['to'][:10]} was not looked at")
    return lines
