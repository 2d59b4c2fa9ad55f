"""What is made of single stream events, of quotes, of a lost connection, and when the dead-man's switch is set."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from threading import Event, Thread
from types import SimpleNamespace
from typing import Any

import ccxt
import pytest
from command_line import wait_until

from engine.domain.conditions import VenueCondition, VenueState
from engine.domain.errors import BadInput, VenueUnreachable
from engine.domain.instruments import Instrument, InstrumentKey, Kind
from engine.domain.market import from_ms
from engine.domain.orders import OrderIntent, OrderType, Purpose, Side
from engine.exchanges.client import Door, open_stream_client
from engine.exchanges.connected.connection import Connection, StreamCondition, StreamPlan
from engine.exchanges.connected.dead_man import DeadMan, GuardedLine
from engine.exchanges.connected.dialects import VenueRow
from engine.exchanges.connected.ears import Ears
from engine.exchanges.connected.lanes import Lane
from engine.exchanges.connected.placing import Listed
from engine.exchanges.connected.quotes import QuoteFeed
from engine.exchanges.connected.reading import Reader, Report
from engine.exchanges.connected.stream_rows import STREAM_ROWS
from engine.exchanges.connected.streams import Streams, StreamSetup
from engine.exchanges.connected.venue_rows import (
    BINANCE,
    BINANCE_PERP,
    BYBIT,
    COINBASE,
    KRAKEN,
    KRAKEN_PERP,
    KUCOIN,
    KUCOIN_PERP,
)
from engine.runtime.clock import SystemClock

ROWS = (BINANCE, BINANCE_PERP, BYBIT, KUCOIN, KUCOIN_PERP, KRAKEN, KRAKEN_PERP, COINBASE)
NOW_MS = 1_795_000_000_000


class Hearer:
    """Takes what was told."""

    def __init__(self) -> None:
        self.orders: list[Mapping[str, Any]] = []
        self.trades: list[Mapping[str, Any]] = []

    def hear_order(self, answer: Mapping[str, Any]) -> None:
        self.orders.append(answer)

    def hear_trade(self, answer: Mapping[str, Any]) -> None:
        self.trades.append(answer)


class Case:
    """Ears of one venue."""

    def __init__(self, row: VenueRow) -> None:
        self.hearer, self.doubts = Hearer(), 0
        reader = Reader(row.name, row.dialect, lambda: from_ms(NOW_MS))
        self.ears = Ears(STREAM_ROWS[row.name], reader, self.hearer, self._doubt, NOW_MS)
        self.client = SimpleNamespace(markets={})

    def _doubt(self) -> None:
        self.doubts += 1

    def order(self, info: dict[str, Any] | None = None, **row: Any) -> None:
        usual = {"id": "7", "symbol": "BTC/USD", "side": "buy", "timestamp": NOW_MS, "info": info or {}}
        self.ears.order(self.client, usual | row)

    def trade(self, **row: Any) -> None:
        usual = {
            "id": "1", "order": "7", "symbol": "BTC/USD", "side": "buy", "amount": "1", "price": "50000",
            "fee": {"cost": "1", "currency": "USD"}, "timestamp": NOW_MS, "info": {},
        }  # fmt: skip
        self.ears.trade(self.client, usual | row)


def test_rows_when_a_venue_can_be_traded_then_its_streams_are_described_in_words_of_the_library() -> None:
    import ccxt.pro as pro

    for row in ROWS:
        streams, client = STREAM_ROWS[row.name], getattr(pro, row.ccxt_id)
        names = [*(watched.method for watched in streams.private), streams.tops]
        assert all(callable(getattr(client, name)) for name in names), row.name


def test_order_of_kraken_when_it_is_told_then_its_id_and_what_it_filled_come_from_the_fields_that_hold_them() -> None:
    case = Case(KRAKEN)
    case.order(
        {"cl_ord_id": "t1x7", "cum_qty": "0.4", "order_qty": "1"},
        clientOrderId="0", status="canceled", amount="0.4", filled=None,
    )  # fmt: skip
    [told] = case.hearer.orders
    assert (told["clientOrderId"], told["filled"], told["amount"]) == ("t1x7", "0.4", None)
    assert case.doubts == 0


def test_order_of_kraken_when_its_end_does_not_say_what_it_filled_then_the_exchange_is_asked() -> None:
    case = Case(KRAKEN)
    case.order({"cl_ord_id": "t1x7"}, status="canceled", amount="1")
    assert (case.hearer.orders, case.doubts) == ([], 1)


@pytest.mark.parametrize(("status", "told"), [("open", 1), ("canceled", 0), ("closed", 0)])
def test_stop_kept_apart_when_it_is_told_then_only_its_placing_is_believed(status: str, told: int) -> None:
    case = Case(BINANCE_PERP)
    case.order({"aid": "9"}, status=status, amount="1", filled="0")
    assert (len(case.hearer.orders), case.doubts) == (told, 1 - told)


def test_order_of_coinbase_when_it_has_filled_then_it_is_told_and_its_executions_are_asked_for() -> None:
    case = Case(COINBASE)
    case.order(status="canceled", amount="0.4", filled="0.4", clientOrderId="t1x7")
    assert (case.hearer.orders[0]["amount"], case.doubts) == (None, 1)


@pytest.mark.parametrize("broken", [{"status": "moonlit"}, {"id": None}, {"filled": "NaN"}, {"info": ["?"]}])
def test_order_when_it_cannot_be_read_then_the_exchange_is_asked(broken: dict[str, Any]) -> None:
    case = Case(BINANCE)
    case.order(**({"status": "open", "amount": "1", "filled": "0"} | broken))
    assert (case.hearer.orders, case.doubts) == ([], 1)


def test_execution_when_it_has_no_fee_then_the_exchange_is_asked() -> None:
    case = Case(KUCOIN)
    case.trade(fee={"cost": None, "currency": "USDT"})
    assert (case.hearer.trades, case.doubts) == ([], 1)


def test_execution_when_it_is_of_before_the_stream_then_it_is_not_the_streams_to_tell() -> None:
    case = Case(KRAKEN)
    case.trade(timestamp=NOW_MS - 1)
    case.trade(id="2")
    assert [row["id"] for row in case.hearer.trades] == ["2"]
    assert (case.ears.has_heard("1"), case.ears.has_heard("2"), case.doubts) == (False, True, 0)


def test_execution_of_kraken_futures_when_it_is_told_then_its_client_id_stands_where_it_is_read() -> None:
    case = Case(KRAKEN_PERP)
    case.trade(info={"cli_ord_id": "t1x7"})
    assert case.hearer.trades[0]["info"]["cliOrdId"] == "t1x7"


def test_client_when_only_one_address_is_moved_then_it_is_not_opened() -> None:
    with pytest.raises(BadInput, match="belong together"):
        open_stream_client("bybit", Door(rest_url="http://127.0.0.1:1"))
    client = open_stream_client("bybit", Door(rest_url="http://127.0.0.1:1"), "ws://127.0.0.1:2")
    assert client.urls["api"]["ws"]["private"]["contract"] == "ws://127.0.0.1:2/v5/private"
    assert client.urls["api"]["private"] == "http://127.0.0.1:1"


# -- quotes -----------------------------------------------------------------------------------------------------------


def _feed(contract_size: str = "1") -> QuoteFeed:
    perp = Instrument("bybit", "BTC", "USDT", Kind.PERPETUAL, Decimal("0.1"), Decimal("0.001"), Decimal(5), Decimal(10))
    return QuoteFeed([Listed(perp, Decimal(contract_size))], lambda: from_ms(NOW_MS))


def _ticker(bid: Any = "100", ask: Any = "101", at_ms: int | None = NOW_MS, symbol: str = "BTC/USDT:USDT") -> Any:
    return {"symbol": symbol, "bid": bid, "ask": ask, "bidVolume": "3", "askVolume": None, "timestamp": at_ms}


@pytest.mark.parametrize(
    ("bid", "ask"), [("NaN", "101"), ("0", "101"), ("-1", "101"), ("102", "101"), (None, "101"), ("100", "Infinity")]
)
def test_quote_when_it_cannot_be_then_it_is_refused_and_counted(bid: Any, ask: Any) -> None:
    feed = _feed()
    assert not feed.put(_ticker(bid, ask))
    assert (feed.take(), feed.refused) == (None, 1)


def test_quotes_when_an_older_one_comes_late_then_the_newest_stays() -> None:
    feed = _feed()
    feed.put(_ticker())
    feed.put(_ticker("90", "91", NOW_MS - 1))
    quotes = feed.take()
    assert quotes is not None
    assert [top.bid for top in quotes.tops] == [Decimal(100)]
    assert feed.take() is None


def test_quote_when_it_has_no_time_then_it_gets_the_exchanges() -> None:
    feed = _feed("0.001")
    assert feed.put(_ticker(at_ms=None))
    top = feed.top(InstrumentKey("bybit:BTC/USDT:USDT"))
    assert top is not None
    assert (top.at, top.bid_size, top.ask_size) == (from_ms(NOW_MS), Decimal("0.003"), Decimal(0))


def test_quote_when_it_is_of_an_instrument_nobody_asked_for_then_it_is_left() -> None:
    feed = _feed()
    assert not feed.put(_ticker(symbol="ETH/USDT"))
    assert feed.refused == 0


# -- a connection -----------------------------------------------------------------------------------------------------

PLAN = StreamPlan(0.01, 1.0, 1000.0, 0.001, 0.004, 60.0, 0.1)


class Socket:
    """A websocket as ccxt keeps it: connected, and waiting for orders."""

    isConnected = True  # noqa: N815
    connectionStarted = connectionEstablished = last_message_at = None  # noqa: N815

    def __init__(self) -> None:
        self.connectionStarted = int(datetime.now(UTC).timestamp() * 1000)
        self.futures = {"orders": asyncio.get_running_loop().create_future()}


class Client:
    """A client that is connected at once."""

    def __init__(self) -> None:
        self.clients = {"wss://there": Socket()}
        self.closed = False

    async def close(self) -> None:
        self.closed = True


def _kept(watch: Callable[[Any], Coroutine[Any, Any, None]], times: int) -> tuple[list[StreamCondition], list[Client]]:
    """Every change of a connection that is kept until it has been lost so often."""
    told: list[StreamCondition] = []
    clients: list[Client] = []

    async def run() -> None:
        enough = asyncio.Event()

        def opened() -> Client:
            clients.append(Client())
            return clients[-1]

        def changed(condition: StreamCondition) -> None:
            told.append(condition)
            if sum(not each.is_up for each in told) >= times:
                enough.set()

        connection = Connection(opened, lambda client: [watch(client)], SystemClock(), PLAN, changed)
        keeper = asyncio.create_task(connection.keep())
        await enough.wait()
        keeper.cancel()
        await asyncio.gather(keeper, return_exceptions=True)

    asyncio.run(run())
    return told, clients


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ccxt.NetworkError("wss://there?token=secret"), "the connection was lost"),
        (ccxt.RequestTimeout("wss://there?listenKey=secret"), "connected, but silent"),
        (ccxt.AuthenticationError("key secret"), "the exchange does not accept the key for its stream"),
        (VenueUnreachable("no answer"), "no answer"),
        (KeyError("secret"), "the stream ended with KeyError"),
    ],
)
def test_connection_when_it_is_lost_then_it_says_why_without_secrets_and_connects_again(
    error: Exception, words: str
) -> None:
    async def watch(_client: Any) -> None:
        await asyncio.sleep(0.05)
        raise error

    told, clients = _kept(watch, 2)
    assert [(each.is_up, each.detail) for each in told] == [(True, ""), (False, words)] * 2
    assert told[-1].connections == 2
    assert all(client.closed for client in clients)


def test_connection_when_the_library_cancels_its_own_waiting_then_it_connects_again() -> None:
    async def watch(client: Any) -> None:
        await asyncio.sleep(0.05)
        future = client.clients["wss://there"].futures["orders"]
        future.cancel()
        await future

    told, _ = _kept(watch, 2)
    assert [each.is_up for each in told] == [True, False, True, False]


def test_connection_when_its_socket_is_gone_then_it_is_lost() -> None:
    async def watch(client: Any) -> None:
        await asyncio.sleep(0.05)
        client.clients.clear()
        await asyncio.sleep(60)

    told, _ = _kept(watch, 1)
    assert told[-1].detail == "closed"


def test_connection_when_it_is_never_let_in_then_it_tries_another() -> None:
    async def watch(client: Any) -> None:
        client.clients["wss://there"].futures["authenticated"] = asyncio.get_running_loop().create_future()
        await asyncio.sleep(60)

    told, clients = _kept(watch, 1)
    assert told[-1].detail == "connected, but not let in within 0.1 s"
    assert clients[0].closed


# -- the dead-man's switch --------------------------------------------------------------------------------------------


class SwitchLine:
    """Notes what was set and sent, in order."""

    offset_ms = 0
    condition = VenueCondition("kraken", VenueState.ONLINE)

    def __init__(self) -> None:
        self.done: list[Any] = []
        self.error: Exception | None = None

    def ask(self, _lane: Lane, question: Callable[[Any], Any], _weight: int = 1) -> Any:
        if self.error is not None:
            raise self.error
        return question(SimpleNamespace(cancel_all_orders_after=lambda ms, _extra: self.done.append(ms)))

    def send(self, lane: Lane, _call: Callable[[Any], Any], _weight: int = 1, _late: Any = None) -> Any:
        self.done.append(lane)


def _intent(client_id: str) -> OrderIntent | None:
    purposes = {"entry": Purpose.ENTRY, "stop": Purpose.STOP}
    if client_id not in purposes:
        return None
    return OrderIntent(
        client_id, InstrumentKey("kraken:BTC/USD"), Side.BUY, Decimal(1), OrderType.LIMIT, purposes[client_id],
        "momentum", from_ms(NOW_MS), Decimal(100), limit_price=Decimal(90),
    )  # fmt: skip


def _resting(*client_ids: str) -> list[Report]:
    return [Report(name, name, "BTC/USD", None, None, Decimal(0), None, None, from_ms(NOW_MS)) for name in client_ids]


@pytest.fixture
def line() -> SwitchLine:
    return SwitchLine()


@pytest.fixture
def switch(line: SwitchLine) -> DeadMan:
    return DeadMan(KRAKEN, line, _intent)


def test_switch_when_it_cannot_be_taken_back_then_the_venue_has_none() -> None:
    assert [row.name for row in ROWS if DeadMan.exists(row)] == ["kraken", "kraken-perp"]


def test_switch_when_only_entries_rest_then_it_is_set_and_taken_back_when_none_does(
    switch: DeadMan, line: SwitchLine
) -> None:
    switch.beat(_resting("entry"), switch.mark)
    switch.beat(_resting("entry"), switch.mark)
    switch.beat([], switch.mark)
    switch.beat([], switch.mark)
    assert line.done == [60_000, 60_000, 0]


@pytest.mark.parametrize("other", ["stop", "the trader's own"])
def test_switch_when_a_stop_or_an_order_of_the_trader_rests_then_it_is_not_set(
    switch: DeadMan, line: SwitchLine, other: str
) -> None:
    switch.beat(_resting("entry", other), switch.mark)
    assert (line.done, switch.is_set) == ([], False)


def test_switch_when_a_stop_is_sent_then_it_is_taken_back_before(switch: DeadMan, line: SwitchLine) -> None:
    switch.beat(_resting("entry"), switch.mark)
    GuardedLine(line, switch).send(Lane.CLOSE, lambda client: client)
    assert line.done == [60_000, 0, Lane.CLOSE]


def test_switch_when_a_stop_was_sent_since_the_orders_were_asked_for_then_it_is_not_set(
    switch: DeadMan, line: SwitchLine
) -> None:
    mark = switch.mark
    GuardedLine(line, switch).send(Lane.CLOSE, lambda client: client)
    switch.beat(_resting("entry"), mark)
    assert line.done == [Lane.CLOSE]


def test_switch_when_it_cannot_be_taken_back_now_then_the_stop_is_sent_all_the_same_and_it_is_tried_again(
    switch: DeadMan, line: SwitchLine
) -> None:
    switch.beat(_resting("entry"), switch.mark)
    line.error = VenueUnreachable("no answer")
    GuardedLine(line, switch).send(Lane.CLOSE, lambda client: client)
    line.error = None
    assert switch.is_set
    switch.beat(_resting("entry", "stop"), switch.mark)
    assert line.done == [60_000, Lane.CLOSE, 0]
    assert not switch.is_set


def test_entry_when_it_is_sent_then_the_switch_stays(switch: DeadMan, line: SwitchLine) -> None:
    switch.beat(_resting("entry"), switch.mark)
    GuardedLine(line, switch).send(Lane.ENTRY, lambda client: client)
    assert line.done == [60_000, Lane.ENTRY]


def test_switch_when_taking_it_back_hangs_then_an_exit_waits_a_second_and_the_attempt_goes_on(
    switch: DeadMan, line: SwitchLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.exchanges.connected.dead_man.EXIT_WAIT_S", 0.05)
    switch.beat(_resting("entry"), switch.mark)
    goes_on, ask = Event(), line.ask

    def slow(lane: Lane, question: Callable[[Any], Any], weight: int = 1) -> Any:
        assert goes_on.wait(10)
        return ask(lane, question, weight)

    line.ask = slow  # type: ignore[method-assign]
    guarded = GuardedLine(line, switch)
    guarded.send(Lane.CLOSE, lambda client: client)
    assert line.done == [60_000, Lane.CLOSE]
    assert switch.is_set
    guarded.send(Lane.CLOSE, lambda client: client)
    assert line.done == [60_000, Lane.CLOSE, Lane.CLOSE]
    goes_on.set()
    line.ask = ask  # type: ignore[method-assign]
    switch.stand_down()
    assert line.done == [60_000, Lane.CLOSE, Lane.CLOSE, 0]
    assert not switch.is_set


def test_switch_when_a_heartbeat_hangs_as_a_stop_is_sent_then_it_is_taken_back_after_it(
    switch: DeadMan, line: SwitchLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.exchanges.connected.dead_man.EXIT_WAIT_S", 0.05)
    asked, goes_on, ask = Event(), Event(), line.ask

    def slow(lane: Lane, question: Callable[[Any], Any], weight: int = 1) -> Any:
        asked.set()
        assert goes_on.wait(10)
        return ask(lane, question, weight)

    line.ask = slow  # type: ignore[method-assign]
    beat = Thread(target=switch.beat, args=(_resting("entry"), switch.mark))
    beat.start()
    assert asked.wait(10)
    GuardedLine(line, switch).send(Lane.CLOSE, lambda client: client)
    goes_on.set()
    beat.join()
    switch.stand_down()
    assert line.done == [Lane.CLOSE, 60_000, 0]
    assert not switch.is_set


def test_streams_when_the_thread_fails_by_an_error_of_the_engines_own_then_it_is_told_and_they_begin_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("engine.exchanges.steady.FIRST_PAUSE_S", 0.01)
    begun = list[Connection]()

    async def keep(self: Connection) -> None:
        begun.append(self)
        if len(begun) == 1:
            self._set(True, "")
            raise TypeError("no such field")
        self._set(True, "")
        await asyncio.sleep(3600)

    monkeypatch.setattr(Connection, "keep", keep)
    line = SimpleNamespace(offset_ms=0)
    setup = StreamSetup(BYBIT, line, lambda _keyed: None)  # type: ignore[arg-type]
    streams = Streams(setup, Hearer(), SystemClock())
    told: list[StreamCondition] = []
    streams.listen(told.append, lambda: None)
    streams.start()
    try:
        wait_until(lambda: len(begun) > 1 and streams.condition.is_up)
    finally:
        streams.close()
    assert [each.is_up for each in told] == [True, False, True, False]
