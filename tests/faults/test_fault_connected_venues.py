"""Faults of a real exchange and of the way to it: limits, bans, clocks, keys, prices, lists that lie."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from engine.domain.commands import ClosePosition, EmergencyStop, TradingState
from engine.domain.conditions import VenueState
from engine.domain.errors import VenueError, VenueUnreachable
from engine.domain.market import BookTop, Quotes
from engine.domain.orders import OrderState, Side
from engine.exchanges.connected.lanes import Lane
from engine.exchanges.connected.listing import read_listed
from engine.exchanges.connected.quotes import QuoteFeed
from engine.execution.identity import ClientIds
from tests.faults.connected import (
    BINANCE_SPOT,
    BYBIT_PERP,
    BYBIT_SPOT,
    FAST,
    THREE,
    USDM,
    D,
    Market,
    Rig,
    rig,
)  # fmt: skip
from tests.standin.client import StandIn

BUY, SELL = Side.BUY, Side.SELL
everywhere = pytest.mark.parametrize("market", THREE, ids=str)
at_each = pytest.mark.parametrize("market", [BYBIT_PERP, BINANCE_SPOT], ids=str)


def status_of(book: Rig) -> VenueState:
    return book.line.condition.state


def opens(book: Rig) -> bool:
    """Whether an order that opens something reaches the exchange now."""
    before = book.asked()
    book.place(BUY, "0.01", 49_500)
    return book.asked() > before


@at_each
def test_fault_22_too_many_questions_then_a_pause_for_all_and_no_order_is_lost(
    exchange: StandIn, tmp_path: Path, market: Market
) -> None:
    with rig(exchange, market, tmp_path) as book:
        exchange.fault("rate_limit", "create", venue=market.where, seconds=60)
        client_id = book.buy()
        assert book.state(client_id) is OrderState.ABANDONED
        asked = len(exchange.requests(venue=market.where))
        book.live(55, 5.0)
        assert len(exchange.requests(venue=market.where)) == asked, "several looks were due meanwhile"
        assert status_of(book) is VenueState.DEGRADED
        assert not opens(book)
        book.live(45, 5.0)
        assert status_of(book) is VenueState.ONLINE
        assert opens(book)


@pytest.mark.parametrize("market", [BINANCE_SPOT, USDM], ids=str)
def test_fault_22_limit_nearly_used_then_exits_pass_and_entries_wait(
    exchange: StandIn, tmp_path: Path, market: Market
) -> None:
    with rig(exchange, market, tmp_path, paced=True, patience_s=FAST) as book:
        book.enter()
        book.line._budget.told(0.85)
        assert not opens(book)
        before = book.asked()
        done = book.command(ClosePosition("live", "momentum", book.key, D(1)))
        assert done.status == "done"
        assert book.asked() == before + 1


@pytest.mark.parametrize("market", [BINANCE_SPOT, USDM], ids=str)
def test_fault_23_ban_then_not_a_question_until_it_ends_also_after_a_restart(
    exchange: StandIn, tmp_path: Path, market: Market
) -> None:
    with rig(exchange, market, tmp_path) as book:
        resting = book.buy("0.01", 49_500)
        exchange.fault("ban", "any", venue=market.where, seconds=120)
        book.live(12)
        assert status_of(book) is VenueState.BANNED
        asked = len(exchange.requests(venue=market.where))
        book.live(40, 5.0)
        assert not opens(book)
        line = book._line()
        with pytest.raises(VenueError):
            line.measure_offset()
        line.close()
        assert len(exchange.requests(venue=market.where)) == asked
        assert "BANNED" in book.titles()
        book.live(90, 5.0)
        book.bar()
        book.live(40, 5.0)
        assert status_of(book) is VenueState.ONLINE
        assert book.state(resting) in (OrderState.WORKING, OrderState.CANCELLED)
        assert book.book.outside.awaiting == {}


@everywhere
def test_fault_24_server_errors_in_a_row_then_entries_stop_and_exits_are_tried_on(
    exchange: StandIn, tmp_path: Path, market: Market
) -> None:
    with rig(exchange, market, tmp_path) as book:
        book.enter()
        exchange.fault("error_before", "create", count=5, venue=market.where)
        for _ in range(5):
            book.place(BUY, "0.01", 49_500)
            book.clock.ahead_s += 0.1
        assert not opens(book)
        exchange.clear()
        book.live(40, 4.0)
        book.command(ClosePosition("live", "momentum", book.key, D(1)))
        book.live(40, 4.0)
        assert book.held("momentum") < D("0.001")


@everywhere
def test_fault_25_venue_out_of_reach_then_no_order_changes_and_all_is_compared_on_return(
    exchange: StandIn, tmp_path: Path, market: Market
) -> None:
    with rig(exchange, market, tmp_path) as book:
        book.enter()
        resting = book.buy("0.01", 49_500)
        exchange.fault("reset_before", "any", count=5000, venue=market.where)
        exchange.call("fill", venue=market.where, client_id=resting)
        held, rows = book.held(), len(book.journal.rows)
        book.live(120, 6.0)
        assert status_of(book) is VenueState.OFFLINE
        assert book.held() == held
        told = [row for row in book.journal.rows[rows:] if row["type"] == "OrderUpdate"]
        assert told == []
        assert not opens(book)
        exchange.clear()
        book.pass_time(31)
        book.line.ask(Lane.STATUS, lambda client: client.fetch_balance())
        book.loop.watch.look()
        assert book.name in book.book.outside.awaiting, "nothing is opened before all is compared"
        book.bar()
        book.live(60, 5.0)
        assert book.state(resting) is OrderState.FILLED
        assert status_of(book) is VenueState.ONLINE
        assert book.book.outside.awaiting == {}


@at_each
def test_fault_26_clock_moves_away_then_orders_are_refused_here_until_it_is_measured_again(
    exchange: StandIn, tmp_path: Path, market: Market
) -> None:
    with rig(exchange, market, tmp_path) as book:
        exchange.call("clock", skew_ms=round(book.clock.ahead_s * 1000) + 60_000)
        client_id = book.buy("0.01", 49_500)
        assert book.state(client_id) in (OrderState.ABANDONED, OrderState.REJECTED)
        assert not opens(book), "the offset is not trusted any more"
        book.line.measure_offset()
        assert abs(book.line.offset_ms - 60_000) < 2000
        before = book.asked()
        book.place(BUY, "0.01", 49_500)
        assert book.asked() == before, "a clock so far away is set right, not worked around"
        book.pass_time(0)
        book.line._offset.forget()
        book.line.measure_offset()
        book.live(40, 5.0)
        assert opens(book)


@at_each
def test_fault_28_price_too_old_then_no_entry_rests_on_it_and_an_exit_does(
    exchange: StandIn, tmp_path: Path, market: Market
) -> None:
    with rig(exchange, market, tmp_path) as book:
        book.enter()
        book.live(200, 20.0)
        assert not opens(book)
        assert book.command(ClosePosition("live", "momentum", book.key, D(1))).status == "done"
        book.live(40, 5.0)
        assert book.held("momentum") < D("0.001")


@everywhere
def test_fault_30_fills_while_nobody_listened_then_asked_for_before_anything_is_opened(
    exchange: StandIn, tmp_path: Path, market: Market
) -> None:
    with rig(exchange, market, tmp_path) as book:
        client_id = book.buy("0.01", 49_500)
        exchange.call("fill", venue=market.where, client_id=client_id)
        book.venue.missed("the stream was away")
        book.loop.watch.look()
        assert not opens(book), "not before everything was compared"
        book.live(6)
        assert book.state(client_id) is OrderState.FILLED
        assert book.held() > D("0.009")
        assert opens(book)


@everywhere
def test_fault_43_order_of_a_newer_engine_in_the_account_then_halted_and_told(
    exchange: StandIn, tmp_path: Path, market: Market
) -> None:
    with rig(exchange, market, tmp_path) as book:
        book.enter()
        theirs = ClientIds("t0", book.installation, book.epoch + 5).next()
        exchange.call("order", venue=market.where, symbol="BTCUSDT", side="buy", quantity="0.01", price="49000",
                      client_id=theirs, perpetual=market.is_perpetual)  # fmt: skip
        book.live(65, 5.0)
        assert book.book.state is TradingState.HALTED
        assert "another engine" in book.titles().lower()
        assert book.held("momentum") > 0
        assert not opens(book)
        assert theirs in [order.client_id for order in book.at_exchange().open_orders], "it is left alone"


@at_each
@pytest.mark.parametrize("bad", ["NaN", "0", "-5", "Infinity"])
def test_fault_32_price_that_is_none_then_refused_at_the_door(
    exchange: StandIn, tmp_path: Path, market: Market, bad: str
) -> None:
    with rig(exchange, market, tmp_path) as book:
        price, at = Decimal(bad), book.at + timedelta(seconds=10)
        book.loop.step(Quotes(at, (BookTop(book.key, at, price, price, D(1), D(1)),)))
        assert book.book.price(book.key) == 50_000
        assert book.book.rejected_prices == 1


@at_each
@pytest.mark.parametrize("kind", ["x10", "zero", "nan"])
def test_fault_32_exchange_publishes_nonsense_then_it_is_no_price_and_nothing_is_sold(
    exchange: StandIn, tmp_path: Path, market: Market, kind: str
) -> None:
    with rig(exchange, market, tmp_path) as book:
        book.enter()
        book.bar()
        held, equity, sent = book.held("momentum"), book.book.equity, book.sent()
        feed = QuoteFeed(read_listed(market.row, book.line.load_markets(), book.symbols), lambda: book.at)
        assert _quotes(book, feed) == 1
        exchange.fault(kind, venue=market.where)
        assert [_quotes(book, feed) for _ in range(6)] == [kind == "x10"] * 6
        book.bar()
        assert book.book.price(book.key) == 50_000
        assert book.book.rejected_prices == (6 if kind == "x10" else 0)
        exchange.clear()
        assert _quotes(book, feed) == 1
        book.bar()
        assert (book.held("momentum"), book.book.equity, book.sent()) == (held, equity, sent)
        assert book.book.state is TradingState.ACTIVE
        assert not book.book.latched


def _quotes(book: Rig, feed: QuoteFeed) -> int:
    """Have the exchange's quote come in as its stream would tell it; how many the book was shown."""
    book.pass_time(1)
    with suppress(VenueUnreachable):
        feed.put(book.line.ask(Lane.DATA, lambda client: client.fetch_ticker(book.market.symbol)))
    quotes = feed.take()
    if quotes is None:
        return 0
    book.loop.step(replace(quotes, at=book.clock.now()))
    return len(quotes.tops)


