"""Arbitrage: the same coin dearer at one venue than at another, or a way through three markets that ends with more.

It only sees and sizes; whoever asks it sends the legs. Depth is the best bid and ask with their sizes, which is all
that quotes tell.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from pydantic import BaseModel, ConfigDict, Field

from engine.domain.baskets import BasketTerms, MarketView, Opportunity, Route, Step, UnwindRule
from engine.domain.instruments import Instrument, InstrumentKey, Kind, venue_of
from engine.domain.market import BookTop
from engine.domain.orders import Side
from engine.quant.arbitrage import BPS, Edge, LegTerms, cycle, gap_bps, rate_after_fee, two_venues

ZERO = Decimal(0)
ONE = Decimal(1)
_FINEST = Decimal("0.00000001")
"""Grid of a market whose facts nobody knows, because the book cannot trade it."""


class ArbitrageConfig(BaseModel):
    """Settings of `Arbitrage`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    least_net_bps: Decimal = Field(
        default=Decimal(5), ge=0, le=1000, description="Least profit after all fees (basis points of the value bought)"
    )
    most_notional: Decimal = Field(
        default=Decimal(1000), gt=0, le=10**9, description="Most value of one basket (base currency)"
    )
    max_quote_age_s: int = Field(default=5, ge=0, le=3600, description="Oldest quote of a leg (seconds of market time)")
    leg_timer_s: int = Field(
        default=180,
        ge=1,
        le=86_400,
        description="Leg timer: what has not filled by then is given up (seconds; simulated venues fill at the next "
        "candle's open, so two candles at least)",
    )
    unwind: UnwindRule = Field(
        default=UnwindRule.UNWIND,
        description="Half a basket: unwind takes it back, hedge completes it where that loses little enough",
    )
    hedge_loss_bps: Decimal = Field(
        default=Decimal(10), ge=0, le=1000, description="Hedge: most loss of a completed basket (basis points)"
    )
    most_baskets: int = Field(default=1, ge=1, le=20, description="Most baskets at once (baskets)")
    use_coins_by_hand: bool = Field(
        default=False, description="Coins bought by hand, without a stop, may be handed to it as inventory to sell"
    )


