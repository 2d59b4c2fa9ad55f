"""The form of a new backtest: strategy from its configuration, candles, time, costs, capital, engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from engine.domain.errors import BadInput, QuarterdeckError
from engine.domain.facade import ConsolePort
from engine.domain.library_views import CoverageRow, finer_timeframes
from engine.domain.views import JobView, StrategyForm
from pages import format as fmt
from pages import forms, jobs, parts
from pages.guard import said
from pages.jobs import Start

_FOLLOW = "research-follow"
_SENT = "research-sent"
_CASH, _FEE_BPS, _SLIPPAGE_BPS, _IMPACT = 10_000, 10.0, 0.0, 1.0
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

WAYS_OUT: Mapping[str, tuple[str, str]] = {
    "take_profit": (
        "Take-profit, x stop distance",
        "A target so far from the entry, as a multiple of the distance of its stop.",
    ),
    "trail": (
        "Trailing stop, x stop distance",
        "The stop stays so far behind the best price of completed candles since the entry; it never moves back.",
    ),
}
"""Settings of the section risk that a backtest may have of its own: label and what is said about it."""


def draw(console: ConsolePort) -> None:
    """Draw the form and the button that starts it."""
    stored = _stored(console)
    if not stored:
        parts.notice("Import candles first on the Data page; then series can be chosen here.")
        return
    form = _strategy({form.name: form for form in console.backtest_strategies()})
    st.multiselect(
        "Instruments and timeframe",
        list(stored),
        format_func=lambda key: series_title(stored[key]),
        key="research-series",
        persist_state="session",
    )
    _settings(form)
    _range()
    chosen = _chosen(stored)
    _conditions(chosen)
    _inside(finer_timeframes(stored.values(), chosen))
    _ways_out()
    blocked = _blocked(console, chosen)
    jobs.start_button(
        console, Start("research", "Start backtest", lambda identity: _begin(console, identity), blocked=blocked)
    )


def _blocked(console: ConsolePort, chosen: Sequence[CoverageRow]) -> str:
    """Why it cannot be started, said before anybody tries; empty where it can."""
    if not chosen:
        reason = "Choose at least one series of candles"
        st.caption(f"{reason}.")
        return reason
    try:
        request = _request(console)
        _forget_refusal(request)
        console.check_backtest(request)
    except QuarterdeckError as error:
        parts.notice(f"This cannot be started. {said(error)}", "warn")
        return said(error)
    return ""


def _forget_refusal(request: Mapping[str, Any]) -> None:
    """Drop what was said of the last press where it was refused and the form says something else by now."""
    state = st.session_state
    match state.get("came:research"):
        case (False, _) if state.get(_SENT) != request:
            state.pop("came:research")


def awaited() -> str:
    """The run that was started here and not yet looked at; empty without one."""
    return str(st.session_state.get(_FOLLOW, ""))


def follow(done: Mapping[str, object]) -> None:
    """Choose the run that was started last, once it has a result; call before the choice is drawn."""
    if awaited() in done:
        st.session_state["research-chosen"] = awaited()
        st.session_state.pop(_FOLLOW)


def _begin(console: ConsolePort, identity: str) -> JobView:
    request = st.session_state[_SENT] = _request(console)
    begun = console.start_backtest(identity, request)
    st.session_state[_FOLLOW] = begun.job_id
    return begun


def _request(console: ConsolePort) -> dict[str, Any]:
    """What the form says at this instant; what was typed just before the click is in it."""
    state, known = st.session_state, {form.name: form for form in console.backtest_strategies()}
    form, chosen = known[str(state["research-strategy"])], _chosen(_stored(console))
    draft = forms.entered(f"research-{form.name}", form.fields)
    if draft.errors:
        raise BadInput("; ".join(draft.errors))
    request: dict[str, Any] = {
        "strategy": form.name,
        "settings": draft.values,
        "series": [(row.instrument, row.timeframe) for row in chosen],
        "cash": str(state.get("research-cash", _CASH)),
        "from": str(state.get("research-from", "")).strip(),
        "to": str(state.get("research-to", "")).strip(),
        **{key: state.get(f"research-{key}", "") for key in ("engine", "brake", "costs")},
    }
    request["impact"] = f"{state.get('research-impact', _IMPACT):g}"
    if (detail := state.get("research-detail", "")) in finer_timeframes(console.coverage(), chosen):
        request["detail"] = detail
    given = {name: value for name in WAYS_OUT if (value := state.get(f"research-{name}")) is not None}
    if given:
        request["risk"] = {name: f"{value:g}" for name, value in given.items()}
    if request["costs"] == "plain":
        request["fee_bps"] = f"{state.get('research-fee', _FEE_BPS):g}"
        request["slippage_bps"] = f"{state.get('research-slippage', _SLIPPAGE_BPS):g}"
    if _has_perpetual(chosen):
        request["funding"] = state.get("research-funding", "stored")
    return request


def _stored(console: ConsolePort) -> dict[str, CoverageRow]:
    return {f"{row.instrument}|{row.timeframe}": row for row in console.coverage()}


def _chosen(stored: Mapping[str, CoverageRow]) -> list[CoverageRow]:
    return [stored[key] for key in st.session_state.get("research-series", ()) if key in stored]


def _has_perpetual(chosen: Sequence[CoverageRow]) -> bool:
    return any(row.kind == "perpetual" for row in chosen)


def _strategy(known: Mapping[str, StrategyForm]) -> StrategyForm:
    name = st.selectbox(
        "Strategy",
        list(known),
        format_func=lambda key: known[key].title if key in known else key,
        key="research-strategy",
        persist_state="session",
    )
    form = known[str(name)]
    st.caption(form.summary)
    return form


def _settings(form: StrategyForm) -> None:
    with st.expander(f"Settings of {form.title}", key=f"research-settings-{form.name}"):
        draft = forms.draw(f"research-{form.name}", form.fields)
        for error in draft.errors:
            st.error(error)


def series_title(row: CoverageRow) -> str:
    """A stored series with its length and its span."""
    span = f"{row.first:%Y-%m-%d} to {row.last:%Y-%m-%d}"
    return f"{fmt.instrument(row.instrument)} · {row.timeframe} · {row.rows:,} candles, {span}"


def _range() -> None:
    slots = st.columns(3)
    slots[0].number_input(
        "Capital, in the quote coin", value=_CASH, step=1000, key="research-cash", persist_state="session"
    )
    for slot, key, label, hint in (
        (slots[1], "research-from", "From (ISO date, UTC)", "first candle"),
        (slots[2], "research-to", "To (ISO date, UTC)", "last candle"),
    ):
        slot.text_input(label, key=key, placeholder=hint, persist_state="session")


def _conditions(chosen: Sequence[CoverageRow]) -> None:
    for slot, key in zip(st.columns(3), ("engine", "brake", "costs"), strict=True):
        with slot:
            _choice(key)
    if st.session_state.get("research-costs") == "plain":
        slots = st.columns(3)
        for slot, key, label, first in (
            (slots[0], "research-fee", "Fee, basis points", _FEE_BPS),
            (slots[1], "research-slippage", "Slippage, basis points", _SLIPPAGE_BPS),
        ):
            slot.number_input(label, 0.0, 1000.0, first, 0.5, key=key, persist_state="session")
    if _has_perpetual(chosen):
        _choice("funding")


def _inside(finer: Sequence[str]) -> None:
    """What an order moves the price, and what decides the path inside a candle."""
    slots = st.columns(3)
    slots[0].number_input(
        "Market impact, Y", 0.0, 10.0, _IMPACT, 0.1, key="research-impact", persist_state="session",
        help="An order pays Y x volatility x square root of its share of the candle's volume. Y was measured at about "
        "1; 0 is none.",
    )  # fmt: skip
    slots[1].selectbox(
        "Detail timeframe", ["", *finer], format_func=lambda one: one or "none: assume the worse path",
        key="research-detail", persist_state="session",
        help="Stored candles of this length decide whether stop or target came first inside a candle.",
    )  # fmt: skip


def _ways_out() -> None:
    """Target and trailing stop; where left empty, as the settings of the installation say."""
    slots = st.columns(3)
    for slot, (name, (label, tip)) in zip(slots, WAYS_OUT.items(), strict=False):
        slot.number_input(
            label, 0.01, 100.0, None, 0.1, key=f"research-{name}", persist_state="session",
            placeholder="as in Settings", help=f"{tip} A strategy without a stop has none.",
        )  # fmt: skip


def _choice(key: str) -> None:
    label, words = CHOICES[key]
    st.selectbox(label, list(words), format_func=words.__getitem__, key=f"research-{key}", persist_state="session")
