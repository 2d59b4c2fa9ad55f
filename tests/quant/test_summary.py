"""Figures of a run: the reference numbers, per year, per regime, and a reason wherever there is none."""

from __future__ import annotations

import math
from dataclasses import fields

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.quant import performance, summary
from engine.quant.resampling import Resampling
from engine.quant.summary import Measure, Summary, summarise
from tests.quant.reference import assert_close, case_of, reference
from tests.shared_data import shared_path

YEAR = np.random.default_rng(8).normal(0.002, 0.03, 365)


def _undefined(measure: Measure) -> str:
    assert measure.value is None
    return measure.reason


def _value(measure: Measure) -> float:
    assert measure.value is not None
    assert measure.reason == ""
    return measure.value


def test_summary_when_compared_with_reference_then_equal_and_half_a_year_is_not_annualised() -> None:
    content = reference("performance_metrics")
    case = case_of(content, "synthetic_t4_180_daily365")
    found = summarise(case["inputs"]["returns"], case["inputs"]["periods_per_year"])
    expected = case["expected"]["empyrical"]
    pairs = {
        "sharpe": "sharpe",
        "sortino": "sortino_req0",
        "volatility": "annual_vol",
        "net_return": "total_return",
        "max_drawdown": "max_drawdown",
    }
    for name, key in pairs.items():
        assert_close(_value(getattr(found, name)), expected[key], content["tolerance"])
    assert expected["calmar"] > 37
    assert _undefined(found.calmar) == _undefined(found.cagr) == "180 days are less than a year; see the net return"


def test_summary_when_all_returns_are_gains_then_reasons_instead_of_infinity() -> None:
    content = reference("performance_metrics")
    case = case_of(content, "all_positive_5")
    found = summarise(case["inputs"]["returns"])
    assert_close(_value(found.sharpe), case["expected"]["empyrical"]["sharpe"], content["tolerance"])
    assert _undefined(found.sortino) == "no return was below 0"
    assert _value(found.max_drawdown) == 0.0
    assert _undefined(summarise(np.full(400, 0.001)).calmar) == "there was no drawdown"


def test_drawdown_spells_when_compared_with_ffn_then_equal() -> None:
    content = reference("performance_metrics")
    case = case_of(content, "price_path_11")
    close = np.array(case["inputs"]["close"], dtype=np.float64)
    spells = summary.drawdown_spells(close[1:] / close[:-1] - 1.0)
    expected = case["expected"]["ffn_drawdown_details"]
    assert_close([spell.depth for spell in spells], [row["drawdown"] for row in expected], content["tolerance"])
    # return i lies between the prices of day i + 1 and i + 2 of January
    assert [f"2024-01-{spell.start + 2:02d}" for spell in spells] == [row["Start"] for row in expected]
    assert [f"2024-01-{(spell.recovered or 0) + 2:02d}" for spell in spells] == [row["End"] for row in expected]
    assert [float(spell.bars) for spell in spells] == [row["Length"] for row in expected]
    assert min(spell.depth for spell in spells) == pytest.approx(case["expected"]["max_drawdown"])


def test_drawdown_spells_when_the_last_has_not_ended_then_open() -> None:
    (spell,) = summary.drawdown_spells([0.1, -0.2, -0.1, 0.05])
    assert (spell.start, spell.trough, spell.recovered, spell.bars) == (1, 2, None, 3)
    assert summary.drawdown_spells([]) == ()


@settings(max_examples=50, deadline=None)
@given(returns=st.lists(st.floats(-0.5, 0.5), min_size=1, max_size=60))
def test_drawdown_spells_when_found_then_they_hold_every_bar_under_water(returns: list[float]) -> None:
    spells = summary.drawdown_spells(returns)
    falls = performance.drawdowns(returns)
    under = [bar for spell in spells for bar in range(spell.start, spell.start + spell.bars)]
    assert under == np.flatnonzero(falls < 0.0).tolist()
    assert min((spell.depth for spell in spells), default=0.0) == performance.max_drawdown(returns)
    longest = _value(summarise(returns).longest_drawdown_bars)
    assert longest == max((spell.bars for spell in spells), default=0)


def test_summary_when_a_year_is_complete_then_the_plain_functions() -> None:
    found = summarise(YEAR)
    assert _value(found.cagr) == performance.cagr(YEAR)
    assert _value(found.calmar) == pytest.approx(performance.calmar(YEAR))
    assert found.bars == 365


@pytest.mark.parametrize(
    ("returns", "word"), [([], "no returns"), ([0.1], "one return only"), ([0.1] * 5, "never vary")]
)
def test_summary_when_there_is_too_little_then_sharpe_says_why(returns: list[float], word: str) -> None:
    assert word in _undefined(summarise(returns).sharpe)


def test_summary_when_there_is_nothing_then_every_figure_says_why() -> None:
    found = summarise([])
    assert all(_undefined(getattr(found, field.name)) for field in fields(Summary) if field.name != "bars")


def test_summary_when_more_than_everything_is_lost_then_growth_is_undefined() -> None:
    assert _undefined(summarise([-1.5, *([0.01] * 400)]).cagr) == "more than everything was lost"


