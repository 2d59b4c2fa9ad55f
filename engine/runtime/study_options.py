"""What studies and sweeps are both asked for: a name, and who does the work."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from engine.domain.errors import BadInput
from engine.runtime.code_revision import code_revision
from engine.runtime.run_numbers import WORKERS
from engine.simulation.spread import SpreadPlan

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}")


def read_study_name(values: Mapping[str, Any]) -> str:
    """``study``: a name, "" where one is to be made; raises `BadInput` for what is none."""
    name = values.get("study") or ""
    if not isinstance(name, str) or (name and not _NAME.fullmatch(name)):
        raise BadInput(f"study {name!r:.80} is no name; take letters, digits, '-', '_' and '.', at most 80")
    return name


def read_spread(values: Mapping[str, Any]) -> SpreadPlan:
    """``scheduler`` and ``workers``; raises `BadInput` for a number of workers that cannot be."""
    workers = WORKERS.read("workers", values.get("workers"))
    return SpreadPlan(str(values.get("scheduler") or ""), workers, code_revision)
