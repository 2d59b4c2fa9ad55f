"""Data: which candles are stored, what is missing, and how to get more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from engine.domain.commands import Role
from engine.domain.errors import BadInput
from engine.domain.facade import ConsolePort
from engine.domain.library_views import CoverageRow, GapRow
from engine.domain.views import JobView
from pages import appearance, charts, jobs, parts, tables
from pages import format as fmt
from pages.guard import live, tabs
from pages.jobs import Start
from pages.parts import Card
from pages.tables import Column

_TIMEFRAMES = ("", "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "8h", "12h", "1d", "1w")
_KINDS = ("", "spot", "perpetual")
_FACTS = {
    "tick_size": "Tick size",
    "lot_size": "Lot size",
    "min_notional": "Min notional",
    "max_leverage": "Max leverage",
}
_JOBS = ("import", "download", "backfill")


def render(console: ConsolePort) -> None:
    """Draw the page."""
    st.header("Data", anchor=False)
    live(_coverage)(console)
    jobs.panel(console, _JOBS)
    tabs(
        "data-tab",
        {
            "Import files": lambda: _import(console),
            "Download": lambda: _download(console),
            "Gaps and chart": lambda: _series(console) if console.coverage() else live(_no_series)(console),
        },
    )


def _coverage(console: ConsolePort) -> None:
    rows = console.coverage()
    if not rows:
        parts.empty(
            "No candles stored yet",
            "Import files below: parquet or CSV with timestamp (ms UTC, candle open), open, high, low, close, volume, "
            "named like BTC_USDT-1h.parquet. Or download public candles where there is a network.",
        )
        return
    st.html(
        parts.cards(
            (
                Card("Series", str(len(rows)), "instrument and timeframe"),
                Card("Candles", f"{sum(row.rows for row in rows):,}", "stored"),
                Card(
                    "Missing",
                    f"{sum(row.missing_bars for row in rows):,}",
                    f"candles in {sum(row.gaps for row in rows):,} gaps",
                ),
                Card("Rejected", f"{sum(row.rejected_rows for row in rows):,}", "rows that broke the schema"),
            )
        )
    )
    tables.draw(_columns(console), rows)


def _columns(console: ConsolePort) -> tuple[Column[CoverageRow], ...]:
    look = appearance.current(console)
    return (
        Column("Instrument", lambda row: fmt.instrument(row.instrument)),
        Column("Kind", lambda row: row.kind),
        Column("Timeframe", lambda row: row.timeframe),
        Column("First, UTC", lambda row: fmt.moment(row.first)),
        Column("Last, UTC", lambda row: fmt.moment(row.last)),
        Column("Candles", lambda row: f"{row.rows:,}", numeric=True),
        Column("Complete", _complete, numeric=True),
        Column("Missing", lambda row: f"{row.missing_bars:,} in {row.gaps:,}", numeric=True),
        Column("Rejected", lambda row: f"{row.rejected_rows:,}", numeric=True),
        Column("Source", lambda row: row.source, wraps=True),
        Column(f"Imported, {look.zone}", lambda row: look.moment(row.imported_at)),
    )


def _complete(row: CoverageRow) -> str:
    return fmt.percent(row.rows / (row.rows + row.missing_bars), 2) if row.rows else fmt.NONE


def _import(console: ConsolePort) -> None:
    round_number = int(st.session_state.get("import-round", 0))
    files = st.file_uploader(
        "Candle files", type=["parquet", "csv"], accept_multiple_files=True, key=f"import-files-{round_number}"
    )
    st.caption(
        "A file named like BTC_USDT-1h.csv says its instrument and timeframe; for any other name fill in Symbol and "
        "Timeframe, which then count for every file chosen. It is taken for spot unless its name or Kind says "
        "otherwise; tick size, lot size and least order of common pairs come from a table."
    )
    options = _options()
    chosen = list(files or [])
    double = _double(chosen)
    if double:
        parts.notice(double, "warn")

    def begin(identity: str) -> tuple[JobView, ...]:
        started, refused = _import_each(console, identity, chosen, options)
        if started:
            st.session_state["import-round"] = round_number + 1
        if refused:
            raise BadInput(_refusal(started, refused))
        return started

    label = f"Import {len(chosen)} files" if len(chosen) > 1 else "Import"
    start = Start("import", label, begin, blocked=double if chosen else "Choose a file first")
    jobs.start_button(console, start)


def _double(files: Sequence[UploadedFile]) -> str:
    """What to do about two files of one name: which of them is meant cannot be told."""
    names = [file.name for file in files]
    double = sorted({name for name in names if names.count(name) > 1})
    if not double:
        return ""
    return (
        f"{', '.join(double)} was chosen more than once. Take all but one away with the × beside it; to import both, "
        "give one of them another name."
    )


def _refusal(started: tuple[JobView, ...], refused: Sequence[str]) -> str:
    others = ""
    if started:
        begun = ", ".join(job.title for job in started)
        others = f". The import of {begun} was started all the same; choose only the refused files again"
    return ". ".join(refused) + others


def _import_each(
    console: ConsolePort, identity: str, files: Sequence[UploadedFile], options: Mapping[str, str]
) -> tuple[tuple[JobView, ...], list[str]]:
    """One job a file: those that were started, and why the others were refused."""
    started: list[JobView] = []
    refused: list[str] = []
    for index, file in enumerate(files):
        job_id = f"{identity}-{index}" if index else identity
        try:
            started.append(console.start_import(job_id, file.name, file.getvalue(), options))
        except BadInput as error:
            refused.append(str(error) if file.name in str(error) else f"{file.name}: {error}")
    return tuple(started), refused


def _options() -> dict[str, str]:
    values: dict[str, str | None] = {}
    first, second = st.columns(4), st.columns(4)
    values["symbol"] = first[0].text_input(
        "Symbol", key="import-symbol", placeholder="from the name, or BTC/USDT", persist_state="session"
    )
    values["timeframe"] = first[1].selectbox(
        "Timeframe", _TIMEFRAMES, key="import-timeframe", format_func=_or_name, persist_state="session"
    )
    values["kind"] = first[2].selectbox(
        "Kind", _KINDS, key="import-kind", format_func=_or_name, persist_state="session"
    )
    values["venue"] = first[3].text_input("Venue", "binance", key="import-venue", persist_state="session")
    for slot, (name, label) in zip(second, _FACTS.items(), strict=True):
        values[name] = slot.text_input(label, key=f"import-{name}", placeholder="from table", persist_state="session")
    stated = {name: str(value).strip() for name, value in values.items() if value and str(value).strip()}
    return {**stated, **({"symbol": stated["symbol"].upper()} if "symbol" in stated else {})}


def _or_name(value: str) -> str:
    return value or "from the name"


def _download(console: ConsolePort) -> None:
    known = {view.name: view.title for view in console.exchanges()}
    slots = st.columns(5)
    options = {
        "exchange": slots[0].selectbox(
            "Exchange",
            list(known),
            format_func=lambda key: known[key],
            key="download-exchange",
            persist_state="session",
        ),
        "symbol": slots[1].text_input("Symbol", "BTC/USDT", key="download-symbol", persist_state="session"),
        "timeframe": slots[2].selectbox(
            "Candles", _TIMEFRAMES[1:], 5, key="download-timeframe", persist_state="session"
        ),
        "since": slots[3].text_input("From (ISO date)", "2025-01-01", key="download-since", persist_state="session"),
        "until": slots[4].text_input("To (ISO date)", key="download-until", placeholder="now", persist_state="session"),
    }
    values = {name: str(value or "").strip() for name, value in options.items()}
    missing = "" if values["exchange"] and values["symbol"] else "Choose an exchange and a symbol"
    start = Start(
        "download",
        "Download public candles",
        lambda identity: console.start_download(identity, values),
        blocked=missing,
    )
    jobs.start_button(console, start)
    st.caption("No key needed. Without a network the job fails with the exchange's name and changes nothing.")


def _no_series(console: ConsolePort) -> None:
    """Wait for the first series; then the whole page is drawn anew, with a choice of series."""
    if console.coverage():
        st.rerun(scope="app")
    parts.notice("Gaps and a chart appear here once a series is stored.")


def _series(console: ConsolePort) -> None:
    rows = {f"{row.instrument}|{row.timeframe}": row for row in console.coverage()}
    name = st.selectbox(
        "Series",
        list(rows),
        format_func=lambda key: _title(rows[key]),
        key="data-series",
        persist_state="session",
        width=340,
    )
    row = rows[str(name)]
    chart = console.candles(row.instrument, row.timeframe, 300)
    charts.show(charts.candles(chart, 340), "data-chart", f"Last candles of {_title(row)}")
    st.caption(f"The last {len(chart.opened_at_ms)} {row.timeframe} candles, UTC · from {row.source}")
    _gaps(console, row)


def _title(row: CoverageRow) -> str:
    return f"{fmt.instrument(row.instrument)} · {row.timeframe}"


def _gaps(console: ConsolePort, row: CoverageRow) -> None:
    gaps = console.gaps(row.instrument, row.timeframe)
    columns: tuple[Column[GapRow], ...] = (
        Column("First missing, UTC", lambda gap: fmt.moment(gap.first)),
        Column("Last missing, UTC", lambda gap: fmt.moment(gap.last)),
        Column("Candles", lambda gap: f"{gap.bars:,}", numeric=True),
    )
    newest = sorted(gaps, key=lambda gap: gap.first, reverse=True)
    tables.draw(columns, newest[: tables.PAGE_SIZE], "No gap: every candle between first and last is stored.")
    if len(gaps) > tables.PAGE_SIZE:
        st.caption(f"the newest {tables.PAGE_SIZE} of {len(gaps):,} gaps")
    if gaps:
        start = Start(
            "backfill",
            "Fetch what is missing",
            lambda identity: console.start_backfill(identity, row.instrument, row.timeframe),
            Role.OPERATOR,
        )
        jobs.start_button(console, start)
