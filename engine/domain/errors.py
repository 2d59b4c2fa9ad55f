"""Every error this product raises on purpose.

::

    QuarterdeckError
    ├── BadInput               a person or a file gave a value that cannot be used
    │   ├── SettingsError      a setting: the message names it
    │   └── CandleError        a candle file or row
    ├── AccessDenied           who asks may not do this
    ├── CommandRefused         the engine will not carry out this command now
    ├── VenueError             a trading venue
    │   ├── VenueRejected      the venue refused, with proof
    │   ├── VenueUnreachable   nothing was sent, or only a question was
    │   │   └── VenueHeld      nothing was even asked: it is to be left alone for a while
    │   ├── VenueAmbiguous     sent, no proof either way: UNKNOWN
    │   └── OrderNotFound      the venue does not know the order (this once)
    ├── StorageError
    │   ├── CannotRecord       the write did not become durable
    │   ├── DatabaseCorrupt    the file fails its own check
    │   └── ChainBroken        the journal's hash chain does not hold
    └── EngineError
        ├── AlreadyRunning     another engine owns the data folder
        ├── NotRunning         no engine owns the data folder
        └── Fenced             a newer engine took over; this one must stop writing
"""

from __future__ import annotations


class QuarterdeckError(Exception):
    """Root of the tree; the message says what happened, the value, and the way out."""


class BadInput(QuarterdeckError):
    """A value that cannot be used; nothing was changed."""


class SettingsError(BadInput):
    """A setting is unknown, out of bounds or of the wrong type."""


class CandleError(BadInput):
    """A candle file or row breaks the schema."""


class AccessDenied(QuarterdeckError):
    """The actor's role does not allow this."""


class CommandRefused(QuarterdeckError):
    """The engine will not carry out the command in its present state."""


class VenueError(QuarterdeckError):
    """A trading venue answered with an error or not at all."""


class VenueRejected(VenueError):
    """The venue refused the order and it does not exist there."""


class VenueUnreachable(VenueError):
    """The venue could not be reached and no order was sent."""


class VenueHeld(VenueUnreachable):
    """The venue was not even asked, as it is to be left alone for a while: no failure of its own."""


class VenueAmbiguous(VenueError):
    """The order was sent and the venue gave no proof either way."""


class OrderNotFound(VenueError):
    """The venue does not know this client order id, this once."""


class StorageError(QuarterdeckError):
    """Something could not be stored or read back."""


class CannotRecord(StorageError):
    """The write did not become durable; what depended on it must not happen."""


class DatabaseCorrupt(StorageError):
    """The database fails its own integrity check."""


class ChainBroken(StorageError):
    """The journal's hash chain does not hold from the named row on."""


class EngineError(QuarterdeckError):
    """The engine process itself."""


class AlreadyRunning(EngineError):
    """Another engine owns this data folder."""


class NotRunning(EngineError):
    """No engine owns this data folder."""


class Fenced(EngineError):
    """A newer engine has taken over; this one must not write any more."""
