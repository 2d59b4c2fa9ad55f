"""The limits of a book: one checked model, and the row each limit shows on the risk page."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import Enum

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from engine.domain.errors import SettingsError
from engine.domain.portfolio import LimitUse


class RiskMode(Enum):
    """How much of the equity a trade may lose at its stop; see `engine.risk.sizing.risk_ratio`."""

    CONSERVATIVE = "conservative"
    AGGRESSIVE = "aggressive"


class Sizer(Enum):
    """What a conviction means.

    ``RISK``: a share of the money at risk. ``WEIGHTS``: a share of equity without risk limits, a reference for
    replays only; whoever accepts a configuration refuses it for a trading book.
    """

    RISK = "risk"
    WEIGHTS = "weights"


PORTFOLIO_DRAWDOWN: dict[RiskMode, Decimal] = {
    RiskMode.CONSERVATIVE: Decimal("0.25"),
    RiskMode.AGGRESSIVE: Decimal("0.40"),
}
"""Drawdown of the book past which its mode opens nothing, share of peak unit value."""


class RiskConfig(BaseModel):
    """Limits of one book. Shares are 0 to 1 of equity in base currency; a larger value is always the looser one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: RiskMode = Field(
        default=RiskMode.CONSERVATIVE,
        description="Risk mode: conservative risks 1 % of equity a trade, aggressive 2 % falling to 0.5 %",
    )
    sizer: Sizer = Field(
        default=Sizer.RISK,
        description="Sizing: risk (from the stop distance) or weights (share of equity, replays only)",
    )
    brake_drawdown: Decimal = Field(
        default=Decimal("0.10"),
        gt=0,
        le=Decimal("0.40"),
        description="Emergency brake: drawdown that flattens, share of peak",
    )
    brake_confirm_s: int = Field(
        default=0,
        ge=0,
        le=3600,
        description="Brake confirmation: how long a drawdown must last, seconds of market time",
    )
    brake_unknown_s: int = Field(
        default=60, ge=1, le=86_400, description="Unknown equity: how long until close-only, seconds of market time"
    )
    daily_loss: Decimal = Field(
        default=Decimal("0.03"), gt=0, le=Decimal("0.50"), description="Largest loss in a day, share of equity"
    )
    take_profit: Decimal | None = Field(
        default=None,
        gt=0,
        le=100,
        description="Take-profit: distance of the target from the entry, multiple of the stop distance; empty: none. "
        "From the next entry on; a strategy without a stop has none",
    )
    trail: Decimal | None = Field(
        default=None,
        gt=0,
        le=100,
        description="Trailing stop: distance behind the best price of completed bars since the entry, multiple of the "
        "stop distance; empty: the stop does not move. From the next entry on; a strategy without a stop has none",
    )
    max_position_share: Decimal = Field(
        default=Decimal("0.30"),
        gt=0,
        le=10,
        description="Largest position in one instrument, share of the book's equity and of the strategy's own",
    )
    max_exposure: Decimal = Field(
        default=Decimal("1.00"), gt=0, le=10, description="Largest sum of all positions, multiple of equity"
    )
    max_concentration: Decimal = Field(
        default=Decimal("0.40"), gt=0, le=10, description="Largest holding of one coin over all venues, share of equity"
    )
    max_leverage: Decimal = Field(
        default=Decimal(1), ge=1, le=10, description="Largest leverage of a derivative position, multiple of equity"
    )
    max_orders_per_minute: int = Field(
        default=60, ge=1, le=10_000, description="Most new orders in a minute of market time, orders"
    )
    price_band: Decimal = Field(
        default=Decimal("0.05"),
        gt=0,
        le=Decimal("0.50"),
        description="Furthest an order's price may be from the mark, share",
    )
    max_price_age_bars: int = Field(default=2, ge=1, le=100, description="Oldest price an entry may rest on, bars")
    strategy_drawdown: Decimal = Field(
        default=Decimal("0.15"),
        gt=0,
        le=1,
        description="Drawdown of one strategy that stops its entries, share of its peak",
    )
    portfolio_drawdown: Decimal | None = Field(
        default=None, gt=0, le=1, description="Drawdown of the book that stops entries, share of peak; empty: by mode"
    )
    daily_var: Decimal = Field(
        default=Decimal("0.03"),
        gt=0,
        le=1,
        description="Largest one-day value at risk (95 %), share of equity; not measured yet, so it blocks nothing",
    )
    failed_trades_limit: int = Field(
        default=3, ge=1, le=100, description="Failed trades in a row until close-only, trades"
    )
    api_errors_limit: int = Field(
        default=10, ge=1, le=10_000, description="Errors of a venue in an hour until it is close-only, errors"
    )

    @property
    def portfolio_drawdown_limit(self) -> Decimal:
        """The book's drawdown limit: the trader's own, else the one of the mode."""
        own = self.portfolio_drawdown
        return PORTFOLIO_DRAWDOWN[self.mode] if own is None else own

    @property
    def entry_drawdown_limit(self) -> Decimal:
        """Book drawdown at which entries stop: the nearer of brake and portfolio limit."""
        return min(self.brake_drawdown, self.portfolio_drawdown_limit)


ALL_IN: dict[str, object] = {
    "sizer": Sizer.WEIGHTS,
    "max_position_share": Decimal(10),
    "max_exposure": Decimal(10),
    "max_concentration": Decimal(10),
}
"""Changes to a `RiskConfig` with which a conviction of 1 buys for the whole equity; for reference replays alone."""


