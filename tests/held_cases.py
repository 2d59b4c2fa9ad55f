"""Runs in which much is held for long while thresholds come near, with and without passing quiet bars over."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeVar

import numpy as np
from kernel_cases import Cases
from kernel_twin import HOUR, START_MS, GivenOpinions, request_with

from engine.domain.instruments import Instrument, InstrumentKey, Kind
from engine.domain.market import CandleArrays, FloatArray
from engine.exchanges.paper import PaperCosts
from engine.market.funding import FundingSeries
from engine.risk.limits import RiskConfig, RiskMode, Sizer
from engine.simulation.foresight import Values
from engine.simulation.kernel_request import KernelRequest, View
from engine.simulation.replay import Replay, ReplayConfig, ReplayResult
from engine.simulation.replay_source import ReplaySource
from engine.trading.config import BrakeMode
from engine.trading.sleeves import Sleeve

T = TypeVar("T")
FIELDS = (
    "bars", "trades", "wins", "fills", "orders", "final_equity", "fees", "funding", "digest", "equity", "stopped_at",
    "stop_reason", "refused", "rejected_prices",
)  # fmt: skip


@dataclass(frozen=True)
class Known(GivenOpinions):
    """A request's values, known ahead."""

    def values(self, sleeve: Sleeve, key: InstrumentKey) -> Values:
        view = self.views[sleeve.name][key]
        return Values(view.convictions, view.distances)


