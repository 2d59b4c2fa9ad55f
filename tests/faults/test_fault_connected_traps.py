"""The library's own traps, each through the whole path: what it reports is not what is true at the exchange."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.domain.conditions import VenueState
from engine.domain.orders import OrderState
from engine.exchanges.connected.lanes import Lane
from tests.faults.connected import BINANCE_SPOT, BYBIT_PERP, BYBIT_SPOT, FOUR, USDM, D, Market, rig
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
def test_trap_first_private_call_then_it_carries_the_exchanges_time(
    exchange: StandIn, tmp_path: Path, market: Market
) -> None:
    with rig(exchange, market, tmp_path) as book:
        exchange.call("clock", skew_ms=round(book.clock.ahead_s * 1000) + 2000)
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
