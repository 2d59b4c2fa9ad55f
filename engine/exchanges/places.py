"""Whether an exchange refuses the place it is asked from, by its answer."""

from __future__ import annotations

import re

_PLACE = re.compile(r"(?i)countr|region|restricted location|territor|jurisdiction|cloudfront")


def refused_place(title: str, status: int | None, body: str) -> str:
    """What to say where an exchange does not serve this place; "" where the answer is about something else.

    >>> refused_place("Binance", 451, "Service unavailable from a restricted location").partition(" (")[0]
    'Binance does not serve the country or network this computer asks from'
    >>> refused_place("Bybit", 403, "access too frequent")
    ''
    """
    if status != 451 and not (status == 403 and _PLACE.search(body)):
        return ""
    return (
        f"{title} does not serve the country or network this computer asks from ({status}). Asking again is no help: "
        f"choose an exchange that serves this place"
    )
