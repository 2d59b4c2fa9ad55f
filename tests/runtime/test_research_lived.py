"""What faces get of a run that the brake ended, of short years, and of conditions in plain words."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from research_record import curve, record

from engine.domain.research import BacktestView
from engine.domain.views import JobState, JobView
from engine.runtime.research_studies_views import figures_of
from engine.runtime.research_views import row_of, trade_of, view_of

ENDED_MS = 1_707_436_800_000
"""2024-02-09, the hundredth day."""


def view(**changes: Any) -> BacktestView:
    body = record(**changes)
    job = JobView(
        "b-1", "backtest", "momentum", JobState.DONE, 1.0, "done", datetime(2026, 3, 14, tzinfo=UTC), 1.4, 0.0, "{}"
    )
    trades = tuple(trade_of(number, one) for number, one in enumerate(body["trades"], start=1))
    return view_of(body, row_of(body, job, None), curve(), trades)


def stopped(**changes: Any) -> BacktestView:
    days = {"lived": 100, "asked": 420, "line": "figures are of the 100 days it lived, of 420"}
    return view(
        **{"stopped_at": "2024-02-09T00:00:00Z", "stop_reason": "the brake", "days": days, "trades": [], **changes}
    )


def test_curves_when_the_brake_ended_the_run_then_they_end_there_also_that_of_holding() -> None:
    found = stopped().curve
    assert ENDED_MS - 86_400_000 < found.at_ms[-1] <= ENDED_MS
    assert len(found.hold) == len(found.equity) == len(found.at_ms)
    assert float(found.hold.max()) < float(view().curve.hold.max())


def test_curves_when_positions_closed_after_the_brake_then_the_exit_is_in_them() -> None:
    late = {**record()["trades"][0], "exit_time": "2024-02-12T00:00:00Z"}
    assert stopped(trades=[late]).curve.at_ms[-1] > ENDED_MS


def test_words_when_the_brake_ended_the_run_then_date_and_days() -> None:
    found = stopped()
    assert found.lived == "stopped on 2024-02-09 after 100 of 420 days"
    assert found.stopped.startswith("Stopped on 2024-02-09 after 100 of 420 days (00:00 UTC), nothing was traded after")


def test_words_when_the_run_went_to_its_end_then_none() -> None:
    assert (view().lived, view().stopped) == ("", "")


LINE = "at twice the costs the brake stopped it on 2024-01-05 after 65 of 420 days; the figures are of these days"
DOUBLED = {**record()["double_costs"], "days": {"lived": 65, "asked": 420, "line": LINE}}


def test_words_when_twice_the_costs_ended_the_run_on_another_day_then_told() -> None:
    assert view(double_costs=DOUBLED).doubled_days == f"A{LINE[1:]}"


@pytest.mark.parametrize("double", [None, record()["double_costs"], {**DOUBLED, "days": {"line": ""}}])
def test_words_when_the_days_are_the_same_or_an_older_record_does_not_tell_them_then_none(double: Any) -> None:
    assert view(double_costs=double).doubled_days == ""


def test_verdict_when_a_record_tells_what_was_passed_then_apart_and_none_in_an_older_one() -> None:
    told = {**record()["verdict"], "passed": ["deflated Sharpe probability 1.00 after 1 trial"]}
    new, old = view(verdict=told).row.verdict, view().row.verdict
    assert new is not None
    assert old is not None
    assert (new.lead, new.passed) == ("What failed", ("deflated Sharpe probability 1.00 after 1 trial",))
    assert (old.lead, old.passed, old.reasons) == ("What failed", (), new.reasons)


def test_years_when_one_has_under_thirty_days_then_no_sharpe_ratio_and_why() -> None:
    found = {year.year: year for year in stopped(stopped_at="2024-01-10T00:00:00Z").years}
    assert (found[2024].sharpe, found[2024].reason) == (None, "under 30 days")
    assert (found[2023].sharpe, found[2023].reason) == (0.8, "")


def test_years_when_listed_then_newest_first_as_the_months() -> None:
    found = view()
    assert [year.year for year in found.years] == [year.year for year in found.months] == [2024, 2023]


def test_conditions_when_listed_then_titles_units_and_no_raw_times_or_nones() -> None:
    costs = {"name": "default", "taker_bps": "10", "carry_bars": 3, "volume_share": "0.05"}
    risk = {"mode": "conservative", "portfolio_drawdown": None, "daily_loss": "0.03", "price_band": "0.05"}
    found = dict(view(costs=costs, risk=risk, seconds=0.9761).conditions)
    assert found["Candles in all"] == "20,160"
    assert found["Made on"] == "2026-03-14 09:00 UTC"
    assert found["Computed in"] == "1.0 s"
    assert found["Costs: Fee of an order that takes (basis points)"] == "10"
    assert found["Costs: Further candles an unfilled rest may wait"] == "3"
    assert found["Costs: Most of a candle's volume one order may take"] == "5.00 %"
    assert found["Limits: Drawdown of the book that stops entries, % of peak"] == "by mode"
    assert found["Limits: Largest loss in a day, % of equity"] == "3.00 %"
    assert found["Candles: binance:BTC/USDT"].startswith(
        "1h, 10,080 candles, 2023-11-01 00:00 UTC to 2024-12-24 23:00 UTC"
    )
    assert not {"None", "True", "False"} & set(found.values())
    assert not [name for name in found if "_" in name]


@pytest.mark.parametrize(("folds", "mean"), [([2.84, 0.66, -0.6], 2.9 / 3), ([], None)])
def test_study_when_weighed_then_the_walk_forward_is_a_figure_of_its_own(
    folds: list[float], mean: float | None
) -> None:
    selection = {"walk_forward": folds, "k_fold": 1.83, "paths": [], "reason": "too few days"}
    body = {"overfitting": {"trials": 40, "pbo": 0.5}, "plateau": None, "selection": selection, "development": {}}
    found = {figure.key: figure for figure in figures_of(body)}
    if mean is None:
        assert (found["walk_forward"].value, found["walk_forward"].reason) == (None, "too few days")
    else:
        assert found["walk_forward"].value == pytest.approx(mean)
        assert "2.84, 0.66, \N{MINUS SIGN}0.60" in found["walk_forward"].meaning
    assert "Too kind" in found["k_fold"].meaning


def test_curve_when_the_run_ended_at_once_then_one_point_is_left() -> None:
    assert np.array_equal(stopped(stopped_at="2023-10-01T00:00:00Z").curve.equity, [10_000.0])
