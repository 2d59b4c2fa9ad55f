"""What the gate is told about the world when it judges one order, and how a rule says no."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TypeGuard

from engine.domain.commands import TradingState
from engine.domain.instruments import Instrument
from engine.domain.market import Timeframe
from engine.domain.orders import OrderIntent, OrderType, Purpose
from engine.risk.limits import RiskConfig

ZERO = Decimal(0)
ONE = Decimal(1)
BASIS_POINT = Decimal("0.0001")


@dataclass(frozen=True, slots=True)
class GateContext:
    """State of the book at the instant of the decision. None means unknown, and unknown refuses new risk.

    Attributes
    ----------
    now : datetime
        Market time.
    instrument : Instrument or None
        None: not in the book's table.
    price, price_at : Decimal or None, datetime or None
        Mark in quote and its market time.
    bar : Timeframe
        Length of the candles that carry this instrument's price.
    state : TradingState
        The most restrictive of book, venue and account.
    venue_online : bool or None
    equity : Decimal or None
        Of the book, base currency.
    free_balance : Decimal or None
        Quote currency at the venue, reservations already deducted.
    free_base : Decimal or None
        Spot only: base coins the sleeve may sell, net of working sells.
    account_position, sleeve_position : Decimal or None
        Signed base, from fills only: the sum over all sleeves, and the part of the intent's sleeve.
    pending_exits : Decimal or None
        Unsigned base: unfilled exits that may fill beside this one (of the sleeve; of the account for FLATTEN).
        A protective stop that shrinks when this order fills is not among them.
    working_entries : Decimal or None
        Unsigned base: unfilled entries of the account on this order's side, UNKNOWN ones counted in full.
    parent_quantity : Decimal or None
        Signed base: unfilled part of the entry named by ``parent_id`` (positive for a buy); 0 without a parent.
    gross_exposure : Decimal or None
        Base currency: sum of absolute notionals, working and UNKNOWN entries included, this order not.
    coin_exposure : Decimal or None
        Base currency, signed: the same for this base coin over all venues.
    orders_last_minute : int or None
        Entries approved in the last 60 s of market time.
    day_loss : Decimal or None
        Share of unit value at the day's start, positive for a loss.
    drawdown, sleeve_drawdown : Decimal or None
        Share below the peak, 0 to 1, of book and sleeve.
    stop_attached : bool or None
        Whether the entry is sent with a protective stop.
    fee_bps : Decimal or None
        Basis points of notional to reserve beside it: taker fee plus a cushion for spread and slippage.
    quote_rate : Decimal or None
        Base currency of the book for one unit of quote.
    daily_var : Decimal or None
        One-day 95 % value at risk of the present holdings, share of equity; None blocks nothing.
    base_currency : str
        Of the book; named in what a refusal says.
    obstacle : str or None
        Why the venue is not to be given new risk now, in words; "" where nothing speaks against it.
    """

    now: datetime
    instrument: Instrument | None
    price: Decimal | None
    price_at: datetime | None
    bar: Timeframe
    state: TradingState
    venue_online: bool | None
    equity: Decimal | None
    free_balance: Decimal | None
    free_base: Decimal | None
    account_position: Decimal | None
    sleeve_position: Decimal | None
    gross_exposure: Decimal | None
    coin_exposure: Decimal | None
    orders_last_minute: int | None
    day_loss: Decimal | None
    drawdown: Decimal | None
    sleeve_drawdown: Decimal | None
    stop_attached: bool | None
    fee_bps: Decimal | None
    pending_exits: Decimal | None = ZERO
    working_entries: Decimal | None = ZERO
    parent_quantity: Decimal | None = ZERO
    quote_rate: Decimal | None = ONE
    daily_var: Decimal | None = None
    base_currency: str = ""
    obstacle: str | None = ""

    def money(self, value: Decimal) -> str:
        """An amount of the book for people, with its currency."""
        return f"{rounded(value)} {self.base_currency}".rstrip()

    def coins(self, quantity: Decimal) -> str:
        """A quantity for people, with the coin it is of where the instrument is known."""
        coin = self.instrument.base if self.instrument is not None else ""
        return f"{plain(quantity)} {coin}".rstrip()


@dataclass(frozen=True, slots=True)
class Breach:
    """Why a rule says no: what was found, what is allowed, and both in a sentence."""

    value: str
    limit: str
    detail: str


Rule = Callable[[OrderIntent, GateContext, RiskConfig], Breach | None]
"""Pure: None lets the order pass. An input that is None or not a number is a breach."""


def known(value: Decimal | None) -> TypeGuard[Decimal]:
    """Whether there is a finite number; NaN and infinity are as good as nothing."""
    return value is not None and value.is_finite()


def unknown(what: str, limit: str) -> Breach:
    """The breach of a rule that lacks an input."""
    return Breach("unknown", limit, f"{what} is unknown, so nothing new may be opened")


def is_exit(intent: OrderIntent) -> bool:
    """Whether the order goes by the rules for exits: any purpose but ENTRY, or flagged reduce-only."""
    return intent.purpose is not Purpose.ENTRY or intent.reduce_only


def order_price(intent: OrderIntent, price: Decimal | None) -> Decimal | None:
    """Quote price the order is expected to trade at: its limit, its trigger, else the mark; None if unknown."""
    if intent.order_type is OrderType.LIMIT:
        price = intent.limit_price
    elif intent.order_type is OrderType.STOP:
        price = intent.stop_price
    return price if known(price) and price > 0 else None


def unit_notional(intent: OrderIntent, context: GateContext) -> Decimal | None:
    """Base currency for one unit of base coin, at the dearer of mark and order price; None if unknown."""
    own, mark, rate = order_price(intent, context.price), context.price, context.quote_rate
    if own is None or not known(mark) or not known(rate) or mark <= 0 or rate <= 0:
        return None
    return max(own, mark) * rate


def plain(value: Decimal | None) -> str:
    """Digits without exponent; ``unknown`` for None."""
    return "unknown" if value is None else f"{value:f}"


def rounded(value: Decimal, places: int = 2) -> str:
    """Digits for people, grouped by thousands."""
    return f"{value:,.{places}f}"


def percent(share: Decimal) -> str:
    """A share as percent with two digits."""
    return f"{share * 100:.2f} %"
