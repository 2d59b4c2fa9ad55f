"""``backtest``: would this have worked, after costs, and how likely is it luck?"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from engine.runtime.backtests import backtest_files
from engine.runtime.cli.folder import writable_folder
from engine.runtime.cli.output import say, say_json, say_remarks
from engine.runtime.cli.progress import Progress
from engine.runtime.cli.run_options import BACKTEST_OPTIONS, asked_of
from engine.runtime.replay_request import parse_settings

_SHARES = ("net_return", "cagr", "volatility", "max_drawdown", "win_rate", "exposure", "time_in_market", "cost_share")
_WORDS = {
    "net_return": "net return", "cagr": "growth a year", "volatility": "volatility a year", "sharpe": "Sharpe ratio",
    "sortino": "Sortino ratio", "calmar": "Calmar ratio", "max_drawdown": "deepest drawdown",
    "drawdown_days": "longest drawdown, days", "win_rate": "trades won", "payoff": "payoff",
    "profit_factor": "profit factor", "expectancy": "result of a trade", "exposure": "exposure",
    "time_in_market": "time in the market", "turnover": "turnover a year", "cost_share": "costs of gross profit",
}  # fmt: skip


def backtest(options: argparse.Namespace) -> int:
    """Run, evaluate and print."""
    asked = asked_of(options, BACKTEST_OPTIONS)
    asked.request["settings"] = parse_settings(options.settings, [options.strategy])[options.strategy]
    folder = writable_folder()  # every run counts as a trial: one that cannot be counted is not made
    with Progress() as progress:
        result = backtest_files(asked.files, asked.request, progress, folder)
    if options.json:
        say_json({**result.record, "assumed": asked.guesses})
    else:
        _say(result.record)
    return 0


def _say(record: Mapping[str, Any]) -> None:
    currency, costs = record["currency"], record["costs_paid"]
    say(record["verdict"]["line"])
    if record["verdict"]["passed"]:
        say(f"passed, which alone is not enough: {'; '.join(record['verdict']['passed'])}")
    say_remarks(record["series"])
    say("")
    instruments = ", ".join(one["instrument"] for one in record["series"])
    say(f"{record['strategy']} on {instruments}: {record['bars']:,} candles in {record['seconds']:.3f} s "
        f"({record['engine']})")  # fmt: skip
    say(f"final equity {record['final_equity']} {currency} from {record['cash']} in {len(record['trades']):,} trades; "
        f"holding instead returned {_shown('net_return', record['buy_and_hold']['net_return']['value'])}")  # fmt: skip
    say(f"paid {costs['fees']} {currency} in fees, {costs['spread_and_slippage']} in spread, slippage and impact, "
        f"{costs['funding']} in funding")  # fmt: skip
    say(_costs_asked(record["costs"]))
    double = record["double_costs"]
    unpaid = double["net_return"] is None
    say(f"at twice the costs not known: {double['reason']}" if unpaid else
        f"final equity at twice the costs {double['final_equity']} {currency}")  # fmt: skip
    if double["days"]["line"]:
        say(double["days"]["line"])
    say(f"inside a bar: {record['inside_bar']}")
    if record["stopped_at"]:
        say(f"stopped for good at {record['stopped_at']}: {record['stop_reason']}; {record['days']['line']}")
    for one in record["open_trades"]:
        say(f"still open: {one['side']} {one['quantity']} {one['instrument']} since {one['entry_time']}, "
            f"{one['pnl']} {currency} at the last close")  # fmt: skip
    say("")
    for line in _figure_lines(record["metrics"]):
        say(line)
    say("")
    for line in _luck_lines(record):
        say(line)


def _costs_asked(costs: Mapping[str, Any]) -> str:
    """What was charged, so that a run of the page and one of the command line are not compared unseen."""
    share = costs["volume_share"]
    cap = "no cap" if share is None else f"at most {float(share):.0%} of a candle's volume"
    return (f"costs {costs['name']}: fee {costs['taker_bps']}, spread {costs['spread_bps']} and slippage "
            f"{costs['slippage_bps']} basis points, {cap}, impact {costs['impact']}")  # fmt: skip


def _figure_lines(metrics: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A figure a line: value, 95 % interval, or why there is none."""
    lines = []
    for name, words in _WORDS.items():
        figure = metrics[name]
        if figure["value"] is None:
            lines.append(f"{words:24}  not known: {figure['reason']}")
            continue
        between = ""
        if figure["low"] is not None:
            between = f"   95 %: {_shown(name, figure['low'])} to {_shown(name, figure['high'])}"
        lines.append(f"{words:24} {_shown(name, figure['value']):>12}{between}")
    return lines


def _luck_lines(record: Mapping[str, Any]) -> list[str]:
    null, over = record["null"], record["overfitting"]
    lines = []
    if null["percentile"] is not None:
        lines.append(f"better than {null['percentile']:.1%} of {null['draws']:,} runs with random entries "
                     f"(95 %: {null['low']:.1%} to {null['high']:.1%})")  # fmt: skip
    if over["deflated_sharpe"] is not None:
        trials = "1 trial" if over["trials"] == 1 else f"{over['trials']:,} trials"
        others = f" ({over['other_trials']:,} of them in other runs)" if over["other_trials"] else ""
        lines.append(f"deflated Sharpe probability {over['deflated_sharpe']:.2f} after {trials}{others}")
    if over["trials_unknown"]:
        lines.append(f"the trials of other runs are not known: {over['trials_unknown']}")
    for year in record["years"]:
        lines.append(f"{year['year']}: {_shown('net_return', year['net_return'])} in {year['trades']:,} trades, "
                     f"holding {_shown('net_return', year['hold_return'])}")  # fmt: skip
    return lines


def _shown(name: str, value: float | None) -> str:
    if value is None:
        return "not known"
    return f"{value:.2%}" if name in _SHARES else f"{value:,.2f}"
