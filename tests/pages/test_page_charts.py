"""Charts: the levels of a position are all drawn and their labels never lie on each other."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from engine.domain.instruments import InstrumentKey
from engine.domain.views import TradeChart
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
