"""Rules of an exchange and its failing answers, at the stand-in: what is denied here, what goes on at a low rate."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.domain.commands import ClosePosition
from engine.domain.orders import OrderState, Side
from tests.faults.connected import THREE, D, Market, Rig, rig
from tests.standin.client import StandIn

BUY, SELL = Side.BUY, Side.SELL
everywhere = pytest.mark.parametrize("market", THREE, ids=str)


def _is_on(grid: object, value: object) -> bool:
    return D(str(value)) % D(str(grid)) == 0


@everywhere
def test_fault_17_whatever_breaks_a_rule_is_denied_here_and_what_the_engine_sizes_is_on_the_grid(
    exchange: StandIn, tmp_path: Path, market: Market
) -> None:
    with rig(exchange, market, tmp_path) as book:
        [instrument] = book.instruments
        lot, tick, least = instrument.lot_size, instrument.tick_size, instrument.min_notional
        before = book.asked()
        for quantity, limit in [
            (lot / 2, None),
            (lot * 100 + lot / 2, None),
            (D(0), None),
            (lot * 100, D(49_500) + tick / 2),
            (instrument.round_quantity(least / 2 / 50_000) or lot / 2, None),
        ]:
            assert book.place(BUY, f"{quantity:f}", limit).status == "refused", f"{quantity} at {limit}"
        assert book.asked() == before
        book.enter()
        sent = book.at_exchange().sent
        assert sent
        assert all(_is_on(lot, order.quantity) for order in sent)
        assert all(_is_on(tick, price) for order in sent for price in (order.price, order.trigger) if price)


@pytest.mark.parametrize("market", [each for each in THREE if not each.is_perpetual], ids=str)
def test_fault_17_rest_below_the_least_value_then_no_close_of_it_is_tried_again_and_again(
    exchange: StandIn, tmp_path: Path, market: Market
) -> None:
    with rig(exchange, market, tmp_path) as book:
        book.enter()
        part = (book.held("momentum") - D("0.00005")) / book.held("momentum")
        book.command(ClosePosition("live", "momentum", book.key, part.quantize(D("1e-12"))))
        book.live(40, 4.0)
        rest = book.held("momentum")
        assert D(0) < rest * book.price < book.instruments[0].min_notional, f"{rest} {book.titles()}"
        before = book.asked()
        book.want(0.0)
        for _ in range(5):
            book.bar()
        book.live(60, 5.0)
        assert book.asked() == before
        assert book.held("momentum") == rest


@everywhere
def test_fault_24_server_errors_after_acceptance_then_unknown_until_proof_and_sent_once(
    exchange: StandIn, tmp_path: Path, market: Market
) -> None:
    with rig(exchange, market, tmp_path) as book:
        before = book.asked()
        exchange.fault("error_after", "create", venue=market.where, status=503)
        client_id = book.buy("0.01", 49_500)
        assert book.state(client_id) is OrderState.UNKNOWN
        assert "UNKNOWN" in book.place(BUY, "0.01", 49_400).detail
        book.live(40, 4.0)
        assert book.state(client_id) is OrderState.WORKING
        assert (book.asked() - before, book.open_there()) == (1, [client_id])


@everywhere
def test_fault_24_server_errors_in_a_row_then_no_entry_goes_out_while_exits_and_questions_do_at_a_low_rate(
    exchange: StandIn, tmp_path: Path, market: Market
) -> None:
    with rig(exchange, market, tmp_path) as book:
        book.enter()
        exchange.fault("error_before", "create", count=10_000, venue=market.where, status=503)
        for number in range(5):
            book.place(BUY, "0.01", 49_500 - number)
            book.clock.ahead_s += 0.1
        before, questions = book.asked(), book.asked("orders")
        assert book.place(BUY, "0.01", 49_400).status == "refused"
        assert book.asked() == before
        book.command(ClosePosition("live", "momentum", book.key, D(1)))
        assert book.asked() > before
        _live_with_closes(book, 30)
        exits = book.asked() - before
        assert 2 <= exits <= 35, exits
        assert book.asked("orders") > questions
        assert book.held("momentum") > 0
        exchange.clear()
        _live_with_closes(book, 60)
        assert book.held("momentum") < D("0.001"), book.titles()


def _live_with_closes(book: Rig, seconds: int) -> None:
    """Beats with a close a minute: strategies that want nothing close what an exit left."""
    book.want(0.0)
    for _ in range(seconds // 10):
        book.live(10, 2.0)
        book.bar()
