"""Whatever is traded at the stand-in exchange, its own sums are those of the judge, to the last digit."""

from __future__ import annotations

import contextlib
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from tests.standin.amounts import down, is_multiple, number, text
from tests.standin.exchange import Exchange, FeeCoin
from tests.standin.journal import Journal
from tests.standin.judge import judge
from tests.standin.orders import Refused, State, Wish

KEYS = ("spot:BTCUSDT", "linear:BTCUSDT", "linear:XRPUSDT")
STEP = some.tuples(
    some.sampled_from(("order", "order", "order", "price", "cancel", "fill", "funding", "liquidate", "fees")),
    some.sampled_from(KEYS),
    some.booleans(),
    some.integers(1, 40),
    some.integers(-30, 30),
)


def opened(folder: Path) -> Exchange:
    """An account with a clock that stands still."""
    funds = {"USDT": Decimal(20_000), "BTC": Decimal(1), "MNT": Decimal(500)}
    return Exchange("bybit", Journal(folder / "journal.jsonl"), lambda: 1_760_000_000_000, 5, funds)


def act(exchange: Exchange, step: tuple[str, str, bool, int, int]) -> None:
    """One thing that can happen; the exchange may refuse it."""
    kind, key, buys, size, offset = step
    instrument, market = exchange.instruments[key], exchange.markets[key]
    price = market.price + offset * instrument.tick * 50
    working = exchange.open_orders()
    if kind == "order":
        quantity = down(Decimal(size) * 10 / market.price, instrument.lot) or instrument.min_quantity
        wish = Wish(instrument, "buy" if buys else "sell", size % 3 == 0, quantity, price=price)
        wish.price = None if wish.market else price
        wish.trigger = price if size % 7 == 0 else None
        exchange.place(wish)
    elif kind == "price":
        exchange.share = Decimal(size) / 40
        exchange.set_price(key, price)
    elif kind == "cancel" and working:
        exchange.cancel(working[size % len(working)])
    elif kind == "fill" and working:
        exchange.matching.fill_share(working[size % len(working)], Decimal(size) / 40)
    elif kind == "funding" and instrument.perpetual:
        exchange.pay_funding(instrument, Decimal(offset) / 10_000)
    elif kind == "liquidate" and instrument.perpetual:
        exchange.matching.liquidate(instrument)
    elif kind == "fees":
        exchange.fee_coin = FeeCoin("MNT", Decimal(3)) if buys else None


@settings(max_examples=40, deadline=None)
@given(some.lists(STEP, min_size=5, max_size=40))
def test_sums_when_anything_is_traded_are_those_of_the_judge(steps: list[tuple[str, str, bool, int, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        exchange = opened(Path(folder))
        try:
            for step in steps:
                with contextlib.suppress(Refused):
                    act(exchange, step)
            assert judge(exchange.journal.path, "bybit").problems == []
            assert all(order.filled == sum(fill.quantity for fill in order.fills) for order in exchange.orders.values())
            assert all(order.state in (State.WAITING, State.WORKING) for order in exchange.open_orders())
        finally:
            exchange.journal.close()


def test_position_when_turned_round_realises_the_old_side(tmp_path: Path) -> None:
    exchange = opened(tmp_path)
    instrument = exchange.instruments["linear:BTCUSDT"]
    exchange.place(Wish(instrument, "buy", True, Decimal("0.1")))
    exchange.set_price(instrument.key, Decimal(51000))
    exchange.place(Wish(instrument, "sell", True, Decimal("0.3")))
    held = exchange.wallet.position(instrument)
    assert (held.quantity, held.entry) == (Decimal("-0.2"), Decimal("50999.9"))
    assert held.realised == Decimal("0.1") * (Decimal("50999.9") - Decimal("50000.1"))
    exchange.journal.close()


@pytest.mark.parametrize(
    ("raw", "shown"), [("1E+2", "100"), ("0.10", "0.1"), ("0E-8", "0"), ("1e-8", "0.00000001"), ("-2.50", "-2.5")]
)
def test_amount_when_written_is_plain(raw: str, shown: str) -> None:
    assert text(Decimal(raw)) == shown


@pytest.mark.parametrize("raw", ["", None, "NaN", "Infinity", "abc"])
def test_amount_when_not_a_number_is_none(raw: Any) -> None:
    assert number(raw) is None


def test_steps_when_counted_are_exact() -> None:
    assert is_multiple(Decimal("0.3"), Decimal("0.1"))
    assert not is_multiple(Decimal("0.35"), Decimal("0.1"))
