"""The coins and markets of the simulated venues: every number the market simulator starts from."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from engine.domain.instruments import Instrument, Kind


@dataclass(frozen=True, slots=True)
class Coin:
    """How one coin moves. Volatilities are yearly standard deviations of the log price.

    Attributes
    ----------
    name : str
    anchor_price : float
        Price in quote at the first simulated minute, and the middle of the range the price is kept in.
    market_beta : float
        Share of the common market factor in the coin's returns.
    own_volatility : float
        Yearly volatility of what the market factor does not explain.
    """

    name: str
    anchor_price: float
    market_beta: float
    own_volatility: float


@dataclass(frozen=True, slots=True)
class Listing:
    """One instrument of a simulated venue and how thick its market is.

    Attributes
    ----------
    instrument : Instrument
    minute_turnover : float
        Mean traded value of a minute, quote currency.
    spread_bps : float
        Usual distance of bid and ask, basis points of the price.
    top_depth : float
        Usual value resting at the best bid (and ask), quote currency.
    basis_bps : float
        Standard deviation of its price around the coin's common price, basis points.
    basis_half_life_minutes : float
        How fast such a deviation halves.
    """

    instrument: Instrument
    minute_turnover: float
    spread_bps: float
    top_depth: float
    basis_bps: float
    basis_half_life_minutes: float


DEMO_VENUES = ("demo-a", "demo-b")

DEMO_COINS = (
    Coin("BTC", 60_000.0, 1.0, 0.18),
    Coin("ETH", 3_000.0, 1.15, 0.35),
    Coin("SOL", 150.0, 1.3, 0.55),
    Coin("XRP", 0.6, 1.0, 0.55),
    Coin("ADA", 0.45, 1.15, 0.5),
    Coin("DOGE", 0.12, 1.25, 0.65),
)


def _spot(venue: str, base: str, tick: str, lot: str, book: tuple[float, float, float]) -> Listing:
    turnover, spread_bps, depth = book
    instrument = Instrument(venue, base, "USDT", Kind.SPOT, Decimal(tick), Decimal(lot), Decimal(5))
    return Listing(instrument, turnover, spread_bps, depth, basis_bps=1.5, basis_half_life_minutes=8.0)


def _perpetual(venue: str, base: str, tick: str, lot: str, book: tuple[float, float, float]) -> Listing:
    turnover, spread_bps, depth = book
    instrument = Instrument(
        venue, base, "USDT", Kind.PERPETUAL, Decimal(tick), Decimal(lot), Decimal(5), max_leverage=Decimal(20)
    )
    return Listing(instrument, turnover, spread_bps, depth, basis_bps=3.0, basis_half_life_minutes=240.0)


DEMO_LISTINGS = (
    _spot("demo-a", "BTC", "0.01", "0.00001", (900_000.0, 0.8, 60_000.0)),
    _spot("demo-a", "ETH", "0.01", "0.0001", (600_000.0, 1.0, 45_000.0)),
    _spot("demo-a", "SOL", "0.01", "0.001", (250_000.0, 1.8, 20_000.0)),
    _spot("demo-a", "XRP", "0.0001", "0.1", (200_000.0, 2.5, 15_000.0)),
    _spot("demo-a", "ADA", "0.0001", "0.1", (90_000.0, 3.0, 9_000.0)),
    _spot("demo-a", "DOGE", "0.00001", "1", (120_000.0, 2.5, 10_000.0)),
    _spot("demo-b", "BTC", "0.1", "0.00001", (350_000.0, 1.2, 30_000.0)),
    _spot("demo-b", "ETH", "0.01", "0.0001", (220_000.0, 1.5, 20_000.0)),
    _perpetual("demo-b", "BTC", "0.1", "0.001", (1_600_000.0, 0.6, 120_000.0)),
    _perpetual("demo-b", "ETH", "0.01", "0.001", (1_000_000.0, 0.8, 80_000.0)),
)
