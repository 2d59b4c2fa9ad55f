"""Testnet and live at the stand-in exchange, with the real client: start, trade, crash, and every refusal of live."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from connected_book import Engine, engine_at

from config.settings import load
from engine.domain.commands import (
    ArmLive,
    ConfigureStrategy,
    Demote,
    EmergencyStop,
    PlaceOrder,
    Promote,
    Rearm,
    SetStrategy,
    SetTrading,
    TradingState,
)
from engine.domain.errors import BadInput, QuarterdeckError
from engine.domain.facts import Armed, Evidence
from engine.domain.instruments import InstrumentKey
from engine.domain.orders import OrderIntent, OrderState, OrderType, OrderUpdate, Purpose, Side
from engine.exchanges import EXCHANGES
from engine.exchanges.accounts import AccountCheck
from engine.execution.tracker import Tracker
from engine.runtime.accounts import STAGES, Account, lacks_second_factor, require_fit
from engine.runtime.venue_wallets import VenueWallet
from engine.trading.book import Book
from engine.trading.graduation import Candidate
from engine.trading.sleeves import build_strategy
from tests.standin.client import KEY, SECRET, StandIn, running
from tests.standin.judge import judge
from tests.trading.harness import Script

PERP, SPOT = InstrumentKey("bybit:BTC/USDT:USDT"), "BTC/USDT"
PRICES = {"BTC/USDT:USDT": "50000"}
D = Decimal


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-in exchange minds no haste; what limits do has tests of its own."""
    monkeypatch.setattr("engine.exchanges.connected.lanes.Budget.take", lambda *_: 0.0)
    monkeypatch.setattr("ccxt.Exchange.throttle", lambda *_: None)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    with running(tmp_path_factory.mktemp("exchange"), funds="USDT=1000000,BTC=5") as process:
        yield process


@pytest.fixture
def exchange(tmp_path: Path) -> Iterator[StandIn]:
    with running(tmp_path, funds="USDT=10000,BTC=0.5") as process:
        yield process


@pytest.fixture
def engine(exchange: StandIn, tmp_path: Path) -> Iterator[Engine]:
    with engine_at(exchange, tmp_path / "data", testnet__strategies=["momentum"]) as made:
        made.connect()
        yield made


@pytest.fixture
def live(exchange: StandIn, tmp_path: Path) -> Iterator[Engine]:
    with engine_at(exchange, tmp_path / "data") as made:
        made.connect(sandbox=False)
        yield made


def buy(engine: Engine, book: str, quantity: str = "0.01") -> str:
    done = engine.command(PlaceOrder(book, PERP, Side.BUY, D(quantity), OrderType.MARKET))
    return f"{done.status}: {done.detail}"


def settle(engine: Engine) -> None:
    """Let the book ask the exchange about everything, as it does while it runs."""
    assert engine.book is not None
    engine.book.loop.resolve(everything=True)
    engine.book.loop.pull()


def same_as_the_exchange(engine: Engine) -> None:
    """Books and the exchange's own journal are equal: fills, money, positions, open orders."""
    assert engine.book is not None
    book, verdict = engine.book.loop.book, judge(engine.exchange.journal, engine.venue)
    assert verdict.problems == []
    own = [fill for fill in verdict.fills if fill.client_id]
    assert len(own) == book.ledger.fills
    held = {key: quantity for key, (quantity, _) in verdict.positions.items() if quantity}
    booked = {key: held.quantity for key, held in book.ledger.accounts() if held.quantity}
    assert sorted(held.values()) == sorted(booked.values())
    usdt = book.ledger.balances["bybit", "USDT"] + book.external["bybit", "USDT"]
    assert abs(verdict.balances["USDT"] - usdt) < D("1e-7")
    working = {o.intent.client_id for o in book.tracker.open_orders() if o.venue_order_id and not o.state.is_final}
    assert {order.client_id for order in verdict.open_orders} == working


# -- testnet -----------------------------------------------------------------------------------------------------------


