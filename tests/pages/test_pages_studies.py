"""Studies on the Research page: the form, a running, a finished, a stopped and a refused one, and the one look."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

import pytest
import streamlit
from streamlit.testing.v1 import AppTest

from engine.domain.commands import Role
from engine.domain.errors import BadInput
from engine.domain.studies import StudyView, TrialEnd
from engine.domain.views import JobState
from pages import research_study_best, research_study_charts, theme
from tests.pages.fake_console import FakeConsole
from tests.pages.page_runner import button_keys, opened, problems, text


def shown(console: FakeConsole, **state: object) -> AppTest:
    return opened("research", console, research__part="Studies", **state)


def press(at: AppTest, key: str) -> AppTest:
    return at.button(key=key).click().run()


def filled(console: FakeConsole) -> AppTest:
    at = shown(console, study__tab="New study")
    return at.multiselect(key="study-series").set_value(["binance:BTC/USDT|1h"]).run()


# -- the form --------------------------------------------------------------------------------------------------------


def test_form_when_sent_then_the_job_gets_everything_and_only_once() -> None:
    console = FakeConsole()
    at = filled(console)
    at.number_input(key="study-sma_cross-fast_bars-high").set_value(60)
    at.toggle(key="study-sma_cross-slow_bars-searched").set_value(False).run()
    at.number_input(key="study-sma_cross-slow_bars").set_value(90)
    at.number_input(key="study-trials").set_value(40)
    at.number_input(key="study-workers").set_value(2).run()
    button = at.button(key="study")
    button.click().run()
    button.click().run()
    (request,) = console.named("start_study")[0]
    assert len(console.named("start_study")) == 1
    assert request["ranges"] == {"fast_bars": "1:60"}
    assert request["fixed"] == {"slow_bars": 90, "share": "5%"}
    assert request["series"] == [("binance:BTC/USDT", "1h")]
    assert (request["study"], request["trials"], request["workers"]) == ("sma_cross-ab12", 40, 2)
    assert (request["impact"], "detail" in request) == ("1", False)
    assert (request["folds"], request["embargo_days"], request["seed"], request["cash"]) == (4, 1, 0, "10000")
    assert "holdout is not looked at by the search" in text(at)


def test_form_when_nothing_is_searched_then_said_before_it_can_be_started() -> None:
    at = filled(FakeConsole())
    for name in ("fast_bars", "slow_bars"):
        at.toggle(key=f"study-sma_cross-{name}-searched").set_value(False)
    at.run()
    assert at.button(key="study").disabled
    assert "This cannot be started. Every setting is fixed" in text(at)


def test_form_when_a_choice_is_searched_then_all_of_it_is_tried() -> None:
    console = FakeConsole()
    at = filled(console)
    at.toggle(key="study-sma_cross-share-searched").set_value(True).run()
    assert "all of 1%, 5%" in text(at)
    assert console.named("plan_study")[-1][0]["fixed"] == {}


@pytest.mark.parametrize("reason", ["trials 0 is not a whole number from 1", "there is a study x with another seed"])
def test_form_when_the_engine_cannot_use_it_then_its_words_and_no_button(reason: str) -> None:
    at = filled(FakeConsole(broken={"plan_study": BadInput(reason)}))
    assert reason[1:] in text(at)
    assert at.button(key="study").disabled
    assert problems(at) == ""


def test_form_when_a_cluster_is_set_then_it_is_named_and_no_processes_are_asked_for() -> None:
    at = filled(FakeConsole(scheduler="tcp://10.0.0.5:8786"))
    assert "Dask cluster tcp://10.0.0.5:8786" in text(at)
    assert all(item.key != "study-workers" for item in at.number_input)


def test_form_when_no_series_is_chosen_or_a_viewer_looks_then_blocked() -> None:
    button = shown(FakeConsole(), study__tab="New study").button(key="study")
    assert (button.disabled, button.help) == (True, "Choose at least one series of candles")
    assert "Choose at least one series of candles." in text(shown(FakeConsole(), study__tab="New study"))
    assert filled(FakeConsole(role=Role.VIEWER)).button(key="study").disabled


def test_form_when_the_name_is_one_that_exists_then_it_says_that_it_goes_on() -> None:
    at = filled(FakeConsole())
    at.text_input(key="study-name").set_value("s-1").run()
    assert "Study s-1 exists with 26 trials" in text(at)


@pytest.mark.parametrize("tab", ["New study", "Result"])
def test_part_whose_fields_change_when_drawn_then_the_page_itself_clears_what_is_gone(
    monkeypatch: pytest.MonkeyPatch, tab: str
) -> None:
    """Fields of the strategy chosen before stay in the browser when a part that is redrawn alone is not cleared."""
    apart: list[str] = []

    def noted(draw: Callable[..., None], **how: float) -> Callable[..., None]:
        apart.append(f"{draw.__module__}.{draw.__qualname__}")
        return draw

    monkeypatch.setattr(streamlit, "fragment", noted)
    shown(FakeConsole(), study__tab=tab)
    assert "pages.jobs._begun" in apart or tab == "Result"
    assert not {"pages.research_study_form.draw", "pages.research_studies._result"} & set(apart)


# -- running and stopped ---------------------------------------------------------------------------------------------


def test_job_when_running_then_progress_time_left_and_cancel() -> None:
    console = FakeConsole()
    at = press(filled(console), "study")
    job = console.job_list[0].job_id
    assert "4 s left" in at.get("progress")[0].proto.text
    press(at, f"cancel-{job}")
    assert console.named("cancel_job") == [(job,)]


def test_cancel_when_the_study_goes_on_in_another_job_then_the_old_answer_is_gone() -> None:
    console = FakeConsole()
    at = press(filled(console), "study")
    first = console.job_list[0]
    at = press(at, f"cancel-{first.job_id}")
    assert "Asked to stop" in text(at)
    console.job_list[0] = replace(first, state=JobState.CANCELLED)
    console.continue_study("another", "s-2", 30)
    at.run()
    assert "cancel-another" in button_keys(at)
    assert "Asked to stop" not in text(at)


def test_page_when_the_first_study_is_under_way_then_said_in_place_of_there_being_none() -> None:
    console = FakeConsole(empty=True)
    console.continue_study("first", "s-2", 30)
    shown_text = text(shown(console))
    assert "The first study is under way" in shown_text
    assert "Nothing to study yet" not in shown_text


def test_study_when_running_then_what_is_known_so_far() -> None:
    at = shown(FakeConsole(), study__chosen="s-4")
    assert "It is running: so far" in text(at)
    assert "11 of 30" in text(at)
    assert "study-continue-s-4" not in button_keys(at)


def test_study_when_stopped_then_one_button_goes_on_with_it() -> None:
    console = FakeConsole()
    at = shown(console, study__chosen="s-2")
    assert "It was stopped; 11 of 30 trials are stored. Nothing is lost" in text(at)
    press(at, "study-continue-s-2")
    assert console.named("start_study") == [("continue", "s-2", 30)]


def test_study_when_it_failed_before_a_trial_then_why_and_nothing_else() -> None:
    at = shown(FakeConsole(), study__chosen="s-3")
    assert "It failed. 40 candles are too few" in text(at)
    assert problems(at) == ""
    assert len(at.get("plotly_chart")) == 0


# -- a finished one --------------------------------------------------------------------------------------------------


def test_result_when_drawn_then_verdict_then_doubts_then_the_best() -> None:
    body = text(shown(FakeConsole()))
    places = [body.index(words) for words in (
        "Not distinguishable from luck", "lies at the edge", "Sharpe on later days", "Best objective", "27 ",
    )]  # fmt: skip
    assert places == sorted(places)
    assert "trial number 16, counted from 0 with refused ones; chosen, so too good" in body
    assert "2 versions of the program" in body


@pytest.mark.parametrize(
    ("tab", "words"),
    [
        ("Settings", ("Nothing was measured between them", "All settings side by side")),
        ("Days", ("Walk-forward", "1.40 ▲ 0.50", "▼ −0.20", "Slow average (bars) 500")),
        ("Trials", ("30 rows", "abandoned", "Fast <i> must be shorter", "◆ 16")),
        (
            "Doubts",
            ("31.00 %", "luck alone gives the best of 27 trials", "2 purged paths", "Undefined here"),
        ),
        ("Best", ("Settings of trial 16", "These days chose the settings", "Slow average (bars) 500")),
        ("Holdout", ("This study has not looked at its holdout, 2023-08-30 up to 2023-10-28 UTC, 59 days",)),
        ("Conditions", ("Annualised Sharpe ratio", "Costs: Fee of an order that takes (basis points) 7.5")),
    ],
)
def test_part_when_opened_then_shows_what_the_engine_found(tab: str, words: tuple[str, ...]) -> None:
    at = shown(FakeConsole(), study__parts=tab)
    assert problems(at) == ""
    assert [word for word in words if word.casefold() not in text(at).casefold()] == []


def test_trials_when_filtered_and_ordered_then_the_console_does_it() -> None:
    console = FakeConsole()
    at = shown(console, study__parts="Trials")
    at.selectbox(key="study-trials-s-1-filter-state").set_value("refused").run()
    at.selectbox(key="study-trials-s-1-filter-order").set_value("best").run()
    assert console.named("study_trials")[-1] == ("s-1", 1, 25, {"order": "best", "state": "refused"})
    assert "3 rows" in text(at)


def test_hidden_parts_when_the_page_is_drawn_then_nothing_is_read_for_them() -> None:
    console = FakeConsole()
    shown(console)
    assert console.named("study_trials") == []
    assert console.named("backtests") == []


def test_best_when_used_then_the_form_of_a_backtest_holds_it_and_is_open() -> None:
    at = press(shown(FakeConsole(), study__parts="Best"), "study-use")
    state = at.session_state
    assert (state["research-part"], state["research-tab"]) == ("Backtests", "New backtest")
    assert state["research-strategy"] == "sma_cross"
    assert state["research-series"] == ["binance:BTC/USDT|1h"]
    assert (state["research-sma_cross-fast_bars"], state["research-sma_cross-slow_bars"]) == (18, 500)
    assert state["research-to"] == "2023-08-29T00:00:00Z"
    assert (state["research-costs"], state["research-fee"], state["research-brake"]) == ("plain", 7.5, "off")


def test_holdout_when_confirmed_then_asked_for_once() -> None:
    console = FakeConsole()
    at = press(shown(console, study__parts="Holdout"), "study-look-open")
    assert console.named("start_study") == []
    assert "This can be done once" in text(at)
    press(at, "study-look-s-1")
    assert console.named("start_study") == [("look", "s-1")]


def test_holdout_when_the_look_ends_then_the_open_window_says_so_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    redrawn: list[Callable[..., None]] = []

    def live(draw: Callable[..., None], every_s: float = 1.0) -> Callable[..., None]:
        redrawn.append(draw)
        return draw

    monkeypatch.setattr(research_study_best, "live", live)
    console = FakeConsole()
    at = press(shown(console, study__parts="Holdout"), "study-look-open")
    assert redrawn == []
    at = press(at, "study-look-s-1")
    assert "It is under way" in text(at)
    assert redrawn == [research_study_best._came] * len(redrawn) != []
    console.looked = True
    at.run()
    assert "It was looked at; Holdout shows what was seen" in text(at)
    assert "has not looked at its holdout" not in text(at)


def test_holdout_when_the_look_was_asked_for_then_the_page_behind_is_drawn_anew_once() -> None:
    console = FakeConsole()
    at = press(shown(console, study__parts="Holdout"), "study-look-open")
    before = len(console.named("studies"))
    at.run()
    once = len(console.named("studies")) - before
    at = press(at, "study-look-s-1")
    assert len(console.named("studies")) - before - once == 2 * once
    at.run()
    assert len(console.named("studies")) - before - once == 3 * once


def test_holdout_when_it_was_looked_at_then_date_and_result_and_no_button() -> None:
    at = shown(FakeConsole(looked=True), study__parts="Holdout")
    body = text(at)
    assert "Looked at once, on 2026-03-14" in body
    assert "11,832.25 USDT" in body
    assert "Fast average (bars) 18" in body
    assert "study-look-open" not in button_keys(at)


def test_holdout_when_not_judged_or_a_viewer_looks_then_blocked() -> None:
    button = shown(FakeConsole(), study__chosen="s-2", study__parts="Holdout").button(key="study-look-open")
    assert button.disabled
    assert "not judged yet" in button.help
    assert shown(FakeConsole(role=Role.VIEWER), study__parts="Holdout").button(key="study-look-open").disabled


def test_record_when_asked_for_then_a_file_to_save() -> None:
    at = press(shown(FakeConsole()), "study-record")
    assert "Save quarterdeck-study-s-1.json" in " ".join(str(item.proto.label) for item in at.get("download_button"))


# -- history ---------------------------------------------------------------------------------------------------------


def test_history_when_opened_then_every_study_with_its_state_and_note_as_text() -> None:
    at = shown(FakeConsole(), study__tab="History")
    body = text(at)
    assert "narrow the slow one <b>& see" in body
    assert not any("<b>& see" in str(item.proto.body) for item in (*at.html, *at.markdown))
    assert "failed 40 candles are too few" in body
    assert "11 of 30" in body


def test_history_when_noted_and_put_away_then_the_console_is_told() -> None:
    console = FakeConsole()
    at = shown(console, study__tab="History")
    at.text_area(key="study-note-s-1").set_value("look at <script>").run()
    at = press(at, "study-note-keep")
    assert console.named("note_study") == [("s-1", "look at <script>")]
    at = press(at, "study-archive")
    assert console.named("archive_study") == [("s-1", True)]
    assert "Study s-1 is put away" in text(at)


def test_page_when_there_is_no_study_then_it_teaches() -> None:
    assert "Nothing to study yet" in text(shown(FakeConsole(empty=True)))
    assert "Start one under New study" in text(shown(FakeConsole(empty=True), study__tab="History"))
    assert "Import candles first" in text(shown(FakeConsole(empty=True), study__tab="New study"))


# -- figures ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def view(monkeypatch: pytest.MonkeyPatch) -> StudyView:
    monkeypatch.setattr(theme, "is_dark", lambda: True)
    return FakeConsole().study("s-1")


def test_objective_when_drawn_then_every_trial_is_there_and_the_best_never_falls(view: StudyView) -> None:
    traces = {trace["name"]: trace for trace in research_study_charts.objective(view.trials)["data"]}
    assert sum(len(traces[name]["x"]) for name in ("Complete", "Abandoned", "Refused")) == len(view.trials)
    assert all(left <= right for left, right in itertools.pairwise(traces["Best so far"]["y"]))


def test_map_when_drawn_then_only_measured_points_and_the_scale_of_the_search(view: StudyView) -> None:
    figure = research_study_charts.two_settings(view, 0, 1)
    traces = {trace["name"]: trace for trace in figure["data"]}
    complete = [one for one in view.trials if one.end is TrialEnd.COMPLETE]
    assert {trace["type"] for trace in figure["data"]} == {"scatter"}
    assert list(traces["Complete"]["x"]) == [one.settings[0] for one in complete]
    assert traces["Complete"]["marker"]["color"] == [one.objective for one in complete]
    assert (figure["layout"]["xaxis"]["type"], figure["layout"]["yaxis"]["type"]) == ("linear", "log")
    assert traces["Best"]["x"] == [18]


def test_lines_when_drawn_then_each_complete_trial_once_and_the_best_on_top(view: StudyView) -> None:
    figure = research_study_charts.side_by_side(view)
    lines = [trace for trace in figure["data"] if trace["name"] == "Complete"]
    complete = sum(one.end is TrialEnd.COMPLETE for one in view.trials)
    assert sum(trace["x"].count(None) for trace in lines) == complete
    assert figure["data"][-1]["name"] == "Best"
    assert figure["data"][-1]["x"][-2] == 1.0


def test_lines_when_there_are_hundreds_then_all_but_the_best_are_faint(view: StudyView) -> None:
    def clearness(found: StudyView) -> list[float]:
        lines = [trace for trace in research_study_charts.side_by_side(found)["data"] if trace["name"] == "Complete"]
        return [float(trace["line"]["color"].rstrip(")").split(",")[3]) for trace in lines]

    assert set(clearness(view)) == {0.75}
    many = clearness(replace(view, trials=view.trials * 30))
    assert many[0] < 0.15 < many[-1] == 0.75
    assert many == sorted(many)


def test_two_settings_when_light_then_no_colour_near_that_of_the_ground(
    view: StudyView, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(theme, "is_dark", lambda: False)
    figure = research_study_charts.two_settings(view, 0, 1)
    marker = next(trace for trace in figure["data"] if trace["name"] == "Complete")["marker"]
    shades = [*(colour for _, colour in marker["colorscale"]), marker["line"]["color"]]
    assert all(max(int(shade[place : place + 2], 16) for place in (1, 3, 5)) < 200 for shade in shades)


def test_days_when_drawn_then_a_band_for_each_window_and_a_bar_for_each_choice(view: StudyView) -> None:
    band = research_study_charts.days(view.windows)
    assert len(band["data"]) == len(view.windows)
    bars = next(trace for trace in research_study_charts.unseen(view)["data"] if trace["type"] == "bar")
    assert bars["y"] == [0.5, -0.2]
