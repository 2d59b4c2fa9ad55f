"""Entry, stop and target on spot under random prices, part fills and lost answers: nothing is sold twice or lost."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from decimal import Decimal

from connected_case import bars, client_id, intent, quiet
from exchange_stand_in import MovedClock
from hypothesis import example, given, settings
from hypothesis import strategies as st
from toy_exchange import SYMBOL, ToyExchange, ToyLine

from engine.domain.errors import OrderNotFound, VenueError
from engine.domain.instruments import Instrument, Kind
from engine.domain.orders import Approved, OrderIntent, OrderState, OrderType, OrderUpdate, Purpose, Side
from engine.exchanges.connected.placing import Listed
from engine.exchanges.connected.venue import ConnectedVenue
from engine.exchanges.connected.venue_rows import BINANCE

KEY = f"binance:{SYMBOL}"
ROW = replace(BINANCE, dialect=replace(BINANCE.dialect, flows=()))
LISTED = Listed(Instrument("binance", "ABC", "USDT", Kind.SPOT, Decimal("0.1"), Decimal("0.1")))
ENTRY, STOP, TARGET = client_id(1), client_id(2), client_id(3)
TROUBLES = st.just([]) | st.lists(st.sampled_from(["", "", "", "lost", "cut", "void"]), max_size=6)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["price", "fill", "look", "event", "executions", "cancel", "amend"]),
        st.integers(88, 112),
        TROUBLES,
    ),
    max_size=14,
)


class Bracket:
    """An entry of one coin with stop at 95 and target at 105."""

    def __init__(self, limit: bool) -> None:
        self.clock = MovedClock(1_795_000_000_000)
        self.exchange = ToyExchange()
        self.line = ToyLine(self.exchange)
        self.intents: dict[str, OrderIntent] = {}
        self.venue = ConnectedVenue(ROW, self.line, [LISTED], self.clock, self.intents.get)
        kind, price = (OrderType.LIMIT, "99") if limit else (OrderType.MARKET, None)
        self.submit(1, Side.BUY, kind, Purpose.ENTRY, limit_price=price)
        self.submit(2, Side.SELL, OrderType.STOP, Purpose.STOP, stop_price="95", parent_id=1)
        self.submit(3, Side.SELL, OrderType.LIMIT, Purpose.TARGET, limit_price="105", parent_id=1, pair_id=2)

    def submit(self, number: int, side: Side, kind: OrderType, purpose: Purpose, **more: object) -> None:
        wanted = intent(number, KEY, side, "1", kind, purpose, reference_price="100", **more)
        self.intents[wanted.client_id] = wanted
        self.venue.submit(Approved(wanted))

    def step(self, what: str, number: int) -> None:
        self.clock.now_ms = self.exchange.now_ms = self.clock.now_ms + 1500
        price = Decimal(number)
        with suppress(VenueError):
            if what == "price":
                self.exchange.move(price)
            elif what == "fill":
                for order in [each for each in self.exchange.orders if each.status == "open" and each.stop is None]:
                    self.exchange.fill(order, Decimal(number % 7) / 10)
            elif what == "look":
                self.venue.order((ENTRY, STOP, TARGET)[number % 3])
            elif what == "event":
                low, high = sorted((self.exchange.price, price))
                self.venue.observe(bars(KEY, str(low), str(high), str(self.exchange.price)))
            elif what == "executions":
                self.venue.executions_since("")
            elif what == "cancel":
                self.venue.cancel(ENTRY)
            else:
                self.venue.amend(STOP, stop_price=Decimal(90 + number % 8))

    def settle(self) -> None:
        """Quiet looks until nothing changes."""
        self.line.troubles.clear()
        for _ in range(6):
            self.step("event", int(self.exchange.price))
            for name in (ENTRY, STOP, TARGET):
                with suppress(VenueError):
                    self.venue.order(name)
            self.clock.now_ms += 3000
        self.venue.observe(quiet())

    def told(self, name: str) -> OrderUpdate:
        """How an order stands; one not found at look after look is given up by the core as never placed."""
        try:
            return self.venue.order(name)
        except OrderNotFound:
            at = self.intents[name].created_at
            return OrderUpdate(name, "binance", KEY, OrderState.ABANDONED, Decimal(0), at)


@settings(max_examples=150, deadline=None)
@given(st.booleans(), STEPS)
@example(True, [("price", 105, []), ("fill", 88, [])])
@example(True, [("fill", 88, []), ("event", 88, []), ("price", 88, [])])
@example(True, [("price", 88, []), ("event", 88, ["", "void"])])
def test_bracket_when_anything_happens_then_the_books_can_follow_and_nothing_is_sold_twice(
    limit: bool, steps: list[tuple[str, int, list[str]]]
) -> None:
    bracket = Bracket(limit)
    for what, number, troubles in steps:
        bracket.line.troubles[:] = troubles
        bracket.step(what, number)
    bracket.settle()
    entry, stop, target = (bracket.told(name) for name in (ENTRY, STOP, TARGET))
    exchange = bracket.exchange
    bought = sum((each.filled for each in exchange.orders if each.side == "buy"), Decimal(0))
    sold = sum((each.filled for each in exchange.orders if each.side == "sell"), Decimal(0))
    assert entry.filled == bought
    assert stop.filled + target.filled == sold <= bought
    working = [each for each in exchange.orders if each.status == "open" and each.side == "sell"]
    assert sum((each.left for each in working), Decimal(0)) <= exchange.coins
    protects = [told for told in (stop, target) if not told.state.is_final]
    assert not working or protects, "an order works that the books believe dead"
    unproven = {OrderState.UNKNOWN, OrderState.ABANDONED} & {stop.state, target.state}  # the core places others
    if exchange.coins and not unproven and protects:
        assert working, "the books believe a position protected that is not"
    if not any(trouble for _, _, troubles in steps for trouble in troubles):
        assert sum((each.left for each in working), Decimal(0)) == exchange.coins


def test_target_when_it_was_never_placed_and_nobody_said_so_then_its_stop_comes_back() -> None:
    bracket = Bracket(False)
    bracket.step("event", 100)
    bracket.exchange.move(Decimal("104.9"))
    bracket.line.troubles[:] = ["", "", "void"]
    bracket.step("event", 106)
    assert bracket.venue.order(TARGET).state is OrderState.UNKNOWN
    assert not [each for each in bracket.exchange.orders if each.status == "open"]

    bracket.clock.now_ms += 11_000
    assert bracket.venue.order(TARGET).state is OrderState.ABANDONED

    [working] = [each for each in bracket.exchange.orders if each.status == "open"]
    assert (working.stop, working.left) == (Decimal(95), bracket.exchange.coins)
    assert bracket.venue.order(STOP).state is OrderState.WORKING


def test_entries_whose_stops_sleep_then_they_are_asked_about_in_turn_one_at_a_time() -> None:
    bracket = Bracket(True)
    bracket.submit(4, Side.BUY, OrderType.LIMIT, Purpose.ENTRY, limit_price="98")
    bracket.submit(5, Side.SELL, OrderType.STOP, Purpose.STOP, stop_price="95", parent_id=4)
    for order in bracket.exchange.orders:
        bracket.exchange.fill(order, Decimal("0.5"))

    held = []
    for _ in range(2):
        bracket.clock.now_ms += 1500
        bracket.venue.drain()
        bracket.venue.drain()
        held.append(sum(1 for each in bracket.exchange.orders if each.stop is not None))
    assert held == [1, 2]
