"""An order that passes every rule, and the world it passes in; tests change one thing at a time."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from engine.domain.commands import TradingState
from engine.domain.instruments import Instrument, Kind
from engine.domain.market import Timeframe
from engine.domain.orders import OrderIntent, OrderType, Purpose, Side
from engine.risk.context import GateContext
from engine.risk.limits import RiskConfig

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def now() -> datetime:
    return NOW


@pytest.fixture
def config() -> RiskConfig:
    return RiskConfig()


@pytest.fixture
def spot() -> Instrument:
    return Instrument("binance", "BTC", "USDT", Kind.SPOT, Decimal("0.01"), Decimal("0.00001"), min_notional=Decimal(5))


@pytest.fixture
def perpetual() -> Instrument:
    return Instrument(
        "binance", "BTC", "USDT", Kind.PERPETUAL, Decimal("0.1"), Decimal("0.001"), Decimal(5), Decimal(20)
    )


@pytest.fixture
def entry(spot: Instrument) -> OrderIntent:
    return OrderIntent(
        client_id="p1x000001",
        instrument=spot.key,
        side=Side.BUY,
        quantity=Decimal("0.01"),
        order_type=OrderType.MARKET,
        purpose=Purpose.ENTRY,
        sleeve="momentum",
        created_at=NOW,
        reference_price=Decimal(60_000),
    )


@pytest.fixture
def context(spot: Instrument) -> GateContext:
    """10,000 of equity, nothing held, a fresh price of 60,000."""
    return GateContext(
        now=NOW,
        instrument=spot,
        price=Decimal(60_000),
        price_at=NOW,
        bar=Timeframe(3600),
        state=TradingState.ACTIVE,
        venue_online=True,
        equity=Decimal(10_000),
        free_balance=Decimal(10_000),
        free_base=Decimal(0),
        account_position=Decimal(0),
        sleeve_position=Decimal(0),
        gross_exposure=Decimal(0),
        coin_exposure=Decimal(0),
        orders_last_minute=0,
        day_loss=Decimal(0),
        drawdown=Decimal(0),
        sleeve_drawdown=Decimal(0),
        stop_attached=True,
        fee_bps=Decimal(13),
        base_currency="USDT",
    )
