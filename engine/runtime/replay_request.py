"""What a person may ask of a replay, checked value by value before anything is read or run."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from engine.domain.codec import plain, utc_text
from engine.domain.errors import BadInput
from engine.exchanges.paper import PaperCosts
from engine.risk.limits import ALL_IN, RiskConfig, read_config
from engine.simulation.replay import ReplayConfig
from engine.strategies import REFERENCES, why_not_backtested
from engine.trading.config import BrakeMode
from engine.trading.sleeves import build_strategy

KEYS = frozenset(
    ["strategies", "settings", "cash", "from", "to", "brake", "costs", "fee_bps", "slippage_bps", "impact", "risk"]
) | {"speed"}
DEFAULT_CASH = "10000"
MAX_CASH = Decimal(10) ** 12
MAX_SPEED = 1_000_000
WAYS_OUT = ("take_profit", "trail")
"""Settings of the section risk that are multiples of a stop distance."""
_RESET = re.compile(r"reset-after=([1-9]\d{0,3})")
_PLAIN_FEE_BPS = "10"
_MOST_IMPACT = 10
_MOST_BPS = 1000


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    """A checked request.

    Attributes
    ----------
    config : ReplayConfig
        Strategies with complete settings, cash, costs, limits and brake.
    start, stop : datetime or None
        Candles that open from ``start`` on and close by ``stop``; None means all.
    speed : float
        Market seconds a wall second; 0 is as fast as possible.
    costs : str
        ``default`` or ``plain``.
    """

    config: ReplayConfig
    start: datetime | None
    stop: datetime | None
    speed: float
    costs: str

    def record(self) -> dict[str, Any]:
        """The whole request as JSON values, defaults filled in; equal requests give equal records."""
        config = self.config
        reset = f"={config.brake_reset_days}" if config.brake is BrakeMode.RESET else ""
        return {
            "strategies": {name: json.loads(values) for name, values in sorted(config.strategies.items())},
            "cash": plain(config.cash),
            "from": utc_text(self.start) if self.start else "",
            "to": utc_text(self.stop) if self.stop else "",
            "brake": f"{config.brake.value}{reset}",
            "costs": {"name": self.costs, **config.costs.model_dump(mode="json")},
            "risk": config.risk.model_dump(mode="json"),
            "speed": self.speed,
        }


def read_request(values: Mapping[str, Any]) -> ReplayRequest:
    """Check a request.

    Parameters
    ----------
    values : mapping
        ``strategies`` [name] (at least one), ``settings`` {name: {field: value}}, ``cash`` (default 10000), ``from``
        and ``to`` (ISO, a date means 00:00 UTC; "" or missing: all), ``brake`` (``latch``, ``off``,
        ``reset-after=DAYS``), ``costs`` (``default`` or ``plain``), ``fee_bps`` and ``slippage_bps`` (with ``plain``;
        default 10 and 0), ``risk`` {limit: value} (a strategy without a stop is always sized by weights, without
        limits, and refuses ``take_profit`` and ``trail``), ``speed`` (0 to 1,000,000).

    Raises
    ------
    BadInput
        Names the key, its value and what is allowed.
    """
    require_known(values, KEYS)
    start, stop = _instant(values, "from"), _instant(values, "to")
    if start is not None and stop is not None and start >= stop:
        raise BadInput(f"the range would end ({values['to']}) before it begins ({values['from']}); swap from and to")
    brake, days = _brake(values.get("brake") or BrakeMode.LATCH.value)
    name, costs = _costs(values)
    strategies = _strategies(values.get("strategies"), values.get("settings") or {})
    config = ReplayConfig(
        strategies=strategies,
        cash=_cash(values.get("cash", DEFAULT_CASH)),
        costs=costs,
        risk=_sized_for(strategies, _risk(values.get("risk") or {})),
        brake=brake,
        brake_reset_days=days,
    )
    return ReplayRequest(config, start, stop, _speed(values.get("speed", 0)), name)


def require_history(strategies: Mapping[str, str], bars: Iterable[int]) -> None:
    """Refuse a replay in which nothing could ever be wanted.

    Parameters
    ----------
    strategies : mapping of str to str
        Name to complete settings in JSON.
    bars : iterable of int
        Candles of each instrument up to the end of the range; those before its begin are history.

    Raises
    ------
    BadInput
        No instrument has as many as the first signal of any of the strategies needs.
    """
    most = max(bars, default=0)
    needs = {name: build_strategy(name, values)[0].lookback_bars for name, values in strategies.items()}
    name = min(needs, key=lambda one: needs[one])
    if most < needs[name]:
        raise BadInput(
            f"{most:,} candle{'' if most == 1 else 's'} up to the end of the range are too few: {name} needs "
            f"{needs[name]:,} before its first signal. Give more candles or a wider range"
        )


def require_known(values: Mapping[str, Any], allowed: frozenset[str]) -> None:
    """Raises `BadInput` where a request has a key that a replay does not know."""
    unknown = sorted(map(str, set(values) - allowed))
    if unknown:
        raise BadInput(f"a replay has no {', '.join(unknown)}; it has {', '.join(sorted(allowed))}")


def parse_settings(pairs: Sequence[str], strategies: Sequence[str]) -> dict[str, dict[str, Any]]:
    """``key=value`` pairs of a command line as settings by strategy; ``strategy.key=value`` means that one alone.

    Raises
    ------
    BadInput
        A pair without ``=``, or one for a strategy that is not replayed.

    Examples
    --------
    >>> parse_settings(["fast_ema_bars=20", "b.x=0.5"], ["a", "b"])
    {'a': {'fast_ema_bars': 20}, 'b': {'fast_ema_bars': 20, 'x': 0.5}}
    """
    settings: dict[str, dict[str, Any]] = {name: {} for name in strategies}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        owner, dot, field = key.strip().rpartition(".")
        if not equals or not field:
            raise BadInput(f"--set {pair!r} is not of the form key=value")
        if dot and owner not in settings:
            raise BadInput(f"--set {pair!r}: {owner} is not replayed; there are {', '.join(strategies)}")
        for name in [owner] if dot else strategies:
            settings[name][field] = _value(text.strip())
    return settings


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _strategies(names: Any, settings: Any) -> dict[str, str]:
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise BadInput(f"strategies {names!r:.80} is not a list of names")
    if not names:
        raise BadInput("a replay needs at least one strategy")
    if len(set(names)) < len(names):
        raise BadInput(f"strategies {', '.join(names)} name one twice; name each once")
    if not isinstance(settings, Mapping) or not all(isinstance(part, Mapping) for part in settings.values()):
        raise BadInput(f"settings {settings!r:.80} is not of the form strategy: {{field: value}}")
    strangers = sorted(set(settings) - set(names))
    if strangers:
        raise BadInput(f"settings for {', '.join(strangers)}, which are not replayed; there are {', '.join(names)}")
    if refusal := next(filter(None, map(why_not_backtested, names)), ""):
        raise BadInput(refusal)
    return {name: build_strategy(name, _json(settings.get(name, {})))[1] for name in sorted(names)}


def _json(values: Mapping[str, Any]) -> str:
    return json.dumps(dict(values), default=str)


def _cash(value: Any) -> Decimal:
    allowed = f"above 0 and at most {MAX_CASH:,}"
    cash = _decimal("cash", value, allowed)
    if not 0 < cash <= MAX_CASH:
        raise BadInput(f"cash {value} must be {allowed}")
    return cash


def _decimal(name: str, value: Any, allowed: str) -> Decimal:
    try:
        number = Decimal(str(value)) if isinstance(value, str | int | float | Decimal) else None
    except InvalidOperation:
        number = None
    if number is None or isinstance(value, bool) or not number.is_finite():
        raise BadInput(f"{name} {value!r:.80} is not a number {allowed}")
    return number


def _instant(values: Mapping[str, Any], name: str) -> datetime | None:
    value = values.get(name) or None
    if value is None:
        return None
    return read_instant(name, value)


def read_instant(name: str, value: Any) -> datetime:
    """ISO text as aware UTC; a bare date means 00:00 UTC. Raises `BadInput` that names ``name`` and the text.

    >>> read_instant("from", "2026-01-31")
    datetime.datetime(2026, 1, 31, 0, 0, tzinfo=datetime.timezone.utc)
    """
    try:
        if len(str(value)) == len("2026-01-31"):
            day = date.fromisoformat(value)
            return datetime(day.year, day.month, day.day, tzinfo=UTC)
        at = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise BadInput(f"{name} {value!r:.80} is not a date like 2026-01-31 or 2026-01-31T12:00:00+00:00") from None
    if at.tzinfo is None:
        raise BadInput(f"{name} {value!r} has no time zone; add +00:00 for UTC")
    return at.astimezone(UTC)


def _brake(value: Any) -> tuple[BrakeMode, int]:
    if value in (BrakeMode.LATCH.value, BrakeMode.OFF.value):
        return BrakeMode(value), 0
    match = _RESET.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise BadInput(f"brake {value!r:.80} is not latch, off or reset-after=DAYS (1 to 9999 days)")
    return BrakeMode.RESET, int(match[1])


def _costs(values: Mapping[str, Any]) -> tuple[str, PaperCosts]:
    name = values.get("costs") or "default"
    stated = {key: values[key] for key in ("fee_bps", "slippage_bps") if values.get(key) not in (None, "")}
    if name == "default":
        if stated:
            raise BadInput(f"{', '.join(stated)} can only be given with costs plain")
        return name, _with_impact(PaperCosts(), values)
    if name != "plain":
        raise BadInput(f"costs {name!r:.80} is not default or plain")
    allowed = f"0 to {_MOST_BPS} basis points"
    fee = _decimal("fee_bps", stated.get("fee_bps", _PLAIN_FEE_BPS), f"from {allowed}")
    slippage = _decimal("slippage_bps", stated.get("slippage_bps", 0), f"from {allowed}")
    wrong = [f"{key} {one}" for key, one in (("fee_bps", fee), ("slippage_bps", slippage)) if not 0 <= one <= _MOST_BPS]
    if wrong:
        raise BadInput(f"{' and '.join(wrong)} must be {allowed}")
    return name, _with_impact(PaperCosts.plain(fee, slippage), values)


def _with_impact(costs: PaperCosts, values: Mapping[str, Any]) -> PaperCosts:
    given = values.get("impact")
    allowed = f"0 (none) to {_MOST_IMPACT}; measured values are about 1"
    impact = _decimal("impact", 0 if given in (None, "") else given, f"from {allowed}")
    if not 0 <= impact <= _MOST_IMPACT:
        raise BadInput(f"impact {impact} must be {allowed}")
    return costs.model_copy(update={"impact": impact})


def _risk(values: Any) -> RiskConfig:
    if isinstance(values, RiskConfig):
        return values
    if not isinstance(values, Mapping):
        raise BadInput(f"risk {values!r:.80} is not of the form {{limit: value}}")
    return read_config(_json(values))


def _sized_for(strategies: Mapping[str, str], risk: RiskConfig) -> RiskConfig:
    """The limits; for a strategy without a stop the ``weights`` sizer without limits, whatever was asked for."""
    references = sorted(set(strategies) & set(REFERENCES))
    if not references:
        return risk
    if len(strategies) > 1:
        others = ", ".join(sorted(set(strategies) - set(references[:1])))
        raise BadInput(f"{references[0]} goes all in without a stop; replay it alone, apart from {others}")
    if given := [name for name in WAYS_OUT if getattr(risk, name) is not None]:
        raise BadInput(
            f"{' and '.join(given)} would have no effect: {references[0]} has no stop to measure from. "
            "Leave it out, or take a strategy with a stop"
        )
    return risk.model_copy(update=ALL_IN)


def limits_for(strategies: Any, limits: Mapping[str, Any]) -> dict[str, Any]:
    """Limits of the settings as far as strategies can have them: without targets and trails where one has no stop.

    Who asks for these himself is told that they have no effect; the settings were made for other strategies.

    >>> limits_for(["sma_cross"], {"trail": "2", "max_exposure": "1"})
    {'max_exposure': '1'}
    """
    names = strategies if isinstance(strategies, list | tuple) else ()
    without_stop = any(name in REFERENCES for name in names if isinstance(name, str))
    return {name: value for name, value in limits.items() if not (without_stop and name in WAYS_OUT)}


def _speed(value: Any) -> float:
    allowed = f"0 (as fast as possible) to {MAX_SPEED:,} market seconds a wall second"
    speed = _decimal("speed", value, f"from {allowed}")
    if not 0 <= speed <= MAX_SPEED:
        raise BadInput(f"speed {value} must be {allowed}")
    return float(speed)
