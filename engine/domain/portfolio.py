"""State for readers: replaced whole, never edited."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from engine.domain.baskets import BasketView, Opportunity
from engine.domain.commands import TradingState
from engine.domain.conditions import VenueCondition
from engine.domain.facts import Evidence, Promotion, StopStep
from engine.domain.instruments import Instrument, InstrumentKey
from engine.domain.orders import OrderState, OrderType, Purpose, Refused, Side


@dataclass(frozen=True, slots=True)
class Balance:
    """A coin at a venue as the venue reports it. ``engine_owned`` is the part the engine's own fills explain."""

    venue: str
    account: str
    currency: str
    total: Decimal
    free: Decimal
    engine_owned: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class VenuePosition:
    """A derivative position as the venue reports it; ``quantity`` signed base, prices in quote."""

    venue: str
    account: str
    instrument: InstrumentKey
    quantity: Decimal
    entry_price: Decimal
    mark_price: Decimal | None = None


@dataclass(frozen=True, slots=True)
class VenueOrder:
    """An open order at a venue that no engine placed: the trader's own. Quantities in base, prices in quote."""

    venue: str
    client_id: str
    venue_order_id: str
    instrument: InstrumentKey
    side: Side
    quantity: Decimal
    filled: Decimal
    order_type: OrderType
    limit_price: Decimal | None
    stop_price: Decimal | None
    reduce_only: bool
    at: datetime

    @property
    def remaining(self) -> Decimal:
        """Base quantity that may still fill."""
        return max(Decimal(0), self.quantity - self.filled)


@dataclass(frozen=True, slots=True)
class HandStop:
    """What stop orders by hand cover of a position: ``quantity`` of it (base), from ``price`` (quote) on.

    ``price`` is of the one that triggers first; ``uncovered`` (base) is what they leave, 0 where that is dust.
    """

    price: Decimal
    quantity: Decimal
    uncovered: Decimal


@dataclass(frozen=True, slots=True)
class Position:
    """What a sleeve holds. ``quantity`` signed base; prices in quote; money in base currency of the book.

    ``unrealised`` is None while there is no trustworthy mark. ``stop_price`` and ``target_price`` are where its latest
    stop and take-profit lie now; ``trails`` whether that stop follows the market. ``unprotected`` (base, positive) is a
    part that no stop can cover, ``warnings`` say in words what its protection lacks; ``managed`` is False while its
    venue accepts no key of ours, so that nothing can be done about it. ``by_hand`` is what stop orders of people cover;
    the engine neither moves nor counts them as its own. ``is_dust`` is whether no venue takes an order that small.
    """

    sleeve: str
    instrument: InstrumentKey
    quantity: Decimal
    entry_price: Decimal
    mark: Decimal | None
    mark_source: str
    mark_at: datetime | None
    unrealised: Decimal | None
    realised: Decimal
    fees: Decimal
    opened_at: datetime
    stop_price: Decimal | None
    notional: Decimal | None
    target_price: Decimal | None = None
    trails: bool = False
    unprotected: Decimal = Decimal(0)
    warnings: tuple[str, ...] = ()
    managed: bool = True
    by_hand: HandStop | None = None
    is_dust: bool = False

    @property
    def is_bare(self) -> bool:
        """Whether neither the engine's stop nor stop orders by hand cover all of it; dust needs no stop."""
        if self.is_dust:
            return False
        if self.by_hand is not None and not self.by_hand.uncovered:
            return False
        return self.stop_price is None or bool(self.unprotected)


@dataclass(frozen=True, slots=True)
class WorkingOrder:
    """An order the venue has not ended yet."""

    client_id: str
    venue_order_id: str | None
    instrument: InstrumentKey
    side: Side
    quantity: Decimal
    filled: Decimal
    order_type: OrderType
    limit_price: Decimal | None
    stop_price: Decimal | None
    state: OrderState
    purpose: Purpose
    sleeve: str
    created_at: datetime
    post_only: bool = False
    reduce_only: bool = False


@dataclass(frozen=True, slots=True)
class Idea:
    """The last thing a strategy wished for an instrument, and what became of it."""

    strategy: str
    instrument: InstrumentKey
    conviction: float
    stop_distance: Decimal | None
    target: Decimal
    held: Decimal
    outcome: str
    at: datetime


@dataclass(frozen=True, slots=True)
class SleeveView:
    """A strategy (or ``manual``) inside a book. Money in base currency; ``values`` is the JSON of its config."""

    strategy: str
    running: bool
    quarantined: str
    values: str
    instruments: tuple[InstrumentKey, ...]
    weight: Decimal
    equity: Decimal
    realised: Decimal
    unrealised: Decimal
    fees: Decimal
    funding: Decimal
    fills: int
    trades: int
    wins: int
    ideas: tuple[Idea, ...]
    evidence: Evidence | None = None


@dataclass(frozen=True, slots=True)
class LimitUse:
    """One limit and how much of it is used; ``used`` None means unknown. Shares are 0 to 1, money in base currency."""

    name: str
    used: Decimal | None
    limit: Decimal
    unit: str
    window: str
    at_breach: str
    when_unknown: str


