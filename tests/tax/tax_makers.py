"""Short ways to make fills, funding and events for tax tests, and the reference cases as events."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from engine.domain.instruments import InstrumentKey
from engine.domain.orders import Fill, FundingPaid, Liquidity, Side
from engine.tax.lots import Acquisition, Disposal, Event, Reason, Transfer

D = Decimal


def at(text: str) -> datetime:
    """An instant from ISO text, UTC unless it says otherwise."""
    made = datetime.fromisoformat(text)
    return made if made.tzinfo else made.replace(tzinfo=UTC)


def fill(
    trade: str, side: str, quantity: str, price: str, when: str, *, fee: str = "0", coin: str = "USDT",
    symbol: str = "BTC/USDT", venue: str = "demo-a", account: str = "",
) -> Fill:  # fmt: skip
    """A fill; ``coin`` is what the fee is paid in."""
    key = InstrumentKey(f"{venue}:{symbol}")
    return Fill(
        venue, account, trade, f"c{trade}", f"v{trade}", key, Side(side), D(quantity), D(price), D(fee), coin,
        Liquidity.TAKER, at(when),
    )  # fmt: skip


def funding(payment: str, amount: str, when: str, currency: str = "USDT") -> FundingPaid:
    """A funding payment of the BTC perpetual."""
    key = InstrumentKey("demo-b:BTC/USDT:USDT")
    return FundingPaid("demo-b", "", payment, key, D("0.0001"), D(60_000), D(amount), currency, at(when))


_REASONS = {
    "sell": Reason.SALE,
    "fee": Reason.FEE,
    "donate": Reason.DONATION,
    "gift_out": Reason.GIFT,
}


def events_of(case: dict[str, Any]) -> list[Event]:
    """A reference case's transactions as events, by the conventions the case states."""
    return [event for row in case["transactions"] for event in _events(row, case["fiat"])]


def _events(row: dict[str, str], fiat: str) -> Iterator[Event]:
    name, when, asset = row["id"], at(row["timestamp"]), row["asset"]
    account, amount, price = row.get("account", "main"), D(row["amount"]), D(row["price"])
    value, fee = D(row.get("fiat_value", amount * price)), D(row.get("fee", 0))
    in_fiat = fee if row.get("fee_asset") == fiat else D(0)
    in_coin = fee if fee and row.get("fee_asset") == asset else D(0)
    kind = row["type"]
    if kind in ("buy", "income"):
        yield Acquisition(
            name, when, asset, account, amount, value + in_fiat + in_coin * price, in_fiat, kind == "income"
        )
        if in_coin:
            yield Disposal(f"{name}#fee", when, asset, account, in_coin, in_coin * price, reason=Reason.FEE)
    elif kind == "transfer":
        received = D(row["received"])
        yield Transfer(name, when, asset, account, row["to_account"], received)
        if amount > received:
            lost = amount - received
            yield Disposal(name, when, asset, account, lost, lost * price, reason=Reason.MOVE)
    else:
        yield Disposal(name, when, asset, account, amount + in_coin, value - in_fiat, in_fiat, _REASONS[kind])
