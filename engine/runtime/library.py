"""Candles, imports, downloads and replays, as a signed-in person may use them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from engine.domain.commands import Role
from engine.domain.errors import BadInput, CandleError
from engine.domain.instruments import InstrumentKey, venue_of
from engine.domain.library_views import CoverageRow, GapRow, ReplayView
from engine.domain.market import Timeframe, to_ms
from engine.domain.views import FillRow, JobView, PageOf, TradeChart
from engine.exchanges import EXCHANGES
from engine.runtime.accounts import public_address
from engine.runtime.candle_jobs import UPLOAD, backfill_task, download_task, funding_task, import_task
from engine.runtime.form_words import for_the_form
from engine.runtime.funding_shelf import FundingShelf
from engine.runtime.job_files import JobOrder
from engine.runtime.job_worker import Task, task_name
from engine.runtime.records import chart_of
from engine.runtime.replay_data import FACT_KEYS, SeriesNames, read_detail, read_file_facts, read_series_names
from engine.runtime.replay_request import KEYS, limits_for, read_instant, read_request, require_known
from engine.runtime.replay_views import KIND, ReplayShelf
from engine.runtime.replays import replay_task
from engine.runtime.services import Services
from engine.runtime.titles import title_of
from engine.storage.candle_files import DataRows, FileLimits
from engine.storage.candle_names import Content, DataFile, read_name
from engine.storage.candles import Coverage

CHART_BARS = 3000
MAX_CHART_BARS = 1_000_000
MAX_DOWNLOAD_BARS = 5_000_000
MAX_UPLOAD_BYTES = FileLimits().max_bytes
_CHART_LENGTHS = ("5m", "15m", "30m", "1h", "2h", "4h", "8h", "12h", "1d", "1w")
_SYMBOL = re.compile(r"[A-Z0-9]{1,20}/([A-Z0-9]{1,20})(?::\1)?")
_DOWNLOAD_KEYS = frozenset({"exchange", "symbol", "timeframe", "since", "until"})


class LibraryDesk:
    """The part of the console about recorded markets.

    Parameters
    ----------
    services : Services
    require : callable
        Raises `AccessDenied` unless the person has at least the role it is given.
    """

    def __init__(self, services: Services, require: Callable[[Role], None]) -> None:
        self._services = services
        self._require_role = require
        self._replay_shelf = ReplayShelf(services.folder, services.jobs)

    # -- candles -------------------------------------------------------------------------------------------------

    def coverage(self) -> tuple[CoverageRow, ...]:
        """What the candle store holds, sorted by instrument and timeframe."""
        return tuple(_coverage_row(row) for row in self._services.candles.coverage())

    def gaps(self, instrument: InstrumentKey, timeframe: str) -> tuple[GapRow, ...]:
        """Every run of missing candles, oldest first."""
        length = Timeframe.parse(timeframe)
        gaps = self._services.candles.gaps(instrument, length)
        return tuple(GapRow(gap.start, gap.stop - length.delta, gap.missing_bars) for gap in gaps)

    def candles(self, instrument: InstrumentKey, timeframe: str, bars: int) -> TradeChart:
        """The last candles of a stored series; beyond 3,000 of a longer timeframe, which the chart names."""
        if not 1 <= bars <= MAX_CHART_BARS:
            raise BadInput(f"{bars} candles cannot be drawn; ask for 1 to {MAX_CHART_BARS:,}")
        store, length = self._services.candles, Timeframe.parse(timeframe)
        found = [row for row in store.coverage() if row.instrument == instrument and row.timeframe == length]
        if not found:
            return chart_of(instrument, store.read(instrument, length), simulated=False)  # raises what is held
        first = found[0].last - length.delta * (bars - 1)
        if bars <= CHART_BARS:
            return chart_of(instrument, store.read(instrument, length, start=first), simulated=False)
        target = chart_length(length, min(bars, (found[0].last - found[0].first) // length.delta + 1))
        if target == length:
            return chart_of(instrument, store.read(instrument, length, start=first), simulated=False)
        return chart_of(instrument, store.resample(instrument, length, target, start=first), simulated=False)

    # -- jobs that change the store ------------------------------------------------------------------------------

    def start_import(self, job_id: str, file_name: str, content: bytes, options: Mapping[str, str]) -> JobView:
        """Import a file of candles, or of funding rates for replays; refuses at once what can be known at once.

        Raises
        ------
        BadInput, CandleError
            The name, an option, or the file's size or form cannot be used; the message names the field of the form.
        """
        self._require_role(Role.OPERATOR)
        try:
            return self._import(job_id, file_name, content, options)
        except BadInput as error:
            raise for_the_form(error) from error

    def _import(self, job_id: str, file_name: str, content: bytes, options: Mapping[str, str]) -> JobView:
        require_known(options, FACT_KEYS)
        facts = read_file_facts(options)
        file = read_name(file_name, facts.flags)
        arguments = {"name": file_name, "options": dict(options)}
        files = {UPLOAD: content}
        if file.content is Content.FUNDING:
            _require_usable(file, content)
            arguments["funding"] = str(self._services.folder / "funding")
            return self._start_job(job_id, "import", file.name, (funding_task, arguments), files)
        _require_candles(file, content)
        facts.instrument(file.venue, file.base, file.quote, file.kind)
        arguments["candles"] = str(self._services.candles.folder)
        return self._start_job(job_id, "import", file.name, (import_task, arguments), files)

    def start_download(self, job_id: str, options: Mapping[str, str]) -> JobView:
        """Fetch public candles of a symbol from an exchange and store them.

        Raises
        ------
        BadInput
            An option is unknown or cannot be used; it is named.
        """
        self._require_role(Role.OPERATOR)
        require_known(options, _DOWNLOAD_KEYS)
        exchange, symbol = options.get("exchange", ""), options.get("symbol", "").strip().upper()
        _require_exchange(exchange)
        if _SYMBOL.fullmatch(symbol) is None:
            raise BadInput(f"symbol {symbol!r:.80} is not of the form BTC/USDT or BTC/USDT:USDT")
        length = Timeframe.parse(options.get("timeframe", ""))
        since, until = _span(options, length, self._services.clock.now())
        arguments = {
            **_market_arguments(self._services, exchange),
            "symbol": symbol,
            "timeframe": str(length),
            "since_ms": to_ms(since),
            "until_ms": to_ms(until),
        }
        title = f"{exchange}:{symbol} {length}"
        return self._start_job(job_id, "download", title, (download_task, arguments))

    def start_backfill(self, job_id: str, instrument: InstrumentKey, timeframe: str) -> JobView:
        """Fetch the missing candles of a series from its exchange.

        Raises
        ------
        BadInput
            The store does not hold the series, nothing is missing, or its venue is no exchange that can be asked.
        """
        self._require_role(Role.OPERATOR)
        length = Timeframe.parse(timeframe)
        gaps = self._services.candles.gaps(instrument, length)
        exchange = venue_of(instrument)
        _require_exchange(exchange)
        if not gaps:
            raise BadInput(f"{instrument} {length} has no gap; nothing has to be fetched")
        arguments = {**_market_arguments(self._services, exchange), "instrument": instrument, "timeframe": str(length)}
        return self._start_job(job_id, "backfill", f"{instrument} {length}", (backfill_task, arguments))

    # -- replays -------------------------------------------------------------------------------------------------

    def start_replay(self, job_id: str, request: Mapping[str, Any]) -> JobView:
        """Start a replay of stored candles as a run of its own, named after its job.

        Beside the keys of the facade: ``fee_bps`` and ``slippage_bps`` with plain costs, ``risk`` {limit: value}
        (default: the limits of the settings), ``funding`` ``none`` to replay perpetuals without it, and ``detail``, the
        timeframe of stored candles that decide what happens inside those replayed.

        Raises
        ------
        BadInput
            Anything in the request that cannot be used; it is named.
        """
        self._require_role(Role.OPERATOR)
        require_known(request, KEYS | {"series", "funding", "detail"})
        limits = self._services.settings.settings.risk.model_dump(mode="json")
        asked = {"risk": limits_for(request.get("strategies"), limits), **request}
        checked = read_request({key: value for key, value in asked.items() if key in KEYS})
        names = read_series_names(request.get("series"))
        self._require_series(names, (checked.start, checked.stop))
        fine = read_detail(request.get("detail"), names)
        if fine is not None:
            self._require_series([(key, fine) for key, _ in names], (checked.start, checked.stop))
        instruments = [self._services.candles.instrument(key) for key, _ in names]
        if len({instrument.quote for instrument in instruments}) > 1:
            raise BadInput("the series are priced in different coins; replay them apart")
        without = _without_funding(request.get("funding"))
        FundingShelf(self._services.folder / "funding").funding_of(instruments, without=without)
        series = [(key, str(length)) for key, length in names]
        arguments = {
            "data": str(self._services.folder),
            "candles": str(self._services.candles.folder),
            "run_id": job_id,
            "request": {**asked, "series": series, "cash": str(checked.config.cash)},
        }
        strategies = ", ".join(map(title_of, checked.config.strategies))
        title = f"{strategies} on {', '.join(key.partition(':')[2] for key, _ in names)}"
        return self._start_job(job_id, KIND, title, (replay_task, arguments))

    def replays(self) -> tuple[ReplayView, ...]:
        """Finished and running replays, newest first, without curves."""
        return self._replay_shelf.views()

    def replay(self, run_id: str) -> ReplayView:
        """One replay with its curve: so far while it runs."""
        return self._replay_shelf.view(run_id)

    def delete_replay(self, run_id: str) -> None:
        """Remove a replay that has ended, its files and results.

        Raises
        ------
        BadInput
            There is no such replay, or it still runs or waits.
        CannotRecord
            The data folder is read-only; nothing was deleted.
        """
        self._require_role(Role.OPERATOR)
        self._replay_shelf.delete(run_id)

    def replay_fills(self, run_id: str, page: int, size: int) -> PageOf[FillRow]:
        """Its fills, newest first; none before it is done."""
        return self._replay_shelf.fills(run_id, page, size)

    # -- jobs ----------------------------------------------------------------------------------------------------

    def jobs(self, kind: str | None = None) -> tuple[JobView, ...]:
        """Running and finished jobs, newest first."""
        return self._services.jobs.views(kind)

    def cancel_job(self, job_id: str) -> None:
        """Ask a job to stop; what it had stored stays consistent."""
        self._require_role(Role.OPERATOR)
        self._services.jobs.cancel(job_id)

    # -- inside --------------------------------------------------------------------------------------------------

    def _start_job(
        self,
        job_id: str,
        kind: str,
        title: str,
        work: tuple[Task, Mapping[str, Any]],
        files: Mapping[str, bytes] | None = None,
    ) -> JobView:
        task, arguments = work
        return self._services.jobs.start(job_id, JobOrder(kind, title, task_name(task), arguments), files)

    def _require_series(self, names: SeriesNames, span: tuple[datetime | None, datetime | None]) -> None:
        """Raise `BadInput` where the store lacks a series, or none of them has a candle in the span."""
        held = {(row.instrument, row.timeframe): row for row in self._services.candles.coverage()}
        for key, length in names:
            if (key, length) not in held:
                self._services.candles.read(key, length)  # raises, and says what is held
        start, stop = span
        rows = [held[name] for name in names]
        if all((start and row.last < start) or (stop and row.first + row.timeframe.delta > stop) for row in rows):
            first, last = min(row.first for row in rows), max(row.last for row in rows)
            raise BadInput(f"no candle lies between from and to: those stored open from {first} to {last}")


def _market_arguments(services: Services, exchange: str) -> dict[str, str]:
    rest_url = public_address(services.settings.settings, exchange)
    return {"exchange": exchange, "rest_url": rest_url, "candles": str(services.candles.folder)}


def _span(options: Mapping[str, str], length: Timeframe, now: datetime) -> tuple[datetime, datetime]:
    since = read_instant("since", options.get("since", ""))
    until = min(now, read_instant("until", options["until"]) if options.get("until") else now)
    if since >= until:
        raise BadInput(f"nothing to download from {options['since']} to {options.get('until') or 'now'}")
    bars = (until - since) // length.delta
    if bars > MAX_DOWNLOAD_BARS:
        raise BadInput(f"{bars:,} candles are more than {MAX_DOWNLOAD_BARS:,} at once; choose a shorter time")
    return since, until


def _coverage_row(row: Coverage) -> CoverageRow:
    return CoverageRow(
        instrument=row.instrument,
        kind=row.kind.value,
        timeframe=str(row.timeframe),
        rows=row.rows,
        first=row.first,
        last=row.last,
        gaps=row.gaps,
        missing_bars=row.missing_bars,
        rejected_rows=row.rejected_rows,
        source=row.source,
        imported_at=row.imported_at,
    )


def chart_length(length: Timeframe, bars: int, most: int = CHART_BARS) -> Timeframe:
    """The shortest usual timeframe that draws so many candles in at most ``most``, else a multiple of the own one."""
    if bars <= most:
        return length
    for target in map(Timeframe.parse, _CHART_LENGTHS):
        if target.ms % length.ms == 0 and bars * length.ms <= most * target.ms:
            return target
    return Timeframe(length.seconds * -(-bars // most))


def _require_usable(file: DataFile, content: bytes) -> None:
    """Raise `CandleError` for an upload that is empty, too large or compressed."""
    DataRows(content, file.name, file.format, (), FileLimits(MAX_UPLOAD_BYTES))


def _require_candles(file: DataFile, content: bytes) -> None:
    if file.content is Content.MARK:
        raise CandleError(
            f"{file.name} holds mark prices, at which nothing trades; import the file of candles (-futures) instead"
        )
    _require_usable(file, content)


def _require_exchange(name: str) -> None:
    if name not in EXCHANGES:
        raise BadInput(f"{name!r:.80} is no exchange that can be asked for candles; there are {', '.join(EXCHANGES)}")


def _without_funding(value: Any) -> bool:
    if value not in (None, "", "stored", "none"):
        raise BadInput(f"funding {value!r:.80} is not stored or none")
    return bool(value == "none")
