"""``venues``: accounts at exchanges, their keys, and what the exchanges say of them; an engine may be running."""

from __future__ import annotations

import argparse
import getpass
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.settings import USER_FILE, Settings
from config.venues import NAME
from engine.domain.errors import BadInput, CommandRefused, NotRunning, QuarterdeckError
from engine.exchanges import EXCHANGES
from engine.exchanges.accounts import AccountCheck
from engine.runtime.account_keys import AccountKeys, NewKeys, is_usable
from engine.runtime.accounts import STAGES, Account, account_of, accounts_of_stage, named_accounts
from engine.runtime.cli.context import control_of, effective, system_actor
from engine.runtime.cli.folder import used_folder, writable_folder
from engine.runtime.cli.output import complain, say, say_json, say_table
from engine.runtime.cli.status import published
from engine.runtime.connections import is_sandbox, stored_in
from engine.security import KEY_STORES
from engine.security.vault import Vault
from engine.storage.control import ControlStore
from engine.storage.rows import CredentialRow

_HEADINGS = ("name", "exchange", "place", "keys", "used by", "checked", "what was said")


@dataclass(frozen=True, slots=True)
class _Shelf:
    """The open parts of a data folder that keys are about."""

    folder: Path
    settings: Settings
    control: ControlStore
    keys: AccountKeys


def add(options: argparse.Namespace) -> int:
    """Seal the keys of an account; the secret comes by stdin or is typed, never on the command line."""
    settings = effective().settings
    account = _account_to_add(options, settings)
    secrets = _secrets(options, account)
    writable_folder()
    with _open() as shelf:
        fields = {"key": options.key, **secrets}
        given = NewKeys(account.exchange, account.label, fields, account.sandbox)
        connection = shelf.keys.add(system_actor(), given)
    answer = {"name": account.label, "connection": connection, "exchange": account.exchange, "sandbox": account.sandbox}
    if options.json:
        say_json(answer)
    else:
        say(f"the keys of {connection}{' (sandbox)' if account.sandbox else ''} are sealed in the vault")
        say(f"ask the exchange about them: python -m engine venues test {_quoted(account.label)}")
    return 0


def list_all(options: argparse.Namespace) -> int:
    """Every account of the settings and every one that has keys."""
    with _open() as shelf:
        rows = _rows(shelf)
    if options.json:
        say_json(rows)
    elif not rows:
        say(f"no account is known; describe one as [venues.NAME] in {USER_FILE}, or run venues add NAME --exchange ID")
    else:
        say_table(_HEADINGS, [_cells(row) for row in rows])
    return 0


def test(options: argparse.Namespace) -> int:
    """Ask the exchange about the key of an account; 1 where something stands against it."""
    used_folder()
    with _open() as shelf:
        account = _find(shelf, options.name)
        check = shelf.keys.check(account.connection_id)
    if options.json:
        say_json(_checked(account, check))
    else:
        _say_check(account, check)
    if not is_usable(check):
        complain(f"{account.label}: {check.message}")
        return 1
    return 0


def remove(options: argparse.Namespace) -> int:
    """Forget the sealed keys of an account that no running book trades."""
    used_folder()
    with _open() as shelf:
        account = _find(shelf, options.name)
        running = _running_books(shelf.folder)
        using = [stage for stage in _stages_of(shelf, account.connection_id) if stage in running]
        if using:
            raise CommandRefused(f"{account.connection_id} is traded by the {using[0]} book; stop that engine first")
        shelf.keys.remove(system_actor(), account.connection_id)
    if options.json:
        say_json({"name": account.label, "connection": account.connection_id, "removed": True})
    else:
        say(f"the keys of {account.connection_id} are forgotten here; delete them at the exchange, too")
    return 0


