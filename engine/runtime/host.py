"""Opens a data folder, runs its engine, and hands out consoles: one per process, kept outside any page."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

import structlog

from config.settings import Effective, Settings, load
from engine.domain.commands import Actor, Command, EmergencyStop, Role
from engine.domain.errors import AccessDenied, BadInput, CannotRecord, EngineError, StorageError
from engine.runtime import collector, logs
from engine.runtime.attached import AttachedEngine, engine_is_elsewhere, prepare_folder
from engine.runtime.channel import Channel
from engine.runtime.clock import SystemClock
from engine.runtime.engine import EngineThread
from engine.runtime.engine_port import EnginePort
from engine.runtime.observing import Observations
from engine.runtime.sentinel import order_stop_by_file
from engine.runtime.start_report import tell_of_start
from engine.runtime.supervisor import Supervisor
from engine.security.door_config import DoorConfig
from engine.security.redact import Redactor
from engine.storage.chain import load_or_create_key
from engine.storage.control import ControlStore
from engine.storage.settings import CONSOLE_SETTINGS

if TYPE_CHECKING:
    from engine.runtime.console import Console
    from engine.runtime.housekeeping import Housekeeper
    from engine.runtime.presence import Presence
    from engine.runtime.services import Services
    from engine.security.access import Access

_log = structlog.get_logger(__name__)
OPENING, HOUSEKEEPING, PRESENCE = "engine.runtime.opening", "engine.runtime.housekeeping", "engine.runtime.presence"
CONSOLE = "engine.runtime.console"
"""Loaded once the engine trades: research and its libraries come with them, a second of the processor."""
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
            import_module(OPENING).sweep_runs(effective.settings.data_dir)
            self._services.jobs.resume()
        collector.set_aside()

    def _own(self, effective: Effective, clock: SystemClock, redactor: Redactor) -> Services:
        """Run the engine in this process, and keep house for it."""
        supervisor = Supervisor(effective.settings, clock)
        supervisor.start()
        assert supervisor.control is not None
        services = self._open(effective, supervisor, supervisor.control, supervisor.observations, redactor)
        housekeeper: Housekeeper = import_module(HOUSEKEEPING).Housekeeper(services, self._ending)
        housekeeper.start()
        self._housekeeper = housekeeper
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
        presence: Presence = import_module(PRESENCE).Presence(services, self._ending)
        presence.start()
        self._presence = presence
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
        opened = import_module(OPENING).open_services(effective, engine, control, observations, redactor)
        services: Services = opened.services
        self._people_engines = opened.people_engines
        return services

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
        kind: type[Console] = import_module(CONSOLE).Console
        return kind(services, lambda: services.access.actor(handle, "console"), handle)

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
