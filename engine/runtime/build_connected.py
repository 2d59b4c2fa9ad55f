"""Assembles books at real exchanges: testnet at an exchange's sandbox, live with real money."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar

import structlog

from config.settings import ConnectedSettings
from engine.domain.errors import BadInput, VenueError, VenueUnreachable
from engine.domain.instruments import Kind
from engine.domain.market import Timeframe
from engine.domain.orders import OrderIntent
from engine.exchanges import ExchangeRow
from engine.exchanges.accounts import AccountCheck, check_account
from engine.exchanges.client import Door, open_client, open_stream_client
from engine.exchanges.connected.dead_man import DeadMan, GuardedLine
from engine.exchanges.connected.dialects import VenueRow
from engine.exchanges.connected.line import Line
from engine.exchanges.connected.line_setup import LineSetup
from engine.exchanges.connected.listing import read_held, read_listed
from engine.exchanges.connected.placing import Listed
from engine.exchanges.connected.quotes import QuoteFeed
from engine.exchanges.connected.streams import Streams, StreamSetup
from engine.exchanges.connected.venue import ConnectedVenue
from engine.exchanges.connected.watch import Watch
from engine.exchanges.connected.watch_setup import WatchCalls, WatchSetup
from engine.exchanges.key_advice import advice
from engine.exchanges.public import PublicFeedConfig, PublicSource
from engine.exchanges.quoted import QuotedSource
from engine.runtime.accounts import STAGES as STAGES
from engine.runtime.accounts import Account, Stage, accounts_of_stage, lacks_second_factor
from engine.runtime.accounts import require_fit as require_fit
from engine.runtime.caretaker import Caretaker, KeyWatch, Ways, why_not_approved
from engine.runtime.connections import Connection
from engine.runtime.market_list import keep, kept
from engine.runtime.starting import LONGEST_CATCH_UP, Parts, RunningBook, Venues, new_book, start_book
from engine.trading.book import Book
from engine.trading.config import PATIENT, BookConfig, StopScope
from engine.trading.sending import MarketVenue

NOT_FOUND_WINDOW_S = 10.0
"""An exchange may take seconds to know an order that it has accepted."""
SPREAD_AND_MOVE_BPS = Decimal(15)
"""Beside the fee: half the spread, slippage, and a price that moves while an order is on its way."""
USUAL_FEE_BPS = Decimal(10)
NO_SECOND_FACTOR = (
    "sign-in has no second factor yet, so real money cannot be armed; "
    "the setting live.without_second_factor allows the password alone"
)
TIMEOUT_S = 10.0
T = TypeVar("T")
_log = structlog.get_logger(__name__)


def build_stage(parts: Parts, stage: Stage, first: ConnectedSettings) -> RunningBook:
    """A book at a real exchange.

    Raises
    ------
    BadInput
        The connection is not one for this stage, its key is refused, or a symbol is not traded there.
    VenueUnreachable
        The exchange does not answer.
    """
    if parts.connections is None:
        raise BadInput(f"{stage.name} needs connected accounts, and none can be opened here")
    accounts = accounts_of_stage(parts.settings, stage, parts.connections.stored())
    if len(accounts) > 1:
        raise BadInput(f"{stage.name}: choose one account for a book")
    account, connection = accounts[0], parts.connections.open(accounts[0].connection_id)
    row = wallet_of(connection.row, first)
    check = _check(connection, account)
    is_new = parts.journal_of(stage.name).latest_checkpoint() is None
    if is_new:
        _require_key(stage, account, check)
    line = _line(parts, stage, connection, row, account)
    wallet = _Wallet(account, connection, row, line, check, is_new)
    if first.dead_man and DeadMan.exists(row):
        wallet.switch = DeadMan(row, line, wallet.intent)
    try:
        return _at_the_line(parts, stage, first, wallet)
    except BaseException:
        line.close()
        raise


def wallet_of(row: ExchangeRow, first: ConnectedSettings) -> VenueRow:
    """The wallet that trades all symbols; raises `BadInput` where there is none."""
    kinds = {Kind.PERPETUAL if ":" in symbol else Kind.SPOT for symbol in first.symbols}
    for venue in row.venues:
        if kinds <= set(venue.kinds):
            if venue.own_keys:
                raise BadInput(f"{venue.name} needs keys of its own, which cannot be connected; choose spot symbols")
            return venue
    raise BadInput(f"{row.title} keeps spot and perpetuals in two wallets; choose symbols of one kind for a book")


@dataclass(slots=True)
class _Wallet:
    """The account a book trades, and the way to it; ``book`` is there once it was made."""

    account: Account
    connection: Connection
    row: VenueRow
    line: Line
    check: AccountCheck
    is_new: bool
    switch: DeadMan | None = None
    book: Book | None = None

    def intent(self, client_id: str) -> OrderIntent | None:
        """What the book wishes under an id as last agreed, None where it does not know it.

        Not as first wished: a stop that was made smaller must not come back whole after a restart.
        """
        order = self.book.tracker.get(client_id) if self.book is not None else None
        if order is None:
            return None
        return replace(order.intent, quantity=order.quantity, stop_price=order.stop_price)


def _check(connection: Connection, account: Account) -> AccountCheck:
    return check_account(
        connection.row, connection.credentials, account.rest_url or None, account.sandbox, timeout_s=TIMEOUT_S
    )


def _require_key(stage: Stage, account: Account, check: AccountCheck) -> None:
    """No book begins with a key that the exchange refuses; live with none that is not proven unable to withdraw."""
    refused = check.reachable and check.can_trade is False
    why = why_not_approved(check) if not stage.sandbox or refused else ""
    if why and check.reachable:
        way_out = advice(account.row, check.message, account.sandbox)
        raise BadInput(f"{stage.name}: {why.rstrip('.')}. {way_out}")
    if why:
        raise VenueUnreachable(f"{stage.name}: {why}")


def _line(parts: Parts, stage: Stage, connection: Connection, row: VenueRow, account: Account) -> Line:
    exchange = replace(connection.row, ccxt_id=row.ccxt_id)

    def opened(keyed: bool) -> Any:
        keys = connection.credentials if keyed else None
        client = open_client(exchange, Door(keys, account.sandbox, TIMEOUT_S, account.rest_url or None))
        client.options |= dict(row.dialect.options)
        return client

    folder = parts.settings.data_dir / "venues"
    folder.mkdir(parents=True, exist_ok=True)
    limits = row.limits
    setup = LineSetup(
        row.name,
        exchange,
        opened,
        folder / f"{stage.name}-{row.name}.line.json",
        connection.credentials.secrets,
        limits.pace,
        limits.use_headers,
        limits.doubtful_codes,
        limits.refusals,
        has_nonce=limits.has_nonce,
    )
    return Line(setup, parts.clock)


def _at_the_line(parts: Parts, stage: Stage, first: ConnectedSettings, wallet: _Wallet) -> RunningBook:
    markets = _markets(parts, stage, first, wallet)
    leverage = Decimal(parts.settings.risk.max_leverage)
    read = read_listed if wallet.is_new else read_held
    listed = read(wallet.row, markets, first.symbols, leverage)
    _ask(wallet, wallet.line.measure_offset)
    book = new_book(parts, _config(parts, stage, first, _fees(markets, first)), [each.instrument for each in listed])
    venue = _venue(parts, wallet, listed, book)
    problems = _ask(wallet, venue.mode_problems)
    if problems and wallet.is_new:
        raise BadInput(f"{stage.name}: {'; '.join(problems.values())}")
    listed = tuple(replace(each, closed=(problems or {}).get(each.instrument.key, each.closed)) for each in listed)
    feed = QuoteFeed(listed, lambda: parts.clock.now() + timedelta(milliseconds=wallet.line.offset_ms))
    candles = _source(parts, first, wallet)
    usable = _usable(first.capital, parts.settings.base_currency)
    venues = Venues({venue.venue: venue}, usable=usable)
    running = start_book(parts, book, QuotedSource(candles, feed), venues, first)
    candles.resume_at(_first_close(book, parts.clock.now()))
    ways = _ways(parts, wallet, venue, feed)
    running.caretaker = _caretaker(parts, wallet, running, ways)
    return running


def _ways(parts: Parts, wallet: _Wallet, venue: ConnectedVenue, feed: QuoteFeed) -> Ways:
    """What the exchange tells by itself, and the watch that asks what it did not tell."""
    account, connection, row = wallet.account, wallet.connection, wallet.row

    def opened(keyed: bool) -> Any:
        keys = connection.credentials if keyed else None
        door = Door(keys, account.sandbox, TIMEOUT_S, account.rest_url or None)
        return open_stream_client(row.ccxt_id, door, account.websocket_url or None)

    streams = Streams(StreamSetup(row, wallet.line, opened), venue, parts.clock, feed)
    setup = WatchSetup(row, wallet.line, feed.listed, streams, venue.hear, switch=wallet.switch)
    return Ways(wallet.line, streams, Watch(setup, parts.clock, WatchCalls(gap=venue.missed)))


def _ask(wallet: _Wallet, question: Callable[[], T]) -> T | None:
    """The answer; None where a book that has begun before gets none: it starts all the same, to hold what it has."""
    try:
        return question()
    except VenueError as error:
        if wallet.is_new:
            raise
        _log.warning("venue does not answer at the start", venue=wallet.row.name, error=str(error))
        return None


def _markets(parts: Parts, stage: Stage, first: ConnectedSettings, wallet: _Wallet) -> Mapping[str, Any]:
    """The exchange's list, or what was kept of it at the last start where a book that has begun gets no answer."""
    path = parts.settings.data_dir / "venues" / f"{stage.name}-{wallet.row.name}.markets.json"
    markets = _ask(wallet, wallet.line.load_markets)
    return kept(path, wallet.row.name) if markets is None else keep(path, markets, first.symbols)


