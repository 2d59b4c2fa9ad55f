"""The state a kernel run begins with: instruments, limits and costs as numbers."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

import numpy as np

from engine.domain.errors import BadInput
from engine.domain.instruments import Instrument, Kind
from engine.domain.orders import Liquidity
from engine.exchanges.paper import PaperCosts
from engine.quant.candle_impact import IMPACT_STEPS
from engine.risk.limits import RiskMode, Sizer
from engine.simulation import kernel_layout as layout
from engine.simulation.kernel_layout import Records
from engine.simulation.kernel_request import KernelRequest, tape_of, whole_ratio
from engine.simulation.replay import entry_limits, reserve_of
from engine.trading.config import BrakeMode

_CENTS = 100_000_000
_DAY_MS = 86_400_000
_BPS = Decimal(10_000)
_LONG_AGO_MS = -3_600_000
_SLOTS = 16
_FILLS = 1024
_BRAKES = {BrakeMode.LATCH: layout.LATCH, BrakeMode.OFF: layout.OFF, BrakeMode.RESET: layout.RESET}


@dataclass(slots=True)
class Memory:
    """A run's tables, and the `Run` that holds their addresses.

    Attributes
    ----------
    run : Records[1]
    tables : dict of str to Records
        By the names of `engine.simulation.kernel_layout.TABLES`; kept here so that their addresses stay true.
    """

    run: Records
    tables: dict[str, Records]

    def __init__(self, run: Records, tables: dict[str, Records]) -> None:
        self.run, self.tables = run, {}
        for name, table in tables.items():
            self.put(name, table)

    def put(self, name: str, table: Records) -> None:
        """Let the run use another table; raises `BadInput` for one of a wrong kind."""
        if table.dtype != layout.TABLES[name]:
            raise BadInput(f"table {name} is {table.dtype}, not {layout.TABLES[name]}")
        whole = np.ascontiguousarray(table)
        self.tables[name] = whole
        self.run[0][f"{name}_table"] = whole.ctypes.data

    def grow_fills(self) -> None:
        """Make room for twice as many fills."""
        fills = self.tables["fill"]
        self.put("fill", np.concatenate([fills, np.zeros_like(fills)]))
        self.run[0]["fill_rows"] = len(self.tables["fill"])

    def grow_orders(self) -> None:
        """Make room for twice as many orders, and for what a step of them may bring."""
        for name in ("order", "decision"):
            table = self.tables[name]
            self.put(name, np.concatenate([table, np.zeros_like(table)], axis=1))
        self.run[0]["slots"] = self.tables["order"].shape[1]
        self.run[0]["decisions"] = self.tables["decision"].shape[1]
        self.grow_fills()


def memory_of(request: KernelRequest) -> Memory:
    """An empty book with the request's cash, as the replay begins it at its first event."""
    venues = sorted({one.instrument.venue for one in request.series})
    sleeves, markets = len(request.views), len(request.series)
    tape = tape_of(request)
    tables = {
        **tape,
        "sleeve": _sleeves(request),
        "venue": np.zeros(len(venues), layout.Venue),
        "market": np.concatenate([market_row(request, one.instrument, venues) for one in request.series]),
        "pair": np.zeros((sleeves + 1, markets), layout.Pair),
        "order": np.zeros((markets, _SLOTS), layout.Order),
        "decision": np.zeros((layout.KINDS, 2 * markets * _SLOTS), layout.Decision),
        "entry": np.full(request.risk.max_orders_per_minute, _LONG_AGO_MS, np.int64),
        "error": np.full((len(venues), request.risk.api_errors_limit), _LONG_AGO_MS, np.int64),
        "fill": np.zeros(_FILLS + 2 * markets * (_SLOTS + 4 * sleeves + 4), layout.FillRow),
        "close": np.full(len(tape["instant"]), np.nan, layout.Close),
    }
    tables["venue"]["cash"] = float(request.cash / len(venues))
    offset, fine = 0, tables["view"].shape[1]
    for m, one in enumerate(request.series):
        market = tables["market"][m]
        market["first"], market["bar"], market["fine_next"] = offset - one.first, offset - 1, fine
        offset += one.stop - one.first
        fine += 0 if one.fine is None else one.fine.used
        market["fine_stop"] = fine
    return Memory(_run(request, tables), tables)


def _sleeves(request: KernelRequest) -> Records:
    count = len(request.views)
    table = np.zeros(count + 1, layout.Sleeve)
    weight = Decimal(1) / count
    table["weight"][:count] = float(weight)
    is_below = Fraction(request.cash * weight) * count < Fraction(request.cash)
    table["tie"] = 1 - layout.TIE if is_below else 1 + layout.TIE
    return table