@dataclass(frozen=True, slots=True)
class Arbitrage:
    """Two venues with the same coin, and triangles within one; see `ArbitrageConfig`."""

    config: ArbitrageConfig

    @property
    def terms(self) -> BasketTerms:
        """How its baskets are to be handled."""
        c = self.config
        return BasketTerms(c.most_baskets, c.leg_timer_s, c.unwind, c.hedge_loss_bps, c.use_coins_by_hand)

    def baskets(self, view: MarketView) -> Sequence[Opportunity]:
        """Every way whose best prices lie apart before fees, the best first; one without `why_not` is wished."""
        found = [*self._between_venues(view), *self._triangles(view)]
        return sorted(found, key=lambda one: (one.why_not != "", -one.net_bps, str(one.way)))

    # -- two venues ----------------------------------------------------------------------------------------------

    def _between_venues(self, view: MarketView) -> Iterator[Opportunity]:
        quoted = [item for key, item in sorted(view.instruments.items()) if key in view.tops]
        for buy in quoted:
            for sell in quoted:
                is_pair = (buy.base, buy.quote) == (sell.base, sell.quote) and buy.venue != sell.venue
                if is_pair and {buy.key, sell.key} & view.changed:
                    yield from self._pair(view, buy, sell)

    def _pair(self, view: MarketView, buy: Instrument, sell: Instrument) -> Iterator[Opportunity]:
        ask, bid = view.tops[buy.key], view.tops[sell.key]
        gap = gap_bps(ask.ask, bid.bid)
        if gap <= 0:
            return
        bought, sold = _leg(view, buy, is_buy=True), _leg(view, sell, is_buy=False)
        whole = two_venues(bought, sold)
        held = two_venues(
            _leg(view, buy, is_buy=True, inventory=view.money.get(buy.venue, ZERO)),
            _leg(view, sell, is_buy=False, inventory=view.coins.get(sell.key, ZERO)),
            min(self.config.most_notional, view.capital),
        )
        why_not = self._why_not_kind(buy, sell) or self._why_not_old(view, (ask, bid))
        why_not = why_not or self._why_not_earned(whole) or self._why_not_earned(held)
        shown = whole if why_not else held
        steps: tuple[Step, ...]
        if shown.legs:
            one, other = shown.legs
            steps = (
                Step(buy.key, Side.BUY, one.quantity, one.worst_price),
                Step(sell.key, Side.SELL, other.quantity, other.worst_price),
            )
            yield Opportunity(Route.TWO_VENUES, steps, gap, shown.net, shown.net_bps, view.currency, view.at, why_not)
            return
        size = min(ask.ask_size, bid.bid_size)
        steps = (Step(buy.key, Side.BUY, size, ask.ask), Step(sell.key, Side.SELL, size, bid.bid))
        each = bid.bid * (ONE - view.taker_fee) - ask.ask * (ONE + view.taker_fee)
        yield Opportunity(
            Route.TWO_VENUES, steps, gap, each * size, each / ask.ask * BPS, view.currency, view.at, why_not
        )

    def _why_not_kind(self, *instruments: Instrument) -> str:
        if all(item.kind is Kind.SPOT for item in instruments):
            return ""
        return "a perpetual leg would stay open, and its funding is not in the price"

    def _why_not_old(self, view: MarketView, tops: Sequence[BookTop]) -> str:
        age_s = max((view.at - top.at).total_seconds() for top in tops)
        most = self.config.max_quote_age_s
        return f"a quote is {age_s:.0f} s old, {most} s are allowed" if age_s > most else ""

    def _why_not_earned(self, edge: Edge) -> str:
        least = self.config.least_net_bps
        if edge.why_not or edge.net_bps >= least:
            return edge.why_not
        return f"{edge.net_bps:.2f} basis points after fees, at least {least} are asked for"

    # -- triangles -----------------------------------------------------------------------------------------------

    def _triangles(self, view: MarketView) -> Iterator[Opportunity]:
        """Ways from the book's currency through two coins of one venue and back.

        A book counts in one currency, so that the pair between two coins is never one of its instruments: such a way is
        shown with that reason.
        """
        pairs = {(venue_of(key), *_coins(key)): key for key in sorted(view.tops) if ":" not in key.partition(":")[2]}
        for (venue, base, quote), middle in pairs.items():
            one, other = pairs.get((venue, quote, view.currency)), pairs.get((venue, base, view.currency))
            if one is None or other is None or not {middle, one, other} & view.changed:
                continue
            yield from self._triangle(view, ((one, Side.BUY), (middle, Side.BUY), (other, Side.SELL)))
            yield from self._triangle(view, ((other, Side.BUY), (middle, Side.SELL), (one, Side.SELL)))

    def _triangle(self, view: MarketView, way: Sequence[tuple[InstrumentKey, Side]]) -> Iterator[Opportunity]:
        free = [_bare_leg(view, key, side, ZERO) for key, side in way]
        gap = (_product(free) - ONE) * BPS
        if gap <= 0:
            return
        legs = [_bare_leg(view, key, side, view.taker_fee) for key, side in way]
        edge = cycle(legs)
        pair, coin = way[1][0].partition(":")[2], _coins(way[1][0])[1]
        reason = f"{pair} is quoted in {coin}; this book counts in {view.currency} and cannot trade it"
        net_bps = edge.net_bps if edge.legs else (_product(legs) - ONE) * BPS
        taken = edge.legs or (None, None, None)
        steps = tuple(
            Step(
                key, side, ZERO if leg is None else leg.quantity, term.ladder[0][0] if leg is None else leg.worst_price
            )
            for (key, side), term, leg in zip(way, legs, taken, strict=True)
        )
        why_not = self._why_not_earned(edge) or reason
        yield Opportunity(Route.TRIANGLE, steps, gap, edge.net, net_bps, view.currency, view.at, why_not)


def _product(legs: Sequence[LegTerms]) -> Decimal:
    rate = ONE
    for leg in legs:
        rate *= rate_after_fee(leg)
    return rate


def _leg(view: MarketView, instrument: Instrument, *, is_buy: bool, inventory: Decimal | None = None) -> LegTerms:
    top = view.tops[instrument.key]
    level = (top.ask, top.ask_size) if is_buy else (top.bid, top.bid_size)
    grids = (instrument.lot_size, instrument.tick_size, instrument.min_notional)
    return LegTerms(is_buy, (level,), view.taker_fee, *grids, inventory)


def _bare_leg(view: MarketView, key: InstrumentKey, side: Side, fee: Decimal) -> LegTerms:
    top, known = view.tops[key], view.instruments.get(key)
    is_buy = side is Side.BUY
    level = (top.ask, top.ask_size) if is_buy else (top.bid, top.bid_size)
    if known is None:
        return LegTerms(is_buy, (level,), fee, _FINEST, _FINEST)
    return LegTerms(is_buy, (level,), fee, known.lot_size, known.tick_size, known.min_notional)


def _coins(key: InstrumentKey) -> tuple[str, str]:
    base, _, quote = key.partition(":")[2].partition("/")
    return base, quote
