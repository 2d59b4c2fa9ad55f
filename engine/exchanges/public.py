"""Public market data of one exchange as a market source: closed candles by REST polling, and honesty about silence."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from random import SystemRandom
from threading import Event, Lock

from pydantic import BaseModel, ConfigDict, Field, field_validator

from engine.domain.errors import BadInput, VenueError, VenueUnreachable
from engine.domain.instruments import Instrument, InstrumentKey
from engine.domain.market import Bars, CandleArrays, FeedStatus, MarketEvent, Timeframe, from_ms, to_ms
from engine.domain.ports import Clock
from engine.exchanges import EXCHANGES, ExchangeRow
from engine.exchanges.bar_assembly import BarAssembly
from engine.exchanges.client import VenueThrottled
from engine.exchanges.hosts import Hosts
from engine.exchanges.public_market import PublicMarket

MAX_BACKOFF_S = 60.0
_STRAGGLER_POLL_S = 1.0
_CLOCK_CHECK_S = 1800.0
_REMEMBERED_REMARKS = 200


class PublicFeedConfig(BaseModel):
    """Which candles of which exchange, and how patiently."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    exchange: str = Field(description="Exchange to read public candles from")
    venue: str = Field("", description="Wallet there whose instruments are meant, by name; empty: the exchange itself")
    sandbox: bool = Field(False, description="Read the exchange's test exchange")
    also_halted: bool = Field(False, description="Carry symbols that are not traded now, leave out unlisted ones")
    symbols: tuple[str, ...] = Field(min_length=1, max_length=50, description="Symbols, e.g. BTC/USDT or BTC/USDT:USDT")
    timeframe: str = Field("1m", description="Length of a candle")
    history_bars: int = Field(1000, ge=10, le=10_000, description="Closed candles loaded at the start and kept")
    settle_s: float = Field(1.0, ge=0, le=30, description="Seconds after a close before asking for it")
    grace_s: float = Field(8.0, ge=1, le=120, description="Seconds after a close to wait for missing candles")
    timeout_s: float = Field(10.0, ge=1, le=60, description="Seconds to wait for one answer")

    @field_validator("exchange")
    @classmethod
    def _known_exchange(cls, name: str) -> str:
        if name not in EXCHANGES:
            raise ValueError(f"{name!r} is not one of {', '.join(EXCHANGES)}")
        return name

    @field_validator("timeframe")
    @classmethod
    def _readable_timeframe(cls, text: str) -> str:
        try:
            return str(Timeframe.parse(text))
        except BadInput as error:
            raise ValueError(str(error)) from error


def _row_of(config: PublicFeedConfig) -> ExchangeRow:
    """The exchange as one of its wallets sees it: with that one's name in instrument keys."""
    row = EXCHANGES[config.exchange]
    for venue in row.venues:
        if venue.name == config.venue:
            return replace(row, name=venue.name, ccxt_id=venue.ccxt_id)
    if config.venue:
        raise BadInput(f"{row.title} has no wallet {config.venue!r}; it has {', '.join(v.name for v in row.venues)}")
    return row


