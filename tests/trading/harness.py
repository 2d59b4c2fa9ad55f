"""A book on a simulated venue with scripted opinions: one event in, the whole outcome out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from engine.domain.codec import decode, encode
from engine.domain.commands import Actor, Command, CommandBody, Role
from engine.domain.errors import CannotRecord
from engine.domain.facts import CommandDone, Fact, SleeveConfigured
from engine.domain.instruments import Instrument, InstrumentKey, Kind
from engine.domain.market import Bars, Candle, FeedStatus, Timeframe
from engine.domain.orders import CashFlow
from engine.domain.ports import Appended
from engine.exchanges.paper import FileVenueJournal, MemoryVenueJournal, PaperCosts, PaperVenue
from engine.execution.identity import ClientIds
from engine.ledger.ledger import Ledger
from engine.market.windows import CandleWindow
from engine.trading.book import Book
from engine.trading.config import BookConfig
from engine.trading.core import TradingCore
from engine.trading.loop import TradingLoop
from engine.trading.recovery import recover, take_baseline
from engine.trading.sleeves import Opinion, Sleeve, build_strategy
from engine.trading.stopping import StopDriver

D = Decimal
START = datetime(2026, 1, 5, tzinfo=UTC)
MINUTE = Timeframe(60)
SPOT = Instrument("v", "BTC", "USDT", Kind.SPOT, D("0.01"), D("0.0001"), D(5))
PERP = Instrument("v", "BTC", "USDT", Kind.PERPETUAL, D("0.01"), D("0.0001"), D(5), D(10))
OWN = {"BTC": D("0.5")}


class ListJournal:
    """Keeps encoded facts in memory; can refuse to record."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.checkpoints: list[tuple[int, Mapping[str, Any]]] = []
        self.refuse_after: int | None = None

    def append(self, facts: Sequence[Fact], market_time: datetime) -> Appended:
        """All or nothing."""
        if self.refuse_after is not None and len(self.rows) >= self.refuse_after:
            raise CannotRecord("the disk is full; free some space")
        self.rows += [encode(fact) for fact in facts]
        return Appended(len(self.rows))

    def read(self, after: int) -> Iterator[tuple[int, Fact]]:
        """Facts after a sequence."""
        for number, row in enumerate(self.rows[after:], after + 1):
            yield number, decode(row)  # type: ignore[misc]

    def checkpoint(self, sequence: int, state: Mapping[str, Any]) -> None:
        """Keep it."""
        self.checkpoints.append((sequence, state))

    def latest_checkpoint(self) -> tuple[int, Mapping[str, Any]] | None:
        """The newest."""
        return self.checkpoints[-1] if self.checkpoints else None

    def kinds(self) -> list[str]:
        """Types of the facts, in order."""
        return [row["type"] for row in self.rows]


@dataclass
class ManualClock:
    """Wall time moved by hand."""

    seconds: float = 1000.0

    def now(self) -> datetime:
        """Aware UTC."""
        return START + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        """The same in seconds."""
        return self.seconds


@dataclass
class Script:
    """Opinions by strategy and instrument; what is not named has conviction 0."""

    views: dict[tuple[str, InstrumentKey], tuple[float, str]] = field(default_factory=dict)
    error: Exception | None = None

    def opinion(self, sleeve: Sleeve, key: InstrumentKey, opened_at_ms: int, window: CandleWindow) -> Opinion | None:
        """The scripted view."""
        if self.error is not None:
            raise self.error
        conviction, stop = self.views.get((sleeve.name, key), (0.0, "10"))
        return Opinion(conviction, D(stop))


