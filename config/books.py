"""Settings of the books, one class for each kind: simulated, on public data, and at a real exchange."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any

from pydantic import Field, field_validator

from config.sections import Section
from engine.domain.market import Timeframe
from engine.exchanges.paper.costs import PaperCosts
from engine.strategies import TRADED, why_not_traded


class BookSettings(Section):
    """What a book is given at its first start."""

    enabled: bool = Field(description="Whether the book runs")
    capital: Decimal = Field(gt=0, le=10**12, description="Capital at each venue, base currency")
    strategies: tuple[str, ...] = Field(description="Strategies that run from the first start")
    deployed: Decimal = Field(gt=0, le=1, description="Share of the capital given to them in equal parts")
    strategy_settings: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="Their configuration at the first start, by name"
    )
    costs: PaperCosts = Field(default_factory=PaperCosts, description="Fees, spread, slippage and latency")

    @field_validator("strategy_settings")
    @classmethod
    def _configured(cls, settings: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        return _checked_strategy_settings(settings)

    @field_validator("strategies")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return _tradable(names)


class DemoSettings(BookSettings):
    """The simulated market and its book."""

    seed: int = Field(7, ge=0, le=2**31, description="Seed of the simulated market")
    speed: int = Field(60, ge=1, le=1000, description="Market seconds a wall second")


class PaperSettings(BookSettings):
    """The paper book on public market data."""

    exchange: str = Field("binance", description="Exchange whose public market data is read")
    symbols: tuple[str, ...] = Field(description="Symbols, e.g. BTC/USDT")
    timeframe: str = Field("1m", description="Candle length, e.g. 1m, 5m, 1h")
    rest_url: str = Field("", description="Other address of the exchange's REST interface")

    @field_validator("timeframe")
    @classmethod
    def _readable(cls, text: str) -> str:
        return str(Timeframe.parse(text))


class ConnectedSettings(Section):
    """A book at real exchanges, or at their test exchanges."""

    enabled: bool = Field(False, description="Whether the book runs")
    connections: tuple[Annotated[str, Field(pattern=r"^\S.{0,60}$")], ...] = Field(
        (), max_length=5, description="Accounts, as exchange/label or NAME of [venues.NAME]; empty: those named there"
    )
    symbols: tuple[str, ...] = Field(
        min_length=1, max_length=50, description="Symbols at every account that lists them; BTC/USDT:USDT: a perpetual"
    )
    timeframe: str = Field("1m", description="Candle length, e.g. 1m, 5m, 1h")
    capital: Decimal = Field(gt=0, le=10**12, description="Most the book may use at each venue, base currency")
    strategies: tuple[str, ...] = Field((), description="Strategies that have a place from the first start")
    deployed: Decimal = Field(
        Decimal("0.50"), gt=0, le=1, description="Share of the capital given to them in equal parts"
    )
    strategy_settings: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="Their configuration at the first start, by name"
    )
    spare_exchanges: tuple[str, ...] = Field(
        (), max_length=5, description="Exchanges or accounts whose candles stand in for silent ones; no entries"
    )
    dead_man: bool = Field(
        True, description="Where there is such a switch, the exchange cancels entries if the engine falls silent"
    )
    stop_spares_own: bool = Field(
        True, description="An emergency stop leaves orders and perpetual positions alone that are not the engine's"
    )

    @field_validator("strategy_settings")
    @classmethod
    def _configured(cls, settings: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        return _checked_strategy_settings(settings)

    @field_validator("strategies")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return _tradable(names)

    @field_validator("timeframe")
    @classmethod
    def _readable(cls, text: str) -> str:
        return str(Timeframe.parse(text))


class LiveSettings(ConnectedSettings):
    """The book with real money."""

    without_second_factor: bool = Field(
        False, description="Real money may be armed with the password alone, as long as there is no second factor"
    )


def _checked_strategy_settings(settings: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    for name, values in settings.items():
        if refusal := why_not_traded(name):
            raise ValueError(refusal)
        TRADED[name].config.model_validate(values)
    return settings


def _tradable(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if refusal := why_not_traded(name):
            raise ValueError(refusal)
    return names
