"""The watch of a venue by the clock: what it asks when, what it makes of gaps, sleep, new rules and deaf streams."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from command_line import wait_until

from engine.domain.conditions import VenueCondition, VenueHearing, VenueState
from engine.domain.errors import CannotRecord, OrderNotFound, VenueUnreachable
from engine.domain.instruments import Instrument, InstrumentKey, Kind
from engine.domain.market import to_ms
from engine.exchanges.client import KeyRefused
from engine.exchanges.connected.connection import StreamCondition
from engine.exchanges.connected.inbox import News
from engine.exchanges.connected.lanes import Lane
from engine.exchanges.connected.placing import Listed
from engine.exchanges.connected.reading import Report, Trade
from engine.exchanges.connected.venue_rows import BINANCE
from engine.exchanges.connected.watch import Watch
from engine.exchanges.connected.watch_setup import WatchCalls, WatchSetup

SYMBOL = "BTC/USDT"
START = datetime(2026, 11, 21, 12, tzinfo=UTC)
INSTRUMENT = Instrument(
    "binance", "BTC", "USDT", Kind.SPOT, Decimal("0.01"), Decimal("0.00001"), Decimal(5), Decimal(1)
)


class SteppedClock:
    """Both clocks, moved by hand."""

    def __init__(self) -> None:
        self.wall, self.seconds = START, 1000.0

    def now(self) -> datetime:
        return self.wall

    def monotonic(self) -> float:
        return self.seconds

    def step(self, seconds: float) -> None:
        self.wall += timedelta(seconds=seconds)
        self.seconds += seconds


class Exchange:
    """What a ccxt client would answer."""

    def __init__(self) -> None:
        self.orders: list[dict[str, Any]] = []
        self.trades: list[dict[str, Any]] = []
        self.known: dict[str, dict[str, Any]] = {}
        self.markets = {SYMBOL: _market()}
        self.asked: list[str] = []
        self.last_json_response: object = {}

    def fetch_open_orders(self, *_: Any) -> list[dict[str, Any]]:
        self.asked.append("orders")
        return [dict(order) for order in self.orders]

    def fetch_order(self, _number: Any, _symbol: str, extra: dict[str, Any]) -> dict[str, Any]:
        if extra.get("clientOrderId") not in self.known:
            raise OrderNotFound("not there")
        return dict(self.known[extra["clientOrderId"]])

    def fetch_my_trades(self, *_: Any) -> list[dict[str, Any]]:
        self.asked.append("trades")
        return [dict(trade) for trade in self.trades]

    def fetch_balance(self, *_: Any) -> dict[str, Any]:
        return {"total": {"USDT": "100"}, "free": {"USDT": "90"}}


class Line:
    """A line that answers at once."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.offset_ms = 0
        self.state = VenueState.ONLINE
        self.error: Exception | None = None
        self.measured = self.lists = 0
        self.has_jumped = False

    def ask(self, _lane: Lane, question: Callable[[Any], Any], _weight: int = 1) -> Any:
        if self.error is not None:
            raise self.error
        return question(self.exchange)

    def send(self, lane: Lane, call: Callable[[Any], Any], weight: int = 1, late: Any = None) -> Any:
        raise AssertionError("a watch sends nothing")

    def give_markets(self, client: Any) -> None:
        raise AssertionError("a watch opens no client")

    def load_markets(self, _prepare: Any = None) -> dict[str, Any]:
        self.lists += 1
        return self.exchange.markets

    def measure_offset(self) -> int:
        self.measured += 1
        return 0

    def clock_has_jumped(self) -> bool:
        jumped, self.has_jumped = self.has_jumped, False
        return jumped

    @property
    def condition(self) -> VenueCondition:
        return VenueCondition("binance", self.state)


