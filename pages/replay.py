"""Replay: stored candles through the very same engine, each run in books of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from engine.domain.facade import ConsolePort
from engine.domain.library_views import CoverageRow, ReplayView, finer_timeframes
from engine.domain.views import StrategyForm
from engine.runtime.replay_words import Condition, conditions
from engine.runtime.titles import titles_of
from pages import appearance, books, charts, desk, forms, jobs, parts, research_inputs, shelf, tables
from pages import format as fmt
from pages.format import Number
from pages.guard import alone, guarded, live
from pages.jobs import Start
from pages.parts import Card
from pages.tables import Column, Stored

_BRAKES = {
    "latch": "latch: flatten and stop at 10 %",
    "off": "off: for comparison only",
    "reset-after=30": "reset after 30 days",
}
_IMPACT = 0.0
"""Until a person asks for it: a replay on the command line has none either, and equal runs give equal digests."""
_COSTS = {"default": "default: fees, half spread, slippage", "plain": "plain: only fee and slippage"}


def render(console: ConsolePort) -> None:
    """Draw the page."""
    st.header("Replay", anchor=False)
    live(_runs, every_s=3)(console)
    shelf.draw(console)
    jobs.panel(console, ("replay",))
    live(_result, every_s=3)(console)
    st.subheader("New replay", anchor=False)
    guarded(_form)(console)


def _runs(console: ConsolePort) -> None:
    rows = console.replays()
    if not rows and not console.coverage():
        parts.empty(
            "Nothing to replay yet",
            "A replay needs stored candles. Import the files you have, then run a strategy over years of them here.",
            parts.Help("Import candles", "data"),
        )
        return
    tables.draw(
        _columns(console), rows[: tables.PAGE_SIZE], "No replay yet. Choose series and a strategy below and start one."
    )


def _columns(console: ConsolePort) -> tuple[Column[ReplayView], ...]:
    look = appearance.current(console)
    return (
        Column(f"Started, {look.zone}", lambda row: look.moment(row.job.started_at)),
        Column("Strategy", lambda row: titles_of(row.strategy)),
        Column("Series", lambda row: ", ".join(map(fmt.instrument, row.instruments)), wraps=True),
        Column("State", lambda row: parts.badge(row.job.state.value, "dim")),
        Column("Bars", lambda row: f"{row.bars:,}", numeric=True),
        Column("Trades", lambda row: f"{row.trades:,}", numeric=True),
        Column("Start", lambda row: _money(row.cash, row), numeric=True),
        Column("Final equity", lambda row: _money(row.final_equity, row), numeric=True),
        Column("Return", lambda row: parts.profit_share(row.net_return), numeric=True),
        Column("Deepest drawdown", lambda row: _fall(row), numeric=True),
        Column("Fees", lambda row: _money(row.fees, row), numeric=True),
        Column("Digest", lambda row: desk.mono(row.digest[:12])),
    )


def _money(amount: Number | None, run: ReplayView) -> str:
    return fmt.NONE if amount is None else fmt.money(amount, run.currency).strip()


def _fall(run: ReplayView) -> str:
    """The deepest drawdown as a loss; unknown in a run that is not over."""
    return fmt.NONE if run.max_drawdown is None else fmt.percent(-run.max_drawdown)


def _result(console: ConsolePort) -> None:
    rows = {row.run_id: row for row in console.replays() if row.final_equity is not None}
    if not rows:
        return
    chosen = st.selectbox(
        "Result",
        list(rows),
        format_func=lambda run_id: _title(rows[run_id]),
        key="replay-chosen",
        persist_state="session",
    )
    run = console.replay(str(chosen))
    parts.remarks(run.remarks)
    st.html(parts.cards(_cards(run)))
    if run.curve is not None and len(run.curve.at_ms):
        charts.show(charts.equity(run.curve), "replay-equity", f"Equity and drawdown of replay {run.run_id}")
    st.caption(
        f"Replay {run.run_id} · recorded candles, paper fills · a result of the past, no promise · equal runs give "
        "equal digests, here and on the command line:"
    )
    st.code(run.digest, language=None)
    guarded(_fills)(console, run)
    with st.expander("Conditions of this run", key="replay-conditions"):
        tables.draw(_CONDITIONS, conditions(run.settings), "This run stored no conditions.")


_CONDITIONS: tuple[Column[Condition], ...] = (
    Column("Of", lambda row: row.part),
    Column("Condition", lambda row: row.title, wraps=True),
    Column("Value", lambda row: forms.read(row.value, row.unit), numeric=True),
)


def _title(run: ReplayView) -> str:
    return f"{run.run_id[-6:]} · {titles_of(run.strategy)} · {', '.join(map(fmt.instrument, run.instruments))}"


def _cards(run: ReplayView) -> tuple[Card, ...]:
    unit = run.currency
    won = "unknown" if run.wins is None else f"{run.wins:,} of {run.trades:,}"
    return (
        Card("Final equity", parts.with_unit(fmt.number(run.final_equity), unit), f"from {fmt.money(run.cash, unit)}"),
        Card("Return", parts.profit_share(run.net_return), "over the whole run, after all costs"),
        Card("Deepest drawdown", _fall(run), "from an earlier peak of equity"),
        Card("Trades won", won, "after their fees"),
        Card("Trades", f"{run.trades:,}", f"{run.fills:,} fills over {run.bars:,} bars"),
        Card("Fees", parts.with_unit(fmt.number(run.fees), unit), "included in equity"),
        Card("Speed", parts.with_unit(fmt.number(run.bars_per_second, 0), "bars/s"), fmt.duration(run.job.seconds)),
    )


def _fills(console: ConsolePort, run: ReplayView) -> None:
    table = Stored(
        key=f"replay-fills-{run.run_id}",
        columns=desk.fill_columns(appearance.current(console)),
        load=lambda page, size, _: console.replay_fills(run.run_id, page, size),
        nothing="This replay made no fill: no idea passed every rule, or none was made.",
    )
    with st.expander(f"Fills, {run.fills:,}", key="replay-fills"):
        alone(tables.paged)(table)


def _form(console: ConsolePort) -> None:
    stored = {f"{row.instrument}|{row.timeframe}": row for row in console.coverage()}
    if not stored:
        parts.notice("Import candles first; then series can be chosen here.")
        return
    traded = {form.name for form in console.strategies(books.current(console).name)}
    known = {form.name: form for form in console.backtest_strategies() if form.name in traded}
    left, right = st.columns(2)
    series = left.multiselect(
        "Series",
        list(stored),
        format_func=lambda key: _series_title(stored[key]),
        key="replay-series",
        persist_state="session",
    )
    names = right.multiselect(
        "Strategies",
        list(known),
        format_func=lambda key: known[key].title,
        key="replay-strategies",
        persist_state="session",
    )
    request = {
        "series": [(stored[key].instrument, stored[key].timeframe) for key in series],
        "strategies": list(names),
        "settings": _settings([known[name] for name in names]),
        **_conditions(_coins([stored[key] for key in series])),
        **_inside([stored[key] for key in series], stored),
    }
    blocked = "" if series and names else "Choose at least one series and one strategy"
    start = Start(
        "replay",
        "Start replay",
        lambda identity: console.start_replay(identity, request),
        blocked=blocked,
    )
    jobs.start_button(console, start)


def _series_title(row: CoverageRow) -> str:
    return f"{fmt.instrument(row.instrument)} · {row.timeframe} · {row.rows:,} candles"


def _settings(chosen: list[StrategyForm]) -> dict[str, Mapping[str, Any]]:
    settings: dict[str, Mapping[str, Any]] = {}
    for form in chosen:
        with st.expander(f"Settings of {form.title}", key=f"replay-settings-{form.name}"):
            st.caption(
                "These start from the strategy's own defaults, as a replay on the command line does. What a book runs "
                "with stands on the Strategies page and may differ."
            )
            draft = forms.draw(f"replay-{form.name}", form.fields)
            for error in draft.errors:
                st.error(error)
            settings[form.name] = draft.values
    return settings


def _inside(chosen: Sequence[CoverageRow], stored: Mapping[str, CoverageRow]) -> dict[str, str]:
    """What an order moves the price, and what decides the path inside a candle."""
    finer, slots = finer_timeframes(stored.values(), chosen), st.columns(3)
    research_inputs.impact(slots[0], "replay", _IMPACT)
    research_inputs.detail(slots[1], "replay", finer)
    return research_inputs.inside("replay", finer, _IMPACT)


def _coins(chosen: Sequence[CoverageRow]) -> str:
    """The quote coins of the chosen series, in which the cash is given."""
    quotes = {row.instrument.partition("/")[2].partition(":")[0] for row in chosen}
    return ", ".join(sorted(quotes)) or "quote coin of the series"


def _conditions(unit: str) -> dict[str, Any]:
    slots = [*st.columns(3), *st.columns(3)]
    cash = slots[0].number_input(
        f"Cash, {unit}", 1, 1_000_000_000, 10_000, 1000, key="replay-cash", persist_state="session"
    )
    first = slots[1].text_input(
        "From (ISO date, UTC)", key="replay-from", placeholder="first candle", persist_state="session"
    )
    last = slots[2].text_input(
        "To (ISO date, UTC)", key="replay-to", placeholder="last candle", persist_state="session"
    )
    brake = slots[3].selectbox(
        "Brake", list(_BRAKES), format_func=lambda key: _BRAKES[key], key="replay-brake", persist_state="session"
    )
    costs = slots[4].selectbox(
        "Costs", list(_COSTS), format_func=lambda key: _COSTS[key], key="replay-costs", persist_state="session"
    )
    speed = slots[5].number_input(
        "Speed, 0: full", 0, 1_000_000, 0, key="replay-speed", persist_state="session",
        help="Market seconds a wall second; 0 runs as fast as it can",
    )  # fmt: skip
    return {
        "cash": str(cash),
        "from": first.strip(),
        "to": last.strip(),
        "brake": brake,
        "costs": costs,
        "speed": int(speed),
    }
