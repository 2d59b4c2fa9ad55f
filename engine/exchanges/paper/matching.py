"""How orders fill on a candle: one rule for every doubt, and always the one that is worse for the trader.

The path inside a candle is unknown, so it is assumed in this order:

1. The open. Market orders, and stops triggered earlier, fill at the open plus half the spread, slippage and impact. A
   limit that arrives marketable (the open plus half the spread reaches it) takes at that price, at worst at its limit,
   and ends with nothing filled where it is post-only; a limit child arrives with the fill of its entry.
2. Stops reached by low or high fill at the worse of stop and open, plus the same. A child counts from the candle its
   entry fills in, against the whole candle; there the entry's price stands in for the open.
3. Limits the candle trades through by at least a tick fill at their price as makers; a touch is not enough, and an open
   beyond the price brings no better one. A limit child is not filled in its entry's candle, unless the entry filled at
   the open.
4. Stops whose entries filled in step 3.

Within a step orders go by acceptance. An order fills from the first candle that opens at or after its arrival
(submission plus latency). One that arrives inside a candle waits for the next open, except a protective stop: it
counts against the whole candle it arrives in. One order takes at most the volume share of a candle, once; what a
market order or a triggered stop leaves is tried in the next candles, what a limit leaves goes on resting. Quantities
that the position (reduce-only) or the balance does not cover are cancelled at the fill. Impact is that of what the
volume lets the order take; a maker pays none.
"""

from __future__ import annotations

from decimal import Decimal

from engine.domain.instruments import Instrument, Kind
from engine.domain.market import Candle
from engine.domain.orders import Liquidity, OrderType, Side
from engine.exchanges.paper.costs import EXACT, PaperCosts, against_trader, fee_of
from engine.exchanges.paper.impact import taking_share
from engine.exchanges.paper.orders import NOTHING, VenueOrder
from engine.exchanges.paper.state import VenueState
from engine.exchanges.paper.turn import Turn


