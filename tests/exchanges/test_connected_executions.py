"""Long lists of executions, pages that fail and rows that cannot be read: each execution is told exactly once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.errors import VenueUnreachable
from engine.domain.instruments import Instrument, InstrumentKey, Kind
from engine.domain.market import from_ms
from engine.domain.orders import Fill, FillCause, FundingPaid
from engine.exchanges.connected.aside import Aside
from engine.exchanges.connected.asking import Parts
from engine.exchanges.connected.dialects import Funding, Paging, Trades, VenueRow
from engine.exchanges.connected.executions import ASIDE_EVERY_MS, RECENT_MS, Executions
from engine.exchanges.connected.fields import Unreadable
from engine.exchanges.connected.fills import Fills
from engine.exchanges.connected.lanes import Lane
from engine.exchanges.connected.placing import Listed
from engine.exchanges.connected.reading import Reader, Trade
from engine.exchanges.connected.venue_rows import BINANCE, BYBIT, COINBASE, KRAKEN, KRAKEN_PERP, KUCOIN

NOW_MS = 1_772_323_200_000
PAGE = 3
WAYS = {row.name: row for row in (BINANCE, KUCOIN, KRAKEN, COINBASE, KRAKEN_PERP, BYBIT)}
EVERY_WAY = pytest.mark.parametrize("way", sorted(WAYS))


class Exchange:
    """Lists executions as each exchange pages them; also its own ccxt client, which reads rows as they are."""

    markets: Mapping[str, Any] = {}

    def __init__(self, way: str) -> None:
        self.trades = WAYS[way].dialect.trades
        self.rows: list[dict[str, Any]] = []
        self.questions: list[dict[str, Any]] = []

    def execute(self, number: int, at_ms: int, **more: Any) -> None:
        fee = {"cost": "0.1", "currency": "USDT"}
        row = {"id": str(number), "symbol": "BTC/USDT", "order": f"o{number}", "side": "buy", "amount": "1"}
        self.rows.append(row | {"price": "100", "fee": fee, "timestamp": at_ms, "execPrice": "100"} | more)

    def _between(self, since_ms: int, until_ms: int) -> list[dict[str, Any]]:
        """Newest first, as most list them."""
        found = [row for row in self.rows if since_ms <= row["timestamp"] <= until_ms]
        return sorted(found, key=lambda row: (row["timestamp"], int(row["id"])), reverse=True)

    def fetch_my_trades(
        self, _symbol: str | None, since: int | None, limit: int | None, extra: dict[str, Any]
    ) -> list[dict[str, Any]]:
        self.questions.append({"since": since, **extra})
        rows = self._page(since or 0, limit or PAGE, extra)
        return [self.parse_trade(row) for row in rows]

    def _page(self, since: int, limit: int, extra: dict[str, Any]) -> list[dict[str, Any]]:
        match self.trades.paging:
            case Paging.FORWARD if "fromId" in extra:
                later = [row for row in self._between(0, NOW_MS * 2)[::-1] if int(row["id"]) >= extra["fromId"]]
                return sorted(later, key=lambda row: int(row["id"]))[:limit]
            case Paging.FORWARD:
                return self._between(since, extra["until"])[::-1][:limit]
            case Paging.NUMBERED:
                first = (extra["currentPage"] - 1) * PAGE
                return self._between(since, extra["until"])[first : first + PAGE]
            case Paging.OFFSET:
                return self._between(extra["start"] * 1000, extra["until"])[extra["ofs"] :][:PAGE]
            case Paging.BACKWARD:
                until = datetime.fromisoformat(extra["lastFillTime"])
                return self._between(0, round(until.timestamp() * 1000))[: self.trades.page_rows]
            case Paging.CURSOR:
                return self._named(since, extra["until"], extra.get("cursor"))

    def _named(self, since: int, until: int, cursor: str | None) -> list[dict[str, Any]]:
        first = int(cursor or 0)
        rows = self._between(since, until)
        page = [dict(row) for row in rows[first : first + PAGE]]
        if page and len(rows) > first + PAGE:
            page[0]["cursor"] = str(first + PAGE)
        return page

    def private_get_v5_execution_list(self, asked: dict[str, Any]) -> dict[str, Any]:
        self.questions.append(asked)
        page = self._named(asked["startTime"], asked["endTime"], asked.get("cursor"))
        return {"result": {"list": page, "nextPageCursor": page[0].get("cursor", "") if page else ""}}

    def parse_trade(self, row: dict[str, Any], _market: Any = None) -> dict[str, Any]:
        if row["price"] == "nan":
            raise ValueError(row["price"])
        return {**row, "info": row}

    def safe_market(self, symbol: str, *_: Any) -> dict[str, Any]:
        return {"symbol": symbol}

    def safe_integer_n(self, row: Mapping[str, Any], names: Sequence[str], default: int) -> int:
        return next((row[name] for name in names if name in row), default)

    def safe_string_n(self, row: Mapping[str, Any], names: Sequence[str], default: str) -> str:
        return next((str(row[name]) for name in names if name in row), default)


class Line:
    """Asks the exchange, or does not get through."""

    condition: Any = None
    offset_ms = 0

    def __init__(self, exchange: Exchange, fails: Iterator[bool]) -> None:
        self.exchange, self.fails, self.weights = exchange, fails, list[int]()

    def ask(self, lane: Lane, question: Callable[[Any], Any], weight: int = 1) -> Any:
        assert lane is Lane.STATUS
        self.weights.append(weight)
        if next(self.fails):
            raise VenueUnreachable("no answer")
        return question(self.exchange)

    def send(self, *_: Any) -> Any:
        raise AssertionError("nothing is sent")


def trades_of(row: VenueRow) -> Trades:
    return replace(row.dialect.trades, page_rows=PAGE)


class Desk:
    """Reads one exchange over and over, as the book does; its clocks stand still unless they are moved."""

    def __init__(self, way: str, fails: Iterator[bool] | None = None, pages_at_once: int = 2) -> None:
        row = WAYS[way]
        row = replace(row, dialect=replace(row.dialect, trades=trades_of(row), funding=Funding.NONE, flows=()))
        self.exchange, self.now_ms, self.cursor = Exchange(way), NOW_MS, ""
        self.line = Line(self.exchange, fails or iter(lambda: False, True))
        reader = Reader(way, row.dialect, lambda: from_ms(self.now_ms))
        one = Decimal(1)
        listed = Listed(Instrument(way, "BTC", "USDT", Kind.SPOT, one, one, one, one))
        self.parts = Parts(row, self.line, reader, {InstrumentKey(f"{way}:BTC/USDT"): listed})
        self._pages_at_once = pages_at_once
        self.told: list[Trade] = []
        self.aside = Aside()
        self.begin()

    def begin(self) -> None:
        """A new gateway that knows nothing but the cursor."""
        seconds = count()
        monotonic: Callable[[], float] = lambda: next(seconds) * 4.0 / self._pages_at_once  # noqa: E731
        self.executions = Executions(self.parts, lambda: self.now_ms, monotonic=monotonic, aside=self.aside)

    def execute_at(self, at_ms: int) -> int:
        """One more; numbers rise with time, as everywhere. Kraken's futures cannot page through one instant."""
        if self.exchange.trades.paging is Paging.BACKWARD:
            at_ms = next(
                ms for ms in count(at_ms, -2) if all(abs(ms - row["timestamp"]) > 1 for row in self.exchange.rows)
            )
        number = at_ms * 100 + len(self.exchange.rows)
        self.exchange.execute(number, at_ms)
        return number

    def look(self) -> None:
        try:
            rows, self.cursor = self.executions.since(self.cursor)
        except VenueUnreachable:
            assert self.executions.unread
            return
        times = [row.at for row in rows]
        assert times == sorted(times)
        self.told += [row for row in rows if isinstance(row, Trade)]

    def look_until_read(self, at_most: int = 400) -> None:
        for _ in range(at_most):
            self.look()
            if not self.executions.unread:
                return
        raise AssertionError(self.executions.unread)

    def numbers(self) -> list[int]:
        return sorted(int(row.number.rpartition(":")[2]) for row in self.told)


