"""The seams between the core and the world: protocols of one to three methods."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from threading import Event
from typing import Any, Protocol, runtime_checkable

from engine.domain.baskets import BasketTerms, MarketView, Opportunity
from engine.domain.conditions import MarketNews, VenueCondition, VenueHearing
from engine.domain.facts import Fact, Notice
from engine.domain.instruments import Instrument, InstrumentKey
from engine.domain.market import CandleArrays, FloatArray, MarketEvent
from engine.domain.orders import Approved, CashFlow, Fill, FundingPaid, OrderUpdate
from engine.domain.portfolio import Balance, VenueOrder, VenuePosition
from engine.domain.unread import UnreadRow


class Clock(Protocol):
    """Wall time; market time comes from the events."""

    def now(self) -> datetime:
        """Aware UTC."""

    def monotonic(self) -> float:
        """Seconds that never go back."""


class Strategy(Protocol):
    """A pure, causal view of one instrument. It never sizes and never knows what is held.

    Both arrays have the length of the input; the value at bar t uses bars up to and including t. NaN means no
    opinion yet (warm-up) and is treated as conviction 0.
    """

    @property
    def lookback_bars(self) -> int:
        """Bars after which the last value no longer depends on older ones (within 1e-9)."""

    def convictions(self, candles: CandleArrays) -> FloatArray:
        """float64[n] in [-1, 1]: sign is direction, size a share of what risk allows."""

    def stop_distances(self, candles: CandleArrays) -> FloatArray:
        """float64[n], quote currency, positive: how far from the entry the protective stop lies."""


class BasketStrategy(Protocol):
    """A pure view of many markets at one instant: ways of several legs that stand or fall together."""

    @property
    def terms(self) -> BasketTerms:
        """How its baskets are to be handled, the unwind rule included."""

    def baskets(self, view: MarketView) -> Sequence[Opportunity]:
        """Every opportunity there is; one without a reason against it is wished, in the order given."""


class Orders(Protocol):
    """Sends orders to one venue.

    Raises `VenueRejected` (proof that it does not exist), `VenueUnreachable` (nothing was sent) or
    `VenueAmbiguous` (sent, no proof).
    """

    def submit(self, approved: Approved) -> OrderUpdate:
        """Place the order under its client id."""

    def cancel(self, client_id: str) -> OrderUpdate:
        """Ask for cancellation; the returned state is the venue's evidence."""

    def amend(self, client_id: str, quantity: Decimal | None = None, stop_price: Decimal | None = None) -> OrderUpdate:
        """Change a resting order's quantity (base) or the price of its stop (quote); None leaves it as it is.

        A position is never without its stop meanwhile: where a venue cannot change an order in place, the gateway has
        the new one accepted before the old one ends. The target paired with a stop follows the stop's quantity. A stop
        that has triggered or ended is answered as it is, where only its price was to change; a price that the market
        has passed already is taken, and triggers at once.
        """


class Evidence(Protocol):
    """What the venue itself says about orders and fills; errors are raised, never empty lists."""

    def order(self, client_id: str) -> OrderUpdate:
        """State of one order; raises `OrderNotFound`."""

    def open_orders(self) -> Sequence[OrderUpdate]:
        """Every order that may still fill."""

    def executions_since(self, cursor: str) -> tuple[Sequence[Fill | FundingPaid | CashFlow], str]:
        """Fills, funding and the trader's own flows after ``cursor`` ("" is the beginning), oldest first, and the new
        cursor.
        """


class Accounts(Protocol):
    """What the venue says is held."""

    def balances(self) -> Sequence[Balance]:
        """Every coin, the trader's own holdings included."""

    def known_balances(self) -> Sequence[Balance]:
        """What `balances` last told, without asking a venue that is far away; for readers that look often."""

    def positions(self) -> Sequence[VenuePosition]:
        """Every derivative position."""


class Matching(Protocol):
    """Only simulated venues: market data drives their matching, on the engine's thread, before the core sees it."""

    def observe(self, event: MarketEvent) -> Sequence[OrderUpdate | Fill | FundingPaid]:
        """Match resting orders against the event; what happened, in order."""


