"""One venue of a book at real exchanges: the account behind it, the line to it, and what is traded there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import structlog

from config.settings import ConnectedSettings
from engine.domain.errors import BadInput, VenueError, VenueUnreachable
from engine.domain.facts import Notice, Severity
from engine.domain.instruments import InstrumentKey, Kind
from engine.domain.orders import OrderIntent
from engine.exchanges.accounts import AccountCheck, check_at
from engine.exchanges.client import Credentials, Door, open_client, open_stream_client
from engine.exchanges.connected.dead_man import DeadMan, GuardedLine
from engine.exchanges.connected.dialects import VenueRow
from engine.exchanges.connected.line import Line
from engine.exchanges.connected.line_setup import LineSetup
from engine.exchanges.connected.listing import read_held, read_listed
from engine.exchanges.connected.no_streams import NoStreams
from engine.exchanges.connected.placing import Listed
from engine.exchanges.connected.quotes import QuoteFeed
from engine.exchanges.connected.streams import Streams, StreamSetup
from engine.exchanges.connected.venue import ConnectedVenue
from engine.exchanges.connected.watch import Watch
from engine.exchanges.connected.watch_setup import WatchCalls, WatchSetup
from engine.exchanges.key_advice import advice
from engine.exchanges.public import PublicFeedConfig, PublicSource
from engine.runtime.accounts import Account, Stage
from engine.runtime.caretaker import Caretaker, KeyWatch, Ways, why_not_approved
from engine.runtime.connections import Connection
from engine.runtime.market_list import keep, kept
from engine.runtime.starting import Parts
from engine.storage.lease import write_durably
from engine.trading.book import Book
from engine.trading.loop import TradingLoop

TIMEOUT_S = 10.0
NOT_OPENED = "its keys cannot be opened; enter them again on Exchanges, then start the book again"
T = TypeVar("T")
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Opening:
    """What the venues of a book are opened with; ``is_new`` says that the book has never begun."""

    parts: Parts
    stage: Stage
    first: ConnectedSettings
    is_new: bool

    def file(self, row: VenueRow, what: str) -> Path:
        """Where something about a venue of the stage outlives a restart."""
        folder = self.parts.settings.data_dir / "venues"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{self.stage.name}-{row.name}.{what}.json"


@dataclass(slots=True)
class VenueWallet:
    """A venue of a book; what it trades is there once symbols were shared out, ``book`` once it was joined.

    Attributes
    ----------
    opening : Opening
    account : Account
    connection : Connection
        Its keys.
    row : VenueRow
    kinds : frozenset of Kind
        What the account types allow of what the venue trades.
    line : Line
    check : AccountCheck
        What the check of the key said at the start.
    is_new : bool
        Whether the book has never traded there.
    modes : mapping or None
        What must not be opened there as the account is set up, and why; None where that was not told.
    """

    opening: Opening
    account: Account
    connection: Connection
    row: VenueRow
    kinds: frozenset[Kind]
    line: Line
    check: AccountCheck
    is_new: bool
    markets: Mapping[str, Any] = field(default_factory=dict)
    listed: tuple[Listed, ...] = ()
    switch: DeadMan | None = None
    modes: Mapping[InstrumentKey, str] | None = field(default_factory=dict)
    book: Book | None = None

    def intent(self, client_id: str) -> OrderIntent | None:
        """What the book wishes under an id as last agreed, None where it does not know it.

        Not as first wished: a stop that was made smaller must not come back whole after a restart.
        """
        order = self.book.tracker.get(client_id) if self.book is not None else None
        if order is None:
            return None
        return replace(order.intent, quantity=order.quantity, stop_price=order.stop_price)

    def ask(self, question: Callable[[], T]) -> T | None:
        """The answer; None where a book that has begun gets none: it starts all the same, to hold what it has."""
        try:
            return question()
        except VenueError as error:
            if self.is_new:
                raise
            _log.warning("venue does not answer at the start", venue=self.row.name, error=str(error))
            return None

    def load(self) -> None:
        """The exchange's list, or what was kept of it at the last start where a book that has begun gets no answer."""
        path = self.opening.file(self.row, "markets")
        markets = self.ask(self.line.load_markets)
        self.markets = kept(path, self.row.name) if markets is None else keep(path, markets, self.opening.first.symbols)
        self.ask(self.line.measure_offset)

    def read(self, symbol: str) -> Listed:
        """What the list says of a symbol; raises `BadInput` where the venue does not trade it."""
        reading = read_listed if self.is_new else read_held
        [listed] = reading(self.row, self.markets, [symbol], Decimal(self.opening.parts.settings.risk.max_leverage))
        return listed

    def account_before(self) -> str:
        """The account that the book traded at this venue when it last started; "" where that is not known."""
        try:
            return self.opening.file(self.row, "account").read_text(encoding="utf-8").strip()
        except (OSError, ValueError):
            return ""

    def note_account(self) -> None:
        """Remember which account the book trades at this venue."""
        write_durably(self.opening.file(self.row, "account"), f"{self.account.connection_id}\n".encode())

    def join(self, book: Book) -> ConnectedVenue:
        """The venue as the book uses it.

        Raises
        ------
        BadInput
            The account is set up in a way the engine cannot trade with; a book that has begun only opens nothing there.
        """
        self.book = book
        if self.opening.first.dead_man and DeadMan.exists(self.row):
            self.switch = DeadMan(self.row, self.line, self.intent)
        line = self.line if self.switch is None else GuardedLine(self.line, self.switch)
        venue = ConnectedVenue(self.row, line, self.listed, self.opening.parts.clock, self.intent)
        try:
            self.modes = venue.mode_problems()
        except VenueError as error:
            if self.is_new and not isinstance(error, VenueUnreachable):
                raise
            self.modes = self._unknown_modes(error)
        else:
            if self.modes and self.is_new:
                raise BadInput(f"{self.opening.stage.name}: {'; '.join(self.modes.values())}")
        return venue

    def _unknown_modes(self, error: VenueError) -> Mapping[InstrumentKey, str] | None:
        """What waits until it is known how the account is set up; None where nothing has to.

        An account in hedge mode refuses the orders of the engine, which are for one-way mode, and no leverage is lower
        than one: only where more is planned with, a margin could be another one than the engine counts on.
        """
        stage, parts, known = self.opening.stage.name, self.opening.parts, "it is asked again every minute"
        held = [one.instrument for one in self.listed if one.instrument.max_leverage > 1]
        names = ", ".join(each.symbol for each in held)
        then = f"{known}; nothing is opened on {names} until it is told" if held else known
        detail = f"{self.row.name} did not tell its position mode and leverage: {error}. Look at them there; {then}"
        title, now = "How the account is set up is not known", parts.clock.now()
        parts.tell(Notice(f"{stage}-{self.row.name}-modes", Severity.WARNING, title, detail, stage, now))
        why = f"{self.row.name} does not tell its leverage, and the engine plans with more than 1"
        return {each.key: why for each in held} or None

    def quotes(self) -> QuoteFeed:
        """Where the stream of the venue leaves its quotes."""
        clock = self.opening.parts.clock
        return QuoteFeed(self.listed, lambda: clock.now() + timedelta(milliseconds=self.line.offset_ms))

    def candles(self) -> PublicSource:
        """The candles of what is traded there."""
        feed = PublicFeedConfig(
            exchange=self.account.exchange,
            venue=self.row.name,
            sandbox=self.account.sandbox,
            symbols=tuple(each.instrument.symbol for each in self.listed),
            timeframe=self.opening.first.timeframe,
            also_halted=not self.is_new,
        )
        source = PublicSource(feed, self.opening.parts.clock, self.account.rest_url or None)
        source.heed(self.account.hosts)
        return source

    def ways(self, venue: ConnectedVenue, feed: QuoteFeed) -> Ways:
        """What the exchange tells by itself, and the watch that asks what it did not tell."""
        account, clock = self.account, self.opening.parts.clock

        def opened(keyed: bool) -> Any:
            door = Door(
                _keys_of(self.connection) if keyed else None, account.sandbox, TIMEOUT_S, account.rest_url or None
            )
            return open_stream_client(self.row.ccxt_id, door, account.websocket_url or None)

        streams: Streams | NoStreams = NoStreams()
        if account.websocket_url or not account.rest_url:
            streams = Streams(StreamSetup(self.row, self.line, opened), venue, clock, feed)
        setup = WatchSetup(
            self.row,
            self.line,
            feed.listed,
            streams,
            venue.hear,
            switch=self.switch,
            modes=self.modes,
            aside=venue.aside,
        )
        return Ways(self.line, streams, Watch(setup, clock, WatchCalls(gap=venue.missed)))

    def caretaker(self, loop: TradingLoop, ways: Ways) -> Caretaker:
        """Who looks after the key and the clock of the venue."""
        connections, name = self.opening.parts.connections, self.connection.connection_id
        assert connections is not None
        key = KeyWatch(
            partial(check_key, self.account, self.connection),
            partial(connections.record, name),
            must_pass=loop.book.config.needs_arming,
            passed_at=partial(connections.passed_at, name),
        )
        key.record(key.accepts(self.check), self.check.message)
        return Caretaker(loop, ways, key, self.opening.parts.clock, self.check)


