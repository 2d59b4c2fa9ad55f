"""Ways out: stops that cover every position, exits that never exceed it, and the flattening of a whole account."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from engine.domain.codec import plain
from engine.domain.commands import TradingState
from engine.domain.facts import AmendRequest, CancelRequest, Fact, Gap, Netted
from engine.domain.instruments import Instrument, InstrumentKey
from engine.domain.orders import OrderIntent, OrderState, OrderType, Purpose
from engine.execution.tracker import TrackedOrder, side_of
from engine.risk.limits import Sizer
from engine.risk.sizing import is_dust
from engine.strategies import BASKETS
from engine.trading.config import StopScope
from engine.trading.external import EXTERNAL
from engine.trading.gaps import Gaps

ZERO = Decimal(0)
_UNPROVEN = (OrderState.INTENT, OrderState.SENT, OrderState.UNKNOWN)


class Protecting(Gaps):
    """What keeps or makes positions small; nothing here opens one."""

    def close(self, sleeve: str, instrument: Instrument, quantity: Decimal, reason: str) -> str:
        """Send a market exit of ``quantity`` (base, positive) of a sleeve's position; stops shrink to the rest."""
        key = instrument.key
        if sleeve in self._book.sleeves:  # an order by hand beside it is the trader's own business
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

    def cover(self, sleeve: str, instrument: Instrument) -> bool:
        """Make the sleeve's stops cover its position less what is already on its way out: no more, no less.

        An entry that works changes nothing: of its stop only what has filled counts. Targets belong to their stops: the
        venue shrinks and ends them together, here only missing ones are added.

        Returns
        -------
        bool
            False where a stop or target is missing and cannot be sent now: ask again.
        """
        key, book = instrument.key, self._book
        held = book.ledger.held(sleeve, key)
        wanted = max(ZERO, abs(held) - book.tracker.pending_exits(key, sleeve))
        stops = self._on_exit_side(book.tracker.stops(sleeve, key), held)
        surplus = sum((book.tracker.covered(s) for s in stops), ZERO) - wanted
        if surplus > 0 and (unsent := self._unsent(stops)):
            self._withdraw(unsent)
            return self.cover(sleeve, instrument)
        if not held:
            self._end_gaps(sleeve, instrument, *Gap)
        if surplus > 0:
            self._shrink(instrument, stops, surplus)
            return True
        is_covered = surplus == 0 or self._add_stop(sleeve, instrument, -surplus)
        if is_covered:
            self._end_gaps(sleeve, instrument, Gap.STOP_TOO_SMALL)
        return self._add_targets(sleeve, instrument, stops) and is_covered

    def _unsent(self, stops: list[TrackedOrder]) -> set[str]:
        """The stops that this very step has added; a later decision of the step may have overtaken them."""
        added = {approved.intent.client_id for approved in self.decided.approved if approved.intent.parent_id is None}
        return {stop.intent.client_id for stop in stops} & added

    def _withdraw(self, client_ids: set[str]) -> None:
        """Take stops that were never sent out of the step, each with its target."""
        gone = [a for a in self.decided.approved if {a.intent.client_id, a.intent.pair_id} & client_ids]
        self.decided.approved = [a for a in self.decided.approved if a not in gone]
        for approved in gone:
            self._book.tracker.drop(approved.intent.client_id)

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

    def _withdraw_target(self, stop: TrackedOrder) -> None:
        """Take a target out of the step whose stop the step now changes; a later look adds the right one."""
        target = self._book.tracker.target_of(stop.intent.client_id)
        if target is not None and any(a.intent is target.intent for a in self.decided.approved):
            self._withdraw({target.intent.client_id})

    def _shrink(self, instrument: Instrument, stops: list[TrackedOrder], surplus: Decimal) -> None:
        for stop in stops:
            covered = self._book.tracker.covered(stop)
            if surplus <= 0:
                return
            if covered <= 0:
                continue
            self._withdraw_target(stop)
            rest = stop.filled + max(covered - surplus, ZERO)
            is_too_small = stop.intent.parent_id is None and self._is_dust(instrument, rest)
            if is_too_small or (covered <= surplus and not self._still_arming(stop)):
                self.decided.cancels.append(CancelRequest(stop.intent.client_id, "its position is on its way out"))
            else:
                self.decided.amends.append(AmendRequest(stop.intent.client_id, rest, "its position became smaller"))
            surplus -= covered

    def _add_targets(self, sleeve: str, instrument: Instrument, stops: list[TrackedOrder]) -> bool:
        """Give every stop the target it lacks; False where that has to wait.

        One that was never sent is sent now, one that the venue refused is offered again later, and one that it ended
        is not replaced. What a person has cancelled is no gap: then no price of a target is known.
        """
        done, lacking, gone, is_open = True, ZERO, None, False
        for stop in stops:
            size = instrument.round_quantity(self._book.tracker.covered(stop))
            if size <= 0 or stop.state is not OrderState.WORKING or self._still_arming(stop):
                continue
            target = self._book.tracker.target_of(stop.intent.client_id)
            is_refused = target is not None and target.state is OrderState.REJECTED
            if target is None or target.state is OrderState.ABANDONED or (is_refused and self._may_offer(target)):
                done = self._add_target(instrument, stop.intent, size) and done
            if target is None or (sleeve, instrument.key) not in self._book.target_prices:
                continue
            is_open = is_open or target.state in _UNPROVEN
            if is_refused or self._is_ended_alone(target):
                lacking, gone = lacking + size, target
            done = done and not is_refused and (gone is target or target.state is not OrderState.CANCELLED)
        if not is_open:
            self._tell_targets(sleeve, instrument, lacking, gone)
        return done

    def _add_target(self, instrument: Instrument, stop: OrderIntent, size: Decimal) -> bool:
        """A take-profit beside a stop that protects ``size`` (base); none where it would be too small to be taken."""
        price = self._book.target_prices.get((stop.sleeve, stop.instrument))
        if price is None or size * price < instrument.min_notional:
            return True
        if self._book.venue_state(stop.instrument) is TradingState.HALTED:
            return False  # while halted only the way out that protects is open
        on_its_own = replace(stop, parent_id=None)  # its entry has ended, and may be forgotten at the venue
        return self._pass(target_of(on_its_own, size, price, self._book.ids.next(), self._now))

    def trail(self) -> None:
        """Move the stops that trail to where the best prices leave them; none ever moves back.

        Only what protects something is moved: the stop of an entry that has not filled waits where it is, and one
        that has begun to fill is a market order.
        """
        going = {request.client_id for request in self.decided.cancels}
        for (sleeve, key), best in sorted(self._book.best_prices.items()):
            stuck, refused = ZERO, None
            held, instrument = self._book.ledger.held(sleeve, key), self._book.ledger.instruments[key]
            for stop in self._book.tracker.stops(sleeve, key):
                distance, before, sign = stop.intent.trail_distance, stop.stop_price, stop.intent.side.sign
                idle = stop.state is not OrderState.WORKING or stop.intent.client_id in going
                if idle or distance is None or before is None or sign * held >= 0:
                    continue
                price = stop.not_behind(instrument.price_beyond(best, sign * distance))
                covered = self._book.tracker.covered(stop)
                if covered <= 0 or not (price - before) * sign < 0 < price:
                    continue
                if stop.refused_move is not None:
                    stuck, refused = stuck + covered, stop
                if self._may_move(stop):
                    why = f"trails the best price {plain(best)}"
                    self.decided.amends.append(AmendRequest(stop.intent.client_id, None, why, price))
            self._tell_stuck(sleeve, instrument, stuck, refused)

    def _add_stop(self, sleeve: str, instrument: Instrument, missing: Decimal) -> bool:
        key, book = instrument.key, self._book
        price, size = book.stop_prices.get((sleeve, key)), instrument.round_quantity(missing)
        if size <= 0:
            return True
        if price is None:
            return self._close_unprotected(sleeve, instrument, size)
        held, account = book.ledger.held(sleeve, key), book.ledger.account_position(key)
        halted = book.venue_state(key) is TradingState.HALTED
        if halted and account * held > 0:
            size = min(size, instrument.round_quantity(abs(account)))  # more would not pass; the rest comes next
        if is_dust(size, instrument, book.price(key) or price):
            self._tell_remainder(sleeve, instrument, size, "no stop")
            return False
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
            trail_distance=book.trails.get((sleeve, key)),
        )
        return self._pass(intent) and self._add_target(instrument, intent, size)

    def _close_unprotected(self, sleeve: str, instrument: Instrument, size: Decimal) -> bool:
        """A strategy's position that no decision opened, so that no stop is known for it, is not kept.

        Manual positions have no stop; nor have what baskets left, which their unwind rules guard, and the positions of
        the ``weights`` sizer, which only replays use.
        """
        if sleeve not in self._book.sleeves or sleeve in BASKETS or self._book.risk.sizer is Sizer.WEIGHTS:
            return True
        if self._is_dust(instrument, size):
            self._tell_remainder(sleeve, instrument, size, "neither a stop is known, nor an order")
            return False
        side = side_of(-self._book.ledger.held(sleeve, instrument.key))
        return self._pass(self._intent(sleeve, instrument.key, side, size, Purpose.EXIT, "no stop is known for it"))

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
            account = self._to_flatten(key)
            left = instrument.round_quantity(abs(account) - book.tracker.pending_exits(key))
            if (not account or self._is_dust(instrument, account)) and not book.tracker.pending_exits(key):
                netted += self._net(key)
            for sleeve, quantity in self._on_side(key, account) if left > 0 else ():
                size = min(left, instrument.round_quantity(quantity))
                if size > 0 and not self._is_dust(instrument, size):
                    intent = self._intent(sleeve, key, side_of(-account), size, Purpose.FLATTEN, "emergency stop")
                    left -= size if self._pass(intent) else ZERO
        return netted

    def _to_flatten(self, key: InstrumentKey) -> Decimal:
        """The account's position, without what is the trader's own where a stop spares that."""
        account, his = self._book.ledger.account_position(key), self._book.ledger.held(EXTERNAL, key)
        return account - his if self._spares(EXTERNAL) and his * account > 0 else account

    def _spares(self, sleeve: str) -> bool:
        return sleeve == EXTERNAL and self._book.config.stop_scope is StopScope.ENGINE

    def _on_side(self, key: InstrumentKey, account: Decimal) -> list[tuple[str, Decimal]]:
        held = [(s, h.quantity) for s, k, h in self._book.ledger.open_holdings() if k == key and not self._spares(s)]
        free = [(s, abs(q) - self._book.tracker.pending_exits(key, s)) for s, q in held if q * account > 0]
        return [(sleeve, quantity) for sleeve, quantity in free if quantity > 0]

    def _net(self, key: InstrumentKey) -> list[Fact]:
        """Close opposite sleeves of an account that is flat, or holds dust, against each other; the dust stays."""
        held = {s: h.quantity for s, k, h in self._book.ledger.open_holdings() if k == key}
        price = self._book.price(key)
        facts: list[Fact] = []
        while price is not None and (pair := _opposite(held)) is not None:
            long, short = pair
            size = min(held[long], -held[short])
            facts.append(Netted(key, long, short, size, price, self._now))
            held[long] -= size
            held[short] += size
        return facts


def _opposite(held: Mapping[str, Decimal]) -> tuple[str, str] | None:
    """The first long and the first short sleeve; None where there are not both."""
    long, short = (next((s for s, q in held.items() if q * sign > 0), None) for sign in (1, -1))
    return None if long is None or short is None else (long, short)


def target_of(stop: OrderIntent, size: Decimal, price: Decimal, client_id: str, at: datetime) -> OrderIntent:
    """The take-profit beside a stop: a limit at ``price`` (quote) for ``size`` (base) of what the stop protects."""
    return OrderIntent(
        client_id=client_id,
        instrument=stop.instrument,
        side=stop.side,
        quantity=size,
        order_type=OrderType.LIMIT,
        purpose=Purpose.TARGET,
        sleeve=stop.sleeve,
        created_at=at,
        reference_price=stop.reference_price,
        limit_price=price,
        parent_id=stop.parent_id,
        reason=f"takes the profit of {stop.parent_id}" if stop.parent_id else "takes the profit beside its stop",
        pair_id=stop.client_id,
    )
