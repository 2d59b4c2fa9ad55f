"""``check-strategy``: looks for what a strategy knows too early, and names the bar at which it does."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from engine.runtime.cli.assume import assumed
from engine.runtime.cli.files import readable
from engine.runtime.cli.output import say, say_json, tell
from engine.runtime.cli.run_options import FACTS
from engine.runtime.replay_request import parse_settings
from engine.runtime.strategy_checks import check_one, report_record


def check_strategy(options: argparse.Namespace) -> int:
    """Check, print the finding; 1 where the strategy fails."""
    given = vars(options)
    facts: dict[str, Any] = {name: given[name] for name in FACTS if given[name] is not None}
    if options.candles is not None:
        readable(Path(options.candles))
        facts |= assumed([options.candles], facts)
    settings = parse_settings(options.settings, [options.name])[options.name]
    file = None if options.file is None else Path(options.file)
    candles = None if options.candles is None else Path(options.candles)
    report = check_one(options.name, settings, file, candles, facts)
    if options.json:
        say_json(report_record(report))
    else:
        say(report.line)
        if report.fault is None and not report.opinions:
            tell("it wanted nothing on these candles, so little was shown; give others by --candles")
        elif report.fault is None and not report.has_stops:
            tell("it gives no stop with some of its convictions; a book would refuse those entries")
    return 0 if report.fault is None else 1
