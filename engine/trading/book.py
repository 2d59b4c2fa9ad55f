"""The state of one book: what facts add up to, and nothing that cannot be rebuilt from them and the market."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from engine.domain.codec import decode, encode
from engine.domain.commands import TradingState
from engine.domain.facts import CommandDone, Gap, LatchReleased, ProtectionGap
from engine.domain.instruments import Instrument, InstrumentKey, venue_of
from engine.domain.market import CandleArrays
from engine.domain.orders import Fill, OrderIntent, Purpose, Refused, Side
from engine.domain.portfolio import Balance
from engine.execution.identity import ClientIds
from engine.execution.tracker import Tracker
from engine.ledger.ledger import Ledger
from engine.market.marks import Mark, Marks
from engine.market.windows import CandleWindow
from engine.risk.allocation import AllocationMethod
from engine.risk.brake import BrakeWatch
from engine.risk.counters import ErrorWindow, FailedTrades
from engine.risk.limits import RiskConfig
from engine.risk.sizing import is_dust
from engine.trading.basket_runs import Baskets
from engine.trading.config import BookConfig
from engine.trading.emergency import StopRun
from engine.trading.feeds import Feed
from engine.trading.licence import Licence
from engine.trading.outside import Outside
from engine.trading.records import DailyRecords
from engine.trading.sleeves import Sleeve, dump, restored
from engine.trading.unit_value import UnitValue

CLOSED_BY = "closed by "
"""How the reason of an exit begins that a person ordered; no strategy undoes it."""
BY_HAND = 2
"""Size of a `Book.stopped_out` latch that a person set: the strategy may leave the position, but not add to it."""
TAKEN = 3
"""Size of a `Book.stopped_out` latch that a filled take-profit set: the same, the rest waits for its target or stop."""
REMEMBERED_COMMANDS = 2000
REMEMBERED_PAYMENTS = 2000
REMEMBERED_REFUSALS = 200
WINDOW_BARS = 6000


@dataclass(slots=True)
class Book:
    """Everything `TradingCore` decides on."""

    config: BookConfig
    ids: ClientIds
    ledger: Ledger
    risk: RiskConfig = field(default_factory=RiskConfig)
    allocation: AllocationMethod = AllocationMethod.FIXED
    tracker: Tracker = field(default_factory=Tracker)
    marks: Marks = field(default_factory=Marks)
    windows: dict[InstrumentKey, CandleWindow] = field(default_factory=dict)
    units: UnitValue = field(default_factory=UnitValue)
    sleeves: dict[str, Sleeve] = field(default_factory=dict)
    feeds: dict[str, Feed] = field(default_factory=dict)
    state: TradingState = TradingState.ACTIVE
    latched: bool = False
    state_reason: str = "first start"
    stop: StopRun | None = None
    now: datetime | None = None
    bars_at: datetime | None = None
    equity: Decimal | None = None
    stop_prices: dict[tuple[str, InstrumentKey], Decimal] = field(default_factory=dict)
    target_prices: dict[tuple[str, InstrumentKey], Decimal] = field(default_factory=dict)
    trails: dict[tuple[str, InstrumentKey], Decimal] = field(default_factory=dict)
    best_prices: dict[tuple[str, InstrumentKey], Decimal] = field(default_factory=dict)
    stopped_out: dict[tuple[str, InstrumentKey], int] = field(default_factory=dict)
    gaps: dict[tuple[str, InstrumentKey, Gap], ProtectionGap] = field(default_factory=dict)
    sleeve_peaks: dict[str, Decimal] = field(default_factory=dict)
    failed_trades: FailedTrades = field(default_factory=lambda: FailedTrades(RiskConfig().failed_trades_limit))
    venue_errors: dict[str, ErrorWindow] = field(default_factory=dict)
    brake: BrakeWatch = field(default_factory=lambda: BrakeWatch.from_config(RiskConfig()))
    entry_times: deque[datetime] = field(default_factory=deque)
    commands: dict[str, CommandDone] = field(default_factory=dict)
    payments: dict[str, None] = field(default_factory=dict)
    cursors: dict[str, str] = field(default_factory=dict)
    refused: deque[Refused] = field(default_factory=lambda: deque(maxlen=REMEMBERED_REFUSALS))
    rejected_prices: int = 0
    brake_tripped_at: datetime | None = None
    external: dict[tuple[str, str], Decimal] = field(default_factory=dict)
    records: DailyRecords = field(default_factory=DailyRecords)
    speed: int | None = None
    catching_up: bool = False
    licence: Licence = field(default_factory=Licence)
    baskets: Baskets = field(default_factory=Baskets)
    outside: Outside = field(default_factory=Outside)

    def add_instrument(self, instrument: Instrument) -> None:
        """Make an instrument tradable in this book."""
        self.ledger.register(instrument)
        self.windows.setdefault(instrument.key, CandleWindow(self.config.bar, WINDOW_BARS))
        self.feeds.setdefault(instrument.venue, Feed())

    def warm_up(self, key: InstrumentKey, candles: CandleArrays) -> None:
        """Fill a window with closed candles; they decide nothing and mark nothing."""
        if len(candles):
            self.windows[key].extend(candles)

    def mark(self, key: InstrumentKey) -> Mark | None:
        """The last trustworthy price."""
        return self.marks.price(key)

    def price(self, key: InstrumentKey) -> Decimal | None:
        """The last trustworthy price, quote currency."""
        mark = self.marks.price(key)
        return mark.price if mark else None

    def venue_state(self, key: InstrumentKey) -> TradingState:
        """The more restrictive of book and venue; a book that is not armed as it must be opens nothing."""
        if self.outside.is_locked(venue_of(key)):
            return TradingState.LOCKED
        errors = self.venue_errors.get(venue_of(key))
        unarmed = self.config.needs_arming and self.licence.armed is None
        if unarmed or (errors and self.now and errors.tripped(self.now)):
            return max(self.state, TradingState.CLOSE_ONLY, key=lambda state: state.severity)
        return self.state

    def sleeve_equity(self, name: str) -> Decimal:
        """Capital a strategy sizes on: its weight of the book's equity, base currency."""
        sleeve = self.sleeves.get(name)
        return (self.equity or Decimal(0)) * sleeve.weight if sleeve else Decimal(0)

    def sleeve_pnl(self, name: str) -> Decimal:
        """What a sleeve has made since it began, net of fees, funding included, base currency."""
        totals = self.ledger.sleeves.get(name)
        if totals is None:
            return Decimal(0)
        return totals.realised - totals.fees + totals.funding + self.ledger.unrealised(self.price, name)

    def entries_last_minute(self, now: datetime) -> int:
        """Entries approved within 60 s of market time."""
        while self.entry_times and self.entry_times[0] <= now - timedelta(seconds=60):
            self.entry_times.popleft()
        return len(self.entry_times)

    def with_owner(self, balance: Balance) -> Balance:
        """A venue's balance with the part of it that the engine's own fills and capital explain."""
        own = self.ledger.balances.get((balance.venue, balance.currency), Decimal(0))
        return replace(balance, engine_owned=own)

    def venue_failed(self, venue: str, at: datetime) -> None:
        """Count an error of a venue (market time)."""
        self.feeds.setdefault(venue, Feed()).failures += 1
        window = self.venue_errors.get(venue) or ErrorWindow(self.risk.api_errors_limit)
        self.venue_errors[venue] = window.failed(at)

    def has_payment(self, venue: str, payment_id: str) -> bool:
        """Whether a funding payment was booked before."""
        return f"{venue}|{payment_id}" in self.payments

    def note_payment(self, venue: str, payment_id: str) -> None:
        """Remember a booked payment until `forget_payments`."""
        self.payments[f"{venue}|{payment_id}"] = None

    def has_external(self, fill: Fill) -> bool:
        """Whether an execution that is not ours was booked before."""
        return "|".join(fill.identity) in self.payments

    def note_external(self, fill: Fill) -> None:
        """Remember an execution that is not ours until `forget_payments`."""
        self.payments["|".join(fill.identity)] = None

    def forget_payments(self) -> None:
        """Forget the oldest; only once the venues' cursors have passed them, so that they cannot come again."""
        while len(self.payments) > REMEMBERED_PAYMENTS:
            self.payments.pop(next(iter(self.payments)))

    def opens(self, where: tuple[str, InstrumentKey], price: Decimal, entry_id: str | None = None) -> bool:
        """Whether an entry at ``price`` (quote) opens a position: no other works, and at most dust is held."""
        working = (o for o in self.tracker.open_on(where[1]) if o.intent.sleeve == where[0] and o.remaining)
        if any(o.intent.purpose is Purpose.ENTRY and o.intent.client_id != entry_id for o in working):
            return False
        return is_dust(self.ledger.held(*where), self.ledger.instruments[where[1]], price)

    def guard(self, stop: OrderIntent) -> None:
        """Remember where a stop lies and how it trails, for one that is added later; an entry that opens a position
        begins anew, one that adds to it never loosens: the nearer stop and the shorter distance stay.
        """
        where, price, distance = (stop.sleeve, stop.instrument), stop.stop_price, stop.trail_distance
        assert price is not None, stop.client_id
        is_child = stop.parent_id is not None
        if is_child and not self.opens(where, stop.reference_price, stop.parent_id):
            known, trail = self.stop_prices.get(where, price), self.trails.get(where, distance)
            price = max(price, known) if stop.side is Side.SELL else min(price, known)
            distance = trail if distance is None or trail is None else min(distance, trail)
        elif is_child:
            self.target_prices.pop(where, None)
        self.stop_prices[where] = price
        self.trails.pop(where, None)
        if distance is not None:
            self.trails[where] = distance

    def aim(self, target: OrderIntent) -> None:
        """Remember the target of the entry that opens a position; one that adds to it changes nothing."""
        where, price = (target.sleeve, target.instrument), target.limit_price
        adds = target.parent_id is not None and not self.opens(where, target.reference_price, target.parent_id)
        if price is not None and not adds:
            self.target_prices[where] = price

    def unguard(self, where: tuple[str, InstrumentKey]) -> None:
        """Forget the stop, target and best price of a position that is gone."""
        for memory in (self.stop_prices, self.target_prices, self.trails, self.best_prices):
            memory.pop(where, None)

    def note_gap(self, found: ProtectionGap) -> None:
        """Remember what the protection of a position lacks; a quantity of 0 ends it."""
        where = (found.sleeve, found.instrument, found.gap)
        if found.quantity:
            self.gaps[where] = found
        else:
            self.gaps.pop(where, None)
        self.reach(found.at)

    def release(self, released: LatchReleased) -> None:
        """Let a strategy open again what it had been taken out of."""
        self.stopped_out.pop((released.sleeve, released.instrument), None)
        self.reach(released.at)

    def see_best(self, where: tuple[str, InstrumentKey], price: Decimal) -> None:
        """Take over the best price (quote) of what is held, and where that leaves the stop: it never moves back."""
        self.best_prices[where] = price
        held, distance, before = self.ledger.held(*where), self.trails.get(where), self.stop_prices.get(where)
        if not held or distance is None or before is None:
            return
        moved = self.ledger.instruments[where[1]].price_beyond(price, -distance if held > 0 else distance)
        if (moved - before) * held > 0:
            self.stop_prices[where] = moved

    def reach(self, at: datetime) -> None:
        """Market time is at least ``at``; it never goes back."""
        if self.now is None or at > self.now:
            self.now = at

    @property
    def last_equity(self) -> Decimal:
        """Equity, or the last one known while a mark is missing; base currency."""
        return self.equity if self.equity is not None else self.units.value * self.units.units

    def set_risk(self, risk: RiskConfig) -> None:
        """Take over new limits; counters and watches keep what they remember."""
        self.risk = risk
        self.failed_trades = FailedTrades.from_state(risk.failed_trades_limit, self.failed_trades.to_state())
        self.brake = BrakeWatch.from_config(risk).from_state(self.brake.to_state())
        limit = risk.api_errors_limit
        self.venue_errors = {v: ErrorWindow.from_state(limit, w.to_state()) for v, w in self.venue_errors.items()}

    def remember(self, done: CommandDone) -> None:
        """Keep a command's end, so that its id is carried out once."""
        self.commands[done.command_id] = done
        while len(self.commands) > REMEMBERED_COMMANDS:
            self.commands.pop(next(iter(self.commands)))

    # -- checkpoints ---------------------------------------------------------------------------------------------

    def dump(self) -> dict[str, Any]:
        """JSON values of everything that facts have added up to."""
        return {
            "ledger": self.ledger.state(),
            "risk": self.risk.model_dump_json(),
            "allocation": self.allocation.value,
            "intents": [encode(intent) for intent in self.tracker.intents()],
            "orders": self.tracker.state(),
            "units": self.units.state(),
            "sleeves": [dump(sleeve) for sleeve in self.sleeves.values()],
            "trading": [self.state.value, self.latched, self.state_reason],
            "stop": self.stop.state() if self.stop else None,
            "now": self.now.isoformat() if self.now else None,
            "bars_at": self.bars_at.isoformat() if self.bars_at else None,
            "stop_prices": [[s, k, str(p)] for (s, k), p in sorted(self.stop_prices.items())],
            "target_prices": [[s, k, str(p)] for (s, k), p in sorted(self.target_prices.items())],
            "trails": [[s, k, str(d)] for (s, k), d in sorted(self.trails.items())],
            "best_prices": [[s, k, str(p)] for (s, k), p in sorted(self.best_prices.items())],
            "stopped_out": [[s, k, sign] for (s, k), sign in sorted(self.stopped_out.items())],
            "gaps": [encode(gap) for gap in self.gaps.values()],
            "sleeve_peaks": {name: str(peak) for name, peak in sorted(self.sleeve_peaks.items())},
            "records": self.records.state(),
            "entry_times": [at.isoformat() for at in self.entry_times],
            "failed_trades": self.failed_trades.to_state(),
            "brake": self.brake.to_state(),
            "venue_errors": {venue: errors.to_state() for venue, errors in self.venue_errors.items()},
            "commands": [encode(done) for done in self.commands.values()],
            "payments": list(self.payments),
            "external": [[v, c, str(a)] for (v, c), a in sorted(self.external.items())],
            "cursors": dict(self.cursors),
            "licence": self.licence.state(),
            "baskets": self.baskets.state(),
            "outside": self.outside.state(),
            "brake_tripped_at": self.brake_tripped_at.isoformat() if self.brake_tripped_at else None,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Take over a checkpoint."""
        self.ledger.restore(state["ledger"])
        self.risk = RiskConfig.model_validate_json(state["risk"])
        self.allocation = AllocationMethod(state["allocation"])
        intents = [_intent(row) for row in state["intents"]]
        self.tracker.restore({intent.client_id: intent for intent in intents}, state["orders"])
        self.units = UnitValue.restored(state["units"])
        self.now = datetime.fromisoformat(state["now"]) if state["now"] else None
        self.bars_at = datetime.fromisoformat(state["bars_at"]) if state.get("bars_at") else None
        since = self.now or datetime.fromisoformat("1970-01-01T00:00:00+00:00")
        self.sleeves = {row["strategy"]: restored(row, since) for row in state["sleeves"]}
        name, self.latched, self.state_reason = state["trading"]
        self.state = TradingState(name)
        self.stop = StopRun.restored(state["stop"]) if state["stop"] else None
        self.stop_prices = _amounts(state["stop_prices"])
        self.target_prices = _amounts(state.get("target_prices", ()))
        self.trails = _amounts(state.get("trails", ()))
        self.best_prices = _amounts(state.get("best_prices", ()))
        self.stopped_out = {(s, InstrumentKey(k)): sign for s, k, sign in state["stopped_out"]}
        for found in (decode(row) for row in state.get("gaps", ())):
            if isinstance(found, ProtectionGap):
                self.note_gap(found)
        self.sleeve_peaks = {name: Decimal(peak) for name, peak in state["sleeve_peaks"].items()}
        self.records = DailyRecords.restored(state.get("records"))
        self.entry_times = deque(datetime.fromisoformat(at) for at in state.get("entry_times", ()))
        self.failed_trades = FailedTrades.from_state(self.risk.failed_trades_limit, state["failed_trades"])
        self.brake = BrakeWatch.from_config(self.risk).from_state(state["brake"])
        limit = self.risk.api_errors_limit
        self.venue_errors = {v: ErrorWindow.from_state(limit, row) for v, row in state["venue_errors"].items()}
        for done in (decode(row) for row in state["commands"]):
            if isinstance(done, CommandDone):
                self.remember(done)
        self.payments = dict.fromkeys(state["payments"])
        self.external = {(v, c): Decimal(a) for v, c, a in state["external"]}
        self.cursors = dict(state["cursors"])
        self.licence = Licence.restored(state.get("licence"))
        self.baskets = Baskets.restored(state.get("baskets"))
        self.outside = Outside.restored(state.get("outside"))
        self.brake_tripped_at = datetime.fromisoformat(at) if (at := state["brake_tripped_at"]) else None


def _amounts(rows: Iterable[tuple[str, str, str]]) -> dict[tuple[str, InstrumentKey], Decimal]:
    return {(sleeve, InstrumentKey(key)): Decimal(amount) for sleeve, key, amount in rows}


def _intent(row: Mapping[str, Any]) -> OrderIntent:
    fact = decode(row)
    assert isinstance(fact, OrderIntent)
    return fact
