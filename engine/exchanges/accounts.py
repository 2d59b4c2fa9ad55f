"""Asks an exchange what a key may do and what it can see, before the key is trusted with anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from engine.domain.errors import BadInput, VenueError
from engine.domain.portfolio import Balance
from engine.exchanges import ExchangeRow
from engine.exchanges.client import Credentials, Door, KeyRefused, asking, open_client
from engine.exchanges.connected.lanes import share_from
from engine.exchanges.wallets import SilentWallet, read_wallets

_WALLETS_ASKED = 2
"""The wallet to trade from and the one that deposits go to; `engine.exchanges.wallets` reads all of them."""


@dataclass(frozen=True, slots=True)
class Rights:
    """What a key may do; None where the exchange did not say."""

    can_trade: bool | None
    can_withdraw: bool | None
    ip_bound: bool | None


@dataclass(frozen=True, slots=True)
class AccountCheck:
    """The exchange's own answer about a key.

    Attributes
    ----------
    reachable : bool
        Whether the exchange itself answered (refusing a key is an answer).
    message : str
        What a person should know, in plain words, without keys, signatures or signed addresses.
    balances : tuple of Balance
        Coins above zero, by wallet; empty with a message that says why where they could not be read.
    can_trade, can_withdraw, ip_bound : bool or None
        None is unknown.
    clock_offset_ms : int or None
        The exchange's clock less ours, ms; None where it did not tell its time.
    limit_used : float or None
        Share of the request limit that is used, 0 to 1, as the exchange last told it; None where it does not.
    """

    reachable: bool
    message: str
    balances: tuple[Balance, ...] = ()
    can_trade: bool | None = None
    can_withdraw: bool | None = None
    ip_bound: bool | None = None
    clock_offset_ms: int | None = None
    limit_used: float | None = None

    @property
    def approved(self) -> bool:
        """Whether the key may be used for trading: proven able to trade and proven unable to withdraw."""
        return self.reachable and self.can_trade is True and self.can_withdraw is False


def check_account(
    row: ExchangeRow,
    credentials: Credentials,
    rest_url: str | None = None,
    sandbox: bool = False,
    timeout_s: float = 10.0,
) -> AccountCheck:
    """Ask the exchange for its time, the key's rights and the balances the key can see.

    Parameters
    ----------
    row : ExchangeRow
    credentials : Credentials
    rest_url : str or None
        Another host, for tests.
    sandbox : bool
        Ask the exchange's test exchange.
    timeout_s : float
        Patience with one answer.

    Returns
    -------
    AccountCheck
        Also where the exchange refuses the key or cannot be reached: the message says which.

    Raises
    ------
    BadInput
        Where a field is missing, or there is no such sandbox; nothing is sent.
    """
    return check_at(row, Door(credentials, sandbox, timeout_s, rest_url))


def check_at(row: ExchangeRow, door: Door) -> AccountCheck:
    """As `check_account`, through a door with the credentials in it; raises `BadInput` as that does."""
    credentials = door.credentials or Credentials("", "")
    _require_fields(row, credentials)
    client = open_client(row, door)
    client.markets = {}  # balances need none, and loading them with a key asks private questions first
    question = _Question(row, client, credentials)
    try:
        return question.answer()
    finally:
        client.close()


@dataclass(frozen=True, slots=True)
class _Question:
    row: ExchangeRow
    client: Any
    credentials: Credentials

    def answer(self) -> AccountCheck:
        try:
            with asking(self.row, self.client, self.credentials.secrets):
                ours_ahead_ms = int(self.client.load_time_difference())
        except VenueError as error:
            return AccountCheck(False, str(error))
        return replace(self._about_key(), clock_offset_ms=-ours_ahead_ms, limit_used=self._limit_used())

    def _about_key(self) -> AccountCheck:
        try:
            rights, unknown_because = self._rights(), ""
        except KeyRefused as error:
            return AccountCheck(True, str(error), can_trade=False)
        except VenueError as error:
            rights, unknown_because = Rights(None, None, None), str(error)
        try:
            read = read_wallets(self.row, self.client, self.credentials.secrets, _WALLETS_ASKED)
        except KeyRefused as error:
            return AccountCheck(True, str(error), (), False, rights.can_withdraw, rights.ip_bound)
        except VenueError as error:
            if unknown_because:
                return AccountCheck(False, f"The key could not be checked and is not approved: {error}.")
            message = f"{_verdict(self.row, rights, '')} Balances could not be read: {error}."
            return AccountCheck(True, message, (), rights.can_trade, rights.can_withdraw, rights.ip_bound)
        told = f"{_counted(read.balances)}{_silent(read.silent)}"
        message = f"{_verdict(self.row, rights, unknown_because)} {told}"
        return AccountCheck(True, message, read.balances, rights.can_trade, rights.can_withdraw, rights.ip_bound)

    def _limit_used(self) -> float | None:
        told = self.client.last_response_headers or {}
        headers = {str(name).lower(): str(value) for name, value in told.items()}
        limits = self.row.venues[0].limits
        return share_from(limits.use_headers, headers, limits.pace)

    def _rights(self) -> Rights:
        with asking(self.row, self.client, self.credentials.secrets):
            answer = getattr(self.client, self.row.rights_method)()
            return RIGHTS_READERS[self.row.rights_method](answer)


def _require_fields(row: ExchangeRow, credentials: Credentials) -> None:
    for field in row.key_fields:
        value: str = getattr(credentials, field.name)
        if not value.strip():
            raise BadInput(f"{row.title}: {field.label} is missing. {field.hint}")


def _verdict(row: ExchangeRow, rights: Rights, unknown_because: str) -> str:
    if rights.can_withdraw:
        return f"{row.title} accepts the key, but it can withdraw: refused for trading. {row.permission_check}"
    if rights.can_withdraw is None:
        reason = f" ({unknown_because})" if unknown_because else ""
        return f"Whether this {row.title} key can withdraw is unknown{reason}: not approved for live trading."
    if rights.can_trade is None:
        return f"{row.title} accepts the key; it cannot withdraw, and whether it can trade is unknown."
    able = "can trade" if rights.can_trade else "can only read"
    return f"{row.title} accepts the key: it {able} and cannot withdraw."


def _counted(balances: Sequence[Balance]) -> str:
    coins = len({balance.currency for balance in balances})
    return "No coins found." if coins == 0 else f"{coins} coin{'s' if coins > 1 else ''} found."


def _silent(wallets: Sequence[SilentWallet]) -> str:
    """A sentence about each wallet that gave no answer."""
    return "".join(f" The {each.wallet} wallet could not be read." for each in wallets)


def _flag(values: Mapping[str, Any], name: str) -> bool | None:
    """A JSON boolean, or None where it is missing or something else."""
    value = values.get(name)
    return value if isinstance(value, bool) else None


def _binance(answer: Mapping[str, Any]) -> Rights:
    trades = [_flag(answer, name) for name in ("enableSpotAndMarginTrading", "enableFutures")]
    can_trade = True if True in trades else trades[0]
    return Rights(can_trade, _flag(answer, "enableWithdrawals"), _flag(answer, "ipRestrict"))


def _bybit(answer: Mapping[str, Any]) -> Rights:
    result = answer["result"]
    permissions, addresses = result["permissions"], result.get("ips")
    wallet = permissions.get("Wallet")
    trading = any(permissions.get(name) for name in ("Spot", "ContractTrade", "Derivatives"))
    return Rights(
        trading and str(result["readOnly"]) == "0",
        "Withdraw" in wallet if isinstance(wallet, list) else None,
        bool(addresses) and addresses != ["*"] if isinstance(addresses, list) else None,
    )


def _kraken(answer: Mapping[str, Any]) -> Rights:
    result = answer["result"]
    permissions, addresses = result["permissions"], result.get("ipAllowlist")
    if not isinstance(permissions, list) or not permissions:
        return Rights(None, None, None)
    return Rights(
        "modify-trades" in permissions,
        "withdraw-funds" in permissions,
        bool(addresses) if isinstance(addresses, list) else None,
    )


def _coinbase(answer: Mapping[str, Any]) -> Rights:
    return Rights(_flag(answer, "can_trade"), _flag(answer, "can_transfer"), None)


def _kucoin(answer: Mapping[str, Any]) -> Rights:
    """Rights come as words; ``Transfer`` covered withdrawals in older keys, so with it nothing is proven."""
    data = answer["data"]
    words = {word.strip().lower() for word in str(data.get("permission") or "").split(",")} - {""}
    if not words:
        return Rights(None, None, None)
    withdraws = True if any("withdraw" in word for word in words) else None if "transfer" in words else False
    return Rights(bool(words & {"spot", "trade"}), withdraws, bool(data.get("ipWhitelist")))


RIGHTS_READERS: dict[str, Callable[[Mapping[str, Any]], Rights]] = {
    "sapiGetAccountApiRestrictions": _binance,
    "privateGetV5UserQueryApi": _bybit,
    "privatePostGetApiKeyInfo": _kraken,
    "v3PrivateGetBrokerageKeyPermissions": _coinbase,
    "privateGetUserApiKey": _kucoin,
}
