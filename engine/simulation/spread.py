"""Runs pieces of work on several workers: processes of this computer, or a Dask cluster. Results are the same."""

from __future__ import annotations

import logging
import multiprocessing
import pickle
import signal
import tempfile
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from engine.domain.errors import BadInput, EngineError

CONNECT_TIMEOUT_S = 10.0
MOST_LOSSES = 5
"""Times in a row that workers may be lost over the same pieces before these are taken for the cause."""
_KEPT = 2
"""Works a process keeps ready: what a study searches with, and what it is judged by."""
_log = logging.getLogger(__name__)
_loaded: dict[str, Any] = {}
"""In a worker process: what its pieces share, by the file it lies in."""

_Task = TypeVar("_Task")
_Task_contra = TypeVar("_Task_contra", contravariant=True)
_Result = TypeVar("_Result")
_Result_co = TypeVar("_Result_co", covariant=True)


class Work(Protocol[_Task_contra, _Result_co]):
    """What pieces share, such as candles; sent to each worker once."""

    def run(self, task: _Task_contra, /) -> _Result_co:
        """Do one piece; the result depends on nothing but this work and the piece."""


Runner = Callable[[Sequence[_Task]], Generator[_Result, None, None]]
"""Does pieces anywhere, in any order; yields their results in the order of the pieces, each as soon as it can."""


@dataclass(frozen=True, slots=True)
class SpreadPlan:
    """Who does the work.

    Attributes
    ----------
    scheduler : str
        Address of a Dask scheduler (``tcp://HOST:PORT``), whose workers have the same version installed; "" is this
        computer.
    workers : int
        Processes of this computer; 1 runs everything in this one.
    revision : callable, optional
        Names the code it is asked in: a cluster's worker with other code is refused, for its results would be told as
        made by this one.
    """

    scheduler: str = ""
    workers: int = 1
    revision: Callable[[], str] | None = None


class Team(Protocol):
    """Workers that can be given one work after the other."""

    def runner(self, work: Work[_Task, _Result]) -> Runner[_Task, _Result]:
        """What does the pieces of a work."""


def in_this_process(work: Work[_Task, _Result]) -> Runner[_Task, _Result]:
    """A runner that does one piece after the other."""

    def each(tasks: Sequence[_Task]) -> Generator[_Result, None, None]:
        for task in tasks:
            yield work.run(task)

    return each


@contextmanager
def spread(plan: SpreadPlan) -> Iterator[Team]:
    """Workers that end with the block.

    One that dies loses nothing: what it had not answered is done again, and a result does not depend on who made it.

    Parameters
    ----------
    plan : SpreadPlan

    Raises
    ------
    BadInput
        No scheduler answers at the address, or as a piece does.
    EngineError
        Workers die again and again over the same pieces.
    """
    if plan.scheduler:
        with _cluster(plan.scheduler, plan.revision) as team:
            yield team
    elif plan.workers > 1:
        with tempfile.TemporaryDirectory(prefix="quarterdeck-spread-") as folder:
            pool = _Processes(plan.workers, Path(folder))
            try:
                yield pool
            finally:
                pool.close()
    else:
        yield _Alone()


class _Alone:
    """This process."""

    def runner(self, work: Work[_Task, _Result]) -> Runner[_Task, _Result]:
        return in_this_process(work)


class _Processes:
    """Processes of this computer, made anew when one of them dies; works reach them through a file."""

    def __init__(self, workers: int, folder: Path) -> None:
        self._workers, self._folder = workers, folder
        self._works = 0
        self.pool = self._made()

    def _made(self) -> ProcessPoolExecutor:
        # spawn: a fork of a process with threads may hang, and Windows and macOS know no other way
        return ProcessPoolExecutor(self._workers, multiprocessing.get_context("spawn"), initializer=_leave_interrupts)

    def runner(self, work: Work[_Task, _Result]) -> Runner[_Task, _Result]:
        path = self._folder / f"{self._works}.pickle"
        self._works += 1
        path.write_bytes(pickle.dumps(work, protocol=pickle.HIGHEST_PROTOCOL))
        return lambda tasks: self._each(str(path), tasks)

    def _each(self, path: str, tasks: Sequence[_Task]) -> Generator[Any, None, None]:
        done = losses = 0
        while done < len(tasks):
            before, futures = done, list[Future[Any]]()
            try:
                futures = [self.pool.submit(_piece, path, task) for task in tasks[done:]]
                for future in futures:
                    result = future.result()
                    done += 1
                    yield result
            except BrokenProcessPool as error:
                losses = 0 if done > before else losses + 1
                _lost(losses, error)
                self.close()
                self.pool = self._made()
            finally:
                for future in futures:
                    future.cancel()

    def close(self) -> None:
        self.pool.shutdown(wait=True, cancel_futures=True)


