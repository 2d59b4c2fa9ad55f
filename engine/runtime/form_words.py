"""Errors about files of candles, said for the console's form: its fields in place of command line options."""

from __future__ import annotations

import re

from engine.domain.errors import BadInput, CandleError

FIELDS = {
    "--symbol": "Symbol",
    "--timeframe": "Timeframe",
    "--venue": "Venue",
    "--kind": "Kind",
    "--tick-size": "Tick size",
    "--lot-size": "Lot size",
    "--min-notional": "Min notional",
    "--max-leverage": "Max leverage",
}
"""The field of the import form behind each option of ``candles import``."""
_FOLDER = re.compile(r", or put the file into a folder named [a-zA-Z_]+ or [a-zA-Z_]+")
_SIDE_BY_SIDE = re.compile(r"(the field [A-Z][a-z]+(?: [a-z]+)?) (?=the field)")
_OPTION = re.compile(r"--[a-z-]+")


def for_the_form(error: BadInput) -> BadInput:
    """The same error, naming the fields to fill in; an upload has no folder, so advice about one is left out.

    >>> for_the_form(BadInput("which venue? Give --venue (binance, say), or put the file into a folder named a_b or c"))
    BadInput('which venue? Give the field Venue (binance, say)')
    >>> for_the_form(BadInput("give --tick-size --lot-size --min-notional as the exchange states them"))
    BadInput('give the field Tick size, the field Lot size, the field Min notional as the exchange states them')
    """
    kind = CandleError if isinstance(error, CandleError) else BadInput
    text = _FOLDER.sub("", str(error)).replace("--kind or the folder says", "--kind says")
    text = text.replace("--symbol BASE/QUOTE", "--symbol (such as BTC/USDT)").replace("it, or give ", "it, or fill in ")
    return kind(_SIDE_BY_SIDE.sub(r"\1, ", _OPTION.sub(_field, text)))


def _field(option: re.Match[str]) -> str:
    title = FIELDS.get(option[0])
    return f"the field {title}" if title is not None else option[0]
