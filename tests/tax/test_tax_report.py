"""A year's report from fills: fees in any coin, swaps, perpetuals, funding, zones, and what could not be counted."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tax_makers import D, at, fill, funding

from engine.domain.errors import BadInput
from engine.domain.orders import Fill, FundingPaid
from engine.domain.tax_views import TaxKind, TaxReport, TaxRow
from engine.tax.report import TaxYear, tax_report
from engine.tax.trades import PriceOf, Valuation, no_price

PRICES = {"BNB": D(300), "ETH": D(2000), "USDT": D(1)}


def priced(asset: str, _when: datetime) -> Decimal | None:
    return PRICES.get(asset)


def report(
    *fills: Fill, paid: tuple[FundingPaid, ...] = (), year: int = 2024, zone: str = "UTC", prices: PriceOf = no_price
) -> TaxReport:
    return tax_report(fills, paid, TaxYear.of(year, zone), Valuation("USDT", prices), simulated=True)


def figures(row: TaxRow) -> tuple[str, Decimal, Decimal, Decimal, Decimal]:
    return row.asset, row.quantity, row.proceeds, row.cost, row.gain


def test_spot_when_fees_are_in_quote_then_inside_cost_and_proceeds_and_shown() -> None:
    made = report(
        fill("1", "buy", "2", "100", "2024-01-01", fee="2"), fill("2", "sell", "1", "150", "2024-03-01", fee="1.5")
    )
    (row,) = made.rows
    assert figures(row) == ("BTC", 1, D("148.5"), 101, D("47.5"))
    assert (row.fees, row.held_days, row.venue) == (D("2.5"), 60, "demo-a")
    assert (row.disposal_trade_id, row.acquisition_trade_id) == ("2", "1")
    assert (made.proceeds, made.cost, made.gain) == (D("148.5"), 101, D("47.5"))
    assert (made.method, made.currency, made.simulated, made.problems) == ("FIFO", "USDT", True, ())


def test_spot_when_the_fee_is_a_rebate_then_it_lowers_the_cost() -> None:
    made = report(fill("1", "buy", "1", "100", "2024-01-01", fee="-1"), fill("2", "sell", "1", "100", "2024-01-02"))
    assert figures(made.rows[0]) == ("BTC", 1, 100, 99, 1)


def test_spot_when_the_fee_is_in_the_bought_coin_then_in_the_cost_and_itself_a_disposal() -> None:
    made = report(
        fill("1", "buy", "1", "100", "2024-01-01", fee="0.1", coin="BTC"), fill("2", "sell", "0.9", "200", "2024-01-02")
    )
    fee, sale = made.rows
    assert figures(fee) == ("BTC", D("0.1"), 10, 11, -1)
    assert fee.disposal_trade_id == "1#fee"
    assert figures(sale) == ("BTC", D("0.9"), 180, 99, 81)
    assert made.problems == ()


def test_spot_when_the_fee_is_in_the_sold_coin_then_more_coins_went_for_the_same_proceeds() -> None:
    made = report(
        fill("1", "buy", "1", "100", "2024-01-01"), fill("2", "sell", "0.9", "200", "2024-01-02", fee="0.1", coin="BTC")
    )
    assert figures(made.rows[0]) == ("BTC", 1, 180, 100, 80)


def test_spot_when_a_rebate_is_in_the_sold_coin_then_a_lot_at_market_value_and_more_proceeds() -> None:
    made = report(
        fill("1", "buy", "1", "100", "2024-01-01"),
        fill("2", "sell", "1", "200", "2024-01-02", fee="-1", coin="BTC"),
        fill("3", "sell", "1", "200", "2024-01-03"),
    )
    assert [figures(row) for row in made.rows] == [("BTC", 1, 400, 100, 300), ("BTC", 1, 200, 200, 0)]


def test_spot_when_the_fee_is_in_a_third_coin_then_a_disposal_of_it_and_a_cost_of_the_trade() -> None:
    made = report(
        fill("0", "buy", "10", "250", "2023-12-01", symbol="BNB/USDT"),
        fill("1", "buy", "1", "100", "2024-01-01", fee="0.01", coin="BNB"),
        fill("2", "sell", "1", "200", "2024-01-02", fee="0.02", coin="BNB"),
        prices=priced,
    )
    assert [figures(row) for row in made.rows] == [
        ("BNB", D("0.01"), 3, D("2.5"), D("0.5")),
        ("BTC", 1, 194, 103, 91),
        ("BNB", D("0.02"), 6, 5, 1),
    ]


def test_spot_when_a_third_coin_has_no_price_then_the_trade_counts_and_a_problem_names_the_fee() -> None:
    made = report(
        fill("1", "buy", "1", "100", "2024-01-01", fee="0.01", coin="BNB"), fill("2", "sell", "1", "200", "2024-01-02")
    )
    assert made.gain == 100
    (problem,) = made.problems
    for part in ("0.01 BNB", "trade 1", "demo-a:BTC/USDT", "2024-01-01", "not counted"):
        assert part in problem


def test_swap_when_coins_are_traded_for_coins_then_a_disposal_and_an_acquisition_at_market_value() -> None:
    made = report(
        fill("1", "buy", "1", "40000", "2024-01-01"),
        fill("2", "sell", "0.5", "20", "2024-02-01", symbol="BTC/ETH"),
        fill("3", "sell", "10", "2500", "2024-03-01", symbol="ETH/USDT"),
        prices=priced,
    )
    assert [figures(row) for row in made.rows] == [
        ("BTC", D("0.5"), 20_000, 20_000, 0),
        ("ETH", 10, 25_000, 20_000, 5_000),
    ]


@pytest.mark.parametrize(
    ("side", "coin", "fee", "sold", "bought_cost"),
    [
        ("sell", "BNB", "0.1", D(19_985), D(20_015)),
        ("sell", "USDT", "30", D(19_985), D(20_015)),
        ("sell", "ETH", "0.01", D(20_000), D(20_020)),
    ],
)
def test_swap_when_it_costs_a_fee_then_it_is_on_the_legs_it_belongs_to(
    side: str, coin: str, fee: str, sold: Decimal, bought_cost: Decimal
) -> None:
    made = report(
        fill("0", "buy", "1", "300", "2024-01-01", symbol="BNB/USDT"),
        fill("1", "buy", "1", "40000", "2024-01-01"),
        fill("2", side, "0.5", "20", "2024-02-01", symbol="BTC/ETH", fee=fee, coin=coin),
        fill("3", "sell", "9.99", "2500", "2024-03-01", symbol="ETH/USDT"),
        prices=priced,
    )
    by_asset = {row.asset: row for row in made.rows if "#" not in row.disposal_trade_id}
    assert by_asset["BTC"].proceeds == sold
    assert by_asset["ETH"].cost == bought_cost * D("9.99") / 10


def test_swap_when_neither_coin_has_a_price_then_a_problem_and_nothing_invented() -> None:
    made = report(fill("1", "sell", "0.5", "20", "2024-02-01", symbol="BTC/ETH"))
    assert made.rows == ()
    assert "no price of ETH in USDT" in made.problems[0]


def test_swap_when_only_the_base_has_a_price_then_it_values_the_trade() -> None:
    made = report(
        fill("1", "buy", "10", "0.5", "2024-01-01", symbol="ETH/XYZ"),
        fill("2", "sell", "10", "2100", "2024-01-02", symbol="ETH/USDT"),
        prices=priced,
    )
    assert figures(made.rows[0]) == ("ETH", 10, 21_000, 20_000, 1_000)
    assert "XYZ" in made.problems[0]


def test_oversell_when_it_happens_then_a_problem_names_asset_account_and_time() -> None:
    made = report(
        fill("1", "buy", "1", "100", "2024-01-01", account="main"),
        fill("2", "sell", "3", "100", "2024-01-02", account="main"),
    )
    assert made.gain == 0
    (problem,) = made.problems
    for part in ("BTC", "demo-a/main", "2024-01-02T00:00:00", "2 of the 3", "no earlier purchase"):
        assert part in problem


def test_lots_when_at_two_venues_then_each_account_is_for_itself() -> None:
    made = report(
        fill("1", "buy", "1", "100", "2024-01-01"), fill("1", "sell", "1", "150", "2024-01-02", venue="demo-c")
    )
    assert made.rows == ()
    assert "demo-c" in made.problems[0]


def perpetual(trade: str, side: str, quantity: str, price: str, when: str, fee: str = "0", coin: str = "USDT") -> Fill:
    return fill(trade, side, quantity, price, when, fee=fee, coin=coin, symbol="BTC/USDT:USDT", venue="demo-b")


def test_perpetual_when_a_long_is_closed_then_its_profit_is_proceeds() -> None:
    made = report(
        perpetual("1", "buy", "2", "100", "2024-01-01", "1"), perpetual("2", "sell", "1", "120", "2024-01-05", "0.5")
    )
    (row,) = made.rows
    assert figures(row) == ("BTC/USDT:USDT", 1, 19, 0, 19)
    assert (row.fees, row.held_days, row.disposal_trade_id, row.acquisition_trade_id) == (1, 4, "2", "1")


def test_perpetual_when_a_short_loses_then_its_loss_is_cost() -> None:
    made = report(
        perpetual("1", "sell", "1", "100", "2024-01-01"), perpetual("2", "buy", "1", "130", "2024-01-05", "1")
    )
    assert figures(made.rows[0]) == ("BTC/USDT:USDT", 1, 0, 31, -31)


def test_perpetual_when_turned_then_the_old_side_is_closed_and_a_new_one_opened() -> None:
    made = report(
        perpetual("1", "buy", "1", "100", "2024-01-01"),
        perpetual("2", "buy", "1", "110", "2024-01-02"),
        perpetual("3", "sell", "3", "120", "2024-01-03", "3"),
        perpetual("4", "buy", "1", "100", "2024-01-04"),
    )
    assert [(row.acquisition_trade_id, row.disposal_trade_id, row.gain) for row in made.rows] == [
        ("1", "3", 19), ("2", "3", 9), ("3", "4", 19),
    ]  # fmt: skip
    assert made.problems == ()


def test_perpetual_when_its_fee_is_in_another_coin_then_valued_and_that_coin_disposed_of() -> None:
    made = report(
        fill("0", "buy", "1", "200", "2024-01-01", symbol="BNB/USDT", venue="demo-b"),
        perpetual("1", "buy", "1", "100", "2024-01-02", "0.01", "BNB"),
        perpetual("2", "sell", "1", "110", "2024-01-03", "0.01", "XYZ"),
        prices=priced,
    )
    assert [figures(row) for row in made.rows] == [
        ("BNB", D("0.01"), 3, 2, 1),
        ("BTC/USDT:USDT", 1, 7, 0, 7),
    ]
    assert "0.01 XYZ" in made.problems[0]


def test_perpetual_when_settled_in_a_coin_without_a_price_then_a_problem() -> None:
    fills = [
        fill(str(number), side, "1", "100", f"2024-01-0{number}", symbol="BTC/USDC:USDC", coin="USDC")
        for number, side in ((1, "buy"), (2, "sell"))
    ]
    made = report(*fills)
    assert made.rows == ()
    assert "no price of USDC in USDT" in made.problems[0]


def test_kind_when_sold_or_closed_then_names_the_side_and_a_short_opens_before_it_closes() -> None:
    made = report(
        fill("1", "buy", "1", "100", "2024-01-01"),
        fill("2", "sell", "1", "110", "2024-01-02"),
        perpetual("3", "sell", "1", "100", "2024-01-03"),
        perpetual("4", "buy", "2", "90", "2024-01-04"),
        perpetual("5", "sell", "1", "95", "2024-01-05"),
    )
    assert [row.kind for row in made.rows] == [TaxKind.SALE, TaxKind.SHORT, TaxKind.LONG]
    short = made.rows[1]
    assert (short.acquired_at, short.disposed_at) == (at("2024-01-03"), at("2024-01-04"))
    assert (short.acquisition_trade_id, short.disposal_trade_id) == ("3", "4")


def test_sums_when_there_is_funding_too_then_it_stands_apart_from_the_gain() -> None:
    sold = (fill("1", "buy", "1", "100", "2024-01-01"), fill("2", "sell", "1", "110", "2024-01-02"))
    made = report(*sold, paid=(funding("f1", "-3", "2024-01-01T08:00"),))
    assert (made.gain, made.income, made.expense, made.result) == (10, 0, 3, 7)


def test_funding_when_received_or_paid_then_income_or_expense_and_no_asset() -> None:
    paid = (
        funding("f1", "2.5", "2024-01-01T08:00"), funding("f2", "-1", "2024-01-01T16:00"),
        funding("f2", "-1", "2024-01-01T16:00"), funding("f3", "9", "2023-12-31T16:00"),
        funding("f4", "1", "2024-01-02", "XYZ"),
    )  # fmt: skip
    made = report(paid=paid)
    assert [figures(row) for row in made.rows] == [("", 0, D("2.5"), 0, D("2.5")), ("", 0, 0, 1, -1)]
    assert [row.kind for row in made.rows] == [TaxKind.INCOME, TaxKind.EXPENSE]
    assert {row.detail for row in made.rows} == {"funding of BTC/USDT:USDT"}
    assert [row.disposal_trade_id for row in made.rows] == ["f1", "f2"]
    assert (made.proceeds, made.cost, made.gain) == (0, 0, 0)
    assert (made.income, made.expense, made.result) == (D("2.5"), 1, D("1.5"))
    assert "funding f4" in made.problems[0]


@pytest.mark.parametrize(
    ("zone", "when", "year"),
    [
        ("UTC", "2023-12-31T23:59:59.999999", 2023),
        ("UTC", "2024-01-01T00:00", 2024),
        ("Australia/Sydney", "2023-12-31T13:00", 2024),
        ("Australia/Sydney", "2023-12-31T12:59:59", 2023),
        ("America/New_York", "2024-01-01T04:59:59", 2023),
        ("America/New_York", "2024-01-01T05:00", 2024),
    ],
)
def test_year_when_a_sale_is_near_midnight_then_the_zone_decides(zone: str, when: str, year: int) -> None:
    fills = (fill("1", "buy", "1", "100", "2020-01-01"), fill("2", "sell", "1", "150", when))
    assert len(report(*fills, year=year, zone=zone).rows) == 1
    assert report(*fills, year=year - 1, zone=zone).rows == report(*fills, year=year + 1, zone=zone).rows == ()


@pytest.mark.parametrize(
    ("bought", "sold", "days"),
    [
        ("2024-04-06T12:00", "2024-04-07T12:00", 1),
        ("2024-10-05T12:30", "2024-10-06T12:30", 1),
        ("2024-10-05T13:30", "2024-10-05T14:30", 1),
        ("2024-10-06T13:30", "2024-10-06T14:30", 0),
        ("2024-04-06T13:30", "2024-04-06T14:30", 0),
        ("2024-04-07T13:30", "2024-04-07T14:30", 1),
    ],
)
def test_fault_47_days_held_when_clocks_change_in_sydney_then_counted_by_the_local_calendar(
    bought: str, sold: str, days: int
) -> None:
    fills = (fill("1", "buy", "1", "100", bought), fill("2", "sell", "1", "150", sold))
    assert report(*fills, zone="Australia/Sydney").rows[0].held_days == days


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "../etc/passwd", "/etc/passwd", "\x00"])
def test_zone_when_unknown_then_named(zone: str) -> None:
    with pytest.raises(BadInput, match="time zone"):
        report(zone=zone)


@pytest.mark.parametrize("year", [0, 1969, 9999, -1])
def test_year_when_impossible_then_named(year: int) -> None:
    with pytest.raises(BadInput, match=str(year)):
        report(year=year)


def test_problems_when_after_the_year_then_not_in_its_report() -> None:
    fills = (fill("1", "sell", "1", "100", "2024-06-01"), fill("2", "sell", "1", "100", "2025-06-01"))
    assert len(report(*fills).problems) == 1
    assert len(report(*fills, year=2025).problems) == 2


def test_fills_when_stored_twice_then_counted_once_and_torn_ones_not_at_all() -> None:
    bought, sold = fill("1", "buy", "1", "100", "2024-01-01"), fill("2", "sell", "1", "150", "2024-01-02")
    assert report(bought, sold, sold, bought).gain == 50
    torn = report(bought, sold, fill("2", "sell", "1", "160", "2024-01-02"))
    assert torn.rows == ()
    assert "two different contents" in torn.problems[0]


def test_report_when_empty_then_zero_sums_and_no_problem() -> None:
    made = report()
    assert (made.rows, made.proceeds, made.cost, made.gain, made.problems) == ((), 0, 0, 0, ())


@st.composite
def trades(draw: st.DrawFn) -> list[Fill]:
    """Spot and perpetual fills with fees in any coin; they may sell more than there is."""
    made = []
    for number in range(draw(st.integers(1, 20))):
        symbol = draw(st.sampled_from(["BTC/USDT", "BTC/ETH", "ETH/USDT", "BTC/USDT:USDT"]))
        fee = draw(st.decimals(min_value="-1", max_value="1", places=4))
        when = at("2024-01-01") + timedelta(minutes=draw(st.integers(0, 800_000)))
        quantity = draw(st.decimals(min_value="0.0001", max_value="100", places=4))
        price = draw(st.decimals(min_value="0.01", max_value="90000", places=2))
        side, coin = draw(st.sampled_from(["buy", "sell"])), draw(st.sampled_from(["USDT", "BTC", "ETH", "BNB", "XYZ"]))
        made.append(
            fill(str(number), side, str(quantity), str(price), when.isoformat(), fee=str(fee), coin=coin, symbol=symbol)
        )
    return made


@settings(max_examples=80, deadline=None)
@given(trades(), st.integers(0, 99))
def test_report_when_any_history_then_gain_is_proceeds_less_cost_and_order_changes_nothing(
    fills: list[Fill], seed: int
) -> None:
    made = report(*fills, prices=priced)
    assert all(row.gain == row.proceeds - row.cost for row in made.rows)
    assert sum((row.gain for row in made.rows), D(0)) == made.gain == made.proceeds - made.cost
    assert all(row.acquired_at <= row.disposed_at for row in made.rows)
    ids = {item.trade_id for item in fills}
    for row in made.rows:
        assert row.disposal_trade_id.removesuffix("#fee") in ids
        assert row.acquisition_trade_id.removesuffix("#fee") in ids
    random.Random(seed).shuffle(fills)
    assert report(*fills, prices=priced) == made
