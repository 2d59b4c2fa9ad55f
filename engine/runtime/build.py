"""Assembles books from settings: the one file that decides which parts a stage is made of."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_DOWN, Decimal
from pathlib import Path

import numpy as np

from config.settings import BookSettings, DemoSettings, PaperSettings, Settings
from engine.domain.commands import TradingState
from engine.domain.errors import BadInput
from engine.domain.facts import BookConfigured, SleeveConfigured, StateChanged
from engine.domain.instruments import Instrument, Kind, venue_of
from engine.domain.market import Bars, Timeframe, to_ms
from engine.domain.orders import CashFlow
from engine.domain.ports import Clock, Journal, MarketSource
from engine.exchanges.paper import FileVenueJournal, PaperCosts, PaperVenue
from engine.exchanges.public import PublicFeedConfig, PublicSource
from engine.execution.identity import ClientIds
from engine.ledger.ledger import Ledger
from engine.risk.limits import RiskConfig
from engine.simulation.demo_source import DemoSource
from engine.simulation.instrument_table import instrument_for
from engine.storage.lease import write_durably
from engine.trading.book import WINDOW_BARS, Book
from engine.trading.config import BookConfig
from engine.trading.core import TradingCore
from engine.trading.loop import Observer, TradingLoop
from engine.trading.recovery import Reconciler, Recovered, recover, take_baseline
from engine.trading.sleeves import build_strategy
from engine.trading.stopping import StopDriver

OWN_COINS: Mapping[str, Mapping[str, str]] = {"demo-a": {"BTC": "0.25", "ETH": "3", "SOL": "40"}, "demo-b": {}}
"""Coins the demo's trader holds besides the engine's capital: never touched, shown on the Wallets page."""
RESERVE_CUSHION_BPS = Decimal(10)
LONGEST_CATCH_UP = timedelta(days=3)
"""Closes missed while the engine was down are shown to the paper venue's resting orders, as far back as this."""
MINUTE = Timeframe(60)
_ID_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


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

    def close(self) -> None:
        """End the source and give the venue files back."""
        close = getattr(self.source, "close", None)
        if close is not None:
            close()

    def release(self) -> None:
        """Close the venues' journals; call once nothing uses the book any more."""
        for journal in self.journals:
            journal.close()


def never_halted(_book: str) -> str:
    """No reason to start a book HALTED."""
    return ""


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


def installation_id(folder: Path) -> str:
    """Five random characters that name this installation in every client order id; made once.

    A file without any is one whose first writing was cut short, before an order could carry it: it is made anew.
    Raises `BadInput` where it holds something else, `CannotRecord` where it cannot be written.
    """
    path = folder / "installation"
    text = path.read_text(encoding="utf-8", errors="replace").strip("\0 \r\n") if path.exists() else ""
    if len(text) == 5 and not set(text) - set(_ID_DIGITS):
        return text
    if text:
        raise BadInput(f"{path} must hold five letters or digits, found {text!r}; restore it from a backup")
    text = "".join(secrets.choice(_ID_DIGITS) for _ in range(5))
    write_durably(path, text.encode("ascii"))
    return text


def build_demo(parts: Parts, demo: DemoSettings) -> RunningBook:
    """The simulated market with two simulated venues."""
    folder = parts.settings.data_dir / "venues"
    folder.mkdir(parents=True, exist_ok=True)
    source = DemoSource(demo.seed, demo.speed, folder)
    config = BookConfig(
        name="demo",
        stage="demo",
        code="d0",
        simulated=True,
        base_currency=parts.settings.base_currency,
        bar=MINUTE,
        reserve_bps=_reserve(demo.costs),
        not_found_window_s=0.0,
    )
    book = _book(parts, config, source.instruments())
    start = {
        venue: {parts.settings.base_currency: demo.capital, **{c: Decimal(q) for c, q in OWN_COINS[venue].items()}}
        for venue in OWN_COINS
    }
    venues = _venues(folder, source.instruments(), demo.costs, start)
    times = [venue.bars_time for venue in venues.by_name.values() if venue.bars_time is not None]
    if times:
        source.resume_at(max(times))
    book.speed = demo.speed
    return _start(parts, book, source, venues, demo)


