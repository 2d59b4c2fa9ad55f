"""The wallets an account has at each exchange, as data: how each is asked for, and where its coins stand."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

Question = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RawCoins:
    """Where coins lie in an exchange's own answer, for what ccxt does not read or mixes with open gains.

    Attributes
    ----------
    path : tuple of str
        Keys that lead to the rows; a single row instead of a list is one coin.
    coin, total, free : str
        Fields of a row; ``free`` "" means that nothing can be taken out at once.
    """

    path: tuple[str, ...]
    coin: str
    total: str
    free: str = ""


@dataclass(frozen=True, slots=True)
class WalletRow:
    """A wallet of an account.

    Attributes
    ----------
    label : str
        What people call it.
    questions : tuple of parameters
        Asked one after the other; their coins are added up.
    method : str
        Method of the ccxt client.
    raw : RawCoins or None
        None reads ccxt's own figures.
    venue : str
        Name of the venue that trades from it; "" where the engine never does.
    most_rows : int
        An answer with so many rows may be cut short, and is then not believed; 0 where there is no such limit.
    types : tuple of str
        Account types of the settings that mean this wallet; where several do, each means a part of what it trades.
    """

    label: str
    questions: tuple[Question, ...] = ({},)
    method: str = "fetch_balance"
    raw: RawCoins | None = None
    venue: str = ""
    most_rows: int = 0
    types: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WalletPlan:
    """All wallets of an account at one exchange.

    Attributes
    ----------
    rows : tuple of WalletRow
        The first must answer; the others may be closed to the key, or not be opened.
    earn_endings : tuple of str
        Endings of coin names that mean "the same coin, lent or staked".
    earn_beginning : str
        The same at the beginning of a name.
    tickers : parameters
        What ccxt is told when the prices of coins are asked for.
    options : parameters
        What ccxt need not ask about the account before it reads a wallet.
    """

    rows: tuple[WalletRow, ...]
    earn_endings: tuple[str, ...] = ()
    earn_beginning: str = ""
    tickers: Question = field(default_factory=dict)
    options: Question = field(default_factory=dict)

    @property
    def account_types(self) -> tuple[str, ...]:
        """Every account type there is, in the order of the wallets."""
        return tuple(dict.fromkeys(name for row in self.rows for name in row.types))

    def only(self, types: Collection[str]) -> WalletPlan:
        """The wallets that these account types mean; all of them where none is given."""
        return replace(self, rows=tuple(row for row in self.rows if set(row.types) & set(types))) if types else self


SPOT, FUTURES, UNIFIED, FUNDING, MARGIN, EARN = "spot", "futures", "unified", "funding", "margin", "earn"
"""Account types as settings name them. ``unified`` is a wallet that trades spot and futures alike."""
SAME_TYPES = {"swap": FUTURES, "linear": FUTURES, "perpetual": FUTURES, "future": FUTURES}
"""Other words for them."""
_FUTURES_ASSETS = RawCoins(("assets",), "asset", "walletBalance", "availableBalance")
_PAGE = 100

BINANCE_WALLETS = WalletPlan(
    (
        WalletRow("spot", ({"type": "spot"},), venue="binance", types=(SPOT,)),
        WalletRow("funding", ({"type": "funding"},), types=(FUNDING,)),
        WalletRow(
            "USD-M futures",
            method="fapiPrivateV3GetAccount",
            raw=_FUTURES_ASSETS,
            venue="binance-perp",
            types=(FUTURES,),
        ),
        WalletRow("COIN-M futures", method="dapiPrivateGetAccount", raw=_FUTURES_ASSETS, types=(FUTURES,)),
        WalletRow("cross margin", ({"type": "margin"},), types=(MARGIN,)),
        WalletRow(
            "earn, flexible",
            ({"size": _PAGE},),
            "sapiGetSimpleEarnFlexiblePosition",
            RawCoins(("rows",), "asset", "totalAmount"),
            most_rows=_PAGE,
            types=(EARN,),
        ),
        WalletRow(
            "earn, locked",
            ({"size": _PAGE},),
            "sapiGetSimpleEarnLockedPosition",
            RawCoins(("rows",), "asset", "amount"),
            most_rows=_PAGE,
            types=(EARN,),
        ),
    ),
    earn_beginning="LD",
)

KUCOIN_WALLETS = WalletPlan(
    (
        WalletRow("trading", ({"type": "trade"},), venue="kucoin", types=(SPOT,)),
        WalletRow("funding", ({"type": "main"},), types=(FUNDING,)),
        WalletRow("trading, high frequency", ({"type": "trade", "hf": True},), types=(SPOT,)),
        WalletRow("cross margin", ({"type": "margin"},), types=(MARGIN,)),
        WalletRow(
            "futures",
            ({"currency": "USDT"}, {"currency": "XBT"}),
            "futuresPrivateGetAccountOverview",
            RawCoins(("data",), "currency", "marginBalance", "availableBalance"),
            venue="kucoin-perp",
            types=(FUTURES,),
        ),
        WalletRow(
            "earn",
            ({"pageSize": _PAGE},),
            "earnGetEarnHoldAssets",
            RawCoins(("data", "items"), "currency", "holdAmount"),
            most_rows=_PAGE,
            types=(EARN,),
        ),
    ),
)

KRAKEN_WALLETS = WalletPlan(
    (WalletRow("spot", venue="kraken", types=(SPOT,)),),
    earn_endings=(".F", ".B", ".M", ".S", ".P"),
)
"""Kraken tells staked and lent coins among the others, by an ending of their names. Its futures need other keys."""

COINBASE_WALLETS = WalletPlan((WalletRow("spot", ({"v3": True},), venue="coinbase", types=(SPOT,)),))

UNIFIED_ACCOUNT: Question = {"enableUnifiedMargin": False, "enableUnifiedAccount": True, "unifiedMarginStatus": 6}
"""Bybit's accounts are unified ones: else ccxt asks for the rights of the key and the kind of account before every
balance, and a balance could not be read where one of the two is not told."""

BYBIT_WALLETS = WalletPlan(
    (
        WalletRow("unified trading", ({"type": "spot"},), venue="bybit", types=(UNIFIED, SPOT, FUTURES)),
        WalletRow("funding", ({"type": "funding"},), types=(FUNDING,)),
        WalletRow(
            "earn",
            ({"category": "FlexibleSaving"}, {"category": "OnChain"}),
            "privateGetV5EarnPosition",
            RawCoins(("result", "list"), "coin", "amount"),
            types=(EARN,),
        ),
    ),
    tickers={"type": "spot"},
    options=UNIFIED_ACCOUNT,
)
