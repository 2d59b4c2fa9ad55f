"""The one place that decides: every event, of every stage, passes through `TradingCore.process`."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

from engine.domain.commands import TradingState
from engine.domain.errors import BadInput
from engine.domain.facts import (
    Fact,
    Notice,
    Outcome,
    Severity,
    StateChanged,
    StopProgress,
    StopStep,
)
from engine.domain.instruments import InstrumentKey
from engine.domain.market import Bars, Detail, FeedStatus, FundingRate, MarketEvent, Quotes, to_ms
from engine.market.marks import RejectedPrice
from engine.risk.brake import Brake, BrakeAdvice, BrakeVerdict
from engine.strategies import BASKETS
from engine.trading.basket_look import looked
from engine.trading.book import Book
from engine.trading.config import BrakeMode
from engine.trading.decisions import Decider
from engine.trading.external import netted_external
from engine.trading.feeds import Feed
from engine.trading.folding import Folding
from engine.trading.graduation import watch_trials
from engine.trading.orchestrator import turn_day
from engine.trading.ordering import Decided
from engine.trading.sleeves import LiveOpinions, Opinions, Sleeve

ZERO = Decimal(0)
_NOTHING = Outcome()
TRADES_FAILED = "failed trades in a row"
NOT_ARMED = "not armed"
LOOK_FIRST = "Look at the orders on the Positions page"
BRAKE_WAIT = "equity is unknown or a drawdown waits for confirmation"
OVER_WHEN_ACTIVE = ("brake-wait", "failed-trades", "brake", "stop")
"""Alerts that a book's return to ACTIVE ends: an armed book has been looked at."""
_STRATEGY_ERRORS = (
    ValueError, ArithmeticError, LookupError, TypeError, AttributeError, RuntimeError, AssertionError, BadInput,
)  # fmt: skip
"""What a strategy may raise without ending the loop; all else is a fault of the engine or of the machine."""


