"""From fills to round trips: what each trade was, what it paid and what it made; the same whatever ran the backtest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from enum import Enum

import numpy as np

from engine.domain.instruments import Instrument, InstrumentKey
from engine.domain.market import CandleArrays, IntArray, from_ms
from engine.domain.orders import Side
from engine.ledger.ledger import EXACT
from engine.market.funding import FundingSeries
from engine.simulation.fine_candles import FineCandles
from engine.simulation.price_grid import decimal_price
from engine.simulation.strategy_values import StrategyValues

ZERO = Decimal(0)
MONEY_STEP = Decimal("1E-8")
_LEVEL_REASONS = frozenset({"stop", "trailing stop", "target", "liquidation"})


class Reason(Enum):
    """Why an order filled: only ENTRY opens."""

    ENTRY = "entry"
    SIGNAL = "signal"
    STOP = "stop"
    TRAILING_STOP = "trailing stop"
    TARGET = "target"
    BRAKE = "brake"
    LIQUIDATION = "liquidation"


@dataclass(frozen=True, slots=True)
class BacktestFill:
    """An execution.

    Attributes
    ----------
    at_ms : int
        Close of the candle it happened in.
    instrument : InstrumentKey
    side : Side
    quantity, price, fee : Decimal
        Base; quote, spread and slippage included; quote, positive when paid.
    reason : Reason
    stop : Decimal, optional
        Quote; where the stop of the position lay when it happened, None where it had none.
    """

    at_ms: int
    instrument: InstrumentKey
    side: Side
    quantity: Decimal
    price: Decimal
    fee: Decimal
    reason: Reason
    stop: Decimal | None = None


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """A position from flat to flat; one that is still open has no exit, and is valued at the last close.

    Attributes
    ----------
    instrument : InstrumentKey
    side : Side
        BUY for a long.
    quantity : Decimal
        Base bought (long) or sold short in all its entries.
    entry_at, exit_at : datetime
        A market order fills at the open of its candle; a stop or a liquidation has the candle's close, by which it
        happened. Of the first entry and the last exit.
    entry_price, exit_price : Decimal
        Quote, averages over all entries and exits.
    reason : Reason, optional
        Of the last exit; None while open.
    fees, funding, pnl : Decimal
        Quote; fees paid, funding received (negative when paid), and the result after both.
    stop_price, target_price : Decimal, optional
        Quote; as set with the first entry, from the close before it.
    last_stop_price : Decimal, optional
        Quote; where the stop lay at the last exit, which is elsewhere once it has trailed or an entry was added. None
        while open, without a stop, and after a liquidation.
    entry_bar, exit_bar : int
        Rows among the instrument's traded candles.
    """

    instrument: InstrumentKey
    side: Side
    quantity: Decimal
    entry_at: datetime
    entry_price: Decimal
    exit_at: datetime | None
    exit_price: Decimal | None
    reason: Reason | None
    fees: Decimal
    funding: Decimal
    pnl: Decimal
    stop_price: Decimal | None
    entry_bar: int
    exit_bar: int
    target_price: Decimal | None = None
    last_stop_price: Decimal | None = None

    @property
    def bars_held(self) -> int:
        """Bars from entry to exit, 0 within one bar."""
        return self.exit_bar - self.entry_bar


@dataclass(frozen=True, slots=True)
class TradedSeries:
    """What trades are told from: an instrument's candles with the rows that were traded, its funding, its signals."""

    instrument: Instrument
    candles: CandleArrays
    first: int
    stop: int
    funding: FundingSeries | None
    values: StrategyValues
    fine: FineCandles | None = None

    def candle_of(self, at_ms: int) -> tuple[CandleArrays, int]:
        """The candle that an execution of its close happened in, and its row: a finer one where these decide."""
        opened_ms = self.candles.opened_at_ms[self.first : self.stop]  # no array of closes: this is asked at every fill
        bar = int(np.searchsorted(opened_ms, at_ms - self.candles.timeframe.ms))
        if self.fine is None or not self.fine.decided[bar]:
            return self.candles, self.first + bar
        candles = self.fine.candles
        return candles, int(np.searchsorted(candles.opened_at_ms, at_ms - candles.timeframe.ms))

    def closed_ms(self) -> IntArray:
        """int64[n]: when each traded candle closed."""
        return self.candles.opened_at_ms[self.first : self.stop] + self.candles.timeframe.ms


