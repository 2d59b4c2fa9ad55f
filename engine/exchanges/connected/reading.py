"""What ccxt made of an exchange's answer, as facts of the domain; what is missing or cannot be is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from engine.domain.instruments import InstrumentKey
from engine.domain.orders import CashFlow, Fill, FillCause, FundingPaid, Liquidity, OrderState, OrderType, Side
from engine.domain.portfolio import Balance, VenuePosition
from engine.exchanges.connected.causes import cause_of
from engine.exchanges.connected.dialects import Dialect, Flows, Wallet
from engine.exchanges.connected.fields import Answer, Fields, Unreadable

ACCOUNT = "main"
NONE = Decimal(0)
_OPEN, _ENDED = ("open",), ("canceled", "cancelled", "expired")
SIZE = "contractSize"
"""Key under which `with_sizes` leaves the base quantity of one contract on an answer."""


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
    order_type: OrderType = OrderType.MARKET
    limit_price: Decimal | None = None
    reduce_only: bool = False


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
    cause: FillCause = FillCause.TRADE


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
        self.venue = venue
        self._dialect = dialect
        self._fields = Fields(venue, now)

    def now(self) -> datetime:
        """The exchange's time as far as known."""
        return self._fields.now()

    def key(self, symbol: str) -> InstrumentKey:
        """The instrument key of a unified symbol."""
        return InstrumentKey(f"{self.venue}:{symbol}")

    def report(self, answer: Any) -> Report:
        """What an order answer says; raises `Unreadable` where it names no order (a page of HTML leaves just that)."""
        order = self._fields.mapping(answer, "an order")
        number = order.get("id")
        if not number:
            raise Unreadable(f"{self.venue} answered without an order number")
        size = _size(order)
        if order.get("filled") is None and order.get("status") not in (None, *_OPEN):
            raise Unreadable(f"{self.venue} says that an order has ended, and not how much of it was filled")
        filled = self._fields.amount(order, "filled", least=NONE, default=NONE) * size
        quantity = self._fields.optional(order, "amount")
        quantity = None if quantity is None else quantity * size
        side, stop_price, price = order.get("side"), self._stop_price(order), self._fields.optional(order, "price")
        kind = OrderType.STOP if stop_price else OrderType.LIMIT if price else OrderType.MARKET
        return Report(
            str(number),
            order.get("clientOrderId") or None,
            order.get("symbol") or None,
            None if side is None else self._fields.side(order),
            self._state(order, filled, quantity),
            filled,
            quantity,
            stop_price,
            self._fields.at(order, "lastUpdateTimestamp", "lastTradeTimestamp", "timestamp"),
            self._traded_as(order),
            kind,
            price or None,
            bool(order.get("reduceOnly")),
        )

    def trade(self, answer: Any) -> Trade:
        """An execution; raises `Unreadable` where a part of it is missing or cannot be."""
        row = self._fields.mapping(answer, "an execution")
        raw, trades = self._fields.raw(row), self._dialect.trades
        cause = cause_of(str(raw.get(trades.cause_field) or "") if trades.cause_field else "")
        number, symbol = row.get("id"), row.get("symbol")
        order = row.get("order") or (number if cause is not FillCause.TRADE else None)
        if not number or not symbol or not order:
            raise Unreadable(f"{self.venue} told an execution without number, symbol or order")
        fee, fee_currency = self._fee(row, cause)
        if trades.price_field and not raw.get(trades.price_field):
            raise Unreadable(f"{self.venue} told an execution of {symbol} without its price")
        told = raw.get(trades.client_id_field) if trades.client_id_field else None
        return Trade(
            f"{symbol}:{number}" if trades.numbered_by_symbol else str(number),
            str(order),
            str(told) if told else None,
            symbol,
            self._fields.side(row),
            self._fields.amount(row, "amount", above=NONE) * _size(row),
            self._fields.amount(row, "price", above=NONE),
            fee,
            fee_currency,
            Liquidity.MAKER if row.get("takerOrMaker") == "maker" else Liquidity.TAKER,
            self._fields.time(row, "timestamp"),
            cause,
        )

    def fill(self, trade: Trade, client_id: str) -> Fill:
        """The execution of the order with that id."""
        return Fill(
            self.venue,
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
            trade.cause if trade.cause is not FillCause.TRADE else cause_of(client_id),
        )

    def funding(self, answer: Any, *, paid_is_positive: bool = False) -> FundingPaid:
        """A funding payment; ``rate`` and ``mark`` are 0 where the exchange does not tell them."""
        row = self._fields.mapping(answer, "a funding payment")
        number, symbol, currency = row.get("id"), row.get("symbol"), row.get("code")
        if not number or not symbol or not currency:
            raise Unreadable(f"{self.venue} told a funding payment without number, symbol or coin")
        amount = self._fields.amount(row, "amount")
        rate = self._fields.optional(row, "rate") or self._fields.optional(row, "fundingRate")
        return FundingPaid(
            self.venue,
            ACCOUNT,
            f"{symbol}:funding:{number}",
            self.key(symbol),
            rate or NONE,
            self._fields.optional(row, "markPrice") or NONE,
            -amount if paid_is_positive else amount,
            currency,
            self._fields.time(row, "timestamp"),
        )

    def flow(self, answer: Any, flows: Flows) -> CashFlow | None:
        """Money that moved beside trades; None for a row that is something else, or has not happened yet."""
        row = self._fields.mapping(answer, "a movement of money")
        kind = str(self._fields.raw(row).get(flows.told_by) or "") if flows.told_by else flows.method
        if flows.told_by and kind not in flows.words:
            return None
        if row.get("status") not in (None, "ok"):
            return None
        coin, at = row.get("currency"), self._fields.time(row, "timestamp")
        number = row.get("id") or f"{row['timestamp']}:{row.get('amount')}"
        if not coin:
            raise Unreadable(f"{self.venue} told a movement of money without its coin")
        sign = flows.sign or (-1 if row.get("direction") == "out" else 1)
        fee = row.get("fee")
        cost = self._fields.optional(fee, "cost") if isinstance(fee, Mapping) else None
        amount = abs(self._fields.amount(row, "amount"))
        return CashFlow(
            self.venue,
            f"{flows.method}:{kind}:{number}",
            coin,
            amount * sign - (cost or NONE),
            at,
            _words(kind),
            own=True,
        )

    def balances(self, answer: Any, wallet: Wallet) -> tuple[Balance, ...]:
        """Coins of a wallet above zero, by name; raises `Unreadable` where the answer names no coin at all."""
        if wallet.rows:
            coins = self._raw_balances(answer, wallet)
        else:
            told = self._fields.mapping(answer, "balances")
            totals, free = (
                self._fields.mapping(told.get("total"), "balances"),
                self._fields.mapping(told.get("free"), "balances"),
            )
            coins = {
                coin: (self._fields.number(totals[coin], coin), self._fields.number(free.get(coin, totals[coin]), coin))
                for coin in totals
            }
        if not coins:
            raise Unreadable(f"{self.venue} names no coin at all; an account that is read holds or held some")
        return tuple(
            Balance(self.venue, ACCOUNT, coin, total, usable)
            for coin, (total, usable) in sorted(coins.items())
            if total != 0
        )

    def position(self, answer: Any) -> VenuePosition | None:
        """A derivative position in signed base; None where the row says that none is open."""
        row = self._fields.mapping(answer, "a position")
        symbol = row.get("symbol")
        if not symbol:
            raise Unreadable(f"{self.venue} told a position without a symbol")
        contracts = self._fields.amount(row, "contracts", least=NONE, default=NONE)
        if not contracts:
            return None
        side = row.get("side")
        if side not in ("long", "short"):
            raise Unreadable(f"{self.venue} told a position of {contracts} {symbol} without its side")
        sign = 1 if side == "long" else -1
        return VenuePosition(
            self.venue,
            ACCOUNT,
            self.key(symbol),
            contracts * _size(row) * sign,
            self._fields.amount(row, "entryPrice", above=NONE),
            self._fields.optional(row, "markPrice") or None,
        )

    # -- parts ----------------------------------------------------------------------------------------------------

    def _state(self, order: Answer, filled: Decimal, quantity: Decimal | None) -> OrderState | None:
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
        raise Unreadable(f"{self.venue} calls an order {status!r}, which is not known here")

    def _stop_price(self, order: Answer) -> Decimal | None:
        for name in ("triggerPrice", "stopLossPrice", "stopPrice"):
            price = self._fields.optional(order, name)
            if price:
                return price
        return None

    def _traded_as(self, order: Answer) -> str | None:
        """The number a triggered stop trades under; raises `Unreadable` where it was triggered and none is told yet."""
        name, raw = self._dialect.traded_as, self._fields.raw(order)
        number = str(raw.get(name) or "") if name else ""
        if not number and name in raw and order.get("status") == "closed":
            raise Unreadable(f"{self.venue} triggered a stop and does not tell yet what became of it")
        return number or None

    def _fee(self, row: Answer, cause: FillCause) -> tuple[Decimal, str]:
        """Fee and its coin. What the venue itself did without naming a fee cost none; a trade always tells its own."""
        fee, field = row.get("fee"), self._dialect.trades.fee_currency_field
        symbol = str(row.get("symbol"))
        told = fee if isinstance(fee, Mapping) and fee.get("cost") is not None else None
        if told is None and cause is FillCause.TRADE:
            raise Unreadable(f"{self.venue} told an execution of {symbol} without its fee")
        cost = NONE if told is None else self._fields.number(told["cost"], "fee")
        coin = (self._fields.raw(row).get(field) if field else None) or (told or {}).get("currency")
        if not coin and cost:
            raise Unreadable(f"{self.venue} told an execution of {symbol} without the coin of its fee")
        return cost, str(coin or symbol.partition("/")[2].rpartition(":")[2])

    def _raw_balances(self, answer: Any, wallet: Wallet) -> dict[str, tuple[Decimal, Decimal]]:
        raw = self._fields.mapping(self._fields.mapping(answer, "balances").get("info"), "balances")
        rows = raw.get(wallet.rows)
        rows = [rows] if isinstance(rows, Mapping) else rows
        if not isinstance(rows, list):
            raise Unreadable(f"{self.venue} sent something that is no list of balances")
        coins = {}
        for row in rows:
            coin = self._fields.mapping(row, "balances").get(wallet.coin)
            if not coin:
                raise Unreadable(f"{self.venue} told a balance without its coin")
            coins[str(coin)] = (
                self._fields.number(row.get(wallet.total), wallet.total),
                self._fields.number(row.get(wallet.free), wallet.free),
            )
        return coins


def _words(kind: str) -> str:
    """An exchange's word for a movement of money as a person reads it.

    >>> _words("TRANSFER_IN"), _words("fetch_deposits"), _words("Deposit")
    ('transfer in', 'deposits', 'deposit')
    """
    return kind.removeprefix("fetch_").replace("_", " ").lower()


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


def _size(row: Answer) -> Decimal:
    return Decimal(str(row.get(SIZE) or 1))
