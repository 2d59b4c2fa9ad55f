"""What a book is told when it is built; it never learns whether its venues are real."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import Enum

from engine.domain.market import Timeframe


class BrakeMode(Enum):
    """What the emergency brake does after it tripped; only replays may choose anything but LATCH."""

    LATCH = "latch"
    OFF = "off"
    RESET = "reset-after"


@dataclass(frozen=True, slots=True)
class BookConfig:
    """Fixed properties of a book.

    Attributes
    ----------
    name : str
        Unique in the engine, e.g. ``demo``.
    stage : str
        Only shown, never asked.
    code : str
        Two characters of ``0-9a-z``; the book's range of client order ids.
    simulated : bool
        Whether its prices are simulated; stands in every exported row.
    base_currency : str
        What equity and limits are in.
    bar : Timeframe
        Length of the candles its strategies decide on.
    reserve_bps : Decimal
        Basis points of notional reserved for fees, spread and slippage when an order is sized.
    brake : BrakeMode
    brake_reset_days : int
        For ``reset-after``: days of market time until a tripped brake lets go.
    look_gap_s : float
        Wall seconds between the two looks that prove a flat account.
    not_found_window_s : float
        Wall seconds between the two looks that prove an order was never placed.
    """

    name: str
    stage: str
    code: str
    simulated: bool
    base_currency: str
    bar: Timeframe
    reserve_bps: Decimal = Decimal(20)
    brake: BrakeMode = BrakeMode.LATCH
    brake_reset_days: int = 0
    look_gap_s: float = 2.0
    not_found_window_s: float = 2.0
