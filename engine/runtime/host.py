"""Opens a data folder, runs its engine, and hands out consoles: one per process, kept outside any page."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import structlog

from config.settings import Effective, Settings, load
from engine.domain.commands import Actor, Command, EmergencyStop, Role
from engine.domain.errors import AccessDenied, BadInput, CannotRecord, EngineError, StorageError
from engine.monitoring.alerts import AlertCentre
from engine.monitoring.monitor import Monitor
from engine.runtime import collector, logs
from engine.runtime.attached import AttachedEngine, engine_is_elsewhere, prepare_folder
from engine.runtime.channel import Channel
from engine.runtime.clock import SystemClock
from engine.runtime.console import Console
from engine.runtime.engine import EngineThread
from engine.runtime.engine_port import EnginePort
from engine.runtime.housekeeping import Housekeeper
from engine.runtime.jobs import Jobs
from engine.runtime.observing import Observations
from engine.runtime.operations import CONSOLE_SETTINGS
from engine.runtime.presence import Presence
from engine.runtime.replay_views import FOLDER as REPLAYS
from engine.runtime.research_shelf import FOLDER as RESEARCH
from engine.runtime.research_shelf import ResearchShelf
from engine.runtime.research_studies_shelf import StudyShelf
from engine.runtime.run_shelf import sweep_deleted
from engine.runtime.sentinel import order_stop_by_file
from engine.runtime.services import Services
from engine.runtime.start_report import tell_of_start
from engine.runtime.supervisor import Supervisor
from engine.runtime.taxes import Taxes
from engine.runtime.wallet_shelf import WalletShelf, accounts_in
from engine.security import KEY_STORES
from engine.security.access import Access
from engine.security.door_config import DoorConfig
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

_log = structlog.get_logger(__name__)
ATTACH_WITHIN_S = 5.0
"""How long a console waits for the first word of an engine in another process before it starts without one."""
_current: Host | None = None


def console_for(identity: Mapping[str, Any]) -> Console:
    """The console of the person the session gate named (``session`` is the session's handle); raises `AccessDenied`."""
    if _current is None:
        raise EngineError("the engine is not running in this process; start the console with make run")
    handle = str(identity.get("session") or "")
    if not handle:
        raise AccessDenied("you are signed out; sign in again")
    return _current.console(handle)


class Host:
    """The process around one engine; `engine.api.ports.HostPort` is what the HTTP face sees of it.

    Parameters
    ----------
    settings : Effective or None
        None reads them from their layers at `start`.
    log_to_stderr : bool
    headless : bool
        The engine alone, with a channel for consoles in other processes. Else the engine runs in this process, unless
        one in a process of its own is there already, or is to be by ``engine.apart``: then this is its console.
    """

    def __init__(
        self, settings: Effective | None = None, *, log_to_stderr: bool = True, headless: bool = False
    ) -> None:
        self._given = settings
        self._headless = headless
        self._channel: Channel | None = None
        self._presence: Presence | None = None
        self._log_to_stderr = log_to_stderr
        self._services: Services | None = None
        self._people_engines: list[Any] = []
        self._ending = threading.Event()
        self._housekeeper: Housekeeper | None = None

    # -- life ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the engine, then everything that watches and serves it; raises what prevents the start."""
        global _current
        first = self._given or load()
        clock = SystemClock()
        redactor = Redactor()
        elsewhere = not self._headless and engine_is_elsewhere(first.settings)
        name = "console" if elsewhere else "engine"
        folder, level = first.settings.data_dir, first.settings.log_level
        logs.configure(folder, level, redactor, to_stderr=self._log_to_stderr, name=name)
        effective = self._given or self._with_console(first, clock)
        if elsewhere:
            self._services = self._attach(effective, clock, redactor)
        else:
            self._services = self._own(effective, clock, redactor)
        _current = self
        if not self._headless:
            for runs in (REPLAYS, RESEARCH):
                sweep_deleted(effective.settings.data_dir / runs)
            self._services.jobs.resume()
        collector.set_aside()

    def _own(self, effective: Effective, clock: SystemClock, redactor: Redactor) -> Services:
        """Run the engine in this process, and keep house for it."""
        supervisor = Supervisor(effective.settings, clock)
        supervisor.start()
        assert supervisor.control is not None
        services = self._open(effective, supervisor, supervisor.control, supervisor.observations, redactor)
        self._housekeeper = Housekeeper(services, self._ending)
        self._housekeeper.start()
        if self._headless:
            self._channel = Channel(supervisor, effective.settings.data_dir, clock)
            self._channel.open()
        _log.info("engine started", folder=str(effective.settings.data_dir), epoch=supervisor.snapshot().epoch)
        if supervisor.start_report is not None:
            tell_of_start(supervisor.start_report, services.alerts, clock.now())
        return services

    def _attach(self, effective: Effective, clock: SystemClock, redactor: Redactor) -> Services:
        """Be the console of an engine in another process, which may be down."""
        folder = effective.settings.data_dir
        prepare_folder(folder)
        engine = AttachedEngine(effective.settings, clock)
        engine.start(ATTACH_WITHIN_S)
        control = ControlStore(folder / "control.sqlite", load_or_create_key(folder / "keys" / "journal.key"), clock)
        services = self._open(effective, engine, control, Observations(clock), redactor)
        self._presence = Presence(services, self._ending)
        self._presence.start()
        _log.info("console attached", folder=str(folder), engine=engine.absence() or "answers")
        return services

    def _with_console(self, first: Effective, clock: SystemClock) -> Effective:
        """Settings again, with those changed in the console, if there are any."""
        path = first.settings.data_dir / "control.sqlite"
        if not path.exists():
            return first
        key = load_or_create_key(first.settings.data_dir / "keys" / "journal.key")
        try:
            control = ControlStore(path, key, clock)
            try:
                values = control.settings.values(CONSOLE_SETTINGS)
            finally:
                control.close()
        except StorageError as error:
            _log.warning("console settings could not be read; they do not count", error=str(error))
            return first
        return load(console=values) if values else first

    def _open(
        self,
        effective: Effective,
        engine: EnginePort,
        control: ControlStore,
        observations: Observations,
        redactor: Redactor,
    ) -> Services:
        folder, clock = effective.settings.data_dir, SystemClock()
        vault = Vault(KEY_STORES["file"](folder / "keys"), folder / "keys" / "keyring.json")
        telemetry = TelemetryStore(folder / "telemetry.sqlite")
        writer = open_engine(folder / "control.sqlite", full_sync=True)
        reader = open_engine(folder / "control.sqlite", full_sync=True, read_only=True)
        self._people_engines = [writer, reader]
        trail = Trail(SqlPeople(writer, reader), control.audit, clock, PasswordHasher())
        money = MoneyReader(effective.settings.money_file)
        alerts = AlertCentre(AlertStore(control.file), vault, clock, clean=redactor.clean)
        jobs = Jobs(folder)
        return Services(
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

    def stop(self) -> None:
        """Stop cleanly: the loop finishes its event and stores a checkpoint."""
        global _current
        self._ending.set()
        housekeeper, services = self._housekeeper, self._services
        if self._channel is not None:
            self._channel.close()
        if self._presence is not None:
            self._presence.finish()
        if housekeeper is not None:
            housekeeper.finish()
        if services is not None:
            services.jobs.close()
            services.wallets.close()
            services.supervisor.stop()
            if housekeeper is not None:
                housekeeper.store()  # what the loop observed at its end
            if self._presence is not None:
                services.control.close()
            services.money.close()
            services.studies.close()
        for engine in self._people_engines:
            engine.dispose()
        _current = None
        _log.info("engine stopped")

    # -- for the HTTP face ---------------------------------------------------------------------------------------

    @property
    def services(self) -> Services:
        """The open handles; raises `EngineError` before `start`."""
        if self._services is None:
            raise EngineError("the engine has not started yet")
        return self._services

    @property
    def settings(self) -> Settings:
        """Effective settings."""
        return self.services.settings.settings

    @property
    def door(self) -> DoorConfig:
        """Names, proxies and sizes that are accepted; the plain loopback door before `start`."""
        return self._services.settings.settings.door if self._services is not None else DoorConfig()

    @property
    def access(self) -> Access:
        """Access control."""
        return self.services.access

    def console(self, handle: str) -> Console:
        """The console of a live session."""
        services = self.services
        services.access.check(handle)
        return Console(services, lambda: services.access.actor(handle, "console"), handle)

    def health(self) -> Mapping[str, object]:
        """State for probes, without secrets."""
        if self._services is None:
            return {"live": True, "ready": False, "detail": "starting"}
        supervisor = self._services.supervisor
        snapshot = supervisor.snapshot()
        age = (self._services.clock.now() - snapshot.published_at).total_seconds()
        alive = supervisor.is_alive()
        return {
            "live": alive,
            "ready": alive and age < 15,
            "state": supervisor.state().value,
            "version": snapshot.version,
            "snapshot_age_s": round(age, 3),
            "restarts": snapshot.restarts,
            "engine_instances": sum(isinstance(thread, EngineThread) for thread in threading.enumerate()),
            "books": {book.name: book.state.value for book in snapshot.books},
        }

    def post_stop(self, actor: Actor, reason: str, command_id: str) -> str:
        """Order an emergency stop of every book; where the control file cannot be written, by the sentinel file."""
        services = self.services
        if not actor.role.allows(Role.OPERATOR):
            raise AccessDenied(f"stopping needs the role operator; {actor.name} is {actor.role.value}")
        command = Command(command_id, actor, services.clock.now(), reason, EmergencyStop(None))
        try:
            services.control.submit(command)
        except BadInput:
            raise
        except StorageError as error:
            _log.error("stop could not be stored; using the sentinel file", error=str(error))
            self._stop_by_file(f"{actor.name}: {reason}", error)
        services.supervisor.wake()
        return command_id

    def _stop_by_file(self, text: str, error: StorageError) -> None:
        try:
            order_stop_by_file(self.services.folder, text)
        except CannotRecord as also:
            raise CannotRecord(f"not stopped: {error}; {also}") from error

    def stop_status(self) -> Mapping[str, Any]:
        """How far the stop is, book by book."""
        books = []
        for book in self.services.supervisor.snapshot().books:
            proven = book.stop.steps if book.stop else ()
            steps = [{"step": s.value, "detail": d, "at": at.isoformat()} for s, d, at in proven]
            books.append(
                {
                    "name": book.name,
                    "state": book.state.value,
                    "latched": book.latched,
                    "flat": book.stop.flat if book.stop else not book.positions and not book.orders,
                    "reason": book.state_reason,
                    "waiting_for": book.stop.waiting_for if book.stop else "",
                    "steps": steps,
                }
            )
        return {
            "flat": all(book["flat"] for book in books),
            "latched": any(book["latched"] for book in books),
            "books": books,
        }
