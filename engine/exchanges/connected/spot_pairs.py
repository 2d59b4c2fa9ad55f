"""Stop and target of coins, which can be promised once: one rests at the exchange, the other is watched for.

The stop rests, until the market reaches the target: then the two change places. Where the market falls back, or crashes
through the stop, they change back. Each ends with proof before the other is sent.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from engine.domain.errors import VenueAmbiguous, VenueRejected, VenueUnreachable
from engine.domain.instruments import InstrumentKey
from engine.domain.market import Bars, MarketEvent, Quotes
from engine.domain.orders import OrderState
from engine.exchanges.connected.asking import Parts
from engine.exchanges.connected.children import Children
from engine.exchanges.connected.desk import Desk
from engine.exchanges.connected.legs import WATCHED, KeptOrder
from engine.exchanges.connected.registry import Registry


class SpotPairs:
    """Watches the market for the pairs of one venue; used by the engine's thread alone.

    Parameters
    ----------
    parts, desk, registry, children
        The venue's own.
    touch : callable
        Notes an order of which the core is to hear.
    """

    def __init__(
        self,
        parts: Parts,
        desk: Desk,
        registry: Registry,
        children: Children,
        touch: Callable[[KeptOrder], None],
    ) -> None:
        self._parts = parts
        self._desk = desk
        self._registry = registry
        self._children = children
        self._touch = touch

    def watch(self, event: MarketEvent) -> None:
        """Let targets and stops of spot pairs change places where the market says so."""
        if isinstance(event, Bars):
            for candle in event.candles:
                self._see(candle.instrument, candle.low, candle.high, candle.close)
        elif isinstance(event, Quotes):
            for top in event.tops:
                self._see(top.instrument, top.bid, top.ask, None)

    def _see(self, key: InstrumentKey, low: Decimal, high: Decimal, close: Decimal | None) -> None:
        if key not in self._parts.listed or not self._children.is_spot(key):
            return
        for target in [each for each in self._registry.open() if each.intent.instrument == key]:
            stop, limit = self._registry.stop_of(target), target.intent.limit_price
            if stop is None or stop.is_over or limit is None or stop.stop_price is None:
                continue
            sign = target.intent.side.sign
            best, worst = (low, high) if sign > 0 else (high, low)
            if target.leg is None and stop.leg is not None and stop.is_waiting:
                if (limit - best) * sign >= 0:
                    self._put_target(target, stop)
            elif target.leg is not None and stop.leg is None:
                if (worst - stop.stop_price) * sign >= 0:
                    self._put_stop(target, stop, as_market=True)
                elif close is not None and not target.filled and (close - limit) * sign > 0:
                    self._put_stop(target, stop, as_market=False)

    def _put_target(self, target: KeptOrder, stop: KeptOrder) -> None:
        """The market has reached the target: entry and stop end with proof, then the target is sent."""
        if not self._children.stop_entry(target) or target.is_over or stop.leg is None:
            return
        if not self._desk.try_cancel(stop, "") or (stop.is_over and stop.state is not OrderState.CANCELLED):
            self._touch(stop)
            self._children.after(stop)
            return
        stop.sleeps, stop.ended, stop.reason = True, None, WATCHED
        try:
            self._desk.place(target, min(target.remaining, stop.remaining))
            target.reason = ""
        except VenueAmbiguous as error:
            target.reason = str(error)
        except (VenueRejected, VenueUnreachable) as error:
            if isinstance(error, VenueRejected):
                target.end(OrderState.REJECTED, str(error))
            else:
                target.sleeps = True
            self._children.put_back(stop, as_market=False)
        self._touch(target)
        self._children.after(target)

    def _put_stop(self, target: KeptOrder, stop: KeptOrder, *, as_market: bool) -> None:
        """The market has left the target: it ends with proof, and the stop goes back to the exchange."""
        if not self._desk.try_cancel(target, ""):
            return
        self._children.pass_on(stop, target)
        if target.remaining > 0:
            target.sleeps, target.ended, target.reason = True, None, WATCHED
        self._children.put_back(stop, as_market=as_market)
        if as_market:
            target.end(OrderState.CANCELLED, "its stop was triggered")
        self._touch(target)
