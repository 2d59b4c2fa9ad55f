"""Where a replay's candles and funding come from: the candle store, or files named on a command line."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import numpy as np

from engine.domain.codec import plain, utc_text
from engine.domain.errors import BadInput, CandleError
from engine.domain.instruments import Instrument, InstrumentKey, Kind
from engine.domain.market import CandleArrays, Timeframe, from_ms, to_ms
from engine.market.checks import RowFault
from engine.market.funding import FundingSeries
from engine.runtime.clock import SystemClock
from engine.runtime.replay_remarks import file_remarks, hole_remarks, size_remarks
from engine.simulation.candle_lengths import different_lengths
from engine.simulation.instrument_table import FactOverrides, instrument_for
from engine.simulation.replay import ReplayConfig
from engine.simulation.replay_source import Fine, Funding
from engine.storage.candle_import import ImportOptions, ImportResult, ImportWatch, import_file, read_funding
from engine.storage.candle_names import NameFlags
from engine.storage.candles import CandleStore

FACT_KEYS = frozenset({"venue", "kind", "symbol", "timeframe", "tick_size", "lot_size", "min_notional", "max_leverage"})
SeriesNames = Sequence[tuple[InstrumentKey, Timeframe]]


@dataclass(frozen=True, slots=True)
class ReplayData:
    """Candles by instrument, funding of every perpetual (None: replayed without), and rows the checks left out.

    ``fine`` has finer candles that decide what happens inside these, of some instruments or none; ``file_remarks`` what
    reading the files sorted, left out and joined, in words.
    """

    series: Mapping[Instrument, CandleArrays]
    funding: Funding = field(default_factory=dict)
    rejected_rows: int = 0
    fine: Fine = field(default_factory=dict)
    file_remarks: Mapping[InstrumentKey, Sequence[str]] = field(default_factory=dict)

    @property
    def currency(self) -> str:
        """What equity is in; raises `BadInput` where the instruments are priced in different coins."""
        quotes = sorted({instrument.quote for instrument in self.series})
        if len(quotes) != 1:
            raise BadInput(f"one replay has one currency, these are priced in {', '.join(quotes)}; replay them apart")
        return quotes[0]

    def record(self) -> list[dict[str, Any]]:
        """Range and SHA-256 of every series, sorted by instrument: what the run was fed, however it was stored."""
        ordered = sorted(self.series.items(), key=lambda item: item[0].key)
        return [
            _record(one, candles, self.funding.get(one.key)) | _detail_record(self.fine.get(one.key))
            for one, candles in ordered
        ]

    def remarked(self, config: ReplayConfig) -> list[dict[str, Any]]:
        """`record` with the ``remarks`` of every series, which belong to a result but not to what identifies a run."""
        remarks = {
            one.key: [*self.file_remarks.get(one.key, ()), *hole_remarks(candles), *size_remarks(one, config)]
            for one, candles in self.series.items()
        }
        return [one | {"remarks": remarks[one["instrument"]]} for one in self.record()]


def read_series_names(values: Any) -> SeriesNames:
    """``[(instrument, timeframe), ...]`` as a page or JSON gives them.

    Raises
    ------
    BadInput
        Not of that form, empty, an instrument twice, or several timeframes.
    """
    if not isinstance(values, list | tuple):
        raise BadInput(f"series {values!r:.80} is not a list of (instrument, timeframe)")
    if not values:
        raise BadInput("a replay needs at least one series of candles")
    names = []
    for value in values:
        if not isinstance(value, list | tuple) or len(value) != 2 or not all(isinstance(part, str) for part in value):
            raise BadInput(f"series {value!r:.80} is not (instrument, timeframe), such as (binance:BTC/USDT, 1h)")
        names.append((InstrumentKey(value[0]), Timeframe.parse(value[1])))
    keys = [key for key, _ in names]
    doubles = sorted({key for key in keys if keys.count(key) > 1})
    if doubles:
        raise BadInput(f"{', '.join(doubles)} is given more than once; choose one timeframe of each instrument")
    if len({timeframe for _, timeframe in names}) > 1:
        raise BadInput(different_lengths(f"{key} has {timeframe}" for key, timeframe in names))
    return names


def stored_candles(store: CandleStore, names: SeriesNames, stop: datetime | None) -> dict[Instrument, CandleArrays]:
    """Candles of the store that close by ``stop``; raises as `CandleStore.read`."""
    return {store.instrument(key): _until(store.read(key, timeframe), stop) for key, timeframe in names}


def read_detail(value: Any, names: SeriesNames) -> Timeframe | None:
    """The timeframe of finer candles as a page or JSON gives it; "" and None mean none.

    Raises
    ------
    BadInput
        It is no timeframe, or does not divide that of the series.
    """
    if value in (None, ""):
        return None
    fine = Timeframe.parse(str(value))
    for key, length in names:
        if fine >= length or length.ms % fine.ms:
            raise BadInput(f"detail timeframe {fine} does not divide the {length} candles of {key}; take a shorter one")
    return fine


def stored_fine(store: CandleStore, names: SeriesNames, detail: Any, stop: datetime | None) -> Fine:
    """Finer candles of the store for every series named; raises as `read_detail` and `CandleStore.read`."""
    fine = read_detail(detail, names)
    return {} if fine is None else {key: _until(store.read(key, fine), stop) for key, _ in names}


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What a person states about files of candles, as an import takes it."""

    flags: NameFlags = field(default_factory=NameFlags)
    overrides: FactOverrides = field(default_factory=FactOverrides)

    def instrument(self, venue: str, base: str, quote: str, kind: Kind) -> Instrument:
        """Facts from the shipped table or those stated; raises `BadInput` that names the flags to give."""
        return instrument_for(venue, base, quote, kind, self.overrides)


