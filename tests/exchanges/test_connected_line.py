"""What every kind of answer proves, through the real library with only the socket replaced."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import ccxt
import pytest
import requests
from urllib3.exceptions import NewConnectionError

from engine.domain.conditions import VenueState
from engine.domain.errors import (
    OrderNotFound,
    VenueAmbiguous,
    VenueError,
    VenueHeld,
    VenueRejected,
    VenueUnreachable,
)
from engine.exchanges import EXCHANGES
from engine.exchanges.client import KeyRefused, VenueThrottled
from engine.exchanges.connected.calls import ClockRefused, InMaintenance
from engine.exchanges.connected.lanes import Lane, Pace, UseHeaders
from engine.exchanges.connected.line import Line
from engine.exchanges.connected.line_setup import LineSetup

SECRET = "not-to-be-seen-anywhere"


class SteppedClock:
    """Real pace where nothing is said, and wall time that tests move."""

    def __init__(self) -> None:
        self.at = datetime(2026, 3, 1, tzinfo=UTC)
        self.monotonic_s = 100.0

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.monotonic_s

    def pass_time(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)
        self.monotonic_s += seconds


class Socket:
    """Answers every request as told, and counts them."""

    def __init__(self) -> None:
        self.answer: Callable[[], tuple[int, str, dict[str, str]]] = lambda: (200, '{"retCode":0,"result":{}}', {})
        self.requests: list[str] = []

    def __call__(self, method: str, url: str, **_more: Any) -> requests.Response:
        self.requests.append(f"{method} {url}")
        if "market/time" in url:
            status, text, headers = 200, json.dumps({"retCode": 0, "result": {}, "time": 1_772_323_200_000}), {}
        else:
            status, text, headers = self.answer()
        response = requests.Response()
        response.status_code = status
        response._content = text.encode()
        response.headers.update(headers)
        response.url = url
        return response


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
def socket() -> Socket:
    return Socket()


def line_over(socket: Socket, clock: SteppedClock, folder: Path, **more: Any) -> Line:
    def open_client(_keyed: bool) -> Any:
        client = ccxt.bybit({"apiKey": "some-key-of-mine", "secret": SECRET, "timeout": 2000})
        client.number = str
        client.session.request = socket
        return client

    row = EXCHANGES["bybit"]
    setup = LineSetup(
        "bybit",
        row,
        open_client,
        folder / "bybit.json",
        (SECRET, "some-key-of-mine"),
        doubtful_codes=("10016",),
        **more,
    )
    return Line(setup, clock)


@pytest.fixture
def line(socket: Socket, clock: SteppedClock, tmp_path: Path) -> Iterator[Line]:
    line = line_over(socket, clock, tmp_path)
    line.measure_offset()
    yield line
    line.close()


def create(client: Any) -> Any:
    return client.private_post_v5_order_create({"category": "spot", "symbol": "BTCUSDT"})


def state(client: Any) -> Any:
    return client.private_get_v5_order_realtime({"category": "spot"})


def bybit(code: int, message: str) -> str:
    return json.dumps({"retCode": code, "retMsg": message, "result": {}})


def never_connected() -> tuple[int, str, dict[str, str]]:
    raise requests.exceptions.ConnectionError(NewConnectionError(None, "refused"))  # type: ignore[arg-type]


def cut_off() -> tuple[int, str, dict[str, str]]:
    raise requests.exceptions.ConnectionError("Connection aborted.", ConnectionResetError(104, "reset"))


def timed_out() -> tuple[int, str, dict[str, str]]:
    raise requests.exceptions.ReadTimeout("Read timed out.")


ORDER_OUTCOMES = [
    (never_connected, VenueUnreachable),
    (cut_off, VenueAmbiguous),
    (timed_out, VenueAmbiguous),
    (lambda: (502, "<html>Bad Gateway</html>", {}), VenueAmbiguous),
    (lambda: (503, bybit(1, "unavailable"), {}), VenueAmbiguous),
    (lambda: (200, "<html>Please wait</html>", {}), VenueAmbiguous),
    (lambda: (200, '{"retCode":0,"resu', {}), VenueAmbiguous),
    (lambda: (200, "", {}), VenueAmbiguous),
    (lambda: (200, bybit(10016, "internal error"), {}), VenueAmbiguous),
    (lambda: (200, bybit(987654, "never heard of"), {}), VenueAmbiguous),
    (lambda: (200, bybit(170131, "Balance insufficient"), {}), VenueRejected),
    (lambda: (200, bybit(10003, "API key is invalid"), {}), KeyRefused),
    (lambda: (200, bybit(10002, "invalid request, timestamp"), {}), ClockRefused),
    (lambda: (200, bybit(10006, "too many visits"), {}), VenueThrottled),
    (lambda: (429, "slow down", {"Retry-After": "7"}), VenueThrottled),
    (lambda: (418, "banned", {"Retry-After": "600"}), VenueThrottled),
    (lambda: (200, bybit(170213, "Order does not exist."), {}), OrderNotFound),
    (lambda: (200, bybit(110072, "OrderLinkedID is duplicate"), {}), VenueAmbiguous),
]


@pytest.mark.parametrize(("answer", "outcome"), ORDER_OUTCOMES)
def test_order_call_when_answered_so_then_claims_no_more_than_was_proven(
    line: Line, socket: Socket, answer: Any, outcome: type[Exception]
) -> None:
    socket.answer = answer

    with pytest.raises(outcome) as raised:
        line.send(Lane.ENTRY, create)

    assert type(raised.value) is outcome
    assert SECRET not in str(raised.value)
    assert raised.value.__cause__ is None
    assert sum("order/create" in request for request in socket.requests) == 1


def test_order_call_when_library_refuses_before_sending_then_rejected(line: Line, socket: Socket) -> None:
    def impossible(_client: Any) -> Any:
        raise ccxt.InvalidOrder("amount of BTC/USDT must be greater than minimum amount precision")

    with pytest.raises(VenueRejected):
        line.send(Lane.ENTRY, impossible)
    assert not any("order/create" in request for request in socket.requests)


def test_order_call_when_answer_cannot_be_read_after_sending_then_ambiguous(line: Line) -> None:
    def unreadable(client: Any) -> Any:
        create(client)
        raise VenueUnreachable("its price is NaN")

    with pytest.raises(VenueAmbiguous):
        line.send(Lane.ENTRY, unreadable)


def test_question_when_html_comes_with_200_then_no_empty_answer(line: Line, socket: Socket) -> None:
    socket.answer = lambda: (200, "<html>hello</html>", {})

    with pytest.raises(VenueUnreachable):
        line.ask(Lane.STATUS, state)


def test_answer_after_patience_then_ambiguous_and_told_late(socket: Socket, tmp_path: Path) -> None:
    release, told = threading.Event(), threading.Event()
    answers: list[Any] = []

    def slow() -> tuple[int, str, dict[str, str]]:
        release.wait(5)
        return 200, '{"retCode":0,"result":{"orderId":"7"}}', {}

    def late(answer: Any) -> None:
        answers.append(answer)
        told.set()

    line = line_over(socket, SteppedClock(), tmp_path, patience_s=dict.fromkeys(Lane, 0.1))
    line.measure_offset()
    socket.answer = slow
    with pytest.raises(VenueAmbiguous):
        line.send(Lane.ENTRY, create, late=late)
    release.set()

    assert told.wait(5)
    assert answers[0]["result"]["orderId"] == "7"
    line.close()


def test_order_that_waited_too_long_for_its_turn_then_never_sent(socket: Socket, tmp_path: Path) -> None:
    release = threading.Event()
    line = line_over(socket, SteppedClock(), tmp_path, patience_s=dict.fromkeys(Lane, 0.1))
    line.measure_offset()

    def slow() -> tuple[int, str, dict[str, str]]:
        release.wait(5)
        return 200, '{"retCode":0,"result":{}}', {}

    socket.answer = slow
    with pytest.raises(VenueAmbiguous):
        line.send(Lane.ENTRY, create)
    with pytest.raises(VenueUnreachable):
        line.send(Lane.ENTRY, create)
    release.set()
    deadline = time.monotonic() + 5
    while line.condition.state is VenueState.OFFLINE and time.monotonic() < deadline:
        time.sleep(0.01)
    line.close()

    assert sum("order/create" in request for request in socket.requests) == 1


def test_entries_when_clock_is_not_measured_or_far_off_then_refused_and_exits_allowed(
    socket: Socket, clock: SteppedClock, tmp_path: Path
) -> None:
    line = line_over(socket, clock, tmp_path)
    with pytest.raises(VenueUnreachable, match="not measured"):
        line.send(Lane.ENTRY, create)
    clock.at += timedelta(seconds=30)
    line.measure_offset()

    with pytest.raises(VenueUnreachable, match=r"30\.0 s"):
        line.send(Lane.ENTRY, create)
    assert line.send(Lane.CLOSE, create)["result"] == {}
    line.close()


def test_ban_when_engine_starts_again_then_still_nothing_is_asked(
    socket: Socket, clock: SteppedClock, tmp_path: Path
) -> None:
    first = line_over(socket, clock, tmp_path)
    first.measure_offset()
    socket.answer = lambda: (418, "banned", {"Retry-After": "600"})
    with pytest.raises(VenueThrottled):
        first.ask(Lane.STATUS, state)
    first.close()

    second = line_over(socket, clock, tmp_path)
    asked = len(socket.requests)
    for lane in Lane:
        with pytest.raises(VenueThrottled):
            second.ask(lane, state)
    assert second.condition.state is VenueState.BANNED
    assert len(socket.requests) == asked

    clock.pass_time(601)
    socket.answer = lambda: (200, '{"retCode":0,"result":{}}', {})
    second.ask(Lane.STATUS, state)
    assert second.condition.state is VenueState.ONLINE
    second.close()


def test_revoked_key_then_locked_and_no_storm(line: Line, socket: Socket, clock: SteppedClock) -> None:
    socket.answer = lambda: (200, bybit(33004, "Your api key has expired."), {})
    with pytest.raises(KeyRefused):
        line.ask(Lane.STATUS, state)
    asked = len(socket.requests)
    for _ in range(20):
        with pytest.raises(KeyRefused):
            line.ask(Lane.STATUS, state)
        with pytest.raises(KeyRefused):
            line.send(Lane.ENTRY, create)
    assert len(socket.requests) == asked
    assert line.condition.state is VenueState.LOCKED

    clock.pass_time(31)
    with pytest.raises(KeyRefused):
        line.send(Lane.CLOSE, create)
    assert len(socket.requests) == asked + 1

    line.unlock()
    socket.answer = lambda: (200, '{"retCode":0,"result":{}}', {})
    line.ask(Lane.STATUS, state)
    assert line.condition.state is VenueState.ONLINE


def test_five_failures_then_entries_rest_half_a_minute_and_exits_go_on(
    line: Line, socket: Socket, clock: SteppedClock
) -> None:
    socket.answer = lambda: (502, "", {})
    for _ in range(5):
        with pytest.raises(VenueAmbiguous):
            line.send(Lane.ENTRY, create)
    asked = len(socket.requests)
    with pytest.raises(VenueHeld, match="failed too often"):
        line.send(Lane.ENTRY, create)
    assert len(socket.requests) == asked

    socket.answer = lambda: (200, '{"retCode":0,"result":{}}', {})
    line.send(Lane.CLOSE, create)
    clock.pass_time(31)
    line.send(Lane.ENTRY, create)
    assert line.condition.state is VenueState.ONLINE


def test_budget_when_used_up_then_cancels_still_pass(socket: Socket, clock: SteppedClock, tmp_path: Path) -> None:
    line = line_over(socket, clock, tmp_path, pace=Pace(10, 60.0))
    line.measure_offset()
    for _ in range(7):
        line.send(Lane.ENTRY, create)
    with pytest.raises(VenueThrottled):
        line.send(Lane.ENTRY, create)
    line.ask(Lane.STATUS, state)
    line.send(Lane.CLOSE, create)
    line.close()


def test_header_that_tells_high_use_then_warning_and_patient_lanes_wait(
    socket: Socket, clock: SteppedClock, tmp_path: Path
) -> None:
    headers = UseHeaders(remaining="X-Bapi-Limit-Status", limit="X-Bapi-Limit")
    line = line_over(socket, clock, tmp_path, use_headers=headers)
    line.measure_offset()
    told = {"X-Bapi-Limit-Status": "3", "X-Bapi-Limit": "20"}
    socket.answer = lambda: (200, '{"retCode":0,"result":{}}', told)
    line.ask(Lane.STATUS, state)

    line.ask(Lane.STATUS, state)
    assert line.condition.used_share == pytest.approx(0.85)
    assert "85%" in line.condition.detail
    with pytest.raises(VenueThrottled):
        line.send(Lane.ENTRY, create)
    line.close()


def test_nonce_after_restart_and_clock_stepped_back_then_still_rises(
    socket: Socket, clock: SteppedClock, tmp_path: Path
) -> None:
    first = line_over(socket, clock, tmp_path, has_nonce=True)
    last = max(first._next_nonce() for _ in range(50))
    first.close()
    clock.at -= timedelta(hours=0.001)

    second = line_over(socket, clock, tmp_path, has_nonce=True)
    assert second._next_nonce() > last
    second.close()


def test_clock_that_jumped_then_offset_is_void(line: Line, socket: Socket, clock: SteppedClock) -> None:
    clock.at += timedelta(hours=1)

    assert line.clock_has_jumped()
    with pytest.raises(VenueUnreachable, match="not measured"):
        line.send(Lane.ENTRY, create)


def test_time_that_was_refused_then_clock_is_to_be_measured_anew_once(line: Line, socket: Socket) -> None:
    socket.answer = lambda: (200, bybit(10002, "invalid request, timestamp"), {})
    for _ in range(2):
        with pytest.raises(ClockRefused):
            line.ask(Lane.STATUS, state)

    assert line.clock_has_jumped()
    assert not line.clock_has_jumped()


def test_question_that_the_library_cannot_put_then_the_venue_is_not_taken_for_silent(line: Line) -> None:
    def question(_client: Any) -> None:
        raise ccxt.NotSupported("there is no such thing in a sandbox")

    line.ask(Lane.STATUS, state)
    for _ in range(6):
        with pytest.raises(VenueUnreachable, match="was not asked"):
            line.ask(Lane.STATUS, question)

    line.ask(Lane.STATUS, state)
    assert line.condition.state is VenueState.ONLINE


def test_question_that_waits_when_the_line_is_closed_then_venue_unreachable(line: Line) -> None:
    begun, goes_on, errors = threading.Event(), threading.Event(), list[Exception]()

    def held(_client: Any) -> None:
        begun.set()
        goes_on.wait(5)

    def ask(question: Callable[[Any], Any]) -> None:
        try:
            line.ask(Lane.STATUS, question)
        except VenueUnreachable as error:
            errors.append(error)

    first = threading.Thread(target=ask, args=(held,))
    first.start()
    begun.wait(5)
    second = threading.Thread(target=ask, args=(state,))
    second.start()
    while not line._pools[Lane.STATUS]._work_queue.qsize():
        second.join(0.01)
    line.close()
    second.join(5)
    goes_on.set()
    first.join(5)
    assert len(errors) == 1


MAINTAINED = [
    (503, bybit(10016, "Service not available during maintenance.")),
    (200, bybit(10016, "The service is under maintenance, please try again later.")),
    (503, "<html>Bybit is being upgraded, see you soon</html>"),
]


@pytest.mark.parametrize(("status", "body"), MAINTAINED)
def test_question_when_the_exchange_says_it_is_being_maintained_then_that_is_the_state(
    line: Line, socket: Socket, status: int, body: str
) -> None:
    socket.answer = lambda: (status, body, {})
    with pytest.raises(InMaintenance):
        line.ask(Lane.STATUS, state)
    assert line.condition.state is VenueState.MAINTENANCE
    asked = len(socket.requests)
    with pytest.raises(VenueUnreachable, match="entries wait"):
        line.send(Lane.ENTRY, create)
    assert len(socket.requests) == asked
    with pytest.raises(VenueError):
        line.send(Lane.CLOSE, create)
    assert len(socket.requests) == asked + 1
    assert line.condition.state is VenueState.MAINTENANCE
    socket.answer = lambda: (200, '{"retCode":0,"result":{}}', {})
    line.ask(Lane.STATUS, state)
    assert line.condition.state is VenueState.ONLINE


@pytest.mark.parametrize(
    ("status", "body"),
    [(200, bybit(10016, "System error. Please try again later.")), (503, bybit(1, "unavailable")), (502, "")],
)
def test_question_when_it_only_fails_then_the_venue_is_degraded_and_not_maintained(
    line: Line, socket: Socket, status: int, body: str
) -> None:
    socket.answer = lambda: (status, body, {})
    with pytest.raises(VenueUnreachable):
        line.ask(Lane.STATUS, state)
    assert line.condition.state is VenueState.DEGRADED


def test_question_when_the_exchange_has_no_such_one_then_it_fails_and_the_venue_stays_as_it_was(
    line: Line, socket: Socket
) -> None:
    socket.answer = lambda: (404, "404: Not Found", {})
    for _ in range(6):
        with pytest.raises(VenueUnreachable):
            line.ask(Lane.STATUS, state)
    assert line.condition.state is VenueState.ONLINE


def test_question_when_the_exchange_has_no_such_one_then_it_is_named(line: Line, socket: Socket) -> None:
    socket.answer = lambda: (404, bybit(10404, "not found"), {})
    with pytest.raises(VenueUnreachable, match=r"not found \(code 10404\) \(asked for /v5/order/realtime\)"):
        line.ask(Lane.STATUS, state)


def test_order_when_margin_of_maintenance_is_short_then_it_is_refused_and_nothing_is_being_maintained(
    line: Line, socket: Socket
) -> None:
    socket.answer = lambda: (200, bybit(110012, "insufficient balance under maintenance margin"), {})
    with pytest.raises(VenueRejected):
        line.send(Lane.ENTRY, create)
    assert line.condition.state is VenueState.ONLINE


def test_exit_when_a_question_with_a_lower_nonce_hangs_then_it_does_not_wait_for_its_end(
    socket: Socket, clock: SteppedClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.exchanges.connected.line.EXIT_WAIT_S", 0.05)
    line = line_over(socket, clock, tmp_path, has_nonce=True)
    asked, goes_on = threading.Event(), threading.Event()

    def hangs(client: Any) -> Any:
        asked.set()
        assert goes_on.wait(10)
        return state(client)

    question = threading.Thread(target=lambda: line.ask(Lane.STATUS, hangs))
    question.start()
    assert asked.wait(10)
    line.send(Lane.CLOSE, create)
    assert question.is_alive()
    goes_on.set()
    question.join()
    line.close()
