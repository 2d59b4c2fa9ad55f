"""The backtest form's market impact and detail timeframe."""

from __future__ import annotations

from dataclasses import replace

from streamlit.testing.v1 import AppTest

from engine.domain.library_views import CoverageRow
from tests.pages.fake_console import FakeConsole
from tests.pages.page_runner import opened


class WithMinutes(FakeConsole):
    """A console whose store holds minutes of one coin beside the hours of all."""

    def coverage(self) -> tuple[CoverageRow, ...]:
        hours = super().coverage()
        return (*hours, replace(hours[0], timeframe="1m"))


def filled(console: FakeConsole, *series: str) -> AppTest:
    at = opened("research", console, research__tab="New backtest")
    return at.multiselect(key="research-series").set_value(list(series)).run()


def test_detail_when_minutes_of_every_instrument_are_held_then_they_can_be_chosen() -> None:
    console = WithMinutes()
    at = filled(console, "binance:BTC/USDT|1h")
    assert at.selectbox(key="research-detail").options == ["none: assume the worse path", "1m"]
    at.selectbox(key="research-detail").set_value("1m").run()
    at.number_input(key="research-impact").set_value(0.5).run()
    at.button(key="research").click().run()
    request = console.named("start_backtest")[0][0]
    assert (request["detail"], request["impact"]) == ("1m", "0.5")


def test_detail_when_one_instrument_has_none_then_it_cannot_be_chosen_and_is_not_asked_for() -> None:
    console = WithMinutes()
    at = filled(console, "binance:BTC/USDT|1h", "binance:ETH/USDT|1h")
    assert at.selectbox(key="research-detail").options == ["none: assume the worse path"]
    at.button(key="research").click().run()
    assert "detail" not in console.named("start_backtest")[0][0]
