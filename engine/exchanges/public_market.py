"""Public questions to one exchange over REST: its clock, its instruments, its candles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from typing import Any

from engine.domain.errors import BadInput, CandleError, VenueUnreachable
from engine.domain.instruments import Instrument, InstrumentKey, Kind
from engine.domain.market import Candle, Timeframe, from_ms, to_ms
from engine.domain.ports import Clock
from engine.exchanges import ExchangeRow
from engine.exchanges.client import Door, asking, open_client
from engine.exchanges.hosts import Hosts

PAGE_ROWS = 300


@dataclass(frozen=True, slots=True)
class CandlePage:
    """One answer: closed candles oldest first, what was refused and why, and the newest open time seen (ms)."""

    candles: tuple[Candle, ...]
    refused: tuple[str, ...]
    newest_ms: int | None


class PublicMarket:
    """A ccxt client that only asks public questions; used by one thread at a time. Opening it sends nothing.

    Parameters
    ----------
    row : ExchangeRow
    clock : Clock
    timeout_s : float
        Patience with one answer.
    rest_url : str or None
        Another host, for tests.
    sandbox : bool
        Ask the exchange's test exchange.
    """

    def __init__(
        self,
        row: ExchangeRow,
        clock: Clock,
        timeout_s: float = 10.0,
        rest_url: str | None = None,
        sandbox: bool = False,
    ) -> None:
        self._row = row
        self._clock = clock
        self._client: Any = None
        self._door = Door(sandbox=sandbox, timeout_s=timeout_s, rest_url=rest_url)
        self._offset_ms = 0

    def heed(self, hosts: Hosts | None) -> None:
        """Look up bans and pauses before every question, and write down what is told; call before the first one."""
        self._door = replace(self._door, hosts=hosts)

    def close(self) -> None:
        """Drop the connection; the next question opens a new one, and what is known of the markets stays known."""
        if self._client is not None:
            self._client.close()

    def now_ms(self) -> int:
        """The exchange's time as far as known, ms UTC; own time until `sync_clock` has answered."""
        return to_ms(self._clock.now()) + self._offset_ms

    def sync_clock(self) -> None:
        """Measure how far the exchange's clock is from ours; raises `VenueUnreachable`."""
        client = self._opened()
        asked_ms = to_ms(self._clock.now())
        with asking(self._row, client):
            server_ms = int(client.fetch_time())
        self._offset_ms = server_ms - (asked_ms + to_ms(self._clock.now())) // 2

    def instruments(self, symbols: Sequence[str], *, also_halted: bool = False) -> tuple[Instrument, ...]:
        """Tick, lot and least notional of each symbol, from the exchange itself.

        Parameters
        ----------
        symbols : sequence of str
        also_halted : bool
            Whether one that is not being traded now is taken, too, and one that is not listed left out.

        Raises
        ------
        BadInput
            Where the exchange does not trade a symbol, or it is neither spot nor a linear perpetual.
        VenueUnreachable
            Where the exchange cannot be asked.
        """
        client = self._opened()
        _narrow_markets(client, symbols)
        with asking(self._row, client):
            markets = client.load_markets()
        if not markets:
            raise VenueUnreachable(f"{self._row.title} answered with an empty list of markets")
        halted = [symbol for symbol in symbols if (markets.get(symbol) or {}).get("active") is False]
        if halted and not also_halted:
            raise BadInput(f"{halted[0]} is not being traded at {self._row.title} now; choose another symbol")
        carried = [symbol for symbol in symbols if symbol in markets] if also_halted else symbols
        return tuple(_instrument(self._row, markets, symbol) for symbol in carried or symbols)

    def check_timeframe(self, timeframe: Timeframe) -> None:
        """Raises `BadInput` where the exchange has no candles of this length."""
        offered = self._opened().timeframes
        if str(timeframe) not in offered:
            raise BadInput(f"{self._row.title} has no {timeframe} candles; it has {', '.join(offered)}")

    def page(self, instrument: Instrument, timeframe: Timeframe, since_ms: int) -> CandlePage:
        """Closed candles opened at or after ``since_ms``, one answer of the exchange.

        Unfinished candles are left out. A row that is not a candle at all makes the whole answer unusable.

        Raises
        ------
        VenueUnreachable
            Where there is no answer, or the answer holds no candle rows.
        """
        client = self._opened()
        if client.markets is None:
            _narrow_markets(client, [instrument.symbol])
        with asking(self._row, client):
            rows = client.fetch_ohlcv(instrument.symbol, str(timeframe), since=since_ms, limit=PAGE_ROWS)
        readable = client.last_json_response is not None  # of a page of HTML ccxt makes an empty list
        if not readable or not isinstance(rows, list) or not all(_is_row(row) for row in rows):
            raise VenueUnreachable(
                f"{self._row.title} sent something that is no list of candles for {instrument.symbol}"
            )
        candles, refused = [], []
        closed_until_ms = self.now_ms() - timeframe.ms
        for row in rows:
            if since_ms <= row[0] <= closed_until_ms:
                try:
                    candles.append(checked_candle(instrument.key, timeframe, row))
                except CandleError as error:
                    refused.append(str(error))
        return CandlePage(tuple(candles), tuple(refused), max((row[0] for row in rows), default=None))

    def pages(self, instrument: Instrument, timeframe: Timeframe, since_ms: int, until_ms: int) -> Iterator[CandlePage]:
        """Every closed candle opened from ``since_ms`` to before ``until_ms``, page by page, oldest first."""
        while since_ms < until_ms:
            page = self.page(instrument, timeframe, since_ms)
            wanted = tuple(candle for candle in page.candles if to_ms(candle.opened_at) < until_ms)
            yield CandlePage(wanted, page.refused, page.newest_ms)
            if page.newest_ms is None or page.newest_ms < since_ms:
                return
            since_ms = page.newest_ms + timeframe.ms
            if since_ms > self.now_ms() - timeframe.ms:
                return

    def _opened(self) -> Any:
        if self._client is None:
            self._client = open_client(self._row, self._door)
        return self._client


