"""Settings: how figures are shown, people and sessions, backups, and what is in force."""

from __future__ import annotations

from dataclasses import replace
from zoneinfo import available_timezones

import streamlit as st

from engine.domain.commands import Role
from engine.domain.errors import BadInput
from engine.domain.facade import ConsolePort
from engine.domain.operations_views import BackupRow, SessionRow, SettingRow, UserRow
from pages import actions, appearance, confirm, jobs, parts, tables
from pages import format as fmt
from pages.access import missing_role
from pages.actions import Act
from pages.format import Html
from pages.guard import guarded, live, tabs
from pages.tables import Column

_CURRENCIES = ("BTC", "ETH", "USD", "EUR", "GBP", "AUD", "CHF", "JPY")
DENSITIES = ("compact", "roomy")
_SECRETS = ("own-password-old", "own-password-new", "own-password-again")


def render(console: ConsolePort) -> None:
    """Draw the page."""
    st.header("Settings", anchor=False)
    guarded(_who)(console)
    tabs(
        "settings-tab",
        {
            "Appearance": lambda: _appearance(console),
            "Password": lambda: _password(console),
            "People": lambda: _people(console),
            "Sessions": lambda: _sessions(console),
            "Backups": lambda: _backups(console),
            "In force": lambda: _in_force(console),
        },
    )


def _who(console: ConsolePort) -> None:
    actor = console.actor
    st.html(f"<div>Signed in as <b>{fmt.safe(actor.name)}</b> {parts.badge(actor.role.value, 'accent')}</div>")


def _appearance(console: ConsolePort) -> None:
    chosen = appearance.current(console)
    zones = ["UTC", *sorted(available_timezones() - {"UTC"})]
    currencies = ["", *_CURRENCIES]
    with st.form("look", border=True):
        first, second, third = st.columns(3)
        first.selectbox(
            "Show equity in this currency too",
            currencies,
            index=_place(currencies, chosen.currency),
            key="look-currency",
            format_func=lambda code: code or "base currency only",
        )
        second.selectbox("Times in tables", zones, index=_place(zones, chosen.zone), key="look-zone")
        third.selectbox("Density", DENSITIES, index=_place(list(DENSITIES), chosen.density), key="look-density")
        actions.submit(console, Act("look-use", "Use now", _used, Role.VIEWER, "look-used", "primary"))
    actions.outcome("look-used")
    st.caption(
        "Ledger, limits and P&L stay in the book's base currency; the other is a conversion, shown with its rate's "
        "source. Charts are in UTC. Dark or light follows the operating system."
    )
    if appearance.can_be_kept(console):
        _keep(console)


def _keep(console: ConsolePort) -> None:
    blocked = confirm.unproven(console, "settings", Role.ADMIN)
    act = Act("look-keep", "Keep for everyone from the next start", lambda: _kept(console), Role.ADMIN, blocked=blocked)
    actions.button(console, act)
    actions.outcome("look-keep")


def _place(options: list[str], value: str) -> int:
    return options.index(value) if value in options else 0


def _used() -> str:
    state = st.session_state
    wished = (str(state.get(f"look-{part}", "")) for part in ("currency", "zone", "density"))
    appearance.use(appearance.Appearance(*wished))
    return "In use for this session."


def _kept(console: ConsolePort) -> str:
    for name, value in appearance.as_settings(appearance.current(console)):
        console.change_setting(name, value)
    return "Stored; everyone sees it from the next start."


def _password(console: ConsolePort) -> None:
    with st.form("own-password", border=True, width=460):
        st.subheader("Change your password", anchor=False)
        st.text_input("Present password", type="password", key=_SECRETS[0], autocomplete="current-password")
        st.text_input("New password", type="password", key=_SECRETS[1], autocomplete="new-password")
        st.text_input("New password, again", type="password", key=_SECRETS[2], autocomplete="new-password")
        st.caption(
            "At least 12 characters; a few unrelated words are best. "
            "All your sessions end, this one too: sign in again with the new one."
        )
        label = "Change password"
        act = Act("own-password-button", label, lambda: _own(console), Role.VIEWER, "own-password-done", "primary")
        actions.submit(console, replace(act, secrets=_SECRETS))
    actions.outcome("own-password-done")


def _own(console: ConsolePort) -> str:
    """Take the passwords out of the session before anything can fail."""
    state = st.session_state
    old, new, again = (str(state.get(key, "")) for key in _SECRETS)
    state.update(dict.fromkeys(_SECRETS, ""))
    if not old or not new:
        raise BadInput("enter the present password, and the new one twice")
    if new != again:
        raise BadInput("the two new passwords differ; type the same one twice")
    console.change_password(old, new)
    return "Your password is changed. Sign in again with the new one."


