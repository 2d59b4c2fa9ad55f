"""``optimise``: which settings would have done best on days the search did not learn from, and is that luck?"""

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
from engine.runtime.studies import study_files

INTERRUPTED = 130
_REQUEST = ("strategy", "engine", "cash", "brake", "costs", "fee_bps", "slippage_bps", "impact", "seed", "draws")
_STUDY = ("trials", "folds", "embargo_days", "study", "holdout_report", "workers")


def optimise(options: argparse.Namespace) -> int:
    """Search, judge and print; an interrupted study goes on when the same command is given again."""
    asked = asked_of(options, (*_REQUEST, *_STUDY))
    asked.request["fixed"] = parse_settings(options.settings, [options.strategy])[options.strategy]
    asked.request["ranges"] = _ranges(options.ranges)
    asked.request["scheduler"] = load().settings.research.scheduler
    try:
        with Progress() as progress:
            record = study_files(asked.files, asked.request, data_folder(), progress)
    except KeyboardInterrupt:
        complain("interrupted; finished trials are stored, and the same command goes on with them")
        return INTERRUPTED
    if options.json:
        say_json({**record, "assumed": asked.guesses})
    else:
        _say(record)
    return 0


def _ranges(pairs: Sequence[str]) -> dict[str, str]:
    ranges = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name.strip():
            raise BadInput(f"--range {pair!r} is not of the form key=LOW:HIGH")
        ranges[name.strip()] = text.strip()
    return ranges


def _say(record: Mapping[str, Any]) -> None:
    counts, best, development = record["counts"], record["best"], record["development"]
    days = record["definition"]["development"]
    say(record["verdict"]["line"])
    say_remarks(record["development"]["series"])
    say("")
    say(f"study {record['study']}: {counts['measured']:,} trials, {counts['complete']:,} complete, "
        f"{counts['pruned']:,} abandoned early; {counts['refused']:,} proposals contradicted themselves")  # fmt: skip
    say(f"best is trial {best['number']}: {', '.join(f'{name}={value}' for name, value in best['settings'].items())}")
    say(f"Sharpe ratio over {len(best['fold_scores'])} folds {best['value']:.2f}; one run from {days['from'][:10]} to "
        f"{days['to'][:10]} ends with {development['final_equity']} {development['currency']} from "
        f"{development['cash']}")  # fmt: skip
    for line in _doubts(record):
        say(line)
    say(_holdout(record))


def _doubts(record: Mapping[str, Any]) -> list[str]:
    """How much of the best is the choosing."""
    over, plateau, selection = record["overfitting"], record["plateau"], record["selection"]
    lines = []
    if over["pbo"] is not None:
        lines.append(f"probability of overfitting {over['pbo']:.2f}; worthless trials give about 0.5")
    if selection["k_fold"] is not None:
        paths = ", ".join(f"{path:.2f}" for path in selection["paths"])
        lines.append(f"choosing the best by other days gave a Sharpe ratio of {selection['k_fold']:.2f} on unseen "
                     f"ones; on {len(selection['paths'])} purged paths {paths}")  # fmt: skip
        if selection.get("note"):
            lines.append(selection["note"])
    if plateau["median_share"] is not None:
        lines.append(f"{plateau['neighbours']} neighbours keep {plateau['median_share']:.0%} of it in the middle, "
                     f"{plateau['worst_share']:.0%} at worst")  # fmt: skip
    if plateau["on_edge"]:
        lines.append("a setting of the best lies at the edge of what was tried; the best may lie beyond")
    if len(record["revisions"]) > 1:
        lines.append(f"{len(record['revisions'])} versions of the code ran its trials, which may not be comparable")
    return lines


def _holdout(record: Mapping[str, Any]) -> str:
    holdout = record["holdout"]
    days = f"{holdout['from'][:10]} to {holdout['to'][:10]}"
    if holdout["refused"]:
        return f"holdout {days} is used up, this study can not look at it: {holdout['refused']}"
    if holdout["record"] is None:
        return f"holdout {days} is untouched; --holdout-report looks at it once"
    found = holdout["record"]
    return (
        f"holdout {days}, looked at on {holdout['touched_at'][:10]}: final equity {found['final_equity']} "
        f"{found['currency']} from {found['cash']}. {found['verdict']['line']}"
    )
