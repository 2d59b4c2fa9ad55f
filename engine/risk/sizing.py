"""From a wished exposure to a quantity: the risk ratio, the target of a sleeve, and the order that gets there."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import ROUND_DOWN, Context, Decimal, localcontext

from engine.domain.errors import BadInput
from engine.domain.instruments import Instrument, Kind
from engine.risk.context import ONE, ZERO, known
from engine.risk.limits import RiskConfig, RiskMode, Sizer

CONSERVATIVE_RATIO = Decimal("0.01")
AGGRESSIVE_HIGH = Decimal("0.02")
AGGRESSIVE_LOW = Decimal("0.005")
SCHEDULE_START = Decimal(10_000)
SCHEDULE_END = Decimal(100_000)
NO_ORDER_SHARE = Decimal("0.10")
"""A difference under this share of the target is not worth its costs."""

_RATIO_STEP = Decimal("1E-15")
_DECAY = Decimal(4).ln(Context(prec=40)) / (SCHEDULE_END - SCHEDULE_START)
_EXACT = Context(prec=100, rounding=ROUND_DOWN)
"""Wide enough that every product below is exact, so the one division per bound is the only rounding, downwards."""


def risk_ratio(mode: RiskMode, equity: Decimal) -> Decimal:
    """Share of equity a trade may lose at its stop.

    Conservative: 1 %. Aggressive: 2 % up to 10,000, then ``0.02 * 4 ** (-(equity - 10000) / 90000)``, 0.5 % from
    100,000 on; continuous and exact at both ends. The money at risk is not monotone: it peaks at 557.21 near
    64,921 and is back at 500 at 100,000.

    Parameters
    ----------
    mode : RiskMode
    equity : Decimal
        Of the book, base currency. Below zero or NaN risks nothing.

    Returns
    -------
    Decimal
        0 to 0.02, cut (never rounded up) at 15 decimal places.

    Examples
    --------
    >>> risk_ratio(RiskMode.AGGRESSIVE, Decimal(25_000))
    Decimal('0.015874010519681')
    """
    if not known(equity) or equity < 0:
        return ZERO
    if mode is RiskMode.CONSERVATIVE:
        return CONSERVATIVE_RATIO
    if equity <= SCHEDULE_START:
        return AGGRESSIVE_HIGH
    if equity >= SCHEDULE_END:
        return AGGRESSIVE_LOW
    with localcontext(Context(prec=40)):
        ratio = AGGRESSIVE_HIGH * ((SCHEDULE_START - equity) * _DECAY).exp()
        return ratio.quantize(_RATIO_STEP, ROUND_DOWN)


@dataclass(frozen=True, slots=True)
class SizeRequest:
    """An idea and what it is sized against.

    Attributes
    ----------
    conviction : float or None
        -1 to 1 (beyond is cut); None or NaN is no opinion.
    stop_distance : Decimal or None
        Quote, positive: from the entry to the protective stop. Not used by the ``weights`` sizer.
    price : Decimal or None
        Quote: what the entry is expected to cost.
    instrument : Instrument
    sleeve_equity, book_equity : Decimal or None
        Base currency: the capital the strategy has, and all of the book's.
    config : RiskConfig
    notional_cap : Decimal or None
        Base currency: what the limits over all holdings leave for this target (`room`); None for no further cap.
    quote_rate : Decimal or None
        Base currency for one unit of quote.
    cost_rate : Decimal
        Fee, half spread and slippage to open, share of notional; caps leave room for it.
    """

    conviction: float | None
    stop_distance: Decimal | None
    price: Decimal | None
    instrument: Instrument
    sleeve_equity: Decimal | None
    book_equity: Decimal | None
    config: RiskConfig
    notional_cap: Decimal | None = None
    quote_rate: Decimal | None = ONE
    cost_rate: Decimal = ZERO


def conviction_share(conviction: float | None) -> Decimal:
    """The conviction as an exact decimal cut to -1 to 1; 0 for None, NaN and infinity.

    >>> conviction_share(0.1), conviction_share(-3.0), conviction_share(float("nan"))
    (Decimal('0.1'), Decimal('-1'), Decimal('0'))
    """
    if conviction is None or not math.isfinite(conviction):
        return ZERO
    share = Decimal(repr(float(conviction)))  # the one line where a float enters money: its shortest exact digits
    return max(-ONE, min(ONE, share))


def target_quantity(request: SizeRequest) -> Decimal:
    """Position a sleeve should have.

    ``risk``: conviction x risk ratio(book equity) x sleeve equity / stop distance. ``weights``: conviction x sleeve
    equity / price. Both are capped by leverage (spot 1) and ``notional_cap``; ``risk`` also by the largest position
    share of sleeve and of book. Anything unknown, a stop closer than a tick, and a long's stop under one tick of
    price give 0. Ask `missing_input` first where something is held: a price that is briefly unknown is no reason to
    close it.

    Returns
    -------
    Decimal
        Signed base quantity, a whole number of lots, rounded towards zero; never negative for spot.
    """
    share = conviction_share(request.conviction)
    if share == 0 or (share < 0 and not request.instrument.can_short):
        return ZERO
    with localcontext(_EXACT):
        lots = _lots(request, abs(share), long=share > 0)
        return (lots if share > 0 else -lots) * request.instrument.lot_size if lots > 0 else ZERO


def missing_input(request: SizeRequest) -> str:
    """Name of the first fact about market or capital that is unknown, so that the target 0 means "cannot say".

    Empty when all are known; conviction and stop distance are the strategy's own and not looked at.
    """
    if not known(request.price):
        return "price"
    if not known(request.quote_rate):
        return "quote rate"
    if not known(request.sleeve_equity):
        return "equity of the strategy"
    return "" if known(request.book_equity) else "equity of the book"


def _lots(request: SizeRequest, share: Decimal, *, long: bool) -> Decimal:
    price, rate, sleeve, book = request.price, request.quote_rate, request.sleeve_equity, request.book_equity
    if not (known(price) and known(rate) and known(sleeve) and known(book) and known(request.cost_rate)):
        return ZERO
    if min(price, rate, sleeve, book) <= 0 or request.cost_rate < 0:
        return ZERO
    lot_value = price * rate * request.instrument.lot_size
    capped = _cap(request, sleeve, book) // (lot_value * (ONE + request.cost_rate))
    if request.config.sizer is Sizer.WEIGHTS:
        return min(capped, share * sleeve // (lot_value * (ONE + request.cost_rate)))
    distance = _usable_distance(request, price, long=long)
    if distance is None:
        return ZERO
    at_risk = share * risk_ratio(request.config.mode, book) * sleeve
    return min(capped, at_risk // (distance * rate * request.instrument.lot_size))


def _usable_distance(request: SizeRequest, price: Decimal, *, long: bool) -> Decimal | None:
    distance = request.stop_distance
    if not known(distance) or distance < request.instrument.tick_size:
        return None
    return None if long and price - distance < request.instrument.tick_size else distance


def _cap(request: SizeRequest, sleeve: Decimal, book: Decimal) -> Decimal:
    """Largest notional in base currency; 0 when a cap is not a number."""
    config, instrument = request.config, request.instrument
    leverage = ONE if instrument.kind is Kind.SPOT else min(config.max_leverage, instrument.max_leverage)
    caps = [leverage * sleeve]
    if config.sizer is Sizer.RISK:
        caps += [config.max_position_share * sleeve, config.max_position_share * book]
    if request.notional_cap is not None:
        caps.append(request.notional_cap)
    for cap in caps:
        if not cap.is_finite():
            return ZERO
    return max(ZERO, min(caps))


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """What the book holds besides the position being sized; base currency, None unknown.

    ``gross`` is the sum of absolute notionals, ``coin`` the signed notional of the same base coin over all venues.
    """

    gross: Decimal | None
    coin: Decimal | None


def room(config: RiskConfig, book_equity: Decimal | None, elsewhere: Elsewhere, direction: int) -> Decimal:
    """Largest notional that exposure and concentration leave for a position in ``direction`` (1 long, -1 short).

    Returns
    -------
    Decimal
        Base currency, 0 or more; 0 when anything is unknown. Give it as ``SizeRequest.notional_cap``, so that a
        target is cut to fit instead of its order being refused.
    """
    if direction not in (1, -1):
        raise BadInput(f"direction {direction} must be 1 (long) or -1 (short)")
    gross, coin = elsewhere.gross, elsewhere.coin
    if not (known(book_equity) and known(gross) and known(coin)):
        return ZERO
    by_exposure = config.max_exposure * book_equity - gross
    by_coin = config.max_concentration * book_equity - direction * coin
    return max(ZERO, min(by_exposure, by_coin))


def order_quantity(
    target: Decimal, held: Decimal, working: Decimal, instrument: Instrument, price: Decimal | None
) -> Decimal:
    """Order that moves a sleeve from what it holds and has working to its target.

    A change of sign goes to zero first, and the rest follows at the next decision: the first half is an exit that
    passes in every trading state, the second an entry with its own stop. The order is 0 while the difference is under
    the larger of the venue's minimum value and 10 % of the target; going to zero knows no threshold.

    Parameters
    ----------
    target, held, working : Decimal
        Signed base; ``working`` is the unfilled part of the sleeve's orders, protective stops and targets left out.
    instrument : Instrument
    price : Decimal or None
        Quote, positive; None (unknown) allows only going to zero.

    Returns
    -------
    Decimal
        Signed base, positive buys; a whole number of lots, rounded towards zero. 0 when an input is not a number.
    """
    if not (known(target) and known(held) and known(working)):
        return ZERO
    with localcontext(_EXACT):
        effective = held + working
        if target == 0 or target * effective < 0:
            return instrument.round_quantity(-effective)
        difference = instrument.round_quantity(target - effective)
        if not known(price) or price <= 0:
            return ZERO
        threshold = max(instrument.min_notional, NO_ORDER_SHARE * abs(target) * price)
        return ZERO if abs(difference) * price < threshold else difference


def is_dust(quantity: Decimal, instrument: Instrument, price: Decimal) -> bool:
    """Whether a position is too small to be closed at the venue: under a lot, or worth less than its minimum.

    Parameters
    ----------
    quantity : Decimal
        Signed base.
    instrument : Instrument
    price : Decimal
        Quote.
    """
    whole_lots = abs(instrument.round_quantity(quantity))
    return whole_lots == 0 or whole_lots * price < instrument.min_notional
