"""Public prices of everything an exchange lists, for the worth of coins; no key is used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from engine.domain.wallet_views import CoinPrice
from engine.exchanges import ExchangeRow
from engine.exchanges.client import Door, asking, open_client

_WIDEST = Decimal("0.1")
"""A spread wider than this share of the price is no market: the middle of it says nothing."""


class PriceReader:
    """Asks one exchange for the prices of everything it lists; what it lists is asked for once.

    Parameters
    ----------
    row : ExchangeRow
    door : Door
        Without credentials.
    """

    def __init__(self, row: ExchangeRow, door: Door) -> None:
        self.door = door
        self._row = row
        self._client: Any = open_client(row, door)
        if row.venues:
            self._client.options = {**self._client.options, **row.venues[0].dialect.options}
        kinds = self._client.options.get("fetchMarkets")
        if isinstance(kinds, dict) and "spot" in kinds.get("types", ()):
            self._client.options["fetchMarkets"] = {**kinds, "types": ["spot"]}

    def read(self, at: datetime) -> tuple[CoinPrice, ...]:
        """What every open spot market says a coin is worth.

        Parameters
        ----------
        at : datetime
            Time of asking; where a market tells when its price is from, that counts.

        Returns
        -------
        tuple of CoinPrice
            The middle of a market with a spread under a tenth, else its last trade; markets without either are left
            out.

        Raises
        ------
        VenueUnreachable
            No answer, or one that is no answer.
        """
        with asking(self._row, self._client):
            markets = self._client.load_markets()
            tickers = self._client.fetch_tickers(None, dict(self._row.wallets.tickers))
            return tuple(_prices(self._row, markets, tickers, at))

    def close(self) -> None:
        """Let the connection go."""
        self._client.close()


def _prices(
    row: ExchangeRow, markets: Mapping[str, Any], tickers: Mapping[str, Any], at: datetime
) -> Iterator[CoinPrice]:
    for symbol in sorted(tickers):
        market, ticker = markets.get(symbol), tickers[symbol]
        if not market or not market.get("spot") or market.get("active") is False:
            continue
        bid, ask, last = (_price(ticker.get(name)) for name in ("bid", "ask", "last"))
        told = _time(ticker.get("timestamp"), at)
        if bid and ask and bid <= ask and ask - bid <= _WIDEST * ask:
            yield CoinPrice(row.name, market["base"], market["quote"], (bid + ask) / 2, told, f"{row.name} mid")
        elif last:
            yield CoinPrice(row.name, market["base"], market["quote"], last, told, f"{row.name} last trade")


def _price(value: Any) -> Decimal | None:
    """A price above zero; None for anything else."""
    try:
        price = Decimal(str(value))
    except InvalidOperation:
        return None
    return price if price.is_finite() and price > 0 else None


def _time(milliseconds: Any, at: datetime) -> datetime:
    """When a price is from: never later than it was asked for."""
    if not isinstance(milliseconds, int | float) or milliseconds <= 0:
        return at
    return min(at, datetime.fromtimestamp(milliseconds / 1000, tz=UTC))
