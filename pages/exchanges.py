"""Exchanges: connect accounts, test them with the exchange's own answer, and feed the paper book with public data."""

from __future__ import annotations

import streamlit as st

from engine.domain.commands import Role
from engine.domain.facade import ConsolePort
from engine.domain.operations_views import ConnectionView, ExchangeView
from engine.domain.portfolio import FeedView
from pages import actions, appearance, confirm, connect, parts, simulator, stages, tables, venue_state
from pages import format as fmt
from pages.actions import Act
from pages.connect import Entry
from pages.format import Html
from pages.guard import guarded, live
from pages.tables import Column


def render(console: ConsolePort) -> None:
    """Draw the page."""
    st.header("Exchanges", anchor=False)
    st.subheader("Markets being watched", anchor=False)
    live(_feeds)(console)
    guarded(simulator.draw)(console)
    blocked = _unproven(console)
    st.subheader("Stages at an exchange", anchor=False)
    guarded(stages.draw)(console, blocked)
    st.subheader("Accounts", anchor=False)
    guarded(_connections)(console, blocked)
    left, right = st.columns(2, gap="medium")
    with left:
        st.subheader("Connect an account", anchor=False)
        guarded(_connect)(console, blocked)
    with right:
        st.subheader("Public market data for the paper book", anchor=False)
        guarded(_paper)(console)
    guarded(stages.dialog)(console)


def _unproven(console: ConsolePort) -> str:
    """Why what needs the password again cannot be done yet; it is asked for once, for everything on the page."""
    blocked = confirm.unproven(console, "exchanges", Role.OPERATOR)
    if blocked:
        st.caption(
            "Starting and stopping the live book, adding keys and forgetting them need it; it then counts for a few "
            "minutes."
        )
    return blocked


def _feeds(console: ConsolePort) -> None:
    rows = [(book.name, feed) for book in console.snapshot().books for feed in book.feeds]
    now, look = fmt.now(), appearance.current(console)
    columns: tuple[Column[tuple[str, FeedView]], ...] = (
        Column("Book", lambda row: row[0]),
        Column("Venue", lambda row: row[1].venue),
        Column("Source", lambda row: parts.simulated_mark(row[1].simulated) or "exchange"),
        Column("State", lambda row: venue_state.state(row[1], now, look), wraps=True),
        Column("Last data, market time, UTC", lambda row: fmt.moment(row[1].last_market_time)),
        Column("Answered", lambda row: venue_state.answered(row[1], now), numeric=True),
        Column("Latency", lambda row: venue_state.latency(row[1]), numeric=True),
        Column("Limit used", lambda row: venue_state.used(row[1]), numeric=True),
        Column("Clock off", lambda row: venue_state.offset(row[1]), numeric=True),
        Column("Detail", lambda row: venue_state.detail(row[1]), wraps=True),
    )
    tables.draw(columns, rows, "No market is being watched. Start public data below, or look at the demo book.")
    for book, feed in rows:
        venue_state.say_unread(book, feed)


def _connections(console: ConsolePort, blocked: str) -> None:
    connections = console.connections()
    if not connections:
        parts.empty(
            "No account connected",
            "Make a key at the exchange that may read and trade but not withdraw, then enter it below. It is sealed at "
            "once and never shown again. Demo and paper need none.",
        )
    for connection in connections:
        _connection(console, connection, blocked)
    actions.outcome("connection")


def _connection(console: ConsolePort, row: ConnectionView, blocked: str) -> None:
    with st.container(horizontal=True, vertical_alignment="center", border=True):
        st.html(
            f"<div><b>{fmt.safe(_title(console, row))}</b> · {fmt.safe(row.label)} {_badges(row)}"
            f'<div class="qd-dim">{fmt.safe(_told(console, row))}</div></div>'
        )
        if not row.has_keys:
            _add_key(console, row, blocked)
            return
        identity = row.connection_id
        test = Act(f"test-{identity}", "Test", lambda: _tested(console, identity), slot="connection")
        actions.button(console, test)
        _forget(console, row, blocked)


