"""The commands around data: people, candles, replays, exports, audit, backups."""

from __future__ import annotations

from engine.runtime.cli.options import Commands, Help, Parser, add_command, add_group, add_json, add_market
from engine.runtime.cli.run_options import add_conditions, add_detail, add_facts, add_settings, add_span

_MODULE = "engine.runtime.cli"


def add_all(commands: Commands) -> None:
    """Declare them."""
    _users(commands)
    _candles(commands)
    _replay(commands)
    _export(commands)
    _audit(commands)
    _backup(commands)
    _restore(commands)


def _users(commands: Commands) -> None:
    group = add_group(commands, "users", "who may sign in to the console: add, list, reset")
    module = f"{_MODULE}.users"
    add = add_command(
        group,
        "add",
        f"{module}:add",
        Help(
            "add a person",
            "Who can write the data folder may add people; the audit trail names the system's user. The first "
            "person must be an admin and ends the one-time code of the first start. Asks for the password in "
            "a terminal.",
            ("users add jo --role admin", "users add sam --role viewer --password-stdin < password-file"),
        ),
    )
    add.add_argument("name", metavar="NAME", help="1 to 32 letters, digits, dots, dashes or underscores")
    add.add_argument("--role", required=True, choices=("viewer", "operator", "admin"), help="what the person may do")
    _password(add)
    listed = add_command(
        group,
        "list",
        f"{module}:list_all",
        Help(
            "list everybody",
            "Everybody, by name.",
            ("users list",),
        ),
    )
    add_json(listed)
    reset = add_command(
        group,
        "reset",
        f"{module}:reset",
        Help(
            "give a person a new password",
            "Ends all sessions of the person and lifts a lockout.",
            ("users reset jo", "users reset jo --password-stdin < password-file"),
        ),
    )
    reset.add_argument("name", metavar="NAME", help="the person")
    _password(reset)


def _password(parser: Parser) -> None:
    parser.add_argument("--password-stdin", action="store_true", help="read the password from the first line of stdin")


def _candles(commands: Commands) -> None:
    group = add_group(commands, "candles", "the candle store: import, list, check")
    _candles_import(group)
    module = f"{_MODULE}.candles"
    listed = add_command(
        group,
        "list",
        f"{module}:list_all",
        Help(
            "what the store holds",
            "One row per series.",
            ("candles list --json",),
        ),
    )
    add_json(listed)
    check = add_command(
        group,
        "check",
        f"{module}:check",
        Help(
            "read every candle and list what is missing",
            "Reads every file of the store and lists each run of missing candles. Gaps do not change the exit "
            "code; a damaged file does (1).",
            ("candles check", "candles check --json"),
        ),
    )
    add_json(check)


def _candles_import(group: Commands) -> None:
    load = add_command(
        group,
        "import",
        f"{_MODULE}.candles:load",
        Help(
            "import candle files (Parquet or CSV)",
            "Columns: timestamp (ms UTC, the candle's open), open, high, low, close, volume. Instrument and "
            "timeframe come from the name (BTC_USDT-1h.parquet, BTC_USDT_USDT-1h-futures.parquet), venue and "
            "kind from the folder (spot_binance, futures_bybit) or from options. Bad rows are left out, "
            "counted and listed; a file is imported whole or not at all. Tick, lot and least order of common "
            "USDT pairs are known.",
            (
                "candles import spot_binance/BTC_USDT-1h.parquet spot_binance/ETH_USDT-1h.parquet",
                "candles import mine.csv --venue kraken --kind spot --symbol BTC/USD --timeframe 1h \\\n"
                "      --tick-size 0.1 --lot-size 0.00000001 --min-notional 0.5",
            ),
        ),
    )
    load.add_argument("files", nargs="+", metavar="FILE", help="candle files")
    add_market(load)
    add_json(load)


