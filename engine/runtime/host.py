"""Opens a data folder, runs its engine, and hands out consoles: one per process, kept outside any page."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import structlog

from config.settings import Effective, Settings, load
from engine.domain.commands import Actor, Command, EmergencyStop, Role
from engine.domain.errors import AccessDenied, BadInput, EngineError, QuarterdeckError, StorageError
from engine.domain.facts import Notice, Severity
from engine.monitoring.alerts import AlertCentre
from engine.monitoring.monitor import Monitor
from engine.monitoring.probes import EngineFigures
from engine.runtime import collector, logs
from engine.runtime.clock import SystemClock
from engine.runtime.console import Console
from engine.runtime.engine import SENTINEL
from engine.runtime.jobs import Jobs
from engine.runtime.operations import CONSOLE_SETTINGS
from engine.runtime.services import Services
from engine.runtime.status import write_status
from engine.runtime.supervisor import Supervisor
from engine.runtime.taxes import Taxes
from engine.security import KEY_STORES
from engine.security.access import Access
from engine.security.door_config import DoorConfig
from engine.security.passwords import PasswordHasher
from engine.security.people import Trail
from engine.security.redact import Redactor
from engine.security.vault import Vault
from engine.storage.alerts import AlertStore
from engine.storage.backup import backup_if_due
from engine.storage.base import open_engine
from engine.storage.candles import CandleStore
from engine.storage.chain import load_or_create_key
from engine.storage.control import ControlStore
from engine.storage.money_reader import MoneyReader
from engine.storage.people import SqlPeople
from engine.storage.rows import Decision, EquitySample
from engine.storage.telemetry import TelemetryStore

_log = structlog.get_logger(__name__)
HOUSEKEEPING_S = 1.0
THIN_EVERY_S = 6 * 3600.0
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
    """

    def __init__(self, settings: Effective | None = None, *, log_to_stderr: bool = True) -> None:
        self._given = settings
        self._log_to_stderr = log_to_stderr
        self._services: Services | None = None
        self._people_engines: list[Any] = []
        self._ending = threading.Event()
        self._threads: list[threading.Thread] = []

    # -- life ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the engine, then everything that watches and serves it; raises what prevents the start."""
        global _current
        first = self._given or load()
        clock = SystemClock()
        redactor = Redactor()
        logs.configure(first.settings.data_dir, first.settings.log_level, redactor, to_stderr=self._log_to_stderr)
        effective = self._given or self._with_console(first)
        supervisor = Supervisor(effective.settings, clock)
        supervisor.start()
        self._services = self._open(effective, supervisor, clock, redactor)
        _current = self
        self._services.jobs.resume()
        collector.set_aside()
        self._threads = [
            threading.Thread(target=self._keep_house, name="housekeeper", daemon=True),
            threading.Thread(target=self._deliver, name="alerts", daemon=True),
        ]
        for thread in self._threads:
            thread.start()
        _log.info("engine started", folder=str(effective.settings.data_dir), epoch=supervisor.snapshot().epoch)

    def _with_console(self, first: Effective) -> Effective:
        """Settings again, with those changed in the console, if there are any."""
        path = first.settings.data_dir / "control.sqlite"
        if not path.exists():
            return first
        key = load_or_create_key(first.settings.data_dir / "keys" / "journal.key")
        try:
            control = ControlStore(path, key)
            try:
                values = control.settings.values(CONSOLE_SETTINGS)
            finally:
                control.close()
        except StorageError as error:
            _log.warning("console settings could not be read; they do not count", error=str(error))
            return first
        return load(console=values) if values else first

    def _open(
        self, effective: Effective, supervisor: Supervisor, clock: SystemClock, redactor: Redactor
    ) -> Services:
        folder = effective.settings.data_dir
        assert supervisor.control is not None
        control = supervisor.control
        vault = Vault(KEY_STORES["file"](folder / "keys"), folder / "keys" / "keyring.json")
        telemetry = TelemetryStore(folder / "telemetry.sqlite")
        writer = open_engine(folder / "control.sqlite", full_sync=True)
        reader = open_engine(folder / "control.sqlite", full_sync=True, read_only=True)
        self._people_engines = [writer, reader]
        trail = Trail(SqlPeople(writer, reader), control.audit, clock, PasswordHasher())
        money = MoneyReader(effective.settings.money_file)
        alerts = AlertCentre(AlertStore(control.file), vault, clock, clean=redactor.clean)
        return Services(
            settings=effective,
            folder=folder,
            clock=clock,
            supervisor=supervisor,
            control=control,
            money=money,
            telemetry=telemetry,
            candles=CandleStore(folder / "candles"),
            vault=vault,
            access=Access(trail, effective.settings.access),
            alerts=alerts,
            monitor=Monitor(telemetry, alerts, effective.settings.health, clock, folder),
            jobs=Jobs(folder),
            taxes=Taxes(money, clock),
            chain_key=load_or_create_key(folder / "keys" / "journal.key"),
        )

    def stop(self) -> None:
        """Stop cleanly: the loop finishes its event and stores a checkpoint."""
        global _current
        self._ending.set()
        for thread in self._threads:
            thread.join(timeout=5)
        services = self._services
        if services is not None:
            services.jobs.close()
            services.supervisor.stop()
            self._store_observations(services)
            services.money.close()
        for engine in self._people_engines:
            engine.dispose()
        _current = None
        _log.info("engine stopped")

    # -- housekeeping --------------------------------------------------------------------------------------------

    def _keep_house(self) -> None:
        services = self.services
        backup_due, sample_due, thin_due = 0.0, 0.0, 0.0
        collect_due = services.clock.monotonic() + collector.FIRST_AGAIN_S
        while not self._ending.wait(HOUSEKEEPING_S):
            now = services.clock.monotonic()
            try:
                self._store_observations(services)
                write_status(services.folder, services.supervisor.snapshot())
                if now >= sample_due:
                    sample_due = now + services.settings.settings.health.sample_every_s
                    services.monitor.sample(self._figures(services))
                if now >= thin_due:
                    thin_due = now + THIN_EVERY_S
                    services.alerts.thin()
                    services.telemetry.thin(services.clock.now())
                if now >= collect_due:
                    collect_due = now + collector.AGAIN_EVERY_S
                    collector.set_aside()
                if now >= backup_due:
                    backup_due = now + 600
                    self._back_up(services)
            except (QuarterdeckError, OSError) as error:
                _log.error("housekeeping failed", error=str(error))

    def _deliver(self) -> None:
        """Alerts on a thread of their own: a channel that does not answer must hold nothing up."""
        while not self._ending.wait(HOUSEKEEPING_S):
            try:
                self.services.alerts.deliver_due()
            except (QuarterdeckError, OSError) as error:
                _log.error("alerts could not be delivered", error=str(error))

    def _store_observations(self, services: Services) -> None:
        observed = services.supervisor.observations.drain()
        services.telemetry.equity.add([item for item in observed if isinstance(item, EquitySample)])
        services.telemetry.log_decisions([item for item in observed if isinstance(item, Decision)])
        for item in observed:
            if isinstance(item, Notice) and item.severity is Severity.INFO:
                services.alerts.clear(item.key, item.title, item.detail)  # good news ends the matter of its key
            elif isinstance(item, Notice):
                services.alerts.raise_notice(item)

    def _back_up(self, services: Services) -> None:
        backup = services.settings.settings.backup
        if backup.every_hours:
            backup_if_due(services.folder, every=timedelta(hours=backup.every_hours), keep=backup.keep)

    def _figures(self, services: Services) -> EngineFigures:
        snapshot = services.supervisor.snapshot()
        feeds = [feed for book in snapshot.books for feed in book.feeds]
        latencies = [feed.latency_s for feed in feeds if feed.latency_s is not None]
        return EngineFigures(
            loop_p50_s=snapshot.loop_p50_s,
            loop_p99_s=snapshot.loop_p99_s,
            queue_length=snapshot.queue_length,
            events=snapshot.events,
            exchange_latency_s=max(latencies, default=None),
            venue_calls=sum(feed.calls for feed in feeds),
            venue_errors=sum(feed.failures for feed in feeds),
            snapshot_at=snapshot.published_at,
        )

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
            "engine_instances": 1,
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
            (Path(services.folder) / SENTINEL).write_text(f"{actor.name}: {reason}", encoding="utf-8")
        thread = services.supervisor.thread
        if thread is not None:
            thread.wake()
        return command_id

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
