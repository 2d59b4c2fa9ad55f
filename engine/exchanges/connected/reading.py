"""What ccxt made of an exchange's answer, as facts of the domain; what is missing or cannot be is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from engine.domain.errors import VenueUnreachable
from engine.domain.instruments import InstrumentKey
from engine.domain.market import from_ms
from engine.domain.orders import Fill, FundingPaid, Liquidity, OrderState, Side
from engine.domain.portfolio import Balance, VenuePosition
from engine.exchanges.connected.dialects import Dialect, Wallet

ACCOUNT = "main"
NONE = Decimal(0)
_Answer = Mapping[str, Any]
_OPEN, _ENDED = ("open",), ("canceled", "cancelled", "expired")
SIZE = "contractSize"
"""Key under which `with_sizes` leaves the base quantity of one contract on an answer."""


class Unreadable(VenueUnreachable):
    """The exchange answered with something that cannot be; nothing is concluded from it."""


@dataclass(frozen=True, slots=True)
class Report:
    """What an exchange says about one of its orders: quantities in base, prices in quote.

    ``state`` None is an acknowledgement without any state; ``quantity`` and ``stop_price`` None are not told.
    ``traded_as`` is the id under which a triggered stop trades on.
    """

    venue_order_id: str
    client_id: str | None
    symbol: str | None
    side: Side | None
    state: OrderState | None
    filled: Decimal
    quantity: Decimal | None
    stop_price: Decimal | None
    at: datetime
    traded_as: str | None = None


@dataclass(frozen=True, slots=True)
class Trade:
    """An execution whose order is known to us only by the exchange's ids; quantity in base, price in quote."""

    number: str
    venue_order_id: str
    client_id: str | None
    symbol: str
    side: Side
    quantity: Decimal
    price: Decimal
    fee: Decimal
    fee_currency: str
    liquidity: Liquidity
    at: datetime


