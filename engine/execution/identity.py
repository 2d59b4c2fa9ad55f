"""Client order ids: deterministic, never reused, short enough for every exchange."""

from __future__ import annotations

from engine.domain.errors import BadInput

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
LENGTH = 18


def base36(number: int, width: int) -> str:
    """A non-negative number in ``0-9a-z``, padded with zeros; raises `BadInput` where it does not fit.

    >>> base36(1295, 4)
    '00zz'
    """
    text = ""
    rest = number
    while rest:
        rest, digit = divmod(rest, 36)
        text = _DIGITS[digit] + text
    if number < 0 or len(text) > width:
        raise BadInput(f"{number} does not fit into {width} characters of base 36")
    return text.rjust(width, "0")


class ClientIds:
    """Ids of one book under one lease: 2 characters book, 5 installation, 4 epoch, 7 sequence.

    The epoch exceeds every epoch seen, so a sequence may begin anew at each start; an id whose epoch is higher than
    ours tells that another engine trades the account.

    >>> ids = ClientIds("d1", "x7k2p", 3)
    >>> ids.next(), len(ids.next())
    ('d1x7k2p00030000001', 18)
    >>> ids.epoch_of("d1x7k2p00040000001")
    4
    """

    def __init__(self, book: str, installation: str, epoch: int) -> None:
        if len(book) != 2 or len(installation) != 5 or set(book + installation) - set(_DIGITS):
            raise BadInput(f"book {book!r} must be 2 and installation {installation!r} 5 characters of 0-9a-z")
        self.installation = installation
        self._prefix = f"{book}{installation}"
        self.epoch = epoch
        self._epoch = base36(epoch, 4)
        self._sequence = 0

    def next(self) -> str:
        """The next id."""
        self._sequence += 1
        return f"{self._prefix}{self._epoch}{base36(self._sequence, 7)}"

    def owns(self, client_id: str) -> bool:
        """Whether this book of this installation made the id, under any epoch."""
        return len(client_id) == LENGTH and client_id.startswith(self._prefix)

    def is_of_newer_engine(self, client_id: str) -> bool:
        """Whether this book made the id under a later lease than ours: another engine trades the account."""
        return self.owns(client_id) and self.epoch_of(client_id) > self.epoch

    def epoch_of(self, client_id: str) -> int:
        """The lease epoch inside an id this book made."""
        return int(client_id[7:11], 36)
