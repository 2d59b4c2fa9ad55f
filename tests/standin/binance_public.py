"""What Binance tells everybody, spot and USD-M alike: time, instruments, prices, books, candles, trades."""

from __future__ import annotations

import json
from typing import Any

from .amounts import text
from .calls import Call
from .instruments import Instrument
from .market import MINUTE_MS, Market
from .orders import Refused, Why
from .world import World

MINUTES = {"1m": 1, "3m": 3, "5m": 5, "15m": 15, "30m": 30, "1h": 60, "2h": 120, "4h": 240, "6h": 360, "8h": 480}
MINUTES |= {"12h": 720, "1d": 1440, "3d": 4320, "1w": 10080}
_SPOT_TYPES = ["LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT"]
_LINEAR_TYPES = ["LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET"]
_STATES = {"Trading": "TRADING", "Closed": "BREAK"}


class BinancePublic:
    """Public answers of one of the two accounts."""

    def __init__(self, world: World, venue: str) -> None:
        self.world = world
        self.venue = venue
        self.exchange = world.exchanges[venue]
        self.perpetual = venue == "usdm"

    def ping(self, _: Call) -> Any:
        return {}

    def time(self, _: Call) -> Any:
        return {"serverTime": self.world.now_ms()}

    def nothing(self, _: Call) -> Any:
        """Instruments of a market that is not stood in for."""
        return {"symbols": [], "optionSymbols": []}

    def info(self, _: Call) -> Any:
        rows = [_instrument(each) for each in self.exchange.instruments.values()]
        weight = 2400 if self.perpetual else 6000
        limits = [{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": weight}]
        head = {"timezone": "UTC", "serverTime": self.world.now_ms(), "rateLimits": limits}
        return {**head, "exchangeFilters": [], "symbols": rows}

    def ticker(self, call: Call) -> Any:
        return self._each(call, self.day)

    def best(self, call: Call) -> Any:
        return self._each(call, self._best)

    def last(self, call: Call) -> Any:
        return self._each(call, lambda market: {"symbol": market.instrument.symbol, "price": self._last(market)})

    def mark(self, call: Call) -> Any:
        return self._each(call, self._mark)

    def day(self, market: Market) -> dict[str, Any]:
        """The 24 hour ticker; that of USD-M has no bid and ask."""
        quote, now = self.world.quotes.of(self.venue, market), self.world.now_ms()
        row = {
            "symbol": market.instrument.symbol,
            "priceChange": "0",
            "priceChangePercent": "0",
            "weightedAvgPrice": quote.last,
            "lastPrice": quote.last,
            "lastQty": "1",
            "openPrice": quote.last,
            "highPrice": quote.last,
            "lowPrice": quote.last,
            "volume": "2000",
            "quoteVolume": "100000000",
            "openTime": now - 86_400_000,
            "closeTime": now,
            "firstId": 1,
            "lastId": quote.number,
            "count": quote.number,
        }
        if self.perpetual:
            return row
        best = {"bidPrice": quote.bid[0], "bidQty": quote.bid[1], "askPrice": quote.ask[0], "askQty": quote.ask[1]}
        return row | best | {"prevClosePrice": quote.last}

    def book(self, call: Call) -> Any:
        market = self.market(call.get("symbol"))
        quote, depth, now = self.world.quotes.of(self.venue, market), call.integer("limit", 100), self.world.now_ms()
        sides = {"bids": [list(row) for row in quote.bids[:depth]], "asks": [list(row) for row in quote.asks[:depth]]}
        return {"lastUpdateId": quote.number, **sides} | ({"E": now, "T": now} if self.perpetual else {})

    def candles(self, call: Call) -> Any:
        """Oldest first; from ``startTime`` on, else the last ones."""
        market, limit, now = self.market(call.get("symbol")), call.integer("limit", 500), self.world.now_ms()
        minutes = MINUTES[call.get("interval", "1m")]
        end = min(call.integer("endTime", now), now)
        span = minutes * MINUTE_MS
        start = call.integer("startTime", end - (limit - 1) * span)
        rows = market.candles(minutes, start, end, limit)
        shown = []
        for row in rows:
            prices = self.world.quotes.candle(self.venue, market, row, row is rows[-1])
            value = text(row.volume * row.close)
            shown.append([row.opened_ms, *prices, text(row.volume), row.opened_ms + span - 1, value, 10, "1", "1", "0"])
        return shown

    def trades(self, call: Call) -> Any:
        market = self.market(call.get("symbol"))
        rows = [
            {
                "id": each.number,
                "a": each.number,
                "price": text(each.price),
                "p": text(each.price),
                "qty": text(each.size),
                "q": text(each.size),
                "quoteQty": text(each.price * each.size),
                "time": each.at_ms,
                "T": each.at_ms,
                "isBuyerMaker": each.side == "sell",
                "m": each.side == "sell",
            }
            for each in market.prints
        ]
        return rows[-call.integer("limit", 500) :]

    def market(self, symbol: str) -> Market:
        """A market by Binance's name of it."""
        return self.exchange.markets[self.exchange.instrument(self.perpetual, symbol.upper()).key]

    def _each(self, call: Call, show: Any) -> Any:
        """One row for a symbol, a list for several or all."""
        if call.get("symbol"):
            return show(self.market(call.get("symbol")))
        names = json.loads(call.get("symbols")) if call.get("symbols") else None
        known = self.exchange.markets.values()
        if names and not set(names) <= {market.instrument.symbol for market in known}:
            raise Refused(Why.SYMBOL)
        return [show(market) for market in known if names is None or market.instrument.symbol in names]

    def _last(self, market: Market) -> str:
        return self.world.quotes.of(self.venue, market).last

    def _best(self, market: Market) -> dict[str, Any]:
        quote = self.world.quotes.of(self.venue, market)
        best = {"bidPrice": quote.bid[0], "bidQty": quote.bid[1], "askPrice": quote.ask[0], "askQty": quote.ask[1]}
        return {"symbol": market.instrument.symbol, **best} | ({"time": self.world.now_ms()} if self.perpetual else {})

    def _mark(self, market: Market) -> dict[str, Any]:
        price, now = self._last(market), self.world.now_ms()
        row = {"symbol": market.instrument.symbol, "markPrice": price, "indexPrice": price, "interestRate": "0.0001"}
        times = {"nextFundingTime": (now // 28_800_000 + 1) * 28_800_000, "time": now}
        return row | {"estimatedSettlePrice": price, "lastFundingRate": "0.0001", **times}


def _instrument(each: Instrument) -> dict[str, Any]:
    state = _STATES.get(each.status, each.status.upper())
    sizes = {"minQty": text(each.min_quantity), "maxQty": text(each.max_quantity), "stepSize": text(each.lot)}
    prices = {"minPrice": text(each.tick), "maxPrice": "1000000", "tickSize": text(each.tick)}
    filters: list[dict[str, Any]] = [
        {"filterType": "PRICE_FILTER", **prices},
        {"filterType": "LOT_SIZE", **sizes},
        {"filterType": "MARKET_LOT_SIZE", **sizes},
    ]
    row = {"symbol": each.symbol, "status": state, "baseAsset": each.base, "quoteAsset": each.quote}
    if not each.perpetual:
        least = {"minNotional": text(each.min_notional), "applyMinToMarket": True, "avgPriceMins": 5}
        filters.append({"filterType": "NOTIONAL", **least})
        digits = {"baseAssetPrecision": 8, "quotePrecision": 8, "quoteAssetPrecision": 8}
        rights = {"isSpotTradingAllowed": True, "isMarginTradingAllowed": False, "permissions": ["SPOT"]}
        return {**row, **digits, **rights, "orderTypes": _SPOT_TYPES, "filters": filters, "permissionSets": [["SPOT"]]}
    filters.append({"filterType": "MIN_NOTIONAL", "notional": text(each.min_notional)})
    dates = {"deliveryDate": 4_133_404_800_000, "onboardDate": 1_569_398_400_000}
    digits = {"pricePrecision": 8, "quantityPrecision": 8, "baseAssetPrecision": 8, "quotePrecision": 8}
    about = {"pair": each.symbol, "contractType": "PERPETUAL", "marginAsset": each.quote, "underlyingType": "COIN"}
    return {**row, **dates, **digits, **about, "orderTypes": _LINEAR_TYPES, "filters": filters, "timeInForce": ["GTC"]}
