"""What is raised is recorded once, told once, and told until somebody was reached."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from alert_fakes import PERSON, START, Desk, Receiver, alert_desk, notice, receiver

from engine.domain.errors import BadInput, CannotRecord
from engine.domain.facts import Severity
from engine.monitoring.alerts import AlertCentre
from engine.monitoring.delivery import MOST_HELD
from engine.monitoring.network import NotDelivered


def test_raise_when_repeated_then_counted_in_one_alert_and_told_once(desk: Desk, web: Receiver) -> None:
    desk.centre.add_channel("webhook", "Phone", web.address, "warning")
    for _ in range(3):
        desk.centre.raise_notice(notice())
        desk.clock.move(seconds=5)
    assert desk.centre.deliver_due() == 1
    (row,) = desk.open()
    assert (row.key, row.count, row.severity) == ("demo:brake", 3, Severity.CRITICAL)
    assert (row.first_at, row.last_at) == (START, START + timedelta(seconds=10))
    assert row.delivered == "Phone: delivered"
    assert web.titles() == ["Emergency brake"]


def test_raise_when_it_lasts_an_hour_then_told_again_with_its_count(desk: Desk, web: Receiver) -> None:
    desk.centre.add_channel("webhook", "Phone", web.address, "info")
    desk.centre.raise_notice(notice())
    desk.centre.deliver_due()
    desk.clock.move(minutes=61)
    desk.centre.raise_notice(notice())
    desk.centre.deliver_due()
    assert web.titles() == ["Emergency brake", "Emergency brake (2 times)"]


def test_raise_when_it_becomes_worse_then_told_at_once_and_stays_at_the_worst(desk: Desk, web: Receiver) -> None:
    desk.centre.add_channel("webhook", "Phone", web.address, "info")
    for severity in (Severity.WARNING, Severity.CRITICAL, Severity.INFO):
        desk.centre.raise_notice(notice(severity=severity))
    desk.centre.deliver_due()
    assert [item["severity"] for item in web.posted] == ["critical"]
    assert desk.open()[0].severity is Severity.CRITICAL


@pytest.mark.parametrize(("severity", "reached"), [(Severity.INFO, 0), (Severity.WARNING, 1), (Severity.CRITICAL, 1)])
def test_route_when_below_the_channels_minimum_then_recorded_only(
    desk: Desk, web: Receiver, severity: Severity, reached: int
) -> None:
    desk.centre.add_channel("webhook", "Phone", web.address, "warning")
    desk.centre.raise_notice(notice(severity=severity))
    assert desk.centre.deliver_due() == reached
    assert len(desk.open()) == 1


def test_mute_when_set_then_recorded_and_not_delivered_until_it_ends(desk: Desk, web: Receiver) -> None:
    desk.centre.add_channel("webhook", "Phone", web.address, "info")
    desk.centre.raise_notice(notice())
    desk.centre.mute("demo:brake", 30)
    assert desk.centre.deliver_due() == 0
    assert desk.open()[0].muted_until == START + timedelta(minutes=30)
    assert desk.open()[0].delivered == "Phone: muted"
    desk.clock.move(minutes=90)
    desk.centre.raise_notice(notice())
    assert desk.centre.deliver_due() == 1
    assert desk.open()[0].muted_until is None


@pytest.mark.parametrize("minutes", [0, -5, 10_081])
def test_mute_when_out_of_bounds_then_refused_by_name(desk: Desk, minutes: int) -> None:
    with pytest.raises(BadInput, match=f"{minutes} minutes"):
        desk.centre.mute("demo:brake", minutes)


def test_acknowledge_when_seen_then_closed_once_and_the_next_is_a_new_alert(desk: Desk, web: Receiver) -> None:
    desk.centre.add_channel("webhook", "Phone", web.address, "info")
    desk.centre.raise_notice(notice())
    (row,) = desk.open()
    desk.centre.acknowledge(row.alert_id, PERSON)
    desk.centre.acknowledge(row.alert_id, PERSON)
    assert desk.open() == ()
    assert desk.centre.deliver_due() == 0
    assert desk.all()[0].acknowledged_by == "ada"
    assert desk.all()[0].delivered == "Phone: acknowledged first"
    desk.centre.raise_notice(notice())
    assert desk.open()[0].alert_id != row.alert_id
    with pytest.raises(BadInput, match="999"):
        desk.centre.acknowledge(999, PERSON)


def test_clear_when_the_cause_is_gone_then_those_who_were_told_hear_it(desk: Desk, web: Receiver) -> None:
    desk.centre.add_channel("webhook", "Phone", web.address, "warning")
    desk.centre.raise_notice(notice())
    desk.centre.deliver_due()
    desk.centre.clear("demo:brake", "Brake released", "")
    desk.centre.clear("demo:brake", "Brake released", "")
    desk.centre.deliver_due()
    assert web.titles() == ["Emergency brake", "Brake released"]
    assert desk.open() == ()
    assert desk.all()[0].acknowledged_by == "engine: over"


def test_page_when_asked_for_the_second_then_newest_first(desk: Desk) -> None:
    for number in range(5):
        desk.centre.raise_notice(notice(f"demo:{number}"))
        desk.clock.move(seconds=1)
    page = desk.centre.page(2, 2, open_only=True)
    assert [row.key for row in page.rows] == ["demo:2", "demo:1"]
    assert (page.total, page.page, page.size) == (5, 2, 2)
    assert desk.centre.open_count() == 5


def test_deliver_when_the_channel_is_down_then_tried_again_later_and_later(desk: Desk, web: Receiver) -> None:
    desk.centre.add_channel("webhook", "Phone", web.address, "info")
    web.status = 503
    desk.centre.raise_notice(notice())
    waits = []
    for _ in range(5):
        asked, before = len(web.paths), desk.clock.at
        while len(web.paths) == asked:
            desk.centre.deliver_due()
            desk.clock.move(seconds=1)
        waits.append((desk.clock.at - before).total_seconds())
    assert waits[0] <= 1
    for wait, most in zip(waits[1:], (30, 60, 120, 240), strict=True):
        assert 0.8 * most - 2 <= wait <= most + 2
    assert "waiting after 5 attempts: 127.0.0.1 answered 503" in desk.one("demo:brake").delivered


def test_deliver_when_the_channel_comes_back_then_nothing_was_lost_even_over_a_restart(
    desk: Desk, web: Receiver
) -> None:
    desk.centre.add_channel("webhook", "Phone", web.address, "info")
    web.status = 500
    for key in ("a", "b", "c"):
        desk.centre.raise_notice(notice(f"demo:{key}", title=key))
    desk.centre.deliver_due()
    web.status = 204
    desk.clock.move(minutes=10)
    restarted = desk.again()
    while restarted.deliver_due():
        desk.clock.move(seconds=1)
    assert sorted(web.titles()) == ["a", "b", "c"]
    assert desk.again().deliver_due() == 0


def test_deliver_when_attempts_run_out_then_given_up_in_words(tmp_path: Path, web: Receiver) -> None:
    web.status = 500
    with alert_desk(tmp_path, attempts=2) as desk:
        desk.centre.add_channel("webhook", "Phone", web.address, "info")
        desk.centre.raise_notice(notice())
        for _ in range(5):
            desk.centre.deliver_due()
            desk.clock.move(hours=1)
        assert desk.open()[0].delivered.startswith("Phone: given up: 127.0.0.1 answered 500")
        assert len(web.paths) == 2


def test_fault_59_channel_down_when_it_fails_three_times_then_the_second_channel_and_the_console_say_so(
    desk: Desk, web: Receiver
) -> None:
    with receiver() as second:
        first = desk.centre.add_channel("webhook", "Phone", web.address, "warning")
        desk.centre.add_channel("webhook", "Mail", second.address, "critical")
        web.status = 500
        desk.centre.raise_notice(notice(severity=Severity.WARNING, title="Feed stale"))
        for _ in range(4):
            desk.centre.deliver_due()
            desk.clock.move(minutes=5)
        row = desk.one(f"channel:{first}")
        assert row.severity is Severity.CRITICAL
        assert row.title == "Alert channel Phone does not deliver"
        assert "Feed stale" in row.detail
        assert second.titles()[0] == "Alert channel Phone does not deliver"
        web.status = 204
        desk.clock.move(minutes=10)
        desk.centre.deliver_due()
        desk.centre.deliver_due()
        assert desk.one(f"channel:{first}").acknowledged_by == "engine: over"
        assert second.titles()[-1] == "Alert channel Phone delivers again"
        assert not [item for item in web.titles() if "does not deliver" in item]


def test_deliver_when_one_channel_is_dead_then_the_others_are_served_first_and_last(desk: Desk, web: Receiver) -> None:
    with receiver() as second:
        desk.centre.add_channel("webhook", "Dead", web.address, "info")
        desk.centre.add_channel("webhook", "Alive", second.address, "info")
        web.status = 500
        for number in range(4):
            desk.centre.raise_notice(notice(f"demo:{number}", title=str(number)))
        assert desk.centre.deliver_due() == 4
        assert len(web.paths) == 1


def test_fault_48_disk_full_when_nothing_can_be_recorded_then_channels_are_told_once_and_it_is_recorded_later(
    desk: Desk, web: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.centre.add_channel("webhook", "Phone", web.address, "warning")

    def full(*_args: object) -> None:
        raise CannotRecord("control.sqlite could not be written: the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(type(desk.store), "record", full)
        desk.centre.raise_notice(notice(severity=Severity.WARNING))
        desk.centre.raise_notice(notice(severity=Severity.CRITICAL))
        assert desk.centre.open_count() == 1
        for _ in range(3):
            desk.centre.deliver_due()
            desk.clock.move(minutes=1)
        assert [item["severity"] for item in web.posted] == ["critical"]
    desk.centre.deliver_due()
    assert desk.open()[0].severity is Severity.CRITICAL
    assert desk.centre.open_count() == 1


def test_deliver_when_the_answer_cannot_be_recorded_then_it_is_not_sent_twice(
    desk: Desk, web: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.centre.add_channel("webhook", "Phone", web.address, "warning")
    desk.centre.raise_notice(notice())

    def full(*_args: object) -> None:
        raise CannotRecord("control.sqlite could not be written: the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(type(desk.store.outbox), "sent", full)
        assert desk.centre.deliver_due() == 0
        desk.clock.move(seconds=10)
        assert desk.centre.deliver_due() == 0
    desk.clock.move(seconds=31)
    assert desk.centre.deliver_due() == 0
    assert len(web.posted) == 1
    assert desk.open()[0].delivered == "Phone: delivered"


def test_daily_test_when_a_channel_was_silent_for_a_day_then_it_is_tried(tmp_path: Path, web: Receiver) -> None:
    with alert_desk(tmp_path, test_every_hours=24) as desk:
        channel = desk.centre.add_channel("webhook", "Phone", web.address, "critical")
        desk.centre.test_channel(channel)
        desk.clock.move(hours=23)
        assert desk.centre.deliver_due() == 0
        desk.clock.move(hours=2)
        assert desk.centre.deliver_due() == 1
        assert desk.centre.deliver_due() == 0
        assert web.titles() == ["Test of an alert channel"] * 2


def test_test_channel_when_it_works_or_fails_then_its_own_answer_is_given_and_kept(desk: Desk, web: Receiver) -> None:
    channel = desk.centre.add_channel("webhook", "Phone", web.address, "warning")
    assert desk.centre.test_channel(channel) == "127.0.0.1 answered 204 No Content"
    web.status = 404
    with pytest.raises(NotDelivered, match=r"127\.0\.0\.1 answered 404 Not Found"):
        desk.centre.test_channel(channel)
    (view,) = desk.centre.channels()
    assert (view.last_result, view.last_at) == ("127.0.0.1 answered 404 Not Found", START)
    assert (view.kind, view.label, view.hint) == ("webhook", "Phone", "Webhook, 127.0.0.1")


def test_remove_channel_when_messages_wait_then_they_go_with_it(desk: Desk, web: Receiver) -> None:
    channel = desk.centre.add_channel("webhook", "Phone", web.address, "warning")
    desk.centre.raise_notice(notice())
    desk.centre.remove_channel(channel)
    assert desk.centre.deliver_due() == 0
    assert desk.centre.channels() == ()
    with pytest.raises(BadInput, match="no channel"):
        desk.centre.remove_channel(channel)


@pytest.mark.parametrize(
    ("kind", "label", "severity", "named"),
    [
        ("pigeon", "Phone", "info", "pigeon"),
        ("webhook", "", "info", "label"),
        ("webhook", "x" * 41, "info", "label"),
        ("webhook", "a\nb", "info", "label"),
        ("webhook", "Phone", "loud", "loud"),
    ],
)
def test_add_channel_when_a_value_is_wrong_then_named(
    desk: Desk, web: Receiver, kind: str, label: str, severity: str, named: str
) -> None:
    with pytest.raises(BadInput, match=named):
        desk.centre.add_channel(kind, label, web.address, severity)
    assert desk.centre.channels() == ()


def test_add_channel_when_the_label_is_taken_then_refused(desk: Desk, web: Receiver) -> None:
    desk.centre.add_channel("webhook", "Phone", web.address, "info")
    with pytest.raises(BadInput, match="'Phone'"):
        desk.centre.add_channel("webhook", "Phone", web.address, "info")


def test_store_when_a_channel_is_added_then_its_address_is_nowhere_in_the_files(desk: Desk, web: Receiver) -> None:
    channel = desk.centre.add_channel("webhook", "Phone", web.address, "info")
    desk.centre.raise_notice(notice())
    web.status = 500
    desk.centre.deliver_due()
    for path in desk.file.path.parent.glob("control.sqlite*"):
        assert b"s3cret-t0ken" not in path.read_bytes()
    (stored,) = desk.store.channels.all()
    other = desk.centre.add_channel("webhook", "Second", web.address, "info")
    assert "s3cret" not in repr(stored)
    assert channel != other


def test_deliver_when_sealed_bytes_were_moved_between_channels_then_not_opened(desk: Desk, web: Receiver) -> None:
    first = desk.centre.add_channel("webhook", "First", web.address, "info")
    with desk.file.write() as connection:
        connection.exec_driver_sql("UPDATE alert_channels SET channel_id = 'x' WHERE channel_id = ?", (first,))
    desk.centre.raise_notice(notice())
    assert desk.centre.deliver_due() == 0
    assert web.paths == []
    assert "cannot be opened" in desk.open()[0].delivered


def test_log_06_when_a_text_holds_a_secret_or_control_characters_then_neither_is_stored_nor_sent(
    desk: Desk, web: Receiver
) -> None:
    clean = AlertCentre(desk.store, desk.vault, desk.clock, desk.config, lambda text: text.replace("K3Y", "[redacted]"))
    clean.add_channel("webhook", "Phone", web.address, "info")
    clean.raise_notice(notice(title="order failed K3Y\r\nBcc: all@example.org \x1b[31m"))
    clean.deliver_due()
    assert web.titles() == ["order failed [redacted] Bcc: all@example.org [31m"]
    assert desk.open()[0].title == web.titles()[0]


def test_inj_11_when_a_text_looks_like_a_template_then_it_is_sent_as_it_is(desk: Desk, web: Receiver) -> None:
    desk.centre.add_channel("webhook", "Phone", web.address, "info")
    text = "{{config}} {0.__class__} %(secret)s ${HOME}"
    desk.centre.raise_notice(notice(title=text))
    desk.centre.deliver_due()
    assert web.titles() == [text]


def test_thin_when_two_years_passed_then_closed_alerts_are_forgotten_and_open_ones_kept(desk: Desk) -> None:
    desk.centre.raise_notice(notice("demo:old"))
    desk.centre.raise_notice(notice("demo:open"))
    desk.centre.acknowledge(desk.one("demo:old").alert_id, PERSON)
    desk.clock.move(days=731)
    assert desk.centre.thin() == 1
    assert [row.key for row in desk.all()] == ["demo:open"]


@pytest.fixture
def full(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """A control file that takes no more rows, until the patch is undone."""

    def refuse(*_args: object) -> None:
        raise CannotRecord("control.sqlite could not be written: the disk is full")

    with monkeypatch.context() as patch:
        for name in ("record", "clear"):
            patch.setattr(type(desk.store), name, refuse)
        yield patch


def test_clear_when_it_cannot_be_recorded_then_what_was_held_is_dropped_and_nothing_raised(
    desk: Desk, full: pytest.MonkeyPatch
) -> None:
    desk.centre.raise_notice(notice())
    assert desk.centre.open_count() == 1
    desk.centre.clear("demo:brake", "Brake released", "")
    assert desk.centre.open_count() == 0


def test_hold_when_nothing_can_be_recorded_for_long_then_memory_is_bounded(
    desk: Desk, full: pytest.MonkeyPatch
) -> None:
    for number in range(MOST_HELD + 50):
        desk.centre.raise_notice(notice(f"demo:{number}"))
    assert desk.centre.open_count() == MOST_HELD


def test_hold_when_no_channel_takes_it_then_tried_again_until_one_does(
    desk: Desk, web: Receiver, full: pytest.MonkeyPatch
) -> None:
    desk.centre.add_channel("webhook", "Phone", web.address, "warning")
    web.status = 500
    desk.centre.raise_notice(notice(severity=Severity.INFO, key="demo:quiet"))
    desk.centre.raise_notice(notice())
    desk.centre.deliver_due()
    web.status = 204
    desk.centre.deliver_due()
    desk.centre.deliver_due()
    assert web.titles() == ["Emergency brake"]
    assert desk.centre.open_count() == 2


def test_deliver_when_a_channel_is_of_a_kind_this_version_has_not_then_said_so(desk: Desk, web: Receiver) -> None:
    desk.centre.add_channel("webhook", "Phone", web.address, "info")
    with desk.file.write() as connection:
        connection.exec_driver_sql("UPDATE alert_channels SET kind = 'pigeon'")
    desk.centre.raise_notice(notice())
    assert desk.centre.deliver_due() == 0
    assert "no channel kind 'pigeon'" in desk.open()[0].delivered


def test_deliver_when_two_threads_ask_then_nothing_is_sent_twice(desk: Desk, web: Receiver) -> None:
    desk.centre.add_channel("webhook", "Phone", web.address, "info")
    for number in range(8):
        desk.centre.raise_notice(notice(f"demo:{number}", title=str(number)))
    with ThreadPoolExecutor(4) as pool:
        sent = sum(pool.map(lambda _: desk.centre.deliver_due(), range(8)))
    assert sent == 8
    assert sorted(web.titles()) == [str(number) for number in range(8)]


def test_queue_when_many_alerts_wait_then_a_call_sends_a_bounded_number(desk: Desk, web: Receiver) -> None:
    desk.centre.add_channel("webhook", "Phone", web.address, "info")
    for number in range(25):
        desk.centre.raise_notice(notice(f"demo:{number}"))
    assert [desk.centre.deliver_due(), desk.centre.deliver_due(), desk.centre.deliver_due()] == [20, 5, 0]
