"""The form that takes the keys of an account: of a new one, or of one that the settings describe already."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from engine.domain.commands import Role
from engine.domain.errors import BadInput
from engine.domain.facade import ConsolePort
from engine.domain.operations_views import ConnectionView, ExchangeView
from pages import actions
from pages.actions import Act

NEW = "connect"
"""Place of the form for an account that is named there."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A form for keys.

    Attributes
    ----------
    place : str
        What its fields are called after.
    view : ExchangeView
    described : ConnectionView or None
        The account of the settings it is for, whose label and sandbox stand there; None asks for both.
    slot : str
        Where its outcome is shown.
    """

    place: str
    view: ExchangeView
    described: ConnectionView | None = None
    slot: str = NEW


def form(console: ConsolePort, entry: Entry, blocked: str) -> None:
    """Draw the form; ``blocked`` says why nothing can be sent yet."""
    with st.form(entry.place, border=entry.described is None):
        if entry.described is None:
            st.text_input("Label", key=_field(entry, "label"), placeholder="main")
        st.text_input("API key", key=_field(entry, "key"), type="password", autocomplete="off")
        st.text_input("Secret", key=_field(entry, "secret"), type="password", autocomplete="off")
        if entry.view.needs_passphrase:
            st.text_input("Passphrase", key=_field(entry, "passphrase"), type="password", autocomplete="off")
        if entry.view.has_sandbox and entry.described is None:
            st.checkbox("Sandbox of the exchange", value=True, key=f"{entry.place}-sandbox")
        act = Act(
            f"{entry.place}-add",
            "Seal and connect",
            lambda: _connected(console, entry),
            Role.ADMIN,
            entry.slot,
            "primary",
            blocked,
        )
        actions.submit(console, act)


def _field(entry: Entry, name: str) -> str:
    """Key of a field as it is drawn now. One that is to be empty is drawn anew: the browser goes on showing what was
    typed into one that is only set to nothing, and would then send nothing.
    """
    return f"{entry.place}-{name}-{st.session_state.get(f'{entry.place}-drawn-{name}', 0)}"


def _draw_anew(entry: Entry, *names: str) -> None:
    """Drop what was typed into these fields from the session, and draw empty ones at the next run."""
    state = st.session_state
    for name in names:
        state.pop(_field(entry, name), None)
        state[f"{entry.place}-drawn-{name}"] = state.get(f"{entry.place}-drawn-{name}", 0) + 1


def _connected(console: ConsolePort, entry: Entry) -> str:
    """Hand the keys over and drop them from the session before anything can fail; label and API key stay until done."""
    view, known = entry.view, entry.described
    values = {"exchange": view.name, "sandbox": "true" if _is_sandbox(entry) else "false"}
    for name in ("label", "key", "secret", "passphrase"):
        values[name] = str(st.session_state.get(_field(entry, name), "")).strip()
    if known is not None:
        values["label"] = known.label
    _draw_anew(entry, "secret", "passphrase")
    try:
        console.add_connection(values)
    except BadInput as error:
        kept = "Label and API key are kept" if known is None else "The API key is kept"
        raise BadInput(f"{str(error).rstrip('.')}. {kept}; enter the secret again") from error
    _draw_anew(entry, "label", "key")
    named = view.title if known is None else f"{view.title} {known.label}"
    return f"{named} connected; its keys are sealed. Press Test to ask the exchange."


def _is_sandbox(entry: Entry) -> bool:
    if entry.described is not None:
        return entry.described.sandbox
    return bool(st.session_state.get(f"{entry.place}-sandbox")) and entry.view.has_sandbox
