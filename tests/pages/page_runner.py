"""Draws a page with a stand-in console inside the test script runner and reads back what a person would see."""

from __future__ import annotations

import html
import re

from streamlit.testing.v1 import AppTest

from tests.pages.fake_console import FakeConsole

_TAGS = re.compile(r"<[^>]+>")
_SPACE = re.compile(r"\s+")

PAGES = (
    "overview",
    "positions",
    "strategies",
    "replay",
    "research",
    "wallets",
    "exchanges",
    "risk",
    "tax",
    "data",
    "health",
    "alerts",
    "audit",
    "settings",
)


def _script(console, page):  # type: ignore[no-untyped-def]
    import importlib

    from pages import header
    from pages.guard import guarded

    if page != "header":
        guarded(importlib.import_module(f"pages.{page}").render)(console)
    else:
        header.render(console)


def opened(page: str, console: FakeConsole, **state: object) -> AppTest:
    """The page after its first run; ``state`` seeds the session (``__`` stands for a hyphen)."""
    at = AppTest.from_function(_script, args=(console, page), default_timeout=30)
    for name, value in state.items():
        at.session_state[name.replace("__", "-")] = value
    return at.run()


def linked(page: str, console: FakeConsole, **query: str) -> AppTest:
    """The page as somebody who follows a link with ``query`` in it sees it first."""
    at = AppTest.from_function(_script, args=(console, page), default_timeout=30)
    for name, value in query.items():
        at.query_params[name] = value
    return at.run()


def text(at: AppTest) -> str:
    """Everything on the page as plain text."""
    kinds = (at.header, at.subheader, at.html, at.markdown, at.caption, at.error)
    parts = [str(getattr(item, "value", "") or item.proto.body) for kind in kinds for item in kind]
    return _SPACE.sub(" ", html.unescape(_TAGS.sub(" ", " ".join(parts))))


def problems(at: AppTest) -> str:
    """What the page shows as errors; nothing may have escaped its frame."""
    assert not at.exception, [item.value for item in at.exception]
    return " ".join(str(item.value) for item in at.error)


def button_keys(at: AppTest) -> set[str]:
    """Keys of every button on the page."""
    return {str(item.key) for item in at.button}
