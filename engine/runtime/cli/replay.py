"""``replay``: candle files through the trading engine, in books of their own."""

from __future__ import annotations

import argparse
from typing import Any

from engine.runtime.cli.output import say, say_json, say_remarks
from engine.runtime.cli.progress import Progress
from engine.runtime.cli.run_options import CONDITIONS, asked_of
from engine.runtime.replay_request import parse_settings
from engine.runtime.replays import replay_files


def replay(options: argparse.Namespace) -> int:
    """Run the replay and print its result."""
    asked = asked_of(options, CONDITIONS)
    strategies = parse_settings(options.settings, options.strategies)
    with Progress() as progress:
        result = replay_files(asked.files, strategies, asked.request, progress)
    if options.json:
        say_json({**result, "assumed": asked.guesses})
    else:
        _say(result)
    return 0


def _say(result: dict[str, Any]) -> None:
    currency = result["currency"]
    say_remarks(result["series"])
    say(f"{result['bars']:,} candles in {result['seconds']:.1f} s ({result['bars_per_second']:,.0f} a second)")
    say(f"{result['trades']:,} trades ({result['wins']:,} won), {result['fills']:,} fills")
    say(f"final equity {result['final_equity']} {currency} from {result['cash']}, fees {result['fees']}, "
        f"funding {result['funding']}, deepest drawdown {float(result['max_drawdown']):.2%}")  # fmt: skip
    say(f"inside a bar: {result['inside_bar']}")
    if result["stopped_at"]:
        say(f"stopped at {result['stopped_at']}: {result['stop_reason']}")
    say(f"digest {result['digest']}")