def _run(request: KernelRequest, tables: dict[str, Records]) -> Records:
    run = np.zeros(1, layout.Run)
    values: dict[str, int | float] = {
        "sleeves": len(request.views),
        "venues": len(tables["venue"]),
        "markets": len(request.series),
        "slots": tables["order"].shape[1],
        "decisions": tables["decision"].shape[1],
        "entry_limit": len(tables["entry"]),
        "error_limit": tables["error"].shape[1],
        "fill_rows": len(tables["fill"]),
        "candles": len(tables["candle"]),
        "views": tables["view"].shape[1],
        "fine_ms": max((one.fine.candles.timeframe.ms for one in request.series if one.fine is not None), default=0),
        "stamps": len(tables["stamp"]),
        "capital": float(request.cash),
        "equity": float(request.cash),
        "day": int(tables["instant"][0]) // _DAY_MS,
        **dict.fromkeys(("value", "peak", "day_start"), 1.0),
        **dict.fromkeys(("tripped_ms", "unknown_ms", "braked_ms", "flatten_due_ms", "stopped_ms"), layout.NEVER),
        **limit_numbers(request),
    }
    for name, value in values.items():
        run[0][name] = value
    return run


def market_row(request: KernelRequest, instrument: Instrument, venues: list[str]) -> Records:
    """An instrument and its costs, a table of one row; raises `BadInput` where they are too fine for whole numbers."""
    costs, unit = request.costs, Fraction(instrument.tick_size) * Fraction(instrument.lot_size)
    if request.cash * 10_000 / Decimal(float(unit)) > 2**62:
        raise BadInput(
            f"{instrument.key}: tick {instrument.tick_size} times lot {instrument.lot_size} is too fine for "
            f"{request.cash} {instrument.quote}; give larger ones, or use the replay"
        )
    market = np.zeros(1, layout.Market)
    row = market[0]
    perpetual = instrument.kind is Kind.PERPETUAL
    row["venue"], row["is_perpetual"] = venues.index(instrument.venue), perpetual
    row["coin"] = sorted({one.instrument.base for one in request.series}).index(instrument.base)
    row["min_value"] = -((-Fraction(instrument.min_notional)) // unit)
    taker = costs.fee_rate(Liquidity.TAKER)
    row["fee_top"], row["fee_bottom"] = whole_ratio(
        unit * Fraction(taker) * _CENTS, f"{instrument.key}: the fee of {costs.taker_bps} basis points"
    )
    maker = costs.fee_rate(Liquidity.MAKER)
    row["maker_top"], row["maker_bottom"] = whole_ratio(
        unit * Fraction(maker) * _CENTS, f"{instrument.key}: the fee of {costs.maker_bps} basis points"
    )
    row["half_top"], row["half_bottom"] = whole_ratio(costs.half_spread, f"a spread of {costs.spread_bps} basis points")
    row["take_top"], row["take_bottom"] = whole_ratio(
        costs.taking, f"spread {costs.spread_bps} with slippage {costs.slippage_bps} basis points"
    )
    row["take_steps"] = _take_steps(costs)
    row["lot"], row["unit"] = float(instrument.lot_size), float(unit)
    row["max_leverage"] = float(instrument.max_leverage)
    row["allowed_leverage"] = float(min(request.risk.max_leverage, instrument.max_leverage)) if perpetual else 1.0
    row["fee_rate"], row["maker_rate"], row["taking"] = float(taker), float(maker), float(costs.taking)
    row["reserve_fee"] = float(max(taker, maker))
    row["mark_ms"], row["row"] = layout.NEVER, layout.NEVER
    return market


def _take_steps(costs: PaperCosts) -> int:
    """What a taking order pays before impact in 1e-8 of the price; raises `BadInput` where impact meets a finer one."""
    steps = costs.taking * IMPACT_STEPS
    if costs.impact and steps != int(steps):
        raise BadInput(
            f"spread {costs.spread_bps} with slippage {costs.slippage_bps} basis points is finer than 0.0001 basis "
            "points, the step in which impact is counted; use fewer digits, or the replay"
        )
    return int(steps)


def limit_numbers(request: KernelRequest) -> dict[str, int | float]:
    """Limits and delays by the names of `engine.simulation.kernel_layout.Run`."""
    risk, costs = entry_limits(request.risk, request.brake), request.costs
    return {
        "weights": risk.sizer is Sizer.WEIGHTS,
        "aggressive": risk.mode is RiskMode.AGGRESSIVE,
        "brake": _BRAKES[request.brake],
        "reset_ms": request.brake_reset_days * _DAY_MS,
        "confirm_ms": risk.brake_confirm_s * 1000,
        "unknown_for_ms": risk.brake_unknown_s * 1000,
        "max_age_ms": risk.max_price_age_bars * request.series[0].candles.timeframe.ms,
        "failed_limit": risk.failed_trades_limit,
        "carry_bars": costs.carry_bars,
        "latency_ms": costs.latency_ms,
        "bar_ms": request.series[0].candles.timeframe.ms,
        "brake_drawdown": float(risk.brake_drawdown),
        "entry_drawdown": float(risk.entry_drawdown_limit),
        "strategy_drawdown": float(risk.strategy_drawdown),
        "daily_loss": float(risk.daily_loss),
        "position_share": float(risk.max_position_share),
        "exposure": float(risk.max_exposure),
        "concentration": float(risk.max_concentration),
        "reserve": float(reserve_of(costs) / _BPS),
        "maintenance": float(costs.maintenance_margin),
        "impact": float(costs.impact),
    }
