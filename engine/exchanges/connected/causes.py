"""Why an execution happened, by the words exchanges have for it."""

from __future__ import annotations

from engine.domain.orders import FillCause

_CAUSES = (
    (FillCause.DELEVERAGING, ("adl",)),
    (FillCause.LIQUIDATION, ("busttrade", "liquidation", "autoclose-")),
    (FillCause.SETTLEMENT, ("settle", "delivery", "settlement_autoclose-", "assign")),
)


def cause_of(words: str) -> FillCause:
    """Why an execution happened, by the exchange's word for its kind, or by the client id it gives its own orders.

    >>> cause_of("AdlTrade").value, cause_of("autoclose-1576143").value, cause_of("limit").value
    ('automatic deleveraging', 'liquidation', 'trade')
    """
    told = words.lower()
    return next((cause for cause, starts in _CAUSES if told.startswith(starts)), FillCause.TRADE)
