"""The server's own settings, on which the gate and the pages rely."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from engine.api.gate import SESSION_HEADER, USER_HEADER

CONFIG = tomllib.loads((Path(__file__).resolve().parents[2] / ".streamlit" / "config.toml").read_text())


@pytest.mark.parametrize(
    ("section", "name", "value"),
    [
        ("server", "address", "127.0.0.1"),
        ("server", "headless", True),
        ("server", "fileWatcherType", "none"),
        ("server", "runOnSave", False),
        ("server", "enableCORS", True),
        ("server", "enableXsrfProtection", True),
        ("server", "enableStaticServing", False),
        ("server", "enableAgentApi", False),
        ("client", "showErrorDetails", "none"),
        ("client", "toolbarMode", "minimal"),
        ("browser", "gatherUsageStats", False),
    ],
)
def test_ses_12_server_settings_are_the_safe_ones(section: str, name: str, value: object) -> None:
    assert CONFIG[section][name] == value


def test_identity_headers_are_the_ones_the_gate_sets() -> None:
    mapped = {header.lower().encode(): key for header, key in CONFIG["server"]["trustedUserHeaders"].items()}
    assert mapped == {USER_HEADER: "name", SESSION_HEADER: "session"}


def test_page_tests_can_seed_the_identity() -> None:
    def page() -> None:
        import streamlit as st

        st.write(f"{st.user.name} in session {st.user['session']}")

    test = AppTest.from_function(page)
    test.user = {"name": "owner", "session": "handle"}
    test.run()
    assert test.markdown[0].value == "owner in session handle"
