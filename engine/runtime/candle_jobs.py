"""The work behind the Data page: import a file, download public candles, fetch what a series lacks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from engine.domain.codec import utc_text
from engine.domain.errors import BadInput, VenueError, VenueUnreachable
from engine.domain.instruments import Instrument, InstrumentKey
from engine.domain.market import Candle, CandleArrays, Timeframe, from_ms, to_ms
from engine.domain.ports import Clock
from engine.exchanges import EXCHANGES
from engine.exchanges.hosts import Hosts
from engine.exchanges.public_market import PublicMarket
from engine.market.checks import check_candles
from engine.runtime.form_words import for_the_form
from engine.runtime.funding_shelf import FundingShelf
from engine.runtime.job_files import JobCancelled
from engine.runtime.job_worker import JobOutcome, JobWatch
from engine.runtime.replay_data import read_file_facts
from engine.storage.candle_import import ImportOptions, ImportWatch, import_file, read_funding
from engine.storage.candles import CandleStore, ImportRecord

UPLOAD = "upload"
_STORE_EVERY_BARS = 20_000
_REFUSED_SHOWN = 3


def import_task(arguments: Mapping[str, Any], watch: JobWatch) -> JobOutcome:
    """Import the uploaded file of candles ``name`` into the store ``candles``; ``options`` as the facade takes them."""
    facts = read_file_facts(arguments["options"])
    upload = watch.files / UPLOAD
    try:
        result = import_file(
            CandleStore(Path(arguments["candles"])),
            upload,
            arguments["name"],
            ImportOptions(facts.instrument, watch.clock.now(), facts.flags),
            ImportWatch(watch.progress, watch.cancelled),
        )
    except BadInput as error:
        raise for_the_form(error) from error
    finally:
        upload.unlink(missing_ok=True)
    report = result.report
    reasons = {rejected.fault.value: rejected.rows for rejected in report.rejected}
    told = "; ".join(f"{rows:,} rows left out: {reason}" for reason, rows in reasons.items())
    detail = (
        f"{result.instrument.key} {result.timeframe}: {result.added:,} candles added, {result.corrected:,} corrected, "
        f"{report.missing_bars:,} missing in {report.gap_count:,} gaps" + (f"; {told}" if told else "")
    )
    return JobOutcome(
        detail,
        {
            "instrument": result.instrument.key,
            "timeframe": str(result.timeframe),
            "rows_read": report.rows_read,
            "rows_kept": report.rows_kept,
            "rows_rejected": report.rows_rejected,
            "rejected": reasons,
            "gaps": report.gap_count,
            "missing_bars": report.missing_bars,
            "added": result.added,
            "corrected": result.corrected,
            "ignored_columns": list(report.ignored_columns),
            "seconds": round(result.seconds, 3),
        },
    )


def funding_task(arguments: Mapping[str, Any], watch: JobWatch) -> JobOutcome:
    """Keep the uploaded file of funding rates ``name`` for replays, under ``funding``."""
    facts = read_file_facts(arguments["options"])
    upload = watch.files / UPLOAD
    watch.progress(0.1, f"{arguments['name']}: reading")
    try:
        file = read_funding(upload, arguments["name"], facts.flags)
    except BadInput as error:
        raise for_the_form(error) from error
    finally:
        upload.unlink(missing_ok=True)
    stored = FundingShelf(Path(arguments["funding"])).merge(file)
    detail = f"{file.instrument}: {len(file.series):,} funding rates read, {stored:,} stored for replays"
    return JobOutcome(detail, {"instrument": file.instrument, "rates_read": len(file.series), "rates_stored": stored})


def download_task(arguments: Mapping[str, Any], watch: JobWatch) -> JobOutcome:
    """Download the candles of ``symbol`` and ``timeframe`` from ``exchange``, opened from ``since_ms`` to ``until_ms``.

    What has been fetched is stored every 20,000 candles, so that a long download that breaks off goes on where it
    stopped when it is started again.
    """
    timeframe = Timeframe.parse(arguments["timeframe"])
    with _opened(arguments, watch.clock) as market:
        watch.progress(0.0, f"asking {arguments['exchange']}")
        market.sync_clock()
        market.check_timeframe(timeframe)
        (instrument,) = market.instruments([arguments["symbol"]])
        fetch = _Fetch(market, instrument, timeframe, CandleStore(Path(arguments["candles"])), watch.clock)
        spans = [(int(arguments["since_ms"]), int(arguments["until_ms"]))]
        return _fetched(fetch, spans, watch)


def backfill_task(arguments: Mapping[str, Any], watch: JobWatch) -> JobOutcome:
    """Fetch the candles that the series ``instrument`` ``timeframe`` of the store lacks between its ends."""
    store, timeframe = CandleStore(Path(arguments["candles"])), Timeframe.parse(arguments["timeframe"])
    key = InstrumentKey(arguments["instrument"])
    gaps = store.gaps(key, timeframe)
    with _opened(arguments, watch.clock) as market:
        watch.progress(0.0, f"asking {arguments['exchange']}")
        market.sync_clock()
        market.check_timeframe(timeframe)
        fetch = _Fetch(market, store.instrument(key), timeframe, store, watch.clock)
        outcome = _fetched(fetch, [(to_ms(gap.start), to_ms(gap.stop)) for gap in gaps], watch)
    left = sum(gap.missing_bars for gap in store.gaps(key, timeframe))
    detail = outcome.detail + (f"; {left:,} the exchange does not have either" if left else "; nothing is missing now")
    return JobOutcome(detail, {**outcome.result, "still_missing": left})


def _opened(arguments: Mapping[str, Any], clock: Clock) -> closing[PublicMarket]:
    """A public market for the length of a block; its connection is closed whatever happens."""
    row = EXCHANGES[arguments["exchange"]]
    market = PublicMarket(row, clock, rest_url=arguments.get("rest_url") or None)
    market.heed(Hosts(Path(arguments["candles"]).parent / "venues", clock))
    return closing(market)


@dataclass(slots=True)
class _Fetch:
    """A download under way: what was counted so far, and candles not stored yet."""

    market: PublicMarket
    instrument: Instrument
    timeframe: Timeframe
    store: CandleStore
    clock: Clock
    read: int = 0
    refused: int = 0
    added: int = 0
    corrected: int = 0
    examples: tuple[str, ...] = ()
    waiting: list[Candle] = field(default_factory=list)

    def take(self, candles: Sequence[Candle], refused: Sequence[str]) -> None:
        """Count an answer; store what has gathered once it is much."""
        self.read += len(candles) + len(refused)
        self.refused += len(refused)
        self.examples = (*self.examples, *refused)[:_REFUSED_SHOWN]
        self.waiting.extend(candles)
        if len(self.waiting) >= _STORE_EVERY_BARS:
            self.keep()

    def keep(self) -> None:
        """Store what has gathered."""
        if not self.waiting:
            return
        now = self.clock.now()
        kept, report = check_candles(arrays_of(self.waiting, self.timeframe), now)
        digest = hashlib.sha256(b"".join(column.tobytes() for column in (kept.opened_at_ms, kept.close, kept.volume)))
        source = f"{self.market_title} public candles"
        record = ImportRecord(source, digest.hexdigest(), report.rows_read, report.rows_rejected, now)
        if len(kept):
            merged = self.store.merge(self.instrument, kept, record)
            self.added += merged.added
            self.corrected += merged.corrected
        self.refused += report.rows_rejected
        self.waiting.clear()

    @property
    def market_title(self) -> str:
        """Name of the exchange for people."""
        return EXCHANGES[self.instrument.venue].title


def _fetched(fetch: _Fetch, spans: Sequence[tuple[int, int]], watch: JobWatch) -> JobOutcome:
    total_ms, before_ms = sum(stop - start for start, stop in spans), 0
    name = f"{fetch.instrument.key} {fetch.timeframe}"
    try:
        for start, stop in spans:
            for page in fetch.market.pages(fetch.instrument, fetch.timeframe, start, stop):
                fetch.take(page.candles, page.refused)
                reached = min(stop, page.newest_ms if page.newest_ms is not None else stop)
                share = (before_ms + max(0, reached - start)) / max(1, total_ms)
                watch.progress(share, f"{name}: {fetch.read:,} candles up to {utc_text(from_ms(reached))[:16]}")
                if watch.cancelled():
                    fetch.keep()
                    raise JobCancelled(f"cancelled; the {fetch.added:,} candles fetched until then are stored")
            before_ms += stop - start
        fetch.keep()
    except VenueError as error:
        raise _broken_off(fetch, error) from error
    if not fetch.read:
        raise BadInput(f"{fetch.market_title} has no {name} candles in that time; nothing was stored")
    examples = f"; refused, for example: {fetch.examples[0]}" if fetch.examples else ""
    numbers = f"{fetch.added:,} candles added, {fetch.corrected:,} corrected, {fetch.refused:,} refused"
    result = {"instrument": fetch.instrument.key, "timeframe": str(fetch.timeframe)}
    counts = {"read": fetch.read, "added": fetch.added, "corrected": fetch.corrected, "refused": fetch.refused}
    return JobOutcome(f"{name}: {numbers}{examples}", {**result, **counts, "examples": list(fetch.examples)})


def _broken_off(fetch: _Fetch, error: VenueError) -> VenueUnreachable:
    fetch.keep()
    stored = f"{fetch.added:,} candles fetched before are stored" if fetch.added else "nothing was stored"
    return VenueUnreachable(f"{error}; {stored}. Start it again when the exchange can be reached")


def arrays_of(candles: Iterable[Candle], timeframe: Timeframe) -> CandleArrays:
    """Candles as columns, as the store keeps them: the one line where downloaded prices become floats."""
    rows = [(c.open, c.high, c.low, c.close, c.volume) for c in candles]
    opened = [to_ms(c.opened_at) for c in candles]
    columns = np.array([[float(value) for value in row] for row in rows], dtype=np.float64).reshape(-1, 5).T
    return CandleArrays(timeframe, np.array(opened, dtype=np.int64), *columns)
