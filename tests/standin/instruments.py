"""What can be traded at the stand-in exchange, with the rules of each instrument; control calls may change them."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


@dataclass(slots=True)
class Instrument:
    """One pair or perpetual.

    Attributes
    ----------
    symbol : str
        The exchange's own name, such as BTCUSDT.
    perpetual : bool
        Linear perpetual settled in the quote coin; else spot.
    tick, lot, min_quantity, max_quantity, min_notional : Decimal
        Steps and bounds of price (quote), quantity (base) and value (quote).
    price : Decimal
        Where the market starts.
    maker, taker : Decimal
        Fee shares.
    status : str
        "Trading", or what the exchange says instead ("Closed", "PreLaunch", "Settling").
    ends_ms : int
        When a perpetual is taken off the list, as announced; 0 where it is not.
    """

    symbol: str
    perpetual: bool
    base: str
    quote: str
    tick: Decimal
    lot: Decimal
    min_quantity: Decimal
    max_quantity: Decimal
    min_notional: Decimal
    price: Decimal
    maker: Decimal
    taker: Decimal
    status: str = "Trading"
    ends_ms: int = 0

    @property
    def key(self) -> str:
        """The name in journal and control calls: spot:BTCUSDT or linear:BTCUSDT."""
        return f"{'linear' if self.perpetual else 'spot'}:{self.symbol}"


SPOT_FEE = Decimal("0.001")
LINEAR_FEES = {
    "bybit": (Decimal("0.0002"), Decimal("0.00055")),
    "usdm": (Decimal("0.0002"), Decimal("0.0005")),
}
_SPOT = (
    # base, quote, tick, lot, least quantity, most, price
    ("BTC", "USDT", "0.01", "0.00001", "0.00001", "100", "50000"),
    ("ETH", "USDT", "0.01", "0.0001", "0.0001", "1000", "2500"),
    ("SOL", "USDT", "0.01", "0.001", "0.001", "10000", "150"),
    ("XRP", "USDT", "0.0001", "0.1", "0.1", "1000000", "0.6"),
    ("ETH", "BTC", "0.00001", "0.0001", "0.0001", "1000", "0.05"),
    ("BNB", "USDT", "0.1", "0.001", "0.001", "9000", "600"),
    ("MNT", "USDT", "0.0001", "0.01", "0.01", "900000", "1"),
)
_LINEAR = (
    ("BTC", "USDT", "0.1", "0.001", "0.001", "100", "50000"),
    ("ETH", "USDT", "0.01", "0.01", "0.01", "1000", "2500"),
    ("SOL", "USDT", "0.01", "0.1", "0.1", "10000", "150"),
    ("XRP", "USDT", "0.0001", "1", "1", "1000000", "0.6"),
)
LISTED = {"bybit": (True, True), "binance": (True, False), "usdm": (False, True)}
"""Whether a venue lists spot, and whether it lists perpetuals."""


def listed(venue: str) -> dict[str, Instrument]:
    """Fresh instruments of a venue by key."""
    spot, linear = LISTED[venue]
    rows = [_instrument(venue, False, row) for row in _SPOT if spot]
    rows += [_instrument(venue, True, row) for row in _LINEAR if linear]
    return {each.key: each for each in rows}


def _instrument(venue: str, perpetual: bool, row: tuple[str, ...]) -> Instrument:
    base, quote, tick, lot, least, most, price = row
    maker, taker = LINEAR_FEES[venue] if perpetual else (SPOT_FEE, SPOT_FEE)
    return Instrument(
        symbol=base + quote,
        perpetual=perpetual,
        base=base,
        quote=quote,
        tick=Decimal(tick),
        lot=Decimal(lot),
        min_quantity=Decimal(least),
        max_quantity=Decimal(most),
        min_notional=Decimal("0.0001") if quote == "BTC" else Decimal(5),
        price=Decimal(price),
        maker=maker,
        taker=taker,
    )
