"""What a coin is worth at a venue, by a public price: for fees that were taken in a third coin."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from engine.exchanges.connected.asking import Parts
from engine.exchanges.connected.fields import Unreadable
from engine.exchanges.connected.lanes import Lane

_WIDEST = Decimal("0.1")
"""A spread wider than this share of the price is no market: the middle of it says nothing."""


class CoinPrices:
    """Asks one venue what coins are worth there; used by the engine's thread alone."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def price(self, coin: str, currency: str) -> Decimal | None:
        """``currency`` for one coin: the middle of its spot market, else of its linear perpetual; where no usable bid
        and ask are told, the last trade. None where there is neither market. Raises `VenueUnreachable`.
        """

        def question(client: Any) -> Decimal | None:
            if not client.markets:
                raise Unreadable(f"the list of markets of {self._parts.row.name} is not known")
            symbols = (f"{coin}/{currency}", f"{coin}/{currency}:{currency}")
            symbol = next((each for each in symbols if _is_open(client.markets.get(each))), None)
            return None if symbol is None else self._read(symbol, client.fetch_ticker(symbol))

        return self._parts.line.ask(Lane.STATUS, question, self._parts.row.limits.weights.ask)

    def _read(self, symbol: str, ticker: Any) -> Decimal:
        told = ticker if isinstance(ticker, Mapping) else {}
        bid, ask, last = (_above_zero(told.get(name)) for name in ("bid", "ask", "last"))
        if bid and ask and bid <= ask and ask - bid <= _WIDEST * ask:
            return (bid + ask) / 2
        if last:
            return last
        raise Unreadable(f"{self._parts.row.name} told no usable price of {symbol}")


def _is_open(market: Any) -> bool:
    return isinstance(market, Mapping) and market.get("active") is not False


def _above_zero(value: Any) -> Decimal | None:
    try:
        price = Decimal(str(value))
    except InvalidOperation:
        return None
    return price if price.is_finite() and price > 0 else None
