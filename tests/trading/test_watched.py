"""What the watch beside a venue has found, taken over by the book: entries wait, rules count, people are told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from engine.domain.conditions import MarketNews, VenueHearing
from engine.domain.facts import Outcome, Severity
from engine.domain.instruments import Instrument
from engine.trading.report import report
from engine.trading.watched import ASK_AGAIN_S, TOLD_AFTER_S, TROUBLE_S
from tests.trading.harness import SPOT, D
from tests.trading.real_desk import RealDesk


class Watch:
    """A watch that says what it is told to."""

    def __init__(self) -> None:
        self.hearing = VenueHearing()
        self.news: list[MarketNews] = []
        self.asked = 0

    def market_news(self) -> Sequence[MarketNews]:
        told, self.news = self.news, []
        return told

    def ask_markets_soon(self) -> None:
        self.asked += 1


class Told(RealDesk):
    """One that keeps whole notices."""

    def _observe(self, event: object, outcome: Outcome) -> None:
        super()._observe(event, outcome)
        self.heard = [*getattr(self, "heard", []), *outcome.notices]


class Case:
    """A book whose venue is watched."""

    def __init__(self, *, holds: bool = False) -> None:
        self.desk, self.watch = Told(SPOT), Watch()
        self.desk.bar("100")
        self.desk.turn(31)
        if holds:
            self.desk.want(1.0)
            self.desk.bar("100")
            self.desk.bar("100")
            assert self.desk.held() > 0
        self.desk.loop.watch.watched.attend("v", self.watch)

    def told(self, key: str) -> list[Severity]:
        return [each.severity for each in self.desk.heard if each.key.endswith(f":{key}")]

    def news(self, changed: str = "", closed: str = "", instrument: Instrument = SPOT) -> None:
        self.watch.news.append(MarketNews(instrument, D(1), changed, closed))
        self.desk.turn(1)

    @property
    def why_closed(self) -> str:
        return self.desk.book.outside.why_closed(self.desk.key, self.desk.at)


AWAY = VenueHearing("the order stream of v is away since 12:00:00 UTC (closed); entries wait")


def test_hearing_when_the_venue_is_not_known_then_entries_are_refused_with_the_reason_and_exits_pass() -> None:
    case = Case(holds=True)
    case.watch.hearing = AWAY
    case.desk.turn(1)
    assert AWAY.waits in case.desk.order_by_hand().detail
    case.desk.want(0.0)
    case.desk.bar("100")
    case.desk.bar("100")
    assert case.desk.held() == 0
    case.watch.hearing = VenueHearing()
    case.desk.turn(1)
    assert case.desk.order_by_hand(command_id="again").status == "done"


def test_hearing_when_entries_wait_for_long_then_told_once_and_that_it_is_over() -> None:
    case = Case()
    case.watch.hearing = AWAY
    case.desk.turn(5)
    assert case.told("hearing-v") == []
    case.desk.turn(TOLD_AFTER_S / 2, times=4)
    assert case.told("hearing-v") == [Severity.WARNING]
    case.watch.hearing = VenueHearing()
    case.desk.turn(1, times=2)
    assert case.told("hearing-v") == [Severity.WARNING, Severity.INFO]


def test_hearing_when_questions_take_the_place_of_the_stream_then_entries_go_on_and_it_is_told_and_shown() -> None:
    case, instead = Case(), "the order stream of v is away; orders and executions are asked for instead"
    case.watch.hearing = AWAY
    case.desk.turn(TOLD_AFTER_S / 2, times=4)
    case.watch.hearing = VenueHearing(instead=instead)
    case.desk.turn(1)
    assert case.why_closed == ""
    assert _shown(case).instead == instead
    assert instead in case.desk.heard[-1].detail


def test_looks_when_they_fail_for_long_then_told_once_and_shown_with_the_venue() -> None:
    case = Case()
    case.watch.hearing = VenueHearing("", "an execution without a fee", TROUBLE_S - 1)
    case.desk.turn(1)
    assert (case.told("looks-v"), _shown(case).trouble) == ([], "")
    case.watch.hearing = VenueHearing("", "an execution without a fee", TROUBLE_S)
    case.desk.turn(1, times=2)
    assert (case.told("looks-v"), _shown(case).trouble) == ([Severity.WARNING], "an execution without a fee")
    case.watch.hearing = VenueHearing()
    case.desk.turn(1)
    assert (_shown(case).trouble, case.why_closed) == ("", "")


def _shown(case: Case):  # type: ignore[no-untyped-def]
    return report(case.desk.book, (), case.desk.clock.now(), 1).feeds[0].condition


@pytest.mark.parametrize(("holds", "severity"), [(False, Severity.WARNING), (True, Severity.CRITICAL)])
def test_rules_when_they_change_then_the_next_order_keeps_to_them_and_it_is_told(
    holds: bool, severity: Severity
) -> None:
    case = Case(holds=holds)
    case.news("its lot is 0.5 now, it was 0.001", instrument=replace(SPOT, lot_size=D("0.5")))
    assert case.told(f"rules-{SPOT.key}") == [severity]
    assert case.why_closed == ""
    assert "multiple of 0.5" in case.desk.order_by_hand("1.2").detail


def test_instrument_when_it_is_closed_then_no_entries_exits_and_shown_until_it_is_open_again() -> None:
    case = Case(holds=True)
    case.news(closed="BTC/USDT is not being traded at v now")
    key = f"closed-{SPOT.key}"
    assert case.told(key) == [Severity.CRITICAL]
    assert "is not being traded at v now" in case.desk.order_by_hand().detail
    assert _shown(case).closed == ((SPOT.key, "BTC/USDT is not being traded at v now"),)
    [position] = report(case.desk.book, (), case.desk.clock.now(), 1).positions
    assert any("closed to entries" in warning for warning in position.warnings)
    case.desk.want(0.0)
    case.desk.bar("100")
    case.desk.bar("100")
    assert case.desk.held() == 0
    case.news()
    assert case.told(key) == [Severity.CRITICAL, Severity.INFO]
    assert case.desk.order_by_hand(command_id="again").status == "done"


def test_rules_when_the_venue_refuses_orders_then_they_are_asked_for_once_a_minute() -> None:
    case = Case()
    outside = case.desk.book.outside
    for _ in range(3):
        outside.note_refusal("v")
        case.desk.turn(1)
    assert case.watch.asked == 1
    case.desk.turn(ASK_AGAIN_S)
    assert case.watch.asked == 2
    case.desk.turn(ASK_AGAIN_S)
    assert case.watch.asked == 2
