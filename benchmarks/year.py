"""Fills a data folder with a year of history through the real stores, for `page_time`.

The demo book is begun by a real start and stop of the engine. Then come orders, fills, equity samples, health samples
and decisions, and last a copy of the book's own checkpoint: the next start finds a consistent book whose venues know
nothing of the made-up past, and pages find a year to draw.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np

from config.settings import load
from engine.domain.facts import Fact
from engine.domain.instruments import Instrument, Kind
from engine.domain.orders import (
    Fill,
    Liquidity,
    OrderIntent,
    OrderState,
    OrderType,
    OrderUpdate,
    Purpose,
    Side,
)
from engine.monitoring.probes import PROBES
from engine.runtime.build import installation_id
from engine.runtime.clock import SystemClock
from engine.runtime.supervisor import Supervisor
from engine.simulation.demo_listings import DEMO_LISTINGS
from engine.simulation.market_day import LIVE_START
from engine.storage.chain import load_or_create_key
from engine.storage.money import MoneyStore
from engine.storage.rows import Decision, EquitySample, Sample
from engine.storage.telemetry import TelemetryStore
from engine.strategies import STRATEGIES

BOOK = "demo"
YEAR = timedelta(days=365)
FACTS_AT_ONCE = 600
SAMPLES_AT_ONCE = 20_000
T = TypeVar("T")
FINE, COARSE = timedelta(seconds=5), timedelta(minutes=10)
"""Time between health samples of the last day, and of the month before."""


@dataclass(frozen=True, slots=True)
class Year:
    """How much history: ``fills`` (an order each), and minutes of equity."""

    fills: int = 20_000
    minutes: int = 525_600


def fill_folder(folder: Path, year: Year) -> None:
    """Make the folder; it must be empty or not exist."""
    settings = load(environment={}, changes={"data_dir": str(folder)}).settings
    supervisor = Supervisor(settings)
    supervisor.start()
    supervisor.stop()
    store = MoneyStore(settings.money_file, load_or_create_key(folder / "keys" / "journal.key"), SystemClock())
    try:
        _fill_money(store, installation_id(folder), year)
    finally:
        store.close()
    telemetry = TelemetryStore(folder / "telemetry.sqlite")
    try:
        for samples in _pieces(_equity(year), SAMPLES_AT_ONCE):
            telemetry.equity.add(samples)
        for readings in _pieces(_health(), SAMPLES_AT_ONCE):
            telemetry.add_samples(readings)
        telemetry.log_decisions(list(_decisions(20_000)))
    finally:
        telemetry.close()


def _fill_money(store: MoneyStore, installation: str, year: Year) -> None:
    epoch = store.acquire_lease(installation)
    found = store.latest_checkpoint(BOOK)
    assert found is not None, "a clean stop stores a checkpoint"
    _, state = found
    journal, sequence = store.journal(BOOK, epoch), 0
    for facts in _pieces(_trades(year.fills), FACTS_AT_ONCE):
        sequence = journal.append(facts, LIVE_START)
    journal.checkpoint(sequence, state)


def _pieces(items: Iterator[T], size: int) -> Iterator[list[T]]:
    while piece := list(islice(items, size)):
        yield piece


def _trades(fills: int) -> Iterator[Fact]:
    """Round trips: an entry and its exit one after the other, over every instrument and strategy."""
    random = np.random.default_rng(7)
    listings = sorted(DEMO_LISTINGS, key=lambda listing: listing.instrument.key)
    anchors = {"BTC": 60_000.0, "ETH": 3_000.0, "SOL": 150.0, "XRP": 0.6, "ADA": 0.45, "DOGE": 0.12}
    sleeves = sorted(STRATEGIES)
    step = YEAR / fills
    for number in range(0, fills - 1, 2):
        instrument = listings[number // 2 % len(listings)].instrument
        sleeve = sleeves[number // 2 % len(sleeves)]
        price = anchors[instrument.base] * float(np.exp(random.normal(0, 0.2)))
        quantity = max(instrument.round_quantity(Decimal(2_000 / price)), instrument.lot_size)
        for offset, side in ((0, Side.BUY), (1, Side.SELL)):
            at = LIVE_START - YEAR + (number + offset) * step
            paid = instrument.round_price(Decimal(price * float(np.exp(offset * random.normal(0.0005, 0.01)))))
            yield from _order(instrument, number + offset, (side, quantity, paid), (sleeve, at))


def _order(
    instrument: Instrument, number: int, deal: tuple[Side, Decimal, Decimal], who: tuple[str, datetime]
) -> Sequence[Fact]:
    (side, quantity, price), (sleeve, at) = deal, who
    client_id, purpose = f"d0past{number:012d}", Purpose.ENTRY if side is Side.BUY else Purpose.EXIT
    key, venue, market = instrument.key, instrument.venue, OrderType.MARKET
    reduces = side is Side.SELL and instrument.kind is Kind.PERPETUAL
    intent = OrderIntent(client_id, key, side, quantity, market, purpose, sleeve, at, price, reduce_only=reduces)
    order_id, fee = f"{venue}-past-o{number}", (quantity * price / 1000).quantize(Decimal("1E-8"))
    fill = Fill(
        venue, "main", f"{venue}-past-{number}", client_id, order_id, key, side, quantity, price, fee,
        instrument.quote, Liquidity.TAKER, at,
    )  # fmt: skip
    return intent, fill, OrderUpdate(client_id, venue, key, OrderState.FILLED, quantity, at, order_id)


def _equity(year: Year) -> Iterator[EquitySample]:
    random = np.random.default_rng(11)
    curve = 20_000 * np.exp(random.normal(2e-7, 2e-4, year.minutes).cumsum())
    below = 1 - curve / np.maximum.accumulate(curve)
    shares = random.normal(0, 1, (len(STRATEGIES), year.minutes)).cumsum(axis=1)
    now = datetime.now(UTC)
    for row in range(year.minutes):
        market_at = LIVE_START - timedelta(minutes=year.minutes - row)
        wall_at = now - (LIVE_START - market_at)
        pnl = {name: Decimal(f"{shares[i, row]:.2f}") for i, name in enumerate(sorted(STRATEGIES))}
        equity, drawdown = Decimal(f"{curve[row]:.8f}"), Decimal(f"{below[row]:.8f}")
        unrealised = sum(pnl.values(), Decimal(0))
        yield EquitySample(BOOK, market_at, wall_at, equity, equity / 2, drawdown, unrealised, pnl)


def _health() -> Iterator[Sample]:
    """A month of every probe: the last day as finely as it is measured, the rest every ten minutes."""
    now, random = datetime.now(UTC), np.random.default_rng(13)
    times = [now - timedelta(days=30) + n * COARSE for n in range(29 * 144)]
    times += [now - timedelta(days=1) + n * FINE for n in range(17_280)]
    for name in PROBES:
        values = 20 + random.normal(0, 0.3, len(times)).cumsum().clip(-19, 60)
        for at, value in zip(times, values.tolist(), strict=True):
            yield Sample(name, at, value)


def _decisions(count: int) -> Iterator[Decision]:
    for number in range(count):
        listing = DEMO_LISTINGS[number % len(DEMO_LISTINGS)]
        strategy = sorted(STRATEGIES)[number % len(STRATEGIES)]
        at = LIVE_START - timedelta(minutes=count - number)
        detail = "all positions together would be worth more than is allowed"
        yield Decision(BOOK, at, strategy, listing.instrument.key, "exposure", detail)
