"""Opens every part of a data folder that the console, housekeeping and commands work with, beside the engine itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.settings import Effective
from engine.monitoring.alerts import AlertCentre
from engine.monitoring.monitor import Monitor
from engine.runtime.clock import SystemClock
from engine.runtime.engine_port import EnginePort
from engine.runtime.jobs import Jobs
from engine.runtime.observing import Observations
from engine.runtime.replay_views import FOLDER as REPLAYS
from engine.runtime.research_shelf import FOLDER as RESEARCH
from engine.runtime.research_shelf import ResearchShelf
from engine.runtime.research_studies_shelf import StudyShelf
from engine.runtime.run_shelf import sweep_deleted
from engine.runtime.services import Services
from engine.runtime.taxes import Taxes
from engine.runtime.wallet_shelf import WalletShelf, accounts_in
from engine.security import KEY_STORES
from engine.security.access import Access
from engine.security.passwords import PasswordHasher
from engine.security.people import Trail
from engine.security.redact import Redactor
from engine.security.vault import Vault
from engine.storage.alerts import AlertStore
from engine.storage.base import open_engine
from engine.storage.candles import CandleStore
from engine.storage.chain import load_or_create_key
from engine.storage.control import ControlStore
from engine.storage.money_reader import MoneyReader
from engine.storage.people import SqlPeople
from engine.storage.telemetry import TelemetryStore


@dataclass(frozen=True, slots=True)
class Opened:
    """The open handles, and the database engines of people and sessions, which whoever opened them disposes of."""

    services: Services
    people_engines: list[Any]


def open_services(
    effective: Effective,
    engine: EnginePort,
    control: ControlStore,
    observations: Observations,
    redactor: Redactor,
) -> Opened:
    """Open the parts around an engine, which is here or in a process of its own.

    Raises
    ------
    QuarterdeckError
        A file cannot be opened; the message names it.
    """
    folder, clock = effective.settings.data_dir, SystemClock()
    vault = Vault(KEY_STORES["file"](folder / "keys"), folder / "keys" / "keyring.json")
    telemetry = TelemetryStore(folder / "telemetry.sqlite")
    writer = open_engine(folder / "control.sqlite", full_sync=True)
    reader = open_engine(folder / "control.sqlite", full_sync=True, read_only=True)
    trail = Trail(SqlPeople(writer, reader), control.audit, clock, PasswordHasher())
    money = MoneyReader(effective.settings.money_file)
    alerts = AlertCentre(AlertStore(control.file), vault, clock, clean=redactor.clean)
    jobs = Jobs(folder)
    services = Services(
        settings=effective,
        folder=folder,
        clock=clock,
        supervisor=engine,
        observations=observations,
        control=control,
        money=money,
        telemetry=telemetry,
        candles=CandleStore(folder / "candles"),
        vault=vault,
        access=Access(trail, effective.settings.access),
        alerts=alerts,
        monitor=Monitor(telemetry, alerts, effective.settings.health, clock, folder),
        jobs=jobs,
        backtests=ResearchShelf(folder, jobs),
        studies=StudyShelf(folder, jobs),
        taxes=Taxes(money, clock),
        wallets=WalletShelf(control.credentials, vault, clock, accounts_in(lambda: engine.settings)),
        chain_key=load_or_create_key(folder / "keys" / "journal.key"),
    )
    return Opened(services, [writer, reader])


def sweep_runs(folder: Path) -> None:
    """Finish deleting the runs whose deletion was cut short."""
    for runs in (REPLAYS, RESEARCH):
        sweep_deleted(folder / runs)
