"""What a venue trades: tick, lot and least value from the exchange's list, in base also where it counts contracts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from typing import Any

from engine.domain.errors import BadInput, VenueUnreachable
from engine.domain.instruments import Instrument, Kind
from engine.exchanges.connected.dialects import VenueRow
from engine.exchanges.connected.placing import Listed

ONE = Decimal(1)


def read_listed(
    row: VenueRow, markets: Mapping[str, Any], symbols: Sequence[str], leverage: Decimal = ONE, name: str = ""
) -> tuple[Listed, ...]:
    """The instruments of a venue.

    Parameters
    ----------
    row : VenueRow
    markets : mapping
        ccxt's list of markets.
    symbols : sequence of str
        Unified symbols.
    leverage : Decimal
        What the engine plans with for perpetuals, at most the exchange's own maximum.
    name : str
        Venue name in instrument keys; "" is the row's.

    Raises
    ------
    BadInput
        Where the venue does not trade a symbol, or it is of a kind the venue is not for.
    VenueUnreachable
        Where the exchange names no usable tick or lot.
    """
    return tuple(_listed(row, markets, symbol, leverage, name or row.name) for symbol in symbols)


def read_held(
    row: VenueRow, markets: Mapping[str, Any], symbols: Sequence[str], leverage: Decimal = ONE, name: str = ""
) -> tuple[Listed, ...]:
    """As `read_listed` for a book that has begun: also those that are not being traded now, for what it holds there."""
    return tuple(read_as_it_is(row, markets, symbol, leverage, name) for symbol in symbols)


def read_as_it_is(
    row: VenueRow, markets: Mapping[str, Any], symbol: str, leverage: Decimal = ONE, name: str = ""
) -> Listed:
    """One instrument of a venue, also where it is not being traded now: then ``closed`` says so.

    Parameters and errors are those of `read_listed`.
    """
    name = name or row.name
    market = markets.get(symbol)
    if market is None:
        base = symbol.split("/")[0]
        similar = [each for each in markets if each.startswith(base + "/")][:8]
        raise BadInput(f"{name} does not trade {symbol!r}; with {base} it trades {', '.join(similar) or 'nothing'}")
    kind = Kind.SPOT if market.get("spot") else Kind.PERPETUAL
    if kind is Kind.PERPETUAL and not (market.get("swap") and market.get("linear")):
        raise BadInput(f"{symbol} at {name} is neither spot nor a linear perpetual; choose another symbol")
    if kind not in row.kinds:
        kinds = ", ".join(each.value for each in row.kinds)
        raise BadInput(f"{symbol} is a {kind.value}; {name} is for {kinds}")
    try:
        listed = _facts(market, kind, leverage, name)
    except (InvalidOperation, KeyError, TypeError) as error:
        raise VenueUnreachable(f"{name} names no usable tick or lot for {symbol}") from error
    if market.get("active") is False:
        return replace(listed, closed=f"{symbol} is not being traded at {name} now")
    return listed


def _listed(row: VenueRow, markets: Mapping[str, Any], symbol: str, leverage: Decimal, name: str) -> Listed:
    listed = read_as_it_is(row, markets, symbol, leverage, name)
    if listed.closed:
        raise BadInput(f"{listed.closed}; choose another symbol")
    return listed


def _facts(market: Mapping[str, Any], kind: Kind, leverage: Decimal, name: str) -> Listed:
    size = _plain(market.get("contractSize") or 1) if kind is Kind.PERPETUAL else ONE
    limits = market.get("limits") or {}
    most = (limits.get("leverage") or {}).get("max")
    instrument = Instrument(
        name,
        market["base"],
        market["quote"],
        kind,
        _plain(market["precision"]["price"]),
        _plain(market["precision"]["amount"]) * size,
        _plain((limits.get("cost") or {}).get("min") or 0),
        ONE if kind is Kind.SPOT else min(leverage, _plain(most or leverage)),
    )
    return Listed(instrument, size)


def _plain(value: Any) -> Decimal:
    """The number without trailing zeros or exponent."""
    return Decimal(format(Decimal(str(value)).normalize(), "f"))
