"""Which strategy may go on to which stage: by what it has shown in the stage before, with the very same settings.

A strategy is promoted only out of a book of a stage before, only where it ran there long and often enough with the
settings it is promoted with, and into live only where it made money after all costs within the drawdown limit of a
strategy. Paper and testnet both stand before live: not every exchange has a sandbox.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from engine.domain.errors import CommandRefused
from engine.domain.facts import Evidence, Promotion, SleeveConfigured
from engine.domain.instruments import InstrumentKey
from engine.trading.book import Book
from engine.trading.licence import Trial

ZERO = Decimal(0)
ONE = Decimal(1)


@dataclass(frozen=True, slots=True)
class Rule:
    """What a stage asks of a strategy.

    Attributes
    ----------
    before : tuple of str
        Stages it may come from.
    trades, days : int
        Closed trades and market days it needs there at least.
    needs_profit : bool
        Whether its result after costs must be above zero, and its drawdown within the limit of the new book.
    """

    before: tuple[str, ...]
    trades: int
    days: int
    needs_profit: bool = False

    @property
    def words(self) -> str:
        """The rule for people."""
        profit = ", a result above zero after costs and a drawdown within the limit" if self.needs_profit else ""
        days = "1 day" if self.days == 1 else f"{self.days} days"
        return f"at least {self.trades} closed trades on {days} in {' or '.join(self.before)}{profit}"


RULES = {
    "paper": Rule(("demo",), 10, 1),
    "testnet": Rule(("paper",), 10, 3),
    "live": Rule(("paper", "testnet"), 30, 14, needs_profit=True),
}
"""By the stage a strategy goes to; what is not named takes none."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A strategy as it stands in a book: what would be promoted, and what speaks for it."""

    strategy: str
    book: str
    stage: str
    values: str
    symbols: frozenset[str]
    weight: Decimal
    quarantined: str
    evidence: Evidence | None


def begin_trial(book: Book, configured: SleeveConfigured, values: str) -> None:
    """Watch a strategy from here on, where its configuration has changed."""
    known = book.licence.trials.get(configured.strategy)
    if not book.config.on_trial or (known is not None and known.values == values):
        return
    totals = book.ledger.sleeves.get(configured.strategy)
    trades = totals.trades if totals is not None else 0
    pnl = totals.realised - totals.fees + totals.funding if totals is not None else ZERO
    book.licence.trials[configured.strategy] = Trial(values, configured.at, trades, pnl)


def watch_trials(book: Book, at: datetime) -> None:
    """Take in one close of every strategy that runs."""
    for name, trial in book.licence.trials.items():
        sleeve = book.sleeves.get(name)
        if sleeve is not None and sleeve.running and not sleeve.quarantined:
            made = book.sleeve_pnl(name) - trial.pnl
            trial.watch(at.date(), made, book.sleeve_equity(name) - made)


def evidence_of(book: Book, strategy: str) -> Evidence | None:
    """What a strategy has shown in a book; None where nothing watches it."""
    trial, totals = book.licence.trials.get(strategy), book.ledger.sleeves.get(strategy)
    if trial is None:
        return None
    made = book.sleeve_pnl(strategy) - trial.pnl
    capital = book.sleeve_equity(strategy) - made
    trades = (totals.trades if totals is not None else 0) - trial.trades
    if capital <= 0:
        return Evidence(trades, trial.days, None, None, trial.since)
    return Evidence(trades, trial.days, made / capital, trial.drawdown, trial.since)


def candidate_of(book: Book, strategy: str) -> Candidate:
    """A strategy as it stands in a book; raises `CommandRefused` where it has no place there."""
    sleeve = book.sleeves.get(strategy)
    if sleeve is None:
        raise CommandRefused(f"no strategy {strategy!r} in {book.config.name}; it shows nothing there")
    return Candidate(
        strategy,
        book.config.name,
        book.config.stage,
        sleeve.values,
        frozenset(symbol_of(key) for key in sleeve.instruments),
        sleeve.weight,
        sleeve.quarantined,
        evidence_of(book, strategy),
    )


def symbol_of(key: InstrumentKey) -> str:
    """What is traded, without where.

    >>> symbol_of(InstrumentKey("bybit:BTC/USDT:USDT"))
    'BTC/USDT:USDT'
    """
    return key.partition(":")[2]


def shared_instruments(candidate: Candidate, keys: Iterable[InstrumentKey]) -> tuple[InstrumentKey, ...]:
    """Those of a book that the strategy has traded in the book before."""
    return tuple(sorted(key for key in keys if symbol_of(key) in candidate.symbols))


def why_not(candidate: Candidate, to_stage: str, most_drawdown: Decimal, keys: Iterable[InstrumentKey]) -> str:
    """Why a strategy may not go on to a stage; "" where it may.

    Parameters
    ----------
    candidate : Candidate
    to_stage : str
    most_drawdown : Decimal
        Limit of a strategy's drawdown in the new book, a share.
    keys : iterable of InstrumentKey
        What the new book trades.
    """
    rule = RULES.get(to_stage)
    if rule is None:
        return f"{to_stage} takes no promotions"
    if candidate.stage not in rule.before:
        return f"{to_stage} takes strategies from {' or '.join(rule.before)}, not from {candidate.stage}"
    if candidate.quarantined:
        return f"it is quarantined in {candidate.book}: {candidate.quarantined}"
    if not shared_instruments(candidate, keys):
        return f"it trades none of the instruments of {to_stage} in {candidate.book}"
    evidence = candidate.evidence
    if evidence is None:
        return f"{candidate.book} has no evidence about it; {to_stage} needs {rule.words}"
    if evidence.trades < rule.trades or evidence.days < rule.days:
        shown = f"{evidence.trades} closed trades on {evidence.days} days since {evidence.since:%Y-%m-%d}"
        return f"{candidate.book} has seen {shown} with these settings; {to_stage} needs {rule.words}"
    return _why_not_by_result(evidence, most_drawdown) if rule.needs_profit else ""


def _why_not_by_result(evidence: Evidence, most_drawdown: Decimal) -> str:
    if evidence.net_return is None or evidence.drawdown is None:
        return "its result cannot be told: it has no capital in the book before"
    if evidence.net_return <= 0:
        return f"its result after costs is {evidence.net_return:.2%}; it must be above zero"
    if evidence.drawdown > most_drawdown:
        return f"its drawdown was {evidence.drawdown:.2%}, {most_drawdown:.2%} are allowed"
    return ""


def promotion(book: Book, candidate: Candidate, by: str, at: datetime) -> tuple[Promotion, SleeveConfigured]:
    """The facts of a promotion into a book; raises `CommandRefused` with the rule where the evidence does not carry it.

    A strategy that is new here takes the weight it has in the book before, as far as that is left.
    """
    name, keys = candidate.strategy, book.ledger.instruments
    refusal = why_not(candidate, book.config.stage, book.risk.strategy_drawdown, keys)
    if refusal:
        raise CommandRefused(f"{name} stays in {candidate.book}: {refusal}")
    present = book.sleeves.get(name)
    left = ONE - sum((s.weight for s in book.sleeves.values() if s is not present), ZERO)
    weight = present.weight if present is not None and present.weight else min(candidate.weight, max(ZERO, left))
    shared = shared_instruments(candidate, keys)
    fact = Promotion(name, True, candidate.book, candidate.values, candidate.evidence, by, at)
    return fact, SleeveConfigured(name, True, candidate.values, shared, weight, at)
