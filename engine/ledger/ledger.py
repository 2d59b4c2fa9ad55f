"""The book of one stage: every balance and position, moved by fills, funding and cash flows alone.

Realised P&L is by average cost and gross of fees; fees and funding are kept beside it, so that

    equity = capital flows + realised + unrealised - fees + funding

holds to the last digit (a property test shows it). Balances are in the currency moved; a fee is booked in the
currency it was charged in. A fee in a third coin is owed in that coin, a negative balance, until `Ledger.settle_fee`
says what it was worth: whoever gave the coin is paid in base currency.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Context, Decimal, localcontext
from typing import Any

from engine.domain.errors import BadInput
from engine.domain.facts import Netted
from engine.domain.instruments import Instrument, InstrumentKey, Kind
from engine.domain.orders import CashFlow, Fill, FundingPaid
from engine.domain.positions import Booked, book_change
from engine.ledger.holdings import ZERO, Holding, PriceOf, SleeveTotals, Worth, dump, load_holding, load_totals

FLAT = Booked(ZERO, ZERO, ZERO)
EXACT = Context(prec=60)
"""As wide as the venues' own arithmetic: no sum of balances is ever rounded."""


@dataclass(frozen=True, slots=True)
class FillEffect:
    """What a fill did to its sleeve: P&L realised (quote, gross of fees) and whether it ended a trade."""

    realised: Decimal
    closed_trade: bool


@dataclass(frozen=True, slots=True)
class CoinFee:
    """A fee of ``amount`` in a third coin at ``price`` (base currency for one), for a trade of this sleeve."""

    coin: str
    amount: Decimal
    price: Decimal
    sleeve: str
    instrument: InstrumentKey
    is_late: bool = False


def is_third_coin(fill: Fill, instrument: Instrument) -> bool:
    """Whether the fee of a fill is in neither coin of its instrument."""
    if fill.fee_currency == instrument.quote or not fill.fee:
        return False
    return fill.fee_currency != instrument.base or instrument.kind is not Kind.SPOT


