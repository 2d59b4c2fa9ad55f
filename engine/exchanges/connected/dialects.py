"""In what the exchanges differ, as data: which call, which parameter, which page; no exchange has code of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from typing import Any

from engine.domain.instruments import Kind
from engine.exchanges.connected.lanes import Pace, UseHeaders

Parameters = Mapping[str, Any]


class Given(Enum):
    """How a look is told which order is meant."""

    AS_PARAMETER = "the client id is a parameter"
    BY_SCAN = "nothing: the answer lists orders, the right one is picked out"


@dataclass(frozen=True, slots=True)
class Look:
    """One way to ask for an order by the id the engine gave it.

    Attributes
    ----------
    method : str
        ccxt method: ``fetch_order`` gives one order, every other a list.
    given : Given
    parameter : str
        Name under which ccxt takes the client id.
    extra : mapping
        Further parameters.
    """

    method: str = "fetch_order"
    given: Given = Given.AS_PARAMETER
    parameter: str = "clientOrderId"
    extra: Parameters = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Listing:
    """One list of open orders: a complete picture needs all of a venue's. ``kind`` None is every kind.

    ``cursor`` is the field of the raw rows that names the next page, sent back as ``cursor``; "" where one page holds
    all. ``per_quote`` is the parameter that takes one quote coin at a time; "" where none is needed.
    """

    extra: Parameters = field(default_factory=dict)
    kind: Kind | None = None
    limit: int | None = None
    is_stop: bool = False
    cursor: str = ""
    per_quote: str = ""


class StopStyle(Enum):
    """How ccxt is told that an order waits for a price."""

    STOP_LOSS = "stopLossPrice"
    TRIGGER = "triggerPrice"
    TRIGGER_DIRECTED = "triggerPrice and the direction the market comes from"


class Amending(Enum):
    """How an order is changed."""

    IN_PLACE = "the exchange changes it"
    REPLACE = "a new order takes its place"


class Paging(Enum):
    """How the executions of a span of time are read to the end."""

    FORWARD = "oldest first: ask again from the last one"
    NUMBERED = "pages with numbers, newest first"
    OFFSET = "how many to skip, newest first"
    CURSOR = "each page names the next"
    BACKWARD = "newest first: ask again for what is before the last one"


@dataclass(frozen=True, slots=True)
class Trades:
    """Where executions come from.

    Attributes
    ----------
    paging : Paging
    page_rows : int
        Rows of a full page.
    span_ms : int
        Longest span of time one question may cover.
    by_symbol : bool
        Whether the exchange wants to be asked symbol by symbol.
    numbered_by_symbol : bool
        Whether two symbols may use the same number.
    client_id_field, fee_currency_field, price_field, cause_field : str
        Fields of the raw row with the client id, the coin of the fee, the price (ccxt takes the order's where it is
        missing) and why it happened; "" where ccxt's own answer has to do.
    raw_method : str
        ccxt's raw method where the unified one hides rows (liquidations, funding); "" is ``fetch_my_trades``.
    """

    paging: Paging
    page_rows: int
    span_ms: int
    by_symbol: bool = True
    numbered_by_symbol: bool = False
    client_id_field: str = ""
    fee_currency_field: str = ""
    price_field: str = ""
    cause_field: str = ""
    raw_method: str = ""


class Funding(Enum):
    """Where funding payments are read."""

    NONE = "no perpetuals"
    AMONG_TRADES = "rows of the execution list"
    HISTORY = "a history of its own"


@dataclass(frozen=True, slots=True)
class Flows:
    """One list of what the trader paid in, took out or moved between wallets, and of other money that is no trade.

    Attributes
    ----------
    method : str
        ccxt method.
    extra : mapping
        Further parameters.
    told_by : str
        Raw field that tells what a row is; "" where the list holds nothing else.
    words : tuple of str
        Its values that count.
    sign : int
        +1 where every row came in, -1 where every row went out, 0 where the row tells.
    until : str
        Parameter for the end of the time asked for.
    """

    method: str
    extra: Parameters = field(default_factory=dict)
    told_by: str = ""
    words: tuple[str, ...] = ()
    sign: int = 0
    until: str = "until"


class Modes(Enum):
    """How position mode and leverage are asked."""

    NONE = "spot has none"
    IN_POSITIONS = "every position row tells both"
    ASKED = "questions of their own"
    LEVERAGE_ONLY = "positions are always one-way"


@dataclass(frozen=True, slots=True)
class Wallet:
    """A wallet that belongs to the venue.

    ``rows``, ``coin``, ``total``, ``free`` name the raw fields where ccxt's own figure holds open gains and losses
    too; "" takes ccxt's. ``per_coin`` where each coin is asked for by its own.
    """

    parameters: Parameters = field(default_factory=dict)
    rows: str = ""
    coin: str = ""
    total: str = ""
    free: str = ""
    per_coin: bool = False


@dataclass(frozen=True, slots=True)
class Weights:
    """What calls cost of the exchange's limit."""

    order: int = 1
    ask: int = 1
    open_orders: int = 1
    trades: int = 1
    account: int = 1


