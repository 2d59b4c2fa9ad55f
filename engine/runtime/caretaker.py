"""Looks after a book at a real exchange: its key, the exchange's clock, and what keeps the book from being armed."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import structlog

from engine.domain.commands import TradingState
from engine.domain.conditions import VenueState
from engine.domain.errors import QuarterdeckError, VenueError
from engine.domain.facts import Armed, Fact, Severity, StateChanged
from engine.domain.ports import Clock, Watching
from engine.exchanges.accounts import AccountCheck
from engine.exchanges.connected.line import Line
from engine.exchanges.steady import Steady
from engine.runtime.account_keys import is_usable
from engine.runtime.accounts import KEY_OBSTACLE, key_obstacle
from engine.trading.loop import TradingLoop
from engine.trading.recovery import compare

LOOK_EVERY_S = 30.0
HEED_EVERY_S = 1.0
"""How soon a person's good test of a key that the exchange had refused is heeded."""
CHECK_EVERY_S = 86_400.0
"""A key that passed is checked again after a day."""
CHECK_AGAIN_S = 300.0
"""One whose check brought no answer, or that did not pass, after five minutes."""
UNCHECKED = "the key could not be checked"
_log = structlog.get_logger(__name__)


def _never() -> datetime | None:
    return None


@dataclass(frozen=True, slots=True)
class KeyWatch:
    """How a key is checked, and whether it must be proven able to trade and unable to withdraw.

    Attributes
    ----------
    check : callable
        Asks the exchange; takes seconds, raises nothing but `QuarterdeckError`.
    record : callable
        Keeps whether it passed, and the words.
    must_pass : bool
    passed_at : callable
        Wall time at which the stored key last passed a test, a person's too, from the console or the command line;
        None where the last one did not pass.
    """

    check: Callable[[], AccountCheck]
    record: Callable[[bool, str], None]
    must_pass: bool
    passed_at: Callable[[], datetime | None] = _never

    def accepts(self, check: AccountCheck) -> bool:
        """Whether a key passes: play money only asks that nothing stands against it."""
        return check.approved or (not self.must_pass and is_usable(check))


class Runs(Protocol):
    """Something with threads of its own."""

    def start(self) -> None:
        """Begin."""

    def close(self) -> None:
        """End."""


class Watches(Runs, Watching, Protocol):
    """What looks at a venue beside its streams; `engine.exchanges.connected.watch.Watch` does."""


@dataclass(frozen=True, slots=True)
class Ways:
    """The ways to and from an exchange: questions and orders, what it tells by itself, and what watches over that."""

    line: Line
    streams: Runs
    watch: Watches


def why_not_approved(check: AccountCheck) -> str:
    """Why a key may not trade real money; "" where it may."""
    if check.approved:
        return ""
    if not check.reachable:
        return f"{UNCHECKED}: {check.message}"
    return f"the key is not approved: {check.message}"


