"""The simulated venue's journal: what survives, what is dropped and said, what is refused."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
from paper_market import (
    BUY,
    FREE,
    INSTRUMENTS,
    LIMIT,
    PERP,
    SELL,
    SPOT,
    STOP,
    at,
    bar,
    dec,
    funding,
    open_venue,
    order,
    prices,
    state_of,
)
from venue_judge import judge

from engine.domain.errors import BadInput, OrderNotFound, StorageError
from engine.domain.market import FeedStatus
from engine.domain.orders import OrderState
from engine.exchanges.paper import FileVenueJournal, MemoryVenueJournal, PaperVenue
from engine.exchanges.paper.state import RECENT_ORDERS


@pytest.fixture
def path(tmp_path):
    return tmp_path / "venues" / "demo.jsonl"


def _restore(journal, costs=FREE) -> PaperVenue:
    return PaperVenue.restore("demo", INSTRUMENTS, costs, journal)


def _trade(venue: PaperVenue, minutes: range) -> None:
    """A bit of everything each minute: a round trip, a resting order with its child, funding."""
    for minute in minutes:
        venue.submit(order(f"b{minute}", BUY, "1", minute=minute))
        venue.submit(order(f"p{minute}", SELL, "1", minute=minute, instrument=PERP))
        venue.submit(order(f"l{minute}", BUY, "1", LIMIT, "50", minute=minute))
        venue.submit(order(f"s{minute}", SELL, "1", STOP, "40", minute=minute, parent=f"l{minute}"))
        venue.observe(bar(minute, 100, 101, 99, 100))
        venue.observe(bar(minute, 100, 101, 99, 100, instrument=PERP))
        venue.observe(funding(minute + 1, "0.0001", "100"))
        venue.submit(order(f"c{minute}", SELL, "1", minute=minute + 1))
        venue.cancel(f"l{minute}")


@pytest.mark.parametrize("fsync", [False, True])
def test_restore_when_the_process_ended_anywhere_then_everything_is_there(path, fsync) -> None:
    journal = FileVenueJournal(path, fsync=fsync)
    venue = open_venue(journal=journal)
    _trade(venue, range(5))
    again = _restore(FileVenueJournal(path))
    assert state_of(again) == state_of(venue)
    assert again.executions_since("") == venue.executions_since("")
    assert again.open_orders() == venue.open_orders()
    assert again.positions() == venue.positions()
    assert judge(path).problems == []
    journal.close()


def test_restore_when_continued_then_ids_go_on_and_nothing_is_matched_twice(path) -> None:
    venue = open_venue(journal=FileVenueJournal(path))
    venue.submit(order("a1", BUY, "1"))
    venue.observe(bar(0, 100, 101, 99, 100))
    venue.submit(order("a2", BUY, "1", LIMIT, "99.5", minute=0))
    again = _restore(FileVenueJournal(path))
    assert again.resume_time == at(1)
    assert again.observe(bar(0, 100, 101, 99, 100)) == ()
    messages = again.observe(bar(1, 100, 101, 99, 100))
    assert [message.trade_id for message in messages[:1]] == ["demo-2"]


def test_order_when_triggered_and_carried_before_the_crash_then_carries_on(path) -> None:
    costs = FREE.model_copy(update={"volume_share": dec("0.05")})
    venue = open_venue(costs, FileVenueJournal(path), btc="10")
    venue.submit(order("s1", SELL, "10", STOP, "95", reduce_only=True))
    assert prices(venue.observe(bar(0, 100, 101, 94, 100, volume=20))) == ["s1 1@95"]
    again = _restore(FileVenueJournal(path), costs)
    for minute in (1, 2, 3):
        assert prices(again.observe(bar(minute, 99, 101, 98, 100, volume=20))) == ["s1 1@99"]
    assert again.order("s1").state is OrderState.CANCELLED


def test_last_line_when_torn_then_dropped_and_reported(path) -> None:
    venue = open_venue(journal=FileVenueJournal(path))
    venue.submit(order("a1", BUY, "1"))
    before = state_of(venue)
    venue.submit(order("a2", BUY, "1"))
    path.write_bytes(path.read_bytes()[:-1])
    journal = FileVenueJournal(path)
    assert "unfinished last line dropped" in journal.torn
    assert state_of(_restore(journal)) == before
    assert judge(path).open_orders[0].client_id == "a1"
    assert FileVenueJournal(path).torn == ""


def test_line_in_the_middle_when_garbage_then_the_error_names_file_and_line(path) -> None:
    _trade(open_venue(journal=FileVenueJournal(path)), range(2))
    lines = path.read_bytes().split(b"\n")
    lines[3] = b'{"n":4,"at":"x'
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(StorageError, match=r"demo\.jsonl, line 4 is not a line of a venue journal"):
        _restore(FileVenueJournal(path))


@pytest.mark.parametrize("garbage", [b"\x00\xff\n", b"[1]\n", b"7\n", b'{"n":1}\n', b"{}\n"])
def test_last_line_when_whole_but_garbage_then_refused(path, garbage) -> None:
    open_venue(journal=FileVenueJournal(path))
    path.write_bytes(path.read_bytes() + garbage)
    with pytest.raises(StorageError, match="line 2"):
        FileVenueJournal(path)


def test_line_when_missing_then_refused(path) -> None:
    _trade(open_venue(journal=FileVenueJournal(path)), range(2))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:3] + lines[4:]))
    with pytest.raises(StorageError, match="number 5 instead of 4"):
        _restore(FileVenueJournal(path))


# -- compaction ----------------------------------------------------------------------------------------------------


def test_journal_when_long_then_older_parts_lie_beside_and_the_sums_agree(path) -> None:
    venue = open_venue(journal=FileVenueJournal(path, rotate_lines=7))
    _trade(venue, range(10))
    parts = sorted(part.name for part in path.parent.glob("*.jsonl"))
    assert len(parts) > 5
    assert parts[:2] == ["demo.000000000001.jsonl", "demo.000000000008.jsonl"]
    verdict = judge(path)
    assert verdict.problems == []
    assert verdict.balances == {balance.currency: balance.total for balance in venue.balances()}
    again = _restore(FileVenueJournal(path, rotate_lines=7))
    assert state_of(again) == state_of(venue)
    assert again.executions_since("") == venue.executions_since("")
    assert again.executions_since("3")[0] == venue.executions_since("")[0][3:]


def test_order_when_archived_then_still_the_same_order(path) -> None:
    venue = open_venue(journal=FileVenueJournal(path, rotate_lines=300))
    count = RECENT_ORDERS + 150
    for number in range(count):
        venue.submit(order(f"a{number}", BUY, "1", LIMIT, "50"))
        venue.cancel(f"a{number}")
    assert venue.order("a0").state is OrderState.CANCELLED
    assert venue.submit(order("a0", BUY, "1")).state is OrderState.CANCELLED
    assert venue.cancel("a0").state is OrderState.CANCELLED
    assert len(judge(path).orders) == count
    assert _restore(FileVenueJournal(path)).order("a1") == venue.order("a1")


def test_id_when_never_used_below_the_archived_then_refused_without_reading_the_history(path, monkeypatch) -> None:
    journal = FileVenueJournal(path, rotate_lines=50)
    venue = open_venue(journal=journal)
    for number in range(RECENT_ORDERS + 150):
        venue.submit(order(f"a{2 * number}", BUY, "1", LIMIT, "50"))
        venue.cancel(f"a{2 * number}")
    history, read = journal.history, []
    monkeypatch.setattr(journal, "history", lambda: read.append("whole") or history())
    with pytest.raises(OrderNotFound):
        venue.order("a1")
    assert read == []
    assert venue.order("a0").state is OrderState.CANCELLED
    assert read == ["whole"]


def test_id_when_a_part_is_missing_then_no_answer_is_guessed(path) -> None:
    journal = FileVenueJournal(path, rotate_lines=7)
    _trade(open_venue(journal=journal), range(10))
    next(path.parent.glob("demo.000000000008.jsonl")).unlink()
    with pytest.raises(StorageError, match="a part is missing"):
        journal.mentions("never-used")


def test_part_when_missing_then_history_refuses_but_trading_goes_on(path) -> None:
    venue = open_venue(journal=FileVenueJournal(path, rotate_lines=7))
    _trade(venue, range(10))
    next(path.parent.glob("demo.000000000008.jsonl")).unlink()
    again = _restore(FileVenueJournal(path, rotate_lines=7))
    assert again.submit(order("n1", BUY, "1", minute=10)).state is OrderState.WORKING
    with pytest.raises(StorageError, match="a part is missing"):
        again.executions_since("")


@pytest.mark.parametrize("renamed", [False, True], ids=["before the first rename", "between the two renames"])
def test_journal_when_killed_while_starting_a_part_then_nothing_is_lost(path, renamed) -> None:
    venue = open_venue(journal=FileVenueJournal(path, rotate_lines=1000))
    _trade(venue, range(3))
    lines = judge(path).lines
    checkpointed = FileVenueJournal(path, rotate_lines=2)
    again = _restore(checkpointed)
    again.submit(order("n1", BUY, "1", minute=5))
    current, part = path, path.with_name("demo.000000000001.jsonl")
    upcoming = path.with_name("demo.next.jsonl")
    current.rename(upcoming)
    if not renamed:
        part.rename(current)
    assert judge(path).problems == []
    restored = _restore(FileVenueJournal(path))
    assert state_of(restored) == state_of(again)
    assert judge(path).lines == lines + (2 if renamed else 1)
    assert not upcoming.exists()


def test_restore_when_a_year_has_passed_then_takes_under_a_second(path) -> None:
    venue = open_venue(journal=FileVenueJournal(path, rotate_lines=2_000), usdt="100000000")
    for minute in range(2_500):
        venue.submit(order(f"b{minute}", BUY if minute % 2 else SELL, "1", minute=minute, instrument=PERP))
        venue.observe(bar(minute, 100, 101, 99, 100, instrument=PERP))
    start = time.perf_counter()
    again = _restore(FileVenueJournal(path, rotate_lines=2_000))
    assert time.perf_counter() - start < 1
    assert state_of(again) == state_of(venue)


# -- time ----------------------------------------------------------------------------------------------------------


def test_clock_when_nothing_happens_then_market_time_survives(path) -> None:
    venue = open_venue(journal=FileVenueJournal(path))
    venue.observe(bar(0, 100, 101, 99, 100))
    venue.observe(FeedStatus("demo", at(7, 30), False, "maintenance"))
    size = path.stat().st_size
    again = _restore(FileVenueJournal(path))
    assert again.resume_time == at(7, 30)
    assert path.stat().st_size == size
    assert path.with_name("demo.clock").stat().st_size == 42
    again.submit(order("a1", BUY, "1", minute=7, seconds=30))
    assert prices(again.observe(bar(8, 100, 101, 99, 100))) == ["a1 1@100"]


@pytest.mark.parametrize("text", [b"", b"x", b"12 13\n", b"\xff" * 42])
def test_clock_when_unreadable_then_the_journal_alone_counts(path, text) -> None:
    venue = open_venue(journal=FileVenueJournal(path))
    venue.submit(order("a1", BUY, "1", minute=3))
    path.with_name("demo.clock").write_bytes(text)
    assert _restore(FileVenueJournal(path)).resume_time == at(3)


def test_time_when_nothing_was_seen_then_none() -> None:
    venue = open_venue()
    assert venue.resume_time is None
    venue.observe(bar(0, 100, 101, 99, 100))
    assert venue.resume_time == at(0) + timedelta(minutes=1)


# -- refusals ------------------------------------------------------------------------------------------------------


def test_new_venue_when_the_journal_holds_one_then_refused(path) -> None:
    open_venue(journal=FileVenueJournal(path))
    with pytest.raises(StorageError, match="is not empty"):
        open_venue(journal=FileVenueJournal(path))
    with pytest.raises(BadInput, match="is empty"):
        _restore(MemoryVenueJournal())


def test_open_when_there_is_a_journal_or_not_then_restores_or_starts(path) -> None:
    for _ in range(2):
        venue = PaperVenue.open("demo", INSTRUMENTS, FREE, FileVenueJournal(path), {"USDT": dec(500)})
        venue.submit(order("a1", BUY, "1"))
    assert [update.client_id for update in venue.open_orders()] == ["a1"]


def test_restore_when_an_instrument_is_gone_then_refused(path) -> None:
    venue = open_venue(journal=FileVenueJournal(path))
    venue.submit(order("a1", BUY, "1", instrument=PERP))
    with pytest.raises(StorageError, match=r"\['demo:BTC/USDT:USDT'\]"):
        PaperVenue.restore("demo", [SPOT], FREE, FileVenueJournal(path))
    venue.observe(bar(0, 100, 101, 99, 100, instrument=PERP))
    with pytest.raises(StorageError, match="add the instrument"):
        PaperVenue.restore("demo", [SPOT], FREE, FileVenueJournal(path))


def test_folder_when_it_cannot_be_made_then_the_error_names_it(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be opened"):
        FileVenueJournal(tmp_path / "file" / "demo.jsonl")


def test_memory_journal_when_restored_then_equal() -> None:
    journal = MemoryVenueJournal()
    venue = open_venue(journal=journal)
    _trade(venue, range(3))
    assert state_of(_restore(journal)) == state_of(venue)
    with pytest.raises(StorageError, match="takes no checkpoint"):
        journal.compact(journal.moments[0])
