"""The one table of order states: what each report of a venue does to each state.

Only evidence ends an order. A late report never revives an order that filled; a report that contradicts a final state
which rested on absence (rejected, abandoned) makes it UNKNOWN until the venue is asked again.
"""

from __future__ import annotations

from engine.domain.orders import OrderState as S

_LIVE = (S.WORKING, S.PARTIAL)
_ENDS = (S.FILLED, S.CANCELLED, S.REJECTED, S.ABANDONED)


def _row(**moves: S) -> dict[S, S]:
    return {S(name): state for name, state in moves.items()}


def _from_sent() -> dict[S, S]:
    return {state: state for state in (*_LIVE, *_ENDS, S.UNKNOWN, S.PENDING_CANCEL)}


TABLE: dict[S, dict[S, S]] = {
    S.INTENT: {S.SENT: S.SENT, **_from_sent()},
    S.SENT: _from_sent(),
    S.UNKNOWN: _from_sent(),
    S.WORKING: {state: state for state in (S.PARTIAL, S.FILLED, S.CANCELLED, S.PENDING_CANCEL, S.UNKNOWN, S.REJECTED)},
    S.PARTIAL: {state: state for state in (S.FILLED, S.CANCELLED, S.PENDING_CANCEL, S.UNKNOWN)},
    S.PENDING_CANCEL: {state: state for state in (S.FILLED, S.CANCELLED, S.UNKNOWN, S.ABANDONED)},
    S.FILLED: {},
    S.CANCELLED: _row(filled=S.FILLED),
    S.REJECTED: _row(working=S.UNKNOWN, partial=S.UNKNOWN, filled=S.FILLED),
    S.ABANDONED: _row(working=S.WORKING, partial=S.PARTIAL, filled=S.FILLED, cancelled=S.CANCELLED),
}


def advance(current: S, reported: S) -> S:
    """State after a venue reported ``reported``; a report the table does not list changes nothing.

    >>> advance(S.FILLED, S.WORKING)
    <OrderState.FILLED: 'filled'>
    >>> advance(S.PENDING_CANCEL, S.WORKING)
    <OrderState.PENDING_CANCEL: 'pending_cancel'>
    """
    return TABLE[current].get(reported, current)
