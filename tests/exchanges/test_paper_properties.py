"""What holds for every sequence of orders and candles at the simulated venue."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from decimal import Decimal, localcontext
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from paper_market import (
    BUY,
    ETH,
    INSTRUMENTS,
    LIMIT,
    MARKET,
    PERP,
    SELL,
    SPOT,
    STOP,
    candle,
    funding,
    open_venue,
    order,
    state_of,
    state_without_time,
)
from venue_judge import differences, judge

from engine.domain.errors import OrderNotFound, VenueRejected
from engine.domain.instruments import InstrumentKey, Kind
from engine.domain.market import Bars
from engine.domain.orders import Approved, Fill, FundingPaid, OrderState
from engine.exchanges.paper import FileVenueJournal, MemoryVenueJournal, PaperCosts, PaperVenue, VenueJournal

KINDS = {item.key: item for item in INSTRUMENTS}
START = {"USDT": Decimal(10000), "BTC": Decimal(5)}

COSTS = st.sampled_from(
    [
        PaperCosts(),
        PaperCosts.plain(Decimal("7.3"), Decimal("1.1")),
        PaperCosts(volume_share=Decimal("0.01"), carry_bars=1, latency_ms=100, taker_bps=Decimal("3.7")),
    ]
)


@dataclass(frozen=True)
class Place:
    """Submit an order worth ``worth`` USDT under the next id, and a child stop ``stop`` ticks away unless that is 0.

    A stop has a target ``target`` ticks on the other side of the price, unless that is 0.
    """

    instrument: int
    buys: bool
    worth: int
    order_type: int
    offset: int
    reduce_only: bool
    stop: int
    target: int


@dataclass(frozen=True)
class Change:
    """Cancel (``lots`` 0) or amend the order that many back; ``ticks`` beside the price is where a stop shall lie."""

    back: int
    lots: int
    ticks: int


@dataclass(frozen=True)
class Walk:
    """One candle per instrument: moves of open, high, low and close in ticks, volume in lots."""

    moves: tuple[int, int, int, int]
    volume: int


@dataclass(frozen=True)
class Pay:
    """Funding in units of 0.000001."""

    rate: int


RATES = st.integers(-1000, 1000)
PLACES = st.builds(
    Place,
    st.integers(0, 2),
    st.booleans(),
    st.integers(10, 4_000) | st.integers(10_000, 90_000),
    st.integers(0, 2),
    st.integers(-40, 40),
    st.sampled_from([False, False, True]),
    st.sampled_from([0, 1, 20, 50]),
    st.sampled_from([0, 0, 1, 15, 40]),
)
CHANGES = st.builds(Change, st.integers(1, 4), st.integers(0, 30_000), st.sampled_from([0, 0, -20, 3, 20]))
MOVES = st.one_of(st.integers(-60, 60), st.integers(-60, 60), st.integers(-500, 500))
WALKS = st.builds(Walk, st.tuples(MOVES, MOVES, MOVES, MOVES), st.integers(0, 2_000_000))
STEPS = st.one_of(PLACES, WALKS, PLACES, WALKS, CHANGES, st.builds(Pay, RATES))
SCRIPTS = st.lists(STEPS, min_size=12, max_size=40)


class Player:
    """Plays a script at a venue and keeps what it was told."""

    def __init__(self, costs: PaperCosts, journal: VenueJournal) -> None:
        self.venue = open_venue(costs, journal, usdt=str(START["USDT"]), btc=str(START["BTC"]))
        self.submitted = []
        self.messages: list[object] = []
        self.minute = 0
        self.price = Decimal(100)
        self.after_line: Callable[[], None] = lambda: None

    def play(self, step: Place | Change | Walk | Pay) -> None:
        match step:
            case Place():
                self._place(step)
            case Change():
                self._change(step)
            case Walk():
                self._walk(step)
            case Pay(rate):
                event = funding(self.minute, str(Decimal(rate) / 1_000_000), str(self.price))
                self.messages.extend(self.venue.observe(event))
        self.after_line()

    def _place(self, step: Place) -> None:
        instrument = (SPOT, ETH, PERP)[step.instrument]
        price = max(self.price + step.offset * Decimal("0.1"), Decimal("0.1"))
        side = BUY if step.buys else SELL
        client_id = f"c{len(self.submitted)}"
        quantity = max(instrument.round_quantity(step.worth / self.price), instrument.lot_size)
        self._submit(client_id, side, quantity, (MARKET, LIMIT, STOP)[step.order_type], price, step)
        if step.stop:
            stop = max(price - side.sign * step.stop * Decimal("0.1"), Decimal("0.1"))
            self._submit(f"s{client_id}", side.opposite, quantity, STOP, stop, step, client_id)
        if step.target and (step.stop or step.order_type == 2):
            pair, parent = (f"s{client_id}", client_id) if step.stop else (client_id, None)
            side = side.opposite if step.stop else side
            target = max(self.price - side.sign * step.target * Decimal("0.1"), Decimal("0.1"))
            self._submit(f"t{client_id}", side, quantity, LIMIT, target, step, parent, pair)

    def _submit(self, client_id, side, quantity, order_type, price, step, parent=None, pair=None) -> None:
        approved = order(
            client_id,
            side,
            str(quantity),
            order_type,
            str(price),
            minute=self.minute,
            instrument=(SPOT, ETH, PERP)[step.instrument],
            reduce_only=step.reduce_only if parent is None else True,
            parent=parent,
            reference=str(self.price),
        )
        approved = Approved(replace(approved.intent, pair_id=pair))
        self.submitted.append(approved)
        with suppress(VenueRejected):
            self.messages.append(self.venue.submit(approved))
        self.after_line()

    def _change(self, step: Change) -> None:
        if step.back > len(self.submitted):
            return
        intent = self.submitted[-step.back].intent
        with suppress(VenueRejected, OrderNotFound):
            if step.lots:
                quantity = None if step.lots % 3 == 0 else step.lots * KINDS[intent.instrument].lot_size
                price = max(self.price + step.ticks * Decimal("0.1"), Decimal("0.1")) if step.ticks else None
                self.messages.append(self.venue.amend(intent.client_id, quantity, price))
            else:
                self.messages.append(self.venue.cancel(intent.client_id))

    def _walk(self, step: Walk) -> None:
        points = [max(self.price + move * Decimal("0.1"), Decimal("0.5")) for move in step.moves]
        shape = (points[0], max(points), min(points), points[3])
        volume = str(step.volume * Decimal("0.001"))
        candles = tuple(candle(self.minute, [str(point) for point in shape], volume, key) for key in sorted(KINDS))
        self.minute += 1
        self.price = points[3]
        self.messages.extend(self.venue.observe(Bars(candles[0].closed_at, candles)))

    @property
    def executions(self) -> list[Fill | FundingPaid]:
        return list(self.venue.executions_since("")[0])


def _played(
    script: list[Place | Change | Walk | Pay], costs: PaperCosts, journal: VenueJournal | None = None
) -> Player:
    player = Player(costs, journal or MemoryVenueJournal())
    for step in script:
        player.play(step)
    return player


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name) / "demo.jsonl"


@settings(max_examples=150, deadline=None)
@given(SCRIPTS, COSTS)
def test_balances_when_anything_happened_then_start_fills_fees_and_funding_to_the_last_digit(script, costs) -> None:
    player = _played(script, costs)
    expected = dict(START)

    def add(coin: str, change: Decimal) -> None:
        expected[coin] = expected.get(coin, Decimal(0)) + change

    with localcontext() as context:
        context.prec = 80
        for each in player.executions:
            if isinstance(each, FundingPaid):
                add(each.currency, each.amount)
                continue
            instrument, signed = KINDS[each.instrument], each.quantity * each.side.sign
            add(instrument.quote, -signed * each.price)
            add(each.fee_currency, -each.fee)
            if instrument.kind is Kind.SPOT:
                add(instrument.base, signed)
        for raw in state_of(player.venue)["positions"].values():
            add("USDT", Decimal(raw[1]))
    assert {balance.currency: balance.total for balance in player.venue.balances()} == expected


@settings(max_examples=100, deadline=None)
@given(SCRIPTS, COSTS)
def test_orders_when_anything_happened_then_never_overfilled_and_promises_add_up(script, costs) -> None:
    player = _played(script, costs)
    filled: dict[str, Decimal] = {}
    for each in player.executions:
        if isinstance(each, Fill):
            assert each.quantity > 0
            assert each.quantity % KINDS[each.instrument].lot_size == 0 or each.client_id.startswith("liq")
            assert each.price % KINDS[each.instrument].tick_size == 0
            filled[each.client_id] = filled.get(each.client_id, Decimal(0)) + each.quantity
    for raw in state_of(player.venue)["orders"]:
        client_id = raw["intent"]["client_id"]
        assert Decimal(raw["filled"]) == filled.get(client_id, Decimal(0)) <= Decimal(raw["quantity"])
        ended_full = OrderState(raw["state"]) is OrderState.FILLED
        assert ended_full is (Decimal(raw["filled"]) == Decimal(raw["quantity"]))
    for balance in player.venue.balances():
        assert balance.currency == "USDT" or 0 <= balance.free <= balance.total
    if not any(order.is_open for order in player.venue._exchange._recorder.state.orders.values()):
        assert set(player.venue._exchange.accounts.held_back.values()) <= {Decimal(0)}


@settings(max_examples=100, deadline=None)
@given(SCRIPTS, COSTS)
def test_reduce_only_when_it_fills_then_the_position_shrinks_and_never_turns(script, costs) -> None:
    player = _played(script, costs)
    reducing = {approved.intent.client_id for approved in player.submitted if approved.intent.reduce_only}
    held: dict[InstrumentKey, Decimal] = {}
    for each in player.executions:
        if isinstance(each, Fill) and each.instrument == PERP.key:
            before = held.get(each.instrument, Decimal(0))
            after = held[each.instrument] = before + each.quantity * each.side.sign
            if each.client_id in reducing:
                assert abs(after) < abs(before)
                assert after * before >= 0


@settings(max_examples=60, deadline=None)
@given(SCRIPTS, COSTS)
def test_submit_when_everything_is_sent_again_then_nothing_changes(script, costs) -> None:
    player = _played(script, costs)
    known = {raw["intent"]["client_id"] for raw in state_of(player.venue)["orders"]}
    before = state_of(player.venue)
    for approved in player.submitted:
        if approved.intent.client_id in known:
            assert player.venue.submit(approved) == player.venue.order(approved.intent.client_id)
    assert state_of(player.venue) == before


@settings(max_examples=60, deadline=None)
@given(SCRIPTS, COSTS)
def test_venue_when_played_twice_then_says_and_writes_the_same(script, costs) -> None:
    first, second = MemoryVenueJournal(), MemoryVenueJournal()
    assert _played(script, costs, first).messages == _played(script, costs, second).messages
    assert first.moments == second.moments


@settings(max_examples=60, deadline=None)
@given(SCRIPTS, COSTS, st.integers(0, 10_000))
def test_restore_when_the_file_is_cut_at_any_byte_then_equals_a_prefix(script, costs, position) -> None:
    with _folder() as path:
        player = Player(costs, FileVenueJournal(path))
        states = {path.stat().st_size: state_without_time(player.venue)}
        player.after_line = lambda: states.update({path.stat().st_size: state_without_time(player.venue)})
        for step in script:
            player.play(step)
        content = path.read_bytes()
        first = content.index(b"\n") + 1
        cut = first + position * (len(content) - first) // 10_000
        path.write_bytes(content[:cut])
        journal = FileVenueJournal(path)
        restored = PaperVenue.restore("demo", INSTRUMENTS, costs, journal)
        whole = max(size for size in states if size <= cut)
        assert state_without_time(restored) == states[whole]
        assert bool(journal.torn) is (whole != cut)
        journal.close()


@settings(max_examples=60, deadline=None)
@given(SCRIPTS, COSTS, st.integers(2, 12), st.integers(0, 40))
def test_venue_when_restarted_and_compacted_midway_then_goes_on_as_if_never(script, costs, rotate, stop) -> None:
    with _folder() as path:
        steady = Player(costs, MemoryVenueJournal())
        broken = Player(costs, FileVenueJournal(path, rotate_lines=rotate))
        for number, step in enumerate(script):
            if number == stop:
                journal = FileVenueJournal(path, rotate_lines=rotate)
                broken.venue = PaperVenue.restore("demo", INSTRUMENTS, costs, journal)
                steady.venue._exchange._marks.clear()
            steady.play(step)
            broken.play(step)
        assert broken.executions == steady.executions
        assert broken.venue.balances() == steady.venue.balances()
        assert broken.venue.open_orders() == steady.venue.open_orders()
        verdict = judge(path)
        fills = [
            (each.trade_id, each.client_id, each.side.value, each.quantity, each.price, each.fee)
            for each in steady.executions
            if isinstance(each, Fill)
        ]
        balances = {balance.currency: balance.total for balance in steady.venue.balances()}
        assert differences(verdict, fills, balances) == []
        assert sorted(order.client_id for order in verdict.open_orders) == sorted(
            update.client_id for update in steady.venue.open_orders()
        )