class TradingCore(Folding):
    """Decides for one book. No I/O: it changes only the book's memory and returns what should happen.

    `apply` folds a durable fact into the book and is all that recovery needs; `process` folds a market event or
    command and decides on it.
    """

    def __init__(self, book: Book, opinions: Opinions | None = None) -> None:
        super().__init__(book)
        self._opinions = opinions or LiveOpinions()
        self._quarantined: list[Sleeve] = []
        self._told_errors: set[str] = set()
        self._told_failures = False

    def process(self, event: MarketEvent) -> Outcome:
        """Decide on a market event.

        Returns
        -------
        Outcome
            Facts to journal, approved orders to submit, cancels and amends to send, refusals and notices. Orders are
            already tracked as intents; nothing has been sent.
        """
        match event:
            case Bars():
                return self._on_bars(event)
            case Quotes():
                rejections = self.book.marks.apply(event)
                self._reject(len(rejections))
                self.book.reach(event.at)
                for top in event.tops:
                    self._see(event.at, top.instrument)
                return outcome_of(looked(self, event, {each.instrument for each in rejections}), [], [])
            case FeedStatus():
                return self._on_feed(event)
            case FundingRate():
                self.book.reach(event.at)
                return _NOTHING
            case Detail():
                self.book.reach(event.at)
                return self.protect(event.at) if self.is_unsure else _NOTHING

    def _on_feed(self, event: FeedStatus) -> Outcome:
        feed = self.book.feeds.setdefault(event.venue, Feed())
        changed, feed.online, feed.detail = feed.online is not event.online, event.online, event.detail
        first, feed.spoke = not feed.spoke, True
        if not changed or (first and event.online):
            return _NOTHING
        title = f"{event.venue} is {'online' if event.online else 'OFFLINE'}"
        severity = Severity.INFO if event.online else Severity.WARNING
        return Outcome(notices=(self.notice(f"feed-{event.venue}", severity, title, event.detail, event.at),))

    def _on_bars(self, bars: Bars) -> Outcome:
        book = self.book
        if book.bars_at is not None and bars.at < book.bars_at:
            return _NOTHING  # shown again after a restart: what it could decide was decided then
        book.bars_at = bars.at
        book.reach(bars.at)
        rejections = book.marks.apply(bars)
        self._reject(len(rejections))
        bad = [each.instrument for each in rejections if each.reason is not RejectedPrice.LATE] if rejections else ()
        closed: list[tuple[InstrumentKey, int]] = []
        for candle in bars.candles:
            self._see(bars.at, candle.instrument)
            window = book.windows.get(candle.instrument)
            if window is not None and candle.instrument not in bad:
                closed.append((candle.instrument, window.offer(candle)))
        facts: list[Fact] = []
        notices: list[Notice] = self._news
        self._news = []
        book.equity = book.ledger.equity(book.price)
        if book.equity is not None:
            mark = book.units.observe(book.equity, bars.at)
            facts += [mark] if mark else []
            self._watch_sleeves()
            if book.config.on_trial:
                watch_trials(book, bars.at)
            facts += turn_day(book, bars.at)
        self._look_at_brake(bars.at, facts, notices)
        self._look_at_failures(bars.at, facts, notices)
        decider = Decider(book, bars.at)
        if not book.latched:
            facts += self._net_external(bars.at)
            if book.trails or book.best_prices:
                facts += self.see_best_prices(bars, bad, notices)
            self._cover(decider)
            decider.withdraw_entries()
            if book.state is not TradingState.HALTED and book.equity is not None and not book.catching_up:
                self._ask_strategies(closed, decider, notices)
                facts += [sleeve.fact(bars.at) for sleeve in self._quarantined]
                self._quarantined.clear()
            if book.best_prices:
                decider.trail()
        return outcome_of(decider.decided, facts, notices)

    def _see(self, at: datetime, key: InstrumentKey) -> None:
        instrument = self.book.ledger.instruments.get(key)
        if instrument is not None:
            self.book.feeds[instrument.venue].last_market_time = at

    def _reject(self, count: int) -> None:
        self.book.rejected_prices += count

    def _watch_sleeves(self) -> None:
        for name in self.book.sleeves:
            pnl = self.book.sleeve_pnl(name)
            self.book.sleeve_peaks[name] = max(self.book.sleeve_peaks.get(name, ZERO), pnl)

    def _ask_strategies(self, closed: list[tuple[InstrumentKey, int]], decider: Decider, notices: list[Notice]) -> None:
        """Ask about every candle that closed, named by instrument and open time (ms UTC)."""
        for name in sorted(self.book.sleeves):
            sleeve = self.book.sleeves[name]
            if not sleeve.running or sleeve.quarantined or name in BASKETS:
                continue
            universe = frozenset(sleeve.instruments)
            for key, opened_at_ms in closed:
                if key in universe:
                    self._ask(sleeve, key, opened_at_ms, decider, notices)

    def _ask(
        self, sleeve: Sleeve, key: InstrumentKey, opened_at_ms: int, decider: Decider, notices: list[Notice]
    ) -> None:
        try:
            opinion = self._opinions.opinion(sleeve, key, opened_at_ms, self.book.windows[key])
        except _STRATEGY_ERRORS as error:
            if sleeve.failed(error) and self.book.now is not None:
                self._quarantined.append(sleeve)
                title = f"strategy {sleeve.name} quarantined after repeated errors"
                detail = f"{key}: {sleeve.quarantined}; its positions keep their stops"
                notices.append(
                    self.notice(f"quarantine-{sleeve.name}", Severity.CRITICAL, title, detail, self.book.now)
                )
            return
        if opinion is None:
            decider.wait(sleeve, key)
        else:
            decider.follow(sleeve, key, opinion)

    def _cover(self, decider: Decider) -> None:
        if not self._touched:
            return
        uncovered = set()
        for sleeve, key in sorted(self._touched):
            instrument = self.book.ledger.instruments.get(key)
            if instrument is not None and not decider.cover(sleeve, instrument):
                uncovered.add((sleeve, key))
        self._touched = uncovered

    def protect(self, at: datetime) -> Outcome:
        """Give every position the stop it lacks, without waiting for the next close."""
        decider = Decider(self.book, at)
        facts: list[Fact] = []
        if not self.book.latched:
            facts += self._net_external(at)
            self._cover(decider)
        return outcome_of(decider.decided, facts, [])

    @property
    def is_unsure(self) -> bool:
        """Whether something has happened that no look at the stops has taken in yet."""
        return bool(self._touched)

    def look_at_all(self) -> None:
        """Let the next look at stops take in every position; part of recovery."""
        self._touched.update((sleeve, key) for sleeve, key, _ in self.book.ledger.open_holdings())

    def _net_external(self, at: datetime) -> list[Fact]:
        facts: list[Fact] = []
        for netted in netted_external(self.book, at):
            self.apply(netted)
            facts.append(netted)
        return facts

    def _look_at_brake(self, at: datetime, facts: list[Fact], notices: list[Notice]) -> None:
        book = self.book
        if book.config.brake is BrakeMode.OFF or not book.units.units:
            return
        if book.latched:
            self._maybe_reset(at, facts, notices)
            return
        value = book.units.value if book.equity is not None and self._marks_are_fresh(at) else None
        verdict, watch = Brake(book.risk.brake_drawdown).look(value, book.units.peak), book.brake
        waits = book.state is TradingState.CLOSE_ONLY and book.state_reason == BRAKE_WAIT
        if verdict is BrakeVerdict.OK and watch.tripped_since is None and watch.unknown_since is None and not waits:
            return
        book.brake = watch.after(verdict, at)
        advice = book.brake.advice(at)
        if waits and verdict is BrakeVerdict.OK and book.failed_trades.tripped:
            self._restrict(at, facts, notices)
        elif waits and verdict is BrakeVerdict.OK:
            notices += self.good_news(at)
            facts += self.move_state(TradingState.ACTIVE, "equity is known again and above the brake", at)
        if advice is BrakeAdvice.FLATTEN:
            reason = f"emergency brake: drawdown {book.units.drawdown:.2%} reached {book.risk.brake_drawdown:.2%}"
            book.brake_tripped_at = at
            facts += self.begin_stop(f"brake-{to_ms(at)}", reason, "engine", at, at)
            notices.append(self.notice("brake", Severity.CRITICAL, "Emergency brake", reason, at))
        elif advice is BrakeAdvice.CLOSE_ONLY and book.state is TradingState.ACTIVE:
            facts += self.move_state(TradingState.CLOSE_ONLY, BRAKE_WAIT, at)
            notices.append(self.notice("brake-wait", Severity.WARNING, "Close-only", BRAKE_WAIT, at))

    def _marks_are_fresh(self, at: datetime) -> bool:
        """Whether no position is valued at a price older than an entry may rest on."""
        book = self.book
        marks = [book.mark(key) for _, key, _ in book.ledger.open_holdings()]
        if not marks:
            return True
        oldest = at - book.risk.max_price_age_bars * book.config.bar.delta
        return all(mark is not None and mark.at >= oldest for mark in marks)

    def _maybe_reset(self, at: datetime, facts: list[Fact], notices: list[Notice]) -> None:
        book = self.book
        if book.config.brake is not BrakeMode.RESET or book.brake_tripped_at is None or book.stop is None:
            return
        if book.stop.is_flat and at - book.brake_tripped_at >= timedelta(days=book.config.brake_reset_days):
            notices += self.good_news(at)
            facts += self.rearm(at, f"reset {book.config.brake_reset_days} days after the brake")

    def _look_at_failures(self, at: datetime, facts: list[Fact], notices: list[Notice]) -> None:
        book = self.book
        if book.failed_trades.tripped and book.state is TradingState.ACTIVE:
            self._restrict(at, facts, notices)
        elif book.failed_trades.in_a_row == book.failed_trades.limit and not self._told_failures:
            detail = f"{book.failed_trades.in_a_row} in a row while {book.state.value}: {self._failed()}. {LOOK_FIRST}."
            notices.append(self.notice("failed-exits", Severity.CRITICAL, "Exits keep failing", detail, at))
        self._told_failures = book.failed_trades.tripped
        for venue, errors in book.venue_errors.items():
            if not errors.tripped(at):
                self._told_errors.discard(venue)
            elif venue not in self._told_errors:
                self._told_errors.add(venue)
                title = f"{venue} is close-only: {errors.limit} errors within an hour"
                notices.append(self.notice(f"errors-{venue}", Severity.CRITICAL, title, "entries refused", at))

    def _restrict(self, at: datetime, facts: list[Fact], notices: list[Notice]) -> None:
        """Close-only because trades failed, until a person looks."""
        reason = f"{self.book.failed_trades.in_a_row} {TRADES_FAILED}"
        detail = f"{reason}: {self._failed()}. {LOOK_FIRST}, then set the book ACTIVE on the Risk page."
        facts += self.move_state(TradingState.CLOSE_ONLY, reason, at)
        notices.append(self.notice("failed-trades", Severity.CRITICAL, "Close-only: failed trades", detail, at))

    def _failed(self) -> str:
        """The last failed orders by name; those of before a restart may be in the records only."""
        return "; ".join(self._failures) or "they failed before the last start"

    def move_state(self, state: TradingState, reason: str, at: datetime) -> list[Fact]:
        """Move between unlatched states; the facts to journal."""
        change = StateChanged(state, False, reason, at)
        self.apply(change)
        return [change]

    def good_news(self, at: datetime) -> list[Notice]:
        """What ends the alerts of a restricted book that is about to be ACTIVE; nothing where it is."""
        if self.book.state is TradingState.ACTIVE:
            return []
        title, detail = "Entries are allowed again", f"it was: {self.book.state_reason}"
        return [self.notice(key, Severity.INFO, title, detail, at) for key in OVER_WHEN_ACTIVE]

    def begin_stop(self, stop_id: str, reason: str, actor: str, at: datetime, told: datetime) -> list[Fact]:
        """Latch the book and open the stop, first steps of time ``told``; the facts. A running one is kept as it is."""
        book = self.book
        if book.stop is not None and book.latched:
            return []
        facts: list[Fact] = [StateChanged(TradingState.HALTED, True, reason, at)]
        facts.append(StopProgress(stop_id, StopStep.LATCHED, actor, told))
        why = "the gate refuses entries while HALTED"
        facts.append(StopProgress(stop_id, StopStep.ENTRIES_REFUSED, why, told))
        for fact in facts:
            self.apply(fact)
        return facts

    def rearm(self, at: datetime, reason: str) -> list[Fact]:
        """Release the latch; drawdown is measured from here on. A book that needs arming waits for that."""
        book = self.book
        book.units.reset_peak()
        change = StateChanged(TradingState.ACTIVE, False, reason, at)
        if book.config.needs_arming:
            change = StateChanged(TradingState.HALTED, False, f"{NOT_ARMED}; {reason}", at)
        facts: list[Fact] = [change]
        facts.append(book.units.mark(book.last_equity, at))
        for fact in facts:
            self.apply(fact)
        return facts


def outcome_of(decided: Decided, facts: list[Fact], notices: list[Notice]) -> Outcome:
    """Gather a step's decisions."""
    if not (
        facts or notices or decided.facts or decided.notices
        or decided.approved or decided.cancels or decided.amends or decided.refused
    ):  # fmt: skip
        return _NOTHING
    return Outcome(
        approved=tuple(decided.approved),
        cancels=tuple(decided.cancels),
        amends=tuple(decided.amends),
        refused=tuple(decided.refused),
        facts=(*decided.facts, *facts),
        notices=(*notices, *decided.notices),
    )
