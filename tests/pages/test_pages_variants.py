"""Every page in every state a console can be in: nothing escapes its frame, and the page says what it must."""

from __future__ import annotations

import pytest

from engine.domain.commands import Role
from tests.pages.fake_console import FakeConsole
from tests.pages.page_runner import PAGES, opened, problems, text

VARIANTS = {
    "full": {},
    "empty": {"empty": True},
    "stale": {"stale_s": 42.0},
    "stopping": {"stop": "running"},
    "flat": {"stop": "flat"},
    "viewer": {"role": Role.VIEWER},
}

SAYS = {
    "overview": ("Equity", "Drawdown", "P&L this month", "SIMULATED", "SOL/USDT", "Mean reversion", "critical"),
    "positions": ("no stop", "no trusted price", "UNKNOWN", "▲ +47.67", "▼ −13.93", "mid"),
    "strategies": ("Trend momentum", "running", "By hand", "27 of 44", "10,432.18 USDT"),
    "replay": ("Final equity", "14,210.55", "9f2c4be19f2c", "640 fills", "no promise", "latch: flatten and stop"),
    "research": (
        "Not distinguishable from luck",
        "better than 81 % of random entries",
        "11,832.25",
        "buy and hold 121.00 %",
        "no trade has lost",
        "−0.42 to 2.17",
        "a result of the past, no promise",
    ),
    "wallets": (
        "118.03 EUR is your own and is never traded",
        "SIMULATED",
        "no price, not counted",
        "PEPE",
        "By venue",
        "demo-b",
        "last close",
    ),
    "exchanges": ("spot trading allowed", "not tested", "sandbox", "online", "4.0 ms"),
    "risk": ("103 % reached", "unknown", "flatten and latch", "COVID crash", "concentration", "31.2 %", "25 %"),
    "tax": (
        "short closed",
        "funding received",
        "Fees inside both, USDT",
        "FIFO",
        "no earlier purchase",
        "SIMULATED fills",
        "not tax advice",
    ),
    "data": ("52,608", "48 in 6", "BTC_USDT-1h.parquet", "100.00 %"),
    "health": ("OVER its threshold", "not measured", "92.4", "threshold 85.0 %", "Engine up"),
    "alerts": ("demo-b is silent", "3 times since", "telegram: delivered", "Acknowledged by"),
    "audit": ("Order decided", "5,000", "<b>&", "312 rows"),
    "settings": ("sam", "admin", "base currency"),
}

TEACHES = {
    "overview": ("No equity recorded", "help-No market connected", "help-No strategy in this book"),
    "positions": ("Nothing traded yet", "help-Nothing traded yet"),
    "strategies": ("No strategy has traded", "run-momentum"),
    "replay": ("Nothing to replay yet", "help-Nothing to replay yet"),
    "research": ("Nothing to test yet", "help-Nothing to test yet"),
    "wallets": ("No balance found", "help-No balance found"),
    "exchanges": ("No account connected", "connect-add"),
    "data": ("No candles stored yet", "import"),
    "tax": ("No disposal in", "help-No disposal in"),
    "health": ("No sample of CPU",),
    "alerts": ("No open alert",),
    "audit": ("No journal row matches",),
    "risk": ("No limit is reported", "nothing but cash is held"),
}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("page", PAGES)
def test_page_when_drawn_in_any_state_then_nothing_escapes(page: str, variant: str) -> None:
    at = opened(page, FakeConsole(**VARIANTS[variant]))  # type: ignore[arg-type]
    assert problems(at) == ""
    assert at.header[0].value.lower() == page


@pytest.mark.parametrize("page", PAGES)
def test_page_when_full_then_says_what_it_must(page: str) -> None:
    shown = text(opened(page, FakeConsole()))
    assert [word for word in SAYS[page] if word not in shown] == []


@pytest.mark.parametrize("page", TEACHES)
def test_page_when_empty_then_teaches(page: str) -> None:
    at = opened(page, FakeConsole(empty=True))
    shown = text(at) + " ".join(str(button.key) for button in at.button)
    assert [word for word in TEACHES[page] if word not in shown] == []


@pytest.mark.parametrize("page", PAGES)
def test_page_when_text_holds_markup_then_it_is_shown_not_obeyed(page: str) -> None:
    at = opened(page, FakeConsole())
    assert not any("<b>&<" in str(item.proto.body) or "<i>x" in str(item.proto.body) for item in at.html)


@pytest.mark.parametrize(
    ("page", "tab", "word"),
    [
        ("positions", "Working orders", "unknown"),
        ("positions", "Fills", "0.0269 USDT"),
        ("positions", "Orders", "under the lot 0.001"),
        ("positions", "Manual order", "names the rule, the value and the limit"),
        ("strategies", "Last ideas", "refused by concentration: 31.2 % over 25 %"),
        ("strategies", "Refused", "31.2 %"),
        ("data", "Download", "No key needed"),
        ("data", "Gaps and chart", "2021-04-25 07:00:00"),
        ("alerts", "Channels", "telegram, api.telegram.org"),
        ("audit", "Who did what", "Ordered an emergency stop"),
        ("audit", "Who did what", "Refused: demo: nothing"),
        ("audit", "Log", "<i>x"),
        ("settings", "People", "disabled"),
        ("settings", "Sessions", "Firefox 143"),
        ("settings", "Backups", "4.1 MB"),
        ("settings", "In force", "server.port"),
    ],
)
def test_tab_when_opened_then_shows_its_rows(page: str, tab: str, word: str) -> None:
    at = opened(page, FakeConsole(), **{f"{page}__tab": tab})
    assert problems(at) == ""
    assert word in text(at)


def test_hidden_tabs_when_page_is_drawn_then_nothing_is_read_for_them() -> None:
    console = FakeConsole()
    opened("positions", console)
    assert console.named("fills") == []


@pytest.mark.parametrize("tab", ["Who did what", "Log"])
def test_audit_when_viewer_looks_then_says_who_may(tab: str) -> None:
    at = opened("audit", FakeConsole(role=Role.VIEWER), audit__tab=tab)
    assert problems(at) == ""
    assert "For operators and admins only" in text(at)


def test_people_when_operator_looks_then_says_who_may() -> None:
    at = opened("settings", FakeConsole(role=Role.OPERATOR), settings__tab="People")
    assert problems(at) == ""
    assert "admins only" in text(at)
