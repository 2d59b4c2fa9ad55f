"""The thread of a book: what it does with a source, a venue, a file or a store that misbehaves."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from running_engine import until
from scripted_books import KEY, NoStore, ScriptedSource

from engine.domain.commands import (
    Actor,
    Command,
    CommandBody,
    CommandStatus,
    EmergencyStop,
    PlaceOrder,
    Receipt,
    Role,
    SetTrading,
)
from engine.domain.commands import TradingState as S
from engine.domain.errors import BadInput, CannotRecord, EngineError, StorageError
from engine.domain.market import Bars, Candle, FeedStatus, MarketEvent, to_ms
from engine.domain.orders import OrderType, Side
from engine.runtime.book_thread import BookThread, Surroundings
from engine.runtime.clock import SystemClock
from engine.runtime.engine import EngineThread
from engine.runtime.lifeline import Lifeline
from engine.runtime.observing import Observations
from engine.runtime.sentinel import SENTINEL
from engine.runtime.starting import RunningBook
from engine.storage.control import ControlStore
from engine.storage.migrate import migrate
from engine.trading.recovery import Reconciler, Recovered
from tests.trading.harness import MINUTE, SPOT, D, Desk


class Rig:
    """An engine over one scripted book."""

    def __init__(self, folder: Path) -> None:
        migrate(folder)
        self.folder = folder
        self.desk = Desk()
        self.desk.bar("100")
        self.source = ScriptedSource()
        self.control = ControlStore(folder / "control.sqlite", KEY, SystemClock())
        clock = SystemClock()
        around = Surroundings(folder, self.control, Observations(clock), clock, 0.05, datetime.now(UTC))
        self.engine = EngineThread(NoStore(), around, ("test",), 0)
        self.thread = BookThread("test", self._build, around, self.engine)

    def _build(self, _lifeline: Lifeline) -> RunningBook:
        loop = self.desk.loop
        watch = Reconciler(loop, self.desk.clock)
        return RunningBook("test", loop, self.desk.stop, watch, self.source, (), Recovered(0, 0, ()))

    def start(self) -> None:
        self.engine.attach(self.thread)
        self.engine.start()
        assert self.thread.ready.wait(10)

    def close(self) -> None:
        self.engine.end()
        self.source.close()
        self.engine.join(10)
        self.control.close()

    def feed(self, *items: MarketEvent | Exception | str) -> None:
        for item in items:
            self.source.waiting.put(item)

    def next_bar(self, price: str = "100", minutes_later: int = 0) -> Bars:
        self.desk.at += MINUTE.delta * minutes_later
        candle = Candle(SPOT.key, MINUTE, self.desk.at, D(price), D(price), D(price), D(price), D(1000))
        self.desk.at = candle.closed_at
        return Bars(candle.closed_at, (candle,))

    def command(self, body: CommandBody, command_id: str) -> None:
        actor = Actor("jo", Role.ADMIN, "test")
        self.control.submit(Command(command_id, actor, self.desk.clock.now(), "test", body))
        self.engine.wake()

    def answer_to(self, command_id: str) -> Receipt:
        def answered() -> bool:
            return self.status_of(command_id) is not CommandStatus.PENDING

        until(answered, f"an answer to {command_id}")
        answer = self.control.receipt(command_id)
        assert answer is not None
        return answer

    def status_of(self, command_id: str) -> CommandStatus | None:
        answer = self.control.receipt(command_id)
        return answer.status if answer is not None else None


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path)
    rig.start()
    yield rig
    rig.close()
    assert not rig.thread.is_alive()
    assert not rig.engine.is_alive()
    assert rig.engine.failure is None


def ended(rig: Rig) -> BaseException:
    until(lambda: not rig.thread.is_alive(), "the thread to end")
    assert rig.thread.failure is not None
    return rig.thread.failure


@pytest.mark.parametrize("error", [BadInput("no"), KeyError("a fault of ours"), OSError("line cut")])
def test_source_when_it_breaks_then_the_loop_ends_with_its_error_and_is_no_zombie(rig: Rig, error: Exception) -> None:
    rig.feed(error)
    assert ended(rig) is error


def test_fault_29_source_ends_by_itself_then_the_loop_ends_too(rig: Rig) -> None:
    rig.feed("end")
    failure = ended(rig)
    assert isinstance(failure, EngineError)
    assert "ended by itself" in str(failure)


def test_event_when_it_breaks_the_core_then_the_error_is_left_for_the_supervisor(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(event: MarketEvent) -> None:
        raise ZeroDivisionError("a fault of ours")

    monkeypatch.setattr(rig.desk.loop.core, "process", broken)
    rig.feed(rig.next_bar())
    assert isinstance(ended(rig), ZeroDivisionError)


def test_record_when_it_fails_then_the_loop_ends_and_the_answer_stays_open(rig: Rig) -> None:
    rig.desk.journal.refuse_after = 0
    rig.command(SetTrading("test", S.HALTED), "c-1")
    assert isinstance(ended(rig), CannotRecord)
    assert rig.status_of("c-1") is CommandStatus.PENDING


def test_command_when_it_breaks_the_loop_then_answered_unless_it_is_the_stop(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise KeyError("a fault of ours")

    monkeypatch.setattr("engine.trading.loop.carry_out", broken)
    rig.command(EmergencyStop(None), "c-stop")
    assert isinstance(ended(rig), KeyError)
    assert rig.status_of("c-stop") is CommandStatus.PENDING


def test_command_when_the_loop_breaks_after_its_order_went_out_then_the_answer_is_what_the_books_say(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    drive = rig.desk.stop.drive

    def broken() -> None:
        if "c-buy" in rig.desk.book.commands:
            raise KeyError("a fault of ours")
        drive()

    monkeypatch.setattr(rig.desk.stop, "drive", broken)
    rig.command(PlaceOrder("test", SPOT.key, Side.BUY, D(1), OrderType.MARKET), "c-buy")
    assert isinstance(ended(rig), KeyError)
    assert len(rig.desk.venue.open_orders()) == 1
    answer = rig.answer_to("c-buy")
    assert answer.status is CommandStatus.DONE
    assert answer.detail == f"test: {rig.desk.book.commands['c-buy'].detail}"


def test_command_when_no_record_tells_how_far_it_came_then_the_answer_is_unknown(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise TypeError("a fault of ours")

    monkeypatch.setattr(rig.desk.loop, "_record", broken)
    rig.command(PlaceOrder("test", SPOT.key, Side.BUY, D(1), OrderType.MARKET), "c-buy")
    assert isinstance(ended(rig), TypeError)
    assert "c-buy" in rig.desk.book.commands, "it was decided in memory, and never written"
    answer = rig.answer_to("c-buy")
    assert answer.status is CommandStatus.UNKNOWN
    assert "whether it was done is not known: look at the working orders" in answer.detail


def test_control_file_when_unreadable_then_the_loop_goes_on_and_the_sentinel_still_stops(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(after: int = 0) -> None:
        raise StorageError("control.sqlite could not be read")

    monkeypatch.setattr(rig.control, "pending", unreadable)
    rig.feed(rig.next_bar())
    until(lambda: rig.thread.events == 1, "the event")
    (rig.folder / SENTINEL).touch()
    until(lambda: rig.desk.book.latched, "the stop")
    assert rig.thread.failure is None


def test_answer_when_it_cannot_be_stored_then_the_command_is_not_carried_out_twice(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    complete = rig.control.complete
    refused: list[str] = []

    def full(command_id: str, status: CommandStatus, detail: str) -> None:
        if len(refused) < 3:
            refused.append(command_id)
            raise CannotRecord("control.sqlite could not be written")
        complete(command_id, status, detail)

    monkeypatch.setattr(rig.control, "complete", full)
    rig.command(SetTrading("test", S.HALTED), "c-1")
    until(lambda: rig.status_of("c-1") is CommandStatus.DONE, "the answer")
    assert rig.desk.journal.kinds().count("Command") == 1


def test_fault_65_sentinel_file_then_one_stop_and_the_file_is_moved_away(rig: Rig) -> None:
    (rig.folder / SENTINEL).write_text("enough", encoding="utf-8")
    until(lambda: rig.desk.book.latched, "the stop")
    until(lambda: not (rig.folder / SENTINEL).exists(), "the file to be moved away")
    assert rig.desk.book.stop is not None
    assert rig.desk.book.stop.actor == "sentinel file (file)"
    assert list(rig.folder.glob(f"{SENTINEL}.done-*"))


def test_sentinel_file_when_it_cannot_be_moved_then_still_one_stop_and_the_loop_lives(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stuck(self: Path, target: Path) -> Path:
        raise PermissionError(13, "not yours")

    monkeypatch.setattr(Path, "replace", stuck)
    (rig.folder / SENTINEL).touch()
    until(lambda: rig.desk.book.latched, "the stop")
    rig.feed(rig.next_bar())
    until(lambda: rig.thread.events == 1, "the loop to go on")
    assert rig.thread.failure is None
    assert rig.desk.journal.kinds().count("Command") == 1


def test_snapshot_when_a_venue_is_silent_then_shows_its_last_balances_and_the_loop_lives(rig: Rig) -> None:
    until(lambda: rig.engine.snapshot is not None and rig.engine.snapshot.books, "a snapshot")
    assert rig.engine.snapshot is not None
    before = rig.engine.snapshot.book("test")
    assert before.balances
    rig.desk.venue.set_outage(rig.desk.at + timedelta(days=1))

    def shown() -> bool:
        assert rig.engine.snapshot is not None
        return rig.engine.snapshot.book("test").published_at > before.published_at

    until(shown, "another snapshot")
    assert rig.engine.snapshot.book("test").balances == before.balances
    assert rig.thread.failure is None


def test_fault_31_candle_after_a_gap_then_the_window_is_filled_before_anyone_is_asked(rig: Rig) -> None:
    start = rig.desk.book.windows[SPOT.key].last_opened_at_ms
    assert start is not None
    bar = rig.next_bar(minutes_later=3)
    rig.source.past = [start + MINUTE.ms * n for n in range(4)]
    rig.feed(bar)
    until(lambda: rig.thread.events == 1, "the event")
    opened = rig.desk.book.windows[SPOT.key].view().opened_at_ms
    assert list(np.diff(opened)) == [MINUTE.ms] * (len(opened) - 1)
    assert int(opened[-1]) == to_ms(bar.candles[0].opened_at)


def test_feed_when_online_then_the_windows_are_filled_from_history(rig: Rig) -> None:
    rig.feed(FeedStatus("v", rig.desk.at, True, "back"))
    until(lambda: rig.source.asked == [SPOT.key], "the history to be asked for")


def test_fault_45_bars_of_a_real_market_that_come_late_then_decide_nothing(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    config = rig.desk.book.config
    object.__setattr__(config, "simulated", False)
    rig.desk.want(1.0)
    rig.start()
    rig.feed(*[rig.next_bar() for _ in range(5)])
    until(lambda: rig.thread.events == 5, "the events")
    assert rig.desk.book.catching_up
    assert not any(row["type"] == "OrderIntent" for row in rig.desk.journal.rows)
    rig.close()


def test_fault_53_loop_slower_than_its_market_then_the_market_waits_and_no_event_is_lost(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, seen = threading.Event(), []
    process = rig.desk.loop.core.process

    def slow(event: MarketEvent) -> Any:
        go.wait(10)
        seen.append(event)
        return process(event)

    monkeypatch.setattr(rig.desk.loop.core, "process", slow)
    events = [rig.next_bar() for _ in range(200)]
    rig.feed(*events)
    until(lambda: rig.thread.queue_length == 64, "the queue to fill")
    assert rig.source.waiting.qsize() > 100, "the source is not read faster than the loop works"
    go.set()
    until(lambda: len(seen) == 200, "the queue to be worked off")
    assert seen == events


def test_retired_thread_then_never_touches_a_venue_again(rig: Rig) -> None:
    rig.thread.retire()
    until(lambda: not rig.thread.is_alive(), "the thread to end")
    with pytest.raises(EngineError, match="replaced while it hung"):
        rig.desk.bar("100")
    assert rig.desk.venue.open_orders() == ()


def test_end_then_a_checkpoint_of_the_last_instant_is_stored(rig: Rig) -> None:
    rig.feed(rig.next_bar("101"))
    until(lambda: rig.thread.events == 1, "the event")
    rig.thread.end()
    until(lambda: not rig.thread.is_alive(), "the thread to end")
    _, state = rig.desk.journal.checkpoints[-1]
    assert state["now"] == rig.desk.at.isoformat()
