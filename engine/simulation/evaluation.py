"""From a backtest to what may be said of it: figures with intervals, comparisons, luck, and one line."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal

from engine.domain.errors import QuarterdeckError
from engine.domain.market import FloatArray
from engine.exchanges.paper import PaperCosts
from engine.quant.luck import RandomEntryNull
from engine.quant.resampling import Resampling
from engine.quant.summary import summarise
from engine.quant.verdict import Evidence, Verdict, judge
from engine.simulation.backtest import BacktestRun, run_again
from engine.simulation.backtest_trades import Reason
from engine.simulation.evaluation_figures import (
    DAY_MS,
    Days,
    Figure,
    by_day,
    days_of,
    deepest,
    lived,
    metrics_of,
    return_figures,
)
from engine.simulation.evaluation_luck import (
    OrderFigures,
    OverfittingFigures,
    StudyFacts,
    order_of_trades,
    overfitting_figures,
    random_entries,
)
from engine.simulation.evaluation_market import (
    MonthResult,
    RegimeResult,
    YearResult,
    hold_curve,
    months_of,
    regimes_of,
    years_of,
)
from engine.simulation.evaluation_volatility import volatility_hold
from engine.simulation.replay import Progress


@dataclass(frozen=True, slots=True)
class EvaluationPlan:
    """How to evaluate.

    Attributes
    ----------
    draws : int
        Of bootstrap, random entries and trade orders; at least 100.
    seed : int
        The same seed gives the same numbers on every machine.
    study : StudyFacts
    """

    draws: int = 1_000
    seed: int = 0
    study: StudyFacts = field(default_factory=StudyFacts)


@dataclass(frozen=True, slots=True)
class DoubleCosts:
    """The same run at twice the fees, spread, slippage and impact; equity in quote, the return a fraction.

    Where the run paid nothing, twice nothing shows nothing: then the figures are undefined and say so. The brake may
    have ended this run (``stopped_at``) on another day than the plain one: the figures are of its own ``days_lived``.
    """

    final_equity: Decimal
    net_return: Figure
    sharpe: Figure
    stopped_at: datetime | None
    days_lived: int


@dataclass(frozen=True, slots=True)
class ExitResult:
    """Trades that ended for a reason, and what they made together (quote, after costs)."""

    reason: Reason
    trades: int
    pnl: Decimal


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What may be said of a run; ``hold`` is equity at the run's closes of holding the same instruments.

    ``days`` are those the run lived, of ``days_asked``: all but where the brake ended it. Every figure is of these.
    """

    days: Days
    days_asked: int
    metrics: Mapping[str, Figure]
    hold: FloatArray
    buy_and_hold: Mapping[str, Figure]
    volatility_hold: Mapping[str, Figure]
    years: tuple[YearResult, ...]
    months: tuple[MonthResult, ...]
    regimes: tuple[RegimeResult, ...]
    exits: tuple[ExitResult, ...]
    double_costs: DoubleCosts
    null: RandomEntryNull
    order: OrderFigures
    overfitting: OverfittingFigures
    verdict: Verdict


class EvaluationCancelled(QuarterdeckError):
    """Whoever waited for an evaluation does not want it any more; there is none."""


@dataclass(slots=True)
class _Watch:
    """Counts the steps of an evaluation for whoever waits for it; running again counts as many as a kind of draw."""

    progress: Progress
    total: int
    done: int = 0

    def __call__(self) -> None:
        self.done += 1
        self.must_go_on()

    def must_go_on(self, _done: int = 0, _total: int = 0) -> bool:
        if not self.progress(min(self.done, self.total), self.total):
            raise EvaluationCancelled("the evaluation was cancelled; there is no result")
        return True


_KINDS_OF_DRAWS = 5
"""Returns, the market's returns, trades, random entries of one instrument, orders of the trades."""


