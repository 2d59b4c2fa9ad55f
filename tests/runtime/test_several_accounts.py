"""One book at several exchanges: accounts and symbols shared out, both legs of a basket, kills between them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from connected_book import Engine, account, engine_at
from running_engine import until

from engine.domain.baskets import BasketState
from engine.domain.commands import ConfigureStrategy, PlaceOrder, TradingState
from engine.domain.errors import BadInput, VenueUnreachable
from engine.domain.instruments import InstrumentKey
from engine.domain.market import BookTop, FeedStatus, Quotes
from engine.domain.orders import OrderType, Side
from engine.exchanges.connected.venue import ConnectedVenue
from engine.exchanges.merged import MergedSource
from tests.faults.connected_compared import booked_fills, rows_of
from tests.standin.client import StandIn, running
from tests.standin.judge import differences, judge

BYBIT, BINANCE = InstrumentKey("bybit:BTC/USDT"), InstrumentKey("binance:BTC/USDT")
D = Decimal
ARBITRAGE = json.dumps({"use_coins_by_hand": True, "leg_timer_s": 30, "most_notional": "600"})


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-in exchange minds no haste; what limits do has tests of its own."""
    monkeypatch.setattr("engine.exchanges.connected.lanes.Budget.take", lambda *_: 0.0)
    monkeypatch.setattr("ccxt.Exchange.throttle", lambda *_: None)


@pytest.fixture
def exchange(tmp_path: Path) -> Iterator[StandIn]:
    with running(tmp_path, funds="USDT=10000,BTC=0.5") as process:
        yield process


def two(exchange: StandIn, folder: Path, symbols: tuple[str, ...] = ("BTC/USDT",), **more: Any) -> Any:
    """An engine that names no account: every sandbox of the settings whose keys are stored is traded."""
    values = {"testnet__connections": [], "testnet__symbols": list(symbols), "testnet__capital": "5000", **more}
    return engine_at(exchange, folder / "data", **values)


@pytest.fixture
def engine(exchange: StandIn, tmp_path: Path) -> Iterator[Engine]:
    with two(exchange, tmp_path, testnet__strategies=["arbitrage"]) as made:
        made.connect("one", venue="bybit")
        made.connect("other", venue="binance")
        yield made


def settle(engine: Engine) -> None:
    """What the engine does between two events: ask, take, and see baskets through."""
    assert engine.book is not None
    loop = engine.book.loop
    loop.resolve(everything=True)
    loop.pull()
    loop.drive_baskets()


def same_as_the_exchanges(engine: Engine) -> None:
    """No order or fill is lost or doubled at either venue, and the coins are those of the exchange."""
    assert engine.book is not None
    assert engine.store is not None
    book, rows = engine.book.loop.book, journal(engine)
    fills = booked_fills(rows)
    told = [row for row in rows if row["type"] == "Fill"]
    for venue in ("bybit", "binance"):
        verdict = judge(engine.exchange.journal, venue)
        own = [fill for fill, row in zip(fills, told, strict=True) if row["instrument"].startswith(f"{venue}:")]
        balances = {
            coin: book.ledger.balances.get((venue, coin), D(0)) + book.external.get((venue, coin), D(0))
            for coin in ("USDT", "BTC")
        }
        assert differences(verdict, fills=own) == []
        for coin, amount in balances.items():
            assert abs(verdict.balances[coin] - amount) < D("1e-8"), (venue, coin)
        sent = [order.client_id for order in verdict.sent]
        assert len(sent) == len(set(sent))
        assert set(sent) <= {row["client_id"] for row in rows if row["type"] == "OrderIntent"}


def journal(engine: Engine) -> list[dict[str, Any]]:
    """The rows of the book's journal."""
    return rows_of(engine.folder / "money.sqlite", "testnet")


# -- sharing out -------------------------------------------------------------------------------------------------------


