"""Commands about connected accounts and their help."""

from __future__ import annotations

from engine.runtime.cli.options import Commands, Help, add_command

_MODULE = "engine.runtime.cli"


def add_all(commands: Commands) -> None:
    """Declare them."""
    parser = add_command(
        commands,
        "wallets",
        f"{_MODULE}.wallets:wallets",
        Help(
            "what every connected account holds",
            "Asks each connected exchange now: every wallet of the account that the key can see, the worth of each "
            "coin with the coins its price was found over, and the wallets that gave no answer, by name. Coins without "
            "a price are listed and not counted. Exit code 1: an account could not be read. Balances of demo and paper "
            "are on the Wallets page.",
            ("wallets", "wallets --json"),
        ),
    )
    parser.add_argument("--json", action="store_true", help="as JSON: money decimal strings, times ISO UTC")
