"""Buttons that send one command: an id kept until it is used, one idempotent submit, a receipt that polls."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from engine.domain.commands import CommandBody, CommandStatus, Receipt, Role
from engine.domain.facade import ConsolePort
from pages import format as fmt
from pages import parts, theme
from pages.access import missing_role_for
from pages.guard import attempt, guarded, live

HOLD_S = 2.0
"""How long a used button keeps its id: the second half of a double click must meet the same id, not a fresh one."""

STOP = "stop"
"""Name of the dialog of the red button, which every other dialog leads to as well."""

_DIALOG = "dialog"
_DIALOG_OF = "dialog-of"


class Proof(Enum):
    """Whether the password is asked again."""

    NEVER = "never"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class Request:
    """What a button will ask for. ``key`` names its place on the page; ``reason_key`` a text field with the reason."""

    key: str
    body: CommandBody
    reason: str
    reason_key: str = ""


@dataclass(frozen=True, slots=True)
class Look:
    """How the button looks; ``blocked`` says why it cannot be pressed now."""

    label: str
    kind: str = "secondary"
    blocked: str = ""
    wide: bool = False


@dataclass(frozen=True, slots=True)
class Question:
    """A dialog that says what will happen before a request is sent; it is opened under the request's key.

    ``after`` says what has become of it in the market: that an order was sent does not mean that it was filled.
    """

    title: str
    lines: tuple[str, ...]
    request: Request
    look: Look
    proof: Proof = Proof.NEVER
    after: Callable[[], str] | None = None


def sent_receipt(console: ConsolePort, key: str) -> Receipt | None:
    """What became of the last command sent under ``key`` in this session, None before that."""
    identity = st.session_state.get(f"sent:{key}")
    return None if identity is None else console.receipt(identity)


def is_sent(console: ConsolePort, key: str) -> bool:
    """Whether there is something to say about the last press: it was stored, or refused at the door."""
    return bool(st.session_state.get(f"failed:{key}")) or sent_receipt(console, key) is not None


def is_held(console: ConsolePort, key: str) -> bool:
    """Whether the button's id was used a moment ago or is still being carried out."""
    identity = st.session_state.get(f"sent:{key}")
    if identity is None or identity != st.session_state.get(f"command:{key}"):
        return False
    receipt = console.receipt(identity)
    if receipt is None:
        return False
    seen_s = st.session_state.setdefault(f"seen:{key}", time.monotonic())
    return receipt.status is CommandStatus.PENDING or time.monotonic() - float(seen_s) < HOLD_S


def command_id(console: ConsolePort, key: str) -> str:
    """The id bound to this button; a new one only after the last was answered and the hand has left the button."""
    slot = f"command:{key}"
    used = st.session_state.get(slot) == st.session_state.get(f"sent:{key}") and not is_held(console, key)
    if slot not in st.session_state or (used and sent_receipt(console, key) is not None):
        st.session_state[slot] = console.new_command_id()
        st.session_state.pop(f"seen:{key}", None)
    return str(st.session_state[slot])


def send(console: ConsolePort, identity: str, request: Request) -> None:
    """Button callback: read the reason, then one idempotent submit; nothing may come between that can be cut."""
    key, state = request.key, st.session_state
    typed = str(state.get(request.reason_key, "")).strip() if request.reason_key else ""
    state[f"sent:{key}"] = identity
    state.pop(f"failed:{key}", None)
    done, said = attempt(lambda: console.submit(identity, request.body, typed or request.reason).detail)
    if not done:
        state[f"failed:{key}"] = said


def command_button(console: ConsolePort, request: Request, look: Look) -> None:
    """A button that sends ``request`` once; greyed with its reason for those who may not."""
    identity = command_id(console, request.key)
    blocked = missing_role_for(console.actor, type(request.body)) or look.blocked
    st.button(
        look.label,
        key=f"send-{request.key}",
        type="primary" if look.kind == "primary" else "secondary",
        disabled=bool(blocked) or is_held(console, request.key),
        help=blocked or None,
        on_click=send,
        args=(console, identity, request),
        width="stretch" if look.wide else "content",
    )


def receipt_line(console: ConsolePort, key: str, after: Callable[[], str] | None = None) -> None:
    """One line under a button: refused at the door, waiting, done or refused by the engine.

    Draw it in a live part: nothing here asks for another run, since a rerun asked for by a refresh can meet one asked
    for by a hand, and the page would then be put together from both.
    """
    failure = st.session_state.get(f"failed:{key}")
    if failure:
        st.error(f"Not sent. {failure}")
    else:
        draw_receipt(sent_receipt(console, key), after)


def draw_receipt(receipt: Receipt | None, after: Callable[[], str] | None = None) -> None:
    """Say what became of a command; nothing where none was sent. ``after`` speaks for the market once it was sent."""
    if receipt is None:
        return
    detail = fmt.sentence(fmt.named(receipt.detail))
    match receipt.status:
        case CommandStatus.PENDING:
            parts.notice(f"Stored. Waiting for the engine to carry it out. {detail}".rstrip(), "warn")
        case CommandStatus.DONE:
            parts.notice(f"Done. {detail}" if after is None else f"{after()} {detail}.", "good")
        case CommandStatus.REFUSED:
            parts.notice(f"Refused, nothing was changed. {detail}", "warn")
        case CommandStatus.UNKNOWN:
            parts.notice(f"Not known whether it was done. {detail}", "stop")


