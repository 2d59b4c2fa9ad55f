"""What a sleeve is called in front of people: one title everywhere; its stored name is for commands and files."""

from __future__ import annotations

import re

from engine.strategies import BACKTESTS

_BEFORE_A_QUANTITY = re.compile(r"\b[a-z_]+\b(?= -?[0-9])")
NO_STRATEGY = {"manual": "By hand", "hedge": "Hedge", "external": "From outside"}
"""Sleeves that hold what no strategy ordered: they cannot run or pause and have no share of the capital."""


def title_of(sleeve: str) -> str:
    """Title of a sleeve; of a strategy that is no longer registered its name in words.

    >>> title_of("momentum"), title_of("manual"), title_of("old_idea")
    ('Trend momentum', 'By hand', 'Old idea')
    """
    known = BACKTESTS.get(sleeve)
    return known.title if known is not None else NO_STRATEGY.get(sleeve) or sleeve.replace("_", " ").capitalize()


def titles_of(names: str) -> str:
    """Titles of several sleeves whose names stand in one text, separated by commas.

    >>> titles_of("breakout, momentum")
    'Channel breakout, Trend momentum'
    """
    return ", ".join(title_of(name.strip()) for name in names.split(","))


def with_titles(text: str) -> str:
    """A sentence of the engine with sleeves that stand before a quantity under their titles.

    >>> with_titles("fills that close momentum -0.5 demo-b:BTC/USDT:USDT, manual 2 demo-a:ETH/USDT")
    'fills that close Trend momentum -0.5 demo-b:BTC/USDT:USDT, By hand 2 demo-a:ETH/USDT'
    """
    return _BEFORE_A_QUANTITY.sub(_titled, text)


def _titled(found: re.Match[str]) -> str:
    name = found[0]
    return title_of(name) if name in BACKTESTS or name in NO_STRATEGY else name


def is_strategy(sleeve: str) -> bool:
    """Whether a sleeve belongs to a strategy, which can run, pause and be given capital.

    >>> is_strategy("momentum"), is_strategy("manual")
    (True, False)
    """
    return sleeve not in NO_STRATEGY
