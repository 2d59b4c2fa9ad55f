"""First in, first out: a disposal takes from the lot acquired earliest."""

from __future__ import annotations

from bisect import insort

from engine.tax.lots import Lot


class FirstInFirstOut:
    """Lots of one pool, earliest acquired first; a lot that was moved here keeps its date and takes its place."""

    def __init__(self) -> None:
        self._lots: list[Lot] = []
        self._first = 0

    def add(self, lot: Lot) -> None:
        """Put a lot where its date of acquisition belongs."""
        if self._first < len(self._lots) and self._lots[-1].order > lot.order:
            insort(self._lots, lot, lo=self._first, key=lambda held: held.order)
        else:
            self._lots.append(lot)

    def next(self) -> Lot | None:
        """The earliest lot, None when the pool is empty."""
        return self._lots[self._first] if self._first < len(self._lots) else None

    def drop(self) -> None:
        """Forget the earliest lot; it is used up."""
        self._first += 1
        if self._first > 1_000 and self._first * 2 > len(self._lots):
            del self._lots[: self._first]
            self._first = 0
