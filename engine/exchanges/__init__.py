"""Adapters that talk to trading venues, real and simulated; `EXCHANGES` is what can be connected."""

from __future__ import annotations

from dataclasses import dataclass

from engine.exchanges.connected.dialects import VenueRow
from engine.exchanges.connected.venue_rows import (
    BINANCE,
    BINANCE_PERP,
    BYBIT,
    COINBASE,
    KRAKEN,
    KRAKEN_PERP,
    KUCOIN,
    KUCOIN_PERP,
)
from engine.exchanges.wallet_rows import (
    BINANCE_WALLETS,
    BYBIT_WALLETS,
    COINBASE_WALLETS,
    KRAKEN_WALLETS,
    KUCOIN_WALLETS,
    WalletPlan,
)


@dataclass(frozen=True, slots=True)
class KeyField:
    """One field of the connection form: ``name`` as the facade takes it, what to call it, where to find it."""

    name: str
    label: str
    hint: str


@dataclass(frozen=True, slots=True)
class ExchangeRow:
    """A real exchange as data: supporting another one is one more row.

    Attributes
    ----------
    name : str
        Venue name in settings and instrument keys.
    ccxt_id : str
        Class name in ccxt.
    title : str
        Name for people.
    has_sandbox : bool
        Whether the exchange runs a public test exchange of its own.
    key_fields : tuple of KeyField
        What must be typed in, in this order.
    rights_method : str
        ccxt method that tells what a key may do.
    permission_check : str
        What is asked and what a good key looks like, for people.
    wallets : WalletPlan
        What an account can hold there.
    venues : tuple of VenueRow
        The wallets there that the engine can trade from.
    """

    name: str
    ccxt_id: str
    title: str
    has_sandbox: bool
    key_fields: tuple[KeyField, ...]
    rights_method: str
    permission_check: str
    wallets: WalletPlan
    venues: tuple[VenueRow, ...] = ()

    @property
    def needs_passphrase(self) -> bool:
        """Whether the key comes with a passphrase."""
        return any(field.name == "passphrase" for field in self.key_fields)

    @property
    def hint(self) -> str:
        """One line above the form."""
        return self.permission_check


_KEY_AND_SECRET = (
    KeyField("key", "API key", "Shown in the exchange's API management after the key is made."),
    KeyField("secret", "API secret", "Shown once, when the key is made."),
)

EXCHANGES: dict[str, ExchangeRow] = {
    row.name: row
    for row in (
        ExchangeRow(
            "binance",
            "binance",
            "Binance",
            True,
            _KEY_AND_SECRET,
            "sapiGetAccountApiRestrictions",
            "Make the key with reading and spot trading allowed, withdrawals off, and bound to your IP address.",
            BINANCE_WALLETS,
            (BINANCE, BINANCE_PERP),
        ),
        ExchangeRow(
            "kucoin",
            "kucoin",
            "KuCoin",
            False,
            (*_KEY_AND_SECRET, KeyField("passphrase", "Passphrase", "The one you chose when you made the key.")),
            "privateGetUserApiKey",
            "Make the key with General and Spot allowed, Transfer and Withdrawal off, and bound to your IP address.",
            KUCOIN_WALLETS,
            (KUCOIN, KUCOIN_PERP),
        ),
        ExchangeRow(
            "kraken",
            "kraken",
            "Kraken",
            False,
            (
                KeyField("key", "API key", "Settings, Connections & API, on Kraken Pro."),
                KeyField("secret", "Private key", "Shown once, when the key is made."),
            ),
            "privatePostGetApiKeyInfo",
            "Make the key with Query Funds, Query Orders & Trades and Modify Orders allowed, Withdraw Funds off.",
            KRAKEN_WALLETS,
            (KRAKEN, KRAKEN_PERP),
        ),
        ExchangeRow(
            "coinbase",
            "coinbase",
            "Coinbase",
            False,
            (
                KeyField(
                    "key", "API key name", "Begins with organizations/ in the key file of the developer platform."
                ),
                KeyField("secret", "Private key", "The whole text between and with the BEGIN and END lines."),
            ),
            "v3PrivateGetBrokerageKeyPermissions",
            "Make the key with View and Trade allowed and Transfer off.",
            COINBASE_WALLETS,
            (COINBASE,),
        ),
        ExchangeRow(
            "bybit",
            "bybit",
            "Bybit",
            True,
            _KEY_AND_SECRET,
            "privateGetV5UserQueryApi",
            "Make the key with read and write for spot trading, withdrawals off, and bound to your IP address.",
            BYBIT_WALLETS,
            (BYBIT,),
        ),
    )
}
