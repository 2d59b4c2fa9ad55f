"""Orders that stand or fall together: what was seen, what was sent for it, and what becomes of half a success."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING

from engine.domain.instruments import Instrument, InstrumentKey
from engine.domain.orders import Side

if TYPE_CHECKING:  # numpy stays out of what only reads commands and facts
    from engine.domain.market import BookTop


class UnwindRule(Enum):
    """What is done where only a part of the legs filled; decided before any is sent.

    ``UNWIND`` takes back, at the market, what the other legs do not match. ``HEDGE`` first completes the missing legs
    at the market, where the whole basket then loses less than was allowed; otherwise it unwinds.
    """

    UNWIND = "unwind"
    HEDGE = "hedge"


class BasketState(Enum):
    """Life of a basket: OPEN while its legs may fill, UNWINDING while the rule is carried out, else its end."""

    OPEN = "open"
    COMPLETED = "completed"
    UNWINDING = "unwinding"
    UNWOUND = "unwound"
    FAILED = "failed"

    @property
    def is_final(self) -> bool:
        """Whether nothing more will be done for it."""
        return self in (BasketState.COMPLETED, BasketState.UNWOUND, BasketState.FAILED)


@dataclass(frozen=True, slots=True)
class Leg:
    """One order of a basket: ``quantity`` in base, ``limit_price`` (quote) the worst it may trade at."""

    client_id: str
    instrument: InstrumentKey
    side: Side
    quantity: Decimal
    limit_price: Decimal


@dataclass(frozen=True, slots=True)
class Basket:
    """Legs sent together, and the rule for half a success; journaled with their intents, before anything is sent.

    Attributes
    ----------
    basket_id : str
        A client id of the book that no order has.
    sleeve : str
        The strategy.
    legs : tuple of Leg
        In the order they are sent.
    leg_timer_s : int
        Seconds, of market time or of the machine's clock, after which a leg that has not filled is given up.
    unwind : UnwindRule
    most_loss_bps : Decimal
        For ``HEDGE``: basis points of the value bought that completing may lose.
    expected_net : Decimal
        What it was to earn after fees, base currency.
    at : datetime
        Market time of the decision.
    """

    basket_id: str
    sleeve: str
    legs: tuple[Leg, ...]
    leg_timer_s: int
    unwind: UnwindRule
    most_loss_bps: Decimal
    expected_net: Decimal
    at: datetime


@dataclass(frozen=True, slots=True)
class BasketMoved:
    """A basket has come into another state, and why.

    ``result`` is what its fills have earned after fees, base currency, negative for a loss; what is left over counts at
    the mark. None while a mark is missing.
    """

    basket_id: str
    state: BasketState
    reason: str
    result: Decimal | None
    at: datetime


@dataclass(frozen=True, slots=True)
class BasketView:
    """A basket for readers: as it was decided, where it stands, and what it has earned or lost (base currency)."""

    basket: Basket
    state: BasketState
    reason: str
    result: Decimal | None
    moved_at: datetime


class Route(Enum):
    """The way an opportunity goes."""

    TWO_VENUES = "two venues"
    TRIANGLE = "triangle"


@dataclass(frozen=True, slots=True)
class Step:
    """One leg of an opportunity: ``quantity`` in base, ``price`` (quote) the worst level it reaches into."""

    instrument: InstrumentKey
    side: Side
    quantity: Decimal
    price: Decimal


@dataclass(frozen=True, slots=True)
class Opportunity:
    """Prices that lay apart at one instant, traded or not.

    Attributes
    ----------
    route : Route
    steps : tuple of Step
    gap_bps : Decimal
        Before fees, at the best prices; basis points of what the first step pays.
    net, net_bps : Decimal
        After every fee, for the quantities shown: in ``currency``, and in basis points. Negative where fees are more.
    currency : str
        What it begins and ends in.
    at : datetime
        Market time of the quotes.
    why_not : str
        Why it is not traded, in words; "" where it is.
    """

    route: Route
    steps: tuple[Step, ...]
    gap_bps: Decimal
    net: Decimal
    net_bps: Decimal
    currency: str
    at: datetime
    why_not: str

    @property
    def way(self) -> tuple[tuple[InstrumentKey, Side], ...]:
        """Which markets in which direction: a later sighting of the same way takes the place of this one."""
        return tuple((step.instrument, step.side) for step in self.steps)


@dataclass(frozen=True, slots=True)
class BasketTerms:
    """How a strategy's baskets are to be handled: how many at once, the leg timer (s) and the unwind rule."""

    most_baskets: int
    leg_timer_s: int
    unwind: UnwindRule
    most_loss_bps: Decimal
    uses_coins_by_hand: bool


@dataclass(frozen=True, slots=True)
class MarketView:
    """What a basket strategy sees at one instant.

    Attributes
    ----------
    at : datetime
        Market time.
    currency : str
        What the book counts in.
    instruments : mapping
        What the book can trade.
    tops : mapping
        The newest best bid and ask of each market, also of those that the book cannot trade.
    changed : frozenset
        Markets whose top is news.
    taker_fee : Decimal
        Share of the value that a taking order pays at the book's venues.
    money : mapping
        Free base currency, by venue.
    coins : mapping
        Coins at hand to sell, base, by spot instrument.
    capital : Decimal
        What the strategy may use, base currency.
    """

    at: datetime
    currency: str
    instruments: Mapping[InstrumentKey, Instrument]
    tops: Mapping[InstrumentKey, BookTop]
    changed: frozenset[InstrumentKey]
    taker_fee: Decimal
    money: Mapping[str, Decimal]
    coins: Mapping[InstrumentKey, Decimal]
    capital: Decimal
