"""Commands on their way through the books: who has taken one in, and what is told to who gave it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from engine.domain.commands import Command, CommandStatus, EmergencyStop, Promote
from engine.domain.ports import Clock
from engine.runtime.book_thread import BookThread
from engine.runtime.obeying import Answer, Asked, Order

NOTE_AFTER_S = 1.0
"""A command that some book has not answered by then says so beside its receipt."""
NOT_STOPPED = "it ended before it took the stop in; what it holds and its orders at the exchange stay as they are"


@dataclass(slots=True)
class Errand:
    """A command until every book it is for has answered; ``for_all`` where it names none.

    ``answered`` and ``waiting`` are names of books. ``settle`` is called with the answer of all, and tells whether that
    could be stored.
    """

    command: Command
    for_all: bool
    waiting: list[str]
    settle: Callable[[Answer], bool]
    since_s: float
    answered: dict[str, Answer] = field(default_factory=dict)
    noted: str = ""

    @property
    def progress(self) -> str:
        """How far it has come, in words."""
        late = f"{_listed(self.waiting)} {'has' if len(self.waiting) == 1 else 'have'} not answered yet"
        return f"taken in by {_listed(self.answered)}; {late}" if self.answered else late

    @property
    def answer(self) -> Answer:
        """What became of it, once nobody is waited for: not known where one book does not know."""
        answers = self.answered.values()
        told = {status for status, _ in answers}
        if told == {CommandStatus.REFUSED}:
            status = CommandStatus.REFUSED
        else:
            status = CommandStatus.UNKNOWN if CommandStatus.UNKNOWN in told else CommandStatus.DONE
        return status, "; ".join(detail for _, detail in answers)


class Errands:
    """The books by name and all commands under way; safe from any thread.

    A book that is stuck holds up only its own part of a command.

    Parameters
    ----------
    clock : Clock
        Measures how long a book is waited for.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.books: Mapping[str, BookThread] = {}
        self._lock = threading.Lock()
        self._open: dict[str, Errand] = {}

    def __contains__(self, command_id: str) -> bool:
        return command_id in self._open

    def join(self, books: Mapping[str, BookThread], joined: BookThread) -> None:
        """Know these books from now on; one of them has joined, or begins another life.

        What its life before has not answered is handed over, in the order it was given.
        """
        with self._lock:
            self.books = books
            for errand in self._open.values():
                if joined.book in errand.waiting:
                    self._give(errand, joined)

    def leave(self, books: Mapping[str, BookThread], left: str) -> None:
        """Know these books from now on; nobody waits for the one that has left."""
        with self._lock:
            self.books = books
            for errand in self._open.values():
                if left not in errand.waiting:
                    continue
                errand.waiting.remove(left)
                if errand.for_all and isinstance(errand.command.body, EmergencyStop):
                    errand.answered[left] = CommandStatus.UNKNOWN, f"{left}: {NOT_STOPPED}"
                elif not errand.for_all or not (errand.waiting or errand.answered):
                    errand.answered[left] = CommandStatus.REFUSED, f"no book {left!r} is running; {self._there()}"

    def hand_out(self, command: Command, settle: Callable[[Answer], bool]) -> None:
        """Give a command to every book it is for; the answer of all goes to ``settle`` in `settled`."""
        name = command.body.book
        with self._lock:
            names = [each for each in self.books if name in (None, each)]
            errand = Errand(command, name is None, names, settle, self._clock.monotonic())
            if not names:
                errand.answered[name or ""] = CommandStatus.REFUSED, f"no book {name!r} is running; {self._there()}"
            self._open[command.command_id] = errand
            for each in names:
                self._give(errand, self.books[each])

    def _there(self) -> str:
        return f"there are {', '.join(self.books)}" if self.books else "there is none"

    def _give(self, errand: Errand, thread: BookThread) -> None:
        body, asked = errand.command.body, None
        source = self.books.get(body.from_book) if isinstance(body, Promote) else None
        if isinstance(body, Promote) and source is not None:
            asked = Asked(body.from_book, body.strategy, self._clock)
            source.order(asked)
        thread.order(Order(errand.command, asked))

    def answered(self, thread: BookThread, command_id: str, answer: Answer) -> None:
        """A book has taken a command in; the word of a thread that was replaced counts for nothing."""
        with self._lock:
            errand = self._open.get(command_id)
            if errand is None or self.books.get(thread.book) is not thread or thread.book not in errand.waiting:
                return
            errand.waiting.remove(thread.book)
            errand.answered[thread.book] = answer

    def settle(self) -> None:
        """Tell what became of the commands that every book has answered; one that cannot be stored is tried again."""
        with self._lock:
            done = [(command_id, errand) for command_id, errand in self._open.items() if not errand.waiting]
        settled = [command_id for command_id, errand in done if errand.settle(errand.answer)]
        with self._lock:
            for command_id in settled:
                del self._open[command_id]

    def late(self) -> Iterable[tuple[str, str]]:
        """Commands that some book has kept waiting, and how far each has come; told once for each step."""
        now, late = self._clock.monotonic(), []
        with self._lock:
            for command_id, errand in self._open.items():
                if errand.waiting and now - errand.since_s > NOTE_AFTER_S and errand.noted != errand.progress:
                    errand.noted = errand.progress
                    late.append((command_id, errand.progress))
        return late


def _listed(names: Iterable[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