class Stream:
    """A stream that is up and tells what it is told to."""

    tells_trades = True

    def __init__(self, clock: SteppedClock) -> None:
        self.condition = StreamCondition(True, "", clock.now(), None, 1)
        self.heard: set[str] = set()
        self.restarts: list[str] = []
        self.changed: Callable[[StreamCondition], None] = lambda _told: None
        self.doubt: Callable[[], None] = lambda: None

    def listen(self, changed: Callable[[StreamCondition], None], doubt: Callable[[], None]) -> None:
        self.changed, self.doubt = changed, doubt

    def has_heard(self, number: str) -> bool:
        return number in self.heard

    def restart(self, reason: str) -> None:
        self.restarts.append(reason)

    def become(self, condition: StreamCondition) -> None:
        self.condition = condition
        self.changed(condition)


class Watched:
    """A watch with everything around it made by hand."""

    def __init__(self) -> None:
        self.clock, self.exchange = SteppedClock(), Exchange()
        self.line, self.stream = Line(self.exchange), Stream(self.clock)
        self.told: list[News] = []
        self.gaps: list[str] = []
        self.keys = 0
        setup = WatchSetup(BINANCE, self.line, (Listed(INSTRUMENT),), self.stream, self.told.append)
        self.watch = Watch(setup, self.clock, WatchCalls(gap=self.gaps.append, check_key=self._key))

    def _key(self) -> None:
        self.keys += 1

    def after(self, seconds: float) -> None:
        self.clock.step(seconds)
        self.watch.beat()


def _market(tick: str = "0.01", *, active: bool = True) -> dict[str, Any]:
    return {
        "symbol": SYMBOL, "base": "BTC", "quote": "USDT", "spot": True, "active": active,
        "precision": {"price": tick, "amount": "0.00001"}, "limits": {"cost": {"min": "5"}},
    }  # fmt: skip


def _order(number: str, client_id: str, status: str = "open", filled: str = "0") -> dict[str, Any]:
    return {
        "id": number, "clientOrderId": client_id, "symbol": SYMBOL, "side": "buy", "status": status, "amount": "1",
        "filled": filled, "timestamp": to_ms(START), "info": {},
    }  # fmt: skip


def _trade(number: str, at: datetime) -> dict[str, Any]:
    return {
        "id": number, "order": "7", "symbol": SYMBOL, "side": "buy", "amount": "1", "price": "50000",
        "fee": {"cost": "0.1", "currency": "USDT"}, "timestamp": to_ms(at), "info": {},
    }  # fmt: skip


@pytest.fixture
def case() -> Watched:
    return Watched()


def test_watch_when_time_passes_then_orders_are_asked_every_10_s_and_money_every_30_s(case: Watched) -> None:
    case.watch.beat()
    for _ in range(6):
        case.after(10)
    assert (case.exchange.asked.count("orders"), case.exchange.asked.count("trades")) == (7, 3)


def test_view_when_nothing_was_asked_yet_then_it_is_not_fresh_until_everything_was(case: Watched) -> None:
    assert not case.watch.view.is_fresh
    case.watch.beat()
    assert case.watch.view.is_fresh
    assert [str(each.total) for each in case.watch.view.look.balances] == ["100"]


def test_view_when_the_stream_goes_away_then_asking_alone_does_not_make_it_fresh(case: Watched) -> None:
    case.watch.beat()
    case.stream.become(replace(case.stream.condition, is_up=False, detail="the connection was lost"))
    case.watch.beat()
    assert (case.watch.view.gap, case.watch.view.is_fresh) == ("", False)
    case.stream.become(replace(case.stream.condition, is_up=True, detail="", connections=2))
    assert case.watch.view.gap == "the stream was away"
    case.watch.beat()
    assert case.watch.view.is_fresh
    assert case.gaps == ["the stream is away: the connection was lost", "the stream was away"]


def test_view_when_a_look_fails_then_the_gap_stays_and_it_is_tried_again_soon(case: Watched) -> None:
    case.line.error = VenueUnreachable("no answer")
    case.watch.beat()
    assert (case.watch.view.gap, case.watch.view.trouble) == ("it was not asked yet", "no answer")
    case.line.error = None
    case.after(5)
    assert case.watch.view.is_fresh


def test_view_when_the_looks_succeed_one_after_the_other_then_the_gap_is_over_all_the_same(case: Watched) -> None:
    trades, case.exchange.fetch_my_trades = case.exchange.fetch_my_trades, _full  # type: ignore[method-assign]
    case.watch.beat()
    assert case.watch.view.gap == "it was not asked yet"
    case.exchange.fetch_my_trades = trades  # type: ignore[method-assign]
    case.after(5)
    assert set(case.exchange.asked) == {"orders", "trades"}
    assert case.watch.view.is_fresh


