"""Random requests for kernel and replay: candles with gaps and thin volume, convictions, costs, grids and limits."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, TypeVar

import numpy as np
from kernel_twin import HOUR, START_MS, request_with

from engine.domain.instruments import Instrument, InstrumentKey, Kind
from engine.domain.market import CandleArrays, FloatArray
from engine.exchanges.paper import PaperCosts
from engine.market.funding import FundingSeries
from engine.risk.limits import RiskConfig, RiskMode, Sizer
from engine.simulation.kernel_request import KernelRequest, View
from engine.trading.config import BrakeMode

T = TypeVar("T")
_NAMES = ("momentum", "breakout", "mean_reversion")


class Cases:
    """Draws from one seed. ``many`` allows several instruments, venues, strategies and perpetuals.

    Some of those are wild: high leverage and a calm market that leaps now and then, with nobody there to sell to, so
    that positions are liquidated before their stops can fill.
    """

    def __init__(self, seed: int, *, many: bool) -> None:
        self._rng = np.random.default_rng(seed)
        self._many = many
        self._bars = int(self._rng.integers(5, 120))
        self._move = self._one_of(0.002, 0.01, 0.05, 0.15)
        self._wild = many and self._perhaps(0.15)
        self._leaps = self._rng.random(self._bars) < 0.07

    def request(self) -> KernelRequest:
        """A whole request."""
        coins = ("BTC", "ETH", "SOL")[: int(self._rng.integers(1, 4)) if self._many else 1]
        instruments = [self._instrument(coin) for coin in coins]
        series = {one: self._candles(one) for one in instruments}
        names = _NAMES[: int(self._rng.integers(1, 4)) if self._many else 1]
        views = {name: {one.key: self._view(one, series[one]) for one in instruments} for name in names}
        return request_with(
            series,
            views,
            cash=Decimal(self._one_of("10000", "1000", "25000", "123456.78")),
            costs=self._costs(),
            risk=self._risk(),
            brake=(self._one_of(*BrakeMode), self._one_of(0, 1, 2)),
            funding=self._funding(series),
        )

    def _one_of(self, *values: T) -> T:
        return values[int(self._rng.integers(len(values)))]

    def _perhaps(self, chance: float) -> bool:
        return bool(self._rng.random() < chance)

    def _instrument(self, coin: str) -> Instrument:
        kind = self._one_of(*Kind) if self._many else Kind.SPOT
        kind = Kind.PERPETUAL if self._wild else kind
        return Instrument(
            self._one_of("aa", "aa", "bb") if self._many else "aa",
            coin,
            "USDT",
            kind,
            Decimal(self._one_of("0.01", "0.1", "0.5", "1", "0.001")),
            # wild positions are huge: in fine lots their size is within the rounding tolerance of a whole one too often
            Decimal(self._one_of("0.1", "0.01") if self._wild else self._one_of("0.00001", "0.001", "0.1", "0.01")),
            Decimal(self._one_of("0", "5", "10", "100")),
            Decimal(1) if kind is Kind.SPOT else Decimal("20" if self._wild else self._one_of("1", "2", "5", "20")),
        )

    def _candles(self, instrument: Instrument) -> CandleArrays:
        rng, bars, move = self._rng, self._bars, np.full(self._bars, self._move)
        if self._wild:
            move = np.where(self._leaps, 0.4, 0.0005)
        close = np.maximum(self._one_of(100.0, 1000.0, 37.5) * np.exp(np.cumsum(rng.normal(0, move, bars))), 0.5)
        first = np.concatenate((close[:1], close[:-1]))
        if self._perhaps(0.6):
            first = first * np.exp(rng.normal(0, move * self._one_of(0.1, 0.5, 1.0), bars))
        spread = np.abs(rng.normal(0, move, bars)) * close
        low = np.maximum(np.minimum(first, close) - spread, 0.02 * close)
        columns = [first, np.maximum(first, close) + spread, low, close]
        step = float(instrument.tick_size) * self._one_of(1, 10) if self._perhaps(0.3) else 1e-4
        least = float(instrument.tick_size) * 3
        prices = [np.round(np.maximum(np.round(each / step) * step, least), 6) for each in columns]
        high, low = np.maximum.reduce(prices), np.minimum.reduce(prices)
        missing = np.where(rng.random(bars) < 0.05, rng.integers(2, 6, bars), 1)
        opened = START_MS + HOUR.ms * np.cumsum(missing).astype(np.int64)
        return CandleArrays(HOUR, opened, prices[0], high, low, prices[3], self._volume())

    def _volume(self) -> FloatArray:
        volume = np.round(self._rng.uniform(0, self._one_of(1e6, 500.0, 50.0, 5.0), self._bars), 3)
        if self._wild:
            volume = np.where(self._leaps, 0.0, 1e6)
        if self._perhaps(0.3):
            volume[self._rng.random(self._bars) < 0.2] = 0.0
        return volume

    def _view(self, instrument: Instrument, candles: CandleArrays) -> View:
        rng, bars, hold = self._rng, self._bars, self._one_of(1, 3, 8, 20)
        levels = [-1, -0.5, 0, 0, 0.3, 0.5, 1, 1, np.nan, 0.123456789]
        convictions = np.repeat(rng.choice(levels, bars // hold + 1), hold)[:bars]
        if self._perhaps(0.3):
            convictions = np.clip(convictions * rng.uniform(0, 1.2, bars), -1, 1)
        distances = candles.close * (0.003 if self._wild else self._one_of(0.01, 0.03, 0.1, 0.005))
        if self._perhaps(0.5):
            distances = distances * rng.uniform(0.5, 2, bars)
        if self._perhaps(0.3):
            distances = np.round(distances, 2)
        if self._perhaps(0.15):
            distances = np.where(rng.random(bars) < 0.1, np.nan, distances)
        return View(convictions, distances)

    def _funding(self, series: dict[Instrument, CandleArrays]) -> dict[InstrumentKey, FundingSeries]:
        stamps = {}
        for instrument, candles in series.items():
            if instrument.kind is Kind.PERPETUAL and self._perhaps(0.8):
                shift = self._one_of(0, 0, 1_800_000, 5)
                first, last = int(candles.opened_at_ms[0]), int(candles.opened_at_ms[-1])
                at_ms = np.arange(first - 8 * HOUR.ms, last + 9 * HOUR.ms, 8 * HOUR.ms, dtype=np.int64) + shift
                rates = self._rng.normal(0, self._one_of(0.0001, 0.01), len(at_ms))
                stamps[instrument.key] = FundingSeries(at_ms, tuple(Decimal(f"{rate:.8f}") for rate in rates))
        return stamps

    def _risk(self) -> RiskConfig:
        values: dict[str, Any] = {
            "mode": self._one_of(*RiskMode),
            "sizer": self._one_of(Sizer.RISK, Sizer.RISK, Sizer.WEIGHTS),
            "max_position_share": Decimal(self._one_of("0.3", "1", "3", "10")),
            "max_exposure": Decimal(self._one_of("1", "3", "10", "0.5")),
            "max_concentration": Decimal(self._one_of("0.4", "1", "10")),
            "max_leverage": Decimal(self._one_of("1", "2", "5", "10")),
            "daily_loss": Decimal(self._one_of("0.03", "0.01", "0.5")),
            "brake_drawdown": Decimal(self._one_of("0.1", "0.05", "0.02", "0.4")),
            "strategy_drawdown": Decimal(self._one_of("0.15", "0.02", "1")),
            "brake_confirm_s": self._one_of(0, 0, 3600),
            "brake_unknown_s": self._one_of(60, 7200),
            "max_price_age_bars": self._one_of(2, 1, 5),
            "max_orders_per_minute": self._one_of(60, 1),
            "failed_trades_limit": self._one_of(3, 1, 100),
            "take_profit": self._one_of(None, None, Decimal(1), Decimal("0.5"), Decimal("2.25")),
            "trail": self._one_of(None, None, Decimal(1), Decimal("0.4"), Decimal("1.7")),
        }
        if self._wild:
            most = ("max_position_share", "max_exposure", "max_concentration", "max_leverage")
            values |= dict.fromkeys(most, Decimal(10)) | {"mode": RiskMode.AGGRESSIVE, "sizer": Sizer.RISK}
            values |= {"daily_loss": Decimal("0.5"), "strategy_drawdown": Decimal(1), "brake_drawdown": Decimal("0.4")}
        return RiskConfig(**values)

    def _costs(self) -> PaperCosts:
        return PaperCosts(
            maker_bps=Decimal(self._one_of("10", "0", "25")),
            taker_bps=Decimal(self._one_of("10", "0", "7.5", "33.33")),
            spread_bps=Decimal(self._one_of("2", "0", "20", "1.7")),
            slippage_bps=Decimal(self._one_of("1", "0", "50")),
            volume_share=self._one_of(None, Decimal("0.05"), Decimal("0.333"), Decimal(1)),
            carry_bars=self._one_of(3, 0, 1),
            latency_ms=self._one_of(0, 0, 0, 1000),
            maintenance_margin=Decimal(self._one_of("0.005", "0", "0.05")),
        )
