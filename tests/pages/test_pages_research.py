"""The Research page: what it says first, what it asks the console for, and that untrusted notes stay text."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from engine.domain.commands import Role
from engine.domain.errors import BadInput
from engine.domain.research import BacktestView, Histogram, Standing
from engine.runtime.research_views import view_of
from pages import research_charts, research_result, theme
from tests.pages.fake_console import FakeConsole
from tests.pages.page_runner import button_keys, opened, problems, text
from tests.research_record import curve, record


def press(at: AppTest, key: str) -> AppTest:
    return at.button(key=key).click().run()


def filled(console: FakeConsole) -> AppTest:
    at = opened("research", console, research__tab="New backtest")
    return at.multiselect(key="research-series").set_value(["binance:BTC/USDT|1h"]).run()


# -- the result ------------------------------------------------------------------------------------------------------


def test_result_when_drawn_then_the_verdict_with_its_reasons_comes_before_every_figure() -> None:
    shown = text(opened("research", FakeConsole()))
    assert shown.index("Not distinguishable from luck") < shown.index("no study was made") < shown.index("Final equity")


DAYS = "At twice the costs the brake stopped it on 2024-01-05 after 65 of 420 days; the figures are of these days"


class Passing(FakeConsole):
    """Its run passed one test, and lived other days at twice the costs."""

    def backtest(self, run_id: str) -> BacktestView:
        found = super().backtest(run_id)
        assert found.row.verdict is not None
        verdict = replace(found.row.verdict, passed=("deflated Sharpe probability 1.00 after 1 trial",))
        return replace(found, row=replace(found.row, verdict=verdict), doubled_days=DAYS)


def test_verdict_when_some_tests_were_passed_then_they_stand_apart_after_what_failed() -> None:
    told = text(opened("research", Passing()))
    places = [told.index(one) for one in ("What failed:", "no study was made", "Passed, which alone", "after 1 trial")]
    assert places == sorted(places)
    assert "Passed, which alone" not in text(opened("research", FakeConsole()))


def test_twice_the_costs_when_the_brake_ended_it_on_another_day_then_said_beside_its_figures() -> None:
    assert DAYS in text(opened("research", Passing(), research__parts="Figures"))
    assert "the brake stopped it" not in text(opened("research", FakeConsole(), research__parts="Figures"))


@pytest.mark.parametrize(("run", "tone"), [("b-1", "warn"), ("b-2", "stop"), ("b-3", "good")])
def test_verdict_when_its_level_differs_then_so_does_its_colour(run: str, tone: str) -> None:
    at = opened("research", FakeConsole(), research__chosen=run)
    notices = [item.proto.body for item in at.html if "qd-notice" in item.proto.body]
    assert f'class="qd-notice {tone}"' in notices[0]


def test_verdict_when_settings_were_tried_since_then_their_number_stands_under_it() -> None:
    captions = [item.value for item in opened("research", FakeConsole()).caption]
    told = "Verdict as of 2026-03-14 09:00:00 UTC: 40 more settings were tried on these days since"
    assert any(one.startswith(told) for one in captions), captions


def test_verdict_when_any_standing_then_it_has_a_colour() -> None:
    assert set(research_result._TONES) == set(Standing)


def test_figures_when_one_is_undefined_then_a_dash_and_its_reason() -> None:
    assert "Payoff — — — — Average win over average loss. Undefined here: no trade has lost." in text(
        opened("research", FakeConsole())
    )


@pytest.mark.parametrize(
    ("tab", "words"),
    [
        (
            "Figures",
            ("Luck and overfitting", "1,000 runs with the same holding times", "At twice the costs", "11,409.10"),
        ),
        ("Trades", ("Entered, UTC", "105 rows", "▼ −42.50", "40,000.10")),
        ("Periods", ("By year", "Rising market", "2024", "▲ +15.90 %")),
        ("Costs and exits", ("Spread, slippage and impact", "66.7 % of all costs", "Stop 35 ▼ −1,487.50")),
        ("Costs and exits", ("3 wishes to open a position came to nothing",)),
        ("Conditions", ("Version of the program 0.1.0+1a2b3c", "Fast trend average (bars) 24", "sha256 ab12")),
    ],
)
def test_part_when_opened_then_shows_its_rows(tab: str, words: tuple[str, ...]) -> None:
    at = opened("research", FakeConsole(), research__parts=tab)
    assert problems(at) == ""
    assert [word for word in words if word not in text(at)] == []


@pytest.mark.parametrize(
    ("count", "words"),
    [(None, "was not counted"), (0, "No wish"), (1, "1 wish to open"), (1200, "1,200 wishes to open")],
)
def test_wishes_below_the_minimum_when_told_then_never_a_number_nobody_counted(count: int | None, words: str) -> None:
    assert words in research_result.below_minimum(count)


def test_hidden_parts_when_the_page_is_drawn_then_nothing_is_read_for_them() -> None:
    console = FakeConsole()
    opened("research", console)
    assert console.named("backtest_chart") == []
    assert console.named("backtest_trades") == []


def test_trades_when_filtered_and_ordered_then_the_console_does_it() -> None:
    console = FakeConsole()
    at = opened("research", console, research__parts="Trades")
    at.selectbox(key="research-trades-b-1-filter-order").set_value("worst").run()
    at.selectbox(key="research-trades-b-1-filter-outcome").set_value("lost").run()
    assert console.named("backtest_trades")[-1] == ("b-1", 1, 25, {"order": "worst", "outcome": "lost"})
    assert "35 rows" in text(at)


def test_trade_when_its_number_is_given_then_its_candles_are_asked_for() -> None:
    console = FakeConsole()
    at = opened("research", console, research__parts="Trades")
    at.number_input(key="research-trade-b-1").set_value(7).run()
    assert console.named("backtest_chart")[-1][2] == 7


def test_report_when_asked_for_then_one_file_to_save() -> None:
    at = press(opened("research", FakeConsole()), "research-report")
    assert "Save backtest-b-1.html" in " ".join(str(item.proto.label) for item in at.get("download_button"))


def test_report_when_the_page_is_refreshed_then_it_can_still_be_saved_until_another_run_is_chosen() -> None:
    at = press(opened("research", FakeConsole()), "research-report").run()
    assert "Save backtest-b-1.html" in " ".join(str(item.proto.label) for item in at.get("download_button"))
    at.selectbox(key="research-chosen").set_value("b-2").run()
    assert not at.get("download_button")


# -- the form --------------------------------------------------------------------------------------------------------


def test_form_when_sent_then_the_job_gets_everything_and_only_once() -> None:
    console = FakeConsole()
    at = filled(console)
    at.number_input(key="research-momentum-fast_bars").set_value(30)
    at.text_input(key="research-from").set_value(" 2021-01-01 ")
    button = at.button(key="research")
    button.click().run()
    button.click().run()
    assert console.named("start_backtest") == [
        (
            {
                "strategy": "momentum",
                "settings": {"fast_bars": 30},
                "series": [("binance:BTC/USDT", "1h")],
                "cash": "10000",
                "from": "2021-01-01",
                "to": "",
                "engine": "kernel",
                "brake": "",
                "costs": "default",
                "impact": "1",
            },
        )
    ]


def test_form_when_target_and_trailing_stop_are_given_then_only_those_are_sent() -> None:
    console = FakeConsole()
    at = filled(console)
    at.number_input(key="research-trail").set_value(1.5).run()
    press(at, "research")
    assert console.named("start_backtest")[0][0]["risk"] == {"trail": "1.5"}


def test_form_when_costs_are_plain_then_fee_and_slippage_are_asked_for() -> None:
    console = FakeConsole()
    at = filled(console)
    at.selectbox(key="research-costs").set_value("plain").run()
    at.number_input(key="research-fee").set_value(7.5).run()
    press(at, "research")
    request = console.named("start_backtest")[0][0]
    assert (request["costs"], request["fee_bps"], request["slippage_bps"]) == ("plain", "7.5", "0")


def test_form_when_no_series_is_chosen_then_blocked_by_name() -> None:
    button = opened("research", FakeConsole(), research__tab="New backtest").button(key="research")
    assert button.disabled
    assert button.help == "Choose at least one series of candles"


def test_form_when_nothing_is_chosen_then_the_reason_stands_on_the_page() -> None:
    assert "Choose at least one series of candles." in text(
        opened("research", FakeConsole(), research__tab="New backtest")
    )


@pytest.mark.parametrize("reason", ["cash 0 must be above 0", "from hello is not a day"])
def test_form_when_the_engine_cannot_use_it_then_its_words_and_no_button(reason: str) -> None:
    at = filled(FakeConsole(broken={"check_backtest": BadInput(reason)}))
    assert f"This cannot be started. {reason[:1].upper()}{reason[1:]}." in text(at)
    assert at.button(key="research").disabled
    assert problems(at) == ""


def test_form_when_days_are_the_wrong_way_round_then_said_before_the_start_and_gone_once_mended() -> None:
    at = filled(FakeConsole())
    at.text_input(key="research-from").set_value("2024-02-01")
    at.text_input(key="research-to").set_value("2024-01-01").run()
    assert "swap from and to" in text(at)
    assert at.button(key="research").disabled
    at.text_input(key="research-to").set_value("2024-03-01").run()
    assert "swap from and to" not in text(at)
    assert not at.button(key="research").disabled


def test_form_when_capital_is_nothing_then_the_engine_is_asked_about_it() -> None:
    console = FakeConsole()
    at = filled(console)
    at.number_input(key="research-cash").set_value(0).run()
    assert console.named("check_backtest")[-1][0]["cash"] == "0"
    at.number_input(key="research-cash").set_value(10).run()
    assert console.named("check_backtest")[-1][0]["cash"] == "10"


def test_form_when_it_was_refused_and_is_changed_then_the_refusal_goes() -> None:
    console = FakeConsole(broken={"start_backtest": BadInput("40 candles are stored; momentum needs 361")})
    at = press(filled(console), "research").run()
    assert "Not done. 40 candles are stored" in problems(at)
    at.text_input(key="research-from").set_value("2020-01-01").run()
    assert problems(at) == ""


def test_form_when_a_viewer_looks_then_it_cannot_be_sent() -> None:
    assert filled(FakeConsole(role=Role.VIEWER)).button(key="research").disabled


def test_form_when_refused_then_the_value_is_said() -> None:
    console = FakeConsole(broken={"start_backtest": BadInput("40 candles are stored; momentum needs 361")})
    assert "Not done. 40 candles are stored" in problems(press(filled(console), "research"))


def test_job_when_running_then_progress_time_left_and_cancel() -> None:
    console = FakeConsole()
    at = press(filled(console), "research")
    job = console.job_list[0].job_id
    assert "42 %" in at.get("progress")[0].proto.text
    assert "4 s left" in at.get("progress")[0].proto.text
    press(at, f"cancel-{job}")
    assert console.named("cancel_job") == [(job,)]


def test_run_when_it_was_started_here_and_is_done_then_it_is_the_one_shown() -> None:
    at = opened("research", FakeConsole(), research__follow="b-3", research__chosen="b-1")
    assert at.session_state["research-chosen"] == "b-3"
    assert "Distinguishable from luck" in text(at)


# -- history and comparison ------------------------------------------------------------------------------------------


def test_history_when_opened_then_ended_runs_with_notes_and_failures_with_their_reason() -> None:
    shown = text(opened("research", FakeConsole(), research__tab="History"))
    assert "wide stops <b>& caution" in shown
    assert "failed 40 candles are too few" in shown


def test_note_when_kept_then_handed_over_as_written() -> None:
    console = FakeConsole()
    at = opened("research", console, research__tab="History")
    at.text_area(key="research-note-b-1").set_value("try again with <script>").run()
    at = press(at, "research-note-keep")
    assert console.named("note_backtest") == [("b-1", "try again with <script>")]
    assert "The note is kept" in text(at)


def test_delete_when_confirmed_then_once_and_the_dialog_says_so() -> None:
    console = FakeConsole()
    at = press(opened("research", console, research__tab="History"), "research-delete-open")
    assert console.named("delete_backtest") == []
    at = press(at, "research-delete-now")
    assert console.named("delete_backtest") == [("b-1",)]
    assert "Backtest b-1 is deleted" in text(at)


def test_history_when_a_viewer_looks_then_neither_note_nor_delete() -> None:
    at = opened("research", FakeConsole(role=Role.VIEWER), research__tab="History")
    assert at.button(key="research-note-keep").disabled
    assert at.button(key="research-delete-open").disabled


class Stopped(FakeConsole):
    """A console whose runs the brake ended on their hundredth day."""

    def backtest(self, run_id: str) -> BacktestView:
        days = {"lived": 100, "asked": 420, "line": ""}
        body = record(stopped_at="2024-02-09T00:00:00Z", stop_reason="the brake", days=days)
        return view_of(body, super().backtest(run_id).row, curve(), ())


@pytest.mark.parametrize("tab", ["Result", "Compare"])
def test_run_when_the_brake_ended_it_then_the_page_says_when_and_after_how_many_days(tab: str) -> None:
    at = opened("research", Stopped(), research__tab=tab)
    if tab == "Compare":
        at = at.multiselect(key="research-compared").set_value(["b-1", "b-2"]).run()
    shown = text(at)
    assert "topped on 2024-02-09 after 100 of 420 days" in shown
    assert "held to the last" not in shown
    assert ("asked for 2023-11-01" in shown) is (tab == "Result")
    assert "◆" not in shown
    assert problems(at) == ""


def test_compare_when_drawn_then_verdicts_intervals_and_the_test_against_luck() -> None:
    at = opened("research", FakeConsole(), research__tab="Compare")
    shown = text(at.multiselect(key="research-compared").set_value(["b-1", "b-2"]).run())
    assert "Loses money after costs" in shown
    assert "−0.42 to 2.17" in shown
    assert "Deflated Sharpe 83.00 %" in shown
    assert "No figure is marked as the best" in shown


def test_compare_when_two_are_chosen_then_curves_figures_and_cautions() -> None:
    at = opened("research", FakeConsole(), research__tab="Compare")
    assert "Choose at least two" in text(at)
    at.multiselect(key="research-compared").set_value(["b-1", "b-2"]).run()
    shown = text(at)
    assert "They start with different cash or currencies" in shown
    assert "1 Trend momentum, BTC, ETH" in shown
    assert problems(at) == ""


@pytest.mark.parametrize("tab", ["Result", "History", "Compare"])
def test_note_when_it_holds_markup_then_it_is_shown_not_obeyed(tab: str) -> None:
    at = opened("research", FakeConsole(), research__tab=tab)
    assert not any("<b>& caution" in str(item.proto.body) for item in (*at.html, *at.markdown))


def test_page_when_the_first_backtest_is_under_way_then_said_in_place_of_there_being_none() -> None:
    console = FakeConsole(empty=True)
    console.start_backtest("b-1", {})
    shown = text(opened("research", console))
    assert "The first backtest is under way" in shown
    assert "No backtest yet" not in shown
    assert "Nothing to test yet" not in shown


def test_page_when_there_is_no_backtest_then_compare_and_history_teach() -> None:
    assert "Two backtests with a result are needed" in text(
        opened("research", FakeConsole(empty=True), research__tab="Compare")
    )
    assert "Start one under New backtest" in text(opened("research", FakeConsole(empty=True), research__tab="History"))
    assert "research-delete-open" not in button_keys(
        opened("research", FakeConsole(empty=True), research__tab="History")
    )


# -- figures ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def dark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(theme, "is_dark", lambda: True)


@pytest.mark.usefixtures("dark")
def test_trade_chart_when_drawn_then_entries_exits_and_stops_are_named() -> None:
    chart = FakeConsole().backtest_chart("b-1", FakeConsole().backtest("b-1").row.instruments[0], None)
    figure = research_charts.trades(chart)
    names = {trace["name"]: trace for trace in figure["data"]}
    assert {"Price", "Entry", "Exit", "Stop", "Won", "Lost"} <= set(names)
    assert len(names["Entry"]["x"]) == len(chart.trades)
    assert set(names["Stop"]["y"]) == {39200.0, None}


@pytest.mark.usefixtures("dark")
@pytest.mark.parametrize(("most", "kind"), [(2.0, None), (30.0, "log")])
def test_growth_when_it_spans_more_than_ten_times_then_the_scale_is_logarithmic(most: float, kind: str | None) -> None:
    compared = FakeConsole().compare_backtests(["b-1", "b-2"])
    curves = tuple(replace(run, values=np.linspace(0.0, most, len(run.values))) for run in compared.curves)
    figure = research_charts.growth(replace(compared, curves=curves))
    assert figure["layout"]["yaxis"].get("type") == kind
    assert float(figure["data"][0]["y"][-1]) == (most if kind is None else most + 1)


@pytest.mark.usefixtures("dark")
def test_trade_chart_when_trades_crowd_then_only_entries_are_marked_faintly() -> None:
    chart = FakeConsole().backtest_chart("b-1", FakeConsole().backtest("b-1").row.instruments[0], None)
    many = research_charts.trades(replace(chart, trades=chart.trades * 5))
    assert {trace["name"] for trace in many["data"]} == {"Price", "Volume", "Won", "Lost", "Entry"}
    marker = next(trace for trace in many["data"] if trace["name"] == "Entry")["marker"]
    assert (marker["size"], marker["opacity"]) == (3, 0.5)


@pytest.mark.usefixtures("dark")
def test_trade_chart_when_no_trade_lies_in_it_then_only_candles() -> None:
    chart = FakeConsole().backtest_chart("b-1", FakeConsole().backtest("b-1").row.instruments[0], None)
    assert {trace["name"] for trace in research_charts.trades(replace(chart, trades=()))["data"]} == {"Price", "Volume"}


@pytest.mark.usefixtures("dark")
def test_distribution_when_drawn_then_wins_and_losses_have_colours_of_their_own() -> None:
    bars = research_charts.results(Histogram(np.array([-0.02, 0.0, 0.02]), np.array([3, 5])))["data"][0]
    assert bars["marker"]["color"] == [theme.DARK.down, theme.DARK.up]


def test_result_when_the_candles_lack_something_then_said_before_any_figure() -> None:
    console = FakeConsole()
    view = console.backtest("b-1")
    console.backtest = lambda run_id: replace(view, remarks=("BTC/USDT: 3 candles of 1h missing in 1 hole.",))  # type: ignore[method-assign]
    said = text(opened("research", console))
    assert 0 < said.index("3 candles of 1h missing in 1 hole") < said.index("Final equity")
