"""The alert centre: records what people should know, and tells them until somebody has been reached."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import structlog

from engine.domain.commands import Actor
from engine.domain.errors import BadInput, QuarterdeckError, StorageError
from engine.domain.facts import Notice, Severity
from engine.domain.operations_views import AlertRow, ChannelView
from engine.domain.ports import Clock
from engine.domain.views import PageOf
from engine.monitoring.channels import CHANNELS, Channel, check_address
from engine.monitoring.config import AlertConfig
from engine.monitoring.delivery import Delivery, channel_key, trial_notice
from engine.monitoring.network import Network, NotDelivered
from engine.monitoring.ports import Alerts, SealedChannel, Sealer

PURPOSE, FIELD = "alert-channels", "address"
LONGEST_MUTE_MINUTES = 7 * 24 * 60
LONGEST_LABEL, LONGEST_TITLE, LONGEST_DETAIL = 40, 200, 2000
_log = structlog.get_logger(__name__)


class AlertCentre:
    """Records, routes and delivers alerts; thread-safe.

    `raise_notice` only writes a row and never raises, so whoever has something to tell goes on at once. Delivery is
    `deliver_due`, called by a thread that may wait.

    Parameters
    ----------
    store : Alerts
        `engine.storage.alerts.AlertStore`.
    vault : Sealer
        Seals the addresses.
    clock : Clock
    config : AlertConfig, optional
    clean : callable, optional
        Takes secrets out of texts before they are stored or sent (`engine.security.redact.Redactor.clean`).
    """

    def __init__(
        self,
        store: Alerts,
        vault: Sealer,
        clock: Clock,
        config: AlertConfig | None = None,
        clean: Callable[[str], str] = str,
    ) -> None:
        config = config or AlertConfig()
        self._store = store
        self._vault = vault
        self._clock = clock
        self._clean = clean
        self._network = Network(config.timeout_s, config.allow_loopback)
        self._delivery = Delivery(store, self._open, clock, config)

    def raise_notice(self, notice: Notice) -> None:
        """Record a notice and queue it for every channel it concerns; a muted key is recorded only.

        Repeats of a key are counted in its open alert and told again after an hour, or at once when more severe. Where
        the record fails (full disk, locked file) the notice is kept in memory, and `deliver_due` tells the channels
        directly and records it later.
        """
        self._delivery.record(self._safe(notice))

    def clear(self, key: str, title: str, detail: str) -> None:
        """The cause of an alert is gone: close it, and tell the channels that were told of it."""
        now = self._clock.now()
        self._delivery.forget(key)
        try:
            self._store.clear(key, "engine: over", Notice(key, Severity.INFO, title, detail, "", now), now)
        except StorageError as error:
            _log.error("alert not closed", key=key, error=str(error))

    def acknowledge(self, alert_id: int, actor: Actor) -> None:
        """Close an alert because ``actor`` has seen it; what still waits to be sent is not. Raises `BadInput`."""
        self._store.acknowledge(alert_id, actor.name, self._clock.now())

    def mute(self, key: str, minutes: int) -> None:
        """Record but do not deliver a key for a while; raises `BadInput` naming the minutes."""
        if not 1 <= minutes <= LONGEST_MUTE_MINUTES:
            raise BadInput(f"a mute of {minutes} minutes is not between 1 and {LONGEST_MUTE_MINUTES} (7 days)")
        now = self._clock.now()
        self._store.mute(key, now + timedelta(minutes=minutes), now)

    def page(self, page: int, size: int, open_only: bool) -> PageOf[AlertRow]:
        """Alerts, newest first; the first page is 1."""
        found = self._store.page(page, size, open_only, self._clock.now())
        return PageOf(found.rows, found.total, page, size)

    def open_count(self) -> int:
        """How many alerts are open, those that could not be recorded yet included; raises `StorageError`."""
        return self._store.open_count() + self._delivery.held()

    def deliver_due(self) -> int:
        """Send what is due; how many were accepted. Call it every second from a thread that may wait.

        One failing attempt per channel and call: the channel then rests, longer with each failure, so that a dead
        channel costs one timeout at a time; after three failures it is an alert itself, told to all other channels.
        Never raises for storage: what could not be read or stored is tried again after half a minute.
        """
        return self._delivery.send_due()

    def thin(self) -> int:
        """Forget closed alerts of more than two years ago; call it once a day. Raises `CannotRecord`."""
        return self._store.thin(self._clock.now())

    def channels(self) -> tuple[ChannelView, ...]:
        """Where alerts go; addresses stay sealed."""
        return tuple(channel.view() for channel in self._store.channels.all())

    def add_channel(self, kind: str, label: str, address: str, minimum_severity: str) -> str:
        """Check, seal and store an address; nothing is sent.

        Parameters
        ----------
        kind : str
            A key of `CHANNELS` (``e-mail`` is understood).
        label : str
            1 to 40 characters, not used yet.
        address : str
            An Apprise address, or ``https://`` for a webhook.
        minimum_severity : str
            ``info``, ``warning`` or ``critical``.

        Returns
        -------
        str
            The new channel's id.

        Raises
        ------
        BadInput
            Says which value is wrong; an address is never repeated.
        """
        name = kind.strip().casefold().replace("-", "")
        if name not in CHANNELS:
            raise BadInput(f"channel kind {kind[:20]!r}: choose one of {', '.join(CHANNELS)}")
        severities = {item.value: item for item in Severity}
        if minimum_severity not in severities:
            raise BadInput(f"severity {minimum_severity[:20]!r}: choose one of {', '.join(severities)}")
        label, address = label.strip(), address.strip()
        if not 1 <= len(label) <= LONGEST_LABEL or not label.isprintable():
            raise BadInput(f"give the channel a label of 1 to {LONGEST_LABEL} characters")
        row = CHANNELS[name]
        check_address(row, address, self._network)
        channel_id, hint = secrets.token_hex(8), f"{row.title}, {row.host(address)}"
        view = ChannelView(channel_id, name, label, hint, severities[minimum_severity], "", None)
        sealed = self._vault.seal(PURPOSE, channel_id, FIELD, address.encode())
        self._store.channels.add(view, sealed, self._clock.now())
        return channel_id

    def remove_channel(self, channel_id: str) -> None:
        """Forget a channel and what waits for it; raises `BadInput` where there is none."""
        self._store.channels.remove(channel_id)
        self.clear(channel_key(channel_id), "Alert channel removed", "")

    def test_channel(self, channel_id: str) -> str:
        """Send a test now.

        Returns
        -------
        str
            What the channel answered.

        Raises
        ------
        NotDelivered
            It did not accept the message; the text is its answer.
        BadInput
            There is no such channel.
        """
        channel = self._store.channels.get(channel_id)
        now = self._clock.now()
        try:
            answer = self._open(channel).deliver(trial_notice(channel.view().label, now))
        except QuarterdeckError as error:
            self._store.channels.answered(channel_id, str(error), False, now)
            raise
        self._store.channels.answered(channel_id, answer, True, now)
        self._delivery.recovered(channel)
        return answer

    def _open(self, channel: SealedChannel) -> Channel:
        if channel.kind not in CHANNELS:
            raise NotDelivered(f"this version has no channel kind {channel.kind!r}; remove the channel")
        address = self._vault.open(PURPOSE, channel.channel_id, FIELD, channel.sealed).text()
        return CHANNELS[channel.kind].make(address, self._network)

    def _safe(self, notice: Notice) -> Notice:
        """Without secrets and control characters, and of bounded length: texts may come from outside."""
        title = " ".join(_printable(self._clean(notice.title)).split())[:LONGEST_TITLE]
        detail = _printable(self._clean(notice.detail)).strip()[:LONGEST_DETAIL]
        return replace(notice, key=_printable(notice.key)[:LONGEST_TITLE], title=title, detail=detail)


def _printable(text: str) -> str:
    return "".join(mark if mark.isprintable() or mark == "\n" else " " for mark in text)
