"""The gateway against the stand-in exchange as Binance: stops of their own kind, a new order in place of the old."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from ccxt.base.errors import OrderNotFound as NotFoundThere
from connected_case import Case, client_id, connected, intent, quiet

from engine.domain.errors import VenueAmbiguous, VenueUnreachable
from engine.domain.orders import Fill, FundingPaid, OrderState, OrderType, Purpose, Side
from engine.exchanges.connected.legs import leg_id
from engine.exchanges.connected.venue_rows import BINANCE, BINANCE_PERP
from tests.standin.client import StandIn, running
from tests.standin.judge import differences, judge

PERP, SPOT = "binance-perp:BTC/USDT:USDT", "binance:BTC/USDT"
BUY, SELL = Side.BUY, Side.SELL
STOP, LIMIT = OrderType.STOP, OrderType.LIMIT


@pytest.fixture
def exchange(tmp_path: Path) -> Iterator[StandIn]:
    with running(tmp_path, funds="USDT=10000,BTC=0.5") as process:
        yield process


@pytest.fixture
def perp(exchange: StandIn, tmp_path: Path) -> Iterator[Case]:
    with connected(exchange, BINANCE_PERP, ("BTC/USDT:USDT",), tmp_path) as made:
        yield made


@pytest.fixture
def spot(exchange: StandIn, tmp_path: Path) -> Iterator[Case]:
    with connected(exchange, BINANCE, ("BTC/USDT",), tmp_path) as made:
        yield made


def _open(exchange: StandIn, venue: str) -> list[dict[str, Any]]:
    orders: list[dict[str, Any]] = exchange.state(venue)["open_orders"]
    return orders


def _bracket(case: Case, key: str) -> None:
    case.submit(intent(1, key, BUY, "0.01"))
    case.submit(intent(2, key, SELL, "0.01", STOP, Purpose.STOP, stop_price="49000", parent_id=1))


def test_perpetual_when_an_entry_has_filled_then_its_stop_rests_and_triggers_under_the_same_id(
    perp: Case, exchange: StandIn
) -> None:
    _, cursor = perp.venue.executions_since("")
    _bracket(perp, PERP)
    assert perp.venue.order(client_id(2)).state is OrderState.WORKING
    exchange.price("BTCUSDT", "48900")
    assert perp.venue.order(client_id(2)).state is OrderState.FILLED
    fills, _ = perp.venue.executions_since(cursor)
    assert [fill.client_id for fill in fills if isinstance(fill, Fill)] == [client_id(1), client_id(2)]
    assert perp.venue.positions() == ()


def test_perpetual_when_a_stop_triggers_unseen_then_its_execution_is_still_known_as_its_own(
    perp: Case, exchange: StandIn
) -> None:
    _, cursor = perp.venue.executions_since("")
    _bracket(perp, PERP)
    exchange.price("BTCUSDT", "48900")
    fills, _ = perp.venue.executions_since(cursor)
    assert [fill.client_id for fill in fills if isinstance(fill, Fill)] == [client_id(1), client_id(2)]


def test_amend_when_not_in_place_then_the_new_stop_is_accepted_before_the_old_one_ends(
    perp: Case, exchange: StandIn
) -> None:
    _bracket(perp, PERP)
    moved = perp.venue.amend(client_id(2), stop_price=Decimal(49500))
    assert (moved.state, moved.stop_price) == (OrderState.WORKING, Decimal(49500))
    [resting] = _open(exchange, "usdm")
    assert (resting["trigger"], resting["quantity"]) == ("49500", "0.01")
    asked = [(line["where"], line.get("method")) for line in exchange.requests(venue="usdm")]
    wheres = [where for where, _ in asked if where in ("create", "cancel")]
    assert wheres == ["create", "create", "create", "cancel"]
    perp.restart()
    found = perp.venue.order(client_id(2))
    assert (found.state, found.stop_price) == (OrderState.WORKING, Decimal(49500))


def test_restart_when_the_first_leg_of_a_replaced_stop_is_told_first_then_the_order_works_on(
    perp: Case, exchange: StandIn
) -> None:
    _, cursor = perp.venue.executions_since("")
    _bracket(perp, PERP)
    exchange.fault("ack_lost", "create", count=1, venue="usdm")
    exchange.fault("error_before", "status", count=1, venue="usdm")
    with pytest.raises(VenueAmbiguous):
        perp.venue.amend(client_id(2), quantity=Decimal("0.008"))
    [first] = [row for row in _open(exchange, "usdm") if row["client_id"] == client_id(2)]
    exchange.fault("fill_before_cancel", "cancel", count=1, venue="usdm", share="0.2")
    with suppress(NotFoundThere):
        exchange.client("usdm", "swap").cancel_order(
            None, "BTC/USDT:USDT", {"clientAlgoId": client_id(2), "trigger": True}
        )
    exchange.call("cancel", venue="usdm", order_id=first["order_id"])
    perp.restart()
    perp.venue.executions_since(cursor)
    found = perp.venue.order(client_id(2))
    assert [row["client_id"] for row in _open(exchange, "usdm")] == [leg_id(client_id(2), 1)]
    assert (found.state, found.filled) == (OrderState.PARTIAL, Decimal("0.002"))


def test_cancel_when_a_stop_is_triggered_meanwhile_then_it_is_cancelled_as_the_order_it_became(
    perp: Case, exchange: StandIn
) -> None:
    _bracket(perp, PERP)
    exchange.fault("fill_before_cancel", "cancel", count=1, venue="usdm", share="0.2")
    ended = perp.venue.cancel(client_id(2))
    assert (ended.state, ended.filled) == (OrderState.CANCELLED, Decimal("0.002"))
    assert _open(exchange, "usdm") == []


@pytest.mark.parametrize(
    ("quantity", "share", "left"), [("0.004", "0.5", []), ("0.008", "0.2", ["0.006"]), (None, "0.2", ["0.008"])]
)
def test_amend_when_the_old_stop_fills_before_it_ends_then_the_new_one_loses_that(
    perp: Case, exchange: StandIn, quantity: str | None, share: str, left: list[str]
) -> None:
    _bracket(perp, PERP)
    exchange.fault("fill_before_cancel", "cancel", count=1, venue="usdm", share=share)
    size = None if quantity is None else Decimal(quantity)
    perp.venue.amend(client_id(2), size, stop_price=Decimal(49100))
    assert [row["quantity"] for row in _open(exchange, "usdm")] == left
    told = perp.venue.order(client_id(2))
    assert told.state is (OrderState.PARTIAL if left else OrderState.FILLED)
    assert told.filled + Decimal((left or ["0"])[0]) == max(size or Decimal("0.01"), told.filled)


def test_amend_when_the_new_stop_gets_no_answer_then_it_is_asked_about_at_once_and_the_old_one_ends(
    perp: Case, exchange: StandIn
) -> None:
    _bracket(perp, PERP)
    exchange.fault("ack_lost", "create", count=1, venue="usdm")
    moved = perp.venue.amend(client_id(2), stop_price=Decimal(49500))
    assert (moved.state, moved.stop_price) == (OrderState.WORKING, Decimal(49500))
    assert [row["trigger"] for row in _open(exchange, "usdm")] == ["49500"]


def test_amend_when_it_is_a_limit_order_then_the_old_one_ends_before_the_new_one_is_sent(
    perp: Case, exchange: StandIn
) -> None:
    perp.submit(intent(1, PERP, BUY, "0.01", LIMIT, limit_price="45000"))
    exchange.fault("fill_before_cancel", "cancel", count=1, venue="usdm", share="0.2")
    told = perp.venue.amend(client_id(1), Decimal("0.005"))
    assert (told.state, told.filled) == (OrderState.PARTIAL, Decimal("0.002"))
    assert [row["quantity"] for row in _open(exchange, "usdm")] == ["0.003"]


def test_amend_when_the_old_stop_was_triggered_unseen_then_nothing_is_sold_again(perp: Case, exchange: StandIn) -> None:
    _bracket(perp, PERP)
    exchange.call("order", venue="usdm", symbol="BTCUSDT", side="buy", quantity="0.02", perpetual=True)
    exchange.price("BTCUSDT", "48900")
    told = perp.venue.amend(client_id(2), Decimal("0.008"))
    assert (told.state, told.filled) == (OrderState.FILLED, Decimal("0.01"))
    [held] = perp.venue.positions()
    assert held.quantity == Decimal("0.02")


def test_amend_when_the_market_is_beyond_the_new_stop_then_the_old_one_ends_before_it_is_sold(
    perp: Case, exchange: StandIn
) -> None:
    _bracket(perp, PERP)
    told = perp.venue.amend(client_id(2), stop_price=Decimal(50500))
    assert (told.state, told.filled) == (OrderState.FILLED, Decimal("0.01"))
    assert _open(exchange, "usdm") == []
    assert perp.venue.positions() == ()


def test_amend_when_the_new_stop_gets_no_answer_then_it_is_ambiguous_and_the_next_look_settles_it(
    perp: Case, exchange: StandIn
) -> None:
    _bracket(perp, PERP)
    exchange.fault("ack_lost", "create", count=1, venue="usdm")
    exchange.fault("error_before", "status", count=1, venue="usdm")
    with pytest.raises(VenueAmbiguous):
        perp.venue.amend(client_id(2), stop_price=Decimal(49500))
    assert len(_open(exchange, "usdm")) == 2
    found = perp.venue.order(client_id(2))
    assert (found.state, found.stop_price) == (OrderState.WORKING, Decimal(49500))
    assert [order["trigger"] for order in _open(exchange, "usdm")] == ["49500"]


def test_amend_when_the_new_stop_never_arrives_then_the_old_one_works_on(
    perp: Case, exchange: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    _bracket(perp, PERP)
    exchange.fault("reset_before", "create", count=1, venue="usdm")
    with pytest.raises(VenueAmbiguous):
        perp.venue.amend(client_id(2), stop_price=Decimal(49500))
    perp.venue.order(client_id(2))
    monkeypatch.setattr("engine.exchanges.connected.finding.MISSING_WINDOW_S", 0.0)
    found = perp.venue.order(client_id(2))
    assert (found.state, found.stop_price) == (OrderState.WORKING, Decimal(49000))
    assert [order["trigger"] for order in _open(exchange, "usdm")] == ["49000"]


def test_spot_amend_when_coins_are_promised_once_then_the_old_stop_ends_first(spot: Case, exchange: StandIn) -> None:
    spot.submit(intent(2, SPOT, SELL, "0.5", STOP, Purpose.STOP, stop_price="49000"))
    moved = spot.venue.amend(client_id(2), Decimal("0.3"), Decimal(49500))
    assert (moved.state, moved.quantity, moved.stop_price) == (OrderState.WORKING, Decimal("0.3"), Decimal(49500))
    [resting] = _open(exchange, "binance")
    assert (resting["trigger"], resting["quantity"]) == ("49500", "0.3")


def test_spot_amend_when_the_replacement_gets_no_answer_then_it_is_unknown_and_found_by_the_next_look(
    spot: Case, exchange: StandIn
) -> None:
    spot.submit(intent(2, SPOT, SELL, "0.5", STOP, Purpose.STOP, stop_price="49000"))
    exchange.fault("ack_lost", "create", count=1, venue="binance")
    assert spot.venue.amend(client_id(2), stop_price=Decimal(49500)).state is OrderState.UNKNOWN
    found = spot.venue.order(client_id(2))
    assert (found.state, found.stop_price) == (OrderState.WORKING, Decimal(49500))


def test_spot_amend_when_the_replacement_is_refused_then_the_order_is_told_as_ended(
    spot: Case, exchange: StandIn
) -> None:
    spot.submit(intent(2, SPOT, SELL, "0.5", STOP, Purpose.STOP, stop_price="49000"))
    words = "Account has insufficient balance for requested action."
    exchange.fault("refuse", "create", count=1, venue="binance", code="-2010", message=words)
    told = spot.venue.amend(client_id(2), stop_price=Decimal(49500))
    assert told.state is OrderState.CANCELLED
    assert "not accepted" in told.reason
    assert _open(exchange, "binance") == []


def test_executions_when_fees_are_in_a_third_coin_and_funding_was_paid_then_both_are_told(
    perp: Case, exchange: StandIn
) -> None:
    _, cursor = perp.venue.executions_since("")
    exchange.call("fees", venue="usdm", coin="BNB", price="600")
    perp.submit(intent(1, PERP, BUY, "0.01"))
    exchange.call("funding", venue="usdm", symbol="BTCUSDT", rate="0.0001")
    rows, _ = perp.venue.executions_since(cursor)
    assert [row.fee_currency for row in rows if isinstance(row, Fill)] == ["BNB"]
    assert [row.amount < 0 for row in rows if isinstance(row, FundingPaid)] == [True]
    assert all(row.trade_id.startswith("BTC/USDT:USDT:") for row in rows if isinstance(row, Fill))


def test_balances_when_a_position_gains_then_the_wallet_is_told_without_it(perp: Case, exchange: StandIn) -> None:
    perp.submit(intent(1, PERP, BUY, "0.01"))
    before = {each.currency: each.total for each in perp.venue.balances()}
    exchange.price("BTCUSDT", "55000")
    assert {each.currency: each.total for each in perp.venue.balances()} == before


def test_journal_when_brackets_have_run_on_both_then_nothing_is_lost_or_doubled(
    perp: Case, spot: Case, exchange: StandIn
) -> None:
    _bracket(perp, PERP)
    _bracket(spot, SPOT)
    exchange.price("BTCUSDT", "48900")
    for case in (perp, spot):
        assert case.venue.order(client_id(2)).state is OrderState.FILLED
        case.venue.observe(quiet())
        assert case.venue.open_orders() == ()
    assert not differences(judge(exchange.journal, "usdm"), positions={})
    assert not differences(judge(exchange.journal, "binance"))


def test_coin_price_when_asked_then_it_is_the_middle_of_the_coins_own_market(spot: Case, exchange: StandIn) -> None:
    exchange.price("BNBUSDT", "610")
    price = spot.venue.coin_price("BNB", "USDT")
    assert price is not None
    assert abs(price - 610) < 1
    assert spot.venue.coin_price("NOSUCHCOIN", "USDT") is None


def test_coin_price_when_there_are_only_perpetuals_then_it_is_theirs(perp: Case, exchange: StandIn) -> None:
    price = perp.venue.coin_price("BTC", "USDT")
    assert price is not None
    assert abs(price - 50_000) < 50


@pytest.mark.parametrize("kind", ["nan", "zero"])
def test_coin_price_when_what_is_told_is_no_price_then_it_is_an_error(spot: Case, exchange: StandIn, kind: str) -> None:
    exchange.fault(kind, venue="binance")
    with pytest.raises(VenueUnreachable):
        spot.venue.coin_price("BNB", "USDT")


def test_coin_price_when_the_exchange_is_away_then_it_is_an_error(spot: Case, exchange: StandIn) -> None:
    exchange.fault("error_before", "any", venue="binance", count=5)
    with pytest.raises(VenueUnreachable):
        spot.venue.coin_price("BNB", "USDT")
