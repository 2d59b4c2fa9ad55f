"""Assembles books from settings: the one file that decides which parts a stage is made of."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from config.settings import DemoSettings, PaperSettings
from engine.domain.errors import BadInput
from engine.domain.instruments import Instrument, Kind
from engine.domain.market import Timeframe
from engine.exchanges.paper import FileVenueJournal, PaperCosts, PaperVenue
from engine.exchanges.public import PublicFeedConfig, PublicSource
from engine.runtime.accounts import hosts_of
from engine.runtime.starting import LONGEST_CATCH_UP, Parts, RunningBook, Venues, new_book, start_book
from engine.simulation.demo_source import DemoSource
from engine.simulation.instrument_table import instrument_for
from engine.storage.lease import write_durably
from engine.trading.config import BookConfig

OWN_COINS: Mapping[str, Mapping[str, str]] = {"demo-a": {"BTC": "0.25", "ETH": "3", "SOL": "40"}, "demo-b": {}}
"""Coins the demo's trader holds besides the engine's capital: never touched, shown on the Wallets page."""
RESERVE_CUSHION_BPS = Decimal(10)
MINUTE = Timeframe(60)
_ID_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


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
        taker_bps=demo.costs.taker_bps,
        not_found_window_s=0.0,
        on_trial=True,
    )
    book = new_book(parts, config, source.instruments())
    start = {
        venue: {parts.settings.base_currency: demo.capital, **{c: Decimal(q) for c, q in OWN_COINS[venue].items()}}
        for venue in OWN_COINS
    }
    venues = _venues(folder, source.instruments(), demo.costs, start)
    times = [venue.bars_time for venue in venues.by_name.values() if venue.bars_time is not None]
    if times:
        source.resume_at(max(times))
    book.speed = demo.speed
    return start_book(parts, book, source, venues.venues, demo)


def build_paper(parts: Parts, paper: PaperSettings) -> RunningBook:
    """Real public market data, fills by the simulated venue."""
    folder = parts.settings.data_dir / "venues"
    folder.mkdir(parents=True, exist_ok=True)
    feed = PublicFeedConfig(exchange=paper.exchange, symbols=paper.symbols, timeframe=paper.timeframe)
    source = PublicSource(feed, parts.clock, paper.rest_url or None)
    source.heed(hosts_of(parts.settings))
    config = BookConfig(
        name="paper",
        stage="paper",
        code="p0",
        simulated=False,
        base_currency=parts.settings.base_currency,
        bar=Timeframe.parse(paper.timeframe),
        reserve_bps=_reserve(paper.costs),
        taker_bps=paper.costs.taker_bps,
        not_found_window_s=0.0,
        on_trial=True,
    )
    instruments = [_listed(paper.exchange, symbol) for symbol in paper.symbols]
    book = new_book(parts, config, instruments)
    start = {paper.exchange: {parts.settings.base_currency: paper.capital}}
    venues = _venues(folder, instruments, paper.costs, start)
    seen = venues.by_name[paper.exchange].bars_time
    if seen is not None:
        source.resume_at(max(seen, parts.clock.now() - LONGEST_CATCH_UP))
    return start_book(parts, book, source, venues.venues, paper)


@dataclass(frozen=True, slots=True)
class _Simulated:
    """The simulated venues of a book by name, and their journals."""

    by_name: Mapping[str, PaperVenue]
    journals: tuple[FileVenueJournal, ...]

    @property
    def venues(self) -> Venues:
        """As every book takes them."""
        return Venues(self.by_name, self.journals)


def _venues(
    folder: Path, instruments: Sequence[Instrument], costs: PaperCosts, start: Mapping[str, Mapping[str, Decimal]]
) -> _Simulated:
    venues, journals = {}, []
    for name, balances in start.items():
        journal = FileVenueJournal(folder / f"{name}.jsonl", fsync=True)
        journals.append(journal)
        own = [instrument for instrument in instruments if instrument.venue == name]
        venues[name] = PaperVenue.open(name, own, costs, journal, balances)
    return _Simulated(venues, tuple(journals))


def _listed(venue: str, symbol: str) -> Instrument:
    """An instrument by its unified symbol, with the shipped facts."""
    pair, _, settle = symbol.partition(":")
    base, _, quote = pair.partition("/")
    return instrument_for(venue, base, quote, Kind.PERPETUAL if settle else Kind.SPOT)


def _reserve(costs: PaperCosts) -> Decimal:
    """Basis points that sizing keeps back for fee, half spread, slippage and a price that moved meanwhile."""
    return costs.taker_bps + costs.spread_bps / 2 + costs.slippage_bps + RESERVE_CUSHION_BPS