@settings(max_examples=40, deadline=None)
@given(returns=st.lists(st.floats(-0.9, 0.9), max_size=30))
def test_summary_when_made_then_every_figure_is_finite_or_has_a_reason(returns: list[float]) -> None:
    found = summarise(returns)
    for field in fields(Summary):
        measure = getattr(found, field.name)
        if field.name != "bars":
            assert (measure.value is None) == bool(measure.reason)
            assert measure.value is None or math.isfinite(measure.value)


@pytest.mark.parametrize("bad", [math.nan, -math.inf])
def test_summary_when_a_return_is_not_finite_then_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="index 1"):
        summarise([0.1, bad])


@pytest.mark.parametrize("periods", [0.0, -1.0, math.nan, math.inf])
def test_summary_when_periods_are_impossible_then_refused(periods: float) -> None:
    with pytest.raises(ValueError, match="periods_per_year"):
        summarise([0.1], periods)


def test_years_when_bars_open_around_new_year_then_each_in_its_own() -> None:
    new_year = 1_609_459_200_000  # 2021-01-01 00:00 UTC
    assert summary.calendar_years([new_year - 1, new_year]).tolist() == [2020, 2021]
    assert summary.calendar_years([951_782_400_000, -1]).tolist() == [2000, 1969]
    with pytest.raises(ValueError, match="2 dimensions"):
        summary.calendar_years([[0]])


def test_by_year_when_summarised_then_each_year_alone() -> None:
    returns = np.concatenate((YEAR, YEAR[::-1], YEAR[:30]))
    years = [2021] * 365 + [2022] * 365 + [2023] * 30
    found = summary.summarise_by(returns, years)
    assert list(found) == [2021, 2022, 2023]
    assert found[2021] == summarise(YEAR)
    assert found[2022] == summarise(YEAR[::-1])
    assert "30 days are less than a year" in _undefined(found[2023].cagr)
    together = np.prod([1.0 + _value(each.net_return) for each in found.values()]) - 1.0
    assert together == pytest.approx(performance.total_return(returns))


def test_by_year_when_bitcoin_is_measured_then_the_published_passive_ratios() -> None:
    hours = pd.read_parquet(shared_path("data/spot_binance/BTC_USDT-1h.parquet"), columns=["timestamp", "close"])
    days = hours.groupby(hours["timestamp"] // 86_400_000)["close"].last().pct_change().dropna()
    years = summary.calendar_years(days.index.to_numpy() * 86_400_000)
    found = summary.summarise_by(days.to_numpy(), years.tolist())
    published = {2018: -1.13, 2019: 1.31, 2020: 2.25, 2021: 0.98, 2022: -1.29, 2023: 2.35, 2024: 1.76, 2025: 0.05}
    for year, sharpe in published.items():
        assert _value(found[year].sharpe) == pytest.approx(sharpe, abs=0.005)
    inside_2022 = days.to_numpy()[years == 2022][1:]  # from its first close to its last
    assert _value(summarise(inside_2022).calmar) == pytest.approx(-0.978, abs=5e-4)
    assert _value(summarise(days.to_numpy()).max_drawdown) == pytest.approx(-0.81, abs=0.005)


def test_by_regime_when_its_bars_have_gaps_then_what_needs_their_sequence_is_undefined() -> None:
    found = summary.summarise_by(YEAR, ["calm", "wild"] * 182 + ["calm"])
    for measure in (found["calm"].max_drawdown, found["calm"].cagr, found["calm"].calmar):
        assert _undefined(measure) == "its bars do not follow one another"
    assert _value(found["calm"].sharpe) == performance.sharpe(YEAR[::2])


def test_by_label_when_numbers_differ_then_refused() -> None:
    with pytest.raises(ValueError, match="2 labels for 1 returns"):
        summary.summarise_by([0.1], ["a", "b"])


def test_intervals_when_drawn_then_reproducible_around_the_figures() -> None:
    plan = Resampling(resamples=200, seed=5)
    found = summary.summary_intervals(YEAR, plan=plan)
    assert found == summary.summary_intervals(YEAR, plan=plan)
    measured = summarise(YEAR)
    for name, interval in found.items():
        assert interval.estimate == pytest.approx(_value(getattr(measured, name)))
        assert interval.low < interval.high
    assert set(found) == {"net_return", "cagr", "volatility", "sharpe", "sortino", "calmar", "max_drawdown"}


def test_intervals_when_figures_are_undefined_then_they_have_none() -> None:
    assert set(summary.summary_intervals([0.0] * 20)) == {"net_return", "volatility", "max_drawdown"}


@pytest.mark.parametrize(
    ("count", "per_year", "said"),
    [(3_000, 8_760.0, "125 days are"), (3, 8_760.0, "1 day is"), (200, 365.0, "200 days are")],
)
def test_growth_when_the_run_is_short_then_days_are_counted_whatever_a_bar_is(
    count: int, per_year: float, said: str
) -> None:
    growth = summary.summarise([0.001, -0.001] * (count // 2) + [0.0] * (count % 2), per_year).cagr
    assert _undefined(growth) == f"{said} less than a year; see the net return"
