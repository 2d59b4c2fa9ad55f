"""Executions that come in another order than the venue booked them: nothing is missing, so nothing stops."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.domain.commands import PlaceOrder, TradingState
from engine.domain.orders import Approved, Fill, FundingPaid, Liquidity, OrderIntent, OrderType, Purpose, Side
from engine.exchanges.paper.faults import Call, Fault
from engine.ledger.ledger import Ledger
from engine.trading.recovery import Reconciler, compare
from tests.trading.harness import PERP, D, Desk

Execution = Fill | FundingPaid
Trades = list[tuple[int, int, bool]]
"""Lots bought (positive) or sold, the price of the bar they fill in, and whether an order of ours did it."""

TRADES: st.SearchStrategy[Trades] = st.lists(
    st.tuples(st.integers(-30, 30).filter(bool), st.integers(90, 110), st.booleans()), min_size=2, max_size=6
)


def after(trades: Trades) -> tuple[Desk, list[Execution]]:
    """A book that has heard of none of the trades, and what the venue executed, in its order."""
    desk = Desk(PERP)
    desk.bar("100")
    for number, (lots, price, ours) in enumerate(trades):
        side, size = Side.BUY if lots > 0 else Side.SELL, D(abs(lots)) / 10
        if ours:
            desk.command(PlaceOrder("test", desk.key, side, size, OrderType.MARKET), f"c-{number}")
        else:
            foreign = OrderIntent(
                f"x{number}", desk.key, side, size, OrderType.MARKET, Purpose.ENTRY, "external", desk.at, D(100)
            )
            desk.venue.submit(Approved(foreign))
        desk.venue.faults.plan(Call.OBSERVE, Fault.WITHHELD)
        desk.bar(str(price))
    executions, desk.book.cursors["v"] = desk.venue.executions_since(desk.book.cursors["v"])
    assert len(executions) == len(trades)
    return desk, list(executions)


@settings(max_examples=60, deadline=None)
@example([(10, 100, True), (10, 110, True), (-10, 105, True)], [2, 1, 0])
@given(TRADES, st.permutations(range(6)))
def test_executions_when_they_come_in_any_order_then_books_and_venue_agree(trades: Trades, order: list[int]) -> None:
    desk, executions = after(trades)
    shuffled = [executions[place] for place in order if place < len(executions)]
    for execution in shuffled:
        desk.loop.take([execution], desk.at)
    assert compare(desk.loop) == []
    watch = Reconciler(desk.loop, desk.clock)
    for _ in range(3):
        desk.pass_time(11)
        watch.drive()
    assert desk.book.state is TradingState.ACTIVE


def without_the_last(executions: Sequence[Execution]) -> list[Execution]:
    return list(executions[:-1])


def with_one_twice(executions: Sequence[Execution]) -> list[Execution]:
    first = executions[0]
    assert isinstance(first, Fill)
    return [*executions, replace(first, trade_id="another number")]


def at_another_price(executions: Sequence[Execution]) -> list[Execution]:
    first = executions[0]
    assert isinstance(first, Fill)
    return [replace(first, price=first.price + PERP.tick_size), *executions[1:]]


def without_a_round_trip(executions: Sequence[Execution]) -> list[Execution]:
    return list(executions[2:])


@pytest.mark.parametrize("spoilt", [without_the_last, with_one_twice, at_another_price, without_a_round_trip])
def test_executions_when_one_is_missing_doubled_or_wrong_then_books_and_venue_differ(
    spoilt: Callable[[Sequence[Execution]], list[Execution]],
) -> None:
    desk, executions = after([(10, 100, False), (-10, 101, False), (20, 105, False), (-5, 103, False)])
    desk.loop.take(reversed(spoilt(executions)), desk.at)
    assert "the books say" in compare(desk.loop)[0]


def test_executions_when_out_of_order_and_restarted_then_still_not_halted() -> None:
    desk, executions = after([(10, 100, True), (10, 110, True), (-10, 105, True)])
    desk.loop.take(reversed(executions), desk.at)
    desk.loop.maybe_checkpoint(force=True)
    assert desk.restart() == ()
    assert desk.book.state is TradingState.ACTIVE


@settings(max_examples=60, deadline=None)
@given(TRADES, st.permutations(range(6)))
def test_ledger_when_fills_come_in_any_order_then_position_and_equity_are_the_same(
    trades: Trades, order: list[int]
) -> None:
    _, executions = after(trades)
    fills = [one for one in executions if isinstance(one, Fill)]

    def booked(these: Sequence[Fill]) -> tuple[Decimal, Decimal | None]:
        ledger = Ledger("USDT")
        ledger.register(PERP)
        for fill in these:
            ledger.apply_fill(fill, "manual")
        return ledger.account_position(PERP.key), ledger.equity(lambda key: D("98.7"))

    assert booked([fills[place] for place in order if place < len(fills)]) == booked(fills)


def test_external_executions_when_two_instruments_share_a_number_then_both_are_booked_and_each_once() -> None:
    other = replace(PERP, base="ETH")
    desk = Desk(PERP, others=(other,))
    first = Fill("v", "main", "7", "x1", "v1", PERP.key, Side.BUY, D(1), D(100), D(0), "USDT", Liquidity.TAKER, desk.at)
    second = replace(first, instrument=other.key)
    desk.loop.take([first, second, first], desk.at)
    desk.loop.take([second, first], desk.at)
    assert [desk.book.ledger.account_position(key) for key in (PERP.key, other.key)] == [1, 1]
    desk.loop.maybe_checkpoint(force=True)
    desk.epoch += 1
    desk._build()
    desk.loop.load()
    desk.loop.take([first, second], desk.at)
    assert [desk.book.ledger.account_position(key) for key in (PERP.key, other.key)] == [1, 1]
