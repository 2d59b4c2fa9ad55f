"""Every command of ``python -m engine``, its options and its help; imports nothing heavy, so that help is instant."""

from __future__ import annotations

import argparse

from engine.runtime.cli import arguments_accounts, arguments_data, arguments_research
from engine.runtime.cli.options import Commands, Help, Parser, add_command, add_whole
from engine.runtime.run_numbers import DEMO_SEED, MARKET_SPEED, PORT, Whole

_MODULE = "engine.runtime.cli"
_TRADING = f"{_MODULE}.trading"
_SERVING = f"{_MODULE}.serving"
_MOST_S = 366 * 86_400

DESCRIPTION = """\
Quarterdeck: an operator console and an autonomous crypto trading engine for one trader.
The console in the browser is started with `make run`; everything here works beside it or without it.
"""

EPILOG = """\
first steps:
  python -m engine run --stage demo --speed 100 --seed 7   trade the simulated market, without a browser
  python -m engine status --json                           what the running engine does (from another terminal)
  python -m engine stop --reason "going on holiday"        the red button: cancel, flatten, verify
  python -m engine COMMAND --help                          every command explains itself with examples

where things lie:
  The data folder is `data` in the project, or QUARTERDECK_DATA_DIR, or --data-dir. Settings are in
  config/default.toml; change them in quarterdeck.toml in the data folder or by QUARTERDECK_<NAME>.

exit codes:
  0 done   1 failed   2 bad input or setting   3 no engine running, or one is already, or the port is taken
  4 refused by role or by the engine's state   130 interrupted
"""


def build_parser() -> Parser:
    """The whole command line."""
    parser = Parser(
        prog="python -m engine",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--data-dir", metavar="FOLDER", help="data folder, instead of QUARTERDECK_DATA_DIR")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=Parser)
    _console(commands)
    _run(commands)
    _status(commands)
    _stop(commands)
    _arm(commands)
    arguments_accounts.add_all(commands)
    arguments_data.add_all(commands)
    arguments_research.add_all(commands)
    return parser


def _console(commands: Commands) -> None:
    parser = add_command(
        commands,
        "console",
        f"{_SERVING}:console",
        Help(
            "serve the console in the browser (what `make run` does)",
            "Checks settings, port and data folder first, then serves the console, with the engine beside it, "
            "on 127.0.0.1. Ends with Ctrl-C; the engine stops cleanly and goes on where it was at the next "
            "start.",
            ("console", "console --port 8600"),
        ),
    )
    add_whole(parser, "--port", PORT, "port, instead of QUARTERDECK_PORT")


def _run(commands: Commands) -> None:
    parser = add_command(
        commands,
        "run",
        f"{_SERVING}:run",
        Help(
            "run the engine without a console",
            "Starts, recovers and trades until SIGTERM or Ctrl-C, which stop it cleanly (exit code 0). Prints "
            "one line when it is ready; logs go to stderr and to logs/engine.log in the data folder. Exit "
            "code 3: another engine owns the data folder.",
            ("run --stage demo --speed 100 --seed 7", "run --stage demo --for 30", "run --stage paper"),
        ),
    )
    parser.add_argument(
        "--stage",
        choices=("demo", "paper", "testnet", "live"),
        help="only this book: demo is the simulated market, paper public market data, testnet and live a connected "
        "account; refused with the reason where one of its conditions is missing; default: those the settings name",
    )
    add_whole(parser, "--speed", MARKET_SPEED, "simulated market seconds a second, 1 to 1000")
    add_whole(parser, "--seed", DEMO_SEED, "seed of the simulated market")
    add_whole(parser, "--for", Whole(1, _MOST_S), "stop cleanly after so many seconds", "duration_s")


def _status(commands: Commands) -> None:
    parser = add_command(
        commands,
        "status",
        f"{_MODULE}.status:status",
        Help(
            "what the running engine does",
            "Reads what the engine publishes every second. The fields at the top are those of the first book; "
            "there is one object per book under `books`. Exit code 3: no engine runs in this data folder.",
            ("status", "status --json"),
        ),
    )
    parser.add_argument("--json", action="store_true", help="as JSON: money decimal strings, times ISO UTC")


def _stop(commands: Commands) -> None:
    parser = add_command(
        commands,
        "stop",
        f"{_TRADING}:stop",
        Help(
            "emergency stop: latch, cancel, flatten, verify",
            "The red button. The order is stored durably first, then the engine carries it to VERIFIED FLAT "
            "and stays halted until `arm`. Without a running engine it is carried out by the next start "
            "before anything else: the state is then PENDING and the exit code 3. Where nothing can be "
            "stored, the file STOP in the data folder does the same.",
            ("stop", 'stop --reason "exchange behaves oddly"', 'stop --book demo --reason "test" --wait 30 --json'),
        ),
    )
    _reason(parser)
    parser.add_argument("--book", metavar="NAME", help="only this book; default: all")
    add_whole(parser, "--wait", Whole(0, _MOST_S, 120), "wait so long", "wait_s")
    parser.add_argument("--json", action="store_true", help="steps and state as JSON")


def _arm(commands: Commands) -> None:
    parser = add_command(
        commands,
        "arm",
        f"{_MODULE}.arming:arm",
        Help(
            "let a stopped book trade again, or real money be traded",
            "Releases the latch of a stop or brake that is verified flat. A deliberate act: asks for the "
            "names of the books in the terminal, or takes --yes. Without --book every latched book is meant; one "
            "that a person halted by hand, or that a restore halted, only by its name. A live book is armed by its "
            "name alone, by an operator: name and password are asked for, or come by --operator and --password-stdin, "
            "and wrong ones count as at sign-in. Books and exchange are compared at that moment; exit code 4 with "
            "every reason that stands against it.",
            (
                "arm",
                'arm --book demo --reason "cause found and fixed"',
                "arm --book live --operator jo --password-stdin < password-file",
            ),
        ),
    )
    parser.add_argument("--book", metavar="NAME", help="only this book; default: every latched one")
    _reason(parser)
    parser.add_argument("--yes", action="store_true", help="do not ask; a live book asks for the password all the same")
    parser.add_argument("--operator", metavar="NAME", help="of a live book: who arms it; default: asked for")
    parser.add_argument("--password-stdin", action="store_true", help="the operator's password comes on stdin")
    add_whole(parser, "--wait", Whole(0, _MOST_S, 30), "wait so long", "wait_s")
    parser.add_argument("--json", action="store_true", help="the answer as JSON")


def _reason(parser: Parser) -> None:
    parser.add_argument(
        "--reason",
        default="by command",
        metavar="TEXT",
        help="why; stands in journal and audit trail (default: by command)",
    )
