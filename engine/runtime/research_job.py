"""A backtest of stored candles as a job: checked before it is queued, run in a worker, stored where pages find it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.domain.codec import utc_text
from engine.runtime.backtests import KEYS, BacktestRequest, backtest, counting, read_backtest
from engine.runtime.engine import VERSION
from engine.runtime.funding_shelf import FundingShelf
from engine.runtime.job_worker import JobOutcome, JobWatch
from engine.runtime.replay_data import ReplayData, read_series_names, stored_candles, stored_fine
from engine.runtime.research_files import ResearchFolder, StoredCurve
from engine.runtime.research_shelf import FOLDER
from engine.simulation.backtest import BacktestEngine
from engine.storage.candles import CandleStore

REQUEST_KEYS = KEYS | {"series", "funding", "detail"}
_PREPARING = {
    BacktestEngine.KERNEL: "reading candles; a first run then compiles the engine, once, which takes about a minute",
    BacktestEngine.REPLAY: "reading candles; a first run then compiles the indicators, once",
}
"""What stands there until the first candles have run, the longest silence of all: both are said at once, since what is
said shortly after something else may not be told any more."""


def checked_request(values: Mapping[str, Any]) -> BacktestRequest:
    """The part of a page's request that the run itself takes, checked; raises `BadInput` as `read_backtest`."""
    return read_backtest({key: value for key, value in values.items() if key in KEYS})


def backtest_task(arguments: Mapping[str, Any], watch: JobWatch) -> JobOutcome:
    """A backtest of stored candles as a job.

    Parameters
    ----------
    arguments : mapping
        ``data`` (the data folder), ``candles`` (the store's folder), ``run_id`` and ``request``, as
        `engine.domain.research.Research.start_backtest` takes it.
    watch : JobWatch
    """
    run_id, given = str(arguments["run_id"]), arguments["request"]
    folder = ResearchFolder(Path(arguments["data"]) / FOLDER / run_id)
    request = checked_request(given)
    folder.write_request({"request": dict(given), "started_at": utc_text(watch.clock.now())})
    watch.progress(0.0, _PREPARING[request.engine])
    names = read_series_names(given["series"])
    store = CandleStore(Path(arguments["candles"]))
    series = stored_candles(store, names, request.replay.stop)
    fine = stored_fine(store, names, given.get("detail"), request.replay.stop)
    shelf = FundingShelf(Path(arguments["data"]) / "funding")
    funding = shelf.funding_of(series, without=given.get("funding") == "none")

    def report(share: float, text: str) -> bool:
        watch.progress(share, text)
        return not watch.cancelled()

    data = ReplayData(series, funding, fine=fine)
    count = counting(request, data, Path(arguments["data"]))
    result = backtest(request, data, report, count, watch.clock)
    record = {"id": run_id, "revision": VERSION, "study": None, "trial": None, **result.record}
    folder.write_result(record, StoredCurve(*result.curve()))
    summary = {name: record[name] for name in ("final_equity", "currency", "bars", "verdict")}
    return JobOutcome(str(record["verdict"]["line"]), summary)
