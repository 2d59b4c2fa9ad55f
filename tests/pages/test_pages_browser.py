"""What only a real browser shows: double clicks, closed tabs, live refresh around open dialogs, foreign requests."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
]


def until(holds: Callable[[], bool], wait_s: float = 20.0) -> None:
    """Wait for a condition; fails when it does not hold in time."""
    end_s = time.monotonic() + wait_s
    while not holds():
        assert time.monotonic() < end_s, "it did not happen in time"
        time.sleep(0.05)


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/_stcore/health", timeout=1) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


class Desk:
    """The served console and a browser in front of it."""

    def __init__(self, address: str, written: Path, browser: Any) -> None:
        self.address = address
        self.browser = browser
        self.asked: list[str] = []
        self._written = written

    def commands(self) -> list[list[str]]:
        """Every submit so far: id, command, reason."""
        if not self._written.exists():
            return []
        return [json.loads(line) for line in self._written.read_text(encoding="utf-8").splitlines()]

    def page(self, name: str, width: int = 1440) -> Any:
        """A new tab on that page, drawn."""
        self._written.unlink(missing_ok=True)
        tab = self.browser.new_page(viewport={"width": width, "height": 800})
        tab.on("request", lambda request: self.asked.append(request.url))
        tab.goto(f"{self.address}/{name}")
        tab.get_by_role("button", name="STOP").wait_for(timeout=30_000)
        tab.locator("[data-testid=stHeading]").first.wait_for(timeout=30_000)
        return tab


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    written = tmp_path_factory.mktemp("served") / "commands.jsonl"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    script = ROOT / "tests" / "pages" / "served_console.py"
    command = [sys.executable, "-m", "streamlit", "run", str(script), "--server.port", str(port)]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "QUARTERDECK_TEST_COMMANDS": str(written)}
    server = subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        until(lambda: answers(address), 60)
        with playwright.sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            yield Desk(address, written, browser)
            browser.close()
    finally:
        server.terminate()
        server.wait(20)


def settled(desk: Desk) -> list[list[str]]:
    """The commands once nothing more is coming: the first has arrived and two seconds have passed."""
    until(lambda: bool(desk.commands()))
    quiet_until_s = time.monotonic() + 2.0
    until(lambda: time.monotonic() > quiet_until_s)
    return desk.commands()


def test_strategy_when_double_clicked_in_a_browser_then_one_command_id(desk: Desk) -> None:
    tab = desk.page("strategies")
    tab.get_by_role("button", name="Pause trend momentum").dblclick()
    assert len({identity for identity, _, _ in settled(desk)}) == 1
    tab.close()


def test_strategy_when_the_tab_closes_right_after_the_click_then_one_command(desk: Desk) -> None:
    tab = desk.page("strategies")
    tab.get_by_role("button", name="Pause trend momentum").click()
    until(lambda: bool(desk.commands()))
    tab.close()
    assert len(settled(desk)) == 1


def test_stop_when_double_clicked_through_live_refresh_then_one_stop_and_the_dialog_stays(desk: Desk) -> None:
    tab = desk.page("positions")
    tab.get_by_role("button", name="STOP").click()
    dialog = tab.get_by_role("dialog")
    dialog.get_by_role("textbox", name="Reason").fill("a drill")
    age = tab.locator(".qd-bar").inner_text()
    until(lambda: tab.locator(".qd-bar").inner_text() != age or bool(tab.locator(".qd-bar").count()))
    dialog.get_by_role("button", name="Stop everything now").dblclick()
    assert {(identity, body, reason) for identity, body, reason in settled(desk)} == {
        (desk.commands()[0][0], "EmergencyStop(book=None)", "a drill")
    }
    assert "already under way" in dialog.inner_text()
    assert dialog.get_by_role("textbox", name="Reason").count() == 0
    assert dialog.get_by_role("button", name="Stop everything now").count() == 0
    assert dialog.get_by_role("button", name="Close", exact=True).count() >= 1
    tab.close()


def test_red_button_when_another_dialog_covers_the_page_then_it_stops_from_inside_it(desk: Desk) -> None:
    tab = desk.page("positions")
    tab.get_by_role("button", name="Close all or part").click()
    dialog = tab.get_by_role("dialog")
    dialog.get_by_role("button", name="STOP").click()
    dialog.get_by_role("button", name="Stop everything now").click()
    assert {body for _, body, _ in settled(desk)} == {"EmergencyStop(book=None)"}
    assert dialog.get_by_role("button", name="Close 100 %").count() == 0
    tab.close()


@pytest.mark.parametrize("width", [1440, 390])
def test_red_button_when_the_page_is_scrolled_then_it_stays_where_it_is(desk: Desk, width: int) -> None:
    tab = desk.page("risk", width)
    button = tab.get_by_role("button", name="STOP")
    before = button.bounding_box()
    tab.locator("[data-testid=stMain]").evaluate("main => main.scrollTo(0, 500)")
    until(lambda: tab.locator("[data-testid=stMain]").evaluate("main => main.scrollTop") > 0)
    assert button.bounding_box() == before
    assert before["x"] + before["width"] > width - 40
    assert tab.locator("[data-testid=stMain]").evaluate("main => main.scrollWidth") <= width
    tab.close()


def test_book_when_chosen_then_it_stays_through_another_page_and_a_reload(desk: Desk) -> None:
    tab = desk.page("positions")
    tab.get_by_role("combobox", name="Book").click()
    tab.get_by_role("option", name="paper").click()
    tab.wait_for_url("**/positions?book=paper")
    tab.get_by_role("link", name="Risk").click()
    tab.wait_for_url("**/risk?book=paper")
    tab.reload()
    tab.locator(".qd-badges", has_text="PAPER").first.wait_for(timeout=30_000)
    assert tab.url.endswith("/risk?book=paper")
    tab.close()


def test_every_page_when_drawn_then_nothing_is_asked_of_another_machine(desk: Desk) -> None:
    for name in ("overview", "positions", "health", "wallets"):
        desk.page("" if name == "overview" else name).close()
    foreign = [url for url in desk.asked if not url.startswith((desk.address, "data:", "blob:"))]
    assert foreign == []


def test_new_study_when_strategies_are_switched_fast_then_only_fields_of_the_last_are_there(desk: Desk) -> None:
    tab = desk.page("research")
    tab.get_by_role("radio", name="Studies").click()
    tab.get_by_role("tab", name="New study").click()
    for title in ("Trend momentum", "Crossing of two averages", "Trend momentum", "Crossing of two averages"):
        tab.get_by_role("combobox", name="Strategy").click()
        tab.get_by_role("option", name=title).click()
    tab.get_by_text("Crossing of two averages in a sentence.").wait_for()
    toggles = tab.locator("[data-testid=stCheckbox]").filter(visible=True)
    until(lambda: toggles.all_inner_texts() == ["Fast average (bars)", "Slow average (bars)", "Share"])
    tab.close()
