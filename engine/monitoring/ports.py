"""What alerts and the monitor need of storage and of the vault; those live in packages this one does not know."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol

from engine.domain.facts import Notice, Severity
from engine.domain.market import FloatArray, IntArray
from engine.domain.operations_views import AlertRow, ChannelView


class Waiting(Protocol):
    """A message that waits; how often it was tried."""

    @property
    def message_id(self) -> int:
        """Its number."""

    @property
    def channel_id(self) -> str:
        """Where to."""

    @property
    def notice(self) -> Notice:
        """What it says."""

    @property
    def attempts(self) -> int:
        """Attempts so far."""


class SealedChannel(Protocol):
    """A channel with its sealed address."""

    @property
    def channel_id(self) -> str:
        """Its id."""

    @property
    def kind(self) -> str:
        """A key of `engine.monitoring.CHANNELS`."""

    @property
    def sealed(self) -> bytes:
        """The address, for `Sealer.open`."""

    @property
    def minimum_severity(self) -> Severity:
        """Least severity that is sent."""

    @property
    def failures(self) -> int:
        """Failures in a row."""

    @property
    def last_at(self) -> datetime | None:
        """When it last answered or failed."""

    def view(self) -> ChannelView:
        """What may be shown."""


class Channels(Protocol):
    """Stored channels; unknown ids raise `BadInput`."""

    def add(self, view: ChannelView, sealed: bytes, now: datetime) -> None:
        """Store one; `BadInput` where the label is taken."""

    def all(self) -> Sequence[SealedChannel]:
        """Every channel."""

    def get(self, channel_id: str) -> SealedChannel:
        """One channel."""

    def remove(self, channel_id: str) -> None:
        """Forget it and what waits for it."""

    def answered(self, channel_id: str, result: str, worked: bool, now: datetime) -> None:
        """Keep what a test said."""


class Messages(Protocol):
    """The outbox."""

    def due(self, now: datetime, limit: int) -> Sequence[Waiting]:
        """Messages to send now, the most severe first, of channels that are not paused."""

    def add_test(self, channel_id: str, notice: Notice, now: datetime) -> None:
        """Queue a test unless one waits."""

    def sent(self, message: int, channel_id: str, answer: str, now: datetime) -> None:
        """Accepted by the channel."""

    def failed(self, failure: Any) -> int:
        """Not accepted: takes the fields of `engine.monitoring.delivery.Failure`; failures of the channel in a row."""


class Alerts(Protocol):
    """Recorded alerts; every change raises `CannotRecord` where it did not become durable."""

    @property
    def channels(self) -> Channels:
        """Where alerts go."""

    @property
    def outbox(self) -> Messages:
        """Messages on their way."""

    def record(self, notice: Notice, now: datetime, routing: Any) -> Any:
        """Record and queue in one transaction: takes the fields of `engine.monitoring.delivery.Routing`."""

    def clear(self, key: str, by: str, notice: Notice, now: datetime) -> bool:
        """Close the open alert of a key and tell those who were told; False when none is open."""

    def acknowledge(self, alert_id: int, by: str, now: datetime) -> None:
        """Close an alert; `BadInput` for an unknown id."""

    def mute(self, key: str, until: datetime, now: datetime) -> None:
        """Record but do not deliver."""

    def page(self, page: int, size: int, open_only: bool, now: datetime) -> AlertPage:
        """Newest first; the first page is 1."""

    def open_count(self) -> int:
        """How many are open."""

    def thin(self, now: datetime) -> int:
        """Forget what is old."""


class AlertPage(Protocol):
    """A page of alerts."""

    @property
    def total(self) -> int:
        """Alerts on all pages."""

    @property
    def rows(self) -> tuple[AlertRow, ...]:
        """Those of this page."""


class OpenedSecret(Protocol):
    """A secret as the vault gives it back."""

    def text(self) -> str:
        """Its text; used at once, never kept."""


class Sealer(Protocol):
    """The vault: encrypts for one place of the database."""

    def seal(self, purpose: str, row: str, field: str, plaintext: bytes) -> bytes:
        """A blob that opens only at its place."""

    def open(self, purpose: str, row: str, field: str, blob: bytes) -> OpenedSecret:
        """The secret again."""


class StoredSeries(Protocol):
    """Samples gathered over equal stretches of time; arrays of one length."""

    @property
    def at_ms(self) -> IntArray:
        """Time of each stretch's last sample, ms UTC."""

    @property
    def average(self) -> FloatArray:
        """Mean of each stretch."""


class SampleStore(Protocol):
    """Measured values for charts."""

    def add_samples(self, samples: Sequence[Any]) -> None:
        """Store rows with ``name``, ``at`` and ``value``; raises `CannotRecord`."""

    def samples(self, name: str, since: datetime, until: datetime, points: int = 400) -> StoredSeries:
        """Those of one name, thinned."""

    def newest(self) -> dict[str, tuple[datetime, float]]:
        """The last of every name."""


class AlertSink(Protocol):
    """Where the monitor reports to."""

    def raise_notice(self, notice: Notice) -> None:
        """Record and tell."""

    def clear(self, key: str, title: str, detail: str) -> None:
        """Its cause is gone."""

    def open_count(self) -> int:
        """How many alerts are open; raises `StorageError`."""
