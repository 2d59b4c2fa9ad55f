"""The gateway against the stand-in exchange as Bybit: one unified wallet, spot and perpetuals, changes in place."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from connected_case import Case, bars, client_id, connected, intent, quiet

from engine.domain.errors import BadInput, OrderNotFound, VenueAmbiguous, VenueRejected, VenueUnreachable
from engine.domain.market import to_ms
from engine.domain.orders import Fill, FundingPaid, OrderState, OrderType, OrderUpdate, Purpose, Side
from engine.exchanges.connected.venue_rows import BYBIT
from tests.standin.client import StandIn, running
from tests.standin.judge import differences, judge

PERP, SPOT = "BTC/USDT:USDT", "BTC/USDT"
BUY, SELL = Side.BUY, Side.SELL
STOP, LIMIT, MARKET = OrderType.STOP, OrderType.LIMIT, OrderType.MARKET


@pytest.fixture
def exchange(tmp_path: Path) -> Iterator[StandIn]:
    with running(tmp_path, funds="USDT=10000,BTC=0.5") as process:
        yield process


@pytest.fixture
def case(exchange: StandIn, tmp_path: Path) -> Iterator[Case]:
    with connected(exchange, BYBIT, (SPOT, PERP), tmp_path) as made:
        yield made


def _entry_with_stop(case: Case, symbol: str = PERP, stop: str = "49000", quantity: str = "0.01") -> None:
    case.submit(intent(1, symbol, BUY, quantity))
    case.submit(intent(2, symbol, SELL, quantity, STOP, Purpose.STOP, stop_price=stop, parent_id=1))


def _told(messages: object) -> dict[str, OrderUpdate]:
    return {each.client_id: each for each in messages if isinstance(each, OrderUpdate)}  # type: ignore[attr-defined]


def _open(exchange: StandIn) -> list[dict[str, object]]:
    orders: list[dict[str, object]] = exchange.state("bybit")["open_orders"]
    return orders


def test_submit_when_the_answer_is_lost_then_it_is_ambiguous_and_found_by_its_own_id(
    case: Case, exchange: StandIn
) -> None:
    exchange.fault("ack_lost", "create", count=1, venue="bybit")
    with pytest.raises(VenueAmbiguous):
        case.submit(intent(1, PERP, BUY, "0.01"))
    assert case.venue.order(client_id(1)).state is OrderState.FILLED
    assert len(exchange.requests(venue="bybit", where="create")) == 1


def test_submit_when_a_page_of_html_comes_with_200_then_it_is_ambiguous_and_the_order_exists(
    case: Case, exchange: StandIn
) -> None:
    exchange.fault("html", "create", count=1, venue="bybit")
    with pytest.raises(VenueAmbiguous):
        case.submit(intent(1, PERP, BUY, "0.01"))
    assert case.venue.order(client_id(1)).state is OrderState.FILLED


def test_submit_when_the_same_id_comes_again_then_nothing_is_sent(case: Case, exchange: StandIn) -> None:
    wanted = intent(1, PERP, BUY, "0.01")
    case.submit(wanted)
    assert case.submit(wanted).state is OrderState.FILLED
    assert len(exchange.requests(venue="bybit", where="create")) == 1


def test_submit_when_the_balance_is_short_then_it_is_rejected_in_the_exchanges_words(case: Case) -> None:
    with pytest.raises(VenueRejected, match=r"(?i)balance|funds"):
        case.submit(intent(1, SPOT, BUY, "3"))
    with pytest.raises(OrderNotFound):
        case.venue.order(client_id(1))


def test_submit_when_the_value_is_below_the_minimum_then_it_is_rejected(case: Case) -> None:
    with pytest.raises(VenueRejected):
        case.submit(intent(1, SPOT, BUY, "0.00001"))


def test_child_stop_when_its_market_entry_fills_then_it_rests_at_the_exchange_at_once(
    case: Case, exchange: StandIn
) -> None:
    _entry_with_stop(case)
    [resting] = _open(exchange)
    assert resting["client_id"] == client_id(2)
    assert case.venue.order(client_id(2)).state is OrderState.WORKING


def test_child_stop_when_its_entry_waits_then_it_is_kept_and_placed_with_the_fill(
    case: Case, exchange: StandIn
) -> None:
    case.submit(intent(1, PERP, BUY, "0.01", LIMIT, limit_price="49500"))
    kept = case.submit(intent(2, PERP, SELL, "0.01", STOP, Purpose.STOP, stop_price="49000", parent_id=1))
    assert (kept.state, kept.venue_order_id) == (OrderState.WORKING, None)
    assert kept.reason == "kept by the engine until its entry fills"
    assert [order["client_id"] for order in _open(exchange)] == [client_id(1)]
    _, cursor = case.venue.executions_since("")
    exchange.price("BTCUSDT", "49400")
    fills, _ = case.venue.executions_since(cursor)
    assert [fill.client_id for fill in fills if isinstance(fill, Fill)] == [client_id(1)]
    assert [order["client_id"] for order in _open(exchange)] == [client_id(2)]
    assert _told(case.venue.observe(quiet()))[client_id(2)].venue_order_id is not None


def test_child_stop_when_its_entry_fills_in_part_and_ends_then_it_covers_that_part(
    case: Case, exchange: StandIn
) -> None:
    case.submit(intent(1, PERP, BUY, "0.01", LIMIT, limit_price="49500"))
    case.submit(intent(2, PERP, SELL, "0.01", STOP, Purpose.STOP, stop_price="49000", parent_id=1))
    exchange.call("fill", venue="bybit", client_id=client_id(1), quantity="0.004")
    assert case.venue.order(client_id(1)).state is OrderState.PARTIAL
    assert [order["quantity"] for order in _open(exchange) if order["client_id"] == client_id(2)] == ["0.004"]
    case.venue.cancel(client_id(1))
    stop = case.venue.order(client_id(2))
    assert (stop.state, stop.quantity) == (OrderState.WORKING, Decimal("0.004"))


def test_child_stop_when_its_entry_ends_unfilled_then_it_ends_and_is_told(case: Case) -> None:
    case.submit(intent(1, PERP, BUY, "0.01", LIMIT, limit_price="45000"))
    case.submit(intent(2, PERP, SELL, "0.01", STOP, Purpose.STOP, stop_price="44000", parent_id=1))
    assert case.venue.cancel(client_id(1)).state is OrderState.CANCELLED
    case.venue.order(client_id(1))
    told = _told(case.venue.observe(quiet()))[client_id(2)]
    assert (told.state, told.reason) == (OrderState.CANCELLED, "its entry ended with nothing filled")


def test_child_stop_when_the_market_has_passed_it_then_it_sells_at_once(case: Case, exchange: StandIn) -> None:
    case.submit(intent(1, PERP, BUY, "0.01"))
    exchange.price("BTCUSDT", "48000")
    case.submit(intent(2, PERP, SELL, "0.01", STOP, Purpose.STOP, stop_price="49000", parent_id=1))
    assert case.venue.order(client_id(2)).state is OrderState.FILLED
    assert case.venue.positions() == ()


def test_child_when_the_engine_restarts_then_it_is_gone_after_two_looks(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    case.submit(intent(1, PERP, BUY, "0.01", LIMIT, limit_price="45000"))
    case.submit(intent(2, PERP, SELL, "0.01", STOP, Purpose.STOP, stop_price="44000", parent_id=1))
    case.restart()
    with pytest.raises(OrderNotFound):
        case.venue.order(client_id(2))
    monkeypatch.setattr("engine.exchanges.connected.finding.MISSING_WINDOW_S", 0.0)
    assert case.venue.order(client_id(2)).state is OrderState.CANCELLED
    assert case.venue.order(client_id(1)).state is OrderState.WORKING


def test_pair_when_the_target_fills_in_part_then_its_stop_loses_that(case: Case, exchange: StandIn) -> None:
    _entry_with_stop(case)
    case.submit(intent(3, PERP, SELL, "0.01", LIMIT, Purpose.TARGET, limit_price="52000", parent_id=1, pair_id=2))
    exchange.call("fill", venue="bybit", client_id=client_id(3), quantity="0.003")
    assert case.venue.order(client_id(3)).filled == Decimal("0.003")
    assert _told(case.venue.observe(quiet()))[client_id(2)].quantity == Decimal("0.007")
    assert [order["quantity"] for order in _open(exchange) if order["client_id"] == client_id(2)] == ["0.007"]


def test_pair_when_the_stop_triggers_then_the_target_ends(case: Case, exchange: StandIn) -> None:
    _entry_with_stop(case)
    case.submit(intent(3, PERP, SELL, "0.01", LIMIT, Purpose.TARGET, limit_price="52000", parent_id=1, pair_id=2))
    exchange.price("BTCUSDT", "48900")
    assert case.venue.order(client_id(2)).state is OrderState.FILLED
    assert _told(case.venue.observe(quiet()))[client_id(3)].state is OrderState.CANCELLED
    assert _open(exchange) == []


def test_spot_pair_when_the_market_reaches_the_target_then_the_two_change_places(case: Case, exchange: StandIn) -> None:
    case.submit(intent(2, SPOT, SELL, "0.01", STOP, Purpose.STOP, stop_price="49000"))
    case.submit(intent(3, SPOT, SELL, "0.01", LIMIT, Purpose.TARGET, limit_price="52000", pair_id=2))
    assert [order["client_id"] for order in _open(exchange)] == [client_id(2)]
    case.venue.observe(bars("bybit:BTC/USDT", "50000", "52000", "51900"))
    [resting] = _open(exchange)
    assert (resting["client_id"], resting["price"]) == (client_id(3), "52000")
    assert case.venue.order(client_id(2)).state is OrderState.WORKING
    exchange.price("BTCUSDT", "52100")
    assert case.venue.order(client_id(3)).state is OrderState.FILLED
    told = _told(case.venue.observe(quiet()))[client_id(2)]
    assert (told.state, told.reason) == (OrderState.CANCELLED, "its target was filled")


def test_spot_pair_when_the_market_falls_back_then_the_stop_rests_again(case: Case, exchange: StandIn) -> None:
    case.submit(intent(2, SPOT, SELL, "0.01", STOP, Purpose.STOP, stop_price="49000"))
    case.submit(intent(3, SPOT, SELL, "0.01", LIMIT, Purpose.TARGET, limit_price="52000", pair_id=2))
    case.venue.observe(bars("bybit:BTC/USDT", "50000", "52000", "51900"))
    case.venue.observe(bars("bybit:BTC/USDT", "50000", "51000", "50100"))
    [resting] = _open(exchange)
    assert (resting["trigger"], resting["quantity"]) == ("49000", "0.01")
    assert {case.venue.order(client_id(n)).state for n in (2, 3)} == {OrderState.WORKING}


def test_spot_pair_when_the_market_crashes_while_the_target_rests_then_the_stop_sells(
    case: Case, exchange: StandIn
) -> None:
    case.submit(intent(2, SPOT, SELL, "0.01", STOP, Purpose.STOP, stop_price="49000"))
    case.submit(intent(3, SPOT, SELL, "0.01", LIMIT, Purpose.TARGET, limit_price="52000", pair_id=2))
    case.venue.observe(bars("bybit:BTC/USDT", "50000", "52000", "51900"))
    exchange.price("BTCUSDT", "48000")
    case.venue.observe(bars("bybit:BTC/USDT", "48000", "51000", "48000"))
    assert case.venue.order(client_id(2)).state is OrderState.FILLED
    assert case.venue.order(client_id(3)).state is OrderState.CANCELLED


def test_spot_pair_when_the_engine_restarts_while_the_target_rests_then_both_end_and_the_coins_are_free(
    case: Case, exchange: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    case.submit(intent(2, SPOT, SELL, "0.01", STOP, Purpose.STOP, stop_price="49000"))
    case.submit(intent(3, SPOT, SELL, "0.01", LIMIT, Purpose.TARGET, limit_price="52000", pair_id=2))
    case.venue.observe(bars("bybit:BTC/USDT", "50000", "52000", "51900"))
    case.restart()
    assert case.venue.order(client_id(2)).state is OrderState.UNKNOWN
    monkeypatch.setattr("engine.exchanges.connected.finding.MISSING_WINDOW_S", 0.0)
    assert case.venue.order(client_id(2)).state is OrderState.CANCELLED
    assert case.venue.order(client_id(3)).state is OrderState.CANCELLED
    assert _open(exchange) == []


def test_spot_entry_when_its_fee_is_taken_in_the_coin_then_its_stop_covers_the_rest(
    case: Case, exchange: StandIn
) -> None:
    _, cursor = case.venue.executions_since("")
    case.submit(intent(1, SPOT, BUY, "0.01", LIMIT, limit_price="49500"))
    case.submit(intent(2, SPOT, SELL, "0.01", STOP, Purpose.STOP, stop_price="49000", parent_id=1))
    exchange.price("BTCUSDT", "49400")
    fills, _ = case.venue.executions_since(cursor)
    fee = sum(fill.fee for fill in fills if isinstance(fill, Fill) and fill.fee_currency == "BTC")
    assert fee > 0
    covered = case.venue.order(client_id(2)).quantity
    assert covered is not None
    assert Decimal("0.01") - fee - Decimal("0.00001") < covered <= Decimal("0.01") - fee


def test_amend_when_in_place_then_quantity_and_stop_move_under_the_same_number(case: Case) -> None:
    _entry_with_stop(case)
    before = case.venue.order(client_id(2)).venue_order_id
    moved = case.venue.amend(client_id(2), stop_price=Decimal("49500"))
    assert (moved.stop_price, moved.quantity) == (Decimal("49500"), None)
    cut = case.venue.amend(client_id(2), Decimal("0.006"))
    assert (cut.quantity, cut.venue_order_id) == (Decimal("0.006"), before)
    assert case.venue.order(client_id(2)).stop_price == Decimal("49500")


def _stop_event(case: Case, at_ms: int, stop: str, quantity: str) -> None:
    number = case.venue.order(client_id(2)).venue_order_id
    case.venue.hear_order(
        {
            "id": number, "clientOrderId": client_id(2), "symbol": PERP, "side": "sell", "status": "open",
            "amount": quantity, "filled": "0", "triggerPrice": stop, "lastUpdateTimestamp": at_ms, "info": {},
        }
    )  # fmt: skip


def test_amend_when_an_event_of_before_it_comes_after_then_quantity_and_stop_stay(case: Case) -> None:
    _entry_with_stop(case)
    before_ms = to_ms(case.venue._now())
    case.venue.amend(client_id(2), Decimal("0.006"))
    case.venue.amend(client_id(2), stop_price=Decimal("49500"))
    _stop_event(case, before_ms, "49000", "0.01")
    told = _told(case.venue.observe(quiet()))[client_id(2)]
    assert (told.stop_price, told.quantity) == (Decimal("49500"), Decimal("0.006"))
    _stop_event(case, before_ms + 60_000, "49200", "0.005")
    told = _told(case.venue.observe(quiet()))[client_id(2)]
    assert told.stop_price == Decimal("49200")


def test_amend_when_an_event_of_before_it_comes_after_then_what_it_says_was_filled_counts(case: Case) -> None:
    case.submit(intent(2, PERP, BUY, "0.01", LIMIT, limit_price="45000"))
    before_ms = to_ms(case.venue._now())
    case.venue.amend(client_id(2), Decimal("0.006"))
    number = case.venue.order(client_id(2)).venue_order_id
    case.venue.hear_order(
        {
            "id": number, "clientOrderId": client_id(2), "symbol": PERP, "side": "buy", "status": "open",
            "amount": "0.01", "filled": "0.002", "lastUpdateTimestamp": before_ms, "info": {},
        }
    )  # fmt: skip
    told = _told(case.venue.observe(quiet()))[client_id(2)]
    assert (told.state, told.filled, told.quantity) == (OrderState.PARTIAL, Decimal("0.002"), Decimal("0.006"))


def test_amend_when_the_answer_is_lost_then_it_is_ambiguous_and_the_next_look_tells(
    case: Case, exchange: StandIn
) -> None:
    _entry_with_stop(case)
    exchange.fault("ack_lost", "amend", count=1, venue="bybit")
    with pytest.raises(VenueAmbiguous):
        case.venue.amend(client_id(2), stop_price=Decimal("49500"))
    assert case.venue.order(client_id(2)).stop_price == Decimal("49500")


def test_cancel_when_the_answer_is_lost_then_it_is_ambiguous_and_the_next_look_proves_it(
    case: Case, exchange: StandIn
) -> None:
    case.submit(intent(1, PERP, BUY, "0.01", LIMIT, limit_price="45000"))
    exchange.fault("ack_lost", "cancel", count=1, venue="bybit")
    with pytest.raises(VenueAmbiguous):
        case.venue.cancel(client_id(1))
    assert case.venue.order(client_id(1)).state is OrderState.CANCELLED


def test_cancel_when_a_fill_races_it_then_the_end_is_what_was_filled(case: Case, exchange: StandIn) -> None:
    case.submit(intent(1, PERP, BUY, "0.01", LIMIT, limit_price="49500"))
    exchange.fault("fill_before_cancel", "cancel", count=1, venue="bybit", share="0.4")
    ended = case.venue.cancel(client_id(1))
    assert (ended.state, ended.filled) == (OrderState.CANCELLED, Decimal("0.004"))


def test_cancel_when_the_order_has_filled_then_that_is_told(case: Case, exchange: StandIn) -> None:
    case.submit(intent(1, PERP, BUY, "0.01", LIMIT, limit_price="49500"))
    exchange.price("BTCUSDT", "49400")
    assert case.venue.cancel(client_id(1)).state is OrderState.FILLED


def test_open_orders_when_the_trader_has_his_own_then_they_appear_and_can_be_cancelled(
    case: Case, exchange: StandIn
) -> None:
    exchange.call("order", venue="bybit", symbol="BTCUSDT", side="buy", quantity="0.01", price="45000")
    case.submit(intent(1, PERP, BUY, "0.01", LIMIT, limit_price="45000"))
    updates = case.venue.open_orders()
    assert len(updates) == 2
    [his] = [update for update in updates if update.client_id != client_id(1)]
    assert his.instrument == "bybit:BTC/USDT"
    assert case.venue.cancel(his.client_id).state is OrderState.CANCELLED
    assert [update.client_id for update in case.venue.open_orders()] == [client_id(1)]


def test_executions_when_there_are_funding_and_liquidation_then_both_are_told(case: Case, exchange: StandIn) -> None:
    _, cursor = case.venue.executions_since("")
    case.submit(intent(1, PERP, BUY, "0.01"))
    exchange.call("funding", venue="bybit", symbol="BTCUSDT", rate="0.0001")
    exchange.call("liquidate", venue="bybit", symbol="BTCUSDT")
    rows, cursor = case.venue.executions_since(cursor)
    paid = [row for row in rows if isinstance(row, FundingPaid)]
    fills = [row for row in rows if isinstance(row, Fill)]
    assert [row.amount < 0 for row in paid] == [True]
    assert [fill.side for fill in fills] == [BUY, SELL]
    assert fills[0].client_id == client_id(1) != fills[1].client_id
    assert case.venue.executions_since(cursor)[0] == []


def test_executions_when_more_than_a_page_then_all_are_told_once(
    case: Case, exchange: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, cursor = case.venue.executions_since("")
    case.submit(intent(1, PERP, BUY, "0.12", LIMIT, limit_price="49500"))
    for _ in range(105):
        exchange.call("fill", venue="bybit", client_id=client_id(1), quantity="0.001")
    rows, cursor = case.venue.executions_since(cursor)
    assert len(rows) == 105
    assert len({row.trade_id for row in rows if isinstance(row, Fill)}) == 105
    assert case.venue.executions_since(cursor)[0] == []


@pytest.mark.parametrize("fault", ["html", "error_before", "garbage"])
def test_executions_when_the_answer_cannot_be_read_then_it_is_an_error_and_never_empty(
    case: Case, exchange: StandIn, fault: str
) -> None:
    exchange.fault(fault, "fills", count=1, venue="bybit")
    with pytest.raises(VenueUnreachable):
        case.venue.executions_since("")


def test_executions_when_the_cursor_is_not_ours_then_it_is_refused(case: Case) -> None:
    with pytest.raises(BadInput, match="cursor"):
        case.venue.executions_since("17")


def test_stream_when_it_tells_orders_and_trades_then_observe_hands_them_over(case: Case) -> None:
    case.submit(intent(1, PERP, BUY, "0.01", LIMIT, limit_price="45000"))
    number = case.venue.order(client_id(1)).venue_order_id
    case.venue.hear_order(
        {
            "id": number, "clientOrderId": client_id(1), "symbol": PERP, "side": "buy", "status": "open",
            "amount": "0.01", "filled": "0.002", "timestamp": 1_795_000_000_000, "info": {},
        }
    )  # fmt: skip
    case.venue.hear_trade(
        {
            "id": "t-1", "order": number, "symbol": PERP, "side": "buy", "amount": "0.002", "price": "45000",
            "fee": {"cost": "0.01", "currency": "USDT"}, "timestamp": 1_795_000_000_000,
            "info": {"orderLinkId": client_id(1), "execPrice": "45000", "execType": "Trade"},
        }
    )  # fmt: skip
    assert case.venue.pending.is_set()
    fill, told = case.venue.observe(quiet())
    assert isinstance(fill, Fill)
    assert (fill.client_id, fill.quantity) == (client_id(1), Decimal("0.002"))
    assert isinstance(told, OrderUpdate)
    assert (told.state, told.filled) == (OrderState.PARTIAL, Decimal("0.002"))
    assert not case.venue.pending.is_set()


def test_known_balances_when_asked_before_then_they_are_told_without_asking(case: Case, exchange: StandIn) -> None:
    told = case.venue.balances()
    asked = len(exchange.requests(venue="bybit", where="balance"))
    assert case.venue.known_balances() == told
    assert len(exchange.requests(venue="bybit", where="balance")) == asked
    assert [(each.currency, each.total) for each in told] == [("BTC", Decimal("0.5")), ("USDT", Decimal(10_000))]


def test_journal_when_entries_stops_and_targets_have_run_then_nothing_is_lost_or_doubled(
    case: Case, exchange: StandIn
) -> None:
    _, cursor = case.venue.executions_since("")
    _entry_with_stop(case)
    case.submit(intent(3, PERP, SELL, "0.01", LIMIT, Purpose.TARGET, limit_price="52000", parent_id=1, pair_id=2))
    exchange.price("BTCUSDT", "52100")
    rows, _ = case.venue.executions_since(cursor)
    case.venue.observe(quiet())
    verdict = judge(exchange.journal, "bybit")
    assert not differences(verdict, positions={})
    assert {row.trade_id for row in rows if isinstance(row, Fill)} == {fill.trade_id for fill in verdict.fills}
    assert verdict.open_orders == []
    assert case.venue.open_orders() == ()
    assert case.venue.positions() == ()


def test_coin_price_when_asked_then_it_is_the_middle_of_the_coins_own_market(case: Case, exchange: StandIn) -> None:
    exchange.price("MNTUSDT", "0.8")
    price = case.venue.coin_price("MNT", "USDT")
    assert price is not None
    assert abs(price - Decimal("0.8")) < Decimal("0.01")
