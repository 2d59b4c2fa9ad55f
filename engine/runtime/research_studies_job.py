"""A study of stored candles as a job: run in a worker, its trials stored as they end, so that it can always go on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.domain.errors import BadInput
from engine.runtime.funding_shelf import FundingShelf
from engine.runtime.job_worker import JobOutcome, JobWatch
from engine.runtime.replay_data import ReplayData, read_series_names, stored_candles, stored_fine
from engine.runtime.research_studies_words import in_form_words
from engine.runtime.studies import KEYS, StudyRequest, read_study, study
from engine.storage.candles import CandleStore

REQUEST_KEYS = (KEYS - {"holdout_report", "scheduler"}) | {"series", "funding", "detail"}


def checked_study(values: Mapping[str, Any]) -> StudyRequest:
    """The part of a page's request that the study itself takes, checked; raises `BadInput` as `read_study`."""
    return read_study({key: value for key, value in values.items() if key in KEYS})


def study_task(arguments: Mapping[str, Any], watch: JobWatch) -> JobOutcome:
    """A study of stored candles as a job.

    Parameters
    ----------
    arguments : mapping
        ``data`` (the data folder), ``candles`` (the store's folder), ``request`` as
        `engine.domain.studies.Studies.start_study` takes it, with ``scheduler`` and ``holdout_report``.
    watch : JobWatch
    """
    given, data = arguments["request"], Path(arguments["data"])
    request = checked_study(given)
    watch.progress(0.0, "reading candles")
    names = read_series_names(given["series"])
    store, stop = CandleStore(Path(arguments["candles"])), request.backtest.replay.stop
    series, fine = stored_candles(store, names, stop), stored_fine(store, names, given.get("detail"), stop)
    funding = FundingShelf(data / "funding").funding_of(series, without=given.get("funding") == "none")

    def report(share: float, text: str) -> bool:
        watch.progress(share, text)
        return not watch.cancelled()

    try:
        record = study(request, ReplayData(series, funding, fine=fine), data, report, watch.clock)
    except BadInput as error:
        raise in_form_words(error, str(given["strategy"])) from error
    summary = {"study": record["study"], "verdict": record["verdict"], "counts": record["counts"]}
    return JobOutcome(str(record["verdict"]["line"]), summary)
