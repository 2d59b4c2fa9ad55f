"""What a browser test serves: the whole console over a stand-in that writes down every command it is given."""

from __future__ import annotations

import streamlit as st

from pages import frame
from tests.pages.served_state import CONSOLE

if __name__ == "__main__":
    st.set_page_config(page_title="Quarterdeck", page_icon=frame.ICON, layout="wide", initial_sidebar_state=208)
    frame.run(CONSOLE)
