"""The random process behind the simulated market: correlated prices, changing volatility, jumps.

How a price comes about, for every coin c and minute t, in log prices::

    open  = last close + beta_c * market jump + own jump
    close = open + beta_c * s_m(t) * z_m + s_c(t) * z_c - (beta_c^2 s_m^2 + s_c^2) / 2

``z`` are independent standard normals. The volatilities s(t) are known before the minute: a yearly figure times the
hour of the day times exp(slow + fast), two mean-reverting processes of which the fast one rises with falls and jumps.
Every shock is compensated, so that the price itself is a martingale: no drift, no pattern, nothing that favours a
strategy. What each instrument adds is a small mean-reverting basis, far below the cost of trading it.

Only a coin that has moved `RANGE_FACTOR` times away from its anchor feels a pull back, proportional to the excess and
for a whole day at a time: without it a martingale with this volatility halves every few years. At one tenth beyond
the range it is worth 0.1 % a day against a daily volatility of 3 %: nothing to trade on.

Highs and lows are drawn from the law of the extremes of a Brownian bridge between open and close.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from engine.domain.errors import BadInput
from engine.domain.instruments import Kind
from engine.domain.market import FloatArray, IntArray
from engine.simulation.demo_listings import Coin, Listing
from engine.simulation.market_day import FUNDING_MINUTES, MINUTES_A_DAY, MarketDay

STATE_VERSION = 1
RANGE_FACTOR = 6.0

_MINUTES_A_YEAR = 525_600
_MARKET_VOLATILITY = 0.42
_SLOW_SD, _SLOW_HALF_LIFE = 0.45, 2_880.0
_FAST_SD, _FAST_HALF_LIFE = 0.30, 40.0
_LEVERAGE = -0.35
_JUMP_KICK = 0.5
_MARKET_JUMP_SD, _OWN_JUMP_SD = 0.004, 0.006
_MARKET_JUMPS_A_DAY, _OWN_JUMPS_A_DAY = 1.5, 2.0
_PULL_A_YEAR = 4.0
_FUNDING_CAP = 0.0075
_LOG_VARIANCE = _SLOW_SD**2 + _FAST_SD**2
_FIRST_STATE, _WHOLE_DAY = MINUTES_A_DAY, MINUTES_A_DAY + 1
_Number = TypeVar("_Number", np.float64, np.int64)


@dataclass(frozen=True, slots=True)
class MarketState:
    """Everything the next day needs to know of the past.

    Attributes
    ----------
    day : int
        Index of the day that starts in this state.
    log_price : float64[C]
        Common log price of each coin.
    slow, fast : float64[C + 1]
        The two parts of log volatility, market factor first.
    basis : float64[L]
        Log deviation of each instrument from its coin.
    """

    day: int
    log_price: FloatArray
    slow: FloatArray
    fast: FloatArray
    basis: FloatArray

    def as_json(self) -> dict[str, Any]:
        """JSON values that `from_json` restores to the last bit."""
        return {
            "day": self.day,
            "log_price": self.log_price.tolist(),
            "slow": self.slow.tolist(),
            "fast": self.fast.tolist(),
            "basis": self.basis.tolist(),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any], coins: int, listings: int) -> MarketState:
        """Read what `as_json` wrote; raises `BadInput` where a field is missing, not finite or of another length."""
        lengths = {"log_price": coins, "slow": coins + 1, "fast": coins + 1, "basis": listings}
        try:
            day = int(values["day"])
            arrays = {name: np.array(values[name], dtype=np.float64) for name in lengths}
        except (KeyError, TypeError, ValueError) as error:
            raise BadInput(f"saved market state cannot be read ({error}); delete it and it is rebuilt") from error
        for name, length in lengths.items():
            if arrays[name].shape != (length,) or not np.isfinite(arrays[name]).all():
                raise BadInput(
                    f"saved market state: {name} is not {length} finite numbers; delete it and it is rebuilt"
                )
        return cls(day, arrays["log_price"], arrays["slow"], arrays["fast"], arrays["basis"])


@dataclass(frozen=True, slots=True)
class MarketShape:
    """The listings and coins as arrays: C coins, L instruments, market factor first among C + 1 factors."""

    coins: int
    coin_of: IntArray
    beta: FloatArray
    anchor: FloatArray
    minute_sigma: FloatArray
    basis_keep: FloatArray
    basis_shock: FloatArray
    tick: FloatArray
    lot: FloatArray
    turnover: FloatArray
    spread: FloatArray
    depth: FloatArray
    perpetual: FloatArray

    @classmethod
    def of(cls, listings: tuple[Listing, ...], coins: tuple[Coin, ...]) -> MarketShape:
        """The shape of these listings, each of a coin among ``coins``, in whose order the movements are drawn."""
        names = [coin.name for coin in coins]
        yearly = np.array([_MARKET_VOLATILITY, *(coin.own_volatility for coin in coins)])
        keep = np.exp2(-1 / np.array([listing.basis_half_life_minutes for listing in listings]))
        basis_sd = np.array([listing.basis_bps for listing in listings]) * 1e-4
        return cls(
            coins=len(coins),
            coin_of=np.array([names.index(listing.instrument.base) for listing in listings], dtype=np.int64),
            beta=np.array([coin.market_beta for coin in coins]),
            anchor=np.log([coin.anchor_price for coin in coins]),
            minute_sigma=yearly / math.sqrt(_MINUTES_A_YEAR),
            basis_keep=keep,
            basis_shock=basis_sd * np.sqrt(1 - keep**2),
            tick=np.array([float(listing.instrument.tick_size) for listing in listings]),
            lot=np.array([float(listing.instrument.lot_size) for listing in listings]),
            turnover=np.array([listing.minute_turnover for listing in listings]),
            spread=np.array([listing.spread_bps for listing in listings]) * 1e-4,
            depth=np.array([listing.top_depth for listing in listings]),
            perpetual=np.array([float(listing.instrument.kind is Kind.PERPETUAL) for listing in listings]),
        )

    def first_state(self, seed: int) -> MarketState:
        """Prices at their anchors, volatility drawn from its long-run law."""
        draws = random_stream(seed, 0, _FIRST_STATE).standard_normal((2, self.coins + 1))
        return MarketState(0, self.anchor.copy(), _SLOW_SD * draws[0], _FAST_SD * draws[1], np.zeros(len(self.tick)))


def random_stream(seed: int, day: int, part: int) -> np.random.Generator:
    """Independent random numbers for each (seed, day, part); parts 0 to 1439 belong to the minutes of the day."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, day, part))))


