"""Reads settings from their four layers and checks every one; a message names the setting, its value and the layer."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from zoneinfo import available_timezones

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from config.books import BookSettings as BookSettings
from config.books import ConnectedSettings as ConnectedSettings
from config.books import DemoSettings as DemoSettings
from config.books import LiveSettings as LiveSettings
from config.books import PaperSettings as PaperSettings
from config.sections import Section
from config.venues import NAME as VENUE_NAME
from config.venues import VenueSettings as VenueSettings
from engine.domain.errors import SettingsError
from engine.risk.limits import RiskConfig
from engine.security.access_config import AccessConfig
from engine.security.door_config import DoorConfig

PROJECT = Path(__file__).resolve().parents[1]
DEFAULTS = Path(__file__).with_name("default.toml")
USER_FILE = "quarterdeck.toml"
MONEY_FILE = "money.sqlite"
PREFIX = "QUARTERDECK_"
_LISTS = (
    "strategies",
    "symbols",
    "connections",
    "spare_exchanges",
    "allowed_hosts",
    "trusted_proxies",
    "account_types",
)
NOT_SETTINGS = frozenset({"QUARTERDECK_SHARED"})


class EngineSettings(Section):
    """The engine process."""

    hung_after_s: float = Field(15.0, ge=2, le=3600, description="Loop without progress is restarted after, seconds")
    max_restarts: int = Field(5, ge=1, le=1000, description="Restarts within the window until HALTED")
    restart_window_s: int = Field(600, ge=10, le=86_400, description="Window for counting restarts, seconds")
    apart: bool = Field(False, description="The engine runs in a process of its own; the console starts none")
    publish_every_s: float = Field(0.25, ge=0.05, le=5, description="Shortest time between snapshots, seconds")


class HealthSettings(Section):
    """Thresholds of the health monitor."""

    cpu_percent: float = Field(85.0, gt=0, le=100, description="Processor use, percent")
    memory_percent: float = Field(90.0, gt=0, le=100, description="Memory use, percent")
    disk_percent: float = Field(95.0, gt=0, le=100, description="Disk use, percent")
    exchange_latency_s: float = Field(5.0, gt=0, le=300, description="Answer time of a venue, seconds")
    error_rate_percent: float = Field(5.0, gt=0, le=100, description="Failed calls, percent")
    sample_every_s: float = Field(5.0, ge=1, le=300, description="Time between samples, seconds")


class BackupSettings(Section):
    """Automatic backups."""

    every_hours: int = Field(24, ge=0, le=8760, description="Hours between backups, 0 is never")
    keep: int = Field(14, ge=1, le=1000, description="How many are kept")


class DisplaySettings(Section):
    """How the console shows figures."""

    currency: str = Field("", pattern=r"^([A-Z0-9]{2,10})?$", description="Display currency; empty: the base currency")
    time_zone: str = Field("UTC", description="Time zone of the times on the pages, e.g. Europe/Rome")
    density: Literal["compact", "comfortable"] = Field("compact", description="How close the rows of tables lie")

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        if name not in available_timezones():
            raise ValueError(f"time zone {name!r} is not known; use a name like Europe/Rome or UTC")
        return name


class ResearchSettings(Section):
    """Where research runs."""

    scheduler: str = Field(
        "",
        pattern=r"^((tcp|tls)://\S+:\d{1,5})?$",
        description="Dask scheduler that runs studies; empty: this computer",
    )


class Settings(Section):
    """Everything that can be set."""

    data_dir: Path = Field(description="Folder for everything the product writes")
    port: int = Field(8501, ge=1, le=65535, description="Port of the console")
    database_url: str = Field("", description="Money database; empty: a file in the data folder")
    base_currency: str = Field("USDT", pattern=r"^[A-Z0-9]{2,10}$", description="What equity and limits are in")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level that is logged")
    engine: EngineSettings
    demo: DemoSettings
    paper: PaperSettings
    testnet: ConnectedSettings
    live: LiveSettings
    venues: dict[Annotated[str, Field(pattern=VENUE_NAME)], VenueSettings] = Field(
        default_factory=dict, description="Accounts at exchanges by name, beside those of the Exchanges page"
    )
    risk: RiskConfig
    health: HealthSettings
    backup: BackupSettings
    display: DisplaySettings = Field(default_factory=DisplaySettings)
    research: ResearchSettings = Field(default_factory=ResearchSettings)
    access: AccessConfig = Field(default_factory=AccessConfig)
    door: DoorConfig = Field(default_factory=DoorConfig)

    @field_validator("data_dir")
    @classmethod
    def _absolute(cls, path: Path) -> Path:
        return path.expanduser() if path.expanduser().is_absolute() else PROJECT / path

    @field_validator("database_url")
    @classmethod
    def _sqlite(cls, url: str) -> str:
        if url and not url.startswith("sqlite:///"):
            raise ValueError("only sqlite:///PATH is supported so far; leave it empty for the data folder")
        return url

    @model_validator(mode="after")
    def _one_folder(self) -> Self:
        given = self.database_url.removeprefix("sqlite:///")
        if given and Path(given).expanduser().resolve() != (self.data_dir / MONEY_FILE).resolve():
            raise ValueError(
                f"database_url: the money file is {self.data_dir / MONEY_FILE}, so that backups, locks and heads lie "
                "beside it; move the whole folder with data_dir instead"
            )
        return self

    @model_validator(mode="after")
    def _known_accounts(self) -> Self:
        for stage, book in self.stages.items():
            for name in book.connections:
                if "/" not in name and name not in self.venues:
                    there = f"there are {', '.join(sorted(self.venues))}" if self.venues else "there is none yet"
                    raise ValueError(
                        f"{stage}.connections: no account is described as [venues.{name}], {there}; describe it, or "
                        "give exchange/label as on the Exchanges page"
                    )
        return self

    @property
    def stages(self) -> dict[str, ConnectedSettings]:
        """The books at real exchanges, by name."""
        return {"testnet": self.testnet, "live": self.live}

    @property
    def money_file(self) -> Path:
        """Path of the money database."""
        return self.data_dir / MONEY_FILE


@dataclass(frozen=True, slots=True)
class Effective:
    """Checked settings and the layer each came from (``default``, ``file``, ``console``, ``environment``)."""

    settings: Settings
    sources: Mapping[str, str]

    def rows(self) -> Iterator[tuple[str, str, str, str]]:
        """Dotted name, value, source and description of every setting, in the order of the file."""
        for name, value in _flatten(self.settings.model_dump(mode="json")):
            yield name, str(value), self.sources.get(name, "default"), describe(name)


def load(
    environment: Mapping[str, str] | None = None,
    console: Mapping[str, Any] | None = None,
    changes: Mapping[str, Any] | None = None,
) -> Effective:
    """Merge and check all layers.

    Parameters
    ----------
    environment : Mapping
        Default ``os.environ``.
    console : Mapping
        Dotted names set in the console.
    changes : Mapping
        Dotted names given on a command line; they win over everything.

    Raises
    ------
    SettingsError
        Names the setting, what is wrong with it and the layer it came from.
    """
    environment = os.environ if environment is None else environment
    from_environment = dict(_from_environment(environment))
    defaults = _read(DEFAULTS)
    layers: list[tuple[str, dict[str, Any]]] = [("default", dict(_flatten(defaults)))]
    folder = Path(str(from_environment.get("data_dir", defaults["data_dir"]))).expanduser()
    user_file = (folder if folder.is_absolute() else PROJECT / folder) / USER_FILE
    if user_file.exists():
        layers.append(("file", dict(_flatten(_read(user_file)))))
    layers += [("console", dict(console or {})), ("environment", from_environment)]
    layers.append(("command line", dict(changes or {})))
    merged: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for source, values in layers:
        for name, value in values.items():
            _put(merged, name, value, source)
            sources[name] = source
    return Effective(_checked(merged, sources), sources)


def usual(name: str) -> Any:
    """The value that a setting comes with, by its dotted name."""
    return dict(_flatten(_read(DEFAULTS)))[name]


def describe(name: str) -> str:
    """What a setting is, from the description of its field; "" below a free mapping."""
    model: type[BaseModel] = Settings
    description = ""
    for part in name.split("."):
        field = model.model_fields.get(part)
        if field is None:
            return description
        description = field.description or ""
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            model = field.annotation
    return description


def _checked(merged: dict[str, Any], sources: Mapping[str, str]) -> Settings:
    try:
        return Settings.model_validate(merged)
    except ValidationError as error:
        problems = []
        for problem in error.errors(include_url=False):
            name = ".".join(str(part) for part in problem["loc"])
            what = "unknown setting" if problem["type"] == "extra_forbidden" else problem["msg"]
            what = what.removeprefix("Value error, ")
            if not name:  # a rule that holds several settings together names them itself
                problems.append(what)
                continue
            problems.append(f"{name} ({sources.get(name, 'default')}): {what}, got {problem['input']!r:.60}")
        raise SettingsError("settings refused: " + "; ".join(problems)) from error


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"settings file {path} cannot be read: {error}") from error


def _from_environment(environment: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    for key, text in sorted(environment.items()):
        if key.startswith(PREFIX) and key not in NOT_SETTINGS:
            name = key.removeprefix(PREFIX).lower().replace("__", ".")
            yield name, text.split(",") if name.endswith(_LISTS) else text


def _flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _put(target: dict[str, Any], name: str, value: Any, source: str) -> None:
    *parents, last = name.split(".")
    for parent in parents:
        nested = target.setdefault(parent, {})
        if not isinstance(nested, dict):
            raise SettingsError(f"{name} ({source}): {parent} is a setting, not a section")
        target = nested
    target[last] = value
