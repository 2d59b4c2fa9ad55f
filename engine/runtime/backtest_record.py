"""A backtest and its evaluation as JSON values: what is stored, shown and printed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from engine.domain.codec import plain, utc_text
from engine.simulation.backtest import BacktestRun, CostsPaid
from engine.simulation.backtest_trades import RoundTrip
from engine.simulation.evaluation import DoubleCosts, Evaluation
from engine.simulation.evaluation_figures import Figure
from engine.simulation.evaluation_market import RegimeResult, YearResult
from engine.simulation.fine_candles import inside_record

SIDES = {1: "long", -1: "short"}


def record_of(run: BacktestRun, evaluation: Evaluation) -> dict[str, Any]:
    """What the run did and what may be said of it.

    Parameters
    ----------
    run : BacktestRun
    evaluation : Evaluation

    Returns
    -------
    dict
        Money as decimal strings, statistics as floats (None where undefined, with ``reason``), times ISO UTC. Amounts
        under ``costs_paid`` are positive when paid, ``funding`` beside it when received.
    """
    seconds = run.seconds
    return {
        "engine": run.engine.value,
        "bars": run.bars,
        "seconds": round(seconds, 4),
        "bars_per_second": round(run.bars / seconds, 1) if seconds else 0.0,
        "final_equity": plain(run.final_equity),
        "fees": plain(run.costs.fees),
        "funding": plain(run.costs.funding),
        "stopped_at": utc_text(run.stopped_at) if run.stopped_at else None,
        "stop_reason": _stop_reason(run, run.stopped_at),
        "days": _days(evaluation),
        "refused": run.refused,
        "rejected_prices": run.rejected_prices,
        "below_minimum": run.below_minimum,
        **inside_record(run.detail),
        "trades": [trade_record(trade, run.setup.strategy) for trade in run.trades],
        "open_trades": [trade_record(trade, run.setup.strategy) for trade in run.open_trades],
        "metrics": _figures(evaluation.metrics),
        **_comparisons(evaluation),
        "double_costs": _double_costs(run, evaluation),
        "costs_paid": _costs(run.costs),
        "exit_reasons": [
            {"reason": one.reason.value, "trades": one.trades, "pnl": plain(one.pnl)} for one in evaluation.exits
        ],
        **_luck(evaluation),
        "verdict": {
            "level": evaluation.verdict.level.value,
            "line": evaluation.verdict.line,
            "reasons": list(evaluation.verdict.reasons),
            "passed": list(evaluation.verdict.passed),
        },
    }


def trade_record(trade: RoundTrip, strategy: str) -> dict[str, Any]:
    """A round trip; exit and reason are None while it is open."""
    return {
        "instrument": str(trade.instrument),
        "side": SIDES[trade.side.sign],
        "quantity": plain(trade.quantity),
        "entry_time": utc_text(trade.entry_at),
        "entry_price": plain(trade.entry_price),
        "exit_time": utc_text(trade.exit_at) if trade.exit_at else None,
        "exit_price": _money(trade.exit_price),
        "exit_reason": trade.reason.value if trade.reason else None,
        "fees": plain(trade.fees),
        "funding": plain(trade.funding),
        "pnl": plain(trade.pnl),
        "stop_price": _money(trade.stop_price),
        "last_stop_price": _money(trade.last_stop_price),
        "target_price": _money(trade.target_price),
        "strategy": strategy,
        "bars_held": trade.bars_held,
    }


def _money(amount: Decimal | None) -> str | None:
    return None if amount is None else plain(amount)


def _stop_reason(run: BacktestRun, stopped_at: datetime | None) -> str:
    """Why the run, or the same at other costs, was stopped at that time; empty where it was not."""
    if stopped_at is None:
        return ""
    return f"emergency brake: the drawdown reached {run.setup.config.risk.brake_drawdown:.2%}"


def _days(evaluation: Evaluation) -> dict[str, Any]:
    """What every figure is of: the days lived, of all that were asked for."""
    lived, asked = len(evaluation.days.returns), evaluation.days_asked
    line = f"figures are of the {lived:,} days it lived, of {asked:,}" if lived < asked else ""
    return {"lived": lived, "asked": asked, "line": line}


def _costs(costs: CostsPaid) -> dict[str, str]:
    return {
        "fees": plain(costs.fees),
        "spread_and_slippage": plain(costs.spread_and_slippage),
        "funding": plain(-costs.funding),
    }


def _figures(figures: Mapping[str, Figure]) -> dict[str, dict[str, Any]]:
    return {name: figure_record(figure) for name, figure in figures.items()}


def figure_record(figure: Figure) -> dict[str, Any]:
    """A figure with its interval and reason."""
    return {"value": figure.value, "low": figure.low, "high": figure.high, "reason": figure.reason}


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _comparisons(evaluation: Evaluation) -> dict[str, Any]:
    return {
        "years": [_year(year) for year in evaluation.years],
        "months": [
            {"year": one.year, "month": one.month, "return": _number(one.net_return)} for one in evaluation.months
        ],
        "regimes": [_regime(regime) for regime in evaluation.regimes],
        "buy_and_hold": _figures(evaluation.buy_and_hold),
        "volatility_hold": _figures(evaluation.volatility_hold),
    }


def _double_costs(run: BacktestRun, evaluation: Evaluation) -> dict[str, Any]:
    double = evaluation.double_costs
    days = {"lived": double.days_lived, "asked": evaluation.days_asked, "line": _double_line(double, evaluation)}
    return {
        "final_equity": None if double.net_return.value is None else plain(double.final_equity),
        "net_return": double.net_return.value,
        "sharpe": double.sharpe.value,
        "reason": double.net_return.reason or double.sharpe.reason,
        "stopped_at": utc_text(double.stopped_at) if double.stopped_at else None,
        "stop_reason": _stop_reason(run, double.stopped_at),
        "days": days,
    }


def _double_line(double: DoubleCosts, evaluation: Evaluation) -> str:
    """That the figures at twice the costs are of other days than those of the run; empty where they are of the same."""
    if double.days_lived == len(evaluation.days.returns):
        return ""
    asked = f"{evaluation.days_asked:,}"
    if double.stopped_at is None:
        return f"at twice the costs the brake did not stop it; the figures are of all {asked} days"
    return (
        f"at twice the costs the brake stopped it on {double.stopped_at:%Y-%m-%d} after {double.days_lived:,} of "
        f"{asked} days; the figures are of these days"
    )


def _year(result: YearResult) -> dict[str, Any]:
    summary = result.summary
    return {
        "year": result.year,
        "net_return": summary.net_return.value,
        "max_drawdown": summary.max_drawdown.value,
        "sharpe": summary.sharpe.value,
        "trades": result.trades,
        "hold_return": _number(result.hold_return),
        "reason": summary.sharpe.reason,
    }


def _regime(result: RegimeResult) -> dict[str, Any]:
    summary = result.summary
    return {
        "name": result.name,
        "share": result.share,
        "net_return": summary.net_return.value,
        "sharpe": summary.sharpe.value,
        "reason": summary.sharpe.reason,
    }


def _luck(evaluation: Evaluation) -> dict[str, Any]:
    null, order, over = evaluation.null, evaluation.order, evaluation.overfitting
    return {
        "null": {
            "percentile": _number(null.percentile),
            "low": _number(null.low),
            "high": _number(null.high),
            "p_value": _number(null.p_value),
            "draws": len(null.draws),
            "reason": null.reason,
        },
        "trade_order": {
            "actual_drawdown": order.actual,
            "median_drawdown": order.median,
            "worst_twentieth_drawdown": order.worst_twentieth,
            "draws": order.draws,
            "reason": order.reason,
        },
        "overfitting": {
            "trials": over.trials,
            "other_trials": over.study.others,
            "trials_unknown": over.study.unknown,
            "study": over.study.study,
            "seen_days": over.study.seen_days,
            "seen_of": over.study.seen_of,
            "deflated_sharpe": over.deflated_sharpe,
            "pbo": over.overfitting,
            "minimum_track_record_days": over.minimum_days,
            "reason": over.reason,
        },
    }
