"""The money file written by several books at once, each from its own thread: one chain, whole and verifiable."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from engine.domain.errors import Fenced
from engine.domain.facts import Fact
from engine.domain.orders import OrderState
from engine.runtime.clock import SystemClock
from engine.storage.money import BookJournal, MoneyStore
from engine.storage.verify import verify, verify_projections

NAMES = ("demo", "paper", "testnet", "live")
ROUNDS = 60


def together(*works: Callable[[], None]) -> None:
    """Run all at once; the first error of any is raised."""
    line = threading.Barrier(len(works))

    def begun(work: Callable[[], None]) -> None:
        line.wait(10)
        work()

    with ThreadPoolExecutor(len(works)) as pool:
        for done in [pool.submit(begun, work) for work in works]:
            done.result(60)


def test_append_when_every_book_writes_from_its_own_thread_then_one_chain_and_each_reads_its_own(
    store: MoneyStore, make: Any, money_path: Path, key: bytes
) -> None:
    epoch = store.acquire_lease("test")
    written: dict[str, list[tuple[int, Fact]]] = {name: [] for name in NAMES}

    def writer(name: str) -> Callable[[], None]:
        journal, mine = store.journal(name, epoch), written[name]

        def work() -> None:
            for number in range(ROUNDS):
                intent = make.intent()
                facts = [intent, make.update(intent, OrderState.WORKING), make.fill(intent)]
                last = journal.append(facts, make.now).sequence
                mine.extend(zip(range(last - 2, last + 1), facts, strict=True))
                if number % 10 == 9:
                    journal.checkpoint(last, {"book": name, "rows": number})

        return work

    together(*[writer(name) for name in NAMES])
    for name in NAMES:
        journal = store.journal(name, epoch)
        assert list(journal.read(0)) == written[name]
        kept = journal.latest_checkpoint()
        assert kept is not None
        assert kept[1] == {"book": name, "rows": ROUNDS - 1}
    told = sorted(sequence for rows in written.values() for sequence, _ in rows)
    assert told == list(range(1, 3 * ROUNDS * len(NAMES) + 1))
    store.close()
    report = verify(money_path, key)
    assert (report.ok, report.rows) == (True, len(told))
    assert verify_projections(money_path) == []


def test_renew_then_the_older_journal_of_that_book_is_fenced_and_the_others_write_on(
    store: MoneyStore, make: Any, money_path: Path, key: bytes
) -> None:
    epoch = store.acquire_lease("test")
    live, demo = store.journal("live", epoch), store.journal("demo", epoch)
    live.append([make.cash()], make.now)
    newer = store.renew("live", "test")
    assert (newer, store.epoch) == (epoch + 1, epoch + 1)
    with pytest.raises(Fenced, match=f"epoch {epoch} has ended, epoch {newer}"):
        live.append([make.cash()], make.now)
    with pytest.raises(Fenced):
        live.checkpoint(1, {})
    with pytest.raises(Fenced):
        store.journal("demo", newer).append([make.cash()], make.now)
    assert demo.append([make.cash()], make.now).sequence == 2
    assert store.journal("live", newer).append([make.cash()], make.now).sequence == 3
    assert verify(money_path, key).ok


def test_renew_when_another_engine_has_taken_over_then_fenced_like_every_book(
    store: MoneyStore, make: Any, money_path: Path, key: bytes
) -> None:
    epoch = store.acquire_lease("one")
    store.renew("live", "one")
    other = MoneyStore(money_path, key, SystemClock())
    other.acquire_lease("two")
    for journal in (store.journal("demo", epoch), store.journal("live", epoch + 1)):
        with pytest.raises(Fenced):
            journal.append([make.cash()], make.now)
    with pytest.raises(Fenced):
        store.renew("live", "one")
    again = store.acquire_lease("one")
    with pytest.raises(Fenced):
        store.journal("live", epoch + 1).append([make.cash()], make.now)
    assert store.journal("live", again).append([make.cash()], make.now).sequence == 1
    other.close()


def test_renew_when_the_book_is_writing_then_nothing_of_its_old_life_comes_after_and_others_lose_nothing(
    store: MoneyStore, make: Any, money_path: Path, key: bytes
) -> None:
    epoch = store.acquire_lease("test")
    counted = {"old": 0, "other": 0}
    begun = threading.Event()

    def old_life() -> None:
        journal: BookJournal = store.journal("live", epoch)
        with suppress(Fenced):
            for _ in count():
                journal.append([make.cash()], make.now)
                counted["old"] += 1
                begun.set()

    def other() -> None:
        journal = store.journal("demo", epoch)
        for _ in range(ROUNDS):
            journal.append([make.cash()], make.now)
            counted["other"] += 1

    def next_life() -> None:
        assert begun.wait(10)
        newer = store.renew("live", "test")
        journal = store.journal("live", newer)
        seen = len(list(journal.read(0)))
        journal.append([make.cash()], make.now)
        assert len(list(journal.read(0))) == seen + 1

    together(old_life, other, next_life)
    assert counted["other"] == ROUNDS
    assert len(list(store.journal("live", epoch).read(0))) == counted["old"] + 1
    store.close()
    assert verify(money_path, key).ok
