"""Buttons for acts that are not trading commands: one call of the console, and one line that says what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import streamlit as st

from engine.domain.commands import Role
from engine.domain.facade import ConsolePort
from pages import format as fmt
from pages import parts
from pages.access import missing_role
from pages.guard import attempt

HOLD_S = 2.0
"""A second click this soon is the other half of a double click."""

Deed = Callable[[], str | None]


@dataclass(frozen=True, slots=True)
class Act:
    """A button: ``deed`` does it and may return what to say; ``slot`` is where its outcome is shown.

    ``secrets`` names fields that are emptied even where a click is ignored; the deed empties them itself when it runs.
    """

    key: str
    label: str
    deed: Deed
    needed: Role = Role.OPERATOR
    slot: str = ""
    kind: str = "secondary"
    blocked: str = ""
    secrets: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        """Where the outcome is kept."""
        return self.slot or self.key


def button(console: ConsolePort, act: Act) -> None:
    """Draw the button; greyed with its reason where the person may not."""
    _draw(st.button, console, act)


def submit(console: ConsolePort, act: Act) -> None:
    """The same as the button of a form."""
    _draw(st.form_submit_button, console, act)


def _draw(draw: Callable[..., bool], console: ConsolePort, act: Act) -> None:
    blocked = missing_role(console.actor, act.needed) or act.blocked
    draw(
        act.label,
        key=act.key,
        type="primary" if act.kind == "primary" else "secondary",
        disabled=bool(blocked),
        help=blocked or None,
        on_click=perform,
        args=(act.place, act.deed, act.secrets),
    )


def perform(place: str, deed: Deed, secrets: tuple[str, ...] = ()) -> None:
    """Button callback: once within a double click; what came of it is kept for `outcome`."""
    state = st.session_state
    if time.monotonic() - float(state.get(f"acted:{place}", -HOLD_S)) < HOLD_S:
        state.update({key: "" for key in secrets if key in state})
        return
    state[f"acted:{place}"] = time.monotonic()
    state[f"came:{place}"] = attempt(lambda: deed() or "Done.")


def is_said(place: str) -> bool:
    """Whether an act there has come to something that `outcome` says."""
    return isinstance(st.session_state.get(f"came:{place}"), tuple)


def outcome(place: str) -> None:
    """Say what came of the last act there: the console's own words, or why it was refused."""
    came = st.session_state.get(f"came:{place}")
    if not isinstance(came, tuple):
        return
    done, said = came
    if done:
        parts.notice(fmt.sentence(said), "good")
    else:
        st.error(f"Not done. {said}")
