"""What a coin is worth in another: found over the markets that list it, with the path, the source and the age."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from engine.domain.wallet_views import CoinPrice

MOST_STEPS = 3
BRIDGES = ("USDT", "USDC", "USD", "BTC", "ETH", "EUR")
"""Coins that a path leads over first: the markets of these are the busiest."""
ONE = Decimal(1)

_Edge = tuple[str, Decimal, CoinPrice]


@dataclass(frozen=True, slots=True)
class Worth:
    """Units of the wished currency for one coin; ``at`` is the wall time of the oldest price on the path, None for
    the currency itself."""

    price: Decimal
    path: tuple[str, ...]
    at: datetime | None
    source: str

    @property
    def words(self) -> str:
        """The path as people read it; "" where there is nothing to convert."""
        return " → ".join(self.path) if len(self.path) > 1 else ""


class Prices:
    """Prices of many venues, searched for the worth of a coin.

    Parameters
    ----------
    prices : iterable of CoinPrice
        A pair that one venue tells twice is taken from the first.
    """

    def __init__(self, prices: Iterable[CoinPrice]) -> None:
        self._all: dict[str, dict[str, _Edge]] = {}
        self._of_venue: dict[str, dict[str, dict[str, _Edge]]] = {}
        for each in prices:
            if each.price <= 0 or each.base == each.quote:
                continue
            graph = self._of_venue.setdefault(each.venue, {})
            for into in (graph, self._all):
                into.setdefault(each.base, {}).setdefault(each.quote, (each.quote, each.price, each))
                into.setdefault(each.quote, {}).setdefault(each.base, (each.base, ONE / each.price, each))

    @property
    def coins(self) -> tuple[str, ...]:
        """Every coin that has a price, by name."""
        return tuple(sorted(self._all))

    def worth(self, coin: str, currency: str, venue: str = "") -> Worth | None:
        """What one ``coin`` is worth, over the fewest markets of its own venue, else of all; None where none leads on.

        >>> from datetime import UTC
        >>> noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
        >>> made = Prices((CoinPrice("x", "ETH", "BTC", Decimal("0.05"), noon, "x mid"),
        ...                CoinPrice("x", "BTC", "USDT", Decimal(50000), noon, "x mid")))
        >>> found = made.worth("ETH", "USDT", "x")
        >>> found.price, found.words
        (Decimal('2500.00'), 'ETH → BTC → USDT')
        """
        if coin == currency:
            return Worth(ONE, (coin,), None, "")
        own = self._of_venue.get(venue)
        return (self._search(own, coin, currency) if own else None) or self._search(self._all, coin, currency)

    @staticmethod
    def _search(graph: dict[str, dict[str, _Edge]], coin: str, currency: str) -> Worth | None:
        """The shortest path; among equals the one over the busiest markets."""
        ways: list[tuple[str, tuple[_Edge, ...]]] = [(coin, ())]
        seen = {coin}
        for _ in range(MOST_STEPS):
            longer: list[tuple[str, tuple[_Edge, ...]]] = []
            for at, way in ways:
                edges = graph.get(at, {})
                if currency in edges:
                    return _along(coin, (*way, edges[currency]))
                longer += [(edge[0], (*way, edge)) for edge in _busiest(edges) if edge[0] not in seen]
                seen.update(edges)
            ways = longer
        return None


def _busiest(edges: dict[str, _Edge]) -> Iterator[_Edge]:
    rank = {name: place for place, name in enumerate(BRIDGES)}
    return (edges[name] for name in sorted(edges, key=lambda name: (rank.get(name, len(rank)), name)))


def _along(coin: str, way: tuple[_Edge, ...]) -> Worth:
    price = ONE
    for _, step, _ in way:
        price *= step
    sources = dict.fromkeys(edge[2].source for edge in way)
    path = (coin, *(edge[0] for edge in way))
    return Worth(price, path, min(edge[2].at for edge in way), ", ".join(sources))
