"""Accounts at exchanges as the settings describe them: where each is reached, and which of them a stage trades.

An account that is named in ``[venues.NAME]`` is the connection ``exchange/NAME``: its addresses, and whether it is a
sandbox, stand there. One that was only connected on the Exchanges page is reached at the exchange itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from config.settings import Settings
from config.venues import HERE
from engine.domain.errors import BadInput
from engine.domain.instruments import Kind
from engine.exchanges import EXCHANGES, ExchangeRow
from engine.exchanges.client import Credentials, Door
from engine.exchanges.connected.dialects import VenueRow
from engine.exchanges.hosts import Hosts
from engine.exchanges.wallet_rows import FUTURES, SPOT, UNIFIED
from engine.runtime.clock import SystemClock

KEY_OBSTACLE = "key "
"""How the names of such obstacles begin."""

_TYPES = {Kind.SPOT: SPOT, Kind.PERPETUAL: FUTURES}


@dataclass(frozen=True, slots=True)
class Stage:
    """What tells the two books at real exchanges apart."""

    name: str
    code: str
    sandbox: bool


STAGES = {stage.name: stage for stage in (Stage("testnet", "t0", True), Stage("live", "l0", False))}


@dataclass(frozen=True, slots=True)
class Account:
    """An account at an exchange, without its keys.

    Attributes
    ----------
    connection_id : str
        ``exchange/label``; its keys lie in the vault under it.
    exchange : str
        Name of the row in `EXCHANGES`.
    sandbox : bool
        Whether it is the exchange's test exchange, where nothing is worth anything.
    rest_url, websocket_url : str
        Other addresses; "" are the exchange's own.
    account_types : tuple of str
        Wallets that are read and traded; () is all.
    hosts : Hosts or None
        What is known of bans and pauses there; None where nothing is looked up.
    """

    connection_id: str
    exchange: str
    sandbox: bool
    rest_url: str = ""
    websocket_url: str = ""
    account_types: tuple[str, ...] = ()
    hosts: Hosts | None = field(default=None, repr=False, compare=False)

    def door(self, credentials: Credentials | None = None, timeout_s: float = 10.0) -> Door:
        """How it is reached, with these keys or without."""
        return Door(credentials, self.sandbox, timeout_s, self.rest_url or None, self.hosts)

    @property
    def row(self) -> ExchangeRow:
        """The exchange, with the wallets that are meant."""
        row = EXCHANGES[self.exchange]
        return replace(row, wallets=row.wallets.only(self.account_types))

    @property
    def traded(self) -> tuple[tuple[VenueRow, frozenset[Kind]], ...]:
        """The venues of the account that can be traded from, each with the kinds that its account types allow.

        Those with keys of their own are left out: they cannot be connected.
        """
        types = {wallet.venue: set(wallet.types) for wallet in self.row.wallets.rows if wallet.venue}
        found = []
        for venue in self.row.venues:
            meant = types.get(venue.name, set()) & set(self.account_types)
            is_whole = not self.account_types or UNIFIED in meant
            kinds = frozenset(kind for kind in venue.kinds if is_whole or _TYPES[kind] in meant)
            if kinds and not venue.own_keys:
                found.append((venue, kinds))
        return tuple(found)

    @property
    def label(self) -> str:
        """Its name, without the exchange."""
        return self.connection_id.partition("/")[2]

    @property
    def is_here(self) -> bool:
        """Whether it is a stand-in on this computer, at which no real money can be."""
        return (urlsplit(self.rest_url).hostname or "") in HERE


def key_obstacle(venue: str) -> str:
    """What a venue's key is called among the things that keep a book from being armed."""
    return f"{KEY_OBSTACLE}{venue}"


def named_accounts(settings: Settings) -> tuple[Account, ...]:
    """Every account of ``[venues.NAME]``, by name, whether its keys are stored or not."""
    hosts = hosts_of(settings)
    return tuple(
        Account(f"{s.exchange}/{name}", s.exchange, s.sandbox, s.rest_url, s.websocket_url, s.account_types, hosts)
        for name, s in sorted(settings.venues.items())
    )


def account_of(settings: Settings, connection_id: str, sandbox: bool = False) -> Account:
    """The account behind a connection.

    Parameters
    ----------
    settings : Settings
    connection_id : str
        ``exchange/label``.
    sandbox : bool
        What was said when the keys were stored; the settings win where they name the account.

    Raises
    ------
    BadInput
        There is no such exchange.
    """
    for account in named_accounts(settings):
        if account.connection_id == connection_id:
            return account
    exchange = connection_id.partition("/")[0]
    if exchange not in EXCHANGES:
        raise BadInput(f"{connection_id!r}: there is no exchange {exchange!r}; choose one of {', '.join(EXCHANGES)}")
    return Account(connection_id, exchange, sandbox, hosts=hosts_of(settings))


def hosts_of(settings: Settings) -> Hosts:
    """What is known of bans and pauses at exchanges' hosts; all that are made for a data folder know the same."""
    return Hosts(settings.data_dir / "venues", SystemClock())


