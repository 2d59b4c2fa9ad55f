"""Reads every wallet of an account: what is there, in which wallet, and which wallets gave no answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from typing import Any

from engine.domain.errors import VenueError, VenueUnreachable
from engine.domain.portfolio import Balance
from engine.exchanges import ExchangeRow
from engine.exchanges.client import Credentials, Door, KeyRefused, asking, open_client
from engine.exchanges.wallet_rows import RawCoins, WalletPlan, WalletRow

EARN = "earn"
ZERO = Decimal(0)
_SHORTEST_COIN = 3
"""Letters: LDBTC is lent BTC, LDO is a coin of its own."""


@dataclass(frozen=True, slots=True)
class SilentWallet:
    """A wallet that could not be read, and why."""

    wallet: str
    why: str


@dataclass(frozen=True, slots=True)
class WalletsRead:
    """What an account holds: coins above zero by wallet, and the wallets that gave no answer."""

    balances: tuple[Balance, ...]
    silent: tuple[SilentWallet, ...] = ()


def read_account(row: ExchangeRow, credentials: Credentials, door: Door) -> WalletsRead:
    """Open a client, read every wallet, close it.

    Parameters
    ----------
    row : ExchangeRow
    credentials : Credentials
    door : Door
        With these credentials in it.

    Returns
    -------
    WalletsRead

    Raises
    ------
    KeyRefused, VenueUnreachable
        The first wallet could not be read.
    """
    client = open_client(row, door)
    client.markets = {}  # balances need none, and loading them with a key asks private questions first
    try:
        with asking(row, client, credentials.secrets):
            client.load_time_difference()
        return read_wallets(row, client, credentials.secrets)
    finally:
        client.close()


def read_wallets(row: ExchangeRow, client: Any, secrets: tuple[str, ...], at_most: int | None = None) -> WalletsRead:
    """Coins above zero of every open wallet, or of the first ``at_most``, and the wallets that gave no answer.

    Raises what stands against it where the first gives none.
    """
    client.options |= row.wallets.options
    found: list[Balance] = []
    silent: list[SilentWallet] = []
    for number, wallet in enumerate(row.wallets.rows[:at_most]):
        try:
            with asking(row, client, secrets):
                found += _read(row, wallet, client, is_first=number == 0)
        except VenueError as error:
            if number == 0:
                raise
            silent.append(SilentWallet(wallet.label, _reason(error)))
    named = _summed(_named(row.wallets, found))
    return WalletsRead(_without_twins(named), tuple(silent))


def _reason(error: VenueError) -> str:
    if isinstance(error, KeyRefused):
        return f"closed to this key, or not opened at the exchange ({error})"
    return str(error)


def _read(row: ExchangeRow, wallet: WalletRow, client: Any, *, is_first: bool) -> tuple[Balance, ...]:
    venue = wallet.venue or row.name
    told: list[Balance] = []
    for question in wallet.questions:
        answer = getattr(client, wallet.method)(dict(question))
        if wallet.raw is not None:
            told += _raw_balances(venue, wallet, wallet.raw, client, answer)
            continue
        if is_first and not isinstance(answer.get("info"), Mapping):
            raise VenueUnreachable(f"{row.title} sent something that is no account")
        told += read_balances(venue, wallet.label, answer)
    return _summed(told)


def read_balances(venue: str, account: str, answer: Mapping[str, Any]) -> tuple[Balance, ...]:
    """Coins above zero from a ccxt balance, sorted by coin; what was borrowed is taken off.

    Raises
    ------
    VenueUnreachable
        Where the raw answer is no data (a page of HTML leaves ccxt with an empty balance), or an amount is no number:
        a balance that cannot be read is not an empty one.
    """
    totals, free, raw = answer.get("total"), answer.get("free"), answer.get("info")
    if not (isinstance(totals, Mapping) and isinstance(free, Mapping) and isinstance(raw, Mapping | list)):
        raise VenueUnreachable(f"{venue} sent something that is no list of balances")
    debts = answer.get("debt")
    owed: Mapping[str, Any] = debts if isinstance(debts, Mapping) else {}
    balances = []
    for currency in sorted(totals):
        total = amount_of(venue, currency, totals[currency])
        debt = ZERO if owed.get(currency) is None else amount_of(venue, currency, owed[currency])
        if total - debt != 0:
            usable = total if free.get(currency) is None else amount_of(venue, currency, free[currency])
            balances.append(Balance(venue, account, currency, total - debt, usable))
    return tuple(balances)


def amount_of(venue: str, currency: str, value: Any) -> Decimal:
    """A finite amount; raises `VenueUnreachable` for anything else."""
    try:
        amount = Decimal(str(value))
    except InvalidOperation as error:
        raise VenueUnreachable(f"{venue} sent {value!r} as the amount of {currency}") from error
    if not amount.is_finite():
        raise VenueUnreachable(f"{venue} sent {value!r} as the amount of {currency}")
    return amount


def _raw_balances(venue: str, wallet: WalletRow, raw: RawCoins, client: Any, answer: Any) -> Iterator[Balance]:
    rows: Any = answer
    for key in raw.path:
        rows = rows.get(key) if isinstance(rows, Mapping) else None
    rows = [rows] if isinstance(rows, Mapping) else rows
    if not isinstance(rows, list):
        raise VenueUnreachable(f"{venue} sent something that is no list of balances")
    if wallet.most_rows and len(rows) >= wallet.most_rows:
        raise VenueUnreachable(f"{wallet.label} has {wallet.most_rows} rows or more, not all of them were told")
    for each in rows:
        coin = str(client.safe_currency_code(each[raw.coin]))
        total = amount_of(venue, coin, each[raw.total])
        if total:
            free = amount_of(venue, coin, each[raw.free]) if raw.free else ZERO
            yield Balance(venue, wallet.label, coin, total, free)


def _summed(told: Iterable[Balance]) -> tuple[Balance, ...]:
    sums: dict[tuple[str, str, str], Balance] = {}
    for each in told:
        key = (each.venue, each.account, each.currency)
        known = sums.get(key)
        sums[key] = (
            each if known is None else replace(known, total=known.total + each.total, free=known.free + each.free)
        )
    return tuple(sums.values())


def _named(plan: WalletPlan, found: Iterable[Balance]) -> Iterator[Balance]:
    """Coins under their own names: lent and staked ones are the same coin in another wallet."""
    for each in found:
        ending = next((end for end in plan.earn_endings if each.currency.endswith(end)), "")
        coin = each.currency.removesuffix(ending).rstrip("0123456789") if ending else each.currency
        if plan.earn_beginning and _is_lent(plan.earn_beginning, each):
            coin, ending = each.currency.removeprefix(plan.earn_beginning), plan.earn_beginning
        yield replace(each, account=EARN, currency=coin, free=ZERO) if ending and coin else each


def _is_lent(beginning: str, each: Balance) -> bool:
    """Whether a coin of a spot wallet is the receipt of a lent one: LDBTC, but not LDO."""
    return each.currency.startswith(beginning) and len(each.currency) >= len(beginning) + _SHORTEST_COIN


def _without_twins(found: tuple[Balance, ...]) -> tuple[Balance, ...]:
    """A receipt in the spot wallet is not counted where the lent coin itself was told."""
    lent = {each.currency for each in found if each.account.startswith(f"{EARN},")}
    return tuple(each for each in found if each.account != EARN or each.currency not in lent)
