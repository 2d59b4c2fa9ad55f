"""Forced close of a derivative position whose margin a candle has exhausted.

The account's equity in the quote coin (its balance plus the open gains and losses of every position in that coin;
other coins do not count) must stay above the maintenance share of the open notional. The price at which it does not,
all other marks unchanged, is the position's liquidation price. A candle that reaches it closes the whole position at
the worse of that price and the open, plus half the spread, slippage and the impact of all of it, at the taker fee,
whatever the volume. Working orders of the instrument are cancelled first. The balance may end below zero; nobody makes
up for it.
"""

from __future__ import annotations

from decimal import Decimal

from engine.domain.instruments import InstrumentKey
from engine.domain.market import Candle
from engine.domain.orders import Side
from engine.exchanges.paper.accounts import Accounts
from engine.exchanges.paper.costs import EXACT, PaperCosts, against_trader
from engine.exchanges.paper.impact import taking_share
from engine.exchanges.paper.orders import NOTHING
from engine.exchanges.paper.turn import Turn


def liquidate_if_exhausted(turn: Turn, costs: PaperCosts, candle: Candle) -> None:
    """Close the position in the candle's instrument if the candle reached its liquidation price."""
    accounts, instrument = turn.state.accounts, turn.state.instruments[candle.instrument]
    held = accounts.held(candle.instrument)
    if not held:
        return
    price = liquidation_price(accounts, instrument.quote, candle.instrument, costs)
    if held > 0 and candle.low <= price:
        side, raw = Side.SELL, min(price, candle.open)
    elif held < 0 and candle.high >= price:
        side, raw = Side.BUY, max(price, candle.open)
    else:
        return
    share = taking_share(costs, candle, abs(held), instrument)
    turn.liquidate(instrument, against_trader(raw * (1 + side.sign * share), side, instrument))


def liquidation_price(accounts: Accounts, quote: str, key: InstrumentKey, costs: PaperCosts) -> Decimal:
    """Price (quote) of ``key`` at which equity equals maintenance: ``(m N + q e - E) / (q - m |q|)``.

    ``q`` is the signed position, ``e`` its entry, ``E`` balance and gains without it, ``N`` the notional of the others,
    ``m`` the maintenance share. Zero or negative means that no fall of the price exhausts the margin.
    """
    position, maintenance = accounts.positions[key], costs.maintenance_margin
    equity, notional = accounts.total(quote), NOTHING
    for other, held in accounts.positions.items():
        if other != key and accounts.quote_of(other) == quote:
            equity += accounts.unrealised(other)
            notional += abs(held.quantity) * accounts.mark(other)
    span = position.quantity - maintenance * abs(position.quantity)
    return EXACT.divide(maintenance * notional + position.cost - equity, span)
