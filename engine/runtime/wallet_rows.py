"""Balances of books and of connected accounts as one list: each counted once, valued, with path and age of price."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal

from engine.domain.instruments import Kind, venue_of
from engine.domain.portfolio import Balance, BookSnapshot
from engine.domain.wallet_views import CoinPrice, HoldingRow, MoneyKind, WalletOwners
from engine.runtime.valuation import Prices, Worth
from engine.runtime.wallet_shelf import AccountHoldings

ZERO = Decimal(0)
_KINDS = {"testnet": MoneyKind.SANDBOX, "live": MoneyKind.REAL}


def kind_of(book: BookSnapshot) -> MoneyKind:
    """What a book's balances are: paper money on real prices is no holding either."""
    if book.simulated:
        return MoneyKind.SIMULATED
    return _KINDS.get(book.stage, MoneyKind.SIMULATED)


def book_prices(books: Iterable[BookSnapshot]) -> tuple[CoinPrice, ...]:
    """What the books' own markets say, spot before perpetuals; the age is that of the venue's last word."""
    found: list[tuple[bool, CoinPrice]] = []
    for book in books:
        marks, heard = dict(book.marks), {feed.venue: feed.last_wall_time for feed in book.feeds}
        for instrument in book.instruments:
            mark = marks.get(instrument.key)
            if mark is not None:
                venue = venue_of(instrument.key)
                at = heard.get(venue) or book.published_at
                price = CoinPrice(venue, instrument.base, instrument.quote, mark, at, f"last price of {instrument.key}")
                found.append((instrument.kind is not Kind.SPOT, price))
    return tuple(price for _, price in sorted(found, key=lambda each: each[0]))


class Appraiser:
    """Values coins: simulated ones by their own markets alone, real and sandbox ones by connected exchanges first.

    Parameters
    ----------
    books : sequence of BookSnapshot
    connected : Prices
        What connected exchanges told.
    """

    def __init__(self, books: Sequence[BookSnapshot], connected: Prices) -> None:
        real = [book for book in books if not book.simulated]
        self._simulated = Prices(book_prices(books))
        self._real = (connected, Prices(book_prices(real)))
        self._base = {book.base_currency for book in books}
        self._connected = connected

    def worth(self, kind: MoneyKind, coin: str, currency: str, venue: str) -> Worth | None:
        """What one coin is worth in ``currency``; None where no market tells."""
        sources = (self._simulated, self._connected) if kind is MoneyKind.SIMULATED else self._real
        found = (source.worth(coin, currency, venue) for source in sources)
        return next((worth for worth in found if worth is not None), None)

    def rate(self, base: str, currency: str) -> Worth | None:
        """Units of ``currency`` for one of the base currency, by any market; for display alone."""
        return self._simulated.worth(base, currency) or self._connected.worth(base, currency)

    def currencies(self) -> tuple[str, ...]:
        """What amounts can be shown in."""
        return tuple(sorted(self._base | set(self._simulated.coins)))

    def row(self, holding: HoldingRow, base: str, currency: str) -> HoldingRow:
        """The holding with its worth, found in base currency and shown in ``currency``."""
        worth = self.worth(holding.kind, holding.currency, base, holding.venue)
        shown = self.rate(base, currency)
        if worth is None or shown is None:
            return holding
        price = worth.price * shown.price
        moments = [at for at in (worth.at, shown.at) if at is not None]
        return replace(
            holding,
            price=price,
            price_source=worth.source or "base currency",
            value=holding.total * price,
            path=_joined(worth, shown),
            priced_at=min(moments, default=None),
        )


def _joined(worth: Worth, shown: Worth) -> str:
    path = (*worth.path, *shown.path[1:])
    return " → ".join(path) if len(path) > 1 else ""


def holdings(books: Sequence[BookSnapshot], accounts: Sequence[AccountHoldings]) -> list[HoldingRow]:
    """Every balance once, not yet valued; what an account tells and a book knows too is one row with both facts."""
    by_book = {(kind_of(book), each.venue, each.currency): each for book in books for each in book.balances}
    told = [_of_account(each, account, by_book) for account in accounts for each in account.balances]
    covered = {(row.kind, row.venue) for row in told}
    rest = [
        _of_book(each, book)
        for book in books
        for each in book.balances
        if each.total and (kind_of(book), each.venue) not in covered
    ]
    return [*told, *rest]


def _of_account(
    balance: Balance, account: AccountHoldings, by_book: dict[tuple[MoneyKind, str, str], Balance]
) -> HoldingRow:
    owned = by_book.pop((account.kind, balance.venue, balance.currency), None)
    return HoldingRow(
        venue=balance.venue,
        kind=account.kind,
        account=balance.account,
        currency=balance.currency,
        total=balance.total,
        free=balance.free,
        price=None,
        price_source="no price",
        value=None,
        share=None,
        engine_owned=owned.engine_owned if owned is not None else ZERO,
        read_at=account.read_at,
        connection=account.connection,
    )


def _of_book(balance: Balance, book: BookSnapshot) -> HoldingRow:
    return HoldingRow(
        venue=balance.venue,
        kind=kind_of(book),
        account=balance.account,
        currency=balance.currency,
        total=balance.total,
        free=balance.free,
        price=None,
        price_source="no price",
        value=None,
        share=None,
        engine_owned=balance.engine_owned,
        read_at=book.published_at,
    )


def owners_of(
    kind: MoneyKind, rows: Iterable[HoldingRow], books: Iterable[BookSnapshot], rate: Decimal
) -> WalletOwners | None:
    """What the engine trades of one kind, what is the trader's own, and what explains the equity; None where the books
    cannot be valued."""
    priced = [row for row in rows if row.value is not None and row.price is not None]
    its_books = [book for book in books if kind_of(book) is kind]
    if not priced or not all(book.is_valued for book in its_books):
        return None
    total = sum((row.value for row in priced if row.value is not None), ZERO)
    traded = sum((row.engine_owned * row.price for row in priced if row.price is not None), ZERO)
    equity = sum((book.equity * rate for book in its_books), ZERO)
    return WalletOwners(kind, total, traded, total - traded, equity - traded, equity)
