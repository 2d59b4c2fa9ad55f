"""Keys of accounts at exchanges: sealed, checked, forgotten; the console's form and the command line do it alike."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from engine.domain.commands import Actor
from engine.domain.errors import BadInput
from engine.exchanges import EXCHANGES, ExchangeRow
from engine.exchanges.accounts import AccountCheck, check_at
from engine.exchanges.client import MIN_SECRET_LENGTH
from engine.exchanges.key_advice import advice
from engine.runtime.accounts import Account
from engine.runtime.connections import PURPOSE, Connections
from engine.security.vault import Vault
from engine.storage.control import ControlStore

LONGEST_LABEL = 40


@dataclass(frozen=True, slots=True)
class NewKeys:
    """Keys as a person gave them: ``fields`` by the names of the exchange's key fields; ``label`` names the account."""

    exchange: str
    label: str
    fields: Mapping[str, str]
    sandbox: bool


class AccountKeys:
    """The keys of one data folder.

    Parameters
    ----------
    control : ControlStore
    vault : Vault
    account_of : callable
        The account behind a connection, from its name and whether its keys were said to be for a sandbox.
    """

    def __init__(self, control: ControlStore, vault: Vault, account_of: Callable[[str, bool], Account]) -> None:
        self._control, self._vault, self._account_of = control, vault, account_of

    def add(self, actor: Actor, given: NewKeys) -> str:
        """Seal keys and store them, written down first; the connection's name. Raises `BadInput`."""
        row = EXCHANGES.get(given.exchange)
        if row is None:
            raise BadInput(f"exchange {given.exchange!r}: choose one of {', '.join(EXCHANGES)}")
        label = given.label.strip()
        if not 1 <= len(label) <= LONGEST_LABEL or not label.isprintable():
            raise BadInput(f"give the connection a label of 1 to {LONGEST_LABEL} characters")
        if given.sandbox and not row.has_sandbox:
            raise BadInput(f"{row.title} has no sandbox; connect the real account, or choose another exchange")
        connection = f"{row.name}/{label}"
        fields = _complete(row, given.fields, is_here=self._account_of(connection, given.sandbox).is_here)
        if any((one.exchange_id, one.label) == (row.name, label) for one in self._control.credentials.all()):
            remove = f"python -m engine venues remove {shlex.quote(label)}, or Forget keys on the Exchanges page"
            raise BadInput(f"{connection} has keys already; remove them first ({remove}), or choose another label")
        self._control.audit.append(actor, "keys_added", connection, "sandbox" if given.sandbox else "")
        sealed = self._vault.seal(PURPOSE, connection, "keys", json.dumps(fields).encode())
        self._control.credentials.add(row.name, label, sealed, {"sandbox": given.sandbox})
        return connection

    def check(self, connection: str) -> AccountCheck:
        """Ask the exchange about a key and keep what it said; where that stands against the key, with the way out."""
        connections = Connections(self._control, self._vault)
        opened = connections.open(connection)
        account = self._account_of(connection, connections.stored()[connection])
        check = check_at(opened.row, account.door(opened.credentials))
        if check.reachable and not is_usable(check):
            way_out = advice(opened.row, check.message, account.sandbox)
            check = replace(check, message=f"{check.message.rstrip('.')}. {way_out}")
        connections.record(connection, is_usable(check), check.message)
        return check

    def remove(self, actor: Actor, connection: str) -> None:
        """Forget sealed keys, written down first; raises `BadInput` where there are none."""
        name, label = Connections(self._control, self._vault).split(connection)
        self._control.audit.append(actor, "keys_removed", connection, "")
        self._control.credentials.remove(name, label)


def is_usable(check: AccountCheck) -> bool:
    """Whether nothing stands against a key: the exchange answered, takes it for trading, and it cannot withdraw."""
    return check.reachable and check.can_trade is not False and check.can_withdraw is not True


def _complete(row: ExchangeRow, given: Mapping[str, str], *, is_here: bool) -> dict[str, str]:
    """The fields of the keys, none left out or cut; a stand-in on this computer may have keys of any length."""
    fields = {field.name: given.get(field.name, "").strip() for field in row.key_fields}
    missing = [field.label for field in row.key_fields if not fields[field.name]]
    if missing:
        raise BadInput(f"{row.title} needs {', '.join(missing)}")
    short = [field.label for field in row.key_fields if field.name != "passphrase" and _is_cut(fields[field.name])]
    if short and not is_here:
        raise BadInput(f"{row.title}: {short[0]} has fewer than {MIN_SECRET_LENGTH} characters; paste all of it")
    return fields


def _is_cut(text: str) -> bool:
    return len(text) < MIN_SECRET_LENGTH