def _venue(parts: Parts, wallet: _Wallet, listed: tuple[Listed, ...], book: Book) -> ConnectedVenue:
    wallet.book = book
    line = wallet.line if wallet.switch is None else GuardedLine(wallet.line, wallet.switch)
    return ConnectedVenue(wallet.row, line, listed, parts.clock, wallet.intent)


def _config(parts: Parts, stage: Stage, first: ConnectedSettings, fee_bps: Decimal) -> BookConfig:
    return BookConfig(
        name=stage.name,
        stage=stage.name,
        code=stage.code,
        simulated=False,
        base_currency=parts.settings.base_currency,
        bar=Timeframe.parse(first.timeframe),
        reserve_bps=fee_bps + SPREAD_AND_MOVE_BPS,
        taker_bps=fee_bps,
        not_found_window_s=NOT_FOUND_WINDOW_S,
        needs_arming=not stage.sandbox,
        needs_promotion=not stage.sandbox,
        on_trial=True,
        looks=PATIENT,
        stop_scope=StopScope.ENGINE if first.stop_spares_own else StopScope.ACCOUNT,
    )


def _fees(markets: Mapping[str, Any], first: ConnectedSettings) -> Decimal:
    """The highest taker fee of what is traded, in basis points, as the exchange lists it."""
    told = [market.get("taker") for symbol in first.symbols if (market := markets.get(symbol)) is not None]
    return max((Decimal(str(fee)) * 10_000 for fee in told if fee is not None), default=USUAL_FEE_BPS)


