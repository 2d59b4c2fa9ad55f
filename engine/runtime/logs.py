"""Structured logs: one JSON line an event, rotated on disk, the newest kept in memory for the console."""

from __future__ import annotations

import json
import logging
import logging.handlers
from collections import deque
from datetime import UTC, datetime
from pathlib import Path

import structlog

from engine.domain.trail_views import LogRow
from engine.security.redact import RedactionFilter, Redactor

KEPT_LINES = 2000
_LEVELS = ("debug", "info", "warning", "error", "critical")
_newest: deque[LogRow] = deque(maxlen=KEPT_LINES)


class _Memory(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        at = datetime.fromtimestamp(record.created, UTC)
        text = record.getMessage()
        try:
            fields = json.loads(text)
            event = str(fields.pop("event", ""))
            for known in ("timestamp", "level", "logger"):
                fields.pop(known, None)
            detail = ", ".join(f"{key}={value}" for key, value in fields.items() if key != "exception")
        except (json.JSONDecodeError, AttributeError):
            event, detail = text, ""
        _newest.append(LogRow(at, record.levelname.lower(), event[:300], detail[:1000]))


def configure(folder: Path, level: str, redactor: Redactor, *, to_stderr: bool = True, name: str = "engine") -> None:
    """Send structured logs to ``<folder>/logs/<name>.log`` (10 files of 10 MB) and to stderr."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / "logs").mkdir(mode=0o700, exist_ok=True)
    path = folder / "logs" / f"{name}.log"
    handlers: list[logging.Handler] = [
        logging.handlers.RotatingFileHandler(path, maxBytes=10_000_000, backupCount=10, encoding="utf-8"),
        _Memory(),
    ]
    if to_stderr:
        handlers.append(logging.StreamHandler())
    root = logging.getLogger("engine")
    root.handlers.clear()
    root.propagate = False
    for handler in handlers:
        handler.addFilter(RedactionFilter(redactor))
        root.addHandler(handler)
    root.setLevel(level.upper())
    structlog.configure(
        processors=[
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            redactor,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def newest(level: str, limit: int) -> tuple[LogRow, ...]:
    """The newest lines of at least a level, newest first."""
    lowest = _LEVELS.index(level) if level in _LEVELS else 0
    rows = [row for row in reversed(_newest) if _LEVELS.index(row.level) >= lowest]
    return tuple(rows[:limit])
