"""Which instants of a replay may change anything: the others leave a point of equity and need not be lived through.

Most bars of most replays change nothing: nobody wants what he has not got, no stop is near, and the equity alone moves.
A walk ahead over opinions and prices finds the next one that may. What it rests on is read from the book again after
every fact but a mark of equity. The tests show that fills, curves and the book itself are the same with and without.
"""

from __future__ import annotations

from collections.abc import Callable

from engine.domain.commands import TradingState
from engine.simulation.foresight import Timeline
from engine.simulation.standing import refresh, standing_of
from engine.simulation.walk import Standing, next_lived
from engine.trading.book import Book
from engine.trading.config import BrakeMode
from engine.trading.core import TradingCore
from engine.trading.external import EXTERNAL


class Quiet:
    """Says how long nothing can happen.

    Parameters
    ----------
    timeline : Timeline
    maintenance : float
        Share of open notional below which a simulated venue liquidates.
    changes : callable
        Gives a number that changes with every fact but a mark of equity.
    """

    def __init__(self, timeline: Timeline, maintenance: float, changes: Callable[[], int]) -> None:
        self.timeline = timeline
        self._maintenance = maintenance
        self._changes = changes
        self._known = -1
        self._standing: Standing | None = None

    def until(self, row: int, core: TradingCore) -> int:
        """The next row that has to be lived through after ``row``, which has been."""
        book, last = core.book, int(self.timeline.barriers[-1])
        if row >= last or not (_is_calm(core) or _is_over(book)) or not self._knows_prices(row, book):
            return row + 1
        standing = self._stands(book)
        if standing is None:
            return row + 1
        return int(next_lived(self.timeline.sights, standing, row, self.timeline.barrier(row)))

    def _stands(self, book: Book) -> Standing | None:
        changes = self._changes()
        if changes != self._known:
            self._known, self._standing = changes, standing_of(self.timeline, book, self._maintenance)
        elif self._standing is not None:
            refresh(self._standing, self.timeline, book)
        return self._standing

    def _knows_prices(self, row: int, book: Book) -> bool:
        """Whether every mark is the last close; after a refused jump it is an older one."""
        for key, lane in self.timeline.lanes.items():
            mark, ticks = book.mark(key), int(lane.ticks[row])
            if (mark.price if mark is not None else 0) != ticks * lane.instrument.tick_size:
                return False
        return True


def _is_calm(core: TradingCore) -> bool:
    """Whether the book works, waits for, remembers and fears nothing that a fact would not tell of."""
    book = core.book
    return (
        book.state is TradingState.ACTIVE
        and not book.latched
        and book.equity is not None
        and not book.venue_errors
        and not book.catching_up
        and not core.is_unsure
        and book.brake.tripped_since is None
        and book.brake.unknown_since is None
        and not book.failed_trades.in_a_row
        and not book.trails
        and not book.best_prices
        and EXTERNAL not in book.ledger.sleeves
    )


def _is_over(book: Book) -> bool:
    """Whether the brake has ended the run for good."""
    done = book.latched and book.stop is not None and book.stop.is_flat
    empty = next(book.ledger.open_holdings(), None) is None and next(book.tracker.open_orders(), None) is None
    return done and empty and book.config.brake is BrakeMode.LATCH
