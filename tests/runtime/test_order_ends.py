"""How an order that is over is told to have ended."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from engine.domain.instruments import InstrumentKey
from engine.domain.orders import OrderIntent, OrderState, OrderType, Purpose, Side
from engine.runtime.order_ends import end_reason
from engine.storage.rows import OrderRow

AT = datetime(2026, 3, 1, tzinfo=UTC)
INTENT = OrderIntent(
    "t0a1", InstrumentKey("bybit:BTC/USDT"), Side.BUY, Decimal("0.001"), OrderType.LIMIT, Purpose.ENTRY, "manual", AT,
    Decimal(50_000), Decimal(50_900), reason="manual order by jo",
)  # fmt: skip
POST_ONLY = replace(INTENT, post_only=True)
UNASKED = "ended at the venue, not on request of the engine"


@pytest.mark.parametrize(
    ("intent", "state", "filled", "said", "told"),
    [
        (INTENT, OrderState.WORKING, "0", "", ""),
        (INTENT, OrderState.PENDING_CANCEL, "0", "late", ""),
        (INTENT, OrderState.FILLED, "0.001", "", "filled whole"),
        (INTENT, OrderState.CANCELLED, "0", "cancelled on request", "cancelled on request"),
        (INTENT, OrderState.CANCELLED, "0", "", UNASKED),
        (POST_ONLY, OrderState.CANCELLED, "0", "", f"{UNASKED}: so end post-only orders that would trade at once"),
        (POST_ONLY, OrderState.CANCELLED, "0.0005", "", UNASKED),
        (INTENT, OrderState.REJECTED, "0", "Binance refused: too small", "Binance refused: too small"),
        (INTENT, OrderState.REJECTED, "0", "", "refused by the venue, which gave no reason"),
        (INTENT, OrderState.ABANDONED, "0", "", "never placed"),
    ],
)
def test_end_of_an_order_when_told_then_in_the_words_of_the_venue_else_of_its_state(
    intent: OrderIntent, state: OrderState, filled: str, said: str, told: str
) -> None:
    assert end_reason(OrderRow(1, "testnet", intent, state, Decimal(filled), "7", said, AT)) == told