def read_config(values: str) -> RiskConfig:
    """Read limits from JSON text (money and shares as strings or numbers).

    Raises
    ------
    SettingsError
        Names each setting that is unknown, of the wrong type or out of bounds.
    """
    try:
        return RiskConfig.model_validate_json(values)
    except ValidationError as error:
        raise SettingsError(f"risk limits refused: {_problems(error)}") from error


def _problems(error: ValidationError) -> str:
    parts = []
    for problem in error.errors(include_url=False):
        name = ".".join(str(part) for part in problem["loc"]) or "the text"
        if problem["type"] == "extra_forbidden":
            parts.append(f"{name}: there is no such limit; there are {', '.join(RiskConfig.model_fields)}")
            continue
        parts.append(f"{name}: {problem['msg']} (got {problem['input']!r:.80})")
    return "; ".join(parts)


@dataclass(frozen=True, slots=True)
class LimitRow:
    """One limit as the risk page shows it.

    Attributes
    ----------
    name : str
        Field of `RiskConfig`.
    label : str
        What the form calls it.
    value : Decimal
    unit : str
        ``share``, ``x equity``, ``orders``, ``bars``, ``s``, ``trades`` or ``errors``.
    window : str
        The span over which it is measured.
    minimum_sample : str
        What must have been seen before it can be computed.
    at_breach, when_unknown : str
        What the engine does.
    """

    name: str
    label: str
    value: Decimal
    unit: str
    window: str
    minimum_sample: str
    at_breach: str
    when_unknown: str

    def with_use(self, used: Decimal | None) -> LimitUse:
        """The row with how much of it is used, in the row's unit; None is unknown."""
        return LimitUse(self.name, used, self.value, self.unit, self.window, self.at_breach, self.when_unknown)


_REFUSE = "entries refused"
_NOTHING = "none"
_ONE_MARK = "one fresh mark"

_ROWS: dict[str, tuple[str, str, str, str, str]] = {
    # field: unit, window, minimum sample, at breach, when unknown
    "brake_drawdown": (
        "share", "since the peak", "one unit value", "flatten and latch until re-armed",
        "close-only after the time for unknown equity",
    ),
    "brake_confirm_s": (
        "s", "since the drawdown passed the brake", _NOTHING, "the brake acts; close-only while it waits",
        "does not apply",
    ),
    "brake_unknown_s": ("s", "since the last known equity", _NOTHING, "book set close-only", "does not apply"),
    "daily_loss": ("share", "market day, UTC", "one unit value today", _REFUSE, _REFUSE),
    "max_position_share": (
        "share", "now", _ONE_MARK,
        "entry refused; a strategy's target is also capped at this share of its own allocated equity", _REFUSE,
    ),
    "max_exposure": ("x equity", "now", "a fresh mark of every holding", "target capped, entry refused", _REFUSE),
    "max_concentration": ("share", "now", "a fresh mark of the coin", "target capped, entry refused", _REFUSE),
    "max_leverage": ("x equity", "now", _ONE_MARK, "target capped, entry refused", _REFUSE),
    "max_orders_per_minute": ("orders", "60 s of market time", _NOTHING, _REFUSE, _REFUSE),
    "price_band": ("share", "now", _ONE_MARK, _REFUSE, _REFUSE),
    "max_price_age_bars": ("bars", "since the last price", _ONE_MARK, _REFUSE, _REFUSE),
    "strategy_drawdown": (
        "share", "since the strategy's peak", "one unit value", "entries of the strategy refused",
        "entries of the strategy refused",
    ),
    "portfolio_drawdown": ("share", "since the peak", "one unit value", _REFUSE, _REFUSE),
    "daily_var": (
        "share", "one day, from daily history", "200 days", "none yet: nothing measures it for the gate",
        "shown as unknown, blocks nothing",
    ),
    "failed_trades_limit": ("trades", "in a row", _NOTHING, "book set close-only, alert", "does not apply"),
    "api_errors_limit": ("errors", "one hour", _NOTHING, "venue set close-only, alert", "does not apply"),
}  # fmt: skip


def limit_rows(config: RiskConfig) -> tuple[LimitRow, ...]:
    """Every numeric limit of ``config`` with window, sample and actions, in the order of the form."""
    return tuple(_row(name, config) for name in _ROWS)


def _row(name: str, config: RiskConfig) -> LimitRow:
    unit, window, sample, at_breach, when_unknown = _ROWS[name]
    label = RiskConfig.model_fields[name].description or name
    if name == "portfolio_drawdown" and config.portfolio_drawdown_limit >= config.brake_drawdown:
        at_breach = f"cannot act: the brake flattens first, at {config.brake_drawdown * 100:.2f} %"
    return LimitRow(name, label, _value(name, config), unit, window, sample, at_breach, when_unknown)


def _value(name: str, config: RiskConfig) -> Decimal:
    if name == "portfolio_drawdown":
        return config.portfolio_drawdown_limit
    return Decimal(getattr(config, name))


def loosened(before: RiskConfig, after: RiskConfig) -> tuple[str, ...]:
    """Names of the settings that ``after`` makes looser than ``before``.

    Tightening takes effect at once; loosening asks the trader to prove who he is again.
    """
    names = [name for name in _ROWS if _value(name, after) > _value(name, before)]
    if before.mode is RiskMode.CONSERVATIVE and after.mode is RiskMode.AGGRESSIVE:
        names.insert(0, "mode")
    if before.sizer is Sizer.RISK and after.sizer is Sizer.WEIGHTS:
        names.insert(0, "sizer")
    return tuple(names)
