"""The supervisor over several books: what happens to one is not felt by the others."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from running_engine import demo, judge_says, order, receipt, running, settings_for, until, wait_for_trades

from engine.domain.commands import CommandStatus, EmergencyStop, SetTrading, TradingState
from engine.domain.errors import BadInput, CannotRecord, EngineError, VenueUnreachable
from engine.domain.facts import Notice
from engine.domain.portfolio import BookSnapshot
from engine.runtime import build
from engine.runtime.book_thread import BookThread
from engine.runtime.sentinel import SENTINEL, order_stop_by_file
from engine.runtime.supervisor import Supervisor
from engine.storage.chain import load_or_create_key
from engine.storage.verify import verify, verify_projections
from engine.trading.loop import TradingLoop

OFFLINE: dict[str, Any] = {"paper__enabled": True, "paper__rest_url": "http://127.0.0.1:9"}


def life(supervisor: Supervisor, book: str) -> BookThread:
    assert supervisor.thread is not None
    thread = supervisor.thread.book(book)
    assert thread is not None
    return thread


def loop(supervisor: Supervisor, book: str) -> TradingLoop:
    running_book = life(supervisor, book).running
    assert running_book is not None
    return running_book.loop


def paper(supervisor: Supervisor) -> BookSnapshot:
    return supervisor.snapshot().book("paper")


def break_paper(supervisor: Supervisor, error: BaseException) -> None:
    """Let the paper book raise at its next turn, and wait for its next life."""
    before = life(supervisor, "paper")

    def broken() -> None:
        raise error

    loop(supervisor, "paper").hear = broken  # type: ignore[method-assign]
    until(lambda: life(supervisor, "paper") is not before and life(supervisor, "paper").has_begun, "its next life")


def hang_paper(supervisor: Supervisor) -> threading.Event:
    """Let the paper book hang at its next turn until the event is set."""
    held, go = threading.Event(), threading.Event()

    def hang() -> None:
        held.set()
        go.wait(60)

    loop(supervisor, "paper").hear = hang  # type: ignore[method-assign]
    assert held.wait(10)
    return go


def told(supervisor: Supervisor) -> list[str]:
    return [item.title for item in supervisor.observations.drain() if isinstance(item, Notice)]


def require_whole_record(folder: Path) -> None:
    report = verify(folder / "money.sqlite", load_or_create_key(folder / "keys" / "journal.key"))
    assert report.ok, report
    assert verify_projections(folder / "money.sqlite") == []
    assert judge_says(folder) == []


def test_fault_41_one_book_dies_then_it_alone_is_started_again_under_an_epoch_of_its_own(tmp_path: Path) -> None:
    with running(tmp_path, **OFFLINE) as supervisor:
        wait_for_trades(supervisor)
        before, epoch, engine = life(supervisor, "demo"), supervisor.snapshot().epoch, supervisor.thread
        break_paper(supervisor, RuntimeError("made for this test"))
        assert supervisor.thread is engine
        assert life(supervisor, "demo") is before
        assert supervisor.snapshot().epoch == epoch + 1
        assert supervisor.snapshot().restarts == supervisor.restarts == 1
        assert "The paper book was started again; the others ran on" in told(supervisor)
        fills = demo(supervisor).fills
        until(lambda: demo(supervisor).fills > fills, "the demo to trade on under its older epoch")
        order(supervisor, SetTrading("paper", TradingState.HALTED), "c-1")
        assert receipt(supervisor, "c-1").status is CommandStatus.DONE
    require_whole_record(tmp_path)


def test_fault_41_one_book_dies_too_often_then_it_alone_is_halted(tmp_path: Path) -> None:
    with running(tmp_path, engine__max_restarts=1, **OFFLINE) as supervisor:
        wait_for_trades(supervisor)
        break_paper(supervisor, RuntimeError("once"))
        assert paper(supervisor).state is TradingState.ACTIVE
        break_paper(supervisor, RuntimeError("twice"))
        assert paper(supervisor).state is TradingState.HALTED
        assert "2 restarts within" in paper(supervisor).state_reason
        assert demo(supervisor).state is TradingState.ACTIVE


def test_fault_42_one_book_hangs_then_it_alone_is_replaced_and_a_stop_reaches_the_others_at_once(
    tmp_path: Path,
) -> None:
    with running(tmp_path, engine__hung_after_s=4, **OFFLINE) as supervisor:
        wait_for_trades(supervisor)
        trading, stuck = life(supervisor, "demo"), life(supervisor, "paper")
        go = hang_paper(supervisor)
        order(supervisor, EmergencyStop(None), "c-stop")
        until(lambda: demo(supervisor).latched, "the stop of the book that answers")
        assert life(supervisor, "paper") is stuck, "it was not waited for"
        assert supervisor.is_alive()
        answer = receipt(supervisor, "c-stop")
        assert answer.status is CommandStatus.DONE, answer.detail
        assert life(supervisor, "paper") is not stuck
        assert life(supervisor, "demo") is trading
        assert paper(supervisor).latched
        go.set()
        stuck.join(10)
        assert not stuck.is_alive()
    require_whole_record(tmp_path)


def test_fault_48_when_the_shared_file_cannot_be_written_then_all_books_start_again_as_one(tmp_path: Path) -> None:
    with running(tmp_path, **OFFLINE) as supervisor:
        wait_for_trades(supervisor)
        before, epoch = supervisor.thread, supervisor.snapshot().epoch
        break_paper(supervisor, CannotRecord("money.sqlite could not be written: the disk is full"))
        until(lambda: supervisor.thread is not before, "the engine to be started again")
        assert supervisor.snapshot().epoch > epoch
        assert "The engine was started again" in told(supervisor)
        assert demo(supervisor).state is TradingState.HALTED
        assert "the space in reserve was released" in demo(supervisor).state_reason
    require_whole_record(tmp_path)


def test_book_whose_next_life_cannot_begin_then_tried_again_and_its_commands_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.runtime.restarts.FIRST_PAUSE_S", 0.1)
    begin, failures = build.build_paper, [BadInput("not now"), BadInput("not yet"), BadInput("nor then")]

    def sometimes(*arguments: Any) -> Any:
        if failures and armed.is_set():
            raise failures.pop()
        return begin(*arguments)

    armed = threading.Event()
    monkeypatch.setattr("engine.runtime.assembling.build_paper", sometimes)
    with running(tmp_path, engine__max_restarts=1, **OFFLINE) as supervisor:
        wait_for_trades(supervisor)
        trading = life(supervisor, "demo")
        armed.set()
        before = life(supervisor, "paper")

        def broken() -> None:
            raise RuntimeError("made for this test")

        loop(supervisor, "paper").hear = broken  # type: ignore[method-assign]
        until(lambda: life(supervisor, "paper") is not before, "its next life to be tried")
        assert paper(supervisor).state is TradingState.ACTIVE, "shown as it was"
        order(supervisor, SetTrading("paper", TradingState.CLOSE_ONLY), "c-1")
        assert receipt(supervisor, "c-1").status is CommandStatus.DONE
        assert paper(supervisor).state is TradingState.CLOSE_ONLY
        assert failures == []
        facts = [fact for _, fact in loop(supervisor, "paper")._journal.read(0)]
        assert not any("restarts within" in getattr(fact, "reason", "") for fact in facts)
        assert life(supervisor, "demo") is trading
        assert any("could not be started again" in title for title in told(supervisor))


@pytest.fixture
def stuck_build(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Building the paper book hangs until the event is set."""
    begin, go = build.build_paper, threading.Event()

    def stuck(*arguments: Any) -> Any:
        go.wait(60)
        return begin(*arguments)

    monkeypatch.setattr("engine.runtime.assembling.build_paper", stuck)
    yield go
    go.set()


