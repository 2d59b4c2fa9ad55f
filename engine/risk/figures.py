"""Portfolio figures for pages: exposure, concentration, correlation, tail risk and stress of what is held now.

Money is Decimal in the book's base currency, losses positive; statistics run on float arrays in `engine.quant`. What
cannot be computed is None with its reason, never zero.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from engine.domain.errors import BadInput
from engine.quant.portfolio import correlation_matrix, herfindahl
from engine.quant.stress import SCENARIOS, Scenario
from engine.quant.tailrisk import historical
from engine.risk.context import ZERO, known

FloatArray = NDArray[np.float64]
Returns = Mapping[str, FloatArray]
"""Simple daily returns by coin, float64[n] of one length, aligned by day, oldest first; NaN where a day is missing."""

CONFIDENCES = (Decimal("0.95"), Decimal("0.99"))
TAIL_POINTS = 10
"""Fewest observations beyond the quantile: 200 days for 95 %, 1,000 for 99 %; below it a tail is an anecdote."""
CORRELATION_DAYS = 30
"""Fewest days of a correlation: at 30 its standard error is about 0.19."""


@dataclass(frozen=True, slots=True)
class Holding:
    """A position in one coin at one venue; ``notional`` signed, base currency. Cash that does not move is none."""

    coin: str
    venue: str
    notional: Decimal


@dataclass(frozen=True, slots=True)
class Part:
    """A coin or venue: its notional (base currency, signed for a coin) and its share of all parts (0 to 1)."""

    name: str
    notional: Decimal
    share: Decimal


@dataclass(frozen=True, slots=True)
class Exposure:
    """How much is held, and how concentrated.

    Attributes
    ----------
    gross, net : Decimal
        Base currency: sum of absolute and of signed notionals.
    gross_share, net_share : Decimal or None
        Multiples of equity; None while equity is unknown or not positive.
    coins : tuple of Part
        Net over all venues, largest first.
    venues : tuple of Part
        Gross at each venue, largest first.
    coin_hhi, venue_hhi : float or None
        Herfindahl index, 1/n to 1 (all in one); None when nothing is held.
    """

    gross: Decimal
    net: Decimal
    gross_share: Decimal | None
    net_share: Decimal | None
    coins: tuple[Part, ...]
    venues: tuple[Part, ...]
    coin_hhi: float | None
    venue_hhi: float | None


@dataclass(frozen=True, slots=True)
class Correlation:
    """Pearson correlation of daily returns: ``matrix[i][j]`` of ``coins[i]`` and ``coins[j]``, None if it is unknown.

    ``reason`` says why all of it is unknown, else it is empty.
    """

    coins: tuple[str, ...]
    matrix: tuple[tuple[float | None, ...], ...]
    observations: int
    reason: str


@dataclass(frozen=True, slots=True)
class TailFigure:
    """One-day historical VaR and CVaR of the present holdings at one confidence.

    ``var`` and ``cvar`` are losses in base currency, the shares are of equity; None when unknown, with ``reason``.
    """

    confidence: Decimal
    var: Decimal | None
    cvar: Decimal | None
    var_share: Decimal | None
    cvar_share: Decimal | None
    observations: int
    reason: str


@dataclass(frozen=True, slots=True)
class StressRow:
    """What a scenario costs: ``loss`` in base currency (negative is a gain), ``share`` of equity.

    ``proxy`` names the coins shocked with a stand-in and why; ``caveat`` what the scenario leaves out.
    """

    scenario: str
    title: str
    loss: Decimal
    share: Decimal | None
    proxy: str
    caveat: str


def exposure(holdings: Sequence[Holding], equity: Decimal | None) -> Exposure:
    """Gross, net, shares and concentration of what is held.

    Raises
    ------
    BadInput
        When a notional is not a number; leave unpriced coins out and list them beside the figure.
    """
    coins: dict[str, Decimal] = {}
    venues: dict[str, Decimal] = {}
    for holding in holdings:
        _refuse_unknown(holding.notional, f"{holding.coin} at {holding.venue}")
        coins[holding.coin] = coins.get(holding.coin, ZERO) + holding.notional
        venues[holding.venue] = venues.get(holding.venue, ZERO) + abs(holding.notional)
    gross, net = sum(venues.values(), ZERO), sum(coins.values(), ZERO)
    return Exposure(
        gross=gross,
        net=net,
        gross_share=_share(gross, equity),
        net_share=_share(net, equity),
        coins=_parts(coins),
        venues=_parts(venues),
        coin_hhi=_concentration(coins),
        venue_hhi=_concentration(venues),
    )


def correlation(returns: Returns, coins: Sequence[str]) -> Correlation:
    """Correlation matrix of the coins held, over the days all of them have.

    Raises
    ------
    BadInput
        When the arrays differ in length.
    """
    names = tuple(sorted(set(coins)))
    unknown = tuple((None,) * len(names) for _ in names)
    table, reason = _complete_days(returns, names)
    if not reason and len(table) < CORRELATION_DAYS:
        reason = f"{len(table)} days in common, {CORRELATION_DAYS} are needed"
    if reason or not names:
        return Correlation(names, unknown, len(table), reason)
    matrix = tuple(tuple(_or_none(value) for value in row) for row in correlation_matrix(table).tolist())
    return Correlation(names, matrix, len(table), "")


def tail_risk(notionals: Mapping[str, Decimal], returns: Returns, equity: Decimal | None) -> tuple[TailFigure, ...]:
    """Historical one-day VaR and CVaR of the present holdings, at 95 and 99 %.

    Every past day is replayed on today's notionals; the quantile is an observed loss. It is never scaled to longer
    horizons.

    Parameters
    ----------
    notionals : mapping of str to Decimal
        Signed base currency by coin.
    returns : Returns
    equity : Decimal or None
        Base currency.

    Returns
    -------
    tuple of TailFigure
        One per confidence; unknown below ``10 / (1 - confidence)`` complete days, or without a coin's history.

    Raises
    ------
    BadInput
        When a notional is not a number or the arrays differ in length.
    """
    held = {coin: _refuse_unknown(notional, coin) for coin, notional in notionals.items() if notional != 0}
    if not held:
        share = None if _share(ZERO, equity) is None else ZERO
        return tuple(TailFigure(level, ZERO, ZERO, share, share, 0, "nothing is held") for level in CONFIDENCES)
    names = tuple(sorted(held))
    table, reason = _complete_days(returns, names)
    profits = table @ np.array([float(held[name]) for name in names])
    return tuple(_tail_figure(level, profits, equity, reason) for level in CONFIDENCES)


def _tail_figure(confidence: Decimal, profits: FloatArray, equity: Decimal | None, reason: str) -> TailFigure:
    days, needed = len(profits), int(TAIL_POINTS / (1 - confidence))
    if not reason and days < needed:
        reason = f"{days} days of history, {needed} are needed"
    if reason:
        return TailFigure(confidence, None, None, None, None, days, reason)
    risk = historical(profits, float(1 - confidence))
    var, cvar = _money(risk.var), _money(risk.cvar)
    return TailFigure(confidence, var, cvar, _share(var, equity), _share(cvar, equity), days, "")


def stress_rows(notionals: Mapping[str, Decimal], equity: Decimal | None) -> tuple[StressRow, ...]:
    """Loss of the present holdings in every dated scenario, sizes held constant; see `engine.quant.stress`.

    Raises
    ------
    BadInput
        When a notional is not a number.
    """
    held = {coin: _refuse_unknown(notional, coin) for coin, notional in notionals.items() if notional != 0}
    return tuple(_stress_row(scenario, held, equity) for scenario in SCENARIOS.values())


def _stress_row(scenario: Scenario, held: Mapping[str, Decimal], equity: Decimal | None) -> StressRow:
    shocks = {coin: scenario.shock_of(coin) for coin in sorted(held)}
    loss = -sum((held[coin] * Decimal(repr(shock.fall)) for coin, shock in shocks.items()), ZERO)
    proxy = "; ".join(f"{coin}: {shock.proxy}" for coin, shock in shocks.items() if shock.proxy)
    return StressRow(scenario.name, scenario.title, loss + ZERO, _share(loss, equity), proxy, scenario.caveat)


def venue_loss_rows(held_at: Mapping[str, Decimal], equity: Decimal | None) -> tuple[StressRow, ...]:
    """What is lost when one venue fails and everything there is gone, for each venue, dearest first.

    A price shock does not cover this: when FTX failed its customers lost balances, not only prices.

    Parameters
    ----------
    held_at : mapping of str to Decimal
        Cash, coins and unrealised P&L by venue, base currency; a debt to a venue is no loss.
    equity : Decimal or None

    Raises
    ------
    BadInput
        When a value is not a number.
    """
    losses = {venue: max(ZERO, _refuse_unknown(value, venue)) for venue, value in held_at.items()}
    ordered = sorted(losses.items(), key=lambda item: (-item[1], item[0]))
    caveat = "Prices are left unchanged."
    return tuple(
        StressRow(f"venue_loss_{venue}", f"{venue} fails", loss, _share(loss, equity), "", caveat)
        for venue, loss in ordered
    )


def _complete_days(returns: Returns, names: Sequence[str]) -> tuple[FloatArray, str]:
    """Table of the days on which every coin has a return, and why it is empty of meaning."""
    missing = [name for name in names if name not in returns]
    if missing:
        return np.empty((0, len(names))), f"no price history of {', '.join(missing)}"
    columns = [np.asarray(returns[name], dtype=np.float64) for name in names]
    lengths = {len(column) for column in columns}
    if len(lengths) > 1:
        text = ", ".join(f"{name} {len(column)}" for name, column in zip(names, columns, strict=True))
        raise BadInput(f"returns must be aligned by day, got lengths {text}")
    table = np.column_stack(columns) if columns else np.empty((0, 0))
    return table[np.isfinite(table).all(axis=1)], ""


def _parts(notionals: Mapping[str, Decimal]) -> tuple[Part, ...]:
    total = sum((abs(value) for value in notionals.values()), ZERO)
    parts = [Part(name, value, abs(value) / total if total else ZERO) for name, value in notionals.items()]
    return tuple(sorted(parts, key=lambda part: (-part.share, part.name)))


def _concentration(notionals: Mapping[str, Decimal]) -> float | None:
    return _or_none(herfindahl([float(value) for value in notionals.values()]))


def _share(amount: Decimal, equity: Decimal | None) -> Decimal | None:
    return amount / equity if known(equity) and equity > 0 else None


def _money(amount: float) -> Decimal:
    return Decimal(repr(amount)).quantize(Decimal("1E-8"))  # a statistic shown as money: float enters here only


def _or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _refuse_unknown(value: Decimal, what: str) -> Decimal:
    if not known(value):
        raise BadInput(f"the value of {what} is {value}; leave out what has no price and list it beside the figure")
    return value
