"""The candle store: merging, reading, and what happens when the disk does not play along."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.errors import BadInput, CannotRecord, StorageError
from engine.domain.instruments import InstrumentKey, Kind
from engine.domain.market import CandleArrays, Timeframe, from_ms
from engine.market.checks import Gap, take
from engine.storage.candles import CandleStore, MergeResult
from tests.storage.candle_samples import (
    BTC,
    HOUR,
    NOW,
    START,
    START_MS,
    candles,
    files_below,
    instrument,
    parquet,
    record,
)

DAY = Timeframe.parse("1d")


@pytest.fixture
def store(tmp_path: Path) -> CandleStore:
    return CandleStore(tmp_path / "candles")


def same(left: CandleArrays, right: CandleArrays) -> bool:
    names = ("opened_at_ms", "open", "high", "low", "close", "volume")
    return all(np.array_equal(getattr(left, name), getattr(right, name)) for name in names)


def sidecar(store: CandleStore) -> Path:
    return next(store.folder.rglob("series.json"))


def test_read_when_merged_over_new_year_gives_back_every_value(store: CandleStore) -> None:
    source = candles(0, 100)
    assert store.merge(BTC, source, record()) == MergeResult(100, 0)
    read = store.read(BTC.key, HOUR)
    assert same(read, source)
    assert read.timeframe == HOUR
    assert len(list(store.folder.rglob("*.parquet"))) == 2
    with pytest.raises(ValueError, match="read-only"):
        read.close[0] = 1


def test_read_when_given_a_range_takes_what_opens_in_it(store: CandleStore) -> None:
    store.merge(BTC, candles(0, 100), record())
    part = store.read(BTC.key, HOUR, START + timedelta(hours=20), START + timedelta(hours=30))
    assert same(part, candles(20, 30))
    assert len(store.read(BTC.key, HOUR, START + timedelta(days=900))) == 0
    assert len(store.read(BTC.key, HOUR, None, START)) == 0
    assert same(store.read(BTC.key, HOUR, None, START + timedelta(hours=1)), candles(0, 1))
    with pytest.raises(BadInput, match="ends before it starts"):
        store.read(BTC.key, HOUR, START, START - timedelta(hours=1))


def test_merge_when_repeated_changes_no_byte_of_the_segments(store: CandleStore) -> None:
    store.merge(BTC, candles(0, 100), record())
    before = files_below(store.folder)
    assert store.merge(BTC, candles(0, 100), record()) == MergeResult(0, 0)
    assert files_below(store.folder) == before


def test_merge_when_values_differ_replaces_and_counts_them(store: CandleStore) -> None:
    store.merge(BTC, candles(0, 100), record())
    hash_before = store.coverage()[0].content_hash
    assert store.merge(BTC, candles(10, 20, shift=1), record("second")) == MergeResult(0, 10)
    read = store.read(BTC.key, HOUR)
    assert same(read.slice(10, 20), candles(10, 20, shift=1))
    assert same(read.slice(20, 100), candles(20, 100))
    assert store.coverage()[0].content_hash != hash_before
    assert len(list(store.folder.rglob("*.parquet"))) == 2


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20), st.sampled_from([0.0, 1.0])), max_size=8))
@settings(max_examples=25, deadline=None)
def test_merge_when_pieces_overlap_at_random_is_what_a_dict_would_hold(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[tuple[int, int, float]]
) -> None:
    store = CandleStore(tmp_path_factory.mktemp("merge"))
    held: dict[int, float] = {}
    for first, length, shift in pieces:
        piece = candles(first, first + length, shift)
        new = dict(zip(piece.opened_at_ms.tolist(), piece.open.tolist(), strict=True))
        corrected = sum(at in held and held[at] != price for at, price in new.items())
        assert store.merge(BTC, piece, record()) == MergeResult(len(new.keys() - held.keys()), corrected)
        held |= new
    if held:
        read = store.read(BTC.key, HOUR)
        assert dict(zip(read.opened_at_ms.tolist(), read.open.tolist(), strict=True)) == held
        assert np.all(np.diff(read.opened_at_ms) > 0)


def test_merge_when_unsorted_or_of_another_timeframe_refuses(store: CandleStore) -> None:
    backwards = take(candles(0, 3), np.array([2, 1, 0]))
    with pytest.raises(BadInput, match="must rise"):
        store.merge(BTC, backwards, record())
    with store.writing(BTC, HOUR) as writer, pytest.raises(BadInput, match="1d candles for the 1h series"):
        writer.put(candles(0, 3, timeframe=DAY))
    assert store.coverage() == []


def test_coverage_when_several_series_are_held_describes_each(store: CandleStore) -> None:
    with_gaps = take(candles(0, 100), np.array([0, 1, 2, 5, 6, 40, 41]))
    store.merge(BTC, with_gaps, record("first", NOW - timedelta(days=1), rejected=3))
    store.merge(BTC, candles(41, 43), record("second", NOW, rejected=2))
    perpetual = instrument("bybit", kind=Kind.PERPETUAL)
    store.merge(perpetual, candles(0, 10, timeframe=DAY), record("third"))
    btc, perp = store.coverage()
    assert (btc.instrument, btc.kind, btc.timeframe, btc.rows) == (BTC.key, Kind.SPOT, HOUR, 8)
    assert (btc.first, btc.last) == (START, START + timedelta(hours=42))
    assert (btc.gaps, btc.missing_bars, btc.rejected_rows) == (2, 35, 5)
    assert (btc.source, btc.imported_at) == ("second", NOW)
    assert (perp.instrument, perp.kind, perp.timeframe) == ("bybit:BTC/USDT:USDT", Kind.PERPETUAL, DAY)


def test_coverage_when_a_file_is_imported_again_counts_its_rejections_once(store: CandleStore) -> None:
    for _ in range(3):
        store.merge(BTC, candles(0, 10), record("same file", rejected=4))
    assert store.coverage()[0].rejected_rows == 4


def test_gaps_when_bars_are_missing_lists_the_runs(store: CandleStore) -> None:
    store.merge(BTC, take(candles(0, 60), np.array([0, 1, 22, 23, 30])), record())
    assert store.gaps(BTC.key, HOUR) == (
        Gap(START + timedelta(hours=2), START + timedelta(hours=22), 20),
        Gap(START + timedelta(hours=24), START + timedelta(hours=30), 6),
    )
    coverage = store.coverage()[0]
    assert (coverage.gaps, coverage.missing_bars) == (2, 26)


def test_instrument_when_imported_twice_is_as_stated_last(store: CandleStore) -> None:
    store.merge(BTC, candles(0, 10), record("old", NOW - timedelta(days=1)))
    assert store.instrument(BTC.key) == BTC
    with pytest.raises(BadInput, match=r"holds no binance:ETH/USDT; it holds binance:BTC/USDT 1h"):
        store.instrument(InstrumentKey("binance:ETH/USDT"))


def test_read_when_nothing_is_held_says_what_is(store: CandleStore) -> None:
    with pytest.raises(BadInput, match="holds nothing yet"):
        store.read(BTC.key, HOUR)
    assert store.coverage() == []
    store.merge(BTC, candles(0, 1), record())
    with pytest.raises(BadInput, match=r"no binance:BTC/USDT 1m; it holds binance:BTC/USDT 1h"):
        store.read(BTC.key, Timeframe(60))


def test_resample_when_made_from_hours_gives_whole_days(store: CandleStore) -> None:
    source = candles(0, 24 * 3 + 23)
    store.merge(BTC, source, record())
    days = store.resample(BTC.key, HOUR, DAY)
    assert days.timeframe == DAY
    assert days.opened_at_ms.tolist() == [START_MS + day * DAY.ms for day in range(3)]
    for day in range(3):
        part = source.slice(24 * day, 24 * day + 24)
        assert (days.open[day], days.close[day]) == (part.open[0], part.close[-1])
        assert (days.high[day], days.low[day]) == (part.high.max(), part.low.min())
        assert days.volume[day] == pytest.approx(part.volume.sum(), rel=1e-12)


def test_resample_when_given_a_range_takes_whole_bars_inside_it(store: CandleStore) -> None:
    store.merge(BTC, candles(0, 24 * 5), record())
    start, stop = START + timedelta(hours=1), START + timedelta(days=3, hours=23)
    assert [from_ms(int(at)) for at in store.resample(BTC.key, HOUR, DAY, start, stop).opened_at_ms] == [
        START + timedelta(days=1),
        START + timedelta(days=2),
    ]
    week = store.resample(BTC.key, HOUR, Timeframe.parse("1w"))
    assert len(week) == 0
    with pytest.raises(BadInput, match="not a whole multiple"):
        store.resample(BTC.key, HOUR, Timeframe.parse("90m"))


def test_resample_when_weekly_starts_on_monday(store: CandleStore) -> None:
    store.merge(BTC, candles(0, 24 * 30), record())
    weeks = store.resample(BTC.key, HOUR, Timeframe.parse("1w"))
    assert {datetime.fromtimestamp(at / 1000, UTC).weekday() for at in weeks.opened_at_ms.tolist()} == {0}
    assert len(weeks) == 4


def test_read_when_a_segment_is_damaged_names_the_file(store: CandleStore) -> None:
    store.merge(BTC, candles(0, 100), record())
    segment = sorted(store.folder.rglob("*.parquet"))[0]
    content = bytearray(segment.read_bytes())
    content[len(content) // 2] ^= 1
    segment.write_bytes(bytes(content))
    for query in (store.read, store.gaps):
        with pytest.raises(StorageError, match="is damaged") as caught:
            query(BTC.key, HOUR)
        assert str(segment) in str(caught.value)
    assert same(store.read(BTC.key, HOUR, START + timedelta(days=1)), candles(24, 100))
    with pytest.raises(StorageError, match="is damaged"):
        store.merge(BTC, candles(0, 10, shift=1), record())


def test_read_when_a_segment_is_missing_names_the_file(store: CandleStore) -> None:
    store.merge(BTC, candles(0, 10), record())
    segment = next(store.folder.rglob("*.parquet"))
    segment.unlink()
    with pytest.raises(StorageError, match="it is missing") as caught:
        store.read(BTC.key, HOUR)
    assert str(segment) in str(caught.value)
    with pytest.raises(StorageError, match="it is missing"):
        store.merge(BTC, candles(0, 10, shift=1), record())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b"null",
        b'{"format": 2}',
        b'{"format": 1, "instrument": {}}',
        b'{"format": 1, "instrument": 5}',
    ],
)
def test_coverage_when_the_sidecar_is_damaged_names_it(store: CandleStore, content: bytes) -> None:
    store.merge(BTC, candles(0, 10), record())
    path = sidecar(store)
    path.write_bytes(content)
    for query in (store.coverage, lambda: store.read(BTC.key, HOUR)):
        with pytest.raises(StorageError, match="is damaged") as caught:
            query()
        assert str(path) in str(caught.value)
    assert list(store.folder.rglob("*.parquet"))


@pytest.mark.parametrize(
    ("field", "value"),
    [("file", "../../../etc/passwd"), ("file", "/etc/passwd"), ("file", "a/b.parquet")],
)
def test_read_when_the_sidecar_points_elsewhere_refuses(store: CandleStore, field: str, value: str) -> None:
    store.merge(BTC, candles(0, 10), record())
    path = sidecar(store)
    document = json.loads(path.read_text())
    document["segments"][0][field] = value
    path.write_text(json.dumps(document))
    with pytest.raises(StorageError, match="outside its folder"):
        store.read(BTC.key, HOUR)


def test_read_when_a_folder_lies_where_a_file_should_names_it(store: CandleStore) -> None:
    store.merge(BTC, candles(0, 10), record())
    segment, path = next(store.folder.rglob("*.parquet")), sidecar(store)
    segment.unlink()
    segment.mkdir()
    with pytest.raises(StorageError, match="is damaged") as caught:
        store.read(BTC.key, HOUR)
    assert str(segment) in str(caught.value)
    path.unlink()
    path.mkdir()
    with pytest.raises(StorageError, match="is damaged") as caught:
        store.read(BTC.key, HOUR)
    assert str(path) in str(caught.value)


def test_read_when_a_segment_has_other_columns_refuses(store: CandleStore) -> None:
    store.merge(BTC, candles(0, 10), record())
    segment, path = next(store.folder.rglob("*.parquet")), sidecar(store)
    segment.write_bytes(parquet({"timestamp": [START_MS], "open": [1]}))
    document = json.loads(path.read_text())
    document["segments"][0]["sha256"] = hashlib.sha256(segment.read_bytes()).hexdigest()
    path.write_text(json.dumps(document))
    with pytest.raises(StorageError, match="its columns are not those of candles"):
        store.read(BTC.key, HOUR)


def test_read_when_a_folder_was_renamed_by_hand_refuses(store: CandleStore) -> None:
    store.merge(BTC, candles(0, 10), record())
    path = sidecar(store).parent
    path.rename(path.parent / "1m")
    with pytest.raises(StorageError, match="it is about binance:BTC/USDT 1h"):
        store.read(BTC.key, Timeframe(60))


def test_writing_when_left_without_commit_changes_nothing(store: CandleStore) -> None:
    store.merge(BTC, candles(0, 10), record())
    before = files_below(store.folder)
    with store.writing(BTC, HOUR) as writer:
        writer.put(candles(0, 20, shift=1))
        assert files_below(store.folder) != before
    assert files_below(store.folder) == before


def test_writing_when_an_import_was_killed_sweeps_what_it_left(store: CandleStore) -> None:
    store.merge(BTC, candles(0, 10), record())
    folder = sidecar(store).parent
    (folder / "2023-0123456789abcdef.parquet").write_bytes(b"half")
    (folder / "series.json.0123.tmp").write_bytes(b"half")
    assert same(store.read(BTC.key, HOUR), candles(0, 10))
    store.merge(BTC, candles(0, 10), record())
    assert {path.suffix for path in folder.iterdir()} == {".parquet", ".json", ""}
    assert len(list(folder.glob("*.parquet"))) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="file size limits are POSIX")
def test_merge_when_the_disk_is_full_changes_nothing_and_says_so(store: CandleStore) -> None:
    import resource

    store.merge(BTC, candles(0, 10), record())
    before = files_below(store.folder)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(CannotRecord, match="QUARTERDECK_DATA_DIR") as caught:
            store.merge(BTC, candles(0, 4000, shift=1), record())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(store.folder) in str(caught.value)
    assert files_below(store.folder) == before


@pytest.mark.parametrize("failing", range(6))
def test_merge_when_any_flush_fails_leaves_old_or_new_but_never_half(
    store: CandleStore, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    store.merge(BTC, candles(0, 100), record())
    calls = 0
    real = os.fsync

    def failing_fsync(handle: int) -> None:
        nonlocal calls
        calls += 1
        if calls == failing + 1:
            raise OSError(28, "No space left on device")
        real(handle)

    monkeypatch.setattr(os, "fsync", failing_fsync)
    with pytest.raises(CannotRecord, match="No space left on device"):
        store.merge(BTC, candles(0, 100, shift=1), record())
    monkeypatch.undo()
    read = store.read(BTC.key, HOUR)
    assert same(read, candles(0, 100)) or same(read, candles(0, 100, shift=1))
    assert len(list(store.folder.rglob("*.parquet"))) == 2
    assert not list(store.folder.rglob("*.tmp"))


def test_merge_when_the_folder_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    store = CandleStore(tmp_path / "file" / "candles")
    with pytest.raises(CannotRecord, match="could not be written to"):
        store.merge(BTC, candles(0, 10), record())
    assert store.coverage() == []


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_merge_when_the_folder_is_read_only_says_so(store: CandleStore) -> None:
    store.merge(BTC, candles(0, 10), record())
    folder = sidecar(store).parent
    folder.chmod(0o500)
    try:
        with pytest.raises(CannotRecord, match="make the folder writable"):
            store.merge(BTC, candles(0, 10, shift=1), record())
    finally:
        folder.chmod(0o700)
    assert same(store.read(BTC.key, HOUR), candles(0, 10))


def test_store_when_the_folder_name_holds_wildcards_works(tmp_path: Path) -> None:
    store = CandleStore(tmp_path / "[a]*? 'x'")
    store.merge(BTC, candles(0, 10), record())
    assert same(store.read(BTC.key, HOUR), candles(0, 10))


def test_store_when_threads_write_and_read_at_once_loses_nothing(store: CandleStore) -> None:
    store.merge(BTC, candles(0, 1), record())
    failures: list[Exception] = []

    def write(part: int) -> None:
        try:
            CandleStore(store.folder).merge(BTC, candles(part * 10, part * 10 + 10), record(str(part)))
        except StorageError as error:
            failures.append(error)

    def read() -> None:
        try:
            for _ in range(20):
                assert len(store.read(BTC.key, HOUR)) >= 1
        except (StorageError, AssertionError) as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(part,)) for part in range(8)]
    threads += [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert same(store.read(BTC.key, HOUR), candles(0, 80))
