"""From the stored record of a backtest to what faces draw; a record that does not hold together is a `StorageError`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import numpy as np

from engine.domain.codec import utc_from_text
from engine.domain.instruments import InstrumentKey
from engine.domain.research import (
    BacktestRow,
    BacktestView,
    CostRow,
    ExitRow,
    Histogram,
    RegimeRow,
    RunCurve,
    RunNote,
    RunTrade,
    RunVerdict,
    Statistic,
    Unit,
    YearOfMonths,
    YearRow,
)
from engine.domain.views import JobView
from engine.runtime.research_conditions import run_conditions, with_minutes
from engine.runtime.research_files import StoredCurve
from engine.runtime.research_words import CHECKS, COSTS, DOUBLED, FIGURES, LEADS, STANDINGS, Words, level_of, words_of

Record = Mapping[str, Any]

CURVE_POINTS = 1500
_MOST_BINS = 50
_FEWEST_BINS = 10
_BINS_PER_ROOT = 2.0
_NARROWEST = 1e-6
_MONTHS = range(1, 13)
_SIDES = {"buy": "long", "sell": "short"}
_FEWEST_DAYS = 30
"""Days of a year under which its Sharpe ratio says nothing."""


def asked_row(run_id: str, job: JobView, asked: Record, note: RunNote | None) -> BacktestRow:
    """A run without a result: only what was asked for is known."""
    series = asked.get("series") or [("", "")]
    return BacktestRow(
        run_id=run_id, job=job, strategy=str(asked.get("strategy", "")),
        instruments=tuple(sorted(InstrumentKey(str(name[0])) for name in series if name[0])),
        timeframe=str(series[0][1]), engine=str(asked.get("engine", "")), cash=Decimal(str(asked.get("cash", 0))),
        currency="", start=None, stop=None, final_equity=None, trades=None, net_return=None, sharpe=None,
        max_drawdown=None, verdict=None, note=note,
    )  # fmt: skip


def row_of(record: Record, job: JobView, note: RunNote | None) -> BacktestRow:
    """A run of the history."""
    metrics, series = record["metrics"], record["series"]
    return BacktestRow(
        run_id=job.job_id,
        job=job,
        strategy=str(record["strategy"]),
        instruments=tuple(sorted(InstrumentKey(str(part["instrument"])) for part in series)),
        timeframe=str(series[0]["timeframe"]),
        engine=str(record["engine"]),
        cash=Decimal(str(record["cash"])),
        currency=str(record["currency"]),
        start=_instant(record["from"] or min(part["first"] for part in series)),
        stop=_instant(record["to"] or max(part["last"] for part in series)),
        final_equity=Decimal(str(record["final_equity"])),
        trades=int(metrics["trades"]["value"] or 0),
        net_return=_number(metrics["net_return"]["value"]),
        sharpe=_number(metrics["sharpe"]["value"]),
        max_drawdown=_number(metrics["max_drawdown"]["value"]),
        verdict=verdict_of(record["verdict"]),
        note=note,
    )


def view_of(record: Record, row: BacktestRow, curve: StoredCurve, trades: Sequence[RunTrade]) -> BacktestView:
    """Everything about a run but its trades; curves end where the brake ended the run."""
    ended = _ended_at(record, trades)
    span = (row.start, ended or row.stop)
    return BacktestView(
        row=row,
        curve=thinned(_of_days_lived(curve, ended), CURVE_POINTS, row.currency),
        statistics=tuple(_statistics(record)),
        doubled=tuple(_doubled(record.get("double_costs") or {})),
        checks=tuple(_checks(record)),
        years=tuple(_year(year, span) for year in reversed(record.get("years") or ())),
        months=tuple(_months(record.get("months") or (), record.get("years") or ())),
        regimes=tuple(_regime(regime) for regime in record.get("regimes") or ()),
        costs=tuple(_costs(record.get("costs_paid") or {})),
        exits=tuple(_exit(row) for row in record.get("exit_reasons") or ()),
        distribution=histogram([trade.share for trade in trades if trade.share is not None]),
        conditions=tuple(run_conditions(record)),
        stopped=_stopped(record),
        lived=_lived(record),
        price_steps=_price_steps(record),
        judged_at=_instant(record.get("made_at")),
        remarks=remarks_of(record["series"]),
        below_minimum=record.get("below_minimum"),
        doubled_days=_doubled_days(record.get("double_costs") or {}),
    )


def remarks_of(series: Iterable[Record]) -> tuple[str, ...]:
    """What is to be known of the candles before a figure of them is believed, a sentence each.

    >>> remarks_of([{"instrument": "binance:BTC/USDT", "remarks": ["2 rows out of order, put in order"]}])
    ('BTC/USDT: 2 rows out of order, put in order.',)
    """
    return tuple(
        f"{str(one['instrument']).partition(':')[2]}: {with_minutes(str(remark).rstrip('.'))}."
        for one in series
        for remark in one.get("remarks") or ()
    )


def trade_of(number: int, body: Record) -> RunTrade:
    """A round trip; ``number`` counts from 1 by exit, open ones last."""
    quantity, entry, pnl = (Decimal(str(body[name])) for name in ("quantity", "entry_price", "pnl"))
    paid = abs(quantity * entry)
    return RunTrade(
        number=number,
        instrument=InstrumentKey(str(body["instrument"])),
        side=_SIDES.get(str(body["side"]), str(body["side"])),
        quantity=quantity,
        entry_at=utc_from_text(body["entry_time"]),
        entry_price=entry,
        exit_at=_instant(body.get("exit_time")),
        exit_price=_money(body.get("exit_price")),
        exit_reason=str(body.get("exit_reason") or ""),
        fees=Decimal(str(body["fees"])),
        pnl=pnl,
        share=float(pnl / paid) if paid else None,
        stop_price=_money(body.get("stop_price")),
        strategy=str(body.get("strategy") or ""),
        bars_held=int(body.get("bars_held") or 0),
        target_price=_money(body.get("target_price")),
        last_stop_price=_money(body.get("last_stop_price")),
    )


def thinned(curve: StoredCurve, points: int, currency: str) -> RunCurve:
    """At most ``points`` true samples: of each equal part the lowest, highest, deepest and last one.

    >>> line = StoredCurve(np.arange(900), np.arange(900.0), np.zeros(900), np.ones(900))
    >>> len(thinned(line, 100, "USDT").at_ms) <= 100
    True
    """
    kept = np.arange(len(curve.at_ms))
    if len(kept) > points:
        edges = np.linspace(0, len(kept), max(1, points // 4) + 1).astype(np.intp)
        rows: set[int] = set()
        for first, stop in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            equity, depth = curve.equity[first:stop], curve.drawdown[first:stop]
            rows |= {first + int(equity.argmin()), first + int(equity.argmax()), first + int(depth.argmin()), stop - 1}
        kept = np.array(sorted(rows), dtype=np.intp)
    columns = (curve.equity[kept], curve.drawdown[kept], curve.hold[kept])
    return RunCurve(curve.at_ms[kept], *columns, currency)


def histogram(shares: Sequence[float]) -> Histogram:
    """Results of trades in 10 to 50 bins of one width of which zero is an edge, so that none holds wins and losses.

    >>> int(histogram([-0.01, 0.02, 0.03]).counts.sum())
    3
    """
    if not shares:
        return Histogram(np.array([], np.float64), np.array([], np.int64))
    values = np.asarray(shares, np.float64)
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    bins = min(_MOST_BINS, max(_FEWEST_BINS, round(_BINS_PER_ROOT * len(shares) ** 0.5))) - 2
    width = max((high - low) / bins, _NARROWEST)
    first, last = np.floor(low / width), np.floor(high / width) + 1
    edges = np.arange(first, last + 1) * width
    places = np.clip(np.floor(values / width) - first, 0, len(edges) - 2).astype(np.intp)
    return Histogram(edges, np.bincount(places, minlength=len(edges) - 1).astype(np.int64))


def _statistics(record: Record) -> Iterator[Statistic]:
    metrics, hold, steady = record["metrics"], record.get("buy_and_hold") or {}, record.get("volatility_hold") or {}
    for key in (*FIGURES, *(name for name in metrics if name not in FIGURES)):
        if key in metrics:
            found = _statistic(key, words_of(key), metrics[key])
            held, steadied = (_number((one.get(key) or {}).get("value")) for one in (hold, steady))
            yield replace(found, hold=held, steady=steadied)


def _statistic(key: str, words: Words, body: Record) -> Statistic:
    value = _number(body.get("value"))
    reason = str(body.get("reason") or "")
    return Statistic(
        key, words.title, words.unit, value, _number(body.get("low")), _number(body.get("high")),
        reason or ("" if value is not None else "not measured"), words.meaning,
    )  # fmt: skip


def _doubled(body: Record) -> Iterator[Statistic]:
    for key, words in DOUBLED.items():
        if key in body:
            known = body[key]
            figure = known if isinstance(known, Mapping) else {"value": known, "reason": body.get("reason")}
            yield _statistic(key, words, figure)


def _doubled_days(body: Record) -> str:
    line = str((body.get("days") or {}).get("line") or "")
    return f"{line[:1].upper()}{line[1:]}"


def _checks(record: Record) -> Iterator[Statistic]:
    for place, key, words in CHECKS:
        body = record.get(place)
        if body:
            reason = body.get("reason") if body.get(key) is None else ""
            meaning = words.meaning.format(draws=f"{int(body.get('draws') or 0):,}")
            ends = {"low": body.get("low"), "high": body.get("high")} if place == "null" else {}
            value = body.get(key)
            if words.unit is Unit.DAYS and value is not None:
                value = math.ceil(value)  # as the verdict counts them
            yield _statistic(key, replace(words, meaning=meaning), {"value": value, "reason": reason, **ends})


def _year(body: Record, span: tuple[datetime | None, datetime | None]) -> YearRow:
    year, start, stop = int(body["year"]), *span
    first, after = datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC)
    days = (min(stop or after, after) - max(start or first, first)).total_seconds() / 86_400
    short = days < _FEWEST_DAYS
    return YearRow(
        year=year,
        net_return=_number(body.get("net_return")),
        hold_return=_number(body.get("hold_return")),
        max_drawdown=_number(body.get("max_drawdown")),
        sharpe=None if short else _number(body.get("sharpe")),
        trades=int(body.get("trades") or 0),
        reason=f"under {_FEWEST_DAYS} days" if short else _reason(body),
    )


def _months(months: Iterable[Record], years: Iterable[Record]) -> Iterator[YearOfMonths]:
    totals = {int(year["year"]): _number(year.get("net_return")) for year in years}
    known = {(int(row["year"]), int(row["month"])): _number(row.get("return")) for row in months}
    for year in sorted({year for year, _ in known}, reverse=True):
        yield YearOfMonths(year, tuple(known.get((year, month)) for month in _MONTHS), totals.get(year))


def _regime(body: Record) -> RegimeRow:
    return RegimeRow(
        name=str(body["name"]),
        share=_number(body.get("share")),
        net_return=_number(body.get("net_return")),
        sharpe=_number(body.get("sharpe")),
        reason=_reason(body),
    )


def _costs(body: Record) -> Iterator[CostRow]:
    amounts = {name: Decimal(str(body[name])) for name in COSTS if body.get(name) is not None}
    paid = sum((amount for amount in amounts.values() if amount > 0), Decimal(0))
    for name, amount in amounts.items():
        yield CostRow(COSTS[name], amount, float(amount / paid) if paid and amount >= 0 else None)


def _exit(body: Record) -> ExitRow:
    return ExitRow(str(body["reason"]), int(body["trades"]), Decimal(str(body["pnl"])))


def verdict_of(body: Record) -> RunVerdict:
    """The verdict of a record; raises KeyError or ValueError where it is none."""
    level = level_of(str(body["level"]))
    reasons, passed = (tuple(map(str, body.get(name) or ())) for name in ("reasons", "passed"))
    return RunVerdict(level.value, str(body["line"]), reasons, STANDINGS[level], LEADS.get(level, ""), passed)


def _stopped(record: Record) -> str:
    at = _instant(record.get("stopped_at"))
    if at is None:
        return ""
    reason = record.get("stop_reason") or "the brake tripped"
    lived = _lived(record)
    return (
        f"{lived[:1].upper()}{lived[1:]} ({at:%H:%M} UTC), nothing was traded after it: {reason}. Every figure and "
        "curve is of the days it lived, those of buy and hold too"
    )


def _lived(record: Record) -> str:
    """When the brake ended a run, and after how many of its days; empty where it did not."""
    at, days = _instant(record.get("stopped_at")), record.get("days") or {}
    if at is None:
        return ""
    count = f" after {int(days['lived']):,} of {int(days['asked']):,} days" if {"lived", "asked"} <= set(days) else ""
    return f"stopped on {at:%Y-%m-%d}{count}"


def _ended_at(record: Record, trades: Sequence[RunTrade]) -> datetime | None:
    """The brake, or the last exit after it; None where the run was not ended."""
    at = _instant(record.get("stopped_at"))
    return None if at is None else max([at, *(trade.exit_at for trade in trades if trade.exit_at is not None)])


def _of_days_lived(curve: StoredCurve, ended: datetime | None) -> StoredCurve:
    if ended is None:
        return curve
    count = max(1, int(np.searchsorted(curve.at_ms, ended.timestamp() * 1000, side="right")))
    return StoredCurve(curve.at_ms[:count], curve.equity[:count], curve.drawdown[:count], curve.hold[:count])


def _price_steps(record: Record) -> dict[str, Decimal]:
    known = ((str(part["instrument"]), part.get("tick_size")) for part in record["series"])
    return {name: Decimal(str(step)) for name, step in known if step is not None}


def _reason(body: Record) -> str:
    return str(body.get("reason") or "")


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _money(value: Any) -> Decimal | None:
    return None if value is None else Decimal(str(value))


def _instant(text: Any) -> datetime | None:
    return utc_from_text(text) if text else None
