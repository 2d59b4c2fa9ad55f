"""A replay: recorded candles through the very loop that trades, with books of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from engine.domain.codec import digest_of
from engine.domain.errors import BadInput
from engine.domain.facts import Outcome, SleeveConfigured
from engine.domain.instruments import Instrument, Kind
from engine.domain.market import Bars, FeedStatus, MarketEvent, from_ms, to_ms
from engine.domain.orders import CashFlow, Fill
from engine.domain.ports import MarketSource
from engine.exchanges.paper import MemoryVenueJournal, PaperCosts, PaperVenue
from engine.execution.identity import ClientIds
from engine.ledger.ledger import Ledger
from engine.risk.limits import RiskConfig, Sizer
from engine.simulation.candle_lengths import one_length
from engine.simulation.foresight import Foresight, Timeline
from engine.simulation.memory import MarketClock, MemoryJournal
from engine.simulation.quiet import Quiet
from engine.simulation.replay_source import ReplaySource
from engine.strategies import REFERENCES
from engine.trading.book import WINDOW_BARS, Book
from engine.trading.config import BookConfig, BrakeMode
from engine.trading.core import TradingCore
from engine.trading.loop import TradingLoop
from engine.trading.sleeves import LiveOpinions, Opinions, build_strategy
from engine.trading.stopping import StopDriver

ZERO = Decimal(0)
TRAILING_STOP = "trailing stop"
"""What the fill of a stop is for that had moved; else it is for what `engine.domain.orders.Purpose` says."""


@dataclass(frozen=True, slots=True)
class ReplayConfig:
    """What a replay runs.

    Attributes
    ----------
    strategies : mapping of str to str
        Name to the JSON of its configuration; equal weights.
    cash : Decimal
        Capital in the quote currency, shared equally by the venues of the instruments.
    costs : PaperCosts
    risk : RiskConfig
    brake : BrakeMode
    brake_reset_days : int
    """

    strategies: Mapping[str, str]
    cash: Decimal
    costs: PaperCosts = field(default_factory=PaperCosts)
    risk: RiskConfig = field(default_factory=RiskConfig)
    brake: BrakeMode = BrakeMode.LATCH
    brake_reset_days: int = 0


@dataclass(frozen=True, slots=True)
class EquityPoint:
    """Equity (base currency) and drawdown (share) at a close."""

    at: datetime
    equity: Decimal
    drawdown: Decimal


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """What a replay did; money in the quote currency. ``stopped_at`` is when the brake latched, if it did.

    ``orders`` gives strategy and purpose of each fill's order by client order id, ``stops`` where the stop of its
    position lay (quote), None where it had none.
    """

    bars: int
    trades: int
    wins: int
    fills: tuple[Fill, ...]
    orders: Mapping[str, tuple[str, str]]
    stops: tuple[Decimal | None, ...]
    final_equity: Decimal
    fees: Decimal
    funding: Decimal
    digest: str
    seconds: float
    equity: tuple[EquityPoint, ...]
    stopped_at: datetime | None
    stop_reason: str
    refused: int
    rejected_prices: int

    @property
    def bars_per_second(self) -> float:
        """Candles a wall second."""
        return self.bars / self.seconds if self.seconds else 0.0


class ReplaySourceLike(MarketSource, Protocol):
    """A market source that ends and knows how many candles it holds."""

    @property
    def bars(self) -> int:
        """Candles of a whole run."""


Progress = Callable[[int, int], bool]
"""Called with candles done and candles in all; returning False cancels the run."""


class Replay:
    """One run. `step` takes one event, so that a thread or a test may drive it; `run` takes them all."""

    def __init__(self, source: MarketSource, config: ReplayConfig, opinions: Opinions | None = None) -> None:
        require_weights(config)
        self._config = config
        self._source = source
        self._clock = MarketClock()
        self._journal = MemoryJournal()
        self._equity: list[EquityPoint] = []
        self._refused = 0
        self.bars = 0
        self._stopped_at: datetime | None = None
        self._stop_reason = ""
        self._order_of: dict[str, tuple[str, str]] = {}
        self._stops: list[Decimal | None] = []
        self._opinions = opinions or LiveOpinions()
        self._quiet: Quiet | None = None
        self._loop = self._build(list(source.instruments()), self._opinions)
        self._stop = StopDriver(self._loop, self._clock)
        self._started = False
        self._at_close = False
        self._detailed = source if isinstance(source, ReplaySource) and source.has_detail else None
        if self._detailed is not None:
            self._detailed.wants_detail = False
        self._ahead: Decimal | None = None

    def _build(self, instruments: list[Instrument], opinions: Opinions) -> TradingLoop:
        config = BookConfig(
            name="replay",
            stage="replay",
            code="r0",
            simulated=False,
            base_currency=instruments[0].quote,
            bar=one_length({i.key: self._source.history(i.key, 1).timeframe for i in instruments}),
            reserve_bps=reserve_of(self._config.costs),
            brake=self._config.brake,
            brake_reset_days=self._config.brake_reset_days,
            look_gap_s=0.0,
            not_found_window_s=0.0,
        )
        book = Book(config, ClientIds("r0", "00000", 0), Ledger(config.base_currency))
        book.set_risk(entry_limits(self._config.risk, self._config.brake))
        for instrument in instruments:
            book.add_instrument(instrument)
        share = self._share(instruments)
        venues = {name: self._venue(name, instruments, share) for name in sorted({i.venue for i in instruments})}
        return TradingLoop(TradingCore(book, opinions), self._journal, venues, self._clock, self._observe)

    def _share(self, instruments: list[Instrument]) -> Decimal:
        return self._config.cash / len({i.venue for i in instruments})

    def _venue(self, name: str, instruments: list[Instrument], cash: Decimal) -> PaperVenue:
        own = [i for i in instruments if i.venue == name]
        return PaperVenue(name, own, self._config.costs, MemoryVenueJournal(), {own[0].quote: cash})

    def _observe(self, event: object, outcome: Outcome) -> None:
        self._refused += len(outcome.refused)
        for approved in outcome.approved:
            self._order_of[approved.intent.client_id] = (approved.intent.sleeve, approved.intent.purpose.value)
        for change in outcome.amends:
            order = self._loop.book.tracker.get(change.client_id)
            if order is not None and order.is_moved:
                self._order_of[change.client_id] = (order.intent.sleeve, TRAILING_STOP)

    def _begin(self, at: datetime) -> None:
        self._started = True
        instruments = list(self._source.instruments())
        share = self._share(instruments)
        flows = [
            CashFlow(venue, f"replay-{venue}", instruments[0].quote, share, at, "capital of the replay")
            for venue in self._loop.venues
        ]
        self._loop.fund(flows)
        for instrument in instruments:
            self._loop.book.warm_up(instrument.key, self._source.history(instrument.key, WINDOW_BARS))
        weight = Decimal(1) / max(1, len(self._config.strategies))
        keys = tuple(sorted(i.key for i in instruments))
        for name, values in sorted(self._config.strategies.items()):
            _, complete = build_strategy(name, values)
            self._loop.take([SleeveConfigured(name, True, complete, keys, weight, at)], at)
        for venue in self._loop.venues:
            self._loop.step(FeedStatus(venue, at, True, "recorded candles"))
        if isinstance(self._source, ReplaySource) and isinstance(self._opinions, Foresight):
            sleeves = self._loop.book.sleeves.values()
            timeline = Timeline(self._source, instruments, sleeves, self._opinions)
            maintenance = float(self._config.costs.maintenance_margin)
            self._quiet = Quiet(timeline, maintenance, lambda: self._journal.changes)

    def step(self, event: MarketEvent) -> None:
        """Take one event of the source."""
        self._clock.set(event.at)
        if not self._started:
            self._begin(event.at)
        stops = dict(self._loop.book.stop_prices)
        self._loop.step(event)
        self._stop.drive()
        for fill in self._journal.fills[len(self._stops) :]:
            self._stops.append(stops.get((self._order_of.get(fill.client_id, ("", ""))[0], fill.instrument)))
        if self._detailed is not None:
            self._detailed.wants_detail = self._is_busy()
        self._ahead, self._at_close = None, isinstance(event, Bars)
        if isinstance(event, Bars):
            self._note(event)

    def _note(self, bars: Bars) -> None:
        book = self._loop.book
        self.bars += len(bars.candles)
        if book.equity is not None:
            self._equity.append(EquityPoint(bars.at, book.equity, book.units.drawdown))
        if book.stop is not None and self._stopped_at is None:
            self._stopped_at, self._stop_reason = bars.at, book.stop.reason

    def run(self, total: int, progress: Progress | None = None) -> ReplayResult | None:
        """Take every event; None when ``progress`` cancelled."""
        started = time.perf_counter()
        due = 0
        for event in self._source.events():
            self.step(event)
            self.pass_over()
            if progress is not None and self.bars >= due:
                due = self.bars + max(500, total // 200)
                if not progress(self.bars, total):
                    return None
        return self.result(time.perf_counter() - started)

    def pass_over(self) -> None:
        """Let the source leave out what cannot change anything; for whoever takes the events straight from it.

        Needs a `ReplaySource` and opinions that are known ahead; else nothing is left out.
        """
        source, at = self._source, self._loop.book.bars_at
        if self._quiet is None or at is None or not self._at_close or not isinstance(source, ReplaySource):
            return
        if not self._foresees_liquidations():
            return
        timeline = self._quiet.timeline
        row = timeline.row(to_ms(at))
        until = self._quiet.until(row, self._loop.core)
        if until > row + 1:
            source.pass_over(int(timeline.instants[until]))
            self.bars += int(timeline.candles[row + 1 : until].sum())
            self._equity += self._points(timeline, row + 1, until)
            if self._detailed is not None:
                for bars in timeline.last_closes(row, until - 1):
                    self._loop.book.marks.apply(bars)  # orders decided inside the next bar refer to them

    def _is_busy(self) -> bool:
        """Whether anything is held or works, so that finer candles may fill something, or a stop is under way."""
        book = self._loop.book
        if book.latched and (book.stop is None or not book.stop.is_flat):
            return True
        return any(True for _ in book.ledger.open_holdings()) or any(True for _ in book.tracker.open_orders())

    def _foresees_liquidations(self) -> bool:
        """Inside a bar that finer candles decide, the prices of other perpetuals move a liquidation price as well."""
        if self._detailed is None:
            return True
        held = [key for key, booked in self._loop.book.ledger.accounts() if booked.quantity]
        instruments = self._loop.book.ledger.instruments
        return sum(instruments[key].kind is Kind.PERPETUAL for key in held) < 2

    def _points(self, timeline: Timeline, first: int, stop: int) -> list[EquityPoint]:
        """The equity at instants that are passed over, as the core would have found it."""
        book, times = self._loop.book, [from_ms(at_ms) for at_ms in timeline.instants[first:stop].tolist()]
        worth = book.ledger.worth()
        if book.equity is None:
            return []
        if not worth.parts:
            equity, drawdown = book.equity, book.units.drawdown
            return [EquityPoint(at, equity, drawdown) for at in times]
        columns = [timeline.prices(key, first, stop) for key, _, _ in worth.parts]
        equities = [worth.of(prices) for prices in zip(*columns, strict=True)]
        points = [
            EquityPoint(at, equity, book.units.drawdown_at(equity)) for at, equity in zip(times, equities, strict=True)
        ]
        book.equity = self._ahead = equities[-1]
        fact = book.units.observe(book.equity, times[-1])
        assert fact is None, "no day has turned, no peak was reached"
        return points

    def result(self, seconds: float) -> ReplayResult:
        """What has happened so far."""
        book = self._loop.book
        totals = list(book.ledger.sleeves.values())
        fills = tuple(self._journal.fills)
        return ReplayResult(
            bars=self.bars,
            trades=sum(t.trades for t in totals),
            wins=sum(t.wins for t in totals),
            fills=fills,
            orders={f.client_id: self._order_of.get(f.client_id, ("external", "external")) for f in fills},
            stops=tuple(self._stops),
            final_equity=self._ahead or book.ledger.equity(book.price) or ZERO,
            fees=sum((t.fees for t in totals), ZERO),
            funding=sum((t.funding for t in totals), ZERO),
            digest=digest_of(fills),
            seconds=seconds,
            equity=tuple(self._equity),
            stopped_at=self._stopped_at,
            stop_reason=self._stop_reason,
            refused=self._refused,
            rejected_prices=book.rejected_prices,
        )

    def curve_since(self, start: int) -> Iterator[EquityPoint]:
        """Equity points from the ``start``-th on, for live views."""
        return iter(self._equity[start:])


def require_weights(config: ReplayConfig) -> None:
    """Raise `BadInput` where a strategy without a stop would be sized by its stop, and so never trade."""
    references = sorted(set(config.strategies) & set(REFERENCES))
    if references and config.risk.sizer is not Sizer.WEIGHTS:
        raise BadInput(f"{references[0]} has no stop to be sized by; replay it with the sizer weights")


def entry_limits(risk: RiskConfig, brake: BrakeMode) -> RiskConfig:
    """The limits; with the brake off, no drawdown stops entries either."""
    if brake is not BrakeMode.OFF:
        return risk
    unlimited = {"brake_drawdown": Decimal(1), "portfolio_drawdown": Decimal(1), "strategy_drawdown": Decimal(1)}
    return risk.model_copy(update=unlimited)


def reserve_of(costs: PaperCosts) -> Decimal:
    """Basis points of notional kept free beside an entry: its costs, and a cushion for the next open."""
    return costs.taker_bps + costs.spread_bps / 2 + costs.slippage_bps + 10
