"""The thin shell around the core: make facts durable, then act on them, then tell readers.

Nothing is sent before its intent is durable, and nothing a venue says is believed before it is durable. When the record
cannot be written, `CannotRecord` leaves this module: the engine stops the loop and starts it again through recovery.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal

from engine.domain.codec import plain
from engine.domain.commands import Command, TradingState
from engine.domain.errors import VenueError, VenueUnreachable
from engine.domain.facts import CancelRequest, CoinPriced, CommandDone, Fact, Notice, Outcome, Severity, StateChanged
from engine.domain.market import MarketEvent
from engine.domain.orders import CashFlow, Fill, FundingPaid, OrderUpdate, Purpose
from engine.domain.ports import Clock, Journal, Pricing, ReadInParts, Telling
from engine.trading.baskets import driven
from engine.trading.coin_fees import news_of_prices
from engine.trading.commands import carry_out
from engine.trading.core import TradingCore, outcome_of
from engine.trading.external import TAKEN_FROM_ENGINE, flow_number, taken_from_engine, words_of_flow
from engine.trading.graduation import Candidate
from engine.trading.resolving import Resolver
from engine.trading.sending import MarketVenue, Sender
from engine.trading.standing import VenueWatch
from engine.trading.unread import hand_over, take_stock

CHECKPOINT_FACTS = 400
BASKET_STEPS = 3
"""Most steps of a basket at one instant: withdrawn, answered, repaired."""

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
        self._checkpoint_day: date | None = None
        self._sender = Sender(self.book, self.venues, clock)
        self.resolver = Resolver(self, self._sender, clock)
        self.watch = VenueWatch(self, clock)

    # -- one event -----------------------------------------------------------------------------------------------

    def step(self, event: MarketEvent) -> None:
        """Take one market event: match at simulated venues, decide, make durable, submit."""
        self._sender.require_place()
        if self.watch.venues:
            self.watch.look()
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
        self.drive_baskets()

    def retire(self) -> None:
        """Never touch a venue again: another loop has taken over. Safe from any thread."""
        self._sender.retire()

    def command(self, command: Command, candidate: Candidate | None = None) -> CommandDone | None:
        """Carry out a command once; what became of it (None where it had been done before).

        ``candidate`` is the strategy that a promotion is about, as it stands in the book it comes from.
        """
        at = self.market_time()
        outcome = carry_out(self.core, command, at, self._clock.now(), candidate)
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
        new = [*news_of_prices(self.book, (fact for fact in new if isinstance(fact, Fill)), at), *new]
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
        for name in self.venues:
            try:
                self.pull_from(name)
            except VenueError as error:
                silent = silent or error
        if silent is not None:
            raise silent
        self.book.forget_payments()

    def pull_from(self, name: str) -> None:
        """The same of one venue; raises `VenueError` where it does not answer, or not with all: that is booked then."""
        venue = self.venues[name]
        hand_over(self.book.outside, name, venue)
        try:
            executions, cursor = venue.executions_since(self.book.cursors.get(name, ""))
        finally:
            take_stock(self, name, venue)
        flows = [each for each in executions if isinstance(each, CashFlow)]
        self.take([each for each in executions if not isinstance(each, CashFlow)], self.market_time())
        for flow in flows:
            self._take_flow(replace(flow, own=True))
        self._halt_for_others(executions)
        self.book.cursors[name] = cursor
        self._hear_of(venue, dict.fromkeys(e.client_id for e in executions if isinstance(e, Fill)))
        self.tell_news()
        if isinstance(venue, ReadInParts) and venue.unread:
            raise VenueUnreachable(venue.unread)

    def _halt_for_others(self, executions: Sequence[Fact]) -> None:
        """An execution of an order that a newer engine placed in this book's name: only one may trade an account."""
        ids = self.book.ids
        others = [e.client_id for e in executions if isinstance(e, Fill) and ids.is_of_newer_engine(e.client_id)]
        if not others or self.book.state is TradingState.HALTED:
            return
        at, why = self.market_time(), f"another engine trades this account: its order {others[0]} was executed"
        self.take([StateChanged(TradingState.HALTED, self.book.latched, why, at)], at)
        self.alarm("other-engine", "Another engine trades this account", f"{why}. End one of them, then reconcile")

    def hear(self) -> None:
        """Take in what connected venues have told by themselves since the last event."""
        told = [v for v in self.venues.values() if isinstance(v, Telling) and v.pending.is_set()]
        for venue in told:
            self.take(venue.drain(), self.market_time())
        if told:
            self.tell_news()
            self.protect()

    def price_owed_fees(self) -> None:
        """Ask what coins are worth that fees are owed in; one whose venue does not say stays unpriced."""
        at, base = self.market_time(), self.book.config.base_currency
        for name, coin in dict.fromkeys((fee.venue, fee.coin) for fee in self.book.outside.owed):
            venue = self.venues.get(name)
            price = None
            if isinstance(venue, Pricing):
                with suppress(VenueError):
                    price = venue.coin_price(coin, base)
            if price is not None and price > 0:
                self.take([CoinPriced(coin, price, at)], at)

    def tell_news(self) -> None:
        """Tell what facts have brought up, without waiting for the next close."""
        for notice in self.core.take_news():
            self.tell(notice)

    def _take_flow(self, flow: CashFlow) -> None:
        """Book money of the trader's own. Where he takes the engine's, it opens nothing any more."""
        if self.book.has_payment(flow.venue, flow_number(flow)):
            return
        at, words = self.market_time(), words_of_flow(flow)
        taken = taken_from_engine(self.book, flow)
        facts: list[Fact] = [flow]
        if taken and self.book.state in (TradingState.ACTIVE, TradingState.CLOSE_ONLY):  # that may end by itself
            facts.append(StateChanged(TradingState.CLOSE_ONLY, False, f"{words}: {TAKEN_FROM_ENGINE}", at))
        self.take(facts, at)
        if taken:
            then = "Pay it back, then set the book ACTIVE"
            what = f"{words}; {plain(taken)} {flow.currency} of it was the engine's. {then}"
            self.alarm(f"taken-{flow.venue}-{flow.currency}", "Money of the engine was withdrawn", what)
        else:
            key = f"flow-{flow.venue}-{flow.currency}"
            self.tell(self.core.notice(key, Severity.WARNING, "Money of your own moved", words, at))

    def _hear_of(self, venue: MarketVenue, client_ids: Iterable[str]) -> None:
        """Record the venue's own word on orders whose fills came by asking, so that no record lags behind its fills."""
        for client_id in client_ids:
            order = self.book.tracker.get(client_id)
            if order is not None and (order.told is None or order.told[1] != order.filled):
                with suppress(VenueError):
                    self.take([venue.order(client_id)], self.market_time())

    def resolve(self, *, everything: bool = False) -> bool:
        """See `Resolver.resolve`."""
        return self.resolver.resolve(everything=everything)

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

    def drive_baskets(self) -> None:
        """Take every basket under way as far as the venues' answers allow now."""
        for _ in range(BASKET_STEPS):
            if not self.book.baskets.running:
                return
            decided = driven(self.core, self.market_time(), self._clock.monotonic())
            if not (decided.facts or decided.approved or decided.cancels):
                return
            self.send(outcome_of(decided, [], []))

    def tell(self, notice: Notice) -> None:
        """Hand a notice to the observer."""
        if self._observer is not None:
            self._observer(None, Outcome(notices=(notice,)))

    def alarm(self, key: str, title: str, detail: str) -> None:
        """A critical notice of this book."""
        self.tell(self.core.notice(key, Severity.CRITICAL, title, detail, self.market_time()))
