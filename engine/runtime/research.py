"""Backtests as a signed-in person may use them: start, watch, look, compare, note, delete, take away."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from engine.domain.commands import Actor, Role
from engine.domain.errors import BadInput
from engine.domain.instruments import InstrumentKey
from engine.domain.market import Timeframe
from engine.domain.research import (
    MOST_COMPARED,
    MOST_NOTE_CHARACTERS,
    BacktestRow,
    BacktestView,
    Comparison,
    RunChart,
    RunNote,
    RunTrade,
)
from engine.domain.views import JobView, PageOf, StrategyForm, TradeChart
from engine.runtime.forms import form_of
from engine.runtime.funding_shelf import FundingShelf
from engine.runtime.job_files import JobOrder
from engine.runtime.job_worker import task_name
from engine.runtime.library import chart_length
from engine.runtime.records import chart_of
from engine.runtime.replay_data import SeriesNames, read_detail, read_series_names
from engine.runtime.replay_request import limits_for, require_known
from engine.runtime.research_compare import comparison
from engine.runtime.research_job import REQUEST_KEYS, backtest_task, checked_request
from engine.runtime.research_report import report_of
from engine.runtime.research_shelf import KIND
from engine.runtime.research_trades import chosen_trades
from engine.runtime.run_shelf import paged
from engine.runtime.services import Services
from engine.runtime.titles import title_of
from engine.storage.candles import Coverage
from engine.strategies import BACKTESTS

_BARS_AROUND = 150
_CHART_BARS = 1000
"""Candles of a chart at most: more are narrower than what separates them, and slow to draw."""
_FILTERS = frozenset({"strategy", "text"})


class ResearchDesk:
    """The part of the console about backtests.

    Parameters
    ----------
    services : Services
    who : callable
        The person who asks.
    require : callable
        Raises `AccessDenied` unless the person has at least the role it is given.
    """

    def __init__(self, services: Services, who: Callable[[], Actor], require: Callable[[Role], None]) -> None:
        self._services = services
        self._who_asks = who
        self._require_role = require
        self._research_shelf = services.backtests

    def backtest_strategies(self) -> tuple[StrategyForm, ...]:
        """Every strategy that can be backtested with the form of its configuration, defaults filled in."""
        return tuple(
            StrategyForm(kind.name, kind.title, kind.summary, form_of(kind.config, {})) for kind in BACKTESTS.values()
        )

    def check_backtest(self, request: Mapping[str, Any]) -> None:
        """Raise `BadInput` that names what in a request cannot be used; nothing is started."""
        self._checked(request)

    def start_backtest(self, job_id: str, request: Mapping[str, Any]) -> JobView:
        """Start a backtest of stored candles as a run of its own, named after its job.

        Raises
        ------
        BadInput
            Anything in the request that cannot be used; it is named.
        """
        self._require_role(Role.OPERATOR)
        asked = self._checked(request)
        arguments = {
            "data": str(self._services.folder),
            "candles": str(self._services.candles.folder),
            "run_id": job_id,
            "request": asked,
        }
        pairs = ", ".join(key.partition(":")[2] for key, _ in asked["series"])
        title = f"{title_of(str(request['strategy']))} on {pairs}"
        return self._services.jobs.start(job_id, JobOrder(KIND, title, task_name(backtest_task), arguments))

    def _checked(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The request as the job takes it: limits of the installation filled in, everything in it usable."""
        require_known(request, REQUEST_KEYS)
        limits = limits_for([request.get("strategy")], self._services.settings.settings.risk.model_dump(mode="json"))
        own = request.get("risk", {})
        asked = {**request, "risk": {**limits, **own} if isinstance(own, Mapping) else own}
        checked = checked_request(asked)
        names = read_series_names(request.get("series"))
        span = (checked.replay.start, checked.replay.stop)
        self._require_held(names, span)
        fine = read_detail(request.get("detail"), names)
        if fine is not None:
            self._require_held([(key, fine) for key, _ in names], span)
        instruments = [self._services.candles.instrument(key) for key, _ in names]
        if len({instrument.quote for instrument in instruments}) > 1:
            raise BadInput("the series are priced in different coins; test them apart")
        shelf = FundingShelf(self._services.folder / "funding")
        shelf.funding_of(instruments, without=request.get("funding") == "none")
        series = [(key, str(length)) for key, length in names]
        return {**asked, "series": series, "cash": str(checked.replay.config.cash)}

    def backtests(self, page: int, size: int, filters: Mapping[str, str]) -> PageOf[BacktestRow]:
        """History, newest first; raises `BadInput` for a filter there is none of."""
        unknown = sorted(set(filters) - _FILTERS)
        if unknown:
            raise BadInput(f"backtests cannot be filtered by {', '.join(unknown)}; by {', '.join(sorted(_FILTERS))}")
        strategy, text = filters.get("strategy", ""), filters.get("text", "").casefold()
        rows = [row for row in self._research_shelf.rows() if strategy in ("", row.strategy) and _says(row, text)]
        return paged(rows, page, size)

    def backtest(self, run_id: str) -> BacktestView:
        """One run that is done; raises `BadInput` where there is none or it has no result."""
        return self._research_shelf.view(run_id)

    def backtest_trades(self, run_id: str, page: int, size: int, filters: Mapping[str, str]) -> PageOf[RunTrade]:
        """Trades of a run, filtered and ordered; raises `BadInput` for what cannot be a filter."""
        return paged(chosen_trades(self._research_shelf.trades(run_id), filters), page, size)

    def backtest_chart(self, run_id: str, instrument: InstrumentKey, number: int | None) -> RunChart:
        """Candles around a trade, or of the whole run in at most 1,000 candles, with the trades that lie in them.

        Raises
        ------
        BadInput
            The run does not have that instrument or trade, or its candles are not stored any more.
        """
        row = self._research_shelf.done(run_id)
        trades = [trade for trade in self._research_shelf.trades(run_id) if trade.instrument == instrument]
        if instrument not in row.instruments:
            raise BadInput(f"backtest {run_id} did not trade {instrument}; it has {', '.join(row.instruments)}")
        length = Timeframe.parse(row.timeframe)
        first, last = row.start, row.stop
        if number is not None:
            trade = next((trade for trade in trades if trade.number == number), None)
            if trade is None:
                raise BadInput(f"trade {number} of backtest {run_id} is not one of {instrument}")
            first = trade.entry_at - length.delta * _BARS_AROUND
            last = (trade.exit_at or trade.entry_at) + length.delta * _BARS_AROUND
        assert first is not None, "a run that is done has a beginning"
        assert last is not None, "a run that is done has an end"
        return self._chart(instrument, length, (first, last), trades)

    def compare_backtests(self, run_ids: Sequence[str]) -> Comparison:
        """Runs side by side; raises `BadInput` for less than two, more than five, or one without a result."""
        if not 2 <= len(run_ids) <= MOST_COMPARED or len(set(run_ids)) < len(run_ids):
            raise BadInput(f"choose two to {MOST_COMPARED} different backtests to compare; {len(run_ids)} are chosen")
        return comparison([self._research_shelf.view(run_id) for run_id in run_ids])

    def note_backtest(self, run_id: str, text: str) -> None:
        """Replace the note of a run; empty text removes it.

        Raises
        ------
        BadInput
            The note is too long, or holds control characters.
        """
        self._require_role(Role.OPERATOR)
        kept = checked_note(text)
        actor = self._who_asks()
        self._research_shelf.note(run_id, RunNote(kept, actor.name, self._services.clock.now()) if kept else None)

    def delete_backtest(self, run_id: str) -> None:
        """Remove a run that has ended, its files and results; raises `BadInput` while it runs, `CannotRecord`."""
        self._require_role(Role.OPERATOR)
        self._research_shelf.delete(run_id)

    def backtest_report(self, run_id: str) -> tuple[str, bytes]:
        """File name and bytes of one HTML file that holds everything and asks nothing of any server."""
        view, trades = self._research_shelf.view(run_id), self._research_shelf.trades(run_id)
        return f"quarterdeck-backtest-{run_id}.html", report_of(view, trades, self._services.clock.now())

    # -- inside --------------------------------------------------------------------------------------------------

    def _chart(
        self,
        instrument: InstrumentKey,
        length: Timeframe,
        span: tuple[datetime, datetime],
        trades: Sequence[RunTrade],
    ) -> RunChart:
        first, last = span
        inside = [trade for trade in trades if trade.entry_at <= last and (trade.exit_at or last) >= first]
        return RunChart(self._candles(instrument, length, span), tuple(inside))

    def _candles(self, instrument: InstrumentKey, length: Timeframe, span: tuple[datetime, datetime]) -> TradeChart:
        """Candles to draw, as they are stored now; those of the last spans are kept until what is stored changes."""
        store, charts, (first, last) = self._services.candles, self._services.backtests.charts, span
        target = chart_length(length, max(1, (last - first) // length.delta), _CHART_BARS)
        name = (instrument, length)
        held = next((row.content_hash for row in store.coverage() if (row.instrument, row.timeframe) == name), "")
        key = (instrument, target, first, last, held)
        known = charts.get(key)
        if known is not None:
            return known
        if target == length:
            candles = store.read(instrument, length, first, last + length.delta)
        else:
            candles = store.resample(instrument, length, target, first, last + target.delta)
        chart = chart_of(instrument, candles, simulated=False)
        charts.put(key, chart)
        return chart

    def _require_held(self, names: SeriesNames, span: tuple[datetime | None, datetime | None]) -> None:
        held = {(row.instrument, row.timeframe): row for row in self._services.candles.coverage()}
        for key, length in names:
            if (key, length) not in held:
                self._services.candles.read(key, length)  # raises, and says what is held
        rows = [held[name] for name in names]
        if not any(_overlaps(row, span) for row in rows):
            first, last = min(row.first for row in rows), max(row.last for row in rows)
            raise BadInput(f"no candle lies between from and to: those stored open from {first} to {last}")


def _overlaps(row: Coverage, span: tuple[datetime | None, datetime | None]) -> bool:
    start, stop = span
    return not (start and row.last < start) and not (stop and row.first + row.timeframe.delta > stop)


def _says(row: BacktestRow, text: str) -> bool:
    words = " ".join((*row.instruments, row.note.text if row.note is not None else "", row.run_id)).casefold()
    return text in words


def checked_note(text: str) -> str:
    """A note as it is kept; raises `BadInput` where it is too long or holds control characters."""
    kept = text.strip().replace("\r\n", "\n")
    if len(kept) > MOST_NOTE_CHARACTERS:
        raise BadInput(f"the note has {len(kept):,} characters; at most {MOST_NOTE_CHARACTERS:,} are kept")
    odd = next((sign for sign in kept if sign != "\n" and unicodedata.category(sign) in ("Cc", "Cf", "Cs", "Co")), None)
    if odd is not None:
        raise BadInput(f"the note holds the unreadable character U+{ord(odd):04X}; take it out")
    return kept
