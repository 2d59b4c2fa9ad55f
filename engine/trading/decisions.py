"""From a strategy's opinion to approved orders: target, difference, protective stop, gate."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal

from engine.domain.commands import PlaceOrder, TradingState
from engine.domain.facts import AmendRequest, CancelRequest, Fact, Netted
from engine.domain.instruments import Instrument, InstrumentKey
from engine.domain.orders import Approved, OrderIntent, OrderState, OrderType, Purpose, Refused, Side
from engine.domain.portfolio import Idea
from engine.execution.tracker import TrackedOrder, side_of
from engine.risk.gate import Gate
from engine.risk.limits import Sizer
from engine.risk.sizing import (
    Elsewhere,
    SizeRequest,
    is_dust,
    missing_input,
    order_quantity,
    room,
    target_quantity,
)
from engine.trading.book import Book
from engine.trading.exposure import Exposures, context_for
from engine.trading.sleeves import Opinion, Sleeve

ZERO = Decimal(0)
_BASIS_POINT = Decimal("0.0001")


@dataclass(slots=True)
class Decided:
    """What a step has decided so far, in order."""

    approved: list[Approved] = field(default_factory=list)
    cancels: list[CancelRequest] = field(default_factory=list)
    amends: list[AmendRequest] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)


class Decider:
    """One step: sizes ideas, passes orders through the gate, and tracks approved ones at once: the next sees them."""

    def __init__(self, book: Book, now: datetime) -> None:
        self._book = book
        self._now = now
        self._gate = Gate(book.risk)
        self._exposures: Exposures | None = None
        self.decided = Decided()

    # -- ideas ---------------------------------------------------------------------------------------------------

    def follow(self, sleeve: Sleeve, key: InstrumentKey, opinion: Opinion) -> None:
        """Move a sleeve towards the target its opinion implies."""
        book, instrument = self._book, self._book.ledger.instruments[key]
        held = book.ledger.held(sleeve.name, key)
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

    def _after_stop_out(self, sleeve: str, key: InstrumentKey, conviction: float) -> float:
        latch = self._book.stopped_out.get((sleeve, key))
        if latch is None:
            return conviction
        if conviction * latch > 0:
            return 0.0
        del self._book.stopped_out[(sleeve, key)]
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

    def _known_exposures(self) -> Exposures:
        if self._exposures is None:
            self._exposures = Exposures(self._book)
        return self._exposures

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

    # -- orders --------------------------------------------------------------------------------------------------

    def _enter(
        self, sleeve: str, instrument: Instrument, quantity: Decimal, opinion: Opinion
    ) -> str:
        book, key = self._book, instrument.key
        price = book.price(key)
        if price is None:
            return "no trustworthy price"
        side = side_of(quantity)
        stop, before = None, book.stop_prices.get((sleeve, key))
        if not book.ledger.held(sleeve, key):
            book.stop_prices.pop((sleeve, key), None)
        if opinion.stop_distance is not None:
            stop = instrument.round_price(price - side.sign * opinion.stop_distance)
            if stop <= 0:
                return f"refused: its stop at {stop} is not a price"
            book.stop_prices[(sleeve, key)] = stop
        entry = self._intent(sleeve, key, side, abs(quantity), Purpose.ENTRY, f"conviction {opinion.conviction:g}")
        if not self._pass(entry) or (stop is not None and not self._protect(entry, stop)):
            book.stop_prices.pop((sleeve, key), None)
            if before is not None:
                book.stop_prices[(sleeve, key)] = before
            return f"refused: {self.decided.refused[-1].rule}"
        return f"{side.value} {abs(quantity)} {instrument.base}"

    def _protect(self, entry: OrderIntent, stop: Decimal) -> bool:
        """Send the stop with its entry; where the gate refuses the stop, the entry is not sent either."""
        child = OrderIntent(
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
        )
        if self._pass(child):
            return True
        self.decided.approved = [a for a in self.decided.approved if a.intent is not entry]
        self._book.tracker.drop(entry.client_id)
        self._book.entry_times.pop()
        self._exposures = None
        return False

    def close(
        self, sleeve: str, instrument: Instrument, quantity: Decimal, reason: str
    ) -> str:
        """Send a market exit of ``quantity`` (base, positive) of a sleeve's position; stops shrink to the rest."""
        key = instrument.key
        self._withdraw_entries_of(sleeve, key, "its position is to be closed")
        held = self._book.ledger.held(sleeve, key)
        left = abs(held) - self._book.tracker.pending_exits(key, sleeve)
        size = instrument.round_quantity(min(quantity, left))
        if size <= 0:
            return self._on_its_way(sleeve, key)
        if self._is_dust(instrument, size):
            return "too small to be sold: dust"
        side = side_of(-held)
        intent = self._intent(sleeve, key, side, size, Purpose.EXIT, reason)
        if not self._pass(intent):
            return f"refused: {self.decided.refused[-1].rule}"
        self.cover(sleeve, instrument)
        return f"{side.value} {size} {instrument.base} to close"

    def _on_its_way(self, sleeve: str, key: InstrumentKey) -> str:
        resting = [
            o.intent.client_id
            for o in self._book.tracker.open_orders()
            if o.intent.sleeve == sleeve
            and o.intent.instrument == key
            and o.intent.purpose is Purpose.EXIT
            and o.intent.order_type is not OrderType.MARKET
            and o.remaining
        ]
        if resting:
            return f"resting orders would close it already; cancel {', '.join(resting)} first"
        return "already on its way out"

    def withdraw_entries(self) -> None:
        """Cancel entries that still work although their book or venue may not open anything any more."""
        for order in self._book.tracker.open_orders():
            intent = order.intent
            if intent.purpose is not Purpose.ENTRY or not order.remaining:
                continue
            state = self._book.venue_state(intent.instrument)
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

    def _is_dust(self, instrument: Instrument, quantity: Decimal) -> bool:
        price = self._book.price(instrument.key)
        return price is not None and is_dust(quantity, instrument, price)

    def flatten(self, venues: frozenset[str]) -> list[Fact]:
        """Market orders that bring every account position at these venues to zero; part of the emergency stop.

        Only sleeves on the account's own side sell; what then stands between opposite sleeves is netted at the mark.

        Returns
        -------
        list of Fact
            The nettings to make durable.
        """
        book = self._book
        netted: list[Fact] = []
        for key, instrument in book.ledger.instruments.items():
            if instrument.venue not in venues:
                continue
            account = book.ledger.account_position(key)
            left = instrument.round_quantity(abs(account) - book.tracker.pending_exits(key))
            if not account and not book.tracker.pending_exits(key):
                netted += self._net(key)
            for sleeve, quantity in self._on_side(key, account) if left > 0 else ():
                size = min(left, instrument.round_quantity(quantity))
                if size > 0 and not self._is_dust(instrument, size):
                    intent = self._intent(sleeve, key, side_of(-account), size, Purpose.FLATTEN, "emergency stop")
                    left -= size if self._pass(intent) else ZERO
        return netted

    def _on_side(self, key: InstrumentKey, account: Decimal) -> list[tuple[str, Decimal]]:
        held = [(s, h.quantity) for s, k, h in self._book.ledger.open_holdings() if k == key]
        free = [(s, abs(q) - self._book.tracker.pending_exits(key, s)) for s, q in held if q * account > 0]
        return [(sleeve, quantity) for sleeve, quantity in free if quantity > 0]

    def _net(self, key: InstrumentKey) -> list[Fact]:
        """Close opposite sleeves of a flat account against each other."""
        held = {s: h.quantity for s, k, h in self._book.ledger.open_holdings() if k == key}
        price = self._book.price(key)
        facts: list[Fact] = []
        while price is not None and (longs := [s for s, q in held.items() if q > 0]):
            long, short = longs[0], next(s for s, q in held.items() if q < 0)
            size = min(held[long], -held[short])
            facts.append(Netted(key, long, short, size, price, self._now))
            held[long] -= size
            held[short] += size
        return facts

    def cover(self, sleeve: str, instrument: Instrument) -> bool:
        """Make the sleeve's stops cover its position less what is already on its way out: no more, no less.

        Returns
        -------
        bool
            False where a stop is missing and the gate refuses it: ask again.
        """
        key, book = instrument.key, self._book
        held = book.ledger.held(sleeve, key)
        wanted = max(ZERO, abs(held) - book.tracker.pending_exits(key, sleeve))
        stops = self._on_exit_side(book.tracker.stops(sleeve, key), held)
        surplus = sum((book.tracker.covered(s) for s in stops), ZERO) - wanted
        if surplus > 0:
            self._shrink(stops, surplus)
        elif surplus < 0 and not any(self._still_arming(s) for s in stops):
            return self._add_stop(sleeve, instrument, -surplus)
        return True

    def _still_arming(self, stop: TrackedOrder) -> bool:
        """Whether the stop belongs to an entry that may still fill."""
        parent = self._book.tracker.get(stop.intent.parent_id or "")
        if parent is None or not parent.remaining:
            return False
        return all(request.client_id != parent.intent.client_id for request in self.decided.cancels)

    def _on_exit_side(self, stops: list[TrackedOrder], held: Decimal) -> list[TrackedOrder]:
        """The stops that close what is held; one left from the other direction would add to it and is cancelled."""
        if not held:
            return stops
        wrong = [stop for stop in stops if stop.intent.side.sign * held > 0]
        self.decided.cancels += [CancelRequest(s.intent.client_id, "its position has turned") for s in wrong]
        return [stop for stop in stops if stop not in wrong]

    def _shrink(self, stops: list[TrackedOrder], surplus: Decimal) -> None:
        for stop in stops:
            covered = self._book.tracker.covered(stop)
            if surplus <= 0:
                return
            if covered <= 0:
                continue
            if covered <= surplus and not self._still_arming(stop):
                self.decided.cancels.append(CancelRequest(stop.intent.client_id, "its position is on its way out"))
            else:
                rest = stop.filled + max(covered - surplus, ZERO)
                self.decided.amends.append(AmendRequest(stop.intent.client_id, rest, "its position became smaller"))
            surplus -= covered

    def _add_stop(
        self, sleeve: str, instrument: Instrument, missing: Decimal
    ) -> bool:
        key, book = instrument.key, self._book
        price, size = book.stop_prices.get((sleeve, key)), instrument.round_quantity(missing)
        if size <= 0:
            return True
        if price is None:
            return self._close_unprotected(sleeve, instrument, size)
        held, account = book.ledger.held(sleeve, key), book.ledger.account_position(key)
        halted = book.venue_state(key) is TradingState.HALTED
        if halted and account * held > 0:
            size = min(size, instrument.round_quantity(abs(account)))  # more would not pass; the next look adds the rest
        intent = OrderIntent(
            client_id=book.ids.next(),
            instrument=key,
            side=side_of(-held),
            quantity=size,
            order_type=OrderType.STOP,
            purpose=Purpose.STOP,
            sleeve=sleeve,
            created_at=self._now,
            reference_price=book.price(key) or price,
            stop_price=price,
            reduce_only=halted and self._reduces_account(key, side_of(-held), size),
            reason="covers what no stop protected",
        )
        return self._pass(intent)

    def _close_unprotected(self, sleeve: str, instrument: Instrument, size: Decimal) -> bool:
        """A strategy's position that no decision opened, so that no stop is known for it, is not kept.

        Manual positions have no stop; nor have those of the ``weights`` sizer, which only replays use.
        """
        if sleeve not in self._book.sleeves or self._book.risk.sizer is Sizer.WEIGHTS:
            return True
        if self._is_dust(instrument, size):
            return True
        side = side_of(-self._book.ledger.held(sleeve, instrument.key))
        return self._pass(self._intent(sleeve, instrument.key, side, size, Purpose.EXIT, "no stop is known for it"))

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
            )
        )

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