class PublicSource:
    """A `MarketSource` over public REST data. The network is touched only by `connect` and while `events` is iterated.

    A close goes out when every symbol's candle is there, or ``grace_s`` after it with those that are; unfinished
    candles never. After an interruption the missed closes come first, in order. Market time is the exchange's clock.

    Parameters
    ----------
    config : PublicFeedConfig
    clock : Clock
    rest_url : str or None
        Another host, for tests.
    wait : callable or None
        Waits the given seconds; None is real waiting that `close` ends.
    jitter : callable or None
        Random share 0 to 1 of each back-off; None is a real one.
    """

    simulated = False

    def __init__(
        self,
        config: PublicFeedConfig,
        clock: Clock,
        rest_url: str | None = None,
        wait: Callable[[float], object] | None = None,
        jitter: Callable[[], float] | None = None,
    ) -> None:
        row = _row_of(config)
        self.venue = row.name
        self._config = config
        self._clock = clock
        self._timeframe = Timeframe.parse(config.timeframe)
        self._market = PublicMarket(row, clock, config.timeout_s, rest_url, config.sandbox)
        self._closed = Event()
        self._wait = wait or self._closed.wait
        self._jitter = jitter or SystemRandom().random
        self._asking = Lock()
        self._instruments: tuple[Instrument, ...] = ()
        self._assembly: BarAssembly | None = None
        self._unlisted: dict[InstrumentKey, BarAssembly] = {}
        self._clock_checked_s: float | None = None
        self._resume_ms: int | None = None
        self._told: tuple[bool, str] | None = None
        self._remarks: dict[str, None] = {}

    def heed(self, hosts: Hosts | None) -> None:
        """Look up bans and pauses before every question, and write down what is told; call before the first one."""
        self._market.heed(hosts)

    def resume_at(self, market_time: datetime) -> None:
        """Show the closes after ``market_time`` as events instead of history; call before `connect` and `events`."""
        self._resume_ms = to_ms(market_time)

    def connect(self) -> None:
        """Load instruments and history now; `events` does it by itself otherwise.

        Raises
        ------
        BadInput
            Where the exchange does not have a symbol or the timeframe.
        VenueUnreachable
            Where it cannot be asked, or answers without candles.
        """
        with self._asking:
            self._market.check_timeframe(self._timeframe)
            self._check_clock()
            self._instruments = self._market.instruments(self._config.symbols, also_halted=self._config.also_halted)
            keys = [instrument.key for instrument in self._instruments]
            wished = {InstrumentKey(f"{self.venue}:{symbol}") for symbol in self._config.symbols}
            self._unlisted = {key: BarAssembly([key], self._timeframe, 1, 0) for key in wished.difference(keys)}
            start_ms = self._first_shown_ms()
            assembly = BarAssembly(keys, self._timeframe, self._config.history_bars, start_ms)
            self._fill(assembly)
            if not assembly.has_candles:
                raise VenueUnreachable(
                    f"{self.venue} answers, but sends no candles for {', '.join(self._config.symbols)}"
                )
            self._assembly = assembly

    def instruments(self) -> Sequence[Instrument]:
        """What is carried; raises `VenueUnreachable` until connected."""
        if not self._instruments:
            raise VenueUnreachable(f"{self.venue} is not connected yet, its instruments are unknown; try again shortly")
        return self._instruments

    def history(self, key: InstrumentKey, bars: int) -> CandleArrays:
        """The last closed candles, at most ``bars``.

        Raises
        ------
        VenueUnreachable
            Until connected.
        BadInput
            For an instrument this feed does not carry; of one that is no longer listed there are no candles.
        """
        if self._assembly is None:
            raise VenueUnreachable(
                f"{self.venue} is not connected yet, there is no history of {key}; try again shortly"
            )
        return (self._unlisted.get(key) or self._assembly).history(key, bars)

    def close(self) -> None:
        """End `events` after the answer it may be waiting for."""
        self._closed.set()

    def events(self) -> Iterator[MarketEvent]:
        """Feed status and bars until `close`; a failure is told, backed off from and tried again, never raised."""
        failures = 0
        while not self._closed.is_set():
            try:
                bars, remarks = self._ask()
            except (VenueError, BadInput) as error:
                failures += 1
                yield from self._tell(self._market_time(), False, str(error))
                self._forget_connection()
                self._wait(self._backoff_s(failures, error))
                continue
            failures = 0
            before = bars[0].at - self._timeframe.delta if bars else self._market_time()
            yield from self._tell(before, True, f"candles of {len(self._instruments)} instruments")
            yield from (FeedStatus(self.venue, before, True, remark) for remark in remarks)
            yield from bars
            self._wait(self._until_next_poll_s())
        self._market.close()

    def _ask(self) -> tuple[list[Bars], list[str]]:
        """What has closed since the last time; raises where the exchange is silent."""
        if self._assembly is None:
            self.connect()
        assembly = self._assembly
        assert assembly is not None
        with self._asking:
            self._check_clock()
            remarks = self._fill(assembly)
        now_ms = self._market.now_ms()
        bars = assembly.ready(now_ms - round(self._config.grace_s * 1000))
        silent_ms = now_ms - assembly.shown_until_ms - self._timeframe.ms
        if silent_ms > self._config.grace_s * 1000 and not bars:
            last = from_ms(assembly.shown_until_ms).isoformat()
            raise VenueUnreachable(f"{self.venue} answers, but sends no candle since {last}")
        return bars, remarks

    def _fill(self, assembly: BarAssembly) -> list[str]:
        """Fetch what is not known yet; new reasons why rows were refused."""
        fresh = []
        for instrument in self._instruments:
            since_ms = assembly.next_open_ms(instrument.key)
            for page in self._market.pages(instrument, self._timeframe, since_ms, self._market.now_ms()):
                assembly.add(page.candles)
                fresh += [text for text in page.refused if text not in self._remarks]
                self._remarks.update(dict.fromkeys(page.refused))
        while len(self._remarks) > _REMEMBERED_REMARKS:
            del self._remarks[next(iter(self._remarks))]
        return [f"refused a candle: {text}" for text in fresh]

    def _check_clock(self) -> None:
        now_s = self._clock.monotonic()
        if self._clock_checked_s is None or now_s - self._clock_checked_s > _CLOCK_CHECK_S:
            self._market.sync_clock()
            self._clock_checked_s = now_s

    def _first_shown_ms(self) -> int:
        settled_ms = self._market.now_ms() - round(self._config.settle_s * 1000)
        start_ms = settled_ms if self._resume_ms is None else min(settled_ms, self._resume_ms)
        return start_ms - start_ms % self._timeframe.ms

    def _tell(self, at: datetime, online: bool, detail: str) -> Iterator[FeedStatus]:
        if (online, detail) != self._told:
            self._told = (online, detail)
            yield FeedStatus(self.venue, at, online, detail)

    def _market_time(self) -> datetime:
        """The last close shown: a status never runs ahead of the bars that will follow it."""
        shown_ms = self._first_shown_ms() if self._assembly is None else self._assembly.shown_until_ms
        return from_ms(shown_ms)

    def _forget_connection(self) -> None:
        self._clock_checked_s = None
        self._market.close()

    def _backoff_s(self, failures: int, error: Exception) -> float:
        backoff_s = min(MAX_BACKOFF_S, 2.0 ** min(failures - 1, 10)) * (0.5 + self._jitter() / 2)
        return max(backoff_s, error.retry_after_s) if isinstance(error, VenueThrottled) else backoff_s

    def _until_next_poll_s(self) -> float:
        assert self._assembly is not None
        due_ms = self._assembly.shown_until_ms + self._timeframe.ms
        ahead_s = (due_ms - self._market.now_ms()) / 1000 + self._config.settle_s
        return ahead_s if ahead_s > 0 else _STRAGGLER_POLL_S