def test_book_when_two_accounts_list_a_symbol_then_it_trades_both_with_capital_at_each(engine: Engine) -> None:
    book = engine.start("testnet").loop.book
    assert sorted(book.ledger.instruments) == [BINANCE, BYBIT]
    assert book.ledger.balances == {("binance", "USDT"): D(5000), ("bybit", "USDT"): D(5000)}
    assert book.external["binance", "BTC"] == D("0.5")
    assert engine.notices == []


def test_symbols_when_shared_out_then_each_goes_to_every_venue_that_lists_it(exchange: StandIn, tmp_path: Path) -> None:
    with two(exchange, tmp_path, ("BTC/USDT", "MNT/USDT", "ETH/USDT:USDT")) as engine:
        engine.connect("one", venue="bybit")
        engine.connect("other", venue="binance")
        exchange.call("instrument", symbol="MNTUSDT", venue="binance", status="Closed")
        book = engine.start("testnet").loop.book
        assert "bybit:MNT/USDT" in book.ledger.instruments
        assert "binance:MNT/USDT" not in book.ledger.instruments
        assert {key.partition(":")[0] for key in book.ledger.instruments if "ETH" in key} >= {"bybit"}


def test_symbol_when_no_account_lists_it_then_refused_with_what_each_has_instead(
    exchange: StandIn, tmp_path: Path
) -> None:
    with two(exchange, tmp_path, ("BTC/USDT", "NOSUCH/USDT")) as engine:
        engine.connect("one", venue="bybit")
        engine.connect("other", venue="binance")
        with pytest.raises(BadInput, match=r"bybit does not trade 'NOSUCH/USDT'.*") as refused:
            engine.start("testnet")
        assert "binance does not trade 'NOSUCH/USDT'" in str(refused.value)
        assert str(refused.value).endswith("(setting testnet.symbols)")


