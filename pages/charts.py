"""Figures of thinned series: built small, drawn in the colours of the theme on screen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from engine.domain.market import FloatArray, IntArray
from engine.domain.views import EquityCurve, FillRow, Series, TradeChart
from pages import theme
from pages.theme import Palette

_SPARSE = 3
"""Fewer points than this make no visible line."""

_LABEL_PLACES = (0.0, 0.34, 0.68)
"""Where the labels of levels begin, share of the chart's width: side by side even on a telephone."""

_LABEL_ROOM = 0.12
"""Share of a time axis that the label of an upright rule takes."""

_NO_DRAWDOWN = 1e-7
"""Share of equity below which a drawdown is rounding."""

_CONFIG = {"displayModeBar": False, "scrollZoom": False, "responsive": True}


def show(figure: dict[str, Any], key: str, alt: str) -> None:
    """Draw a figure under a stable key, so that zoom holds while it refreshes."""
    st.plotly_chart(go.Figure(figure, skip_invalid=False), key=key, theme=None, config=_CONFIG, alt=alt)


def times(at_ms: IntArray) -> FloatArray:
    """Milliseconds since 1970 UTC as numbers, which a date axis takes and which travel in a third of the bytes."""
    return at_ms.astype(np.float64)


def equity(curve: EquityCurve) -> dict[str, Any]:
    """Equity above, drawdown below, on one time axis."""
    colours = theme.palette()
    at = times(curve.at_ms)
    traces = [
        line("Equity", at, curve.equity, colours.accent, f"%{{y:,.2f}} {curve.currency}"),
        {
            **line("Drawdown", at, curve.drawdown, colours.down, "%{y:.2%}"),
            "yaxis": "y2",
            "fill": "tozeroy",
            "fillcolor": wash(colours.down),
        },
    ]
    shape = theme.layout(
        colours,
        340,
        margin={"l": 8, "r": 64, "t": 8, "b": 24},
        xaxis=theme.axis(colours, type="date", anchor="y2", showgrid=False),
        yaxis=theme.axis(colours, domain=[0.32, 1], side="right", tickformat=",.6~f"),
        yaxis2=_drawdown_axis(curve, colours),
        shapes=[_upright(at_ms, colours) for at_ms in curve.rearmed_ms],
        annotations=_rearm_labels(curve, colours),
    )
    return {"data": traces, "layout": shape}


def _drawdown_axis(curve: EquityCurve, colours: Palette) -> dict[str, Any]:
    """As fine as what is shown asks for, and without a scale of gains where nothing was lost."""
    is_flat = not len(curve.drawdown) or float(curve.drawdown.min()) > -_NO_DRAWDOWN
    room: dict[str, Any] = {"range": [-0.01, 0], "nticks": 2} if is_flat else {"rangemode": "tozero", "nticks": 3}
    return theme.axis(colours, domain=[0, 0.26], side="right", tickformat=".5~%", **room)


def _upright(at_ms: int, colours: Palette) -> dict[str, Any]:
    line = {"color": colours.warn, "width": 1, "dash": "dash"}
    return {"type": "line", "xref": "x", "yref": "paper", "x0": at_ms, "x1": at_ms, "y0": 0, "y1": 1, "line": line}


def _rearm_labels(curve: EquityCurve, colours: Palette) -> list[dict[str, Any]]:
    """Between the two parts; of rules that stand close together only the last is named."""
    if not curve.rearmed_ms:
        return []
    room_ms = _LABEL_ROOM * float(curve.at_ms[-1] - curve.at_ms[0])
    after = (*curve.rearmed_ms[1:], None)
    named = [at for at, then in zip(curve.rearmed_ms, after, strict=True) if then is None or then - at >= room_ms]
    font = {"size": 11, "color": colours.warn}
    late = float(curve.at_ms[-1]) - room_ms
    return [
        {"xref": "x", "yref": "paper", "x": at, "y": 0.29, "text": "re-armed", "showarrow": False, "font": font,
         "xanchor": "right" if at > late else "left", "yanchor": "middle", "bgcolor": colours.panel, "borderpad": 1}
        for at in named
    ]  # fmt: skip


def lines(
    series: Sequence[Series],
    height_px: int = 240,
    limit: float | None = None,
    places: Sequence[int] | None = None,
) -> dict[str, Any]:
    """Several lines on one axis, named in a legend where there is more than one; ``limit`` draws its threshold.

    ``places`` chooses the colour of each, so that a line keeps its own when another joins; without them colours go by
    position.
    """
    colours = theme.palette()
    tints = theme.series_colours()
    traces = [
        line(item.name, times(item.at_ms), item.values, tints[place % len(tints)], f"%{{y:,.4~f}} {item.unit}")
        for item, place in zip(series, places or range(len(series)), strict=True)
    ]
    shapes = [] if limit is None else [_rule(limit, colours.warn)]
    shape = theme.layout(
        colours,
        height_px,
        margin={"l": 8, "r": 64, "t": 8, "b": 24},
        xaxis=theme.axis(colours, type="date", showgrid=False),
        yaxis=theme.axis(colours, side="right"),
        shapes=shapes,
    )
    shape["showlegend"] = len(series) > 1
    return {"data": traces, "layout": shape}