class Caretaker:
    """Of one venue of a book. It asks on a thread of its own; what follows happens in `drive`, on the engine's.

    Parameters
    ----------
    loop : TradingLoop
    ways : Ways
    key : KeyWatch
    clock : Clock
    first : AccountCheck
        What the check at the start said.
    """

    def __init__(self, loop: TradingLoop, ways: Ways, key: KeyWatch, clock: Clock, first: AccountCheck) -> None:
        self._loop, self._line, self._key, self._clock = loop, ways.line, key, clock
        self._ways = ways
        self._ending = threading.Event()
        self._checks: deque[AccountCheck] = deque([first])
        self._due = clock.monotonic() + (CHECK_EVERY_S if key.accepts(first) else CHECK_AGAIN_S)
        self._was_locked = False
        self._is_refusal_told = True  # before the last start, for all that is known
        self._heeded_at = clock.now()
        self._obstacle = key_obstacle(self._line.condition.venue)
        self._look_due = clock.monotonic() + LOOK_EVERY_S
        self._steady = Steady(f"caretaker-{loop.book.config.name}", self._watch, self._ending)
        self._fault = ""

    # -- on its own thread ----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Listen to the exchange, and begin to look; from now on entries wait where it is not known what happens."""
        self._ways.streams.start()
        self._ways.watch.start()
        self._loop.watch.watched.attend(self._line.condition.venue, self._ways.watch)
        self._steady.start()

    def cut(self) -> None:
        """Let nothing more go out to the exchange; safe from any thread, whatever hangs."""
        self._line.close()

    def close(self) -> None:
        """Look no more, and let the exchange go."""
        self._ending.set()
        self.cut()
        self._ways.watch.close()
        self._ways.streams.close()

    def _watch(self) -> None:
        if self._ending.wait(HEED_EVERY_S):
            return
        self.heed_test()
        if self._clock.monotonic() < self._look_due:
            return
        if self._line.condition.offset_ms is None:
            self._measure_clock()
        if self._clock.monotonic() >= self._due:
            self.check_key()
        self._look_due = self._clock.monotonic() + LOOK_EVERY_S

    def _measure_clock(self) -> None:
        """What the start could not do: no entry is sent before."""
        try:
            self._line.measure_offset()
        except VenueError as error:
            _log.info("clock of the venue could not be measured", error=str(error))

    def heed_test(self) -> None:
        """Check a key that the exchange had refused at once, where a test of it has passed since."""
        if self._line.condition.state is not VenueState.LOCKED:
            self._heeded_at = self._clock.now()
            return
        try:
            passed_at = self._key.passed_at()
        except QuarterdeckError as error:
            _log.info("tests of the key could not be looked up", error=str(error))
            return
        if passed_at is not None and passed_at > self._heeded_at:
            self._heeded_at = self._clock.now()
            self.check_key()

    def check_key(self) -> None:
        """Ask about the key now; the outcome is taken in by `drive`."""
        try:
            check = self._key.check()
            self._key.record(self._key.accepts(check), check.message)
        except QuarterdeckError as error:
            check = AccountCheck(False, str(error))
        self._due = self._clock.monotonic() + (CHECK_EVERY_S if self._key.accepts(check) else CHECK_AGAIN_S)
        self._checks.append(check)

    # -- on the engine's thread -----------------------------------------------------------------------------------

    def drive(self) -> None:
        """Take in what was found: a key that is not approved ends arming and leaves only the way out."""
        self._heed_fault()
        while self._checks:
            self._take(self._checks.popleft())
        condition = self._line.condition
        is_locked = condition.state is VenueState.LOCKED
        if is_locked and not self._was_locked:
            self._due = self._clock.monotonic() + CHECK_AGAIN_S
            why = condition.detail or f"{condition.venue} does not accept the key"
            self._refuse(why, disarms=True)
        if self._was_locked and not is_locked:
            self._tell_accepted(f"{condition.venue} accepts it again")
            self._due = self._look_due = self._clock.monotonic()  # what it may do is asked at once: arming waits for it
        self._was_locked = is_locked

    def _heed_fault(self) -> None:
        """Nobody looks after the key while the thread that does fails: nothing is opened meanwhile, and it is told."""
        fault, venue, loop = self._steady.fault, self._line.condition.venue, self._loop
        if fault == self._fault:
            return
        self._fault = fault
        key = f"caretaker-{venue}"
        if fault:
            loop.book.outside.untended[venue] = f"nobody looks after the key of {venue}: {fault}"
            then = "It is tried again, ever more slowly. Nothing is opened there until it works; exits and stops go on"
            loop.alarm(key, f"Nobody looks after the key of {venue}", f"{fault}. {then}")
            return
        loop.book.outside.untended.pop(venue, None)
        works, at = f"The key of {venue} is looked after again", loop.market_time()
        loop.tell(loop.core.notice(key, Severity.INFO, works, "entries go on", at))

    def reconcile(self) -> None:
        """Compare books and exchange now: what differs, or that it was silent, keeps the book from being armed."""
        obstacles = self._loop.book.licence.obstacles
        try:
            self._loop.pull()
            self._loop.resolve(everything=True)
            found = compare(self._loop)
        except VenueError as error:
            found = [f"it could not be asked: {error}"]
        obstacles.pop("reconciliation", None)
        if found:
            obstacles["reconciliation"] = f"books and exchange were not found equal: {'; '.join(found)}"

    def _take(self, check: AccountCheck) -> None:
        book, why = self._loop.book, why_not_approved(check)
        if why and not self._key.must_pass:
            return
        if why:
            self._refuse(why, disarms=check.reachable)
            return
        book.licence.obstacles.pop(self._obstacle, None)
        self._tell_accepted(check.message)
        if self._line.condition.state is VenueState.LOCKED:
            self._line.unlock()
        waited = book.state is TradingState.CLOSE_ONLY and book.state_reason.startswith(UNCHECKED)
        others = any(name.startswith(KEY_OBSTACLE) for name in book.licence.obstacles)
        if waited and not others and (book.licence.armed is not None or not book.config.needs_arming):
            at = self._loop.market_time()
            self._loop.take([StateChanged(TradingState.ACTIVE, False, "the key was checked and is approved", at)], at)

    def _tell_accepted(self, detail: str) -> None:
        """End what was told about a key that was not approved."""
        if self._is_refusal_told:
            self._is_refusal_told = False
            loop = self._loop
            notice = loop.core.notice("key", Severity.INFO, "The key of the exchange works", detail, loop.market_time())
            loop.tell(notice)

    def _refuse(self, why: str, *, disarms: bool) -> None:
        """Only the way out is left; where the key itself is the reason, the book must be armed again, too."""
        book, at = self._loop.book, self._loop.market_time()
        known = book.licence.obstacles.get(self._obstacle)
        facts: list[Fact] = []
        if book.config.needs_arming:
            book.licence.obstacles[self._obstacle] = why
            if disarms and book.licence.armed is not None:
                facts.append(Armed(False, book.ids.installation, why, at))
        if book.state is TradingState.ACTIVE:
            facts.append(StateChanged(TradingState.CLOSE_ONLY, False, why, at))
        if facts:
            self._loop.take(facts, at)
        if facts or known != why:
            self._is_refusal_told = True
            self._loop.alarm("key", "The key of the exchange is not approved", why)