@dataclass(slots=True)
class _Open:
    """A trade that is being put together; money in quote."""

    side: Side
    entry_ms: int
    position: Decimal = ZERO
    entered: Decimal = ZERO
    left: Decimal = ZERO
    paid: Decimal = ZERO
    received: Decimal = ZERO
    fees: Decimal = ZERO
    funding: Decimal = ZERO


@dataclass(slots=True)
class _Pairing:
    """The trades of one instrument, one fill or funding stamp after the other."""

    series: TradedSeries
    closed_ms: IntArray
    take_profit: Decimal | None = None
    trades: list[RoundTrip] = field(default_factory=list)
    current: _Open | None = None

    def fill(self, fill: BacktestFill) -> None:
        if self.current is None:
            self.current = _Open(fill.side, fill.at_ms)
        trade = self.current
        if fill.side is trade.side:
            self._take(trade, fill, fill.quantity, fill.fee)
            return
        closing = min(fill.quantity, trade.position)
        share = fill.fee * closing / fill.quantity if closing < fill.quantity else fill.fee
        trade.position -= closing
        trade.left += closing
        trade.received += closing * fill.price
        trade.fees += share
        if not trade.position:
            self.trades.append(self._ended(trade, fill))
            self.current = None
        if closing < fill.quantity:
            self.current = _Open(fill.side, fill.at_ms)
            self._take(self.current, fill, fill.quantity - closing, fill.fee - share)

    def _take(self, trade: _Open, fill: BacktestFill, quantity: Decimal, fee: Decimal) -> None:
        trade.position += quantity
        trade.entered += quantity
        trade.paid += quantity * fill.price
        trade.fees += fee

    def fund(self, mark: Decimal, rate: Decimal) -> None:
        if self.current is not None:
            self.current.funding -= self.current.position * self.current.side.sign * mark * rate

    def _ended(self, trade: _Open, fill: BacktestFill) -> RoundTrip:
        pnl = (trade.received - trade.paid) * trade.side.sign - trade.fees + trade.funding
        bar = self._bar(fill.at_ms)
        at_ms = fill.at_ms if fill.reason.value in _LEVEL_REASONS else self._opened_ms(fill.at_ms)
        exit_ = (from_ms(at_ms), _average(trade.received, trade.left), fill.reason, bar)
        return replace(self._trip(trade, exit_, pnl), last_stop_price=fill.stop)

    def still_open(self) -> RoundTrip | None:
        """What is held at the end, valued at the last close."""
        trade = self.current
        if trade is None:
            return None
        series = self.series
        close = decimal_price(float(series.candles.close[series.stop - 1]), series.instrument.tick_size)
        worth = trade.received + trade.position * close
        pnl = (worth - trade.paid) * trade.side.sign - trade.fees + trade.funding
        return self._trip(trade, (None, None, None, len(self.closed_ms) - 1), pnl)

    def _trip(
        self, trade: _Open, exit_: tuple[datetime | None, Decimal | None, Reason | None, int], pnl: Decimal
    ) -> RoundTrip:
        at, price, reason, exit_bar = exit_
        bar = self._bar(trade.entry_ms)
        return RoundTrip(
            instrument=self.series.instrument.key,
            side=trade.side,
            quantity=trade.entered,
            entry_at=from_ms(self._opened_ms(trade.entry_ms)),
            entry_price=_average(trade.paid, trade.entered),
            exit_at=at,
            exit_price=price,
            reason=reason,
            fees=trade.fees,
            funding=trade.funding.quantize(MONEY_STEP, ROUND_HALF_EVEN),
            pnl=pnl.quantize(MONEY_STEP, ROUND_HALF_EVEN),
            stop_price=self._stop_price(trade.side, bar),
            entry_bar=bar,
            exit_bar=exit_bar,
            target_price=self._target_price(trade.side, bar),
        )

    def _stop_price(self, side: Side, bar: int) -> Decimal | None:
        close, distance = self._decision(bar)
        return None if distance is None else self.series.instrument.round_price(close - side.sign * distance)

    def _target_price(self, side: Side, bar: int) -> Decimal | None:
        close, distance = self._decision(bar)
        if distance is None or self.take_profit is None:
            return None
        target = self.series.instrument.price_beyond(close, side.sign * self.take_profit * distance)
        return target if target > 0 else None

    def _decision(self, bar: int) -> tuple[Decimal, Decimal | None]:
        """The close before a candle, and the distance of the stop that was known there."""
        row = self.series.first + bar - 1
        distance = float(self.series.values.distances[row]) if row >= 0 else 0.0
        close = decimal_price(float(self.series.candles.close[max(row, 0)]), self.series.instrument.tick_size)
        return close, Decimal(repr(distance)) if 0.0 < distance < np.inf else None

    def _bar(self, at_ms: int) -> int:
        return int(np.searchsorted(self.closed_ms, at_ms))

    def _opened_ms(self, at_ms: int) -> int:
        candles, row = self.series.candle_of(at_ms)
        return int(candles.opened_at_ms[row])


