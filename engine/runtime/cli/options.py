"""How a command is declared, and the kinds of values options take."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn, TypeAlias

_WIDTH = 100


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


def at_least(least: int) -> Callable[[str], int]:
    """A whole number with a lower bound; upper bounds are the settings' own."""

    def whole_number(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
        if number < least:
            raise argparse.ArgumentTypeError(f"{number} is below {least}")
        return number

    return whole_number
