"""Gets messages out: an outbox with retries, and a way around the database when nothing can be recorded."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from engine.domain.errors import QuarterdeckError, StorageError
from engine.domain.facts import Notice, Severity
from engine.domain.ports import Clock
from engine.monitoring.channels import Channel
from engine.monitoring.config import AlertConfig
from engine.monitoring.ports import Alerts, SealedChannel, Waiting

MOST_HELD = 1_000
"""Notices kept in memory while nothing can be recorded; repeats of one key are one."""
TROUBLE_PAUSE_S = 30.0
"""How long delivery rests when the database can be neither read nor written."""
RANK = {severity: index for index, severity in enumerate(Severity)}

_log = structlog.get_logger(__name__)
_random = secrets.SystemRandom()


@dataclass(frozen=True, slots=True)
class Routing:
    """How a notice is told on: again after ``remind_after`` while it is raised, never to channel ``but``."""

    remind_after: timedelta
    but: str = ""


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed attempt: the next one (None: given up), and until when the channel is left alone."""

    message_id: int
    channel_id: str
    error: str
    at: datetime
    next_at: datetime | None
    paused_until: datetime


@dataclass(frozen=True, slots=True)
class Held:
    """A notice that could not be recorded yet; ``told`` once a channel took it all the same."""

    notice: Notice
    told: bool = False


