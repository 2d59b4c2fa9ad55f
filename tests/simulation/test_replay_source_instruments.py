"""The shipped table of instruments, and what a person may state instead."""

from __future__ import annotations

from decimal import Decimal

import pyarrow.parquet as pq
import pytest

from engine.domain.errors import BadInput
from engine.domain.instruments import Kind
from engine.simulation.instrument_table import TABLE_STATED_ON, FactOverrides, instrument_for, shipped_instruments
from tests.shared_data import shared_path

COINS = ("BTC", "ETH", "SOL", "XRP", "ADA", "DOGE", "BNB", "LTC", "LINK", "AVAX")
ALL = FactOverrides(Decimal("0.001"), Decimal("0.1"), Decimal(1))


@pytest.mark.parametrize(
    ("venue", "kind"),
    [
        ("binance", Kind.SPOT),
        ("bybit", Kind.SPOT),
        ("kraken", Kind.SPOT),
        ("kucoin", Kind.SPOT),
        ("binance", Kind.PERPETUAL),
        ("bybit", Kind.PERPETUAL),
    ],
)
@pytest.mark.parametrize("coin", COINS)
def test_table_when_asked_for_a_common_pair_knows_it(venue: str, kind: Kind, coin: str) -> None:
    found = instrument_for(venue, coin, "USDT", kind)
    assert (found.venue, found.base, found.quote, found.kind) == (venue, coin, "USDT", kind)
    assert found.tick_size.as_tuple().digits == found.lot_size.as_tuple().digits == (1,)
    assert found.min_notional > 0
    assert (found.max_leverage == 1) is (kind is Kind.SPOT)


def test_table_when_read_holds_each_instrument_once_and_is_dated() -> None:
    assert len(shipped_instruments()) == 68
    assert TABLE_STATED_ON.year == 2025
    assert instrument_for("coinbase", "BTC", "USDT", Kind.SPOT).tick_size == Decimal("0.01")


def test_instrument_when_unknown_names_the_flags_that_are_missing() -> None:
    with pytest.raises(BadInput, match="--tick-size --lot-size --min-notional"):
        instrument_for("binance", "NEW", "USDT", Kind.SPOT)
    with pytest.raises(BadInput, match="give --lot-size as"):
        instrument_for("x", "NEW", "USDT", Kind.SPOT, FactOverrides(Decimal(1), None, Decimal(1)))


def test_instrument_when_all_is_stated_needs_no_table() -> None:
    made = instrument_for("somewhere", "NEW", "EUR", Kind.PERPETUAL, ALL)
    assert (made.tick_size, made.lot_size, made.min_notional, made.max_leverage) == (
        Decimal("0.001"),
        Decimal("0.1"),
        Decimal(1),
        Decimal(1),
    )


def test_instrument_when_one_fact_is_stated_keeps_the_others() -> None:
    known = instrument_for("binance", "BTC", "USDT", Kind.SPOT)
    made = instrument_for("binance", "BTC", "USDT", Kind.SPOT, FactOverrides(min_notional=Decimal(0)))
    assert (made.tick_size, made.lot_size, made.min_notional) == (known.tick_size, known.lot_size, Decimal(0))


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        (FactOverrides(tick_size=Decimal(0)), "--tick-size 0"),
        (FactOverrides(tick_size=Decimal("NaN")), "--tick-size NaN"),
        (FactOverrides(lot_size=Decimal(-1)), "--lot-size -1"),
        (FactOverrides(lot_size=Decimal("Infinity")), "--lot-size Infinity"),
        (FactOverrides(min_notional=Decimal(-1)), "--min-notional -1"),
        (FactOverrides(max_leverage=Decimal(5)), "spot has no leverage"),
    ],
)
def test_instrument_when_a_stated_fact_is_senseless_refuses(stated: FactOverrides, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        instrument_for("binance", "BTC", "USDT", Kind.SPOT, stated)


@pytest.mark.parametrize(
    ("name", "venue", "coin", "kind"),
    [
        ("spot_binance/BTC_USDT-1h", "binance", "BTC", Kind.SPOT),
        ("spot_binance/ETH_USDT-1h", "binance", "ETH", Kind.SPOT),
        ("spot_binance/SOL_USDT-1h", "binance", "SOL", Kind.SPOT),
        ("spot_binance/XRP_USDT-1h", "binance", "XRP", Kind.SPOT),
        ("spot_bybit/BTC_USDT-5m_202510", "bybit", "BTC", Kind.SPOT),
        ("spot_kraken/BTC_USDT-1h", "kraken", "BTC", Kind.SPOT),
        ("futures_binance/BTC_USDT_USDT-1h-futures", "binance", "BTC", Kind.PERPETUAL),
        ("futures_bybit/BTC_USDT_USDT-5m-futures", "bybit", "BTC", Kind.PERPETUAL),
    ],
)
def test_table_when_compared_with_recent_candles_has_their_grid(name: str, venue: str, coin: str, kind: Kind) -> None:
    closes = pq.read_table(shared_path(f"data/{name}.parquet")).column("close").to_pylist()[-500:]
    tick = instrument_for(venue, coin, "USDT", kind).tick_size
    assert all(Decimal(repr(close)) % tick == 0 for close in closes)
    assert any(Decimal(repr(close)) % (tick * 10) != 0 for close in closes)
