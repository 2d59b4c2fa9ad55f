"""Books at the stand-in exchange, built by the engine's own assembly and driven by hand, candle by candle."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from config.settings import Settings, load
from engine.domain.commands import Actor, Command, CommandBody, Role
from engine.domain.facts import CommandDone, Notice
from engine.domain.instruments import InstrumentKey
from engine.domain.market import Bars, Candle, FeedStatus, Timeframe
from engine.runtime.build import installation_id
from engine.runtime.build_connected import STAGES, build_stage
from engine.runtime.clock import SystemClock
from engine.runtime.connections import PURPOSE, Connections
from engine.runtime.observing import Observations
from engine.runtime.starting import Parts, RunningBook
from engine.security import KEY_STORES
from engine.security.vault import Vault
from engine.storage.chain import load_or_create_key
from engine.storage.control import ControlStore
from engine.storage.migrate import migrate
from engine.storage.money import MoneyStore
from engine.trading.graduation import Candidate
from tests.standin.client import KEY, SECRET, StandIn

MINUTE = Timeframe(60)
OPERATOR = Actor("jo", Role.OPERATOR, "test")


class Engine:
    """What a running engine gives a book; `crash` drops everything that is not durable."""

    def __init__(self, exchange: StandIn, folder: Path, venue: str = "bybit", **settings: Any) -> None:
        self.exchange, self.folder, self.venue = exchange, folder, venue
        self.folder.mkdir(parents=True, exist_ok=True)
        migrate(folder)
        self.clock = SystemClock()
        self.key = load_or_create_key(folder / "keys" / "journal.key")
        self.control = ControlStore(folder / "control.sqlite", self.key, self.clock)
        self.vault = Vault(KEY_STORES["file"](folder / "keys"), folder / "keys" / "keyring.json")
        self._changes = settings
        self.settings = settings_for(exchange, folder, venue, **settings)
        self.notices: list[Notice] = []
        self.store: MoneyStore | None = None
        self.book: RunningBook | None = None
        self.count = 0
        self.halt = ""
        self.candidate: Candidate | None = None

    def connect(
        self, label: str = "main", sandbox: bool = True, key: str = KEY, secret: str = SECRET, venue: str = ""
    ) -> None:
        """Store a sealed key, and say in the settings where the account is."""
        venue = venue or self.venue
        name = f"{venue}/{label}"
        self._changes |= account(self.exchange, venue, label, sandbox)
        self.settings = settings_for(self.exchange, self.folder, self.venue, **self._changes)
        fields = f'{{"key": "{key}", "secret": "{secret}"}}'
        sealed = self.vault.seal(PURPOSE, name, "keys", fields.encode())
        self.control.credentials.add(venue, label, sealed, {"sandbox": sandbox})

    def start(self, stage: str) -> RunningBook:
        """Build the book of a stage, as the engine does at its start."""
        self.store = MoneyStore(self.folder / "money.sqlite", self.key, self.clock)
        store, epoch = self.store, self.store.acquire_lease(installation_id(self.folder))
        observations = Observations(self.clock)
        parts = Parts(
            self.settings,
            self.clock,
            epoch,
            installation_id(self.folder),
            lambda book: store.journal(book, epoch),
            observations.observer,
            lambda _seconds: None,
            lambda _book: self.halt,
            self.notices.append,
            Connections(self.control, self.vault),
        )
        first = self.settings.live if stage == "live" else self.settings.testnet
        self.book = build_stage(parts, STAGES[stage], first)
        assert self.book.caretaker is not None
        self.book.caretaker.drive()
        return self.book

    def crash(self) -> None:
        """Lose the process: nothing is finished, no checkpoint is stored."""
        if self.book is not None:
            self.book.close()
        if self.store is not None:
            self.store.close()
        self.book = self.store = None

    def close(self) -> None:
        """End everything."""
        self.crash()
        self.control.close()

    def command(self, body: CommandBody) -> CommandDone:
        """Give a command; what became of it."""
        assert self.book is not None
        self.count += 1
        command = Command(f"c-{self.count}", OPERATOR, self.clock.now(), "test", body)
        done = self.book.loop.command(command, self.candidate)
        assert done is not None
        return done

    def candle(self, prices: Mapping[str, str], minutes_ago: int = 0) -> None:
        """One closed candle of every symbol at a price; the newest closes now."""
        assert self.book is not None
        closed = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=minutes_ago)
        rows = []
        for symbol, text in sorted(prices.items()):
            price = Decimal(text)
            keys = [InstrumentKey(f"{venue}:{symbol}") for venue in self.book.loop.venues]
            for key in (each for each in keys if each in self.book.loop.book.ledger.instruments):
                rows.append(Candle(key, MINUTE, closed - MINUTE.delta, price, price, price, price, Decimal(1000)))
        for venue in self.book.loop.venues:
            self.book.loop.step(FeedStatus(venue, closed - MINUTE.delta, True, "test"))
        self.book.loop.step(Bars(closed, tuple(sorted(rows, key=lambda row: row.instrument))))
        for feed in self.book.loop.book.feeds.values():
            feed.last_wall_time = self.clock.now()


def account(exchange: StandIn, venue: str, label: str, sandbox: bool) -> dict[str, Any]:
    """Settings of an account at the stand-in, by dotted names."""
    row = {
        "exchange": venue,
        "sandbox": sandbox,
        "rest_url": exchange.rest_url(venue),
        "websocket_url": exchange.websocket_url(venue),
    }
    return {f"venues.{label}.{name}": value for name, value in row.items()}


def settings_for(exchange: StandIn, folder: Path, venue: str, **changes: Any) -> Settings:
    """Settings of both stages against the stand-in; dots of a name are written as two underscores."""
    named = {name.replace("__", "."): value for name, value in changes.items()}
    values: dict[str, Any] = {"data_dir": str(folder)}
    for stage in STAGES:
        values |= {
            f"{stage}.enabled": True,
            f"{stage}.connections": [f"{venue}/main"],
            f"{stage}.symbols": ["BTC/USDT:USDT"],
            f"{stage}.capital": "5000",
        }
    return load(environment={}, changes=values | named).settings


@contextmanager
def engine_at(exchange: StandIn, folder: Path, venue: str = "bybit", **settings: Any) -> Iterator[Engine]:
    """An engine for the length of the block."""
    engine = Engine(exchange, folder, venue, **settings)
    try:
        yield engine
    finally:
        engine.close()
