"""A book that is anything but calm lives every bar; a calm one is left alone until something may happen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal

import numpy as np
import pytest
from kernel_twin import HOUR, START_MS, candles_of

from engine.domain.commands import TradingState
from engine.domain.facts import LatchReleased, StopStep
from engine.domain.instruments import Instrument, InstrumentKey, Kind
from engine.domain.market import Bars, Candle, from_ms
from engine.domain.orders import CashFlow, Fill, Liquidity, OrderIntent, OrderState, OrderType, Purpose, Side
from engine.execution.identity import ClientIds
from engine.execution.tracker import TrackedOrder
from engine.ledger.holdings import SleeveTotals
from engine.ledger.ledger import Ledger
from engine.risk.counters import ErrorWindow, FailedTrades
from engine.simulation.foresight import Timeline, Values
from engine.simulation.quiet import Quiet
from engine.simulation.replay_source import ReplaySource
from engine.trading.book import TAKEN, Book
from engine.trading.config import BookConfig, BrakeMode
from engine.trading.core import TradingCore
from engine.trading.emergency import StopRun
from engine.trading.sleeves import Sleeve, build_strategy

D = Decimal
SPOT = Instrument("aa", "BTC", "USDT", Kind.SPOT, D("0.01"), D("0.001"))
NAME, ROWS, ROW = "momentum", 20, 3
WHERE = (NAME, SPOT.key)
AT = from_ms(START_MS + (ROW + 1) * HOUR.ms)


@dataclass(frozen=True)
class Steady:
    """One conviction throughout, without a stop; NaN is never a view."""

    conviction: float

    def values(self, sleeve: Sleeve, key: InstrumentKey) -> Values:
        return Values(np.full(ROWS, self.conviction), np.full(ROWS, np.nan))


class Desk:
    """A book that holds a coin, at the close of `ROW`, and what is known ahead."""

    def __init__(self, conviction: float = np.nan, *, holds: bool = True) -> None:
        candles = candles_of([(100.0, 101.0, 99.0, 100.0, 10.0)] * ROWS)
        config = BookConfig("replay", "replay", "r0", simulated=False, base_currency="USDT", bar=HOUR)
        self.book = Book(config, ClientIds("r0", "00000", 0), Ledger("USDT"))
        self.book.add_instrument(SPOT)
        self.book.ledger.apply_flow(CashFlow("aa", "f", "USDT", D(1000), AT, "capital"))
        self.book.units.flow(D(1000))
        fill = Fill(
            "aa", "main", "t", "c", "o", SPOT.key, Side.BUY, D(1), D(101), D(0), "USDT", Liquidity.TAKER, AT
        )  # fmt: skip
        if holds:
            self.book.ledger.apply_fill(fill, NAME)
        strategy, values = build_strategy(NAME, "{}")
        self.book.sleeves[NAME] = Sleeve(NAME, strategy, values, (SPOT.key,), D(1), running=True)
        self.mark(D(100))
        self.book.equity = self.book.ledger.equity(self.book.price)
        self.core = TradingCore(self.book)
        self.changes = 0
        source = ReplaySource({SPOT: candles})
        timeline = Timeline(source, [SPOT], self.book.sleeves.values(), Steady(conviction))
        self.quiet = Quiet(timeline, 0.005, lambda: self.changes)

    def mark(self, price: Decimal) -> None:
        candle = Candle(SPOT.key, HOUR, from_ms(START_MS + ROW * HOUR.ms), price, price, price, price, D(1))
        self.book.marks.apply(Bars(AT, (candle,)))

    def order(self, purpose: Purpose, client_id: str = "c1", parent_id: str | None = None) -> TrackedOrder:
        is_stop = purpose is Purpose.STOP
        intent = OrderIntent(
            client_id, SPOT.key, Side.SELL if is_stop else Side.BUY, D(1),
            OrderType.STOP if is_stop else OrderType.MARKET, purpose, NAME, AT, D(100),
            stop_price=D(90) if is_stop else None, parent_id=parent_id,
        )  # fmt: skip
        tracked = self.book.tracker.add(intent)
        tracked.state = OrderState.WORKING
        return tracked

    def until(self) -> int:
        return self.quiet.until(ROW, self.core)


def over(*steps: StopStep, brake: BrakeMode = BrakeMode.LATCH, holds: bool = False) -> Desk:
    """A desk whose brake has tripped, with these proofs of being flat."""
    desk = Desk(holds=holds)
    desk.book.config = replace(desk.book.config, brake=brake)
    desk.book.state, desk.book.latched = TradingState.HALTED, True
    desk.book.stop = StopRun("brake", "drawdown", "engine", AT, [(step, "seen", AT) for step in steps])
    return desk


def restricted(desk: Desk) -> None:
    desk.book.state = TradingState.CLOSE_ONLY


def latched(desk: Desk) -> None:
    desk.book.latched = True


def without_equity(desk: Desk) -> None:
    desk.book.equity = None


def failing_venue(desk: Desk) -> None:
    desk.book.venue_errors["aa"] = ErrorWindow(10).failed(AT)


def catching_up(desk: Desk) -> None:
    desk.book.catching_up = True


def unsure(desk: Desk) -> None:
    desk.core.look_at_all()


def brake_waits(desk: Desk) -> None:
    desk.book.brake = replace(desk.book.brake, tripped_since=AT)


def equity_was_unknown(desk: Desk) -> None:
    desk.book.brake = replace(desk.book.brake, unknown_since=AT)


def trade_failed(desk: Desk) -> None:
    desk.book.failed_trades = FailedTrades(3, 1)


def trails(desk: Desk) -> None:
    desk.book.trails[WHERE] = D(5)


def best_price_known(desk: Desk) -> None:
    desk.book.best_prices[WHERE] = D(105)


def external_fills(desk: Desk) -> None:
    desk.book.ledger.sleeves["external"] = SleeveTotals()


def other_mark(desk: Desk) -> None:
    desk.mark(D(150))


def entry_works(desk: Desk) -> None:
    desk.order(Purpose.ENTRY)


def stop_unproven(desk: Desk) -> None:
    desk.order(Purpose.STOP).state = OrderState.UNKNOWN


def stop_filling(desk: Desk) -> None:
    desk.order(Purpose.STOP).filled = D("0.1")


def stop_said_to_fill(desk: Desk) -> None:
    desk.order(Purpose.STOP).reported = D("0.1")


def stop_of_a_target_in_work(desk: Desk) -> None:
    parent = desk.order(Purpose.TARGET, "c0")
    assert parent.remaining
    desk.order(Purpose.STOP, parent_id="c0")


UNREST = (
    restricted, latched, without_equity, failing_venue, catching_up, unsure, brake_waits, equity_was_unknown,
    trade_failed, trails, best_price_known, external_fills, other_mark, entry_works, stop_unproven, stop_filling,
    stop_said_to_fill, stop_of_a_target_in_work,
)  # fmt: skip


@pytest.mark.parametrize("happens", UNREST, ids=lambda happens: happens.__name__)
def test_until_when_the_book_is_not_calm_then_the_next_bar_is_lived(happens: Callable[[Desk], None]) -> None:
    desk = Desk()
    happens(desk)
    assert desk.until() == ROW + 1


def test_until_when_the_book_is_calm_then_the_last_bar_alone_is_lived() -> None:
    assert Desk().until() == ROWS - 1


def test_until_when_a_stop_rests_out_of_reach_then_it_is_as_calm() -> None:
    desk = Desk()
    desk.order(Purpose.STOP)
    assert desk.until() == ROWS - 1


def test_until_when_the_stop_has_moved_into_reach_then_the_next_bar_is_lived() -> None:
    desk = Desk()
    desk.order(Purpose.STOP).stop_price = D(99)
    assert desk.until() == ROW + 1


def test_until_when_a_fact_came_then_the_book_is_looked_at_again() -> None:
    desk = Desk()
    desk.until()
    desk.order(Purpose.ENTRY)
    assert desk.until() == ROWS - 1
    desk.changes += 1
    assert desk.until() == ROW + 1


def test_until_when_peaks_and_latches_changed_without_a_fact_then_they_count() -> None:
    desk = Desk()
    desk.book.units.peak = D("0.9")  # equity is 0.999 a unit
    assert desk.until() == ROW + 1
    desk.book.units.peak = D(1)
    assert desk.until() == ROWS - 1
    desk.book.sleeve_peaks[NAME] = D(-2)  # it has lost 1
    assert desk.until() == ROW + 1


def test_until_when_the_last_bar_was_lived_then_there_is_none_beyond() -> None:
    desk = Desk()
    assert desk.quiet.until(ROWS - 1, desk.core) == ROWS


def test_until_when_a_latch_is_released_then_the_wish_counts_again() -> None:
    desk = Desk(1.0)
    desk.book.stopped_out[WHERE] = TAKEN
    assert desk.until() == ROWS - 1
    desk.core.apply(LatchReleased(*WHERE, AT))
    desk.changes += 1
    assert desk.until() == ROW + 1


def test_until_when_the_brake_has_ended_the_run_then_nothing_is_lived() -> None:
    assert over(StopStep.VERIFIED_FLAT).until() == ROWS - 1


@pytest.mark.parametrize(
    "desk",
    [
        over(StopStep.NO_POSITIONS),
        over(StopStep.VERIFIED_FLAT, holds=True),
        over(StopStep.VERIFIED_FLAT, brake=BrakeMode.RESET),
    ],
    ids=["not flat yet", "dust is left", "it lets go again"],
)
def test_until_when_the_run_may_go_on_after_the_brake_then_the_next_bar_is_lived(desk: Desk) -> None:
    assert desk.until() == ROW + 1