def test_symbols_when_nobody_chose_them_then_one_that_no_account_lists_is_left_out_and_told(
    exchange: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.runtime.build_connected.usual", lambda _name: ["BTC/USDT", "NOSUCH/USDT"])
    with two(exchange, tmp_path, ("BTC/USDT", "NOSUCH/USDT")) as engine:
        engine.connect("one", venue="bybit")
        assert list(engine.start("testnet").loop.book.ledger.instruments) == [BYBIT]
        assert "bybit does not trade 'NOSUCH/USDT'" in engine.notices[-1].detail


def test_account_types_when_they_leave_perpetuals_out_then_only_spot_is_traded(
    exchange: StandIn, tmp_path: Path
) -> None:
    types = {**account(exchange, "bybit", "one", True), "venues.one.account_types": ["spot"]}
    with two(exchange, tmp_path, ("BTC/USDT:USDT",), **types) as engine:
        engine.connect("one", venue="bybit")
        with pytest.raises(BadInput, match="no perpetuals can be traded at bybit/one"):
            engine.start("testnet")


def test_accounts_when_two_are_at_one_exchange_then_refused_and_the_way_out_is_named(
    exchange: StandIn, tmp_path: Path
) -> None:
    with two(exchange, tmp_path) as engine:
        engine.connect("one", venue="bybit")
        engine.connect("other", venue="bybit")
        with pytest.raises(BadInput, match=r"both at Bybit.*testnet\.connections"):
            engine.start("testnet")


# -- both legs ---------------------------------------------------------------------------------------------------------


def begin(engine: Engine) -> None:
    """Prices are known at both, and coins were bought by hand at the venue that will be dearer."""
    running_book = engine.start("testnet")
    for name in running_book.loop.venues:
        running_book.loop.step(FeedStatus(name, engine.clock.now() - timedelta(minutes=2), True, "test"))
    engine.candle({"BTC/USDT": "50000"})
    done = engine.command(ConfigureStrategy("testnet", "arbitrage", ARBITRAGE, None))
    assert done.status == "done", done.detail
    done = engine.command(PlaceOrder("testnet", BINANCE, Side.BUY, D("0.02"), OrderType.MARKET))
    assert done.status == "done", done.detail
    settle(engine)
    assert running_book.loop.book.ledger.held("manual", BINANCE) > D("0.019")


def apart(engine: Engine) -> None:
    """The coin costs one per cent more at Binance, there and in the quotes."""
    assert engine.book is not None
    engine.exchange.price("BTCUSDT", "50500", venue="binance")
    at, tops = engine.clock.now(), []
    for key, price in ((BINANCE, D(50500)), (BYBIT, D(50000))):
        tops.append(BookTop(key, at, price - 5, price + 5, D(1), D(1)))
    engine.book.loop.step(Quotes(at, tuple(tops)))


def state(engine: Engine) -> str:
    assert engine.book is not None
    moves = [row["state"] for row in journal(engine) if row["type"] == "BasketMoved"]
    return moves[-1] if moves else "none"


def test_basket_when_venues_lie_apart_then_both_legs_fill_and_the_books_equal_both_exchanges(engine: Engine) -> None:
    begin(engine)
    apart(engine)
    settle(engine)
    assert state(engine) == BasketState.COMPLETED.value
    assert engine.book is not None
    book = engine.book.loop.book
    assert book.ledger.held("arbitrage", BYBIT) > 0
    same_as_the_exchanges(engine)
    engine.crash()
    again = engine.start("testnet")
    assert again.recovered.differences == ()
    assert again.loop.book.state is TradingState.ACTIVE
    same_as_the_exchanges(engine)


def settled(engine: Engine) -> str:
    """What became of the basket after one more turn of the engine."""
    settle(engine)
    return state(engine)


class Killed(BaseException):
    """The process is gone at this very line."""


@pytest.mark.parametrize("sent", [False, True], ids=["before the second is sent", "after it was sent"])
def test_basket_when_killed_between_the_legs_then_nothing_is_lost_or_doubled(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, sent: bool
) -> None:
    monkeypatch.setattr("engine.runtime.build_connected.NOT_FOUND_WINDOW_S", 0.1)
    begin(engine)
    legs: list[str] = []
    submit = ConnectedVenue.submit

    def dying(venue: ConnectedVenue, approved: Any) -> Any:
        legs.append(venue.venue)
        if len(legs) < 2:
            return submit(venue, approved)
        if sent:
            submit(venue, approved)
        raise Killed

    monkeypatch.setattr(ConnectedVenue, "submit", dying)
    with pytest.raises(Killed):
        apart(engine)
    monkeypatch.setattr(ConnectedVenue, "submit", submit)
    assert sorted(legs) == ["binance", "bybit"]
    engine.crash()
    book = engine.start("testnet").loop.book
    engine.candle({"BTC/USDT": "50000"})
    until(lambda: settled(engine) in {BasketState.COMPLETED.value, BasketState.UNWOUND.value}, "the basket to end")
    assert not [order for order in book.tracker.open_orders() if order.remaining]
    held = book.ledger.held("arbitrage", BYBIT) + book.ledger.held("arbitrage", BINANCE)
    held += book.ledger.held("manual", BINANCE)
    assert abs(held - D("0.02")) < D("0.001")  # what was bought here was sold there, or neither
    same_as_the_exchanges(engine)


# -- one that is away --------------------------------------------------------------------------------------------------


def test_book_when_one_venue_is_away_at_a_restart_then_it_starts_and_trades_the_other(engine: Engine) -> None:
    begin(engine)
    engine.crash()
    engine.exchange.fault("reset_before", "any", count=100_000, venue="bybit")
    book = engine.start("testnet").loop.book
    assert sorted(book.ledger.instruments) == [BINANCE, BYBIT]
    assert book.ledger.balances["bybit", "USDT"] == D(5000)
    for _ in range(2):
        assert engine.book is not None
        engine.book.reconciler._due = 0.0
        engine.book.reconciler.drive()
    engine.candle({"BTC/USDT": "50000"})
    there = engine.command(PlaceOrder("testnet", BINANCE, Side.BUY, D("0.01"), OrderType.MARKET))
    assert there.status == "done", there.detail
    here = engine.command(PlaceOrder("testnet", BYBIT, Side.BUY, D("0.01"), OrderType.MARKET))
    assert here.status == "refused"


def test_book_when_it_has_never_begun_and_one_venue_is_away_then_refused(engine: Engine) -> None:
    engine.exchange.fault("reset_before", "any", count=100_000, venue="binance")
    with pytest.raises(VenueUnreachable):
        engine.start("testnet")
    engine.exchange.clear()
    assert engine.start("testnet").loop.book.state is TradingState.ACTIVE


def test_account_when_it_joins_a_book_then_it_brings_capital_and_what_happened_elsewhere_is_still_booked(
    exchange: StandIn, tmp_path: Path
) -> None:
    with two(exchange, tmp_path) as engine:
        engine.connect("one", venue="bybit")
        engine.start("testnet")
        engine.candle({"BTC/USDT": "50000"})
        resting = PlaceOrder("testnet", BYBIT, Side.BUY, D("0.01"), OrderType.LIMIT, D(49000))
        assert engine.command(resting).status == "done"
        engine.crash()
        exchange.price("BTCUSDT", "48900")
        engine.connect("other", venue="binance")
        book = engine.start("testnet").loop.book
        assert book.ledger.balances["binance", "USDT"] == D(5000)
        assert book.ledger.held("manual", BYBIT) > D("0.009")
        same_as_the_exchanges(engine)


def test_account_when_it_is_new_to_a_book_that_has_begun_and_away_then_left_out_and_told(
    exchange: StandIn, tmp_path: Path
) -> None:
    with two(exchange, tmp_path) as engine:
        engine.connect("one", venue="bybit")
        engine.start("testnet")
        engine.crash()
        engine.connect("other", venue="binance")
        exchange.fault("reset_before", "any", count=100_000, venue="binance")
        book = engine.start("testnet").loop.book
        assert sorted(book.ledger.instruments) == [BYBIT]
        assert [notice.key for notice in engine.notices] == ["testnet-left-out"]
        assert "runs without binance/other" in engine.notices[0].title
        engine.crash()
        exchange.clear()
        assert len(engine.start("testnet").loop.book.ledger.instruments) == 2


def test_candles_of_two_venues_then_come_as_one_source(engine: Engine) -> None:
    source: Any = engine.start("testnet").source
    assert isinstance(source._source, MergedSource)
    venues: Any = source._source._venues
    for venue in venues:
        venue.source.connect()
    assert {instrument.key for instrument in source.instruments()} == {BYBIT, BINANCE}
    assert len(source.history(BINANCE, 5)) == len(source.history(BYBIT, 5)) == 5


def test_account_when_it_joins_and_stays_silent_before_its_coins_were_noted_then_the_next_start_notes_them(
    exchange: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with two(exchange, tmp_path) as engine:
        engine.connect("one", venue="bybit")
        engine.start("testnet")
        engine.crash()
        exchange.call("order", venue="binance", symbol="BTCUSDT", side="buy", quantity="0.01", type="market")
        engine.connect("other", venue="binance")
        with monkeypatch.context() as patch:
            silent = VenueUnreachable("made for this test")
            patch.setattr(ConnectedVenue, "pass_over", lambda *_: (_ for _ in ()).throw(silent))
            with pytest.raises(VenueUnreachable):
                engine.start("testnet")
        engine.crash()
        running_book = engine.start("testnet")
        book = running_book.loop.book
        assert book.ledger.balances["binance", "USDT"] == D(5000)
        assert book.external["binance", "BTC"] > D("0.509")
        assert (book.state, running_book.recovered.differences) == (TradingState.ACTIVE, ())
