"""Files that are broken or hostile: each is refused with a word on the problem, and the store stays as it was."""

from __future__ import annotations

import gzip
import io
import random
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.domain.errors import CandleError
from engine.domain.market import Timeframe
from engine.storage.candle_files import FileLimits
from engine.storage.candle_import import import_file, read_funding
from engine.storage.candles import CandleStore
from tests.storage.candle_samples import CSV, NAME, NOW, START_MS, candles, columns, csv, options, parquet

HEADER = "timestamp,open,high,low,close,volume"
ROW = f"{START_MS},100,101,99,100.5,1"


@pytest.fixture
def store(tmp_path: Path) -> CandleStore:
    return CandleStore(tmp_path / "candles")


def refused(store: CandleStore, content: bytes | Path, name: str, limits: FileLimits | None = None) -> str:
    with pytest.raises(CandleError) as caught:
        import_file(store, content, name, options(limits=limits or FileLimits()))
    assert store.coverage() == []
    said = str(caught.value)
    assert len(said) < 700
    return said


def changed(**replaced: object) -> bytes:
    return parquet({**columns(candles(0, 20)), **replaced})


def zipped(content: bytes) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr("BTC_USDT-1h.csv", content)
    return sink.getvalue()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"PAR1", "cannot be read as parquet"),
        (b"PAR1" + bytes(100) + b"PAR1", "cannot be read as parquet"),
        (b"timestamp,open\n1,2\n" * 10, "cannot be read as parquet"),
        (parquet(columns(candles(0, 200)))[:-30], "cannot be read as parquet"),
        (zipped(b"x" * 100), "compressed with zip"),
        (gzip.compress(b"x" * 100, mtime=0), "compressed with gzip"),
        (parquet(columns(candles(0, 0))), "holds no rows"),
        (parquet({"timestamp": [START_MS]}), "no column open, high, low, close, volume"),
        (parquet({"date": [1], "price": [2]}), "its columns are date, price"),
        (changed(open=["100"] * 20), "column open holds string"),
        (changed(open=[True] * 20), "column open holds bool"),
        (changed(open=[[1.0]] * 20), "column open holds list"),
        (changed(open=pa.array(["1"] * 20).dictionary_encode()), "column open holds dictionary"),
        (changed(timestamp=[True] * 20), "timestamp holds bool"),
        (changed(timestamp=pa.array([19_000] * 20, pa.date32())), "timestamp holds date32"),
        (changed(timestamp=pa.array([START_MS] * 20, pa.timestamp("ms"))), "without a time zone"),
        (changed(timestamp=["2024-01-01 00:00:00"] * 20), "'2024-01-01 00:00:00' is neither"),
        (changed(timestamp=["01/02/2024"] * 20), "'01/02/2024' is neither"),
        (changed(timestamp=["2024-13-41T00:00:00Z"] * 20), "2024-13-41T00:00:00Z"),
        (changed(timestamp=[START_MS * 1000] * 20), f"'{START_MS * 1000}' is neither seconds nor milliseconds"),
        (changed(timestamp=[START_MS * 1_000_000] * 20), "is neither seconds nor milliseconds"),
        (changed(timestamp=[7] * 20), "'7' is neither seconds nor milliseconds"),
        (changed(timestamp=[START_MS] * 19 + [START_MS // 1000]), f"'{START_MS // 1000}' is not in milliseconds"),
        (changed(timestamp=[START_MS + 0.5] * 20), "is not a whole number"),
        (changed(timestamp=[float("nan")] * 20), "is not a whole number"),
        (changed(timestamp=[1e300] * 20), "is not a whole number"),
        (changed(timestamp=[2**63 - 1] * 20), "is neither seconds nor milliseconds"),
        (changed(timestamp=pa.array([2**64 - 1] * 20, pa.uint64())), "cannot be read as parquet"),
        (changed(open=[float("nan")] * 20), "no usable candle (20 rows: a value is missing"),
        (changed(timestamp=candles(0, 20).opened_at_ms + 1), "20 of 20 rows do not open on the 1h grid"),
        (parquet({**{f"c{n}": [1] for n in range(300)}}), "300 columns"),
        (parquet({**columns(candles(0, 5)), "Open": [1.0] * 5}), "more than one column open"),
    ],
)
def test_import_when_the_parquet_is_unusable_says_why(store: CandleStore, content: bytes, said: str) -> None:
    assert said in refused(store, content, NAME)


def text(*lines: str) -> bytes:
    return "\n".join(lines).encode() + b"\n"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"\n\n\n", "no column timestamp"),
        (HEADER.encode(), "no row after its first line"),
        (text(HEADER), "holds no rows"),
        (text("timestamp,open,high", "1,2,3"), "no column low, close, volume"),
        (text(HEADER + ",open", ROW + ",1"), "more than one column open"),
        (text(HEADER.replace(",", ";"), ROW.replace(",", ";")), "not separated by commas"),
        (text(HEADER, ROW.replace("100.5", "=1+1")), "=1+1"),
        (text(HEADER, ROW.replace("100.5", "=cmd|' /C calc'!A0")), "cmd"),
        (text(HEADER, ROW.replace("100.5", '"1,5"')), "1,5"),
        (text(HEADER, ROW.replace("100.5", "12abc")), "12abc"),
        (text(HEADER, ROW + ",7,8"), "Expected 6 columns, got 8"),
        (text(HEADER, "1,2,3"), "Expected 6 columns, got 3"),
        (text(HEADER, ROW.replace(str(START_MS), "=NOW()")), "'=NOW()' is neither"),
        (text(HEADER, ROW.replace(str(START_MS), "")), "'' is neither"),
        (text(HEADER, ROW.replace(str(START_MS), "9" * 30)), "is neither a whole number"),
        (text(HEADER, ROW, ROW.replace(str(START_MS), "2024-01-01T00:00:00Z")), "2024-01-01T00:00:00Z"),
        (csv(candles(0, 9)).encode("utf-16"), "UTF-16"),
        (csv(candles(0, 9)).encode("utf-16-le"), "UTF-16"),
        ("zeit,öffnung\n".encode("latin-1") + b"1,2\n", "not UTF-8"),
        (text(HEADER, ROW) + b"\x00\x01\x02", "UTF-16"),
        (text('"timestamp,open', ROW), "column names"),
        (b"x" * 100_000 + b"\n1\n", "a first line over"),
        (text(HEADER, "1" * 3_000_000), "longer than 1048576 bytes"),
        (text(",".join(f"c{n}" for n in range(300)), "1"), "300 columns"),
        (gzip.compress(csv(candles(0, 9)).encode(), mtime=0), "compressed with gzip"),
        (zipped(csv(candles(0, 9)).encode()), "compressed with zip"),
        (parquet(columns(candles(0, 9))), "UTF-"),
        (text(HEADER, *[ROW] * 5, ROW.replace("100.5", "x")), "x"),
    ],
)
def test_import_when_the_csv_is_unusable_says_why(store: CandleStore, content: bytes, said: str) -> None:
    assert said in refused(store, content, CSV)


