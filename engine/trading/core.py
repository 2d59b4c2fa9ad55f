"""The one place that decides: every event, of every stage, passes through `TradingCore.process`."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

from engine.domain.commands import Command, TradingState
from engine.domain.errors import BadInput
from engine.domain.facts import (
    BookConfigured,
    CommandDone,
    EquityMark,
    Fact,
    Netted,
    Notice,
    Outcome,
    Severity,
    SleeveConfigured,
    StateChanged,
    StopProgress,
    StopStep,
)
from engine.domain.instruments import InstrumentKey
from engine.domain.market import Bars, FeedStatus, FundingRate, MarketEvent, Quotes, to_ms
from engine.domain.orders import CashFlow, Fill, FundingPaid, OrderIntent, OrderState, OrderUpdate, Purpose
from engine.risk.allocation import AllocationMethod
from engine.risk.brake import Brake, BrakeAdvice
from engine.risk.limits import RiskConfig
from engine.trading.book import Book, Feed
from engine.trading.config import BrakeMode
from engine.trading.decisions import Decided, Decider
from engine.trading.emergency import StopRun
from engine.trading.sleeves import LiveOpinions, Opinions, Sleeve, sleeve_from

ZERO = Decimal(0)


class TradingCore:
    """Decides for one book. No I/O: it changes only the book's memory and returns what should happen.

    `apply` folds a durable fact into the book and is all that recovery needs; `process` folds a market event or
    command and decides on it.
    """

    def __init__(self, book: Book, opinions: Opinions | None = None) -> None:
        self.book = book
        self._opinions = opinions or LiveOpinions()
        self._touched: set[tuple[str, InstrumentKey]] = set()

    # -- facts ---------------------------------------------------------------------------------------------------

    def apply(self, fact: Fact) -> None:
        """Fold one fact into the book; the same whether it just happened or is read back after a crash."""
        book = self.book
        match fact:
            case Fill():
                self._apply_fill(fact)
            case OrderUpdate():
                self._apply_update(fact)
            case OrderIntent():
                order = book.tracker.add(fact)
                if fact.purpose is Purpose.STOP and fact.stop_price is not None:
                    book.stop_prices[(fact.sleeve, fact.instrument)] = fact.stop_price
                order.updated_at = order.updated_at or fact.created_at
            case FundingPaid():
                book.ledger.apply_funding(fact)
            case CashFlow():
                book.ledger.apply_flow(fact)
            case Netted():
                book.ledger.apply_netting(fact)
            case EquityMark():
                book.units.apply(fact)
            case StateChanged():
                book.state, book.latched, book.state_reason = fact.state, fact.latched, fact.reason
                if not fact.latched:
                    book.stop = None
            case StopProgress():
                if book.stop is None:
                    book.stop = StopRun(fact.stop_id, book.state_reason, fact.detail, fact.at)
                book.stop.apply(fact)
            case CommandDone():
                book.remember(fact)
            case SleeveConfigured():
                self._apply_sleeve(fact)
            case BookConfigured():
                book.set_risk(RiskConfig.model_validate_json(fact.risk))
                book.allocation = AllocationMethod(fact.allocation)
            case Command():
                pass

    def _apply_fill(self, fill: Fill) -> None:
        book = self.book
        order = book.tracker.apply_fill(fill)
        sleeve = order.intent.sleeve if order else "external"
        effect = book.ledger.apply_fill(fill, sleeve)
        self._touched.add((sleeve, fill.instrument))
        if order is None:
            return
        book.failed_trades = book.failed_trades.succeeded()
        if order.intent.purpose is Purpose.STOP:
            book.stopped_out[(sleeve, fill.instrument)] = -fill.side.sign
        if effect.closed_trade and not book.ledger.held(sleeve, fill.instrument):
            book.stop_prices.pop((sleeve, fill.instrument), None)
        if book.stop is not None and book.stop.is_flat and order.intent.purpose is not Purpose.FLATTEN:
            book.stop.reopen(f"a late fill of {fill.client_id} arrived after VERIFIED FLAT")

    def _apply_update(self, update: OrderUpdate) -> None:
        book = self.book
        before = book.tracker.get(update.client_id)
        was = before.state if before else None
        order = book.tracker.apply_update(update)
        if order is None:
            return
        self._touched.add((order.intent.sleeve, order.intent.instrument))
        if order.state is was:
            return
        dead_exit = order.state is OrderState.CANCELLED and order.intent.purpose is Purpose.EXIT and not order.reported
        if order.state is OrderState.REJECTED or dead_exit:
            book.failed_trades = book.failed_trades.failed()

    def _apply_sleeve(self, fact: SleeveConfigured) -> None:
        known = self.book.sleeves.get(fact.strategy)
        sleeve = sleeve_from(fact)
        if known is not None:
            sleeve.ideas = known.ideas
        self.book.sleeves[fact.strategy] = sleeve

    # -- events --------------------------------------------------------------------------------------------------

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
                self._reject(len(self.book.marks.apply(event)))
                self._see(event.at, [top.instrument for top in event.tops])
                return Outcome()
            case FeedStatus():
                return self._on_feed(event)
            case FundingRate():
                return Outcome()

    def _on_feed(self, event: FeedStatus) -> Outcome:
        feed = self.book.feeds.setdefault(event.venue, Feed())
        changed, feed.online, feed.detail = feed.online is not event.online, event.online, event.detail
        if not changed:
            return Outcome()
        title = f"{event.venue} is {'online' if event.online else 'OFFLINE'}"
        severity = Severity.INFO if event.online else Severity.WARNING
        return Outcome(notices=(self.notice(f"feed-{event.venue}", severity, title, event.detail, event.at),))

    def _on_bars(self, bars: Bars) -> Outcome:
        book = self.book
        book.now = bars.at
        self._reject(len(book.marks.apply(bars)))
        self._see(bars.at, [candle.instrument for candle in bars.candles])
        for candle in bars.candles:
            window = book.windows.get(candle.instrument)
            last = window.last_opened_at_ms if window is not None else None
            if window is not None and (last is None or to_ms(candle.opened_at) > last):
                window.append(candle)
        facts: list[Fact] = []
        notices: list[Notice] = []
        book.equity = book.ledger.equity(book.price)
        if book.equity is not None:
            mark = book.units.observe(book.equity, bars.at)
            facts += [mark] if mark else []
            self._watch_sleeves()
        self._look_at_brake(bars.at, facts, notices)
        self._look_at_failures(bars.at, facts, notices)
        decider = Decider(book, bars.at)
        if not book.latched:
            self._cover(decider)
            if book.state is not TradingState.HALTED and book.equity is not None:
                self._ask_strategies(bars, decider, notices)
        return outcome_of(decider.decided, facts, notices)

    def _see(self, at: datetime, keys: list[InstrumentKey]) -> None:
        for key in keys:
            instrument = self.book.ledger.instruments.get(key)
            if instrument is not None:
                feed = self.book.feeds[instrument.venue]
                feed.last_market_time = at

    def _reject(self, count: int) -> None:
        self.book.rejected_prices += count

    def _watch_sleeves(self) -> None:
        for name in self.book.sleeves:
            pnl = self.book.sleeve_pnl(name)
            self.book.sleeve_peaks[name] = max(self.book.sleeve_peaks.get(name, ZERO), pnl)

    def _ask_strategies(self, bars: Bars, decider: Decider, notices: list[Notice]) -> None:
        for name in sorted(self.book.sleeves):
            sleeve = self.book.sleeves[name]
            if not sleeve.running or sleeve.quarantined:
                continue
            universe = frozenset(sleeve.instruments)
            for candle in bars.candles:
                if candle.instrument in universe and candle.instrument in self.book.windows:
                    self._ask(sleeve, candle.instrument, to_ms(candle.opened_at), decider, notices)

    def _ask(
        self, sleeve: Sleeve, key: InstrumentKey, opened_at_ms: int, decider: Decider, notices: list[Notice]
    ) -> None:
        window = self.book.windows[key].view()
        try:
            opinion = self._opinions.opinion(sleeve, key, opened_at_ms, window)
        except (ValueError, ArithmeticError, LookupError, TypeError, BadInput) as error:
            if sleeve.failed(error) and self.book.now is not None:
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
        for sleeve, key in sorted(self._touched):
            instrument = self.book.ledger.instruments.get(key)
            if instrument is not None:
                decider.cover(sleeve, instrument)
        self._touched.clear()

    # -- brakes --------------------------------------------------------------------------------------------------

    def _look_at_brake(self, at: datetime, facts: list[Fact], notices: list[Notice]) -> None:
        book = self.book
        if book.config.brake is BrakeMode.OFF or not book.units.units:
            return
        if book.latched:
            self._maybe_reset(at, facts)
            return
        value = book.units.value if book.equity is not None else None
        book.brake = book.brake.after(Brake(book.risk.brake_drawdown).look(value, book.units.peak), at)
        advice = book.brake.advice(at)
        if advice is BrakeAdvice.FLATTEN:
            reason = f"emergency brake: drawdown {book.units.drawdown:.2%} reached {book.risk.brake_drawdown:.2%}"
            book.brake_tripped_at = at
            facts += self.begin_stop(f"brake-{to_ms(at)}", reason, "engine", at)
            notices.append(self.notice("brake", Severity.CRITICAL, "Emergency brake", reason, at))
        elif advice is BrakeAdvice.CLOSE_ONLY and book.state is TradingState.ACTIVE:
            reason = "equity is unknown or a drawdown waits for confirmation"
            facts += self.move_state(TradingState.CLOSE_ONLY, reason, at)
            notices.append(self.notice("brake-wait", Severity.WARNING, "Close-only", reason, at))

    def _maybe_reset(self, at: datetime, facts: list[Fact]) -> None:
        book = self.book
        if book.config.brake is not BrakeMode.RESET or book.brake_tripped_at is None or book.stop is None:
            return
        if book.stop.is_flat and at - book.brake_tripped_at >= timedelta(days=book.config.brake_reset_days):
            facts += self.rearm(at, f"reset {book.config.brake_reset_days} days after the brake")

    def _look_at_failures(self, at: datetime, facts: list[Fact], notices: list[Notice]) -> None:
        book = self.book
        if book.failed_trades.tripped and book.state is TradingState.ACTIVE:
            reason = f"{book.failed_trades.in_a_row} failed trades in a row"
            book.failed_trades = book.failed_trades.succeeded()
            facts += self.move_state(TradingState.CLOSE_ONLY, reason, at)
            notices.append(self.notice("failed-trades", Severity.CRITICAL, "Close-only: failed trades", reason, at))
        for venue, errors in book.venue_errors.items():
            if errors.tripped(at) and len(errors.times) == errors.limit and errors.times[-1] == at:
                title = f"{venue} is close-only: {errors.limit} errors within an hour"
                notices.append(self.notice(f"errors-{venue}", Severity.CRITICAL, title, "entries refused", at))

    def move_state(self, state: TradingState, reason: str, at: datetime) -> list[Fact]:
        """Move between unlatched states; the facts to journal."""
        change = StateChanged(state, False, reason, at)
        self.apply(change)
        return [change]

    def begin_stop(self, stop_id: str, reason: str, actor: str, at: datetime) -> list[Fact]:
        """Latch the book and open the stop workflow; the facts to journal. A running stop is kept as it is."""
        book = self.book
        if book.stop is not None and book.latched:
            return []
        facts: list[Fact] = [StateChanged(TradingState.HALTED, True, reason, at)]
        facts.append(StopProgress(stop_id, StopStep.LATCHED, actor, at))
        facts.append(StopProgress(stop_id, StopStep.ENTRIES_REFUSED, "the gate refuses entries while HALTED", at))
        for fact in facts:
            self.apply(fact)
        return facts

    def rearm(self, at: datetime, reason: str) -> list[Fact]:
        """Release the latch; drawdown is measured from here on."""
        book = self.book
        book.brake_tripped_at = None
        book.brake = replace(book.brake, tripped_since=None, unknown_since=None)
        book.units.reset_peak()
        facts: list[Fact] = [StateChanged(TradingState.ACTIVE, False, reason, at)]
        if book.equity is not None:
            facts.append(book.units.mark(book.equity, at))
        for fact in facts:
            self.apply(fact)
        return facts

    def notice(self, key: str, severity: Severity, title: str, detail: str, at: datetime) -> Notice:
        """A notice of this book."""
        return Notice(f"{self.book.config.name}:{key}", severity, title, detail, self.book.config.name, at)


def outcome_of(decided: Decided, facts: list[Fact], notices: list[Notice]) -> Outcome:
    """Gather a step's decisions."""
    return Outcome(
        approved=tuple(decided.approved),
        cancels=tuple(decided.cancels),
        amends=tuple(decided.amends),
        refused=tuple(decided.refused),
        facts=tuple(facts),
        notices=tuple(notices),
    )