@dataclass(slots=True)
class Ledger:
    """Positions and balances of one book.

    Parameters
    ----------
    base_currency : str
        What equity is in; every quote currency of a book's instruments is this one.
    """

    base_currency: str
    instruments: dict[InstrumentKey, Instrument] = field(default_factory=dict)
    holdings: dict[tuple[str, InstrumentKey], Holding] = field(default_factory=dict)
    balances: dict[tuple[str, str], Decimal] = field(default_factory=dict)
    sleeves: dict[str, SleeveTotals] = field(default_factory=dict)
    capital: Decimal = ZERO
    fills: int = 0
    _accounts: dict[InstrumentKey, Booked] = field(default_factory=dict)
    _worth: Worth | None = None
    _in_order: list[tuple[str, InstrumentKey, Holding]] = field(default_factory=list)

    def register(self, instrument: Instrument) -> None:
        """Make an instrument known; raises `BadInput` where its quote is not the base currency."""
        if instrument.quote != self.base_currency:
            raise BadInput(f"{instrument.key}: quoted in {instrument.quote}, this book counts in {self.base_currency}")
        self.instruments[instrument.key] = instrument

    # -- what moves it -------------------------------------------------------------------------------------------

    def apply_flow(self, flow: CashFlow) -> None:
        """Capital given (positive) or taken; only flows in the base currency count as capital."""
        with localcontext(EXACT):
            self._move(flow.venue, flow.currency, flow.amount)
            if flow.currency == self.base_currency:
                self.capital += flow.amount

    def apply_funding(self, paid: FundingPaid) -> None:
        """Funding of a perpetual, split over the sleeves by their share of the account's position."""
        with localcontext(EXACT):
            self._fund(paid)

    def _fund(self, paid: FundingPaid) -> None:
        self._move(paid.venue, paid.currency, paid.amount)
        held = [(s, h) for (s, k), h in sorted(self.holdings.items()) if k == paid.instrument and h.quantity]
        net = sum((h.quantity for _, h in held), ZERO)
        rest = paid.amount
        for number, (sleeve, holding) in enumerate(held):
            last = number == len(held) - 1
            part = rest if last or not net else (paid.amount * holding.quantity / net).quantize(Decimal("1E-8"))
            rest -= part
            holding.funding += part
            holding.trade_pnl += part
            self._totals(sleeve).funding += part
        if not held:
            self._totals("external").funding += paid.amount

    def apply_fill(self, fill: Fill, sleeve: str) -> FillEffect:
        """Book an execution; the only way a position changes. The caller has refused duplicates."""
        with localcontext(EXACT):
            return self._fill(fill, sleeve)

    def _fill(self, fill: Fill, sleeve: str) -> FillEffect:
        instrument = self._known(fill.instrument)
        holding = self.holdings.setdefault((sleeve, fill.instrument), Holding())
        change = fill.quantity * fill.side.sign
        account = self._account(fill.instrument, change, fill.price)
        if instrument.kind is Kind.SPOT:
            self._move(fill.venue, instrument.base, change)
            self._move(fill.venue, instrument.quote, -change * fill.price)
        else:
            self._move(fill.venue, instrument.quote, account.realised)
        effect = _book(holding, change, fill)
        self._charge(fill, holding, sleeve, instrument)
        self._count(effect, holding, sleeve)
        return effect

    def settle_fee(self, venue: str, fee: CoinFee) -> None:
        """Pay for a fee in a third coin: the coin comes from somebody else, what it was worth is the sleeve's cost.

        Called before the fill it belongs to; one that is settled later counts in its trade only while that lasts.
        """
        with localcontext(EXACT):
            value = fee.amount * fee.price
            self._move(venue, fee.coin, fee.amount)
            self._move(venue, self.base_currency, -value)
            self._totals(fee.sleeve).fees += value
            holding = self.holdings.setdefault((fee.sleeve, fee.instrument), Holding())
            holding.fees += value
            holding.trade_pnl -= value if holding.quantity or not fee.is_late else ZERO

    def take_over(self, sleeve: str, key: InstrumentKey, quantity: Decimal, price: Decimal) -> None:
        """Begin with a derivative position (signed base) that was there before, as if opened at ``price`` (quote)."""
        with localcontext(EXACT):
            self._account(key, quantity, price)
            holding = self.holdings.setdefault((sleeve, key), Holding())
            booked = book_change(holding.quantity, holding.cost, quantity, price)
            holding.quantity, holding.cost = booked.quantity, booked.cost

    def give_up(self, sleeve: str, key: InstrumentKey, quantity: Decimal, price: Decimal) -> None:
        """Let ``quantity`` (base, positive) of a sleeve's coins go at ``price`` (quote), without an execution: a venue
        took them as a fee. What they are worth is booked as if they had been sold.
        """
        with localcontext(EXACT):
            instrument, holding = self._known(key), self.holdings[(sleeve, key)]
            self._account(key, -quantity, price)
            booked = book_change(holding.quantity, holding.cost, -quantity, price)
            holding.quantity, holding.cost = booked.quantity, booked.cost
            holding.realised += booked.realised
            holding.trade_pnl += booked.realised
            self._totals(sleeve).realised += booked.realised
            self._move(instrument.venue, instrument.base, -quantity)
            self._move(instrument.venue, instrument.quote, quantity * price)

    def apply_netting(self, netted: Netted) -> None:
        """Close a long sleeve's and a short sleeve's quantity against each other; cash and account stay as they are."""
        with localcontext(EXACT):
            self._net(netted)

    def _net(self, netted: Netted) -> None:
        for sleeve, sign in ((netted.long_sleeve, -1), (netted.short_sleeve, 1)):
            holding = self.holdings.setdefault((sleeve, netted.instrument), Holding())
            booked = book_change(holding.quantity, holding.cost, netted.quantity * sign, netted.price)
            holding.quantity, holding.cost = booked.quantity, booked.cost
            holding.realised += booked.realised
            holding.trade_pnl += booked.realised
            totals = self._totals(sleeve)
            totals.realised += booked.realised
            if not holding.quantity:
                totals.trades += 1
                totals.wins += 1 if holding.trade_pnl > 0 else 0
                holding.trade_pnl, holding.opened_at = ZERO, None

    def _account(self, key: InstrumentKey, change: Decimal, price: Decimal) -> Booked:
        self._worth = None
        before = self._accounts.get(key, FLAT)
        booked = self._accounts[key] = book_change(before.quantity, before.cost, change, price)
        return booked

    def _charge(self, fill: Fill, holding: Holding, sleeve: str, instrument: Instrument) -> None:
        self._move(fill.venue, fill.fee_currency, -fill.fee)
        if is_third_coin(fill, instrument):
            return
        in_quote = fill.fee
        if fill.fee and fill.fee_currency == instrument.base and instrument.kind is Kind.SPOT:
            in_quote = fill.fee * fill.price
            self._account(fill.instrument, -fill.fee, fill.price)
            booked = book_change(holding.quantity, holding.cost, -fill.fee, fill.price)
            holding.quantity, holding.cost = booked.quantity, booked.cost
            holding.realised += booked.realised
            holding.trade_pnl += booked.realised
            self._totals(sleeve).realised += booked.realised
        holding.fees += in_quote
        holding.trade_pnl -= in_quote
        self._totals(sleeve).fees += in_quote

    def _count(self, effect: FillEffect, holding: Holding, sleeve: str) -> None:
        totals = self._totals(sleeve)
        totals.fills += 1
        self.fills += 1
        totals.realised += effect.realised
        if effect.closed_trade:
            totals.trades += 1
            totals.wins += 1 if holding.trade_pnl > 0 else 0
            holding.trade_pnl = ZERO
        if not holding.quantity:
            holding.opened_at = None

    # -- what can be asked ---------------------------------------------------------------------------------------

    def held(self, sleeve: str, key: InstrumentKey) -> Decimal:
        """A sleeve's position, signed base."""
        holding = self.holdings.get((sleeve, key))
        return holding.quantity if holding else ZERO

    def account_position(self, key: InstrumentKey) -> Decimal:
        """Sum of all sleeves' positions, signed base."""
        return self._accounts.get(key, FLAT).quantity

    def account_unrealised(self, key: InstrumentKey, mark: Decimal) -> Decimal:
        """Open P&L of the account's position at ``mark``, quote currency."""
        account = self._accounts.get(key, FLAT)
        return mark * account.quantity - account.cost

    def open_holdings(self) -> Iterator[tuple[str, InstrumentKey, Holding]]:
        """Every non-zero position in a stated order (sleeve, instrument)."""
        return iter([row for row in self._rows() if row[2].quantity])

    def _rows(self) -> list[tuple[str, InstrumentKey, Holding]]:
        """Every holding in order; sorted anew only when one was added, for none ever goes."""
        if len(self._in_order) != len(self.holdings):
            self._in_order = sorted((sleeve, key, holding) for (sleeve, key), holding in self.holdings.items())
        return self._in_order

    def cash(self, venue: str | None = None) -> Decimal:
        """Base currency held at a venue, or at all."""
        total = ZERO
        for (name, currency), amount in self.balances.items():
            if currency == self.base_currency and (venue is None or venue == name):
                total += amount
        return total

    def equity(self, price_of: PriceOf) -> Decimal | None:
        """Cash + spot at mark + unrealised P&L of derivatives; None while a held instrument has no trustworthy mark."""
        return self.worth().at(price_of)

    def worth(self) -> Worth:
        """What equity is made of, until the next booking; added up once."""
        if self._worth is None:
            parts = [
                (key, account.quantity, account.cost if self.instruments[key].kind is Kind.PERPETUAL else ZERO)
                for key, account in self.accounts()
            ]
            self._worth = Worth(self.cash(), tuple(parts))
        return self._worth

    def accounts(self) -> Iterator[tuple[InstrumentKey, Booked]]:
        """Every account position that is not flat, in the order they were first opened."""
        return ((key, account) for key, account in self._accounts.items() if account.quantity or account.cost)

    def unrealised(self, price_of: PriceOf, sleeve: str | None = None) -> Decimal:
        """Open P&L at the marks known, base currency; positions without a mark are left out."""
        total = ZERO
        for name, key, holding in self._rows():
            if holding.quantity and (sleeve is None or sleeve == name):
                mark = price_of(key)
                total += holding.unrealised(mark) if mark is not None else ZERO
        return total

    def _move(self, venue: str, currency: str, amount: Decimal) -> None:
        self._worth = None
        self.balances[(venue, currency)] = self.balances.get((venue, currency), ZERO) + amount

    def _totals(self, sleeve: str) -> SleeveTotals:
        return self.sleeves.setdefault(sleeve, SleeveTotals())

    def _known(self, key: InstrumentKey) -> Instrument:
        try:
            return self.instruments[key]
        except KeyError:
            raise BadInput(
                f"{key}: a fill for an instrument this book does not know; name its symbol in the settings again"
            ) from None

    # -- checkpoints ---------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """JSON values from which `restore` makes the same ledger (instruments apart)."""
        return {
            "capital": str(self.capital),
            "fills": self.fills,
            "balances": [[v, c, str(a)] for (v, c), a in sorted(self.balances.items())],
            "accounts": [[k, str(a.quantity), str(a.cost)] for k, a in sorted(self._accounts.items())],
            "holdings": [[s, k, dump(h)] for (s, k), h in sorted(self.holdings.items())],
            "sleeves": [[s, dump(t)] for s, t in sorted(self.sleeves.items())],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over a checkpoint."""
        self.capital = Decimal(state["capital"])
        self.fills = state["fills"]
        self.balances = {(v, c): Decimal(a) for v, c, a in state["balances"]}
        self.holdings = {(s, k): load_holding(h) for s, k, h in state["holdings"]}
        self._in_order = []
        self.sleeves = {s: load_totals(t) for s, t in state["sleeves"]}
        self._worth = None
        self._accounts = {InstrumentKey(k): Booked(Decimal(q), Decimal(c), ZERO) for k, q, c in state["accounts"]}


def _book(holding: Holding, change: Decimal, fill: Fill) -> FillEffect:
    before = holding.quantity
    booked = book_change(before, holding.cost, change, fill.price)
    turned = bool(before) and bool(booked.quantity) and (before > 0) != (booked.quantity > 0)
    if not before or turned:
        holding.opened_at = fill.at
    holding.quantity, holding.cost = booked.quantity, booked.cost
    holding.realised += booked.realised
    holding.trade_pnl += booked.realised
    return FillEffect(booked.realised, bool(before) and (turned or not booked.quantity))
