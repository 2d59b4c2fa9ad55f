"""What a watch is made of, how often it looks, and how it shows what it knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from engine.domain.instruments import InstrumentKey
from engine.domain.portfolio import Balance, VenuePosition
from engine.exchanges.connected.aside import Aside
from engine.exchanges.connected.connection import StreamCondition
from engine.exchanges.connected.dead_man import DeadMan
from engine.exchanges.connected.dialects import VenueRow
from engine.exchanges.connected.inbox import News
from engine.exchanges.connected.placing import Listed
from engine.exchanges.connected.stream_client import StreamLine


class WatchLine(StreamLine, Protocol):
    """The line to the exchange, as far as the watch needs it."""

    def load_markets(self, prepare: Callable[[Any], None] | None = None) -> dict[str, Any]:
        """The exchange's list of markets, asked anew."""

    def measure_offset(self) -> int:
        """The exchange's clock less ours, asked anew, ms."""

    def clock_has_jumped(self) -> bool:
        """Whether our clock was set since the last measurement."""


class StreamsView(Protocol):
    """The venue's streams, as far as the watch needs them; `engine.exchanges.connected.streams.Streams` is one."""

    @property
    def condition(self) -> StreamCondition:
        """The private stream as it is now."""

    @property
    def tells_trades(self) -> bool:
        """Whether every execution is told."""

    def listen(self, changed: Callable[[StreamCondition], None], doubt: Callable[[], None]) -> None:
        """Who is told of changes and doubts."""

    def has_heard(self, number: str) -> bool:
        """Whether an execution was told."""

    def restart(self, reason: str) -> None:
        """Connect anew."""


@dataclass(frozen=True, slots=True)
class WatchPlan:
    """How often what is looked at, wall seconds.

    Attributes
    ----------
    orders_s, money_s : float
        Open orders; executions, positions and balances.
    clock_s, markets_s, key_s : float
        The exchange's clock, its list of markets and how the account is set up, the rights of the key.
    modes_again_s : float
        How the account is set up, where that is not known or keeps something closed.
    switch_s : float
        Heartbeat of the dead-man's switch.
    deaf_s : float
        How long after an execution the stream must have told it.
    alone_s : float
        How long a stream must have been away before entries go on by what is asked alone.
    never_heard_s : float
        The same for one that was never there: nothing it told can have been missed, and every start asks for all.
    asleep_s : float
        A pause of this process so long, by either clock, means that it slept.
    beat_s : float
        Pause between two looks at the plan.
    """

    orders_s: float = 10.0
    money_s: float = 30.0
    clock_s: float = 1800.0
    markets_s: float = 3600.0
    key_s: float = 86_400.0
    modes_again_s: float = 60.0
    switch_s: float = 15.0
    deaf_s: float = 10.0
    alone_s: float = 30.0
    never_heard_s: float = 10.0
    asleep_s: float = 30.0
    beat_s: float = 0.5


@dataclass(frozen=True, slots=True)
class WatchCalls:
    """Who is told what; called on the watch's thread, ``gap`` on any, and none may wait.

    Attributes
    ----------
    gap : callable
        Something may have been missed, and why: no entries before everything was asked.
    asked : callable
        Everything was asked since; entries may go on.
    check_key : callable
        Time to check what the key may do.
    """

    gap: Callable[[str], None] = lambda _reason: None
    asked: Callable[[], None] = lambda: None
    check_key: Callable[[], None] = lambda: None


@dataclass(frozen=True, slots=True)
class Look:
    """What the venue held when it was last asked; ``at`` is wall time, None before the first time."""

    at: datetime | None = None
    balances: tuple[Balance, ...] = ()
    positions: tuple[VenuePosition, ...] = ()


@dataclass(frozen=True, slots=True)
class WatchView:
    """How well a venue is known now.

    Attributes
    ----------
    stream : StreamCondition
    gap : str
        Why something may have been missed since it was last asked; "" where nothing was.
    look : Look
    trouble : str
        Why the last look failed; "" where it did not.
    trouble_s : float
        For how long looks have failed, seconds.
    overdue : str
        What should have been looked at long ago, in words; "" where nothing is.
    is_alone : bool
        Whether the stream has been away for so long that what is asked beside it has to do.
    """

    stream: StreamCondition
    gap: str
    look: Look
    trouble: str
    trouble_s: float = 0.0
    overdue: str = ""
    is_alone: bool = False

    @property
    def is_fresh(self) -> bool:
        """Whether it is told or asked what happens, nothing was missed, and what is asked is answered."""
        return (self.stream.is_up or self.is_alone) and not self.gap and not self.overdue

    def why_not_fresh(self, venue: str) -> str:
        """Why nothing may be opened at a venue now, in words; "" where it is fresh."""
        if not self.stream.is_up and not self.is_alone:
            return f"the order stream of {venue} {_absence(self.stream)}; entries wait"
        if self.gap:
            return f"{venue} is asked what was missed ({self.gap}); entries wait"
        return f"{self.overdue}; entries wait" if self.overdue else ""

    def asked_instead(self, venue: str) -> str:
        """That questions take the place of the stream, in words; "" where they need not."""
        if self.stream.is_up or not self.is_fresh:
            return ""
        return f"the order stream of {venue} {_absence(self.stream)}; orders and executions are asked for instead"


def _absence(stream: StreamCondition) -> str:
    if not stream.is_wanted:
        return f"is not listened to ({stream.detail})"
    since = f" since {stream.since:%H:%M:%S} UTC" if stream.since is not None else ""
    if not stream.connections:
        return f"is not connected yet{since and f', tried{since}: {stream.detail}'}"
    return f"is away{since} ({stream.detail})"


@dataclass(frozen=True, slots=True)
class WatchSetup:
    """What a watch is made of.

    Attributes
    ----------
    row : VenueRow
    line : WatchLine
    listed : sequence of Listed
    streams : StreamsView
    tell : callable
        Takes evidence, from any thread (`ConnectedVenue.hear`).
    name : str
        Venue name in instrument keys; "" is the row's.
    plan : WatchPlan
    switch : DeadMan or None
        The dead-man's switch, where the trader wants it.
    prepare : callable or None
        As for `Line.load_markets`.
    modes : mapping or None
        Instruments that must not be opened as the account was set up when the book was built, and why; None where that
        was not told.
    aside : Aside
        Rows of the lists of executions that nothing waits for; the gateway's own.
    """

    row: VenueRow
    line: WatchLine
    listed: Sequence[Listed]
    streams: StreamsView
    tell: Callable[[News], None]
    name: str = ""
    plan: WatchPlan = field(default_factory=WatchPlan)
    switch: DeadMan | None = None
    prepare: Callable[[Any], None] | None = None
    modes: Mapping[InstrumentKey, str] | None = field(default_factory=dict)
    aside: Aside = field(default_factory=Aside)
