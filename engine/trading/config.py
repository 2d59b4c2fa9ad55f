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


class StopScope(Enum):
    """What an emergency stop is about; chosen in advance, not while it burns."""

    ACCOUNT = "everything on the account"
    ENGINE = "what the engine opened"


@dataclass(frozen=True, slots=True)
class Looks:
    """How often a book looks at its venues, in wall seconds.

    Attributes
    ----------
    orders_s, money_s : float
        Between two looks at open orders, and at positions, balances and executions.
    ask_again_s : float
        Before an order without proof, or a step of an emergency stop, is asked about again.
    second_look_s : float
        Before a difference at the start is looked at again.
    lists_orders : bool
        Whether open orders are asked for in one call, and only those missing there one by one.
    explain_s : float
        How long a difference of coins may wait for its explanation, deposits being told late; nothing is opened at
        the venue meanwhile.
    settles_rounded : bool
        Whether venues round what a derivative position realises, so that each execution may leave 1e-8 of a difference.
    """

    orders_s: float = 10.0
    money_s: float = 10.0
    ask_again_s: float = 0.0
    second_look_s: float = 0.05
    explain_s: float = 0.0
    lists_orders: bool = False
    settles_rounded: bool = False


EAGER = Looks()
"""For venues in the same process: asking costs nothing."""
PATIENT = Looks(10.0, 30.0, 1.0, 2.0, 150.0, lists_orders=True, settles_rounded=True)
"""For real venues, whose limits count every question."""


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
    taker_bps : Decimal
        Fee of an order that takes, basis points of its value.
    needs_arming : bool
        Whether a person must arm it before it opens anything.
    needs_promotion : bool
        Whether only strategies run that were promoted into it.
    on_trial : bool
        Whether it gathers evidence about its strategies.
    looks : Looks
    stop_scope : StopScope
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
    taker_bps: Decimal = Decimal(10)
    needs_arming: bool = False
    needs_promotion: bool = False
    on_trial: bool = False
    looks: Looks = EAGER
    stop_scope: StopScope = StopScope.ACCOUNT
