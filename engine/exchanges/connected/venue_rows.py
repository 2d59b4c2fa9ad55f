"""The wallets that can be traded from, one row each; supporting another exchange is one more row."""

from __future__ import annotations

from decimal import Decimal

from engine.domain.instruments import Kind
from engine.exchanges.connected.dialects import (
    Amending,
    Dialect,
    Flows,
    Funding,
    Given,
    Limits,
    Listing,
    Look,
    Modes,
    Paging,
    StopStyle,
    Trades,
    VenueRow,
    Wallet,
    Weights,
)
from engine.exchanges.connected.lanes import Pace, UseHeaders
from engine.exchanges.connected.market_lists import ORDER_TYPES
from engine.exchanges.wallet_rows import UNIFIED_ACCOUNT

_DAY_MS = 86_400_000
_BINANCE_DOUBT = ("-1000", "-1001", "-1006", "-1007")
_BINANCE_REFUSALS = ('"code":-',)
"""Below HTTP 500 an answer of its own with any other code means that it refused; the library does not know them all."""
_BYBIT_DOUBT = ("10000", "10016", "170007", "170146", "170147")
_FUTURES_REFUSALS = ("wouldNotReducePosition", "selfFill", "tooManySmallOrders", "maxPositionViolation")
_KUCOIN_FLOWS = ("Deposit", "Withdrawal", "Transfer", "Sub-account transfer", "Airdrop/Rewards")
_BY_CLIENT_ID = Look()
_TRIGGER = {"trigger": True}

BINANCE = VenueRow(
    "binance",
    "binance",
    (Kind.SPOT,),
    Dialect(
        looks=(_BY_CLIENT_ID,),
        open_orders=(Listing(),),
        trades=Trades(Paging.FORWARD, 1000, _DAY_MS, numbered_by_symbol=True),
        options={
            "defaultType": "spot",
            "fetchMarkets": {"types": ["spot"]},
            ORDER_TYPES: (
                "LIMIT",
                "LIMIT_MAKER",
                "MARKET",
                "STOP_LOSS",
                "STOP_LOSS_LIMIT",
                "TAKE_PROFIT",
                "TAKE_PROFIT_LIMIT",
            ),
            "fetchOpenOrders": {"warnWithoutSymbol": False},
            "fetchCurrencies": False,
            "fetchMargins": False,
        },
        passed_stop=("would trigger immediately", "-2021"),
        flows=(
            Flows("fetch_deposits", sign=1),
            Flows("fetch_withdrawals", sign=-1),
            Flows("fetch_transfers", {"fromAccount": "spot", "toAccount": "linear"}, sign=-1),
            Flows("fetch_transfers", {"fromAccount": "linear", "toAccount": "spot"}, sign=1),
        ),
    ),
    Limits(
        Pace(6000, 60.0),
        UseHeaders(used="x-mbx-used-weight-1m"),
        _BINANCE_DOUBT,
        _BINANCE_REFUSALS,
        weights=Weights(order=1, ask=4, open_orders=80, trades=20, account=20),
    ),
)

BINANCE_PERP = VenueRow(
    "binance-perp",
    "binanceusdm",
    (Kind.PERPETUAL,),
    Dialect(
        looks=(_BY_CLIENT_ID,),
        stop_looks=(Look(extra=_TRIGGER),),
        open_orders=(Listing(), Listing(extra=_TRIGGER, is_stop=True)),
        trades=Trades(Paging.FORWARD, 1000, 7 * _DAY_MS, numbered_by_symbol=True),
        wallets=(Wallet(rows="assets", coin="asset", total="walletBalance", free="availableBalance"),),
        options={
            ORDER_TYPES: ("LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET"),
            "fetchOpenOrders": {"warnWithoutSymbol": False},
            "fetchCurrencies": False,
            "fetchMargins": False,
            "leverageBrackets": {},
        },
        stop_cancel_extra=_TRIGGER,
        passed_stop=("would immediately trigger", "-2021"),
        traded_as="actualOrderId",
        flows=tuple(
            Flows("fetch_ledger", {"incomeType": kind}, "incomeType", (kind,))
            for kind in ("TRANSFER", "INSURANCE_CLEAR")
        ),
        funding=Funding.HISTORY,
        modes=Modes.ASKED,
    ),
    Limits(
        Pace(2400, 60.0),
        UseHeaders(used="x-mbx-used-weight-1m"),
        _BINANCE_DOUBT,
        _BINANCE_REFUSALS,
        weights=Weights(order=1, ask=1, open_orders=40, trades=5, account=5),
    ),
)

