"""What a line to an exchange is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.exchanges import ExchangeRow
from engine.exchanges.connected.lanes import DEFAULT_PACE, SILENT_HEADERS, Lane, Pace, UseHeaders
from engine.exchanges.hosts import Hosts

PATIENCE_S = {Lane.CLOSE: 4.0, Lane.STATUS: 4.0, Lane.ENTRY: 3.0, Lane.DATA: 15.0}
"""How long who asks waits for an answer; an order's answer that comes later is still taken."""


@dataclass(frozen=True, slots=True)
class LineSetup:
    """What a line is made of.

    Attributes
    ----------
    venue : str
    row : ExchangeRow
    open_client : callable
        Opens a synchronous ccxt client; its argument says whether with keys.
    memory_file : Path
        Where this key's nonces, and the bans it was told, outlive a restart.
    secrets : tuple of str
        Texts that no message may hold.
    pace, use_headers
        What the exchange allows, and how it tells what is used.
    doubtful_codes : tuple of str
        Errors with which the exchange says it does not know itself what became of an order.
    refusals : tuple of str
        Parts of an answer (without blanks) that are a refusal, where ccxt has no name for the error.
    receive_window_ms : int
        How old a request may be for the exchange.
    has_nonce : bool
        Whether every private question needs a higher number than the one before.
    patience_s : mapping of Lane to float
    hosts : Hosts or None
        What everything that asks the same hosts knows of bans and pauses; None where nobody else asks.
    symbols : tuple of str
        What is to be traded there, if the exchange lists it.
    """

    venue: str
    row: ExchangeRow
    open_client: Callable[[bool], Any]
    memory_file: Path
    secrets: tuple[str, ...] = ()
    pace: Pace = DEFAULT_PACE
    use_headers: UseHeaders = SILENT_HEADERS
    doubtful_codes: tuple[str, ...] = ()
    refusals: tuple[str, ...] = ()
    receive_window_ms: int = 5000
    has_nonce: bool = False
    patience_s: dict[Lane, float] = field(default_factory=lambda: dict(PATIENCE_S))
    hosts: Hosts | None = None
    symbols: tuple[str, ...] = ()
