"""What is to be said of the candles a result rests on: rows put in order or left out, files that overlap, and holes."""

from __future__ import annotations

from collections.abc import Iterable

from engine.domain.codec import plain, utc_text
from engine.domain.instruments import Instrument, InstrumentKey
from engine.domain.market import CandleArrays, from_ms
from engine.market.checks import EARLIEST_MS, LATEST_MS, CandleReport, count_gaps, gap_runs
from engine.simulation.replay import ReplayConfig
from engine.storage.candle_import import ImportResult


def file_remarks(results: Iterable[ImportResult]) -> dict[InstrumentKey, list[str]]:
    """What reading files did to their rows, by instrument; no entry where every row was taken as it stood."""
    remarks: dict[InstrumentKey, list[str]] = {}
    for result in results:
        if lines := [*_row_remarks(result.report), *_overlap_remarks(result)]:
            remarks.setdefault(result.instrument.key, []).extend(lines)
    return remarks


def hole_remarks(candles: CandleArrays) -> list[str]:
    """At most one line: how many candles are missing between the first and the last, and where the first hole is.

    A hole is passed over: nothing trades in it, and orders fill at the next candle there is.
    """
    holes, missing = count_gaps(candles.opened_at_ms, candles.timeframe)
    if not holes:
        return []
    first = gap_runs(candles.opened_at_ms, candles.timeframe)[0]
    return [
        f"{_many(missing, 'candle')} of {candles.timeframe} missing in {_many(holes, 'hole')}, the first from "
        f"{utc_text(first.start)} to {utc_text(first.stop)}"
    ]


def size_remarks(instrument: Instrument, config: ReplayConfig) -> list[str]:
    """At most one line: that the capital is too small for any order, for who wonders why nothing was traded."""
    risk = config.risk
    share = min(risk.max_position_share, risk.max_exposure, risk.max_concentration, risk.max_leverage)
    largest = share * config.cash
    if largest >= instrument.min_notional:
        return []
    return [
        f"no order: every one would be below the minimum of {plain(instrument.min_notional)} {instrument.quote}. The "
        f"limits allow a position of {plain(largest)} of the capital of {plain(config.cash)}; give more --cash"
    ]


def _row_remarks(report: CandleReport) -> list[str]:
    lines = []
    if report.out_of_order:
        since = f", the first opens at {utc_text(report.first_out_of_order)}" if report.first_out_of_order else ""
        lines.append(f"{_many(report.out_of_order, 'row')} out of order, put in order{since}")
    for one in report.rejected:
        first = utc_text(from_ms(one.examples[0].opened_at_ms)) if _is_a_time(one.examples[0].opened_at_ms) else ""
        since = f", the first opens at {first}" if first else ""
        lines.append(f"{_many(one.rows, 'row')} left out: {one.fault.value}{since}")
    return lines


def _overlap_remarks(result: ImportResult) -> list[str]:
    """Candles that an earlier file of the same instrument held as well."""
    both = result.report.rows_kept - result.added
    if both <= 0:
        return []
    other = f"; {result.corrected:,} of them differ, and the file whose path sorts last was taken"
    return [f"{_many(both, 'candle')} in more than one file{other if result.corrected else ''}"]


def _is_a_time(at_ms: int) -> bool:
    return EARLIEST_MS <= at_ms < LATEST_MS


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
