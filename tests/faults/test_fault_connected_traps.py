"""The library's own traps, each through the whole path: what it reports is not what is true at the exchange."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ccxt
import pytest

from engine.domain.commands import PlaceOrder, TradingState
from engine.domain.conditions import VenueState
from engine.domain.errors import VenueUnreachable
from engine.domain.orders import OrderState, OrderType, Side
from engine.exchanges.connected.lanes import Lane
from engine.exchanges.connected.listing import read_listed
from engine.exchanges.connected.quotes import QuoteFeed
from engine.exchanges.connected.stream_client import Manners, tame
from tests.faults.connected import BINANCE_SPOT, BYBIT_PERP, BYBIT_SPOT, FOUR, USDM, D, Market, Rig, rig
from tests.standin.client import KEY, SECRET, StandIn

each_market = pytest.mark.parametrize("market", FOUR, ids=str)


@each_market
@pytest.mark.parametrize("kind", ["cut_body", "html", "garbage"])
def test_trap_answer_to_an_order_cut_off_or_no_answer_at_all_then_the_order_is_found(
    exchange: StandIn, tmp_path: Path, market: Market, kind: str
) -> None:
    with rig(exchange, market, tmp_path) as book:
        exchange.fault(kind, "create", venue=market.where)
        client_id = book.buy("0.01", 49_500)
        assert book.state(client_id) is OrderState.UNKNOWN
        book.live(4)
        assert book.order(client_id).venue_order_id is not None
        assert book.open_there() == [client_id]


@each_market
def test_trap_cancel_answer_lost_and_the_repeat_finds_nothing_then_cancelled_once_on_evidence(
    exchange: StandIn, tmp_path: Path, market: Market
) -> None:
    with rig(exchange, market, tmp_path) as book:
        client_id = book.buy("0.01", 49_500)
        exchange.call("forget")
        exchange.fault("reset_after", "cancel", venue=market.where)
        book.cancel(client_id)
        assert book.asked("cancel") == 1
        book.live(12)
        assert book.state(client_id) is OrderState.CANCELLED


@pytest.mark.parametrize("market", [BINANCE_SPOT, USDM], ids=str)
def test_trap_revoked_key_reported_as_overload_then_locked(exchange: StandIn, tmp_path: Path, market: Market) -> None:
    with rig(exchange, market, tmp_path) as book:
        book.live(12)
        exchange.call("key", revoked=True)
        book.live(12)
        assert book.line.condition.state is VenueState.LOCKED


@each_market
@pytest.mark.parametrize("skew_ms", [-2_000, 20_000], ids=["behind", "ahead"])
def test_trap_first_private_call_then_it_carries_the_exchanges_time(
    exchange: StandIn, tmp_path: Path, market: Market, skew_ms: int
) -> None:
    with rig(exchange, market, tmp_path) as book:
        exchange.call("clock", skew_ms=round(book.clock.ahead_s * 1000) + skew_ms)
        line = book._line()
        line.load_markets()
        line.measure_offset()
        assert line.ask(Lane.STATUS, lambda client: client.fetch_balance())["USDT"]["total"] is not None
        line.close()
        book.pass_time(0)


@each_market
def test_trap_partial_fill_then_cancel_then_judged_by_what_was_filled(
    exchange: StandIn, tmp_path: Path, market: Market
) -> None:
    with rig(exchange, market, tmp_path) as book:
        client_id = book.buy("0.01", 49_500)
        exchange.call("fill", venue=market.where, client_id=client_id, quantity="0.004")
        book.cancel(client_id)
        book.live(35, 5.0)
        assert book.state(client_id) is OrderState.CANCELLED
        assert D("0.0039") < book.held() <= D("0.004")


@pytest.mark.parametrize("market", [BYBIT_PERP, BYBIT_SPOT], ids=str)
def test_trap_cancelled_after_a_part_at_bybit_when_its_services_forget_then_still_found(
    exchange: StandIn, tmp_path: Path, market: Market
) -> None:
    with rig(exchange, market, tmp_path) as book:
        client_id = book.buy("0.01", 49_500)
        exchange.call("fill", venue="bybit", client_id=client_id, quantity="0.004")
        exchange.call("cancel", venue="bybit", client_id=client_id)
        exchange.call("restart", venue="bybit")
        book.live(35, 5.0)
        assert book.state(client_id) is OrderState.CANCELLED
        assert book.held() > D("0.0039")


@pytest.mark.parametrize("market", [BYBIT_PERP, USDM], ids=str)
def test_trap_liquidation_and_funding_hidden_from_my_trades_then_booked(
    exchange: StandIn, tmp_path: Path, market: Market
) -> None:
    with rig(exchange, market, tmp_path) as book:
        book.enter()
        exchange.call("funding", venue=market.where, symbol="BTCUSDT", rate="0.0001")
        exchange.call("liquidate", venue=market.where, symbol="BTCUSDT")
        book.live(70, 5.0)
        kinds = [row["type"] for row in book.journal.rows]
        assert kinds.count("FundingPaid") == 1
        assert book.book.ledger.account_position(book.key) == 0


@each_market
def test_trap_coin_at_zero_vanishes_from_the_balances_then_no_error(
    exchange: StandIn, tmp_path: Path, market: Market
) -> None:
    exchange.call("transfer", venue=market.where, coin="XRP", amount="5")
    exchange.call("transfer", venue=market.where, coin="XRP", amount="-5")
    with rig(exchange, market, tmp_path) as book:
        book.live(35, 5.0)
        assert "XRP" not in {each.currency for each in book.venue.balances()}


@each_market
def test_trap_dead_key_then_markets_load_all_the_same(exchange: StandIn, tmp_path: Path, market: Market) -> None:
    with rig(exchange, market, tmp_path) as book:
        exchange.call("key", revoked=True)
        line = book._line()
        assert market.symbol in line.load_markets()
        line.close()
        exchange.call("key", revoked=False)


@each_market
@pytest.mark.parametrize("kind", ["reset_before", "error_after", "html"])
def test_trap_exceptions_hold_the_signed_address_then_nothing_of_it_is_recorded(
    exchange: StandIn, tmp_path: Path, market: Market, kind: str
) -> None:
    with rig(exchange, market, tmp_path) as book:
        exchange.fault(kind, "create", venue=market.where)
        book.buy("0.01", 49_500)
        text = str(book.journal.rows) + book.titles() + book.line.condition.detail
        assert not [word for word in (KEY, SECRET, "signature=", "http://") if word in text]


@each_market
def test_trap_post_only_order_that_would_cross_then_it_ends_unfilled_and_is_not_sent_again(
    exchange: StandIn, tmp_path: Path, market: Market
) -> None:
    with rig(exchange, market, tmp_path) as book:
        before = book.asked()
        wish = PlaceOrder("live", book.key, Side.BUY, D("0.01"), OrderType.LIMIT, D(50_500), post_only=True)
        assert book.command(wish).status == "done"
        book.live(15)
        [client_id] = book.ids()
        accepted = market.where == "bybit"  # taken, and cancelled at once; Binance refuses
        assert book.state(client_id) is (OrderState.CANCELLED if accepted else OrderState.REJECTED)
        assert book.sent() == ([client_id] if accepted else [])
        assert (book.asked(), book.held(), book.book.state) == (before + 1, 0, TradingState.ACTIVE)


def test_trap_throttle_of_the_library_above_the_limit_then_the_lines_own_pace_keeps_it(
    exchange: StandIn, tmp_path: Path
) -> None:
    with rig(exchange, BYBIT_PERP, tmp_path, paced=True) as book:
        exchange.call("forget")
        exchange.call("limits", enforce=True)
        ids = [book.buy("0.01", 49_000 + number) for number in range(14)]
        requests = exchange.requests(venue="bybit")
        assert {request["status"] for request in requests} == {200}
        assert [book.state(each) for each in ids] == [OrderState.WORKING] * len(ids)
        assert VenueState.BANNED.value not in book.conditions
        exchange.call("limits", enforce=False)


@pytest.mark.parametrize("market", [BYBIT_PERP, BYBIT_SPOT], ids=str)
def test_trap_ticker_without_a_time_then_it_has_that_of_its_arrival(
    exchange: StandIn, tmp_path: Path, market: Market
) -> None:
    with rig(exchange, market, tmp_path) as book:
        ticker = book.line.ask(Lane.DATA, lambda client: client.fetch_ticker(market.symbol))
        assert ticker["timestamp"] is None
        feed = QuoteFeed(read_listed(market.row, book.line.load_markets(), book.symbols), lambda: book.at)
        assert feed.put(ticker)
        top = feed.top(book.key)
        assert top is not None
        assert top.at == book.at
        book.pass_time(60)
        assert feed.top(book.key) == top, "it grows old like any other price"


def test_trap_async_library_names_a_cut_answer_by_no_kind_then_what_the_engine_asks_with_it_goes_by_the_line(
    exchange: StandIn, tmp_path: Path
) -> None:
    async def use(book: Rig, ask: Callable[[Any], Awaitable[Any]]) -> None:
        client = exchange.stream_client("bybit", "swap")
        client.milliseconds = book.clock.ms
        try:
            await ask(client)
        finally:
            await client.close()

    async def place(client: Any) -> None:
        await client.load_markets()
        exchange.fault("cut_body", "create", venue="bybit")
        await client.create_order(BYBIT_PERP.symbol, "limit", "buy", "0.01", "49000")

    async def question(client: Any) -> None:
        with ThreadPoolExecutor(1) as pool:
            tame(client, book.line, Manners({}, 10.0, Lane.STATUS), pool)
            await client.private_get_v5_account_wallet_balance({"accountType": "UNIFIED"})

    with rig(exchange, BYBIT_PERP, tmp_path) as book:
        with pytest.raises(ccxt.BaseError) as raised:
            asyncio.run(use(book, place))
        assert raised.type is ccxt.ExchangeError
        assert len(book.at_exchange().open_orders) == 1, "the order is there all the same"
        exchange.fault("cut_body", "balance", venue="bybit")
        with pytest.raises(VenueUnreachable):
            asyncio.run(use(book, question))
