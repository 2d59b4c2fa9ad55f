"""What studies and sweeps do alike: read a request with its files, take a name, keep trials, run the best once more."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

from engine.domain.ports import Clock
from engine.runtime.backtests import KEYS as BACKTEST_KEYS
from engine.runtime.backtests import BacktestRequest, BacktestResult, backtest
from engine.runtime.code_revision import code_revision
from engine.runtime.job_files import JobCancelled
from engine.runtime.replay_data import FACT_KEYS, ReplayData, file_data, read_file_facts
from engine.runtime.replay_request import require_known
from engine.runtime.replays import Report
from engine.simulation.evaluation_luck import StudyFacts
from engine.simulation.study import candles_until
from engine.simulation.study_layout import Span
from engine.storage.candle_import import ImportWatch
from engine.storage.research import ResearchStore, Trial, TrialStamp

SHARED_KEYS = (BACKTEST_KEYS - {"settings"}) | {"fixed", "embargo_days", "study", "scheduler", "workers"}
READING = 0.05
"""Share of the work after which the files are read."""
_FILE_KEYS = FACT_KEYS | {"funding", "no_funding", "detail"}
_NAME_DIGITS = 10


class RunsBacktests(Protocol):
    """A request of many backtests."""

    @property
    def backtest(self) -> BacktestRequest:
        """What is the same in all of them."""


Request = TypeVar("Request", bound=RunsBacktests)


def read_with_files(
    paths: Sequence[Path],
    options: Mapping[str, Any],
    known: frozenset[str],
    read: Callable[[Mapping[str, Any]], Request],
    report: Report,
) -> tuple[Request, ReplayData]:
    """Check a request, then read the files it is run on.

    Parameters
    ----------
    paths : sequence of Path
        Parquet or CSV files, in any order; read with the checks of an import.
    options : mapping
        Keys of the request, those of `engine.runtime.replay_data.read_file_facts`, and ``funding``, ``no_funding`` and
        ``detail`` as for a backtest.
    known : frozenset of str
        Keys of the request.
    read : callable
        Checks it.
    report : callable
        Told share and text; False cancels.

    Raises
    ------
    BadInput, CandleError
        Names what cannot be used.
    JobCancelled
        ``report`` said so.
    """
    require_known(options, known | _FILE_KEYS)
    facts = read_file_facts(options)
    request = read({key: value for key, value in options.items() if key in known and value is not None})

    def watch(share: float, text: str) -> None:
        if not report(share * READING, text):
            raise JobCancelled("cancelled while reading the files")

    return request, file_data(paths, options, facts, request.backtest.replay.stop, ImportWatch(watch))


def strategy_of(request: BacktestRequest) -> str:
    """Name of the one strategy."""
    (name,) = request.replay.config.strategies
    return name


def name_of(kind: str, definition: Any) -> str:
    """A name that is the same for the same definition; ``kind`` stands before it."""
    text = json.dumps(definition, sort_keys=True, default=str)
    return f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:_NAME_DIGITS]}"


def conditions_of(request: BacktestRequest) -> dict[str, Any]:
    """Seed, engine, capital, costs, limits and brake, as a definition has them."""
    asked = request.replay.record()
    return {
        "seed": request.seed,
        "engine": request.engine.value,
        **{key: asked[key] for key in ("cash", "costs", "risk", "brake")},
    }


@dataclass(frozen=True, slots=True)
class TrialLog:
    """The trials of one study or sweep in the store, dated by ``clock``."""

    store: ResearchStore
    name: str
    clock: Clock

    def trials(self) -> tuple[Trial, ...]:
        """All of it with their returns."""
        return self.store.trials(self.name)

    def add(self, trials: Sequence[Trial]) -> None:
        """Store the next ones; raises `CannotRecord`."""
        self.store.add_trials(self.name, trials, TrialStamp(code_revision(), self.clock.now()))


@dataclass(frozen=True, slots=True)
class Chosen:
    """Complete settings as JSON, the days to run them on, and the study they come from."""

    settings: str
    span: Span
    facts: StudyFacts


def run_chosen(
    request: BacktestRequest, data: ReplayData, chosen: Chosen, report: Report | None = None, clock: Clock | None = None
) -> BacktestResult:
    """The settings that were chosen on their days, without any candle after these; errors as of `backtest`."""
    asked, span = request.replay, chosen.span
    config = replace(asked.config, strategies={strategy_of(request): chosen.settings})
    replay = replace(asked, config=config, start=span.start, stop=span.stop)
    series = {one: candles_until(candles, span) for one, candles in data.series.items()}
    fine = {key: candles_until(candles, span) for key, candles in data.fine.items()}
    on = replace(data, series=series, fine=fine)
    return backtest(replace(request, replay=replay), on, report, chosen.facts, clock)