@EVERY_WAY
@settings(max_examples=30)
@given(
    ages=st.lists(st.integers(0, 3_000), max_size=25),
    late=st.lists(st.integers(0, 15_000), max_size=6),
    fails=st.lists(st.booleans(), max_size=12),
    pages=st.integers(1, 4),
)
def test_backlog_when_pages_fail_at_random_then_every_execution_is_told_exactly_once(
    way: str, ages: list[int], late: list[int], fails: list[bool], pages: int
) -> None:
    desk = Desk(way, (fail for n in count() for fail in (*fails, False)), pages)
    numbers = [desk.execute_at(NOW_MS - age_s * 1000) for age_s in ages]
    for age_ms in late:
        desk.look()
        desk.now_ms += 7_000
        numbers.append(desk.execute_at(desk.now_ms - age_ms))
    desk.look_until_read()
    desk.now_ms += RECENT_MS + 1
    desk.look_until_read()
    assert desk.numbers() == sorted(numbers)
    desk.now_ms += 60_000
    desk.look()
    desk.begin()
    desk.look_until_read()
    assert desk.numbers() == sorted(numbers)


@EVERY_WAY
def test_backlog_when_only_one_page_is_read_at_a_time_then_each_is_one_question_of_its_own_weight(way: str) -> None:
    desk = Desk(way, pages_at_once=1)
    for number in range(1, 20):
        desk.exchange.execute(number, NOW_MS - number * 10_000)
    desk.look()
    assert "still being read" in desk.executions.unread
    desk.look_until_read()
    assert desk.numbers() == list(range(1, 20))
    weight = WAYS[way].limits.weights.trades
    assert desk.line.weights == [weight] * len(desk.exchange.questions)


