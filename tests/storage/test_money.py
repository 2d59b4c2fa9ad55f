"""The money file: one transaction, one writer, one sequence."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from engine.domain.commands import TradingState
from engine.domain.errors import BadInput, CannotRecord, ChainBroken, Fenced
from engine.domain.facts import CommandDone, EquityMark, StateChanged
from engine.domain.orders import OrderState
from engine.domain.ports import Journal
from engine.runtime.clock import SystemClock
from engine.storage.lease import read_epoch_floor
from engine.storage.money import BookJournal, MoneyStore
from engine.storage.money_reader import MoneyReader
from engine.storage.rows import FillFilters, JournalFilters, OrderFilters
from engine.storage.verify import verify, verify_projections


def rows(path: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def test_append_when_facts_then_read_gives_them_back_in_order(journal: BookJournal, make: Any) -> None:
    intent = make.intent()
    facts = [
        make.cash(),
        intent,
        make.update(intent, OrderState.WORKING),
        make.fill(intent),
        make.funding(),
        make.command(),
        CommandDone("c9", "done", "cancelled", make.now),
        StateChanged(TradingState.HALTED, True, "stop", make.now),
        EquityMark(make.now, *[Decimal(number) for number in range(6)]),
    ]
    port: Journal = journal
    assert port.append(facts[:3], make.now).sequence == 3
    assert port.append(facts[3:], make.now).sequence == len(facts)
    assert list(port.read(0)) == list(enumerate(facts, 1))
    assert list(port.read(len(facts) - 1)) == [(len(facts), facts[-1])]


def test_append_when_nothing_then_the_last_sequence(journal: BookJournal, make: Any) -> None:
    assert journal.append([], make.now).sequence == 0
    assert journal.append([make.cash()], make.now).sequence == 1
    assert journal.append([], make.now).sequence == 1


def test_append_when_two_books_then_one_gapless_sequence_and_separate_reads(store: MoneyStore, make: Any) -> None:
    epoch = store.acquire_lease("test")
    demo, paper = store.journal("demo", epoch), store.journal("paper", epoch)
    for _ in range(3):
        demo.append([make.cash()], make.now)
        paper.append([make.cash(), make.cash()], make.now)
    assert [sequence for sequence, _ in demo.read(0)] == [1, 4, 7]
    assert [sequence for sequence, _ in paper.read(0)] == [2, 3, 5, 6, 8, 9]


def test_read_when_longer_than_a_portion_then_complete(
    journal: BookJournal, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.storage.money._READ_ROWS", 4)
    journal.append([make.cash() for _ in range(12)], make.now)
    assert [sequence for sequence, _ in journal.read(1)] == list(range(2, 13))


def test_append_when_a_fill_is_stored_already_then_it_is_left_out_and_counted(
    journal: BookJournal, make: Any, money_path: Path, key: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    fill, paid, flow = make.fill(), make.funding(), make.cash()
    assert journal.append([fill, paid, flow], make.now).sequence == 3
    again = replace(fill, price=Decimal(1))
    assert journal.append([again, paid, flow, make.fill()], make.now).sequence == 4
    assert journal.append([fill], make.now).sequence == 4
    assert journal.duplicates == 4
    assert "left out" in caplog.text
    assert rows(money_path, "SELECT price FROM fills ORDER BY sequence") == [("50000.00",), ("50000.00",)]
    assert verify(money_path, key).ok


def test_append_when_one_transaction_holds_the_same_fill_twice_then_once(journal: BookJournal, make: Any) -> None:
    fill = make.fill()
    assert journal.append([fill, fill, make.cash()], make.now).sequence == 2
    assert [type(fact).__name__ for _, fact in journal.read(0)] == ["Fill", "CashFlow"]


def test_append_when_one_fact_fails_then_none_is_stored_and_the_next_works(
    journal: BookJournal, make: Any, money_path: Path, key: bytes
) -> None:
    intent = make.intent()
    journal.append([intent], make.now)
    with pytest.raises(CannotRecord, match=r"money\.sqlite.*client_id"):
        journal.append([make.cash(), make.fill(), intent], make.now)
    assert rows(money_path, "SELECT count(*) FROM cash_flows") == [(0,)]
    assert journal.append([make.fill()], make.now).sequence == 2
    assert verify(money_path, key).rows == 2


def test_orders_when_updated_then_the_projection_holds_the_last_word(
    journal: BookJournal, make: Any, money_path: Path
) -> None:
    intent = make.intent()
    stop = replace(make.update(intent, OrderState.PARTIAL, "0.04"), stop_price=Decimal("49000"), reason="taken")
    last = replace(make.update(intent, OrderState.PARTIAL, "0.05"), venue_order_id=None, quantity=Decimal("0.20"))
    journal.append([intent, make.update(intent, OrderState.WORKING), stop, last], make.now)
    with closing(MoneyReader(money_path)) as reader:
        (row,) = reader.orders("demo", OrderFilters()).rows
    assert row.intent == replace(intent, quantity=Decimal("0.20"), stop_price=Decimal("49000"))
    assert (row.state, row.filled, row.venue_order_id) == (OrderState.PARTIAL, Decimal("0.05"), "v1")
    assert row.venue_reason == "taken"
    assert row.updated_at == last.at


def test_lease_when_taken_again_then_the_older_journal_is_fenced(
    store: MoneyStore, make: Any, money_path: Path, key: bytes
) -> None:
    old = store.journal("demo", store.acquire_lease("one"))
    old.append([make.cash()], make.now)
    other = MoneyStore(money_path, key, SystemClock())
    new = other.journal("demo", other.acquire_lease("two"))
    with pytest.raises(Fenced, match="epoch 1 has ended, epoch 2"):
        old.append([make.cash()], make.now)
    with pytest.raises(Fenced):
        old.checkpoint(1, {})
    assert new.append([make.cash()], make.now).sequence == 2
    other.close()
    assert verify(money_path, key).rows == 2


def test_lease_when_the_folder_has_seen_a_higher_epoch_then_above_it(store: MoneyStore, folder: Path) -> None:
    (folder / "epoch").write_text("41\n")
    assert store.acquire_lease("test") == 42
    assert read_epoch_floor(folder) == 42
    assert store.acquire_lease("test") == 43


@pytest.mark.parametrize("name", ["", "Demo", "a b", "x" * 65, "demo\n", "../x"])
def test_journal_when_the_book_name_is_unfit_then_bad_input(store: MoneyStore, name: str) -> None:
    with pytest.raises(BadInput, match="book name"):
        store.journal(name, 1)


def test_wall_time_when_the_clock_is_set_back_then_it_does_not_fall(
    store: MoneyStore, journal: BookJournal, make: Any, money_path: Path
) -> None:
    journal.append([make.cash()], make.now)
    with closing(sqlite3.connect(money_path)) as connection:
        connection.execute("UPDATE journal SET wall_time='2999-01-01T00:00:00.000000Z'")
        connection.commit()
    store._tail = None
    journal.append([make.cash()], make.now)
    assert rows(money_path, "SELECT wall_time FROM journal WHERE sequence=2") == [("2999-01-01T00:00:00.000000Z",)]


def test_checkpoint_when_stored_then_the_newest_five_stay(journal: BookJournal, make: Any, money_path: Path) -> None:
    assert journal.latest_checkpoint() is None
    for number in range(8):
        sequence = journal.append([make.cash()], make.now).sequence
        journal.checkpoint(sequence, {"cash": str(number), "list": [1, None]})
    assert journal.latest_checkpoint() == (8, {"cash": "7", "list": [1, None]})
    assert rows(money_path, "SELECT count(*), min(sequence) FROM checkpoints") == [(5, 4)]


def test_checkpoint_when_it_was_changed_then_chain_broken(
    journal: BookJournal, make: Any, money_path: Path, key: bytes
) -> None:
    journal.checkpoint(journal.append([make.cash()], make.now).sequence, {"cash": "1"})
    with closing(sqlite3.connect(money_path)) as connection:
        connection.execute("""UPDATE checkpoints SET state='{"cash":"1000000"}'""")
        connection.commit()
    with pytest.raises(ChainBroken, match="checkpoint of book demo"):
        journal.latest_checkpoint()
    report = verify(money_path, key)
    assert (report.ok, report.broken_at) == (False, 1)


def test_checkpoint_when_the_row_does_not_exist_then_chain_broken(journal: BookJournal) -> None:
    with pytest.raises(ChainBroken, match="row 7"):
        journal.checkpoint(7, {})


def test_append_when_a_text_is_no_text_then_cannot_record(journal: BookJournal, make: Any) -> None:
    with pytest.raises(CannotRecord, match="character"):
        journal.append([replace(make.intent(), reason="\ud800")], make.now)
    assert journal.append([make.cash()], make.now).sequence == 1


def test_append_when_another_program_holds_the_file_then_cannot_record_and_later_it_works(
    store: MoneyStore, journal: BookJournal, make: Any, money_path: Path
) -> None:
    store._connection.execute("PRAGMA busy_timeout=50")
    with closing(sqlite3.connect(money_path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(CannotRecord, match="another program holds the file locked"):
            journal.append([make.cash()], make.now)
        other.execute("ROLLBACK")
    assert journal.append([make.cash()], make.now).sequence == 1


def test_append_when_the_file_is_full_then_cannot_record_and_with_space_again_it_works(
    store: MoneyStore, journal: BookJournal, make: Any, money_path: Path, key: bytes
) -> None:
    pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
    store._connection.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(CannotRecord, match="disk is full; free space"):
        journal.append([make.intent() for _ in range(2_000)], make.now)
    stored = len(list(journal.read(0)))
    assert stored == 0
    store._connection.execute(f"PRAGMA max_page_count={pages + 100_000}")
    assert journal.append([make.cash()], make.now).sequence == stored + 1
    assert verify(money_path, key).ok


def test_append_when_the_file_is_read_only_then_cannot_record_says_so(
    store: MoneyStore, journal: BookJournal, make: Any
) -> None:
    store._connection.execute("PRAGMA query_only=ON")
    with pytest.raises(CannotRecord, match="read-only; make it writable"):
        journal.append([make.cash()], make.now)


def test_reader_when_the_engine_writes_then_every_page_is_whole_and_nobody_waits(
    journal: BookJournal, make: Any, money_path: Path
) -> None:
    done = threading.Event()
    seen: list[int] = []
    failures: list[Exception] = []

    def read() -> None:
        with closing(MoneyReader(money_path)) as reader:
            while not done.is_set() or not seen:
                page = reader.fills("demo", FillFilters(), 1, 10)
                if page.total % 5:
                    failures.append(AssertionError(f"half a batch: {page.total}"))
                seen.append(page.total)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(100):
        journal.append([make.fill() for _ in range(5)], make.now)
    done.set()
    for thread in threads:
        thread.join()
    assert failures == []
    with closing(MoneyReader(money_path)) as reader:
        assert reader.counts("demo").fills == 500


def test_reader_when_filtered_then_only_what_matches_newest_first(
    journal: BookJournal, make: Any, money_path: Path
) -> None:
    eth = type(make.intent().instrument)("demo-a:ETH/USDT")
    first, second, third = make.intent(), make.intent(eth, "breakout", 5), make.intent(eth, "momentum", 9)
    stranger = make.fill(minutes=20)
    journal.append([first, second, third, make.fill(first), make.fill(second, minutes=6), stranger], make.now)
    with closing(MoneyReader(money_path)) as reader:
        assert [row.intent for row in reader.orders("demo", OrderFilters()).rows] == [third, second, first]
        assert reader.orders("demo", OrderFilters(instrument=eth, sleeve="momentum")).rows[0].intent == third
        assert reader.orders("demo", OrderFilters(states=(OrderState.FILLED,))).total == 0
        window = OrderFilters(since=make.now + timedelta(minutes=5), until=make.now + timedelta(minutes=9))
        assert [row.intent for row in reader.orders("demo", window).rows] == [second]
        assert [row.sleeve for row in reader.fills(None, FillFilters()).rows] == ["external", "breakout", "momentum"]
        assert reader.fills("demo", FillFilters(sleeve="external")).rows[0].fill == stranger
        assert reader.fills("demo", FillFilters(since=make.now + timedelta(minutes=6))).total == 2
        assert reader.orders("paper", OrderFilters()).total == 0


def test_reader_when_orders_are_filled_in_parts_then_the_average_weighs_by_quantity(
    journal: BookJournal, make: Any, money_path: Path
) -> None:
    intent, untouched = make.intent(), make.intent()
    fills = [
        replace(make.fill(intent), trade_id=trade, quantity=Decimal(quantity), price=Decimal(price))
        for trade, quantity, price in (("p1", "1", "100"), ("p2", "3", "104"))
    ]
    journal.append([intent, untouched, *fills], make.now)
    reader = MoneyReader(money_path)
    asked = [intent.client_id, untouched.client_id]
    assert reader.average_prices(asked) == {intent.client_id: Decimal(103)}
    assert reader.average_prices([]) == {}
    reader.close()


def test_reader_when_paged_then_every_row_once_and_the_total_stays(
    journal: BookJournal, make: Any, money_path: Path
) -> None:
    journal.append([make.fill() for _ in range(25)], make.now)
    with closing(MoneyReader(money_path)) as reader:
        pages = [reader.fills("demo", FillFilters(), number, 10) for number in (1, 2, 3, 4)]
        assert [len(page.rows) for page in pages] == [10, 10, 5, 0]
        assert {page.total for page in pages} == {25}
        assert pages[0].pages == 3
        assert [row.sequence for page in pages for row in page.rows] == list(range(25, 0, -1))
        for page, size in ((0, 10), (1, 0), (1, 20_000)):
            with pytest.raises(BadInput, match="page"):
                reader.fills("demo", FillFilters(), page, size)


def test_reader_journal_when_searched_then_text_is_found_in_any_script(
    journal: BookJournal, make: Any, money_path: Path
) -> None:
    note = replace(make.cash(), reason='Überweisung "Haus" 100%_')
    journal.append([make.fill(), note, make.cash()], make.now)
    with closing(MoneyReader(money_path)) as reader:
        for text in ("Überweisung", '"Haus"', "100%_", "überweisung"[1:]):
            assert [row.sequence for row in reader.journal("demo", JournalFilters(text=text)).rows] == [2]
        assert reader.journal("demo", JournalFilters(text="%")).total == 1
        assert reader.journal("demo", JournalFilters(kind="Fill")).rows[0].kind == "Fill"
        assert reader.kinds() == ("CashFlow", "Fill")
        newest = reader.journal(None, JournalFilters()).rows[0]
        assert reader.journal("demo", JournalFilters(since=newest.wall_time + timedelta(seconds=1))).total == 0
        assert newest.market_time == make.now


def test_reader_when_a_digest_is_asked_then_fills_come_in_journal_order(
    journal: BookJournal, make: Any, money_path: Path
) -> None:
    fills = [make.fill(minutes=minute) for minute in (3, 1, 2)]
    journal.append(fills, make.now)
    journal.append([make.funding()], make.now)
    with closing(MoneyReader(money_path)) as reader:
        assert list(reader.fills_for_digest("demo")) == fills
        assert reader.funding("demo").rows[0].amount == Decimal("-0.5")


def test_projections_when_a_row_is_changed_then_the_replay_finds_it(
    journal: BookJournal, make: Any, money_path: Path
) -> None:
    intent = make.intent()
    journal.append([intent, make.fill(intent), make.update(intent, OrderState.FILLED, "0.10")], make.now)
    done = [CommandDone("c1", "done", text, make.now) for text in ("first", "second")]
    journal.append([*done, make.funding(), make.cash()], make.now)
    assert verify_projections(money_path) == []
    with closing(sqlite3.connect(money_path)) as connection:
        connection.execute("UPDATE fills SET price='1'")
        connection.execute("DELETE FROM funding")
        connection.commit()
    assert [line.split(":")[0] for line in verify_projections(money_path)] == ["fills", "funding"]


def test_rearmed_when_a_latch_was_released_then_its_instants_and_no_other_change(
    journal: BookJournal, money_path: Path, make: Any
) -> None:
    moves = [("HALTED", False), ("ACTIVE", False), ("HALTED", True), ("ACTIVE", False), ("HALTED", True)]
    facts = [
        StateChanged(TradingState(name), latched, "a drill", make.now + timedelta(minutes=minute))
        for minute, (name, latched) in enumerate(moves)
    ]
    journal.append(facts, make.now)
    reader = MoneyReader(money_path)
    assert reader.rearmed_at("demo") == (make.now + timedelta(minutes=3),)
    assert reader.rearmed_at("paper") == ()
    reader.close()
