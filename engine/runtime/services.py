"""What the console, the command line and the host share: one open handle to every part of a data folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from config.settings import Effective
from engine.domain.ports import Clock
from engine.runtime.engine_port import EnginePort
from engine.runtime.observing import Observations
from engine.runtime.taxes import Taxes
from engine.storage.candles import CandleStore
from engine.storage.control import ControlStore
from engine.storage.money_reader import MoneyReader
from engine.storage.telemetry import TelemetryStore

if TYPE_CHECKING:
    from engine.monitoring.alerts import AlertCentre
    from engine.monitoring.monitor import Monitor
    from engine.runtime.jobs import Jobs
    from engine.runtime.research_shelf import ResearchShelf
    from engine.runtime.research_studies_shelf import StudyShelf
    from engine.runtime.wallet_shelf import WalletShelf
    from engine.security.access import Access
    from engine.security.vault import Vault


@dataclass(frozen=True, slots=True)
class Services:
    """Handles, opened once by the host. ``supervisor`` is the engine, here or in a process of its own; everything
    else only reads money tables."""

    settings: Effective
    folder: Path
    clock: Clock
    supervisor: EnginePort
    observations: Observations
    control: ControlStore
    money: MoneyReader
    telemetry: TelemetryStore
    candles: CandleStore
    vault: Vault
    access: Access
    alerts: AlertCentre
    monitor: Monitor
    jobs: Jobs
    backtests: ResearchShelf
    studies: StudyShelf
    taxes: Taxes
    wallets: WalletShelf
    chain_key: bytes
