"""The finer candles of a kernel run, taken in the order of their closes: a place in them for each instrument."""

from __future__ import annotations

from engine.simulation.kernel_compile import part
from engine.simulation.kernel_layout import NEVER, Records
from engine.simulation.kernel_tables import candle_at, market_at, pair_at


@part
def next_fine_ms(run: Records) -> int:
    """When the next finer candle of any instrument closes; NEVER after the last."""
    earliest = NEVER
    for m in range(run.markets):
        market = market_at(run, m)
        if market.fine_next < market.fine_stop:
            closed_ms = candle_at(run, market.fine_next).opened_ms + run.fine_ms
            earliest = closed_ms if earliest == NEVER else min(earliest, closed_ms)
    return int(earliest)


@part
def take_row(run: Records, m: int) -> None:
    """Make the finer candle that closes now the instrument's row, if there is one."""
    market = market_at(run, m)
    market.row = NEVER
    if market.fine_next < market.fine_stop and candle_at(run, market.fine_next).opened_ms + run.fine_ms == run.now_ms:
        market.row = market.fine_next
        market.fine_next += 1


@part
def is_idle(run: Records) -> bool:
    """Whether nothing is held and nothing works, so that no candle can change anything before the next decision.

    While a stop of the book is under way, each event is one more look at it.
    """
    if run.is_latched and not run.is_flat:
        return False
    for m in range(run.markets):
        if market_at(run, m).count > 0 or market_at(run, m).position != 0:
            return False
        for k in range(run.sleeves + 1):
            if pair_at(run, k, m).held != 0:
                return False
    return True


@part
def pass_fine(run: Records, until_ms: int) -> None:
    """Leave out the finer candles that close up to an instant."""
    for m in range(run.markets):
        market = market_at(run, m)
        while market.fine_next < market.fine_stop:
            if candle_at(run, market.fine_next).opened_ms + run.fine_ms > until_ms:
                break
            market.fine_next += 1
