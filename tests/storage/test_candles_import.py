"""Importing good files: what arrives in the store, what is reported, and what cancelling leaves."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.domain.errors import BadInput, CandleError, StorageError
from engine.domain.instruments import Instrument, Kind
from engine.domain.market import CandleArrays, Timeframe
from engine.market.checks import RowFault, joined, take
from engine.storage import candle_import
from engine.storage.candle_files import FileLimits
from engine.storage.candle_import import ImportCancelled, ImportOptions, ImportWatch, import_file, read_funding
from engine.storage.candle_names import NameFlags
from engine.storage.candles import CandleStore
from tests.shared_data import shared_path
from tests.storage.candle_samples import (
    BTC,
    CSV,
    HOUR,
    NAME,
    START_MS,
    candles,
    columns,
    csv,
    files_below,
    options,
    parquet,
)

SMALL = FileLimits(chunk_rows=100)


@pytest.fixture
def store(tmp_path: Path) -> CandleStore:
    return CandleStore(tmp_path / "candles")


def closes(store: CandleStore) -> list[float]:
    close: list[float] = store.read(BTC.key, HOUR).close.tolist()
    return close


def test_import_when_parquet_stores_every_candle(store: CandleStore) -> None:
    source = candles(0, 1000)
    result = import_file(store, parquet(columns(source)), NAME, options(limits=SMALL))
    assert (result.added, result.corrected, result.report.rows_kept) == (1000, 0, 1000)
    assert (result.instrument, result.timeframe) == (BTC, HOUR)
    assert 0 < result.seconds < 60
    assert closes(store) == source.close.tolist()
    coverage = store.coverage()[0]
    assert (coverage.rows, coverage.source, coverage.rejected_rows) == (1000, "BTC_USDT-1h.parquet", 0)


@pytest.mark.parametrize("bom", ["", "\ufeff"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_import_when_csv_stores_every_candle(store: CandleStore, bom: str, newline: str) -> None:
    source = candles(0, 300)
    text = bom + csv(source).replace("\n", newline)
    assert import_file(store, text.encode(), CSV, options()).added == 300
    assert closes(store) == source.close.tolist()


def test_import_when_from_a_path_reads_venue_and_kind_from_its_folder(store: CandleStore, tmp_path: Path) -> None:
    folder = tmp_path / "futures_bybit"
    folder.mkdir()
    path = folder / "BTC_USDT_USDT-1h-futures.parquet"
    path.write_bytes(parquet(columns(candles(0, 10))))
    result = import_file(store, path, path.name, options())
    assert result.instrument.key == "bybit:BTC/USDT:USDT"
    with_flags = options(flags=NameFlags(venue="okx"))
    assert import_file(store, path, path.name, with_flags).instrument.key == "okx:BTC/USDT:USDT"


def test_import_when_repeated_adds_nothing(store: CandleStore) -> None:
    content = parquet(columns(candles(0, 500)))
    import_file(store, content, NAME, options())
    before = files_below(store.folder)
    again = import_file(store, content, NAME, options())
    assert (again.added, again.corrected) == (0, 0)
    assert files_below(store.folder) == before


def test_import_when_rows_are_bad_reports_each_reason_with_examples(store: CandleStore) -> None:
    source = candles(0, 300)
    source.open[10] = np.nan
    source.low[20] = 0
    source.volume[30] = -1
    source.high[40] = 1
    doubled = joined([source, source.slice(50, 55)])
    result = import_file(store, parquet(columns(doubled)), NAME, options(limits=SMALL))
    assert {rejected.fault: rejected.rows for rejected in result.report.rejected} == {
        RowFault.NOT_A_NUMBER: 1,
        RowFault.ZERO: 1,
        RowFault.NEGATIVE: 1,
        RowFault.OHLC_ORDER: 1,
        RowFault.DUPLICATE: 5,
    }
    assert (result.report.rows_read, result.report.rows_kept, result.added) == (305, 296, 296)
    assert (result.report.gap_count, result.report.missing_bars, result.report.out_of_order) == (4, 4, 5)
    assert result.report.rejected[0].examples[0].opened_at_ms == START_MS + 10 * HOUR.ms
    assert store.coverage()[0].rejected_rows == 9


def test_import_when_rows_come_in_any_order_stores_the_same(store: CandleStore, tmp_path: Path) -> None:
    source = candles(0, 700)
    shuffled = take(source, np.random.default_rng(5).permutation(700))
    result = import_file(store, parquet(columns(shuffled)), NAME, options(limits=SMALL))
    assert result.report.out_of_order > 0
    assert closes(store) == source.close.tolist()
    other = CandleStore(tmp_path / "other")
    import_file(other, parquet(columns(source)), NAME, options())
    assert other.coverage()[0].content_hash == store.coverage()[0].content_hash


def test_import_when_the_last_candle_is_open_leaves_it_out(store: CandleStore) -> None:
    now = datetime.fromtimestamp((START_MS + 9 * HOUR.ms + 1) / 1000, UTC)
    result = import_file(store, parquet(columns(candles(0, 10))), NAME, replace(options(), now=now))
    assert result.added == 9
    assert [rejected.fault for rejected in result.report.rejected] == [RowFault.UNFINISHED]


def test_import_when_columns_are_extra_or_moved_ignores_and_names_them(store: CandleStore) -> None:
    table: dict[str, object] = {
        "trades": [1] * 20,
        **dict(reversed(columns(candles(0, 20)).items())),
        "note": ["x"] * 20,
    }
    result = import_file(store, parquet(table), NAME, options())
    assert result.report.ignored_columns == ("trades", "note")
    assert closes(store) == candles(0, 20).close.tolist()


@pytest.mark.parametrize(
    "times",
    [
        lambda ms: ms // 1000,
        lambda ms: ms.astype(np.float64),
        lambda ms: (ms // 1000).astype(np.int32),
        lambda ms: ms.astype(np.uint64),
        lambda ms: pa.array(ms).cast(pa.timestamp("ms", tz="UTC")),
        lambda ms: pa.array(ms).cast(pa.timestamp("ms", tz="UTC")).cast(pa.timestamp("ns", tz="Europe/Berlin")),
        lambda ms: [f"{np.datetime64(at, 'ms')}Z" for at in ms.tolist()],
        lambda ms: [str(at) for at in ms.tolist()],
    ],
)
def test_import_when_times_are_written_another_clear_way_reads_them(store: CandleStore, times: object) -> None:
    source = candles(0, 50)
    table: dict[str, object] = {**columns(source), "timestamp": times(source.opened_at_ms)}  # type: ignore[operator]
    import_file(store, parquet(table), NAME, options())
    assert store.read(BTC.key, HOUR).opened_at_ms.tolist() == source.opened_at_ms.tolist()


@pytest.mark.parametrize("form", ["{}Z", "{}+00:00", "{}+0000"])
def test_import_when_csv_dates_have_a_zone_reads_them(store: CandleStore, form: str) -> None:
    source = candles(0, 30)
    lines = csv(source).splitlines()
    for row, at in enumerate(source.opened_at_ms.tolist(), start=1):
        rest = lines[row].split(",", 1)[1]
        lines[row] = f"{form.format(np.datetime64(at, 'ms'))},{rest}"
    import_file(store, "\n".join(lines).encode(), CSV, options())
    assert store.read(BTC.key, HOUR).opened_at_ms.tolist() == source.opened_at_ms.tolist()


def test_import_when_watched_reports_rising_shares_up_to_one(store: CandleStore) -> None:
    seen: list[tuple[float, str]] = []
    watch = ImportWatch(progress=lambda share, text: seen.append((share, text)))
    import_file(store, parquet(columns(candles(0, 1000))), NAME, options(limits=SMALL), watch)
    shares = [share for share, _ in seen]
    assert len(shares) > 10
    assert shares == sorted(shares)
    assert 0 < shares[0] < 0.2
    assert shares[-1] == 1.0
    assert seen[0][1] == "BTC_USDT-1h.parquet: 100 rows read"
    assert seen[-1][1] == "BTC_USDT-1h.parquet: 1,000 candles added, 0 corrected"


@pytest.mark.parametrize("asked", range(12))
def test_import_when_cancelled_at_any_moment_leaves_the_store_unchanged(store: CandleStore, asked: int) -> None:
    import_file(store, parquet(columns(candles(0, 50))), NAME, options())
    before = files_below(store.folder)
    times_asked = 0

    def cancelled() -> bool:
        nonlocal times_asked
        times_asked += 1
        return times_asked > asked

    content = parquet(columns(candles(0, 900, shift=1)))
    with pytest.raises(ImportCancelled, match="the store is as it was"):
        import_file(store, content, NAME, options(limits=SMALL), ImportWatch(cancelled=cancelled))
    assert files_below(store.folder) == before


def test_import_when_large_spills_to_disk_and_stores_the_same(
    store: CandleStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(candle_import, "_ROWS_IN_MEMORY", 150)
    source = candles(0, 9000)
    shuffled = take(source, np.random.default_rng(7).permutation(9000))
    result = import_file(store, parquet(columns(shuffled)), NAME, options(limits=SMALL))
    assert result.added == 9000
    assert closes(store) == source.close.tolist()
    assert not list(store.folder.glob(".import-*"))


def test_import_when_one_was_killed_long_ago_removes_its_remains(store: CandleStore) -> None:
    old, young = store.folder / ".import-old", store.folder / ".import-young"
    for folder in (old, young):
        folder.mkdir(parents=True)
        (folder / "0.parquet").write_bytes(b"rest")
    os.utime(old, (time.time() - 90_000, time.time() - 90_000))
    import_file(store, parquet(columns(candles(0, 20))), NAME, options())
    assert not old.exists()
    assert young.exists()


def test_import_when_the_disk_fails_while_spilling_says_so(store: CandleStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candle_import, "_ROWS_IN_MEMORY", 150)
    store.folder.parent.mkdir(parents=True, exist_ok=True)
    store.folder.write_text("in the way")
    with pytest.raises(StorageError, match="could not be written to"):
        import_file(store, parquet(columns(candles(0, 900))), NAME, options(limits=SMALL))


def test_import_when_mark_or_funding_refuses_and_explains(store: CandleStore) -> None:
    content = parquet(columns(candles(0, 20)))
    with pytest.raises(CandleError, match="mark prices"):
        import_file(store, content, "futures_bybit/BTC_USDT_USDT-1h-mark.parquet", options())
    with pytest.raises(CandleError, match="--funding"):
        import_file(store, content, "futures_bybit/BTC_USDT_USDT-funding.parquet", options())


def test_import_when_the_instrument_is_unknown_passes_on_which_flags_to_give(store: CandleStore) -> None:
    def unknown(venue: str, base: str, quote: str, kind: Kind) -> Instrument:
        raise BadInput(f"give --tick-size for {venue} {base}/{quote} {kind.value}")

    with pytest.raises(BadInput, match="--tick-size for binance BTC/USDT spot"):
        import_file(store, parquet(columns(candles(0, 20))), NAME, ImportOptions(unknown, datetime.now(UTC)))
    assert store.coverage() == []


FUNDING = "futures_binance/BTC_USDT_USDT-funding"


def test_funding_when_read_gives_exact_rates_in_order() -> None:
    table = {"timestamp": [START_MS + 28_800_000, START_MS, START_MS], "funding_rate": [-0.00012345, 0.0001, 0.0001]}
    file = read_funding(parquet(table), FUNDING + ".parquet")
    assert file.instrument == "binance:BTC/USDT:USDT"
    assert file.series.at_ms.tolist() == [START_MS, START_MS + 28_800_000]
    assert file.series.rates == (Decimal("0.0001"), Decimal("-0.00012345"))


@pytest.mark.parametrize(
    ("rates", "said"),
    [([0.1, float("nan")], "missing"), ([0.1, 0.6], "beyond 50 %"), ([float("inf"), 0.1], "missing"), ([], "no rows")],
)
def test_funding_when_a_rate_is_bad_refuses(rates: list[float], said: str) -> None:
    table = {"timestamp": np.arange(len(rates)) * 28_800_000 + START_MS, "funding_rate": np.array(rates, dtype=float)}
    with pytest.raises(CandleError, match=said):
        read_funding(parquet(table), FUNDING + ".parquet")


def test_funding_when_two_rates_contradict_or_the_file_is_another_refuses() -> None:
    with pytest.raises(CandleError, match="contradicted"):
        read_funding(f"timestamp,funding_rate\n{START_MS},0.1\n{START_MS},0.2\n".encode(), FUNDING + ".csv")
    with pytest.raises(CandleError, match="no column funding_rate"):
        read_funding(parquet(columns(candles(0, 3))), FUNDING + ".parquet")
    with pytest.raises(CandleError, match="spot"):
        read_funding(b"timestamp,funding_rate\n", "spot_binance/BTC_USDT-1h.csv")
    with pytest.raises(CandleError, match="give the name"):
        read_funding(b"")


REAL = [
    ("spot_binance/BTC_USDT-1h.parquet", 73_265, 27, 122),
    ("spot_binance/ETH_USDT-1h.parquet", 73_265, 27, 122),
    ("spot_binance/SOL_USDT-1h.parquet", 50_489, 10, 20),
    ("spot_kraken/BTC_USDT-1m.parquet", 5_388, 1_367, 2_334),
    ("spot_kraken/BTC_USDT-1h.parquet", 8_779, 3, 8),
    ("futures_binance/BTC_USDT_USDT-1h-futures.parquet", 58_623, 0, 0),
    ("futures_bybit/BTC_USDT_USDT-5m-futures.parquet", 8_837, 0, 0),
]


@pytest.mark.parametrize(("name", "rows", "gaps", "missing"), REAL)
def test_import_when_real_candles_keeps_every_row_and_finds_every_gap(
    store: CandleStore, name: str, rows: int, gaps: int, missing: int
) -> None:
    path = shared_path(f"data/{name}")
    result = import_file(store, path, path.name, replace(options(), now=datetime(2026, 11, 1, tzinfo=UTC)))
    report = result.report
    assert (report.rows_read, report.rows_kept, result.added, report.rejected) == (rows, rows, rows, ())
    assert (report.gap_count, report.missing_bars, len(report.gaps)) == (gaps, missing, gaps)
    assert store.gaps(result.instrument.key, result.timeframe) == report.gaps
    read = store.read(result.instrument.key, result.timeframe)
    table = pq.read_table(path)
    for column, values in columns(read).items():
        assert np.array_equal(values, table.column(column).to_numpy())
    assert result.seconds < 10


def test_funding_when_real_has_the_stated_rows() -> None:
    file = read_funding(shared_path("data/futures_binance/BTC_USDT_USDT-funding.parquet"))
    assert (file.instrument, len(file.series)) == ("binance:BTC/USDT:USDT", 7_323)
    assert file.series.rates[0] == Decimal("0.0001")


def test_resample_when_real_minutes_agree_with_hours_of_the_same_venue(store: CandleStore) -> None:
    for name in ("BTC_USDT-1m_202408.parquet", "BTC_USDT-1h.parquet"):
        path = shared_path(f"data/spot_binance/{name}")
        import_file(store, path, path.name, replace(options(), now=datetime(2026, 11, 1, tzinfo=UTC)))
    made: CandleArrays = store.resample(BTC.key, Timeframe(60), HOUR)
    real = store.read(BTC.key, HOUR)
    rows = np.searchsorted(real.opened_at_ms, made.opened_at_ms)
    for column in ("opened_at_ms", "open", "high", "low", "close"):
        assert np.array_equal(getattr(made, column), getattr(real, column)[rows])
    assert np.allclose(made.volume, real.volume[rows], rtol=1e-9)
