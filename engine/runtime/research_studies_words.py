"""What the figures of a study are called and mean, and what its settings are called, in plain words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from engine.domain.errors import BadInput
from engine.domain.research import Unit
from engine.runtime.research_words import Words
from engine.strategies import BACKTESTS

FIGURES: Mapping[str, Words] = {
    "deflated_sharpe": Words(
        "Deflated Sharpe",
        Unit.SHARE,
        "Probability that the best beats what luck alone gives the best of {trials} trials. 95 % is asked for.",
    ),
    "pbo": Words(
        "Overfitting",
        Unit.SHARE,
        "Probability that the best of the trials is below the middle on days that did not choose it (PBO). Worthless "
        "trials give about 50 %; at most 10 % is asked for.",
        False,
    ),
    "walk_forward": Words(
        "Sharpe on later days",
        Unit.RATIO,
        "Walk-forward: each fold run with the trial that was best on the folds before it; the mean of the folds, which "
        "gave {folds}. This, not the best objective, is what choosing gave.",
    ),
    "k_fold": Words(
        "Sharpe on days left out",
        Unit.RATIO,
        "Each fold's days left out once, the best of the other days, earlier and later, run on them, all joined. Too "
        "kind: whoever chooses does not know the later days.",
    ),
    "median_share": Words(
        "Middle neighbour, of the best",
        Unit.SHARE,
        "Objective of the middle one of {neighbours} trials with nearly the settings of the best, as a share of its "
        "objective. Near 100 %: a plateau, small changes do little harm. Near 0 %: they take it all. Below 0 %: they "
        "turn it into a loss; the best is a peak, most likely fitted to noise.",
    ),
    "worst_share": Words("Worst neighbour, of the best", Unit.SHARE, "The same for the worst of them."),
    "minimum_track_record_days": Words(
        "Record needed", Unit.DAYS, "Days that are needed to tell this Sharpe ratio from zero.", None
    ),
    "trials": Words(
        "Trials that count", Unit.COUNT, "Complete and abandoned ones. More trials find better ones by luck.", None
    ),
}
"""The figures in the order in which they are shown; words in braces are filled in."""


_FORM_WORDS = {"embargo_days": "days left out between", "fee_bps": "fee", "slippage_bps": "slippage"}
_OPTIONS = re.compile(r" with --(?:set|range)(?: [a-z_]+=VALUE)?")


def in_form_words(error: BadInput, strategy: str) -> BadInput:
    """The same error with settings under their titles and without options of the command line.

    >>> in_form_words(BadInput("range 30:2 of fast_bars must rise"), "sma_cross")
    BadInput('range 30:2 of Fast average (bars) must rise')
    >>> in_form_words(BadInput("Fix settings with --set, narrow them with --range, or give more candles"), "sma_cross")
    BadInput('Fix settings, narrow them, or give more candles')
    """
    return BadInput(with_setting_titles(_OPTIONS.sub("", str(error)), strategy, _FORM_WORDS))


def with_setting_titles(text: str, strategy: str, more: Mapping[str, str] = MappingProxyType({})) -> str:
    """A sentence of the engine with settings, and what ``more`` names, as people call them.

    >>> with_setting_titles("fast_bars (135) must be below slow_bars (64)", "sma_cross")
    'Fast average (bars) (135) must be below Slow average (bars) (64)'
    """
    kind = BACKTESTS.get(strategy)
    titles = {name: setting_title(strategy, name) for name in (kind.config.model_fields if kind is not None else ())}
    words = {**titles, **more}
    return re.sub(r"\b[a-z_]+\b", lambda found: words.get(found[0], found[0]), text)


def setting_title(strategy: str, name: str) -> str:
    """What people call a setting; of one that is gone its name in words.

    >>> setting_title("sma_cross", "fast_bars"), setting_title("sma_cross", "old_idea")
    ('Fast average (bars)', 'Old idea')
    """
    kind = BACKTESTS.get(strategy)
    field = kind.config.model_fields.get(name) if kind is not None else None
    return (field.description if field is not None else None) or name.replace("_", " ").capitalize()
