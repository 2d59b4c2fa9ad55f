"""Turns fills into what the lot matcher understands: coins in, coins out, each with its value in one currency."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import NamedTuple

from engine.domain.codec import plain, utc_text
from engine.domain.instruments import InstrumentKey
from engine.domain.orders import Fill, FundingPaid, Side
from engine.tax.lots import SPLIT, ZERO, Acquisition, Disposal, Event, Reason

PriceOf = Callable[[str, datetime], Decimal | None]
"""Market value of one coin in the report's currency at an instant; None where it is not known."""


def no_price(_asset: str, _at: datetime) -> Decimal | None:
    """Where there is no source of prices: only what the fills themselves price can be valued."""
    return None


class Market(NamedTuple):
    """The coins of an instrument; ``settle`` is empty for spot."""

    symbol: str
    base: str
    quote: str
    settle: str


class Problem(NamedTuple):
    """Why something could not be counted."""

    at: datetime
    text: str


@dataclass(slots=True)
class Gathered:
    """What was made of fills so far."""

    events: list[Event] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Valuation:
    """The report's currency, which is cash and has no lots, and what other coins are worth in it."""

    currency: str
    price_of: PriceOf = no_price

    def worth(self, asset: str, at: datetime) -> Decimal | None:
        """Value of one coin; 1 for the currency itself."""
        return Decimal(1) if asset == self.currency else self.price_of(asset, at)


@cache
def market_of(key: InstrumentKey) -> Market:
    """Coins of ``venue:BASE/QUOTE`` or ``venue:BASE/QUOTE:SETTLE``.

    >>> market_of(InstrumentKey("demo-b:BTC/USDT:USDT")).settle
    'USDT'
    """
    symbol = key.split(":", 1)[1]
    pair, _, settle = symbol.partition(":")
    base, _, quote = pair.partition("/")
    return Market(symbol, base, quote, settle)


def account_of(fill: Fill | FundingPaid) -> str:
    """Venue and account, the place a lot belongs to."""
    return f"{fill.venue}/{fill.account}" if fill.account else fill.venue


def distinct(fills: Iterable[Fill]) -> tuple[list[Fill], list[Problem]]:
    """Each fill once, and a problem for every trade id that two different fills carry: neither of them is counted."""
    known: dict[tuple[str, str, InstrumentKey, str], Fill] = {}
    torn: dict[tuple[str, str, InstrumentKey, str], Problem] = {}
    for fill in fills:
        identity = (fill.venue, fill.account, fill.instrument, fill.trade_id)
        if known.setdefault(identity, fill) != fill:
            at = min(fill.at, known[identity].at)
            text = f"trade {fill.trade_id} of {fill.instrument} is on record with two different contents; not counted"
            torn[identity] = Problem(at, text)
    return [fill for identity, fill in known.items() if identity not in torn], list(torn.values())


def gather_spot(fill: Fill, valuation: Valuation, into: Gathered) -> None:
    """Add what a spot fill did to the coins of its account.

    A fee in the currency of the report adds to the cost or lowers the proceeds. A fee in the bought coin adds to the
    cost and is itself a disposal of that coin; in the sold coin it adds to what was disposed of; in a third coin it is
    a disposal of that coin and a cost of the trade, half on either leg where coins were swapped for coins. A rebate in
    a coin is a lot at market value, and as much less cost or more proceeds.
    """
    if market_of(fill.instrument).quote == fill.fee_currency == valuation.currency:
        _add_cash_trade(fill, into)
        return
    trade = _trade(fill, valuation)
    if trade is None:
        text = f"{_named(fill)}: no price of {market_of(fill.instrument).quote} in {valuation.currency} at that time"
        into.problems.append(Problem(fill.at, text))
        return
    fee = _fee(fill, trade, valuation)
    if fee is None:
        into.problems.append(fee_problem(fill, valuation))
        fee = _Fee(ZERO, ZERO, ZERO, ZERO, in_coin=False)
    _add_legs(fill, trade, fee, valuation.currency, into)
    if fee.in_coin:
        add_fee_coin(fill, fee.value, into)


