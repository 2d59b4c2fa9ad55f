"""What the commands that run strategies over candle files share: their options, and the request these make."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.domain.errors import BadInput
from engine.runtime.cli.assume import assumed
from engine.runtime.cli.files import all_readable
from engine.runtime.cli.options import Parser, add_json, add_market

FACTS = ("venue", "kind", "symbol", "timeframe", "tick_size", "lot_size", "min_notional", "max_leverage")
CONDITIONS = ("cash", "brake", "costs", "fee_bps", "slippage_bps", "impact")
"""Options of `add_conditions` that go into a request as they are."""
BACKTEST_OPTIONS = ("strategy", "engine", *CONDITIONS, "seed", "draws")


@dataclass(frozen=True, slots=True)
class Asked:
    """Files that are there, the request to run over them, and the part of it that was guessed and told."""

    files: list[Path]
    request: dict[str, Any]
    guesses: dict[str, str]


def add_candles(parser: Parser) -> None:
    """Candle files by a flag of their own."""
    parser.add_argument(
        "--candles", action="append", required=True, metavar="FILE", dest="files",
        help="candle file, named as for `candles import`; may be given several times",
    )  # fmt: skip


def add_settings(parser: Parser, what: str) -> None:
    """Settings of a strategy; ``what`` is said of one of them."""
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="settings", help=what)


def add_span(parser: Parser, value: str, first: str) -> None:
    """From and to; ``value`` stands for what is given, ``first`` says what the first is."""
    parser.add_argument("--from", dest="start", metavar=value, help=first)
    parser.add_argument("--to", dest="stop", metavar=value, help=f"before this {value.lower()}, UTC")


def _add_impact(parser: Parser) -> None:
    """Market impact, with any costs."""
    parser.add_argument(
        "--impact", metavar="Y",
        help="market impact of an order: Y of the square-root law, measured at about 1 (default 0: none)",
    )  # fmt: skip


def _add_risk(parser: Parser) -> None:
    """Limits and ways out of the run."""
    parser.add_argument(
        "--risk", action="append", default=[], metavar="KEY=VALUE", dest="risk_pairs",
        help="a setting of the section risk, e.g. take_profit=2 or trail=1.5 (multiples of the stop distance); may be "
        "given several times",
    )  # fmt: skip


def add_conditions(parser: Parser, costs: str, brake: str) -> None:
    """Capital, costs and limits.

    Parameters
    ----------
    parser : Parser
    costs : str
        Those taken where none are asked for: ``default`` or ``plain``.
    brake : str
        What is said of the brake that is taken where none is asked for.
    """
    parser.add_argument("--cash", default="10000", metavar="N", help="capital in quote (default 10000)")
    parser.add_argument(
        "--costs", choices=("default", "plain"), default=costs,
        help=f"plain: the given fee and slippage alone; default: also spread and volume cap (without it: {costs})",
    )  # fmt: skip
    parser.add_argument("--fee-bps", metavar="N", help="fee of a fill, basis points, with plain costs (default 10)")
    parser.add_argument(
        "--slippage-bps", metavar="N", help="slippage of a fill, basis points, with plain costs (default 0)"
    )
    _add_impact(parser)
    _add_risk(parser)
    parser.add_argument("--brake", metavar="HOW", help=f"latch, off or reset-after=DAYS ({brake})")


def add_detail(parser: Parser) -> None:
    """Finer candles of the same instruments."""
    parser.add_argument(
        "--detail", action="append", default=[], metavar="FILE",
        help="finer candles (1m under 1h) that decide what happens inside a candle; may be given several times",
    )  # fmt: skip


def add_facts(parser: Parser) -> None:
    """What files do not say of themselves, funding, and the form of the answer."""
    add_market(parser)
    parser.add_argument("--funding", action="append", default=[], metavar="FILE", help="funding rates of a perpetual")
    parser.add_argument("--no-funding", action="store_true", help="perpetuals without funding, knowingly")
    add_json(parser)


def asked_of(options: argparse.Namespace, names: Sequence[str]) -> Asked:
    """What the options ask for.

    Parameters
    ----------
    options : Namespace
        Made with the functions above.
    names : sequence of str
        Further options that go into the request where they were given.

    Raises
    ------
    BadInput
        A file is not there, or a limit is not of the form KEY=VALUE.
    """
    files = all_readable(options.files)
    given = vars(options)
    request: dict[str, Any] = {name: given[name] for name in (*FACTS, *names) if given[name] is not None}
    guesses = assumed(options.files, request)
    request |= guesses
    request |= {"from": options.start or "", "to": options.stop or ""}
    request |= {"funding": list(map(str, all_readable(options.funding))), "no_funding": options.no_funding}
    if given.get("risk_pairs"):
        request["risk"] = _pairs(given["risk_pairs"])
    if given.get("detail"):
        request["detail"] = list(map(str, all_readable(options.detail)))
    return Asked(files, request, guesses)


def _pairs(pairs: Sequence[str]) -> dict[str, str]:
    """Limits by name.

    >>> _pairs(["trail=1.5", "mode=aggressive"])
    {'trail': '1.5', 'mode': 'aggressive'}
    """
    bad = [pair for pair in pairs if "=" not in pair]
    if bad:
        raise BadInput(f"--risk {bad[0]} is not of the form KEY=VALUE, e.g. trail=1.5")
    return {key.strip(): value.strip() for key, _, value in (pair.partition("=") for pair in pairs)}