def _badges(row: ConnectionView) -> Html:
    """Sandbox or real, and how its key stands."""
    stage = parts.badge("sandbox", "dim") if row.sandbox else parts.badge("real account", "warn")
    if not row.has_keys:
        key = parts.badge("no key yet", "warn")
    elif row.check_ok is None:
        key = parts.badge("not tested", "dim")
    else:
        key = parts.badge("works", "accent") if row.check_ok else parts.badge("does not work", "warn")
    return Html(f"{stage} {key}")


def _told(console: ConsolePort, row: ConnectionView) -> str:
    """What the exchange said of the key and when, and where the account is reached if not at the exchange itself."""
    look = appearance.current(console)
    asked = f"asked {look.moment(row.checked_at)} {look.zone}" if row.checked_at else ""
    if row.has_keys:
        said = (row.check or "Press Test to ask the exchange.", asked)
    else:
        said = ("Described in the settings; nothing is traded there before its key is added.", "")
    return " · ".join(part for part in (*said, f"reached at {row.address}" if row.address else "") if part)


def _add_key(console: ConsolePort, row: ConnectionView, blocked: str) -> None:
    view = next((each for each in console.exchanges() if each.name == row.exchange), None)
    if view is None:
        return
    place = f"connect-{row.connection_id}"
    with st.popover("Add its key…", key=f"{place}-form"):
        st.caption(view.hint)
        connect.form(console, Entry(place, view, row, "connection"), blocked)


def _forget(console: ConsolePort, row: ConnectionView, blocked: str) -> None:
    key = f"forget-{row.connection_id}"
    act = Act(key, "Forget keys", lambda: _forgotten(console, row), Role.ADMIN, "connection", blocked=blocked)
    actions.button(console, act)


def _tested(console: ConsolePort, connection_id: str) -> str:
    answer = console.test_connection(connection_id)
    return f"{_title(console, answer)} {answer.label}: {answer.check}"


def _title(console: ConsolePort, row: ConnectionView) -> str:
    """The exchange of an account as it writes itself."""
    return next((view.title for view in console.exchanges() if view.name == row.exchange), row.exchange)


def _forgotten(console: ConsolePort, row: ConnectionView) -> str:
    console.remove_connection(row.connection_id)
    return f"The sealed keys of {_title(console, row)} {row.label} are gone. Delete the key at the exchange too."


def _connect(console: ConsolePort, blocked: str) -> None:
    known = {view.name: view for view in console.exchanges()}
    name = st.selectbox(
        "Exchange",
        list(known),
        format_func=lambda key: known[key].title,
        key="connect-exchange",
        persist_state="session",
    )
    if name is None:
        parts.notice("This installation offers no exchange.")
        return
    view = known[name]
    st.caption(f"{view.hint} {_sandbox_words(view)}")
    connect.form(console, Entry(connect.NEW, view), blocked)
    actions.outcome(connect.NEW)


def _sandbox_words(view: ExchangeView) -> str:
    if view.has_sandbox:
        return f"{view.title} has a sandbox of its own, with keys of its own."
    return f"{view.title} has no sandbox: an account there is a real one."


def _paper(console: ConsolePort) -> None:
    known = {view.name: view.title for view in console.exchanges()}
    st.caption(
        "Real prices, paper fills, no key needed. Without a network the feed says OFFLINE and nothing is traded."
    )
    with st.form("paper", border=True):
        st.selectbox("Exchange", list(known), format_func=lambda key: known[key], key="paper-exchange")
        st.text_input("Symbols, comma separated", value="BTC/USDT, ETH/USDT", key="paper-symbols")
        st.selectbox("Candles", stages.TIMEFRAMES, key="paper-timeframe")
        act = Act("paper-start", "Start public data", lambda: _started(console), slot="paper", kind="primary")
        actions.submit(console, act)
    actions.button(console, Act("paper-stop", "Stop public data", lambda: _stopped(console), slot="paper"))
    actions.outcome("paper")


def _started(console: ConsolePort) -> str:
    state = st.session_state
    symbols = [part.strip().upper() for part in str(state.get("paper-symbols", "")).split(",") if part.strip()]
    console.start_paper_feed(str(state.get("paper-exchange")), symbols, str(state.get("paper-timeframe")))
    return f"Asked for {', '.join(symbols)}. Its state is in the table above."


def _stopped(console: ConsolePort) -> str:
    console.stop_paper_feed()
    return "The paper book no longer gets public data; its positions stay open and unpriced."
