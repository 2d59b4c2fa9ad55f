"""What can be traded, on which grid, and under which name."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal
from enum import Enum
from typing import NewType

from engine.domain.errors import BadInput

InstrumentKey = NewType("InstrumentKey", str)
"""``venue:symbol``, e.g. ``binance:BTC/USDT`` or ``demo-b:BTC/USDT:USDT``; what events and positions are keyed by."""


class Kind(Enum):
    """What holding the instrument means."""

    SPOT = "spot"
    PERPETUAL = "perpetual"


@dataclass(frozen=True, slots=True)
class Instrument:
    """A tradable market of one venue.

    Attributes
    ----------
    venue : str
        Name of the venue as in the settings, e.g. ``binance``.
    base, quote : str
        Coins: one unit of ``base`` is priced in ``quote``.
    kind : Kind
        Spot moves coins; a perpetual is linear, settled in ``quote``.
    tick_size, lot_size : Decimal
        Grids of price (quote) and quantity (base); both positive.
    min_notional : Decimal
        Smallest order value in ``quote``; zero where the venue has none.
    max_leverage : Decimal
        1 for spot.

    Examples
    --------
    >>> btc = Instrument("binance", "BTC", "USDT", Kind.SPOT, Decimal("0.01"), Decimal("0.00001"), Decimal(5))
    >>> btc.key
    'binance:BTC/USDT'
    >>> btc.round_quantity(Decimal("0.123456789"))
    Decimal('0.12345')
    """

    venue: str
    base: str
    quote: str
    kind: Kind
    tick_size: Decimal
    lot_size: Decimal
    min_notional: Decimal = Decimal(0)
    max_leverage: Decimal = Decimal(1)

    def __post_init__(self) -> None:
        if self.tick_size <= 0 or self.lot_size <= 0:
            raise BadInput(f"{self.key}: tick size {self.tick_size} and lot size {self.lot_size} must be above zero")

    @property
    def symbol(self) -> str:
        """Unified symbol: ``BTC/USDT`` for spot, ``BTC/USDT:USDT`` for a linear perpetual."""
        pair = f"{self.base}/{self.quote}"
        return pair if self.kind is Kind.SPOT else f"{pair}:{self.quote}"

    @property
    def key(self) -> InstrumentKey:
        """The name events and positions carry."""
        return InstrumentKey(f"{self.venue}:{self.symbol}")

    @property
    def can_short(self) -> bool:
        """Whether a negative position is possible without borrowing."""
        return self.kind is Kind.PERPETUAL

    def round_quantity(self, quantity: Decimal) -> Decimal:
        """Quantity in base, rounded towards zero to the lot."""
        return (quantity / self.lot_size).to_integral_value(ROUND_DOWN) * self.lot_size

    def round_price(self, price: Decimal) -> Decimal:
        """Price in quote, rounded to the nearest tick (half to even)."""
        return (price / self.tick_size).to_integral_value(ROUND_HALF_EVEN) * self.tick_size

    def price_beyond(self, price: Decimal, distance: Decimal) -> Decimal:
        """Price in quote ``distance`` away (signed), on the tick and never nearer than asked; may be zero or below.

        >>> coin = Instrument("v", "BTC", "USDT", Kind.SPOT, Decimal("0.5"), Decimal("0.001"))
        >>> coin.price_beyond(Decimal(100), Decimal("7.1")), coin.price_beyond(Decimal(100), Decimal("-7.1"))
        (Decimal('107.5'), Decimal('92.5'))
        """
        rounding = ROUND_CEILING if distance > 0 else ROUND_FLOOR
        return ((price + distance) / self.tick_size).to_integral_value(rounding) * self.tick_size


def venue_of(key: InstrumentKey) -> str:
    """The venue part of an instrument key.

    >>> venue_of(InstrumentKey("demo-b:BTC/USDT:USDT"))
    'demo-b'
    """
    return key.split(":", 1)[0]
