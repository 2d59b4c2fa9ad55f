"""What people read of the journal, of the audit trail, of errors about files, and of an order before it is sent."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from engine.domain import facts
from engine.domain.baskets import Basket, BasketMoved, BasketState, Leg, UnwindRule
from engine.domain.codec import encode, to_json
from engine.domain.commands import REQUIRED_ROLE, Actor, Command, EmergencyStop, PlaceOrder, Role, TradingState
from engine.domain.errors import BadInput
from engine.domain.facts import CommandDone, StateChanged
from engine.domain.instruments import Instrument, InstrumentKey, Kind
from engine.domain.market import from_ms
from engine.domain.orders import Fill, Liquidity, OrderIntent, OrderType, Purpose, Side
from engine.domain.portfolio import QuoteView
from engine.runtime.form_words import for_the_form
from engine.runtime.order_review import OrderReview, look_at_market, review_order, why_it_would_take
from engine.runtime.status import rounded_average
from engine.runtime.trail_words import ACTION_WORDS, KIND_WORDS, journal_words
from engine.simulation.instrument_table import FactOverrides, instrument_for
from engine.storage.candle_names import NameFlags, read_name

NOW = from_ms(1_700_000_000_000)
KEY = InstrumentKey("demo-a:BTC/USDT")
BTC = Instrument("demo-a", "BTC", "USDT", Kind.SPOT, Decimal("0.01"), Decimal("0.0001"), Decimal(5))
D = Decimal


def test_words_then_every_kind_and_every_command_has_its_own() -> None:
    assert set(KIND_WORDS) == {kind.__name__ for kind in facts.Fact.__args__}
    assert {body.__name__ for body in REQUIRED_ROLE} <= set(ACTION_WORDS)


@pytest.mark.parametrize(
    ("fact", "words"),
    [
        (
            OrderIntent("d1", KEY, Side.BUY, D("0.5"), OrderType.MARKET, Purpose.ENTRY, "momentum", NOW, D(64000)),
            "Trend momentum wants to buy 0.5 BTC/USDT on demo-a (entry, market order)",
        ),
        (
            Fill(
                "demo-a", "main", "t1", "d1", "v1", KEY, Side.SELL, D("0.5"), D(64000), D("32.0"), "USDT",
                Liquidity.TAKER, NOW,
            ),
            "Sold 0.5 BTC/USDT on demo-a at 64000, fee 32 USDT",
        ),
        (
            Command("c1", Actor("jo", Role.ADMIN, "console"), NOW, "odd prices", EmergencyStop(None)),
            "jo (console): Ordered an emergency stop of every book; reason: odd prices",
        ),
        (CommandDone("c1", "refused", "no such book", NOW), "Refused: no such book"),
        (StateChanged(TradingState.HALTED, True, "red button", NOW), "HALTED, latched until re-armed: red button"),
        (
            facts.ProtectionGap("momentum", KEY, facts.Gap.STOP_TOO_SMALL, D("0.1"), "too small", NOW),
            "BTC/USDT on demo-a of Trend momentum, stop below the minimum: too small",
        ),
        (
            facts.BestPrice("momentum", KEY, D(65000), NOW),
            "BTC/USDT on demo-a of Trend momentum was worth 65000 at best; its stop follows",
        ),
        (
            facts.LatchReleased("momentum", KEY, NOW),
            "Trend momentum may open BTC/USDT on demo-a again: its conviction went back to zero or turned",
        ),
        (
            Basket(
                "b1", "arbitrage", (Leg("d1", KEY, Side.SELL, D("0.5"), D(64000)),), 180, UnwindRule.UNWIND, D(10),
                D(3), NOW,
            ),
            "Arbitrage wants together: sell 0.5 BTC/USDT on demo-a; after 180 s the rule is to unwind",
        ),
        (
            BasketMoved("b1", BasketState.UNWOUND, "a leg did not fill", D("-1.5"), NOW),
            "Basket b1 is unwound: a leg did not fill; result so far -1.5",
        ),
    ],
)  # fmt: skip
def test_journal_words_when_a_fact_then_a_plain_sentence(fact: Any, words: str) -> None:
    assert journal_words(to_json(encode(fact))) == words


def test_journal_words_when_it_cannot_be_read_then_said() -> None:
    assert journal_words("{}").startswith("This row cannot be read")


@pytest.mark.parametrize(
    ("name", "flags"),
    [
        ("mine.csv", NameFlags()),
        ("mine.csv", NameFlags(base="BTC", quote="USDT")),
        ("BTC_USDT-1h.csv", NameFlags()),
        ("BTC_USDT-1h.csv", NameFlags(venue="binance")),
        ("BTC_USDT.csv", NameFlags(venue="binance", kind=Kind.SPOT)),
        ("BTC_USDT-1h.csv", NameFlags(venue="binance", kind=Kind.SPOT, base="ETH", quote="USDT")),
        ("BTC_USDT_USDT-1h.csv", NameFlags(venue="binance", kind=Kind.SPOT)),
        ("BTC_USDT-1h.csv", NameFlags(venue="Bin ance", kind=Kind.SPOT)),
    ],
)
def test_form_words_when_a_name_leaves_a_question_then_the_field_is_named(name: str, flags: NameFlags) -> None:
    with pytest.raises(BadInput) as refused:
        read_name(name, flags)
    said = for_the_form(refused.value)
    assert type(said) is type(refused.value)
    assert "--" not in str(said)
    assert "folder" not in str(said)
    assert re.search(r"the field (Symbol|Timeframe|Venue|Kind)", str(said))


def test_form_words_when_the_grid_is_unknown_then_every_field_is_named() -> None:
    with pytest.raises(BadInput) as refused:
        instrument_for("binance", "NEWCOIN", "USDT", Kind.SPOT, FactOverrides())
    said = str(for_the_form(refused.value))
    assert "--" not in said
    assert all(field in said for field in ("Tick size", "Lot size", "Min notional"))


def reviewed(quotes: tuple[QuoteView, ...] = (), **changes: Any) -> OrderReview:
    asked = {"quantity": D("0.5"), "order_type": OrderType.MARKET, **changes}
    feed = SimpleNamespace(venue="demo-a", last_wall_time=NOW)
    book = SimpleNamespace(
        name="demo", instruments=(BTC,), marks=((KEY, D(64000)),), feeds=(feed,), quotes=quotes, fee_bps=D(10),
        base_currency="USDT",
    )  # fmt: skip
    return review_order(book, PlaceOrder("demo", KEY, Side.BUY, **asked))  # type: ignore[arg-type]


def test_review_when_market_then_worth_the_present_price_with_its_age() -> None:
    review = reviewed()
    assert (review.price, review.value, review.currency, review.market_at) == (D(64000), D(32000), "USDT", NOW)
    assert review.problems == ()


def test_review_when_bid_and_ask_are_known_then_a_market_order_meets_the_ask_and_its_fee_is_told() -> None:
    quote = QuoteView(KEY, D(64000), "mid", NOW, D(63990), D(64010), NOW)
    review = reviewed((quote,))
    assert (review.price, review.price_source, review.worth) == (D(64010), "best ask", D(32005))
    assert (review.fee, review.base) == (D("32.005"), "USDT")


@pytest.mark.parametrize(
    ("side", "limit", "post_only", "best"),
    [
        (Side.BUY, "64010", True, "best ask of 64010"),
        (Side.BUY, "64009", True, ""),
        (Side.BUY, "64010", False, ""),
        (Side.SELL, "63990", True, "best bid of 63990"),
        (Side.SELL, "63991", True, ""),
    ],
)
def test_review_when_a_post_only_order_reaches_the_other_side_then_said_before_it_is_sent(
    side: Side, limit: str, post_only: bool, best: str
) -> None:
    book = SimpleNamespace(quotes=(QuoteView(KEY, D(64000), "mid", NOW, D(63990), D(64010), NOW),))
    body = PlaceOrder("demo", KEY, side, D(1), OrderType.LIMIT, D(limit), post_only=post_only)
    said = why_it_would_take(book, body)  # type: ignore[arg-type]
    assert best in said
    assert bool(said) is bool(best)


def test_market_look_when_simulated_then_ages_are_market_time_and_wall_time_where_it_is_real() -> None:
    quote = QuoteView(KEY, D(64000), "close", NOW - timedelta(seconds=40))
    for simulated, age_s in ((True, 30.0), (False, 100.0)):
        book = SimpleNamespace(quotes=(quote,), simulated=simulated, market_time=NOW - timedelta(seconds=10))
        look = look_at_market(book, BTC, NOW + timedelta(seconds=60))  # type: ignore[arg-type]
        assert (look.price, look.age_s, look.bid, look.top_age_s) == (D(64000), age_s, None, None)
        assert look.source == "close of the last candle"


def test_market_look_when_there_is_no_price_then_says_so() -> None:
    book = SimpleNamespace(quotes=(), simulated=False, market_time=None)
    assert look_at_market(book, BTC, NOW).price is None  # type: ignore[arg-type]


def test_review_when_limit_then_worth_its_own_price() -> None:
    review = reviewed(order_type=OrderType.LIMIT, limit_price=D("60000.01"))
    assert (review.price_source, review.value) == ("limit price", D("30000.005"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"quantity": D("0.50005")}, "The amount 0.50005 is not a multiple of the step 0.0001 BTC; the next lower one"),
        ({"quantity": D("0.00005")}, "is not a multiple of the step 0.0001 BTC."),
        ({"order_type": OrderType.LIMIT, "limit_price": D("60000.001")}, "the nearest is 60000"),
        (
            {"order_type": OrderType.LIMIT, "limit_price": D(4), "quantity": D(1)},
            "worth 4.00 USDT, below the least order of 5 USDT",
        ),
    ],
)
def test_review_when_the_venue_would_refuse_then_says_why(changes: dict[str, Any], words: str) -> None:
    assert any(words in problem for problem in reviewed(**changes).problems)


def test_review_when_the_book_lacks_the_instrument_then_refused() -> None:
    book = SimpleNamespace(name="demo", instruments=(), marks=(), feeds=())
    with pytest.raises(BadInput, match="does not trade demo-a:BTC/USDT"):
        review_order(book, PlaceOrder("demo", KEY, Side.BUY, D(1), OrderType.MARKET))  # type: ignore[arg-type]


@pytest.mark.parametrize(("tick", "places"), [(D("0.01"), 8), (D("0.0000000001"), 12), (D(10), 8), (None, 8)], ids=str)
def test_rounded_average_when_long_then_as_many_places_as_its_market_needs(tick: Decimal | None, places: int) -> None:
    assert -rounded_average(D(2) / 3, tick).as_tuple().exponent == places  # type: ignore[operator]
