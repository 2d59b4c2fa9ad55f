"""A ban or a pause is the address's: whoever was told it, all that ask the same host leave it alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import ccxt
import pytest
from exchange_stand_in import HTML, Answer, StandIn, running_stand_in

from engine.domain.conditions import VenueState
from engine.domain.errors import VenueError, VenueHeld, VenueUnreachable
from engine.exchanges import EXCHANGES
from engine.exchanges.accounts import check_at
from engine.exchanges.client import Credentials, Door, VenueThrottled, open_client
from engine.exchanges.connected.lanes import Lane
from engine.exchanges.connected.line import Line
from engine.exchanges.connected.line_setup import LineSetup
from engine.exchanges.hosts import Hosts, Shut, shared_memory
from engine.exchanges.prices import PriceReader
from engine.exchanges.public_market import PublicMarket
from engine.exchanges.wallets import read_account

BINANCE = EXCHANGES["binance"]
CREDENTIALS = Credentials("a-key-of-some-length", "a-secret-of-some-length")
HOST = "api.binance.com"
BANNED = Answer({"code": -1003, "msg": "banned"}, 418, headers=(("Retry-After", "600"),))


class SteppedClock:
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


@pytest.fixture(autouse=True)
def _unthrottled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pauses between real requests would only make the tests slow."""
    monkeypatch.setattr(ccxt.Exchange, "throttle", lambda _self, _cost=None: None)


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    with running_stand_in() as server:
        yield server


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


class Askers:
    """Everything that asks an exchange, over one data folder."""

    def __init__(self, stand_in: StandIn, clock: SteppedClock, folder: Path) -> None:
        self.stand_in, self.clock, self.folder = stand_in, clock, folder
        self.lines: list[Line] = []

    def hosts(self) -> Hosts:
        return Hosts(self.folder, self.clock)

    def door(self) -> Door:
        return Door(CREDENTIALS, timeout_s=2.0, rest_url=self.stand_in.url, hosts=self.hosts())

    def line(self, name: str = "binance") -> Line:
        def opened(_keyed: bool) -> Any:
            return open_client(BINANCE, Door(CREDENTIALS, timeout_s=2.0, rest_url=self.stand_in.url))

        file = self.folder / f"{name}-{len(self.lines)}.line.json"
        self.lines.append(Line(LineSetup(name, BINANCE, opened, file, hosts=self.hosts()), self.clock))
        return self.lines[-1]

    def candles(self) -> None:
        market = PublicMarket(BINANCE, self.clock, 2.0, self.stand_in.url)
        market.heed(self.hosts())
        try:
            market.sync_clock()
        finally:
            market.close()

    def check(self) -> None:
        check = check_at(BINANCE, self.door())
        if not check.reachable:
            raise VenueUnreachable(check.message)

    def wallets(self) -> None:
        read_account(BINANCE, CREDENTIALS, self.door())

    def prices(self) -> None:
        reader = PriceReader(BINANCE, replace(self.door(), credentials=None))
        try:
            reader.read(self.clock.now())
        finally:
            reader.close()

    def book(self) -> None:
        self.line().ask(Lane.STATUS, state)


WHO = pytest.mark.parametrize("who", ["candles", "check", "wallets", "prices", "book"])


@pytest.fixture
def askers(stand_in: StandIn, clock: SteppedClock, tmp_path: Path) -> Iterator[Askers]:
    made = Askers(stand_in, clock, tmp_path)
    yield made
    for line in made.lines:
        line.close()


def state(client: Any) -> Any:
    return client.private_get_account({})


def create(client: Any) -> Any:
    return client.private_post_order({"symbol": "BTCUSDT"})


def every_route(stand_in: StandIn, answer: Answer) -> None:
    for path in ("/api/v3/time", "/api/v3/account", "/api/v3/exchangeInfo", "/api/v3/order", "/sapi/v1/capital/config"):
        stand_in.answer(path, answer)


