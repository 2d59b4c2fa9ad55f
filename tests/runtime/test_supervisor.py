"""The supervisor: one engine in a folder, started and restarted through recovery, stopped without losing anything."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from running_engine import (
    demo,
    judge_says,
    open_at_the_venues,
    order,
    receipt,
    running,
    settings_for,
    stop_is_flat,
    until,
    wait_for_trades,
)

from engine.domain.commands import CommandStatus, EmergencyStop, PlaceOrder, Rearm, SetSpeed, SetTrading, TradingState
from engine.domain.errors import AlreadyRunning, BadInput, CannotRecord, EngineError
from engine.domain.facts import Notice, StopStep
from engine.domain.instruments import InstrumentKey
from engine.domain.market import MarketEvent
from engine.domain.orders import OrderIntent, OrderState, OrderType, OrderUpdate, Purpose, Side
from engine.runtime.book_thread import BookThread
from engine.runtime.clock import SystemClock
from engine.runtime.supervisor import Supervisor
from engine.storage.ballast import BALLAST_FILE
from engine.storage.chain import load_or_create_key
from engine.storage.lease import mark_restored, restored_reason
from engine.storage.money import MoneyStore
from engine.trading.config import BookConfig
from engine.trading.loop import TradingLoop
from engine.trading.recovery import Recovered, recover

CLOSED_PORT = "http://127.0.0.1:9"


def notices(supervisor: Supervisor) -> list[str]:
    return [item.title for item in supervisor.observations.drain() if isinstance(item, Notice)]


def break_the_loop(supervisor: Supervisor, error: BaseException) -> None:
    """Let the next event of the running loop raise."""

    def broken(event: MarketEvent) -> None:
        raise error

    loop_of(life_of(supervisor)).core.process = broken  # type: ignore[assignment,method-assign]


def life_of(supervisor: Supervisor, book: str = "demo") -> BookThread:
    """The thread that runs a book now."""
    assert supervisor.thread is not None
    thread = supervisor.thread.book(book)
    assert thread is not None
    return thread


def loop_of(life: BookThread) -> TradingLoop:
    assert life.running is not None
    return life.running.loop


def crash(supervisor: Supervisor, error: BaseException | None = None) -> None:
    """End the loop by an error and wait until another one lives."""
    before = life_of(supervisor)
    break_the_loop(supervisor, error or RuntimeError("made for this test"))
    until(lambda: life_of(supervisor) is not before and supervisor.is_alive(), "the loop to be started again")


def test_start_then_trades_and_stop_leaves_books_that_the_venues_confirm(tmp_path: Path) -> None:
    with running(tmp_path) as supervisor:
        wait_for_trades(supervisor)
        assert supervisor.is_alive()
        assert supervisor.state() is TradingState.ACTIVE
        shown = demo(supervisor)
        assert shown.simulated
        assert shown.equity > 0
    assert judge_says(tmp_path) == []


def test_stop_and_start_then_the_same_books(tmp_path: Path) -> None:
    with running(tmp_path) as supervisor:
        wait_for_trades(supervisor)
    before = demo(supervisor)
    with running(tmp_path, demo__speed=1) as again:
        after = demo(again)
        assert again.snapshot().epoch == supervisor.snapshot().epoch + 1
    same = ("cash", "fees", "funding", "realised", "capital", "fills")
    assert {name: getattr(before, name) for name in same} == {name: getattr(after, name) for name in same}
    held = [[(p.sleeve, p.instrument, p.quantity, p.entry_price) for p in book.positions] for book in (before, after)]
    assert held[0] == held[1]
    ended_meanwhile = {o.client_id for o in before.orders} - {o.client_id for o in after.orders}
    assert {o.client_id for o in after.orders} <= {o.client_id for o in before.orders}
    assert not any(o.client_id in ended_meanwhile and o.sleeve == "manual" for o in before.orders)
    assert after.equity == pytest.approx(before.equity)
    assert judge_says(tmp_path) == []


def test_emergency_stop_through_the_control_file_then_verified_flat_and_confirmed_by_the_venues(tmp_path: Path) -> None:
    with running(tmp_path) as supervisor:
        wait_for_trades(supervisor)
        order(supervisor, EmergencyStop(None), "c-stop")
        assert receipt(supervisor, "c-stop").status is CommandStatus.DONE
        order(supervisor, EmergencyStop(None), "c-stop-2")
        assert "already under way" in receipt(supervisor, "c-stop-2").detail
        until(lambda: stop_is_flat(supervisor), "VERIFIED FLAT")
        shown = demo(supervisor)
        assert (shown.state, shown.latched, shown.positions, shown.orders) == (TradingState.HALTED, True, (), ())
        assert open_at_the_venues(tmp_path) == []
        assert shown.stop is not None
        assert [step for step, _, _ in shown.stop.steps] == list(StopStep)
        fills = shown.fills
        order(supervisor, SetTrading("demo", TradingState.ACTIVE), "c-on")
        assert receipt(supervisor, "c-on").status is CommandStatus.REFUSED
        assert demo(supervisor).fills == fills
        order(supervisor, Rearm("demo"), "c-rearm")
        assert receipt(supervisor, "c-rearm").status is CommandStatus.DONE
        until(lambda: demo(supervisor).fills > fills, "the re-armed book to trade")
    assert judge_says(tmp_path) == []


def test_fault_41_loop_dies_then_is_started_again_through_recovery_and_trades_on(tmp_path: Path) -> None:
    with running(tmp_path) as supervisor:
        wait_for_trades(supervisor)
        epoch = supervisor.snapshot().epoch
        crash(supervisor)
        assert supervisor.snapshot().epoch == epoch + 1
        assert supervisor.snapshot().restarts == supervisor.restarts == 1
        assert "The demo book was started again; the others ran on" in notices(supervisor)
        fills = demo(supervisor).fills
        until(lambda: demo(supervisor).fills > fills, "another fill")
        assert demo(supervisor).state is TradingState.ACTIVE
    assert judge_says(tmp_path) == []


def test_fault_41_loop_dies_too_often_then_halted_until_a_person_looks(tmp_path: Path) -> None:
    with running(tmp_path, engine__max_restarts=1) as supervisor:
        wait_for_trades(supervisor)
        crash(supervisor)
        assert demo(supervisor).state is TradingState.ACTIVE
        crash(supervisor)
        assert demo(supervisor).state is TradingState.HALTED
        assert "2 restarts within" in demo(supervisor).state_reason
        order(supervisor, SetTrading("demo", TradingState.ACTIVE), "c-on")
        assert receipt(supervisor, "c-on").status is CommandStatus.DONE


def test_fault_42_loop_hangs_then_is_replaced_and_can_do_nothing_once_it_wakes(tmp_path: Path) -> None:
    with running(tmp_path, engine__hung_after_s=2) as supervisor:
        wait_for_trades(supervisor)
        hung, wake = life_of(supervisor), threading.Event()
        loop = loop_of(hung)
        process = loop.core.process

        def stuck(event: MarketEvent) -> Any:
            wake.wait(30)
            return process(event)

        loop.core.process = stuck  # type: ignore[method-assign]
        until(lambda: life_of(supervisor) is not hung and supervisor.is_alive(), "the hung loop to be replaced")
        fills = demo(supervisor).fills
        wake.set()
        hung.join(10)
        assert not hung.is_alive()
        until(lambda: demo(supervisor).fills > fills, "the new loop to trade")
    assert judge_says(tmp_path) == []


def test_fault_44_second_engine_in_the_process_then_refused_with_who_runs_there(tmp_path: Path) -> None:
    with running(tmp_path) as supervisor:
        second = Supervisor(settings_for(tmp_path))
        with pytest.raises(AlreadyRunning, match="in use by process"):
            second.start()
        assert supervisor.is_alive()
    third = Supervisor(settings_for(tmp_path))
    third.start()
    third.stop()


def test_folder_when_the_start_fails_then_is_free_for_the_next_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: MoneyStore, installation: str) -> int:
        raise CannotRecord("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(MoneyStore, "acquire_lease", refuse)
        supervisor = Supervisor(settings_for(tmp_path))
        with pytest.raises(CannotRecord, match="the disk is full"):
            supervisor.start()
    with running(tmp_path) as again:
        assert again.is_alive()


@pytest.mark.parametrize("at", ["engine.runtime.starting.take_baseline", "engine.runtime.starting._limits"])
def test_first_start_when_interrupted_then_the_next_one_completes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    def killed(*_: object) -> None:
        raise CannotRecord("killed here")

    with monkeypatch.context() as patch:
        patch.setattr(at, killed)
        with pytest.raises(CannotRecord):
            Supervisor(settings_for(tmp_path)).start()
    with running(tmp_path) as supervisor:
        assert demo(supervisor).state is TradingState.ACTIVE, demo(supervisor).state_reason
        assert len(demo(supervisor).sleeves) == 3
        assert demo(supervisor).capital == 100_000
        wait_for_trades(supervisor)
    assert judge_says(tmp_path) == []


def test_snapshot_before_the_start_then_an_error_and_not_an_empty_book(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="not started"):
        Supervisor(settings_for(tmp_path)).snapshot()


# -- commands ----------------------------------------------------------------------------------------------------------


def test_fault_64_stop_given_while_no_loop_runs_then_carried_out_at_the_next_start(tmp_path: Path) -> None:
    with running(tmp_path) as supervisor:
        wait_for_trades(supervisor)
        break_the_loop(supervisor, RuntimeError("down"))
        order(supervisor, EmergencyStop(None), "c-stop", wake=False)
        until(lambda: supervisor.restarts == 1 and demo(supervisor).latched, "the stop to be carried out")
    assert judge_says(tmp_path) == []


def test_command_that_breaks_the_loop_then_is_given_up_and_the_engine_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(tmp_path) as supervisor:
        wait_for_trades(supervisor)
        carry_out = "engine.trading.loop.carry_out"

        def poisoned(core: Any, command: Any, at: Any) -> Any:
            raise KeyError("a fault of ours")

        before = life_of(supervisor)
        with monkeypatch.context() as patch:
            patch.setattr(carry_out, poisoned)
            order(supervisor, SetTrading("demo", TradingState.HALTED), "c-poison")
            answer = receipt(supervisor, "c-poison")
            until(lambda: life_of(supervisor) is not before and supervisor.is_alive(), "the loop to be started again")
        assert answer.status is CommandStatus.UNKNOWN
        assert "the engine failed while carrying it out" in answer.detail
        assert supervisor.restarts == 1
        order(supervisor, SetTrading("demo", TradingState.HALTED), "c-good")
        assert receipt(supervisor, "c-good").status is CommandStatus.DONE


def test_command_for_a_book_that_does_not_run_then_refused_by_name(tmp_path: Path) -> None:
    with running(tmp_path) as supervisor:
        order(supervisor, SetTrading("paper", TradingState.HALTED), "c-1")
        assert "there are demo" in receipt(supervisor, "c-1").detail
        order(supervisor, SetSpeed("demo", 777), "c-2")
        assert receipt(supervisor, "c-2").status is CommandStatus.DONE
        until(lambda: demo(supervisor).speed == 777, "the new speed to be shown")
        order(supervisor, SetSpeed("demo", 5000), "c-3")
        assert receipt(supervisor, "c-3").status is CommandStatus.REFUSED


# -- storage -----------------------------------------------------------------------------------------------------------


def test_fault_48_disk_full_then_nothing_is_sent_and_the_reserve_lets_exits_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.runtime.build.BookConfig", partial(BookConfig, look_gap_s=0.2))
    with running(tmp_path) as supervisor:
        wait_for_trades(supervisor)
        append: Callable[..., Any] = MoneyStore.append
        reserve = tmp_path / BALLAST_FILE
        assert reserve.stat().st_size > 1 << 20

        def full(self: MoneyStore, *arguments: Any) -> Any:
            if reserve.exists():
                raise CannotRecord("money.sqlite could not be written: the disk is full")
            return append(self, *arguments)

        monkeypatch.setattr(MoneyStore, "append", full)
        until(lambda: demo(supervisor).state is TradingState.HALTED, "the book to be halted")
        assert "the space in reserve was released" in demo(supervisor).state_reason
        assert not reserve.exists()
        some = demo(supervisor).instruments[0]
        order(supervisor, PlaceOrder("demo", some.key, Side.BUY, some.lot_size, OrderType.MARKET), "c-buy")
        assert receipt(supervisor, "c-buy").status is CommandStatus.REFUSED
        order(supervisor, EmergencyStop(None), "c-stop")
        until(lambda: stop_is_flat(supervisor), "VERIFIED FLAT")
    assert open_at_the_venues(tmp_path) == []
    assert judge_says(tmp_path) == []


# -- the paper book ----------------------------------------------------------------------------------------------------


def test_fault_25_paper_feed_without_a_network_then_says_offline_and_the_demo_trades_on(tmp_path: Path) -> None:
    with running(tmp_path) as supervisor:
        wait_for_trades(supervisor)
        fills, restarts = demo(supervisor).fills, supervisor.restarts
        supervisor.switch_book("paper", settings_for(tmp_path, paper__rest_url=CLOSED_PORT), wanted=True)
        until(lambda: supervisor.snapshot().book("paper").feeds[0].detail != "no data yet", "the feed to speak")
        paper = supervisor.snapshot().book("paper")
        assert [feed.online for feed in paper.feeds] == [False]
        assert not paper.simulated
        assert paper.equity == paper.capital
        assert paper.market_time is None or paper.market_time <= supervisor.clock.now()
        until(lambda: demo(supervisor).fills > fills, "the demo to trade on")
        assert demo(supervisor).state is TradingState.ACTIVE
        order(supervisor, EmergencyStop("paper"), "c-paper")
        until(lambda: supervisor.snapshot().book("paper").latched, "the paper book to be latched")
        assert not demo(supervisor).latched
        supervisor.switch_book("paper", settings_for(tmp_path), wanted=False)
        assert [book.name for book in supervisor.snapshot().books] == ["demo"]
        assert supervisor.restarts == restarts
        supervisor.switch_book("paper", settings_for(tmp_path, paper__rest_url=CLOSED_PORT), wanted=True)
        assert supervisor.snapshot().book("paper").latched, "a latch outlives switching the book off"
    assert judge_says(tmp_path) == []


def test_book_when_it_is_stuck_and_switched_off_then_it_can_do_nothing_once_it_wakes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.runtime.supervisor.END_TIMEOUT_S", 0.2)
    offline = {"paper__enabled": True, "paper__rest_url": CLOSED_PORT}
    with running(tmp_path, **offline) as supervisor:
        stuck, wake, held = life_of(supervisor, "paper"), threading.Event(), threading.Event()
        loop = loop_of(stuck)
        hear = loop.hear

        def hang() -> None:
            held.set()
            wake.wait(30)
            hear()

        loop.hear = hang  # type: ignore[method-assign]
        assert held.wait(10)
        life = life_of(supervisor)
        supervisor.switch_book("paper", settings_for(tmp_path), wanted=False)
        assert [book.name for book in supervisor.snapshot().books] == ["demo"]
        with pytest.raises(EngineError, match="replaced while it hung"):
            loop._sender.require_place()
        wake.set()
        stuck.join(10)
        assert not stuck.is_alive()
        assert life_of(supervisor) is life, "the demo ran on, in the same life"
        assert supervisor.restarts == 0
    assert judge_says(tmp_path) == []


def test_restore_then_the_book_is_halted_before_recovery_sends_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(tmp_path) as supervisor:
        wait_for_trades(supervisor)
    mark_restored(tmp_path, "restored from a backup")
    seen: list[TradingState] = []

    def watched(loop: TradingLoop, wait: Callable[[float], None]) -> Recovered:
        seen.append(loop.book.state)
        return recover(loop, wait)

    monkeypatch.setattr("engine.runtime.starting.recover", watched)
    with running(tmp_path) as again:
        assert seen == [TradingState.HALTED]
        assert (demo(again).state, demo(again).state_reason) == (TradingState.HALTED, "restored from a backup")
    with running(tmp_path) as later:
        assert demo(later).state is TradingState.HALTED, "a restart does not end it"


def test_restore_when_the_paper_book_cannot_start_then_it_is_halted_once_it_can(tmp_path: Path) -> None:
    offline = {"paper__enabled": True, "paper__rest_url": CLOSED_PORT}
    with running(tmp_path, **offline) as supervisor:
        assert supervisor.snapshot().book("paper").state is TradingState.ACTIVE
    mark_restored(tmp_path, "restored from a backup")
    with running(tmp_path, **offline, paper__symbols=["NOSUCHCOIN/USDT"]) as without:
        assert [(book.name, book.state) for book in without.snapshot().books] == [("demo", TradingState.HALTED)]
    with running(tmp_path, **offline) as later:
        paper = later.snapshot().book("paper")
        assert (paper.state, paper.state_reason) == (TradingState.HALTED, "restored from a backup")
    assert restored_reason(tmp_path) is None


def test_paper_feed_that_cannot_be_built_then_refused_and_the_demo_trades_on(tmp_path: Path) -> None:
    with running(tmp_path) as supervisor:
        wait_for_trades(supervisor)
        before = life_of(supervisor)
        wrong = settings_for(tmp_path, paper__symbols=["NOSUCHCOIN/USDT"], paper__rest_url=CLOSED_PORT)
        with pytest.raises(BadInput, match="NOSUCHCOIN"):
            supervisor.switch_book("paper", wrong, wanted=True)
        fills = demo(supervisor).fills
        until(lambda: demo(supervisor).fills > fills, "the demo to trade on")
        assert life_of(supervisor) is before
        assert supervisor.restarts == 0
    with running(tmp_path, paper__enabled=True, paper__symbols=["NOSUCHCOIN/USDT"]) as again:
        assert [book.name for book in again.snapshot().books] == ["demo"]
        assert any("paper book could not be started" in title for title in notices(again))


def test_paper_book_when_given_another_exchange_then_its_capital_goes_along(tmp_path: Path) -> None:
    offline = {"paper__enabled": True, "paper__rest_url": CLOSED_PORT, "demo__enabled": False}
    with running(tmp_path, paper__exchange="binance", **offline) as supervisor:
        before = supervisor.snapshot().book("paper")
    with running(tmp_path, paper__exchange="kraken", **offline) as supervisor:
        after = supervisor.snapshot().book("paper")
        assert after.state is TradingState.ACTIVE, after.state_reason
        assert (after.cash, after.equity, after.capital) == (before.cash, before.equity, before.capital)
        assert {key.split(":")[0] for sleeve in after.sleeves for key in sleeve.instruments} == {"kraken"}
    with running(tmp_path, paper__exchange="binance", **offline) as supervisor:
        assert supervisor.snapshot().book("paper").state is TradingState.ACTIVE
        assert supervisor.snapshot().book("paper").pnl.today == 0


def test_paper_book_when_an_order_rests_at_the_exchange_it_would_leave_then_refused_and_the_demo_trades(
    tmp_path: Path,
) -> None:
    offline = {"paper__enabled": True, "paper__rest_url": CLOSED_PORT}
    with running(tmp_path, paper__exchange="binance", **offline) as supervisor:
        epoch = supervisor.snapshot().epoch
    store = MoneyStore(tmp_path / "money.sqlite", load_or_create_key(tmp_path / "keys" / "journal.key"), SystemClock())
    try:
        now = datetime.now(UTC)
        code, key, price = f"p{epoch:03d}rest", InstrumentKey("binance:BTC/USDT"), Decimal(50_000)
        intent = OrderIntent(
            code, key, Side.BUY, Decimal("0.01"), OrderType.LIMIT, Purpose.ENTRY, "manual", now, price, price
        )
        resting = OrderUpdate(code, "binance", key, OrderState.WORKING, Decimal(0), now, "o-1")
        store.journal("paper", epoch).append([intent, resting], now)
    finally:
        store.close()
    with running(tmp_path, paper__exchange="kraken", **offline) as supervisor:
        assert [book.name for book in supervisor.snapshot().books] == ["demo"]
        told = [item for item in supervisor.observations.drain() if isinstance(item, Notice)]
        assert any(code in item.detail and "cancel them before" in item.detail for item in told)
        wait_for_trades(supervisor)