def evaluate(run: BacktestRun, plan: EvaluationPlan | None = None, progress: Progress | None = None) -> Evaluation:
    """Evaluate a run; it is run again at twice the costs.

    Parameters
    ----------
    run : BacktestRun
    plan : EvaluationPlan, optional
    progress : callable, optional
        Told steps done and steps in all, at each random draw; False cancels.

    Raises
    ------
    BadInput
        As `run_backtest`.
    EvaluationCancelled
        ``progress`` said so.
    """
    plan = plan or EvaluationPlan()
    watch = _Watch(progress or (lambda _done, _total: True), (_KINDS_OF_DRAWS + len(run.series)) * plan.draws)
    resampling = Resampling(plan.draws, plan.seed, watch=watch)
    whole, hold = days_of(run), hold_curve(run)
    days = lived(run, whole)
    market = lived(run, by_day(run.at_ms, hold, float(run.setup.config.cash), days.period_ms))
    metrics = metrics_of(run, days, resampling)
    null = random_entries(run, plan.draws, plan.seed, watch)
    overfitting = overfitting_figures(days, plan.study)
    double = at_double_costs(run, watch.must_go_on)
    held = return_figures(market, resampling, deepest(run, hold))
    evidence = _evidence(run, days, double, null, overfitting)
    return Evaluation(
        days=days,
        days_asked=len(whole.opened_ms),
        metrics=metrics,
        hold=hold,
        buy_and_hold=held,
        volatility_hold=return_figures(volatility_hold(run, market)),
        years=years_of(run, days, market),
        months=months_of(days),
        regimes=regimes_of(days, market),
        exits=exits_of(run),
        double_costs=double,
        null=null,
        order=order_of_trades(run, plan.draws, plan.seed, watch),
        overfitting=overfitting,
        verdict=judge(_with_figures(evidence, metrics, held)),
    )


NO_COSTS = "no costs were given"


def doubled(costs: PaperCosts) -> PaperCosts:
    """Twice the fees, spread, slippage and impact; funding, caps and delays stay."""
    names = ("maker_bps", "taker_bps", "spread_bps", "slippage_bps", "impact")
    return costs.model_copy(update={name: 2 * getattr(costs, name) for name in names})


def at_double_costs(run: BacktestRun, progress: Progress | None = None) -> DoubleCosts:
    """Run it again at twice the costs, by the same engine; ``progress`` may cancel by what it raises alone."""
    again = run_again(run, doubled(run.setup.config.costs), progress)
    assert again is not None, "nothing cancels it"
    days = lived(again, days_of(again))
    end = (again.stopped_at, len(days.returns))
    if run.trades and run.costs.fees == 0 and run.costs.spread_and_slippage == 0:
        return DoubleCosts(again.final_equity, Figure(None, reason=NO_COSTS), Figure(None, reason=NO_COSTS), *end)
    net = float(again.final_equity / run.setup.config.cash) - 1.0
    return DoubleCosts(again.final_equity, Figure(net), Figure.of(summarise(days.returns, days.per_year).sharpe), *end)


def exits_of(run: BacktestRun) -> tuple[ExitResult, ...]:
    """Closed trades by the reason they ended for."""
    results = []
    for reason in Reason:
        pnls = [trade.pnl for trade in run.trades if trade.reason is reason]
        if pnls:
            results.append(ExitResult(reason, len(pnls), sum(pnls, Decimal(0))))
    return tuple(results)


def _evidence(
    run: BacktestRun, days: Days, double: DoubleCosts, null: RandomEntryNull, overfitting: OverfittingFigures
) -> Evidence:
    least, study = overfitting.minimum_days, overfitting.study
    return Evidence(
        trades=len(run.trades),
        days=round(len(days.opened_ms) * days.period_ms / DAY_MS),
        trials=overfitting.trials,
        net_return=float(run.final_equity / run.setup.config.cash) - 1.0,
        net_return_double_cost=double.net_return.value,
        deflated_sharpe=overfitting.deflated_sharpe,
        null_percentile=null.percentile,
        null_low=null.low,
        overfitting=overfitting.overfitting,
        minimum_track_record_days=math.nan if least is None else least,
        other_trials=study.others,
        trials_unknown=study.unknown,
        double_cost_unknown=double.net_return.reason,
        study=study.study,
        seen_days=study.seen_days,
        seen_of=study.seen_of,
    )


def _with_figures(evidence: Evidence, metrics: Mapping[str, Figure], held: Mapping[str, Figure]) -> Evidence:
    """The evidence with the run's Sharpe ratio, its interval, and what holding did."""
    sharpe = metrics["sharpe"]
    return replace(
        evidence,
        sharpe=sharpe.value,
        sharpe_low=sharpe.low,
        sharpe_high=sharpe.high,
        hold_net_return=held["net_return"].value,
        hold_sharpe=held["sharpe"].value,
    )
