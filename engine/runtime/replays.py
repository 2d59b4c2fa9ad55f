"""Runs replays: of stored candles as a job, of files for the command line; both through the very loop that trades."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from engine.domain.codec import plain, utc_text
from engine.domain.market import to_ms
from engine.runtime.funding_shelf import FundingShelf
from engine.runtime.job_files import JobCancelled
from engine.runtime.job_worker import JobOutcome, JobWatch
from engine.runtime.replay_data import (
    FACT_KEYS,
    ReplayData,
    file_data,
    read_file_facts,
    read_series_names,
    stored_candles,
    stored_fine,
)
from engine.runtime.replay_request import KEYS, ReplayRequest, read_request, require_history, require_known
from engine.simulation.fine_candles import inside_record
from engine.simulation.opinions import PrecomputedOpinions
from engine.simulation.replay import EquityPoint, Replay, ReplayResult
from engine.simulation.replay_source import ReplaySource
from engine.simulation.run_files import Curve, FillNote, RunFolder
from engine.storage.candle_import import ImportWatch
from engine.storage.candles import CandleStore

Report = Callable[[float, str], bool]
"""Told the share done (0 to 1) and what is being done; answers whether to go on."""

_TELL_EVERY_S = 0.25
_PUBLISH_EVERY_S = 2.0
_PUBLISH_PACED_EVERY_S = 0.5
_WAIT_SLICE_S = 0.1
_MAX_LAG_S = 1.0
_LIVE_POINTS = 3000
_READING_SHARE = 0.1
_COLLECT_EVERY_BARS = 250_000


def _go_on(_share: float, _text: str) -> bool:
    """Report to nobody and never stop."""
    return True


def _attended() -> bool:
    """Somebody is watching."""
    return True


@dataclass(frozen=True, slots=True)
class Audience:
    """Who watches a run.

    Attributes
    ----------
    report : callable
        Told the share done and the state in words, several times a second; False cancels the run.
    folder : RunFolder, optional
        Where the curve is published while the run goes on, and the result at its end.
    attended : callable
        A run that is slowed down for people goes on at full speed once this is False.
    """

    report: Report = _go_on
    folder: RunFolder | None = None
    attended: Callable[[], bool] = _attended


def run_replay(request: ReplayRequest, data: ReplayData, audience: Audience | None = None) -> dict[str, Any]:
    """Run one replay in books of its own.

    Parameters
    ----------
    request : ReplayRequest
    data : ReplayData
    audience : Audience, optional

    Returns
    -------
    dict
        JSON values; counts are integers, money decimal strings in ``currency``, times ISO UTC. Equal requests over
        equal data give equal ``digest``.

    Raises
    ------
    BadInput
        The data cannot be replayed: no candle in the range, a perpetual without a word on funding, several currencies.
    JobCancelled
        ``audience.report`` said so; nothing but the partial curve is left.
    """
    audience = audience or Audience()
    currency = data.currency
    source = ReplaySource(data.series, data.funding, request.start, request.stop, data.fine)
    opinions = PrecomputedOpinions({instrument.key: candles for instrument, candles in data.series.items()})
    run = _Run(Replay(source, request.config, opinions), source, request, audience)
    facts = {"currency": currency, "rejected_rows": data.rejected_rows}
    facts |= {"series": data.remarked(request.config), "settings": request.record()} | inside_record(source.detail)
    return run.finish(run.drive(facts), facts)


@dataclass(slots=True)
class _Points:
    """The equity curve so far as floats: the one line where a replay's money leaves Decimal, for charts alone."""

    at_ms: list[int] = field(default_factory=list)
    equity: list[float] = field(default_factory=list)
    drawdown: list[float] = field(default_factory=list)

    def add(self, point: EquityPoint) -> None:
        self.at_ms.append(to_ms(point.at))
        self.equity.append(float(point.equity))
        self.drawdown.append(-float(point.drawdown))

    def curve(self) -> Curve:
        return Curve(np.array(self.at_ms, dtype=np.int64), np.array(self.equity), np.array(self.drawdown))


