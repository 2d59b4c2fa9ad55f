"""The main walk in a real browser on the real console: first start, trades, import, stop, re-arm, CSV."""

from __future__ import annotations

import csv
import io
import json
import os
import re
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

ROOT = Path(__file__).resolve().parents[1]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PASSWORD = "correct horse battery 9"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PAGES = (
    *("positions", "strategies", "replay", "research", "wallets", "exchanges", "risk"),
    *("tax", "data", "health", "alerts", "audit", "settings"),
)


pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(420),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine; install Debian's chromium"),
]


def until(holds: Callable[[], bool], what: str, wait_s: float = 60.0) -> None:
    """Wait for a condition; fails by name when it does not hold in time."""
    end_s = time.monotonic() + wait_s
    while not holds():
        assert time.monotonic() < end_s, f"did not happen in {wait_s:.0f} s: {what}"
        time.sleep(0.1)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def health(address: str) -> dict[str, Any]:
    try:
        with urllib.request.urlopen(f"{address}/api/v1/health", timeout=2) as answer:
            found: dict[str, Any] = json.load(answer)
            return found
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return {}


@pytest.fixture
def console(tmp_path: Path) -> Iterator[tuple[str, Path, Path]]:
    """The served console with its data folder and its terminal's output."""
    port, log = free_port(), tmp_path / "terminal.log"
    env = {**os.environ, "QUARTERDECK_DATA_DIR": str(tmp_path / "data"), "QUARTERDECK_PORT": str(port)}
    env["QUARTERDECK_DEMO__SPEED"] = "120"
    with log.open("w", encoding="utf-8") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "engine", "console"], cwd=ROOT, env=env, stdout=out, stderr=out
        )
        address = f"http://127.0.0.1:{port}"
        try:
            until(lambda: bool(health(address).get("ready")), "the console is ready", 90)
            yield address, tmp_path / "data", log
        finally:
            process.terminate()
            process.wait(timeout=30)


@pytest.fixture
def page() -> Iterator[Any]:
    sync = pytest.importorskip("playwright.sync_api")
    with sync.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        tab = browser.new_context(viewport={"width": 1440, "height": 1000}, accept_downloads=True).new_page()
        tab.set_default_timeout(30_000)
        yield tab
        browser.close()


def first_start(page: Any, address: str, log: Path) -> None:
    code = re.search(r"\b(?:[A-Z2-9]{5}-){3}[A-Z2-9]{5}\b", log.read_text(encoding="utf-8"))
    assert code is not None, "the terminal shows the one-time code"
    page.goto(f"{address}/first-start")
    page.fill("input[name=code]", code.group())
    page.fill("input[name=name]", "captain")
    for field in page.locator("input[type=password]").all():
        field.fill(PASSWORD)
    page.click("button[type=submit]")
    page.get_by_role("button", name="STOP").wait_for()


def healthy(page: Any) -> None:
    """No part of the page failed, and Streamlit shows no exception."""
    assert page.get_by_test_id("stException").count() == 0
    assert page.get_by_text("This part of the page failed").count() == 0


def drawn(page: Any) -> None:
    """Wait until the page's script has come to its end."""
    page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for(state="attached")


def fills(folder: Path) -> int:
    status = json.loads((folder / "status.json").read_text(encoding="utf-8"))
    return int(status["fills"])


def demo_trades(page: Any, folder: Path) -> None:
    until(lambda: fills(folder) > 0, "the engine trades the simulated market within a minute")
    assert page.get_by_text("SIMULATED").first.is_visible()


def every_page(page: Any, address: str) -> None:
    for name in PAGES:
        page.goto(f"{address}/{name}")
        page.get_by_role("heading", level=2).first.wait_for()
        drawn(page)
        healthy(page)


def candle_file(folder: Path) -> Path:
    path = folder / "BTC_USDT-1h.csv"
    rows = ["timestamp,open,high,low,close,volume"]
    for number in range(3000):
        price = 30000 + (number % 48) * 25 + number
        rows.append(f"{1609459200000 + number * 3600000},{price},{price + 60},{price - 60},{price + 20},120")
    path.write_text("\n".join(rows), encoding="utf-8")
    return path


def import_candles(page: Any, address: str, file: Path) -> None:
    page.goto(f"{address}/data")
    page.get_by_text("Candle files").wait_for()
    page.wait_for_timeout(1500)
    page.set_input_files("input[type=file]", str(file))
    page.get_by_text(file.name, exact=True).wait_for()
    page.get_by_role("textbox", name="Venue").fill("binance")
    page.keyboard.press("Tab")
    page.wait_for_timeout(1500)
    page.get_by_role("combobox", name="Kind").click()
    page.get_by_role("option", name="spot").click()
    page.wait_for_timeout(1500)
    page.get_by_role("button", name=re.compile("^Import")).click()
    page.get_by_text("3,000 candles added").first.wait_for(timeout=60_000)
    healthy(page)


def stop(page: Any, folder: Path) -> None:
    """A double click on the red button is one stop, carried to VERIFIED FLAT."""
    page.get_by_role("button", name="STOP").first.click()
    page.get_by_role("dialog").get_by_role("button", name="Stop everything now").dblclick()
    until(lambda: stop_of(folder).get("flat") is True, "VERIFIED FLAT")
    status = json.loads((folder / "status.json").read_text(encoding="utf-8"))
    assert status["state"] == "HALTED"
    assert status["positions"] == []
    assert status["open_orders"] == 0


def stop_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "status.json").read_text(encoding="utf-8"))["stop"] or {}
    return found


def rearm(page: Any, address: str, folder: Path) -> None:
    page.goto(f"{address}/risk")
    page.get_by_role("button", name=re.compile("^Re-arm")).first.click()
    dialog = page.get_by_role("dialog")
    dialog.locator("input[type=password]").fill(PASSWORD)
    dialog.get_by_role("button", name="Prove it is you").click()
    page.get_by_text("Password proven").wait_for()
    dialog.get_by_role("button", name="Re-arm", exact=True).click()
    until(lambda: json.loads((folder / "status.json").read_text())["state"] == "ACTIVE", "ACTIVE again")


def tax_csv(page: Any, address: str) -> None:
    page.goto(f"{address}/tax")
    page.get_by_role("button", name="CSV of the year").click()
    with page.expect_download() as download:
        page.get_by_role("button", name=re.compile("^Save ")).click()
    text = Path(download.value.path()).read_text(encoding="utf-8-sig")
    rows = list(csv.reader(io.StringIO(text)))
    assert len(rows) > 1, "the stop closed positions, so there are disposals"
    assert any("SIMULATED" in cell for cell in rows[1])


def test_first_start_to_csv_then_everything_works(console: tuple[str, Path, Path], page: Any) -> None:
    address, folder, log = console
    first_start(page, address, log)
    demo_trades(page, folder)
    every_page(page, address)
    import_candles(page, address, candle_file(folder.parent))
    stop(page, folder)
    tax_csv(page, address)
    rearm(page, address, folder)
    healthy(page)
