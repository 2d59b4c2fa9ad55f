"""The rules for orders that may add risk: each pure, each refusing what it cannot compute."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

from engine.domain.commands import TradingState
from engine.domain.instruments import Instrument, Kind
from engine.domain.orders import OrderIntent, OrderType, Purpose, Side
from engine.risk.context import (
    BASIS_POINT,
    ONE,
    ZERO,
    Breach,
    GateContext,
    is_exit,
    known,
    order_price,
    percent,
    plain,
    rounded,
    unit_notional,
    unknown,
)
from engine.risk.limits import RiskConfig, RiskMode

PEOPLE_AND_HEDGES = frozenset({"manual", "hedge", "external"})
"""Sleeves that are no strategy: they have no drawdown of their own and need no protective stop."""

HALTED_PURPOSES = frozenset({Purpose.EXIT, Purpose.STOP, Purpose.FLATTEN})
"""What the engine may still send reduce-only while HALTED."""


def known_instrument(intent: OrderIntent, context: GateContext, config: RiskConfig) -> Breach | None:
    """The order names an instrument of the book's table."""
    instrument = context.instrument
    if instrument is None:
        return Breach("unknown", "listed", f"{intent.instrument} is not an instrument this book knows")
    key = instrument.key
    if key == intent.instrument:
        return None
    return Breach(intent.instrument, key, f"the order is for {intent.instrument}, the facts are of {key}")


def trading_state(intent: OrderIntent, context: GateContext, config: RiskConfig) -> Breach | None:
    """ACTIVE allows all, CLOSE_ONLY exits, HALTED reduce-only exits, stops and flattening, LOCKED nothing."""
    state = context.state
    if state is TradingState.ACTIVE:
        return None
    if state is TradingState.CLOSE_ONLY:
        if is_exit(intent):
            return None
        return Breach(state.value, "ACTIVE", "the book is close-only: it may reduce positions, not open them")
    if state is TradingState.HALTED:
        if intent.reduce_only and intent.purpose in HALTED_PURPOSES:
            return None
        return Breach(state.value, "ACTIVE", "the book is halted: only reduce-only exits may be sent")
    if state is TradingState.LOCKED:
        return Breach(state.value, "ACTIVE", "the venue is locked: no order may be sent until its keys work again")
    return unknown("the trading state", "ACTIVE")


def venue_online(intent: OrderIntent, context: GateContext, config: RiskConfig) -> Breach | None:
    """The venue answers."""
    if context.venue_online is True:
        return None
    if context.venue_online is None:
        return unknown("whether the venue answers", "online")
    return Breach("offline", "online", "the venue does not answer, so nothing new may be opened there")


def venue_ready(intent: OrderIntent, context: GateContext, config: RiskConfig) -> Breach | None:
    """The venue is ONLINE and reconciled, nothing on the instrument cools down or is UNKNOWN on the order's side."""
    if context.obstacle == "":
        return None
    if context.obstacle is None:
        return unknown("how the venue stands", "ready")
    return Breach("not ready", "ready", f"nothing may be opened there now: {context.obstacle}")


def fresh_price(intent: OrderIntent, context: GateContext, config: RiskConfig) -> Breach | None:
    """The mark is at most ``max_price_age_bars`` bars old and not from the future."""
    allowed_s = config.max_price_age_bars * context.bar.seconds
    limit = f"{allowed_s} s"
    if not known(context.price) or context.price <= 0 or context.price_at is None:
        return unknown("the price", limit)
    age_s = (context.now - context.price_at).total_seconds()
    if 0 <= age_s <= allowed_s:
        return None
    value = f"{age_s:.0f} s"
    if age_s < 0:
        return Breach(value, limit, f"the price is dated {-age_s:.0f} s ahead of the market's time")
    return Breach(value, limit, f"the last price is {age_s:.0f} s old, {allowed_s} s are allowed")


def price_band(intent: OrderIntent, context: GateContext, config: RiskConfig) -> Breach | None:
    """Reference and order price lie within ``price_band`` of the mark, the bound included."""
    mark, own, reference = context.price, order_price(intent, context.price), intent.reference_price
    limit = percent(config.price_band)
    if not known(mark) or mark <= 0 or own is None or not known(reference):
        return unknown("a price", limit)
    distance = max(abs(own - mark), abs(reference - mark))
    if distance <= config.price_band * mark:
        return None
    share = percent(distance / mark)
    quote = f" {context.instrument.quote}" if context.instrument is not None else ""
    text = f"the order's price is {share} from the mark {plain(mark)}{quote}, {limit} is allowed"
    return Breach(share, limit, text)


def precision(intent: OrderIntent, context: GateContext, config: RiskConfig) -> Breach | None:
    """Quantity is a positive number of lots; the prices the order type needs are positive and on the tick."""
    instrument, quantity = context.instrument, intent.quantity
    if instrument is None:
        return unknown("the instrument's grid", "lot and tick")
    if not _on_grid(quantity, instrument.lot_size):
        lot, text = context.coins(instrument.lot_size), context.coins(quantity)
        return Breach(text, lot, f"quantity {text} is not a positive number of lots of {lot}")
    return _price_off_grid(intent, instrument)


