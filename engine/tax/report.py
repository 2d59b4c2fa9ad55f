"""A year's realised gains, from all fills and funding of a book."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, localcontext
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from engine.domain.codec import utc_text
from engine.domain.errors import BadInput
from engine.domain.orders import Fill, FundingPaid
from engine.domain.tax_views import TaxKind, TaxReport, TaxRow
from engine.tax import LOT_METHODS
from engine.tax.lots import EXACT, ZERO, Match, match_lots
from engine.tax.perpetuals import Closed, close_positions
from engine.tax.trades import (
    Gathered,
    Problem,
    Valuation,
    account_of,
    distinct,
    gather_spot,
    market_of,
)

METHOD = "fifo"
FIRST_YEAR, LAST_YEAR = 1970, 9998


@dataclass(frozen=True, slots=True)
class TaxYear:
    """A calendar year by a named zone: from ``start`` (inclusive) to ``end`` (exclusive), both UTC."""

    year: int
    zone: ZoneInfo
    start: datetime
    end: datetime

    @classmethod
    def of(cls, year: int, zone: str) -> TaxYear:
        """Raises `BadInput` naming the year or the zone."""
        if not FIRST_YEAR <= year <= LAST_YEAR:
            raise BadInput(f"tax year {year} is not between {FIRST_YEAR} and {LAST_YEAR}")
        named = zone_of(zone)
        start, end = (datetime(number, 1, 1, tzinfo=named).astimezone(UTC) for number in (year, year + 1))
        return cls(year, named, start, end)

    def holds(self, at: datetime) -> bool:
        """Whether the instant lies in the year."""
        return self.start <= at < self.end

    def days_between(self, earlier: datetime, later: datetime) -> int:
        """Whole local calendar days."""
        return (later.astimezone(self.zone).date() - earlier.astimezone(self.zone).date()).days


def zone_of(name: str) -> ZoneInfo:
    """A zone of the time zone database; raises `BadInput` naming it."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise BadInput(f"time zone {name!r} is not known; use a name like Europe/Rome or UTC") from error


def tax_report(
    fills: Iterable[Fill],
    funding: Iterable[FundingPaid],
    period: TaxYear,
    valuation: Valuation,
    *,
    simulated: bool,
) -> TaxReport:
    """Realised gains of a year, first in, first out, each account for itself.

    Spot: a disposal against the lots of its coin in its account. Perpetuals: a closing trade against its opening
    trades, its kind saying whether a long or a short was closed; asset is the symbol with its settlement coin
    (``BTC/USDT:USDT``), and as nothing was sold, a profit is all proceeds and a loss all cost. Funding: one row a
    payment, income or expense, without an asset, quantity 0; it is summed apart. In every row and in the sums
    ``gain = proceeds - cost``, to the last digit, fees inside both.

    Parameters
    ----------
    fills : iterable of Fill
        The whole history of the book, any order; lots of earlier years are needed.
    funding : iterable of FundingPaid
        Likewise.
    period : TaxYear
    valuation : Valuation
        Without prices, trades not quoted in its currency and fees in third coins become problems.
    simulated : bool
        Marks the report and each exported row.

    Returns
    -------
    TaxReport
        Rows by time of disposal. ``problems`` names what is not in the figures, up to the end of the year.

    Raises
    ------
    BadInput
        An amount is no number.
    """
    once, torn = distinct(fills)
    gathered = Gathered(problems=torn)
    with localcontext(EXACT):
        rows, problems = _rows(once, gathered, valuation, period)
        rows += _funding_rows(funding, valuation, gathered.problems, period)
        rows.sort(key=_place)
        proceeds, cost = _sums(row for row in rows if not row.kind.is_funding)
        income, expense = _sums(row for row in rows if row.kind.is_funding)
        texts = [item.text for item in sorted([*gathered.problems, *problems]) if item.at < period.end]
        return TaxReport(
            year=period.year,
            zone=period.zone.key,
            method=METHOD.upper(),
            currency=valuation.currency,
            simulated=simulated,
            rows=tuple(rows),
            proceeds=proceeds,
            cost=cost,
            gain=proceeds - cost,
            income=income,
            expense=expense,
            result=proceeds - cost + income - expense,
            problems=tuple(texts),
        )


