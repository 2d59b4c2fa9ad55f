"""What facts add up to: each folded into the book, the same whether it just happened or is read back after a crash."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from engine.domain.baskets import Basket, BasketMoved
from engine.domain.codec import plain
from engine.domain.commands import Command, TradingState
from engine.domain.facts import (
    Armed,
    BestPrice,
    BookConfigured,
    CoinPriced,
    CommandDone,
    EquityMark,
    Fact,
    Gap,
    LatchReleased,
    Netted,
    Notice,
    Promotion,
    ProtectionGap,
    Severity,
    SleeveConfigured,
    StateChanged,
    StopProgress,
)
from engine.domain.instruments import InstrumentKey
from engine.domain.market import Bars
from engine.domain.orders import (
    ON_REQUEST,
    CashFlow,
    Fill,
    FillCause,
    FundingPaid,
    OrderIntent,
    OrderState,
    OrderType,
    OrderUpdate,
    Purpose,
)
from engine.domain.unread import RowSetAside
from engine.execution.tracker import TrackedOrder
from engine.risk.allocation import AllocationMethod
from engine.risk.limits import RiskConfig
from engine.trading.book import BY_HAND, CLOSED_BY, TAKEN, Book
from engine.trading.coin_fees import apply_price, book_coin_fee
from engine.trading.emergency import StopRun
from engine.trading.external import (
    EXTERNAL,
    book_external,
    book_flow,
    book_funding,
    book_row_set_aside,
    book_told,
    is_wholly_his,
)
from engine.trading.graduation import begin_trial
from engine.trading.sleeves import sleeve_from

_FORCED = (FillCause.LIQUIDATION, FillCause.DELEVERAGING)
FAILURES_NAMED = 5
"""How many of the last failed orders an alert names."""


class Folding:
    """The memory of one book, moved by durable facts alone.

    Parameters
    ----------
    book : Book
    """

    def __init__(self, book: Book) -> None:
        self.book = book
        self._touched: set[tuple[str, InstrumentKey]] = set()
        self._news: list[Notice] = []
        self._told_wicks: set[InstrumentKey] = set()
        self._failures: deque[str] = deque(maxlen=FAILURES_NAMED)

    def apply(self, fact: Fact) -> None:
        """Fold one fact into the book; the same whether it just happened or is read back after a crash."""
        book = self.book
        match fact:
            case Fill():
                self._apply_fill(fact)
            case OrderUpdate():
                self._apply_update(fact)
            case OrderIntent():
                self._apply_intent(fact)
            case FundingPaid() | CashFlow() | CoinPriced():
                self._apply_money(fact)
            case Netted():
                self._apply_netting(fact)
            case BestPrice():
                book.see_best((fact.sleeve, fact.instrument), fact.price)
                book.reach(fact.at)
            case LatchReleased():
                book.release(fact)
            case ProtectionGap():
                book.note_gap(fact)
            case EquityMark():
                book.units.apply(fact)
                book.reach(fact.at)
            case StateChanged():
                self._apply_state(fact)
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
            case Promotion() | Armed():
                book.licence.apply(fact)
            case Basket() | BasketMoved():
                book.baskets.fold(fact)
            case RowSetAside():
                book_row_set_aside(book, fact)
                book.reach(fact.at)
            case Command():
                pass

    def _apply_money(self, fact: FundingPaid | CashFlow | CoinPriced) -> None:
        book = self.book
        match fact:
            case FundingPaid():
                book_funding(book, fact)
                book.note_payment(fact.venue, fact.payment_id)
            case CashFlow():
                book_flow(book, fact)
            case CoinPriced():
                self._touched.update(apply_price(book, fact))
        if not isinstance(fact, CoinPriced):
            book_told(book, fact)
        book.reach(fact.at)

    def _apply_intent(self, intent: OrderIntent) -> None:
        """An intent read back; where it has just been decided, the decider has done the same."""
        book = self.book
        book.tracker.add(intent)
        book.reach(intent.created_at)
        if intent.purpose is Purpose.STOP:
            book.guard(intent)
        if intent.purpose is Purpose.TARGET:
            book.aim(intent)
        if intent.purpose is Purpose.ENTRY:
            book.entry_times.append(intent.created_at)
        if intent.basket_id is not None:
            book.baskets.note_intent(intent)

    def _apply_state(self, change: StateChanged) -> None:
        book = self.book
        if book.latched and not change.latched:
            book.brake = replace(book.brake, tripped_since=None, unknown_since=None)
        book.state, book.latched, book.state_reason = change.state, change.latched, change.reason
        book.licence.lapse(change)
        book.reach(change.at)
        if not change.latched:
            book.stop = None
            book.brake_tripped_at = None
        if change.state is TradingState.ACTIVE:
            book.failed_trades = book.failed_trades.succeeded()
            self._failures.clear()

    def take_news(self) -> list[Notice]:
        """What has happened since it was last told."""
        news, self._news = self._news, []
        return news

    def see_best_prices(self, bars: Bars, bad: Collection[InstrumentKey], notices: list[Notice]) -> list[Fact]:
        """Take in what completed candles did to the best prices of positions whose stops trail; facts to journal.

        A high or low that would be refused as a mark moves no stop. It is told in ``notices``, once until a candle of
        the instrument is believed again.
        """
        facts: list[Fact] = []
        candles = {candle.instrument: candle for candle in bars.candles if candle.instrument not in bad}
        for sleeve, key in sorted({*self.book.trails, *self.book.best_prices}):
            held, candle = self.book.ledger.held(sleeve, key), candles.get(key)
            if not held or candle is None:
                continue
            price, before = candle.high if held > 0 else candle.low, self.book.best_prices.get((sleeve, key))
            if not self._believes(key, price, bars.at, notices):
                continue
            if before is None or (price - before) * held > 0:
                best = BestPrice(sleeve, key, price, bars.at)
                self.apply(best)
                facts.append(best)
        return facts

    def _believes(self, key: InstrumentKey, price: Decimal, at: datetime, notices: list[Notice]) -> bool:
        """Whether a candle's extreme lies so near to the mark that a stop may follow it; else that is told."""
        if self.book.marks.believes(key, price):
            self._told_wicks.discard(key)
            return True
        if key not in self._told_wicks:
            self._told_wicks.add(key)
            what = f"a candle of {key} reached {plain(price)}, the mark is {plain(self.book.price(key) or price)}"
            title = "A price too far away moved no trailing stop"
            notices.append(self.notice(f"wick-{key}", Severity.WARNING, title, f"{what}; the stops stay", at))
        return False

    def _apply_netting(self, netted: Netted) -> None:
        book = self.book
        book.ledger.apply_netting(netted)
        for sleeve in (netted.long_sleeve, netted.short_sleeve):
            self._touched.add((sleeve, netted.instrument))
            if not book.ledger.held(sleeve, netted.instrument):
                book.unguard((sleeve, netted.instrument))

    def _apply_fill(self, fill: Fill) -> None:
        book = self.book
        order = book.tracker.apply_fill(fill)
        book_told(book, fill)
        book.reach(fill.at)
        if book.stop is not None and book.stop.is_flat:
            book.stop.reopen(f"a late fill of {fill.client_id} arrived after VERIFIED FLAT")
        if order is None:
            self._tell_of_external(fill)
            book_external(book, fill)
            book.note_external(fill)
            book.outside.note_execution(fill)
            self._touched.add((EXTERNAL, fill.instrument))
            if fill.cause in _FORCED:
                book.outside.cool(fill.instrument, fill.at)
            return
        sleeve = order.intent.sleeve
        self._book_coin_fee(fill, sleeve)
        effect = book.ledger.apply_fill(fill, sleeve)
        book.baskets.book(fill)
        self._touched.add((sleeve, fill.instrument))
        book.failed_trades = book.failed_trades.succeeded()
        self._failures.clear()
        self._latch(order, fill)
        if effect.closed_trade and not book.ledger.held(sleeve, fill.instrument):
            book.unguard((sleeve, fill.instrument))
        if order.filled > order.quantity:
            what = f"{fill.client_id} asked for {order.quantity} and got {order.filled}; booked as the venue says"
            self._news.append(self.notice("overfill", Severity.CRITICAL, "A venue filled too much", what, fill.at))

    def _book_coin_fee(self, fill: Fill, sleeve: str) -> None:
        """Book a fee in a third coin; one that nothing says the worth of is told."""
        owed = len(self.book.outside.owed)
        self._touched.update(book_coin_fee(self.book, fill, sleeve))
        if len(self.book.outside.owed) > owed:
            what = f"{plain(fill.fee)} {fill.fee_currency} at {fill.venue} for {fill.client_id}"
            title, then = "A fee has no price", "it counts in no result until the coin has one"
            key = f"unpriced-fee-{fill.fee_currency}"
            self._news.append(self.notice(key, Severity.WARNING, title, f"{what}: {then}", fill.at))

    def _latch(self, order: TrackedOrder, fill: Fill) -> None:
        """Note that a position was left, so that its strategy does not buy it right back; an entry ends the note."""
        where, latches = (order.intent.sleeve, fill.instrument), self.book.stopped_out
        if order.intent.purpose is Purpose.STOP:
            latches[where] = -fill.side.sign
        elif order.intent.purpose is Purpose.TARGET:
            latches[where] = -fill.side.sign * TAKEN
        elif order.intent.reason.startswith(CLOSED_BY):
            latches[where] = -fill.side.sign * BY_HAND
        elif order.intent.purpose is Purpose.ENTRY:
            latches.pop(where, None)
            if order.filled == fill.quantity and where in self.book.trails:
                self.book.best_prices.pop(where, None)  # it counts from the candle of the latest entry that trails

    def _tell_of_external(self, fill: Fill) -> None:
        traded = f"{fill.side.value} {plain(fill.quantity)} {fill.instrument} at {plain(fill.price)}"
        what = f"{fill.venue} reports {traded}, order {fill.client_id}"
        if fill.cause is not FillCause.TRADE:
            title = f"{fill.venue} closed a position: {fill.cause.value}"
            then = "; nothing is opened on it for 24 hours" if fill.cause in _FORCED else ""
            key = f"forced-{fill.instrument}"
            self._news.append(self.notice(key, Severity.CRITICAL, title, f"{what}{then}", fill.at))
            return
        severity = Severity.WARNING if is_wholly_his(self.book, fill) else Severity.CRITICAL
        self._news.append(self.notice("external", severity, "An execution that is not ours", what, fill.at))

    def _apply_update(self, update: OrderUpdate) -> None:
        book = self.book
        before = book.tracker.get(update.client_id)
        was = before.state if before else None
        order = book.tracker.apply_update(update)
        if order is None:
            return
        book.reach(update.at)
        self._touched.add((order.intent.sleeve, order.intent.instrument))
        if order.state is was:
            return
        if order.state is OrderState.REJECTED:
            book.outside.note_refusal(update.venue)
        asked = update.reason == ON_REQUEST or was is OrderState.PENDING_CANCEL
        if asked and order.state is OrderState.CANCELLED and order.intent.purpose is Purpose.TARGET:
            self._decline_target(order)
        if _is_known_refusal(book, order):
            return
        if order.state is OrderState.REJECTED or (_died_unfilled(order) and not asked):
            book.failed_trades = book.failed_trades.failed()
            self._failures.append(_failure(order, update.reason))

    def _decline_target(self, target: TrackedOrder) -> None:
        """A target cancelled by hand: the position gets none again, however often its stop is replaced."""
        stop = self.book.tracker.get(target.intent.pair_id or "")
        if stop is not None and not stop.state.is_final:
            self.book.target_prices.pop((target.intent.sleeve, target.intent.instrument), None)

    def _apply_sleeve(self, fact: SleeveConfigured) -> None:
        known = self.book.sleeves.get(fact.strategy)
        sleeve = sleeve_from(fact)
        if known is not None:
            sleeve.ideas = known.ideas
            if not fact.running:
                sleeve.quarantined, sleeve.errors = known.quarantined, known.errors
        self.book.sleeves[fact.strategy] = sleeve
        begin_trial(self.book, fact, sleeve.values)

    def notice(self, key: str, severity: Severity, title: str, detail: str, at: datetime) -> Notice:
        """A notice of this book."""
        return Notice(f"{self.book.config.name}:{key}", severity, title, detail, self.book.config.name, at)


def _failure(order: TrackedOrder, reason: str) -> str:
    """A failed order in words: what it was to do, and why the venue says it came to nothing."""
    intent = order.intent
    why = reason or f"{order.state.value}, the venue gave no reason"
    return f"{intent.side.value} {plain(intent.quantity)} {intent.instrument} ({why})"


def _is_known_refusal(book: Book, order: TrackedOrder) -> bool:
    """Whether a take-profit was refused that had been refused before: counted and told then."""
    intent, again = order.intent, order.state is OrderState.REJECTED and order.intent.purpose is Purpose.TARGET
    return again and (intent.sleeve, intent.instrument, Gap.NO_TARGET) in book.gaps


def _died_unfilled(order: TrackedOrder) -> bool:
    """Whether a market exit ended without a fill; one that rests may end unfilled without anybody's fault."""
    intent = order.intent
    unfilled = order.state is OrderState.CANCELLED and not order.reported
    return unfilled and intent.purpose is Purpose.EXIT and intent.order_type is OrderType.MARKET
