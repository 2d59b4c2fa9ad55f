"""Keeps the one opinion about a venue: which of its lanes may be used now, and what a person is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from threading import Lock

from engine.domain.conditions import VenueCondition, VenueState
from engine.domain.errors import (
    OrderNotFound,
    VenueAmbiguous,
    VenueError,
    VenueHeld,
    VenueRejected,
    VenueUnreachable,
)
from engine.domain.ports import Clock
from engine.exchanges.client import KeyRefused, VenueResting, VenueThrottled
from engine.exchanges.connected.breaker import Breaker
from engine.exchanges.connected.calls import ClockRefused, InMaintenance, Wire, says_maintenance
from engine.exchanges.connected.lanes import WARN_SHARE, Lane
from engine.exchanges.connected.memory import VenueMemory

OPEN_S = {Lane.CLOSE: 1.0, Lane.STATUS: 3.0, Lane.ENTRY: 30.0, Lane.DATA: 30.0}
"""Pause of each lane after failures in a row: exits and status are tried on at a low rate, entries wait."""
LOCKED_RETRY_S = {Lane.CLOSE: 30.0, Lane.STATUS: 30.0}
"""A key that was refused is tried again so seldom, so that a stop that waits for it is not kept waiting once it works;
entries not at all until a question was answered."""
MAINTENANCE_RETRY_S = 30.0
_NO_SUCH_QUESTION = 404
SILENT_ANSWERS = 2
"""Questions in a row without any answer after which a venue counts as OFFLINE."""


class Watchman:
    """Lets calls pass or holds them back, and learns from every outcome. Used by all lanes' threads.

    Parameters
    ----------
    venue : str
    title : str
        Name of the exchange for people.
    memory : VenueMemory
    clock : Clock
    tell : callable or None
        Gets every change of state; called on the thread that noticed it.
    """

    def __init__(
        self,
        venue: str,
        title: str,
        memory: VenueMemory,
        clock: Clock,
        tell: Callable[[VenueCondition], None] | None = None,
    ) -> None:
        self._title = title
        self._memory = memory
        self._clock = clock
        self._tell = tell
        self._breakers = {lane: Breaker(OPEN_S[lane], clock.monotonic) for lane in Lane}
        self._paused_until = float("-inf")
        self._resting_until = float("-inf")
        self._next_locked_try = dict.fromkeys(Lane, float("-inf"))
        self._silent = 0
        self._lock = Lock()
        self._seen = VenueCondition(venue, VenueState.ONLINE)
        if self._is_banned():
            self._move(VenueState.BANNED, f"shut out until {memory.banned_until}")

    @property
    def condition(self) -> VenueCondition:
        """As it is now."""
        if self._seen.state is VenueState.BANNED and not self._is_banned():
            self._move(VenueState.DEGRADED, "the ban has ended; not asked since")
        return self._seen

    def pass_or_raise(self, lane: Lane) -> None:
        """Raise `VenueHeld` where the venue must not be asked now; nothing was sent then.

        Raises
        ------
        VenueResting
            A ban or a requested pause lasts on.
        KeyRefused
            The key was refused, and it is too early to try it again.
        VenueHeld
            The lane's breaker is open, or the venue is being maintained and this would be an entry.
        """
        now = self._clock.monotonic()
        if self._is_banned():
            until = self._memory.banned_until
            assert until is not None
            left_s = (until - self._clock.now()).total_seconds()
            raise VenueResting(f"{self._title} has shut us out for another {left_s:.0f} s", left_s)
        if now < self._paused_until:
            left_s = self._paused_until - now
            raise VenueResting(f"{self._title} asked for a pause of another {left_s:.0f} s", left_s)
        if now < self._resting_until and lane is not Lane.CLOSE:
            left_s = self._resting_until - now
            raise VenueResting(f"{self._title} asked for fewer questions; the next one in {left_s:.0f} s", left_s)
        state = self.condition.state
        if state is VenueState.LOCKED and lane is not Lane.DATA:
            self._require_locked_try(lane, now)
        if state is VenueState.MAINTENANCE and lane is Lane.ENTRY:
            raise VenueHeld(f"{self._title} is being maintained; entries wait")
        wait_s = self._breakers[lane].wait_s()
        if wait_s > 0:
            raise VenueHeld(f"{self._title} failed too often; the next {lane.value} call in {wait_s:.0f} s")

    def _require_locked_try(self, lane: Lane, now: float) -> None:
        with self._lock:
            if lane is not Lane.ENTRY and now >= self._next_locked_try[lane]:
                self._next_locked_try[lane] = now + LOCKED_RETRY_S[lane]
                return
        raise KeyRefused(f"{self._title} does not accept the key; give it a working one on the Exchanges page")

    def answered(self, lane: Lane, latency_s: float) -> None:
        """A call came back with an answer that could be read."""
        self._breakers[lane].succeeded()
        self._heard(latency_s)
        state = self._seen.state
        if state is VenueState.LOCKED and lane is Lane.DATA:
            return  # public questions say nothing about the key
        if any(breaker.is_open for breaker in self._breakers.values()):
            self._move(VenueState.DEGRADED, "some calls bring no answer")
        else:
            self._move(VenueState.ONLINE, self._use_warning())

    def failed(self, lane: Lane, error: VenueError, wire: Wire, latency_s: float) -> None:
        """A call ended in an error of ours."""
        if wire.status is not None:
            self._heard(latency_s)
        if isinstance(error, VenueThrottled):
            self._throttled(error, wire)
        elif isinstance(error, KeyRefused):
            self._breakers[lane].succeeded()
            self._next_locked_try = {one: self._clock.monotonic() + LOCKED_RETRY_S.get(one, 0.0) for one in Lane}
            self._move(VenueState.LOCKED, str(error))
        elif isinstance(error, InMaintenance) or (wire.asked and says_maintenance(wire)):
            self._move(VenueState.MAINTENANCE, str(error))
        elif isinstance(error, ClockRefused | VenueRejected | OrderNotFound):
            self.answered(lane, latency_s)
        elif wire.status == _NO_SUCH_QUESTION and isinstance(error, VenueUnreachable):
            return  # what is missing for it is said by whoever asked; nothing else is worse for it
        elif wire.asked and isinstance(error, VenueUnreachable | VenueAmbiguous):
            self._silence(lane, error, wire)

    def use(self, share: float | None, offset_ms: int | None) -> None:
        """What the answer's headers told of the limit, and the clock's offset as measured."""
        with self._lock:
            self._seen = replace(
                self._seen,
                used_share=share if share is not None else self._seen.used_share,
                offset_ms=offset_ms if offset_ms is not None else self._seen.offset_ms,
            )

    def unlock(self) -> None:
        """A new key was given: try it."""
        if self._seen.state is VenueState.LOCKED:
            self._next_locked_try = dict.fromkeys(Lane, float("-inf"))
            self._move(VenueState.DEGRADED, "a new key was given; not asked since")

    def _throttled(self, error: VenueThrottled, wire: Wire) -> None:
        if error.is_ban:
            until = self._clock.now() + timedelta(seconds=error.retry_after_s)
            self._memory.ban(until)
            self._move(VenueState.BANNED, f"shut out until {until.isoformat(timespec='seconds')}")
            return
        until_s = self._clock.monotonic() + error.retry_after_s
        if error.is_told:
            self._paused_until = max(self._paused_until, until_s)
        else:  # a guess of ours must not hold back an exit
            self._resting_until = max(self._resting_until, until_s)
        self._move(VenueState.DEGRADED, str(error))

    def _silence(self, lane: Lane, error: VenueError, wire: Wire) -> None:
        self._breakers[lane].failed()
        if self._seen.state in (VenueState.LOCKED, VenueState.BANNED):
            return
        self._silent = self._silent + 1 if wire.status is None else 0
        state = VenueState.OFFLINE if self._silent >= SILENT_ANSWERS else VenueState.DEGRADED
        self._move(state, str(error))

    def _heard(self, latency_s: float) -> None:
        self._silent = 0
        with self._lock:
            self._seen = replace(self._seen, last_answer_at=self._clock.now(), latency_s=latency_s)

    def _use_warning(self) -> str:
        share = self._seen.used_share
        return f"{share:.0%} of its request limit is used" if share is not None and share >= WARN_SHARE else ""

    def _is_banned(self) -> bool:
        until = self._memory.banned_until
        return until is not None and self._clock.now() < until

    def _move(self, state: VenueState, detail: str) -> None:
        with self._lock:
            if self._seen.state is state and self._seen.detail == detail:
                return
            changed = self._seen.state is not state
            since = self._clock.now() if changed or self._seen.since is None else self._seen.since
            until = self._memory.banned_until if state is VenueState.BANNED else None
            self._seen = seen = replace(self._seen, state=state, detail=detail, since=since, until=until)
        if self._tell is not None and (changed or detail):
            self._tell(seen)
