"""How an order ended, in words: what the venue said, else what its end alone tells."""

from __future__ import annotations

from engine.domain.orders import OrderState
from engine.storage.rows import OrderRow

_UNASKED = "ended at the venue, not on request of the engine"


def end_reason(row: OrderRow) -> str:
    """Why an order is over; "" while it is not.

    A venue that ends an order by itself often does so without a sentence: a post-only order of which nothing was filled
    is then told with the rule that ends such orders, as what may be and not as what was said.
    """
    if not row.state.is_final:
        return ""
    if row.state is OrderState.FILLED:
        return "filled whole"
    if row.venue_reason:
        return row.venue_reason
    if row.state is OrderState.REJECTED:
        return "refused by the venue, which gave no reason"
    if row.state is OrderState.ABANDONED:
        return "never placed"
    if row.intent.post_only and not row.filled:
        return f"{_UNASKED}: so end post-only orders that would trade at once"
    return _UNASKED
