"""Colours of both themes, the style sheet, and the small chart layout that matches them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import streamlit as st


@dataclass(frozen=True, slots=True)
class Palette:
    """Colours of one theme for charts; the style sheet holds the same values for everything else."""

    panel: str
    text: str
    dim: str
    line: str
    accent: str
    second: str
    up: str
    down: str
    warn: str
    stop: str


DARK = Palette(
    panel="#0f1926",
    text="#e6edf5",
    dim="#93a4b8",
    line="#1f2c40",
    accent="#2dd4bf",
    second="#8aa4e8",
    up="#45cfa2",
    down="#f59e5b",
    warn="#e3b341",
    stop="#e5484d",
)
LIGHT = Palette(
    panel="#ffffff",
    text="#122033",
    dim="#51637a",
    line="#d9e1ea",
    accent="#0f766e",
    second="#3f5fc4",
    up="#047857",
    down="#b4500f",
    warn="#94690a",
    stop="#c5222b",
)

SERIES_DARK = ("#2dd4bf", "#8aa4e8", "#e3b341", "#c792ea", "#f0985a", "#7fd1ff", "#a3b18a", "#f78fb3")
SERIES_LIGHT = ("#0f766e", "#3f5fc4", "#94690a", "#8e44ad", "#b85410", "#0f76ad", "#5b7042", "#b83263")

FONT = "'Source Sans', 'Source Sans 3', system-ui, sans-serif"


def is_dark() -> bool:
    """Whether the browser shows the dark theme; dark until it has said so."""
    return bool(st.context.theme.type != "light")


def palette() -> Palette:
    """The colours of the theme on screen."""
    return DARK if is_dark() else LIGHT


def series_colours() -> tuple[str, ...]:
    """Line colours in a fixed order, distinguishable by lightness as well as by hue."""
    return SERIES_DARK if is_dark() else SERIES_LIGHT


@cache
def _style_sheet() -> str:
    return Path(__file__).with_name("console.css").read_text(encoding="utf-8")


def inject(density: str) -> None:
    """Send the style sheet once a run; ``density`` is ``compact`` or ``roomy``."""
    roomy = ":root{--qd-pad:10px;--qd-row:8px;--qd-gap:16px}" if density == "roomy" else ""
    st.html(f"<style>{_style_sheet()}{_scheme()}{roomy}</style>")


def inject_scheme() -> None:
    """Say dark or light to what lies outside the app's own element, such as dialogs."""
    st.html(f"<style>{_scheme()}</style>")


def _scheme() -> str:
    return f":root{{color-scheme:{'dark' if is_dark() else 'light'}}}"


def axis(colours: Palette, **more: Any) -> dict[str, Any]:
    """An axis with hairlines and no box."""
    return {
        "gridcolor": colours.line,
        "linecolor": colours.line,
        "zeroline": False,
        "ticks": "",
        "tickfont": {"size": 11, "color": colours.dim},
        "automargin": True,
        "fixedrange": False,
        **more,
    }


def layout(colours: Palette, height_px: int, **more: Any) -> dict[str, Any]:
    """The chart layout every figure shares: transparent, dense, one shared hover line."""
    return {
        "template": {},
        "height": height_px,
        "margin": {"l": 8, "r": 8, "t": 8, "b": 8},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": FONT, "size": 12, "color": colours.text},
        "hovermode": "x unified",
        "hoverlabel": {"bgcolor": colours.panel, "bordercolor": colours.line, "font": {"color": colours.text}},
        "legend": {
            "orientation": "h",
            "x": 0,
            "y": 1.02,
            "yanchor": "bottom",
            "font": {"size": 11, "color": colours.dim},
        },
        "showlegend": False,
        "uirevision": "keep",
        "dragmode": "pan",
        **more,
    }
