"""``optimise``: which settings would have done best on days the search did not learn from, and is that luck?"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from engine.runtime.cli.output import say, say_remarks
from engine.runtime.cli.search import Search, carry_out, ground_lines, settings_words, values_by_setting
from engine.runtime.studies import study_files


def optimise(options: argparse.Namespace) -> int:
    """Search, judge and print; an interrupted study goes on when the same command is given again."""
    search = Search("trials", ("trials", "folds", "holdout_report"), study_files, _say)
    return carry_out(options, search, {"ranges": values_by_setting("--range", "LOW:HIGH", options.ranges)})


def _say(record: Mapping[str, Any]) -> None:
    counts, best, development = record["counts"], record["best"], record["development"]
    days = record["definition"]["development"]
    say(record["verdict"]["line"])
    say_remarks(record["development"]["series"])
    say("")
    say(f"study {record['study']}: {counts['measured']:,} trials, {counts['complete']:,} complete, "
        f"{counts['pruned']:,} abandoned early; {counts['refused']:,} proposals contradicted themselves")  # fmt: skip
    say(f"best is trial {best['number']}: {settings_words(best['settings'])}")
    say(f"Sharpe ratio over {len(best['fold_scores'])} folds {best['value']:.2f}; one run from {days['from'][:10]} to "
        f"{days['to'][:10]} ends with {development['final_equity']} {development['currency']} from "
        f"{development['cash']}")  # fmt: skip
    for line in _doubts(record):
        say(line)
    say(_holdout(record))


def _doubts(record: Mapping[str, Any]) -> list[str]:
    """How much of the best is the choosing."""
    over, selection = record["overfitting"], record["selection"]
    lines = []
    if over["pbo"] is not None:
        lines.append(f"probability of overfitting {over['pbo']:.2f}; worthless trials give about 0.5")
    if selection["k_fold"] is not None:
        paths = ", ".join(f"{path:.2f}" for path in selection["paths"])
        lines.append(f"choosing the best by other days gave a Sharpe ratio of {selection['k_fold']:.2f} on unseen "
                     f"ones; on {len(selection['paths'])} purged paths {paths}")  # fmt: skip
        if selection.get("note"):
            lines.append(selection["note"])
    return lines + ground_lines(record, "trials", "what was tried")


def _holdout(record: Mapping[str, Any]) -> str:
    holdout = record["holdout"]
    days = f"{holdout['from'][:10]} to {holdout['to'][:10]}"
    if holdout["refused"]:
        return f"holdout {days} is used up, this study can not look at it: {holdout['refused']}"
    if holdout["record"] is None:
        return (
            f"holdout {days} is untouched; the same command with --study {record['study']} --holdout-report looks at "
            "it, once and for all"
        )
    found = holdout["record"]
    return (
        f"holdout {days}, looked at on {holdout['touched_at'][:10]}: final equity {found['final_equity']} "
        f"{found['currency']} from {found['cash']}. {found['verdict']['line']}"
    )