def test_testnet_when_new_then_it_has_its_capital_and_all_else_stays_the_traders(engine: Engine) -> None:
    book = engine.start("testnet").loop.book
    assert (book.state, book.config.stage, book.config.simulated) == (TradingState.ACTIVE, "testnet", False)
    assert book.ledger.balances == {("bybit", "USDT"): D(5000)}
    assert book.external == {("bybit", "USDT"): D(5000), ("bybit", "BTC"): D("0.5")}
    assert engine.notices == []


def test_testnet_when_less_is_free_than_its_capital_then_it_has_that(exchange: StandIn, tmp_path: Path) -> None:
    with engine_at(exchange, tmp_path / "data", testnet__capital="50000") as engine:
        engine.connect()
        assert engine.start("testnet").loop.book.ledger.capital == D(10_000)


def test_testnet_when_traded_by_hand_by_a_strategy_and_killed_then_the_books_equal_the_exchanges_journal(
    engine: Engine,
) -> None:
    running_book = engine.start("testnet")
    engine.candle(PRICES)
    assert buy(engine, "testnet").startswith("done")
    settle(engine)
    running_book.loop.core._opinions = Script({("momentum", PERP): (1.0, "500")})
    engine.candle(PRICES)
    settle(engine)
    book = running_book.loop.book
    assert book.ledger.held("momentum", PERP) > 0
    assert book.ledger.held("manual", PERP) == D("0.01")
    [stop] = [o for o in book.tracker.open_orders() if o.intent.purpose is Purpose.STOP and not o.state.is_final]
    assert stop.stop_price is not None
    same_as_the_exchange(engine)
    before = (book.ledger.balances, dict(book.ledger.accounts()))
    engine.crash()
    again = engine.start("testnet")
    assert again.recovered.differences == ()
    assert again.loop.book.state is TradingState.ACTIVE
    assert (again.loop.book.ledger.balances, dict(again.loop.book.ledger.accounts())) == before
    same_as_the_exchange(engine)


def test_testnet_when_killed_between_sending_and_the_answer_then_the_fill_is_booked_at_the_restart(
    engine: Engine,
) -> None:
    engine.start("testnet")
    engine.candle(PRICES)
    engine.exchange.fault("ack_lost", "create", count=1, venue="bybit")
    buy(engine, "testnet")
    engine.crash()
    book = engine.start("testnet").loop.book
    assert book.ledger.held("manual", PERP) == D("0.01")
    assert len(engine.exchange.requests(venue="bybit", where="create")) == 1
    same_as_the_exchange(engine)


def test_publishing_then_asks_the_exchange_nothing(engine: Engine) -> None:
    book = engine.start("testnet")
    before = len(engine.exchange.requests(venue="bybit"))
    [venue] = book.loop.venues.values()
    told = {balance.currency: balance.total for balance in venue.known_balances()}
    assert told == {"USDT": D(10_000), "BTC": D("0.5")}
    assert len(engine.exchange.requests(venue="bybit")) == before


def test_book_when_the_exchange_is_away_at_a_restart_then_it_starts_and_holds_what_it_has(engine: Engine) -> None:
    engine.start("testnet")
    engine.candle(PRICES)
    buy(engine, "testnet")
    settle(engine)
    engine.crash()
    engine.exchange.fault("reset_before", "any", count=100_000, venue="bybit")
    book = engine.start("testnet").loop.book
    assert book.ledger.held("manual", PERP) == D("0.01")
    engine.candle(PRICES)
    assert buy(engine, "testnet").startswith("refused")


def test_live_when_the_exchange_is_away_at_a_restart_then_only_closes_until_the_key_was_checked(live: Engine) -> None:
    _armed(live)
    live.crash()
    live.exchange.fault("reset_before", "any", count=100_000, venue="bybit")
    book = live.start("live")
    state = book.loop.book
    assert (state.state, state.licence.armed is not None) == (TradingState.CLOSE_ONLY, True)
    live.exchange.clear()
    assert book.caretaker is not None
    book.caretaker.check_key()
    book.caretaker.drive()
    assert state.state is TradingState.ACTIVE


