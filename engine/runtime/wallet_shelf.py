"""Balances and prices of connected accounts: read in the background, kept with their age, asked for once a minute."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from config.settings import Settings
from engine.domain.errors import QuarterdeckError
from engine.domain.portfolio import Balance
from engine.domain.ports import Clock
from engine.domain.wallet_views import AccountRead, CoinPrice, MoneyKind
from engine.exchanges import EXCHANGES
from engine.exchanges.client import Credentials, Door
from engine.exchanges.prices import PriceReader
from engine.exchanges.wallets import WalletsRead, read_account
from engine.runtime.accounts import Account, account_of
from engine.runtime.connections import PURPOSE, is_sandbox
from engine.runtime.valuation import Prices
from engine.security.vault import Vault
from engine.storage.credentials import CredentialShelf
from engine.storage.rows import CredentialRow

READ_EVERY = timedelta(seconds=60)
PATIENCE_S = 10.0
_END_WITHIN_S = 2.0
_log = structlog.get_logger(__name__)

AccountOf = Callable[[str, bool], Account]


def accounts_in(settings: Callable[[], Settings]) -> AccountOf:
    """Connections as the settings of the moment describe them; see `engine.runtime.accounts.account_of`."""

    def account(connection_id: str, sandbox: bool) -> Account:
        return account_of(settings(), connection_id, sandbox)

    return account


@dataclass(frozen=True, slots=True)
class AccountHoldings:
    """What the last looks at an account brought; ``balances`` stay as they were where the newest look failed."""

    connection: str
    exchange: str
    sandbox: bool
    balances: tuple[Balance, ...] = ()
    silent: tuple[tuple[str, str], ...] = ()
    read_at: datetime | None = None
    failure: str = ""

    @property
    def kind(self) -> MoneyKind:
        """Coins of a test exchange are worth nothing."""
        return MoneyKind.SANDBOX if self.sandbox else MoneyKind.REAL


@dataclass(frozen=True, slots=True)
class KnownAccounts:
    """Everything known of the connected accounts; ``no_prices`` says by exchange why its prices could not be read."""

    holdings: tuple[AccountHoldings, ...]
    no_prices: Mapping[str, str] = field(default_factory=dict)
    is_reading: bool = False

    def reads(self) -> tuple[AccountRead, ...]:
        """How reading went, account by account."""
        return tuple(
            AccountRead(
                each.connection, each.exchange, each.kind, each.read_at, self.is_reading, each.failure, each.silent,
                self.no_prices.get(each.exchange, ""),
            )
            for each in self.holdings
        )  # fmt: skip


class WalletShelf:
    """Keeps what connected accounts hold.

    Parameters
    ----------
    credentials : CredentialShelf
    vault : Vault
    clock : Clock
    account_of : callable
        The account behind a connection, from its name and whether its keys were said to be for a sandbox.
    """

    def __init__(self, credentials: CredentialShelf, vault: Vault, clock: Clock, account_of: AccountOf) -> None:
        self._credentials = credentials
        self._vault = vault
        self._clock = clock
        self._account_of = account_of
        self._holdings: dict[str, AccountHoldings] = {}
        self._told_prices: dict[str, tuple[CoinPrice, ...]] = {}
        self._prices = Prices(())
        self._no_prices: dict[str, str] = {}
        self._readers: dict[str, PriceReader] = {}
        self._looked_at: datetime | None = None
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._ended = False

    @property
    def prices(self) -> Prices:
        """What the exchanges of connected accounts say that coins are worth, as last read."""
        return self._prices

    def known(self) -> KnownAccounts:
        """What is known now; starts a look in the background where the last one is a minute old."""
        rows = self._credentials.all()
        with self._lock:
            thread = self._thread
            is_reading = thread is not None and thread.is_alive()
            fresh = {_id(row) for row in rows} <= set(self._holdings)
            old = self._looked_at is None or self._clock.now() - self._looked_at >= READ_EVERY
            if rows and not is_reading and not self._ended and (old or not fresh):
                self._looked_at = self._clock.now()
                self._thread = threading.Thread(target=self._look, name="wallets", daemon=True)
                self._thread.start()
                is_reading = True
        return self._told(rows, is_reading)

    def read_now(self) -> KnownAccounts:
        """Read every account and wait for it; for the command line."""
        self._look()
        return self._told(self._credentials.all(), is_reading=False)

    def close(self) -> None:
        """Start no further look, and wait a moment for the one under way."""
        with self._lock:
            self._ended, thread = True, self._thread
        if thread is not None:
            thread.join(_END_WITHIN_S)
        if thread is None or not thread.is_alive():
            for reader in self._readers.values():
                reader.close()
            self._readers.clear()

    def _told(self, rows: tuple[CredentialRow, ...], is_reading: bool) -> KnownAccounts:
        with self._lock:
            found = tuple(self._holdings.get(_id(row), self._unread(row)) for row in rows)
            return KnownAccounts(found, dict(self._no_prices), is_reading)

    def _look(self) -> None:
        try:
            rows = self._credentials.all()
            for row in rows:
                if not self._ended:
                    self._look_at(row)
            # sandbox markets have no honest prices: the exchange's real ones are asked for there too
            for exchange in dict.fromkeys(row.exchange_id for row in rows):
                if not self._ended:
                    self._look_up_prices(exchange, [row for row in rows if row.exchange_id == exchange])
        except QuarterdeckError as error:
            _log.warning("wallets_not_read", error=str(error))

    def _look_at(self, row: CredentialRow) -> None:
        before = self._holdings.get(_id(row), self._unread(row))
        try:
            read = self._read(row)
        except QuarterdeckError as error:
            found = _with_failure(before, str(error))
        else:
            silent = tuple((each.wallet, each.why) for each in read.silent)
            found = AccountHoldings(
                before.connection, before.exchange, before.sandbox, read.balances, silent, self._clock.now()
            )
        with self._lock:
            self._holdings[found.connection] = found

    def _read(self, row: CredentialRow) -> WalletsRead:
        plain = self._vault.open(PURPOSE, _id(row), "keys", row.sealed)
        fields = json.loads(plain.text())
        credentials = Credentials(fields["key"], fields["secret"], fields.get("passphrase", ""))
        account = self._account(row)
        return read_account(account.row, credentials, account.door(credentials, PATIENCE_S))

    def _account(self, row: CredentialRow) -> Account:
        return self._account_of(_id(row), is_sandbox(row))

    def _unread(self, row: CredentialRow) -> AccountHoldings:
        return AccountHoldings(_id(row), row.exchange_id, self._account(row).sandbox)

    def _look_up_prices(self, exchange: str, rows: list[CredentialRow]) -> None:
        accounts = [self._account(row) for row in rows]
        address = next((account.rest_url for account in accounts if account.rest_url), None)
        door = Door(timeout_s=PATIENCE_S, rest_url=address, hosts=accounts[0].hosts)
        try:
            prices = self._reader(exchange, door).read(self._clock.now())
        except QuarterdeckError as error:
            with self._lock:
                self._no_prices[exchange] = str(error)
            return
        with self._lock:
            self._told_prices[exchange] = prices
            self._prices = Prices(each for venue in sorted(self._told_prices) for each in self._told_prices[venue])
            self._no_prices.pop(exchange, None)

    def _reader(self, exchange: str, door: Door) -> PriceReader:
        """The open client of an exchange; another one where its address has changed."""
        known = self._readers.get(exchange)
        if known is not None and known.door.rest_url == door.rest_url:
            return known
        if known is not None:
            known.close()
        made = PriceReader(EXCHANGES[exchange], door)
        self._readers[exchange] = made
        return made


def _id(row: CredentialRow) -> str:
    return f"{row.exchange_id}/{row.label}"


def _with_failure(before: AccountHoldings, failure: str) -> AccountHoldings:
    return AccountHoldings(
        before.connection, before.exchange, before.sandbox, before.balances, before.silent, before.read_at, failure
    )
