"""Orders in the making: complete intents, the gate before them, and what a step has decided so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from engine.domain.commands import TradingState
from engine.domain.facts import AmendRequest, CancelRequest, Fact, Notice
from engine.domain.instruments import Instrument, InstrumentKey
from engine.domain.orders import Approved, OrderIntent, OrderState, OrderType, Purpose, Refused, Side
from engine.risk.gate import Gate
from engine.risk.sizing import is_dust
from engine.trading.book import Book
from engine.trading.exposure import Exposures, context_for

ZERO = Decimal(0)


@dataclass(slots=True)
class Decided:
    """What a step has decided so far, in order; ``facts`` are folded already and still to be made durable."""

    approved: list[Approved] = field(default_factory=list)
    cancels: list[CancelRequest] = field(default_factory=list)
    amends: list[AmendRequest] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)


class Ordering:
    """One step of one book: what it orders passes the gate and is tracked at once, so that the next order sees it."""

    def __init__(self, book: Book, now: datetime) -> None:
        self._book = book
        self._now = now
        self._gate = Gate(book.risk)
        self._exposures: Exposures | None = None
        self.decided = Decided()

    def _known_exposures(self) -> Exposures:
        if self._exposures is None:
            self._exposures = Exposures(self._book)
        return self._exposures

    def _is_dust(self, instrument: Instrument, quantity: Decimal) -> bool:
        price = self._book.price(instrument.key)
        return price is not None and is_dust(quantity, instrument, price)

    def withdraw_entries(self) -> None:
        """Cancel entries that still work although their book or venue may not open anything any more."""
        if self._book.state is TradingState.ACTIVE and not self._book.venue_errors:
            return
        for order in self._book.tracker.open_orders():
            intent = order.intent
            if intent.purpose is not Purpose.ENTRY or not order.remaining:
                continue
            state = self._book.venue_state(intent.instrument)
            if state is TradingState.LOCKED:
                continue  # no key of ours is accepted: asking again and again helps nobody
            if state is not TradingState.ACTIVE and order.state is not OrderState.INTENT:
                self.decided.cancels.append(CancelRequest(intent.client_id, f"the book is {state.value}"))

    def pause(self, sleeve: str) -> None:
        """Cancel what a strategy that is being paused still has working to open."""
        self._withdraw_entries_of(sleeve, None, f"{sleeve} is paused")

    def _withdraw_entries_of(self, sleeve: str, key: InstrumentKey | None, reason: str) -> None:
        for order in self._book.tracker.open_orders():
            intent = order.intent
            wanted = intent.sleeve == sleeve and intent.purpose is Purpose.ENTRY and key in (None, intent.instrument)
            if wanted and order.remaining and order.state is not OrderState.INTENT:
                self.decided.cancels.append(CancelRequest(intent.client_id, reason))

    def _intent(
        self, sleeve: str, key: InstrumentKey, side: Side, quantity: Decimal, purpose: Purpose, reason: str
    ) -> OrderIntent:
        price = self._book.price(key) or self._entry_price(sleeve, key)
        reducing = purpose in (Purpose.EXIT, Purpose.FLATTEN) and self._reduces_account(key, side, quantity)
        return OrderIntent(
            client_id=self._book.ids.next(),
            instrument=key,
            side=side,
            quantity=quantity,
            order_type=OrderType.MARKET,
            purpose=purpose,
            sleeve=sleeve,
            created_at=self._now,
            reference_price=price if price is not None else ZERO,
            reduce_only=reducing,
            reason=reason,
        )

    def _entry_price(self, sleeve: str, key: InstrumentKey) -> Decimal | None:
        """What a position was opened at: the best reference for its exit while there is no mark."""
        holding = self._book.ledger.holdings.get((sleeve, key))
        if holding is None or not holding.quantity:
            return None
        return self._book.ledger.instruments[key].round_price(abs(holding.entry_price))

    def _reduces_account(self, key: InstrumentKey, side: Side, quantity: Decimal) -> bool:
        account = self._book.ledger.account_position(key)
        return account * side.sign < 0 and quantity <= abs(account)

    def _pass(self, intent: OrderIntent) -> bool:
        verdict = self._gate.check(intent, context_for(self._book, intent, self._now, self._known_exposures()))
        if isinstance(verdict, Refused):
            self.decided.refused.append(verdict)
            self._book.refused.append(verdict)
            return False
        self._book.tracker.add(verdict.intent)
        self._exposures = None
        if intent.purpose is Purpose.ENTRY:
            self._book.entry_times.append(self._now)
        self.decided.approved.append(verdict)
        return True