@at_each
def test_fault_32_exchange_publishes_a_frozen_price_while_its_market_falls_then_the_stop_there_protects(
    exchange: StandIn, tmp_path: Path, market: Market
) -> None:
    with rig(exchange, market, tmp_path) as book:
        book.enter()
        book.book.sleeves["momentum"].running = False
        feed = QuoteFeed(read_listed(market.row, book.line.load_markets(), book.symbols), lambda: book.at)
        assert _quotes(book, feed) == 1
        exchange.fault("frozen", venue=market.where)
        assert _quotes(book, feed) == 1
        exchange.price("BTCUSDT", "45900")
        assert _quotes(book, feed) == 1
        assert book.book.price(book.key) == 50_000, "what is published says so"
        book.live(40, 5.0)
        assert book.held("momentum") < D("0.001"), "the exchange's own stop has sold"
        assert book.open_there() == []
        assert book.uncovered() < D("0.001")
        book.price = D(45_900)


@at_each
def test_fault_33_no_price_yet_then_nothing_is_opened(exchange: StandIn, tmp_path: Path, market: Market) -> None:
    other = market.symbol.replace("BTC", "ETH")
    with rig(exchange, market, tmp_path, symbols=(other,)) as book:
        [key] = [each.key for each in book.instruments if each.base == "ETH"]
        assert book.book.price(key) is None
        assert book.place(BUY, "0.1", key=key).status == "refused"
        assert book.asked() == 0 or book.sent() == []