@contextmanager
def _open() -> Iterator[_Shelf]:
    settings = effective().settings
    folder = settings.data_dir
    with control_of(folder) as control:
        vault = Vault(KEY_STORES["file"](folder / "keys"), folder / "keys" / "keyring.json")

        def account(connection: str, sandbox: bool) -> Account:
            return account_of(settings, connection, sandbox)

        yield _Shelf(folder, settings, control, AccountKeys(control, vault, account))


def _account_to_add(options: argparse.Namespace, settings: Settings) -> Account:
    """What NAME stands for: as the settings describe it, else as the options say, else the exchange of that name."""
    name = options.name.strip()
    if not re.fullmatch(NAME, name):
        raise BadInput(f"{name!r} is no name for an account: 1 to 40 letters, digits, blanks, dashes or underscores")
    described = next((each for each in named_accounts(settings) if each.label == name), None)
    if described is None:
        exchange = options.exchange or (name if name in EXCHANGES else None)
        if exchange is None:
            raise BadInput(
                f"{name} is not described in the settings: add [venues.{name}] to {USER_FILE} in the data folder, "
                f"or say --exchange with one of {', '.join(EXCHANGES)}"
            )
        if exchange not in EXCHANGES:
            raise BadInput(f"--exchange {exchange!r} is not known; choose one of {', '.join(EXCHANGES)}")
        return Account(f"{exchange}/{name}", exchange, options.sandbox)
    if options.exchange not in (None, described.exchange):
        raise BadInput(f"--exchange {options.exchange}: the settings say [venues.{name}] is at {described.exchange}")
    if options.sandbox and not described.sandbox:
        raise BadInput(f"--sandbox: the settings say [venues.{name}] is no sandbox; write sandbox = true there")
    return described


def _secrets(options: argparse.Namespace, account: Account) -> dict[str, str]:
    """Secret and passphrase: from stdin where asked for, else typed without being shown."""
    row = account.row
    if options.passphrase_stdin and not row.needs_passphrase:
        raise BadInput(f"--passphrase-stdin: keys of {row.title} have no passphrase")
    if not options.secret_stdin:
        return _typed(account)
    text = sys.stdin.read()
    if not text.strip():
        raise BadInput("no secret came on stdin; pipe it into the command, on a line of its own")
    if not row.needs_passphrase:
        return {"secret": text.strip()}
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) != 2:
        raise BadInput(f"{row.title} needs two lines on stdin, the secret and then the passphrase; {len(lines)} came")
    return {"secret": lines[0], "passphrase": lines[1]}


def _typed(account: Account) -> dict[str, str]:
    if not sys.stdin.isatty():
        raise BadInput("there is no terminal to ask for the secret; pipe it in and add --secret-stdin")
    wanted = [field for field in account.row.key_fields if field.name != "key"]
    return {field.name: getpass.getpass(f"{account.row.title}, {field.label}: ") for field in wanted}


def _find(shelf: _Shelf, name: str) -> Account:
    """The account of that name, or connection, whose keys are stored."""
    stored = stored_in(shelf.control.credentials)
    fits = [each for each in stored if name in (each, each.partition("/")[2])]
    if len(fits) == 1:
        return account_of(shelf.settings, fits[0], stored[fits[0]])
    if fits:
        raise BadInput(f"{name!r} is the name of several accounts: say which of {', '.join(fits)}")
    if name in shelf.settings.venues:
        add_them = f"python -m engine venues add {_quoted(name)} --key KEY --secret-stdin"
        raise BadInput(f"the keys of {name} are not stored; run {add_them}")
    known = sorted({*shelf.settings.venues, *stored})
    raise BadInput(f"there is no account {name!r}; " + (f"there are {', '.join(known)}" if known else "none is known"))


def _rows(shelf: _Shelf) -> list[dict[str, Any]]:
    stored = {f"{row.exchange_id}/{row.label}": row for row in shelf.control.credentials.all()}
    described = {each.connection_id: each for each in named_accounts(shelf.settings)}
    others = {name: account_of(shelf.settings, name, is_sandbox(row)) for name, row in stored.items()}
    accounts = {**others, **described}
    return [_row(shelf, accounts[name], stored.get(name), name in described) for name in sorted(accounts)]


