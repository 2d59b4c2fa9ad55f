"""What a command does to one book, on that book's thread; and what one book is asked for the sake of another."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from engine.domain.commands import ArmLive, Command, CommandStatus, InjectFault, Reconcile, SetSpeed
from engine.domain.errors import BadInput, CommandRefused
from engine.domain.ports import Clock
from engine.runtime.reconciled import answer_of
from engine.runtime.starting import RunningBook
from engine.simulation.demo_source import DemoSource
from engine.trading.graduation import Candidate, candidate_of

Answer = tuple[CommandStatus, str]
ASKED_FOR_S = 3.0
"""So long a promotion waits for the book it comes from; that may be held up by its exchange."""


class Asked:
    """How a strategy stands, asked of the book it runs in; answered on that book's thread, after what came before."""

    def __init__(self, book: str, strategy: str, clock: Clock) -> None:
        self.book, self.strategy = book, strategy
        self._clock = clock
        self.candidate: Candidate | None = None
        self.refusal = ""
        self._deadline = clock.monotonic() + ASKED_FOR_S
        self._done = threading.Event()

    def answer(self, running: RunningBook) -> None:
        """Look at the strategy now."""
        try:
            self.candidate = candidate_of(running.loop.book, self.strategy)
        except CommandRefused as refusal:
            self.refusal = str(refusal)
        self._done.set()

    @property
    def is_due(self) -> bool:
        """Whether there is nothing more to wait for."""
        return self._done.is_set() or self._clock.monotonic() >= self._deadline

    def settled(self) -> Candidate | None:
        """The answer; raises `CommandRefused` where there is none, or where the strategy has no place there."""
        if not self._done.is_set():
            raise CommandRefused(
                f"{self.book} did not say within {ASKED_FOR_S:g} s how {self.strategy} stands there; its exchange "
                "may be slow. Nothing was changed; promote it again"
            )
        if self.refusal:
            raise CommandRefused(self.refusal)
        return self.candidate


@dataclass(frozen=True, slots=True)
class Order:
    """A command handed to a book; ``asked`` is what must be known from another book first."""

    command: Command
    asked: Asked | None = None


def carry_out(book: RunningBook, order: Order) -> Answer:
    """Carry out a command in a book; what became of it, in words."""
    try:
        return _carried_out(book, order)
    except (CommandRefused, BadInput) as refusal:
        return CommandStatus.REFUSED, str(refusal)


def _carried_out(book: RunningBook, order: Order) -> Answer:
    command = order.command
    match command.body:
        case SetSpeed(speed=speed):
            return CommandStatus.DONE, _set_speed(book, speed)
        case InjectFault(venue=venue, fault=fault, minutes=minutes):
            if not isinstance(book.source, DemoSource):
                raise CommandRefused(f"{book.name} trades a real market; faults are for the simulated one")
            book.source.inject(venue, fault, minutes)
            return CommandStatus.DONE, f"{fault.capitalize()} at {venue} for {minutes} market minutes"
        case Reconcile():
            return CommandStatus.DONE, answer_of(book)
        case body:
            candidate = order.asked.settled() if order.asked is not None else None
            if isinstance(body, ArmLive) and book.caretaker is not None:
                book.caretaker.reconcile()
            done = book.loop.command(command, candidate)
            assert done is not None
            book.stop.drive()
            return CommandStatus(done.status), f"{book.name}: {done.detail}"


def _set_speed(book: RunningBook, speed: int) -> str:
    if not isinstance(book.source, DemoSource):
        raise CommandRefused(f"{book.name} runs at the speed of its market")
    book.source.set_speed(speed)
    book.loop.book.speed = speed
    return f"{book.name} runs at {speed}x"
