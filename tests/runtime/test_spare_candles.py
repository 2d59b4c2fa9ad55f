"""Candles of the exchanges that the settings name, in the place of the book's own while that one sends none."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from config.settings import Settings, load
from engine.domain.errors import BadInput
from engine.domain.market import Bars, FeedStatus, MarketEvent
from engine.exchanges.public import PublicFeedConfig, PublicSource
from engine.runtime.accounts import STAGES, Account, accounts_of_stage
from engine.runtime.spare_candles import with_spares
from tests.standin.client import StandIn, running

SYMBOLS = ("BTC/USDT", "ETH/USDT")


class Moved:
    """Time here and at the exchange, moved on by waiting."""

    def __init__(self, exchange: StandIn) -> None:
        self.exchange, self.ahead_s = exchange, 0.0

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.ahead_s)

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead_s

    def wait(self, seconds: float) -> None:
        self.ahead_s += seconds
        self.exchange.call("clock", skew_ms=round(self.ahead_s * 1000))
        time.sleep(0.02)


@pytest.fixture
def exchange(tmp_path: Path) -> Iterator[StandIn]:
    with running(tmp_path) as process:
        yield process


def _settings(exchange: StandIn, folder: Path, spares: list[str]) -> Settings:
    values: dict[str, Any] = {"data_dir": str(folder), "testnet.symbols": list(SYMBOLS)}
    for name, at in (("own", "bybit"), ("spare", "binance")):
        values |= {
            f"venues.{name}.exchange": at,
            f"venues.{name}.sandbox": True,
            f"venues.{name}.rest_url": exchange.rest_url(at),
            f"venues.{name}.websocket_url": exchange.websocket_url(at),
        }
    values |= {"testnet.connections": ["own"], "testnet.spare_exchanges": spares}
    return load(environment={}, changes=values).settings


def _own(settings: Settings, clock: Any) -> tuple[PublicSource, Account]:
    [account] = accounts_of_stage(settings, STAGES["testnet"], {"bybit/own": True})
    config = PublicFeedConfig(exchange="bybit", sandbox=True, symbols=SYMBOLS, history_bars=10, timeout_s=2)
    return PublicSource(config, clock, account.rest_url, wait=clock.wait), account


def test_candles_when_the_own_exchange_is_silent_then_a_named_one_stands_in_until_it_is_back(
    exchange: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.runtime.spare_candles.ASK_EVERY_S", 0.05)
    settings, clock = _settings(exchange, tmp_path, ["own", "spare"]), Moved(exchange)
    own, account = _own(settings, clock)
    source = with_spares(own, account, settings, settings.testnet, clock)
    taken: list[MarketEvent] = []
    for event in source.events():
        taken.append(event)
        own_closes, borrowed = _closes(taken)
        if len(own_closes) == 1 and not borrowed:
            exchange.fault("error_before", "candles", count=100_000, venue="bybit")
        if len(borrowed) == 2:
            exchange.clear()
        if len(borrowed) >= 2 and len(own_closes) >= 3:
            source.close()
    own_closes, borrowed = _closes(taken)
    closes = [event.at for event in taken if isinstance(event, Bars)]
    assert closes == sorted(set(closes))
    assert all(len(bars.candles) == 2 for bars in borrowed)
    details = [event.detail for event in taken if isinstance(event, FeedStatus) and not event.online]
    assert any("those of Binance stand in, nothing is opened on them" in detail for detail in details)


def _closes(events: list[MarketEvent]) -> tuple[list[Bars], list[Bars]]:
    """Those told while the feed was online, and those while it was not."""
    online, own, borrowed = False, [], []
    for event in events:
        if isinstance(event, FeedStatus):
            online = event.online
        elif isinstance(event, Bars):
            (own if online else borrowed).append(event)
    return own, borrowed


@pytest.mark.parametrize("spares", [[], ["own"]], ids=["none", "itself"])
def test_candles_when_nobody_else_is_named_then_the_own_source_stays_alone(
    exchange: StandIn, tmp_path: Path, spares: list[str]
) -> None:
    settings, clock = _settings(exchange, tmp_path, spares), Moved(exchange)
    own, account = _own(settings, clock)
    assert with_spares(own, account, settings, settings.testnet, clock) is own


def test_spare_when_it_is_no_exchange_and_no_account_then_the_choice_is_named(
    exchange: StandIn, tmp_path: Path
) -> None:
    settings, clock = _settings(exchange, tmp_path, ["mtgox"]), Moved(exchange)
    own, account = _own(settings, clock)
    with pytest.raises(BadInput, match=r"'mtgox', which is neither .* choose of binance, .*, own, spare"):
        with_spares(own, account, settings, settings.testnet, clock)