def _people(console: ConsolePort) -> None:
    blocked = missing_role(console.actor, Role.ADMIN)
    if blocked:
        parts.notice(f"People are listed for admins only: {blocked}.", "warn")
        return
    look = appearance.current(console)
    users = console.users()
    unproven = confirm.unproven(console, "people", Role.ADMIN)
    columns: tuple[Column[UserRow], ...] = (
        Column("Name", lambda row: row.name),
        Column("Role", lambda row: row.role.value),
        Column(
            "State",
            lambda row: parts.badge("disabled", "warn") if row.disabled else parts.badge("may sign in", "accent"),
        ),
        Column(f"Added, {look.zone}", lambda row: look.moment(row.created_at)),
        Column(f"Last seen, {look.zone}", lambda row: look.moment(row.last_seen_at)),
    )
    tables.draw(columns, users)
    left, right = st.columns(2, gap="medium")
    with left:
        _add_person(console, unproven)
    with right:
        _change_person(console, users, unproven)
    actions.outcome("people")


def _add_person(console: ConsolePort, unproven: str) -> None:
    with st.form("person-add", border=True):
        st.subheader("Add a person", anchor=False)
        st.text_input("Name", key="person-name", autocomplete="off")
        st.selectbox("Role", [role.value for role in Role], key="person-role")
        st.text_input("First password", type="password", key="person-password", autocomplete="new-password")
        secrets = ("person-password",)
        act = Act(
            "person-add-button", "Add", lambda: _added(console), Role.ADMIN, "people", "primary", unproven, secrets
        )
        actions.submit(console, act)


def _added(console: ConsolePort) -> str:
    state = st.session_state
    password, state["person-password"] = str(state.get("person-password", "")), ""
    name = str(state.get("person-name", "")).strip()
    console.add_user(name, str(state.get("person-role")), password)
    return f"{name} may sign in now."


def _change_person(console: ConsolePort, users: tuple[UserRow, ...], unproven: str) -> None:
    with st.form("person-change", border=True):
        st.subheader("Change a person", anchor=False)
        st.selectbox("Who", [user.name for user in users], key="change-name")
        st.selectbox("Role", ["as it is", *(role.value for role in Role)], key="change-role")
        st.selectbox("Access", ["as it is", "may sign in", "disabled"], key="change-access")
        st.text_input(
            "New password, empty: as it is", type="password", key="change-password", autocomplete="new-password"
        )
        secrets = ("change-password",)
        label = "Change and end their sessions"
        act = Act("person-change-button", label, lambda: _changed(console), Role.ADMIN, "people", "", unproven, secrets)
        actions.submit(console, act)


def _changed(console: ConsolePort) -> str:
    state = st.session_state
    password, state["change-password"] = str(state.get("change-password", "")), ""
    name, role, access = (str(state.get(f"change-{part}", "")) for part in ("name", "role", "access"))
    disabled = {"disabled": True, "may sign in": False}.get(access)
    console.set_user(name, None if role == "as it is" else role, disabled, password or None)
    return f"{name} is changed; their sessions are ended."


def _sessions(console: ConsolePort) -> None:
    look = appearance.current(console)
    for row in console.sessions():
        _session(console, row, look)
    actions.outcome("session")


def _session(console: ConsolePort, row: SessionRow, look: appearance.Appearance) -> None:
    with st.container(horizontal=True, vertical_alignment="center", border=True):
        mark = parts.badge("this one", "accent") if row.current else ""
        seen = f"since {look.moment(row.created_at)}, last seen {look.moment(row.last_seen_at)} {look.zone}"
        st.html(
            f"<div><b>{fmt.safe(row.user)}</b> {mark} · {fmt.safe(row.address)} · {fmt.safe(row.agent)}"
            f'<div class="qd-dim">{fmt.safe(seen)}</div></div>'
        )
        label = "Sign out" if row.current else "End"
        act = Act(f"session-{row.handle}", label, lambda: console.revoke_session(row.handle), Role.VIEWER, "session")
        actions.button(console, act)


def _backups(console: ConsolePort) -> None:
    start = jobs.Start("backup-start", "Back up now", console.start_backup)
    jobs.start_button(console, start)
    jobs.panel(console, ("backup", "restore"))
    live(_archives, every_s=5)(console)
    st.caption(
        "A restore replaces the data folder while no engine runs: stop the console, then `python -m engine restore "
        "NAME`. It verifies the archive and its hash chain first, and starts HALTED."
    )


def _archives(console: ConsolePort) -> None:
    look = appearance.current(console)
    columns: tuple[Column[BackupRow], ...] = (
        Column("Archive", lambda row: row.name),
        Column(f"Made, {look.zone}", lambda row: look.moment(row.created_at)),
        Column("Size", lambda row: fmt.size(row.bytes), numeric=True),
        Column(
            "State",
            lambda row: parts.badge("verified", "accent") if row.verified else parts.badge("not verified", "warn"),
        ),
        Column("Detail", lambda row: row.detail, wraps=True),
    )
    tables.draw(
        columns, console.backups(), "No backup yet. Make one now; it is verified by restoring it into a scratch folder."
    )


def _in_force(console: ConsolePort) -> None:
    columns: tuple[Column[SettingRow], ...] = (
        Column("Setting", lambda row: Html(f'<span class="qd-mono">{fmt.safe(row.name)}</span>')),
        Column("Value", lambda row: row.value),
        Column("From", lambda row: parts.badge(row.source, "dim")),
        Column("What it does", lambda row: row.description, wraps=True),
    )
    tables.draw(columns, console.settings(), "No setting is known.")
    st.caption("Environment goes before console, console before your file, your file before the default.")
