"""State of a simulated venue, changed by journal records and by nothing else; so a restart equals what was."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal, localcontext
from typing import Any

from engine.domain.errors import StorageError
from engine.domain.instruments import Instrument, InstrumentKey
from engine.domain.orders import Fill, FundingPaid, OrderState
from engine.exchanges.paper.accounts import Accounts, PerpetualPosition
from engine.exchanges.paper.archive import ArchivedIds
from engine.exchanges.paper.costs import EXACT
from engine.exchanges.paper.orders import NOTHING, VenueOrder
from engine.exchanges.paper.records import (
    Accepted,
    Cause,
    Checkpoint,
    Ended,
    Filled,
    Funded,
    Moment,
    Moved,
    Record,
    Resized,
    Started,
    Triggered,
    Waited,
    read_intent,
    read_price,
    read_reserve,
    to_json,
)

RECENT_ORDERS = 500
"""Ended orders a checkpoint keeps whole; of older ones, what recognises their ids. The rest is in the older parts."""


class VenueState:
    """Orders, balances, positions and counters of one venue.

    Attributes
    ----------
    orders : dict[str, VenueOrder]
        By client id: every open order and those ended since the checkpoint before last.
    open : dict[InstrumentKey, dict[str, VenueOrder]]
        Open orders per instrument, in order of acceptance; instruments without any are absent.
    targets : dict[str, str]
        The open target beside an open stop, both by client id: one cancels the other.
    archived : ArchivedIds
        Client ids of ended orders that only the older parts of the journal still describe.
    executions : list[Fill | FundingPaid]
        Those since the last checkpoint; the last one has number ``executed``.
    """

    def __init__(self, instruments: Mapping[InstrumentKey, Instrument], marks: Mapping[InstrumentKey, Decimal]) -> None:
        self.instruments = instruments
        self.accounts = Accounts(instruments, marks)
        self.orders: dict[str, VenueOrder] = {}
        self.open: dict[InstrumentKey, dict[str, VenueOrder]] = {}
        self.children: dict[str, list[str]] = {}
        self.targets: dict[str, str] = {}
        self.archived = ArchivedIds()
        self.executions: list[Fill | FundingPaid] = []
        self.executed = 0
        self.accepted = 0
        self.at: datetime | None = None
        self.bars_at: datetime | None = None
        self.funded_at: dict[InstrumentKey, datetime] = {}

    def replay(self, moment: Moment) -> None:
        """Apply a line of the journal."""
        with localcontext(EXACT):
            for record in moment.records:
                self.apply(record, moment.at)
        self.advance(moment.at, is_bars=moment.cause is Cause.BARS)

    def advance(self, at: datetime, *, is_bars: bool) -> None:
        """Market time has reached ``at``; never goes back."""
        if self.at is None or at > self.at:
            self.at = at
        if is_bars and (self.bars_at is None or at > self.bars_at):
            self.bars_at = at

    def apply(self, record: Record, at: datetime) -> None:
        """The one way to change this state; call it inside the `EXACT` decimal context."""
        match record:
            case Filled(fill):
                self._fill(fill, at)
            case Waited(client_id):
                self.orders[client_id].bars_waited += 1
            case Triggered(client_id):
                self.orders[client_id].triggered = True
            case Accepted():
                self._accept(record, at)
            case Ended(client_id, reason):
                self._close(self.orders[client_id], OrderState.CANCELLED, reason, at)
            case Resized(client_id, quantity):
                self._resize(self.orders[client_id], quantity, at)
            case Moved(client_id, stop_price):
                self.orders[client_id].stop_price, self.orders[client_id].at = stop_price, at
            case Funded(payment):
                self.funded_at[payment.instrument] = payment.at
                self._note(payment)
                self.accounts.book_funding(payment)
            case Started(_, balances):
                self.accounts.totals = dict(balances)
            case Checkpoint(state):
                self.load(state)

    def _accept(self, record: Accepted, at: datetime) -> None:
        self.accepted += 1
        intent = record.intent
        order = VenueOrder(
            intent, record.venue_order_id, self.accepted, record.arrives_at, record.reserve, intent.quantity, at
        )
        order.reason, order.stop_price = record.reason, intent.stop_price
        self._add_open(order)
        self._hold_back(order)

    def _add_open(self, order: VenueOrder) -> None:
        intent = order.intent
        self.orders[order.client_id] = order
        self.open.setdefault(intent.instrument, {})[order.client_id] = order
        if intent.parent_id is not None:
            self.children.setdefault(intent.parent_id, []).append(order.client_id)
        if intent.pair_id is not None:
            self.targets[intent.pair_id] = order.client_id

    def _fill(self, fill: Fill, at: datetime) -> None:
        order = self.orders[fill.client_id]
        order.filled += fill.quantity
        order.at = at
        self._note(fill)
        self.accounts.book_fill(fill)
        if order.remaining <= 0:
            self._close(order, OrderState.FILLED, order.reason, at)
        else:
            order.state = OrderState.PARTIAL
            self._hold_back(order)

    def _resize(self, order: VenueOrder, quantity: Decimal, at: datetime) -> None:
        order.quantity, order.resized, order.at = quantity, True, at
        if order.remaining <= 0:
            self._close(order, OrderState.FILLED, order.reason, at)
        else:
            self._hold_back(order)

    def _close(self, order: VenueOrder, state: OrderState, reason: str, at: datetime) -> None:
        order.state, order.reason, order.at = state, reason, at
        self._hold_back(order)
        of_instrument = self.open[order.intent.instrument]
        del of_instrument[order.client_id]
        if not of_instrument:
            del self.open[order.intent.instrument]
        if order.intent.pair_id is not None:
            self.targets.pop(order.intent.pair_id, None)
        parent_id = order.intent.parent_id
        if parent_id is not None:
            siblings = self.children[parent_id]
            siblings.remove(order.client_id)
            if not siblings:
                del self.children[parent_id]

    def _hold_back(self, order: VenueOrder) -> None:
        wanted = order.reserve.amount(order.remaining) if order.is_open else NOTHING
        self.accounts.hold_back(order.reserve.currency, wanted - order.held_back)
        order.held_back = wanted

    def _note(self, execution: Fill | FundingPaid) -> None:
        self.executed += 1
        self.executions.append(execution)

    def target_of(self, stop: VenueOrder) -> VenueOrder | None:
        """The open target beside a stop."""
        return self.orders.get(self.targets.get(stop.client_id, ""))

    def stop_of(self, target: VenueOrder) -> VenueOrder | None:
        """The open stop beside a target; None for any other order."""
        stop = self.orders.get(target.intent.pair_id or "")
        return stop if stop is not None and stop.is_open else None

    def held_back_for(self, order: VenueOrder) -> Decimal:
        """What an order may use of the promises: its own, for a target also its stop's; in the reserve's currency."""
        stop = self.stop_of(order)
        return order.held_back + (stop.held_back if stop is not None else NOTHING)

    def live_quantity(self, order: VenueOrder) -> Decimal:
        """Base that may execute now: of a child, only what its entry has filled."""
        parent_id = order.intent.parent_id
        parent = self.orders.get(parent_id) if parent_id is not None else None
        if parent is None or not parent.is_open:
            return order.remaining
        return min(order.quantity, parent.filled) - order.filled

    def archive(self) -> None:
        """Forget the details of long-ended orders and of the executions; the journal's older parts keep them."""
        ended = [client_id for client_id, order in self.orders.items() if not order.is_open]
        for client_id in ended[: max(0, len(ended) - RECENT_ORDERS)]:
            del self.orders[client_id]
            self.archived.add(client_id)
        self.executions.clear()

    def dump(self) -> dict[str, Any]:
        """Everything, as JSON values; two venues with equal dumps behave alike."""
        totals, positions = sorted(self.accounts.totals.items()), sorted(self.accounts.positions.items())
        return {
            "at": to_json(self.at) if self.at else None,
            "bars_at": to_json(self.bars_at) if self.bars_at else None,
            "funded_at": {key: to_json(stamp) for key, stamp in sorted(self.funded_at.items())},
            "accepted": self.accepted,
            "executed": self.executed,
            "totals": {coin: str(total) for coin, total in totals},
            "positions": {key: [str(held.quantity), str(held.cost)] for key, held in positions},
            "orders": [_order_to_json(order) for order in self.orders.values()],
            "archived": self.archived.dump(),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Become what `dump` described; raises `StorageError` if something was applied before."""
        if self.accepted or self.executed:
            raise StorageError("a checkpoint must be the first line that is applied; restore from the last one")
        self.at = datetime.fromisoformat(state["at"]) if state["at"] else None
        self.bars_at = datetime.fromisoformat(state["bars_at"]) if state["bars_at"] else None
        stamps = state.get("funded_at", {}).items()
        self.funded_at = {InstrumentKey(key): datetime.fromisoformat(stamp) for key, stamp in stamps}
        self.accepted, self.executed = state["accepted"], state["executed"]
        self.accounts.totals = {coin: Decimal(total) for coin, total in state["totals"].items()}
        for key, (quantity, cost) in state["positions"].items():
            self.accounts.positions[InstrumentKey(key)] = PerpetualPosition(Decimal(quantity), Decimal(cost))
        for raw in state["orders"]:
            order = _order_from_json(raw)
            if order.is_open:
                self._add_open(order)
                self._hold_back(order)
            else:
                self.orders[order.client_id] = order
        self.archived = ArchivedIds.load(state["archived"])


def _order_to_json(order: VenueOrder) -> dict[str, Any]:
    raw: dict[str, Any] = to_json(order)
    del raw["held_back"]
    return raw


def _order_from_json(raw: Mapping[str, Any]) -> VenueOrder:
    intent = read_intent(raw["intent"])
    order = VenueOrder(
        intent,
        raw["venue_order_id"],
        raw["sequence"],
        datetime.fromisoformat(raw["arrives_at"]),
        read_reserve(raw["reserve"]),
        Decimal(raw["quantity"]),
        datetime.fromisoformat(raw["at"]),
        Decimal(raw["filled"]),
        OrderState(raw["state"]),
        raw["triggered"],
        raw["bars_waited"],
        raw["resized"],
        raw["reason"],
    )
    order.stop_price = read_price(raw["stop_price"]) if "stop_price" in raw else intent.stop_price
    return order
