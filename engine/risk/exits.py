"""The rule that keeps an exit an exit: never more than is held, less what is already on its way out."""

from __future__ import annotations

from decimal import Decimal

from engine.domain.orders import OrderIntent, Purpose
from engine.risk.context import ZERO, Breach, GateContext, known, unknown
from engine.risk.limits import RiskConfig


def reduces_position(intent: OrderIntent, context: GateContext, config: RiskConfig) -> Breach | None:
    """The order closes at most the position less pending exits.

    The position is the sleeve's, for FLATTEN the account's; a protective stop may also cover the unfilled part of
    its entry. A reduce-only flag is checked against the account too: the venue refuses one that reduces nothing.
    """
    if intent.purpose is not Purpose.FLATTEN:
        breach = _beyond(intent, context, context.sleeve_position, "its sleeve holds")
        if breach is not None or not intent.reduce_only:
            return breach
    return _beyond(intent, context, context.account_position, "the account holds")


def _beyond(intent: OrderIntent, context: GateContext, held: Decimal | None, who: str) -> Breach | None:
    parent, pending = context.parent_quantity, context.pending_exits
    if not (known(held) and known(parent) and known(pending) and known(intent.quantity)):
        return unknown("the position to reduce", "position")
    covered = held + parent if intent.parent_id is not None else held
    closable = max(ZERO, -intent.side.sign * covered - max(ZERO, pending))
    if intent.quantity <= closable:
        return None
    value, limit = context.coins(intent.quantity), context.coins(closable)
    text = f"an exit of {value} exceeds what is left to close: {limit} ({who} {context.coins(held)})"
    return Breach(value, limit, text)