# -- which connection --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["kucoin", "kraken", "coinbase"])
def test_testnet_when_the_exchange_has_no_sandbox_then_it_says_so(name: str) -> None:
    with pytest.raises(BadInput, match=r"has no sandbox; testnet works with Binance or Bybit"):
        require_fit(EXCHANGES[name], False, STAGES["testnet"])


def test_testnet_when_the_connection_is_not_a_sandbox_then_refused(live: Engine) -> None:
    with pytest.raises(BadInput, match="connect Bybit with a key of its sandbox"):
        live.start("testnet")


def test_live_when_the_connection_is_a_sandbox_then_refused(engine: Engine) -> None:
    with pytest.raises(BadInput, match="live trades real money, and this connection is Bybit's sandbox"):
        engine.start("live")


def test_stage_when_its_connection_is_unknown_then_those_there_are_are_named(exchange: StandIn, tmp_path: Path) -> None:
    with engine_at(exchange, tmp_path / "data", live__connections=["bybit/other"]) as engine:
        engine.connect(sandbox=False)
        with pytest.raises(BadInput, match="no connection 'bybit/other'; there are bybit/main"):
            engine.start("live")


# -- keys --------------------------------------------------------------------------------------------------------------

BAD_KEYS: list[tuple[str, Callable[[Engine], None], str]] = [
    ("a key nobody made", lambda e: e.connect(sandbox=False, key="no-such-key-at-all"), r"API key is invalid.*pasted"),
    ("a wrong secret", lambda e: e.connect(sandbox=False, secret="not-the-secret-of-it"), r"(?i)sign.*secret does not"),
    ("expired", lambda e: _key(e, expired=True), r"expired.*make a new one"),
    ("another address", lambda e: _key(e, addresses=["10.9.9.9"]), r"Unmatched IP.*address of this computer"),
    ("revoked", lambda e: _key(e, revoked=True), r"invalid.*still exists.*sandbox does not work there"),
    ("able to withdraw", lambda e: _key(e, can_withdraw=True), r"can withdraw.*Take the right to withdraw"),
    ("read only", lambda e: _key(e, can_trade=False), r"can only read.*read and write"),
]


def _key(engine: Engine, **facts: object) -> None:
    engine.connect(sandbox=False)
    engine.exchange.call("key", key=KEY, secret=SECRET, **facts)


@pytest.mark.parametrize(("what", "spoil", "words"), BAD_KEYS, ids=[row[0] for row in BAD_KEYS])
def test_live_when_its_key_is_bad_then_the_exchanges_words_and_the_way_out(
    shared: StandIn, tmp_path: Path, what: str, spoil: Callable[[Engine], None], words: str
) -> None:
    with engine_at(shared, tmp_path / "data") as engine:
        try:
            spoil(engine)
            with pytest.raises(QuarterdeckError, match=words) as refused:
                engine.start("live")
        finally:
            good = {"can_trade": True, "can_withdraw": False, "revoked": False, "expired": False}
            shared.call("key", key=KEY, secret=SECRET, addresses=["127.0.0.1"], **good)
    assert SECRET not in str(refused.value)
    assert KEY not in str(refused.value)


def test_live_when_the_rights_of_its_key_are_unknown_then_refused(live: Engine) -> None:
    live.exchange.fault("html", "key", count=1, venue="bybit")
    with pytest.raises(QuarterdeckError, match=r"unknown|not be checked|cannot be read|no list|not approved"):
        live.start("live")
    live.exchange.clear()


def test_live_when_a_recheck_of_its_key_fails_then_close_only_disarmed_and_told(live: Engine) -> None:
    book = _armed(live)
    assert book.caretaker is not None
    live.exchange.call("key", key=KEY, secret=SECRET, can_withdraw=True)
    book.caretaker.check_key()
    book.caretaker.drive()
    state = book.loop.book
    assert (state.state, state.licence.armed) == (TradingState.CLOSE_ONLY, None)
    assert "can withdraw" in state.state_reason
    assert "can withdraw" in live.command(ArmLive("live")).detail
    live.exchange.call("key", key=KEY, secret=SECRET, can_withdraw=False)
    book.caretaker.check_key()
    book.caretaker.drive()
    assert live.command(ArmLive("live")).status == "done"
    assert state.state is TradingState.ACTIVE


