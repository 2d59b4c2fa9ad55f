"""What Binance tells a signed-in account besides its orders: balances, positions, income, transfers, key rights."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from .amounts import ZERO, text, to_cent
from .calls import Call
from .exchange import Exchange
from .orders import Entry, Refused, Why
from .world import World

_MOVES = ("TRANSFER_IN", "TRANSFER_OUT")


class BinanceAccount:
    """Account answers of spot and USD-M."""

    def __init__(self, world: World, venue: str) -> None:
        self.world = world
        self.exchange: Exchange = world.exchanges[venue]
        self.countdown: dict[str, int] = {}

    # --- spot

    def spot(self, _: Call) -> Any:
        working = self.exchange.open_orders()
        rows = []
        for coin, total in sorted(self.exchange.wallet.totals.items()):
            locked = self.exchange.wallet.locked(coin, working)
            rows.append({"asset": coin, "free": text(total - locked), "locked": text(locked)})
        rights = {"canTrade": True, "canWithdraw": True, "canDeposit": True, "accountType": "SPOT"}
        return {
            "makerCommission": 10,
            "takerCommission": 10,
            **rights,
            "updateTime": self.world.now_ms(),
            "balances": rows,
        }

    def rights(self, call: Call) -> Any:
        mine = self.world.keys[call.headers["X-MBX-APIKEY"]]
        return {
            "ipRestrict": bool(mine.addresses),
            "createTime": 1_600_000_000_000,
            "enableReading": True,
            "enableSpotAndMarginTrading": mine.can_trade,
            "enableFutures": mine.can_trade,
            "enableWithdrawals": mine.can_withdraw,
            "enableInternalTransfer": False,
            "permitsUniversalTransfer": False,
            "enableMargin": False,
            "enableVanillaOptions": False,
            "enablePortfolioMarginTrading": False,
        }

    def coins(self, _: Call) -> Any:
        coins = sorted({coin for each in self.exchange.instruments.values() for coin in (each.base, each.quote)})
        state = {"depositAllEnable": True, "withdrawAllEnable": True, "trading": True, "isLegalMoney": False}
        totals = self.exchange.wallet.total
        return [{"coin": coin, "name": coin, "free": text(totals(coin)), **state, "networkList": []} for coin in coins]

    def nothing(self, _: Call) -> Any:
        """A wallet that is empty, or a list without rows."""
        return []

    def system(self, _: Call) -> Any:
        down = self.world.faults.look(("maintenance",), venue="binance") is not None
        return {"status": int(down), "msg": "system_maintenance" if down else "normal"}

    def deposits(self, call: Call) -> Any:
        """Deposits after the account was opened."""
        rows = self._moves(call, "TRANSFER_IN")
        return [
            {
                "id": f"deposit-{each.number}",
                "amount": text(each.change),
                "coin": each.coin,
                "network": "TEST",
                "status": 1,
                "address": "standin",
                "txId": f"tx-{each.number}",
                "insertTime": each.at_ms,
            }
            for each in rows
        ]

    def withdrawals(self, call: Call) -> Any:
        """Withdrawals; their times are texts in UTC, to the second."""
        rows = self._moves(call, "TRANSFER_OUT")
        return [
            {
                "id": f"withdrawal-{each.number}",
                "amount": text(-each.change),
                "transactionFee": "0",
                "coin": each.coin,
                "status": 6,
                "address": "standin",
                "txId": f"tx-{each.number}",
                "applyTime": _in_words(each.at_ms),
                "network": "TEST",
                "completeTime": _in_words(each.at_ms),
            }
            for each in rows
        ]

    def transfers(self, _: Call) -> Any:
        """Moves between the account's own wallets: there are none, and then Binance sends no rows at all."""
        return {"total": 0}

    def _moves(self, call: Call, kind: str) -> list[Entry]:
        opening, since = len(self.exchange.funds), call.integer("startTime", 0)
        until = call.integer("endTime", 1 << 62)
        return [
            each
            for each in self.exchange.wallet.entries
            if each.kind == kind
            and each.number > opening
            and since <= each.at_ms <= until
            and call.get("coin") in ("", each.coin)
        ]

    # --- USD-M

    def futures(self, _: Call) -> Any:
        rows = [self._asset(coin) for coin, total in sorted(self.exchange.wallet.totals.items()) if total]
        wallet = self.exchange.wallet
        positions = [
            {
                "symbol": each.symbol,
                "positionSide": "BOTH",
                "positionAmt": text(wallet.position(each).quantity),
                "unrealizedProfit": text(wallet.unrealised(each)),
                "notional": text(wallet.position(each).quantity * wallet.markets[each.key].price),
                "initialMargin": text(wallet.position_margin(each)),
                "maintMargin": text(wallet.position_margin(each) / 10),
                "isolatedMargin": "0",
                "isolatedWallet": "0",
                "updateTime": wallet.position(each).updated_ms,
            }
            for each in self.exchange.instruments.values()
            if wallet.position(each).quantity
        ]
        total, free = text(wallet.total("USDT")), text(self.exchange.free("USDT"))
        sums = {"totalWalletBalance": total, "totalMarginBalance": total, "availableBalance": free}
        return {"canTrade": True, "updateTime": self.world.now_ms(), **sums, "assets": rows, "positions": positions}

    def balances(self, _: Call) -> Any:
        rows = [self._asset(coin) for coin, total in sorted(self.exchange.wallet.totals.items()) if total]
        return [{**row, "accountAlias": "standin", "balance": row["walletBalance"]} for row in rows]

    def _asset(self, coin: str) -> dict[str, Any]:
        wallet, total = self.exchange.wallet, self.exchange.wallet.total(coin)
        mine = [each for each in self.exchange.instruments.values() if each.quote == coin]
        gain = sum((wallet.unrealised(each) for each in mine), ZERO)
        margin = sum((wallet.position_margin(each) for each in mine), ZERO)
        return {
            "asset": coin,
            "walletBalance": text(total),
            "crossWalletBalance": text(total),
            "unrealizedProfit": text(gain),
            "crossUnPnl": text(gain),
            "marginBalance": text(total + gain),
            "initialMargin": text(margin),
            "maintMargin": text(margin / 10),
            "availableBalance": text(self.exchange.free(coin)),
            "maxWithdrawAmount": text(self.exchange.free(coin)),
            "updateTime": self.world.now_ms(),
        }

    def positions(self, call: Call) -> Any:
        wallet = self.exchange.wallet
        rows = []
        for each in self.exchange.instruments.values():
            held, mark = wallet.position(each), wallet.markets[each.key].price
            if call.get("symbol") not in ("", each.symbol) or not (held.quantity or call.get("symbol")):
                continue
            rows.append(
                {
                    "symbol": each.symbol,
                    "positionSide": "BOTH",
                    "positionAmt": text(held.quantity),
                    "entryPrice": text(to_cent(held.entry)),
                    "breakEvenPrice": text(to_cent(held.entry)),
                    "markPrice": text(mark),
                    "unRealizedProfit": text(wallet.unrealised(each)),
                    "liquidationPrice": "0",
                    "leverage": text(held.leverage),
                    "marginType": "cross",
                    "isolatedMargin": "0",
                    "notional": text(held.quantity * mark),
                    "marginAsset": each.quote,
                    "isolatedWallet": "0",
                    "initialMargin": text(wallet.position_margin(each)),
                    "maintMargin": text(wallet.position_margin(each) / 10),
                    "updateTime": held.updated_ms,
                }
            )
        return rows

    def set_up(self, call: Call) -> Any:
        """Leverage and margin type of one symbol or all."""
        return [
            {
                "symbol": each.symbol,
                "marginType": "CROSSED",
                "isAutoAddMargin": "false",
                "leverage": int(self.exchange.wallet.position(each).leverage),
                "maxNotionalValue": "10000000",
            }
            for each in self.exchange.instruments.values()
            if call.get("symbol") in ("", each.symbol)
        ]

    def brackets(self, _: Call) -> Any:
        ladder = [{"bracket": 1, "notionalFloor": 0, "notionalCap": 10_000_000, "maintMarginRatio": 0.005, "cum": 0}]
        return [{"symbol": each.symbol, "brackets": ladder} for each in self.exchange.instruments.values()]

    def income(self, call: Call) -> Any:
        """Realised gains, fees, funding and transfers, oldest first."""
        rows = [row for each in self.exchange.wallet.entries for row in _incomes(each)]
        since, until = call.integer("startTime", 0), call.integer("endTime", 1 << 62)
        chosen = [
            row
            for row in rows
            if call.get("incomeType") in ("", row["incomeType"])
            and call.get("symbol") in ("", row["symbol"])
            and since <= row["time"] <= until
        ]
        limit = call.integer("limit", 100)
        return chosen[:limit] if call.get("startTime") else chosen[-limit:]

    def set_leverage(self, call: Call) -> Any:
        held = self.exchange.wallet.position(self.exchange.instrument(True, call.get("symbol")))
        held.leverage = Decimal(call.get("leverage"))
        return {"symbol": call.get("symbol"), "leverage": int(held.leverage), "maxNotionalValue": "10000000"}

    def margin_type(self, _: Call) -> Any:
        raise Refused(Why.UNCHANGED, "-4046")

    def set_mode(self, call: Call) -> Any:
        """One-way only."""
        raise Refused(Why.UNCHANGED if call.get("dualSidePosition") == "false" else Why.PARAMETER, "-4059")

    def mode(self, _: Call) -> Any:
        return {"dualSidePosition": False}

    def count_down(self, call: Call) -> Any:
        """Cancel a symbol's orders unless the call comes again within ``countdownTime``; 0 ends it."""
        symbol, wait_ms = call.get("symbol"), call.integer("countdownTime", 0)
        self.countdown.pop(symbol, None)
        if wait_ms:
            self.countdown[symbol] = self.world.now_ms() + wait_ms
        return {"symbol": symbol, "countdownTime": str(wait_ms)}

    def watch_countdown(self) -> None:
        """Called at every beat."""
        for symbol, due_ms in list(self.countdown.items()):
            if self.world.now_ms() >= due_ms:
                del self.countdown[symbol]
                for order in self.exchange.open_orders():
                    if order.instrument.symbol == symbol:
                        self.exchange.cancel(order, "switch")


def _in_words(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms // 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _incomes(each: Entry) -> list[dict[str, Any]]:
    symbol = each.instrument.symbol if each.instrument else ""
    row = {"symbol": symbol, "asset": each.coin, "time": each.at_ms, "info": "", "tranId": each.number, "tradeId": ""}
    if each.kind in _MOVES:
        return [{**row, "incomeType": "TRANSFER", "income": text(each.change)}]
    if each.kind == "SETTLEMENT":
        return [{**row, "incomeType": "FUNDING_FEE", "income": text(each.change)}]
    if each.fill is None:
        return []
    row["tradeId"] = each.fill.trade_id
    fee = {**row, "tranId": each.number * 10, "incomeType": "COMMISSION", "income": text(-each.fill.fee)}
    rows = [fee] if each.coin == each.fill.fee_coin else []
    if each.coin == each.fill.order.instrument.quote and each.fill.realised:
        rows.append({**row, "incomeType": "REALIZED_PNL", "income": text(each.fill.realised)})
    return rows
