"""The stages testnet and live as faces draw them: what they need, and which strategy may go on to them."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from engine.domain.facts import Evidence


@dataclass(frozen=True, slots=True)
class StageCondition:
    """Something a stage needs; ``ok`` None is not known, ``detail`` says what was found and what to do."""

    name: str
    title: str
    ok: bool | None
    detail: str


@dataclass(frozen=True, slots=True)
class StageView:
    """A stage that trades at a real exchange, as it is set up and as it runs.

    Attributes
    ----------
    stage, title : str
    running : bool
        Whether the engine runs its book now.
    chosen : tuple of str
        Accounts it is set to, as exchange/label.
    connections : tuple of str
        Accounts that can be chosen for it.
    note : str
        Which exchanges it cannot be had at, and why.
    symbols : tuple of str
    timeframe : str
    capital : Decimal
        The most it may use, in ``currency``.
    currency : str
    conditions : tuple of StageCondition
        What is needed whichever accounts it has.
    by_account : tuple of (str, tuple of StageCondition)
        What is needed of each account that is or can be chosen.
    """

    stage: str
    title: str
    running: bool
    chosen: tuple[str, ...]
    connections: tuple[str, ...]
    note: str
    symbols: tuple[str, ...]
    timeframe: str
    capital: Decimal
    currency: str
    conditions: tuple[StageCondition, ...]
    by_account: tuple[tuple[str, tuple[StageCondition, ...]], ...] = ()


@dataclass(frozen=True, slots=True)
class CandidateView:
    """A strategy that might be promoted: what it has shown, the rule, and why it may not ("" where it may)."""

    strategy: str
    title: str
    from_book: str
    to_book: str
    evidence: Evidence | None
    rule: str
    refusal: str