@at_each
def test_fault_34_maintenance_then_no_entries_and_everything_is_compared_after_it(
    exchange: StandIn, tmp_path: Path, market: Market
) -> None:
    with rig(exchange, market, tmp_path) as book:
        book.enter()
        exchange.fault("maintenance", venue=market.where)
        book.live(40, 5.0)
        assert status_of(book) is VenueState.MAINTENANCE
        assert not opens(book)
        assert VenueState.MAINTENANCE.value in book.titles()
        exchange.clear()
        book.bar()
        book.live(60, 5.0)
        assert status_of(book) is VenueState.ONLINE
        assert book.book.outside.awaiting == {}


@everywhere
def test_fault_35_key_revoked_then_locked_without_a_storm_and_told_as_unmanaged(
    exchange: StandIn, tmp_path: Path, market: Market
) -> None:
    with rig(exchange, market, tmp_path) as book:
        book.enter()
        exchange.call("key", revoked=True)
        book.live(12)
        assert status_of(book) is VenueState.LOCKED
        assert book.book.state is TradingState.LOCKED
        assert "UNMANAGED" in book.titles()
        asked = len(exchange.requests(venue=market.where))
        book.live(120, 4.0)
        assert len(exchange.requests(venue=market.where)) - asked <= 12
        assert not opens(book)
        exchange.call("key", revoked=False)
        book.line.unlock()
        book.bar()
        book.live(60, 5.0)
        assert status_of(book) is VenueState.ONLINE
        assert book.book.state is TradingState.CLOSE_ONLY


