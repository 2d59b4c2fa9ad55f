"""What a kernel run is asked for, and how it is laid out as ticks, lots and rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from fractions import Fraction

import numpy as np

from engine.domain.errors import BadInput
from engine.domain.instruments import Instrument, InstrumentKey, Kind
from engine.domain.market import CandleArrays, FloatArray, IntArray
from engine.exchanges.paper import PaperCosts
from engine.market.funding import FundingSeries
from engine.risk.limits import RiskConfig
from engine.simulation import kernel_layout as layout
from engine.simulation.fine_candles import FineCandles
from engine.simulation.instants import merged_instants
from engine.simulation.kernel_candles import candle_table
from engine.simulation.kernel_layout import Records
from engine.simulation.price_grid import price_ticks
from engine.simulation.replay import ReplayConfig, require_weights
from engine.simulation.replay_source import ReplaySource
from engine.trading.config import BrakeMode
from engine.trading.sleeves import build_strategy

_NEAR = 1e-4
_NO_LIMIT = 1e18
_HALF = Decimal("0.5")


@dataclass(frozen=True, slots=True)
class KernelSeries:
    """One instrument's past.

    Attributes
    ----------
    instrument : Instrument
    candles : CandleArrays
        Checked; history before ``first`` is seen by strategies only.
    first, stop : int
        The rows that are traded.
    funding : FundingSeries or None
        Of a perpetual; None states that it pays none.
    fine : FineCandles or None
        Finer candles that decide what happens inside these; of one length for all instruments.
    """

    instrument: Instrument
    candles: CandleArrays
    first: int
    stop: int
    funding: FundingSeries | None = None
    fine: FineCandles | None = None


@dataclass(frozen=True, slots=True)
class View:
    """A strategy's values over a whole series: convictions (NaN: no view) and stop distances in quote; float64[n]."""

    convictions: FloatArray
    distances: FloatArray


Views = Mapping[str, Mapping[InstrumentKey, View]]
"""Strategy name, then instrument."""


@dataclass(frozen=True, slots=True)
class KernelRequest:
    """A run: what `ReplayConfig` says, with candles and the strategies' values beside it.

    Attributes
    ----------
    series : tuple of KernelSeries
        Sorted by (venue, symbol).
    views : Views
        Equal weights; every strategy sees every instrument.
    cash : Decimal
        Quote currency, shared equally by the venues.
    market : mapping of str to Records, optional
        Tables of these very series, from `market_tables`; laid out anew where left out.
    """

    series: tuple[KernelSeries, ...]
    views: Views
    cash: Decimal
    costs: PaperCosts = field(default_factory=PaperCosts)
    risk: RiskConfig = field(default_factory=RiskConfig)
    brake: BrakeMode = BrakeMode.LATCH
    brake_reset_days: int = 0
    market: Mapping[str, Records] | None = None


def request_of(config: ReplayConfig, source: ReplaySource) -> KernelRequest:
    """The run that a replay of ``source`` under ``config`` would be.

    Raises
    ------
    BadInput
        As `views_of`, or a strategy without a stop that is to be sized by one.
    """
    require_weights(config)
    series = tuple(
        KernelSeries(i, source.precomputed(i.key), *source.span(i.key), source.funding(i.key), source.fine(i.key))
        for i in source.instruments()
    )
    views = views_of(config.strategies, series)
    return KernelRequest(series, views, config.cash, config.costs, config.risk, config.brake, config.brake_reset_days)


def views_of(strategies: Mapping[str, str], series: tuple[KernelSeries, ...]) -> Views:
    """Every strategy's values over every whole series, as a replay computes them ahead.

    Parameters
    ----------
    strategies : mapping of str to str
        Name to the JSON of its configuration.
    series : tuple of KernelSeries

    Raises
    ------
    BadInput
        An unknown strategy or setting, arrays of a wrong length, or a conviction outside -1 to 1.
    """
    views: dict[str, dict[InstrumentKey, View]] = {}
    for name, values in strategies.items():
        strategy, _ = build_strategy(name, values)
        for one in series:
            key = one.instrument.key
            convictions = strategy.convictions(one.candles)
            distances = strategy.stop_distances(one.candles)
            if len(convictions) != len(one.candles) or len(distances) != len(one.candles):
                raise BadInput(
                    f"{name} gave {len(convictions)} convictions and {len(distances)} stop distances for "
                    f"{len(one.candles)} bars of {key}"
                )
            seen = np.array(convictions, dtype=np.float64)
            seen[: max(0, strategy.lookback_bars - 1)] = np.nan
            views.setdefault(name, {})[key] = View(seen, np.asarray(distances, dtype=np.float64))
    return views