def build_paper(parts: Parts, paper: PaperSettings) -> RunningBook:
    """Real public market data, fills by the simulated venue."""
    folder = parts.settings.data_dir / "venues"
    folder.mkdir(parents=True, exist_ok=True)
    feed = PublicFeedConfig(exchange=paper.exchange, symbols=paper.symbols, timeframe=paper.timeframe)
    source = PublicSource(feed, parts.clock, paper.rest_url or None)
    config = BookConfig(
        name="paper",
        stage="paper",
        code="p0",
        simulated=False,
        base_currency=parts.settings.base_currency,
        bar=Timeframe.parse(paper.timeframe),
        reserve_bps=_reserve(paper.costs),
        not_found_window_s=0.0,
    )
    instruments = [_listed(paper.exchange, symbol) for symbol in paper.symbols]
    book = _book(parts, config, instruments)
    start = {paper.exchange: {parts.settings.base_currency: paper.capital}}
    venues = _venues(folder, instruments, paper.costs, start)
    seen = venues.by_name[paper.exchange].bars_time
    if seen is not None:
        source.resume_at(max(seen, parts.clock.now() - LONGEST_CATCH_UP))
    return _start(parts, book, source, venues, paper)


def _book(parts: Parts, config: BookConfig, instruments: Sequence[Instrument]) -> Book:
    ids = ClientIds(config.code, parts.installation, parts.epoch)
    book = Book(config, ids, Ledger(config.base_currency))
    book.set_risk(parts.settings.risk)
    for instrument in instruments:
        book.add_instrument(instrument)
    return book


@dataclass(frozen=True, slots=True)
class _Venues:
    """The simulated venues of a book by name, and their journals."""

    by_name: Mapping[str, PaperVenue]
    journals: tuple[FileVenueJournal, ...]


def _venues(
    folder: Path, instruments: Sequence[Instrument], costs: PaperCosts, start: Mapping[str, Mapping[str, Decimal]]
) -> _Venues:
    venues, journals = {}, []
    for name, balances in start.items():
        journal = FileVenueJournal(folder / f"{name}.jsonl", fsync=True)
        journals.append(journal)
        own = [instrument for instrument in instruments if instrument.venue == name]
        venues[name] = PaperVenue.open(name, own, costs, journal, balances)
    return _Venues(venues, tuple(journals))


def _start(
    parts: Parts,
    book: Book,
    source: MarketSource,
    venues: _Venues,
    first: BookSettings,
) -> RunningBook:
    name = book.config.name
    core = TradingCore(book)
    loop = TradingLoop(core, parts.journal_of(name), venues.by_name, parts.clock, parts.observe(book))
    loop.load()
    is_new = not loop.has_checkpoint and not book.ledger.fills
    if is_new:
        _begin(parts, loop, source, venues.by_name, first)
    _move_capital(loop, venues.by_name)
    _offer_markets(loop)
    book.reach(_first_time(source, parts.clock))
    _halt(loop, "" if is_new else parts.halt_of(name))
    recovered = recover(loop, parts.wait)
    reconciler = Reconciler(loop, parts.clock)
    return RunningBook(name, loop, StopDriver(loop, parts.clock), reconciler, source, venues.journals, recovered)


def _halt(loop: TradingLoop, reason: str) -> None:
    """Before recovery, so that what it sends is decided by the halted book already."""
    if reason and not loop.book.latched:
        at = loop.market_time()
        loop.take([StateChanged(TradingState.HALTED, False, reason, at)], at)