@runtime_checkable
class Connected(Protocol):
    """Only venues at the end of a real line: how it stands there. Nothing here asks the venue; any call is quick."""

    @property
    def condition(self) -> VenueCondition:
        """As its own answers show it."""

    @property
    def needs_resync(self) -> str:
        """Why books and venue must be compared before anything is opened there, such as a stream that was interrupted;
        "" where nothing has happened since `resync_begins`.
        """

    def resync_begins(self) -> None:
        """A comparison begins: what it answers is not asked for again."""

    def foreign_orders(self) -> Sequence[VenueOrder]:
        """The trader's own open orders, as `open_orders` last listed them."""


class Watching(Protocol):
    """What looks at a venue beside the book, on a thread of its own; any call is quick and may come at any time."""

    @property
    def hearing(self) -> VenueHearing:
        """How well it is known what happens there."""

    def market_news(self) -> Sequence[MarketNews]:
        """What was found of instruments since this was last asked; each piece is told once."""

    def ask_markets_soon(self) -> None:
        """Look at the venue's rules soon: it has refused an order, perhaps for one of them."""


@runtime_checkable
class Relisting(Protocol):
    """Only venues whose rules may change while the engine runs."""

    def relist(self, instrument: Instrument, contract_size: Decimal) -> None:
        """Keep to an instrument's new rules from the next order on; on the engine's thread."""


@runtime_checkable
class ReadInParts(Protocol):
    """Only venues whose list of executions may be longer than what is read at a time, or hold what cannot be read."""

    @property
    def unread(self) -> str:
        """Why the last look did not read everything, in words; "" where it did."""

    @property
    def unreadable(self) -> Sequence[UnreadRow]:
        """Rows that cannot be read and were not set aside; the next look asks for them again."""

    def leave_aside(self, rows: Collection[UnreadRow]) -> None:
        """Wait for none of these rows any more, and for all others; one that can be read later is told all the same."""

    def pass_over(self, cursor: str) -> tuple[int, str]:
        """How many executions there are after a cursor, none of them told, and the cursor after them.

        Raises
        ------
        VenueUnreachable
            Nothing could be read.
        """


@runtime_checkable
class Telling(Protocol):
    """Only venues that tell by themselves what happens there."""

    @property
    def pending(self) -> Event:
        """Set while something waits."""

    def drain(self) -> Sequence[OrderUpdate | Fill | FundingPaid]:
        """What has come since the last time; on the engine's thread."""


@runtime_checkable
class Pricing(Protocol):
    """Only venues that say what coins are worth there."""

    def coin_price(self, coin: str, currency: str) -> Decimal | None:
        """``currency`` for one coin by a public price; None without such a market. Raises `VenueUnreachable`."""


class Gateway(Orders, Evidence, Accounts, Protocol):
    """A venue as one book uses it."""

    @property
    def venue(self) -> str:
        """Name as in the settings."""


@dataclass(frozen=True, slots=True)
class Appended:
    """``sequence`` of the last row, and the facts left out because one of their number is stored already."""

    sequence: int
    left_out: tuple[Fact, ...] = ()


class Journal(Protocol):
    """The durable, hash-chained record of one book."""

    def append(self, facts: Sequence[Fact], market_time: datetime) -> Appended:
        """Make the facts durable in one transaction. Raises `CannotRecord`, `Fenced`."""

    def read(self, after: int) -> Iterator[tuple[int, Fact]]:
        """Facts after a sequence, oldest first."""

    def checkpoint(self, sequence: int, state: Mapping[str, Any]) -> None:
        """Store the state that the facts up to ``sequence`` add up to (JSON values only)."""

    def latest_checkpoint(self) -> tuple[int, Mapping[str, Any]] | None:
        """The newest checkpoint, or None before the first."""


class MarketSource(Protocol):
    """Where a book's market events come from."""

    def instruments(self) -> Sequence[Instrument]:
        """What can be traded there."""

    def history(self, key: InstrumentKey, bars: int) -> CandleArrays:
        """The last closed candles, at most ``bars``, for warm-up and charts."""

    def events(self) -> Iterator[MarketEvent]:
        """Blocks until the next event; ends when the source is closed or exhausted."""


class AlertChannel(Protocol):
    """Delivers a notice to people."""

    def send(self, notice: Notice) -> None:
        """Raises an error that says what the channel answered."""
