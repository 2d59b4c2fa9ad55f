"""What the protection of a position lacks: journaled, shown while it lasts, told when it begins and when it is over."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import NamedTuple

from engine.domain.codec import plain
from engine.domain.facts import Gap, Notice, ProtectionGap, Severity
from engine.domain.instruments import Instrument, InstrumentKey
from engine.domain.orders import OrderState
from engine.execution.tracker import TrackedOrder
from engine.risk.context import rounded
from engine.trading.ordering import Ordering

ZERO = Decimal(0)
TARGET_AGAIN = timedelta(hours=1)
"""Market time after which a take-profit that the venue refused is offered to it once more."""
ENDED_ALONE_BARS = 5
"""Closes after which a take-profit that a venue ended is missed: until then its stop may have triggered and fill."""
_MOST_DOUBLINGS = 6


class _Words(NamedTuple):
    key: str
    begins: str
    ends: str


_WORDS = {
    Gap.STOP_TOO_SMALL: _Words("remainder", "A remainder has no stop", "Protected again"),
    Gap.NO_TARGET: _Words("target", "A take-profit is missing", "The take-profit works again"),
    Gap.STOP_STUCK: _Words("trail", "A trailing stop cannot follow", "The trailing stop follows again"),
}


class Gaps(Ordering):
    """One step's knowledge of gaps; a fact each time their size changes, a notice when they begin and when they end."""

    def _tell_gap(self, sleeve: str, instrument: Instrument, gap: Gap, quantity: Decimal, reason: str) -> None:
        """Note that ``quantity`` (base) of a position lacks something, or 0 that nothing does any more."""
        before = self._book.gaps.get((sleeve, instrument.key, gap))
        if quantity == (before.quantity if before is not None else ZERO):
            return
        fact = ProtectionGap(sleeve, instrument.key, gap, quantity, reason, self._now)
        self._book.note_gap(fact)
        self.decided.facts.append(fact)
        if before is None or not quantity:
            self.decided.notices.append(self._gap_notice(fact))

    def _gap_notice(self, fact: ProtectionGap) -> Notice:
        book, words = self._book.config.name, _WORDS[fact.gap]
        key = f"{book}:protection-{words.key}-{fact.sleeve}-{fact.instrument}"
        title, severity = (words.begins, Severity.WARNING) if fact.quantity else (words.ends, Severity.INFO)
        return Notice(key, severity, title, f"{fact.sleeve}, {fact.instrument}: {fact.reason}", book, self._now)

    def _end_gaps(self, sleeve: str, instrument: Instrument, *gaps: Gap) -> None:
        if not self._book.gaps:
            return
        for gap in gaps:
            held = self._book.ledger.held(sleeve, instrument.key)
            self._tell_gap(sleeve, instrument, gap, ZERO, "nothing is missing" if held else "its position is closed")

    def _tell_remainder(self, sleeve: str, instrument: Instrument, size: Decimal, why: str) -> None:
        """A part that is too small for an order: nothing is sent, for the venue would refuse it each time."""
        price = self._book.price(instrument.key)
        value = f", worth {rounded(size * price)} {instrument.quote}" if price is not None else ""
        least = f"the venue's minimum of {plain(instrument.min_notional)} {instrument.quote}"
        way_out = (
            "As soon as it is worth more, it is seen to. To be rid of it before, close the whole position on the "
            "Positions page; where that is too small as well, it goes with the next trade that makes it larger"
        )
        reason = f"{plain(size)} {instrument.base}{value}, have no stop: {why} below {least} can be sent. {way_out}"
        self._tell_gap(sleeve, instrument, Gap.STOP_TOO_SMALL, size, reason)

    def _tell_targets(self, sleeve: str, instrument: Instrument, lacking: Decimal, gone: TrackedOrder | None) -> None:
        """What has no take-profit, because the venue refused or ended the one there was."""
        if not lacking or gone is None:
            return self._end_gaps(sleeve, instrument, Gap.NO_TARGET)
        said = gone.reason or "it gave no reason"
        refused = gone.state is OrderState.REJECTED
        then = "It is offered again once an hour" if refused else "No other is sent until the next entry"
        reason = (
            f"{plain(lacking)} {instrument.base} have no take-profit: the venue {'refused' if refused else 'ended'} it "
            f"({said}). {then}; the stop works. To take the profit before, close the position on the Positions page"
        )
        return self._tell_gap(sleeve, instrument, Gap.NO_TARGET, lacking, reason)

    def _tell_stuck(self, sleeve: str, instrument: Instrument, stuck: Decimal, stop: TrackedOrder | None) -> None:
        """What is protected by a stop that the venue does not let follow the market."""
        refused = stop.refused_move if stop is not None else None
        if not stuck or stop is None or refused is None:
            return self._end_gaps(sleeve, instrument, Gap.STOP_STUCK)
        at = plain(stop.stop_price) if stop.stop_price is not None else "where it was"
        reason = (
            f"the stop of {plain(stuck)} {instrument.base} stays at {at} {instrument.quote}: the venue refused to move "
            f"it ({refused.reason}). It is asked again, ever more seldom. To take what has been won, close the "
            "position on the Positions page"
        )
        return self._tell_gap(sleeve, instrument, Gap.STOP_STUCK, stuck, reason)

    def _may_move(self, stop: TrackedOrder) -> bool:
        """Whether to ask the venue for a move: after a refusal not at every close, but after 1, 2, 4 and so on."""
        refused = stop.refused_move
        if refused is None:
            return True
        pause_bars = 1 << min(refused.times - 1, _MOST_DOUBLINGS)
        return self._now >= refused.at + pause_bars * self._book.config.bar.delta

    def _is_ended_alone(self, target: TrackedOrder) -> bool:
        """Whether a venue ended a take-profit while its stop works on."""
        if target.state is not OrderState.CANCELLED:
            return False
        bars = ENDED_ALONE_BARS * self._book.config.bar.delta
        return target.updated_at is None or self._now - target.updated_at >= bars

    def _may_offer(self, target: TrackedOrder) -> bool:
        """Whether to offer the venue again what it has refused."""
        return target.updated_at is None or self._now - target.updated_at >= TARGET_AGAIN


def lasting_gaps(
    gaps: Mapping[tuple[str, InstrumentKey, Gap], ProtectionGap], sleeve: str, key: InstrumentKey
) -> list[str]:
    """What a position lacks now, in words."""
    found = (gaps.get((sleeve, key, gap)) for gap in Gap)
    return [gap.reason for gap in found if gap is not None]