BYBIT = VenueRow(
    "bybit",
    "bybit",
    (Kind.SPOT, Kind.PERPETUAL),
    Dialect(
        looks=(
            Look("fetch_open_orders", parameter="orderLinkId"),
            Look("fetch_canceled_and_closed_orders", parameter="orderLinkId"),
        ),
        open_orders=(
            Listing({"type": "spot"}, Kind.SPOT, 50, cursor="nextPageCursor"),
            Listing(
                {"type": "swap", "subType": "linear"},
                Kind.PERPETUAL,
                50,
                cursor="nextPageCursor",
                per_quote="settleCoin",
            ),
        ),
        trades=Trades(
            Paging.CURSOR,
            100,
            7 * _DAY_MS,
            by_symbol=False,
            client_id_field="orderLinkId",
            fee_currency_field="feeCurrency",
            price_field="execPrice",
            cause_field="execType",
            raw_method="private_get_v5_execution_list",
        ),
        options={"fetchMarkets": {"types": ["spot", "linear"]}, **UNIFIED_ACCOUNT},
        wallets=(Wallet({"type": "unified"}),),
        cancel_id="orderLinkId",
        stop=StopStyle.TRIGGER_DIRECTED,
        spot_stop_extra={"orderFilter": "tpslOrder"},
        passed_stop=("110092", "110093", "expect Rising", "expect Falling"),
        amending=Amending.IN_PLACE,
        amend_trigger="triggerPrice",
        own_id_extra={"acknowledged": True},
        flows=tuple(
            Flows("fetch_ledger", {"type": kind, "limit": 50}, "type", (kind,), until="endTime")
            for kind in ("TRANSFER_IN", "TRANSFER_OUT", "BONUS", "INTEREST")
        ),
        funding=Funding.AMONG_TRADES,
        modes=Modes.IN_POSITIONS,
        positions_per_quote="settleCoin",
        dead_man=({"type": "spot"}, {"type": "swap"}),
    ),
    Limits(
        Pace(10, 1.0),
        UseHeaders(remaining="x-bapi-limit-status", limit="x-bapi-limit"),
        _BYBIT_DOUBT,
        ('"retCode":110074',),  # "this contract is not live": the library has no name for it
    ),
)

KUCOIN = VenueRow(
    "kucoin",
    "kucoin",
    (Kind.SPOT,),
    Dialect(
        looks=(_BY_CLIENT_ID,),
        stop_looks=(_BY_CLIENT_ID, Look(extra=_TRIGGER)),
        open_orders=(Listing(limit=500), Listing(extra=_TRIGGER, limit=500, is_stop=True)),
        trades=Trades(Paging.NUMBERED, 500, 7 * _DAY_MS, numbered_by_symbol=True),
        wallets=(Wallet({"type": "trade"}),),
        options={"uta": False, "hf": False, "fetchMarkets": {"types": ["spot"], "fetchTickersFees": False}},
        stop_cancel_extra=_TRIGGER,
        flows=(Flows("fetch_ledger", {"type": "spot"}, "bizType", _KUCOIN_FLOWS),),
    ),
    Limits(Pace(4000, 30.0), UseHeaders(remaining="gw-ratelimit-remaining", limit="gw-ratelimit-limit")),
)

