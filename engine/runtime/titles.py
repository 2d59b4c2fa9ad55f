"""What a sleeve is called in front of people: one title everywhere; its stored name is for commands and files."""

from __future__ import annotations

import re

from engine.strategies import BACKTESTS, BASKETS

_IN_A_SENTENCE = re.compile(
    r"\b[a-z_]+\b(?= (?:-?[0-9]|is (?:running|paused)\b|configured\b|holds no |quarantined ))"
    r"|(?<= of )[a-z_]+(?= (?:must be |is not a number))|^[a-z_]+(?=: )"
)
"""Where the engine's sentences name a sleeve: the same word elsewhere may be plain English."""
NO_STRATEGY = {"manual": "By hand", "hedge": "Hedge", "external": "From outside"}
"""Sleeves that hold what no strategy ordered: they cannot run or pause and have no share of the capital."""
_PLACES = {name: place for place, name in enumerate((*BACKTESTS, *BASKETS))} | {
    name: -place for place, name in enumerate(NO_STRATEGY, start=1)
}


def title_of(sleeve: str) -> str:
    """Title of a sleeve; of a strategy that is no longer registered its name in words.

    >>> title_of("momentum"), title_of("manual"), title_of("old_idea")
    ('Trend momentum', 'By hand', 'Old idea')
    """
    known = BACKTESTS.get(sleeve) or BASKETS.get(sleeve)
    return known.title if known is not None else NO_STRATEGY.get(sleeve) or sleeve.replace("_", " ").capitalize()


def titles_of(names: str) -> str:
    """Titles of several sleeves whose names stand in one text, separated by commas.

    >>> titles_of("breakout, momentum")
    'Channel breakout, Trend momentum'
    """
    return ", ".join(title_of(name.strip()) for name in names.split(","))


def with_titles(text: str) -> str:
    """A sentence of the engine with the sleeves it names under their titles.

    >>> with_titles("fills that close momentum -0.5 demo-b:BTC/USDT:USDT, manual 2 demo-a:ETH/USDT")
    'fills that close Trend momentum -0.5 demo-b:BTC/USDT:USDT, By hand 2 demo-a:ETH/USDT'
    >>> with_titles("breakout is paused; its positions keep their stops"), with_titles("manual order by jo")
    ('Channel breakout is paused; its positions keep their stops', 'manual order by jo')
    """
    return _IN_A_SENTENCE.sub(_titled, text)


def _titled(found: re.Match[str]) -> str:
    name = found[0]
    return title_of(name) if name in BACKTESTS or name in BASKETS or name in NO_STRATEGY else name


def is_strategy(sleeve: str) -> bool:
    """Whether a sleeve belongs to a strategy, which can run, pause and be given capital.

    >>> is_strategy("momentum"), is_strategy("manual")
    (True, False)
    """
    return sleeve not in NO_STRATEGY


def place_of(sleeve: str) -> int:
    """Place of a sleeve among all there can be, for its colour: the same whatever else a book holds.

    Strategies count from 0 in the order of the registry, to which new ones are appended; what no strategy ordered
    counts from -1 downwards; a name that is not registered any more keeps a place made of its letters.

    >>> place_of("momentum"), place_of("breakout"), place_of("manual"), place_of("old_idea")
    (0, 2, -1, 817)
    """
    known = _PLACES.get(sleeve)
    return known if known is not None else sum(sleeve.encode())
