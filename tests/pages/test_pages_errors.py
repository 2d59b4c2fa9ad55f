"""A failed call is an error on the page: never an empty table, never a lost red button."""

from __future__ import annotations

import pytest

from engine.domain.errors import (
    AccessDenied,
    BadInput,
    CommandRefused,
    NotRunning,
    QuarterdeckError,
    StorageError,
    VenueAmbiguous,
    VenueUnreachable,
)
from pages.guard import attempt, explain
from tests.pages.fake_console import FakeConsole
from tests.pages.page_runner import button_keys, opened, problems, text

CALLS = [
    ("overview", "equity_curve", "", ""),
    ("overview", "health", "", ""),
    ("overview", "alerts", "", ""),
    ("positions", "trade_chart", "", ""),
    ("positions", "fills", "Fills", "No fill matches"),
    ("positions", "orders", "Orders", "No order matches"),
    ("strategies", "strategies", "", "registers no strategy"),
    ("strategies", "equity_curve", "", ""),
    ("replay", "replays", "", "No replay yet"),
    ("replay", "coverage", "", "Import candles first"),
    ("replay", "jobs", "", ""),
    ("research", "backtests", "", "No backtest yet"),
    ("research", "backtest", "", ""),
    ("research", "backtests", "History", "No backtest matches"),
    ("research", "coverage", "New backtest", "Import candles first"),
    ("research", "jobs", "", ""),
    ("wallets", "wallets", "", "No balance found"),
    ("exchanges", "connections", "", "No account connected"),
    ("risk", "risk", "", "No exposure"),
    ("risk", "risk_form", "", ""),
    ("tax", "tax_report", "", "No disposal"),
    ("data", "coverage", "", "No candles stored"),
    ("data", "jobs", "", ""),
    ("health", "health", "", "Nothing measured"),
    ("health", "health_series", "", "No sample"),
    ("alerts", "alerts", "", "No open alert"),
    ("audit", "journal", "", "No journal row matches"),
    ("audit", "audit", "Who did what", "Nobody has done"),
    ("audit", "log", "Log", "No line of this level"),
    ("settings", "users", "People", ""),
]


@pytest.mark.parametrize(("page", "call", "tab", "lie"), CALLS)
def test_page_when_a_call_fails_then_shows_the_error(page: str, call: str, tab: str, lie: str) -> None:
    console = FakeConsole(broken={call: StorageError("telemetry.sqlite cannot be read: disk I/O error")})
    at = opened(page, console, **({f"{page}__tab": tab} if tab else {}))
    assert "telemetry.sqlite cannot be read: disk I/O error" in problems(at)
    assert not lie or lie not in text(at)


@pytest.mark.parametrize("page", ["overview", "positions", "strategies", "wallets", "exchanges", "risk", "tax"])
def test_page_when_no_engine_runs_then_says_so(page: str) -> None:
    shown = problems(opened(page, FakeConsole(broken={"snapshot": NotRunning("the engine has stopped")})))
    assert "No engine is running" in shown
    assert "The engine has stopped" in shown


def test_header_when_no_engine_runs_then_the_red_button_is_still_there() -> None:
    at = opened("header", FakeConsole(broken={"snapshot": NotRunning("the engine has stopped")}))
    assert "The engine has stopped" in problems(at)
    assert "stop-open" in button_keys(at)


def test_page_when_it_has_a_bug_then_says_so_without_its_insides() -> None:
    console = FakeConsole()
    console.broken = {"equity_curve": KeyError("secret inside")}  # type: ignore[dict-item]
    shown = problems(opened("overview", console))
    assert "This part of the page failed" in shown
    assert "secret inside" not in shown


@pytest.mark.parametrize(
    ("error", "way_out"),
    [
        (AccessDenied("no"), "Sign in with a role that may"),
        (BadInput("no"), "Nothing was changed. Correct the value"),
        (CommandRefused("no"), "Nothing was changed."),
        (VenueAmbiguous("no"), "UNKNOWN"),
        (VenueUnreachable("no"), "No order was sent"),
        (StorageError("no"), "was not done"),
        (NotRunning("no"), "Start it"),
        (QuarterdeckError("no"), "Nothing was changed."),
    ],
)
def test_explain_when_any_error_then_says_what_was_not_done(error: QuarterdeckError, way_out: str) -> None:
    assert way_out in explain(error)


def test_attempt_when_a_callback_has_a_bug_then_it_never_escapes() -> None:
    def broken() -> str:
        raise ZeroDivisionError

    done, said = attempt(broken)
    assert not done
    assert "whether it was done is unknown" in said