def test_switch_when_the_book_takes_too_long_then_refused_and_the_demo_never_waited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stuck_build: threading.Event
) -> None:
    with running(tmp_path) as supervisor:
        wait_for_trades(supervisor)
        monkeypatch.setattr("engine.runtime.launching.READY_TIMEOUT_S", 3.0)
        trading, results = life(supervisor, "demo"), switching(supervisor, settings_for(tmp_path, **OFFLINE))
        until(lambda: supervisor.thread and supervisor.thread.book("paper"), "the start of the paper book")
        late = life(supervisor, "paper")
        fills = demo(supervisor).fills
        until(lambda: demo(supervisor).fills > fills, "the demo to trade meanwhile")
        until(lambda: results, "the refusal")
        assert "not ready within 3 s" in str(results[0])
        assert [book.name for book in supervisor.snapshot().books] == ["demo"]
        stuck_build.set()
        late.join(10)
        assert not late.has_begun, "it was given up, and does not begin any more"
        assert life(supervisor, "demo") is trading
        assert supervisor.restarts == 0
    require_whole_record(tmp_path)


def test_stop_when_a_book_is_still_being_started_then_it_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stuck_build: threading.Event
) -> None:
    monkeypatch.setattr("engine.runtime.supervisor.END_TIMEOUT_S", 0.5)
    with running(tmp_path) as supervisor:
        wait_for_trades(supervisor)
        results = switching(supervisor, settings_for(tmp_path, **OFFLINE))
        until(lambda: supervisor.thread and supervisor.thread.book("paper"), "the start of the paper book")
    until(lambda: results, "the refusal")
    assert isinstance(results[0], EngineError)
    stuck_build.set()
    assert judge_says(tmp_path) == []


