"""Candles, jobs and replays of the stand-in console."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from engine.domain.commands import (
    Role,
)
from engine.domain.errors import BadInput
from engine.domain.instruments import InstrumentKey
from engine.domain.library_views import CoverageRow, GapRow, ReplayView
from engine.domain.views import FillRow, JobState, JobView, PageOf, TradeChart
from tests.pages import fake_records as made
from tests.pages import fake_rows as rows_of
from tests.pages.fake_base import FakeBase

_CONDITIONS = (
    '{"brake": "latch", "cash": "10000", "costs": {"name": "plain", "taker_bps": "10", "volume_share": "0.05"}, '
    '"from": "", "risk": {"brake_drawdown": "0.10"}, "speed": 0.0, "strategies": {"momentum": {"fast_ema_bars": 24}}}'
)


class FakeLibrary(FakeBase):
    """`Library` of `engine.domain.facade`."""

    def coverage(self) -> tuple[CoverageRow, ...]:
        self._fail("coverage")
        if self.empty:
            return ()
        return tuple(
            CoverageRow(
                InstrumentKey(f"binance:{coin}/USDT"),
                "spot",
                "1h",
                52_608 - 24 * index,
                datetime(2020, 1, 1, tzinfo=UTC),
                datetime(2026, 1, 1, tzinfo=UTC),
                index * 3,
                index * 24,
                index,
                f"{coin}_USDT-1h.parquet",
                made.MARKET_NOW,
            )
            for index, coin in enumerate(("BTC", "ETH", "SOL"))
        )

    def gaps(self, instrument: InstrumentKey, timeframe: str) -> tuple[GapRow, ...]:
        first = datetime(2021, 4, 25, 4, tzinfo=UTC)
        return (GapRow(first, first + timedelta(hours=3), 4),)

    def candles(self, instrument: InstrumentKey, timeframe: str, bars: int) -> TradeChart:
        return replace(rows_of.trade_chart(instrument, bars, ()), simulated=False, stop_price=None, target_price=None)

    def start_import(self, job_id: str, file_name: str, content: bytes, options: Mapping[str, str]) -> JobView:
        self._need(Role.OPERATOR)
        if file_name == self.refuses_file:
            raise BadInput("row 1 is broken")
        return self._job(job_id, "import", file_name, (file_name, len(content), dict(options)))

    def start_download(self, job_id: str, options: Mapping[str, str]) -> JobView:
        return self._job(job_id, "download", options.get("symbol", ""), (dict(options),))

    def start_backfill(self, job_id: str, instrument: InstrumentKey, timeframe: str) -> JobView:
        return self._job(job_id, "backfill", f"{instrument} {timeframe}", (instrument, timeframe))

    def start_replay(self, job_id: str, request: Mapping[str, Any]) -> JobView:
        return self._job(job_id, "replay", "momentum", (dict(request),))

    def jobs(self, kind: str | None = None) -> tuple[JobView, ...]:
        self._fail("jobs")
        return tuple(job for job in self.job_list if kind in (None, job.kind))

    def cancel_job(self, job_id: str) -> None:
        self.calls.append(("cancel_job", (job_id,)))

    def replays(self) -> tuple[ReplayView, ...]:
        self._fail("replays")
        gone = {run_id for (run_id,) in self.named("delete_replay")}
        found = (self._replay(f"r-{index}") for index in range(0 if self.empty else 3))
        return tuple(run for run in found if run.run_id not in gone)

    def delete_replay(self, run_id: str) -> None:
        self._act("delete_replay", Role.OPERATOR, run_id)

    def replay(self, run_id: str) -> ReplayView:
        return replace(self._replay(run_id), curve=rows_of.equity_curve(400))

    def _replay(self, run_id: str) -> ReplayView:
        job = JobView(run_id, "replay", "momentum", JobState.DONE, 1.0, "done", made.MARKET_NOW, 4.1, 0.0, "{}")
        digest = "9f2c4be1" * 8
        return ReplayView(
            run_id, job, "momentum", _CONDITIONS, ("binance:BTC/USDT",), 52_584, 311, 640,
            Decimal("14210.55"), Decimal(10_000), Decimal("602.11"), digest, 48_211.0, None,
            118, Decimal("0.421055"), Decimal("0.1834"), "USDT",
        )  # fmt: skip

    def replay_fills(self, run_id: str, page: int, size: int) -> PageOf[FillRow]:
        return self._page("replay_fills", rows_of.fill_row, page, size)
