"""Drives an emergency stop to VERIFIED FLAT, one proof at a time, for as long as it takes."""

from __future__ import annotations

from contextlib import suppress
from decimal import Decimal

from engine.domain.codec import plain
from engine.domain.errors import OrderNotFound, VenueAmbiguous, VenueError, VenueRejected
from engine.domain.facts import CancelRequest, Notice, Severity, StopProgress, StopStep
from engine.domain.instruments import Kind, venue_of
from engine.domain.orders import OrderState, OrderUpdate, Purpose
from engine.domain.ports import Clock
from engine.execution.tracker import TrackedOrder
from engine.risk.context import rounded
from engine.risk.sizing import is_dust
from engine.trading.config import StopScope
from engine.trading.core import outcome_of
from engine.trading.decisions import Decider
from engine.trading.emergency import StopRun
from engine.trading.external import EXTERNAL
from engine.trading.loop import TradingLoop
from engine.trading.pace import Pace
from engine.trading.remainders import dust, open_at_worst
from engine.trading.sending import MarketVenue

LONGEST_SILENCE_S = 10.0
"""Wall seconds between two attempts at a venue that does not answer, at most; there is no last one."""
TOLD_AGAIN_S = (60.0, 300.0, 900.0)
"""Wall seconds after which a stop that is not flat is told again; from then on whenever the last has passed again."""
_IN_FLIGHT = (OrderState.INTENT, OrderState.SENT, OrderState.UNKNOWN, OrderState.PENDING_CANCEL)


