"""Files to take away: made when asked for, kept until they can be saved, and an error where they cannot be made.

A file made lazily by the download button itself would be thrown away by the next live refresh, before or while the
browser fetches it; and a failure to make it would not be said.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import streamlit as st

from pages import format as fmt
from pages.guard import alone


@dataclass(frozen=True, slots=True)
class Export:
    """A file: ``make`` returns its name and bytes, ``kind`` is its media type; ``key`` names its place.

    ``of`` names what it is a file of: while that stays the same, the file is kept through every refresh of the page.
    Without it the file goes when the page is drawn again.
    """

    key: str
    label: str
    make: Callable[[], tuple[str, bytes]]
    kind: str = "text/csv"
    of: str = ""


def offer(export: Export) -> None:
    """Draw the button that makes the file, then the one that saves it."""
    alone(_offer)(export)


def _offer(export: Export) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        asked = st.button(export.label, key=export.key)
        made = _made(export, asked)
        if made is None:
            return
        name, content = made
        st.download_button(
            f"Save {name} · {fmt.size(len(content))}",
            data=content,
            file_name=name,
            mime=export.kind,
            key=f"{export.key}-save",
            type="primary",
            on_click="ignore",
        )


def _made(export: Export, asked: bool) -> tuple[str, bytes] | None:
    """The file: made now, or still kept from when it was asked for."""
    state, slot = st.session_state, f"{export.key}-made"
    if asked:
        state.pop(slot, None)
        state[slot] = (export.of, *export.make())
    of, name, content = state.get(slot, ("", "", b""))
    if not asked and (not export.of or of != export.of):
        state.pop(slot, None)
        return None
    return str(name), bytes(content)
