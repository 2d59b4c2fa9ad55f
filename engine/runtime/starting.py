"""The life of a book before its first event: capital or recovery, limits, strategies; the same for every stage."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import ROUND_DOWN, Decimal
from functools import partial
from typing import Protocol

import numpy as np

from config.settings import BookSettings, ConnectedSettings, Settings
from engine.domain.commands import TradingState
from engine.domain.errors import BadInput, VenueUnreachable
from engine.domain.facts import BookConfigured, Notice, SleeveConfigured, StateChanged
from engine.domain.instruments import Instrument, venue_of
from engine.domain.market import Bars, to_ms
from engine.domain.orders import CashFlow
from engine.domain.ports import Clock, Journal, MarketSource
from engine.exchanges.paper import FileVenueJournal
from engine.execution.identity import ClientIds
from engine.ledger.ledger import Ledger
from engine.risk.limits import RiskConfig
from engine.runtime.caretakers import Caretakers
from engine.runtime.connections import Connections
from engine.runtime.own_candles import with_own
from engine.trading.book import WINDOW_BARS, Book
from engine.trading.config import BookConfig
from engine.trading.core import NOT_ARMED, TradingCore
from engine.trading.loop import Observer, TradingLoop
from engine.trading.recovery import Reconciler, Recovered, recover, take_baseline
from engine.trading.sending import MarketVenue
from engine.trading.sleeves import build_strategy
from engine.trading.stopping import StopDriver

LONGEST_CATCH_UP = timedelta(days=3)
"""Closes missed while the engine was down are shown to the paper venue's resting orders, as far back as this."""
_FIRST_CAPITAL = "trading capital given at the first start"


@dataclass(slots=True)
class RunningBook:
    """A book with everything that drives it."""

    name: str
    loop: TradingLoop
    stop: StopDriver
    reconciler: Reconciler
    source: MarketSource
    journals: tuple[FileVenueJournal, ...]
    recovered: Recovered
    caretaker: Caretakers | None = None

    def close(self) -> None:
        """End the source and the lines to exchanges, and give the venue files back."""
        close = getattr(self.source, "close", None)
        if close is not None:
            close()
        if self.caretaker is not None:
            self.caretaker.close()

    def release(self) -> None:
        """Close the venues' journals; call once nothing uses the book any more."""
        for journal in self.journals:
            journal.close()


def never_halted(_book: str) -> str:
    """No reason to start a book HALTED."""
    return ""


def untold(_notice: Notice) -> None:
    """Nobody listens."""


class Cuttable(Protocol):
    """A way to an exchange."""

    def close(self) -> None:
        """Let nothing more go out; safe from any thread."""


def kept_by_the_book(_line: Cuttable) -> None:
    """Nobody else needs to know the line."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What every book of one engine shares."""

    settings: Settings
    clock: Clock
    epoch: int
    installation: str
    journal_of: Callable[[str], Journal]
    observe: Callable[[Book], Observer]
    wait: Callable[[float], None]
    halt_of: Callable[[str], str] = never_halted
    """Why a book, by its name, must start HALTED; empty where it need not. One that is new never must."""
    tell: Callable[[Notice], None] = untold
    """Takes notices that no event led to; from any thread."""
    connections: Connections | None = None
    """Connected accounts; None where there are only simulated venues."""
    opened: Callable[[Cuttable], None] = kept_by_the_book
    """Is told of every line to an exchange as soon as it is open: it can be cut while the book is still being made."""


def new_book(parts: Parts, config: BookConfig, instruments: Sequence[Instrument]) -> Book:
    """An empty book that trades these instruments."""
    ids = ClientIds(config.code, parts.installation, parts.epoch)
    book = Book(config, ids, Ledger(config.base_currency))
    book.set_risk(parts.settings.risk)
    for instrument in instruments:
        book.add_instrument(instrument)
    return book


@dataclass(frozen=True, slots=True)
class Venues:
    """The venues of a book by name, the journals of simulated ones, and what a real one has free for the book.

    ``moved`` names the account that the book traded before, where a venue's is another one now.
    """

    by_name: Mapping[str, MarketVenue]
    journals: tuple[FileVenueJournal, ...] = ()
    usable: Callable[[MarketVenue], Decimal] | None = None
    moved: Mapping[str, str] = field(default_factory=dict)