def connections_of(settings: Settings, stage: Stage) -> tuple[str, ...]:
    """The connections a stage is set to, as ``exchange/label``; those of ``[venues]`` that fit where it names none."""
    chosen = settings.stages[stage.name].connections
    if not chosen:
        return tuple(each.connection_id for each in named_accounts(settings) if each.sandbox is stage.sandbox)
    return tuple(dict.fromkeys(_connection(settings, text) for text in chosen))


def accounts_of_stage(settings: Settings, stage: Stage, stored: Mapping[str, bool]) -> tuple[Account, ...]:
    """What a stage trades: the accounts it names, else every one of the settings that fits and whose keys are stored.

    Parameters
    ----------
    settings : Settings
    stage : Stage
    stored : mapping
        Connections with stored keys, see `Connections.stored`.

    Raises
    ------
    BadInput
        There is none, one does not fit or has no keys, or two are at one exchange; with the way out.
    """
    accounts = tuple(account_of(settings, name, stored.get(name, False)) for name in connections_of(settings, stage))
    if not settings.stages[stage.name].connections:
        accounts = _with_keys(accounts, stage, stored)
    for account in accounts:
        _require_keys(account, settings, stored)
        require_fit(account.row, account.sandbox, stage)
    _require_apart(accounts, stage)
    return accounts


def require_fit(row: ExchangeRow, sandbox: bool, stage: Stage) -> None:
    """Raises `BadInput` where a connection is not one for a stage, with the way out."""
    if stage.sandbox and not row.has_sandbox:
        others = " or ".join(each.title for each in EXCHANGES.values() if each.has_sandbox)
        raise BadInput(f"{row.title} has no sandbox; testnet works with {others}, and paper with {row.title}'s prices")
    if stage.sandbox and not sandbox:
        raise BadInput(f"testnet trades play money; connect {row.title} with a key of its sandbox, marked as such")
    if not stage.sandbox and sandbox:
        raise BadInput(f"live trades real money, and this connection is {row.title}'s sandbox; use it for testnet")


def lacks_second_factor(settings: Settings, accounts: Iterable[Account]) -> bool:
    """Whether live would trade at a real exchange with a password alone; a stand-in here needs no more."""
    return not settings.live.without_second_factor and not all(account.is_here for account in accounts)


def public_address(settings: Settings, exchange: str) -> str:
    """Where public candles of an exchange are asked for; "" is the exchange itself. Never a sandbox: its prices are no
    market's."""
    if settings.paper.exchange == exchange and settings.paper.rest_url:
        return settings.paper.rest_url
    real = (each for each in named_accounts(settings) if each.exchange == exchange and not each.sandbox)
    return next((each.rest_url for each in real if each.rest_url), "")


def _require_keys(account: Account, settings: Settings, stored: Mapping[str, bool]) -> None:
    if account.connection_id in stored:
        return
    if account.label in settings.venues and settings.venues[account.label].exchange == account.exchange:
        raise BadInput(f"the keys of {account.connection_id} are not stored; {_adding(account)}")
    there = f"; there are {', '.join(sorted(stored))}" if stored else "; connect an account on the Exchanges page first"
    raise BadInput(f"there is no connection {account.connection_id!r}{there}")


def _adding(account: Account) -> str:
    return (
        f"run python -m engine venues add {account.label} --key KEY --secret-stdin, "
        f"or connect {account.row.title} on the Exchanges page under the label {account.label}"
    )


def _with_keys(accounts: tuple[Account, ...], stage: Stage, stored: Mapping[str, bool]) -> tuple[Account, ...]:
    """Those of the fitting accounts of the settings whose keys are stored; raises `BadInput` where there is none."""
    found = tuple(account for account in accounts if account.connection_id in stored)
    if found:
        return found
    if accounts:
        first = accounts[0]
        raise BadInput(
            f"{stage.name} has no account: the keys of {first.connection_id} are not stored; {_adding(first)}"
        )
    kind = "with sandbox = true" if stage.sandbox else "without sandbox"
    raise BadInput(
        f"{stage.name} has no account: connect an account on the Exchanges page and name it in "
        f"{stage.name}.connections, or describe one {kind} as [venues.NAME] in the settings and store its keys with "
        "python -m engine venues add NAME --key KEY --secret-stdin"
    )


def _connection(settings: Settings, text: str) -> str:
    """``exchange/label``, from that or from the NAME of a ``[venues.NAME]``; the settings know every NAME they use."""
    return text if "/" in text else f"{settings.venues[text].exchange}/{text}"


def _require_apart(accounts: Iterable[Account], stage: Stage) -> None:
    """Two accounts at one exchange would be one venue of the book."""
    seen: dict[str, Account] = {}
    for account in accounts:
        other = seen.setdefault(account.exchange, account)
        if other is not account:
            raise BadInput(
                f"{stage.name}: {other.connection_id} and {account.connection_id} are both at {account.row.title}; a "
                f"book trades one account at each exchange: name the one it shall trade in {stage.name}.connections"
            )
