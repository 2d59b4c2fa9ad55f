"""What most commands need: every layer of settings, who is asking, and the control file of the data folder."""

from __future__ import annotations

import getpass
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from config.settings import Effective, load
from engine.domain.commands import Actor, Role
from engine.domain.errors import AlreadyRunning, BadInput
from engine.runtime.cli.folder import CONTROL_FILE
from engine.runtime.cli.output import tell
from engine.runtime.clock import SystemClock
from engine.security.access import Access
from engine.security.access_config import AccessConfig
from engine.security.passwords import PasswordHasher
from engine.security.people import Trail
from engine.storage.base import Database, open_engine
from engine.storage.chain import load_or_create_key
from engine.storage.control import ControlStore
from engine.storage.lock import FolderLock, holder
from engine.storage.migrate import MIGRATIONS, current_revision, migrate
from engine.storage.people import SqlPeople
from engine.storage.restore import check_at_start

CONSOLE_SETTINGS = "settings"


def effective(changes: Mapping[str, Any] | None = None) -> Effective:
    """Settings from every layer, those changed in the console included; ``changes`` win. Raises `SettingsError`."""
    first = load(changes=changes)
    folder = first.settings.data_dir
    if not (folder / CONTROL_FILE).exists():
        return first
    store = ControlStore(folder / CONTROL_FILE, journal_key(folder), SystemClock())
    try:
        values = store.settings.values(CONSOLE_SETTINGS)
    finally:
        store.close()
    return load(console=values, changes=changes) if values else first


def journal_key(folder: Path) -> bytes:
    """Key of the folder's hash chains."""
    return load_or_create_key(folder / "keys" / "journal.key")


@contextmanager
def control_of(folder: Path) -> Iterator[ControlStore]:
    """The control file, brought to the newest schema where no engine runs that has done it."""
    if holder(folder) is None and not _is_current(folder):
        # An engine that starts at this moment does the same.
        with suppress(AlreadyRunning), FolderLock(folder):
            for repaired in check_at_start(folder):
                tell(repaired)
            migrate(folder)
    store = ControlStore(folder / CONTROL_FILE, journal_key(folder), SystemClock())
    try:
        yield store
    finally:
        store.close()


@contextmanager
def access_of(control: ControlStore, folder: Path, config: AccessConfig) -> Iterator[Access]:
    """Who may sign in to the console of a data folder."""
    writer = open_engine(folder / CONTROL_FILE, full_sync=True)
    reader = open_engine(folder / CONTROL_FILE, full_sync=True, read_only=True)
    try:
        yield Access(Trail(SqlPeople(writer, reader), control.audit, SystemClock(), PasswordHasher()), config)
    finally:
        writer.dispose()
        reader.dispose()


def _is_current(folder: Path) -> bool:
    newest = max(file.stem for file in (MIGRATIONS / Database.CONTROL.value).glob("[0-9]*.py"))
    return current_revision(folder / CONTROL_FILE) == newest


def system_user() -> str:
    """Name of the user of the operating system, who is the actor of a command line."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return str(os.getuid()) if hasattr(os, "getuid") else "unknown"


def system_actor() -> Actor:
    """Who can write the data folder could change everything in it anyway, so the role is admin."""
    return Actor(system_user(), Role.ADMIN, "cli")


def checked_reason(text: str) -> str:
    """Why somebody gives a command; raises `BadInput` where nothing was said."""
    reason = text.strip()
    if not reason:
        raise BadInput("--reason is empty; say in a few words why, it stands in the journal")
    return reason


def command_id(kind: str) -> str:
    """An id nobody else makes."""
    return f"cli-{kind}-{secrets.token_hex(8)}"
