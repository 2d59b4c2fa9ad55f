"""What the forms of a backtest and of a study ask alike: strategy, candles, days, costs; keys begin with the form's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import streamlit as st

from engine.domain.facade import ConsolePort
from engine.domain.library_views import CoverageRow, finer_timeframes
from engine.domain.studies import StudyForm
from engine.domain.views import StrategyForm
from pages import format as fmt

CASH, FEE_BPS, SLIPPAGE_BPS, IMPACT = 10_000, 10.0, 0.0, 1.0
CHOICES: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "engine": ("Engine", {"kernel": "kernel: compiled, fastest", "replay": "replay: the engine itself, slower"}),
    "brake": (
        "Brake",
        {
            "": "usual: latch; off for a strategy without a stop",
            "latch": "latch: flatten and stop at the limit",
            "off": "off: for comparison only",
            "reset-after=30": "reset after 30 days",
        },
    ),
    "costs": (
        "Costs",
        {"default": "default: fees, half spread, slippage", "plain": "plain: only fee and slippage"},
    ),
    "funding": ("Funding", {"stored": "stored rates", "none": "none: as if it were free"}),
}
"""Label and choices of each key of the request that is one of a few words."""

_Form = TypeVar("_Form", StrategyForm, StudyForm)


def strategy(prefix: str, known: Mapping[str, _Form]) -> _Form:
    """The choice of a strategy, and what it does in a line."""
    name = st.selectbox(
        "Strategy",
        list(known),
        format_func=lambda key: known[key].title if key in known else key,
        key=f"{prefix}-strategy",
        persist_state="session",
    )
    form = known[str(name)]
    st.caption(form.summary)
    return form


def series(prefix: str, stored: Mapping[str, CoverageRow]) -> None:
    """The choice of stored candles."""
    st.multiselect(
        "Instruments and timeframe",
        list(stored),
        format_func=lambda key: series_title(stored[key]),
        key=f"{prefix}-series",
        persist_state="session",
    )


def stored_series(console: ConsolePort) -> dict[str, CoverageRow]:
    """Stored candles by the key they are chosen under."""
    return {f"{row.instrument}|{row.timeframe}": row for row in console.coverage()}


def chosen_series(prefix: str, stored: Mapping[str, CoverageRow]) -> list[CoverageRow]:
    """The candles that are chosen at this instant."""
    return [stored[key] for key in st.session_state.get(f"{prefix}-series", ()) if key in stored]


def series_title(row: CoverageRow) -> str:
    """A stored series with its length and its span."""
    span = f"{row.first:%Y-%m-%d} to {row.last:%Y-%m-%d}"
    return f"{fmt.instrument(row.instrument)} · {row.timeframe} · {row.rows:,} candles, {span}"


def span(prefix: str) -> None:
    """Capital, and the days."""
    slots = st.columns(3)
    slots[0].number_input(
        "Capital, in the quote coin", value=CASH, step=1000, key=f"{prefix}-cash", persist_state="session"
    )
    for slot, name, label, hint in (
        (slots[1], "from", "From (ISO date, UTC)", "first candle"),
        (slots[2], "to", "To (ISO date, UTC)", "last candle"),
    ):
        slot.text_input(label, key=f"{prefix}-{name}", placeholder=hint, persist_state="session")


def conditions(prefix: str, stored: Mapping[str, CoverageRow]) -> None:
    """Engine, brake and costs, what an order moves the price, and what decides the path inside a candle.

    What is asked only at times has a place of its own, so that nothing below it moves when it comes or goes.
    """
    chosen = chosen_series(prefix, stored)
    for slot, name in zip(st.columns(3), ("engine", "brake", "costs"), strict=True):
        with slot:
            _choice(prefix, name)
    with st.container():
        if st.session_state.get(f"{prefix}-costs") == "plain":
            _plain_costs(prefix)
    slots = st.columns(3)
    impact(slots[0], prefix)
    detail(slots[1], prefix, finer_timeframes(stored.values(), chosen))
    with slots[2]:
        if _has_perpetual(chosen):
            _choice(prefix, "funding")


def _plain_costs(prefix: str) -> None:
    slots = st.columns(3)
    for slot, name, label, first in (
        (slots[0], "fee", "Fee, basis points", FEE_BPS),
        (slots[1], "slippage", "Slippage, basis points", SLIPPAGE_BPS),
    ):
        slot.number_input(label, 0.0, 1000.0, first, 0.5, key=f"{prefix}-{name}", persist_state="session")


def impact(slot: Any, prefix: str, first: float = IMPACT) -> None:
    """The field of the square-root impact."""
    slot.number_input(
        "Market impact, Y", 0.0, 10.0, first, 0.1, key=f"{prefix}-impact", persist_state="session",
        help="An order pays Y x volatility x square root of its share of the candle's volume. Y was measured at about "
        "1; 0 is none.",
    )  # fmt: skip


def detail(slot: Any, prefix: str, finer: Sequence[str]) -> None:
    """The choice of finer candles, of lengths that are stored of all chosen instruments."""
    slot.selectbox(
        "Detail timeframe", ["", *finer], format_func=lambda one: one or "none: assume the worse path",
        key=f"{prefix}-detail", persist_state="session",
        help="Stored candles of this length decide whether stop or target came first inside a candle.",
    )  # fmt: skip


def inside(prefix: str, finer: Sequence[str], first: float = IMPACT) -> dict[str, str]:
    """Impact and detail as the request has them, as they are at this instant."""
    state = st.session_state
    asked = {"impact": f"{state.get(f'{prefix}-impact', first):g}"}
    if (length := state.get(f"{prefix}-detail", "")) in finer:
        asked["detail"] = length
    return asked


def request(prefix: str, console: ConsolePort) -> dict[str, Any]:
    """Candles, days and costs as they are at this instant: what was typed just before the click is in them."""
    state, stored = st.session_state, stored_series(console)
    chosen = chosen_series(prefix, stored)
    asked: dict[str, Any] = {
        "series": [(row.instrument, row.timeframe) for row in chosen],
        "cash": str(state.get(f"{prefix}-cash", CASH)),
        "from": str(state.get(f"{prefix}-from", "")).strip(),
        "to": str(state.get(f"{prefix}-to", "")).strip(),
        **{name: state.get(f"{prefix}-{name}", "") for name in ("engine", "brake", "costs")},
        **inside(prefix, finer_timeframes(stored.values(), chosen)),
    }
    if asked["costs"] == "plain":
        asked["fee_bps"] = f"{state.get(f'{prefix}-fee', FEE_BPS):g}"
        asked["slippage_bps"] = f"{state.get(f'{prefix}-slippage', SLIPPAGE_BPS):g}"
    if _has_perpetual(chosen):
        asked["funding"] = state.get(f"{prefix}-funding", "stored")
    return asked


def _has_perpetual(chosen: Sequence[CoverageRow]) -> bool:
    return any(row.kind == "perpetual" for row in chosen)


def _choice(prefix: str, name: str) -> None:
    label, words = CHOICES[name]
    st.selectbox(label, list(words), format_func=words.__getitem__, key=f"{prefix}-{name}", persist_state="session")
