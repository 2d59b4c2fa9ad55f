"""What looking for baskets and seeing them through share: legs through the gate, and facts folded at once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from engine.domain.facts import Fact
from engine.domain.instruments import InstrumentKey
from engine.domain.orders import OrderIntent, Purpose, Side
from engine.trading.folding import Folding
from engine.trading.ordering import Ordering


class BasketOrders(Ordering):
    """One step of one book that orders for baskets.

    Parameters
    ----------
    core : Folding
        Folds what is decided here at once; the caller makes `Ordering.decided` durable and sends it.
    now : datetime
        Market time.
    """

    def __init__(self, core: Folding, now: datetime) -> None:
        super().__init__(core.book, now)
        self._core = core

    def _leg(self, sleeve: str, key: InstrumentKey, side: Side, quantity: Decimal, reason: str) -> OrderIntent:
        held = self._book.ledger.held(sleeve, key)
        reduces = held * side.sign < 0 and quantity <= abs(held)
        return self._intent(sleeve, key, side, quantity, Purpose.EXIT if reduces else Purpose.ENTRY, reason)

    def _take_back(self, passed: Sequence[OrderIntent]) -> None:
        """Undo what passed the gate in this look and was never made durable nor sent."""
        gone = {intent.client_id for intent in passed}
        self.decided.approved = [a for a in self.decided.approved if a.intent.client_id not in gone]
        for intent in passed:
            self._book.tracker.drop(intent.client_id)
            if intent.purpose is Purpose.ENTRY:
                self._book.entry_times.pop()
        self._exposures = None

    def _fold(self, fact: Fact) -> None:
        self._core.apply(fact)
        self.decided.facts.append(fact)