@pytest.mark.parametrize("way", sorted(set(WAYS) - {"binance"}))
def test_backlog_when_listed_newest_first_and_cut_short_then_the_mark_stays_before_what_is_unread(way: str) -> None:
    desk = Desk(way, pages_at_once=1)
    for number in range(1, 20):
        desk.exchange.execute(number, NOW_MS - number * 10_000)
    desk.look()
    assert desk.told == []
    desk.begin()  # a restart: only the cursor is left
    desk.look_until_read()
    assert desk.numbers() == list(range(1, 20))


def test_backlog_when_listed_oldest_first_and_cut_short_then_what_was_read_is_told_and_a_restart_goes_on() -> None:
    desk = Desk("binance", pages_at_once=1)
    for number in range(1, 20):
        desk.exchange.execute(number, NOW_MS - 1_000_000 + number * 30_000)
    desk.look()
    assert desk.numbers() == [1, 2, 3]
    desk.exchange.questions.clear()
    desk.begin()
    desk.look_until_read()
    assert desk.numbers() == list(range(1, 20))
    assert min(asked["since"] for asked in desk.exchange.questions) > NOW_MS - 1_000_000


def test_backlog_when_more_than_a_page_at_one_instant_then_it_goes_on_by_number() -> None:
    desk = Desk("binance")
    for number in range(1, 12):
        desk.exchange.execute(number, NOW_MS - 5_000)
    desk.look_until_read()
    assert desk.numbers() == list(range(1, 12))


def test_list_when_its_pages_repeat_for_ever_then_it_is_an_error_and_nothing_is_told() -> None:
    desk = Desk("kraken")
    for number in range(1, 3):
        desk.exchange.execute(number, NOW_MS - 5_000)
    desk.exchange._page = lambda *_: desk.exchange._between(0, NOW_MS)  # type: ignore[method-assign]
    words = ""
    for _ in range(3):
        desk.look()
        words += desk.executions.unread
    assert desk.told == []
    assert "does not end" in words


@EVERY_WAY
def test_cursor_when_stored_by_an_older_version_then_it_goes_on_from_there(way: str) -> None:
    desk = Desk(way)
    name = next(iter(json.loads(desk.executions.since("")[1])))
    for number, age_s in ((1, 300), (2, 50), (3, 45), (4, 10)):
        desk.exchange.execute(number, NOW_MS - age_s * 1000)
    prefix = "BTC/USDT:" if desk.exchange.trades.numbered_by_symbol else ""
    desk.cursor = json.dumps({name: [NOW_MS - 45_000, [f"{prefix}2", f"{prefix}3"], NOW_MS - 400_000]})
    desk.look()
    assert desk.numbers() == [4]


