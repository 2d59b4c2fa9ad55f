"""Trades of a backtest as a table asks for them: filtered, and in the order a person chose."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from engine.domain.errors import BadInput
from engine.domain.research import RunTrade

_FILTERS = frozenset({"instrument", "side", "outcome", "reason", "order"})


def _ended(trade: RunTrade) -> datetime:
    return trade.exit_at or trade.entry_at


def _share(trade: RunTrade) -> float:
    return trade.share or 0.0


_ORDERS: Mapping[str, tuple[Callable[[RunTrade], Any], bool]] = {
    "newest": (_ended, True),
    "oldest": (_ended, False),
    "best": (lambda trade: trade.pnl, True),
    "worst": (lambda trade: trade.pnl, False),
    "best share": (_share, True),
    "worst share": (_share, False),
    "longest": (lambda trade: trade.bars_held, True),
    "shortest": (lambda trade: trade.bars_held, False),
}


def chosen_trades(trades: Sequence[RunTrade], filters: Mapping[str, str]) -> list[RunTrade]:
    """The trades that match, newest first unless ``order`` says otherwise; raises `BadInput` that names the filter.

    ``won`` is a result above zero, ``lost`` one below; equal ones keep the order of their numbers.
    """
    unknown = sorted(set(filters) - _FILTERS)
    if unknown:
        raise BadInput(f"trades cannot be filtered by {', '.join(unknown)}; by {', '.join(sorted(_FILTERS))}")
    order = filters.get("order") or "newest"
    if order not in _ORDERS:
        raise BadInput(f"trades cannot be ordered by {order!r:.40}; by {', '.join(_ORDERS)}")
    if filters.get("outcome") not in (None, "", "won", "lost"):
        raise BadInput(f"outcome {filters['outcome']!r:.40} is not won or lost")
    key, descending = _ORDERS[order]
    return sorted((trade for trade in trades if _matches(trade, filters)), key=key, reverse=descending)


def _matches(trade: RunTrade, filters: Mapping[str, str]) -> bool:
    wished = ((filters.get("instrument"), trade.instrument), (filters.get("side"), trade.side))
    if any(wish and wish != value for wish, value in wished):
        return False
    if filters.get("reason") and filters["reason"].casefold() not in trade.exit_reason.casefold():
        return False
    outcome = filters.get("outcome")
    return not outcome or (trade.pnl > 0 if outcome == "won" else trade.pnl < 0)
