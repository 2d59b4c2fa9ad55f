"""Fills become round trips: entries added up, exits averaged, turns split, funding and fees where they belong."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import numpy as np
import pytest
from recorded_candles import HOUR, START_MS

from engine.domain.instruments import Instrument, Kind
from engine.domain.market import CandleArrays, from_ms
from engine.domain.orders import Side
from engine.market.funding import FundingSeries
from engine.simulation.backtest_trades import BacktestFill, Reason, RoundTrip, TradedSeries, round_trips
from engine.simulation.strategy_values import StrategyValues

COIN = Instrument("binance", "BTC", "USDT", Kind.PERPETUAL, Decimal("0.5"), Decimal("0.001"), Decimal(0), Decimal(5))
PRICES = np.array([100.0, 101.0, 102.0, 103.0, 104.0, 105.0])


def series(distances: Sequence[float] = (), funding: FundingSeries | None = None, first: int = 0) -> TradedSeries:
    """Six hourly candles around `PRICES`."""
    opened = START_MS + HOUR.ms * np.arange(6, dtype=np.int64)
    candles = CandleArrays(HOUR, opened, PRICES, PRICES + 1, PRICES - 1, PRICES + 0.5, np.ones(6))
    values = StrategyValues(np.zeros(6), np.array(distances or [np.nan] * 6))
    return TradedSeries(COIN, candles, first, 6, funding, values)


def fill(bar: int, side: Side, quantity: str, price: str, reason: Reason, fee: str = "0") -> BacktestFill:
    """A fill in a candle, stamped with its close."""
    at_ms = START_MS + HOUR.ms * (bar + 1)
    return BacktestFill(at_ms, COIN.key, side, Decimal(quantity), Decimal(price), Decimal(fee), reason)


def closed(fills: Sequence[BacktestFill], one: TradedSeries | None = None) -> tuple[RoundTrip, ...]:
    trades, still_open = round_trips(fills, [one or series()])
    assert still_open == ()
    return trades


def test_entries_when_added_to_then_one_trade_at_their_average() -> None:
    (trade,) = closed([
        fill(1, Side.BUY, "1", "100", Reason.ENTRY, "0.1"),
        fill(2, Side.BUY, "3", "104", Reason.ENTRY, "0.3"),
        fill(3, Side.SELL, "1", "110", Reason.SIGNAL, "0.1"),
        fill(4, Side.SELL, "3", "106", Reason.STOP, "0.3"),
    ])  # fmt: skip
    assert (trade.quantity, trade.entry_price, trade.exit_price) == (Decimal(4), Decimal(103), Decimal(107))
    assert trade.fees == Decimal("0.8")
    assert trade.pnl == 4 * (107 - 103) - Decimal("0.8")
    assert (trade.side, trade.reason) == (Side.BUY, Reason.STOP)
    assert (trade.entry_bar, trade.exit_bar, trade.bars_held) == (1, 4, 3)


def test_times_when_orders_are_market_or_stop_then_open_or_close_of_the_candle() -> None:
    begin = START_MS
    by_signal, by_stop = closed([
        fill(0, Side.BUY, "1", "100", Reason.ENTRY),
        fill(1, Side.SELL, "1", "101", Reason.SIGNAL),
        fill(2, Side.SELL, "1", "102", Reason.ENTRY),
        fill(2, Side.BUY, "1", "103", Reason.STOP),
    ])  # fmt: skip
    assert (by_signal.entry_at, by_signal.exit_at) == (from_ms(begin), from_ms(begin + HOUR.ms))
    assert (by_stop.entry_at, by_stop.exit_at) == (from_ms(begin + 2 * HOUR.ms), from_ms(begin + 3 * HOUR.ms))
    assert by_stop.bars_held == 0
    assert by_stop.pnl == -1


def test_fill_when_it_turns_the_position_then_it_ends_one_trade_and_begins_the_next() -> None:
    trades, (left,) = round_trips(
        [fill(0, Side.BUY, "1", "100", Reason.ENTRY), fill(1, Side.SELL, "3", "110", Reason.SIGNAL, "0.3")], [series()]
    )
    (ended,) = trades
    assert (ended.pnl, ended.fees) == (Decimal("9.9"), Decimal("0.1"))
    assert (left.side, left.quantity, left.fees) == (Side.SELL, Decimal(2), Decimal("0.2"))
    assert left.pnl == 2 * (110 - Decimal("105.5")) - Decimal("0.2")


def test_funding_when_stamps_lie_at_both_ends_then_only_what_was_held_before_the_candle_closed_pays() -> None:
    # bought in the candle that closes with the first stamp: not held yet; sold with the last: still held
    stamps = START_MS + HOUR.ms * np.array([2, 3, 4], dtype=np.int64)
    funding = FundingSeries(stamps, (Decimal("0.01"), Decimal("0.01"), Decimal("-0.02")))
    (trade,) = closed(
        [fill(1, Side.BUY, "2", "100", Reason.ENTRY), fill(3, Side.SELL, "2", "100", Reason.SIGNAL)],
        series(funding=funding),
    )
    # marks are the closes known then, on the tick: 102.5 and 103.5
    assert trade.funding == -2 * Decimal("102.5") * Decimal("0.01") + 2 * Decimal("103.5") * Decimal("0.02")
    assert trade.pnl == trade.funding


def test_funding_when_short_then_received_at_a_positive_rate() -> None:
    funding = FundingSeries(np.array([START_MS + 3 * HOUR.ms]), (Decimal("0.01"),))
    (trade,) = closed(
        [fill(1, Side.SELL, "1", "100", Reason.ENTRY), fill(4, Side.BUY, "1", "100", Reason.LIQUIDATION)],
        series(funding=funding),
    )
    assert trade.funding == Decimal("1.025")
    assert trade.reason is Reason.LIQUIDATION


@pytest.mark.parametrize(
    ("side", "distance", "stop"),
    [
        (Side.BUY, 3.0, "97.5"),
        (Side.SELL, 3.0, "103.5"),
        (Side.BUY, 3.25, "97"),  # half a tick: to the even one
        (Side.BUY, 0.0, None),
        (Side.BUY, float("nan"), None),
    ],
)
def test_stop_price_when_the_signal_had_one_then_from_the_close_before_the_entry(
    side: Side, distance: float, stop: str | None
) -> None:
    (trade,) = closed(
        [fill(1, side, "1", "100", Reason.ENTRY), fill(2, side.opposite, "1", "100", Reason.SIGNAL)],
        series([distance, *[9.0] * 5]),
    )
    assert trade.stop_price == (None if stop is None else Decimal(stop))


@pytest.mark.parametrize(
    ("side", "distance", "target"),
    [(Side.BUY, 3.0, "105.5"), (Side.SELL, 3.0, "95.5"), (Side.SELL, 70.0, None), (Side.BUY, float("nan"), None)],
)
def test_target_price_when_targets_are_wanted_then_from_the_close_before_the_entry_and_never_nearer(
    side: Side, distance: float, target: str | None
) -> None:
    fills = [fill(1, side, "1", "100", Reason.ENTRY), fill(2, side.opposite, "1", "100", Reason.TARGET)]
    ((trade,), _) = round_trips(fills, [series([distance, *[9.0] * 5])], Decimal("1.6"))
    assert trade.target_price == (None if target is None else Decimal(target))
    assert trade.reason is Reason.TARGET


def test_trades_when_of_several_instruments_then_in_order_of_their_exits() -> None:
    other = TradedSeries(
        Instrument("binance", "ETH", "USDT", Kind.SPOT, Decimal("0.5"), Decimal("0.001"), Decimal(0), Decimal(1)),
        series().candles, 0, 6, None, series().values,
    )  # fmt: skip

    def of_other(one: BacktestFill) -> BacktestFill:
        return BacktestFill(one.at_ms, other.instrument.key, one.side, one.quantity, one.price, one.fee, one.reason)

    fills = [
        fill(0, Side.BUY, "1", "100", Reason.ENTRY),
        of_other(fill(1, Side.BUY, "1", "100", Reason.ENTRY)),
        of_other(fill(2, Side.SELL, "1", "100", Reason.SIGNAL)),
        fill(3, Side.SELL, "1", "100", Reason.SIGNAL),
    ]
    trades, _ = round_trips(fills, [series(), other])
    assert [trade.instrument for trade in trades] == [other.instrument.key, COIN.key]