def _sums(rows: Iterable[TaxRow]) -> tuple[Decimal, Decimal]:
    """Proceeds and cost, or income and expense, of all rows."""
    proceeds = cost = ZERO
    for row in rows:
        proceeds, cost = proceeds + row.proceeds, cost + row.cost
    return proceeds, cost


def _rows(
    fills: list[Fill], gathered: Gathered, valuation: Valuation, period: TaxYear
) -> tuple[list[TaxRow], list[Problem]]:
    perpetual = []
    for fill in fills:
        if market_of(fill.instrument).settle:
            perpetual.append(fill)
        else:
            gather_spot(fill, valuation, gathered)
    perpetual.sort(key=lambda fill: (fill.at, len(fill.trade_id), fill.trade_id))
    closed = close_positions(perpetual, valuation, gathered)
    matching = match_lots(gathered.events, LOT_METHODS[METHOD])
    rows = [_spot_row(match, period) for match in matching.matches if period.holds(match.disposal.at)]
    rows += [_perpetual_row(item, period) for item in closed if period.holds(item.closed_at)]
    return rows, [Problem(item.event.at, str(item)) for item in matching.shortfalls]


def _spot_row(match: Match, period: TaxYear) -> TaxRow:
    disposal = match.disposal
    return TaxRow(
        kind=TaxKind.SALE,
        disposed_at=disposal.at,
        acquired_at=match.lot.at,
        asset=disposal.asset,
        venue=disposal.account,
        quantity=match.quantity,
        proceeds=match.proceeds,
        cost=match.cost,
        fees=match.fees,
        gain=match.gain,
        held_days=period.days_between(match.lot.at, disposal.at),
        disposal_trade_id=disposal.event_id,
        acquisition_trade_id=match.lot.event_id,
    )


def _perpetual_row(item: Closed, period: TaxYear) -> TaxRow:
    net = item.result - item.fees
    return TaxRow(
        kind=TaxKind.SHORT if item.is_short else TaxKind.LONG,
        disposed_at=item.closed_at,
        acquired_at=item.opened_at,
        asset=item.symbol,
        venue=item.account,
        quantity=item.quantity,
        proceeds=max(net, ZERO),
        cost=max(-net, ZERO),
        fees=item.fees,
        gain=net,
        held_days=period.days_between(item.opened_at, item.closed_at),
        disposal_trade_id=item.closing_id,
        acquisition_trade_id=item.opening_id,
    )


def _funding_rows(
    funding: Iterable[FundingPaid], valuation: Valuation, problems: list[Problem], period: TaxYear
) -> Iterator[TaxRow]:
    once = {(paid.venue, paid.account, paid.instrument, paid.payment_id): paid for paid in funding}
    for paid in once.values():
        rate = valuation.worth(paid.currency, paid.at)
        if rate is None:
            text = f"funding {paid.payment_id} of {paid.instrument}, {utc_text(paid.at)}: no price of {paid.currency}"
            problems.append(Problem(paid.at, f"{text} in {valuation.currency}; not counted"))
        elif period.holds(paid.at) and paid.amount:
            yield _funding_row(paid, paid.amount * rate)


def _funding_row(paid: FundingPaid, amount: Decimal) -> TaxRow:
    return TaxRow(
        kind=TaxKind.INCOME if amount > 0 else TaxKind.EXPENSE,
        disposed_at=paid.at,
        acquired_at=paid.at,
        asset="",
        venue=account_of(paid),
        quantity=ZERO,
        proceeds=max(amount, ZERO),
        cost=max(-amount, ZERO),
        fees=ZERO,
        gain=amount,
        held_days=0,
        disposal_trade_id=paid.payment_id,
        acquisition_trade_id="",
        detail=f"funding of {market_of(paid.instrument).symbol}",
    )


def _place(row: TaxRow) -> tuple[datetime, str, int, str, datetime, int, str]:
    sold, bought = row.disposal_trade_id, row.acquisition_trade_id
    return row.disposed_at, row.venue, len(sold), sold, row.acquired_at, len(bought), bought
