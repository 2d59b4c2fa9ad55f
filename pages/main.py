"""Entry script of the console: who is asking, then the frame around the page."""

from __future__ import annotations

import streamlit as st
from engine.runtime.host import console_for

from engine.domain.facade import ConsolePort
from pages import frame


def current_console() -> ConsolePort:
    """The console bound to the signed-in person, as the session gate in front of Streamlit named them."""
    return console_for(dict(st.user.to_dict()))


st.set_page_config(page_title="Quarterdeck", page_icon=frame.ICON, layout="wide", initial_sidebar_state=208)
frame.run(current_console())