def _replay(commands: Commands) -> None:
    parser = add_command(
        commands,
        "replay",
        f"{_MODULE}.replay:replay",
        Help(
            "replay candle files through the trading engine",
            "The same core, risk gate and broker that trade, with books of their own: nothing here touches "
            "another book. Equal runs give equal digests, whatever the order of the files. `brake` says what "
            "happens at the brake's drawdown: latch stops for good, reset-after=DAYS goes on later, off never "
            "stops.",
            (
                "replay spot_binance/BTC_USDT-1h.parquet --strategy momentum --json",
                "replay BTC_USDT-1h.parquet ETH_USDT-1h.parquet --venue binance --kind spot \\\n"
                "      --strategy momentum --strategy breakout --set momentum.fast_ema_bars=24 --cash 25000",
                "replay BTC_USDT-1h.parquet --strategy momentum --costs plain --fee-bps 10 --brake off",
            ),
        ),
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="candle files, named as for `candles import`")
    parser.add_argument(
        "--strategy", action="append", required=True, metavar="NAME", dest="strategies",
        help="strategy; may be given several times, equal weights; sma_cross (all in, no stop) goes alone",
    )  # fmt: skip
    add_settings(parser, "a value of the strategy's configuration; STRATEGY.KEY=VALUE where there are several")
    add_span(parser, "TIME", "first candle, UTC")
    add_conditions(parser, "default", "default: latch")
    add_detail(parser)
    add_facts(parser)


def _export(commands: Commands) -> None:
    parser = add_command(
        commands,
        "export",
        f"{_MODULE}.exports:export",
        Help(
            "orders, fills or the journal, as JSON or CSV",
            "Writes everything to stdout, oldest first; an engine may be running. Simulated rows say so. CSV "
            "is safe for spreadsheets: no text cell is read as a formula.",
            (
                "export fills --json > fills.json",
                "export orders --csv --book demo > orders.csv",
                "export journal --json",
            ),
        ),
    )
    parser.add_argument("what", choices=("orders", "fills", "journal"), help="what to write")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="a JSON array (default)")
    form.add_argument("--csv", action="store_true", help="CSV, UTF-8")
    parser.add_argument("--book", metavar="NAME", help="only this book; default: all")


def _audit(commands: Commands) -> None:
    group = add_group(commands, "audit", "the hash chains of journal and audit trail: verify")
    parser = add_command(
        group,
        "verify",
        f"{_MODULE}.safekeeping:verify_all",
        Help(
            "recompute every hash chain",
            "Exit code 0 only if journal and audit trail are whole and, where no engine is writing, the order "
            "and fill tables equal what the journal says.",
            ("audit verify", "audit verify --json"),
        ),
    )
    add_json(parser)


def _backup(commands: Commands) -> None:
    parser = add_command(
        commands,
        "backup",
        f"{_MODULE}.safekeeping:back_up",
        Help(
            "make a verified backup",
            "A consistent copy of databases, simulated venues and settings, proven readable before it gets "
            "its name; an engine may be running. Candles are listed, not copied. Without --with-keys sealed "
            "exchange keys stay sealed and restoring needs the folder keys/ of this data folder.",
            ("backup", "backup --to /mnt/usb --with-keys"),
        ),
    )
    parser.add_argument("--to", metavar="FOLDER", help="default: backups in the data folder")
    parser.add_argument("--with-keys", action="store_true", help="put the key files inside, in clear: keep it safe")
    add_json(parser)


def _restore(commands: Commands) -> None:
    parser = add_command(
        commands,
        "restore",
        f"{_MODULE}.safekeeping:bring_back",
        Help(
            "replace the data folder's state by a backup's",
            "Proves the archive first; what was there is moved aside, never deleted. The next start is "
            "HALTED, so that a person looks before anything trades; `arm` lets it. Exit code 3: an engine "
            "owns the data folder.",
            ("restore data/backups/quarterdeck-20260131T120000000000Z.zip",),
        ),
    )
    parser.add_argument("file", metavar="FILE", help="a backup archive")
    add_json(parser)