@WHO
def test_ban_when_one_is_told_then_nobody_asks_there_until_it_ends(askers: Askers, who: str) -> None:
    line = askers.line()
    every_route(askers.stand_in, BANNED)
    with pytest.raises(VenueError):
        getattr(askers, who)()
    asked = len(askers.stand_in.requests)
    for other in (askers.candles, askers.check, askers.wallets, askers.prices, askers.book):
        with pytest.raises(VenueUnreachable, match="another 600 s"):
            other()
    for lane in Lane:
        with pytest.raises(VenueThrottled):
            line.ask(lane, state)
    assert line.condition.state is VenueState.BANNED
    assert len(askers.stand_in.requests) == asked
    askers.clock.pass_time(601)
    every_route(askers.stand_in, Answer({"serverTime": 1_772_323_200_000}))
    line.ask(Lane.STATUS, state)
    askers.candles()


def test_order_when_the_address_is_shut_out_then_it_is_proven_that_nothing_was_sent(askers: Askers) -> None:
    line = askers.line()
    shared_memory(askers.folder, "binance", askers.stand_in.url.removeprefix("http://"), askers.clock).pause(30)
    with pytest.raises(VenueThrottled, match="pause of another 30 s"):
        line.send(Lane.CLOSE, create)
    assert askers.stand_in.requests == []


def test_pause_when_candles_are_told_a_short_one_then_an_exit_waits_so_long_and_no_longer(askers: Askers) -> None:
    line = askers.line()
    every_route(askers.stand_in, Answer({"code": -1003}, 429, headers=(("Retry-After", "3"),)))
    with pytest.raises(VenueThrottled):
        askers.candles()
    with pytest.raises(VenueThrottled, match="another 3 s"):
        line.ask(Lane.CLOSE, state)
    askers.clock.pass_time(3)
    every_route(askers.stand_in, Answer({}))
    line.ask(Lane.CLOSE, state)


def test_pause_when_its_length_is_not_told_then_exits_go_on_and_all_else_rests(askers: Askers) -> None:
    line = askers.line()
    every_route(askers.stand_in, Answer({"code": -1003}, 429))
    with pytest.raises(VenueThrottled):
        line.ask(Lane.DATA, state)
    every_route(askers.stand_in, Answer({}))
    line.ask(Lane.CLOSE, state)
    for lane in (Lane.STATUS, Lane.ENTRY, Lane.DATA):
        with pytest.raises(VenueThrottled) as told:
            line.ask(lane, state)
        assert isinstance(told.value, VenueHeld)


@pytest.mark.parametrize(
    "answer",
    [
        Answer({"code": 0, "msg": "Service unavailable from a restricted location"}, 451),
        Answer("<html>The distribution is configured to block access from your country.</html>", 403),
    ],
    ids=["451", "403"],
)
@WHO
def test_answer_when_the_place_is_not_served_then_it_is_said_in_words(askers: Askers, who: str, answer: Answer) -> None:
    every_route(askers.stand_in, answer)
    with pytest.raises(VenueUnreachable, match="does not serve the country or network this computer asks from"):
        getattr(askers, who)()


def test_memory_when_started_again_then_it_knows_and_sandboxes_are_apart(tmp_path: Path, clock: SteppedClock) -> None:
    hosts = Hosts(tmp_path / "new", clock)
    hosts.at("binance", f"https://{HOST}/api/v3/time").ban(600)
    clock.pass_time(100)
    again = Hosts(tmp_path / "new", clock)
    assert again.at("binance", f"https://{HOST}/sapi/v1/x").shut() == Shut(500, True)
    assert again.at("binance", "https://testnet.binance.vision/api/v3/time").shut() is None
    assert again.at("bybit", f"https://{HOST}/").shut() is None