@dataclass(frozen=True, slots=True)
class QuoteView:
    """The last trusted price of an instrument, quote coin, and the best bid and ask where they are known.

    ``at`` and ``top_at`` are market time; ``source`` is ``mid`` or ``close``.
    """

    instrument: InstrumentKey
    price: Decimal
    source: str
    at: datetime
    bid: Decimal | None = None
    ask: Decimal | None = None
    top_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class FeedView:
    """A venue: online, when its market data last came (market and wall), and how its order calls fared.

    ``latency_s`` is how long its last order call took; ``calls`` and ``failures`` count them since the start.
    ``condition`` is a real venue as its own answers show it, None for a simulated one; ``awaits`` why nothing is opened
    there until books and venue have been compared, "" where they have.
    """

    venue: str
    simulated: bool
    online: bool
    detail: str
    last_market_time: datetime | None
    last_wall_time: datetime | None
    latency_s: float | None
    calls: int = 0
    failures: int = 0
    condition: VenueCondition | None = None
    awaits: str = ""


@dataclass(frozen=True, slots=True)
class StillHeld:
    """A position that a stop has not closed yet: signed base, its worth (positive) in ``currency``, the quote coin.

    ``price_age_s`` is how old the price was that it was valued at; worth and age are None where there is none.
    """

    instrument: InstrumentKey
    quantity: Decimal
    worth: Decimal | None
    currency: str
    price_age_s: float | None


@dataclass(frozen=True, slots=True)
class StopView:
    """An emergency stop or brake: the steps proven so far. ``flat`` is True only after VERIFIED FLAT.

    ``exposure`` is what is still open, positions and orders at worst, in base currency; None while a price is unknown.
    ``held`` are the positions of it; ``dust`` says what is left that no venue takes an order for, "" where nothing is.
    """

    stop_id: str
    reason: str
    actor: str
    started_at: datetime
    steps: tuple[tuple[StopStep, str, datetime], ...]
    flat: bool
    waiting_for: str
    exposure: Decimal | None = None
    held: tuple[StillHeld, ...] = ()
    dust: str = ""


@dataclass(frozen=True, slots=True)
class PeriodPnl:
    """Change of unit value times units since the start of day, week, month (UTC, market time); base currency."""

    today: Decimal
    week: Decimal
    month: Decimal


@dataclass(frozen=True, slots=True)
class BookSnapshot:
    """Everything a page may say about a book at one instant.

    ``is_valued`` is False while something held has no price, as in the first moments after a start: ``equity``,
    ``unrealised``, ``drawdown`` and ``pnl`` then rest on what was known before, and are to be shown as unknown.
    ``obstacles`` are what keeps a book that needs arming from being armed: name and reason. ``stop_spares_own`` is
    whether an emergency stop leaves alone what the trader ordered and opened himself.
    ``quotes`` are the last trusted prices, ``fee_bps`` what an order that takes costs, basis points of its value.
    ``opportunities`` are the last ways whose prices lay apart, newest first, traded or not; ``baskets`` those under way
    and the last that ended.
    """

    name: str
    stage: str
    simulated: bool
    base_currency: str
    state: TradingState
    latched: bool
    state_reason: str
    market_time: datetime | None
    published_at: datetime
    sequence: int
    equity: Decimal
    cash: Decimal
    capital: Decimal
    unrealised: Decimal
    realised: Decimal
    fees: Decimal
    funding: Decimal
    peak_equity: Decimal
    drawdown: Decimal
    pnl: PeriodPnl
    speed: int | None
    positions: tuple[Position, ...]
    orders: tuple[WorkingOrder, ...]
    sleeves: tuple[SleeveView, ...]
    allocation: str
    balances: tuple[Balance, ...]
    instruments: tuple[Instrument, ...]
    marks: tuple[tuple[InstrumentKey, Decimal], ...]
    feeds: tuple[FeedView, ...]
    limits: tuple[LimitUse, ...]
    risk: str
    refused: tuple[Refused, ...]
    stop: StopView | None
    fills: int
    unpriced: tuple[str, ...]
    is_valued: bool = True
    needs_arming: bool = False
    armed: bool = False
    stop_spares_own: bool = False
    obstacles: tuple[tuple[str, str], ...] = ()
    promotions: tuple[Promotion, ...] = ()
    opportunities: tuple[Opportunity, ...] = ()
    baskets: tuple[BasketView, ...] = ()
    quotes: tuple[QuoteView, ...] = ()
    fee_bps: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class EngineSnapshot:
    """The engine process: its books, those that are ``absent`` and why, how its loop feels. Latencies in seconds."""

    started_at: datetime
    published_at: datetime
    version: str
    epoch: int
    restarts: int
    books: tuple[BookSnapshot, ...]
    loop_p50_s: float | None
    loop_p99_s: float | None
    queue_length: int
    events: int
    absent: tuple[tuple[str, str], ...] = ()

    def book(self, name: str) -> BookSnapshot:
        """The book of that name; KeyError names those that exist."""
        for book in self.books:
            if book.name == name:
                return book
        raise KeyError(f"no book {name!r}; there are {', '.join(b.name for b in self.books)}")
