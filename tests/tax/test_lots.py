"""Lots: exact shares, order in time, pools by account, and nothing invented."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tax_makers import D, at

from engine.domain.errors import BadInput
from engine.tax import LOT_METHODS
from engine.tax.fifo import FirstInFirstOut
from engine.tax.lots import Acquisition, Disposal, Event, Lot, Transfer, held_over_a_year, match_lots

FIFO = LOT_METHODS["fifo"]
DAY = timedelta(days=1)
START = at("2024-01-01")


def buy(name: str, day: int, quantity: str, cost: str, account: str = "a", fees: str = "0") -> Acquisition:
    return Acquisition(name, START + day * DAY, "BTC", account, D(quantity), D(cost), D(fees))


def sell(name: str, day: int, quantity: str, proceeds: str, account: str = "a", fees: str = "0") -> Disposal:
    return Disposal(name, START + day * DAY, "BTC", account, D(quantity), D(proceeds), D(fees))


def move(name: str, day: int, quantity: str, account: str, to_account: str) -> Transfer:
    return Transfer(name, START + day * DAY, "BTC", account, to_account, D(quantity))


def test_split_when_a_third_is_sold_three_times_then_the_shares_add_up_exactly() -> None:
    events: list[Event] = [buy("b", 0, "3", "100", fees="1")]
    events += [sell(f"s{number}", number, "1", "50", fees="0.1") for number in (1, 2, 3)]
    matching = match_lots(events, FIFO)
    third = D("33.333333333333333333")
    assert [match.cost for match in matching.matches] == [third, third + D("1E-18"), third]
    assert sum(match.cost for match in matching.matches) == 100
    assert sum(match.fees for match in matching.matches) == D("1.3")
    assert sum(match.gain for match in matching.matches) == 50
    assert matching.held == ()


def test_disposal_when_it_spans_lots_then_proceeds_are_split_and_the_rest_is_held() -> None:
    matching = match_lots([buy("b1", 0, "1", "10"), buy("b2", 1, "2", "40"), sell("s", 2, "2", "60")], FIFO)
    assert [(match.lot.event_id, match.quantity, match.proceeds, match.cost) for match in matching.matches] == [
        ("b1", 1, 30, 10),
        ("b2", 1, 30, 20),
    ]
    assert [(held.lot.event_id, held.quantity, held.cost) for held in matching.held] == [("b2", 1, 20)]


def test_disposal_when_at_the_instant_of_a_purchase_then_the_purchase_counts_first() -> None:
    assert not match_lots([sell("a", 0, "1", "5"), buy("b", 0, "1", "4")], FIFO).shortfalls


def test_lots_when_bought_at_one_instant_then_trade_9_goes_before_trade_10() -> None:
    matching = match_lots([buy("10", 0, "1", "10"), buy("9", 0, "1", "9"), sell("s", 1, "1", "20")], FIFO)
    assert matching.matches[0].lot.event_id == "9"


def test_shortfall_when_partly_covered_then_the_covered_part_is_matched_and_the_rest_named() -> None:
    matching = match_lots([buy("b", 0, "1", "10"), sell("s", 1, "4", "80")], FIFO)
    assert [(match.quantity, match.proceeds) for match in matching.matches] == [(1, 20)]
    (short,) = matching.shortfalls
    assert (short.quantity, short.proceeds) == (3, 60)


def test_pools_when_per_account_then_a_lot_elsewhere_does_not_help() -> None:
    events = [buy("b", 0, "1", "10", "x"), sell("s", 1, "1", "20", "y")]
    assert len(match_lots(events, FIFO).shortfalls) == 1
    assert not match_lots(events, FIFO, per_account=False).shortfalls


def test_transfer_when_older_lots_arrive_then_they_are_sold_first_with_their_cost() -> None:
    events = [
        buy("old", 0, "2", "20", "x"),
        buy("new", 1, "1", "90", "y"),
        move("m", 2, "1", "x", "y"),
        sell("s", 3, "1", "100", "y"),
    ]
    matching = match_lots(events, FIFO)
    assert [(match.lot.event_id, match.cost) for match in matching.matches] == [("old", 10)]
    assert sorted((held.account, held.lot.event_id) for held in matching.held) == [("x", "old"), ("y", "new")]


def test_transfer_when_more_than_held_then_a_shortfall() -> None:
    (short,) = match_lots([buy("b", 0, "1", "10", "x"), move("m", 1, "3", "x", "y")], FIFO).shortfalls
    assert (short.quantity, short.proceeds) == (2, 0)
    assert "moved" in str(short)


@pytest.mark.parametrize(
    ("event", "named"),
    [
        (buy("b", 0, "0", "1"), "quantity 0"),
        (sell("s", 0, "-1", "1"), "quantity -1"),
        (buy("b", 0, "NaN", "1"), "quantity NaN"),
        (buy("b", 0, "1", "Infinity"), "Infinity with fees 0 is not an amount"),
        (sell("s", 0, "1", "1", fees="NaN"), "1 with fees NaN is not an amount"),
    ],
)
def test_event_when_it_holds_no_number_then_refused_by_name(event: Event, named: str) -> None:
    with pytest.raises(BadInput, match=named):
        match_lots([event], FIFO)


def test_event_when_it_occurs_twice_then_refused_by_name() -> None:
    with pytest.raises(BadInput, match="BTC b at a occurs twice"):
        match_lots([buy("b", 0, "1", "1"), buy("b", 0, "1", "1")], FIFO)


@pytest.mark.parametrize(
    ("acquired", "disposed", "over"),
    [
        (date(2019, 1, 1), date(2020, 1, 1), False),
        (date(2019, 1, 1), date(2020, 1, 2), True),
        (date(2020, 2, 29), date(2021, 2, 28), False),
        (date(2020, 2, 29), date(2021, 3, 1), True),
        (date(2023, 3, 10), date(2024, 3, 11), True),
    ],
)
def test_held_over_a_year_when_counted_then_the_anniversary_is_not_enough(
    acquired: date, disposed: date, over: bool
) -> None:
    assert held_over_a_year(acquired, disposed) is over


def test_queue_when_thousands_are_used_up_then_order_holds() -> None:
    queue = FirstInFirstOut()
    for number in range(5000):
        queue.add(Lot(buy(f"{number:05}", number, "1", "1"), D(1), D(1), D(0)))
    seen = []
    while (lot := queue.next()) is not None:
        seen.append(lot.origin.event_id)
        queue.drop()
        if lot.origin.event_id == "02999":
            queue.add(Lot(buy("early", -1, "1", "1"), D(1), D(1), D(0)))
    assert seen[3000] == "early"
    assert [*seen[:3000], *seen[3001:]] == [f"{number:05}" for number in range(5000)]


amounts = st.decimals(min_value="0.00000001", max_value="1000000", places=8)
days = st.integers(min_value=0, max_value=60)
accounts = st.sampled_from(["a", "b"])


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    """Purchases, sales and transfers of one coin in two accounts; they may sell more than there is."""
    made: list[Event] = []
    for number in range(draw(st.integers(1, 25))):
        kind, when = draw(st.sampled_from(["buy", "buy", "sell", "move"])), START + draw(days) * DAY
        quantity, account = draw(amounts), draw(accounts)
        name = str(number)
        if kind == "buy":
            made.append(Acquisition(name, when, "BTC", account, quantity, draw(amounts), D(0)))
        elif kind == "sell":
            made.append(Disposal(name, when, "BTC", account, quantity, draw(amounts)))
        else:
            made.append(Transfer(name, when, "BTC", account, "b" if account == "a" else "a", quantity))
    return made


def total(values: list[Decimal]) -> Decimal:
    return sum(values, D(0))


@settings(max_examples=80, deadline=None)
@given(histories(), st.booleans())
def test_matching_when_any_history_then_quantities_costs_and_proceeds_are_conserved(
    events: list[Event], per_account: bool
) -> None:
    matching = match_lots(events, FIFO, per_account)
    bought = [event for event in events if isinstance(event, Acquisition)]
    sold = [event for event in events if isinstance(event, Disposal)]
    gone = [short for short in matching.shortfalls if isinstance(short.event, Disposal)]
    used, held = [match.quantity for match in matching.matches], [held.quantity for held in matching.held]
    assert total(used) + total(held) == total([event.quantity for event in bought])
    assert total(used) + total([short.quantity for short in gone]) == total([event.quantity for event in sold])
    cost, proceeds = total([match.cost for match in matching.matches]), total([m.proceeds for m in matching.matches])
    assert cost + total([held.cost for held in matching.held]) == total([event.cost for event in bought])
    assert proceeds + total([short.proceeds for short in gone]) == total([event.proceeds for event in sold])
    assert total([match.gain for match in matching.matches]) == proceeds - cost
    assert all(match.lot.at <= match.disposal.at for match in matching.matches)
    assert all(quantity > 0 for quantity in (*used, *held))


@settings(max_examples=50, deadline=None)
@given(histories(), st.randoms(use_true_random=False))
def test_matching_when_the_history_is_shuffled_then_the_result_is_the_same(events: list[Event], random: object) -> None:
    before = match_lots(events, FIFO)
    random.shuffle(events)  # type: ignore[attr-defined]
    assert match_lots(events, FIFO) == before
