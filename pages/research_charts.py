"""Figures of a backtest: equity against buy-and-hold, trades on candles, results of trades, runs side by side."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from engine.domain.research import Comparison, Histogram, RunChart, RunCurve, RunTrade
from pages import charts, theme
from pages.theme import Palette

_WIDE = 4
"""Highest over lowest from which the scale is logarithmic."""


_WIDE_GROWTH = 10
"""The same of runs side by side."""


_MANY, _CROWD = 40, 150
"""Trades in one chart above which their marks are small, and above which only entries are marked, as faint dots."""


def curve(run: RunCurve) -> dict[str, Any]:
    """Equity and buy-and-hold above, drawdown below, on one time axis."""
    colours = theme.palette()
    at = charts.times(run.at_ms)
    hover = f"%{{y:,.2f}} {run.currency}"
    hold = charts.line("Buy and hold", at, run.hold, colours.second, hover)
    traces = [
        {**hold, "line": {"color": colours.second, "width": 1.2, "dash": "dot"}},
        charts.line("Strategy", at, run.equity, colours.accent, hover),
        {
            **charts.line("Drawdown", at, run.drawdown, colours.down, "%{y:.2%}"),
            "yaxis": "y2",
            "fill": "tozeroy",
            "fillcolor": charts.wash(colours.down),
            "showlegend": False,
        },
    ]
    shape = theme.layout(
        colours,
        380,
        margin={"l": 8, "r": 64, "t": 30, "b": 24},
        xaxis=theme.axis(colours, type="date", anchor="y2", showgrid=False),
        yaxis=theme.axis(colours, domain=[0.32, 1], side="right", tickformat=",.0f", **_scale(run)),
        yaxis2=theme.axis(colours, domain=[0, 0.26], side="right", tickformat=".2~%", nticks=3, rangemode="tozero"),
    )
    shape["showlegend"] = True
    return {"data": traces, "layout": shape}


def _scale(run: RunCurve) -> dict[str, Any]:
    """Logarithmic where one line leaves the other far behind, so that equal steps are equal growth."""
    low = min(float(run.equity.min()), float(run.hold.min()))
    high = max(float(run.equity.max()), float(run.hold.max()))
    if not 0 < low * _WIDE < high:
        return {}
    return {"type": "log", "dtick": "D2", "title": {"text": "logarithmic", "font": {"size": 10}}}


def growth(compared: Comparison) -> dict[str, Any]:
    """Growth of every run since its own start."""
    colours, tints = theme.palette(), theme.series_colours()
    wide = _grows_wide(compared)
    shift, hover = (1.0, "%{y:,.2f} × the start") if wide else (0.0, "%{y:+.2%}")
    traces = [
        charts.line(run.name, charts.times(run.at_ms), run.values + shift, tints[place % len(tints)], hover)
        for place, run in enumerate(compared.curves)
    ]
    scale: dict[str, Any] = {"type": "log", "dtick": "D2", "tickformat": ",~g", "ticksuffix": " ×"} if wide else {}
    shape = theme.layout(
        colours,
        340,
        margin={"l": 8, "r": 64, "t": 30, "b": 24},
        xaxis=theme.axis(colours, type="date", showgrid=False),
        yaxis=theme.axis(colours, side="right", **(scale or {"tickformat": "+.0%"})),
    )
    shape["showlegend"] = True
    return {"data": traces, "layout": shape}


def _grows_wide(compared: Comparison) -> bool:
    """Whether the largest equity is so many times the smallest that only equal ratios can be read."""
    low = min(float(run.values.min()) for run in compared.curves) + 1.0
    high = max(float(run.values.max()) for run in compared.curves) + 1.0
    return 0 < low * _WIDE_GROWTH < high


def results(distribution: Histogram) -> dict[str, Any]:
    """How many trades had which result; wins and losses differ by side of zero as well as by hue."""
    colours = theme.palette()
    left, right = distribution.edges[:-1], distribution.edges[1:]
    shape = theme.layout(
        colours,
        260,
        margin={"l": 8, "r": 40, "t": 8, "b": 24},
        xaxis=theme.axis(colours, tickformat="+.1~%"),
        yaxis=theme.axis(colours, side="right"),
        bargap=0.06,
        shapes=[_upright(colours)],
    )
    bars = {
        "type": "bar",
        "name": "Trades",
        "x": (left + right) / 2,
        "y": distribution.counts,
        "width": right - left,
        "marker": {"color": np.where(left >= 0, colours.up, colours.down).tolist()},
        "customdata": np.column_stack((left, right)),
        "hovertemplate": "%{y} trades from %{customdata[0]:.2%} to %{customdata[1]:.2%}<extra></extra>",
    }
    return {"data": [bars], "layout": {**shape, "hovermode": "closest"}}


def trades(chart: RunChart) -> dict[str, Any]:
    """Candles with the entry, exit and stop of every trade in them, entry and exit joined by a line.

    Of a crowd only entries and the joining lines: more would be a smear, and each mark is an element of the page.
    """
    figure = charts.candles(chart.candles)
    colours = theme.palette()
    found = chart.trades
    figure["data"] = [{**trace, "showlegend": False} for trace in figure["data"]]
    if is_crowd(found):
        figure["data"] += [*_ways(found, colours), _entries(found, colours)]
    elif found:
        levels = [_stops(found, colours), *_targets(found, colours)]
        figure["data"] += [*_ways(found, colours), *levels, _entries(found, colours), _exits(found, colours)]
    figure["layout"] = {**figure["layout"], "showlegend": bool(found), "hovermode": "closest"}
    figure["layout"]["margin"] = {**figure["layout"]["margin"], "t": 30}
    return figure


def is_crowd(found: Sequence[RunTrade]) -> bool:
    """Whether there are so many trades that only their entries and results can be seen."""
    return len(found) > _CROWD


def _entries(found: Sequence[RunTrade], colours: Palette) -> dict[str, Any]:
    return _marks(
        "Entry",
        [(trade.entry_at.timestamp() * 1000, float(trade.entry_price), _said(trade)) for trade in found],
        ["triangle-up" if trade.side == "long" else "triangle-down" for trade in found],
        colours.accent,
        colours,
    )


def _exits(found: Sequence[RunTrade], colours: Palette) -> dict[str, Any]:
    left = [(one.exit_at, one.exit_price, _said(one)) for one in found if one.exit_at is not None]
    points = [(at.timestamp() * 1000, float(price), said) for at, price, said in left if price is not None]
    return _marks("Exit", points, ["x"] * len(points), colours.second, colours)


def _marks(
    name: str, points: Sequence[tuple[float, float, str]], symbols: Sequence[str], colour: str, colours: Palette
) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [point[0] for point in points],
        "y": [point[1] for point in points],
        "text": [point[2] for point in points],
        "marker": {"symbol": list(symbols), "color": colour, **_size(len(points), colours)},
        "hovertemplate": f"{name} %{{text}} at %{{y:,.8~f}}<extra></extra>",
    }


def _size(marks: int, colours: Palette) -> dict[str, Any]:
    """Large and outlined where they are few, small where they would hide the candles."""
    if marks > _CROWD:
        return {"size": 3, "opacity": 0.5, "line": {"width": 0}}
    if marks > _MANY:
        return {"size": 5, "line": {"width": 0}}
    return {"size": 11, "line": {"color": colours.text, "width": 1}}


def _ways(found: Sequence[RunTrade], colours: Palette) -> list[dict[str, Any]]:
    """From entry to exit, one trace for wins and one for losses; a gap after each."""
    ways = []
    for name, colour, dash, won in (("Won", colours.up, "solid", True), ("Lost", colours.down, "dash", False)):
        chosen = [trade for trade in found if (trade.pnl > 0) is won and trade.exit_at is not None]
        points = [point for trade in chosen for point in _way(trade)]
        ways.append(_segments(name, points, {"color": colour, "width": 1.5, "dash": dash}))
    return ways


def _way(trade: RunTrade) -> tuple[tuple[float | None, float | None], ...]:
    assert trade.exit_at is not None, "only trades that ended have a way"
    leave = float(trade.exit_price) if trade.exit_price is not None else None
    begin = (trade.entry_at.timestamp() * 1000, float(trade.entry_price))
    return (begin, (trade.exit_at.timestamp() * 1000, leave), (None, None))


def _stops(found: Sequence[RunTrade], colours: Palette) -> dict[str, Any]:
    points = _levels([(trade, trade.stop_price) for trade in found])
    return _segments("Stop", points, {"color": colours.warn, "width": 1.5, "dash": "dot"})


def _targets(found: Sequence[RunTrade], colours: Palette) -> list[dict[str, Any]]:
    """Nothing where no trade had a target, so that the legend names only what is drawn."""
    points = _levels([(trade, trade.target_price) for trade in found])
    return [_segments("Target", points, {"color": colours.second, "width": 1.5, "dash": "dot"})] if points else []


def _levels(found: Sequence[tuple[RunTrade, Decimal | None]]) -> list[tuple[float | None, float | None]]:
    points: list[tuple[float | None, float | None]] = []
    for trade, price in found:
        if price is not None:
            level, end = float(price), trade.exit_at or trade.entry_at
            points += [(trade.entry_at.timestamp() * 1000, level), (end.timestamp() * 1000, level), (None, None)]
    return points


def _segments(name: str, points: Sequence[tuple[float | None, float | None]], line: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": [point[0] for point in points],
        "y": [point[1] for point in points],
        "line": line,
        "hoverinfo": "skip",
        "connectgaps": False,
    }


def _said(trade: RunTrade) -> str:
    return f"of trade {trade.number}, {trade.side}"


def _upright(colours: Palette) -> dict[str, Any]:
    line = {"color": colours.dim, "width": 1}
    return {"type": "line", "yref": "paper", "y0": 0, "y1": 1, "x0": 0, "x1": 0, "line": line}