def _row(shelf: _Shelf, account: Account, keys: CredentialRow | None, is_described: bool) -> dict[str, Any]:
    return {
        "name": account.label,
        "connection": account.connection_id,
        "exchange": account.exchange,
        "sandbox": account.sandbox,
        "rest_url": account.rest_url or None,
        "websocket_url": account.websocket_url or None,
        "account_types": list(account.account_types),
        "in_settings": is_described,
        "has_keys": keys is not None,
        "keys_added_at": keys.created_at if keys else None,
        "checked_at": keys.checked_at if keys else None,
        "check_ok": keys.check_ok if keys else None,
        "check": keys.check_detail if keys else "",
        "stages": _stages_of(shelf, account.connection_id),
    }


def _stages_of(shelf: _Shelf, connection: str) -> list[str]:
    """The stages that would trade the account as the settings are."""
    stored = stored_in(shelf.control.credentials)
    found = []
    for stage in STAGES.values():
        try:
            accounts = accounts_of_stage(shelf.settings, stage, stored)
        except BadInput:  # a stage that could not start trades nothing; why, is said when it is started
            continue
        found += [stage.name for each in accounts if each.connection_id == connection]
    return found


def _running_books(folder: Path) -> list[str]:
    try:
        return list(published(folder)["books"])
    except NotRunning:
        return []
    except QuarterdeckError as error:
        raise CommandRefused(f"an engine runs and does not say which books: {error}") from error


def _cells(row: dict[str, Any]) -> list[Any]:
    place = row["rest_url"] or ("sandbox" if row["sandbox"] else "the exchange itself")
    checked = row["checked_at"].isoformat(timespec="seconds") if row["checked_at"] else "never"
    stages = ", ".join(row["stages"]) or "-"
    keys = "stored" if row["has_keys"] else "missing"
    return [row["name"], row["exchange"], place, keys, stages, checked, row["check"] or "-"]


def _checked(account: Account, check: AccountCheck) -> dict[str, Any]:
    return {
        "name": account.label,
        "connection": account.connection_id,
        "exchange": account.exchange,
        "sandbox": account.sandbox,
        "rest_url": account.rest_url or None,
        "ok": is_usable(check),
        "approved_for_live": check.approved,
        "reachable": check.reachable,
        "clock_offset_ms": check.clock_offset_ms,
        "permissions": {
            "can_trade": check.can_trade,
            "can_withdraw": check.can_withdraw,
            "ip_bound": check.ip_bound,
        },
        "limits": {"used_share": None if check.limit_used is None else round(check.limit_used, 4)},
        "message": check.message,
    }


def _say_check(account: Account, check: AccountCheck) -> None:
    row = account.row
    place = account.rest_url or (f"the sandbox of {row.title}" if account.sandbox else row.title)
    say(f"{account.connection_id} at {place}")
    say(f"  reachable: {_said(check.reachable)}, clock: {_clock(check.clock_offset_ms)}")
    say(
        f"  key: can trade {_said(check.can_trade)}, can withdraw {_said(check.can_withdraw)}, "
        f"bound to addresses {_said(check.ip_bound)}"
    )
    used = "the exchange does not say" if check.limit_used is None else f"{check.limit_used:.0%} used"
    say(f"  request limit: {used}")
    if is_usable(check):
        say(f"  {check.message}")


def _said(value: bool | None) -> str:
    return "unknown" if value is None else "yes" if value else "no"


def _clock(offset_ms: int | None) -> str:
    if offset_ms is None:
        return "unknown"
    return f"{abs(offset_ms)} ms {'ahead of' if offset_ms >= 0 else 'behind'} this computer's"


def _quoted(name: str) -> str:
    return f"'{name}'" if " " in name else name