def tape_of(request: KernelRequest) -> dict[str, Records]:
    """The tables a run reads: instants, rows, candles, views and funding stamps.

    Raises
    ------
    BadInput
        What cannot be traded.
    """
    _require_tradable(request)
    market = request.market or market_tables(request.series, request.costs.volume_share)
    views = [np.concatenate([_seen(request, name, one) for one in request.series]) for name in sorted(request.views)]
    return {**market, "view": np.stack(views)}


def market_tables(series: tuple[KernelSeries, ...], volume_share: Decimal | None) -> dict[str, Records]:
    """The tables of a run that no strategy changes, never written to: instants, rows, candles and funding stamps.

    Parameters
    ----------
    series : tuple of KernelSeries
    volume_share : Decimal or None
        Most of a candle's volume that one order may take.
    """
    closes = [one.candles.opened_at_ms + one.candles.timeframe.ms for one in series]
    parts = [part[one.first : one.stop] for one, part in zip(series, closes, strict=True)]
    stamps = _stamps(series, closes)
    instants = merged_instants([*parts, stamps["at_ms"]])
    offsets = np.concatenate(([0], np.cumsum([len(part) for part in parts])))
    rows = np.full((len(instants), len(series)), layout.NEVER, dtype=np.int64)
    for m, part in enumerate(parts):
        rows[np.searchsorted(instants, part), m] = offsets[m] + np.arange(len(part))
    candles = candle_table(series, volume_share)
    return {"instant": instants, "row": rows, "candle": candles, "stamp": stamps}


def _seen(request: KernelRequest, name: str, one: KernelSeries) -> Records:
    view = request.views[name].get(one.instrument.key)
    if view is None:
        raise BadInput(f"no convictions of {name} for {one.instrument.key}; give them for every instrument")
    if len(view.convictions) != len(one.candles) or len(view.distances) != len(one.candles):
        raise BadInput(
            f"{name} has {len(view.convictions)} convictions and {len(view.distances)} stop distances for "
            f"{len(one.candles)} bars of {one.instrument.key}; give one of each a bar"
        )
    convictions = view.convictions[one.first : one.stop]
    outside = convictions[~np.isnan(convictions) & ~(np.abs(convictions) <= 1.0)]
    if len(outside):
        raise BadInput(f"{name}: conviction {outside[0]} lies outside -1 to 1")
    table = np.empty(len(convictions), layout.View)
    table["conviction"] = convictions
    distances, tick = view.distances[one.first : one.stop], one.instrument.tick_size
    table["distance"], table["steps"] = distance_ticks(distances, tick)
    table["reach"] = ticks_beyond(distances, request.risk.take_profit, tick)
    table["trail"] = ticks_beyond(distances, request.risk.trail, tick)
    return table


def ticks_beyond(distances: FloatArray, times: Decimal | None, tick_size: Decimal) -> IntArray:
    """Whole ticks that are at least ``times`` a distance; 0 where there is none.

    Examples
    --------
    >>> ticks_beyond(np.array([0.034, 0.02, float("nan")]), Decimal("1.5"), Decimal("0.01"))
    array([6, 3, 0])
    """
    known = np.isfinite(distances) & (distances > 0)
    if times is None or not known.any():
        return np.zeros(len(distances), dtype=np.int64)
    ticks = np.minimum(np.where(known, distances, 0.0) * float(times / tick_size), _NO_LIMIT)
    whole = np.ceil(ticks).astype(np.int64)
    near = known & (np.abs(ticks - np.rint(ticks)) < _NEAR)
    values, where = np.unique(distances[near], return_inverse=True)
    exact = [(Decimal(repr(value)) * times / tick_size).to_integral_value(ROUND_CEILING) for value in values.tolist()]
    whole[near] = np.array([int(each) for each in exact], dtype=np.int64)[where]
    return whole


