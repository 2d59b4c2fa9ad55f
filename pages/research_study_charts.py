"""Figures of a study: objective over trials, two settings against each other, all settings side by side, its days."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.domain.studies import (
    FoldChoice,
    StudySetting,
    StudyTrial,
    StudyView,
    StudyWindow,
    TrialEnd,
    WindowKind,
)
from pages import charts, theme
from pages import format as fmt
from pages.theme import Palette

_ROW_PX = 72
_BAND_PX = 96
_SHADES = 9
"""Colours between worst and best among which lines are told apart: more look alike."""
_FEW = 60
"""Lines up to which each can be followed; more of them are drawn fainter."""
_WINDOW_NAMES = {
    WindowKind.HISTORY: "history",
    WindowKind.EMBARGO: "left out",
    WindowKind.HOLDOUT: "holdout",
}


def objective(trials: Sequence[StudyTrial]) -> dict[str, Any]:
    """Objective of every trial in the order they were run, and the best so far; refused ones lie on the ground."""
    colours = theme.palette()
    complete, pruned, refused = (_ended(trials, end) for end in TrialEnd)
    known = [trial for trial in trials if trial.best is not None]
    best = {
        **_points("Best so far", [trial.number for trial in known], [trial.best for trial in known]),
        "mode": "lines",
        "line": {"color": colours.second, "width": 1.8, "shape": "hv"},
        "hoverinfo": "skip",
    }
    traces = [
        best,
        _trial_points("Abandoned", pruned, {"symbol": "circle-open", "size": 7, "color": colours.dim}),
        _trial_points("Complete", complete, {"symbol": "circle", "size": 8, "color": colours.accent}),
    ]
    if refused:
        ground = {"symbol": "x-thin", "size": 6, "color": colours.warn, "line": {"width": 1.5, "color": colours.warn}}
        traces.append({**_trial_points("Refused", refused, ground), "y": [0] * len(refused), "yaxis": "y2"})
    shape = theme.layout(
        colours,
        300,
        margin={"l": 8, "r": 48, "t": 30, "b": 34},
        xaxis=theme.axis(colours, title=_title("Trial", colours), anchor="y2", showgrid=False),
        yaxis=theme.axis(colours, side="right", domain=[0.1, 1], zeroline=True, zerolinecolor=colours.dim),
        yaxis2=theme.axis(colours, domain=[0, 0.07], showticklabels=False, showgrid=False, range=[-1, 1]),
    )
    return {"data": traces, "layout": {**shape, "showlegend": True, "hovermode": "closest"}}


def two_settings(view: StudyView, across: int, up: int) -> dict[str, Any]:
    """Every trial where two of its settings put it, coloured by its objective; between the points nothing was measured.

    Parameters
    ----------
    view : StudyView
    across, up : int
        Places of the settings among those of the study.
    """
    colours = theme.palette()
    complete, pruned, refused = (_ended(view.trials, end) for end in TrialEnd)

    def trace(name: str, trials: Sequence[StudyTrial], marker: dict[str, Any]) -> dict[str, Any]:
        found = _trial_points(name, trials, marker)
        return {**found, "x": [one.settings[across] for one in trials], "y": [one.settings[up] for one in trials]}

    shades = {
        "symbol": "square", "size": 13, "color": [one.objective for one in complete], "cmid": 0.0,
        "colorscale": _scale(colours), "line": {"width": 1, "color": colours.dim},
        "colorbar": {"title": {"text": "Objective", "font": {"size": 11}}, "thickness": 10, "outlinewidth": 0,
                     "tickfont": {"size": 11, "color": colours.dim}},
    }  # fmt: skip
    traces = [
        trace("Refused", refused, {"symbol": "x-thin", "size": 7, "line": {"width": 1.5, "color": colours.dim}}),
        trace("Abandoned", pruned, {"symbol": "circle-open", "size": 8, "color": colours.dim}),
        trace("Complete", complete, shades),
    ]
    best = [one for one in complete if view.best is not None and one.number == view.best.number]
    ring = {"symbol": "square-open", "size": 20, "color": colours.text, "line": {"width": 2}}
    traces.append(trace("Best", best, ring))
    shape = theme.layout(
        colours,
        420,
        margin={"l": 8, "r": 8, "t": 30, "b": 40},
        xaxis=_setting_axis(view.settings[across], colours),
        yaxis=_setting_axis(view.settings[up], colours),
    )
    return {"data": traces, "layout": {**shape, "showlegend": True, "hovermode": "closest"}}


def side_by_side(view: StudyView) -> dict[str, Any]:
    """Every trial as a line through all its settings, the objective at the foot; complete ones coloured by it."""
    colours = theme.palette()
    complete, pruned, _ = (_ended(view.trials, end) for end in TrialEnd)
    ordered = sorted(complete, key=lambda one: one.objective or 0.0)
    crowd = min(1.0, _FEW / max(1, len(complete)))
    shades = _shades(colours, crowd)
    faint = {"color": _thin(colours.dim, min(1.0, _FEW / max(1, len(pruned)))), "width": 1}
    traces = [_lines("Abandoned", [one.places for one in pruned], faint)]
    low, high = (ordered[0].objective or 0.0, ordered[-1].objective or 0.0) if ordered else (0.0, 0.0)
    span = high - low or 1.0
    for place, shade in enumerate(shades):
        inside = [one for one in ordered if int(((one.objective or 0.0) - low) / span * (_SHADES - 1)) == place]
        lines = [(*one.places, ((one.objective or 0.0) - low) / span) for one in inside]
        traces.append(_lines("Complete", lines, {"color": shade, "width": 0.8 + 0.4 * crowd + 1.2 * place / _SHADES}))
    if ordered:
        last = ordered[-1]
        traces.append(_lines("Best", [(*last.places, 1.0)], {"color": colours.text, "width": 2.5}))
    rows = len(view.settings) + 1
    shape = theme.layout(
        colours,
        _ROW_PX * rows + 20,
        margin={"l": 12, "r": 12, "t": 12, "b": 6},
        xaxis=theme.axis(colours, range=[-0.01, 1.01], visible=False, fixedrange=True),
        yaxis=theme.axis(colours, range=[rows - 0.6, -0.45], visible=False, fixedrange=True),
        shapes=[_rail(row, colours) for row in range(rows)],
        annotations=_rail_labels(view.settings, (low, high), colours),
        hovermode=False,
    )
    return {"data": traces, "layout": shape}


def days(windows: Sequence[StudyWindow]) -> dict[str, Any]:
    """What the days are for, on one time axis."""
    colours = theme.palette()
    shape = theme.layout(
        colours,
        _BAND_PX,
        margin={"l": 8, "r": 8, "t": 6, "b": 24},
        xaxis=theme.axis(colours, type="date", showgrid=False),
        yaxis=theme.axis(colours, range=[0, 1], visible=False, fixedrange=True),
        annotations=_window_labels(windows, colours, "y"),
    )
    return {"data": [_window(one, colours, "y") for one in windows], "layout": {**shape, "hovermode": "closest"}}


def unseen(view: StudyView) -> dict[str, Any]:
    """Above, what each fold gave to the choice of those before it; below, what the days are for."""
    colours = theme.palette()
    shape = theme.layout(
        colours,
        340,
        margin={"l": 8, "r": 48, "t": 30, "b": 24},
        xaxis=theme.axis(colours, type="date", anchor="y2", showgrid=False),
        yaxis=theme.axis(colours, side="right", domain=[0.3, 1], zeroline=True, zerolinecolor=colours.dim),
        yaxis2=theme.axis(colours, range=[0, 1], domain=[0, 0.2], visible=False, fixedrange=True),
        annotations=_window_labels(view.windows, colours, "y2"),
        barmode="overlay",
    )
    traces = [
        _fold_bars("On its own, unseen days", view.choices, [one.unseen for one in view.choices], colours),
        {
            **_points(
                "On the days it was chosen by",
                [_middle(one.window) for one in view.choices],
                [one.learned for one in view.choices],
            ),
            "marker": {"symbol": "line-ew", "size": 26, "line": {"width": 3, "color": colours.second}},
            "hovertemplate": "%{y:.2f}<extra>On the days it was chosen by</extra>",
        },
        *({**_window(one, colours, "y2"), "showlegend": False} for one in view.windows),
    ]
    return {"data": traces, "layout": {**shape, "showlegend": True, "hovermode": "closest"}}


def _fold_bars(name: str, choices: Sequence[FoldChoice], values: Sequence[float], colours: Palette) -> dict[str, Any]:
    return {
        "type": "bar",
        "name": name,
        "x": [_middle(one.window) for one in choices],
        "y": list(values),
        "width": [(one.window.stop - one.window.start).total_seconds() * 1000 for one in choices],
        "marker": {"color": [charts.wash(_tone(value, colours)) for value in values],
                   "line": {"width": 1.5, "color": [_tone(value, colours) for value in values]}},
        "text": [f"fold {one.window.number}: {fmt.number(one.unseen)} (trial {one.trial})" for one in choices],
        "textposition": "none",
        "hovertemplate": "%{text}<extra></extra>",
    }  # fmt: skip


def _tone(value: float, colours: Palette) -> str:
    return colours.up if value >= 0 else colours.down


def _middle(window: StudyWindow) -> float:
    return (window.start.timestamp() + window.stop.timestamp()) * 500


def _window(window: StudyWindow, colours: Palette, axis: str) -> dict[str, Any]:
    tints = {
        WindowKind.HISTORY: colours.dim,
        WindowKind.FOLD: colours.accent,
        WindowKind.EMBARGO: colours.warn,
        WindowKind.HOLDOUT: colours.second,
    }
    left, right = window.start.timestamp() * 1000, window.stop.timestamp() * 1000
    name = _WINDOW_NAMES.get(window.kind, f"fold {window.number}")
    words = f"{name}: {window.start:%Y-%m-%d} to {window.stop:%Y-%m-%d} UTC, {window.days:,} days"
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [left, right, right, left, left],
        "y": [0.12, 0.12, 0.88, 0.88, 0.12],
        "yaxis": axis,
        "fill": "toself",
        "fillcolor": charts.wash(tints[window.kind]),
        "line": {
            "color": tints[window.kind],
            "width": 1,
            "dash": "dot" if window.kind is WindowKind.HISTORY else "solid",
        },
        "hoveron": "fills",
        "name": name,
        "text": words,
        "hoverinfo": "text",
    }


def _window_labels(windows: Sequence[StudyWindow], colours: Palette, axis: str) -> list[dict[str, Any]]:
    return [
        {
            "x": _middle(one),
            "y": 0.5,
            "yref": axis,
            "text": str(one.number) if one.kind is WindowKind.FOLD else _WINDOW_NAMES[one.kind],
            "showarrow": False,
            "font": {"size": 11, "color": colours.text},
        }
        for one in windows
        if one.kind is not WindowKind.EMBARGO
    ]


def _ended(trials: Sequence[StudyTrial], end: TrialEnd) -> list[StudyTrial]:
    return [trial for trial in trials if trial.end is end]


def _points(name: str, x: Sequence[Any], y: Sequence[Any]) -> dict[str, Any]:
    return {"type": "scatter", "mode": "markers", "name": name, "x": list(x), "y": list(y)}


def _trial_points(name: str, trials: Sequence[StudyTrial], marker: dict[str, Any]) -> dict[str, Any]:
    return {
        **_points(name, [one.number for one in trials], [one.objective for one in trials]),
        "marker": marker,
        "text": [_said(one) for one in trials],
        "hovertemplate": "%{text}<extra></extra>",
    }


def _said(trial: StudyTrial) -> str:
    after = f" after {len(trial.fold_scores)} folds, abandoned" if trial.end is TrialEnd.PRUNED else ""
    value = "refused" if trial.objective is None else f"{fmt.number(trial.objective)}{after}"
    return f"trial {trial.number}: {value}<br>{', '.join(map(_shown, trial.settings))}"


def _shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _scale(colours: Palette) -> list[list[Any]]:
    return [[0.0, colours.down], [0.5, colours.dim], [1.0, colours.accent]]


def _shades(colours: Palette, crowd: float) -> list[str]:
    """From the colour of the worst to that of the best; the worse the fainter, the more so the more lines there are.

    ``crowd`` is 1 for few lines and falls towards 0 as they become more.
    """
    low, high = (_parts(colours.down), _parts(colours.accent))
    steps = [place / (_SHADES - 1) for place in range(_SHADES)]
    mixed = [[round(a + (b - a) * step) for a, b in zip(low, high, strict=True)] for step in steps]
    clear = [0.75 * (crowd + (1 - crowd) * step**2) for step in steps]
    return [
        f"rgba({red},{green},{blue},{max(0.04, part):.2f})"
        for (red, green, blue), part in zip(mixed, clear, strict=True)
    ]


def _thin(colour: str, crowd: float) -> str:
    red, green, blue = _parts(colour)
    return f"rgba({red},{green},{blue},{max(0.04, 0.3 * crowd):.2f})"


def _parts(colour: str) -> list[int]:
    return [int(colour[start : start + 2], 16) for start in (1, 3, 5)]


def _setting_axis(setting: StudySetting, colours: Palette) -> dict[str, Any]:
    kind = "category" if setting.choices else "log" if setting.logarithmic else "linear"
    ticks = {"dtick": "D2", "tickformat": ",~g"} if kind == "log" else {}
    return theme.axis(colours, type=kind, title=_title(setting.title, colours), **ticks)


def _title(text: str, colours: Palette) -> dict[str, Any]:
    return {"text": text, "font": {"size": 11, "color": colours.dim}, "standoff": 6}


def _lines(name: str, rows: Sequence[Sequence[float]], line: dict[str, Any]) -> dict[str, Any]:
    """Many lines in one trace, a gap after each."""
    across: list[float | None] = []
    down: list[float | None] = []
    for row in rows:
        across += [*row, None]
        down += [*range(len(row)), None]
    return {"type": "scatter", "mode": "lines", "name": name, "x": across, "y": down, "line": line, "hoverinfo": "skip"}


def _rail(row: int, colours: Palette) -> dict[str, Any]:
    line = {"color": colours.dim, "width": 1}
    return {"type": "line", "x0": 0, "x1": 1, "y0": row, "y1": row, "line": line, "layer": "below"}


def _rail_labels(
    settings: Sequence[StudySetting], objective_span: tuple[float, float], colours: Palette
) -> list[dict[str, Any]]:
    low, high = map(fmt.number, objective_span)
    ends = [*((one.title, *_ends(one)) for one in settings), ("Objective of complete trials", low, high)]
    labels = []
    for row, (title, least, most) in enumerate(ends):
        below = row == len(settings)  # at the foot, where no line comes from
        where = {"yanchor": "top", "yshift": -3} if below else {"yanchor": "bottom", "yshift": 3}
        for x, anchor, text in ((0, "left", f"{least}  <b>{title}</b>"), (1, "right", most)):
            label = {"x": x, "y": row, "xanchor": anchor, "text": text, "bgcolor": colours.panel, "borderpad": 1}
            labels.append({**label, **where, "showarrow": False, "font": {"size": 11, "color": colours.dim}})
    return labels


def _ends(setting: StudySetting) -> tuple[str, str]:
    if setting.choices:
        return setting.choices[0], setting.choices[-1]
    return _shown(setting.low), _shown(setting.high)
