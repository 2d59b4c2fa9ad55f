"""Looks for baskets in quotes: notes every opportunity, and passes each leg of the wished ones through the gate."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from engine.domain.baskets import Basket, BasketTerms, Leg, MarketView, Opportunity
from engine.domain.commands import TradingState
from engine.domain.facts import Netted, Severity
from engine.domain.instruments import Instrument, InstrumentKey, Kind
from engine.domain.market import Quotes
from engine.domain.orders import OrderIntent, OrderType, Side
from engine.domain.ports import BasketStrategy
from engine.strategies import BASKETS, basket_strategy
from engine.trading.basket_orders import BasketOrders
from engine.trading.folding import Folding
from engine.trading.ordering import Decided
from engine.trading.sleeves import Sleeve

ZERO = Decimal(0)
ONE = Decimal(1)
REFUSED_FOR = timedelta(seconds=60)
"""Market time for which a way is not tried again after the gate refused one of its legs."""
BY_HAND = "manual"
_BPS = Decimal("0.0001")


class BasketLooker(BasketOrders):
    """One look at quotes."""

    def look(self, quotes: Quotes, refused: Collection[InstrumentKey]) -> None:
        """Take in quotes, note every opportunity, and send what a running strategy wishes."""
        known = self._book.baskets
        believed = {top.instrument: top for top in quotes.tops if top.instrument not in refused}
        known.tops.update(believed)
        changed = frozenset(believed)
        for name in BASKETS:
            sleeve = self._book.sleeves.get(name)
            strategy = basket_strategy(name, sleeve.values if sleeve else "{}")
            universe = frozenset(sleeve.instruments) if sleeve else frozenset(self._book.ledger.instruments)
            view = self._view(name, strategy.terms, universe, changed)
            try:
                seen = strategy.baskets(view)
            except (ValueError, ArithmeticError, LookupError) as error:
                self._failed(sleeve, error)
                continue
            for found in seen:
                refusal = found.why_not or self._why_not(name, strategy, found) or self._open(name, strategy, found)
                known.sight([replace(found, why_not=refusal)], self._now)

    def _failed(self, sleeve: Sleeve | None, error: Exception) -> None:
        """Count an error of the strategy; after several it is quarantined, and told."""
        if sleeve is None or not sleeve.failed(error):
            return
        self.decided.facts.append(sleeve.fact(self._now))
        title = f"strategy {sleeve.name} quarantined after repeated errors"
        key, detail = f"quarantine-{sleeve.name}", f"{sleeve.quarantined}; its baskets are seen to their end"
        self.decided.notices.append(self._core.notice(key, Severity.CRITICAL, title, detail, self._now))

    def _view(
        self, name: str, terms: BasketTerms, universe: frozenset[InstrumentKey], changed: frozenset[InstrumentKey]
    ) -> MarketView:
        book, exposures = self._book, self._known_exposures()
        instruments = {key: item for key, item in book.ledger.instruments.items() if key in universe}
        money = {item.venue: exposures.free_quote(item) for item in instruments.values()}
        reserve = ONE + book.config.reserve_bps * _BPS
        return MarketView(
            at=self._now,
            currency=book.config.base_currency,
            instruments=instruments,
            tops=book.baskets.tops,
            changed=changed,
            taker_fee=book.config.taker_bps * _BPS,
            money={venue: max(ZERO, free) / reserve for venue, free in money.items()},
            coins={key: self._coins(name, terms, item) for key, item in instruments.items() if item.kind is Kind.SPOT},
            capital=book.sleeve_equity(name),
        )

    def _coins(self, name: str, terms: BasketTerms, instrument: Instrument) -> Decimal:
        """Coins of a spot market that the strategy may sell: its own, and by its settings those bought by hand."""
        own = self._free_coins(name, instrument.key)
        return own + (self._free_coins(BY_HAND, instrument.key) if terms.uses_coins_by_hand else ZERO)

    def _free_coins(self, sleeve: str, key: InstrumentKey) -> Decimal:
        tracker, held = self._book.tracker, self._book.ledger.held(sleeve, key)
        guarded = bool(tracker.stops(sleeve, key) or tracker.targets(sleeve, key))
        return ZERO if guarded else max(ZERO, held - tracker.pending_exits(key, sleeve))

    def _why_not(self, name: str, strategy: BasketStrategy, found: Opportunity) -> str:
        """Why a wished way is not traded now; "" where it may be."""
        book, sleeve = self._book, self._book.sleeves.get(name)
        if sleeve is None or not sleeve.running or sleeve.quarantined:
            return f"{name} does not run in this book"
        if book.state is not TradingState.ACTIVE or book.latched:
            return f"the book is {book.state.value}"
        if book.catching_up or book.equity is None:
            return "the book is not up to date"
        keys = {step.instrument for step in found.steps}
        if keys & book.baskets.busy() or any(book.tracker.has_unknown(key) for key in keys):
            return "a basket or an order without proof is under way on one of its markets"
        if len(book.baskets.running) >= strategy.terms.most_baskets:
            return f"{len(book.baskets.running)} baskets are under way, {strategy.terms.most_baskets} are allowed"
        until, why = book.baskets.refused_until.get(found.way, (self._now, ""))
        return why if until > self._now else ""

    def _open(self, name: str, strategy: BasketStrategy, found: Opportunity) -> str:
        """Pass every leg through the gate, what sells first; "" where the basket is on its way, else what refused."""
        terms, basket_id = strategy.terms, self._book.ids.next()
        steps = sorted(found.steps, key=lambda step: step.side is Side.BUY)
        self._hand_over(name, {step.instrument: step.quantity for step in steps if step.side is Side.SELL})
        passed: list[OrderIntent] = []
        for step in steps:
            reason = f"leg of basket {basket_id}: {found.net_bps:.2f} basis points after fees"
            intent = self._leg(name, step.instrument, step.side, step.quantity, reason)
            intent = replace(intent, order_type=OrderType.LIMIT, limit_price=step.price, basket_id=basket_id)
            if not self._pass(intent):
                why = f"refused by the risk gate: {self.decided.refused[-1].detail}"
                self._take_back(passed)
                self._book.baskets.refused_until[found.way] = self._now + REFUSED_FOR, why
                return why
            passed.append(intent)
        legs = tuple(
            Leg(i.client_id, i.instrument, i.side, i.quantity, step.price)
            for i, step in zip(passed, steps, strict=True)
        )
        self._fold(
            Basket(basket_id, name, legs, terms.leg_timer_s, terms.unwind, terms.most_loss_bps, found.net, self._now)
        )
        return ""

    def _hand_over(self, name: str, sold: Mapping[InstrumentKey, Decimal]) -> None:
        """Give the strategy the coins by hand that it lacks, at the mark: the account does not move."""
        for key, quantity in sold.items():
            lacks, price = quantity - self._free_coins(name, key), self._book.price(key)
            if lacks > 0 and price is not None:
                self._fold(Netted(key, BY_HAND, name, lacks, price, self._now))


def looked(core: Folding, quotes: Quotes, refused: Collection[InstrumentKey] = ()) -> Decided:
    """What quotes led to, those of ``refused`` markets left out."""
    looker = BasketLooker(core, quotes.at)
    looker.look(quotes, refused)
    return looker.decided
