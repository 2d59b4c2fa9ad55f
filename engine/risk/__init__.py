"""Turns ideas into sizes and refuses dangers: limits, sizing, the gate, the brake, figures and allocation.

The two registries below are the gate, in order: the first rule that objects names the refusal.
"""

from engine.risk import exits, rules
from engine.risk.context import Rule

RULES: dict[str, Rule] = {
    "state": rules.trading_state,
    "instrument": rules.known_instrument,
    "venue": rules.venue_online,
    "venue ready": rules.venue_ready,
    "price age": rules.fresh_price,
    "price band": rules.price_band,
    "precision": rules.precision,
    "min notional": rules.min_notional,
    "coins": rules.coins_to_sell,
    "stop": rules.protective_stop,
    "order rate": rules.order_rate,
    "daily loss": rules.daily_loss,
    "drawdown": rules.drawdown,
    "value at risk": rules.value_at_risk,
    "position": rules.position,
    "leverage": rules.leverage,
    "exposure": rules.exposure,
    "concentration": rules.concentration,
    "free balance": rules.free_balance,
}
"""Every order that may add risk passes all of them, cheapest and most general first."""

EXIT_RULES: dict[str, Rule] = {
    "state": rules.trading_state,
    "instrument": rules.known_instrument,
    "precision": rules.precision,
    "position": exits.reduces_position,
}
"""Orders that can only reduce: no price, balance or limit may stand between the trader and the way out."""

REFERENCE_RULES = frozenset({
    "state", "instrument", "venue", "price age", "price band", "precision", "min notional", "coins", "leverage",
    "free balance",
})  # fmt: skip
"""What remains of `RULES` for the ``weights`` sizer, whose replays serve as a reference without risk limits."""