@EVERY_WAY
def test_list_when_the_clock_was_hours_ahead_for_a_look_then_what_is_executed_next_is_told_all_the_same(
    way: str,
) -> None:
    desk = Desk(way)
    desk.now_ms += 14 * 3_600_000
    desk.look()
    desk.now_ms -= 14 * 3_600_000 - 60_000
    number = desk.execute_at(desk.now_ms - 5_000)
    desk.look_until_read()
    assert desk.numbers() == [number]


def test_row_when_it_cannot_be_read_and_is_of_before_what_was_asked_for_then_it_is_no_concern() -> None:
    desk = Desk("kraken-perp")
    for number, age_s in ((1, 90_000), (2, 30)):
        desk.exchange.execute(number, NOW_MS - age_s * 1000)
    desk.exchange.rows[0]["side"] = None
    desk.look_until_read()
    assert desk.numbers() == [2]
    assert desk.executions.unreadable == ()


ODD: dict[str, dict[str, Any]] = {
    "without its fee": {"fee": None},
    "without the coin of its fee": {"fee": {"cost": "1", "currency": None}},
    "with a price that is no number": {"price": "nan"},
    "with a price below zero": {"price": "-1"},
    "without a side": {"side": None},
    "without an order": {"order": None},
}


@EVERY_WAY
@pytest.mark.parametrize("odd", ODD)
def test_row_when_it_cannot_be_read_then_the_others_are_told_and_it_is_named_until_it_can(way: str, odd: str) -> None:
    desk = Desk(way)
    for number in (1, 2, 4, 5):
        desk.exchange.execute(number, NOW_MS - 1_000_000 + number * 30_000)
    desk.exchange.execute(3, NOW_MS - 910_000, **ODD[odd])
    desk.look()
    desk.look()
    assert desk.numbers() == [1, 2, 4, 5]
    [row] = desk.executions.unreadable
    assert row.number == "3"
    assert "number 3" in row.words
    assert row.words in desk.executions.unread
    desk.begin()
    desk.now_ms += 4_000_000
    desk.exchange.execute(6, desk.now_ms - 30_000)
    for _ in range(3):
        desk.look()
    assert desk.numbers() == [1, 2, 4, 5, 6]
    desk.exchange.rows = [row for row in desk.exchange.rows if row["id"] != "3"]
    desk.exchange.execute(3, NOW_MS - 910_000)
    desk.look_until_read()
    assert desk.numbers() == [1, 2, 3, 4, 5, 6]
    assert (desk.executions.unreadable, desk.executions.unread) == ((), "")


@EVERY_WAY
@pytest.mark.parametrize("odd", ["without its fee", "with a price that is no number"])
def test_row_when_it_is_set_aside_then_nothing_waits_for_it_and_it_is_told_once_it_can_be_read(
    way: str, odd: str
) -> None:
    desk = Desk(way)
    desk.exchange.execute(1, NOW_MS - 1_000_000)
    desk.exchange.execute(2, NOW_MS - 910_000, **ODD[odd])
    desk.look()
    desk.look()
    assert desk.executions.unread
    desk.aside.leave(desk.executions.unreadable)
    desk.look_until_read()
    assert (desk.executions.unreadable, desk.numbers()) == ((), [1])

    desk.begin()  # a restart
    desk.now_ms += 20 * 3_600_000
    number = desk.execute_at(desk.now_ms - 5_000)
    desk.look_until_read()
    asked = desk.exchange.questions[-1]
    desk.now_ms += 60_000
    desk.look_until_read()
    assert desk.exchange.questions[-1] != asked
    assert desk.numbers() == [1, number]

    desk.exchange.rows = [row for row in desk.exchange.rows if row["id"] != "2"]
    desk.exchange.execute(2, NOW_MS - 910_000)
    desk.now_ms += ASIDE_EVERY_MS
    desk.look()
    desk.look()
    assert desk.numbers() == [1, 2, number]


@EVERY_WAY
def test_row_when_another_is_set_aside_then_it_is_held_all_the_same(way: str) -> None:
    desk = Desk(way)
    for number, age_s in ((1, 300), (2, 100)):
        desk.exchange.execute(number, NOW_MS - age_s * 1000, side=None)
    desk.look()
    desk.look()
    first, second = desk.executions.unreadable
    desk.aside.leave([first])
    desk.now_ms += 1_000
    desk.look()
    assert desk.executions.unreadable == (second,)
    assert second.words in desk.executions.unread