def read_file_facts(options: Mapping[str, Any]) -> FileFacts:
    """Flags of an import or a replay of files.

    Parameters
    ----------
    options : mapping
        ``venue``, ``kind`` (``spot`` or ``perpetual``), ``symbol`` (BASE/QUOTE), ``timeframe``, ``tick_size``,
        ``lot_size``, ``min_notional``, ``max_leverage``; "" and None mean not stated, other keys are ignored.

    Raises
    ------
    BadInput
        Names the option and its value.
    """
    stated = {key: str(value).strip() for key, value in options.items() if value is not None and str(value).strip()}
    base, slash, quote = stated.get("symbol", "").partition("/")
    if "symbol" in stated and not (base and slash and quote):
        raise BadInput(f"symbol {stated['symbol']!r:.80} is not of the form BASE/QUOTE, such as BTC/USDT")
    flags = NameFlags(
        venue=stated.get("venue"),
        kind=_kind(stated["kind"]) if "kind" in stated else None,
        base=base or None,
        quote=quote.partition(":")[0] or None,
        timeframe=Timeframe.parse(stated["timeframe"]) if "timeframe" in stated else None,
    )
    overrides = FactOverrides(
        *(_number(stated, name) for name in ("tick_size", "lot_size", "min_notional", "max_leverage"))
    )
    return FileFacts(flags, overrides)


def file_data(
    paths: Iterable[Path], options: Mapping[str, Any], facts: FileFacts, stop: datetime | None, watch: ImportWatch
) -> ReplayData:
    """Candles, funding and finer candles of files, with what is to be said of the files.

    Parameters
    ----------
    paths : iterable of Path
        Files of candles, as `file_candles` takes them.
    options : mapping
        ``funding`` and ``detail`` (paths) and ``no_funding``; other keys are ignored.

    Raises
    ------
    CandleError, BadInput
        As `file_candles`, `file_funding` and `file_fine`.
    """
    series, results = _read_files(paths, facts, stop, watch)
    without = bool(options.get("no_funding"))
    funding = file_funding(map(Path, options.get("funding") or ()), facts, series, without=without)
    fine = file_fine(map(Path, options.get("detail") or ()), facts, stop, watch)
    return ReplayData(series, funding, _rejected(results), fine, file_remarks(results))


def file_candles(
    paths: Iterable[Path], facts: FileFacts, stop: datetime | None, watch: ImportWatch
) -> tuple[dict[Instrument, CandleArrays], int]:
    """Candles of Parquet and CSV files, through the very checks of an import; and how many rows these left out.

    Files of one instrument and timeframe are joined, whatever the order of the paths: where two contradict each other,
    the one whose path sorts last wins. One that contradicts itself is refused: an import takes its later row and lists
    what it left out, but nobody looks at such a list between a file and its result.

    Raises
    ------
    CandleError, BadInput
        A file cannot be used, holds two different rows of one candle, or two timeframes of one instrument are given.
    """
    series, results = _read_files(paths, facts, stop, watch)
    return series, _rejected(results)


def _read_files(
    paths: Iterable[Path], facts: FileFacts, stop: datetime | None, watch: ImportWatch
) -> tuple[dict[Instrument, CandleArrays], list[ImportResult]]:
    with tempfile.TemporaryDirectory(prefix="quarterdeck-replay-") as folder:
        store = CandleStore(Path(folder))
        options = ImportOptions(facts.instrument, SystemClock().now(), facts.flags)
        results = []
        for path in sorted(set(paths)):
            results.append(import_file(store, path, path.name, options, watch))
            _require_one_row(store, path, results[-1])
        if len({result.timeframe for result in results}) > 1:
            of = zip(sorted(set(paths)), results, strict=True)
            each = [f"{path.name} ({one.instrument.key}) has {one.timeframe}" for path, one in of]
            raise BadInput(different_lengths(each))
        names = read_series_names(sorted({(result.instrument.key, str(result.timeframe)) for result in results}))
        return stored_candles(store, names, stop), results


def _rejected(results: Iterable[ImportResult]) -> int:
    return sum(result.report.rows_rejected for result in results)


