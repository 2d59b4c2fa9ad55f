"""Promotion: which evidence carries it, what it does to both books, and how it is taken back."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from engine.domain.codec import decode, encode
from engine.domain.commands import (
    ArmLive,
    ConfigureStrategy,
    Demote,
    EmergencyStop,
    Promote,
    SetStrategy,
    SetTrading,
    TradingState,
)
from engine.domain.facts import Armed, Evidence
from engine.domain.instruments import InstrumentKey
from engine.trading.book import Book
from engine.trading.graduation import Candidate, candidate_of, evidence_of, why_not
from engine.trading.licence import Licence
from engine.trading.loop import TradingLoop
from engine.trading.sleeves import build_strategy
from tests.trading.harness import SPOT, Desk

D = Decimal
SINCE = datetime(2026, 1, 1, tzinfo=UTC)
GOOD = Evidence(30, 14, D("0.01"), D("0.15"), SINCE)
LIMIT = D("0.15")


def candidate(**changes: Any) -> Candidate:
    values = build_strategy("momentum", "{}")[1]
    made = Candidate("momentum", "paper", "paper", values, frozenset({"BTC/USDT"}), D("0.4"), "", GOOD)
    return replace(made, **changes)


def desk(**config: Any) -> Desk:
    """A book that gathers evidence; as live where asked."""
    made = Desk(SPOT)
    made.book.config = replace(made.book.config, on_trial=True, **config)
    return made


def live_desk() -> Desk:
    made = desk(stage="live", needs_arming=True, needs_promotion=True)
    made.book.sleeves.clear()
    made.loop.core.move_state(TradingState.HALTED, "not armed", made.at)
    return made


def give(made: Desk, body: Any, about: Candidate | None = None, command_id: str = "c") -> str:
    done = _command(made.loop, made, body, about, command_id)
    return f"{done.status}: {done.detail}"


def _command(loop: TradingLoop, made: Desk, body: Any, about: Candidate | None, command_id: str) -> Any:
    from engine.domain.commands import Actor, Command, Role

    done = loop.command(Command(command_id, Actor("jo", Role.OPERATOR, "test"), made.clock.now(), "test", body), about)
    assert done is not None
    return done


# -- the rule ----------------------------------------------------------------------------------------------------------

REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"evidence": replace(GOOD, trades=29)}, "live", "29 closed trades on 14 days"),
    ({"evidence": replace(GOOD, days=13)}, "live", "at least 30 closed trades on 14 days in paper or testnet"),
    ({"evidence": replace(GOOD, net_return=D(0))}, "live", "must be above zero"),
    ({"evidence": replace(GOOD, drawdown=D("0.1501"))}, "live", "15.00% are allowed"),
    ({"evidence": replace(GOOD, net_return=None)}, "live", "no capital"),
    ({"evidence": None}, "live", "no evidence"),
    ({"stage": "demo"}, "live", "takes strategies from paper or testnet, not from demo"),
    ({"stage": "live"}, "testnet", "takes strategies from paper, not from live"),
    ({"quarantined": "ValueError: x"}, "live", "quarantined"),
    ({"symbols": frozenset({"ETH/USDT"})}, "live", "none of the instruments"),
    ({}, "demo", "takes no promotions"),
]


@pytest.mark.parametrize(("changes", "stage", "why"), REFUSED, ids=[row[2] for row in REFUSED])
def test_promotion_when_the_evidence_does_not_carry_it_then_says_what_is_missing(
    changes: dict[str, Any], stage: str, why: str
) -> None:
    assert why in why_not(candidate(**changes), stage, LIMIT, [InstrumentKey("bybit:BTC/USDT")])


@pytest.mark.parametrize(("stage", "before"), [("live", "paper"), ("live", "testnet"), ("testnet", "paper")])
def test_promotion_when_the_evidence_carries_it_then_nothing_speaks_against(stage: str, before: str) -> None:
    assert why_not(candidate(stage=before), stage, LIMIT, [InstrumentKey("bybit:BTC/USDT")]) == ""


# -- the evidence ------------------------------------------------------------------------------------------------------


def test_evidence_when_days_and_trades_pass_then_both_are_counted_and_a_crash_keeps_them() -> None:
    made = desk()
    give(made, ConfigureStrategy("test", "momentum", '{"fast_ema_bars": 9}'))
    made.want(1.0)
    made.bar("100")
    made.bar("100")
    made.want(0.0)
    made.bar("101")
    made.bar("101")
    shown = evidence_of(made.book, "momentum")
    assert shown is not None
    assert (shown.trades, shown.days) == (1, 1)
    assert shown.net_return is not None
    again = Licence.restored(made.book.licence.state())
    assert again.trials == made.book.licence.trials


def test_evidence_when_the_settings_change_then_it_begins_anew_but_not_when_they_stay() -> None:
    made = desk()
    give(made, ConfigureStrategy("test", "momentum", '{"fast_ema_bars": 9}'))
    made.bar("100")
    give(made, SetStrategy("test", "momentum", False), command_id="c2")
    give(made, SetStrategy("test", "momentum", True), command_id="c3")
    assert made.book.licence.trials["momentum"].days == 1
    give(made, ConfigureStrategy("test", "momentum", '{"fast_ema_bars": 8}'), command_id="c4")
    assert made.book.licence.trials["momentum"].days == 0


def test_drawdown_when_the_result_falls_from_its_best_then_the_deepest_fall_stays() -> None:
    made = desk()
    give(made, ConfigureStrategy("test", "momentum", '{"fast_ema_bars": 9}'))
    trial = made.book.licence.trials["momentum"]
    for pnl in ("0", "10", "-10", "5"):
        trial.watch(SINCE.date(), D(pnl), D(90))
    assert (trial.best, trial.drawdown) == (D(10), D("0.2"))


def test_evidence_when_nobody_watches_the_book_then_there_is_none() -> None:
    made = Desk(SPOT)
    assert evidence_of(made.book, "momentum") is None
    assert candidate_of(made.book, "momentum").evidence is None


# -- the promotion -----------------------------------------------------------------------------------------------------


def test_promote_when_it_is_carried_then_the_strategy_runs_there_and_the_evidence_is_journaled() -> None:
    made = live_desk()
    assert give(made, Promote("momentum", "paper", "test"), candidate()).startswith("done")
    sleeve = made.book.sleeves["momentum"]
    assert (sleeve.running, sleeve.weight, sleeve.instruments) == (True, D("0.4"), (made.key,))
    [fact] = [decode(row) for row in made.journal.rows if row["type"] == "Promotion"]
    assert fact == made.book.licence.promotions["momentum"]
    assert made.book.licence.promotions["momentum"].evidence == GOOD
    assert Licence.restored(made.book.licence.state()).promotions == made.book.licence.promotions


def test_promote_when_it_is_refused_then_nothing_changes() -> None:
    made = live_desk()
    refused = give(made, Promote("momentum", "paper", "test"), candidate(evidence=replace(GOOD, trades=3)))
    assert refused.startswith("refused: momentum stays in paper")
    assert (made.book.sleeves, made.book.licence.promotions) == ({}, {})


def test_promote_when_the_capital_is_given_away_then_it_joins_without_any() -> None:
    made = live_desk()
    give(made, Promote("momentum", "paper", "test"), candidate(weight=D("0.8")))
    other = candidate(strategy="breakout", values=build_strategy("breakout", "{}")[1], weight=D("0.5"))
    give(made, Promote("breakout", "paper", "test"), other, "c2")
    assert made.book.sleeves["breakout"].weight == D("0.2")


def test_demote_then_it_pauses_and_may_not_be_started_again() -> None:
    made = live_desk()
    give(made, Promote("momentum", "paper", "test"), candidate())
    assert give(made, Demote("momentum", "test"), command_id="c2").startswith("done")
    assert not made.book.sleeves["momentum"].running
    assert "was not promoted" in give(made, SetStrategy("test", "momentum", True), command_id="c3")
    assert "pause it instead" in give(made, Demote("momentum", "test"), command_id="c4")


# -- arming ------------------------------------------------------------------------------------------------------------


def test_arm_when_obstacles_stand_then_refused_with_every_one_of_them() -> None:
    made = live_desk()
    made.book.licence.obstacles |= {"key": "the key is unknown", "reconciliation": "books differ"}
    assert give(made, ArmLive("test")) == "refused: not armed: the key is unknown; books differ"
    made.book.licence.obstacles.clear()
    assert give(made, ArmLive("test"), command_id="c2").startswith("done: armed")
    assert made.book.state is TradingState.ACTIVE


def test_arm_when_the_book_needs_none_then_refused() -> None:
    assert "needs no arming" in give(desk(), ArmLive("test"))


@pytest.mark.parametrize("body", [EmergencyStop("test"), SetTrading("test", TradingState.HALTED)], ids=str)
def test_arming_when_the_book_is_halted_then_it_ends(body: Any) -> None:
    made = live_desk()
    give(made, ArmLive("test"))
    give(made, body, command_id="c2")
    assert made.book.licence.armed is None
    assert made.book.venue_state(made.key).severity >= TradingState.CLOSE_ONLY.severity


def test_arming_when_the_book_only_closes_for_a_while_then_it_lasts() -> None:
    made = live_desk()
    give(made, ArmLive("test"))
    give(made, SetTrading("test", TradingState.CLOSE_ONLY), command_id="c2")
    assert give(made, SetTrading("test", TradingState.ACTIVE), command_id="c3").startswith("done")


def test_book_when_active_but_not_armed_then_it_opens_nothing_all_the_same() -> None:
    made = live_desk()
    book: Book = made.book
    book.state = TradingState.ACTIVE
    assert book.venue_state(made.key) is TradingState.CLOSE_ONLY


def test_permissions_when_stored_then_read_back_alike() -> None:
    armed = Armed(True, "x7k2p", "armed by jo", SINCE)
    assert decode(encode(armed)) == armed
    licence = Licence()
    licence.apply(armed)
    assert Licence.restored(licence.state()).armed == armed
    assert Licence.restored(None) == Licence()
