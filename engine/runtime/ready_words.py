"""How the books stand as the engine says that it is ready: a stop that is stored is told before it is carried out."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from engine.domain.commands import Command, EmergencyStop
from engine.domain.portfolio import BookSnapshot, EngineSnapshot
from engine.runtime.sentinel import SENTINEL
from engine.storage.control import ControlStore


def stops_waiting(control: ControlStore, folder: Path) -> frozenset[str | None]:
    """Books that a stored stop is about, None for all; ask before the snapshot, so that none falls between."""
    found = stops_in(command for _, command in control.pending())
    return found | {None} if (folder / SENTINEL).exists() else found


def stops_in(commands: Iterable[Command]) -> frozenset[str | None]:
    """The same, of commands that wait."""
    return frozenset(command.body.book for command in commands if isinstance(command.body, EmergencyStop))


def ready_words(snapshot: EngineSnapshot, stops: frozenset[str | None]) -> str:
    """Every book with its state, comma separated."""
    return ", ".join(f"{book.name} {_state(book, stops)}" for book in snapshot.books)


def _state(book: BookSnapshot, stops: frozenset[str | None]) -> str:
    if book.latched:
        flat = book.stop is not None and book.stop.flat
        return f"{book.state.value} latched, {'VERIFIED FLAT' if flat else 'STOPPING, not flat yet'}"
    if stops & {None, book.name}:
        return "STOPPING: a stored stop is carried out first"
    return book.state.value
