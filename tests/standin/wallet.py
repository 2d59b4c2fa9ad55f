"""Balances and positions of one account at the stand-in exchange, exact to the last digit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal

from .amounts import ZERO, to_cent
from .instruments import Instrument
from .market import Market
from .orders import Entry, Fill, Order, Position, State

MAINTENANCE = Decimal("0.005")
"""Share of a position's value that must be left; below it the exchange would liquidate."""


@dataclass(slots=True)
class Wallet:
    """Coins and positions; every change leaves an entry."""

    markets: dict[str, Market]
    totals: dict[str, Decimal] = field(default_factory=dict)
    positions: dict[str, Position] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)

    def position(self, instrument: Instrument) -> Position:
        """The position of an instrument, flat where there was none."""
        return self.positions.setdefault(instrument.key, Position())

    def total(self, coin: str) -> Decimal:
        """Wallet balance of a coin, unrealised gains not counted."""
        return self.totals.get(coin, ZERO)

    def book(self, at_ms: int, kind: str, coin: str, change: Decimal, **reason: object) -> Entry:
        """Change a balance and write the entry."""
        self.totals[coin] = self.total(coin) + change
        entry = Entry(len(self.entries) + 1, at_ms, kind, coin, change, self.totals[coin])
        for name, value in reason.items():
            setattr(entry, name, value)
        self.entries.append(entry)
        return entry

    def settle(self, fill: Fill) -> None:
        """Move coins or the position, then the fee."""
        order, instrument = fill.order, fill.order.instrument
        signed = fill.quantity if order.wish.side == "buy" else -fill.quantity
        about = {"instrument": instrument, "fill": fill}
        if instrument.perpetual:
            fill.realised = self._realise(instrument, signed, fill.price, fill.at_ms)
            change = fill.realised - (fill.fee if fill.fee_coin == instrument.quote else ZERO)
            self.book(fill.at_ms, "TRADE", instrument.quote, change, **about)
            if fill.fee_coin != instrument.quote:
                self.book(fill.at_ms, "TRADE", fill.fee_coin, -fill.fee, **about)
            return
        changes = {instrument.base: signed, instrument.quote: -signed * fill.price}
        changes[fill.fee_coin] = changes.get(fill.fee_coin, ZERO) - fill.fee
        for coin, change in changes.items():
            self.book(fill.at_ms, "TRADE", coin, change, **about)

    def _realise(self, instrument: Instrument, signed: Decimal, price: Decimal, at_ms: int) -> Decimal:
        """Gain of the closed part at average entry, eight digits; the rest of the cost stays with the rest."""
        held = self.position(instrument)
        held.updated_ms = at_ms
        before, after = held.quantity, held.quantity + signed
        if before == 0 or (before > 0) == (signed > 0):
            held.cost += signed * price
            held.opened_ms = held.opened_ms if before else at_ms
            gain = ZERO
        elif after == 0 or (after > 0) != (before > 0):
            gain = to_cent(before * price - held.cost)
            held.cost = after * price
        else:
            released = to_cent(held.cost * -signed / before)
            gain = to_cent(-signed * price - released)
            held.cost -= released
        held.quantity = after
        held.realised += gain
        return gain

    def unrealised(self, instrument: Instrument) -> Decimal:
        """Gain of the open position at the market's price."""
        held = self.position(instrument)
        return held.quantity * self.markets[instrument.key].price - held.cost

    def position_margin(self, instrument: Instrument) -> Decimal:
        """What the open position ties up."""
        held = self.position(instrument)
        return to_cent(abs(held.cost) / held.leverage)

    def order_margin(self, order: Order) -> Decimal:
        """What a perpetual's order would tie up beyond what it closes."""
        if not order.open or order.state is State.WAITING or order.wish.reduce_only:
            return ZERO
        held = self.position(order.instrument)
        buys = order.wish.side == "buy"
        closes = abs(held.quantity) if held.quantity and (held.quantity < 0) == buys else ZERO
        price = order.wish.price or self.markets[order.instrument.key].price
        return to_cent(max(ZERO, order.left - closes) * price / held.leverage)

    def locked(self, coin: str, orders: Iterable[Order]) -> Decimal:
        """Coins that spot orders reserve."""
        return sum((amount for name, amount in map(self.hold, orders) if name == coin), ZERO)

    def hold(self, order: Order) -> tuple[str, Decimal]:
        """The coin a spot order reserves and how much."""
        wish, instrument = order.wish, order.instrument
        if instrument.perpetual or not order.open or (order.state is State.WAITING and not wish.locks):
            return instrument.quote, ZERO
        if wish.side == "sell":
            return instrument.base, order.left
        price = wish.price or wish.trigger or self.markets[instrument.key].ask
        return instrument.quote, order.left * price

    def free(self, coin: str, orders: Iterable[Order]) -> Decimal:
        """What a new order may use: total less reserved, less margin, less unrealised losses."""
        working = list(orders)
        amount = self.total(coin) - self.locked(coin, working)
        settled = {m.instrument.key: m.instrument for m in self.markets.values() if m.instrument.perpetual}
        for key, held in self.positions.items():
            if held.quantity and key in settled and settled[key].quote == coin:
                amount -= self.position_margin(settled[key]) - min(ZERO, self.unrealised(settled[key]))
        amount -= sum(
            (self.order_margin(o) for o in working if o.instrument.key in settled and o.instrument.quote == coin), ZERO
        )
        return amount
