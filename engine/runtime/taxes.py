"""Tax reports, counted again only when there is something new, and then at most every half minute."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace

from engine.domain.errors import BadInput
from engine.domain.portfolio import BookSnapshot
from engine.domain.ports import Clock
from engine.domain.tax_views import TaxReport
from engine.storage.money_reader import MoneyReader
from engine.tax.report import TaxYear, tax_report
from engine.tax.trades import Valuation

KEPT_S = 30.0
REPORTS_KEPT = 16
FIRST_YEAR, LAST_YEAR = 2009, 2100


@dataclass(frozen=True, slots=True)
class _Counted:
    report: TaxReport
    rows: tuple[int, int]
    at_s: float


class Taxes:
    """Counts reports for everybody who is signed in; thread-safe.

    A report goes through every fill of the book, since lots of earlier years are needed: half a second for a year of
    20,000 fills. `TaxReport.counted_at` says how old one is.
    """

    def __init__(self, money: MoneyReader, clock: Clock) -> None:
        self._money = money
        self._clock = clock
        self._lock = threading.Lock()
        self._counted: dict[tuple[str, int, str], _Counted] = {}

    def report(self, book: BookSnapshot, year: int, zone: str, *, fresh: bool = False) -> TaxReport:
        """Realised gains FIFO over a year.

        Parameters
        ----------
        book : BookSnapshot
            Names the book, its currency and whether it is simulated.
        year, zone : int, str
            Calendar year by a named time zone.
        fresh : bool
            Count now whatever there is; for what is kept, such as a file.

        Raises
        ------
        BadInput
            A year outside 2009 to 2100, or an unknown zone.
        StorageError
            The fills cannot be read.
        """
        if not FIRST_YEAR <= year <= LAST_YEAR:
            raise BadInput(f"year {year} lies outside {FIRST_YEAR} to {LAST_YEAR}")
        key = (book.name, year, zone)
        with self._lock:
            counts = self._money.counts(book.name)
            rows, found = (counts.fills, counts.funding), self._counted.get(key)
            if found is not None and not fresh and self._still_good(found, rows):
                return found.report
            report = self._count(book, year, zone)
            self._counted.pop(key, None)
            self._counted[key] = _Counted(report, rows, self._clock.monotonic())
            while len(self._counted) > REPORTS_KEPT:
                del self._counted[next(iter(self._counted))]
            return report

    def _still_good(self, found: _Counted, rows: tuple[int, int]) -> bool:
        return found.rows == rows or self._clock.monotonic() - found.at_s < KEPT_S

    def _count(self, book: BookSnapshot, year: int, zone: str) -> TaxReport:
        at = self._clock.now()
        fills = tuple(self._money.fills_for_digest(book.name))
        funding = tuple(self._money.funding_paid(book.name))
        report = tax_report(
            fills, funding, TaxYear.of(year, zone), Valuation(book.base_currency), simulated=book.simulated
        )
        return replace(report, counted_at=at)