def distance_ticks(distances: FloatArray, tick_size: Decimal) -> tuple[FloatArray, IntArray]:
    """Stop distances in ticks (0 for none), and twice the whole ticks nearest to them (-1 for none).

    Distances that a float division finds near half a tick or a whole one are judged by their shortest text, as the core
    judges all. Exactly half a tick gives an odd number, for which neighbour is even depends on the price.

    Examples
    --------
    >>> distance_ticks(np.array([0.034, 0.025, float("nan")]), Decimal("0.01"))
    (array([3.4, 2.5, 0. ]), array([ 6,  5, -1]))
    """
    known = np.isfinite(distances) & (distances > 0)
    ticks = np.where(known, distances, 0.0) / float(tick_size)
    steps = np.where(known, 2 * np.rint(np.minimum(ticks, _NO_LIMIT)).astype(np.int64), -1)
    near = known & (np.abs(2 * ticks - np.rint(2 * ticks)) < _NEAR)
    values, where = np.unique(distances[near], return_inverse=True)
    if len(values):
        exact = [Decimal(repr(value)) / tick_size for value in values.tolist()]
        ticks[near] = np.array([float(each) for each in exact])[where]
        steps[near] = np.array([_steps(each) for each in exact])[where]
    return ticks, steps


def _steps(ticks: Decimal) -> int:
    whole = int(ticks.to_integral_value(ROUND_FLOOR))
    beyond = ticks - whole
    return 2 * whole + (1 if beyond == _HALF else 2 if beyond > _HALF else 0)


def _stamps(series: tuple[KernelSeries, ...], closes: list[IntArray]) -> Records:
    """Funding stamps of the run in the order of their events; a missing one has no rate."""
    traded = [one for one in zip(series, closes, strict=True) if one[0].first < one[0].stop]
    begin = min(int(part[one.first]) for one, part in traded)
    end = max(int(part[one.stop - 1]) for one, part in traded)
    stamps: list[tuple[int, int, int, float]] = []
    for m, one in enumerate(series):
        if one.funding is None:
            continue
        rates = dict(zip(one.funding.at_ms.tolist(), map(float, one.funding.rates), strict=True))
        rates |= dict.fromkeys(missing_stamps(one.funding, begin, end), float("nan"))
        ticks = price_ticks(one.candles.close, one.instrument.tick_size)
        for at_ms, rate in rates.items():
            known = int(np.searchsorted(closes[m], at_ms, side="right"))
            if begin <= at_ms <= end and known:
                stamps.append((at_ms, m, int(ticks[known - 1]), rate))
    return np.array(sorted(stamps), dtype=layout.Stamp)


def missing_stamps(funding: FundingSeries, begin: int, end: int) -> list[int]:
    """Times (ms) between ``begin`` and ``end`` at which the series lacks a rate.

    The interval of each stretch is read from the series, for it differs by instrument and changes with time: a gap is
    longer than one and a half times the spacing before it and after it.
    """
    times = funding.at_ms
    spacing = np.diff(times)
    missing: list[int] = []
    if len(spacing) < 2:
        return missing
    for row in range(len(spacing)):
        around = [int(spacing[i]) for i in (row - 1, row + 1) if 0 <= i < len(spacing)]
        usual = max(around)
        if spacing[row] > 1.5 * usual:
            missing += range(int(times[row]) + usual, int(times[row + 1]) - usual // 2, usual)
    usual = int(np.median(spacing))
    missing += range(int(times[0]) - usual, begin - 1, -usual)
    missing += range(int(times[-1]) + usual, end + 1, usual)
    return [at_ms for at_ms in missing if begin <= at_ms <= end]


def _require_tradable(request: KernelRequest) -> None:
    series = request.series
    if not request.views:
        raise BadInput("no strategy to run; name at least one")
    if not request.cash.is_finite() or request.cash <= 0:
        raise BadInput(f"cash {request.cash} must be a number above zero")
    if not any(one.first < one.stop for one in series):
        raise BadInput("no candle to run on; widen the range")
    if len({one.candles.timeframe for one in series}) > 1:
        frames = ", ".join(f"{one.instrument.key} {one.candles.timeframe}" for one in series)
        raise BadInput(f"candles of different lengths cannot be run together: {frames}")
    if len({one.instrument.quote for one in series}) > 1:
        raise BadInput("instruments of one run must have one quote currency")
    keys = [one.instrument.key for one in series]
    if len(set(keys)) < len(keys):
        raise BadInput("two of the instruments have one name; give each instrument once")
    for one in series:
        if one.instrument.kind is Kind.SPOT and one.funding is not None:
            raise BadInput(f"{one.instrument.key} is spot and pays no funding; take its funding away")


def whole_ratio(value: Decimal | Fraction, what: str) -> tuple[int, int]:
    """A number as a ratio of whole ones whose product fits an int64; raises `BadInput` for one that is too fine."""
    ratio = Fraction(value)
    if ratio.numerator * ratio.denominator >= 2**62:
        raise BadInput(f"{what} is finer than the kernel counts exactly; use fewer digits, or the replay")
    return ratio.numerator, ratio.denominator
