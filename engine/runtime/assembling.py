"""How each book of one engine is put together, on its own thread: parts, epoch, journal, and why it starts HALTED."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from config.settings import Settings
from engine.runtime.build import build_demo, build_paper, installation_id
from engine.runtime.build_connected import STAGES, build_stage
from engine.runtime.clock import SystemClock
from engine.runtime.connections import Connections
from engine.runtime.lifeline import Lifeline
from engine.runtime.observing import Observations
from engine.runtime.restore_mark import RestoreMark
from engine.runtime.sentinel import SENTINEL, last_stop_by_file
from engine.runtime.starting import Parts, RunningBook
from engine.security import KEY_STORES
from engine.security.vault import Vault
from engine.storage.chain import load_or_create_key
from engine.storage.control import ControlStore
from engine.storage.money import MoneyStore

BOOKS = ("demo", "paper", *STAGES)
"""Every book there can be; each that has a journal is halted once after a restore, whenever it next starts."""
SWITCHED = BOOKS[1:]
"""Those that are added and removed while the engine runs."""


@dataclass(frozen=True, slots=True)
class Start:
    """How a book is started: with which settings, why HALTED ("" where it need not be), and whether once more."""

    book: str
    settings: Settings
    halt: str = ""
    again: bool = False


class Assembler:
    """Opens what the books of one data folder share, and builds them.

    Parameters
    ----------
    folder : Path
        Migrated and locked.
    clock : SystemClock
    observations : Observations
    """

    def __init__(self, folder: Path, clock: SystemClock, observations: Observations) -> None:
        self._clock = clock
        self._folder = folder
        self._observations = observations
        self._key = load_or_create_key(folder / "keys" / "journal.key")
        self._installation = installation_id(folder)
        self.control = ControlStore(folder / "control.sqlite", self._key, clock)
        self._mark = RestoreMark(folder)
        self._begun: set[str] = set()
        self._noted: set[str] = set()
        vault = Vault(KEY_STORES["file"](folder / "keys"), folder / "keys" / "keyring.json")
        self._connections = Connections(self.control, vault)

    def open_store(self, path: Path) -> MoneyStore:
        """The money file with a new epoch for all its books; what was written under older ones is fenced."""
        store = MoneyStore(path, self._key, self._clock)
        try:
            store.acquire_lease(self._installation)
            self._begun = {name for name in BOOKS if store.latest_checkpoint(name) is not None}
        except BaseException:
            store.close()
            raise
        return store

    def builder(self, store: MoneyStore, start: Start) -> Callable[[Lifeline], RunningBook]:
        """What builds one book; to be called on its thread."""
        return partial(self._build, store, store.epoch, start)

    def note_running(self, books: set[str]) -> None:
        """These have been recovered, and so halted where a restore asks for it."""
        if books - self._noted:
            self._mark.note(books, self._begun)
            self._noted |= books

    def _build(self, store: MoneyStore, epoch: int, start: Start, lifeline: Lifeline) -> RunningBook:
        if start.again:
            epoch = store.renew(start.book, self._installation)
        lifeline.require_uncut()
        start = replace(start, halt=start.halt or self._missed_stop(store, start.book))
        settings, parts = start.settings, self._parts(store, epoch, start, lifeline)
        if start.book == "demo":
            return build_demo(parts, settings.demo)
        if start.book == "paper":
            return build_paper(parts, settings.paper)
        return build_stage(parts, STAGES[start.book], settings.stages[start.book])

    def _missed_stop(self, store: MoneyStore, book: str) -> str:
        """Why a book must start HALTED: everything was stopped while it did not run, after the last row it wrote."""
        by_command, by_file = self.control.last_stop_of_all(), last_stop_by_file(self._folder)
        stops = [(by_command[1], by_command[0].actor.name)] if by_command is not None else []
        stops += [(by_file, f"the file {SENTINEL}")] if by_file is not None else []
        written = store.last_written(book)
        if not stops or written is None or written >= max(stops)[0]:
            return ""
        at, who = max(stops)
        return f"{who} stopped everything at {at:%Y-%m-%d %H:%M:%S} UTC, while this book did not run"

    def _parts(self, store: MoneyStore, epoch: int, start: Start, lifeline: Lifeline) -> Parts:
        return Parts(
            settings=start.settings,
            clock=lifeline.clock,
            epoch=epoch,
            installation=self._installation,
            journal_of=lambda book: store.journal(book, epoch),
            observe=self._observations.observer,
            wait=lifeline.wait,
            halt_of=lambda book: start.halt or self._mark.halt_of(book),
            tell=self._observations.tell,
            connections=self._connections,
            opened=lifeline.opened,
        )
