"""Fees in a third coin (BNB, KCS, MNT): booked in their coin, paid for in base currency at what the coin is worth.

The coin is the trader's own as long as he has any at the venue; what is missing was the engine's, and goes at the same
price. The book pays whoever gave it, so that its P&L bears the fee and its balances, with the trader's, are the
venue's. While no price is known the fee is owed: a negative balance of the coin.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal, localcontext

from engine.domain.facts import CoinPriced
from engine.domain.instruments import Instrument, InstrumentKey, Kind
from engine.domain.orders import Fill
from engine.ledger.ledger import EXACT, CoinFee, is_third_coin
from engine.trading.book import Book
from engine.trading.outside import OwedFee

ZERO = Decimal(0)
FRESH = timedelta(minutes=5)
"""Market time for which a price that was noted says what a fee is worth; later ones wait for another."""


def price_of_coin(book: Book, coin: str) -> Decimal | None:
    """Base currency for one coin, by the mark of the first instrument that says so; None where none does."""
    if coin == book.config.base_currency:
        return Decimal(1)
    for key, instrument in sorted(book.ledger.instruments.items()):
        price = book.price(key) if instrument.base == coin else None
        if price is not None:
            return price
    return None


def news_of_prices(book: Book, fills: Iterable[Fill], at: datetime) -> list[CoinPriced]:
    """What is to be journaled before fills, so that their fees are worth the same whenever they are read back."""
    coins = {fill.fee_currency for fill in fills if _is_third(book, fill)}
    if book.outside.owed:
        coins |= {fee.coin for fee in book.outside.owed}
    prices = {coin: price_of_coin(book, coin) for coin in sorted(coins)}
    return [CoinPriced(c, p, at) for c, p in prices.items() if p is not None and p != _noted(book, c, at)]


def _noted(book: Book, coin: str, at: datetime) -> Decimal | None:
    """The price last noted, unless it is too old to say what a fee at ``at`` was worth."""
    price, noted_at = book.outside.coin_prices.get(coin, (None, at))
    return price if at - noted_at <= FRESH else None


def _is_third(book: Book, fill: Fill) -> bool:
    instrument = book.ledger.instruments.get(fill.instrument)
    return instrument is not None and is_third_coin(fill, instrument)


def apply_price(book: Book, priced: CoinPriced) -> list[tuple[str, InstrumentKey]]:
    """Fold a price: fees owed in the coin are settled. Returns the positions that gave coins for them."""
    outside, touched = book.outside, list[tuple[str, InstrumentKey]]()
    outside.coin_prices[priced.coin] = (priced.price, priced.at)
    due = [fee for fee in outside.owed if fee.coin == priced.coin]
    outside.owed = [fee for fee in outside.owed if fee.coin != priced.coin]
    for fee in due:
        touched += _settle(book, fee, priced.price, is_late=True)
    return touched


def book_coin_fee(book: Book, fill: Fill, sleeve: str) -> list[tuple[str, InstrumentKey]]:
    """Fold the fee of a fill that the ledger is about to book, where it is in a third coin.

    Returns
    -------
    list of (str, InstrumentKey)
        Sleeves and positions that became smaller, because the trader had none of the coin.
    """
    if not _is_third(book, fill):
        return []
    owed = OwedFee(fill.venue, fill.fee_currency, fill.fee, sleeve, fill.instrument)
    price = _noted(book, fill.fee_currency, fill.at)
    if price is None:
        book.outside.owed.append(owed)
        return []
    return _settle(book, owed, price, is_late=False)


def _settle(book: Book, fee: OwedFee, price: Decimal, *, is_late: bool) -> list[tuple[str, InstrumentKey]]:
    with localcontext(EXACT):
        where, base = (fee.venue, fee.coin), (fee.venue, book.config.base_currency)
        book.ledger.settle_fee(
            fee.venue, CoinFee(fee.coin, fee.amount, price, fee.sleeve, fee.instrument, is_late=is_late)
        )
        rest = max(ZERO, fee.amount - max(ZERO, book.external.get(where, ZERO)))
        touched, engines = _give_up(book, fee, rest, price)
        his = fee.amount - engines
        book.external[where] = book.external.get(where, ZERO) - his
        book.external[base] = book.external.get(base, ZERO) + his * price
        # The engine's own coins were booked as sold for base currency that nobody paid: the fee took the coins instead.
        return touched


def _give_up(
    book: Book, fee: OwedFee, quantity: Decimal, price: Decimal
) -> tuple[list[tuple[str, InstrumentKey]], Decimal]:
    """Take coins out of the engine's spot positions at the venue; which ones, and how many (base) were there."""
    touched: list[tuple[str, InstrumentKey]] = []
    left = quantity
    for sleeve, key, holding in list(book.ledger.open_holdings()):
        size = min(left, holding.quantity)
        if size > 0 and _is_coin(book.ledger.instruments[key], fee):
            book.ledger.give_up(sleeve, key, size, price)
            touched.append((sleeve, key))
            left -= size
    return touched, quantity - left


def _is_coin(instrument: Instrument, fee: OwedFee) -> bool:
    return instrument.kind is Kind.SPOT and instrument.venue == fee.venue and instrument.base == fee.coin


def unpriced_fees(book: Book) -> list[str]:
    """Fees that no P&L holds yet, in words, a line for each coin and venue."""
    sums: dict[tuple[str, str], Decimal] = {}
    for fee in book.outside.owed:
        sums[fee.venue, fee.coin] = sums.get((fee.venue, fee.coin), ZERO) + fee.amount
    return [f"{amount} {coin} of fees at {venue}" for (venue, coin), amount in sorted(sums.items())]