class Reader:
    """Reads the answers of one venue.

    Parameters
    ----------
    venue : str
    dialect : Dialect
    now : callable
        The exchange's time as far as known, aware UTC; for answers without a time.
    """

    def __init__(self, venue: str, dialect: Dialect, now: Callable[[], datetime]) -> None:
        self._venue = venue
        self._dialect = dialect
        self._now = now

    def key(self, symbol: str) -> InstrumentKey:
        """The instrument key of a unified symbol."""
        return InstrumentKey(f"{self._venue}:{symbol}")

    def report(self, answer: Any) -> Report:
        """What an order answer says; raises `Unreadable` where it names no order (a page of HTML leaves just that)."""
        order = self._mapping(answer, "an order")
        number = order.get("id")
        if not number:
            raise Unreadable(f"{self._venue} answered without an order number")
        size = _size(order)
        filled = self._amount(order, "filled", least=NONE, default=NONE) * size
        quantity = self._optional(order, "amount")
        quantity = None if quantity is None else quantity * size
        side = order.get("side")
        return Report(
            str(number),
            order.get("clientOrderId") or None,
            order.get("symbol") or None,
            None if side is None else self._side(order),
            self._state(order, filled, quantity),
            filled,
            quantity,
            self._stop_price(order),
            self._at(order, "lastUpdateTimestamp", "lastTradeTimestamp", "timestamp"),
            self._traded_as(order),
        )

    def trade(self, answer: Any) -> Trade:
        """An execution; raises `Unreadable` where a part of it is missing or cannot be."""
        row = self._mapping(answer, "an execution")
        number, symbol, order = row.get("id"), row.get("symbol"), row.get("order")
        if not number or not symbol or not order:
            raise Unreadable(f"{self._venue} told an execution without number, symbol or order")
        fee, fee_currency = self._fee(row)
        told = self._raw(row).get(self._dialect.trades.client_id_field or "no such field")
        return Trade(
            f"{symbol}:{number}" if self._dialect.trades.numbered_by_symbol else str(number),
            str(order),
            str(told) if told else None,
            symbol,
            self._side(row),
            self._amount(row, "amount", above=NONE) * _size(row),
            self._amount(row, "price", above=NONE),
            fee,
            fee_currency,
            Liquidity.MAKER if row.get("takerOrMaker") == "maker" else Liquidity.TAKER,
            self._time(row, "timestamp"),
        )

    def fill(self, trade: Trade, client_id: str) -> Fill:
        """The execution of the order with that id."""
        return Fill(
            self._venue,
            ACCOUNT,
            trade.number,
            client_id,
            trade.venue_order_id,
            self.key(trade.symbol),
            trade.side,
            trade.quantity,
            trade.price,
            trade.fee,
            trade.fee_currency,
            trade.liquidity,
            trade.at,
        )

    def funding(self, answer: Any, *, paid_is_positive: bool = False) -> FundingPaid:
        """A funding payment; ``rate`` and ``mark`` are 0 where the exchange does not tell them."""
        row = self._mapping(answer, "a funding payment")
        number, symbol, currency = row.get("id"), row.get("symbol"), row.get("code")
        if not number or not symbol or not currency:
            raise Unreadable(f"{self._venue} told a funding payment without number, symbol or coin")
        amount = self._amount(row, "amount")
        rate = self._optional(row, "rate") or self._optional(row, "fundingRate")
        return FundingPaid(
            self._venue,
            ACCOUNT,
            f"{symbol}:funding:{number}",
            self.key(symbol),
            rate or NONE,
            self._optional(row, "markPrice") or NONE,
            -amount if paid_is_positive else amount,
            currency,
            self._time(row, "timestamp"),
        )

    def balances(self, answer: Any, wallet: Wallet) -> tuple[Balance, ...]:
        """Coins of a wallet above zero, by name; raises `Unreadable` where the answer names no coin at all."""
        if wallet.rows:
            coins = self._raw_balances(answer, wallet)
        else:
            told = self._mapping(answer, "balances")
            totals, free = self._mapping(told.get("total"), "balances"), self._mapping(told.get("free"), "balances")
            coins = {
                coin: (self._number(totals[coin], coin), self._number(free.get(coin, totals[coin]), coin))
                for coin in totals
            }
        if not coins:
            raise Unreadable(f"{self._venue} names no coin at all; an account that is read holds or held some")
        return tuple(
            Balance(self._venue, ACCOUNT, coin, total, usable)
            for coin, (total, usable) in sorted(coins.items())
            if total != 0
        )

    def position(self, answer: Any) -> VenuePosition | None:
        """A derivative position in signed base; None where the row says that none is open."""
        row = self._mapping(answer, "a position")
        symbol = row.get("symbol")
        if not symbol:
            raise Unreadable(f"{self._venue} told a position without a symbol")
        contracts = self._amount(row, "contracts", least=NONE, default=NONE)
        if not contracts:
            return None
        side = row.get("side")
        if side not in ("long", "short"):
            raise Unreadable(f"{self._venue} told a position of {contracts} {symbol} without its side")
        sign = 1 if side == "long" else -1
        return VenuePosition(
            self._venue,
            ACCOUNT,
            self.key(symbol),
            contracts * _size(row) * sign,
            self._amount(row, "entryPrice", above=NONE),
        )

    # -- parts ----------------------------------------------------------------------------------------------------

    def _state(self, order: _Answer, filled: Decimal, quantity: Decimal | None) -> OrderState | None:
        """The end is judged by what was filled: a word for the end says nothing about how much."""
        status = order.get("status")
        whole = quantity is not None and filled >= quantity > 0
        if status is None:
            return None
        if status in _OPEN:
            return OrderState.PARTIAL if filled else OrderState.WORKING
        if status == "canceling":
            return OrderState.PENDING_CANCEL
        if status == "closed":
            return OrderState.FILLED if whole or (quantity is None and filled) else OrderState.CANCELLED
        if status in _ENDED or status == "rejected":
            if whole:
                return OrderState.FILLED
            return OrderState.REJECTED if status == "rejected" and not filled else OrderState.CANCELLED
        raise Unreadable(f"{self._venue} calls an order {status!r}, which is not known here")

    def _stop_price(self, order: _Answer) -> Decimal | None:
        for name in ("triggerPrice", "stopLossPrice", "stopPrice"):
            price = self._optional(order, name)
            if price:
                return price
        return None

    def _traded_as(self, order: _Answer) -> str | None:
        name = self._dialect.traded_as
        return str(self._raw(order).get(name) or "") or None if name else None

    def _fee(self, row: _Answer) -> tuple[Decimal, str]:
        fee = row.get("fee")
        if not isinstance(fee, Mapping) or fee.get("cost") is None or not fee.get("currency"):
            raise Unreadable(f"{self._venue} told an execution of {row.get('symbol')} without its fee")
        field = self._dialect.trades.fee_currency_field
        coin = self._raw(row).get(field) if field else None
        return self._number(fee["cost"], "fee"), str(coin or fee["currency"])

    def _raw_balances(self, answer: Any, wallet: Wallet) -> dict[str, tuple[Decimal, Decimal]]:
        raw = self._mapping(self._mapping(answer, "balances").get("info"), "balances")
        rows = raw.get(wallet.rows)
        rows = [rows] if isinstance(rows, Mapping) else rows
        if not isinstance(rows, list):
            raise Unreadable(f"{self._venue} sent something that is no list of balances")
        coins = {}
        for row in rows:
            coin = self._mapping(row, "balances").get(wallet.coin)
            if not coin:
                raise Unreadable(f"{self._venue} told a balance without its coin")
            coins[str(coin)] = (
                self._number(row.get(wallet.total), wallet.total),
                self._number(row.get(wallet.free), wallet.free),
            )
        return coins

    def _mapping(self, value: Any, what: str) -> _Answer:
        if not isinstance(value, Mapping):
            raise Unreadable(f"{self._venue} sent something that is not {what}")
        return value

    def _raw(self, row: _Answer) -> _Answer:
        info = row.get("info")
        return info if isinstance(info, Mapping) else {}

    def _side(self, row: _Answer) -> Side:
        try:
            return Side(row.get("side"))
        except ValueError as error:
            raise Unreadable(f"{self._venue} names no side that is known: {row.get('side')!r}") from error

    def _optional(self, row: _Answer, name: str) -> Decimal | None:
        return None if row.get(name) is None else self._number(row[name], name)

    def _amount(
        self,
        row: _Answer,
        name: str,
        *,
        above: Decimal | None = None,
        least: Decimal | None = None,
        default: Decimal | None = None,
    ) -> Decimal:
        if row.get(name) is None:
            if default is not None:
                return default
            raise Unreadable(f"{self._venue} left out {name}")
        value = self._number(row[name], name)
        if (above is not None and value <= above) or (least is not None and value < least):
            raise Unreadable(f"{self._venue} says {name} {value}, which cannot be")
        return value

    def _number(self, value: Any, name: str) -> Decimal:
        try:
            number = Decimal(str(value))
        except InvalidOperation as error:
            raise Unreadable(f"{self._venue} sent {value!r} as {name}") from error
        if not number.is_finite():
            raise Unreadable(f"{self._venue} sent {value!r} as {name}")
        return number

    def _at(self, row: _Answer, *names: str) -> datetime:
        told = next((row[name] for name in names if row.get(name)), None)
        return self._now() if told is None else self._time({"at": told}, "at")

    def _time(self, row: _Answer, name: str) -> datetime:
        told = row.get(name)
        if type(told) is not int or told <= 0:
            raise Unreadable(f"{self._venue} sent {told!r} as the time of an event")
        return from_ms(told)


def with_sizes(client: Any, rows: Sequence[Any]) -> list[dict[str, Any]]:
    """The rows with the base quantity of one contract on each; spot and unknown markets count in base already.

    Raises
    ------
    Unreadable
        Where the answer is no list of rows.
    """
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise Unreadable("the exchange sent something that is no list")
    for row in rows:
        market = (client.markets or {}).get(row.get("symbol") or "") or {}
        row[SIZE] = str(market.get("contractSize") or 1)
    return rows


def _size(row: _Answer) -> Decimal:
    return Decimal(str(row.get(SIZE) or 1))
