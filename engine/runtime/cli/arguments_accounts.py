"""Commands about connected accounts and orders by hand, and their help."""

from __future__ import annotations

from engine.runtime.cli.options import Commands, Help, Parser, add_command, add_group, add_json, add_whole
from engine.runtime.run_numbers import Whole

_MODULE = "engine.runtime.cli"
_LONGEST_WAIT_S = 3600


def add_all(commands: Commands) -> None:
    """Declare them."""
    _venues(commands)
    _order(commands)
    _cancel(commands)
    _reconcile(commands)
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
    add_json(parser)


def _venues(commands: Commands) -> None:
    group = add_group(commands, "venues", "accounts at exchanges: add, list, test, remove")
    module = f"{_MODULE}.venues"
    _venues_add(group)
    listed = add_command(
        group,
        "list",
        f"{module}:list_all",
        Help(
            "every account and whether its keys are stored",
            "The accounts of the settings ([venues.NAME]) and those connected in the console: where each is reached, "
            "whether its keys are stored, which stage trades it, when its key was last checked and what was said.",
            ("venues list", "venues list --json"),
        ),
    )
    add_json(listed)
    test = add_command(
        group,
        "test",
        f"{module}:test",
        Help(
            "ask the exchange about a key",
            "Is the exchange reached, how far is its clock from this computer's, may the key trade, withdraw, is it "
            "bound to addresses, and how much of the request limit is used. What the exchange said is kept and shown "
            "by `venues list` and in the console. Exit code 1: something stands against the key, and what to do.",
            ("venues test main", "venues test main --json"),
        ),
    )
    _name(test)
    add_json(test)
    gone = add_command(
        group,
        "remove",
        f"{module}:remove",
        Help(
            "forget the keys of an account",
            "The account stays at the exchange and in the settings. Refused while a running book trades it.",
            ("venues remove main",),
        ),
    )
    _name(gone)
    add_json(gone)


def _venues_add(group: Commands) -> None:
    add = add_command(
        group,
        "add",
        f"{_MODULE}.venues:add",
        Help(
            "store the keys of an account, sealed",
            "NAME is that of a [venues.NAME] in the settings, which says the exchange, whether it is its sandbox, and "
            "other addresses; else say --exchange, or let NAME be the exchange's own. The secret comes by stdin or is "
            "asked for without being shown, never on the command line; with a passphrase (KuCoin) it is the second "
            "line. The engine may be running; a book uses new keys from its next start.",
            (
                "venues add main --key abc123 --secret-stdin < secret-file",
                "venues add kucoin --key abc123 --secret-stdin --passphrase-stdin < two-lines",
                "venues add spare --exchange bybit --sandbox --key abc123",
            ),
        ),
    )
    _name(add)
    add.add_argument("--key", required=True, metavar="KEY", help="the API key (at Coinbase its name)")
    add.add_argument("--secret-stdin", action="store_true", help="read the secret from stdin instead of asking")
    add.add_argument("--passphrase-stdin", action="store_true", help="the second line of stdin is the passphrase")
    add.add_argument("--exchange", metavar="ID", help="where the settings do not describe NAME: bybit, kraken, ...")
    add.add_argument("--sandbox", action="store_true", help="the same: it is the exchange's test exchange")
    add_json(add)


def _name(parser: Parser) -> None:
    parser.add_argument("name", metavar="NAME", help="of the account")


def _order(commands: Commands) -> None:
    parser = add_command(
        commands,
        "order",
        f"{_MODULE}.order:order",
        Help(
            "place an order by hand",
            "Through the same risk gate and order path as everything else, in the running engine. VENUE is a venue of "
            "a running book (bybit, binance-perp, demo-a, ...) or the NAME of a [venues.NAME]. Without --limit or "
            "--stop it is a market order. Waits until the order has a durable state, and prints it with its client "
            "order id. Exit codes: 2 the order cannot be expressed there (unknown symbol, step, least value), 3 no "
            "engine runs, 4 refused by the gate or the exchange, 1 its state is not known in time.",
            (
                "order bybit BTC/USDT buy 0.01",
                "order main BTC/USDT:USDT sell 0.01 --limit 70000 --reduce-only --json",
                "order bybit BTC/USDT sell 0.01 --stop 60000 --book testnet",
            ),
        ),
    )
    parser.add_argument("venue", metavar="VENUE", help="venue of a running book, or NAME of an account")
    parser.add_argument("symbol", metavar="SYMBOL", help="BTC/USDT, or BTC/USDT:USDT for a perpetual")
    parser.add_argument("side", choices=("buy", "sell"))
    parser.add_argument("amount", metavar="AMOUNT", help="in the base coin")
    parser.add_argument("--limit", metavar="PRICE", help="limit order at this price, quote coin")
    parser.add_argument("--stop", metavar="PRICE", help="stop order: a market order once the price is touched")
    parser.add_argument("--post-only", action="store_true", help="of a limit order: never takes, ends where it would")
    parser.add_argument("--reduce-only", action="store_true", help="never opens or turns a position")
    _with_wait(parser, 30)


def _cancel(commands: Commands) -> None:
    parser = add_command(
        commands,
        "cancel",
        f"{_MODULE}.order:cancel",
        Help(
            "cancel a working order of the engine",
            "By its client order id, as `order` printed it or `export orders` lists it. Waits until the exchange has "
            "proven what became of it. A stop that protects an open position is not cancelled alone.",
            ("cancel t0abcde00010000001", "cancel t0abcde00010000001 --json"),
        ),
    )
    parser.add_argument("client_order_id", metavar="CLIENT_ORDER_ID")
    _with_wait(parser, 30)


def _reconcile(commands: Commands) -> None:
    parser = add_command(
        commands,
        "reconcile",
        f"{_MODULE}.reconcile:reconcile",
        Help(
            "compare books and exchanges now",
            "The running engine asks its exchanges and books what it had not been told; every difference is printed "
            "with its explanation (your own coins, orders and positions, deposits, executions just booked). What "
            "nothing explains is looked at a second time before it is printed. Exit code 1: something is unexplained, "
            "or an exchange did not answer; 3: no engine runs. A row of an exchange's executions that cannot be read "
            "keeps entries there waiting; where it never can be, --set-aside with --reason lets them go on without it. "
            "Without --reason it only says what the row is and what would follow.",
            (
                "reconcile",
                "reconcile --book testnet --json",
                'reconcile --set-aside 7fd1a2 --moved MNT=+0.02 USDT=-0.01 --reason "dust conversion, looked up there"',
            ),
        ),
    )
    parser.add_argument(
        "--set-aside", metavar="ROW", help="wait no more for this row; its number, as reconcile lists it"
    )
    parser.add_argument(
        "--moved",
        nargs="+",
        metavar="COIN=AMOUNT",
        help="what the row did, as the exchange shows it, counted as your own; a perpetual is SYMBOL=AMOUNT@PRICE",
    )
    parser.add_argument("--reason", metavar="TEXT", help="why it is set aside; kept in the record with your name")
    _with_wait(parser, 60)


def _with_wait(parser: Parser, default_s: int) -> None:
    parser.add_argument("--book", metavar="NAME", help="only this book")
    add_whole(parser, "--wait", Whole(0, _LONGEST_WAIT_S, default_s), "wait so long for the answer", "wait_s")
    add_json(parser)