def _begin(
    parts: Parts, loop: TradingLoop, source: MarketSource, venues: Mapping[str, PaperVenue], first: BookSettings
) -> None:
    """First start of a book: capital, limits, strategies. One that was interrupted is completed, nothing twice."""
    at = _first_time(source, parts.clock)
    currency = loop.book.config.base_currency
    flows = [
        CashFlow(venue, f"capital-{venue}", currency, first.capital, at, "trading capital given at the first start")
        for venue in sorted(venues)
    ]
    if not loop.book.ledger.capital:
        loop.fund(flows)
    take_baseline(loop)
    keys = tuple(sorted(loop.book.ledger.instruments))
    names = sorted(set(first.strategies) - set(loop.book.sleeves))
    weight = (first.deployed / max(1, len(first.strategies))).quantize(Decimal("0.0001"), ROUND_DOWN)
    values = {name: json.dumps(first.strategy_settings.get(name, {})) for name in names}
    sleeves = [SleeveConfigured(n, True, build_strategy(n, values[n])[1], keys, weight, at) for n in names]
    loop.take([*sleeves, _limits(parts.settings.risk, loop.book, at)], at)
    loop.maybe_checkpoint(force=True)


def _move_capital(loop: TradingLoop, venues: Mapping[str, PaperVenue]) -> None:
    """Carry the capital of a book whose venue was exchanged for another: what lies there now counts, what was left
    behind does not.

    Raises
    ------
    BadInput
        Something is still held, or an order still works, at the venue that was left.
    """
    book, at, currency = loop.book, loop.market_time(), loop.book.config.base_currency
    left = {v: a for (v, c), a in sorted(book.ledger.balances.items()) if c == currency and a and v not in venues}
    held = [f"{h.quantity} {key}" for _, key, h in book.ledger.open_holdings() if venue_of(key) not in venues]
    if held:
        raise BadInput(f"{book.config.name} still holds {', '.join(held)}; close that before you change the exchange")
    working = [o.intent.client_id for o in book.tracker.open_orders() if venue_of(o.intent.instrument) not in venues]
    if working:
        what = f"orders at the exchange that would be left: {', '.join(working)}"
        raise BadInput(f"{book.config.name} still has {what}; cancel them before you change the exchange")
    came = {v: _cash_at(venue, currency) for v, venue in venues.items() if not book.ledger.balances.get((v, currency))}
    flows = [(v, -amount, "left") for v, amount in left.items()]
    flows += [(v, amount, "joined") for v, amount in came.items() if amount]
    if flows:
        name = f"move-{loop.sequence}"
        loop.fund([CashFlow(v, f"{name}-{v}", currency, amount, at, f"venue {what}") for v, amount, what in flows])


def _cash_at(venue: PaperVenue, currency: str) -> Decimal:
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
    """Add to the windows every closed candle they lack, up to a market time; marks stay as they are.

    Called when a feed comes online: at the start, and after an interruption whose candles never came as events.
    """
    book = running.loop.book
    for key, window in book.windows.items():
        candles = running.source.history(key, WINDOW_BARS)
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


def _listed(venue: str, symbol: str) -> Instrument:
    """An instrument by its unified symbol, with the shipped facts."""
    pair, _, settle = symbol.partition(":")
    base, _, quote = pair.partition("/")
    return instrument_for(venue, base, quote, Kind.PERPETUAL if settle else Kind.SPOT)


def _limits(risk: RiskConfig, book: Book, at: datetime) -> BookConfigured:
    return BookConfigured(json.dumps(risk.model_dump(mode="json"), sort_keys=True), book.allocation.value, at)


def _first_time(source: MarketSource, clock: Clock) -> datetime:
    at = getattr(source, "market_time", None)
    return at if isinstance(at, datetime) else clock.now()


def _reserve(costs: PaperCosts) -> Decimal:
    """Basis points that sizing keeps back for fee, half spread, slippage and a price that moved meanwhile."""
    return costs.taker_bps + costs.spread_bps / 2 + costs.slippage_bps + RESERVE_CUSHION_BPS
