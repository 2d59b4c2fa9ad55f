"""Files to take away: made when asked for, kept until the page is drawn again, and an error where they cannot be made.

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
    """A file: ``make`` returns its name and bytes, ``kind`` is its media type; ``key`` names its place."""

    key: str
    label: str
    make: Callable[[], tuple[str, bytes]]
    kind: str = "text/csv"


def offer(export: Export) -> None:
    """Draw the button that makes the file, then the one that saves it."""
    alone(_offer)(export)


def _offer(export: Export) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        asked = st.button(export.label, key=export.key)
        if not asked:
            return
        name, content = export.make()
        st.download_button(
            f"Save {name} · {fmt.size(len(content))}",
            data=content,
            file_name=name,
            mime=export.kind,
            key=f"{export.key}-save",
            type="primary",
            on_click="ignore",
        )
