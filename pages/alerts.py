"""Alerts: what happened, who has seen it, and where it is told."""

from __future__ import annotations

import streamlit as st

from engine.domain.commands import Role
from engine.domain.facade import ConsolePort
from engine.domain.facts import Severity
from engine.domain.operations_views import AlertRow, ChannelView
from pages import actions, appearance, parts, tables
from pages import format as fmt
from pages.actions import Act
from pages.format import Html
from pages.guard import live, tabs
from pages.parts import Card
from pages.tables import Column, Stored

_TONES = {Severity.CRITICAL: "warn", Severity.WARNING: "warn", Severity.INFO: "dim"}
_MARKS = {Severity.CRITICAL: "‼", Severity.WARNING: "!", Severity.INFO: "i"}
_KINDS = ("e-mail", "slack", "sms", "telegram", "webhook")
_MUTE_MINUTES = 60


def render(console: ConsolePort) -> None:
    """Draw the page."""
    st.header("Alerts", anchor=False)
    live(_open, every_s=2)(console)
    tabs(
        "alerts-tab",
        {
            "History": lambda: tables.stored(console, history_table, every_s=10),
            "Channels": lambda: _channels(console),
        },
    )


def _open(console: ConsolePort) -> None:
    page = console.alerts(1, 20, open_only=True)
    counts = {severity: sum(1 for row in page.rows if row.severity is severity) for severity in Severity}
    st.html(
        parts.cards(
            Card(
                severity.value.capitalize(), str(counts[severity]), "open", "warn" if counts[severity] and index else ""
            )
            for index, severity in enumerate(Severity)
        )
    )
    if not page.rows:
        parts.empty(
            "No open alert",
            "Alerts arrive here the moment something needs a person, and through the channels below. Test a channel "
            "before you rely on it.",
        )
    for row in page.rows:
        _alert(console, row)
    actions.outcome("alert")
    if page.total > len(page.rows):
        st.caption(f"{page.total - len(page.rows)} older open alerts are in the history")


def _alert(console: ConsolePort, row: AlertRow) -> None:
    look = appearance.current(console)
    times = f" · {row.count} times since {look.moment(row.first_at)}" if row.count > 1 else ""
    delivered = row.delivered or "not delivered anywhere"
    muted = f" · muted until {look.moment(row.muted_until)}" if row.muted_until else ""
    with st.container(horizontal=True, vertical_alignment="center", border=True, key=f"qd-alert-{row.alert_id}"):
        st.html(
            f"<div>{severity(row)} <b>{fmt.safe(fmt.named(row.title))}</b> "
            f'<span class="qd-dim">{fmt.safe(look.moment(row.last_at))} {look.zone}{fmt.safe(times + muted)}</span>'
            f'<div class="qd-dim">{fmt.safe(fmt.named(row.detail))} · {fmt.safe(delivered)}</div></div>'
        )
        seen = Act(f"ack-{row.alert_id}", "Acknowledge", lambda: _acknowledged(console, row), slot="alert")
        actions.button(console, seen)
        mute = Act(f"mute-{row.alert_id}", "Mute 1 h", lambda: _muted(console, row), slot="alert")
        actions.button(console, mute)


def severity(row: AlertRow) -> Html:
    """Severity by word, mark and hue."""
    return parts.badge(f"{_MARKS[row.severity]} {row.severity.value}", _TONES[row.severity])


def _acknowledged(console: ConsolePort, row: AlertRow) -> str:
    console.acknowledge_alert(row.alert_id)
    return f"Acknowledged: {fmt.named(row.title)}"


def _muted(console: ConsolePort, row: AlertRow) -> str:
    console.mute_alert(row.key, _MUTE_MINUTES)
    return f"{row.key} is recorded but not delivered for {_MUTE_MINUTES} minutes."


def history_table(console: ConsolePort) -> Stored[AlertRow]:
    """Every alert, open or not."""
    look = appearance.current(console)
    columns: tuple[Column[AlertRow], ...] = (
        Column(f"Last, {look.zone}", lambda row: look.moment(row.last_at)),
        Column("Severity", severity),
        Column("What", lambda row: fmt.named(row.title), wraps=True),
        Column("Detail", lambda row: fmt.named(row.detail), wraps=True),
        Column("Book", lambda row: row.book),
        Column("Times", lambda row: str(row.count), numeric=True),
        Column("Acknowledged by", lambda row: row.acknowledged_by or fmt.NONE),
        Column("Delivered", lambda row: row.delivered or fmt.NONE, wraps=True),
        Column("Key", lambda row: row.key, shown=False),
        Column(f"First, {look.zone}", lambda row: look.moment(row.first_at), shown=False),
    )
    return Stored(
        key="alerts",
        columns=columns,
        load=lambda page, size, _: console.alerts(page, size, open_only=False),
        nothing="No alert was ever raised here.",
    )


def _channels(console: ConsolePort) -> None:
    channels = console.channels()
    if not channels:
        parts.empty(
            "Nobody is told",
            "Alerts are only shown in this console. Add a channel, then press Test and see that it arrives.",
        )
    for channel in channels:
        _channel(console, channel)
    actions.outcome("channel")
    _add(console)


def _channel(console: ConsolePort, row: ChannelView) -> None:
    look = appearance.current(console)
    least = f"from {row.minimum_severity.value} up"
    last = f"last: {row.last_result}, {look.moment(row.last_at)}" if row.last_at else "never used"
    with st.container(horizontal=True, vertical_alignment="center", border=True):
        st.html(
            f"<div><b>{fmt.safe(row.label)}</b> {parts.badge(row.kind, 'dim')} {least}"
            f'<div class="qd-dim">{fmt.safe(row.hint)} · {fmt.safe(last)}</div></div>'
        )
        identity = row.channel_id
        test = Act(f"channel-test-{identity}", "Test", lambda: console.test_channel(identity), slot="channel")
        actions.button(console, test)
        gone = Act(
            f"channel-drop-{identity}", "Remove", lambda: console.remove_channel(identity), Role.ADMIN, "channel"
        )
        actions.button(console, gone)


def _add(console: ConsolePort) -> None:
    with st.form("channel", border=True):
        first, second = st.columns(2)
        first.selectbox("Kind", _KINDS, key="channel-kind")
        second.selectbox("From this severity up", [item.value for item in Severity], index=1, key="channel-severity")
        first.text_input("Label", key="channel-label", placeholder="phone")
        second.text_input(
            "Address (Apprise URL)", key="channel-address", type="password", placeholder="tgram://token/chat",
            autocomplete="off",
        )  # fmt: skip
        secrets = ("channel-address",)
        act = Act(
            "channel-add", "Add channel", lambda: _added(console), Role.ADMIN, "channel-new", "primary", "", secrets
        )
        actions.submit(console, act)
    actions.outcome("channel-new")


def _added(console: ConsolePort) -> str:
    """Hand the address over and drop it from the session before anything can fail."""
    state = st.session_state
    address = str(state.get("channel-address", "")).strip()
    state["channel-address"] = ""
    label = str(state.get("channel-label", "")).strip()
    console.add_channel(str(state.get("channel-kind")), label, address, str(state.get("channel-severity")))
    return f"{label or 'The channel'} is added; its address is sealed. Press Test and see that it arrives."