@dataclass(frozen=True, slots=True)
class Limits:
    """What the exchange allows one key, how it tells what is used, with which codes it does not know itself what became
    of an order, and with which words it refuses one where ccxt has no name for the error.
    """

    pace: Pace
    use_headers: UseHeaders = field(default_factory=UseHeaders)
    doubtful_codes: tuple[str, ...] = ()
    refusals: tuple[str, ...] = ()
    has_nonce: bool = False
    weights: Weights = field(default_factory=Weights)


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one venue is spoken to.

    Attributes
    ----------
    looks, stop_looks : tuple of Look
        Asked one after the other until one knows the order; ``stop_looks`` for orders that wait for a price.
    open_orders : tuple of Listing
    trades : Trades
    wallets : tuple of Wallet
    options : mapping
        ccxt options; they also spare questions that would go before the first order.
    create_id : str
        Parameter of ``create_order`` that carries the client id.
    cancel_id : str
        Parameter of ``cancel_order``; "" where only the exchange's own id will do.
    stop : StopStyle
    stop_extra, order_extra : mapping
        Sent with every stop, with every order.
    spot_stop_extra : mapping
        Sent when a stop on spot is cancelled or changed: there the exchange keeps stops apart.
    stop_cancel_extra : mapping
        Sent when any stop is cancelled.
    stop_limit_slack : Decimal or None
        Where only stop-limits exist: how far beyond the stop the limit lies, as a share of its price.
    buy_slack : Decimal or None
        Where market buys take no quantity: bought with a limit this share above, what is left ends at once.
    passed_stop : tuple of str
        Words of a refusal that mean the market is already beyond the stop.
    amending : Amending
    amend_trigger : str
        Parameter of ``edit_order`` for the price of a stop.
    traded_as : str
        Raw field with the id a stop trades under once it was triggered; "" where it keeps its own.
    whole_contracts : bool
        Whether the amount must be a whole number.
    asks_by_own_id : bool
        Whether an order is better asked for by the exchange's own id where that is known.
    own_id_extra : mapping
        Sent when an order is asked for by the exchange's own id.
    funding : Funding
    funding_by_symbol : bool
        Whether the history has to be asked for symbol by symbol.
    flows : tuple of Flows
    modes : Modes
    positions_per_quote : str
        Parameter of ``fetch_positions`` that takes one quote coin at a time; "" where none is needed.
    dead_man : tuple of mapping
        Parameters of ``cancel_all_orders_after``, one call each; empty where the exchange has no such switch.
    """

    looks: tuple[Look, ...]
    open_orders: tuple[Listing, ...]
    trades: Trades
    wallets: tuple[Wallet, ...] = field(default_factory=lambda: (Wallet(),))
    options: Parameters = field(default_factory=dict)
    stop_looks: tuple[Look, ...] = ()
    create_id: str = "clientOrderId"
    cancel_id: str = "clientOrderId"
    stop: StopStyle = StopStyle.STOP_LOSS
    stop_extra: Parameters = field(default_factory=dict)
    order_extra: Parameters = field(default_factory=dict)
    spot_stop_extra: Parameters = field(default_factory=dict)
    stop_cancel_extra: Parameters = field(default_factory=dict)
    stop_limit_slack: Decimal | None = None
    buy_slack: Decimal | None = None
    passed_stop: tuple[str, ...] = ()
    amending: Amending = Amending.REPLACE
    amend_trigger: str = "stopLossPrice"
    traded_as: str = ""
    whole_contracts: bool = False
    asks_by_own_id: bool = False
    own_id_extra: Parameters = field(default_factory=dict)
    funding: Funding = Funding.NONE
    funding_by_symbol: bool = False
    flows: tuple[Flows, ...] = ()
    modes: Modes = Modes.NONE
    positions_per_quote: str = ""
    dead_man: tuple[Parameters, ...] = ()


@dataclass(frozen=True, slots=True)
class VenueRow:
    """A wallet at an exchange that the engine can trade from.

    Attributes
    ----------
    name : str
        Name in instrument keys.
    ccxt_id : str
        Class name in ccxt.
    kinds : tuple of Kind
        What is traded there.
    dialect : Dialect
    limits : Limits
    own_keys : bool
        Whether it needs other keys than the exchange's first venue.
    """

    name: str
    ccxt_id: str
    kinds: tuple[Kind, ...]
    dialect: Dialect
    limits: Limits
    own_keys: bool = False
