"""The result of a study: verdict and doubts first, then trials, settings, days, the best, the one look."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from engine.domain.facade import ConsolePort
from engine.domain.research import Statistic
from engine.domain.studies import FoldChoice, StudyRow, StudyState, StudyTrial, StudyView, TrialEnd, WindowKind
from engine.domain.views import JobView
from pages import (
    appearance,
    charts,
    export,
    jobs,
    parts,
    research_study_best,
    research_study_charts,
    tables,
)
from pages import format as fmt
from pages.export import Export
from pages.format import Html, safe
from pages.guard import alone, guarded, tabs
from pages.jobs import Start
from pages.parts import Card
from pages.research_result import figure, meaning, verdict_notice
from pages.research_study_form import FOLLOW
from pages.tables import Column, Filter, Stored

_ENDS = {TrialEnd.COMPLETE: "accent", TrialEnd.PRUNED: "dim", TrialEnd.REFUSED: "warn"}
_ORDERS = ("newest", "oldest", "best", "worst")
_MORE = 50
"""Trials that are offered on top of those a finished study has."""


def draw(console: ConsolePort, view: StudyView) -> None:
    """Draw a study, finished or not."""
    row = view.row
    _standing(row)
    if row.state is not StudyState.DONE:
        _continue(console, view)
    if row.verdict is not None:
        verdict_notice(row.verdict)
    for caution in view.cautions:
        parts.notice(caution, "warn")
    if row.measured or row.refused:
        st.html(parts.cards(_cards(view)))
        chart = research_study_charts.objective(view.trials)
        charts.show(chart, f"study-objective-{row.name}", f"Objective of the trials of study {row.name}")
        st.caption(_basis(console, row))
    if row.state is StudyState.DONE:
        _continue(console, view)
    if not view.settings:
        return
    tabs(
        "study-parts",
        {
            "Settings": lambda: _settings(view),
            "Days": lambda: _days(view),
            "Trials": lambda: _trials(console, view),
            "Doubts": lambda: _doubts(view),
            "Best": lambda: research_study_best.best(view),
            "Holdout": lambda: research_study_best.holdout(console, view),
            "Conditions": lambda: guarded(_conditions)(view),
        },
    )
    if row.verdict is not None:
        of = f"{row.name} {row.measured} {row.looked_at}"
        export.offer(
            Export("study-record", "Record as JSON", lambda: console.study_record(row.name), "application/json", of)
        )


def _standing(row: StudyRow) -> None:
    detail = fmt.sentence(row.detail)
    match row.state:
        case StudyState.RUNNING | StudyState.QUEUED:
            parts.notice(f"It is {row.state.value}: {row.detail}. What is below is so far.")
        case StudyState.STOPPED:
            parts.notice(f"{detail}. Nothing is lost; it can go on to the same trials.", "warn")
        case StudyState.FAILED:
            parts.notice(f"It failed. {detail}.", "stop")
        case StudyState.DONE:
            pass


def _continue(console: ConsolePort, view: StudyView) -> None:
    """The button that goes on with a study; without it the reason why it cannot."""
    row = view.row
    if row.state in (StudyState.RUNNING, StudyState.QUEUED):
        return
    done = row.state is StudyState.DONE
    if view.continue_blocked:
        st.caption(f"{view.continue_blocked}.")
        return
    key = f"study-more-{row.name}-{row.measured}"
    with st.container(horizontal=True, vertical_alignment="bottom"):
        wanted = row.measured + _MORE if done else max(row.wanted or 0, row.measured)
        st.number_input("Trials in all", 1, None, max(1, wanted), key=key, width=140)
        label = "Search further" if done else "Continue"
        jobs.start_button(
            console, Start(f"study-continue-{row.name}", label, lambda identity: _go_on(console, identity, row, key))
        )
    if done:
        st.caption("Every further trial counts against the verdict: more of them find better ones by luck.")


def _go_on(console: ConsolePort, identity: str, row: StudyRow, key: str) -> JobView:
    begun = console.continue_study(identity, row.name, int(st.session_state.get(key) or row.wanted or 0))
    st.session_state[FOLLOW] = begun.job_id
    return begun


def _cards(view: StudyView) -> tuple[Card, ...]:
    row, known = view.row, {item.key: item for item in view.figures}
    ended = f"{row.complete:,} complete, {row.pruned:,} abandoned, {row.refused:,} refused"
    wanted = "" if row.wanted is None or row.wanted <= row.measured else f" of {row.wanted:,}"
    best = Card("Best objective", fmt.NONE, "no trial is complete yet")
    if view.best is not None:
        note = f"{_numbered(row, view.best.number)}; chosen, so too good"
        best = Card("Best objective", fmt.number(view.best.objective), note)
    counted = Card("Trials", f"{row.measured:,}{wanted}", ended)
    if not known:
        return best, counted
    return (
        _card(known, "walk_forward", "walk-forward: chosen before each fold; mean of the folds"),
        _card(known, "deflated_sharpe", "95 % is asked for"),
        _card(known, "pbo", "at most 10 % is asked for"),
        _card(known, "median_share", "100 %: a plateau; below 0 %: it loses"),
        best,
        counted,
    )


def _numbered(row: StudyRow, number: int) -> str:
    """Numbers run over refused trials too, so that one may be above the trials that count."""
    return f"trial {number}" if not row.refused else f"trial number {number}, counted from 0 with refused ones"


def _card(known: Mapping[str, Statistic], key: str, note: str) -> Card:
    item = known[key]
    if item.value is None:
        return Card(item.title, fmt.NONE, item.reason)
    return Card(item.title, figure(item.value, item.unit, ""), note)


def _basis(console: ConsolePort, row: StudyRow) -> str:
    look = appearance.current(console)
    series = ", ".join(map(fmt.instrument, row.instruments))
    return (
        "Objective: Sharpe ratio a year of daily returns after all costs, over all folds; of an abandoned trial over "
        f"the folds it ran · {series} {row.timeframe} · begun {look.moment(row.created_at)} {look.zone}"
    )


def _settings(view: StudyView) -> None:
    names = [one.title for one in view.settings]
    if len(names) > 1:
        alone(_pair)(view)
    st.subheader("All settings side by side", anchor=False)
    figure_of = research_study_charts.side_by_side(view)
    charts.show(figure_of, f"study-lines-{view.row.name}", "Settings of every trial and its objective")
    st.caption(
        "Each line is a trial, from its settings down to its objective; the brightest is the best, grey ones were "
        "abandoned. Where good lines pass one setting anywhere, that setting does not matter."
    )


def _pair(view: StudyView) -> None:
    """Two settings against each other; touched, it is drawn again alone."""
    names = [one.title for one in view.settings]
    places = list(range(len(names)))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        across = st.selectbox("Across", places, 0, format_func=lambda place: names[place], key="study-across")
        up = st.selectbox("Up", places, 1, format_func=lambda place: names[place], key="study-up")
    chart = research_study_charts.two_settings(view, min(across, len(names) - 1), min(up, len(names) - 1))
    charts.show(chart, f"study-map-{view.row.name}-{across}-{up}", f"Objective by {names[across]} and {names[up]}")
    st.caption(
        "A square is a complete trial in the colour of its objective, a ring an abandoned one, a cross a refused one. "
        "Nothing was measured between them, and the other settings differ from point to point."
    )


def _days(view: StudyView) -> None:
    if view.choices:
        charts.show(
            research_study_charts.unseen(view),
            f"study-days-{view.row.name}",
            "What each fold gave to the choice before",
        )
        st.caption(
            "Walk-forward: for each fold the trial that was best on the folds before it, and what that trial did on "
            "the fold itself. A line far above its bar is what the choosing added. Sharpe ratios a year after costs."
        )
        tables.draw(_choice_columns(view), view.choices)
    else:
        charts.show(research_study_charts.days(view.windows), f"study-band-{view.row.name}", "What the days are for")
        parts.notice(f"No choice was judged on later folds: {view.choices_reason}.")


def _choice_columns(view: StudyView) -> tuple[Column[FoldChoice], ...]:
    names = [one.title for one in view.settings]
    return (
        Column("Fold", lambda row: str(row.window.number), numeric=True),
        Column("From, UTC", lambda row: f"{row.window.start:%Y-%m-%d}"),
        Column("Up to, UTC", lambda row: f"{row.window.stop:%Y-%m-%d}"),
        Column("Days", lambda row: f"{row.window.days:,}", numeric=True),
        Column("Chosen trial", lambda row: f"{row.trial:,}", numeric=True),
        Column("Sharpe when chosen", lambda row: fmt.number(row.learned), numeric=True),
        Column("Sharpe on the fold", lambda row: parts.directed(row.unseen, fmt.number(row.unseen)), numeric=True),
        Column("Its settings", lambda row: ", ".join(_pairs(names, row.settings)), wraps=True),
    )


def _pairs(names: list[str], values: tuple[object, ...]) -> list[str]:
    return [f"{name} {_shown(value)}" for name, value in zip(names, values, strict=True)]


def _shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _trials(console: ConsolePort, view: StudyView) -> None:
    name = view.row.name
    table = Stored(
        key=f"study-trials-{name}",
        columns=_trial_columns(view),
        load=lambda page, size, filters: console.study_trials(name, page, size, filters),
        nothing="No trial matches.",
        filters=(
            Filter("order", "Order", _ORDERS),
            Filter("state", "State", tuple(end.value for end in TrialEnd), shows=_end_word),
        ),
        ordered="newest first unless ordered otherwise",
    )
    alone(tables.paged)(table)


def _trial_columns(view: StudyView) -> tuple[Column[StudyTrial], ...]:
    best = view.best.number if view.best is not None else -1
    folds = sum(one.kind is WindowKind.FOLD for one in view.windows)

    def numbered(row: StudyTrial) -> Html:
        return Html(f"◆ <b>{row.number:,}</b>") if row.number == best else safe(f"{row.number:,}")

    return (
        Column("#", numbered, numeric=True),
        Column("State", lambda row: parts.badge(_end_word(row.end.value), _ENDS[row.end])),
        Column("Objective", lambda row: fmt.number(row.objective), numeric=True),
        *(_setting_column(place, one.title) for place, one in enumerate(view.settings)),
        *(_fold_column(place) for place in range(folds)),
        Column("Why it ended", lambda row: fmt.sentence(row.reason), wraps=True),
    )


def _setting_column(place: int, title: str) -> Column[StudyTrial]:
    return Column(title, lambda row: _shown(row.settings[place]), numeric=True)


def _fold_column(place: int) -> Column[StudyTrial]:
    def cell(row: StudyTrial) -> str:
        return fmt.number(row.fold_scores[place]) if place < len(row.fold_scores) else fmt.NONE

    return Column(f"After fold {place + 1}", cell, numeric=True, shown=False)


def _end_word(name: str) -> str:
    return "abandoned" if name == TrialEnd.PRUNED.value else name


def _doubts(view: StudyView) -> None:
    if not view.figures:
        parts.notice("A study is weighed once its trials are done.")
        return
    tables.draw(_FIGURES, view.figures)
    if view.paths:
        shown = ", ".join(fmt.number(path) for path in view.paths)
        st.caption(
            f"Choosing the best on some days and running it on others, on {len(view.paths)} purged paths through all "
            f"days: Sharpe ratios {shown}. Abandoned trials are not among those chosen from: somewhat too kind."
        )


_FIGURES: tuple[Column[Statistic], ...] = (
    Column("Figure", lambda row: row.title),
    Column("Value", lambda row: figure(row.value, row.unit, ""), numeric=True),
    Column("What it means", meaning, wraps=True),
)


def _conditions(view: StudyView) -> None:
    tables.draw(_CONDITIONS, view.conditions, "This study stored no conditions.")


_CONDITIONS: tuple[Column[tuple[str, str]], ...] = (
    Column("What", lambda row: row[0], wraps=True),
    Column("Value", lambda row: row[1], wraps=True),
)