def open_dialog(name: str, subject: str = "") -> None:
    """Button callback: show the dialog of that name at the next run, with a command id of its own."""
    for slot in ("sent", "command", "seen", "failed"):
        st.session_state.pop(f"{slot}:{name}", None)
    st.session_state[_DIALOG] = name
    st.session_state[_DIALOG_OF] = subject


@dataclass(frozen=True, slots=True)
class Opener:
    """A button that opens the dialog ``name`` about ``subject``; ``blocked`` says why it cannot."""

    key: str
    label: str
    name: str
    subject: str = ""
    blocked: str = ""
    tip: str = ""


def opener(look: Opener) -> None:
    """Draw the button inside a live part; the dialog itself is drawn by the page."""
    pressed = st.button(
        look.label,
        key=look.key,
        disabled=bool(look.blocked),
        help=look.blocked or look.tip or None,
        on_click=open_dialog,
        args=(look.name, look.subject),
    )
    if pressed:
        st.rerun(scope="app")


def close_dialog() -> None:
    """Show no dialog at the next run."""
    st.session_state.pop(_DIALOG, None)
    st.session_state.pop(_DIALOG_OF, None)


def dialog_subject(name: str) -> str | None:
    """What the open dialog of that name is about, None while it is closed."""
    return str(st.session_state.get(_DIALOG_OF, "")) if st.session_state.get(_DIALOG) == name else None


def show_dialog(title: str, draw: Callable[[], None]) -> None:
    """Draw a dialog that stays until it is dismissed, whatever reruns around it.

    It covers the header, so that every one but the red button's own has that button at its foot.
    """
    theme.inject_scheme()
    covers_stop = dialog_subject(STOP) is None  # as it was drawn: when its button is pressed, STOP is open already
    st.dialog(title, width="medium", on_dismiss=close_dialog)(_above_the_page)(draw, covers_stop)


def _above_the_page(draw: Callable[[], None], covers_stop: bool) -> None:
    guarded(draw)()
    if covers_stop:
        guarded(_stop_foot)()


def _stop_foot() -> None:
    with st.container(key="qd-dialog-foot", horizontal=True, vertical_alignment="center"):
        st.html('<span class="qd-dim">This window covers the red button of the page. Here it is too.</span>')
        pressed = st.button(
            "■ STOP",
            key="stop-open-above",
            help="Leaves this window, in which nothing is sent, and says what a stop will do",
            on_click=open_dialog,
            args=(STOP,),
        )
    if pressed:
        st.rerun()


def ask(console: ConsolePort, question: Question) -> None:
    """Draw the question if its dialog is open: what will happen, why, proof of identity where needed, the button."""
    if dialog_subject(question.request.key) is not None:
        show_dialog(question.title, lambda: ask_inside(console, question))


def ask_inside(console: ConsolePort, question: Question) -> None:
    """The same inside a dialog that is already being drawn; once it is answered, only the answer is left."""
    request = question.request
    answered = sent_receipt(console, request.key) is not None
    if answered:
        answered_mark()
    else:
        with asked(request.key):
            _question(console, question)
    live(receipt_line)(console, request.key, question.after)
    close_button(request.key, answered)


def asked(key: str) -> DeltaGenerator:
    """One block for everything a dialog asks, so that the answer takes the place of all of it at once."""
    return st.container(key=f"asked-{key}")


def answered_mark() -> None:
    """Hide what a dialog asked, also where a run that a second click cut short left it on the screen."""
    st.html('<span class="qd-answered"></span>')


def close_button(key: str, answered: bool) -> None:
    """The way out of a dialog."""
    if st.button("Close" if answered else "Back", key=f"close-{key}", on_click=close_dialog):
        st.rerun()


def _question(console: ConsolePort, question: Question) -> None:
    request, look = question.request, question.look
    if question.lines:
        st.html(parts.bullets(question.lines))
    if request.reason_key:
        st.text_input("Reason (goes into the audit trail)", key=request.reason_key, placeholder=request.reason)
    if question.proof is Proof.ALWAYS and not step_up(console, request.key):
        look = Look(look.label, look.kind, "Prove your password first", look.wide)
    command_button(console, request, look)


def step_up(console: ConsolePort, place: str) -> bool:
    """Whether the password was proven in the last minutes; draws the field that proves it where it was not."""
    if console.stepped_up():
        parts.notice("Password proven a moment ago; it counts for a few minutes.", "good")
        return True
    key = f"step-up-password-{place}"
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.text_input("Your password, again", type="password", key=key, width=280, autocomplete="current-password")
        st.button("Prove it is you", key=f"step-up-{place}", on_click=_prove, args=(console, key))
    failure = st.session_state.get(f"failed:{key}")
    if failure:
        st.error(f"Not proven. {failure}")
    return False


def _prove(console: ConsolePort, key: str) -> None:
    state = st.session_state
    password, state[key] = str(state.get(key, "")), ""
    state.pop(f"failed:{key}", None)

    def prove() -> str:
        console.step_up(password)
        return ""

    done, said = attempt(prove)
    if not done:
        state[f"failed:{key}"] = said


def unproven(console: ConsolePort, place: str, needed: Role) -> str:
    """Why acts that need the password again cannot be done yet, with the field to prove it; empty once they can."""
    if not console.actor.role.allows(needed):
        return ""
    return "" if step_up(console, place) else "Prove your password first"
