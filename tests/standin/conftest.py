"""The stand-in exchange for its own tests: one process for a file, faults forgotten after each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.standin.client import StandIn, running


@pytest.fixture(scope="module")
def _process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    with running(tmp_path_factory.mktemp("standin"), funds="USDT=200000,BTC=10,ETH=100") as started:
        yield started


@pytest.fixture
def exchange(_process: StandIn) -> Iterator[StandIn]:
    """A running stand-in exchange without faults, the markets where they start."""
    _process.call("price", symbol="BTCUSDT", price="50000")
    yield _process
    _process.clear()
    _process.call("clock", skew_ms=0)
    _process.call("limits", enforce=False)
    _process.call("release")
    _process.call("key", can_trade=True, can_withdraw=False, revoked=False, expired=False, addresses=["127.0.0.1"])
    for venue in ("bybit", "binance", "usdm"):
        _process.call("fees", venue=venue)
    _process.call("depth", notional="200000", levels=50, share="1")
    _process.call("instrument", symbol="BTCUSDT", status="Trading")