def test_view_when_looks_fail_for_three_of_their_periods_then_it_is_not_fresh_until_one_succeeds(case: Watched) -> None:
    case.watch.beat()
    case.line.error = VenueUnreachable("no answer")
    for _ in range(5):
        case.after(5)
    assert case.watch.view.is_fresh
    assert (case.watch.hearing.trouble, case.watch.hearing.trouble_s) == ("no answer", 15)
    case.after(10)
    assert case.watch.hearing.waits == "binance was last asked for open orders with success 35 s ago; entries wait"
    case.line.error = None
    case.after(5)
    assert case.watch.hearing == VenueHearing()


def test_hearing_when_the_stream_is_away_then_it_says_since_when_and_why(case: Watched) -> None:
    case.watch.beat()
    case.stream.become(replace(case.stream.condition, is_up=False, detail="the connection was lost"))
    said = "the order stream of binance is away since 12:00:00 UTC (the connection was lost); entries wait"
    assert case.watch.hearing.waits == said
    case.stream.condition = StreamCondition()
    assert case.watch.hearing.waits == "the order stream of binance is not connected yet; entries wait"


@pytest.mark.parametrize(("was_there", "patience_s"), [(True, 30), (False, 10)])
def test_hearing_when_the_stream_stays_away_then_questions_take_its_place(
    case: Watched, was_there: bool, patience_s: int
) -> None:
    away = replace(case.stream.condition, is_up=False, detail="lost", connections=int(was_there))
    case.stream.become(away)
    case.watch.beat()
    for _ in range(patience_s // 10):
        assert "entries wait" in case.watch.hearing.waits
        case.after(10)
    assert case.watch.hearing.waits == ""
    assert case.watch.hearing.instead.endswith("orders and executions are asked for instead")


def test_orders_when_one_is_no_longer_listed_then_it_is_asked_for_by_its_own(case: Watched) -> None:
    case.exchange.orders = [_order("7", "a"), _order("8", "b")]
    case.watch.beat()
    case.exchange.orders = [_order("7", "a")]
    case.exchange.known = {"b": _order("8", "b", "closed", "1")}
    case.told.clear()
    case.after(10)
    told = {each.venue_order_id: each.state for each in case.told if isinstance(each, Report)}
    assert {number: state.value for number, state in told.items() if state} == {"7": "working", "8": "filled"}


def test_orders_when_the_one_that_is_gone_is_not_found_then_nothing_is_told_of_it(case: Watched) -> None:
    case.exchange.orders = [_order("8", "b")]
    case.watch.beat()
    case.exchange.orders = []
    case.told.clear()
    case.after(10)
    assert case.told == []
    assert case.watch.view.trouble == ""


def test_executions_when_they_are_of_before_the_watch_then_they_are_not_told(case: Watched) -> None:
    case.exchange.trades = [_trade("1", START - timedelta(seconds=5)), _trade("2", START + timedelta(seconds=1))]
    case.clock.step(2)
    case.watch.beat()
    assert [each.number for each in case.told if isinstance(each, Trade)] == ["BTC/USDT:2"]


@pytest.mark.parametrize(("heard", "restarts"), [(True, 0), (False, 1)])
def test_stream_when_it_has_not_told_an_execution_in_time_then_it_connects_anew(
    case: Watched, heard: bool, restarts: int
) -> None:
    case.watch.beat()
    case.exchange.trades = [_trade("2", START + timedelta(seconds=1))]
    case.after(30)
    assert case.stream.restarts == []
    if heard:
        case.stream.heard.add("BTC/USDT:2")
    case.after(10)
    assert len(case.stream.restarts) == restarts


def test_stream_when_it_told_something_since_then_a_single_lost_message_is_no_reason_to_connect_anew(
    case: Watched,
) -> None:
    case.watch.beat()
    case.exchange.trades = [_trade("2", START + timedelta(seconds=1))]
    case.after(30)
    case.stream.condition = replace(case.stream.condition, last_event_at=case.clock.now())
    case.after(10)
    assert case.stream.restarts == []


def test_stream_when_it_doubts_an_event_then_everything_is_asked_at_the_next_beat(case: Watched) -> None:
    case.watch.beat()
    case.exchange.asked.clear()
    case.stream.doubt()
    case.after(0.1)
    assert case.exchange.asked == ["orders", "trades"]


@pytest.mark.parametrize("state", [VenueState.OFFLINE, VenueState.BANNED, VenueState.MAINTENANCE, VenueState.LOCKED])
def test_venue_when_it_was_away_then_everything_is_asked_before_it_is_fresh(case: Watched, state: VenueState) -> None:
    case.watch.beat()
    case.line.state = state
    case.after(1)
    case.line.state = VenueState.ONLINE
    case.line.error = VenueUnreachable("not yet")
    case.after(1)
    assert case.watch.view.gap == f"the venue was {state.value}"
    case.line.error = None
    case.after(5)
    assert case.watch.view.is_fresh


def test_key_when_it_is_refused_then_the_watch_goes_on_and_says_why(case: Watched) -> None:
    case.line.error = KeyRefused("the key is not accepted")
    case.watch.beat()
    assert case.watch.view.trouble == "the key is not accepted"


def test_clock_when_half_an_hour_has_passed_then_it_is_measured(case: Watched) -> None:
    case.after(1799)
    assert case.line.measured == 0
    case.after(2)
    assert case.line.measured == 1


@pytest.mark.parametrize("by_wall", [True, False])
def test_sleep_when_the_computer_slept_then_clock_and_everything_are_asked_anew(case: Watched, by_wall: bool) -> None:
    case.watch.beat()
    wall, seconds = case.clock.now(), case.clock.monotonic()
    case.clock.step(0 if by_wall else 3600)
    case.clock.wall += timedelta(hours=1 if by_wall else 0)
    case.watch.notice_sleep(wall, seconds)
    assert case.watch.view.gap == "the computer slept for 3600 s"
    assert case.stream.restarts == ["the computer slept"]
    case.watch.beat()
    assert case.line.measured == 1
    assert case.watch.view.gap == ""


def test_clock_when_it_was_set_then_it_is_measured_and_everything_asked_anew(case: Watched) -> None:
    case.watch.beat()
    case.line.has_jumped = True
    case.watch.notice_sleep(case.clock.now(), case.clock.monotonic())
    assert case.gaps == ["this computer's clock was set"]
    case.watch.beat()
    assert (case.line.measured, case.watch.view.gap) == (1, "")


def test_markets_when_a_tick_changes_then_it_is_told_once_with_the_new_instrument(case: Watched) -> None:
    case.exchange.markets = {SYMBOL: _market("0.1")}
    case.after(3600)
    case.after(3600)
    [news] = case.watch.market_news()
    assert (news.changed, news.closed) == ("its tick is 0.1 now, it was 0.01", "")
    assert news.instrument == replace(INSTRUMENT, tick_size=Decimal("0.1"))
    assert case.watch.market_news() == []


def test_markets_when_a_symbol_is_halted_gone_and_back_then_each_is_told_once(case: Watched) -> None:
    halted, gone = {SYMBOL: _market(active=False)}, {"ETH/USDT": _market()}
    for markets in (halted, halted, gone, {SYMBOL: _market()}):
        case.exchange.markets = markets
        case.watch.ask_markets_soon()
        case.after(1)
    told = [news.closed for news in case.watch.market_news()]
    assert len(told) == 3
    assert "is not being traded" in told[0]
    assert "no longer lists" in told[1]
    assert told[2] == ""


HEDGED = "it is in hedge mode at the exchange"


class Modes:
    """How the account is set up: problems by instrument, or an answer that does not come."""

    def __init__(self) -> None:
        self.problems: Mapping[InstrumentKey, str] | None = None
        self.asked = 0

    def __call__(self) -> Mapping[InstrumentKey, str]:
        self.asked += 1
        if self.problems is None:
            raise VenueUnreachable("no answer")
        return self.problems


def _with_modes(modes: Mapping[InstrumentKey, str] | None) -> tuple[Watched, Modes]:
    case, told = Watched(), Modes()
    setup = replace(case.watch._setup, modes=modes)
    case.watch = Watch(setup, case.clock, WatchCalls(gap=case.gaps.append))
    case.watch._holdings.mode_problems = told  # type: ignore[method-assign,assignment]
    return case, told


def _closed(case: Watched) -> list[str]:
    return [news.closed for news in case.watch.market_news()]


def test_modes_when_they_are_not_told_again_then_what_was_closed_for_them_stays_closed() -> None:
    case, told = _with_modes({INSTRUMENT.key: HEDGED})
    case.watch.beat()
    assert _closed(case) == [HEDGED]
    case.after(3600)
    assert told.asked == 1
    assert _closed(case) == []

    told.problems = {}
    case.after(60)
    assert _closed(case) == [""]


@pytest.mark.parametrize("modes", [None, {INSTRUMENT.key: HEDGED}], ids=["not told", "hedged"])
def test_modes_when_not_known_or_not_fit_at_the_start_then_asked_again_within_a_minute_without_the_list(
    modes: Mapping[InstrumentKey, str] | None,
) -> None:
    case, told = _with_modes(modes)
    told.problems = {INSTRUMENT.key: HEDGED}
    lists = case.line.lists
    for _ in range(3):
        case.after(60)
    assert (told.asked, case.line.lists) == (3, lists)
    assert case.watch.view.trouble == ""


def test_modes_when_the_question_fails_on_and_on_then_it_is_asked_once_a_minute() -> None:
    case, told = _with_modes(None)
    for _ in range(24):
        case.after(5)
    assert told.asked == 2


def test_key_when_a_day_has_passed_then_its_rights_are_checked(case: Watched) -> None:
    case.after(86_401)
    assert case.keys == 1


def test_watch_when_a_nonce_cannot_be_written_then_it_goes_on_and_says_why(case: Watched) -> None:
    asked, case.exchange.fetch_open_orders = case.exchange.fetch_open_orders, _full  # type: ignore[method-assign]
    case.watch.beat()
    assert case.watch.view.trouble == "the disk is full"

    case.exchange.fetch_open_orders = asked  # type: ignore[method-assign]
    case.after(40)
    assert case.watch.view.trouble == ""


def _full(*_arguments: Any) -> Any:
    raise CannotRecord("the disk is full")


def test_look_when_it_fails_by_an_error_of_the_engines_own_then_entries_wait_and_it_is_tried_more_and_more_slowly(
    case: Watched,
) -> None:
    case.watch.beat()
    assert case.watch.hearing.waits == ""
    tried: list[datetime] = []

    def broken(*_: Any) -> list[dict[str, Any]]:
        tried.append(case.clock.now())
        raise TypeError("no such field")

    case.exchange.fetch_open_orders, real = broken, case.exchange.fetch_open_orders  # type: ignore[method-assign]
    for _ in range(200):
        case.after(1)
    assert "an error of the engine's own, TypeError: no such field" in case.watch.hearing.waits
    assert "no such field" in case.watch.hearing.trouble
    assert case.exchange.asked.count("trades") > 5  # the other looks go on
    pauses = [(after - before).total_seconds() for before, after in pairwise(tried)]
    assert pauses == sorted(pauses)
    assert len(pauses) < 10
    case.exchange.fetch_open_orders = real  # type: ignore[method-assign]
    case.after(120)
    assert case.watch.hearing == VenueHearing("", "", 0.0, "")


def test_watch_when_a_turn_fails_then_entries_wait_and_the_next_turn_goes_on(
    case: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.exchanges.steady.FIRST_PAUSE_S", 0.1)
    real, failing = case.watch.beat, [True]

    def beat() -> None:
        if failing:
            raise ZeroDivisionError("by nothing")
        real()

    case.watch.beat = beat  # type: ignore[method-assign]
    case.watch.start()
    try:
        wait_until(lambda: "by nothing" in case.watch.hearing.waits)
        failing.clear()
        wait_until(lambda: case.watch.hearing.waits == "")
    finally:
        case.watch.close()