class Desk:
    """One engine on one venue; `restart` throws the engine away and recovers another from the journal."""

    def __init__(
        self,
        instrument: Instrument = SPOT,
        sleeves: Sequence[str] = ("momentum",),
        cash: str = "100000",
        others: Sequence[Instrument] = (),
        folder: Path | None = None,
    ) -> None:
        self.instrument = instrument
        self.instruments = (instrument, *others)
        self.silent: set[InstrumentKey] = set()
        self.key = instrument.key
        self.journal = ListJournal()
        self.clock = ManualClock()
        self.script = Script()
        self.venues = {
            name: PaperVenue(
                name,
                [i for i in self.instruments if i.venue == name],
                PaperCosts(),
                MemoryVenueJournal() if folder is None else FileVenueJournal(folder / f"{name}.jsonl"),
                {"USDT": D(cash), **OWN},
            )
            for name in sorted({i.venue for i in self.instruments})
        }
        self.venue = self.venues[instrument.venue]
        self.at = START
        self.epoch = 1
        self.notices: list[str] = []
        self._build()
        self.loop.load()
        self.loop.fund([CashFlow(name, "capital", "USDT", D(cash), START, "capital") for name in self.venues])
        take_baseline(self.loop)
        weight = D(1) / len(sleeves)
        for name in sleeves:
            _, values = build_strategy(name, "{}")
            keys = tuple(sorted(i.key for i in self.instruments))
            self.loop.take([SleeveConfigured(name, True, values, keys, weight, START)], START)
        self.loop.maybe_checkpoint(force=True)
        self.go_online()

    def _build(self) -> None:
        config = BookConfig("test", "test", "t0", True, "USDT", MINUTE, look_gap_s=2.0, not_found_window_s=2.0)
        self.book = Book(config, ClientIds("t0", "abcde", self.epoch), Ledger("USDT"))
        for instrument in self.instruments:
            self.book.add_instrument(instrument)
        core = TradingCore(self.book, self.script)
        self.loop = TradingLoop(core, self.journal, self.venues, self.clock, self._observe)
        self.stop = StopDriver(self.loop, self.clock)

    def _observe(self, event: object, outcome: Any) -> None:
        self.notices += [notice.title for notice in outcome.notices]

    def restart(self) -> tuple[str, ...]:
        """Crash and recover; what recovery found to differ."""
        self.epoch += 1
        self._build()
        self.loop.load()
        found = recover(self.loop, lambda s: self.pass_time(s + 3)).differences
        self.go_online()
        return found

    def go_online(self) -> None:
        """Let every feed say that it is there."""
        for name in self.venues:
            self.loop.step(FeedStatus(name, self.at, True, "test"))

    def pass_time(self, seconds: float) -> None:
        """Let wall time pass."""
        self.clock.seconds += seconds

    def want(self, conviction: float, stop: str = "10", sleeve: str = "momentum") -> None:
        """Script an opinion, the same for every instrument."""
        for instrument in self.instruments:
            self.script.views[(sleeve, instrument.key)] = (conviction, stop)

    def bar(
        self,
        open_: str,
        high: str | None = None,
        low: str | None = None,
        close: str | None = None,
        volume: str = "100000",
    ) -> None:
        """One closed candle; what is not given equals the open."""
        o, c = D(open_), D(close or open_)
        most, least = max(D(high or open_), o, c), min(D(low or open_), o, c)
        candles = tuple(
            Candle(key, MINUTE, self.at, o, most, least, c, D(volume))
            for key in sorted(i.key for i in self.instruments)
            if key not in self.silent
        )
        self.at += MINUTE.delta
        self.pass_time(1)
        self.loop.step(Bars(self.at, candles))
        self.stop.drive()

    def command(self, body: CommandBody, command_id: str = "c-1", reason: str = "test") -> CommandDone | None:
        """Send a command."""
        actor = Actor("jo", Role.ADMIN, "test")
        return self.loop.command(Command(command_id, actor, self.clock.now(), reason, body))

    def held(self, sleeve: str = "momentum") -> Decimal:
        """A sleeve's position."""
        return self.book.ledger.held(sleeve, self.key)

    def venue_fills(self) -> list[str]:
        """Trade ids the venue has executed."""
        return [e.trade_id for e in self.venue.executions_since("")[0] if hasattr(e, "trade_id")]

    def booked_fills(self) -> list[str]:
        """Trade ids the journal holds."""
        return [row["trade_id"] for row in self.journal.rows if row["type"] == "Fill"]
