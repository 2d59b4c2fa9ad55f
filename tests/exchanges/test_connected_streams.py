"""Streams and watch of a venue against the stand-in exchange, through the real websocket library."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from connected_case import client_id, intent, until
from streaming_case import OFTEN, streaming

from engine.domain.market import BookTop
from engine.domain.orders import Fill, OrderState, OrderType, Purpose, Side
from engine.exchanges.connected.dialects import VenueRow
from engine.exchanges.connected.quotes import QuoteFeed
from engine.exchanges.connected.venue_rows import BINANCE, BINANCE_PERP, BYBIT
from tests.standin.client import StandIn, running

PERP, SPOT = "BTC/USDT:USDT", "BTC/USDT"
BUY, SELL = Side.BUY, Side.SELL
LIMIT, STOP = OrderType.LIMIT, OrderType.STOP


@pytest.fixture
def exchange(tmp_path: Path) -> Iterator[StandIn]:
    with running(tmp_path, funds="USDT=10000,BTC=0.5") as process:
        yield process


@pytest.mark.parametrize(
    ("row", "symbol"),
    [(BYBIT, SPOT), (BYBIT, PERP), (BINANCE, SPOT), (BINANCE_PERP, PERP)],
    ids=lambda each: getattr(each, "name", str(each)),
)
def test_fill_when_the_market_reaches_a_resting_order_then_the_stream_tells_it_without_a_question(
    exchange: StandIn, tmp_path: Path, row: VenueRow, symbol: str
) -> None:
    with streaming(exchange, row, (symbol,), tmp_path) as venue:
        venue.case.submit(intent(1, f"{row.name}:{symbol}", BUY, "0.01", LIMIT, limit_price="49500"))
        asked = len(exchange.requests(venue=venue.case.where, where="fills"))
        exchange.price("BTCUSDT", "49400")
        until(lambda: venue.fills() == [client_id(1)])
        until(lambda: venue.last(client_id(1)).state is OrderState.FILLED)
        [fill] = [each for each in venue.told if isinstance(each, Fill)]
        assert (str(fill.quantity), str(fill.price), fill.fee > 0) == ("0.01", "49500", True)
        assert len(exchange.requests(venue=venue.case.where, where="fills")) == asked


def test_child_stop_when_the_stream_tells_the_fill_of_its_entry_then_it_rests_at_the_exchange(
    exchange: StandIn, tmp_path: Path
) -> None:
    with streaming(exchange, BYBIT, (PERP,), tmp_path) as venue:
        venue.case.submit(intent(1, PERP, BUY, "0.01", LIMIT, limit_price="49500"))
        venue.case.submit(intent(2, PERP, SELL, "0.01", STOP, Purpose.STOP, stop_price="49000", parent_id=1))
        exchange.price("BTCUSDT", "49400")
        until(lambda: venue.fills() == [client_id(1)])
        assert [order["client_id"] for order in exchange.state("bybit")["open_orders"]] == [client_id(2)]


def test_events_when_they_come_twice_and_in_another_order_then_the_order_ends_as_it_did(
    exchange: StandIn, tmp_path: Path
) -> None:
    with streaming(exchange, BYBIT, (PERP,), tmp_path) as venue:
        exchange.fault("stream_duplicate", count=20, venue="bybit")
        exchange.fault("stream_reorder", count=2, venue="bybit")
        venue.case.submit(intent(1, PERP, BUY, "0.01", LIMIT, limit_price="49500"))
        exchange.call("fill", venue="bybit", client_id=client_id(1), quantity="0.004")
        exchange.price("BTCUSDT", "49400")
        until(lambda: len(venue.trade_ids()) == 2)
        until(lambda: venue.last(client_id(1)).state is OrderState.FILLED)
        until(lambda: len(venue.fills()) >= 3)
        assert venue.last(client_id(1)).state is OrderState.FILLED
        assert str(venue.last(client_id(1)).filled) == "0.01"


def test_order_of_the_traders_own_making_when_the_stream_tells_it_then_only_its_fill_is_told(
    exchange: StandIn, tmp_path: Path
) -> None:
    with streaming(exchange, BYBIT, (PERP,), tmp_path) as venue:
        exchange.call("order", venue="bybit", symbol="BTCUSDT", side="buy", quantity="0.02", perpetual=True)
        until(lambda: len(venue.trade_ids()) == 1)
        assert [each for each in venue.told if not isinstance(each, Fill)] == []


def test_execution_when_the_stream_loses_it_then_the_watch_tells_it_and_connects_anew(
    exchange: StandIn, tmp_path: Path
) -> None:
    with streaming(exchange, BYBIT, (PERP,), tmp_path, OFTEN) as venue:
        exchange.fault("stream_lost", count=6, venue="bybit")
        venue.case.submit(intent(1, PERP, BUY, "0.01"))
        until(lambda: venue.fills() == [client_id(1)])
        until(lambda: venue.streams.condition.connections == 2)
        assert any("did not tell execution" in gap for gap in venue.gaps)
        until(lambda: venue.watch.view.is_fresh)


def test_socket_when_it_goes_silent_then_the_venue_is_not_fresh_and_the_watch_asks_in_its_place(
    exchange: StandIn, tmp_path: Path
) -> None:
    with streaming(exchange, BYBIT, (PERP,), tmp_path, OFTEN) as venue:
        exchange.fault("stream_silent", venue="bybit")
        venue.case.submit(intent(1, PERP, BUY, "0.01", LIMIT, limit_price="49500"))
        until(lambda: not venue.watch.view.is_fresh)
        exchange.price("BTCUSDT", "49400")
        until(lambda: venue.fills() == [client_id(1)])
        exchange.clear()
        until(lambda: venue.watch.view.is_fresh, 15)
        assert venue.last(client_id(1)).state is OrderState.FILLED


@pytest.mark.parametrize("row", [BYBIT, BINANCE_PERP], ids=lambda row: str(row.name))
def test_connection_when_it_is_cut_then_what_was_missed_is_asked_before_the_venue_is_fresh_again(
    exchange: StandIn, tmp_path: Path, row: VenueRow
) -> None:
    with streaming(exchange, row, (PERP,), tmp_path) as venue:
        venue.case.submit(intent(1, f"{row.name}:{PERP}", BUY, "0.01", LIMIT, limit_price="49500"))
        exchange.fault("stream_refuse", venue=venue.case.where)
        exchange.call("drop", venue=venue.case.where)
        until(lambda: not venue.watch.view.is_fresh)
        until(lambda: venue.watch.view.gap == "")
        exchange.price("BTCUSDT", "49400")
        assert venue.fills() == []
        exchange.clear()
        until(lambda: venue.watch.view.is_fresh, 10)
        assert venue.fills() == [client_id(1)]
        assert venue.gaps[0] == "the stream begins"
        assert venue.gaps[-1] == "the stream was away"


def test_key_when_it_is_revoked_then_the_stream_says_so_and_does_not_storm(exchange: StandIn, tmp_path: Path) -> None:
    with streaming(exchange, BYBIT, (PERP,), tmp_path) as venue:
        exchange.call("key", revoked=True)
        exchange.call("drop", venue="bybit")
        until(lambda: "does not accept the key" in venue.streams.condition.detail)
        assert not venue.watch.view.is_fresh


def test_quotes_when_the_market_moves_then_the_newest_top_of_each_book_is_taken_once(
    exchange: StandIn, tmp_path: Path
) -> None:
    with streaming(exchange, BYBIT, (SPOT, PERP), tmp_path) as venue:
        exchange.price("BTCUSDT", "50300")
        until(lambda: all(abs(top.mid - 50300) < 1 for top in _tops(venue.feed)) and len(_tops(venue.feed)) == 2)
        quotes = venue.feed.take()
        assert quotes is not None
        assert [str(top.instrument) for top in quotes.tops] == ["bybit:BTC/USDT", "bybit:BTC/USDT:USDT"]


@pytest.mark.parametrize("kind", ["nan", "zero"])
def test_quotes_when_the_exchange_publishes_nonsense_then_the_last_good_one_stays(
    exchange: StandIn, tmp_path: Path, kind: str
) -> None:
    with streaming(exchange, BYBIT, (PERP,), tmp_path) as venue:
        until(lambda: len(_tops(venue.feed)) == 1)
        exchange.fault(kind)
        until(lambda: venue.feed.refused > 1 or not venue.streams.quotes_condition.is_up)
        assert all(abs(top.mid - 50000) < 100 for top in _tops(venue.feed))


def test_close_when_everything_ran_then_no_thread_of_the_streams_is_left(exchange: StandIn, tmp_path: Path) -> None:
    with streaming(exchange, BYBIT, (PERP,), tmp_path):
        names = {thread.name for thread in threading.enumerate()}
        assert {"bybit-streams", "bybit-watch"} <= names
    until(lambda: not any("stream" in t.name or "watch" in t.name for t in threading.enumerate()))


def _tops(feed: QuoteFeed) -> list[BookTop]:
    return [top for each in feed.listed if (top := feed.top(each.instrument.key)) is not None]
