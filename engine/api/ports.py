"""What the HTTP face needs from the host that runs the engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from engine.domain.commands import Actor
from engine.security.access import Access
from engine.security.door_config import DoorConfig


class HostPort(Protocol):
    """The running host; `engine.runtime.host.Host` implements it. Methods may block and are called from threads."""

    @property
    def door(self) -> DoorConfig:
        """Names, proxies and sizes that are accepted; known before `start`."""

    @property
    def access(self) -> Access:
        """Access control; known once the host has started."""

    def health(self) -> Mapping[str, object]:
        """State for probes: ``live`` and ``ready`` (bool) and what else is no secret, JSON values only."""

    def post_stop(self, actor: Actor, reason: str, command_id: str) -> str:
        """Order an emergency stop of every book, durably; returns the id of the stop.

        The same ``command_id`` orders one stop. Must not depend on anything but a disk or, failing that, the engine.
        Raises `CannotRecord` only if it could be handed over in no way at all.
        """

    def stop_status(self) -> Mapping[str, Any]:
        """How far the stop is.

        Returns
        -------
        mapping
            ``flat`` (bool, every book verified flat), ``latched`` (bool, some book is stopped) and ``books``: a list of
            ``name``, ``state``, ``latched``, ``flat``, ``reason``, ``waiting_for`` ("" when nothing) and ``steps``: a
            list of ``step``, ``detail``, ``at`` (ISO UTC) in the order they were proven.
        """
