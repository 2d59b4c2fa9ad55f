"""What a console needs of its engine, whether it runs in this process or in one of its own."""

from __future__ import annotations

from typing import Protocol

from config.settings import Settings
from engine.domain.commands import TradingState
from engine.domain.instruments import InstrumentKey
from engine.domain.market import CandleArrays
from engine.domain.portfolio import EngineSnapshot


class EnginePort(Protocol):
    """One engine as its consoles see it; commands reach it through the control file."""

    settings: Settings

    def snapshot(self) -> EngineSnapshot:
        """The newest snapshot; raises `EngineError` before the first."""

    def is_alive(self) -> bool:
        """Whether the loop makes progress."""

    def absence(self) -> str:
        """Why nobody trades now, in words; "" while the engine answers."""

    def state(self) -> TradingState:
        """The most restrictive state of all books."""

    def wake(self) -> None:
        """Look for commands at once."""

    def history(self, book: str, instrument: InstrumentKey, bars: int) -> CandleArrays:
        """The last closed candles of a book's market; raises `BadInput` where it has none."""

    def switch_book(self, book: str, settings: Settings, wanted: bool) -> None:
        """Add or remove one of the books paper, testnet and live; raises why it cannot run so."""

    def stop(self) -> None:
        """Stop the engine where it belongs to this process; else only let go of it."""
