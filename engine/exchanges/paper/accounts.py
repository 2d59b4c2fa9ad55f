"""What the account at the simulated venue holds, owes and has promised to working orders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from engine.domain.instruments import Instrument, InstrumentKey, Kind
from engine.domain.orders import Fill, FundingPaid
from engine.domain.positions import book_change
from engine.exchanges.paper.costs import EXACT
from engine.exchanges.paper.orders import NOTHING

ACCOUNT = "main"


@dataclass(slots=True)
class PerpetualPosition:
    """``quantity`` signed base; ``cost`` is quantity times average entry, signed, quote."""

    quantity: Decimal = NOTHING
    cost: Decimal = NOTHING

    def add(self, signed: Decimal, price: Decimal) -> Decimal:
        """Book an execution of ``signed`` base; the realised P&L in quote.

        A partial close takes its share of the cost, rounded to 8 decimals (half to even); the rest of the cost stays
        with the position, so that over a whole round trip not a digit is lost.
        """
        booked = book_change(self.quantity, self.cost, signed, price)
        self.quantity, self.cost = booked.quantity, booked.cost
        return booked.realised

    @property
    def entry_price(self) -> Decimal:
        """Average entry, quote; zero when flat."""
        return self.cost / self.quantity if self.quantity else NOTHING


class Accounts:
    """Totals, promises and derivative positions of one account; money in the coin named.

    Parameters
    ----------
    instruments : Mapping[InstrumentKey, Instrument]
    marks : Mapping[InstrumentKey, Decimal]
        Last close per instrument, kept by the venue; a position without one is valued at its entry.
    """

    def __init__(self, instruments: Mapping[InstrumentKey, Instrument], marks: Mapping[InstrumentKey, Decimal]) -> None:
        self.totals: dict[str, Decimal] = {}
        self.held_back: dict[str, Decimal] = {}
        self.positions: dict[InstrumentKey, PerpetualPosition] = {}
        self._instruments = instruments
        self._marks = marks

    def hold_back(self, currency: str, change: Decimal) -> None:
        """Promise ``change`` more (less, if negative) of a coin to working orders."""
        if change:
            self.held_back[currency] = self.held_back.get(currency, NOTHING) + change

    def book_fill(self, fill: Fill) -> None:
        """Move coins or the position, and take the fee."""
        instrument = self._instruments[fill.instrument]
        signed = fill.quantity * fill.side.sign
        if instrument.kind is Kind.SPOT:
            self._add(instrument.base, signed)
            self._add(instrument.quote, -signed * fill.price)
        else:
            position = self.positions.setdefault(fill.instrument, PerpetualPosition())
            self._add(instrument.quote, position.add(signed, fill.price))
            if not position.quantity:
                del self.positions[fill.instrument]
        self._add(fill.fee_currency, -fill.fee)

    def book_funding(self, payment: FundingPaid) -> None:
        """Receive or pay funding."""
        self._add(payment.currency, payment.amount)

    def total(self, currency: str) -> Decimal:
        """Coins held, those promised to orders included."""
        return self.totals.get(currency, NOTHING)

    def held(self, key: InstrumentKey) -> Decimal:
        """Signed derivative position in base; zero when flat."""
        position = self.positions.get(key)
        return position.quantity if position else NOTHING

    def quote_of(self, key: InstrumentKey) -> str:
        """The coin an instrument is priced and settled in."""
        return self._instruments[key].quote

    def mark(self, key: InstrumentKey) -> Decimal:
        """Last close, else the entry of the position."""
        known = self._marks.get(key)
        return self.positions[key].entry_price if known is None else known

    def unrealised(self, key: InstrumentKey) -> Decimal:
        """Gain of a derivative position at its mark, quote."""
        position = self.positions[key]
        known = self._marks.get(key)
        return NOTHING if known is None else position.quantity * known - position.cost

    def free(self, currency: str) -> Decimal:
        """What a new order may use: total less promises, margin in use and open losses; open gains do not count."""
        free = self.total(currency) - self.held_back.get(currency, NOTHING)
        gain = NOTHING
        for key, position in self.positions.items():
            instrument = self._instruments[key]
            if instrument.quote == currency:
                free -= EXACT.divide(abs(position.cost), instrument.max_leverage)
                gain += self.unrealised(key)
        return free + min(gain, NOTHING)

    def _add(self, currency: str, change: Decimal) -> None:
        self.totals[currency] = self.totals.get(currency, NOTHING) + change
