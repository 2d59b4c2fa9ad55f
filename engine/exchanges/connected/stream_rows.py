"""What the websockets of each venue tell and how far they can be taken at their word, one row each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Parameters = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Watched:
    """One private subscription: the ccxt.pro method and its parameters."""

    method: str
    parameters: Parameters = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StreamRow:
    """How one venue's websockets are listened to.

    Attributes
    ----------
    private : tuple of Watched
        What is subscribed about the account.
    tells_trades : bool
        Whether every execution is told, so that one that is not told proves that the stream is deaf.
    tops : str
        ccxt.pro method for best bid and ask.
    held : str
        Attribute of the client that keeps them by symbol; "" where there is none.
    kind_field : str
        Raw field that says "spot" for spot, where both kinds of a pair share a name; "" where they do not.
    client_id_field, filled_field : str
        Raw fields of an order that hold what ccxt takes from others, or leaves out; "" where ccxt is right.
    tells_quantity : bool
        Whether ccxt's quantity of an order is the one that was ordered.
    trade_client_id : tuple of str
        Raw field of an execution with the client id, and the name that the REST answer has for it; () where alike.
    apart_field : str
        Raw field that marks stops kept apart; only that they were placed is taken from the stream.
    patience : float
        How many times as seldom as usual the watch asks: some exchanges allow few questions.
    switch_can_be_withdrawn : bool
        Whether the dead-man's switch can be taken back at once, with an answer that proves it.
    """

    private: tuple[Watched, ...]
    tells_trades: bool = True
    tops: str = "watch_bids_asks"
    held: str = "bidsasks"
    kind_field: str = ""
    client_id_field: str = ""
    filled_field: str = ""
    tells_quantity: bool = True
    trade_client_id: tuple[str, ...] = ()
    apart_field: str = ""
    patience: float = 1.0
    switch_can_be_withdrawn: bool = False


_BOTH = (Watched("watch_orders"), Watched("watch_my_trades"))

STREAM_ROWS: dict[str, StreamRow] = {
    "binance": StreamRow(_BOTH),
    "binance-perp": StreamRow(_BOTH, apart_field="aid"),
    "bybit": StreamRow(_BOTH, kind_field="category"),
    "kucoin": StreamRow((Watched("watch_orders"), Watched("watch_orders", {"trigger": True})), tells_trades=False),
    "kucoin-perp": StreamRow(
        (Watched("watch_orders", {"type": "swap"}), Watched("watch_orders", {"type": "swap", "trigger": True})),
        tells_trades=False,
    ),
    "kraken": StreamRow(
        _BOTH,
        held="",
        client_id_field="cl_ord_id",
        filled_field="cum_qty",
        tells_quantity=False,
        patience=6.0,
        switch_can_be_withdrawn=True,
    ),
    "kraken-perp": StreamRow(
        (Watched("watch_my_trades"),), trade_client_id=("cli_ord_id", "cliOrdId"), switch_can_be_withdrawn=True
    ),
    "coinbase": StreamRow(
        (Watched("watch_orders"),), tells_trades=False, tops="watch_tickers", held="tickers", tells_quantity=False
    ),
}
"""By the name of the venue row."""
