"""Backtests of the stand-in console: made from a record written by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from engine.domain.commands import Role
from engine.domain.errors import BadInput
from engine.domain.instruments import InstrumentKey
from engine.domain.research import BacktestRow, BacktestView, Comparison, RunChart, RunNote, RunTrade
from engine.domain.views import FormField, JobState, JobView, PageOf, StrategyForm
from engine.runtime.research_compare import comparison
from engine.runtime.research_trades import chosen_trades
from engine.runtime.research_views import asked_row, row_of, trade_of, view_of
from tests.pages import fake_records as made
from tests.pages import fake_rows as rows_of
from tests.pages.fake_base import FakeBase
from tests.research_record import curve, record

LEVELS = ("NOT_DISTINGUISHABLE", "LOSES", "DISTINGUISHABLE")
NOTE = "wide stops <b>& caution"


class FakeResearch(FakeBase):
    """`engine.domain.research.Research`."""

    def backtest_strategies(self) -> tuple[StrategyForm, ...]:
        self._fail("backtest_strategies")
        fast = FormField("fast_bars", "Fast average, bars", "integer", 20, 20, 2.0, 500.0, ())
        forms = (("momentum", "Trend momentum"), ("sma_cross", "Crossing of two averages"))
        return tuple(StrategyForm(name, title, f"{title} in a sentence.", (fast,)) for name, title in forms)

    def check_backtest(self, request: Mapping[str, Any]) -> None:
        self._fail("check_backtest")
        self.calls.append(("check_backtest", (dict(request),)))
        if request["from"] > request["to"] > "":
            raise BadInput(f"the replay would end ({request['to']}) before it begins; swap from and to")

    def start_backtest(self, job_id: str, request: Mapping[str, Any]) -> JobView:
        self._need(Role.OPERATOR)
        return self._job(job_id, "backtest", "Trend momentum on BTC/USDT", (dict(request),))

    def backtests(self, page: int, size: int, filters: Mapping[str, str]) -> PageOf[BacktestRow]:
        self._fail("backtests")
        self.calls.append(("backtests", (page, size, dict(filters))))
        rows = [] if self.empty else [*(self._row(index) for index in range(3)), _failed()]
        gone = {run_id for (run_id,) in self.named("delete_backtest")}
        kept = tuple(row for row in rows if row.run_id not in gone)
        return PageOf(kept, len(kept), page, size)

    def backtest(self, run_id: str) -> BacktestView:
        self._fail("backtest")
        row = next(row for row in map(self._row, range(3)) if row.run_id == run_id)
        return replace(view_of(record(), row, curve(), _trades()), tried_since=40)

    def backtest_trades(self, run_id: str, page: int, size: int, filters: Mapping[str, str]) -> PageOf[RunTrade]:
        self._fail("backtest_trades")
        self.calls.append(("backtest_trades", (run_id, page, size, dict(filters))))
        rows = chosen_trades(_trades(), filters)
        return PageOf(tuple(rows[(page - 1) * size : page * size]), len(rows), page, size)

    def backtest_chart(self, run_id: str, instrument: InstrumentKey, number: int | None) -> RunChart:
        self._fail("backtest_chart")
        self.calls.append(("backtest_chart", (run_id, instrument, number)))
        chart = replace(rows_of.trade_chart(instrument, 300, ()), simulated=False, stop_price=None, target_price=None)
        return RunChart(chart, tuple(trade for trade in _trades() if trade.instrument == instrument))

    def compare_backtests(self, run_ids: Sequence[str]) -> Comparison:
        self._fail("compare_backtests")
        return comparison([self.backtest(run_id) for run_id in run_ids])

    def note_backtest(self, run_id: str, text: str) -> None:
        self._act("note_backtest", Role.OPERATOR, run_id, text)

    def delete_backtest(self, run_id: str) -> None:
        self._act("delete_backtest", Role.OPERATOR, run_id)

    def backtest_report(self, run_id: str) -> tuple[str, bytes]:
        self._fail("backtest_report")
        if run_id == "gone":
            raise BadInput("there is no backtest 'gone'")
        return f"backtest-{run_id}.html", b"<!doctype html><title>x</title>"

    def _row(self, index: int) -> BacktestRow:
        job = JobView(
            f"b-{index + 1}", "backtest", "momentum", JobState.DONE, 1.0, "done", made.MARKET_NOW, 1.4, 0.0, "{}"
        )
        verdict = {**record()["verdict"], "level": LEVELS[index]}
        note = RunNote(NOTE, "sam", made.MARKET_NOW) if index == 0 else None
        return row_of(record(verdict=verdict, cash=str(10_000 * (1 + index))), job, note)


def _failed() -> BacktestRow:
    detail = "40 candles are too few"
    job = JobView("b-9", "backtest", "momentum", JobState.FAILED, 0.1, detail, made.MARKET_NOW, 0.2, None, "")
    asked = {"strategy": "momentum", "series": [["binance:BTC/USDT", "1h"]], "cash": "10000", "engine": "kernel"}
    return asked_row("b-9", job, asked, None)


def _trades() -> tuple[RunTrade, ...]:
    return tuple(trade_of(number, body) for number, body in enumerate(record()["trades"], start=1))