class Delivery:
    """Records notices and sends what is due; thread-safe.

    A message is sent at least once: a crash between the channel's answer and its record sends it again.

    Parameters
    ----------
    store : Alerts
    open_channel : callable
        Opens a channel's address; raises `QuarterdeckError`.
    clock : Clock
    config : AlertConfig
    """

    def __init__(
        self, store: Alerts, open_channel: Callable[[SealedChannel], Channel], clock: Clock, config: AlertConfig
    ) -> None:
        self._store = store
        self._open = open_channel
        self._clock = clock
        self._config = config
        self._turn = threading.Lock()
        self._holding = threading.Lock()
        self._held: dict[str, Held] = {}
        self._unsettled: dict[int, tuple[str, str]] = {}
        self._resume_at = clock.monotonic()

    def record(self, notice: Notice, but: str = "") -> bool:
        """Record and queue; False when it is only kept in memory. Never raises for storage."""
        routing = Routing(timedelta(minutes=self._config.remind_after_minutes), but)
        try:
            self._store.record(notice, self._clock.now(), routing)
        except StorageError as error:
            _log.error("alert not recorded", key=notice.key, title=notice.title, error=str(error))
            self._hold(Held(notice))
            return False
        return True

    def forget(self, key: str) -> None:
        """Its cause is gone: what is only kept in memory need not be told."""
        with self._holding:
            self._held.pop(key, None)

    def held(self) -> int:
        """How many notices wait in memory to be recorded."""
        return len(self._held)

    def recovered(self, channel: SealedChannel) -> None:
        """A channel works again: close the alert about it."""
        if channel.failures < self._config.failures_to_alert:
            return
        now, key = self._clock.now(), channel_key(channel.channel_id)
        title = f"Alert channel {channel.view().label} delivers again"
        self._store.clear(key, "engine: over", Notice(key, Severity.INFO, title, "", "", now), now)

    def send_due(self) -> int:
        """Send what is due; how many were accepted. See `AlertCentre.deliver_due`."""
        if self._clock.monotonic() < self._resume_at or not self._turn.acquire(blocking=False):
            return 0
        try:
            self._record_held()
            self._settle()
            self._queue_tests()
            return self._send_waiting()
        except StorageError as error:
            self._resume_at = self._clock.monotonic() + TROUBLE_PAUSE_S
            _log.error("alerts not delivered", error=str(error))
            return 0
        finally:
            self._turn.release()

    def _send_waiting(self) -> int:
        rows = self._store.outbox.due(self._clock.now(), self._config.messages_per_call)
        known = {channel.channel_id: channel for channel in self._store.channels.all()} if rows else {}
        failed: set[str] = set()
        sent = 0
        for row in rows:
            channel = known.get(row.channel_id)
            if channel is None or row.channel_id in failed:
                continue
            if self._send(row, channel):
                sent += 1
            else:
                failed.add(row.channel_id)
        return sent

    def _send(self, row: Waiting, channel: SealedChannel) -> bool:
        try:
            answer = self._open(channel).deliver(row.notice)
        except QuarterdeckError as error:
            self._failed(row, channel, str(error))
            return False
        self._unsettled[row.message_id] = (row.channel_id, answer)
        self._settle()
        self.recovered(channel)
        return True

    def _settle(self) -> None:
        """Record deliveries; one that could not be recorded is remembered, and comes before anything is sent."""
        for message_id, (channel_id, answer) in list(self._unsettled.items()):
            self._store.outbox.sent(message_id, channel_id, answer, self._clock.now())
            del self._unsettled[message_id]

    def _failed(self, row: Waiting, channel: SealedChannel, error: str) -> None:
        now, config = self._clock.now(), self._config
        attempts = row.attempts + 1
        next_at = now + self._wait(attempts, config.longest_retry_s) if attempts < config.attempts else None
        rests_until = now + self._wait(channel.failures + 1, config.longest_pause_s)
        failure = Failure(row.message_id, row.channel_id, error, now, next_at, rests_until)
        failures = self._store.outbox.failed(failure)
        if failures >= config.failures_to_alert:
            title = f"Alert channel {channel.view().label} does not deliver"
            detail = f"{failures} failures in a row, the last: {error}. It could not tell: {row.notice.title}"
            notice = Notice(channel_key(row.channel_id), Severity.CRITICAL, title, detail, "", now)
            self.record(notice, but=row.channel_id)

    def _wait(self, failures: int, longest_s: float) -> timedelta:
        """Doubling with each failure, bounded, and spread by a fifth so that channels do not wake together."""
        wait_s = min(self._config.first_retry_s * 2 ** min(failures - 1, 30), longest_s)
        return timedelta(seconds=wait_s * _random.uniform(0.8, 1.0))

    def _queue_tests(self) -> None:
        """A channel nobody has heard of for a day is tried, so that a dead one is known before it is needed."""
        hours, now = self._config.test_every_hours, self._clock.now()
        if not hours:
            return
        for channel in self._store.channels.all():
            if channel.last_at is not None and channel.last_at <= now - timedelta(hours=hours):
                self._store.outbox.add_test(channel.channel_id, trial_notice(channel.view().label, now), now)

    def _hold(self, held: Held) -> None:
        with self._holding:
            before = self._held.get(held.notice.key)
            if before is None:
                if len(self._held) < MOST_HELD:
                    self._held[held.notice.key] = held
            elif RANK[held.notice.severity] > RANK[before.notice.severity] or held.told:
                self._held[held.notice.key] = held

    def _record_held(self) -> None:
        """Nothing can be recorded, and that is when people must know: tell the channels once without a record."""
        with self._holding:
            waiting, self._held = self._held, {}
        for held in waiting.values():
            if self.record(held.notice):
                continue
            told = held.told or self._tell(held.notice)
            self._hold(Held(held.notice, told))

    def _tell(self, notice: Notice) -> bool:
        told = False
        for channel in self._store.channels.all():
            if RANK[channel.minimum_severity] <= RANK[notice.severity]:
                told = self._tried(channel, notice) or told
        return told

    def _tried(self, channel: SealedChannel, notice: Notice) -> bool:
        try:
            self._open(channel).deliver(notice)
        except QuarterdeckError as error:
            _log.error("alert not delivered", channel=channel.channel_id, error=str(error))
            return False
        return True


def channel_key(channel_id: str) -> str:
    """Key of the alert about a channel itself."""
    return f"channel:{channel_id}"


def trial_notice(label: str, now: datetime) -> Notice:
    """What a test says."""
    detail = f"If you read this, alerts reach {label}. Nothing is wrong."
    return Notice("channel:test", Severity.INFO, "Test of an alert channel", detail, "", now)