def open_account(opening: Opening, account: Account, connection: Connection) -> list[VenueWallet]:
    """The venues of an account that trade what a stage trades, with the exchange's lists of markets.

    Raises
    ------
    BadInput
        The key is refused, and the book has never traded there.
    VenueUnreachable
        The exchange does not answer, and the book has never traded there.
    """
    kinds = {kind_of(symbol) for symbol in opening.first.symbols}
    rows = [(row, allowed & kinds) for row, allowed in account.traded if allowed & kinds]
    new = {row.name for row, _ in rows if opening.is_new or not opening.file(row, "markets").exists()}
    check = check_key(account, connection)
    if new:
        _require_key(opening.stage, account, check)
    wallets: list[VenueWallet] = []
    try:
        for row, allowed in rows:
            line = _line(opening, account, connection, row)
            wallets.append(VenueWallet(opening, account, connection, row, allowed, line, check, row.name in new))
            wallets[-1].load()
    except BaseException:
        for wallet in wallets:
            wallet.line.close()
        raise
    return wallets


def check_key(account: Account, connection: Connection) -> AccountCheck:
    """Ask the exchange about the key of an account."""
    if not connection.credentials.key:
        return AccountCheck(True, NOT_OPENED, can_trade=False)
    return check_at(account.row, account.door(connection.credentials, TIMEOUT_S))