def test_live_when_its_key_is_refused_at_a_restart_then_it_runs_and_only_closes(live: Engine) -> None:
    _armed(live)
    live.crash()
    live.exchange.call("key", key=KEY, secret=SECRET, can_withdraw=True)
    book = live.start("live").loop.book
    assert (book.state, book.licence.armed) == (TradingState.CLOSE_ONLY, None)
    assert live.command(SetTrading("live", TradingState.ACTIVE)).status == "refused"


# -- arming ------------------------------------------------------------------------------------------------------------


def _armed(engine: Engine) -> object:
    book = engine.start("live")
    engine.candle(PRICES)
    assert engine.command(ArmLive("live")).status == "done"
    return book


def test_live_when_new_then_halted_until_it_is_armed(live: Engine) -> None:
    book = live.start("live").loop.book
    assert (book.state, book.state_reason, book.latched) == (TradingState.HALTED, "not armed", False)
    live.candle(PRICES)
    assert buy(live, "live").startswith("refused")
    assert "not armed" in live.command(SetTrading("live", TradingState.ACTIVE)).detail
    assert live.command(ArmLive("live")).status == "done"
    assert book.state is TradingState.ACTIVE
    assert buy(live, "live").startswith("done")
    settle(live)
    same_as_the_exchange(live)


def test_live_when_armed_and_killed_then_it_is_armed_still(live: Engine) -> None:
    _armed(live)
    live.crash()
    book = live.start("live").loop.book
    assert (book.state, book.licence.armed is not None) == (TradingState.ACTIVE, True)


def test_live_when_stopped_then_it_must_be_armed_again(live: Engine) -> None:
    book = _armed(live)
    live.command(EmergencyStop("live"))
    state = book.loop.book
    assert (state.state, state.latched, state.licence.armed) == (TradingState.HALTED, True, None)
    assert "release the stop first" in live.command(ArmLive("live")).detail
    assert state.stop is not None
    state.stop = replace_flat(state.stop)
    assert "until the book is armed" in live.command(Rearm("live")).detail
    assert (state.state, state.latched) == (TradingState.HALTED, False)
    assert live.command(ArmLive("live")).status == "done"


def replace_flat(stop: object) -> object:
    """The stop as if every step had been proven."""
    from types import SimpleNamespace

    return SimpleNamespace(is_flat=True, waiting_for="")


def test_live_when_halted_by_a_restore_then_it_must_be_armed_again(live: Engine) -> None:
    _armed(live)
    live.crash()
    live.halt = "restored from a backup"
    book = live.start("live").loop.book
    assert (book.state, book.licence.armed, book.state_reason) == (TradingState.HALTED, None, "restored from a backup")


def test_live_when_its_folder_belongs_to_another_installation_then_it_must_be_armed_again(live: Engine) -> None:
    book = _armed(live)
    at = book.loop.market_time()
    book.loop.take([Armed(True, "other", "armed by jo", at)], at)
    live.crash()
    again = live.start("live").loop.book
    assert (again.state, again.licence.armed) == (TradingState.HALTED, None)
    assert "armed by installation other" in again.state_reason


def test_live_when_books_and_exchange_differ_then_arming_is_refused_with_the_difference(live: Engine) -> None:
    book = live.start("live")
    assert book.caretaker is not None
    live.exchange.call("order", venue="bybit", symbol="BTCUSDT", side="buy", quantity="0.01", perpetual=True)
    book.loop.book.external["bybit", "USDT"] += 1
    book.caretaker.reconcile()
    refused = live.command(ArmLive("live"))
    assert refused.status == "refused"
    assert "not found equal" in refused.detail
    book.loop.book.external["bybit", "USDT"] -= 1
    book.caretaker.reconcile()
    assert live.command(ArmLive("live")).status == "done"


