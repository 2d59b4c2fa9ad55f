"""``users``: who may sign in, managed by whoever owns the data folder."""

from __future__ import annotations

import argparse
import getpass
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from engine.domain.commands import Role
from engine.domain.errors import BadInput
from engine.runtime.cli.context import access_of, control_of, effective, system_user
from engine.runtime.cli.folder import data_folder
from engine.runtime.cli.output import say, say_json, say_table
from engine.security.access import Access


def add(options: argparse.Namespace) -> int:
    """Add a person."""
    with _access() as access:
        if access.needs_owner() and options.role != Role.ADMIN.value:
            raise BadInput(f"the first person must be an admin, or nobody could add others; {options.role} was given")
        user = access.people.add(
            access.local_grant(system_user()), options.name, Role(options.role), _password(options, options.name)
        )
    say(f"{user.name} may sign in as {user.role.value}")
    return 0


def list_all(options: argparse.Namespace) -> int:
    """Everybody, by name."""
    with _access() as access:
        people = access.people.all()
    rows = [
        {
            "name": user.name,
            "role": user.role,
            "disabled": user.disabled,
            "created_at": user.created_at,
            "last_seen_at": user.last_seen_at,
        }
        for user in people
    ]
    if options.json:
        say_json(rows)
    else:
        say_table(("name", "role", "disabled", "created", "last seen"), [list(row.values()) for row in rows])
    return 0


def reset(options: argparse.Namespace) -> int:
    """Give a person a new password."""
    with _access() as access:
        user = access.people.find(options.name)
        password = _password(options, user.name)
        access.people.set_password(access.local_grant(system_user()), user.name, password)
    say(f"{user.name} has a new password; all sessions of {user.name} have ended")
    return 0


@contextmanager
def _access() -> Iterator[Access]:
    folder = data_folder()
    with control_of(folder) as control, access_of(control, folder, effective().settings.access) as access:
        yield access


def _password(options: argparse.Namespace, name: str) -> str:
    if options.password_stdin:
        line = sys.stdin.readline()
        if not line:
            raise BadInput("no password came on stdin; pipe one line into the command")
        return line.rstrip("\r\n")
    if not sys.stdin.isatty():
        raise BadInput("there is no terminal to ask for the password; pipe it in and add --password-stdin")
    first = getpass.getpass(f"New password of {name}: ")
    if getpass.getpass("The same again: ") != first:
        raise BadInput("the two passwords differ; nothing was changed")
    return first