def switching(supervisor: Supervisor, settings: Any) -> list[BaseException | None]:
    """Switch the paper book on from another thread; what came of it."""
    results: list[BaseException | None] = []

    def switch() -> None:
        try:
            supervisor.switch_book("paper", settings, wanted=True)
            results.append(None)
        except EngineError as error:
            results.append(error)

    threading.Thread(target=switch, daemon=True).start()
    return results


def test_switch_when_other_settings_are_refused_then_the_book_runs_on_with_the_old_ones(tmp_path: Path) -> None:
    with running(tmp_path, **OFFLINE) as supervisor:
        wait_for_trades(supervisor)
        trading, before = life(supervisor, "demo"), paper(supervisor)
        wrong = settings_for(tmp_path, **OFFLINE, paper__symbols=["NOSUCHCOIN/USDT"])
        with pytest.raises(BadInput, match="NOSUCHCOIN"):
            supervisor.switch_book("paper", wrong, wanted=True)
        assert life(supervisor, "paper").has_begun
        assert [i.key for i in paper(supervisor).instruments] == [i.key for i in before.instruments]
        assert paper(supervisor).state is TradingState.ACTIVE
        assert life(supervisor, "demo") is trading
        assert supervisor.restarts == 0


def test_switch_off_when_the_whole_engine_is_started_again_meanwhile_then_the_book_does_not_trade_on(
    tmp_path: Path,
) -> None:
    with running(tmp_path, engine__hung_after_s=60, **OFFLINE) as supervisor:
        wait_for_trades(supervisor)
        before, go = supervisor.thread, hang_paper(supervisor)
        off = threading.Thread(target=supervisor.switch_book, args=("paper", supervisor.settings, False), daemon=True)
        off.start()

        def broken() -> None:
            raise CannotRecord("made for this test")

        loop(supervisor, "demo").hear = broken  # type: ignore[method-assign]
        until(lambda: supervisor.thread is not before, "the engine's next life")
        go.set()
        off.join(30)
        assert not off.is_alive()
        assert supervisor.thread is not None
        assert supervisor.thread.book("paper") is None
        assert [book.name for book in supervisor.snapshot().books] == ["demo"]


def test_switch_when_neither_other_settings_nor_the_old_ones_start_in_time_then_the_other_books_run_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(tmp_path, **OFFLINE) as supervisor:
        wait_for_trades(supervisor)
        engine, trading, go = supervisor.thread, life(supervisor, "demo"), threading.Event()
        begin = build.build_paper

        def stuck(*arguments: Any) -> Any:
            go.wait(60)
            return begin(*arguments)

        monkeypatch.setattr("engine.runtime.assembling.build_paper", stuck)
        monkeypatch.setattr("engine.runtime.launching.READY_TIMEOUT_S", 0.5)
        results = switching(supervisor, supervisor.settings)
        until(lambda: results, "the refusal")
        given_up = life(supervisor, "paper")
        go.set()
        until(
            lambda: life(supervisor, "paper") is not given_up and life(supervisor, "paper").has_begun, "its next life"
        )
        assert supervisor.thread is engine
        assert life(supervisor, "demo") is trading


def test_book_when_everything_was_stopped_while_it_did_not_run_then_it_starts_halted_until_a_person_sets_it(
    tmp_path: Path,
) -> None:
    settings = settings_for(tmp_path, **OFFLINE)
    with running(tmp_path, **OFFLINE) as supervisor:
        assert paper(supervisor).state is TradingState.ACTIVE
        supervisor.switch_book("paper", settings, wanted=False)
        order(supervisor, EmergencyStop(None), "c-stop")
        assert receipt(supervisor, "c-stop").status is CommandStatus.DONE
        supervisor.switch_book("paper", settings, wanted=True)
        assert paper(supervisor).state is TradingState.HALTED
        assert "stopped everything" in paper(supervisor).state_reason
        order(supervisor, SetTrading("paper", TradingState.ACTIVE), "c-go")
        until(lambda: paper(supervisor).state is TradingState.ACTIVE, "the book to be set going")
        supervisor.switch_book("paper", settings, wanted=False)
        supervisor.switch_book("paper", settings, wanted=True)
        assert paper(supervisor).state is TradingState.ACTIVE


