"""What to do about a key that an exchange does not accept: its own words stay, the way out is added."""

from __future__ import annotations

import re

from engine.exchanges import ExchangeRow

_ADVICE: tuple[tuple[str, str], ...] = (
    (r"33004|expired", "The key has expired: make a new one at the exchange and connect it"),
    (
        r"10010|unmatched ip|\bip\b.*(?:not|whitelist|allow)|400006",
        "Bind the key to the address of this computer at the exchange, or connect one that is",
    ),
    (r"10004|-1022|signature|400005|-1099", "The secret does not belong to the key: connect both again, pasted whole"),
    (r"passphrase|400004", "The passphrase is not the one chosen when the key was made: connect all three again"),
    (r"10005|permission denied|-1002|403", "Give the key the right to read and to trade at the exchange"),
    (
        r"10003|-2014|-2015|-2008|invalid.{0,12}key|400003|unauthorized|key is invalid",
        "Check that the key was pasted whole, still exists, and is bound to the address of this computer",
    ),
)
"""By what stands in the exchange's words or codes, the narrowest first."""


def advice(row: ExchangeRow, words: str, sandbox: bool) -> str:
    """The way out of a refusal, as one sentence.

    Parameters
    ----------
    row : ExchangeRow
    words : str
        What the exchange said.
    sandbox : bool
        Whether its test exchange was asked.
    """
    if "can withdraw" in words:
        return "Take the right to withdraw from the key at the exchange, or connect another key"
    text = words.lower()
    found = next((what for pattern, what in _ADVICE if re.search(pattern, text)), "")
    if not found:
        return row.permission_check
    place, other = ("the sandbox", "the exchange itself") if sandbox else ("the exchange itself", "the sandbox")
    if row.has_sandbox and found is _ADVICE[-1][1]:
        return f"{found}. {place.capitalize()} was asked: a key of {other} does not work there"
    return found
