"""The gate in front of a real Streamlit server, driven by a real browser."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.security.door_fakes import PASSWORD

ROOT = Path(__file__).resolve().parents[2]
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
APP = """
import sys
sys.path.insert(0, {root!r})
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
import streamlit as st
from engine.api.app_parts import build, first_start_notice
from tests.api.api_fakes import FakeHost

class Clock:
    def now(self): return datetime.now(UTC)
    def monotonic(self): return 0.0

host = FakeHost(Path({data!r}), clock=Clock())

@asynccontextmanager
async def lifespan(app):
    host.start()
    print(first_start_notice(host, "http://127.0.0.1"), flush=True)
    yield
    host.stop()

routes, middleware = build(host)
app = st.App("pages/main.py", lifespan=lifespan, routes=routes, middleware=middleware)
"""
PAGE = """
import pandas as pd, plotly.graph_objects as go, streamlit as st
st.title(f"Hello {st.user.name}")
st.write("cookies:", ",".join(sorted(st.context.cookies)))
st.write("handle length", len(st.user["session"]))
frame = pd.DataFrame({"a": range(50), "b": range(50)})
st.dataframe(frame)
st.plotly_chart(go.Figure(go.Scatter(x=frame.a, y=frame.b)))
st.line_chart(frame)
st.latex("a^2")
st.html("<style>.mine{color:teal}</style><b class=mine>styled</b>")
given = st.file_uploader("Candles")
if given:
    st.write("received", len(given.getvalue()))
st.download_button("Tax", "a,b\\n1,2\\n", "tax.csv", "text/csv")
if st.button("Fail"):
    raise RuntimeError("api_key=TOPSECRET")
@st.fragment(run_every=1)
def clock():
    st.write("ticking")
clock()
st.write("END OF PAGE")
"""
WATCH = (
    "window.__violations = []; document.addEventListener('securitypolicyviolation', "
    "e => window.__violations.push(e.violatedDirective + ' ' + e.blockedURI))"
)


@dataclass
class Console:
    """A running server, the code of its first start, and a browser."""

    address: str
    code: str
    browser: Any


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """Start server and browser; skipped where there is no Chromium."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium on this machine; .ci/run installs it")
    api = pytest.importorskip("playwright.sync_api", reason="the browser driver is not installed")
    folder = tmp_path_factory.mktemp("console")
    (folder / "pages").mkdir()
    (folder / "pages" / "main.py").write_text(PAGE)
    (folder / "app.py").write_text(APP.format(root=str(ROOT), data=str(folder / "data")))
    shutil.copytree(ROOT / ".streamlit", folder / ".streamlit")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(port)]
    log = (folder / "log").open("w")
    server = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=log, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    try:
        code = _code(server)
        with api.sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=chromium, args=FLAGS)
            yield Console(f"http://127.0.0.1:{port}", code, browser)
            browser.close()
    finally:
        server.terminate()
        server.wait(15)
        log.close()
        assert server.stdout is not None
        server.stdout.close()


def _code(server: subprocess.Popen[str]) -> str:
    assert server.stdout is not None
    for line in server.stdout:
        if found := re.search(r"[A-Z2-9]{5}(?:-[A-Z2-9]{5}){3}", line):
            return found[0]
    pytest.fail("the server ended before it printed its code")


def _opened(page: Any, address: str) -> None:
    """Open an address, waiting for the server to listen."""
    deadline = time.monotonic() + 20
    while True:
        try:
            page.goto(address)
        except Exception as error:
            if "ERR_CONNECTION_REFUSED" not in str(error) or time.monotonic() > deadline:
                raise
        else:
            return


@pytest.mark.browser
@pytest.mark.timeout(120)
def test_console_when_used_from_first_start_to_revocation_then_everything_works(console: Console) -> None:
    context = console.browser.new_context(viewport={"width": 1280, "height": 2400}, color_scheme="dark")
    page = context.new_page()
    page.add_init_script(WATCH)
    foreign: list[str] = []
    page.on(
        "request",
        lambda r: foreign.append(r.url) if r.url.startswith("http") and console.address not in r.url else None,
    )
    _opened(page, console.address + "/")
    assert page.url.endswith("/first-start")
    page.get_by_label("One-time code").fill(console.code)
    page.get_by_label("Your name").fill("owner")
    page.get_by_role("textbox", name="Password", exact=True).fill(PASSWORD)
    page.get_by_role("textbox", name="Password again").fill(PASSWORD)
    page.get_by_role("button", name="Create account").click()
    page.get_by_text("END OF PAGE").wait_for(timeout=30_000)
    assert page.get_by_role("heading", name="Hello owner").is_visible()
    assert page.get_by_text("cookies: _streamlit_xsrf", exact=True).is_visible(), "our cookie must not reach pages"
    page.get_by_text("ticking").wait_for()
    page.locator("input[type=file]").set_input_files(
        {"name": "c.csv", "mimeType": "text/csv", "buffer": b"x" * 300_000}
    )
    page.get_by_text("received 300000").wait_for()
    with page.expect_download() as download:
        page.get_by_role("button", name="Tax").click()
    assert Path(download.value.path()).read_bytes() == b"a,b\n1,2\n"
    stranger = console.browser.new_context()
    assert stranger.request.get(download.value.url).status == 401
    page.get_by_role("button", name="Fail").click()
    page.get_by_test_id("stException").wait_for()
    assert "TOPSECRET" not in page.content()
    assert page.evaluate("window.__violations") == []
    assert foreign == []
    flags = {(c["name"], c["httpOnly"], c["sameSite"]) for c in context.cookies() if c["name"] == "qd"}
    assert flags == {("qd", True, "Strict")}
    other = context.new_page()
    other.goto(console.address + "/signout")
    other.get_by_role("button", name="Sign out").click()
    started = time.monotonic()
    page.wait_for_url("**/signin?ended=1", timeout=5_000)
    assert time.monotonic() - started < 1.5
    stranger.close()
    context.close()


@pytest.mark.browser
@pytest.mark.timeout(60)
@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_sign_in_page_on_a_phone_then_fits_and_can_be_used_by_keyboard(console: Console, scheme: str) -> None:
    context = console.browser.new_context(viewport={"width": 390, "height": 844}, color_scheme=scheme)
    page = context.new_page()
    page.add_init_script(WATCH)
    _opened(page, console.address + "/signin")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.evaluate("window.__violations") == []
    assert page.evaluate("getComputedStyle(document.querySelector('input')).fontSize") == "16px"
    page.locator("input:visible").first.focus()
    page.keyboard.type("nobody")
    page.keyboard.press("Tab")
    page.keyboard.type("not the password")
    page.locator("button").first.scroll_into_view_if_needed()
    assert page.locator("button").first.is_visible()
    context.close()
