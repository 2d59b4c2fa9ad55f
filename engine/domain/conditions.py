"""How a venue is to be dealt with now, as far as its own answers tell."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum

from engine.domain.instruments import Instrument, InstrumentKey


class VenueState(Enum):
    """What may be asked of a venue, best first; everything but ONLINE is told to the trader."""

    ONLINE = "ONLINE"
    DEGRADED = "DEGRADED"
    OFFLINE = "OFFLINE"
    MAINTENANCE = "MAINTENANCE"
    BANNED = "BANNED"
    LOCKED = "LOCKED"

    @property
    def words(self) -> str:
        """What it means for the trader."""
        return _WORDS[self]


_WORDS = {
    VenueState.ONLINE: "answers",
    VenueState.DEGRADED: "answers, but not to everything or not in time: no new risk there",
    VenueState.OFFLINE: "does not answer: what is held there is shown as last told",
    VenueState.MAINTENANCE: "says it is being maintained: no entries, and its stops may not fire",
    VenueState.BANNED: "has shut this address or key out for a while: nothing is asked until then",
    VenueState.LOCKED: "does not accept the key: positions there are unmanaged until a working key is given",
}


@dataclass(frozen=True, slots=True)
class VenueCondition:
    """A venue as its own answers show it.

    Attributes
    ----------
    venue : str
    state : VenueState
    detail : str
        Why, in words; "" while ONLINE and nothing is to be said.
    since : datetime or None
        Wall time of the last change of state; None before the first answer.
    last_answer_at : datetime or None
        Wall time of the last answer of any kind.
    latency_s : float or None
        How long the last answer took.
    used_share : float or None
        Share of the request limit that is used, 0 to 1, by the venue's own headers; None where it does not say.
    offset_ms : int or None
        Its clock less ours, milliseconds; None until measured.
    until : datetime or None
        End of a ban or of a requested pause.
    waits : str
        Why entries wait there although it answers, such as a stream of orders that is away; "" where they do not.
    instead : str
        That questions take the place of a stream that stays away; "" where they need not.
    trouble : str
        Why what is asked beside the streams has not been answered for a while; "" where it is.
    closed : tuple of (InstrumentKey, str)
        Instruments on which nothing may be opened, and why.
    unreadable, aside : tuple of str
        Rows of its executions that cannot be read, in words: those that entries wait for, and those set aside.
    """

    venue: str
    state: VenueState
    detail: str = ""
    since: datetime | None = None
    last_answer_at: datetime | None = None
    latency_s: float | None = None
    used_share: float | None = None
    offset_ms: int | None = None
    until: datetime | None = None
    waits: str = ""
    instead: str = ""
    trouble: str = ""
    closed: tuple[tuple[InstrumentKey, str], ...] = ()
    unreadable: tuple[str, ...] = ()
    aside: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class VenueHearing:
    """How well it is known what happens at a venue, by its streams and by what is asked beside them.

    Attributes
    ----------
    waits : str
        Why nothing is opened until it is known again; "" where it is.
    trouble : str
        Why a question asked beside the streams brings no usable answer; "" where all do.
    trouble_s : float
        For how long that has been so, seconds.
    instead : str
        What is done in place of listening, while its streams are away and it is known all the same; "" otherwise.
    """

    waits: str = ""
    trouble: str = ""
    trouble_s: float = 0.0
    instead: str = ""


@dataclass(frozen=True, slots=True)
class MarketNews:
    """What an exchange says of an instrument now, where that differs from what was known of it.

    Attributes
    ----------
    instrument : Instrument
        As it is now; as last known where the exchange lists it no more.
    contract_size : Decimal
        Base of one contract; 1 where it is traded in base.
    changed : str
        Which of its rules are new, and what they were; "" where none is.
    closed : str
        Why nothing may be opened on it; "" where entries are possible.
    """

    instrument: Instrument
    contract_size: Decimal
    changed: str = ""
    closed: str = ""