def test_import_when_a_csv_holds_words_for_nothing_leaves_the_rows_out(store: CandleStore) -> None:
    rows = csv(candles(0, 30)).splitlines()
    for row, word in ((5, ""), (6, "NaN"), (7, "inf"), (8, "null")):
        fields = rows[row].split(",")
        rows[row] = ",".join([*fields[:4], word, fields[5]])
    result = import_file(store, "\n".join(rows).encode(), CSV, options())
    assert (result.added, result.report.rows_rejected) == (26, 4)


def bomb(rows: int, groups: int) -> bytes:
    """A few hundred kilobytes that declare ``rows`` times ``groups`` equal rows."""
    sink = pa.BufferOutputStream()
    table = pa.table({name: np.ones(rows) for name in columns(candles(0, 0))})
    with pq.ParquetWriter(sink, table.schema, compression="zstd") as writer:
        for _ in range(groups):
            writer.write_table(table)
    return bytes(sink.getvalue())


def test_import_when_few_bytes_declare_gigabytes_refuses_before_unpacking(store: CandleStore) -> None:
    content = bomb(1_000_000, 12)
    assert len(content) < 1 << 20
    assert "unpacks to 549 MiB, over the limit of 512 MiB" in refused(store, content, NAME)


def test_import_when_over_the_given_limit_refuses(store: CandleStore) -> None:
    tight = FileLimits(max_bytes=10_000)
    assert "over the limit" in refused(store, parquet(columns(candles(0, 300))), NAME, tight)
    assert "over the limit" in refused(store, csv(candles(0, 300)).encode(), CSV, tight)
    assert "over the limit" in refused(store, parquet(columns(candles(0, 300)), compression="gzip"), NAME, tight)