class CandleMatch:
    """One instrument's orders against one candle.

    ``ends`` is False inside a longer candle that it is not the end of: the candles a rest may wait are the longer ones.
    """

    def __init__(self, turn: Turn, costs: PaperCosts, candle: Candle, *, ends: bool = True) -> None:
        self._ends = ends
        self._turn = turn
        self._costs = costs
        self._candle = candle
        self._state: VenueState = turn.state
        self._instrument: Instrument = turn.state.instruments[candle.instrument]
        self._closed_at = candle.closed_at
        self._served: set[str] = set()
        self._entered: dict[str, Decimal] = {}
        self._entered_at_open: frozenset[str] = frozenset()

    def run(self) -> None:
        """Fill what the candle fills, in the order of the module's text."""
        orders = tuple(self._state.open.get(self._candle.instrument, {}).values())
        for order in orders:
            self._at_open(order)
        self._entered_at_open = frozenset(self._entered)
        for order in orders:
            self._child_at_open(order)
        for order in orders:
            self._stop(order)
        entered = set(self._entered)
        for order in orders:
            self._limit(order)
        if len(self._entered) > len(entered):
            for order in orders:
                if order.intent.parent_id in self._entered and order.intent.parent_id not in entered:
                    self._stop(order)

    def _at_open(self, order: VenueOrder) -> None:
        if not order.is_open or (order.intent.parent_id is not None and not order.triggered):
            return
        candle = self._candle
        if order.takes_at_open:
            if order.triggered or candle.opened_at >= order.arrives_at:
                self._take(order, candle.open)
        elif order.intent.order_type is OrderType.LIMIT and self._arrives_now(order):
            self._take_if_marketable(order)

    def _take_if_marketable(self, order: VenueOrder) -> None:
        limit, sign = _limit_of(order), order.intent.side.sign
        if (limit - self._candle.open * (1 + sign * self._costs.half_spread)) * sign < 0:
            return
        if order.intent.post_only:
            self._turn.end(order, "post-only, and it would have taken at once")
        else:
            self._take(order, self._candle.open, limit)

    def _child_at_open(self, order: VenueOrder) -> None:
        """A limit child arrives with the fill of its entry, here at the open."""
        arrives = order.is_open and order.intent.parent_id in self._entered_at_open
        if arrives and order.intent.order_type is OrderType.LIMIT and self._candle.opened_at >= order.arrives_at:
            self._take_if_marketable(order)

    def _arrives_now(self, order: VenueOrder) -> bool:
        candle = self._candle
        return candle.opened_at - candle.timeframe.delta < order.arrives_at <= candle.opened_at

    def _stop(self, order: VenueOrder) -> None:
        if order.intent.order_type is not OrderType.STOP or order.triggered or not order.is_open:
            return
        candle, stop = self._candle, order.stop_price
        assert stop is not None, "a stop has a stop price since its submission"
        reached = candle.low <= stop if order.intent.side is Side.SELL else candle.high >= stop
        if not reached or not self._counts(order) or self._state.live_quantity(order) <= 0:
            return
        start = self._entered.get(order.intent.parent_id or "", candle.open)
        worse = min(stop, start) if order.intent.side is Side.SELL else max(stop, start)
        self._turn.trigger(order)
        self._take(order, worse)

    def _counts(self, order: VenueOrder) -> bool:
        """A protective stop counts in the candle it arrives in, everything else from the next open on."""
        if order.is_protective:
            return self._closed_at > order.arrives_at
        return self._candle.opened_at >= order.arrives_at

    def _limit(self, order: VenueOrder) -> None:
        if order.intent.order_type is not OrderType.LIMIT or not order.is_open or order.client_id in self._served:
            return
        candle, limit, parent_id = self._candle, _limit_of(order), order.intent.parent_id
        if parent_id in self._entered and parent_id not in self._entered_at_open:
            return
        tick = self._instrument.tick_size
        through = candle.low <= limit - tick if order.intent.side is Side.BUY else candle.high >= limit + tick
        if through and candle.opened_at >= order.arrives_at and self._state.live_quantity(order) > 0:
            self._execute(order, limit, limit, Liquidity.MAKER)

    def _take(self, order: VenueOrder, raw: Decimal, limit: Decimal | None = None) -> None:
        """Execute at ``raw`` plus half the spread, slippage and impact, at worst at ``limit``; quote."""
        side, wanted = order.intent.side, max(self._cap(self._state.live_quantity(order)), NOTHING)
        share = taking_share(self._costs, self._candle, wanted, self._instrument)
        price = against_trader(raw * (1 + side.sign * share), side, self._instrument)
        if limit is not None:
            price = min(price, limit) if side is Side.BUY else max(price, limit)
        self._execute(order, raw, price, Liquidity.TAKER)

    def _execute(self, order: VenueOrder, raw: Decimal, price: Decimal, liquidity: Liquidity) -> None:
        self._served.add(order.client_id)
        live = self._state.live_quantity(order)
        allowed, shortage = self._covered(order, live, price, liquidity)
        quantity = self._cap(allowed)
        if quantity > 0:
            if not order.filled:
                self._entered[order.client_id] = raw
            self._turn.fill(order, quantity, price, liquidity)
        if order.is_open and quantity == allowed < live:
            self._turn.end(order, shortage)
        elif order.is_open and order.takes_at_open and self._ends:
            self._turn.wait(order)

    def _cap(self, quantity: Decimal) -> Decimal:
        """At most the volume share, in whole lots."""
        share = self._costs.volume_share
        if share is None or quantity <= 0:
            return quantity
        most = self._candle.volume * share
        return quantity if quantity <= most else self._instrument.round_quantity(most)

    def _covered(self, order: VenueOrder, wanted: Decimal, price: Decimal, liquidity: Liquidity) -> tuple[Decimal, str]:
        """How much of ``wanted`` (base) position and balance cover, and what is missing for the rest."""
        instrument, side, accounts = self._instrument, order.intent.side, self._state.accounts
        if instrument.kind is Kind.SPOT and side is Side.SELL:
            promised = accounts.held_back.get(instrument.base, NOTHING) - self._state.held_back_for(order)
            left = accounts.total(instrument.base) - promised
            reason = f"only {left} {instrument.base} left to sell"
            return _at_most(wanted, left, instrument), reason
        reducing = max(min(wanted, -accounts.held(order.intent.instrument) * side.sign), NOTHING)
        if order.intent.reduce_only or reducing == wanted:
            return reducing, f"reduce-only: a position of {reducing} is left"
        rate = self._costs.fee_rate(liquidity)
        free = accounts.free(instrument.quote) + order.held_back - fee_of(reducing * price, rate)
        opening = self._affordable(wanted - reducing, free, price, rate)
        return reducing + opening, f"insufficient balance at the fill: {free} {instrument.quote} free at {price}"

    def _affordable(self, wanted: Decimal, free: Decimal, price: Decimal, rate: Decimal) -> Decimal:
        """Whole lots of ``wanted`` whose margin (the whole price for spot) and fee ``free`` pays."""
        instrument = self._instrument
        margin = EXACT.divide(price, instrument.max_leverage)
        if wanted * margin + fee_of(wanted * price, rate) <= free:
            return wanted
        lots = _at_most(wanted, EXACT.divide(free, margin + price * rate), instrument)
        while lots > 0 and lots * margin + fee_of(lots * price, rate) > free:
            lots -= instrument.lot_size
        return max(lots, NOTHING)


def _limit_of(order: VenueOrder) -> Decimal:
    limit = order.intent.limit_price
    assert limit is not None, "a limit has a limit price since its submission"
    return limit


def _at_most(wanted: Decimal, most: Decimal, instrument: Instrument) -> Decimal:
    return wanted if wanted <= most else max(instrument.round_quantity(most), NOTHING)