def test_book_when_everything_was_stopped_by_the_file_while_it_did_not_run_then_it_starts_halted_too(
    tmp_path: Path,
) -> None:
    settings = settings_for(tmp_path, **OFFLINE)
    with running(tmp_path, **OFFLINE) as supervisor:
        assert paper(supervisor).state is TradingState.ACTIVE
        supervisor.switch_book("paper", settings, wanted=False)
        order_stop_by_file(tmp_path, "jo")
        until(lambda: not (tmp_path / SENTINEL).exists(), "the stop to be taken in")
        supervisor.switch_book("paper", settings, wanted=True)
        assert paper(supervisor).state is TradingState.HALTED
        assert "the file STOP stopped everything" in paper(supervisor).state_reason
        order(supervisor, SetTrading("paper", TradingState.ACTIVE), "c-go")
        until(lambda: paper(supervisor).state is TradingState.ACTIVE, "the book to be set going")
        supervisor.switch_book("paper", settings, wanted=False)
        supervisor.switch_book("paper", settings, wanted=True)
        assert paper(supervisor).state is TradingState.ACTIVE


def test_book_when_it_fails_as_the_whole_engine_starts_again_then_tried_again_and_a_stop_waits_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.runtime.restarts.FIRST_PAUSE_S", 0.1)
    begin, away = build.build_paper, threading.Event()

    def sometimes(*arguments: Any) -> Any:
        if away.is_set():
            raise VenueUnreachable("the exchange is away")
        return begin(*arguments)

    monkeypatch.setattr("engine.runtime.assembling.build_paper", sometimes)
    with running(tmp_path, **OFFLINE) as supervisor:
        wait_for_trades(supervisor)
        before = supervisor.thread
        away.set()

        def broken(*_: Any) -> None:
            raise RuntimeError("made for this test")

        before._look_for_commands = broken  # type: ignore[method-assign, union-attr]
        before.wake()  # type: ignore[union-attr]
        until(lambda: supervisor.thread is not before, "the engine to be started again")
        until(lambda: dict(supervisor.snapshot().absent), "it to be told that the book does not run")
        assert "the exchange is away" in dict(supervisor.snapshot().absent)["paper"]
        assert paper(supervisor).state is TradingState.ACTIVE, "shown as it was"
        assert any("could not be started" in title for title in told(supervisor))
        order(supervisor, EmergencyStop(None), "c-stop")
        until(lambda: demo(supervisor).latched, "the demo to be stopped meanwhile")
        away.clear()
        until(lambda: life(supervisor, "paper").has_begun, "the book to be started")
        assert receipt(supervisor, "c-stop").status is CommandStatus.DONE
        until(lambda: paper(supervisor).latched, "the stop to reach it")
        until(lambda: supervisor.snapshot().absent == (), "it to be told that the book runs")


def test_start_when_one_book_hangs_then_the_others_trade_and_it_is_told_that_it_is_still_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stuck_build: threading.Event
) -> None:
    monkeypatch.setattr("engine.runtime.launching.OTHERS_WAIT_S", 0.1)
    with running(tmp_path, **OFFLINE) as supervisor:
        assert supervisor.is_alive()
        assert dict(supervisor.snapshot().absent) == {"paper": "it is still starting"}
        assert not life(supervisor, "paper").has_begun
        wait_for_trades(supervisor)
        assert any("is still starting" in title for title in told(supervisor))
        stuck_build.set()
        until(lambda: supervisor.snapshot().absent == (), "the book to run")
        assert paper(supervisor).state is TradingState.ACTIVE


def test_watchdog_when_it_fails_by_an_error_of_the_engines_own_then_it_is_told_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.exchanges.steady.FIRST_PAUSE_S", 0.05)
    with running(tmp_path, **OFFLINE) as supervisor:
        real, failing = supervisor._look_after, [True]

        def look(engine: Any) -> None:
            if failing:
                failing.pop()
                raise TypeError("no such field")
            real(engine)

        supervisor._look_after = look  # type: ignore[method-assign]
        until(lambda: not failing, "the watchdog to fail")
        until(lambda: "The engine could not be looked after" in told(supervisor), "it to be told")
        break_paper(supervisor, RuntimeError("made for this test"))
