"""Testnet and live of the stand-in console: what they need, what runs there, and who may be promoted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

from engine.domain.commands import Role, TradingState
from engine.domain.conditions import VenueCondition, VenueState
from engine.domain.errors import AccessDenied
from engine.domain.facts import Evidence, Promotion
from engine.domain.instruments import InstrumentKey
from engine.domain.portfolio import BookSnapshot, FeedView, Position
from engine.domain.stage_views import CandidateView, StageCondition, StageView
from tests.pages import fake_records as made
from tests.pages.fake_base import FakeBase

RULE = "at least 30 trades on 14 days, a result above zero and no fall of 10 % or more"
LINKED = "binance/main"
OTHER = "bybit/second"


def evidence(trades: int, net: str) -> Evidence:
    """What a strategy has shown over 19 days."""
    return Evidence(trades, 19, Decimal(net), Decimal("0.041"), made.MARKET_NOW - timedelta(days=19))


def feeds(now: datetime) -> tuple[FeedView, ...]:
    """One venue near its limit, one that locked us out, one that is banned, and one that is fine."""
    rows = (
        (VenueState.ONLINE, "", 0.86, 42),
        (VenueState.LOCKED, "the key was revoked", None, None),
        (VenueState.BANNED, "418: too many requests", 1.0, -1700),
        (VenueState.DEGRADED, "entries are not answered in time", 0.2, 5),
    )
    found = []
    for place, (state, detail, used, offset) in enumerate(rows):
        name = ("binance", "bybit", "kraken", "kucoin")[place]
        until = now + timedelta(minutes=9) if state is VenueState.BANNED else None
        told = VenueCondition(
            name, state, detail, now - timedelta(minutes=3), now - timedelta(seconds=2), 0.081, used, offset, until
        )
        awaits = "books and exchange have not been compared yet" if place == 1 else ""
        online = state is VenueState.ONLINE
        found.append(FeedView(name, False, online, "", made.MARKET_NOW, now, 0.09, 12, 1, told, awaits))
    return tuple(found)


def live_book(book: BookSnapshot, now: datetime, *, armed: bool) -> BookSnapshot:
    """A live book with an external position and one that nobody can manage."""
    held, locked = made.positions()[:2]
    positions: tuple[Position, ...] = (
        replace(held, sleeve="external", instrument=InstrumentKey("binance:BTC/USDT"), stop_price=None),
        replace(locked, instrument=InstrumentKey("bybit:ETH/USDT:USDT"), managed=False),
    )
    promoted = Promotion("momentum", True, "paper", "{}", evidence(64, "0.031"), "sam", made.MARKET_NOW)
    return replace(
        book,
        name="live",
        stage="live",
        simulated=False,
        state=TradingState.ACTIVE if armed else TradingState.HALTED,
        state_reason="" if armed else "not armed yet",
        feeds=feeds(now),
        positions=positions,
        market_time=made.MARKET_NOW,
        needs_arming=True,
        armed=armed,
        obstacles=() if armed else (("reconciliation", "bybit was not compared yet"),),
        promotions=(promoted,),
        fills=3,
    )


def needs(account: str) -> tuple[StageCondition, ...]:
    """What a stage needs of an account."""
    return (
        StageCondition("connection", "Account", True, account),
        StageCondition("key", "Key", None, "not checked yet"),
    )


class FakeStages(FakeBase):
    """`Operations` of `engine.domain.facade`, as far as stages go."""

    def stages(self) -> tuple[StageView, ...]:
        self._fail("stages")
        linked = () if self.empty else (LINKED, OTHER)
        running = bool(self.live)
        testnet = StageView(
            "testnet", "Testnet", False, (), linked,
            "Play money at the sandbox of Binance and Bybit. KuCoin, Kraken and Coinbase (spot) have no sandbox.",
            ("BTC/USDT",), "1m", Decimal(1000), "USDT",
            (StageCondition("reconciliation", "Books and exchange", None, "known once the book runs"),),
            tuple((each, needs(each)) for each in linked),
        )  # fmt: skip
        conditions = (StageCondition("arming", "Arming", self.live == "armed", "not armed; the book is HALTED"),)
        live = StageView(
            "live", "Live", running, (LINKED,), linked, "Real money.", ("BTC/USDT", "ETH/USDT"), "1h",
            Decimal("2500.50"), "USDT", conditions, ((LINKED, needs(LINKED)),),
        )  # fmt: skip
        return (testnet, live)

    def start_stage(
        self, stage: str, connections: Sequence[str], symbols: Sequence[str], timeframe: str, capital: Decimal
    ) -> None:
        self._prove(stage)
        self._act("start_stage", Role.OPERATOR, stage, tuple(connections), tuple(symbols), timeframe, capital)

    def stop_stage(self, stage: str) -> None:
        self._prove(stage)
        self._act("stop_stage", Role.OPERATOR, stage)

    def candidates(self, to_book: str) -> tuple[CandidateView, ...]:
        self._fail("candidates")
        if self.empty or to_book == "demo":
            return ()
        return (
            CandidateView("momentum", "Trend momentum", "demo", to_book, evidence(64, "0.031"), RULE, ""),
            CandidateView(
                "mean_reversion", "Mean reversion", "demo", to_book, evidence(12, "-0.004"), RULE,
                "12 of 30 trades were made, and the result is −0.40 %",
            ),
        )  # fmt: skip

    def _prove(self, stage: str) -> None:
        if stage == "live" and not self.proven:
            raise AccessDenied("starting the live book needs your password again")
