"""Counts wrong passwords in sliding windows and says how long to wait: delays grow, and every delay ends."""

from __future__ import annotations

import hashlib
import ipaddress
from dataclasses import dataclass
from datetime import datetime, timedelta

from engine.domain.errors import AccessDenied
from engine.domain.people import Caller, FailedAttempts, SignInAttempt
from engine.domain.ports import Clock
from engine.security.access_config import AccessConfig
from engine.security.ports import AttemptStore

WINDOW = timedelta(minutes=15)
"""Length of the windows per address and over everyone."""


class TooManyAttempts(AccessDenied):
    """Not judged because of too many wrong passwords; ``retry_after_s`` says when to come back."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(f"too many wrong passwords; try again in {_words(retry_after_s)}")
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class Reserved:
    """An attempt that is counted as failed: its number, and how many more may follow before the first delay."""

    number: int
    tries_left: int


class Lockout:
    """Counts an attempt as failed before the password is looked at, so that parallel tries are all counted.

    A person is counted together with an address: somebody elsewhere who keeps guessing does not lock the owner out at
    the owner's own machine. The window over everyone does not bind loopback, and `forgive` opens everything again.
    """

    def __init__(self, store: AttemptStore, clock: Clock, config: AccessConfig) -> None:
        self._store = store
        self._clock = clock
        self._config = config

    def reserve(self, name: str, caller: Caller) -> Reserved:
        """Count an attempt; its number for `settle`. Raises `TooManyAttempts`, and then nothing was counted."""
        now = self._clock.now()
        local = is_loopback(caller.address)
        attempt = SignInAttempt(person_key(name), caller.address, now)
        before: list[int] = []

        def judged(failed: FailedAttempts) -> float:
            before.append(len(failed.pair))
            return wait_s(failed, now, self._config, everyone=not local)

        number, wait = self._store.reserve_attempt(attempt, judged)
        if wait > 0:
            raise TooManyAttempts(int(wait) + 1)
        return Reserved(number, max(0, self._config.failures_per_person - before[-1] - 1))

    def settle(self, number: int) -> None:
        """The password was right."""
        self._store.settle_attempt(number)

    def forgive(self, name: str) -> int:
        """Forget a person's failures; how many there were."""
        return self._store.forget_attempts(person_key(name))


def wait_s(failed: FailedAttempts, now: datetime, config: AccessConfig, everyone: bool) -> float:
    """Seconds until another attempt is judged; 0 at once.

    Parameters
    ----------
    failed : FailedAttempts
        Times of failures, newest first.
    now : datetime
        Wall time.
    config : AccessConfig
        Counts and delays.
    everyone : bool
        Whether the window over everyone binds this caller.

    Returns
    -------
    float
        The longest wait of the three windows; never more than ``longest_delay_s``.
    """
    recent = [at for at in failed.address if now - at < WINDOW]
    waits = [
        _wait(list(failed.pair), len(failed.pair) - config.failures_per_person, now, config),
        _wait(recent, (len(recent) - config.failures_per_address) // 5, now, config),
    ]
    if everyone:
        all_recent = [at for at in failed.everyone if now - at < WINDOW]
        waits.append(_wait(all_recent, min(0, len(all_recent) - config.failures_everywhere), now, config))
    return max(waits)


def _wait(times: list[datetime], excess: int, now: datetime, config: AccessConfig) -> float:
    if excess < 0 or not times:
        return 0.0
    delay = float(min(config.first_delay_s << min(excess, 10), config.longest_delay_s))
    # A clock that was set back must not turn a delay of minutes into one of days.
    return min(delay, max(0.0, delay - (now - times[0]).total_seconds()))


def person_key(name: str) -> str:
    """SHA-256 (hex) of the folded name: what was typed may be a password in the wrong field."""
    return hashlib.sha256(name.strip().casefold().encode("utf-8", "surrogatepass")).hexdigest()


def is_loopback(address: str) -> bool:
    """Whether the address is this machine.

    Examples
    --------
    >>> is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("192.0.2.1"), is_loopback("forwarded")
    (True, True, False, False)
    """
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _words(seconds: int) -> str:
    if seconds < 90:
        return f"{seconds} seconds"
    return f"{-(-seconds // 60)} minutes"
