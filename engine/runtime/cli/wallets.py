"""``wallets``: what every connected account holds, read now, and the wallets that were silent."""

from __future__ import annotations

import argparse
from typing import Any

from engine.domain.wallet_views import HoldingRow
from engine.runtime.cli.context import control_of, effective
from engine.runtime.cli.folder import used_folder
from engine.runtime.cli.output import say, say_json, say_table, tell
from engine.runtime.clock import SystemClock
from engine.runtime.wallet_rows import Appraiser, holdings
from engine.runtime.wallet_shelf import KnownAccounts, WalletShelf, accounts_in
from engine.security import KEY_STORES
from engine.security.vault import Vault

HEADINGS = ("account", "kind", "wallet", "coin", "total", "free", "value", "price over", "price of")


def wallets(options: argparse.Namespace) -> int:
    """Read every connected account and print it; 1 where one of them could not be read."""
    folder, settings = used_folder(), effective().settings
    with control_of(folder) as control:
        vault = Vault(KEY_STORES["file"](folder / "keys"), folder / "keys" / "keyring.json")
        shelf = WalletShelf(control.credentials, vault, SystemClock(), accounts_in(lambda: settings))
        try:
            known, prices = shelf.read_now(), shelf.prices
        finally:
            shelf.close()
    base = settings.base_currency
    appraiser = Appraiser((), prices)
    rows = [appraiser.row(row, base, base) for row in holdings((), known.holdings)]
    if options.json:
        say_json({"currency": base, "accounts": _accounts(known), "holdings": [_as_row(row) for row in rows]})
    else:
        _say(base, known, rows)
    return 1 if any(each.failure for each in known.holdings) else 0


def _accounts(known: KnownAccounts) -> list[dict[str, Any]]:
    return [
        {
            "account": each.connection,
            "exchange": each.exchange,
            "kind": each.kind,
            "read_at": each.read_at,
            "failure": each.failure,
            "silent": [{"wallet": wallet, "why": why} for wallet, why in each.silent],
            "no_prices": each.no_prices,
        }
        for each in known.reads()
    ]


def _as_row(row: HoldingRow) -> dict[str, Any]:
    return {
        "account": row.connection,
        "kind": row.kind,
        "venue": row.venue,
        "wallet": row.account,
        "currency": row.currency,
        "total": row.total,
        "free": row.free,
        "price": row.price,
        "price_path": row.path,
        "price_source": row.price_source,
        "priced_at": row.priced_at,
        "value": row.value,
    }


def _say(base: str, known: KnownAccounts, rows: list[HoldingRow]) -> None:
    if not known.holdings:
        say("no account is connected; connect one on the Exchanges page of the console")
        return
    cells = [
        [
            row.connection, row.kind, f"{row.venue}, {row.account}", row.currency, row.total, row.free,
            "no price" if row.value is None else f"{row.value:.2f} {base}", row.path or "-", row.priced_at or "-",
        ]
        for row in rows
    ]  # fmt: skip
    say_table(HEADINGS, cells)
    for each in known.reads():
        if each.failure:
            tell(f"quarterdeck: {each.connection} was not read: {each.failure}")
        for wallet, why in each.silent:
            tell(f"quarterdeck: {each.connection}, {wallet}: not read, not counted: {why}")
        if each.no_prices:
            tell(f"quarterdeck: prices of {each.exchange} are missing: {each.no_prices}")