def start_book(
    parts: Parts,
    book: Book,
    source: MarketSource,
    venues: Venues,
    first: BookSettings | ConnectedSettings,
) -> RunningBook:
    """Recover a book, or begin it: capital, limits, strategies; then it may be driven.

    Raises
    ------
    BadInput
        Something is held, or an order works, where the book would not trade any more.
    """
    name = book.config.name
    core = TradingCore(book)
    loop = TradingLoop(core, parts.journal_of(name), venues.by_name, parts.clock, parts.observe(book))
    loop.load()
    _require_within_reach(loop, venues)
    is_new = not loop.has_checkpoint and not book.ledger.fills
    if is_new:
        _begin(parts, loop, source, venues, first)
    _move_capital(loop, venues)
    _offer_markets(loop)
    book.reach(_first_time(source, parts.clock))
    _halt(loop, "" if is_new else parts.halt_of(name) or _armed_elsewhere(book, parts.installation))
    recovered = recover(loop, parts.wait)
    reconciler = Reconciler(loop, parts.clock)
    return RunningBook(name, loop, StopDriver(loop, parts.clock), reconciler, source, venues.journals, recovered)


def _require_within_reach(loop: TradingLoop, venues: Venues) -> None:
    """Nothing may be held, and no order work, under a symbol or in an account that the settings no longer name: what is
    held could neither be valued nor closed, and an order would be taken for gone.
    """
    book = loop.book
    held = {key for _, key, _ in book.ledger.open_holdings()}
    for key in sorted(held | {order.intent.instrument for order in book.tracker.open_orders()}):
        venue, what = venue_of(key), f"{book.config.name} still holds {key}, or has orders on it"
        if venue in venues.by_name and key not in book.ledger.instruments:
            raise BadInput(
                f"{what}, and the settings do not name its symbol any more: name it again, and close it first"
            )
        if venue in venues.moved:
            raise BadInput(f"{what}, in the account {venues.moved[venue]}: name that again, and close it there first")


def _halt(loop: TradingLoop, reason: str) -> None:
    """Before recovery, so that what it sends is decided by the halted book already."""
    if reason and not loop.book.latched:
        at = loop.market_time()
        loop.take([StateChanged(TradingState.HALTED, False, reason, at)], at)


def _armed_elsewhere(book: Book, installation: str) -> str:
    """Why a book must be armed anew: its data folder was armed by another installation."""
    armed = book.licence.armed
    if armed is None or armed.installation == installation:
        return ""
    return f"{NOT_ARMED}: it was armed by installation {armed.installation}, this is {installation}"


def _begin(
    parts: Parts, loop: TradingLoop, source: MarketSource, venues: Venues, first: BookSettings | ConnectedSettings
) -> None:
    """First start of a book: capital, limits, strategies. One that was interrupted is completed, nothing twice."""
    at, config = _first_time(source, parts.clock), loop.book.config
    flows = [
        CashFlow(name, f"capital-{name}", config.base_currency, _capital(venue, venues, first), at, _FIRST_CAPITAL)
        for name, venue in sorted(venues.by_name.items())
    ]
    if not loop.book.ledger.capital:
        loop.fund(flows)
    take_baseline(loop)
    keys = tuple(sorted(loop.book.ledger.instruments))
    names = sorted(set(first.strategies) - set(loop.book.sleeves))
    weight = (first.deployed / max(1, len(first.strategies))).quantize(Decimal("0.0001"), ROUND_DOWN)
    values = {name: json.dumps(first.strategy_settings.get(name, {})) for name in names}
    runs = not config.needs_promotion
    sleeves = [SleeveConfigured(n, runs, build_strategy(n, values[n])[1], keys, weight, at) for n in names]
    loop.take([*sleeves, _limits(parts.settings.risk, loop.book, at)], at)
    if config.needs_arming:
        loop.take([StateChanged(TradingState.HALTED, False, NOT_ARMED, at)], at)
    loop.maybe_checkpoint(force=True)


def _capital(venue: MarketVenue, venues: Venues, first: BookSettings | ConnectedSettings) -> Decimal:
    return first.capital if venues.usable is None else venues.usable(venue)