def test_row_when_it_has_not_even_a_number_then_it_has_a_name_by_which_it_is_set_aside() -> None:
    desk = Desk("bybit")
    desk.exchange.execute(1, NOW_MS - 60_000)
    real = desk.exchange.parse_trade
    desk.exchange.parse_trade = lambda row, *more: {**real(row, *more), "id": None}  # type: ignore[method-assign]
    desk.look()
    [row] = desk.executions.unreadable
    assert f"called {row.number}" in row.words
    desk.aside.leave([row])
    desk.look_until_read()


@EVERY_WAY
def test_row_when_even_its_time_is_missing_then_it_is_held_all_the_same(way: str) -> None:
    desk = Desk(way)
    desk.exchange.execute(1, NOW_MS - 60_000)
    desk.exchange.execute(2, NOW_MS - 50_000)
    real = desk.exchange.parse_trade

    def untimed(row: dict[str, Any], *more: Any) -> dict[str, Any]:
        read = real(row, *more)
        return {**read, "timestamp": None} if row["id"] == "2" else read

    desk.exchange.parse_trade = untimed  # type: ignore[assignment, method-assign]
    desk.look()
    assert desk.numbers() == [1]
    assert "time not told" in desk.executions.unread
    desk.exchange.parse_trade = real  # type: ignore[method-assign]
    desk.now_ms += 7_200_000
    desk.look()
    desk.look()
    assert desk.numbers() == [1, 2]


def test_row_when_told_before_and_garbled_now_then_nothing_is_held() -> None:
    desk = Desk("bybit")
    desk.exchange.execute(1, NOW_MS - 5_000)
    desk.look()
    desk.exchange.rows[0]["price"] = "nan"
    desk.look()
    assert (desk.numbers(), desk.executions.unread) == ([1], "")


@pytest.mark.parametrize(
    ("kind", "cause"),
    [("AdlTrade", FillCause.DELEVERAGING), ("Settle", FillCause.SETTLEMENT), ("Delivery", FillCause.SETTLEMENT)],
)
def test_row_when_the_venue_itself_did_it_without_order_or_fee_then_it_cost_none(kind: str, cause: FillCause) -> None:
    desk = Desk("bybit")
    desk.exchange.execute(1, NOW_MS - 5_000, execType=kind, fee=None, order=None)
    desk.look()
    [trade] = desk.told
    assert (trade.cause, trade.fee, trade.fee_currency, trade.venue_order_id) == (cause, Decimal(0), "USDT", "1")
    assert trade.at == datetime.fromtimestamp(NOW_MS / 1000 - 5, tz=UTC)


class Owners:
    """Finds out whose executions are; each costs a question, and some bring no answer."""

    def __init__(self, desk: Desk, fails: Sequence[int] = ()) -> None:
        self.desk, self.fails, self.asked = desk, list(fails), 0

    def trades(self, trades: Sequence[Trade]) -> tuple[list[Fill], list[Any]]:
        self.asked += len(trades)
        if self.asked in self.fails:
            raise VenueUnreachable("no answer")
        return [self.desk.parts.reader.fill(trade, f"order {trade.number}") for trade in trades], []


def test_fills_when_it_takes_long_to_ask_whose_they_are_then_the_next_look_goes_on_and_none_comes_twice() -> None:
    desk = Desk("binance", pages_at_once=100)
    for number in range(1, 12):
        desk.exchange.execute(number, NOW_MS - 100_000 + number * 1_000)
    seconds = count()
    owners = Owners(desk, fails=(7, 9))
    fills = Fills(desk.executions, owners, lambda _: None, lambda: float(next(seconds)))  # type: ignore[arg-type]
    told: list[str] = []
    cursors = [""]
    for _ in range(8):
        try:
            found, following = fills.since(cursors[-1])
        except VenueUnreachable:
            assert "no answer" in fills.unread
            continue
        told += [fill.trade_id for fill in found if isinstance(fill, Fill)]
        cursors.append(following)
        assert (following == "") is bool(fills.unread)
        if not fills.unread:
            break
    assert told == [f"BTC/USDT:{number}" for number in range(1, 12)]
    assert cursors[1] == "" != cursors[-1]
    assert fills.since(cursors[-1])[0] == []


