"""Figures of a measurement and how they are told: a table for people, JSON for programs."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Spread:
    """Percentiles of a sample in one unit, with its size."""

    count: int
    p50: float
    p95: float
    p99: float
    largest: float

    @classmethod
    def of(cls, values: Sequence[float], scale: float = 1.0) -> Spread:
        """Percentiles of ``values`` times ``scale``; zeros where there is no value."""
        if not values:
            return cls(0, 0.0, 0.0, 0.0, 0.0)
        p50, p95, p99 = (float(x) for x in np.percentile(values, (50, 95, 99)) * scale)
        return cls(len(values), round(p50, 3), round(p95, 3), round(p99, 3), round(max(values) * scale, 3))


def machine() -> dict[str, Any]:
    """What a figure depends on besides the program: cores, load, interpreter."""
    return {
        "cores": os.cpu_count(),
        "load_1m": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def parser(description: str | None) -> argparse.ArgumentParser:
    """A parser that knows ``--json``."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    return made


def tell(name: str, figures: Mapping[str, Any], *, as_json: bool) -> None:
    """Print what was measured, with the machine it was measured on."""
    plain = {key: asdict(value) if isinstance(value, Spread) else value for key, value in figures.items()}
    if as_json:
        sys.stdout.write(json.dumps({"benchmark": name, "machine": machine(), "figures": plain}, indent=1) + "\n")
        return
    sys.stdout.write(f"{name}: {', '.join(f'{k} {v}' for k, v in machine().items())}\n")
    for key, value in plain.items():
        shown = "  ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value
        sys.stdout.write(f"  {key:<46} {shown}\n")