def test_memory_when_another_writes_then_the_later_end_counts_and_none_is_lost(
    tmp_path: Path, clock: SteppedClock
) -> None:
    one, other = (shared_memory(tmp_path, "binance", HOST, clock) for _ in range(2))
    one.ban(100)
    other.pause(200)
    assert one.shut() == Shut(200, True)
    other.pause(50)
    clock.pass_time(150)
    assert one.shut() == other.shut() == Shut(50, False)


def test_memory_when_the_clock_is_set_back_then_a_pause_lasts_no_longer(tmp_path: Path, clock: SteppedClock) -> None:
    memory = shared_memory(tmp_path, "binance", HOST, clock)
    memory.pause(10)
    clock.at -= timedelta(hours=1)
    assert memory.shut() == Shut(10, False)
    assert shared_memory(tmp_path, "binance", HOST, clock).shut() == Shut(10, False)
    clock.monotonic_s += 10
    assert memory.shut() is None


@pytest.mark.parametrize("text", ["", "[]", '{"ban": 3}', '{"ban": ["soon", 1]}', "\x00"])
def test_memory_when_its_file_cannot_be_read_then_nothing_is_known_and_it_learns_anew(
    tmp_path: Path, clock: SteppedClock, text: str
) -> None:
    memory = shared_memory(tmp_path, "binance", HOST, clock)
    (tmp_path / f"binance-{HOST}.host.json").write_text(text, encoding="utf-8")
    assert memory.shut() is None
    memory.ban(5)
    assert shared_memory(tmp_path, "binance", HOST, clock).shut() == Shut(5, True)


def test_memory_when_many_threads_tell_then_the_longest_is_kept(tmp_path: Path, clock: SteppedClock) -> None:
    hosts = Hosts(tmp_path, clock)
    told: Callable[[int], None] = lambda seconds: hosts.at("bybit", "https://api.bybit.com").pause(seconds)  # noqa: E731
    threads = [Thread(target=told, args=(seconds,)) for seconds in range(1, 21)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Hosts(tmp_path, clock).at("bybit", "https://api.bybit.com").shut() == Shut(20, False)
    assert [json.loads(file.read_text()) is not None for file in tmp_path.iterdir()] == [True]


def test_answer_when_bybit_says_access_is_too_frequent_then_it_is_ten_minutes(
    tmp_path: Path, clock: SteppedClock
) -> None:
    memory = shared_memory(tmp_path, "bybit", "api.bybit.com", clock)
    memory.hear(403, {}, "access too frequent")
    assert memory.shut() == Shut(600, True)


def test_answer_when_kucoin_says_when_its_limit_begins_anew_then_it_is_so_long(
    tmp_path: Path, clock: SteppedClock
) -> None:
    memory = shared_memory(tmp_path, "kucoin", "api.kucoin.com", clock)
    memory.hear(429, {"Gw-Ratelimit-Reset": "14000"}, "")
    assert memory.shut() == Shut(14, False)


@pytest.mark.parametrize(("reset", "length_s"), [("1672531204000", 4.0), ("1672531199000", 1.0)])
def test_answer_when_bybit_says_when_its_limit_begins_anew_then_it_is_until_then_by_its_own_clock(
    tmp_path: Path, clock: SteppedClock, reset: str, length_s: float
) -> None:
    memory = shared_memory(tmp_path, "bybit", "api.bybit.com", clock)
    told = {"X-Bapi-Limit-Reset-Timestamp": reset}
    memory.hear(429, told, "")
    assert memory.shut() is None
    memory.hear(429, told | {"Date": "Sun, 01 Jan 2023 00:00:00 GMT"}, "")
    assert memory.shut() == Shut(length_s, is_ban=False)


def test_answer_when_it_is_no_refusal_then_nothing_is_learned(tmp_path: Path, clock: SteppedClock) -> None:
    memory = shared_memory(tmp_path, "bybit", "api.bybit.com", clock)
    for status, headers in ((200, {"Retry-After": "9"}), (429, {}), (429, {"retry-after": "soon"}), (503, {})):
        memory.hear(status, headers, HTML.payload().decode())
    assert memory.shut() is None
