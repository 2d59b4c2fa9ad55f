"""Connected accounts with their keys open: read from the vault when a book starts, kept in memory, printed nowhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from engine.domain.errors import BadInput
from engine.exchanges import EXCHANGES, ExchangeRow
from engine.exchanges.client import Credentials
from engine.security.vault import Vault
from engine.storage.control import ControlStore
from engine.storage.credentials import CredentialShelf
from engine.storage.rows import CredentialRow

PURPOSE = "exchange keys"


@dataclass(frozen=True, slots=True)
class Connection:
    """The keys of one account; where it is reached tells `engine.runtime.accounts`."""

    connection_id: str
    row: ExchangeRow
    label: str
    credentials: Credentials


class Connections:
    """The accounts of one data folder.

    Parameters
    ----------
    control : ControlStore
    vault : Vault
    """

    def __init__(self, control: ControlStore, vault: Vault) -> None:
        self._shelf = control.credentials
        self._vault = vault

    def open(self, connection_id: str) -> Connection:
        """The account with its keys.

        Raises
        ------
        BadInput
            There is no such connection; names those there are.
        SecretUnreadable, KeyUnavailable
            The keys cannot be opened; enter them again.
        """
        name, label = self.split(connection_id)
        stored = self._shelf.get(name, label)
        plain = self._vault.open(PURPOSE, connection_id, "keys", stored.sealed)
        fields = json.loads(plain.text())
        credentials = Credentials(fields["key"], fields["secret"], fields.get("passphrase", ""))
        return Connection(connection_id, EXCHANGES[name], label, credentials)

    def without_keys(self, connection_id: str) -> Connection:
        """The account where its keys cannot be opened; the exchange is asked nothing that needs one."""
        name, label = self.split(connection_id)
        return Connection(connection_id, EXCHANGES[name], label, Credentials("", ""))

    def stored(self) -> Mapping[str, bool]:
        """Every connection whose keys are stored, and whether they were said to be for a sandbox."""
        return stored_in(self._shelf)

    def split(self, connection_id: str) -> tuple[str, str]:
        """Exchange and label; raises `BadInput` where there is no such connection."""
        name, _, label = connection_id.partition("/")
        known = [f"{row.exchange_id}/{row.label}" for row in self._shelf.all()]
        if connection_id not in known:
            there = f"; there are {', '.join(known)}" if known else "; connect an account on the Exchanges page first"
            raise BadInput(f"there is no connection {connection_id!r}{there}")
        return name, label

    def passed_at(self, connection_id: str) -> datetime | None:
        """When a check of the key last passed; None where the last one did not, or there was none."""
        stored = self._shelf.get(*self.split(connection_id))
        return stored.checked_at if stored.check_ok else None

    def record(self, connection_id: str, ok: bool, message: str) -> None:
        """Keep what the exchange answered to a check of the key."""
        name, label = self.split(connection_id)
        self._shelf.record_check(name, label, ok, message)


def stored_in(shelf: CredentialShelf) -> Mapping[str, bool]:
    """Every connection whose keys are stored, and whether they were said to be for a sandbox."""
    return {f"{row.exchange_id}/{row.label}": is_sandbox(row) for row in shelf.all()}


def is_sandbox(stored: CredentialRow) -> bool:
    """Whether the keys are for the exchange's test exchange."""
    return bool(json.loads(stored.options).get("sandbox"))
