"""Faults of orders at a real exchange's door: book, gateway and library against the stand-in, judged by its journal."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.domain.commands import ClosePosition, EmergencyStop, SetTrading, TradingState
from engine.domain.orders import OrderState, Side
from engine.exchanges.connected.lanes import Lane
from engine.trading.config import StopScope
from engine.trading.recovery import compare
from tests.faults.connected import BINANCE_SPOT, BYBIT_PERP, FAST, FOUR, THREE, USDM, D, Killed, Market, rig
from tests.standin.client import StandIn

BUY, SELL = Side.BUY, Side.SELL
AFTER = ("ack_lost", "reset_after", "cut_body", "html", "garbage", "error_after")
everywhere = pytest.mark.parametrize("market", THREE, ids=str)


def killed(*_: object, **__: object) -> None:
    raise Killed


@everywhere
def test_fault_01_kill_after_the_intent_and_before_the_send_then_abandoned_and_never_sent(
    exchange: StandIn, tmp_path: Path, market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    with rig(exchange, market, tmp_path) as book:
        with monkeypatch.context() as patch:
            patch.setattr(book.line, "send", killed)
            with pytest.raises(Killed):
                book.buy()
        [client_id] = book.ids()
        assert book.crash() == ()
        book.live(20)
        assert book.state(client_id) is OrderState.ABANDONED
        assert client_id not in book.sent()


@everywhere
def test_fault_02_kill_between_send_and_answer_then_found_with_its_strategy_and_covered(
    exchange: StandIn, tmp_path: Path, market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    with rig(exchange, market, tmp_path) as book:
        send = book.line.send

        def sent_then_killed(*arguments: object, **more: object) -> None:
            send(*arguments, **more)  # type: ignore[arg-type]
            raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(book.line, "send", sent_then_killed)
            book.want(1.0)
            with pytest.raises(Killed):
                book.bar()
        entry = book.ids("entry")[0]
        assert book.crash() == ()
        book.live(12)
        assert (book.order(entry).intent.sleeve, book.state(entry)) == ("momentum", OrderState.FILLED)
        covered = sum(book.book.tracker.covered(s) for s in book.book.tracker.stops("momentum", book.key))
        assert book.held("momentum") - covered < D("0.001")
        assert len(book.open_there()) == 1


@pytest.mark.parametrize("market", FOUR, ids=str)
@pytest.mark.parametrize("lost", AFTER)
def test_fault_03_answer_lost_and_the_order_is_there_then_unknown_until_proof_and_sent_once(
    exchange: StandIn, tmp_path: Path, market: Market, lost: str
) -> None:
    with rig(exchange, market, tmp_path) as book:
        exchange.fault(lost, "create", venue=market.where)
        before = book.asked()
        client_id = book.buy("0.01", 49_500)
        assert book.state(client_id) is OrderState.UNKNOWN
        assert book.book.tracker.working("manual", book.key) == D("0.01")
        book.live(3)
        assert book.state(client_id) is OrderState.WORKING
        assert book.asked() == before + 1


@everywhere
def test_fault_03_venue_silent_after_the_lost_answer_then_unknown_for_as_long_as_it_takes(
    exchange: StandIn, tmp_path: Path, market: Market
) -> None:
    with rig(exchange, market, tmp_path) as book:
        exchange.fault("ack_lost", "create", venue=market.where)
        for where in ("status", "orders"):
            exchange.fault("error_before", where, count=500, venue=market.where)
        client_id = book.buy()
        book.live(60, 5.0)
        assert book.state(client_id) is OrderState.UNKNOWN
        again = book.place(BUY, "0.01")
        assert again.status == "refused"
        assert len(book.ids()) == 1
        exchange.clear()
        book.live(60, 5.0)
        assert book.state(client_id) is OrderState.FILLED
        assert book.held() > D("0.009")


@everywhere
@pytest.mark.parametrize("kind", ["reset_before", "error_before"])
def test_fault_03_request_that_never_arrived_then_abandoned_after_two_looks_and_not_sent_again(
    exchange: StandIn, tmp_path: Path, market: Market, kind: str
) -> None:
    with rig(exchange, market, tmp_path) as book:
        exchange.fault(kind, "create", venue=market.where)
        client_id = book.buy()
        assert book.state(client_id) is OrderState.UNKNOWN
        book.live(6)
        assert book.state(client_id) is OrderState.UNKNOWN
        book.live(30)
        assert book.state(client_id) is OrderState.ABANDONED
        assert book.sent().count(client_id) <= 1


@everywhere
@pytest.mark.parametrize("accept", [True, False])
def test_fault_04_html_instead_of_an_answer_then_treated_as_lost(
    exchange: StandIn, tmp_path: Path, market: Market, accept: bool
) -> None:
    with rig(exchange, market, tmp_path) as book:
        exchange.fault("html", "create", venue=market.where, accept=accept)
        client_id = book.buy()
        assert book.state(client_id) is OrderState.UNKNOWN
        book.live(40)
        assert book.state(client_id) is (OrderState.FILLED if accept else OrderState.ABANDONED)


@pytest.mark.parametrize("market", FOUR, ids=str)
@pytest.mark.parametrize("kind", ["reset_before", "reset_after", "ack_lost", "error_after"])
def test_fault_05_any_failure_of_a_post_then_the_library_does_not_repeat_it(
    exchange: StandIn, tmp_path: Path, market: Market, kind: str
) -> None:
    with rig(exchange, market, tmp_path) as book:
        exchange.call("forget")
        exchange.fault(kind, "create", venue=market.where)
        book.buy("0.01", 49_500)
        requests = exchange.requests(venue=market.where, where="create")
        assert len(requests) == 1


@everywhere
def test_fault_06_executions_asked_from_the_beginning_then_nothing_is_booked_twice(
    exchange: StandIn, tmp_path: Path, market: Market
) -> None:
    with rig(exchange, market, tmp_path) as book:
        book.buy()
        book.live(35, 5.0)
        rows = [row for row in book.journal.rows if row["type"] == "Fill"]
        book.book.cursors[book.name] = book.first_cursor
        book.loop.pull()
        assert [row for row in book.journal.rows if row["type"] == "Fill"] == rows != []


@everywhere
def test_fault_07_same_execution_told_and_asked_for_then_booked_once(
    exchange: StandIn, tmp_path: Path, market: Market
) -> None:
    with rig(exchange, market, tmp_path) as book:
        client_id = book.buy()
        [told] = [
            row
            for row in book.line.ask(Lane.STATUS, lambda client: client.fetch_my_trades(market.symbol))
            if row["order"] == book.order(client_id).venue_order_id
        ]
        for _ in range(2):
            book.venue.hear_trade(told)
            book.loop.hear()
        book.live(35, 5.0)
        assert [row["type"] for row in book.journal.rows].count("Fill") == 1


@everywhere
def test_fault_08_fill_before_its_answer_then_booked_and_covered(
    exchange: StandIn, tmp_path: Path, market: Market
) -> None:
    with rig(exchange, market, tmp_path) as book:
        exchange.fault("ack_lost", "create", venue=market.where)
        book.want(1.0)
        book.bar()
        book.loop.pull()
        assert book.held("momentum") > 0
        book.live(12)
        stops = book.book.tracker.stops("momentum", book.key)
        assert book.held("momentum") - sum(book.book.tracker.covered(s) for s in stops) < D("0.001")
        assert len(book.open_there()) == 1


@everywhere
def test_fault_09_stale_answer_open_after_the_fill_then_the_order_stays_filled(
    exchange: StandIn, tmp_path: Path, market: Market
) -> None:
    with rig(exchange, market, tmp_path) as book:
        client_id = book.buy("0.01", 49_500)
        [open_] = [
            row
            for row in book.line.ask(Lane.STATUS, lambda client: client.fetch_open_orders(market.symbol))
            if row["id"] == book.order(client_id).venue_order_id
        ]
        book.live(12)
        book.move("49400")
        exchange.fault("stale", "orders", count=2, venue=market.where)
        book.loop.pull()
        assert book.state(client_id) is OrderState.FILLED
        told = len([row for row in book.journal.rows if row["type"] == "OrderUpdate"])
        book.venue.hear_order(open_)
        book.loop.hear()
        book.live(24, 4.0)
        assert book.state(client_id) is OrderState.FILLED
        assert len([row for row in book.journal.rows if row["type"] == "OrderUpdate"]) == told


@everywhere
@pytest.mark.parametrize("share", ["0.4", "1"])
@pytest.mark.parametrize("lost", [False, True])
def test_fault_10_fill_races_the_cancel_then_what_filled_is_booked(
    exchange: StandIn, tmp_path: Path, market: Market, share: str, lost: bool
) -> None:
    with rig(exchange, market, tmp_path) as book:
        client_id = book.buy("0.01", 49_500)
        exchange.fault("fill_before_cancel", "cancel", venue=market.where, share=share)
        if lost:
            exchange.fault("ack_lost", "cancel", venue=market.where)
        book.cancel(client_id)
        assert lost or book.order(client_id).reported == D("0.01") * D(share), "asked before the end is believed"
        book.live(35, 5.0)
        assert book.state(client_id) is (OrderState.FILLED if share == "1" else OrderState.CANCELLED)
        assert book.held() > D("0.01") * D(share) * D("0.99")


@everywhere
def test_fault_11_cancel_of_an_order_that_is_gone_then_asked_and_its_fill_booked(
    exchange: StandIn, tmp_path: Path, market: Market
) -> None:
    with rig(exchange, market, tmp_path) as book:
        client_id = book.buy("0.01", 49_500)
        exchange.call("fill", venue=market.where, client_id=client_id)
        book.cancel(client_id)
        book.live(35, 5.0)
        assert book.state(client_id) is OrderState.FILLED
        assert book.held() > D("0.009")


@everywhere
def test_fault_11_cancel_refused_as_unknown_while_the_order_works_then_it_still_works(
    exchange: StandIn, tmp_path: Path, market: Market
) -> None:
    code, message = ("110001", "order not exists or too late to cancel")
    if market is BINANCE_SPOT:
        code, message = "-2011", "Unknown order sent."
    with rig(exchange, market, tmp_path) as book:
        client_id = book.buy("0.01", 49_500)
        exchange.fault("refuse", "cancel", venue=market.where, code=code, message=message)
        book.cancel(client_id)
        assert book.state(client_id) in (OrderState.WORKING, OrderState.PENDING_CANCEL)
        assert book.open_there() == [client_id]
        book.cancel(client_id)
        book.live(12)
        assert book.state(client_id) is OrderState.CANCELLED


@everywhere
@pytest.mark.parametrize("kind", ["ack_lost", "reset_before", "html", "error_before"])
def test_fault_12_answer_to_a_cancel_lost_then_pending_until_proof_whichever_way_it_went(
    exchange: StandIn, tmp_path: Path, market: Market, kind: str
) -> None:
    with rig(exchange, market, tmp_path) as book:
        client_id = book.buy("0.01", 49_500)
        for where in ("status", "orders"):
            exchange.fault("error_before", where, count=2, venue=market.where)
        exchange.fault(kind, "cancel", venue=market.where)
        book.cancel(client_id)
        assert book.state(client_id) is OrderState.PENDING_CANCEL
        book.live(40, 4.0)
        assert book.state(client_id) is OrderState.CANCELLED
        assert book.open_there() == []


@pytest.mark.parametrize("market", FOUR, ids=str)
@pytest.mark.parametrize("where", ["amend", "cancel", "create"])
@pytest.mark.parametrize("kind", ["ack_lost", "reset_before", "error_after"])
def test_fault_13_change_of_a_stop_half_done_then_the_position_is_covered_once(
    exchange: StandIn, tmp_path: Path, market: Market, where: str, kind: str
) -> None:
    if (where == "amend") != (market.where == "bybit"):
        pytest.skip("this exchange does not change stops by that call")
    with rig(exchange, market, tmp_path) as book:
        book.enter()
        book.book.sleeves["momentum"].running = False
        held = book.held("momentum")
        exchange.fault(kind, where, venue=market.where)
        book.command(ClosePosition("live", "momentum", book.key, D("0.5")))
        book.live(60, 5.0)
        book.command(ClosePosition("live", "momentum", book.key, D("0.5")))
        book.live(60, 5.0)
        assert 0 < book.held("momentum") < held
        resting = [order for order in book.at_exchange().open_orders if order.trigger is not None]
        assert abs(sum(each.quantity - each.filled for each in resting) - book.held("momentum")) < D("0.001")


@pytest.mark.parametrize("looks", [0, 1, 2])
def test_fault_13_crash_while_a_new_stop_rests_beside_the_old_one_then_one_is_left(
    exchange: StandIn, tmp_path: Path, looks: int
) -> None:
    with rig(exchange, USDM, tmp_path, may_idle=True) as book:
        book.enter()
        book.book.sleeves["momentum"].running = False
        exchange.fault("ack_lost", "create", venue="usdm")
        exchange.fault("error_before", "cancel", count=50, venue="usdm")
        book.command(ClosePosition("live", "momentum", book.key, D("0.5")))
        for _ in range(looks):
            book.loop.resolve(everything=True)
        assert len(book.open_there()) == 2
        exchange.clear()
        assert book.crash() == ()
        book.live(60, 5.0)
        resting = [order for order in book.at_exchange().open_orders if order.trigger is not None]
        assert sum(each.quantity for each in resting) == book.held("momentum")


@everywhere
def test_fault_15_order_and_fill_by_hand_then_imported_counted_and_left_alone(
    exchange: StandIn, tmp_path: Path, market: Market
) -> None:
    with rig(exchange, market, tmp_path) as book:
        perpetual = market.is_perpetual
        exchange.call("order", venue=market.where, symbol="BTCUSDT", side="buy", quantity="0.01", price="49000",
                      perpetual=perpetual, client_id=f"own-{book.installation}")  # fmt: skip
        exchange.call("order", venue=market.where, symbol="BTCUSDT", side="buy", quantity="0.02", perpetual=perpetual)
        book.live(45, 5.0)
        assert [each.client_id for each in book.book.outside.orders[book.name]] == [f"own-{book.installation}"]
        assert "Orders of your own" in book.titles()
        assert book.book.state is TradingState.ACTIVE
        assert compare(book.loop) == []
        assert f"own-{book.installation}" in book.open_there()


@pytest.mark.parametrize("market", [BYBIT_PERP, USDM], ids=str)
def test_fault_15_stop_on_the_engines_own_only_then_the_traders_order_stays(
    exchange: StandIn, tmp_path: Path, market: Market
) -> None:
    with rig(exchange, market, tmp_path, stop_scope=StopScope.ENGINE) as book:
        exchange.call("order", venue=market.where, symbol="BTCUSDT", side="buy", quantity="0.01", price="49000",
                      perpetual=True, client_id=f"own-{book.installation}")  # fmt: skip
        book.enter()
        book.command(EmergencyStop(None))
        book.live(90, 3.0)
        assert book.book.stop is not None
        assert book.book.stop.is_flat, book.book.stop.waiting_for
        assert book.open_there() == [f"own-{book.installation}"]


@pytest.mark.parametrize("market", [BYBIT_PERP, USDM], ids=str)
def test_fault_16_liquidation_then_booked_with_its_reason_and_nothing_opened_for_a_day(
    exchange: StandIn, tmp_path: Path, market: Market
) -> None:
    with rig(exchange, market, tmp_path) as book:
        book.enter()
        exchange.call("liquidate", venue=market.where, symbol="BTCUSDT")
        book.live(65, 5.0)
        assert book.book.ledger.account_position(book.key) == 0
        assert "liquidat" in book.titles().lower()
        assert "liquidated" in book.book.outside.why_closed(book.key, book.book.now)
        causes = [row["cause"] for row in book.journal.rows if row["type"] == "Fill"]
        assert causes.count("liquidation") == 1
        assert book.open_there() == []


@pytest.mark.parametrize("market", [BYBIT_PERP, USDM], ids=str)
def test_fault_16_funding_then_booked_once(exchange: StandIn, tmp_path: Path, market: Market) -> None:
    with rig(exchange, market, tmp_path) as book:
        book.enter()
        exchange.call("funding", venue=market.where, symbol="BTCUSDT", rate="0.0001")
        book.live(65, 5.0)
        book.loop.pull()
        assert [row["type"] for row in book.journal.rows].count("FundingPaid") == 1


@everywhere
def test_fault_16_fee_in_a_third_coin_then_booked_in_its_coin(
    exchange: StandIn, tmp_path: Path, market: Market
) -> None:
    exchange.call("transfer", venue=market.where, coin="BNB", amount="5")
    with rig(exchange, market, tmp_path) as book:
        exchange.call("fees", venue=market.where, coin="BNB", price="600")
        book.buy("0.01")
        book.live(65, 5.0)
        fees = [row["fee_currency"] for row in book.journal.rows if row["type"] == "Fill"]
        assert fees == ["BNB"]
        assert book.book.state is TradingState.ACTIVE


@pytest.mark.parametrize("market", FOUR, ids=str)
def test_fault_66_money_of_the_traders_own_comes_and_goes_then_booked_and_no_part_of_equity_or_drawdown(
    exchange: StandIn, tmp_path: Path, market: Market
) -> None:
    with rig(exchange, market, tmp_path) as book:
        book.enter()
        book.bar()
        before = (book.book.equity, book.book.units.drawdown, book.book.ledger.capital)
        for amount in ("2500", "-1200", "-1300"):
            exchange.call("transfer", venue=market.where, coin="USDT", amount=amount)
            book.live(65, 5.0)
        book.bar()
        flows = [row for row in book.journal.rows if row["type"] == "CashFlow" and row["reason"] != "capital"]
        assert sorted(D(row["amount"]) for row in flows) == [D(-1300), D(-1200), D(2500)]
        assert (book.book.equity, book.book.units.drawdown, book.book.ledger.capital) == before
        assert "Money of your own moved" in book.titles()
        assert book.book.state is TradingState.ACTIVE, book.titles()
        assert compare(book.loop) == []


@everywhere
def test_fault_18_balance_taken_away_by_hand_then_the_refusal_is_told_and_nothing_differs(
    exchange: StandIn, tmp_path: Path, market: Market
) -> None:
    with rig(exchange, market, tmp_path) as book:
        taken = D(exchange.state(market.where)["balances"]["USDT"]) - 100
        exchange.call("transfer", venue=market.where, coin="USDT", amount=str(-taken))
        try:
            client_id = book.buy("0.2")
            assert book.state(client_id) is OrderState.REJECTED
            book.live(65, 5.0)
            assert book.place(BUY, "0.001").status == "refused"
            assert "Money of the engine was withdrawn" in book.titles()
        finally:
            exchange.call("transfer", venue=market.where, coin="USDT", amount=str(taken))


@everywhere
def test_fault_19_exit_needed_while_halted_then_passes(exchange: StandIn, tmp_path: Path, market: Market) -> None:
    with rig(exchange, market, tmp_path) as book:
        book.enter()
        book.command(SetTrading("live", TradingState.HALTED))
        done = book.command(ClosePosition("live", "momentum", book.key, D(1)))
        assert done.status == "done", done.detail
        book.live(35, 5.0)
        assert book.held("momentum") < D("0.001")
        assert book.open_there() == []


@everywhere
def test_fault_20_closed_by_hand_at_the_exchange_meanwhile_then_never_turned_round(
    exchange: StandIn, tmp_path: Path, market: Market
) -> None:
    with rig(exchange, market, tmp_path) as book:
        book.enter()
        held = book.held("momentum")
        sold = str(held - held % D("0.001"))
        exchange.call("order", venue=market.where, symbol="BTCUSDT", side="sell", quantity=sold,
                      perpetual=market.is_perpetual)  # fmt: skip
        book.command(ClosePosition("live", "momentum", book.key, D(1)))
        book.live(65, 5.0)
        assert book.book.ledger.account_position(book.key) >= 0


def test_fault_03_late_answer_after_patience_then_taken_and_not_asked_for(exchange: StandIn, tmp_path: Path) -> None:
    with rig(exchange, BYBIT_PERP, tmp_path, patience_s=FAST) as book:
        exchange.fault("hold", "create", venue="bybit", seconds=5)
        client_id = book.buy("0.01", 49_500)
        assert book.state(client_id) is OrderState.UNKNOWN
        exchange.call("release")
        assert book.venue.pending.wait(5)
        book.loop.hear()
        assert book.state(client_id) is OrderState.WORKING