def _require_one_row(store: CandleStore, path: Path, result: ImportResult) -> None:
    """Refuse a file with two different rows of one candle; the error holds both."""
    examples = [one for part in result.report.rejected if part.fault is RowFault.CONFLICT for one in part.examples]
    if not examples:
        return
    left_out = examples[0]
    kept = store.read(result.instrument.key, result.timeframe)
    row = int(np.searchsorted(kept.opened_at_ms, left_out.opened_at_ms))
    columns = (kept.open, kept.high, kept.low, kept.close, kept.volume)
    other = tuple(float(column[row]) for column in columns)
    raise CandleError(
        f"{path.name} has two different rows of the candle that opens at {utc_text(from_ms(left_out.opened_at_ms))}: "
        f"(open, high, low, close, volume) {left_out.values} and {other}; remove the wrong one"
    )


def file_fine(paths: Iterable[Path], facts: FileFacts, stop: datetime | None, watch: ImportWatch) -> Fine:
    """Finer candles from files, named as those of candles; a stated timeframe is not theirs.

    Raises as `file_candles`.
    """
    files = sorted(set(paths))
    if not files:
        return {}
    own = replace(facts, flags=replace(facts.flags, timeframe=None))
    series, _ = file_candles(files, own, stop, watch)
    return {instrument.key: candles for instrument, candles in series.items()}


def file_funding(
    paths: Iterable[Path], facts: FileFacts, instruments: Iterable[Instrument], *, without: bool
) -> dict[InstrumentKey, FundingSeries | None]:
    """Funding by perpetual, from files; ``without`` states that those without a file pay none.

    Raises
    ------
    CandleError
        A file cannot be used.
    BadInput
        A file is of an instrument that is not replayed.
    """
    keys = {instrument.key for instrument in instruments if instrument.kind is Kind.PERPETUAL}
    funding: dict[InstrumentKey, FundingSeries | None] = {}
    for path in sorted(set(paths)):
        found = read_funding(path, flags=NameFlags(venue=facts.flags.venue))
        if found.instrument not in keys:
            raise BadInput(f"{path.name} is the funding of {found.instrument}, which is not replayed; take it away")
        funding[found.instrument] = found.series
    return funding | {key: None for key in keys if without and key not in funding}


def _until(candles: CandleArrays, stop: datetime | None) -> CandleArrays:
    if stop is None:
        return candles
    closed = candles.opened_at_ms + candles.timeframe.ms
    return candles.slice(0, int(np.searchsorted(closed, to_ms(stop), side="right")))


def _kind(text: str) -> Kind:
    try:
        return Kind(text)
    except ValueError:
        raise BadInput(f"kind {text!r:.80} is not spot or perpetual") from None


def _number(stated: Mapping[str, str], name: str) -> Decimal | None:
    if name not in stated:
        return None
    try:
        return Decimal(stated[name])
    except InvalidOperation:
        raise BadInput(f"{name} {stated[name]!r:.80} is not a number as the exchange states it") from None


def _record(instrument: Instrument, candles: CandleArrays, funding: FundingSeries | None) -> dict[str, Any]:
    at_ms = candles.opened_at_ms
    record: dict[str, Any] = {
        "instrument": instrument.key,
        "timeframe": str(candles.timeframe),
        "tick_size": plain(instrument.tick_size),
        "lot_size": plain(instrument.lot_size),
        "min_notional": plain(instrument.min_notional),
        "max_leverage": plain(instrument.max_leverage),
        "bars": len(candles),
        "first": utc_text(from_ms(int(at_ms[0]))) if len(candles) else "",
        "last": utc_text(from_ms(int(at_ms[-1]))) if len(candles) else "",
        "sha256": _hash(candles),
    }
    if instrument.kind is Kind.PERPETUAL:
        record["funding_rates"] = 0 if funding is None else len(funding)
        record["funding_sha256"] = "" if funding is None else _funding_hash(funding)
    return record


def _funding_hash(funding: FundingSeries) -> str:
    digest = hashlib.sha256(np.ascontiguousarray(funding.at_ms, dtype="<i8").tobytes())
    digest.update(" ".join(map(plain, funding.rates)).encode())
    return digest.hexdigest()


def _detail_record(candles: CandleArrays | None) -> dict[str, Any]:
    if candles is None:
        return {}
    at_ms = candles.opened_at_ms
    first, last = (utc_text(from_ms(int(at_ms[row]))) if len(candles) else "" for row in (0, -1))
    facts = {"timeframe": str(candles.timeframe), "bars": len(candles), "first": first, "last": last}
    return {"detail": {**facts, "sha256": _hash(candles)}}


def _hash(candles: CandleArrays) -> str:
    digest = hashlib.sha256(str(candles.timeframe).encode())
    digest.update(np.ascontiguousarray(candles.opened_at_ms, dtype="<i8").tobytes())
    for column in (candles.open, candles.high, candles.low, candles.close, candles.volume):
        digest.update(np.ascontiguousarray(column, dtype="<f8").tobytes())
    return digest.hexdigest()