def generate_day(seed: int, shape: MarketShape, state: MarketState) -> tuple[MarketDay, MarketState]:
    """The day that starts in ``state``, and the state it ends in: a pure function of its arguments."""
    rng = random_stream(seed, state.day, _WHOLE_DAY)
    factors, listings = shape.coins + 1, len(shape.tick)
    shocks = rng.standard_normal((factors, MINUTES_A_DAY))
    jumps = _jumps(rng, factors)
    slow, fast = _log_volatility(rng, state, shocks, jumps)
    sigma = (
        shape.minute_sigma[:, None]
        * _hour_of_day()
        * np.exp(np.clip(slow[:, :-1] + fast[:, :-1], -1.6, 1.8) - _LOG_VARIANCE)
    )
    basis = _mean_reverting(
        state.basis, shape.basis_keep, shape.basis_shock[:, None] * rng.standard_normal((listings, MINUTES_A_DAY))
    )
    opened, closed, coin_sigma = _coin_prices(shape, state, sigma, shocks, jumps)
    coin = shape.coin_of
    body = _Body(
        opened[coin] + basis[:, :-1],
        closed[coin] + basis[:, 1:],
        np.hypot(coin_sigma[coin], shape.basis_shock[:, None]),
        coin_sigma[coin] / _usual_sigma(shape)[coin, None],
    )
    day = _on_grids(rng, shape, state.day, body, basis)
    after = MarketState(
        state.day + 1, closed[:, -1].copy(), slow[:, -1].copy(), fast[:, -1].copy(), basis[:, -1].copy()
    )
    return day, after


