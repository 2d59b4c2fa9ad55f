"""The way out to the venues: what was made durable is sent, and every answer, or its absence, becomes evidence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from engine.domain.errors import (
    Fenced,
    OrderNotFound,
    VenueAmbiguous,
    VenueError,
    VenueHeld,
    VenueRejected,
    VenueUnreachable,
)
from engine.domain.facts import AmendRequest, Fact, Outcome
from engine.domain.instruments import InstrumentKey, venue_of
from engine.domain.market import MarketEvent
from engine.domain.orders import ON_REQUEST, Approved, Fill, FundingPaid, OrderState, OrderType, OrderUpdate, Purpose
from engine.domain.ports import Clock, Gateway
from engine.execution.tracker import RefusedMove, TrackedOrder
from engine.trading.book import Book
from engine.trading.feeds import Feed

_PLACED = (OrderState.WORKING, OrderState.PARTIAL, OrderState.FILLED)


class MarketVenue(Gateway, Protocol):
    """A gateway whose matching is driven by the market data of the book; others return nothing."""

    def observe(self, event: MarketEvent) -> Sequence[OrderUpdate | Fill | FundingPaid]:
        """What the event did to resting orders."""


class Sender:
    """Carries one book's decisions to its venues, in an order in which none can do harm alone.

    Parameters
    ----------
    book : Book
    venues : mapping of str to MarketVenue
    clock : Clock
        Wall time, to measure how long a venue takes.
    """

    def __init__(self, book: Book, venues: Mapping[str, MarketVenue], clock: Clock) -> None:
        self._book = book
        self._venues = venues
        self._clock = clock
        self._retired = False

    def retire(self) -> None:
        """Never touch a venue again; safe from any thread."""
        self._retired = True

    def require_place(self) -> None:
        """Raise `Fenced` once another loop has taken over."""
        if self._retired:
            raise Fenced(f"the loop of {self._book.config.name} was replaced while it hung; it must not act any more")

    def send(self, outcome: Outcome, at: datetime) -> list[Fact]:
        """Withdraw, shrink, then place; what the venues answered, to be made durable.

        An exit whose stop could not be withdrawn with proof is not sent: both would sell the same position. Its stop
        may still work, so the position is not left alone, and the next close decides anew.
        """
        answers: list[Fact] = []
        doubtful: set[tuple[str, InstrumentKey]] = set()
        for request in outcome.cancels:
            order = self._book.tracker.get(request.client_id)
            told = self.cancel(request.client_id, at)
            if order is not None and not _is_withdrawn(order, told):
                doubtful.add((order.intent.sleeve, order.intent.instrument))
            answers += told
        for change in outcome.amends:
            order = self._book.tracker.get(change.client_id)
            told = self._amend(change, at)
            if order is not None and change.quantity is not None and not _is_resized(order, told, change.quantity):
                doubtful.add((order.intent.sleeve, order.intent.instrument))
            answers += told
        return answers + self._submit_all(outcome.approved, doubtful, at)

    def _submit_all(
        self, approved: Sequence[Approved], doubtful: set[tuple[str, InstrumentKey]], at: datetime
    ) -> list[Fact]:
        answers: list[Fact] = []
        dead: set[str] = set()
        for order in approved:
            intent = order.intent
            if intent.parent_id in dead or intent.pair_id in dead:
                answers.append(_ended(order, OrderState.ABANDONED, at, "its entry or its stop was not placed"))
                continue
            basket_id = intent.basket_id if intent.order_type is OrderType.LIMIT else None  # repairs go on their own
            if basket_id in dead:
                answers.append(_ended(order, OrderState.ABANDONED, at, "not sent: another leg was not placed"))
                continue
            if intent.purpose is Purpose.EXIT and (intent.sleeve, intent.instrument) in doubtful:
                answers.append(_ended(order, OrderState.ABANDONED, at, "not sent: its stop may still sell the same"))
                continue
            answer = self._submit(order, at)
            if answer.state not in _PLACED:
                dead.update((intent.client_id, basket_id or intent.client_id))
            answers.append(answer)
        return answers

    def _submit(self, order: Approved, at: datetime) -> OrderUpdate:
        venue = self._venues[venue_of(order.intent.instrument)]
        try:
            with self._measured(venue.venue):
                return venue.submit(order)
        except VenueRejected as error:
            return _ended(order, OrderState.REJECTED, at, str(error))
        except VenueUnreachable as error:
            self.failed(venue.venue, error, at)
            return _ended(order, OrderState.ABANDONED, at, f"never sent: {error}")
        except (VenueAmbiguous, OrderNotFound) as error:
            self.failed(venue.venue, error, at)
            return _ended(order, OrderState.UNKNOWN, at, str(error))

    def failed(self, venue: str, error: VenueError, at: datetime) -> None:
        """Count an error of a venue (market time), unless it was not even asked, or refused in words."""
        if not isinstance(error, VenueHeld | VenueRejected):
            self._book.venue_failed(venue, at)

    @contextmanager
    def _measured(self, venue: str) -> Iterator[None]:
        """Count an order call and note how long it took."""
        self.require_place()
        feed = self._book.feeds.setdefault(venue, Feed())
        feed.calls += 1
        started = self._clock.monotonic()
        try:
            yield
        finally:
            feed.latency_s = self._clock.monotonic() - started

    def cancel(self, client_id: str, at: datetime) -> list[OrderUpdate]:
        """Ask for one cancellation; what the venue proved, nothing where it could not be asked."""
        order = self._book.tracker.get(client_id)
        if order is None or order.state.is_final:
            return []
        venue = self._venues[venue_of(order.intent.instrument)]
        try:
            with self._measured(venue.venue):
                told = venue.cancel(client_id)
            return [replace(told, reason=ON_REQUEST) if told.state is OrderState.CANCELLED else told]
        except OrderNotFound as error:
            return self._ask_again(order, venue, at, str(error))
        except VenueRejected as error:
            return [report_on(order, order.state, at, str(error))]
        except VenueUnreachable as error:
            self.failed(venue.venue, error, at)
            return []
        except VenueAmbiguous as error:
            self.failed(venue.venue, error, at)
            return [report_on(order, OrderState.PENDING_CANCEL, at, str(error))]

    def _ask_again(self, order: TrackedOrder, venue: MarketVenue, at: datetime, words: str) -> list[OrderUpdate]:
        """A cancellation was answered with "unknown order". Where a venue takes time to find its own orders this proves
        nothing: only the order's own end does, and until then the resolver looks, twice and a while apart.
        """
        if not self._book.config.looks.lists_orders:  # a simulated venue knows its orders
            return self._ask_about(order, venue, at)
        try:
            told = venue.order(order.intent.client_id)
        except VenueError:
            return [report_on(order, OrderState.PENDING_CANCEL, at, words)]
        return [told if told.state.is_final else report_on(order, OrderState.PENDING_CANCEL, at, words)]

    def not_found(self, order: TrackedOrder, at: datetime) -> list[OrderUpdate]:
        """What follows from an order that was not found twice: one that was never confirmed was never placed."""
        if order.venue_order_id is None:
            return [report_on(order, OrderState.ABANDONED, at, "not found twice: it was never placed")]
        return self._ask_about(order, self._venues[venue_of(order.intent.instrument)], at)

    def _ask_about(self, order: TrackedOrder, venue: MarketVenue, at: datetime) -> list[OrderUpdate]:
        """A cancellation was answered with "unknown order": neither alive nor dead, so ask once more, otherwise.

        An order that the venue had confirmed, and that it now neither finds by its id nor lists among the open ones,
        has ended there; executions still to come are booked whenever they are told.
        """
        client_id = order.intent.client_id
        try:
            with suppress(OrderNotFound):
                return [venue.order(client_id)]
            listed = client_id in {update.client_id for update in venue.open_orders()}
        except VenueError:
            return []
        if listed or order.venue_order_id is None:
            return []
        return [report_on(order, OrderState.CANCELLED, at, "the venue knows it no more, asked three ways")]

    def _amend(self, request: AmendRequest, at: datetime) -> list[OrderUpdate]:
        order = self._book.tracker.get(request.client_id)
        if order is None or order.state.is_final:
            return []
        venue = self._venues[venue_of(order.intent.instrument)]
        try:
            with self._measured(venue.venue):
                return [venue.amend(request.client_id, request.quantity, request.stop_price)]
        except (VenueRejected, OrderNotFound) as error:  # an answer: the venue works
            if request.stop_price is not None:
                times = order.refused_move.times + 1 if order.refused_move is not None else 1
                order.refused_move = RefusedMove(times, at, str(error))
            return [report_on(order, order.state, at, str(error))]
        except VenueError as error:
            if isinstance(error, VenueAmbiguous):
                order.asked_price = request.stop_price
            self.failed(venue.venue, error, at)
            return [report_on(order, order.state, at, str(error))]


def report_on(order: TrackedOrder, state: OrderState, at: datetime, reason: str) -> OrderUpdate:
    """What the engine itself concludes about an order of which the venue says nothing new."""
    intent = order.intent
    return OrderUpdate(
        intent.client_id,
        venue_of(intent.instrument),
        intent.instrument,
        state,
        order.reported,
        at,
        order.venue_order_id,
        reason=reason,
    )


def _ended(order: Approved, state: OrderState, at: datetime, reason: str) -> OrderUpdate:
    key = order.intent.instrument
    return OrderUpdate(order.intent.client_id, venue_of(key), key, state, Decimal(0), at, reason=reason)


def _is_withdrawn(order: TrackedOrder, told: Sequence[OrderUpdate]) -> bool:
    """Whether an order that closes can no longer do so beside an exit, and has done no more than is booked."""
    if order.intent.purpose is Purpose.ENTRY or order.is_settled:
        return True
    return any(update.state is OrderState.CANCELLED and update.filled <= order.filled for update in told)


def _is_resized(order: TrackedOrder, told: Sequence[OrderUpdate], quantity: Decimal) -> bool:
    """Whether an order that closes leaves room for an exit: it is as small as wished, or has ended over it."""
    if order.is_settled:
        return True
    fits = [update for update in told if update.quantity == quantity or update.state is OrderState.CANCELLED]
    return any(update.filled <= order.filled for update in fits)