def _keys_of(connection: Connection) -> Credentials | None:
    """The keys of an account; None where they could not be opened: whatever needs one is refused before it is sent."""
    return connection.credentials if connection.credentials.key else None


def kind_of(symbol: str) -> Kind:
    """What a unified symbol names.

    >>> kind_of("BTC/USDT:USDT").value
    'perpetual'
    """
    return Kind.PERPETUAL if ":" in symbol else Kind.SPOT


def _require_key(stage: Stage, account: Account, check: AccountCheck) -> None:
    """No book begins with a key that the exchange refuses; live with none that is not proven unable to withdraw."""
    refused = check.reachable and check.can_trade is False
    why = why_not_approved(check) if not stage.sandbox or refused else ""
    if why and check.reachable:
        way_out = advice(account.row, check.message, account.sandbox)
        raise BadInput(f"{stage.name}: {why.rstrip('.')}. {way_out}")
    if why:
        raise VenueUnreachable(f"{stage.name}: {why}")


def _line(opening: Opening, account: Account, connection: Connection, row: VenueRow) -> Line:
    exchange = replace(account.row, ccxt_id=row.ccxt_id)

    def opened(keyed: bool) -> Any:
        keys = _keys_of(connection) if keyed else None
        client = open_client(exchange, Door(keys, account.sandbox, TIMEOUT_S, account.rest_url or None))
        client.options |= dict(row.dialect.options)
        return client

    limits = row.limits
    setup = LineSetup(
        row.name,
        exchange,
        opened,
        opening.file(row, "line"),
        connection.credentials.secrets,
        limits.pace,
        limits.use_headers,
        limits.doubtful_codes,
        limits.refusals,
        has_nonce=limits.has_nonce,
        hosts=account.hosts,
        symbols=tuple(opening.first.symbols),
    )
    line = Line(setup, opening.parts.clock)
    opening.parts.opened(line)
    return line