@dataclass(frozen=True, slots=True)
class _Body:
    """Log open and close, deviation of the minute, and its ratio to the long-run one: float64[L, 1440] each."""

    open: FloatArray
    close: FloatArray
    sigma: FloatArray
    unrest: FloatArray


def _jumps(rng: np.random.Generator, factors: int) -> FloatArray:
    """Jump sizes before their compensation, zero in most minutes: float64[C + 1, 1440]."""
    rate = np.full((factors, 1), _OWN_JUMPS_A_DAY / MINUTES_A_DAY)
    size = np.full((factors, 1), _OWN_JUMP_SD)
    rate[0], size[0] = _MARKET_JUMPS_A_DAY / MINUTES_A_DAY, _MARKET_JUMP_SD
    arrived = rng.random((factors, MINUTES_A_DAY)) < rate
    jumps: FloatArray = arrived * size * rng.standard_normal((factors, MINUTES_A_DAY))
    return jumps


def _hour_of_day() -> FloatArray:
    """Volatility over the day, mean square 1, highest in the afternoon UTC: float64[1440]."""
    hours = np.arange(MINUTES_A_DAY) / 60
    shape = 1 + 0.3 * np.cos((hours - 15) * 2 * math.pi / 24) + 0.1 * np.cos((hours - 14) * 4 * math.pi / 24)
    scaled: FloatArray = shape / math.sqrt(float(np.mean(shape**2)))
    return scaled


