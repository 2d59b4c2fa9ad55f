"""Gains for the tax office: disposals matched to the lots they came from, every figure traceable to its fills."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from engine.tax.fifo import FirstInFirstOut
from engine.tax.lots import LotQueue

LOT_METHODS: Mapping[str, Callable[[], LotQueue]] = {"fifo": FirstInFirstOut}
"""How the lot of a disposal is chosen; a method is one file and one line."""
