"""The ledger adds up to the last digit, whatever is traded."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.errors import BadInput
from engine.domain.facts import Netted
from engine.domain.instruments import Instrument, InstrumentKey, Kind
from engine.domain.orders import CashFlow, Fill, FundingPaid, Liquidity, Side
from engine.ledger.ledger import Ledger

AT = datetime(2026, 1, 1, tzinfo=UTC)
SPOT = Instrument("v", "BTC", "USDT", Kind.SPOT, Decimal("0.01"), Decimal("0.001"))
PERP = Instrument("v", "BTC", "USDT", Kind.PERPETUAL, Decimal("0.01"), Decimal("0.001"), max_leverage=Decimal(10))
D = Decimal
ZERO = D(0)


def make_ledger(cash: str = "100000") -> Ledger:
    ledger = Ledger("USDT")
    ledger.register(SPOT)
    ledger.register(PERP)
    ledger.apply_flow(CashFlow("v", "f", "USDT", D(cash), AT, "capital"))
    return ledger


def fill(
    key: InstrumentKey, side: Side, quantity: Decimal, price: Decimal, fee: Decimal = ZERO, coin: str = "USDT"
) -> Fill:
    return Fill("v", "main", "t", "c", "o", key, side, quantity, price, fee, coin, Liquidity.TAKER, AT)


QUANTITIES = st.integers(1, 5000).map(lambda n: D(n) * D("0.001"))
PRICES = st.integers(100, 9_999_999).map(lambda n: D(n) * D("0.01"))
FEES = st.integers(0, 10**10).map(lambda n: D(n) * D("1E-8"))
TRADES = st.lists(
    st.tuples(
        st.sampled_from(["momentum", "breakout", "manual"]),
        st.booleans(),
        st.sampled_from(Side),
        QUANTITIES,
        PRICES,
        FEES,
    ),
    max_size=30,
)


def identity_holds(ledger: Ledger, mark: Decimal) -> None:
    sums = ledger.sleeves.values()
    made = sum((t.realised - t.fees + t.funding for t in sums), D(0)) + ledger.unrealised(lambda _: mark)
    assert ledger.equity(lambda _: mark) == ledger.capital + made


@settings(max_examples=120)
@given(TRADES, PRICES)
def test_equity_whatever_is_traded_then_equals_capital_and_what_was_made(trades: list, mark: Decimal) -> None:
    ledger = make_ledger()
    for sleeve, perpetual, side, quantity, price, fee in trades:
        ledger.apply_fill(fill(PERP.key if perpetual else SPOT.key, side, quantity, price, fee), sleeve)
        identity_holds(ledger, mark)


@settings(max_examples=60)
@given(TRADES, PRICES)
def test_equity_when_asked_between_bookings_then_that_of_a_ledger_that_was_never_asked(
    trades: list, mark: Decimal
) -> None:
    ledger = make_ledger()
    for number, (sleeve, perpetual, side, quantity, price, fee) in enumerate(trades):
        ledger.apply_fill(fill(PERP.key if perpetual else SPOT.key, side, quantity, price, fee), sleeve)
        ledger.apply_flow(CashFlow("v", f"f{number}", "USDT", price, AT, "more capital"))
        other = make_ledger()
        other.restore(ledger.state())
        assert ledger.equity(lambda _: mark) == other.equity(lambda _: mark)
        assert ledger.worth().of([mark] * len(ledger.worth().parts)) == ledger.equity(lambda _: mark)


def test_equity_when_a_mark_is_missing_then_unknown() -> None:
    ledger = make_ledger()
    ledger.apply_fill(fill(SPOT.key, Side.BUY, D(1), D(100)), "momentum")
    assert ledger.equity(lambda _: None) is None


@settings(max_examples=60)
@given(TRADES)
def test_sleeves_whatever_is_traded_then_add_up_to_the_account(trades: list) -> None:
    ledger = make_ledger()
    for sleeve, perpetual, side, quantity, price, fee in trades:
        ledger.apply_fill(fill(PERP.key if perpetual else SPOT.key, side, quantity, price, fee), sleeve)
    for key in (SPOT.key, PERP.key):
        held = sum((ledger.held(s, key) for s in ("momentum", "breakout", "manual")), D(0))
        assert held == ledger.account_position(key)
    assert ledger.balances.get(("v", "BTC"), D(0)) == ledger.account_position(SPOT.key)


@settings(max_examples=60)
@given(TRADES, PRICES)
def test_checkpoint_whatever_was_traded_then_restores_the_same_ledger(trades: list, mark: Decimal) -> None:
    ledger = make_ledger()
    for sleeve, perpetual, side, quantity, price, fee in trades:
        ledger.apply_fill(fill(PERP.key if perpetual else SPOT.key, side, quantity, price, fee), sleeve)
    other = Ledger("USDT")
    other.register(SPOT)
    other.register(PERP)
    other.restore(ledger.state())
    assert other.state() == ledger.state()
    assert other.equity(lambda _: mark) == ledger.equity(lambda _: mark)


@settings(max_examples=60)
@given(QUANTITIES, PRICES, QUANTITIES, PRICES, PRICES)
def test_netting_opposite_sleeves_then_moves_neither_account_nor_equity(
    long: Decimal, bought: Decimal, short: Decimal, sold: Decimal, mark: Decimal
) -> None:
    ledger = make_ledger()
    ledger.apply_fill(fill(PERP.key, Side.BUY, long, bought), "momentum")
    ledger.apply_fill(fill(PERP.key, Side.SELL, short, sold), "breakout")
    before, account = ledger.equity(lambda _: mark), ledger.account_position(PERP.key)
    ledger.apply_netting(Netted(PERP.key, "momentum", "breakout", min(long, short), mark, AT))
    assert ledger.equity(lambda _: mark) == before
    assert ledger.account_position(PERP.key) == account
    assert ledger.held("momentum", PERP.key) == long - min(long, short)
    identity_holds(ledger, mark)


def test_fee_in_base_coin_when_bought_then_leaves_the_position_and_the_identity() -> None:
    ledger = make_ledger()
    ledger.apply_fill(fill(SPOT.key, Side.BUY, D(1), D(50_000), D("0.001"), "BTC"), "momentum")
    assert ledger.held("momentum", SPOT.key) == D("0.999")
    assert ledger.sleeves["momentum"].fees == D("50.000")
    identity_holds(ledger, D(51_000))


def test_round_trip_when_it_ends_flat_then_counts_one_trade_and_its_win() -> None:
    ledger = make_ledger()
    ledger.apply_fill(fill(SPOT.key, Side.BUY, D(1), D(100), D(1)), "momentum")
    ledger.apply_fill(fill(SPOT.key, Side.SELL, D(1), D(101), D(1)), "momentum")
    totals = ledger.sleeves["momentum"]
    assert (totals.trades, totals.wins, totals.realised, totals.fees) == (1, 0, D(1), D(2))


def test_funding_when_two_sleeves_hold_then_splits_without_losing_a_digit() -> None:
    ledger = make_ledger()
    ledger.apply_fill(fill(PERP.key, Side.BUY, D("0.001"), D(100)), "a")
    ledger.apply_fill(fill(PERP.key, Side.BUY, D("0.002"), D(100)), "b")
    ledger.apply_funding(FundingPaid("v", "main", "p", PERP.key, D("0.0001"), D(100), D("-0.00000010"), "USDT", AT))
    assert sum(t.funding for t in ledger.sleeves.values()) == D("-0.00000010")
    identity_holds(ledger, D(100))


def test_equity_when_a_held_instrument_has_no_mark_then_is_unknown() -> None:
    ledger = make_ledger()
    ledger.apply_fill(fill(SPOT.key, Side.BUY, D(1), D(100)), "momentum")
    assert ledger.equity(lambda _: None) is None


def test_register_when_quoted_in_another_coin_then_refused_by_name() -> None:
    with pytest.raises(BadInput, match="EUR"):
        make_ledger().register(Instrument("v", "BTC", "EUR", Kind.SPOT, D("0.01"), D("0.001")))


def test_fill_when_instrument_is_unknown_then_refused() -> None:
    with pytest.raises(BadInput, match="does not know"):
        make_ledger().apply_fill(fill(InstrumentKey("v:XRP/USDT"), Side.BUY, D(1), D(1)), "momentum")
