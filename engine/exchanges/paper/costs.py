"""What a simulated venue charges, and how much of a candle it lets one order take."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from engine.domain.instruments import Instrument
from engine.domain.orders import Liquidity, Side

EXACT = Context(prec=60)
"""Wide enough that no product or sum of balances, prices and quantities is ever rounded by accident."""

MONEY_STEP = Decimal("0.00000001")
"""Fees and shares of an average entry are whole multiples of this (quote)."""

_BPS = Decimal(10_000)

BasisPoints = Annotated[Decimal, Field(ge=0, le=1000)]


class PaperCosts(BaseModel):
    """Costs and frictions of a simulated venue; the defaults are harsher than a liquid market."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    maker_bps: BasisPoints = Field(default=Decimal(10), description="Fee of a resting order (basis points)")
    taker_bps: BasisPoints = Field(default=Decimal(10), description="Fee of an order that takes (basis points)")
    spread_bps: BasisPoints = Field(default=Decimal(2), description="Distance between bid and ask (basis points)")
    slippage_bps: BasisPoints = Field(default=Decimal(1), description="Worse price of a taking order (basis points)")
    impact: Decimal = Field(
        default=Decimal(0), ge=0, le=10, description="Market impact: Y of the square-root law, about 1 (0: none)"
    )
    volume_share: Decimal | None = Field(
        default=Decimal("0.05"), gt=0, le=1, description="Most of a candle's volume one order may take (empty: no cap)"
    )
    carry_bars: int = Field(default=3, ge=0, le=1000, description="Further candles an unfilled rest may wait")
    latency_ms: int = Field(default=0, ge=0, le=600_000, description="Time until an order reaches the venue (ms)")
    maintenance_margin: Decimal = Field(
        default=Decimal("0.005"), ge=0, lt=1, description="Equity below this share of open notional is liquidated"
    )

    @classmethod
    def plain(cls, fee_bps: Decimal, slippage_bps: Decimal = Decimal(0)) -> PaperCosts:
        """Only the given fee and slippage: no spread, no volume cap, no delay.

        Parameters
        ----------
        fee_bps, slippage_bps : Decimal
            Basis points; the fee is the same for makers and takers.
        """
        return cls(
            maker_bps=fee_bps,
            taker_bps=fee_bps,
            spread_bps=Decimal(0),
            slippage_bps=slippage_bps,
            volume_share=None,
        )

    def fee_rate(self, liquidity: Liquidity) -> Decimal:
        """Fee as a share of the notional."""
        return (self.maker_bps if liquidity is Liquidity.MAKER else self.taker_bps) / _BPS

    @property
    def half_spread(self) -> Decimal:
        """Half the spread as a share of the price."""
        return self.spread_bps / 2 / _BPS

    @property
    def taking(self) -> Decimal:
        """Half the spread plus slippage, as a share of the price: what an order that takes pays over the candle."""
        return self.half_spread + self.slippage_bps / _BPS


def fee_of(notional: Decimal, rate: Decimal) -> Decimal:
    """Fee in quote, rounded up to 8 decimals.

    >>> fee_of(Decimal("10.00000001"), Decimal("0.001"))
    Decimal('0.01000001')
    """
    return EXACT.multiply(notional, rate).quantize(MONEY_STEP, ROUND_CEILING, EXACT)


def against_trader(price: Decimal, side: Side, instrument: Instrument) -> Decimal:
    """Price in quote on the tick, up for a buy, down for a sell, never below one tick."""
    rounding = ROUND_CEILING if side is Side.BUY else ROUND_FLOOR
    ticks = EXACT.divide(price, instrument.tick_size).to_integral_value(rounding)
    return max(ticks, Decimal(1)) * instrument.tick_size