def _average(money: Decimal, quantity: Decimal) -> Decimal:
    return (money / quantity).quantize(MONEY_STEP, ROUND_HALF_EVEN)


def round_trips(
    fills: Sequence[BacktestFill], series: Sequence[TradedSeries], take_profit: Decimal | None = None
) -> tuple[tuple[RoundTrip, ...], tuple[RoundTrip, ...]]:
    """Closed trades by exit, and those still open.

    Parameters
    ----------
    fills : sequence of BacktestFill
        In the order they happened.
    series : sequence of TradedSeries
    take_profit : Decimal, optional
        Distance of the targets as a multiple of the stop distance, as in `engine.risk.limits.RiskConfig`.

    Returns
    -------
    tuple of tuple of RoundTrip
        Their results, the open ones' at the last close, add up to what the run made.
    """
    by_key: Mapping[InstrumentKey, list[BacktestFill]] = {one.instrument.key: [] for one in series}
    for fill in fills:
        by_key[fill.instrument].append(fill)
    closed: list[RoundTrip] = []
    still: list[RoundTrip] = []
    end_ms = max((int(one.closed_ms()[-1]) for one in series if one.first < one.stop), default=0)
    with localcontext(EXACT):
        for one in series:
            pairing = _paired(_Pairing(one, one.closed_ms(), take_profit), by_key[one.instrument.key], end_ms)
            closed += pairing.trades
            left = pairing.still_open()
            still += [left] if left is not None else []
    closed.sort(key=lambda trade: (trade.exit_at or trade.entry_at, trade.entry_at, trade.instrument))
    return tuple(closed), tuple(still)


def _paired(pairing: _Pairing, fills: Sequence[BacktestFill], end_ms: int) -> _Pairing:
    """Fills in order, with each funding stamp before the fills of its instant, as venues settle it."""
    stamps = _stamps(pairing.series, end_ms) if fills else []
    for fill in fills:
        while stamps and stamps[-1][0] <= fill.at_ms:
            pairing.fund(*stamps.pop()[1:])
        pairing.fill(fill)
    while stamps:
        pairing.fund(*stamps.pop()[1:])
    return pairing


def _stamps(series: TradedSeries, end_ms: int) -> list[tuple[int, Decimal, Decimal]]:
    """Time, mark and rate of the funding within the run, the latest first."""
    funding = series.funding
    if funding is None:
        return []
    begin_ms, closes = int(series.closed_ms()[0]), series.candles.opened_at_ms + series.candles.timeframe.ms
    stamps = []
    for at_ms, rate in zip(funding.at_ms.tolist(), funding.rates, strict=True):
        known = int(np.searchsorted(closes, at_ms, side="right"))
        if known and begin_ms <= at_ms <= end_ms:
            mark = decimal_price(float(series.candles.close[known - 1]), series.instrument.tick_size)
            stamps.append((at_ms, mark, rate))
    return stamps[::-1]
