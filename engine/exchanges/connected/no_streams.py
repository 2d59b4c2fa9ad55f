"""In the place of a venue's streams where an account has none: nothing is heard, and everything is asked for."""

from __future__ import annotations

from collections.abc import Callable

from engine.exchanges.connected.connection import StreamCondition

WHY = "its settings name a rest_url and no websocket_url"


class NoStreams:
    """As `engine.exchanges.connected.streams.Streams` of an account that is moved to another address, and names none
    for websockets: the exchange's own must not see what is meant for another place, keys least of all.
    """

    condition = StreamCondition(False, WHY, is_wanted=False)
    tells_trades = False

    def listen(self, changed: Callable[[StreamCondition], None], doubt: Callable[[], None]) -> None:
        """Nothing ever changes."""

    def has_heard(self, number: str) -> bool:
        """Nothing was told."""
        return False

    def restart(self, reason: str) -> None:
        """There is nothing to connect."""

    def start(self) -> None:
        """There is nothing to begin."""

    def close(self) -> None:
        """There is nothing to end."""
