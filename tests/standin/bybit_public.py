"""What Bybit tells everybody: time, instruments, prices, books, candles, trades."""

from __future__ import annotations

from typing import Any

from .amounts import text
from .calls import Call
from .exchange import Exchange
from .instruments import Instrument
from .market import MINUTE_MS, Market
from .quotes import Quote
from .world import World

MINUTES = {"D": 1440, "W": 10080} | {str(each): each for each in (1, 3, 5, 15, 30, 60, 120, 240, 360, 720)}


class BybitPublic:
    """Public answers from one account's markets."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.exchange: Exchange = world.exchanges["bybit"]

    def time(self, _: Call) -> Any:
        now = self.world.now_ms()
        return {"timeSecond": str(now // 1000), "timeNano": str(now * 1_000_000)}

    def system(self, _: Call) -> Any:
        """What Bybit's status page says: maintenance that goes on, or nothing."""
        down = self.world.faults.look(("maintenance",), venue="bybit") is not None
        row = {"id": "1", "title": "Maintenance", "state": "ongoing", "begin": "0", "end": "4102444800000", "href": ""}
        return {"list": [row] if down else []}

    def instruments(self, call: Call) -> Any:
        wanted = call.get("category")
        rows = [
            _instrument(each)
            for each in self.exchange.instruments.values()
            if wanted == ("linear" if each.perpetual else "spot")
            and call.get("status", each.status) == each.status
            and call.get("symbol", each.symbol) == each.symbol
        ]
        return {"category": wanted, "list": rows, "nextPageCursor": ""}

    def tickers(self, call: Call) -> Any:
        wanted = call.get("category")
        rows = [
            self.ticker(market)
            for market in self.exchange.markets.values()
            if wanted == ("linear" if market.instrument.perpetual else "spot")
            and call.get("symbol", market.instrument.symbol) == market.instrument.symbol
        ]
        return {"category": wanted, "list": rows}

    def ticker(self, market: Market) -> dict[str, Any]:
        """A ticker without a time, as Bybit's are."""
        quote = self.world.quotes.of("bybit", market)
        row = {
            "symbol": market.instrument.symbol,
            "bid1Price": quote.bid[0],
            "bid1Size": quote.bid[1],
            "ask1Price": quote.ask[0],
            "ask1Size": quote.ask[1],
            "lastPrice": quote.last,
            "prevPrice24h": text(market.instrument.price),
            "price24hPcnt": "0.01",
            "highPrice24h": quote.last,
            "lowPrice24h": quote.last,
            "turnover24h": "100000000",
            "volume24h": "2000",
        }
        if not market.instrument.perpetual:
            return row | {"usdIndexPrice": quote.last}
        settles = (self.world.now_ms() // 28_800_000 + 1) * 28_800_000
        return row | {
            "markPrice": quote.last,
            "indexPrice": quote.last,
            "prevPrice1h": quote.last,
            "openInterest": "50000",
            "openInterestValue": "2500000000",
            "fundingRate": "0.0001",
            "nextFundingTime": str(settles),
            "fundingIntervalHour": "8",
        }

    def book(self, call: Call) -> Any:
        market = self._market(call)
        return self.levels(market, self.world.quotes.of("bybit", market), call.integer("limit", 25))

    def levels(self, market: Market, quote: Quote, depth: int) -> dict[str, Any]:
        """Bids and asks, best first."""
        return {
            "s": market.instrument.symbol,
            "b": [list(level) for level in quote.bids[:depth]],
            "a": [list(level) for level in quote.asks[:depth]],
            "ts": self.world.now_ms(),
            "u": quote.number,
            "seq": quote.number,
            "cts": self.world.now_ms(),
        }

    def candles(self, call: Call) -> Any:
        """Newest first; from ``start`` on, else the last ones."""
        market, limit, now = self._market(call), call.integer("limit", 200), self.world.now_ms()
        minutes = MINUTES[call.get("interval", "1")]
        end = min(call.integer("end", now), now)
        start = call.integer("start", end - (limit - 1) * minutes * MINUTE_MS)
        rows = market.candles(minutes, start, end, limit)
        shown = []
        for row in reversed(rows):
            prices = self.world.quotes.candle("bybit", market, row, row is rows[-1])
            shown.append([str(row.opened_ms), *prices, text(row.volume), text(row.volume * row.close)])
        return {"category": call.get("category"), "symbol": market.instrument.symbol, "list": shown}

    def trades(self, call: Call) -> Any:
        market = self._market(call)
        rows = [
            {
                "execId": f"print-{each.number}",
                "symbol": market.instrument.symbol,
                "price": text(each.price),
                "size": text(each.size),
                "side": each.side.capitalize(),
                "time": str(each.at_ms),
                "isBlockTrade": False,
            }
            for each in reversed(market.prints)
        ]
        return {"category": call.get("category"), "list": rows[: call.integer("limit", 60)]}

    def _market(self, call: Call) -> Market:
        instrument = self.exchange.instrument(call.get("category") == "linear", call.get("symbol"))
        return self.exchange.markets[instrument.key]


def _instrument(each: Instrument) -> dict[str, Any]:
    row: dict[str, Any] = {
        "symbol": each.symbol,
        "status": each.status,
        "baseCoin": each.base,
        "quoteCoin": each.quote,
        "priceFilter": {"tickSize": text(each.tick), "minPrice": text(each.tick), "maxPrice": "1999999"},
    }
    if not each.perpetual:
        sizes = {
            "basePrecision": text(each.lot),
            "quotePrecision": "0.00000001",
            "minOrderQty": text(each.min_quantity),
            "maxOrderQty": text(each.max_quantity),
            "minOrderAmt": text(each.min_notional),
            "maxOrderAmt": "8000000",
        }
        return row | {"innovation": "0", "marginTrading": "none", "lotSizeFilter": sizes}
    return row | {
        "contractType": "LinearPerpetual",
        "settleCoin": each.quote,
        "launchTime": "1585526400000",
        "deliveryTime": str(each.ends_ms),
        "priceScale": "2",
        "fundingInterval": 480,
        "unifiedMarginTrade": True,
        "leverageFilter": {"minLeverage": "1", "maxLeverage": "100.00", "leverageStep": "0.01"},
        "lotSizeFilter": {
            "qtyStep": text(each.lot),
            "minOrderQty": text(each.min_quantity),
            "maxOrderQty": text(each.max_quantity),
            "minNotionalValue": text(each.min_notional),
        },
    }