class Held:
    """Calm candles that trend, wishes that last, and limits that bind: drawn from one seed."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._bars = int(self._rng.integers(100, 260))

    def request(self) -> KernelRequest:
        """A whole request."""
        instruments = self._instruments()
        series = {one: self._candles() for one in instruments}
        names = ("momentum", "breakout")[: self._one_of(1, 1, 2)]
        views = {name: {one.key: self._view(series[one]) for one in instruments} for name in names}
        stamps = START_MS + 8 * HOUR.ms * np.arange(-1, self._bars // 4, dtype=np.int64)
        rates = FundingSeries(stamps, (Decimal(self._one_of("0.0001", "-0.002")),) * len(stamps))
        paying = {one.key: rates for one in instruments if one.can_short and self._rng.random() < 0.5}
        cash, brake = Decimal(self._one_of("1000", "30000", "90000")), self._one_of(*BrakeMode)
        return request_with(
            series, views, cash=cash, costs=self._costs(), risk=self._risk(), brake=(brake, 1), funding=paying
        )

    def _one_of(self, *values: T) -> T:
        return values[int(self._rng.integers(len(values)))]

    def _instruments(self) -> list[Instrument]:
        places = (("aa", "BTC"), ("aa", "ETH"), ("bb", "BTC"))[: self._one_of(1, 1, 2, 3)]
        kinds = [self._one_of(Kind.SPOT, Kind.PERPETUAL, Kind.PERPETUAL) for _ in places]
        least, lot = Decimal(self._one_of("0", "5", "50")), Decimal(self._one_of("0.001", "0.1"))
        return [
            Instrument(
                venue, coin, "USDT", kind, Decimal("0.01"), lot, least,
                Decimal(1) if kind is Kind.SPOT else Decimal(self._one_of("2", "20")),
            )
            for (venue, coin), kind in zip(places, kinds, strict=True)
        ]  # fmt: skip

    def _candles(self) -> CandleArrays:
        rng, bars = self._rng, self._bars
        move = self._one_of(0.0005, 0.002, 0.006)
        close = 100 * np.exp(np.cumsum(rng.normal(self._one_of(-1.0, 0.0, 1.0) * move, move, bars)))
        if self._one_of(False, False, True):
            close[rng.integers(bars) :] *= self._one_of(0.9, 0.2, 5.0)
        first = np.concatenate((close[:1], close[:-1]))
        reach = close * move * np.abs(rng.normal(0, 1.5, bars))
        columns = (first, np.maximum(first, close) + reach, np.minimum(first, close) - reach, close)
        prices = [np.maximum(np.round(each, 2), 0.02) for each in columns]
        gaps = np.where(rng.random(bars) < self._one_of(0.0, 0.03), rng.integers(2, 7, bars), 1)
        volume = np.where(rng.random(bars) < self._one_of(0.0, 0.2), 0.0, self._one_of(1e6, 300.0))
        return CandleArrays(HOUR, START_MS + HOUR.ms * np.cumsum(gaps).astype(np.int64), *prices, volume)

    def _view(self, candles: CandleArrays) -> View:
        rng, bars = self._rng, len(candles)
        runs = rng.choice([1.0, 1.0, 1.0, 0.5, -1.0, -1.0, 0.0, np.nan], bars)
        wishes = np.repeat(runs, self._one_of(30, 80, 300))[:bars]
        distances = candles.close * self._one_of(0.02, 0.1, 0.3)
        if self._one_of(False, True):
            distances = np.repeat(distances[:1], bars)
        return View(wishes, self._worn(distances))

    def _worn(self, distances: FloatArray) -> FloatArray:
        """At times there is no stop, or one that is too near."""
        bad = self._rng.random(len(distances)) < self._one_of(0.0, 0.0, 0.02)
        return np.where(bad, self._one_of(np.nan, 0.005, 1e9), distances)

    def _risk(self) -> RiskConfig:
        values: dict[str, Any] = {
            "mode": self._one_of(*RiskMode),
            "sizer": self._one_of(*Sizer),
            "max_position_share": Decimal(self._one_of("0.3", "1", "10")),
            "max_exposure": Decimal(self._one_of("0.5", "1", "10")),
            "max_concentration": Decimal(self._one_of("0.4", "1", "10")),
            "max_leverage": Decimal(self._one_of("1", "3", "10")),
            "daily_loss": Decimal("0.5"),
            "brake_drawdown": Decimal(self._one_of("0.02", "0.1", "0.4")),
            "strategy_drawdown": Decimal(1),
            "brake_confirm_s": self._one_of(0, 3600),
            "max_price_age_bars": self._one_of(1, 2),
            "portfolio_drawdown": Decimal(1),
            "trail": self._one_of(None, None, None, Decimal(1)),
            "take_profit": self._one_of(None, None, Decimal("0.5")),
        }
        return RiskConfig(**values)

    def _costs(self) -> PaperCosts:
        margin, share = Decimal(self._one_of("0.005", "0.3")), self._one_of(None, Decimal("0.05"))
        return PaperCosts(maintenance_margin=margin, volume_share=share, carry_bars=self._one_of(3, 0))


def request_of(seed: int) -> KernelRequest:
    """A calm request in three of four cases, else any."""
    return Held(seed).request() if seed % 4 else Cases(seed, many=True).request()


def run_of(request: KernelRequest, opinions: type[GivenOpinions]) -> ReplayResult:
    """The run through the core; with `Known` opinions it passes quiet bars over."""
    series = {one.instrument: one.candles for one in request.series}
    funding = {one.instrument.key: one.funding for one in request.series if one.instrument.can_short}
    rows = {i.key: {ms: row for row, ms in enumerate(c.opened_at_ms.tolist())} for i, c in series.items()}
    config = ReplayConfig(
        dict.fromkeys(request.views, "{}"), request.cash, request.costs, request.risk, request.brake,
        request.brake_reset_days,
    )  # fmt: skip
    source = ReplaySource(series, funding)
    result = Replay(source, config, opinions(request.views, rows)).run(source.bars)
    assert result is not None
    return result


def difference(seed: int) -> str:
    """The first field in which the two runs of a case differ; empty where there is none."""
    request = request_of(seed)
    whole, short = run_of(request, GivenOpinions), run_of(request, Known)
    return next((name for name in FIELDS if getattr(whole, name) != getattr(short, name)), "")
