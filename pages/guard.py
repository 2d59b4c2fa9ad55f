"""The frame around everything that draws: an error is shown as an error, and the part that failed stops there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import ParamSpec

import streamlit as st
import structlog

from engine.domain.errors import (
    AccessDenied,
    BadInput,
    CommandRefused,
    EngineError,
    NotRunning,
    QuarterdeckError,
    StorageError,
    VenueAmbiguous,
    VenueError,
)
from pages import format as fmt

Given = ParamSpec("Given")

_log = structlog.get_logger("engine.pages")

_ADVICE: tuple[tuple[type[QuarterdeckError], str, str], ...] = (
    (AccessDenied, "Not allowed.", "Nothing was changed. Sign in with a role that may, or ask an admin."),
    (BadInput, "A value cannot be used.", "Nothing was changed. Correct the value and try again."),
    (CommandRefused, "The engine refused.", "Nothing was changed. Its state is in the header of this page."),
    (
        VenueAmbiguous,
        "The exchange gave no proof.",
        "The order counts as UNKNOWN and blocks its instrument until settled.",
    ),
    (VenueError, "The exchange could not be used.", "No order was sent. See Health for its state, then try again."),
    (
        StorageError,
        "A record could not be read or written.",
        "What depended on it was not done. See Health and the log.",
    ),
    (NotRunning, "No engine is running.", "No order is placed or watched by Quarterdeck now. Start it, then reload."),
    (EngineError, "The engine cannot answer.", "Nothing was changed. See Health and the log."),
)


def explain(error: QuarterdeckError) -> str:
    """What happened, what was not done, what to do."""
    for kind, happened, way_out in _ADVICE:
        if isinstance(error, kind):
            return f"**{happened}** {said(error)}  \n{way_out}"
    return f"**Something went wrong.** {said(error)}  \nNothing was changed."


def said(error: QuarterdeckError) -> str:
    """What an error says, as a sentence for people.

    >>> said(BadInput("the label is empty"))
    'The label is empty.'
    """
    text = fmt.sentence(str(error).strip())
    return text if text.endswith((".", "!", "?")) else f"{text}."


def guarded(draw: Callable[Given, None]) -> Callable[Given, None]:
    """Draw, or show why not: never an empty table in place of an error."""

    @wraps(draw)
    def framed(*args: Given.args, **kwargs: Given.kwargs) -> None:
        try:
            draw(*args, **kwargs)
        except QuarterdeckError as error:
            note = _log.debug if isinstance(error, BadInput) else _log.warning  # a slip of the hand is no event
            note("page_part_not_drawn", part=draw.__qualname__, error=str(error))
            st.error(explain(error))
        except Exception:  # noqa: BLE001 - the page frame: logged, said, and this part stops here
            _log.exception("page_part_failed", part=draw.__qualname__)
            st.error(
                "**This part of the page failed.** What it would have shown is missing, nothing was changed.  \n"
                "The engine goes on by itself. The log on the Audit page has the details; "
                "[/stop](/stop) stops everything."
            )

    return framed


def attempt(deed: Callable[[], str]) -> tuple[bool, str]:
    """Do something inside a button callback: whether it was done, and what to say.

    Nothing may escape a callback: it would take the whole page with it, the red button too.
    """
    try:
        return True, deed()
    except QuarterdeckError as error:
        return False, said(error)
    except Exception:  # noqa: BLE001 - the page frame: logged and said; whether it was done is unknown
        _log.exception("page_act_failed", part=getattr(deed, "__qualname__", "deed"))
        return (
            False,
            "The console failed while doing it; whether it was done is unknown. See Audit before you try again.",
        )


def tabs(key: str, panes: Mapping[str, Callable[[], None]]) -> None:
    """Tabs of which only the open one is drawn, so that hidden ones cost nothing."""
    for tab, draw in zip(st.tabs(list(panes), key=key, on_change="rerun"), panes.values(), strict=True):
        if tab.open:
            with tab:
                guarded(draw)()


def alone(draw: Callable[Given, None]) -> Callable[Given, None]:
    """The same, redrawn by itself when something in it is touched, without the rest of the page.

    Only for parts whose fields stay the same: Streamlit 1.67 forgets that such a part has ended where another one
    begins before the browser was told, and what it no longer draws stays on the page as if it were still meant.
    """
    return st.fragment(guarded(draw))


def live(draw: Callable[Given, None], every_s: float = 1.0) -> Callable[Given, None]:
    """The same, redrawn in place every ``every_s`` seconds while the page is open."""
    return st.fragment(guarded(draw), run_every=every_s)
