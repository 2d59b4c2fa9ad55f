"""From a strategy's opinion to approved orders: target, difference, protective stop, gate."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from engine.domain.commands import PlaceOrder
from engine.domain.facts import CancelRequest, LatchReleased
from engine.domain.instruments import Instrument, InstrumentKey
from engine.domain.orders import OrderIntent, OrderType, Purpose
from engine.domain.portfolio import Idea
from engine.execution.tracker import side_of
from engine.risk.sizing import Elsewhere, SizeRequest, missing_input, order_quantity, room, target_quantity
from engine.trading.book import BY_HAND, CLOSED_BY, TAKEN
from engine.trading.protecting import Protecting, target_of
from engine.trading.sleeves import Opinion, Sleeve

ZERO = Decimal(0)
_BASIS_POINT = Decimal("0.0001")


class Decider(Protecting):
    """One step: sizes ideas, passes orders through the gate, and tracks approved ones at once: the next sees them."""

    def follow(self, sleeve: Sleeve, key: InstrumentKey, opinion: Opinion) -> None:
        """Move a sleeve towards the target its opinion implies."""
        book, instrument = self._book, self._book.ledger.instruments[key]
        held = book.ledger.held(sleeve.name, key)
        if waits := self._waits(sleeve.name, key, opinion.conviction):
            sleeve.ideas[key] = Idea(
                sleeve.name, key, opinion.conviction, opinion.stop_distance, held, held, waits, self._now
            )
            return
        conviction = self._after_stop_out(sleeve.name, key, opinion.conviction)
        idle = not held and not book.tracker.working(sleeve.name, key)
        if idle and not conviction and not opinion.conviction:
            sleeve.ideas[key] = Idea(sleeve.name, key, 0.0, opinion.stop_distance, ZERO, held, "no opinion", self._now)
            return
        if idle and self._stays_flat(instrument, key, conviction):
            target, outcome = ZERO, "flat"
        else:
            request = self._request(sleeve, key, conviction, opinion.stop_distance)
            missing = missing_input(request) or ("" if request.notional_cap is not None else "every mark")
            target = target_quantity(request) if not missing else held
            outcome = f"waits: {missing} is unknown" if missing else self._move_to(sleeve, key, target, opinion)
        if conviction != opinion.conviction:
            outcome = "stopped out: waits until the conviction has gone back to zero"
        sleeve.ideas[key] = Idea(
            sleeve.name, key, opinion.conviction, opinion.stop_distance, target, held, outcome, self._now
        )

    def wait(self, sleeve: Sleeve, key: InstrumentKey) -> None:
        """Hold what is held while the strategy has no view; its stops stay where they are."""
        held = self._book.ledger.held(sleeve.name, key)
        sleeve.ideas[key] = Idea(sleeve.name, key, 0.0, None, held, held, "no view yet: too few candles", self._now)

    def _waits(self, sleeve: str, key: InstrumentKey, conviction: float) -> str:
        """Why a strategy leaves a position alone that a person or its target is closing, or has closed; else empty."""
        if self._is_by_hand(sleeve, key, conviction):
            return "closed by hand: waits until the conviction has gone back to zero"
        latch = self._book.stopped_out.get((sleeve, key), 0)
        if abs(latch) != TAKEN or conviction * latch <= 0:
            return ""
        self._withdraw_entries_of(sleeve, key, "its target was reached")
        if self._book.ledger.held(sleeve, key):
            return "target partly filled: the rest waits for its target or its stop"
        return "target reached: waits until the conviction has gone back to zero"

    def _is_by_hand(self, sleeve: str, key: InstrumentKey, conviction: float) -> bool:
        """Whether a person is closing, or has closed, what the strategy would only buy again."""
        own = (order for order in self._book.tracker.open_on(key) if order.intent.sleeve == sleeve)
        if any(order.intent.reason.startswith(CLOSED_BY) and order.remaining for order in own):
            return True
        latch = self._book.stopped_out.get((sleeve, key), 0)
        return abs(latch) == BY_HAND and conviction * latch > 0

    def _after_stop_out(self, sleeve: str, key: InstrumentKey, conviction: float) -> float:
        latch = self._book.stopped_out.get((sleeve, key))
        if latch is None:
            return conviction
        if conviction * latch > 0:
            return 0.0
        released = LatchReleased(sleeve, key, self._now)
        self._book.release(released)
        self.decided.facts.append(released)
        return conviction

    def _stays_flat(self, instrument: Instrument, key: InstrumentKey, conviction: float) -> bool:
        """Whether an idle sleeve can only wish zero, so that there is nothing to size: most bars of most replays."""
        book = self._book
        opens_nothing = conviction == 0 or (conviction < 0 and not instrument.can_short)
        return opens_nothing and book.price(key) is not None and not book.tracker.has_unknown(key)

    def _request(
        self, sleeve: Sleeve, key: InstrumentKey, conviction: float, stop_distance: Decimal | None
    ) -> SizeRequest:
        book = self._book
        price = book.price(key)
        direction = 1 if conviction >= 0 else -1
        return SizeRequest(
            conviction=conviction,
            stop_distance=stop_distance,
            price=price,
            instrument=book.ledger.instruments[key],
            sleeve_equity=book.sleeve_equity(sleeve.name),
            book_equity=book.equity,
            config=book.risk,
            notional_cap=self._room(sleeve, key, price, direction),
            cost_rate=book.config.reserve_bps * _BASIS_POINT,
        )

    def _room(self, sleeve: Sleeve, key: InstrumentKey, price: Decimal | None, direction: int) -> Decimal | None:
        book, exposures = self._book, self._known_exposures()
        instrument = book.ledger.instruments[key]
        gross, coin = exposures.gross(), exposures.coin(instrument.base)
        if gross is None or coin is None or price is None:
            return None
        own = (book.ledger.held(sleeve.name, key) + book.tracker.working(sleeve.name, key)) * price
        by_limits = room(book.risk, book.equity, Elsewhere(max(ZERO, gross - abs(own)), coin - own), direction)
        same_way = abs(own) if own * direction > 0 else ZERO
        by_cash = same_way + max(ZERO, exposures.free_quote(instrument)) * instrument.max_leverage
        return min(by_limits, by_cash)

    def _move_to(self, sleeve: Sleeve, key: InstrumentKey, target: Decimal, opinion: Opinion) -> str:
        book, instrument = self._book, self._book.ledger.instruments[key]
        if book.tracker.has_unknown(key):
            return "waits: an order on this instrument is UNKNOWN until the venue gives proof"
        held, working = book.ledger.held(sleeve.name, key), book.tracker.working(sleeve.name, key)
        quantity = order_quantity(target, held, working, instrument, book.price(key))
        if not quantity:
            return "on target" if target else "flat"
        if self._cancel_opposing(sleeve.name, key, quantity):
            return "cancels its working orders first"
        if held and held * quantity < 0:
            if self._is_dust(instrument, held):
                return "holds dust, too small to be sold"
            return self.close(sleeve.name, instrument, min(abs(quantity), abs(held)), "target fell")
        return self._enter(sleeve.name, instrument, quantity, opinion)

    def _cancel_opposing(self, sleeve: str, key: InstrumentKey, quantity: Decimal) -> bool:
        opposing = [
            order
            for order in self._book.tracker.open_on(key)
            if order.intent.sleeve == sleeve
            and order.intent.purpose in (Purpose.ENTRY, Purpose.EXIT)
            and order.remaining
            and order.intent.side.sign * quantity < 0
        ]
        self.decided.cancels += [CancelRequest(o.intent.client_id, "the target turned") for o in opposing]
        return bool(opposing)

    def _enter(self, sleeve: str, instrument: Instrument, quantity: Decimal, opinion: Opinion) -> str:
        book, key = self._book, instrument.key
        price = book.price(key)
        if price is None:
            return "no trustworthy price"
        side = side_of(quantity)
        stop, before = None, book.stop_prices.get((sleeve, key))
        if book.opens((sleeve, key), price):
            book.stop_prices.pop((sleeve, key), None)
        if opinion.stop_distance is not None:
            stop = instrument.round_price(price - side.sign * opinion.stop_distance)
            if stop <= 0:
                return f"refused: its stop at {stop} is not a price"
            book.stop_prices.setdefault((sleeve, key), stop)  # which of the two counts is for `Book.guard` to say
        entry = self._intent(sleeve, key, side, abs(quantity), Purpose.ENTRY, f"conviction {opinion.conviction:g}")
        if not self._pass(entry) or (stop is not None and not self._protect(entry, stop, opinion.stop_distance)):
            book.stop_prices.pop((sleeve, key), None)
            if before is not None:
                book.stop_prices[(sleeve, key)] = before
            return f"refused: {self.decided.refused[-1].rule}"
        return f"{side.value} {abs(quantity)} {instrument.base}"

    def _protect(self, entry: OrderIntent, stop: Decimal, distance: Decimal | None) -> bool:
        """Send the stop with its entry; where the gate refuses the stop, the entry is not sent either."""
        child = self._stop_of(entry, stop, distance)
        if self._pass(child):
            self._book.guard(child)
            self._aim(child, distance)
            return True
        self.decided.approved = [a for a in self.decided.approved if a.intent is not entry]
        self._book.tracker.drop(entry.client_id)
        self._book.entry_times.pop()
        self._exposures = None
        return False

    def _aim(self, stop: OrderIntent, distance: Decimal | None) -> None:
        """Send the target with its entry and stop; one at or below zero is no price, and the entry has none."""
        book, times = self._book, self._book.risk.take_profit
        if times is None or distance is None:
            return
        instrument, away = book.ledger.instruments[stop.instrument], times * distance
        target = instrument.price_beyond(stop.reference_price, -stop.side.sign * away)
        if target > 0:
            order = target_of(stop, stop.quantity, target, book.ids.next(), self._now)
            book.aim(order)
            self._pass(order)

    def _stop_of(self, entry: OrderIntent, stop: Decimal, distance: Decimal | None) -> OrderIntent:
        times = self._book.risk.trail
        return OrderIntent(
            client_id=self._book.ids.next(),
            instrument=entry.instrument,
            side=entry.side.opposite,
            quantity=entry.quantity,
            order_type=OrderType.STOP,
            purpose=Purpose.STOP,
            sleeve=entry.sleeve,
            created_at=self._now,
            reference_price=entry.reference_price,
            stop_price=stop,
            parent_id=entry.client_id,
            reason=f"protects {entry.client_id}",
            trail_distance=None if times is None or distance is None else times * distance,
        )

    def place(self, body: PlaceOrder, reason: str) -> bool:
        """Pass a manual order through the gate; an exit where it can only reduce what the manual sleeve holds."""
        held = self._book.ledger.held("manual", body.instrument)
        reduces = held * body.side.sign < 0 and body.quantity <= abs(held)
        purpose = Purpose.EXIT if reduces else Purpose.ENTRY
        intent = self._intent("manual", body.instrument, body.side, body.quantity, purpose, reason)
        return self._pass(
            replace(
                intent,
                order_type=body.order_type,
                limit_price=body.limit_price,
                stop_price=body.stop_price,
                reduce_only=intent.reduce_only or body.reduce_only,
                post_only=body.post_only,
            )
        )