def _log_volatility(
    rng: np.random.Generator, state: MarketState, shocks: FloatArray, jumps: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Slow and fast log volatility at the start of every minute and after the last: float64[C + 1, 1441] each."""
    keep_slow, keep_fast = 2 ** (-1 / _SLOW_HALF_LIFE), 2 ** (-1 / _FAST_HALF_LIFE)
    noise = rng.standard_normal((2, *shocks.shape))
    mixed = _LEVERAGE * shocks + math.sqrt(1 - _LEVERAGE**2) * noise[1]
    slow_shocks = _SLOW_SD * math.sqrt(1 - keep_slow**2) * noise[0]
    fast_shocks = _FAST_SD * math.sqrt(1 - keep_fast**2) * mixed + _JUMP_KICK * (jumps != 0)
    start = np.concatenate([state.slow, state.fast])
    keep = np.repeat([keep_slow, keep_fast], len(state.slow))
    both = _mean_reverting(start, keep, np.concatenate([slow_shocks, fast_shocks]))
    return both[: len(state.slow)], both[len(state.slow) :]


def _mean_reverting(start: FloatArray, keep: FloatArray, shocks: FloatArray) -> FloatArray:
    """x[t + 1] = keep * x[t] + shocks[t] from x[0] = start: float64[k, n] in, float64[k, n + 1] out."""
    columns = np.ascontiguousarray(shocks.T)
    path = np.empty((len(columns) + 1, len(start)))
    path[0] = start
    for step in range(len(columns)):
        np.multiply(path[step], keep, out=path[step + 1])
        path[step + 1] += columns[step]
    transposed: FloatArray = path.T
    return transposed


def _coin_prices(
    shape: MarketShape, state: MarketState, sigma: FloatArray, shocks: FloatArray, jumps: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Log open, log close and deviation of each coin's minutes: float64[C, 1440] each; the price is a martingale."""
    beta = shape.beta[:, None]
    variance = (beta * sigma[0]) ** 2 + sigma[1:] ** 2
    moves = beta * sigma[0] * shocks[0] + sigma[1:] * shocks[1:] - variance / 2 + _pull(shape, state)[:, None]
    jump = beta * jumps[0] + jumps[1:]
    jump -= ((beta * _MARKET_JUMP_SD) ** 2 * (jumps[0] != 0) + _OWN_JUMP_SD**2 * (jumps[1:] != 0)) / 2
    closed = state.log_price[:, None] + np.cumsum(moves + jump, axis=1)
    return closed - moves, closed, np.sqrt(variance)


def _pull(shape: MarketShape, state: MarketState) -> FloatArray:
    """Drift a minute towards the range, zero inside it; fixed for the day so that no minute can be traded on."""
    away = state.log_price - shape.anchor
    limit = math.log(RANGE_FACTOR)
    drift: FloatArray = -_PULL_A_YEAR / _MINUTES_A_YEAR * (away - np.clip(away, -limit, limit))
    return drift


def _usual_sigma(shape: MarketShape) -> FloatArray:
    """Long-run deviation of a coin's minute: float64[C]."""
    usual: FloatArray = np.hypot(shape.beta * shape.minute_sigma[0], shape.minute_sigma[1:])
    return usual


def _on_grids(rng: np.random.Generator, shape: MarketShape, index: int, body: _Body, basis: FloatArray) -> MarketDay:
    """Round prices to ticks and sizes to lots, and add what trades around the price."""
    tick = shape.tick[:, None]
    high, low = _extremes(rng, shape, body)
    close = np.exp(body.close)
    unit = close * shape.lot[:, None]
    noise = rng.standard_normal((3, *close.shape))
    depth = shape.depth[:, None] / np.maximum(body.unrest, 0.2) / unit
    return MarketDay(
        index=index,
        open=_whole(np.exp(body.open) / tick),
        high=_whole(np.exp(high) / tick),
        low=_whole(np.exp(low) / tick),
        close=_whole(close / tick),
        volume=_whole(_turnover(shape, body) * np.exp(0.4 * noise[0]) / unit),
        spread=_whole(shape.spread[:, None] * close / tick * np.sqrt(body.unrest)),
        bid_depth=_whole(depth * np.exp(0.5 * noise[1])),
        ask_depth=_whole(depth * np.exp(0.5 * noise[2])),
        funding=_funding(shape, basis),
        sigma=_sealed(body.sigma),
    )


def _turnover(shape: MarketShape, body: _Body) -> FloatArray:
    """Quote traded a minute: more when the market is restless, and more still in a minute that really moved."""
    travelled = np.abs(body.close - body.open)
    travelled[:, 1:] += np.abs(body.open[:, 1:] - body.close[:, :-1])
    activity = np.minimum(travelled / body.sigma, 8.0)
    turnover: FloatArray = shape.turnover[:, None] * body.unrest**0.9 * (0.5 + 0.6 * activity)
    return turnover


def _extremes(rng: np.random.Generator, shape: MarketShape, body: _Body) -> tuple[FloatArray, FloatArray]:
    """Log high and low: m solves P(bridge goes beyond m) = exp(-2 (m - open)(m - close) / sigma^2) = uniform draw.

    Instruments of one coin share their draws, so that a wick on one venue is a wick on the other.
    """
    draws = -np.log1p(-rng.random((2, shape.coins, MINUTES_A_DAY)))[:, shape.coin_of]
    middle = (body.open + body.close) / 2
    reach = np.sqrt((body.close - body.open) ** 2 + 2 * body.sigma**2 * draws) / 2
    return middle + reach[0], middle - reach[1]


def _funding(shape: MarketShape, basis: FloatArray) -> IntArray:
    """Mean basis of each 8-hour window, capped, in 1e-8; no interest part, so that holding neither side pays."""
    windows = basis[:, 1:].reshape(len(basis), -1, FUNDING_MINUTES).mean(axis=2)
    rates = np.clip(windows, -_FUNDING_CAP, _FUNDING_CAP) * shape.perpetual[:, None]
    return _sealed(np.rint(rates * 1e8).astype(np.int64))


def _whole(values: FloatArray) -> IntArray:
    """Nearest whole number, at least 1; rounding keeps the order, so low <= open, close <= high survives it."""
    return _sealed(np.maximum(np.rint(values), 1.0).astype(np.int64))


def _sealed(values: NDArray[_Number]) -> NDArray[_Number]:
    """The array itself, read-only from here on."""
    values.setflags(write=False)
    return values
