"""One length of candles in a run: strategies, prices' ages and the detail inside a bar are all counted in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from engine.domain.errors import BadInput
from engine.domain.instruments import InstrumentKey
from engine.domain.market import Timeframe


def one_length(lengths: Mapping[InstrumentKey, Timeframe]) -> Timeframe:
    """The length of every instrument's candles; raises `BadInput` with each of them where they differ."""
    if len(set(lengths.values())) > 1:
        raise BadInput(different_lengths(f"{key} has {length}" for key, length in lengths.items()))
    return next(iter(lengths.values()))


def different_lengths(each: Iterable[str]) -> str:
    """That candles of several lengths were given, with what has which, and what to do."""
    return (
        f"candles of different lengths cannot be replayed together: {', '.join(each)}. Give files or series of one "
        "length, or run them apart; shorter candles of the same instruments may be given as detail"
    )
