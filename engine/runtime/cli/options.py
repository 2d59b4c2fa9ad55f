"""How a command is declared, and the kinds of values options take."""

from __future__ import annotations

import argparse
import re
import textwrap
from dataclasses import dataclass
from typing import NoReturn, TypeAlias

from engine.domain.errors import BadInput
from engine.runtime.run_numbers import Whole

_WIDTH = 100
_WHOLE = re.compile(r"[+-]?[0-9]{1,30}")


class Parser(argparse.ArgumentParser):
    """Says in one line what is wrong and where the help is."""

    def error(self, message: str) -> NoReturn:
        """End with exit code 2."""
        self.exit(2, f"quarterdeck: {message}\nTry: {self.prog} --help\n")


Commands: TypeAlias = "argparse._SubParsersAction[Parser]"


@dataclass(frozen=True, slots=True)
class Help:
    """What a command says about itself: a line for the list, what it does, and command lines to learn from."""

    title: str
    description: str
    examples: tuple[str, ...]


def add_command(commands: Commands, name: str, run: str, text: Help) -> Parser:
    """Declare a command; ``run`` is ``module:function``, imported only when the command is carried out."""
    lines = "\n".join(f"  python -m engine {example}" for example in text.examples)
    parser = commands.add_parser(
        name,
        help=text.title,
        description=textwrap.fill(text.description, _WIDTH),
        epilog=f"examples:\n{lines}\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    # Also behind the command; SUPPRESS keeps the one given before it.
    parser.add_argument("--data-dir", metavar="FOLDER", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    parser.set_defaults(run=run)
    return parser


def add_group(commands: Commands, name: str, title: str) -> Commands:
    """Declare a command that has commands of its own."""
    parser = commands.add_parser(name, help=title, description=f"{title[0].upper()}{title[1:]}.", allow_abbrev=False)
    return parser.add_subparsers(title="commands", metavar="COMMAND", required=True)


def add_whole(parser: Parser, flag: str, allowed: Whole, text: str, dest: str | None = None) -> None:
    """An option that takes a whole number; what is no such number ends in `BadInput` with the flag and what it takes.

    Parameters
    ----------
    parser : Parser
    flag : str
    allowed : Whole
        With its default, which the help names; None leaves the choice to the settings.
    text : str
        Help.
    dest : str, optional
        Name of the value, with its unit.
    """
    default = allowed.default
    instead = "or leave it out" if default is None else f"leave it out for {default:,}"

    def read(given: str) -> int:
        number: int | str = int(given) if _WHOLE.fullmatch(given) else given
        try:
            return allowed.read(flag, number)
        except BadInput as error:
            raise BadInput(f"{error}; {instead}") from None

    told = text if default is None else f"{text} (default {default})"
    unit = "SECONDS" if dest and dest.endswith("_s") else "N"
    parser.add_argument(flag, dest=dest, type=read, default=default, metavar=unit, help=told)


def add_market(parser: Parser) -> None:
    """What a person may state about candle files whose names do not say it."""
    parser.add_argument("--venue", metavar="NAME", help="exchange, lower case; default: from the folder's name")
    parser.add_argument("--kind", choices=("spot", "perpetual"), help="default: from the file's or folder's name")
    parser.add_argument("--symbol", metavar="BASE/QUOTE", help="for a file whose name does not say it")
    parser.add_argument("--timeframe", metavar="LENGTH", help="length of a candle: 1m, 5m, 1h, 1d")
    parser.add_argument("--tick-size", metavar="N", help="step of the price, as the exchange states it")
    parser.add_argument("--lot-size", metavar="N", help="step of the quantity")
    parser.add_argument("--min-notional", metavar="N", help="least value of an order, in quote")
    parser.add_argument("--max-leverage", metavar="N", help="of a perpetual")


def add_json(parser: Parser) -> None:
    """The answer for programs."""
    parser.add_argument("--json", action="store_true", help="as JSON: money decimal strings, times ISO UTC")