@everywhere
def test_fault_36_symbol_halted_then_the_refusal_is_proof_and_nothing_differs(
    exchange: StandIn, tmp_path: Path, market: Market
) -> None:
    with rig(exchange, market, tmp_path) as book:
        exchange.call("instrument", symbol="BTCUSDT", venue=market.where, status="Closed")
        try:
            client_id = book.buy("0.01", 49_500)
            assert book.state(client_id) is OrderState.REJECTED
        finally:
            exchange.call("instrument", symbol="BTCUSDT", venue=market.where, status="Trading")


@everywhere
def test_fault_37_tick_grows_in_mid_session_then_the_refusal_is_proof(
    exchange: StandIn, tmp_path: Path, market: Market
) -> None:
    before = "0.10" if market is BYBIT_PERP else "0.01"
    with rig(exchange, market, tmp_path) as book:
        exchange.call("instrument", symbol="BTCUSDT", venue=market.where, tick="7",
                      perpetual=market.is_perpetual)  # fmt: skip
        try:
            client_id = book.buy("0.01", "49500.5")
            assert book.state(client_id) is OrderState.REJECTED
        finally:
            exchange.call("instrument", symbol="BTCUSDT", venue=market.where, tick=before,
                          perpetual=market.is_perpetual)  # fmt: skip


LISTS = [(m, where) for m in THREE for where in ("orders", "fills", "balance", "positions")]
"""What is asked at each venue; spot has no positions."""


@pytest.mark.parametrize("kind", ["empty_list", "stale"])
@pytest.mark.parametrize(("market", "where"), [(m, w) for m, w in LISTS if m.is_perpetual or w != "positions"], ids=str)
def test_fault_38_list_that_lies_once_then_nothing_is_concluded_from_it(
    exchange: StandIn, tmp_path: Path, market: Market, where: str, kind: str
) -> None:
    with rig(exchange, market, tmp_path) as book:
        book.enter()
        held, resting = book.held("momentum"), book.open_there()
        exchange.fault(kind, where, venue=market.where)
        placed, filled = book.buy("0.01", 49_500), book.buy("0.01")  # of which an older list does not tell
        book.live(70, 5.0)
        assert (book.held("momentum"), sorted(book.open_there())) == (held, sorted([*resting, placed]))
        assert (book.state(placed), book.state(filled)) == (OrderState.WORKING, OrderState.FILLED)
        assert book.held() > D("0.0099")
        assert book.book.state is TradingState.ACTIVE, book.titles()
        assert book.uncovered() < D("0.001")


@everywhere
def test_fault_38_order_denied_once_after_its_answer_was_lost_then_it_is_not_given_up(
    exchange: StandIn, tmp_path: Path, market: Market
) -> None:
    with rig(exchange, market, tmp_path) as book:
        exchange.fault("ack_lost", "create", venue=market.where)
        if market is BINANCE_SPOT:
            exchange.fault("refuse", "status", venue=market.where, code="-2013", message="Order does not exist.")
        else:
            exchange.fault("empty_list", "status", count=2, venue=market.where)  # what works, and what has ended
        exchange.fault("empty_list", "orders", venue=market.where)
        client_id = book.buy("0.01", 49_500)
        book.live(60, 4.0)
        assert book.state(client_id) is OrderState.WORKING
        told = [row["state"] for row in book.journal.rows if row["type"] == "OrderUpdate"]
        assert OrderState.ABANDONED.value not in told


@pytest.mark.parametrize("market", [BYBIT_SPOT], ids=str)
def test_fault_39_transfers_off_by_hand_then_told_and_close_only(
    exchange: StandIn, tmp_path: Path, market: Market
) -> None:
    with rig(exchange, market, tmp_path) as book:
        taken = D(exchange.state(market.where)["balances"]["USDT"]) - 1000
        exchange.call("transfer", venue=market.where, coin="USDT", amount=str(-taken))
        try:
            book.live(70, 5.0)
            assert book.book.state is not TradingState.ACTIVE
            assert not opens(book)
        finally:
            exchange.call("transfer", venue=market.where, coin="USDT", amount=str(taken))


