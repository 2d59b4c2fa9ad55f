"""Draws a page with a stand-in console inside the test script runner and reads back what a person would see."""

from __future__ import annotations

import re

from streamlit.testing.v1 import AppTest

from tests.pages.fake_console import FakeConsole

_TAGS = re.compile(r"<[^>]+>")


def _script(console: object, page: str) -> None:
    import importlib

    from pages import header
    from pages.guard import guarded

    if page != "header":
        guarded(importlib.import_module(f"pages.{page}").render)(console)
    else:
        header.render(console)


def opened(page: str, console: FakeConsole, **state: object) -> AppTest:
    """The page after its first run; ``state`` seeds the session."""
    at = AppTest.from_function(_script, args=(console, page), default_timeout=20)
    for name, value in state.items():
        at.session_state[name.replace("__", "-")] = value
    return at.run()


def text(at: AppTest) -> str:
    """Everything on the page as plain text."""
    kinds = (at.markdown, at.html, at.caption, at.error, at.header, at.subheader)
    parts = [str(item.value if hasattr(item, "value") else item.proto.body) for kind in kinds for item in kind]
    return " ".join(_TAGS.sub(" ", part) for part in parts)


def errors(at: AppTest) -> str:
    """What the page shows as errors."""
    assert not at.exception, [item.value for item in at.exception]
    return " ".join(str(item.value) for item in at.error)
