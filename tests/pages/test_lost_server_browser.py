"""A console whose server was killed must not look alive in the browser that still shows it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.pages.test_pages_browser import FLAGS, answers, until

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(240),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
]


class Server:
    """A server that can be killed and started again at the same address."""

    def __init__(self, written: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{self._port}"
        self._env = {**os.environ, "PYTHONPATH": str(ROOT), "QUARTERDECK_TEST_COMMANDS": str(written)}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        app = ROOT / "tests" / "pages" / "served_app.py"
        command = [sys.executable, "-m", "streamlit", "run", str(app), "--server.port", str(self._port)]
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen(command, cwd=ROOT, env=self._env, stdout=quiet, stderr=quiet)
        until(lambda: answers(self.address), 60)

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(20)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    served = Server(tmp_path / "commands.jsonl")
    served.start()
    yield served
    served.kill()


@pytest.fixture
def tab(server: Server) -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1440, "height": 800})
        page.goto(server.address)
        page.get_by_role("button", name="STOP").wait_for(timeout=30_000)
        page.wait_for_function("window.quarterdeckWatch === true", timeout=30_000)
        yield page
        browser.close()


def age_s(page: Any) -> float:
    text = str(page.locator(".qd-bar .qd-age").last.inner_text())
    number, unit = text.split()
    return float(number) * {"s": 1, "min": 60}[unit]


def test_page_when_the_server_is_killed_then_a_bar_says_so_and_it_clears_when_it_is_back(
    server: Server, tab: Any
) -> None:
    assert tab.locator("#qd-lost").count() == 0
    assert not tab.evaluate("document.documentElement.classList.contains('qd-frozen')")
    server.kill()
    bar = tab.locator("#qd-lost")
    bar.wait_for(timeout=60_000)
    words = bar.inner_text()
    assert "has not answered since" in words
    assert "make run" in words
    assert "Protective stops that were placed rest at the venue" in words
    until(lambda: float(tab.locator(".qd-badge").first.evaluate("item => getComputedStyle(item).opacity")) < 1, 60)
    before = age_s(tab)
    until(lambda: age_s(tab) > before + 2, 60)
    assert bar.bounding_box()["y"] + bar.bounding_box()["height"] == 800
    server.start()
    until(lambda: tab.locator("#qd-lost").count() == 0, 60)
    until(lambda: not tab.evaluate("document.documentElement.classList.contains('qd-frozen')"), 60)
    quiet_s = time.monotonic() + 3
    until(lambda: time.monotonic() > quiet_s)
    assert tab.locator("#qd-lost").count() == 0