KUCOIN_PERP = VenueRow(
    "kucoin-perp",
    "kucoinfutures",
    (Kind.PERPETUAL,),
    Dialect(
        looks=(_BY_CLIENT_ID,),
        open_orders=(Listing(limit=500), Listing(extra=_TRIGGER, limit=500, is_stop=True)),
        trades=Trades(Paging.NUMBERED, 500, 7 * _DAY_MS, numbered_by_symbol=True, cause_field="tradeType"),
        wallets=(Wallet(rows="data", coin="currency", total="marginBalance", free="availableBalance", per_coin=True),),
        options={"uta": False, "hf": False},
        stop=StopStyle.TRIGGER,
        stop_extra={"triggerPriceType": "last"},
        order_extra={"marginMode": "cross"},
        whole_contracts=True,
        flows=(Flows("fetch_ledger", {}, "type", ("TransferIn", "TransferOut", "Deposit", "Withdrawal")),),
        funding=Funding.HISTORY,
        funding_by_symbol=True,
        modes=Modes.ASKED,
    ),
    Limits(Pace(2000, 30.0), UseHeaders(remaining="gw-ratelimit-remaining", limit="gw-ratelimit-limit")),
)

KRAKEN = VenueRow(
    "kraken",
    "kraken",
    (Kind.SPOT,),
    Dialect(
        looks=(Look("fetch_open_orders"), Look("fetch_closed_orders")),
        open_orders=(Listing(),),
        trades=Trades(Paging.OFFSET, 50, 365 * _DAY_MS, by_symbol=False),
        amending=Amending.IN_PLACE,
        asks_by_own_id=True,
        flows=(Flows("fetch_ledger", {}, "type", ("deposit", "withdrawal", "transfer", "staking", "earn", "reward")),),
        dead_man=({},),
    ),
    Limits(
        Pace(15, 45.0),
        refusals=('"EOrder:',),
        has_nonce=True,
        weights=Weights(order=0, ask=1, open_orders=1, trades=2, account=1),
    ),
)

KRAKEN_PERP = VenueRow(
    "kraken-perp",
    "krakenfutures",
    (Kind.PERPETUAL,),
    Dialect(
        looks=(
            Look("fetch_orders", parameter="cliOrdIds"),
            Look("fetch_open_orders", Given.BY_SCAN),
            Look("fetch_closed_orders", Given.BY_SCAN),
            Look("fetch_canceled_orders", Given.BY_SCAN),
        ),
        stop_looks=(
            Look("fetch_orders", parameter="cliOrdIds"),
            Look("fetch_open_orders", Given.BY_SCAN),
            Look("fetch_closed_orders", Given.BY_SCAN),
            Look("fetch_canceled_orders", Given.BY_SCAN),
            Look("fetch_canceled_orders", Given.BY_SCAN, extra=_TRIGGER),
        ),
        open_orders=(Listing(),),
        trades=Trades(
            Paging.BACKWARD, 100, 365 * _DAY_MS, by_symbol=False, client_id_field="cliOrdId", cause_field="fillType"
        ),
        wallets=(Wallet({"type": "flex"}),),
        cancel_id="",
        stop=StopStyle.TRIGGER,
        amending=Amending.IN_PLACE,
        amend_trigger="stopPrice",
        funding=Funding.HISTORY,
        modes=Modes.LEVERAGE_ONLY,
        dead_man=({},),
    ),
    Limits(
        Pace(500, 10.0),
        refusals=_FUTURES_REFUSALS,
        weights=Weights(order=10, ask=2, open_orders=2, trades=25, account=2),
    ),
    own_keys=True,
)

COINBASE = VenueRow(
    "coinbase",
    "coinbase",
    (Kind.SPOT,),
    Dialect(
        looks=(Look("fetch_open_orders", Given.BY_SCAN), Look("fetch_orders", Given.BY_SCAN)),
        open_orders=(Listing(limit=100, cursor="cursor"),),
        trades=Trades(Paging.CURSOR, 250, 30 * _DAY_MS, by_symbol=False),
        wallets=(Wallet({"v3": True}),),
        create_id="client_order_id",
        cancel_id="",
        asks_by_own_id=True,
        stop_limit_slack=Decimal("0.05"),
        buy_slack=Decimal("0.02"),
        passed_stop=("STOP_PRICE_ABOVE_LAST_TRADE_PRICE", "STOP_PRICE_BELOW_LAST_TRADE_PRICE"),
    ),
    Limits(Pace(30, 1.0), refusals=('"success":false',)),
)