class StopDriver:
    """Advances the stop of one book; call it often. It never blocks and never gives up."""

    def __init__(self, loop: TradingLoop, clock: Clock) -> None:
        self._loop = loop
        self._book = loop.book
        self._clock = clock
        self._first_look: dict[StopStep, float] = {}
        self._sweep_due = float("-inf")
        self._pace = Pace()
        self._due, self._silence_s = float("-inf"), 0.0
        self._returns = loop.watch.returns
        self._since: float | None = None
        self._told: list[str] = []

    def drive(self) -> None:
        """Prove as many steps as the venues' evidence allows now; what is missing is left in ``waiting_for``."""
        run, now = self._book.stop, self._clock.monotonic()
        if run is None or not self._book.latched:
            self._first_look.clear()
            self._pace.forget()
            self._due = float("-inf")
            self._tell_flat()
            return
        self._escalate(run, now)
        if self._returns != self._loop.watch.returns:
            self._returns, self._due = self._loop.watch.returns, float("-inf")
        if now < self._due:
            return
        answered = self._advance(run)
        again_s = self._book.config.looks.ask_again_s
        self._silence_s = again_s if answered else min(2 * self._silence_s + again_s, LONGEST_SILENCE_S)
        self._due = now + self._silence_s if again_s else now

    def _advance(self, run: StopRun) -> bool:
        """One round; False where a venue did not answer."""
        try:
            self._loop.pull()
            self._loop.resolve()
            if run.is_flat:
                self._sweep(run)
            while (step := run.next_step) is not None:
                proof = self._prove(step)
                if proof is None:
                    return True
                self._record(run, step, proof)
        except VenueError as error:
            self._first_look.clear()
            run.waiting_for = f"a venue that does not answer: {error}; open there or elsewhere: {self._exposure()}"
            self._go_ahead()
            return False
        return True

    def _exposure(self) -> str:
        """What is still open, positions and orders at worst, in words."""
        total = open_at_worst(self._book)
        if total is not None:
            return f"{rounded(total)} {self._book.config.base_currency}"
        rows = [f"{plain(h.quantity)} {key}" for _, key, h in self._book.ledger.open_holdings()]
        return f"{', '.join(rows)}, not all of it with a price"

    def _escalate(self, run: StopRun, now: float) -> None:
        """Tell again, and again, that an emergency stop is not flat."""
        if run.is_flat:
            self._tell_flat()
            return
        self._since = now if self._since is None else self._since
        after_s = _next_after(len(self._told))
        if now - self._since < after_s:
            return
        minutes = int(after_s // 60)
        self._told.append(f"stop-not-flat-{minutes}")
        detail = f"{run.reason}: still open {self._exposure()}. It waits for {run.waiting_for or 'proof'}"
        self._tell(self._told[-1], Severity.CRITICAL, f"NOT FLAT {minutes} min after the emergency stop", detail)

    def _tell_flat(self) -> None:
        """End what was told about a stop that is over."""
        for key in self._told:
            self._tell(key, Severity.INFO, "The emergency stop is flat", "no open order and no position is left")
        self._since, self._told = None, []

    def _tell(self, key: str, severity: Severity, title: str, detail: str) -> None:
        book = self._book.config.name
        self._loop.tell(Notice(f"{book}:{key}", severity, title, detail, book, self._loop.market_time()))

    def _is_spared(self, update: OrderUpdate) -> bool:
        """Whether an order at a venue is to be left: it flattens, or is the trader's own where those are kept."""
        order = self._book.tracker.get(update.client_id)
        if order is not None:
            return order.intent.purpose is Purpose.FLATTEN
        return self._book.config.stop_scope is StopScope.ENGINE and not self._book.ids.owns(update.client_id)

    def _go_ahead(self) -> None:
        """One venue is silent: cancel and flatten at those that answer, and claim no step for it."""
        self._loop.resolve()
        reachable = []
        for name, venue in self._loop.venues.items():
            try:
                self._cancel_at(venue)
                reachable.append(name)
            except VenueError:
                self._pace.forget(name)  # once it answers, nothing it did not hear of holds it up
        in_flight = {venue_of(o.intent.instrument) for o in self._unsettled()}
        self._send_flattening(frozenset(reachable) - in_flight)

    def _sweep(self, run: StopRun) -> None:
        """After VERIFIED FLAT: look again, `look_gap_s` apart; what has come to light since reopens the stop."""
        now = self._clock.monotonic()
        if now < self._sweep_due:
            return
        self._sweep_due = now + self._book.config.look_gap_s
        late = [f"order {found}" for found in self._open_at_venues()] + self._positions(unpriced=False)
        if late:
            run.reopen(f"came to light after VERIFIED FLAT: {', '.join(late)}")

    def _record(self, run: StopRun, step: StopStep, proof: str) -> None:
        at = self._loop.market_time()
        told_at = at if self._book.config.simulated else self._clock.now()
        self._loop.take([StopProgress(run.stop_id, step, proof, told_at)], at)
        if step is StopStep.VERIFIED_FLAT:
            run.waiting_for = ""

    def _prove(self, step: StopStep) -> str | None:
        match step:
            case StopStep.ORDERS_CANCELLED:
                return self._cancel_all()
            case StopStep.IN_FLIGHT_SETTLED:
                return self._settled()
            case StopStep.NO_OPEN_ORDERS:
                return self._none_open(step)
            case StopStep.POSITIONS_FLATTENED:
                return self._flatten()
            case StopStep.NO_POSITIONS:
                return self._twice(step, self._positions(), "positions")
            case StopStep.VERIFIED_FLAT:
                return dust(self._book) or "no open order and no position, each seen twice"
            case _:
                return "proven by the latch"

    def _wait(self, what: str) -> None:
        assert self._book.stop is not None
        self._book.stop.waiting_for = what

    def _cancel_at(self, venue: MarketVenue) -> int:
        cancelled = 0
        for update in venue.open_orders():
            if self._is_spared(update):
                continue
            with suppress(OrderNotFound, VenueRejected, VenueAmbiguous):
                self._loop.take([venue.cancel(update.client_id)], self._loop.market_time())
                cancelled += 1
        return cancelled

    def _cancel_all(self) -> str | None:
        cancelled = sum(self._cancel_at(venue) for venue in self._loop.venues.values())
        for order in list(self._book.tracker.open_orders()):
            if not order.state.is_final and order.intent.purpose is not Purpose.FLATTEN:
                request = CancelRequest(order.intent.client_id, "emergency stop")
                self._loop.send_cancel(request)
        return f"{cancelled} cancelled, as the venues confirmed"

    def _settled(self) -> str | None:
        unsettled = sorted(order.intent.client_id for order in self._unsettled())
        if unsettled:
            self._wait(f"proof about {', '.join(unsettled)}")
            return None
        return "every order has an end or is known to work"

    def _unsettled(self) -> list[TrackedOrder]:
        return [o for o in self._book.tracker.open_orders() if o.state in _IN_FLIGHT or o.state.is_final]

    def _open_at_venues(self) -> list[str]:
        found: list[str] = []
        for venue in self._loop.venues.values():
            for update in venue.open_orders():
                if self._is_spared(update):
                    continue
                found.append(update.client_id)
                with suppress(OrderNotFound, VenueRejected, VenueAmbiguous):
                    self._loop.take([venue.cancel(update.client_id)], self._loop.market_time())
        return found

    def _twice(self, step: StopStep, found: list[str], what: str) -> str | None:
        """Two looks, `look_gap_s` of wall time apart, that both find nothing."""
        now, gap = self._clock.monotonic(), self._book.config.look_gap_s
        if found:
            self._first_look.pop(step, None)
            self._wait(f"{what}: {', '.join(found)}")
            return None
        first = self._first_look.setdefault(step, now)
        if now - first < gap:
            self._wait(f"a second look at {what}")
            return None
        self._first_look.pop(step, None)
        return f"none in two looks {now - first:.1f} s apart"

    def _none_open(self, step: StopStep) -> str | None:
        """Two looks that find no order. Where they lie apart, what is held is closed from the first on."""
        found = self._open_at_venues()
        if not found and self._book.config.look_gap_s:
            self._send_flattening(frozenset(self._loop.venues))
        return self._twice(step, found, "open orders")

    def _flatten(self) -> str | None:
        left = self._positions()
        if not left:
            return dust(self._book) or "every position is zero"
        refused = self._send_flattening(frozenset(self._loop.venues))
        self._wait(refused or f"fills that close {', '.join(left)}")
        return None

    def _send_flattening(self, venues: frozenset[str]) -> str:
        """Orders that close what is held at these venues, unless it is too early; why the gate refused one."""
        at, now = self._loop.market_time(), self._clock.monotonic()
        locked = self._book.outside.is_locked
        venues = frozenset(name for name in venues if self._pace.is_due(name, now) and not locked(name))
        if not venues:
            return ""
        decider = Decider(self._book, at)
        netted = decider.flatten(venues)
        self._loop.take(netted, at)
        decided = decider.decided
        tried = [*(each.intent.instrument for each in decided.approved), *(each.instrument for each in decided.refused)]
        busy = {venue_of(key) for key in tried}
        for name in venues & busy:
            self._pace.tried(name, now, self._held_at(name))
        for name in venues - busy:
            self._pace.looked(name, now)
        if decided.approved:
            self._loop.send(outcome_of(decided, [], []))
        return decided.refused[-1].detail if decided.refused else ""

    def _held_at(self, venue: str) -> tuple[Decimal, ...]:
        return tuple(h.quantity for _, key, h in self._book.ledger.open_holdings() if venue_of(key) == venue)

    def _positions(self, *, unpriced: bool = True) -> list[str]:
        """What is still held, dust apart. What has no price counts, unless it was proven flat before: right after a
        start the dust of then has no price yet, and whatever fills since reopens the stop by itself.
        """
        book = self._book
        left = []
        spared = EXTERNAL if book.config.stop_scope is StopScope.ENGINE else ""
        for sleeve, key, holding in book.ledger.open_holdings():
            price = book.price(key)
            if sleeve == spared:
                continue
            is_open = unpriced if price is None else not is_dust(holding.quantity, book.ledger.instruments[key], price)
            if is_open:
                left.append(f"{sleeve} {holding.quantity} {key}")
        for venue in self._loop.venues.values():
            for position in venue.positions():
                instrument = book.ledger.instruments.get(position.instrument)
                if instrument is None or instrument.kind is not Kind.PERPETUAL:
                    continue
                if position.quantity != book.ledger.account_position(position.instrument):
                    left.append(f"{position.instrument}: the venue says {position.quantity}")
        return left


def _next_after(told: int) -> float:
    """Wall seconds after which a stop that was told again so often is told once more.

    >>> [_next_after(n) for n in range(5)]
    [60.0, 300.0, 900.0, 1800.0, 2700.0]
    """
    last = len(TOLD_AGAIN_S) - 1
    return TOLD_AGAIN_S[told] if told <= last else TOLD_AGAIN_S[last] * (told - last + 1)