def _price_off_grid(intent: OrderIntent, instrument: Instrument) -> Breach | None:
    limit, stop, quote = intent.limit_price, intent.stop_price, instrument.quote
    tick = f"{plain(instrument.tick_size)} {quote}"
    if intent.order_type is OrderType.LIMIT and limit is None:
        return Breach("none", tick, "a limit order needs a limit price")
    if intent.order_type is OrderType.STOP and stop is None:
        return Breach("none", tick, "a stop order needs a stop price")
    for name, price in (("limit", limit), ("stop", stop)):
        if price is not None and not _on_grid(price, instrument.tick_size):
            text = f"{plain(price)} {quote}"
            return Breach(text, tick, f"{name} price {text} is not a positive number of ticks of {tick}")
    return None


def _on_grid(value: Decimal, step: Decimal) -> bool:
    if not known(value) or value <= 0:
        return False
    try:
        return value % step == 0
    except InvalidOperation:  # more steps than the arithmetic has digits
        return False


def min_notional(intent: OrderIntent, context: GateContext, config: RiskConfig) -> Breach | None:
    """The order is worth at least what the venue accepts, in quote."""
    instrument, price = context.instrument, order_price(intent, context.price)
    if instrument is None or price is None or not known(intent.quantity):
        return unknown("the order's value", "venue minimum")
    value = intent.quantity * price
    if value >= instrument.min_notional:
        return None
    limit = f"{plain(instrument.min_notional)} {instrument.quote}"
    text = f"{rounded(value)} {instrument.quote}"
    return Breach(text, limit, f"the order is worth {text}, the venue accepts no less than {limit}")


def protective_stop(intent: OrderIntent, context: GateContext, config: RiskConfig) -> Breach | None:
    """An entry of a strategy is sent with its protective stop."""
    if intent.sleeve in PEOPLE_AND_HEDGES or context.stop_attached is True:
        return None
    return Breach("none", "a stop", "a strategy opens nothing without a protective stop")


def order_rate(intent: OrderIntent, context: GateContext, config: RiskConfig) -> Breach | None:
    """Fewer than ``max_orders_per_minute`` entries were approved in the last minute of market time."""
    count, most = context.orders_last_minute, config.max_orders_per_minute
    if count is None or count < 0:
        return unknown("the number of orders in the last minute", f"{most} a minute")
    if count < most:
        return None
    return Breach(str(count), f"{most} a minute", f"{count} orders in the last minute, {most} are allowed")


def daily_loss(intent: OrderIntent, context: GateContext, config: RiskConfig) -> Breach | None:
    """The day's loss is below ``daily_loss``; at the limit entries stop."""
    loss, limit = context.day_loss, percent(config.daily_loss)
    if not known(loss):
        return unknown("today's result", limit)
    if loss < config.daily_loss:
        return None
    return Breach(percent(loss), limit, f"today's loss is {percent(loss)} of equity; entries stop at {limit}")


def drawdown(intent: OrderIntent, context: GateContext, config: RiskConfig) -> Breach | None:
    """Book and strategy are above their drawdown limits; at the limit entries stop."""
    most = config.entry_drawdown_limit
    if not known(context.drawdown):
        return unknown("the book's drawdown", percent(most))
    if context.drawdown >= most:
        return _too_deep("the book", context.drawdown, most)
    if intent.sleeve in PEOPLE_AND_HEDGES:
        return None
    if not known(context.sleeve_drawdown):
        return unknown("the drawdown of the strategy", percent(config.strategy_drawdown))
    if context.sleeve_drawdown >= config.strategy_drawdown:
        return _too_deep("the strategy", context.sleeve_drawdown, config.strategy_drawdown)
    return None


def _too_deep(who: str, found: Decimal, most: Decimal) -> Breach:
    value, limit = percent(found), percent(most)
    return Breach(value, limit, f"{who} is {value} below its peak; entries stop at {limit}")


def value_at_risk(intent: OrderIntent, context: GateContext, config: RiskConfig) -> Breach | None:
    """In conservative mode the one-day value at risk is at most ``daily_var``; too little history blocks nothing."""
    found = context.daily_var
    if found is None or config.mode is not RiskMode.CONSERVATIVE:
        return None
    limit = percent(config.daily_var)
    if not known(found):
        return unknown("the value at risk", limit)
    if found <= config.daily_var:
        return None
    return Breach(percent(found), limit, f"one-day value at risk is {percent(found)} of equity, {limit} is allowed")


def position(intent: OrderIntent, context: GateContext, config: RiskConfig) -> Breach | None:
    """The position after this and every working entry is at most ``max_position_share`` of equity, or shrinks."""
    return _position_above(intent, context, config.max_position_share, "position")


def leverage(intent: OrderIntent, context: GateContext, config: RiskConfig) -> Breach | None:
    """The position after the order is at most the leverage of limit and instrument times equity; spot has 1."""
    if context.instrument is None:
        return unknown("the instrument's leverage", f"{plain(config.max_leverage)} x")
    return _position_above(intent, context, allowed_leverage(context.instrument, config), "leveraged position")


