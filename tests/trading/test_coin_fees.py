"""Fees in a third coin: in their coin, at what it is worth, and to the last digit what the venue holds."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from decimal import Decimal, localcontext

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.facts import CoinPriced
from engine.domain.instruments import Instrument, Kind
from engine.domain.orders import Fill, Liquidity, OrderIntent, OrderType, Purpose, Side
from engine.ledger.ledger import EXACT
from engine.trading.report import report
from tests.trading.harness import PERP, SPOT, D, Desk
from tests.trading.real_desk import RealDesk

BNB = Instrument("v", "BNB", "USDT", Kind.SPOT, D("0.01"), D("0.001"), D(5))
ZERO = D(0)


def fill_of(
    desk: Desk, instrument: Instrument, side: Side, quantity: Decimal, price: Decimal, fee: Decimal, sleeve: str
) -> Fill:
    """An execution of an order of the book, its fee in BNB."""
    client_id = desk.book.ids.next()
    intent = OrderIntent(
        client_id, instrument.key, side, quantity, OrderType.MARKET, Purpose.ENTRY, sleeve, desk.at, price
    )
    desk.loop.take([intent], desk.at)
    return Fill(
        "v", "main", client_id, client_id, "o", instrument.key, side, quantity, price, fee, "BNB", Liquidity.TAKER,
        desk.at,
    )  # fmt: skip


def own(desk: Desk, coin: str) -> Decimal:
    return desk.book.external.get(("v", coin), ZERO)


def there(desk: Desk, coin: str) -> Decimal:
    """What the books say the venue holds."""
    return desk.book.ledger.balances.get(("v", coin), ZERO) + own(desk, coin)


def identity_holds(desk: Desk) -> None:
    ledger = desk.book.ledger
    with localcontext(EXACT):
        made = sum((t.realised - t.fees + t.funding for t in ledger.sleeves.values()), ZERO)
        worth = ledger.capital + made + ledger.unrealised(lambda _: D(100))
        assert ledger.equity(lambda _: D(100)) == worth


def test_fee_in_bnb_when_the_trader_has_some_then_he_gives_it_and_is_paid_at_the_mark() -> None:
    desk = Desk()
    desk.book.external["v", "BNB"] = D(2)
    cash = there(desk, "USDT")
    desk.loop.take([CoinPriced("BNB", D(600), desk.at)], desk.at)
    desk.loop.take([fill_of(desk, SPOT, Side.BUY, D(1), D(100), D("0.01"), "momentum")], desk.at)
    assert (own(desk, "BNB"), there(desk, "USDT")) == (D("1.99"), cash - 100)
    assert desk.book.ledger.sleeves["momentum"].fees == 6
    assert desk.book.ledger.balances["v", "BNB"] == 0
    assert desk.book.ledger.equity(lambda _: D(100)) == desk.book.ledger.capital - 6
    identity_holds(desk)


def test_fee_in_bnb_when_its_mark_is_known_then_the_price_is_journaled_before_the_fill() -> None:
    desk = Desk(others=(BNB,))
    desk.book.external["v", "BNB"] = D(2)
    desk.bar("100")
    desk.loop.take([fill_of(desk, SPOT, Side.BUY, D(1), D(100), D("0.01"), "momentum")], desk.at)
    assert desk.journal.kinds()[-2:] == ["CoinPriced", "Fill"]
    assert desk.book.ledger.sleeves["momentum"].fees == 1


def test_fee_in_bnb_when_no_price_is_known_then_owed_told_and_settled_once_there_is_one() -> None:
    desk = Desk()
    desk.book.external["v", "BNB"] = D(2)
    desk.loop.take([fill_of(desk, SPOT, Side.BUY, D(1), D(100), D("0.01"), "momentum")], desk.at)
    desk.loop.tell_news()
    assert "A fee has no price" in desk.notices
    assert (there(desk, "BNB"), desk.book.ledger.sleeves["momentum"].fees) == (D("1.99"), 0)
    assert "0.01 BNB of fees at v" in report(desk.book, (), desk.clock.now(), 1).unpriced
    desk.loop.take([CoinPriced("BNB", D(600), desk.at)], desk.at)
    assert (there(desk, "BNB"), own(desk, "BNB"), desk.book.ledger.sleeves["momentum"].fees) == (
        D("1.99"), D("1.99"), 6,
    )  # fmt: skip
    assert report(desk.book, (), desk.clock.now(), 1).unpriced == (SPOT.key,)
    identity_holds(desk)


def test_fee_in_bnb_when_only_a_strategy_has_some_then_its_position_gives_it_and_is_covered_anew() -> None:
    desk = Desk(others=(BNB,), sleeves=("momentum", "breakout"))
    desk.bar("100")
    desk.loop.take([fill_of(desk, BNB, Side.BUY, D(5), D(100), ZERO, "breakout")], desk.at)
    desk.loop.take([fill_of(desk, SPOT, Side.BUY, D(1), D(100), D("0.01"), "momentum")], desk.at)
    assert desk.book.ledger.held("breakout", BNB.key) == desk.book.ledger.balances["v", "BNB"] == D("4.99")
    assert desk.book.ledger.sleeves["momentum"].fees == 1
    assert desk.loop.core.is_unsure
    identity_holds(desk)


def test_trade_when_its_fees_in_bnb_take_the_gain_then_it_is_no_win() -> None:
    desk = Desk()
    desk.book.external["v", "BNB"] = D(2)
    desk.loop.take([CoinPriced("BNB", D(600), desk.at)], desk.at)
    for side, price in ((Side.BUY, D(100)), (Side.SELL, D(101))):
        desk.loop.take([fill_of(desk, SPOT, side, D(1), price, D("0.001"), "momentum")], desk.at)
    totals = desk.book.ledger.sleeves["momentum"]
    assert (totals.trades, totals.wins, totals.realised, totals.fees) == (1, 0, 1, D("1.2"))


STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("trade"),
            st.sampled_from([SPOT, PERP, BNB]),
            st.sampled_from(Side),
            st.integers(1, 5000).map(lambda n: D(n) * D("0.001")),
            st.integers(100, 99_999).map(lambda n: D(n) * D("0.01")),
            st.integers(0, 10**7).map(lambda n: D(n) * D("1E-8")),
            st.sampled_from(["momentum", "breakout"]),
        ),
        st.tuples(st.just("price"), st.integers(1, 99_999).map(lambda n: D(n) * D("0.01"))),
    ),
    max_size=14,
)


@settings(max_examples=60, deadline=None)
@given(STEPS, st.integers(0, 3), st.booleans())
def test_fees_in_bnb_whatever_is_traded_then_books_and_venue_agree_and_read_back_the_same(
    steps: list, his: int, checkpoint: bool
) -> None:
    desk = Desk(others=(BNB, PERP), sleeves=("momentum", "breakout"))
    desk.book.external["v", "BNB"] = D(his)
    desk.loop.maybe_checkpoint(force=True)
    start = {coin: there(desk, coin) for coin in ("BNB", "BTC", "USDT")}
    moved: dict[str, Decimal] = defaultdict(Decimal)
    for step in steps:
        if step[0] == "price":
            desk.loop.take([CoinPriced("BNB", step[1], desk.at)], desk.at)
            continue
        _, instrument, side, quantity, price, fee, sleeve = step
        before = desk.book.ledger.balances.get(("v", "USDT"), ZERO) + own(desk, "USDT")
        desk.loop.take([fill_of(desk, instrument, side, quantity, price, fee, sleeve)], desk.at)
        moved["BNB"] -= fee
        if instrument.kind is Kind.SPOT:
            moved[instrument.base] += quantity * side.sign
            moved["USDT"] -= quantity * side.sign * price
        else:
            moved["USDT"] += there(desk, "USDT") - before
    for coin, first in start.items():
        assert there(desk, coin) == first + moved[coin], coin
    owed = sum((fee.amount for fee in desk.book.outside.owed), ZERO)
    held = sum((desk.book.ledger.held(s, BNB.key) for s in ("momentum", "breakout")), ZERO)
    assert desk.book.ledger.balances.get(("v", "BNB"), ZERO) == held - owed
    identity_holds(desk)
    if checkpoint:
        desk.loop.maybe_checkpoint(force=True)
    live = desk.book.dump()
    desk._build()
    desk.loop.load()
    for part in ("ledger", "external", "outside"):
        assert desk.book.dump()[part] == live[part]


@pytest.mark.parametrize(("coin", "owed"), [("USDT", False), ("BTC", False), ("KCS", True)])
def test_fee_when_in_a_coin_of_the_instrument_then_nothing_is_owed(coin: str, owed: bool) -> None:
    desk = Desk()
    fill = fill_of(desk, SPOT, Side.BUY, D(1), D(100), D("0.01"), "momentum")
    other = Fill(*(getattr(fill, n) if n != "fee_currency" else coin for n in Fill.__slots__))
    desk.loop.take([other], desk.at)
    assert bool(desk.book.outside.owed) is owed


def test_fee_when_its_coin_is_priced_only_by_the_venue_then_asked_at_the_next_look(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    desk = RealDesk()
    desk.book.external["v", "BNB"] = D(2)
    desk.bar("100")
    asked: list[str] = []

    def coin_price(coin: str, currency: str) -> Decimal:
        asked.append(f"{coin}/{currency}")
        return D(600)

    monkeypatch.setattr(desk.wire, "coin_price", coin_price, raising=False)
    desk.loop.take([fill_of(desk, SPOT, Side.BUY, D(1), D(100), D("0.01"), "momentum")], desk.at)
    assert desk.book.ledger.sleeves["momentum"].fees == 0
    desk.loop.price_owed_fees()
    desk.loop.price_owed_fees()
    assert asked == ["BNB/USDT"]
    assert desk.book.ledger.sleeves["momentum"].fees == 6


def test_price_when_it_is_older_than_five_minutes_then_a_fee_waits_for_another() -> None:
    desk = Desk()
    desk.loop.take([CoinPriced("BNB", D(600), desk.at)], desk.at)
    desk.at += timedelta(minutes=6)
    desk.loop.take([fill_of(desk, SPOT, Side.BUY, D(1), D(100), D("0.01"), "momentum")], desk.at)
    assert desk.book.ledger.sleeves["momentum"].fees == 0
    desk.loop.take([CoinPriced("BNB", D(500), desk.at)], desk.at)
    assert desk.book.ledger.sleeves["momentum"].fees == 5
