"""The exchanges that are stood in for."""

from __future__ import annotations

from .binance import Binance
from .bybit import Bybit
from .server import Dialect
from .world import World


def dialects(world: World) -> dict[str, Dialect]:
    """One dialect per account, by name."""
    return {"bybit": Bybit(world), "binance": Binance(world, "binance"), "usdm": Binance(world, "usdm")}
