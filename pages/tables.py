"""Tables: dense HTML for at most a page of rows, with filter, column chooser, paging and CSV where rows are stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Generic, TypeVar

import streamlit as st

from engine.domain.facade import ConsolePort
from engine.domain.views import PageOf
from pages import export
from pages.export import Export
from pages.format import Html, safe
from pages.guard import live

Row = TypeVar("Row")

PAGE_SIZE = 25
_WIDE = 5
"""Columns from which on a telephone would have to scroll sideways."""
_PAIR = 2
"""Columns that fit beside one another there, also where one of them holds sentences."""
_EPOCH = date(2009, 1, 1)


@dataclass(frozen=True, slots=True)
class Column(Generic[Row]):
    """A column: its heading and what a row shows in it; ``shown`` False waits in the column chooser."""

    name: str
    cell: Callable[[Row], object]
    numeric: bool = False
    shown: bool = True
    wraps: bool = False


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter above a table: ``choices`` draws a list, ``is_date`` a day in UTC, neither a text field.

    ``name`` is what the console calls it, ``shows`` what people read of a choice.
    """

    name: str
    label: str
    choices: tuple[str, ...] = ()
    is_date: bool = False
    shows: Callable[[str], str] = str


@dataclass(frozen=True, slots=True)
class Stored(Generic[Row]):
    """A table of stored rows: where its pages come from, and what it says while it has none.

    ``load(page, size, filters)`` counts pages from one; ``export`` is the name the console exports it under;
    ``ordered`` says how the rows lie.
    """

    key: str
    columns: tuple[Column[Row], ...]
    load: Callable[[int, int, Mapping[str, str]], PageOf[Row]]
    nothing: str
    filters: tuple[Filter, ...] = ()
    export: str = ""
    fixed: tuple[tuple[str, str], ...] = ()
    ordered: str = "newest first"


def html(columns: Sequence[Column[Row]], rows: Sequence[Row], nothing: str = "Nothing here.") -> Html:
    """The table as safe HTML; numbers right-aligned; ``nothing`` fills an empty one in words.

    On a telephone each row of a wide one becomes a block in which every value stands under its heading.
    """
    stacks = len(columns) >= _WIDE or (len(columns) > _PAIR and any(column.wraps for column in columns))
    head = "".join(f"<th{_class(column, '')}>{safe(column.name)}</th>" for column in columns)
    if not rows:
        body = f'<tr><td class="qd-empty" colspan="{len(columns)}">{safe(nothing)}</td></tr>'
    else:
        body = "".join(_row(columns, row, stacks) for row in rows)
    kind = "qd qd-stack" if stacks else "qd"
    drawn = f'<table class="{kind}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    return Html(f'<div class="qd-scroll">{drawn}</div>')


def _row(columns: Sequence[Column[Row]], row: Row, stacks: bool) -> str:
    cells = (
        f"<td{_class(column, 'qd-wrap')}{_heading(column) if stacks else ''}>{safe(column.cell(row))}</td>"
        for column in columns
    )
    return f"<tr>{''.join(cells)}</tr>"


def _heading(column: Column[Row]) -> str:
    return f' data-heading="{safe(column.name)}"'


def _class(column: Column[Row], wrapping: str) -> str:
    names = ("qd-num" if column.numeric else "", wrapping if column.wraps else "")
    filled = " ".join(name for name in names if name)
    return f' class="{filled}"' if filled else ""


def draw(columns: Sequence[Column[Row]], rows: Sequence[Row], nothing: str = "Nothing here.") -> None:
    """Draw rows that are already in hand, such as those of a snapshot, in the columns that are shown."""
    st.html(html([column for column in columns if column.shown], rows, nothing))


def stored(console: ConsolePort, build: Callable[[ConsolePort], Stored[Row]], every_s: float) -> None:
    """Draw a table of stored rows that refreshes in place, and under it the button that makes its CSV."""
    live(_refreshed, every_s=every_s)(console, build)
    table = build(console)
    if table.export:
        label = "CSV of all rows that match"
        export.offer(Export(f"{table.key}-csv", label, lambda: _exported(console, table)))


def _refreshed(console: ConsolePort, build: Callable[[ConsolePort], Stored[Row]]) -> None:
    paged(build(console))


def _exported(console: ConsolePort, table: Stored[Row]) -> tuple[str, bytes]:
    return console.export_csv(table.export, chosen_filters(table))


def paged(table: Stored[Row]) -> None:
    """Draw one page of stored rows, newest first, under its filters."""
    with st.container(horizontal=True, vertical_alignment="bottom", key=f"{table.key}-tools"):
        for item in table.filters:
            _draw_filter(_filter_key(table, item), item)
        columns = _chosen_columns(table)
    page = _load(table, chosen_filters(table))
    st.html(html(columns, page.rows, table.nothing))
    _footer(table, page)


def chosen_filters(table: Stored[Row]) -> dict[str, str]:
    """The filters as the console takes them: those that are set, and those the table always has."""
    chosen = {item.name: _value(st.session_state.get(_filter_key(table, item))) for item in table.filters}
    return {**dict(table.fixed), **{name: value for name, value in chosen.items() if value}}


def _filter_key(table: Stored[Row], item: Filter) -> str:
    return f"{table.key}-filter-{item.name}"


def _value(chosen: object) -> str:
    if isinstance(chosen, date):
        return f"{chosen.isoformat()}T00:00:00+00:00"
    return str(chosen or "").strip()


def _draw_filter(key: str, item: Filter) -> None:
    if item.is_date:
        st.date_input(
            item.label, value=None, min_value=_EPOCH, key=key, format="YYYY-MM-DD", persist_state="session", width=150
        )
    elif item.choices:
        st.selectbox(
            item.label,
            item.choices,
            index=None,
            placeholder="all",
            key=key,
            persist_state="session",
            width=190,
            format_func=item.shows,
        )
    else:
        st.text_input(item.label, key=key, placeholder="any", persist_state="session", width=160)


def _chosen_columns(table: Stored[Row]) -> tuple[Column[Row], ...]:
    names = [column.name for column in table.columns]
    with st.popover("Columns"):
        chosen = st.multiselect(
            "Columns shown",
            names,
            default=[column.name for column in table.columns if column.shown],
            key=f"{table.key}-columns",
            persist_state="session",
        )
    return tuple(column for column in table.columns if column.name in chosen) or table.columns[:1]


def _load(table: Stored[Row], filters: Mapping[str, str]) -> PageOf[Row]:
    page = table.load(int(st.session_state.get(f"{table.key}-page", 1)), PAGE_SIZE, filters)
    if page.rows or page.total == 0:
        return page
    return table.load(1, PAGE_SIZE, filters)


def _footer(table: Stored[Row], page: PageOf[Row]) -> None:
    count = max(1, -(-page.total // PAGE_SIZE))
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.caption(f"{page.total:,} row{'' if page.total == 1 else 's'}, {table.ordered}")
        if count > 1:
            st.pagination(count, key=f"{table.key}-page", max_visible_pages=5)
