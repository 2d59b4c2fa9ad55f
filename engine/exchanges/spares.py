"""Shares the instruments of a silent exchange out among others that list the same pairs, and joins their closes.

Every instrument stays with one exchange as long as that one answers, so that its closes come from one market; the
exchanges get as many as they answer fast, so that none has to carry all. One that fails hands its instruments on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from time import monotonic
from typing import Protocol

from engine.domain.errors import BadInput, VenueError
from engine.domain.instruments import Instrument, InstrumentKey
from engine.domain.market import Bars, Candle, Timeframe

MOST_APART = Decimal("0.02")
"""A close that lies further from the own one, as a share of it, is not the same market's."""
REST_ROUNDS = 12
"""An exchange that could not stand in for an instrument is asked about it again after so many rounds."""
_USUAL_S = 0.5
"""Taken for an answer's time until one was measured."""

_Closes = dict[datetime, Candle]


class Spare(Protocol):
    """Where candles are asked for instead; used by one thread at a time."""

    @property
    def title(self) -> str:
        """Name for people."""

    def lists(self, own: Sequence[Instrument]) -> frozenset[InstrumentKey]:
        """Those of which it lists the same pair of the same kind, by the own key. Raises `VenueUnreachable`."""

    def bars(self, own: Sequence[Instrument], timeframe: Timeframe, since: datetime) -> list[Bars]:
        """Complete closes from ``since`` on, oldest first, under the own instruments' keys."""

    def close(self) -> None:
        """Drop the connection."""


@dataclass(frozen=True, slots=True)
class Borrowed:
    """Closes of other exchanges, oldest first, and who told them or why not, in words."""

    bars: tuple[Bars, ...]
    words: str


@dataclass(frozen=True, slots=True)
class _Question:
    timeframe: Timeframe
    since: datetime
    last: Mapping[InstrumentKey, Candle]


