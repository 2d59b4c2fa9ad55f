"""Which path of Binance's APIs is answered by what."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .binance_account import BinanceAccount
from .binance_orders import BinanceOrders
from .binance_public import BinancePublic
from .calls import Endpoint

if TYPE_CHECKING:
    from .binance_streams import BinanceStreams

Routes = dict[tuple[str, str], Endpoint]


def spot_routes(
    public: BinancePublic, orders: BinanceOrders, account: BinanceAccount, _streams: BinanceStreams
) -> Routes:
    """Spot, and the account's own questions."""
    routes = _public_routes("/api/v3", public)
    routes |= {
        ("POST", "/api/v3/order"): Endpoint("create", orders.create, True, True),
        ("GET", "/api/v3/order"): Endpoint("status", orders.ask, True, weight=4),
        ("DELETE", "/api/v3/order"): Endpoint("cancel", orders.cancel, True, True),
        ("POST", "/api/v3/order/cancelReplace"): Endpoint("amend", orders.replace, True, True),
        ("GET", "/api/v3/openOrders"): Endpoint("orders", orders.open, True, weight=6),
        ("DELETE", "/api/v3/openOrders"): Endpoint("cancel_all", orders.cancel_all, True, True),
        ("GET", "/api/v3/allOrders"): Endpoint("history", orders.all, True, weight=20),
        ("GET", "/api/v3/myTrades"): Endpoint("fills", orders.trades, True, weight=20),
        ("GET", "/api/v3/account"): Endpoint("balance", account.spot, True, weight=20),
        ("GET", "/sapi/v1/account/apiRestrictions"): Endpoint("key", account.rights, True),
        ("GET", "/sapi/v1/capital/config/getall"): Endpoint("currencies", account.coins, True, weight=10),
        ("GET", "/sapi/v1/capital/deposit/hisrec"): Endpoint("ledger", account.deposits, True),
        ("GET", "/sapi/v1/capital/withdraw/history"): Endpoint("ledger", account.withdrawals, True),
        ("GET", "/sapi/v1/asset/transfer"): Endpoint("ledger", account.transfers, True),
        ("POST", "/sapi/v1/asset/get-funding-asset"): Endpoint("balance", account.nothing, True),
        ("GET", "/sapi/v1/margin/allPairs"): Endpoint("markets", account.nothing, True),
        ("GET", "/sapi/v1/margin/isolated/allPairs"): Endpoint("markets", account.nothing, True, weight=10),
        ("GET", "/sapi/v1/system/status"): Endpoint("system", account.system),
        ("GET", "/dapi/v1/exchangeInfo"): Endpoint("markets", public.nothing),
        ("GET", "/eapi/v1/exchangeInfo"): Endpoint("markets", public.nothing),
    }
    return routes


def usdm_routes(
    public: BinancePublic, orders: BinanceOrders, account: BinanceAccount, streams: BinanceStreams
) -> Routes:
    """USD-M perpetuals; conditional orders have endpoints of their own."""
    routes = _public_routes("/fapi/v1", public) | {
        ("GET", "/fapi/v1/premiumIndex"): Endpoint("ticker", public.mark),
        ("POST", "/fapi/v1/order"): Endpoint("create", orders.create, True, True, 0),
        ("GET", "/fapi/v1/order"): Endpoint("status", orders.ask, True),
        ("PUT", "/fapi/v1/order"): Endpoint("amend", orders.amend, True, True),
        ("DELETE", "/fapi/v1/order"): Endpoint("cancel", orders.cancel, True, True),
        ("POST", "/fapi/v1/algoOrder"): Endpoint("create", orders.create_algo, True, True),
        ("GET", "/fapi/v1/algoOrder"): Endpoint("status", orders.ask_algo, True),
        ("DELETE", "/fapi/v1/algoOrder"): Endpoint("cancel", orders.cancel_algo, True, True),
        ("GET", "/fapi/v1/openAlgoOrders"): Endpoint("orders", orders.open_algo, True),
        ("GET", "/fapi/v1/allAlgoOrders"): Endpoint("history", orders.all_algo, True, weight=5),
        ("DELETE", "/fapi/v1/algoOpenOrders"): Endpoint("cancel_all", orders.cancel_all_algo, True, True),
        ("GET", "/fapi/v1/openOrders"): Endpoint("orders", orders.open, True),
        ("DELETE", "/fapi/v1/allOpenOrders"): Endpoint("cancel_all", orders.cancel_all, True, True),
        ("GET", "/fapi/v1/allOrders"): Endpoint("history", orders.all, True, weight=5),
        ("GET", "/fapi/v1/userTrades"): Endpoint("fills", orders.trades, True, weight=5),
        ("GET", "/fapi/v1/income"): Endpoint("ledger", account.income, True, weight=30),
        ("POST", "/fapi/v1/leverage"): Endpoint("leverage", account.set_leverage, True, True),
        ("POST", "/fapi/v1/marginType"): Endpoint("leverage", account.margin_type, True, True),
        ("POST", "/fapi/v1/positionSide/dual"): Endpoint("leverage", account.set_mode, True, True),
        ("GET", "/fapi/v1/positionSide/dual"): Endpoint("account", account.mode, True),
        ("GET", "/fapi/v1/symbolConfig"): Endpoint("leverage", account.set_up, True, weight=5),
        ("GET", "/fapi/v1/leverageBracket"): Endpoint("account", account.brackets, True),
        ("POST", "/fapi/v1/countdownCancelAll"): Endpoint("deadman", account.count_down, True, True, 10),
        ("POST", "/fapi/v1/listenKey"): Endpoint("listen", streams.listen_key, True),
        ("PUT", "/fapi/v1/listenKey"): Endpoint("listen", streams.listen_key, True),
        ("DELETE", "/fapi/v1/listenKey"): Endpoint("listen", streams.forget_key, True),
    }
    for version in ("v2", "v3"):
        routes |= {
            ("GET", f"/fapi/{version}/account"): Endpoint("balance", account.futures, True, weight=5),
            ("GET", f"/fapi/{version}/balance"): Endpoint("balance", account.balances, True, weight=5),
            ("GET", f"/fapi/{version}/positionRisk"): Endpoint("positions", account.positions, True, weight=5),
        }
    return routes


def _public_routes(base: str, public: BinancePublic) -> Routes:
    return {
        ("GET", f"{base}/ping"): Endpoint("time", public.ping),
        ("GET", f"{base}/time"): Endpoint("time", public.time),
        ("GET", f"{base}/exchangeInfo"): Endpoint("markets", public.info, weight=20),
        ("GET", f"{base}/ticker/24hr"): Endpoint("ticker", public.ticker, weight=2),
        ("GET", f"{base}/ticker/bookTicker"): Endpoint("ticker", public.best, weight=2),
        ("GET", f"{base}/ticker/price"): Endpoint("ticker", public.last, weight=2),
        ("GET", f"{base}/depth"): Endpoint("book", public.book, weight=5),
        ("GET", f"{base}/klines"): Endpoint("candles", public.candles, weight=2),
        ("GET", f"{base}/trades"): Endpoint("trades", public.trades, weight=25),
        ("GET", f"{base}/aggTrades"): Endpoint("trades", public.trades, weight=4),
    }