def _add_cash_trade(fill: Fill, into: Gathered) -> None:
    """The common trade, price and fee in the report's currency; what `_add_legs` would make of it, in half the time."""
    coin, account, value = market_of(fill.instrument).base, account_of(fill), fill.price * fill.quantity
    made = Acquisition if fill.side is Side.BUY else Disposal
    amount = value + fill.fee * fill.side.sign
    into.events.append(made(fill.trade_id, fill.at, coin, account, fill.quantity, amount, fill.fee))


def add_fee_coin(fill: Fill, value: Decimal, into: Gathered) -> None:
    """A fee paid in a coin that has lots: that coin was disposed of at market value (a rebate: received)."""
    name, account = f"{fill.trade_id}#fee", account_of(fill)
    if fill.fee > 0:
        gone = Disposal(name, fill.at, fill.fee_currency, account, fill.fee, value, reason=Reason.FEE)
        into.events.append(gone)
    elif fill.fee < 0:
        into.events.append(Acquisition(name, fill.at, fill.fee_currency, account, -fill.fee, -value, income=True))


def fee_problem(fill: Fill, valuation: Valuation) -> Problem:
    """A fee that cannot be valued is not counted, and said so."""
    return Problem(
        fill.at,
        f"{_named(fill)}: the fee of {plain(fill.fee)} {fill.fee_currency} has no price in {valuation.currency} at "
        "that time and is not counted",
    )


def _named(fill: Fill) -> str:
    return f"trade {fill.trade_id} of {fill.instrument}, {utc_text(fill.at)}"


class _Trade(NamedTuple):
    """Coins that went and came, and the value of either side in the report's currency."""

    sold: str
    sold_quantity: Decimal
    bought: str
    bought_quantity: Decimal
    value: Decimal


class _Fee(NamedTuple):
    """A fee: its value, and what it adds to cost, takes off proceeds and adds to the coins sold."""

    value: Decimal
    on_cost: Decimal
    off_proceeds: Decimal
    more_sold: Decimal
    in_coin: bool


def _trade(fill: Fill, valuation: Valuation) -> _Trade | None:
    market = market_of(fill.instrument)
    notional = fill.price * fill.quantity
    rate = valuation.worth(market.quote, fill.at)
    if rate is not None:
        value = notional * rate
    else:
        base_rate = valuation.worth(market.base, fill.at)
        if base_rate is None:
            return None
        value = fill.quantity * base_rate
    if fill.side is Side.BUY:
        return _Trade(market.quote, notional, market.base, fill.quantity, value)
    return _Trade(market.base, fill.quantity, market.quote, notional, value)


def _fee(fill: Fill, trade: _Trade, valuation: Valuation) -> _Fee | None:
    """None where the fee's coin has no price."""
    if not fill.fee:
        return _Fee(ZERO, ZERO, ZERO, ZERO, in_coin=False)
    coin, cash = fill.fee_currency, valuation.currency
    if coin != cash and coin == trade.bought:
        value = (fill.fee * trade.value / trade.bought_quantity).quantize(SPLIT)
        return _Fee(value, value, ZERO, ZERO, in_coin=True)
    if coin != cash and coin == trade.sold:
        if fill.fee > 0:
            return _Fee(ZERO, ZERO, ZERO, fill.fee, in_coin=False)
        value = (fill.fee * trade.value / trade.sold_quantity).quantize(SPLIT)
        return _Fee(value, ZERO, value, ZERO, in_coin=True)
    rate = valuation.worth(coin, fill.at)
    if rate is None:
        return None
    value = fill.fee * rate
    if trade.sold == cash:
        return _Fee(value, value, ZERO, ZERO, coin != cash)
    if trade.bought == cash:
        return _Fee(value, ZERO, value, ZERO, coin != cash)
    half = (value / 2).quantize(SPLIT)
    return _Fee(value, half, value - half, ZERO, coin != cash)


def _add_legs(fill: Fill, trade: _Trade, fee: _Fee, cash: str, into: Gathered) -> None:
    account = account_of(fill)
    if trade.sold != cash:
        gone, got = trade.sold_quantity + fee.more_sold, trade.value - fee.off_proceeds
        into.events.append(Disposal(fill.trade_id, fill.at, trade.sold, account, gone, got, fee.off_proceeds))
    if trade.bought != cash:
        came, paid = trade.bought_quantity, trade.value + fee.on_cost
        into.events.append(Acquisition(fill.trade_id, fill.at, trade.bought, account, came, paid, fee.on_cost))
