"""What readers are told of a book: unknown is said to be unknown, and why it trades no more."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

from engine.domain.commands import ClosePosition, PlaceOrder, SetTrading, TradingState
from engine.domain.market import BookTop, Quotes
from engine.domain.orders import OrderType, Side
from engine.domain.portfolio import BookSnapshot, EngineSnapshot
from engine.exchanges.paper.faults import Call, Fault
from engine.risk.limits import RiskConfig
from engine.runtime.status import status_of
from engine.trading.report import report
from tests.trading.harness import PERP, D, Desk


def told(desk: Desk) -> BookSnapshot:
    return report(desk.book, (), desk.clock.now(), desk.loop.sequence)


def holding() -> Desk:
    desk = Desk(PERP)
    desk.want(1.0)
    desk.bar("100")
    desk.bar("100")
    assert desk.held() > 0
    return desk


def used(book: BookSnapshot, name: str) -> Decimal | None:
    return next(limit.used for limit in book.limits if limit.name == name)


def test_book_when_it_was_recovered_and_no_price_came_yet_then_its_value_is_said_to_be_unknown() -> None:
    desk = holding()
    desk.bar("100", close="97")
    assert told(desk).is_valued
    desk.restart()
    after = told(desk)
    assert not after.is_valued
    assert all(position.unrealised is None for position in after.positions)
    assert used(after, "brake_drawdown") is None
    desk.bar("97")
    assert told(desk).is_valued


def test_book_when_it_holds_nothing_then_its_value_is_known_without_prices() -> None:
    desk = Desk(PERP)
    desk.restart()
    assert (told(desk).is_valued, told(desk).equity) == (True, desk.book.ledger.cash())


def test_book_when_prices_came_and_no_close_yet_then_it_is_valued_at_them_for_readers_alone() -> None:
    desk = holding()
    desk.bar("100", close="97")
    before = told(desk)
    desk.restart()
    value, peak = desk.book.units.value, desk.book.units.peak
    top = BookTop(desk.key, desk.at, D("96.99"), D("97.01"), D(1), D(1))
    desk.loop.step(Quotes(desk.at, (top,)))
    after = told(desk)
    assert (after.is_valued, after.equity, after.drawdown) == (True, before.equity, before.drawdown)
    assert (desk.book.units.value, desk.book.units.peak) == (value, peak)


def test_status_when_the_book_cannot_be_valued_then_null_and_not_the_last_figure() -> None:
    desk = holding()
    known, unknown = (engine_status(each) for each in (told(desk), replace(told(desk), is_valued=False)))
    for name in ("equity", "unrealised", "drawdown"):
        assert isinstance(known[name], str)
        assert unknown[name] is None
    assert unknown["cash"] == known["cash"]


def engine_status(book: BookSnapshot) -> dict[str, Any]:
    at = book.published_at
    return status_of(EngineSnapshot(at, at, "0", 1, 0, (book,), None, None, 0, 0))


def test_failed_trades_when_they_close_the_book_then_the_alert_names_them_and_says_what_to_do() -> None:
    desk = holding()
    details: list[str] = []
    desk.loop._observer = lambda event, outcome: details.extend(
        notice.detail for notice in outcome.notices if notice.key == "test:failed-trades"
    )
    desk.venue.faults.plan(Call.SUBMIT, *[Fault.REJECTED] * 3)
    for number in range(3):
        desk.command(PlaceOrder("test", desk.key, Side.BUY, D(number + 1), OrderType.MARKET), f"buy-{number}")
    desk.bar("100")
    (detail,) = details
    assert detail.startswith("3 failed trades in a row: buy 1 v:BTC/USDT:USDT (")
    assert "; buy 3 v:BTC/USDT:USDT (" in detail
    assert detail.endswith("Look at the orders on the Positions page, then set the book ACTIVE on the Risk page.")


def test_failed_trades_when_a_fill_comes_after_they_closed_the_book_then_the_table_still_shows_them() -> None:
    desk = holding()
    desk.venue.faults.plan(Call.SUBMIT, *[Fault.REJECTED] * 3)
    for number in range(3):
        desk.command(PlaceOrder("test", desk.key, Side.BUY, D(1), OrderType.MARKET), f"buy-{number}")
    desk.bar("100")
    assert used(told(desk), "failed_trades_limit") == 3
    desk.command(ClosePosition("test", "momentum", desk.key, D(1)), "close")
    desk.bar("100")
    assert desk.held() == 0
    assert desk.book.state is TradingState.CLOSE_ONLY
    assert used(told(desk), "failed_trades_limit") == 3
    desk.command(SetTrading("test", TradingState.ACTIVE), "on")
    assert used(told(desk), "failed_trades_limit") == 0


def test_position_when_its_stop_trails_and_it_has_a_target_then_both_are_told_where_they_lie_now() -> None:
    desk = Desk(PERP)
    desk.book.set_risk(RiskConfig(take_profit=D(4), trail=D(1)))
    desk.want(1.0)
    desk.bar("100")
    desk.bar("100")
    desk.bar("100", high="115", close="114")
    (position,) = told(desk).positions
    assert (position.stop_price, position.target_price, position.trails) == (105, 140, True)
    stops = [order.stop_price for order in told(desk).orders if order.stop_price is not None]
    assert stops == [105]


def test_position_when_there_is_no_target_then_none_is_told() -> None:
    (position,) = told(holding()).positions
    assert (position.target_price, position.trails) == (None, False)