def test_fills_when_nobody_knows_whose_the_first_is_then_it_is_an_error_and_nothing_is_lost() -> None:
    desk = Desk("binance", pages_at_once=100)
    desk.exchange.execute(1, NOW_MS - 10_000)
    fills = Fills(desk.executions, Owners(desk, fails=(1,)), lambda _: None, lambda: 0.0)  # type: ignore[arg-type]
    with pytest.raises(VenueUnreachable, match="no answer"):
        fills.since("")
    found, following = fills.since("")
    assert [fill.trade_id for fill in found if isinstance(fill, Fill)] == ["BTC/USDT:1"]
    assert following
    assert fills.unread == ""


def test_fills_when_the_order_of_one_cannot_be_read_then_it_holds_up_no_other_and_comes_once_it_can() -> None:
    desk = Desk("binance", pages_at_once=100)
    owners = Owners(desk)
    asked, odd = owners.trades, {"BTC/USDT:1"}

    def trades(rows: Sequence[Trade]) -> tuple[list[Fill], list[Any]]:
        if odd & {row.number for row in rows}:
            raise Unreadable("an order in a state that is not known here")
        return asked(rows)

    owners.trades = trades  # type: ignore[assignment, method-assign]
    aside = Aside()
    fills = Fills(desk.executions, owners, lambda _: None, lambda: 0.0, aside)  # type: ignore[arg-type]
    told: set[str] = set()
    for number in (1, 2, 3):
        desk.exchange.execute(number, NOW_MS - 10_000 + number)
        if number > 1:
            found, following = fills.since("")
            told |= {fill.trade_id for fill in found if isinstance(fill, Fill)}
            assert following == ""
            assert "nobody can tell whose 1 executions are" in fills.unread
    assert told == {"BTC/USDT:2", "BTC/USDT:3"}

    [row] = fills.unreadable
    assert "a state that is not known" in row.words
    aside.leave([row])
    found, following = fills.since("")
    assert (bool(following), fills.unread, fills.unreadable) == (True, "", ())
    aside.leave([])
    desk.begin()
    fills = Fills(desk.executions, owners, lambda _: None, lambda: 0.0)  # type: ignore[arg-type]
    odd.clear()
    found, following = fills.since("")
    assert "BTC/USDT:1" in {fill.trade_id for fill in found if isinstance(fill, Fill)}
    assert following
    assert fills.unread == ""


def test_funding_when_of_a_contract_in_another_coin_then_it_was_paid_in_that() -> None:
    desk = Desk("bybit")
    market = {"symbol": "BTC/USDC:USDC", "settle": "USDC"}
    desk.exchange.safe_market = lambda *_: market  # type: ignore[assignment, method-assign]
    desk.exchange.parse_income = lambda row, _market: {  # type: ignore[attr-defined]
        "id": row["id"], "symbol": "BTC/USDC:USDC", "code": "USDT", "amount": "0.5", "timestamp": row["timestamp"],
        "info": row,
    }  # fmt: skip
    desk.exchange.execute(1, NOW_MS - 5_000, execType="Funding")
    [paid], _ = desk.executions.since("")
    assert isinstance(paid, FundingPaid)
    assert (paid.currency, paid.amount) == ("USDC", Decimal("-0.5"))


def test_transfers_when_their_list_needs_more_than_one_look_then_the_next_look_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Otherwise it would stay unread until transfers are asked for again, a minute later."""
    desk = Desk("bybit", pages_at_once=1)
    trades = replace(trades_of(BYBIT), span_ms=50_000_000)  # a day is two questions
    dialect = replace(desk.parts.row.dialect, trades=trades, flows=BYBIT.dialect.flows[:1])
    desk.parts = replace(desk.parts, row=replace(desk.parts.row, dialect=dialect))
    monkeypatch.setattr(Exchange, "fetch_ledger", lambda *_: [], raising=False)
    desk.begin()
    desk.look_until_read(at_most=6)
