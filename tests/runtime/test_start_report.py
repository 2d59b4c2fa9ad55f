"""How a start went is said: in the log always, to people where the end before it was not orderly."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from running_engine import running

from engine.domain.facts import Notice, Severity
from engine.runtime import start_report
from engine.runtime.start_report import StartReport, tell_of_start
from engine.storage.lock import LOCK_FILE, Holder
from engine.trading.recovery import Recovered

AT = datetime(2026, 1, 1, tzinfo=UTC)
DEAD = Holder(4711, "here", AT)


class Told:
    """Keeps what people are told."""

    def __init__(self) -> None:
        self.notices: list[Notice] = []

    def raise_notice(self, notice: Notice) -> None:
        self.notices.append(notice)


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, object]]]:
    lines: list[tuple[str, dict[str, object]]] = []

    class Log:
        def info(self, event: str, **fields: object) -> None:
            lines.append((event, fields))

        warning = info

    monkeypatch.setattr(start_report, "_log", Log())
    return lines


def test_start_when_the_engine_before_was_killed_then_people_are_told_with_the_figures(
    logged: list[tuple[str, dict[str, object]]],
) -> None:
    told = Told()
    found = {"demo": Recovered(812, 3, (), 1), "paper": Recovered(20, 1, (), 1)}
    tell_of_start(StartReport(DEAD, found), told, AT)
    (notice,) = told.notices
    assert notice.severity is Severity.INFO
    assert notice.title == (
        "Recovered from an unclean end: 4 orders asked about, 2 fills booked, books and venues equal"
    )
    assert "process 4711" in notice.detail
    event, fields = logged[0]
    assert event == "recovered from an unclean end"
    assert (fields["orders_asked"], fields["fills_booked"], fields["journal_rows"]) == (4, 2, 832)


def test_start_when_books_and_venues_differ_then_the_verdict_says_where() -> None:
    report = StartReport(DEAD, {"demo": Recovered(812, 1, ("v holds 1 BTC, the books say 2",), 1)})
    assert report.figures() == (
        "1 order asked about, 1 fill booked, books and venues DIFFER: demo: v holds 1 BTC, the books say 2"
    )


def test_start_when_the_end_before_was_orderly_then_only_the_log_says_so(
    logged: list[tuple[str, dict[str, object]]],
) -> None:
    told = Told()
    tell_of_start(StartReport(None, {"demo": Recovered(812, 0, ())}), told, AT)
    assert told.notices == []
    assert logged[0][0] == "started after an orderly end"
    assert logged[0][1]["verdict"] == "books and venues equal"


def test_start_when_no_engine_ran_there_before_then_no_end_is_spoken_of(
    logged: list[tuple[str, dict[str, object]]],
) -> None:
    tell_of_start(StartReport(None, {"demo": Recovered(0, 0, ())}, is_first=True), Told(), AT)
    assert [event for event, _ in logged] == ["started for the first time"]


def test_engine_when_its_folder_was_never_given_back_then_its_start_report_names_the_dead_one(tmp_path: Path) -> None:
    with running(tmp_path) as first:
        assert first.start_report is not None
        assert first.start_report.died is None
    text = json.dumps({"pid": 4711, "host": "here", "started_at": "2026-01-01T00:00:00.000000Z"})
    (tmp_path / LOCK_FILE).write_text(text, encoding="utf-8")
    with running(tmp_path) as second:
        assert second.start_report is not None
        assert second.start_report.died is not None
        assert second.start_report.died.pid == 4711
        assert second.start_report.books["demo"].differences == ()
    with running(tmp_path) as third:
        assert third.start_report is not None
        assert third.start_report.died is None
