"""Wallets of the stand-in console: simulated ones, and those of two connected accounts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from engine.domain.wallet_views import AccountRead, HoldingRow, MoneyKind, RiskView, WalletGroup, WalletOwners

_SIMULATED = (
    ("demo-a", "spot", "USDT", "5210.42", "1", "base currency", ""),
    ("demo-a", "spot", "BTC", "0.0421", "64012.50", "mid", "BTC → USDT"),
    ("demo-b", "margin", "USDT", "2410.00", "1", "base currency", ""),
    ("demo-a", "spot", "ETH", "0.0374", "3120.44", "mid", "ETH → USDT"),
    ("demo-a", "spot", "SOL", "5.5", "142.118", "last close", "SOL → USDT"),
    ("demo-a", "spot", "PEPE", "1200000", None, "no price", ""),
)
_REAL = (
    ("binance", "spot", "BTC", "0.25", "64010.00", "binance mid", "BTC → USDT"),
    ("binance", "funding", "BNB", "2", "602.15", "binance mid", "BNB → BTC → USDT"),
    ("binance", "earn, flexible", "ETH", "1.5", "3120.44", "binance mid", "ETH → BTC → USDT"),
    ("binance-perp", "USD-M futures", "USDT", "812.5", "1", "base currency", ""),
    ("kucoin", "trading", "NEWCOIN", "1000", None, "no price", ""),
)
_TRADED = {"BTC", "SOL"}


def group(kind: MoneyKind, risk: RiskView) -> WalletGroup:
    """The balances of one kind; one coin has no price."""
    rows = tuple(_holding(kind, row) for row in (_REAL if kind is MoneyKind.REAL else _SIMULATED))
    owners = WalletOwners(
        kind, Decimal("10550.21"), Decimal("10432.18"), Decimal("118.03"), Decimal("-13.93"), Decimal("10418.25")
    )
    return WalletGroup(
        kind,
        Decimal("10432.18"),
        rows,
        tuple(f"{row.total} {row.currency} at {row.venue}" for row in rows if row.value is None),
        (("USDT", Decimal("7620.42")), ("BTC", Decimal("2694.93")), ("ETH", Decimal("116.83"))),
        (("demo-a", Decimal("8022.18")), ("demo-b", Decimal("2410.00"))),
        risk,
        owners,
    )


def accounts() -> tuple[AccountRead, ...]:
    """One account with a silent wallet, one that did not answer for a while."""
    now = datetime.now(UTC)
    silent = (("earn, locked", "closed to this key, or not opened at the exchange"),)
    return (
        AccountRead("binance/main", "binance", MoneyKind.REAL, now - timedelta(seconds=20), False, "", silent, ""),
        AccountRead(
            "kucoin/second", "kucoin", MoneyKind.REAL, now - timedelta(minutes=40), False,
            "KuCoin did not answer within 10 s", (), "KuCoin did not answer within 10 s",
        ),
    )  # fmt: skip


def _holding(kind: MoneyKind, row: tuple[str, str, str, str, str | None, str, str]) -> HoldingRow:
    venue, account, coin, total, price, source, path = row
    held = Decimal(total)
    value = None if price is None else held * Decimal(price)
    now = datetime.now(UTC)
    return HoldingRow(
        venue=venue,
        kind=kind,
        account=account,
        currency=coin,
        total=held,
        free=held,
        price=None if price is None else Decimal(price),
        price_source=source,
        value=value,
        share=None if value is None else value / Decimal("10432.18"),
        engine_owned=held if coin in _TRADED else Decimal(0),
        path=path,
        priced_at=now - timedelta(seconds=12) if path else None,
        read_at=now,
        connection="" if kind is MoneyKind.SIMULATED else f"{venue.removesuffix('-perp')}/main",
    )
