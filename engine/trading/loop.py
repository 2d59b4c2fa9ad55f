"""The thin shell around the core: make facts durable, then act on them, then tell readers.

Nothing is sent before its intent is durable, and nothing a venue says is believed before it is durable. When the record
cannot be written, `CannotRecord` leaves this module: the engine stops the loop and starts it again through recovery.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime
from decimal import Decimal

from engine.domain.commands import Command
from engine.domain.errors import OrderNotFound, VenueError
from engine.domain.facts import CancelRequest, CommandDone, Fact, Notice, Outcome, Severity
from engine.domain.instruments import venue_of
from engine.domain.market import MarketEvent
from engine.domain.orders import CashFlow, Fill, FundingPaid, OrderState, OrderUpdate, Purpose
from engine.domain.ports import Clock, Journal
from engine.execution.tracker import TrackedOrder
from engine.trading.commands import carry_out
from engine.trading.core import TradingCore
from engine.trading.sending import MarketVenue, Sender

CHECKPOINT_FACTS = 400
CANCEL_AGAIN_S = 2.0
"""Wall seconds before a cancellation that brought no proof is sent once more."""
_UNSENT = (OrderState.INTENT, OrderState.SENT, OrderState.UNKNOWN)

Observer = Callable[[MarketEvent | Command | None, Outcome], None]


class TradingLoop:
    """Runs one book on one thread."""

    def __init__(
        self,
        core: TradingCore,
        journal: Journal,
        venues: Mapping[str, MarketVenue],
        clock: Clock,
        observer: Observer | None = None,
    ) -> None:
        self.core = core
        self.book = core.book
        self.venues = dict(sorted(venues.items()))
        self.sequence = 0
        self._journal = journal
        self._clock = clock
        self._observer = observer
        self._since_checkpoint = 0
        self._not_found: dict[str, float] = {}
        self._asked_again: dict[str, float] = {}
        self._checkpoint_day: date | None = None
        self._sender = Sender(self.book, self.venues, clock)

    # -- one event -----------------------------------------------------------------------------------------------

    def step(self, event: MarketEvent) -> None:
        """Take one market event: match at simulated venues, decide, make durable, submit."""
        self._sender.require_place()
        happened: list[Fact] = []
        for venue in self.venues.values():
            happened.extend(venue.observe(event))
        if happened:
            self.take(happened, event.at)
        outcome = self.core.process(event)
        self._act(event, outcome, event.at)
        self._look_again(outcome)

    def _look_again(self, outcome: Outcome) -> None:
        """Give a position its stop back where the answers have just undone the exit that took the stop's place.

        Only then: a stop that the venue has refused is not sent again before the next close.
        """
        if outcome.cancels or any(approved.intent.purpose is Purpose.EXIT for approved in outcome.approved):
            self.protect()

    def retire(self) -> None:
        """Never touch a venue again: another loop has taken over. Safe from any thread."""
        self._sender.retire()

    def command(self, command: Command) -> CommandDone | None:
        """Carry out a command once; what became of it (None where it had been done before)."""
        at = self.market_time()
        outcome = carry_out(self.core, command, at, self._clock.now())
        self._act(command, outcome, at)
        self._look_again(outcome)
        return self.book.commands.get(command.command_id)

    def market_time(self) -> datetime:
        """Market time of the last close, wall time before the first."""
        return self.book.now or self._clock.now()

    def take(self, facts: Iterable[Fact], at: datetime) -> None:
        """Make facts that happened durable and fold them; repeats of what is known are dropped."""
        seen: set[tuple[str, ...]] = set()
        new = [fact for fact in facts if not self._is_repeat(fact, seen)]
        if not new:
            return
        left_out = {id(fact) for fact in self._record(new, at)}
        for fact in new:
            if id(fact) not in left_out:
                self.core.apply(fact)

    def _is_repeat(self, fact: Fact, seen: set[tuple[str, ...]]) -> bool:
        if isinstance(fact, OrderUpdate):
            return self.book.tracker.knows(fact)
        if not isinstance(fact, Fill | FundingPaid):
            return False
        if isinstance(fact, Fill):
            key: tuple[str, ...] = (*fact.identity, fact.client_id)
        else:
            key = (fact.venue, fact.account, fact.payment_id)
        if key in seen:
            return True
        seen.add(key)
        if isinstance(fact, FundingPaid):
            return self.book.has_payment(fact.venue, fact.payment_id)
        if self.book.tracker.get(fact.client_id) is not None:
            return not self.book.tracker.is_new_fill(fact)
        return self.book.ids.owns(fact.client_id) or self.book.has_external(fact)

    def _record(self, facts: Sequence[Fact], at: datetime) -> tuple[Fact, ...]:
        """Make facts durable; those left out, which must not be believed: memory and journal would part."""
        done = self._journal.append(facts, at)
        self.sequence = done.sequence
        self._since_checkpoint += len(facts)
        if done.left_out:
            what = "; ".join(str(fact) for fact in done.left_out)
            self.alarm("number-twice", "An execution number came twice; it was booked once", what)
        return done.left_out

    def _act(self, event: MarketEvent | Command | None, outcome: Outcome, at: datetime) -> None:
        if outcome.facts or outcome.approved:
            ends = int(bool(outcome.facts) and isinstance(outcome.facts[-1], CommandDone))
            known = len(outcome.facts) - ends  # what decisions rest on comes before them, a command's end after them
            facts = [*outcome.facts[:known], *(a.intent for a in outcome.approved), *outcome.facts[known:]]
            self._record(facts, at)
        if outcome.cancels or outcome.amends or outcome.approved:
            self.take(self._sender.send(outcome, at), at)
        if self._observer is not None:
            self._observer(event, outcome)

    def send(self, outcome: Outcome) -> None:
        """Make decisions that no event led to durable and submit them; used by the emergency stop."""
        self._act(None, outcome, self.market_time())

    def send_cancel(self, request: CancelRequest) -> None:
        """Ask the venue for one cancellation and take its answer."""
        at = self.market_time()
        self.take(self._sender.cancel(request.client_id, at), at)

    # -- evidence ------------------------------------------------------------------------------------------------

    def pull(self) -> None:
        """Book what the venues executed and the engine has not seen.

        Raises
        ------
        VenueError
            One does not answer; all others have been asked.
        """
        silent: VenueError | None = None
        for name, venue in self.venues.items():
            try:
                executions, cursor = venue.executions_since(self.book.cursors.get(name, ""))
            except VenueError as error:
                silent = silent or error
                continue
            self.take(executions, self.market_time())
            self.book.cursors[name] = cursor
            self._hear_of(venue, dict.fromkeys(e.client_id for e in executions if isinstance(e, Fill)))
        if silent is not None:
            raise silent
        self.book.forget_payments()

    def _hear_of(self, venue: MarketVenue, client_ids: Iterable[str]) -> None:
        """Record the venue's own word on orders whose fills came by asking, so that no record lags behind its fills."""
        for client_id in client_ids:
            order = self.book.tracker.get(client_id)
            if order is not None and (order.told is None or order.told[1] != order.filled):
                with suppress(VenueError):
                    self.take([venue.order(client_id)], self.market_time())

    def resolve(self, *, everything: bool = False) -> bool:
        """Ask the venues about every order without proof (or about every open one); True when no doubt is left.

        An order that is not found twice, `not_found_window_s` apart, was never placed and is ABANDONED, never sent
        again.
        """
        at, now = self.market_time(), self._clock.monotonic()
        open_ = [o for o in self.book.tracker.open_orders() if not o.is_settled]
        doubtful = [o for o in open_ if everything or o.state in _UNSENT or o.state is OrderState.PENDING_CANCEL]
        ids = {order.intent.client_id for order in doubtful}
        self._asked_again = {client_id: at_s for client_id, at_s in self._asked_again.items() if client_id in ids}
        for order in doubtful:
            client_id = order.intent.client_id
            try:
                self.take([self.venues[venue_of(order.intent.instrument)].order(client_id)], at)
                self._not_found.pop(client_id, None)
                self._cancel_again(order, now)
            except OrderNotFound:
                first = self._not_found.setdefault(client_id, now)
                if now - first >= self.book.config.not_found_window_s and first != now:
                    self._not_found.pop(client_id)
                    self.take(self._sender.not_found(order, at), at)
            except VenueError:
                self.book.venue_failed(venue_of(order.intent.instrument), at)
        self._fetch_late_fills()
        return not any(o.state in _UNSENT for o in self.book.tracker.open_orders())

    def _cancel_again(self, order: TrackedOrder, now: float) -> None:
        """A cancellation without proof whose order still works is asked for once more, a little later."""
        client_id = order.intent.client_id
        if order.state is not OrderState.PENDING_CANCEL:
            return
        if now - self._asked_again.setdefault(client_id, now) >= CANCEL_AGAIN_S:
            self._asked_again[client_id] = now
            self.send_cancel(CancelRequest(client_id, "the first request brought no proof"))

    def _fetch_late_fills(self) -> None:
        """Executions a venue counts and never told: the order has ended, its fills are still to be booked."""
        if any(o.reported > o.filled for o in self.book.tracker.open_orders()):
            with suppress(VenueError):
                self.pull()

    # -- start and checkpoints -----------------------------------------------------------------------------------

    def load(self) -> int:
        """Fold the newest checkpoint and every fact after it; how many facts were folded."""
        checkpoint = self._journal.latest_checkpoint()
        after = 0
        if checkpoint is not None:
            after, state = checkpoint
            self.book.load(state)
        count = 0
        for sequence, fact in self._journal.read(after):
            self.core.apply(fact)
            after, count = sequence, count + 1
        self.sequence = after
        return count

    def fund(self, flows: Sequence[CashFlow]) -> None:
        """Give the book capital in its base currency; it buys units, so that neither peak nor P&L sees it.

        Flows and the mark that counts them are one record: without the mark they would look like profit.
        """
        at, amount = flows[0].at, sum((flow.amount for flow in flows), Decimal(0))
        equity = self.book.last_equity + amount
        self.book.units.flow(amount)
        mark = self.book.units.mark(equity, at)
        self.take([*flows, mark], at)
        self.book.equity = self.book.ledger.equity(self.book.price)

    def maybe_checkpoint(self, *, force: bool = False) -> None:
        """Store the book's state once enough facts have passed, and whenever a market day has turned."""
        day = self.book.records.day
        due = self._since_checkpoint >= CHECKPOINT_FACTS or day != self._checkpoint_day
        if due or force:
            self._journal.checkpoint(self.sequence, self.book.dump())
            self._since_checkpoint, self._checkpoint_day = 0, day

    @property
    def has_checkpoint(self) -> bool:
        """Whether the book's beginning was ever completed."""
        return self._journal.latest_checkpoint() is not None

    def protect(self) -> None:
        """Give every position the stop it lacks now, where something has happened since the last look."""
        if self.core.is_unsure and not self.book.latched:
            self.send(self.core.protect(self.market_time()))

    def tell(self, notice: Notice) -> None:
        """Hand a notice to the observer."""
        if self._observer is not None:
            self._observer(None, Outcome(notices=(notice,)))

    def alarm(self, key: str, title: str, detail: str) -> None:
        """A critical notice of this book."""
        self.tell(self.core.notice(key, Severity.CRITICAL, title, detail, self.market_time()))