def test_live_at_a_real_exchange_when_there_is_no_second_factor_then_it_cannot_be_armed_unless_said_so() -> None:
    usual = load(environment={}).settings
    said = load(environment={}, changes={"live.without_second_factor": True}).settings
    real = Account("bybit/main", "bybit", False)
    here = Account("binance/main", "binance", False, "http://127.0.0.1:8000/binance", "ws://127.0.0.1:8000/stream")
    assert lacks_second_factor(usual, [real])
    assert lacks_second_factor(usual, [here, real])
    assert not lacks_second_factor(said, [real])
    assert not lacks_second_factor(usual, [here])


# -- strategies --------------------------------------------------------------------------------------------------------


def _candidate(**changes: object) -> Candidate:
    evidence = Evidence(40, 20, D("0.03"), D("0.02"), datetime.now(UTC) - timedelta(days=20))
    values = build_strategy("momentum", "{}")[1]
    made = Candidate("momentum", "paper", "paper", values, frozenset({"BTC/USDT:USDT"}), D("0.3"), "", evidence)
    return replace(made, **changes)  # type: ignore[arg-type]


def test_live_when_a_strategy_was_not_promoted_then_it_does_not_run(exchange: StandIn, tmp_path: Path) -> None:
    with engine_at(exchange, tmp_path / "data", live__strategies=["momentum"]) as engine:
        engine.connect(sandbox=False)
        sleeves = engine.start("live").loop.book.sleeves
        assert not sleeves["momentum"].running
        assert "was not promoted" in engine.command(SetStrategy("live", "momentum", True)).detail


def test_live_when_a_strategy_is_promoted_then_it_runs_with_those_settings_and_survives_a_crash(live: Engine) -> None:
    book = live.start("live").loop
    done = live.command(Promote("momentum", "paper", "live"))
    assert "does not run" in done.detail
    live.candidate = _candidate()
    assert live.command(Promote("momentum", "paper", "live")).status == "done"
    live.crash()
    again = live.start("live").loop.book
    assert again.sleeves["momentum"].running
    assert again.sleeves["momentum"].weight == D("0.3")
    assert again.licence.promotions["momentum"].evidence == live.candidate.evidence
    changed = ConfigureStrategy("live", "momentum", '{"fast_ema_bars": 7}')
    assert "promote it again" in live.command(changed).detail
    assert live.command(Demote("momentum", "live")).status == "done"
    assert not again.sleeves["momentum"].running
    assert again.licence.promotions == {}
    assert book is not None


def test_check_then_an_unknown_right_is_not_approved() -> None:
    from engine.runtime.caretaker import why_not_approved

    assert "not approved" in why_not_approved(AccountCheck(True, "it is unknown", can_trade=True))
    assert "could not be checked" in why_not_approved(AccountCheck(False, "no answer"))
    assert why_not_approved(AccountCheck(True, "fine", can_trade=True, can_withdraw=False)) == ""


def test_order_that_was_made_smaller_when_asked_for_after_a_restart_then_it_is_not_whole_again() -> None:
    intent = OrderIntent(
        "l1", InstrumentKey("bybit:BTC/USDT"), Side.SELL, Decimal("0.01"), OrderType.STOP, Purpose.STOP, "momentum",
        datetime(2026, 3, 1, tzinfo=UTC), Decimal(50_000), stop_price=Decimal(49_000), reduce_only=True,
    )  # fmt: skip
    tracker = Tracker()
    tracker.add(intent)
    smaller = OrderUpdate(
        "l1", "bybit", intent.instrument, OrderState.WORKING, Decimal(0), intent.created_at,
        quantity=Decimal("0.006"), stop_price=Decimal(49_500),
    )  # fmt: skip
    tracker.apply_update(smaller)
    nobody: Any = None
    wallet = VenueWallet(
        nobody, nobody, nobody, nobody, nobody, nobody, nobody, False, book=cast(Book, SimpleNamespace(tracker=tracker))
    )

    known = wallet.intent("l1")

    assert known is not None
    assert (known.quantity, known.stop_price) == (Decimal("0.006"), Decimal(49_500))
    assert wallet.intent("l2") is None
