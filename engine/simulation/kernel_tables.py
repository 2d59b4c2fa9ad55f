"""Records of a run's tables by their number. Indexes are not checked: the loop makes room before each step."""

from __future__ import annotations

from typing import Any

from numba.core import cgutils, types
from numba.extending import intrinsic
from numba.np.numpy_support import carray

from engine.simulation import kernel_layout as layout
from engine.simulation.kernel_compile import part
from engine.simulation.kernel_layout import Records

_Sleeve, _Venue, _Market, _Pair = layout.Sleeve, layout.Venue, layout.Market, layout.Pair
_Order, _Decision, _Fill, _Close = layout.Order, layout.Decision, layout.FillRow, layout.Close
_Candle, _View, _Stamp, _Time = layout.Candle, layout.View, layout.Stamp, layout.TABLES["instant"]
_KINDS = layout.KINDS


def _as_pointer(context: Any, address: Any) -> Any:
    """An address as a pointer."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(types.int64), generate


_pointer: Any = intrinsic(_as_pointer)


@part
def sleeve_at(run: Records, k: int) -> Records:
    """A strategy's capital and P&L."""
    return carray(_pointer(run.sleeve_table), (run.sleeves + 1,), _Sleeve)[k]


@part
def venue_at(run: Records, v: int) -> Records:
    """A venue's account."""
    return carray(_pointer(run.venue_table), (run.venues,), _Venue)[v]


@part
def market_at(run: Records, m: int) -> Records:
    """An instrument."""
    return carray(_pointer(run.market_table), (run.markets,), _Market)[m]


@part
def pair_at(run: Records, k: int, m: int) -> Records:
    """A strategy's place in an instrument."""
    return carray(_pointer(run.pair_table), (run.sleeves + 1, run.markets), _Pair)[k, m]


@part
def order_at(run: Records, m: int, slot: int) -> Records:
    """An order of an instrument."""
    return carray(_pointer(run.order_table), (run.markets, run.slots), _Order)[m, slot]


@part
def decision_at(run: Records, kind: int, row: int) -> Records:
    """One of the cancels, amends, moves or approved orders of the step."""
    return carray(_pointer(run.decision_table), (_KINDS, run.decisions), _Decision)[kind, row]


@part
def entry_times(run: Records) -> Any:
    """Times of the newest entries, a ring."""
    return carray(_pointer(run.entry_table), (run.entry_limit,), _Time)


@part
def error_times(run: Records, v: int) -> Any:
    """Times of the newest calls a venue refused, a ring."""
    return carray(_pointer(run.error_table), (run.venues, run.error_limit), _Time)[v]


@part
def fill_at(run: Records, row: int) -> Records:
    """A row of the run's book."""
    return carray(_pointer(run.fill_table), (run.fill_rows,), _Fill)[row]


@part
def close_at(run: Records, t: int) -> Records:
    """Equity and drawdown at an instant."""
    return carray(_pointer(run.close_table), (t + 1,), _Close)[t]


@part
def instant_at(run: Records, t: int) -> int:
    """Market time of an instant."""
    return int(carray(_pointer(run.instant_table), (t + 1,), _Time)[t])


@part
def row_at(run: Records, t: int, m: int) -> int:
    """The candle of an instrument that closes at an instant, -1 for none."""
    return int(carray(_pointer(run.row_table), (t + 1, run.markets), _Time)[t, m])


@part
def candle_at(run: Records, row: int) -> Records:
    """A candle."""
    return carray(_pointer(run.candle_table), (run.candles,), _Candle)[row]


@part
def view_at(run: Records, k: int, row: int) -> Records:
    """What a strategy thinks at a candle."""
    return carray(_pointer(run.view_table), (run.sleeves, run.views), _View)[k, row]


@part
def stamp_at(run: Records, row: int) -> Records:
    """A funding stamp."""
    return carray(_pointer(run.stamp_table), (run.stamps,), _Stamp)[row]