class _Run:
    """Drives a replay event by event, paced if so wished, and tells its audience."""

    def __init__(self, replay: Replay, source: ReplaySource, request: ReplayRequest, audience: Audience) -> None:
        self._replay = replay
        self._source = source
        self._request = request
        self._audience = audience
        self._points = _Points()
        self._publish_every_s = _PUBLISH_PACED_EVERY_S if request.speed else _PUBLISH_EVERY_S

    def drive(self, facts: Mapping[str, Any]) -> float:
        """Take every event; wall seconds it took, reading and publishing included."""
        started = told = published = time.perf_counter()
        pace = _Pace(self._request.speed, self._audience.attended)
        with _seldom_collecting() as collect:
            for event in self._source.events():
                while pace.is_early(event.at):
                    self._tell()
                self._replay.step(event)
                if not self._request.speed:  # a paced run shows every bar when it comes
                    self._replay.pass_over()
                now = time.perf_counter()
                if now - told >= _TELL_EVERY_S:
                    told = now
                    self._tell()
                    collect(self._replay.bars)
                    if self._audience.folder is not None and now - published >= self._publish_every_s:
                        self._publish(self._audience.folder, now - started, facts)
                        published = time.perf_counter()
        return time.perf_counter() - started

    def finish(self, seconds: float, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Store and hand back the result."""
        result = self._replay.result(seconds)
        self._collect()
        curve = self._points.curve()
        summary = {**_summary(result, self._request), **facts, "max_drawdown": _deepest(curve)}
        if self._audience.folder is not None:
            fills = [FillNote(fill, *result.orders[fill.client_id]) for fill in result.fills]
            self._audience.folder.write_result(summary, curve, fills)
        return summary

    def _tell(self) -> None:
        done, total = self._replay.bars, self._source.bars
        share = _READING_SHARE + (1 - _READING_SHARE) * done / total
        if not self._audience.report(share, f"{done:,} of {total:,} candles"):
            raise JobCancelled(f"cancelled after {done:,} of {total:,} candles; there is no result")

    def _publish(self, folder: RunFolder, seconds: float, facts: Mapping[str, Any]) -> None:
        self._collect()
        summary = {**_summary(self._replay.result(seconds), self._request), **facts}
        folder.write_partial(summary, self._points.curve().thinned(_LIVE_POINTS))

    def _collect(self) -> None:
        for point in self._replay.curve_since(len(self._points.at_ms)):
            self._points.add(point)


@contextmanager
def _seldom_collecting() -> Iterator[Callable[[int], None]]:
    """Python's collector of reference cycles off, but for once every 250,000 bars: call what is yielded with the bars.

    A run keeps every point and fill and makes next to no cycles; walking all of them again and again costs up to an
    eighth of the time.
    """
    was_on, due = gc.isenabled(), _COLLECT_EVERY_BARS

    def collect(bars: int) -> None:
        nonlocal due
        if bars >= due:
            due = bars + _COLLECT_EVERY_BARS
            gc.collect()

    gc.disable()
    try:
        yield collect
    finally:
        if was_on:
            gc.enable()


class _Pace:
    """Holds events back so that market time runs at a chosen speed; a long delay is not caught up in one burst."""

    def __init__(self, speed: float, attended: Callable[[], bool]) -> None:
        self._speed = speed
        self._attended = attended
        self._begin_wall_s = 0.0
        self._begin_market: datetime | None = None

    def is_early(self, at: datetime) -> bool:
        """False at once when the event of that market time is due; True after a short wait when it is not yet."""
        if not self._speed or not self._attended():
            return False
        now = time.perf_counter()
        if self._begin_market is None:
            self._begin_wall_s, self._begin_market = now, at
        due = self._begin_wall_s + (at - self._begin_market).total_seconds() / self._speed
        if now - due > _MAX_LAG_S:
            self._begin_wall_s, self._begin_market = now, at
        if now >= due:
            return False
        time.sleep(min(_WAIT_SLICE_S, due - now))
        return True


def _summary(result: ReplayResult, request: ReplayRequest) -> dict[str, Any]:
    return {
        "bars": result.bars,
        "trades": result.trades,
        "wins": result.wins,
        "fills": len(result.fills),
        "cash": plain(request.config.cash),
        "final_equity": plain(result.final_equity),
        "fees": plain(result.fees),
        "funding": plain(result.funding),
        "digest": result.digest,
        "seconds": round(result.seconds, 3),
        "bars_per_second": round(result.bars_per_second, 1),
        "stopped_at": utc_text(result.stopped_at) if result.stopped_at else None,
        "stop_reason": result.stop_reason,
        "refused": result.refused,
        "rejected_prices": result.rejected_prices,
    }


def _deepest(curve: Curve) -> str:
    """Largest drawdown, share of the peak, positive, as text of six decimals."""
    return f"{-float(curve.drawdown.min(initial=0.0)):.6f}"


def replay_task(arguments: Mapping[str, Any], watch: JobWatch) -> JobOutcome:
    """A replay of stored candles as a job.

    Parameters
    ----------
    arguments : mapping
        ``data`` (the data folder), ``candles`` (the store's folder), ``run_id`` and ``request``, as
        `engine.domain.facade.Library.start_replay` takes it, with ``funding`` (``stored`` or ``none``).
    watch : JobWatch
    """
    folder = RunFolder(Path(arguments["data"]) / "replays" / str(arguments["run_id"]))
    given = arguments["request"]
    request = read_request({key: value for key, value in given.items() if key in KEYS})
    folder.write_request({"request": dict(given), "started_at": utc_text(watch.clock.now())})
    watch.progress(0.0, "reading candles")
    store, names = CandleStore(Path(arguments["candles"])), read_series_names(given["series"])
    series = stored_candles(store, names, request.stop)
    fine = stored_fine(store, names, given.get("detail"), request.stop)
    shelf = FundingShelf(Path(arguments["data"]) / "funding")
    funding = shelf.funding_of(series, without=given.get("funding") == "none")

    def report(share: float, text: str) -> bool:
        watch.progress(share, text)
        return not watch.cancelled()

    audience = Audience(report, folder, lambda: not watch.unattended())
    summary = run_replay(request, ReplayData(series, funding, fine=fine), audience)
    detail = (
        f"{summary['bars']:,} candles, {summary['trades']:,} trades, "
        f"final equity {summary['final_equity']} {summary['currency']}"
    )
    return JobOutcome(detail, {name: value for name, value in summary.items() if name not in ("settings", "series")})


def replay_files(
    paths: Sequence[Path],
    strategies: Mapping[str, Mapping[str, Any]],
    options: Mapping[str, Any] | None = None,
    progress: Report | None = None,
) -> dict[str, Any]:
    """Replay candle files without storing them.

    Parameters
    ----------
    paths : sequence of Path
        Parquet or CSV files, in any order; read with the checks of an import.
    strategies : mapping of str to mapping
        Name to its settings; what is not stated keeps its default.
    options : mapping, optional
        Keys of `read_request` but ``strategies`` and ``settings``, those of `read_file_facts`, ``funding`` (paths of
        funding files) or ``no_funding`` (True: perpetuals pay none), and ``detail`` (paths of files of finer candles).
    progress : callable, optional
        Told share and text; False cancels.

    Returns
    -------
    dict
        As `run_replay`.

    Raises
    ------
    BadInput, CandleError
        Names what cannot be used; fewer candles than a first signal needs among it.
    JobCancelled
        ``progress`` said so.
    """
    options, report = options or {}, progress or _go_on
    require_known(options, (KEYS | FACT_KEYS | {"funding", "no_funding", "detail"}) - {"strategies", "settings"})
    facts = read_file_facts(options)
    asked = {key: value for key, value in options.items() if key in KEYS and value is not None}
    request = read_request({**asked, "strategies": list(strategies), "settings": dict(strategies)})

    def watch(share: float, text: str) -> None:
        if not report(share * _READING_SHARE, text):
            raise JobCancelled("cancelled while reading the files")

    data = file_data(paths, options, facts, request.stop, ImportWatch(watch))
    require_history(request.config.strategies, map(len, data.series.values()))
    return run_replay(request, data, Audience(report))