@pytest.mark.parametrize(
    ("market", "trouble"),
    [
        *((each, trouble) for each in THREE for trouble in ("none", "create", "cancel", "orders", "status")),
        (BYBIT_PERP, "positions"),
    ],
    ids=str,
)
def test_fault_60_emergency_stop_with_orders_in_flight_and_answers_lost_then_flat_on_proof(
    exchange: StandIn, tmp_path: Path, market: Market, trouble: str
) -> None:
    with rig(exchange, market, tmp_path) as book:
        book.enter()
        exchange.fault("ack_lost", "create", venue=market.where)
        book.buy("0.01", 49_500)
        if trouble != "none":
            exchange.fault("error_after", trouble, count=3, venue=market.where)
        book.command(EmergencyStop(None))
        book.live(150, 3.0)
        assert book.book.stop is not None
        assert book.book.stop.is_flat, book.book.stop.waiting_for
        verdict = book.at_exchange()
        assert verdict.open_orders == []
        assert not any(quantity for quantity, _ in verdict.positions.values())
        assert book.held("momentum") < D("0.001")


@pytest.mark.parametrize("market", [BYBIT_PERP, BINANCE_SPOT], ids=str)
@pytest.mark.parametrize("trouble", ["down", "revoked", "slow"])
def test_fault_61_emergency_stop_while_the_venue_is_away_then_not_flat_until_it_is(
    exchange: StandIn, tmp_path: Path, market: Market, trouble: str
) -> None:
    with rig(exchange, market, tmp_path, patience_s=FAST if trouble == "slow" else None) as book:
        book.enter()
        if trouble == "down":
            exchange.fault("reset_before", "any", count=5000, venue=market.where)
        elif trouble == "revoked":
            exchange.call("key", revoked=True)
        else:
            exchange.fault("slow_before", "any", count=3, venue=market.where, seconds=0.6)
        book.command(EmergencyStop(None))
        book.live(30 if trouble != "slow" else 3, 3.0)
        assert book.book.latched
        assert book.book.stop is not None
        assert not book.book.stop.is_flat
        if trouble != "slow":
            assert book.book.stop.view().waiting_for
            assert book.at_exchange().open_orders
        exchange.clear()
        exchange.call("key", revoked=False)
        book.bar()
        book.live(420, 6.0)
        assert book.book.stop.is_flat, book.book.stop.waiting_for
        assert book.at_exchange().open_orders == []


@pytest.mark.parametrize("market", [BYBIT_PERP, BINANCE_SPOT], ids=str)
@pytest.mark.parametrize("beats", [0, 1, 2, 4])
def test_fault_62_crash_in_the_middle_of_a_stop_then_carried_to_the_end(
    exchange: StandIn, tmp_path: Path, market: Market, beats: int
) -> None:
    with rig(exchange, market, tmp_path) as book:
        book.enter()
        book.command(EmergencyStop(None))
        for _ in range(beats):
            book.pass_time(1.5)
            book.pulse()
        book.crash()
        assert book.book.latched
        book.live(90, 3.0)
        assert book.book.stop is not None
        assert book.book.stop.is_flat, book.book.stop.waiting_for
        assert book.at_exchange().open_orders == []


@pytest.mark.parametrize("market", [BYBIT_PERP], ids=str)
def test_fault_63_stop_pressed_in_three_tabs_then_one_stop(exchange: StandIn, tmp_path: Path, market: Market) -> None:
    with rig(exchange, market, tmp_path) as book:
        book.enter()
        assert [book.command(EmergencyStop(None)).status for _ in range(3)] == ["done"] * 3
        book.live(90, 3.0)
        latched = [row for row in book.journal.rows if row["type"] == "StopProgress" and row["step"] == "latched"]
        assert len(latched) == 1
        flattening = [row for row in book.journal.rows if row.get("purpose") == "flatten"]
        assert len(flattening) == 1


@pytest.mark.parametrize("market", [BYBIT_SPOT, BINANCE_SPOT], ids=str)
def test_fault_68_dust_of_fees_in_the_coin_then_flat_except_dust(
    exchange: StandIn, tmp_path: Path, market: Market
) -> None:
    with rig(exchange, market, tmp_path) as book:
        book.enter()
        book.command(EmergencyStop(None))
        book.live(90, 3.0)
        assert book.book.stop is not None
        assert book.book.stop.is_flat, book.book.stop.waiting_for
        rest = book.held("momentum")
        assert rest * 50_000 < 5
        if rest:
            assert book.book.stop.steps[-1][1].startswith("flat except dust")