def checked_candle(key: InstrumentKey, timeframe: Timeframe, row: Sequence[Any]) -> Candle:
    """A candle from ``[opened_ms, open, high, low, close, volume]`` with numbers as text.

    Raises
    ------
    CandleError
        For a price that is missing, NaN, infinite, zero or negative, a negative volume, an open time off the grid,
        or high and low that do not enclose open and close; names instrument, time and values.
    """
    opened_ms = row[0]
    where = f"{key} {timeframe} {from_ms(opened_ms).isoformat()}"
    try:
        prices = [Decimal(str(value)) for value in row[1:5]]
        volume = Decimal(str(row[5]))
    except InvalidOperation as error:
        raise CandleError(f"{where}: {list(row[1:6])} are not all numbers") from error
    if not all(value.is_finite() for value in (*prices, volume)) or min(prices) <= 0 or volume < 0:
        raise CandleError(f"{where}: {list(row[1:6])} holds a price or volume that cannot be")
    first, high, low, last = prices
    if high < max(first, last) or low > min(first, last):
        raise CandleError(f"{where}: high {high} and low {low} do not enclose open {first} and close {last}")
    if opened_ms % timeframe.ms and timeframe.seconds < 604_800:
        raise CandleError(f"{where}: does not open on the {timeframe} grid")
    return Candle(key, timeframe, from_ms(opened_ms), first, high, low, last, volume)


def _is_row(row: Any) -> bool:
    return isinstance(row, list) and len(row) >= 6 and type(row[0]) is int and row[0] > 0


def _narrow_markets(client: Any, symbols: Sequence[str]) -> None:
    """Ask only for the kinds of market that are wished, where the exchange keeps them apart."""
    options = client.options.get("fetchMarkets")
    if isinstance(options, dict) and "types" in options:
        kinds = {"linear" if ":" in symbol else "spot" for symbol in symbols}
        options["types"] = [kind for kind in ("spot", "linear") if kind in kinds]


def _instrument(row: ExchangeRow, markets: dict[str, Any], symbol: str) -> Instrument:
    market = markets.get(symbol)
    if market is None:
        base = symbol.split("/")[0]
        similar = [name for name in markets if name.startswith(base + "/")][:8]
        raise BadInput(
            f"{row.title} does not trade {symbol!r}; with {base} it trades {', '.join(similar) or 'nothing'}"
        )
    if not (market.get("spot") or (market.get("swap") and market.get("linear"))):
        raise BadInput(f"{symbol} at {row.title} is neither spot nor a linear perpetual; choose another symbol")
    try:
        return _facts(row, market)
    except (InvalidOperation, KeyError, TypeError) as error:
        raise VenueUnreachable(f"{row.title} names no usable tick or lot for {symbol}") from error


def _facts(row: ExchangeRow, market: dict[str, Any]) -> Instrument:
    limits = market.get("limits") or {}
    least = (limits.get("cost") or {}).get("min") or "0"
    leverage = (limits.get("leverage") or {}).get("max") or "1"
    spot = bool(market.get("spot"))
    return Instrument(
        row.name,
        market["base"],
        market["quote"],
        Kind.SPOT if spot else Kind.PERPETUAL,
        _plain(market["precision"]["price"]),
        _plain(market["precision"]["amount"]),
        _plain(least),
        Decimal(1) if spot else max(Decimal(1), Decimal(str(leverage))),
    )


def _plain(value: Any) -> Decimal:
    """The number without trailing zeros or exponent."""
    return Decimal(format(Decimal(str(value)).normalize(), "f"))