def test_import_when_the_file_is_no_file_refuses(store: CandleStore, tmp_path: Path) -> None:
    missing = tmp_path / "spot_binance" / "BTC_USDT-1h.parquet"
    assert "there is no file" in refused(store, missing, missing.name)
    missing.mkdir(parents=True)
    assert "there is no file" in refused(store, missing, missing.name)


def test_import_when_the_timeframe_is_wrong_refuses(store: CandleStore) -> None:
    hours = parquet(columns(candles(0, 200)))
    assert "no two candles are 1m apart (the first two are 60 times that)" in refused(
        store, hours, "spot_binance/BTC_USDT-1m.parquet"
    )
    minutes = parquet(columns(candles(0, 200, timeframe=Timeframe(60))))
    assert "do not open on the 1h grid" in refused(store, minutes, NAME)


def test_import_when_every_candle_is_of_the_future_refuses(store: CandleStore) -> None:
    early = replace(options(), now=datetime(2020, 1, 1, tzinfo=UTC))
    with pytest.raises(CandleError, match="20 rows: had not closed yet"):
        import_file(store, parquet(columns(candles(0, 20))), NAME, early)


def test_import_when_later_chunks_change_the_unit_refuses(store: CandleStore) -> None:
    source = candles(0, 300)
    source.opened_at_ms[250:] //= 1000
    said = refused(store, parquet(columns(source)), NAME, FileLimits(chunk_rows=100))
    assert "is not in milliseconds like the others" in said
    dates = csv(candles(0, 40_000)).splitlines()
    dates[-1] = "2024-01-01T00:00:00Z," + dates[-1].split(",", 1)[1]
    assert "2024-01-01T00:00:00Z" in refused(store, "\n".join(dates).encode(), CSV)


def damaged(content: bytes, random_source: random.Random) -> bytes:
    changed_bytes = bytearray(content)
    for _ in range(random_source.choice([1, 2, 8])):
        place = random_source.randrange(len(changed_bytes))
        action: Callable[[], None] = random_source.choice(
            [
                lambda place=place: changed_bytes.__setitem__(place, random_source.randrange(256)),
                lambda place=place: changed_bytes.__delitem__(slice(place, place + 9)),
                lambda place=place: changed_bytes.insert(place, random_source.randrange(256)),
            ]
        )
        action()
    return bytes(changed_bytes) or b"x"


@pytest.mark.parametrize(("name", "rounds"), [(NAME, 25), (CSV, 150)])
def test_import_when_bytes_are_damaged_at_random_refuses_or_stores_checked_candles(
    store: CandleStore, name: str, rounds: int
) -> None:
    random_source = random.Random(name)
    content = csv(candles(0, 60)).encode() if name == CSV else parquet(columns(candles(0, 60)), use_dictionary=False)
    outcomes = [imported(store, damaged(content, random_source), name) for _ in range(rounds)]
    assert "" not in [outcome for outcome in outcomes if outcome is not None]
    assert any(outcome is not None for outcome in outcomes)
    for row in store.coverage():
        kept = store.read(row.instrument, row.timeframe)
        assert np.all((kept.low > 0) & (kept.low <= kept.close) & (kept.close <= kept.high))
        assert np.all(kept.opened_at_ms + row.timeframe.ms <= NOW.timestamp() * 1000)


def imported(store: CandleStore, content: bytes, name: str) -> str | None:
    """What the refusal said, or None where the file was taken."""
    try:
        import_file(store, content, name, options())
    except CandleError as error:
        return str(error)
    return None


@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell")
@pytest.mark.parametrize("size", [10, 100_000])
def test_import_when_the_file_kills_its_reader_says_so_and_goes_on(
    store: CandleStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    dying = tmp_path / "python"
    dying.write_text("#!/bin/sh\nkill -ABRT $$\n")
    dying.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(dying))
    said = refused(store, parquet(columns(candles(0, size))), NAME)
    assert "reading it ended the reader (status -6); it is damaged" in said


@pytest.mark.parametrize("content", [b"", b"PAR1", b"\xff\xfe\x00", text("timestamp,funding_rate", f"{START_MS},=1+1")])
def test_funding_when_the_file_is_unusable_refuses(content: bytes) -> None:
    for ending in ("parquet", "csv"):
        with pytest.raises(CandleError):
            read_funding(content, f"futures_binance/BTC_USDT_USDT-funding.{ending}")
