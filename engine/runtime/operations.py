"""Health, alerts, connections, people, settings and backups, as a signed-in person may use them."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime

from config.settings import load
from engine.domain.commands import Role
from engine.domain.errors import BadInput, CannotRecord, QuarterdeckError
from engine.domain.operations_views import (
    AlertRow,
    BackupRow,
    ChannelView,
    ConnectionView,
    ExchangeView,
    HealthFigure,
    SessionRow,
    SettingRow,
    UserRow,
)
from engine.domain.views import PageOf, Series
from engine.exchanges import EXCHANGES
from engine.runtime.account_keys import AccountKeys, NewKeys
from engine.runtime.accounts import STAGES, Account, account_of, connections_of, named_accounts
from engine.runtime.connections import is_sandbox
from engine.runtime.portfolio import Portfolio
from engine.runtime.wallet_shelf import accounts_in
from engine.storage.backup import BACKUP_FOLDER, list_backups
from engine.storage.rows import CredentialRow
from engine.storage.settings import CONSOLE_SETTINGS


class Operations(Portfolio):
    """Everything that keeps the engine healthy and the right people in."""

    # -- health and alerts ---------------------------------------------------------------------------------------

    def health(self) -> tuple[HealthFigure, ...]:
        """The newest measurement of every probe."""
        return self._services.monitor.newest()

    def health_series(self, name: str, since: datetime, points: int = 400) -> Series:
        """Stored samples of one probe."""
        return self._services.monitor.series(name, since, points)

    def alerts(self, page: int, size: int, open_only: bool) -> PageOf[AlertRow]:
        """Alerts, newest first."""
        return self._services.alerts.page(page, size, open_only)

    def acknowledge_alert(self, alert_id: int) -> None:
        """Mark as seen by the actor."""
        self.require(Role.OPERATOR)
        self._services.alerts.acknowledge(alert_id, self.actor)

    def mute_alert(self, key: str, minutes: int) -> None:
        """Do not deliver this key for a while."""
        self.require(Role.OPERATOR)
        self._audit_change("alert_muted", key, f"{minutes} minutes")
        self._services.alerts.mute(key, minutes)

    def channels(self) -> tuple[ChannelView, ...]:
        """Where alerts go."""
        return self._services.alerts.channels()

    def add_channel(self, kind: str, label: str, address: str, minimum_severity: str) -> None:
        """Seal and store a channel; audited first, so that none is there without a row, and again where it failed."""
        self.require(Role.ADMIN)
        self._audit_change("channel_added", label, kind)
        try:
            self._services.alerts.add_channel(kind, label, address, minimum_severity)
        except QuarterdeckError:
            with suppress(CannotRecord):  # what refused the channel is what the person must hear
                self._audit_change("channel_not_added", label, kind)
            raise

    def test_channel(self, channel_id: str) -> str:
        """Send a test."""
        self.require(Role.OPERATOR)
        return self._services.alerts.test_channel(channel_id)

    def remove_channel(self, channel_id: str) -> None:
        """Forget a channel."""
        self.require(Role.ADMIN)
        self._audit_change("channel_removed", channel_id, "")
        self._services.alerts.remove_channel(channel_id)

    # -- exchanges -----------------------------------------------------------------------------------------------

    def exchanges(self) -> tuple[ExchangeView, ...]:
        """What can be connected."""
        return tuple(
            ExchangeView(row.name, row.title, row.has_sandbox, row.needs_passphrase, row.hint)
            for row in EXCHANGES.values()
        )

    def connections(self) -> tuple[ConnectionView, ...]:
        """Accounts with stored keys, then those that the settings describe and that have none; no key is shown."""
        stored = tuple(self._view(row) for row in self._services.control.credentials.all())
        known = {view.connection_id for view in stored}
        named = named_accounts(self._services.supervisor.settings)
        return (*stored, *(_without_keys(account) for account in named if account.connection_id not in known))

    def add_connection(self, values: Mapping[str, str]) -> str:
        """Seal keys at once and store them."""
        self.require(Role.ADMIN)
        self.require_step_up("connecting an exchange")
        given = NewKeys(values.get("exchange", ""), values.get("label", ""), values, values.get("sandbox") == "true")
        return self._keys().add(self.actor, given)

    def test_connection(self, connection_id: str) -> ConnectionView:
        """Ask the exchange; its own answer, in words, without keys."""
        self.require(Role.OPERATOR)
        name, label = _split(connection_id)
        self._keys().check(connection_id)
        return self._view(self._services.control.credentials.get(name, label))

    def remove_connection(self, connection_id: str) -> None:
        """Forget the sealed keys."""
        self.require(Role.ADMIN)
        self.require_step_up("removing keys")
        _split(connection_id)
        settings = self._services.supervisor.settings
        enabled = [stage for stage in STAGES.values() if settings.stages[stage.name].enabled]
        using = [stage.name for stage in enabled if connection_id in connections_of(settings, stage)]
        if using:
            raise BadInput(f"{connection_id} is traded by the {using[0]} book; stop that book first")
        self._keys().remove(self.actor, connection_id)

    def _view(self, row: CredentialRow) -> ConnectionView:
        connection = f"{row.exchange_id}/{row.label}"
        settings = self._services.supervisor.settings
        account = account_of(settings, connection, is_sandbox(row))
        return ConnectionView(
            connection_id=connection,
            exchange=row.exchange_id,
            label=row.label,
            sandbox=account.sandbox,
            created_at=row.created_at,
            checked_at=row.checked_at,
            check_ok=row.check_ok,
            check=row.check_detail,
            address=account.rest_url,
            in_settings=any(each.connection_id == connection for each in named_accounts(settings)),
        )

    def _keys(self) -> AccountKeys:
        services = self._services
        return AccountKeys(services.control, services.vault, accounts_in(lambda: services.supervisor.settings))

    # -- people --------------------------------------------------------------------------------------------------

    def users(self) -> tuple[UserRow, ...]:
        """People; for admins."""
        self.require(Role.ADMIN)
        people = self._services.access.people.all()
        return tuple(UserRow(u.name, u.role, u.disabled, u.created_at, u.last_seen_at) for u in people)

    def add_user(self, name: str, role: str, password: str) -> None:
        """Add a person."""
        grant = self._services.access.people_grant(self._handle)
        self._services.access.people.add(grant, name, _role(role), password)

    def set_user(self, name: str, role: str | None, disabled: bool | None, password: str | None) -> None:
        """Change a person; ends their sessions."""
        people, grant = self._services.access.people, self._services.access.people_grant(self._handle)
        if role is not None:
            people.set_role(grant, name, _role(role))
        if disabled is not None:
            people.set_disabled(grant, name, disabled)
        if password is not None:
            people.set_password(grant, name, password)

    def change_password(self, old: str, new: str) -> None:
        """Change one's own password; every session of the person ends, this one too."""
        self._services.access.change_password(self._handle, old, new)

    def sessions(self) -> tuple[SessionRow, ...]:
        """Own sessions; all for an admin."""
        actor = self.actor
        user = None if actor.role.allows(Role.ADMIN) else actor.name
        return tuple(
            SessionRow(
                s.handle, s.user, s.caller.address, s.caller.agent, s.created_at, s.last_seen_at,
                s.handle == self._handle,
            )
            for s in self._services.access.sessions.live(user)
        )  # fmt: skip

    def revoke_session(self, handle: str) -> None:
        """End one session."""
        self._services.access.revoke(self._handle, handle)

    # -- settings and backups ------------------------------------------------------------------------------------

    def settings(self) -> tuple[SettingRow, ...]:
        """Effective settings with their source; changes made in the console count from the next start."""
        rows = self._services.settings.rows()
        return tuple(SettingRow(name, value, source, description) for name, value, source, description in rows)

    def change_setting(self, name: str, value: str) -> None:
        """Store a new value for the next start, after checking it together with all others."""
        self.require(Role.ADMIN)
        self.require_step_up("changing settings")
        history = self._services.control.settings
        console = {**history.values(CONSOLE_SETTINGS), name: value}
        load(console=console)
        before = {row.name: row.value for row in self.settings()} | history.values(CONSOLE_SETTINGS)
        self._audit_change("setting_changed", name, f"{before.get(name, 'not set')} → {value}")
        history.put(CONSOLE_SETTINGS, name, value, self.actor.name)

    def backups(self) -> tuple[BackupRow, ...]:
        """Archives, newest first."""
        found = list_backups(self._services.folder / BACKUP_FOLDER)
        return tuple(
            BackupRow(b.path.name, b.created_at, b.bytes, not b.problem, b.problem or _keys(b.with_keys)) for b in found
        )

    def start_paper_feed(self, exchange: str, symbols: Sequence[str], timeframe: str) -> None:
        """Connect the paper book to public market data: the loop starts again with it, through recovery."""
        self.require(Role.OPERATOR)
        console = self._services.control.settings.values(CONSOLE_SETTINGS)
        changes = {
            "paper.enabled": True,
            "paper.exchange": exchange,
            "paper.symbols": list(symbols),
            "paper.timeframe": timeframe,
        }
        settings = load(console={**console, **changes}).settings
        self._audit_change("paper_feed_on", exchange, ", ".join(symbols))
        self._services.supervisor.switch_book("paper", settings, wanted=True)  # what it refuses is not stored
        for name, value in changes.items():
            self._services.control.settings.put(CONSOLE_SETTINGS, name, value, self.actor.name)

    def stop_paper_feed(self) -> None:
        """Disconnect the paper book; its positions and stops stay as they are in its journal."""
        self.require(Role.OPERATOR)
        self._audit_change("paper_feed_off", "paper", "")
        self._services.control.settings.put(CONSOLE_SETTINGS, "paper.enabled", False, self.actor.name)
        self._services.supervisor.switch_book("paper", self._services.supervisor.settings, wanted=False)

    def _audit_change(self, action: str, target: str, detail: str) -> None:
        self._services.control.audit.append(self.actor, action, target, detail)


def new_id(prefix: str) -> str:
    """An id nobody can guess."""
    return f"{prefix}-{secrets.token_hex(8)}"


def _role(name: str) -> Role:
    try:
        return Role(name)
    except ValueError:
        raise BadInput(f"role {name!r}: choose viewer, operator or admin") from None


def _without_keys(account: Account) -> ConnectionView:
    """An account of the settings whose keys are not stored yet."""
    return ConnectionView(
        account.connection_id, account.exchange, account.label, account.sandbox, None, None, None, "",
        address=account.rest_url, in_settings=True,
    )  # fmt: skip


def _split(connection_id: str) -> tuple[str, str]:
    name, _, label = connection_id.partition("/")
    if name not in EXCHANGES:
        raise BadInput(f"there is no connection {connection_id!r}")
    return name, label


def _keys(with_keys: bool) -> str:
    return "holds key files: keep it safe" if with_keys else "without key files: sealed keys stay sealed"
