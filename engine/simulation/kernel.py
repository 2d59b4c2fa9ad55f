"""The fast way through the past: the trades of a replay, from a compiled pass over arrays.

It fills as the paper venue does, sizes and refuses as `engine.risk` does, and decides in the order of `engine.trading`;
tests hold it against the replay, fill by fill. Market orders with protective stops are all it places, as the strategies
of a replay do.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np

from engine.domain.errors import BadInput
from engine.domain.instruments import Instrument
from engine.domain.market import FloatArray, IntArray, from_ms
from engine.simulation import kernel_layout as layout
from engine.simulation.kernel_layout import Records
from engine.simulation.kernel_loop import run_loop
from engine.simulation.kernel_request import KernelRequest, request_of, views_of
from engine.simulation.kernel_state import Memory, memory_of
from engine.simulation.replay import Progress

__all__ = ["KernelRequest", "KernelResult", "request_of", "run_kernel", "views_of"]


@dataclass(frozen=True, slots=True)
class KernelResult:
    """What a kernel run did; money in quote.

    Attributes
    ----------
    instruments : tuple of Instrument
    strategies : tuple of str
        Sorted; what ``sleeve`` counts, the number after the last is `external`.
    fills : Records[n]
        `engine.simulation.kernel_layout.FillRow`, in the order they happened.
    book : Records[n]
        The same with nettings among them.
    at_ms : int64[n]
    equity, drawdown : float64[n]
        At each close.
    """

    instruments: tuple[Instrument, ...]
    strategies: tuple[str, ...]
    bars: int
    fills: Records
    at_ms: IntArray
    equity: FloatArray
    drawdown: FloatArray
    final_equity: float
    trades: int
    wins: int
    fees: float
    funding: float
    stopped_at: datetime | None
    refused: int
    rejected_prices: int
    below_minimum: int


def run_kernel(request: KernelRequest, progress: Progress | None = None) -> KernelResult | None:
    """Run a request; None when ``progress`` cancelled.

    Raises
    ------
    BadInput
        What cannot be traded, or what the run met and does not model.
    """
    memory = memory_of(request)
    total = len(memory.tables["instant"])
    chunk = total if progress is None else max(1000, total // 100)
    done = 0
    while done < total:
        advance(memory, min(total, done + chunk), request)
        done = int(memory.run[0]["next"])
        if progress is not None and not progress(done, total):
            return None
    return _result(request, memory)


def advance(memory: Memory, stop: int, request: KernelRequest) -> None:
    """Take instants until ``stop``; raises `BadInput` where a funding rate is missing."""
    while (reason := run_loop(memory.run, stop)) != layout.DONE:
        if reason == layout.MORE_FILLS:
            memory.grow_fills()
        elif reason == layout.MORE_ORDERS:
            memory.grow_orders()
        else:
            stamp = memory.tables["stamp"][int(memory.run[0]["next_stamp"])]
            key = request.series[int(stamp["market"])].instrument.key
            at = from_ms(int(stamp["at_ms"]))
            raise BadInput(
                f"{key}: the funding rate of {at} is missing while a position is held: import it, or run "
                "without funding"
            )


def _result(request: KernelRequest, memory: Memory) -> KernelResult:
    book, tables = memory.run[0], memory.tables
    closes = ~np.isnan(tables["close"]["equity"])
    rows = tables["fill"][: int(book["fills"])]
    stopped = int(book["stopped_ms"])
    return KernelResult(
        instruments=tuple(one.instrument for one in request.series),
        strategies=tuple(sorted(request.views)),
        bars=sum(one.stop - one.first for one in request.series),
        fills=rows[rows["purpose"] != layout.NETTING],
        at_ms=tables["instant"][closes],
        equity=tables["close"]["equity"][closes],
        drawdown=tables["close"]["drawdown"][closes],
        final_equity=float(book["equity"]),
        trades=int(tables["sleeve"]["trades"].sum()),
        wins=int(tables["sleeve"]["wins"].sum()),
        fees=float(rows["fee"].sum()),
        funding=float(book["funding"]),
        stopped_at=None if stopped == layout.NEVER else from_ms(stopped),
        refused=int(book["refused"]),
        rejected_prices=int(book["rejected"]),
        below_minimum=int(book["below_minimum"]),
    )
