"""Runs the folds of a study on several workers: processes of this computer, or a Dask cluster. Results are the same."""

from __future__ import annotations

import logging
import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from engine.domain.errors import BadInput, EngineError
from engine.domain.market import FloatArray
from engine.simulation.study import FoldTask, FoldWork, Runner, in_this_process

CONNECT_TIMEOUT_S = 10.0
MOST_LOSSES = 5
"""Times in a row that workers may be lost over the same runs before the runs themselves are taken for the cause."""
_log = logging.getLogger(__name__)
_shared: list[FoldWork] = []
"""In a worker process: what its runs share, sent once."""


@dataclass(frozen=True, slots=True)
class SpreadPlan:
    """Who runs a study.

    Attributes
    ----------
    scheduler : str
        Address of a Dask scheduler (``tcp://HOST:PORT``), whose workers have the same version installed; "" is this
        computer.
    workers : int
        Processes of this computer; 1 runs everything in this one.
    """

    scheduler: str = ""
    workers: int = 1


@contextmanager
def spread(work: FoldWork, plan: SpreadPlan) -> Iterator[Runner]:
    """A runner for `engine.simulation.study.run_study`; its workers end with the block.

    A worker that dies loses nothing: what it had not answered is run again, and a fold's result does not depend on who
    runs it.

    Parameters
    ----------
    work : FoldWork
    plan : SpreadPlan

    Raises
    ------
    BadInput
        No scheduler answers at the address, or as a run does.
    EngineError
        Workers die again and again over the same runs.
    """
    if plan.scheduler:
        with _cluster(work, plan.scheduler) as runner:
            yield runner
    elif plan.workers > 1:
        pool = _Processes(work, plan.workers)
        try:
            yield pool.run
        finally:
            pool.close()
    else:
        yield in_this_process(work)


class _Processes:
    """Processes of this computer, made anew when one of them dies."""

    def __init__(self, work: FoldWork, workers: int) -> None:
        self._work, self._workers = work, workers
        self._pool = self._made()

    def _made(self) -> ProcessPoolExecutor:
        # spawn: a fork of a process with threads may hang, and Windows and macOS know no other way
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self._workers, context, initializer=_share, initargs=(self._work,))

    def run(self, tasks: Sequence[FoldTask]) -> list[FloatArray]:
        done: dict[int, FloatArray] = {}
        losses = 0
        while len(done) < len(tasks):
            before = len(done)
            try:
                left = [number for number in range(len(tasks)) if number not in done]
                futures: dict[int, Future[FloatArray]] = {n: self._pool.submit(_returns, tasks[n]) for n in left}
                for number, future in futures.items():
                    done[number] = future.result()
            except BrokenProcessPool as error:
                losses = 0 if len(done) > before else losses + 1
                _lost(losses, error)
                self.close()
                self._pool = self._made()
        return [done[number] for number in range(len(tasks))]

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)


def _share(work: FoldWork) -> None:
    _shared[:] = [work]


def _returns(task: FoldTask) -> FloatArray:
    return _shared[0].returns(task)


def _lost(losses: int, error: BaseException) -> None:
    """Note a loss; raise `EngineError` where it is one too many."""
    _log.warning("a worker of a study was lost; its runs are given to others", extra={"error": str(error)})
    if losses >= MOST_LOSSES:
        raise EngineError(
            f"workers died {losses} times in a row over the same runs ({error}); look at their memory and logs. "
            "Finished trials are stored, and the same command goes on"
        ) from error


@contextmanager
def _cluster(work: FoldWork, address: str) -> Iterator[Runner]:
    # Dask takes half a second to import, which a study on this computer must not pay.
    from distributed import Client

    connect: Any = Client  # Dask has no types
    try:
        client = connect(address, timeout=CONNECT_TIMEOUT_S, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise BadInput(
            f"no Dask scheduler answers at {address} ({error}); start it, or correct research.scheduler"
        ) from error
    try:
        yield _Cluster(client, work).run
    finally:
        with suppress(OSError):
            client.close()


class _Cluster:
    """Workers of a Dask cluster; the candles are sent to each once."""

    def __init__(self, client: Any, work: FoldWork) -> None:
        self._client, self._work = client, work
        self._shared: Any = None

    def run(self, tasks: Sequence[FoldTask]) -> list[FloatArray]:
        from distributed.client import FutureCancelledError
        from distributed.scheduler import KilledWorker

        losses = 0
        while True:
            try:
                if self._shared is None:
                    self._shared = self._client.scatter(self._work, broadcast=True, hash=False)
                futures = [self._client.submit(FoldWork.returns, self._shared, task, pure=False) for task in tasks]
                return list(self._client.gather(futures))
            except (KilledWorker, CancelledError, FutureCancelledError) as error:
                # the candles were on that worker alone, or it died too often: send them again
                losses += 1
                _lost(losses, error)
                self._shared = None
