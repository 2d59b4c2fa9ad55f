"""The simulated exchange itself: always reachable, always honest, written down before it answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal, localcontext

from engine.domain.errors import BadInput, OrderNotFound
from engine.domain.instruments import Instrument, InstrumentKey, Kind
from engine.domain.market import Bars, Candle, Detail, FundingRate, MarketEvent
from engine.domain.orders import ON_REQUEST, Fill, FundingPaid, OrderIntent, OrderUpdate
from engine.exchanges.paper.accounts import Accounts
from engine.exchanges.paper.admission import Admission
from engine.exchanges.paper.costs import EXACT, PaperCosts
from engine.exchanges.paper.journal import VenueJournal
from engine.exchanges.paper.liquidation import liquidate_if_exhausted
from engine.exchanges.paper.matching import CandleMatch
from engine.exchanges.paper.orders import VenueOrder
from engine.exchanges.paper.recorder import NEVER, Recorder
from engine.exchanges.paper.records import Cause, Started
from engine.exchanges.paper.turn import Message, Turn


class PaperExchange:
    """Orders, matching and accounts of one simulated venue, on one thread.

    Parameters
    ----------
    name : str
    instruments : Sequence[Instrument]
    costs : PaperCosts
    journal : VenueJournal
        Replayed here: an exchange continues where its journal ends. `open_with` starts an empty one.
    """

    def __init__(self, name: str, instruments: Sequence[Instrument], costs: PaperCosts, journal: VenueJournal) -> None:
        self.name = name
        self._costs = costs
        self._instruments: Mapping[InstrumentKey, Instrument] = {item.key: item for item in instruments}
        self._marks: dict[InstrumentKey, Decimal] = {}
        self._seen: dict[InstrumentKey, datetime] = {}
        self._detailed: dict[InstrumentKey, datetime] = {}
        self._latency = timedelta(milliseconds=costs.latency_ms)
        self._untold: dict[str, None] = {}
        self._recorder = Recorder(name, self._instruments, journal, self._marks)
        self._seen_before = self._recorder.state.bars_at or NEVER

    def open_with(self, balances: Mapping[str, Decimal]) -> None:
        """Start with these totals; raises `StorageError` where the journal already holds a venue."""
        bad = {coin: total for coin, total in balances.items() if not total.is_finite() or total < 0}
        if bad:
            raise BadInput(f"start balances of {self.name} must be zero or above: {bad}")
        self._recorder.start(Started(self.name, dict(balances)))

    @property
    def accounts(self) -> Accounts:
        """Balances and positions."""
        return self._recorder.state.accounts

    @property
    def market_time(self) -> datetime | None:
        """Latest market time seen; None before the first event."""
        at = self._recorder.state.at
        return None if at == NEVER else at

    @property
    def bars_time(self) -> datetime | None:
        """Close of the last bars seen; a market source continues after it. None before the first."""
        at = self._recorder.state.bars_at
        return None if at == NEVER else at

    def submit(self, intent: OrderIntent) -> OrderUpdate:
        """Accept an order, or return the one that has its client id already; raises `VenueRejected`."""
        known = self._recorder.find(intent.client_id)
        if known is not None:
            return known.update(self.name)
        with localcontext(EXACT):
            admission = Admission(self._recorder.state, self._costs)
            reserve = admission.admit(intent, self._marks.get(intent.instrument))
            turn = self._turn(intent.created_at)
            order = turn.accept(intent, reserve, intent.created_at + self._latency)
        self._recorder.write(turn, Cause.SUBMIT)
        return order.update(self.name)

    def cancel(self, client_id: str) -> OrderUpdate:
        """Cancel; an order that has ended is returned as it ended. Raises `OrderNotFound`."""
        order = self._recorder.state.orders.get(client_id)
        if order is None or not order.is_open:
            return self.order(client_id)
        with localcontext(EXACT):
            turn = self._turn(self.market_time or order.at)
            turn.end(order, ON_REQUEST)
        self._recorder.write(turn, Cause.CANCEL)
        self._tell_others(turn, client_id)
        return order.update(self.name)

    def amend(self, client_id: str, quantity: Decimal | None = None, stop_price: Decimal | None = None) -> OrderUpdate:
        """Give a working order another quantity (base) or its stop another price (quote).

        A child as large as its entry follows its quantity, a target that of its stop. Where only the price was to
        change and the stop has triggered or ended, it is answered as it is.

        Raises
        ------
        OrderNotFound
            No such order.
        VenueRejected
            It has ended, or the quantity breaks a rule or the balance.
        """
        state = self._recorder.state
        order = self._recorder.find(client_id)
        if order is None:
            raise self._not_found(client_id)
        if quantity is None and (stop_price is None or not order.is_open or order.triggered):
            return order.update(self.name)
        admission = Admission(state, self._costs)
        with localcontext(EXACT):
            if stop_price is not None:
                admission.check_move(order, stop_price)
            if quantity is not None:
                admission.readmit(order, quantity, self._marks.get(order.intent.instrument))
            turn = self._turn(self.market_time or order.at)
            if quantity is not None:
                self._resize(turn, order, quantity)
            if stop_price is not None and not order.triggered:
                turn.move(order, stop_price)
        self._recorder.write(turn, Cause.AMEND)
        self._tell_others(turn, client_id)
        return order.update(self.name)

    def _resize(self, turn: Turn, order: VenueOrder, quantity: Decimal) -> None:
        state, before = self._recorder.state, order.quantity
        followers = [state.orders[child] for child in state.children.get(order.client_id, ())]
        turn.resize(order, quantity)
        for child in followers:
            if child.quantity == before:
                turn.resize(child, quantity)

    def order(self, client_id: str) -> OrderUpdate:
        """State of one order; raises `OrderNotFound`."""
        order = self._recorder.find(client_id)
        if order is None:
            raise self._not_found(client_id)
        return order.update(self.name)

    def open_orders(self) -> tuple[OrderUpdate, ...]:
        """Every order that may still fill, in order of acceptance."""
        found = [order for orders in self._recorder.state.open.values() for order in orders.values()]
        return tuple(order.update(self.name) for order in sorted(found, key=lambda order: order.sequence))

    def executions_after(self, number: int) -> tuple[Fill | FundingPaid, ...]:
        """Fills and funding with a number above ``number`` (the first has 1), oldest first."""
        return self._recorder.executions_after(number)

    def observe(self, event: MarketEvent) -> Sequence[Message]:
        """Let time pass and candles match; what happened, in order, after what earlier answers left untold.

        Raises
        ------
        CannotRecord
            Nothing happened; the candle will not be matched again, as if the venue had been down for it.
        """
        untold = tuple(self.order(client_id) for client_id in self._untold)
        if isinstance(event, Bars):
            messages = self._observe_bars(event)
        elif isinstance(event, Detail):
            messages = self._observe_detail(event)
        elif isinstance(event, FundingRate):
            messages = self._observe_funding(event)
        else:
            self._recorder.tick(event.at, is_bars=False)
            messages = ()
        self._untold.clear()
        return (*untold, *messages) if untold else messages

    def _observe_bars(self, event: Bars) -> Sequence[Message]:
        instruments, seen, marks, at = self._instruments, self._seen, self._marks, event.at
        state = self._recorder.state
        open_orders, positions = state.open, state.accounts.positions
        busy: list[Candle] = []
        ours = False
        for candle in event.candles:
            key = candle.instrument
            if key not in instruments or candle.opened_at < seen.get(key, NEVER) or at <= self._seen_before:
                continue
            ours = True
            seen[key] = at
            marks[key] = candle.close
            if (key in open_orders or key in positions) and self._detailed.get(key) != at:
                busy.append(candle)
        if not busy:
            self._recorder.tick(at, is_bars=ours)
            return ()
        return self._match(busy, at)

    def _observe_detail(self, event: Detail) -> Sequence[Message]:
        """Match candles that lie inside a longer one; that will not be matched again when it closes."""
        state, at = self._recorder.state, event.at
        ours = [candle for candle in event.candles if candle.instrument in self._instruments]
        for candle in ours:
            self._detailed[candle.instrument] = at
            self._marks[candle.instrument] = candle.close
        busy = [one for one in ours if one.instrument in state.open or one.instrument in state.accounts.positions]
        if not busy:
            self._recorder.tick(at, is_bars=False)
            return ()
        return self._match(busy, at, event.ending)

    def _match(
        self, candles: list[Candle], at: datetime, ending: frozenset[InstrumentKey] | None = None
    ) -> Sequence[Message]:
        """Match candles; ``ending`` has those with which a longer candle ends, None where each stands for itself."""
        turn = self._turn(at)
        with localcontext(EXACT):
            for candle in sorted(candles, key=lambda candle: candle.instrument):
                CandleMatch(turn, self._costs, candle, ends=ending is None or candle.instrument in ending).run()
                liquidate_if_exhausted(turn, self._costs, candle)
        return self._conclude(turn, Cause.BARS)

    def _observe_funding(self, event: FundingRate) -> Sequence[Message]:
        turn = self._turn(event.at)
        instrument = self._instruments.get(event.instrument)
        held = self.accounts.held(event.instrument)
        if event.at <= self._recorder.state.funded_at.get(event.instrument, NEVER):
            return ()  # this stamp was paid before a restart that shows it again
        if instrument is not None and instrument.kind is Kind.PERPETUAL and held:
            with localcontext(EXACT):
                turn.fund(event, held)
        return self._conclude(turn, Cause.FUNDING)

    def _conclude(self, turn: Turn, cause: Cause) -> Sequence[Message]:
        if turn.records:
            self._recorder.write(turn, cause)
        else:
            self._recorder.tick(turn.at, is_bars=cause is Cause.BARS)
        return tuple(turn.messages)

    def _turn(self, at: datetime) -> Turn:
        return Turn(self.name, self._recorder.state, self._costs, at)

    def _tell_others(self, turn: Turn, client_id: str) -> None:
        """Note which other orders something happened to; the answer only speaks of one.

        The next event speaks of them, as they are by then: they may have been changed again in between.
        """
        for message in turn.messages:
            if isinstance(message, OrderUpdate) and message.client_id != client_id:
                self._untold[message.client_id] = None

    def _not_found(self, client_id: str) -> OrderNotFound:
        return OrderNotFound(f"{self.name} has no order {client_id!r}")
