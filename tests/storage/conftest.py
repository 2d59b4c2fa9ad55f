"""A migrated data folder and makers of facts, for every test of the stores."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path

import pytest

from engine.domain.commands import Actor, CancelOrder, Command, Role
from engine.domain.instruments import InstrumentKey
from engine.domain.orders import (
    CashFlow,
    Fill,
    FundingPaid,
    Liquidity,
    OrderIntent,
    OrderState,
    OrderType,
    OrderUpdate,
    Purpose,
    Side,
)
from engine.runtime.clock import SystemClock
from engine.storage.backup import BackupReport, backup
from engine.storage.base import Database
from engine.storage.chain import load_or_create_key
from engine.storage.control import ControlStore
from engine.storage.migrate import migrate
from engine.storage.money import BookJournal, MoneyStore

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
BTC = InstrumentKey("demo-a:BTC/USDT")


@dataclass
class FactMaker:
    """Facts with fresh ids."""

    now: datetime = NOW
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def intent(self, instrument: InstrumentKey = BTC, sleeve: str = "momentum", minutes: int = 0) -> OrderIntent:
        return OrderIntent(
            client_id=f"d{next(self.numbers):x}",
            instrument=instrument,
            side=Side.BUY,
            quantity=Decimal("0.10"),
            order_type=OrderType.LIMIT,
            purpose=Purpose.ENTRY,
            sleeve=sleeve,
            created_at=self.now + timedelta(minutes=minutes),
            reference_price=Decimal("50000.10"),
            limit_price=Decimal("50000.00"),
            reason="break above the channel",
        )

    def update(self, intent: OrderIntent, state: OrderState, filled: str = "0", reason: str = "") -> OrderUpdate:
        at = intent.created_at + timedelta(seconds=1)
        return OrderUpdate(
            intent.client_id, "demo-a", intent.instrument, state, Decimal(filled), at, "v1", None, None, reason
        )

    def fill(self, intent: OrderIntent | None = None, trade_id: str = "", minutes: int = 0) -> Fill:
        return Fill(
            venue="demo-a",
            account="main",
            trade_id=trade_id or f"t{next(self.numbers)}",
            client_id=intent.client_id if intent else "stranger",
            venue_order_id="v1",
            instrument=intent.instrument if intent else BTC,
            side=Side.BUY,
            quantity=Decimal("0.10"),
            price=Decimal("50000.00"),
            fee=Decimal("5.00"),
            fee_currency="USDT",
            liquidity=Liquidity.MAKER,
            at=self.now + timedelta(minutes=minutes),
        )

    def funding(self, payment_id: str = "") -> FundingPaid:
        name = payment_id or f"p{next(self.numbers)}"
        return FundingPaid("demo-a", "main", name, BTC, Decimal("0.0001"), Decimal(50000), Decimal("-0.5"), "USDT", NOW)

    def cash(self, flow_id: str = "") -> CashFlow:
        return CashFlow("demo-a", flow_id or f"f{next(self.numbers)}", "USDT", Decimal(10_000), NOW, "start")

    def command(self, command_id: str = "", client_id: str = "d1", name: str = "jo") -> Command:
        actor = Actor(name, Role.OPERATOR, "console")
        return Command(command_id or f"c{next(self.numbers)}", actor, NOW, "because", CancelOrder("demo", client_id))


@pytest.fixture
def make() -> FactMaker:
    return FactMaker()


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated folder to copy from: migrating anew would take most of the time of these tests."""
    data = tmp_path_factory.mktemp("migrated") / "data"
    migrate(data)
    return data


@pytest.fixture
def folder(tmp_path: Path, migrated: Path) -> Path:
    return Path(shutil.copytree(migrated, tmp_path / "data"))


@pytest.fixture
def key(folder: Path) -> bytes:
    return load_or_create_key(folder / "keys" / "journal.key")


@pytest.fixture
def money_path(folder: Path) -> Path:
    return Database.MONEY.path(folder)


@pytest.fixture
def store(money_path: Path, key: bytes) -> Iterator[MoneyStore]:
    store = MoneyStore(money_path, key, SystemClock())
    yield store
    store.close()


@pytest.fixture
def journal(store: MoneyStore) -> BookJournal:
    return store.journal("demo", store.acquire_lease("test"))


@pytest.fixture
def control(folder: Path, key: bytes) -> Iterator[ControlStore]:
    control = ControlStore(Database.CONTROL.path(folder), key, SystemClock())
    yield control
    control.close()


@pytest.fixture
def saved(
    store: MoneyStore, journal: BookJournal, control: ControlStore, make: FactMaker, folder: Path
) -> BackupReport:
    """A backup of twenty fills, taken while the engine has the file open; then five more are recorded."""
    (folder / "venues").mkdir()
    (folder / "venues" / "demo-a.jsonl").write_text('{"row": 1}\n')
    (folder / "quarterdeck.toml").write_text("port = 8600\n")
    (folder / "candles").mkdir()
    (folder / "candles" / "btc.parquet").write_text("candles")
    (folder / "keys" / "vault.key").write_text("top secret")
    (folder / "keys" / "vault.key").chmod(0o600)
    control.submit(make.command("c1"))
    control.audit.append(Actor("jo", Role.ADMIN, "cli"), "login", "jo", "")
    journal.append([make.fill() for _ in range(20)], make.now)
    report = backup(folder, folder / "backups")
    journal.append([make.fill() for _ in range(5)], make.now)
    store.close()
    control.close()
    return report
