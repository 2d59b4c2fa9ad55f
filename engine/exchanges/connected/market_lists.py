"""An exchange's list of markets, kind by kind where it refuses to list one of them."""

from __future__ import annotations

import importlib
from collections.abc import Collection, Sequence
from typing import Any

import structlog

ORDER_TYPES = "usualOrderTypes"
"""Option of a client: the kinds of order that a market takes where its row does not name them."""
_log = structlog.get_logger(__name__)


def load_markets(client: Any, symbols: Sequence[str]) -> dict[str, Any]:
    """ccxt's list of markets, asked anew.

    A kind of market that the exchange refuses to list is left out, unless one of ``symbols`` is of it: some places and
    test exchanges have spot only. A question that gets no answer is none, and there is no list.

    Parameters
    ----------
    client
        A ccxt client; where its options name several kinds of market, each can be asked for by itself.
    symbols : sequence of str
        Unified symbols that are to be traded.

    Raises
    ------
    ccxt.BaseError
        What the exchange answered, or that it did not.
    """
    refusal = importlib.import_module("ccxt").BadRequest
    try:
        markets: dict[str, Any] = client.load_markets(True)
    except refusal:
        whole = client.options.get("fetchMarkets")
        kinds = whole.get("types", ()) if isinstance(whole, dict) else ()
        needed = {"linear" if ":" in symbol else "spot" for symbol in symbols}
        if not needed or needed.issuperset(kinds):
            raise
        try:
            markets = _listed(client, kinds, needed, refusal)
        finally:
            client.options["fetchMarkets"] = whole
    _take_order_types(client, markets)
    return markets


def _take_order_types(client: Any, markets: dict[str, Any]) -> None:
    """Where a list leaves out what kinds of order a market takes, the exchange decides: else ccxt would refuse all."""
    usual = client.options.get(ORDER_TYPES)
    for market in markets.values() if usual else ():
        if isinstance(market.get("info"), dict):
            market["info"].setdefault("orderTypes", list(usual))


def _listed(client: Any, kinds: Sequence[str], needed: Collection[str], refusal: type[Exception]) -> dict[str, Any]:
    rows: list[Any] = []
    for kind in kinds:
        client.options["fetchMarkets"] = {"types": [kind]}
        try:
            rows += client.fetch_markets()
        except refusal as error:
            if kind in needed:
                raise
            _log.info("markets of a kind not listed", exchange=client.id, kind=kind, error=str(error))
    markets: dict[str, Any] = client.set_markets(rows)
    return markets
