"""How a command is declared, and the kinds of values options take."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_command(
    commands: Commands, name: str, run: str, title: str, description: str, examples: Sequence[str]
) -> argparse.ArgumentParser:
    """Declare a command; ``run`` is ``module:function``, imported only when the command is carried out."""
    lines = "\n".join(f"  python -m engine {example}" for example in examples)
    parser = commands.add_parser(
        name,
        help=title,
        description=description,
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


def money(text: str) -> Decimal:
    """A decimal number of at least zero."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if not number.is_finite() or number < 0:
        raise argparse.ArgumentTypeError(f"{text} is not a number of at least zero")
    return number


def instant(text: str) -> datetime:
    """A date or time; UTC where no zone is given."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a date or time like 2024-01-31 or 2024-01-31T12:00") from None
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def assignment(text: str) -> tuple[str, str]:
    """``key=value``."""
    key, sign, value = text.partition("=")
    if not sign or not key.strip():
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    return key.strip(), value.strip()