def allowed_leverage(instrument: Instrument, config: RiskConfig) -> Decimal:
    """Multiple of equity one position may reach: 1 for spot, else the lower of limit and instrument."""
    return ONE if instrument.kind is Kind.SPOT else min(config.max_leverage, instrument.max_leverage)


def _position_above(intent: OrderIntent, context: GateContext, most: Decimal, what: str) -> Breach | None:
    held, working = context.account_position, context.working_entries
    unit, equity, limit = unit_notional(intent, context), context.equity, percent(most)
    if unit is None or not (known(held) and known(working) and known(equity) and known(intent.quantity)):
        return unknown(f"the {what}", limit)
    after = abs(held + intent.side.sign * (working + intent.quantity))
    if after * unit <= most * equity or after <= abs(held):
        return None
    value, allowed = context.money(after * unit), context.money(most * equity)
    return Breach(value, allowed, f"the {what} would be worth {value}, {limit} of equity are {allowed}")


def exposure(intent: OrderIntent, context: GateContext, config: RiskConfig) -> Breach | None:
    """The sum of all positions is at most ``max_exposure`` times equity, unless the order adds nothing to it."""
    unit, opening, equity = unit_notional(intent, context), opening_quantity(intent, context), context.equity
    gross = context.gross_exposure
    if unit is None or opening is None or not (known(equity) and known(gross)):
        return unknown("the exposure", f"{plain(config.max_exposure)} x equity")
    after, most = gross + opening * unit, config.max_exposure * equity
    if after <= most or opening == 0:
        return None
    value, limit = context.money(after), context.money(most)
    return Breach(value, limit, f"all positions together would be worth {value}, {limit} are allowed")


def opening_quantity(intent: OrderIntent, context: GateContext) -> Decimal | None:
    """Base quantity of the order beyond what closes the account's position; None if unknown."""
    held, exits = context.account_position, context.pending_exits
    if not (known(held) and known(exits) and known(intent.quantity)):
        return None
    closing = max(ZERO, -intent.side.sign * held - exits)
    return max(ZERO, intent.quantity - closing)


def concentration(intent: OrderIntent, context: GateContext, config: RiskConfig) -> Breach | None:
    """One coin over all venues is at most ``max_concentration`` of equity, unless the order lowers it."""
    unit, coin, equity = unit_notional(intent, context), context.coin_exposure, context.equity
    if unit is None or not (known(coin) and known(equity) and known(intent.quantity)):
        return unknown("the holding of the coin", percent(config.max_concentration))
    after, most = abs(coin + intent.side.sign * intent.quantity * unit), config.max_concentration * equity
    if after <= most or after <= abs(coin):
        return None
    value, limit = context.money(after), context.money(most)
    return Breach(value, limit, f"the coin over all venues would be worth {value}, {limit} are allowed")


def coins_to_sell(intent: OrderIntent, context: GateContext, config: RiskConfig) -> Breach | None:
    """On spot nothing is sold that its sleeve does not hold, free of other orders; asked before what size is allowed,
    since such an order would open no position but fail.
    """
    instrument, free, held = context.instrument, context.free_base, context.sleeve_position
    if instrument is None:
        return unknown("the instrument", "coins held")
    if instrument.kind is not Kind.SPOT or intent.side is not Side.SELL:
        return None
    if not (known(free) and known(held) and known(intent.quantity)):
        return unknown(f"the free {instrument.base}", "coins held")
    free = max(ZERO, free)
    if intent.quantity <= free:
        return None
    value, limit = context.coins(intent.quantity), context.coins(free)
    who = "orders by hand hold" if intent.sleeve == "manual" else "its strategy holds"
    text = f"the order sells {value}; {who} {context.coins(held)} at {instrument.venue}, {limit} of it free to sell"
    return Breach(value, limit, f"{text}. Coins of your own there are not the engine's to sell")


def free_balance(intent: OrderIntent, context: GateContext, config: RiskConfig) -> Breach | None:
    """What the order needs is free at the venue after every reservation: quote with costs, or margin."""
    instrument = context.instrument
    if instrument is None:
        return unknown("the instrument", "free balance")
    if instrument.kind is Kind.SPOT and intent.side is Side.SELL:
        return None
    need, free = _quote_needed(intent, context, config), context.free_balance
    if need is None or not known(free):
        return unknown("the free balance", "free balance")
    if need <= free:
        return None
    value, limit = f"{rounded(need)} {instrument.quote}", f"{rounded(free)} {instrument.quote}"
    return Breach(value, limit, f"the order needs {value} with costs, {limit} are free at {instrument.venue}")


def _quote_needed(intent: OrderIntent, context: GateContext, config: RiskConfig) -> Decimal | None:
    instrument, price = context.instrument, order_price(intent, context.price)
    fee, opening = context.fee_bps, opening_quantity(intent, context)
    if instrument is None or price is None or opening is None or not known(fee) or fee < 0:
        return None
    costs = intent.quantity * price * fee * BASIS_POINT
    if instrument.kind is Kind.SPOT:
        return intent.quantity * price + costs
    return opening * price / allowed_leverage(instrument, config) + costs
