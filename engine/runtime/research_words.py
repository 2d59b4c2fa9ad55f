"""What the figures of a backtest are called, what they are measured in and what they mean, in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from engine.domain.research import Standing, Unit
from engine.quant.verdict import Level


@dataclass(frozen=True, slots=True)
class Words:
    """Title, unit and meaning of a figure; ``more_is_better`` None where neither side is."""

    title: str
    unit: Unit
    meaning: str
    more_is_better: bool | None = True


FIGURES: Mapping[str, Words] = {
    "net_return": Words("Net return", Unit.SHARE, "Gain after every cost, against the cash put in."),
    "cagr": Words("Growth a year", Unit.SHARE, "The steady growth a year that gives the same net return (CAGR)."),
    "volatility": Words("Volatility", Unit.SHARE, "Usual swing of a year's return, from daily ones.", None),
    "sharpe": Words("Sharpe ratio", Unit.RATIO, "Mean return over its swings, a year; no risk-free rate deducted."),
    "sortino": Words("Sortino ratio", Unit.RATIO, "Like Sharpe, but only returns below zero count as swings."),
    "calmar": Words("Calmar ratio", Unit.RATIO, "Growth a year over the deepest drawdown."),
    "max_drawdown": Words(
        "Deepest drawdown", Unit.SHARE, "Largest fall from an earlier peak, of the closes of all candles."
    ),
    "drawdown_days": Words("Longest drawdown", Unit.DAYS, "Days under an earlier peak, one not over included.", False),
    "trades": Words("Trades", Unit.COUNT, "Round trips. Under 30 nothing can be said, 200 are asked for.", None),
    "win_rate": Words("Trades won", Unit.SHARE, "Says nothing without the payoff and the number of trades.", None),
    "payoff": Words("Payoff", Unit.RATIO, "Average win over average loss."),
    "breakeven_payoff": Words("Payoff needed", Unit.RATIO, "The payoff at which so many wins just break even.", None),
    "expectancy": Words("Expectancy", Unit.MONEY, "Average result of a trade after costs."),
    "profit_factor": Words("Profit factor", Unit.RATIO, "All that was won over all that was lost."),
    "exposure": Words("Exposure", Unit.SHARE, "Average share of equity that was in the market.", None),
    "time_in_market": Words("Time in the market", Unit.SHARE, "Share of candles with an open position.", None),
    "turnover": Words("Turnover a year", Unit.RATIO, "How often the whole equity was traded in a year.", None),
    "cost_share": Words("Cost share", Unit.SHARE, "Share of the profit before costs that went into costs.", False),
}
"""The figures of a run in the order in which they are shown."""

DOUBLED: Mapping[str, Words] = {
    "final_equity": Words("Final equity", Unit.MONEY, "What is left at twice the fees, spread, slippage and impact."),
    "net_return": FIGURES["net_return"],
    "sharpe": FIGURES["sharpe"],
}

CHECKS: tuple[tuple[str, str, Words], ...] = (
    (
        "null",
        "percentile",
        Words(
            "Better than random entries",
            Unit.SHARE,
            "Share of {draws} runs with the same holding times at random entries that did worse. The lower end of its "
            "own interval must be above 95 %.",
        ),
    ),
    (
        "trade_order",
        "worst_twentieth_drawdown",
        Words(
            "Drawdown by bad luck",
            Unit.SHARE,
            "One in twenty of {draws} other orders of the same trades falls at least this deep.",
        ),
    ),
    (
        "overfitting",
        "deflated_sharpe",
        Words(
            "Deflated Sharpe",
            Unit.SHARE,
            "Probability that the Sharpe ratio beats what luck gives the best of so many trials. 95 % is asked for.",
        ),
    ),
    (
        "overfitting",
        "pbo",
        Words(
            "Overfitting",
            Unit.SHARE,
            "Probability that the best of the trials is below the middle on unseen data. At most 10 % is asked for.",
        ),
    ),
    (
        "overfitting",
        "minimum_track_record_days",
        Words("Record needed", Unit.DAYS, "Days that are needed to tell this Sharpe ratio from zero."),
    ),
    (
        "overfitting",
        "trials",
        Words(
            "Trials",
            Unit.COUNT,
            "Settings of this strategy that were tried on these days and coins, by any run, abandoned ones included.",
        ),
    ),
)
"""Part of the record, name in it, and words of each check against luck; ``{draws}`` is how many draws were made."""

STANDINGS: Mapping[Level, Standing] = {
    Level.DISTINGUISHABLE: Standing.HOLDS,
    Level.INCOMPLETE: Standing.DOUBTFUL,
    Level.TOO_FEW_TRADES: Standing.DOUBTFUL,
    Level.NOT_DISTINGUISHABLE: Standing.DOUBTFUL,
    Level.NO_BETTER: Standing.DOUBTFUL,
    Level.FRAGILE: Standing.FAILS,
    Level.LOSES: Standing.FAILS,
}

LEADS: Mapping[Level, str] = {
    Level.NOT_DISTINGUISHABLE: "What failed",
    Level.FRAGILE: "What failed",
    Level.NO_BETTER: "What failed",
    Level.INCOMPLETE: "What is missing",
}
"""What the reasons of a verdict are, where its level alone does not say it."""

COSTS: Mapping[str, str] = {"fees": "Fees", "spread_and_slippage": "Spread, slippage and impact", "funding": "Funding"}

ENGINES: Mapping[str, str] = {"kernel": "kernel (compiled)", "replay": "replay (the engine itself)"}


def words_of(key: str) -> Words:
    """Words of a figure; of one that has none its key as title.

    >>> words_of("sharpe").title, words_of("new_figure").title
    ('Sharpe ratio', 'New figure')
    """
    return FIGURES.get(key) or Words(key.replace("_", " ").capitalize(), Unit.RATIO, "", None)


def level_of(text: str) -> Level:
    """The level by its words or its name; raises ValueError.

    >>> level_of("loses money after costs") is level_of("LOSES")
    True
    """
    return Level[text] if text in Level.__members__ else Level(text)