class SharedSpares:
    """Several exchanges as one spare; used by one thread.

    Parameters
    ----------
    spares : sequence of Spare
        Where all else is equal, the first is preferred.
    now : callable
        Wall time, aware UTC: nobody is asked before the next close can be there.
    """

    def __init__(self, spares: Sequence[Spare], now: Callable[[], datetime]) -> None:
        self._spares = tuple(spares)
        self._now = now
        self._told = Borrowed((), "")
        self._with: dict[InstrumentKey, int] = {}
        self._lists: dict[int, frozenset[InstrumentKey]] = {}
        self._resting: dict[tuple[int, InstrumentKey], tuple[int, str]] = {}
        self._answer_s: dict[int, float] = {}
        self._round = 0

    def close(self) -> None:
        """Drop the connections."""
        for spare in self._spares:
            spare.close()

    def bars(
        self, own: Sequence[Instrument], timeframe: Timeframe, since: datetime, last: Mapping[InstrumentKey, Candle]
    ) -> Borrowed:
        """The closes after ``since`` that everyone who stands in has told.

        Parameters
        ----------
        own : sequence of Instrument
        timeframe : Timeframe
        since : datetime
            The last close that was shown; it must be the same market's there.
        last : mapping
            The last candle shown of each instrument.
        """
        if self._now() < since + timeframe.delta and self._round:
            return Borrowed((), self._told.words)
        self._round += 1
        question = _Question(timeframe, since, last)
        found: dict[InstrumentKey, _Closes] = {}
        left = sorted(own, key=lambda each: each.key)
        for _ in self._spares:  # who fails hands on what it had within the round
            groups = self._share_out(left)
            if not groups:
                break
            left = [each for each in left if not any(each in group for group in groups.values())]
            for number, answers in self._ask_all(groups, question).items():
                for instrument in groups[number]:
                    told = answers[instrument.key]
                    if isinstance(told, str):
                        self._rest(number, instrument.key, told)
                        left.append(instrument)
                    else:
                        found[instrument.key] = told
        self._told = Borrowed(_joined(found, since), self._words(found, own))
        return self._told

    # -- sharing out ----------------------------------------------------------------------------------------------

    def _share_out(self, instruments: Sequence[Instrument]) -> dict[int, list[Instrument]]:
        """Who stands in for which: who did so before, else the one that will have answered all of its own first."""
        self._learn_lists(instruments)
        groups: dict[int, list[Instrument]] = {}
        for instrument in instruments:
            able = [n for n in range(len(self._spares)) if self._may(n, instrument.key)]
            if not able:
                continue
            number = self._with.get(instrument.key, -1)
            if number not in able:
                number = min(able, key=self._would_take_s)
                self._with[instrument.key] = number
            groups.setdefault(number, []).append(instrument)
        return groups

    def _learn_lists(self, instruments: Sequence[Instrument]) -> None:
        for number, spare in enumerate(self._spares):
            if number in self._lists or all(self._is_resting(number, each.key) for each in instruments):
                continue
            try:
                self._lists[number] = spare.lists(instruments)
            except VenueError as error:
                for each in instruments:
                    self._rest(number, each.key, str(error))

    def _may(self, number: int, key: InstrumentKey) -> bool:
        return key in self._lists.get(number, ()) and not self._is_resting(number, key)

    def _is_resting(self, number: int, key: InstrumentKey) -> bool:
        until, _ = self._resting.get((number, key), (0, ""))
        return self._round < until

    def _would_take_s(self, number: int) -> float:
        has = sum(1 for each in self._with.values() if each == number)
        return (has + 1) * self._answer_s.get(number, _USUAL_S)

    def _rest(self, number: int, key: InstrumentKey, why: str) -> None:
        self._resting[(number, key)] = (self._round + REST_ROUNDS, why)
        if self._with.get(key) == number:
            del self._with[key]

    # -- asking ---------------------------------------------------------------------------------------------------

    def _ask_all(
        self, groups: Mapping[int, Sequence[Instrument]], question: _Question
    ) -> dict[int, dict[InstrumentKey, _Closes | str]]:
        """What each told of its own, all asked at once: closes, or why it cannot stand in for an instrument."""
        with ThreadPoolExecutor(len(groups), thread_name_prefix="candles-of-spares") as pool:
            asked = {n: pool.submit(self._ask, n, group, question) for n, group in groups.items()}
            return {number: answer.result() for number, answer in asked.items()}

    def _ask(self, number: int, group: Sequence[Instrument], question: _Question) -> dict[InstrumentKey, _Closes | str]:
        began_s = monotonic()
        try:
            told = self._spares[number].bars(group, question.timeframe, question.since)
        except (VenueError, BadInput) as error:
            return {instrument.key: str(error) for instrument in group}
        each_s = (monotonic() - began_s) / len(group)
        self._answer_s[number] = (self._answer_s.get(number, each_s) + each_s) / 2
        found: dict[InstrumentKey, _Closes | str] = {}
        for key in (instrument.key for instrument in group):
            closes = {bars.at: candle for bars in told for candle in bars.candles if candle.instrument == key}
            found[key] = _why_not_the_same(closes, question, key) or closes
        return found

    def _words(self, found: Mapping[InstrumentKey, _Closes], own: Sequence[Instrument]) -> str:
        """Who stands in for what, and why others cannot."""
        told: dict[str, list[str]] = {}
        for each in own:
            if each.key in found:
                told.setdefault(self._spares[self._with[each.key]].title, []).append(each.symbol)
        names = [title if len(told) == 1 else f"{title} ({', '.join(what)})" for title, what in told.items()]
        stands = f"those of {' and '.join(names)} stand in, nothing is opened on them" if names else ""
        failed: dict[str, str] = {}
        for (number, _), (until, why) in self._resting.items():
            if self._round < until:
                failed[self._spares[number].title] = why
        missing = [each.symbol for each in own if each.key not in found]
        nobody = f"nobody stands in for {', '.join(missing)}" if missing else ""
        refusals = [f"{title} cannot: {why}" for title, why in failed.items()]
        return "; ".join(part for part in (stands, nobody, *refusals) if part)


def _why_not_the_same(closes: Mapping[datetime, Candle], question: _Question, key: InstrumentKey) -> str:
    """Why closes are not the same market's: the one that both have shown must be about the same; "" where it is."""
    shown, own = closes.get(question.since), question.last.get(key)
    if shown is None:
        return f"it has no candle of {question.since} to compare with"
    if own is not None and abs(shown.close - own.close) > own.close * MOST_APART:
        return f"{key} closed at {shown.close} there, at {own.close} here"
    return ""


def _joined(found: Mapping[InstrumentKey, _Closes], since: datetime) -> tuple[Bars, ...]:
    """The closes after ``since`` that every one of them has, up to the first that one lacks."""
    joined: list[Bars] = []
    for at in sorted({at for closes in found.values() for at in closes if at > since}):
        if any(at not in closes for closes in found.values()):
            break
        joined.append(Bars(at, tuple(found[key][at] for key in sorted(found))))
    return tuple(joined)
