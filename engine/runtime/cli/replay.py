"""``replay``: candle files through the trading engine, in books of their own."""

from __future__ import annotations

import argparse
from typing import Any

from engine.runtime.cli.assume import assumed
from engine.runtime.cli.files import all_readable
from engine.runtime.cli.output import say, say_json
from engine.runtime.cli.progress import Progress
from engine.runtime.replay_request import parse_settings
from engine.runtime.replays import replay_files

_FACTS = ("venue", "kind", "symbol", "timeframe", "tick_size", "lot_size", "min_notional", "max_leverage")
_REQUEST = ("cash", "brake", "costs", "fee_bps", "slippage_bps")


def replay(options: argparse.Namespace) -> int:
    """Run the replay and print its result."""
    files, funding = all_readable(options.files), all_readable(options.funding)
    given = vars(options)
    asked: dict[str, Any] = {name: given[name] for name in (*_FACTS, *_REQUEST) if given[name] is not None}
    guesses = assumed(options.files, asked)
    asked |= guesses
    asked |= {"from": options.start or "", "to": options.stop or ""}
    asked |= {"funding": [str(path) for path in funding], "no_funding": options.no_funding}
    strategies = parse_settings(options.settings, options.strategies)
    with Progress() as progress:
        result = replay_files(files, strategies, asked, progress)
    if options.json:
        say_json({**result, "assumed": guesses})
    else:
        _say(result)
    return 0


def _say(result: dict[str, Any]) -> None:
    currency = result["currency"]
    say(f"{result['bars']:,} candles in {result['seconds']:.1f} s ({result['bars_per_second']:,.0f} a second)")
    say(f"{result['trades']:,} trades ({result['wins']:,} won), {result['fills']:,} fills")
    say(f"final equity {result['final_equity']} {currency} from {result['cash']}, fees {result['fees']}, "
        f"funding {result['funding']}, deepest drawdown {float(result['max_drawdown']):.2%}")  # fmt: skip
    if result["stopped_at"]:
        say(f"stopped at {result['stopped_at']}: {result['stop_reason']}")
    say(f"digest {result['digest']}")
