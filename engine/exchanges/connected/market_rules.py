"""What an exchange's list of markets says of what is traded there, and how that differs from what was known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from engine.domain.conditions import MarketNews
from engine.domain.errors import BadInput, VenueUnreachable
from engine.domain.instruments import InstrumentKey
from engine.domain.market import from_ms
from engine.exchanges.connected.dialects import VenueRow
from engine.exchanges.connected.listing import read_as_it_is
from engine.exchanges.connected.placing import Listed

TOLD_AHEAD = timedelta(days=365)
"""An end of trading that lies further ahead is how exchanges write that there is none."""
_GRAVE = ("its contract", "its highest leverage")
"""Rules that sizes and margins were planned with: nothing is opened before a person has looked at the new ones."""
_END_FIELDS = ("deliveryTime", "deliveryDate")
"""Where Bybit and Binance tell when a perpetual will be taken off their lists; 0 or the year 2100 where it will not."""


class MarketRules:
    """The rules of what a venue trades as last told; used by one thread.

    Parameters
    ----------
    row : VenueRow
    name : str
        Venue name in instrument keys.
    listed : sequence of Listed
        As read when the book was built; ``closed`` of it counts as news.
    modes : mapping
        As `set_modes`, of when the book was built: it lasts until the account was asked again.
    """

    def __init__(
        self, row: VenueRow, name: str, listed: Sequence[Listed], modes: Mapping[InstrumentKey, str] | None = None
    ) -> None:
        self._row, self._name = row, name
        self._planned = {each.instrument.key: each.instrument.max_leverage for each in listed}
        self._known = {each.instrument.key: each for each in listed}
        self._grave: dict[InstrumentKey, str] = {}
        self._by_list: dict[InstrumentKey, str] = {}
        self._by_mode: dict[InstrumentKey, str] = dict(modes or {})
        self._told: dict[InstrumentKey, str] = {}

    def begin(self) -> list[MarketNews]:
        """What was closed already when the book was built."""
        self._by_list = {key: each.closed for key, each in self._known.items() if each.closed}
        return self._news({})

    def read(self, markets: Mapping[str, Any], now: datetime) -> list[MarketNews]:
        """What is new in a list of markets.

        Parameters
        ----------
        markets : mapping
            ccxt's list of markets.
        now : datetime
            The exchange's time.
        """
        changed: dict[InstrumentKey, str] = {}
        for key, before in list(self._known.items()):
            after, self._by_list[key] = self._read(key, before, markets, now)
            rules = _differences(before, after)
            if rules:
                changed[key] = "; ".join(rules.values())
            grave = [words for name, words in rules.items() if name in _GRAVE]
            if grave:
                self._grave[key] = f"{'; '.join(grave)}. Look at it, then start the book again"
            self._known[key] = after
        return self._news(changed)

    def set_modes(self, problems: Mapping[InstrumentKey, str]) -> list[MarketNews]:
        """What is new in how the account is set up: why an instrument must not be traded so, by instrument."""
        self._by_mode = dict(problems)
        return self._news({})

    def _read(
        self, key: InstrumentKey, before: Listed, markets: Mapping[str, Any], now: datetime
    ) -> tuple[Listed, str]:
        """As it is listed now, and why it is closed; as before where the list says nothing that can be used."""
        symbol = before.instrument.symbol
        try:
            after = read_as_it_is(self._row, markets, symbol, self._planned[key], self._name)
        except BadInput:
            return before, f"{self._name} no longer lists {symbol}: it was taken off the list, or is about to be"
        except VenueUnreachable as error:
            return before, str(error)
        return after, after.closed or _ends_soon(self._name, markets[symbol], now)

    def _news(self, changed: Mapping[InstrumentKey, str]) -> list[MarketNews]:
        news = []
        for key, listed in self._known.items():
            reasons = (self._by_list.get(key), self._by_mode.get(key), self._grave.get(key))
            closed = "; ".join(each for each in reasons if each)
            if key in changed or closed != self._told.get(key, ""):
                self._told[key] = closed
                news.append(MarketNews(listed.instrument, listed.contract_size, changed.get(key, ""), closed))
        return news


def _ends_soon(name: str, market: Mapping[str, Any], now: datetime) -> str:
    """That a perpetual will be taken off the list, where the exchange has said so; "" where it has not."""
    info = market.get("info") or {}
    for field in _END_FIELDS:
        try:
            ends_ms = int(info.get(field) or 0)
        except (TypeError, ValueError):
            continue
        if ends_ms > 0 and from_ms(ends_ms) - now < TOLD_AHEAD:
            at = from_ms(ends_ms).isoformat(sep=" ", timespec="minutes")
            return f"{name} takes {market.get('symbol')} off its list on {at}; close what is held before"
    return ""


def _differences(before: Listed, after: Listed) -> dict[str, str]:
    """Every rule that is another one now, in words."""
    old, new = _rules(before), _rules(after)
    return {name: f"{name} is {new[name]:f} now, it was {old[name]:f}" for name in new if new[name] != old[name]}


def _rules(listed: Listed) -> dict[str, Decimal]:
    instrument = listed.instrument
    return {
        "its tick": instrument.tick_size,
        "its lot": instrument.lot_size,
        "its least value": instrument.min_notional,
        "its contract": listed.contract_size,
        "its highest leverage": instrument.max_leverage,
    }