def line(name: str, at: Any, values: FloatArray, colour: str, hover: str) -> dict[str, Any]:
    """One line trace; float32 halves what is sent and is finer than a pixel."""
    return {
        "type": "scatter",
        "mode": "lines" if len(values) > _SPARSE else "lines+markers",
        "name": name,
        "x": at,
        "y": values.astype(np.float32),
        "line": {"color": colour, "width": 1.5},
        "hovertemplate": f"{hover}<extra>{name}</extra>",
    }


def candles(chart: TradeChart, height_px: int = 420) -> dict[str, Any]:
    """Candles and volume with entries, exits, and the levels of entry, stop and target."""
    colours = theme.palette()
    at = times(chart.opened_at_ms)
    traces = [
        {
            "type": "candlestick",
            "name": "Price",
            "x": at,
            "open": chart.open,
            "high": chart.high,
            "low": chart.low,
            "close": chart.close,
            "increasing": {"line": {"color": colours.up, "width": 1}, "fillcolor": colours.up},
            "decreasing": {"line": {"color": colours.down, "width": 1}, "fillcolor": "rgba(0,0,0,0)"},
        },
        {
            "type": "bar",
            "name": "Volume",
            "x": at,
            "y": chart.volume.astype(np.float32),
            "yaxis": "y2",
            "marker": {"color": colours.line},
            "hovertemplate": "%{y:,.4~f}<extra>Volume</extra>",
        },
        *_marks(chart.fills, colours),
    ]
    rules, labels = _levels(chart, colours)
    shape = theme.layout(
        colours,
        height_px,
        margin={"l": 8, "r": 72, "t": 8, "b": 24},
        xaxis=theme.axis(colours, type="date", rangeslider={"visible": False}, showgrid=False, anchor="y2"),
        yaxis=theme.axis(colours, side="right", domain=[0.22, 1]),
        yaxis2=theme.axis(colours, side="right", domain=[0, 0.16], nticks=2),
        shapes=rules,
        annotations=labels,
    )
    shape["showlegend"] = bool(chart.fills)
    return {"data": traces, "layout": shape}


def _marks(fills: Sequence[FillRow], colours: Palette) -> list[dict[str, Any]]:
    marks = []
    for side, symbol, colour in (("buy", "triangle-up", colours.up), ("sell", "triangle-down", colours.down)):
        chosen = [fill for fill in fills if fill.side == side]
        if chosen:
            marks.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "name": "Bought" if side == "buy" else "Sold",
                    "x": [fill.at.timestamp() * 1000 for fill in chosen],
                    "y": [float(fill.price) for fill in chosen],
                    "text": [f"{fill.purpose} {fill.quantity}" for fill in chosen],
                    "marker": {
                        "symbol": symbol,
                        "size": 11,
                        "color": colour,
                        "line": {"color": colours.panel, "width": 1},
                    },
                    "hovertemplate": "%{text} at %{y:,.8~f}<extra></extra>",
                }
            )
    return marks


def _levels(chart: TradeChart, colours: Palette) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Lines and labels of the levels; each label has a place of its own, so that close prices stay readable."""
    levels = (
        (chart.entry_price, "entry", colours.accent, "dash"),
        (chart.stop_price, "stop", colours.warn, "dot"),
        (chart.target_price, "target", colours.second, "dot"),
    )
    known = [(price, name, colour, dash) for price, name, colour, dash in levels if price is not None]
    rules = [_rule(price, colour, dash) for price, _, colour, dash in known]
    labels = [
        _level(price, name, colour, _LABEL_PLACES[place], colours.panel)
        for place, (price, name, colour, _) in enumerate(known)
    ]
    return rules, labels


def _rule(level: float, colour: str, dash: str = "dot") -> dict[str, Any]:
    return {
        "type": "line",
        "xref": "paper",
        "x0": 0,
        "x1": 1,
        "y0": level,
        "y1": level,
        "line": {"color": colour, "width": 1, "dash": dash},
    }


def _level(level: float, name: str, colour: str, place: float, ground: str) -> dict[str, Any]:
    return {
        "xref": "paper",
        "x": place,
        "y": level,
        "text": f"{name} {level:,.8g}",
        "showarrow": False,
        "xanchor": "left",
        "yanchor": "middle",
        "bgcolor": ground,
        "borderpad": 1,
        "font": {"size": 11, "color": colour},
    }


def wash(colour: str) -> str:
    """A colour of the form ``#rrggbb`` thin enough to fill an area with."""
    red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.18)"