def _source(parts: Parts, first: ConnectedSettings, wallet: _Wallet) -> PublicSource:
    feed = PublicFeedConfig(
        exchange=wallet.connection.row.name,
        venue=wallet.row.name,
        sandbox=wallet.account.sandbox,
        symbols=first.symbols,
        timeframe=first.timeframe,
        also_halted=not wallet.is_new,
    )
    return PublicSource(feed, parts.clock, wallet.account.rest_url or None)


def _first_close(book: Book, now: datetime) -> datetime:
    """Where events begin: so that the last close is among them, and those missed since the book's last one."""
    start = now - book.config.bar.delta
    return start if book.bars_at is None else max(min(book.bars_at, start), now - LONGEST_CATCH_UP)


def _usable(capital: Decimal, currency: str) -> Callable[[MarketVenue], Decimal]:
    """What a book may use at its first start: its capital, or what is free there if that is less."""

    def usable(venue: MarketVenue) -> Decimal:
        free = sum((each.free for each in venue.balances() if each.currency == currency), Decimal(0))
        if free <= 0:
            raise BadInput(f"no {currency} is free at {venue.venue}; put some into that wallet, or choose another")
        return min(capital, free)

    return usable


def _caretaker(parts: Parts, wallet: _Wallet, running: RunningBook, ways: Ways) -> Caretaker:
    connection, connections, book = wallet.connection, parts.connections, running.loop.book
    assert connections is not None

    def record(ok: bool, message: str) -> None:
        connections.record(connection.connection_id, ok, message)

    record(wallet.check.approved, wallet.check.message)
    if book.config.needs_arming and lacks_second_factor(parts.settings, [wallet.account]):
        book.licence.obstacles["second-factor"] = NO_SECOND_FACTOR
    if running.recovered.differences:
        why = "; ".join(running.recovered.differences)
        book.licence.obstacles["reconciliation"] = f"books and exchange were not found equal: {why}"
    key = KeyWatch(lambda: _check(connection, wallet.account), record, must_pass=book.config.needs_arming)
    return Caretaker(running.loop, ways, key, parts.clock, wallet.check)
