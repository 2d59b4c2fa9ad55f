"""Charts of a backtest as plain SVG for a report that runs no script: lines of equity, and bars of trade results."""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape

import numpy as np

from engine.domain.market import FloatArray
from engine.domain.research import Histogram, RunCurve

_WIDTH, _HEIGHT, _DEPTH_TOP = 1000.0, 360.0, 270.0
_LINES_BOTTOM = 250.0
_BARS_HEIGHT = 200.0
_GAP = 1.0


def curve_svg(curve: RunCurve) -> str:
    """Equity and buy-and-hold above, drawdown below; empty for less than two points."""
    if len(curve.at_ms) < 2:
        return ""
    at = _scaled(curve.at_ms.astype(np.float64), _WIDTH)
    low = float(min(curve.equity.min(), curve.hold.min()))
    high = float(max(curve.equity.max(), curve.hold.max()))
    span = high - low or 1.0
    deepest = float(min(curve.drawdown.min(), -1e-9))
    equity, hold = (_LINES_BOTTOM - (line - low) / span * (_LINES_BOTTOM - 10) for line in (curve.equity, curve.hold))
    depth = _DEPTH_TOP + curve.drawdown / deepest * (_HEIGHT - _DEPTH_TOP - 4)
    under = f"0,{_DEPTH_TOP:.1f} {_points(at, depth)} {_WIDTH:.0f},{_DEPTH_TOP:.1f}"
    first, last = (datetime.fromtimestamp(int(curve.at_ms[place]) / 1000, UTC) for place in (0, -1))
    return (
        f'<svg viewBox="0 0 {_WIDTH:.0f} {_HEIGHT:.0f}" role="img" aria-label="Equity, buy and hold, drawdown">'
        f'<polyline class="hold" points="{_points(at, hold)}"/>'
        f'<polyline class="equity" points="{_points(at, equity)}"/>'
        f'<polygon class="depth" points="{under}"/></svg><p class="legend"><b class="equity">—</b> equity '
        f'<b class="hold">—</b> buy and hold <b class="depth">▬</b> drawdown, deepest −{-deepest:.1%} · '
        f"{first:%Y-%m-%d} to {last:%Y-%m-%d} · between {low:,.2f} and {high:,.2f} {escape(curve.currency)}</p>"
    )


def bars_svg(distribution: Histogram) -> str:
    """How often trades had which result; empty without trades."""
    if not len(distribution.counts):
        return ""
    width = _WIDTH / len(distribution.counts)
    most = float(distribution.counts.max()) or 1.0
    bars = "".join(
        f'<rect class="{"up" if left >= 0 else "down"}" x="{place * width + _GAP:.1f}" y="{_BARS_HEIGHT - tall:.1f}" '
        f'width="{width - 2 * _GAP:.1f}" height="{tall:.1f}">'
        f"<title>{_signed(left)} to {_signed(right)}: {count}</title></rect>"
        for place, (left, right, count, tall) in enumerate(
            zip(
                distribution.edges[:-1].tolist(),
                distribution.edges[1:].tolist(),
                distribution.counts.tolist(),
                (distribution.counts / most * (_BARS_HEIGHT - 6)).tolist(),
                strict=True,
            )
        )
    )
    low, high = float(distribution.edges[0]), float(distribution.edges[-1])
    return (
        f'<svg viewBox="0 0 {_WIDTH:.0f} {_BARS_HEIGHT:.0f}" role="img" aria-label="Results of trades">{bars}</svg>'
        f'<p class="legend">from {_signed(low)} to {_signed(high)} of what was paid; '
        f"the tallest bar is {most:.0f} trades</p>"
    )


def _signed(share: float) -> str:
    return f"{share:.2%}".replace("-", "\N{MINUS SIGN}")


def _scaled(values: FloatArray, width: float) -> FloatArray:
    span = float(values[-1] - values[0]) or 1.0
    scaled: FloatArray = (values - values[0]) / span * width
    return scaled


def _points(at: FloatArray, values: FloatArray) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(at.tolist(), values.tolist(), strict=True))