def _move_capital(loop: TradingLoop, venues: Venues) -> None:
    """Carry the capital of a book whose venue was exchanged for another: what lies there now counts, what was left
    behind does not.

    Raises
    ------
    BadInput
        Something is still held, or an order still works, at the venue that was left.
    """
    book, at, currency = loop.book, loop.market_time(), loop.book.config.base_currency
    here = venues.by_name
    left = {v: a for (v, c), a in sorted(book.ledger.balances.items()) if c == currency and a and v not in here}
    held = [f"{h.quantity} {key}" for _, key, h in book.ledger.open_holdings() if venue_of(key) not in here]
    if held:
        raise BadInput(f"{book.config.name} still holds {', '.join(held)}; close that before you change the exchange")
    working = [o.intent.client_id for o in book.tracker.open_orders() if venue_of(o.intent.instrument) not in here]
    if working:
        what = f"orders at the exchange that would be left: {', '.join(working)}"
        raise BadInput(f"{book.config.name} still has {what}; cancel them before you change the exchange")
    known = {venue for venue, _ in book.ledger.balances} if venues.usable is not None else set()
    empty = {v: venue for v, venue in here.items() if not book.ledger.balances.get((v, currency)) and v not in known}
    came = {v: (venues.usable or partial(_cash_at, currency))(venue) for v, venue in empty.items()}
    flows = [(v, -amount, "left") for v, amount in left.items()]
    flows += [(v, amount, "joined") for v, amount in came.items() if amount]
    if flows:
        name = f"move-{loop.sequence}"
        loop.fund([CashFlow(v, f"{name}-{v}", currency, amount, at, f"venue {what}") for v, amount, what in flows])
    strange = [venue for venue in here if venue not in book.cursors]  # also where an earlier start ended just here
    if strange and loop.has_checkpoint and venues.usable is not None:
        take_baseline(loop, strange)
        loop.maybe_checkpoint(force=True)


def _cash_at(currency: str, venue: MarketVenue) -> Decimal:
    return sum((balance.total for balance in venue.balances() if balance.currency == currency), Decimal(0))


def _offer_markets(loop: TradingLoop) -> None:
    """Give strategies whose markets are all gone, because the book was given others, the present ones."""
    book, at = loop.book, loop.market_time()
    keys = tuple(sorted(book.ledger.instruments))
    lost = [s for _, s in sorted(book.sleeves.items()) if s.instruments and not set(s.instruments) & set(keys)]
    for sleeve in lost:
        sleeve.instruments = keys
    loop.take([sleeve.fact(at) for sleeve in lost], at)


def refill(running: RunningBook, until: datetime) -> None:
    """Add to the windows every closed candle they lack, up to a market time, and put own candles in the place of
    borrowed ones; marks stay as they are.

    Called when a feed comes online: at the start, and after an interruption whose candles never came as events.
    """
    book = running.loop.book
    for key, window in tuple(book.windows.items()):
        try:
            candles = running.source.history(key, WINDOW_BARS)
        except VenueUnreachable:
            continue  # one of several venues that was never heard: filled once it says that it is online
        window = book.windows[key] = with_own(window, candles)
        after = window.last_opened_at_ms if window.last_opened_at_ms is not None else -1
        closed = candles.opened_at_ms + candles.timeframe.ms <= to_ms(until)
        first = int(np.searchsorted(candles.opened_at_ms, after, side="right"))
        book.warm_up(key, candles.slice(first, int(np.count_nonzero(closed))))


def has_gap(running: RunningBook, bars: Bars) -> bool:
    """Whether candles are missing between a window's end and the close at hand."""
    windows = running.loop.book.windows
    for candle in bars.candles:
        window = windows.get(candle.instrument)
        last_ms = window.last_opened_at_ms if window is not None else None
        if last_ms is not None and to_ms(candle.opened_at) > last_ms + candle.timeframe.ms:
            return True
    return False


def _limits(risk: RiskConfig, book: Book, at: datetime) -> BookConfigured:
    return BookConfigured(json.dumps(risk.model_dump(mode="json"), sort_keys=True), book.allocation.value, at)


def _first_time(source: MarketSource, clock: Clock) -> datetime:
    at = getattr(source, "market_time", None)
    return at if isinstance(at, datetime) else clock.now()