def _leave_interrupts() -> None:
    """Ctrl-C reaches every process of a terminal; the one that started this one ends it in order."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _piece(path: str, task: Any) -> Any:
    """In a worker process: do a piece of the work that lies in a file of the process that started this one."""
    if path not in _loaded:
        while len(_loaded) >= _KEPT:
            del _loaded[next(iter(_loaded))]
        _loaded[path] = pickle.loads(Path(path).read_bytes())  # noqa: S301
    return _loaded[path].run(task)


def _lost(losses: int, error: BaseException) -> None:
    """Note a loss; raise `EngineError` where it is one too many."""
    _log.warning("a worker was lost; its pieces are given to others", extra={"error": str(error)})
    if losses >= MOST_LOSSES:
        raise EngineError(
            f"workers died {losses} times in a row over the same runs ({error}); look at their memory and logs. "
            "Finished trials are stored, and the same command goes on"
        ) from error


@contextmanager
def _cluster(address: str, revision: Callable[[], str] | None) -> Iterator[Team]:
    # Dask takes half a second to import, which work on this computer must not pay.
    from distributed import Client

    connect: Any = Client  # Dask has no types
    try:
        client = connect(address, timeout=CONNECT_TIMEOUT_S, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise BadInput(
            f"no Dask scheduler answers at {address} ({error}); start it, or correct research.scheduler"
        ) from error
    try:
        yield _Cluster(client, revision)
    finally:
        with suppress(OSError):
            client.close()


class _Cluster:
    """Workers of a Dask cluster; a work is sent to each once."""

    def __init__(self, client: Any, revision: Callable[[], str] | None) -> None:
        self._client, self._revision = client, revision

    def runner(self, work: Work[_Task, _Result]) -> Runner[_Task, _Result]:
        return _Sent(self._client, work, self._revision).each


class _Sent:
    """A work on a cluster."""

    def __init__(self, client: Any, work: Any, revision: Callable[[], str] | None) -> None:
        self._client, self._work, self._revision = client, work, revision
        self._ours = "" if revision is None else revision()
        self._shared: Any = None

    def each(self, tasks: Sequence[Any]) -> Generator[Any, None, None]:
        from distributed.client import FutureCancelledError
        from distributed.scheduler import KilledWorker

        done = losses = 0
        while done < len(tasks):
            before, futures = done, list[Any]()
            try:
                if self._shared is None:
                    self._shared = self._client.scatter(self._work, broadcast=True, hash=False)
                futures = [
                    self._client.submit(_run, self._shared, task, self._revision, pure=False) for task in tasks[done:]
                ]
                while futures:
                    theirs, result = futures[0].result()
                    _require_same(theirs, self._ours)
                    del futures[0]  # the cluster forgets a result that nobody asks for
                    done += 1
                    yield result
            except (KilledWorker, CancelledError, FutureCancelledError) as error:
                # the work was on that worker alone, or it died too often: send it again
                losses = 1 if done > before else losses + 1
                _lost(losses, error)
                self._shared = None
            finally:
                for future in futures:
                    future.cancel()


def _run(work: Any, task: Any, revision: Callable[[], str] | None) -> tuple[str, Any]:
    return "" if revision is None else revision(), work.run(task)


def _require_same(theirs: str, ours: str) -> None:
    if theirs != ours:
        raise EngineError(
            f"a worker of the cluster runs other code ({theirs}) than this program ({ours}), so its results are not "
            "comparable; install the same version there. Finished trials are stored, and the same command goes on"
        )
