"""Charts: the levels of a position are all drawn and their labels never lie on each other."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from engine.domain.instruments import InstrumentKey
from engine.domain.views import Series, TradeChart
from engine.runtime.titles import place_of
from pages import charts, theme
from tests.pages import fake_rows

KEY = InstrumentKey("demo-a:BTC/USDT")


@pytest.fixture
def chart(monkeypatch: pytest.MonkeyPatch) -> TradeChart:
    monkeypatch.setattr(theme, "is_dark", lambda: True)
    return fake_rows.trade_chart(KEY, 50, ())


def test_candles_when_stop_entry_and_target_are_close_then_their_labels_stand_side_by_side(chart: TradeChart) -> None:
    layout = charts.candles(replace(chart, entry_price=100.0, stop_price=100.0, target_price=100.0))["layout"]
    assert [label["text"].split()[0] for label in layout["annotations"]] == ["entry", "stop", "target"]
    places = sorted(label["x"] for label in layout["annotations"])
    assert all(after - before > 0.3 for before, after in pairwise(places))
    assert {label["bgcolor"] for label in layout["annotations"]} == {theme.DARK.panel}


def test_candles_when_there_is_no_position_then_no_level(chart: TradeChart) -> None:
    layout = charts.candles(replace(chart, entry_price=None, stop_price=None, target_price=None))["layout"]
    assert (layout["shapes"], layout["annotations"]) == ([], [])


def test_equity_when_rearmed_then_a_named_rule_stands_at_each(chart: TradeChart) -> None:
    curve = fake_rows.equity_curve(400)
    whole = int(curve.at_ms[-1] - curve.at_ms[0])
    rearmed = tuple(int(curve.at_ms[0]) + whole * share // 10 for share in (2, 6))
    layout = charts.equity(replace(curve, rearmed_ms=rearmed))["layout"]
    assert [(rule["x0"], rule["x1"]) for rule in layout["shapes"]] == [(at, at) for at in rearmed]
    assert [(label["x"], label["text"]) for label in layout["annotations"]] == [(at, "re-armed") for at in rearmed]


def test_equity_when_rearmed_twice_in_a_moment_then_both_rules_and_one_name(chart: TradeChart) -> None:
    curve = fake_rows.equity_curve(400)
    last = int(curve.at_ms[-1])
    layout = charts.equity(replace(curve, rearmed_ms=(last - 60_000, last)))["layout"]
    assert len(layout["shapes"]) == 2
    assert [(label["x"], label["xanchor"]) for label in layout["annotations"]] == [(last, "right")]


def test_equity_when_never_rearmed_then_no_rule(chart: TradeChart) -> None:
    layout = charts.equity(fake_rows.equity_curve(400))["layout"]
    assert (layout["shapes"], layout["annotations"]) == ([], [])


def test_equity_when_flat_then_its_axes_are_fine_enough_and_show_no_gain_as_drawdown(chart: TradeChart) -> None:
    curve = fake_rows.equity_curve(50)
    flat = replace(curve, equity=np.full(50, 10_000.0), drawdown=np.zeros(50))
    layout = charts.equity(flat)["layout"]
    assert layout["yaxis"]["tickformat"] == ",.6~f"
    assert layout["yaxis2"]["range"] == [-0.01, 0]
    assert "range" not in charts.equity(curve)["layout"]["yaxis2"]


def test_lines_when_another_joins_then_each_keeps_its_colour(chart: TradeChart) -> None:
    before = fake_rows.equity_curve(10).sleeves
    names = [item.name for item in before]
    after = (replace(before[0], name="manual"), *before)

    def colours(series: tuple[Series, ...]) -> dict[str, str]:
        figure = charts.lines(series, places=[place_of(item.name) for item in series])
        return {trace["name"]: trace["line"]["color"] for trace in figure["data"]}

    assert {name: colours(after)[name] for name in names} == colours(before)
    assert len(set(colours(after).values())) == len(after)
