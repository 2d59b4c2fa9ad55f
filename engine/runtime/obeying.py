"""What a command addressed to one book, or to all, does to them; the answer is one for all of them."""

from __future__ import annotations

from collections.abc import Mapping

from engine.domain.commands import ArmLive, Command, CommandStatus, InjectFault, Promote, Reconcile, SetSpeed
from engine.domain.errors import BadInput, CommandRefused
from engine.runtime.reconciled import answer_of
from engine.runtime.starting import RunningBook
from engine.simulation.demo_source import DemoSource
from engine.trading.graduation import Candidate, candidate_of


def carry_out(books: Mapping[str, RunningBook], command: Command) -> tuple[CommandStatus, str]:
    """Carry out a command in every book it is for; what became of it, in words."""
    try:
        details = [_for_book(books, book, command) for book in _addressed(books, command)]
    except (CommandRefused, BadInput) as refusal:
        return CommandStatus.REFUSED, str(refusal)
    refused = [detail for status, detail in details if status is CommandStatus.REFUSED]
    if refused and len(refused) == len(details):
        return CommandStatus.REFUSED, "; ".join(refused)
    return CommandStatus.DONE, "; ".join(detail for _, detail in details)


def _addressed(books: Mapping[str, RunningBook], command: Command) -> list[RunningBook]:
    name = command.body.book
    if name is None:
        return list(books.values())
    if name not in books:
        raise CommandRefused(f"no book {name!r} is running; there are {', '.join(books)}")
    return [books[name]]


def _for_book(books: Mapping[str, RunningBook], book: RunningBook, command: Command) -> tuple[CommandStatus, str]:
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
        case _:
            if isinstance(command.body, ArmLive) and book.caretaker is not None:
                book.caretaker.reconcile()
            done = book.loop.command(command, _candidate(books, command))
            assert done is not None
            book.stop.drive()
            return CommandStatus(done.status), f"{book.name}: {done.detail}"


def _candidate(books: Mapping[str, RunningBook], command: Command) -> Candidate | None:
    """The strategy a promotion is about, as it stands in the book it comes from; None where that does not run."""
    body = command.body
    if not isinstance(body, Promote) or body.from_book not in books:
        return None
    return candidate_of(books[body.from_book].loop.book, body.strategy)


def _set_speed(book: RunningBook, speed: int) -> str:
    if not isinstance(book.source, DemoSource):
        raise CommandRefused(f"{book.name} runs at the speed of its market")
    book.source.set_speed(speed)
    book.loop.book.speed = speed
    return f"{book.name} runs at {speed}x"
