"""Every fill rule of the simulated venue on hand-computed candles."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from paper_market import (
    BUY,
    ETH,
    FREE,
    LIMIT,
    PERP,
    SELL,
    SPOT,
    STOP,
    at,
    bar,
    candle,
    dec,
    fills,
    free,
    open_venue,
    order,
    prices,
    total,
)

from engine.domain.market import Bars, Candle, Timeframe
from engine.domain.orders import Liquidity, OrderState
from engine.exchanges.paper import PaperCosts

HARSH = PaperCosts()
UNCAPPED = PaperCosts(volume_share=None)


@pytest.mark.parametrize(
    ("side", "price", "fee"),
    [(BUY, "100.1", "0.10010000"), (SELL, "99.9", "0.09990000")],
    ids=["100 x 1.0002 = 100.02, up to the tick", "100 x 0.9998 = 99.98, down to the tick"],
)
def test_market_order_when_next_bar_opens_then_pays_half_spread_and_slippage(side, price, fee) -> None:
    venue = open_venue(HARSH, btc="5")
    assert venue.submit(order("a1", side, "1")).state is OrderState.WORKING
    fill = fills(venue.observe(bar(0, 100, 101, 99, 100)))[0]
    assert (fill.price, fill.fee, fill.fee_currency) == (dec(price), dec(fee), "USDT")
    assert (fill.liquidity, fill.trade_id, fill.at) == (Liquidity.TAKER, "demo-1", at(1))
    assert venue.order("a1").state is OrderState.FILLED


def test_market_order_when_bar_opened_before_submission_then_waits_for_the_next_open() -> None:
    venue = open_venue()
    venue.submit(order("a1", BUY, "1", seconds=1))
    assert venue.observe(bar(0, 100, 101, 99, 100)) == ()
    assert prices(venue.observe(bar(1, 102, 103, 99, 100))) == ["a1 1@102"]


def test_market_order_when_latency_reaches_into_the_bar_then_waits_for_the_next_open() -> None:
    venue = open_venue(FREE.model_copy(update={"latency_ms": 250}))
    venue.submit(order("a1", BUY, "1"))
    assert venue.observe(bar(0, 100, 101, 99, 100)) == ()
    assert prices(venue.observe(bar(1, 102, 103, 99, 100))) == ["a1 1@102"]


def test_fee_when_not_a_whole_number_of_1e8_then_rounded_up() -> None:
    costs = PaperCosts.plain(dec("7.3"))
    venue = open_venue(costs, usdt="100000")
    venue.submit(order("a1", BUY, "0.123", reference="41234.5"))
    fill = fills(venue.observe(bar(0, "41234.5", 41300, 41200, 41250)))[0]
    # 0.123 x 41234.5 x 0.00073 = 3.702445755
    assert fill.fee == dec("3.70244576")
    assert total(venue, "USDT") == dec(100000) - dec("0.123") * dec("41234.5") - dec("3.70244576")


# -- limits --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("side", "candle_prices", "filled"),
    [
        (BUY, (100, 101, "98.0", 99), []),
        (BUY, (100, 101, "97.9", 99), ["a1 1@98"]),
        (SELL, (100, "102.0", 99, 100), []),
        (SELL, (100, "102.1", 99, 100), ["a1 1@102"]),
    ],
    ids=["buy touched", "buy traded through", "sell touched", "sell traded through"],
)
def test_limit_when_touched_or_traded_through_then_only_the_second_fills(side, candle_prices, filled) -> None:
    venue = open_venue(HARSH, btc="5")
    venue.submit(order("a1", side, "1", LIMIT, "98" if side is BUY else "102"))
    messages = venue.observe(bar(0, *candle_prices))
    assert prices(messages) == filled
    assert all(fill.liquidity is Liquidity.MAKER for fill in fills(messages))


def test_limit_when_marketable_on_arrival_then_takes_at_the_open_and_its_costs() -> None:
    venue = open_venue(HARSH)
    venue.submit(order("a1", BUY, "1", LIMIT, "105"))
    fill = fills(venue.observe(bar(0, 100, 101, "99.9", 100)))[0]
    assert (fill.price, fill.liquidity) == (dec("100.1"), Liquidity.TAKER)


def test_limit_when_slippage_would_pass_it_then_takes_at_the_limit() -> None:
    venue = open_venue(PaperCosts(slippage_bps=dec(100)))
    venue.submit(order("a1", BUY, "1", LIMIT, "100.5"))
    assert prices(venue.observe(bar(0, 100, 101, 100, 100))) == ["a1 1@100.5"]


def test_post_only_limit_when_it_would_take_at_once_then_ends_with_nothing_filled() -> None:
    venue = open_venue(HARSH)
    wished = order("a1", BUY, "1", LIMIT, "105")
    venue.submit(replace(wished, intent=replace(wished.intent, post_only=True)))
    assert fills(venue.observe(bar(0, 100, 101, 99, 99))) == []
    told = venue.order("a1")
    assert (told.state, told.filled, "post-only" in told.reason) == (OrderState.CANCELLED, 0, True)


def test_post_only_limit_when_the_market_comes_to_it_then_fills_as_a_maker() -> None:
    venue = open_venue(HARSH)
    wished = order("a1", BUY, "1", LIMIT, "98")
    venue.submit(replace(wished, intent=replace(wished.intent, post_only=True)))
    venue.observe(bar(0, 100, 101, 99, 99))
    fill = fills(venue.observe(bar(1, 99, 99, 97, 98)))[0]
    assert (fill.price, fill.liquidity) == (dec(98), Liquidity.MAKER)


def test_limit_when_only_the_mid_reaches_it_then_rests() -> None:
    venue = open_venue(HARSH)
    venue.submit(order("a1", BUY, "1", LIMIT, "100"))
    assert venue.observe(bar(0, 100, 101, 100, 100)) == ()


def test_limit_when_resting_and_gapped_through_then_fills_at_its_own_price() -> None:
    venue = open_venue(HARSH)
    venue.submit(order("a1", BUY, "1", LIMIT, "98"))
    venue.observe(bar(0, 100, 101, 99, 99))
    fill = fills(venue.observe(bar(1, 95, 96, 94, 95)))[0]
    assert (fill.price, fill.liquidity) == (dec(98), Liquidity.MAKER)


def test_limit_when_bars_were_missing_on_arrival_then_is_a_maker() -> None:
    venue = open_venue(HARSH)
    venue.submit(order("a1", BUY, "1", LIMIT, "98"))
    assert fills(venue.observe(bar(7, 95, 96, 94, 95)))[0].price == dec(98)


# -- stops ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("candle_prices", "filled"),
    [
        ((100, 101, "95.1", 97), []),
        ((100, 101, "95.0", 97), ["s1 1@94.9"]),
        (("90.0", 91, 89, 90), ["s1 1@89.9"]),
    ],
    ids=["not reached", "touched: 95 x 0.9998, down", "gap: 90 x 0.9998, down"],
)
def test_sell_stop_when_reached_or_gapped_then_fills_at_the_worse_price(candle_prices, filled) -> None:
    venue = open_venue(UNCAPPED, btc="1")
    venue.submit(order("s1", SELL, "1", STOP, "95", reduce_only=True))
    assert prices(venue.observe(bar(0, *candle_prices))) == filled


def test_buy_stop_when_gapped_then_fills_at_the_open() -> None:
    venue = open_venue()
    venue.submit(order("s1", BUY, "1", STOP, "105"))
    assert prices(venue.observe(bar(0, 110, 111, 109, 110))) == ["s1 1@110"]


def test_stop_and_target_when_both_in_one_bar_then_the_stop_comes_first() -> None:
    venue = open_venue(btc="1")
    venue.submit(order("t1", SELL, "1", LIMIT, "110", reduce_only=True))
    venue.submit(order("s1", SELL, "1", STOP, "95", reduce_only=True))
    messages = venue.observe(bar(0, 100, 111, 94, 100))
    assert prices(messages) == ["s1 1@95"]
    assert venue.order("t1").state is OrderState.CANCELLED
    assert "only 0 BTC left" in venue.order("t1").reason


def test_protective_stop_when_it_arrives_inside_the_bar_then_counts_for_the_whole_bar() -> None:
    venue = open_venue(FREE.model_copy(update={"latency_ms": 500}), btc="1")
    venue.submit(order("s1", SELL, "1", STOP, "95", reduce_only=True))
    assert prices(venue.observe(bar(0, 100, 101, 94, 100))) == ["s1 1@95"]


def test_entry_stop_when_it_arrives_inside_the_bar_then_waits_for_the_next_open() -> None:
    venue = open_venue(FREE.model_copy(update={"latency_ms": 500}))
    venue.submit(order("s1", BUY, "1", STOP, "105"))
    assert venue.observe(bar(0, 100, 106, 94, 100)) == ()
    assert prices(venue.observe(bar(1, 100, 106, 94, 100))) == ["s1 1@105"]


# -- volume, carry, clamps -----------------------------------------------------------------------------------------


def test_market_order_when_volume_is_thin_then_takes_its_share_and_carries_three_bars() -> None:
    venue = open_venue(PaperCosts(taker_bps=dec(0), spread_bps=dec(0), slippage_bps=dec(0)))
    venue.submit(order("a1", BUY, "10"))
    took = [prices(venue.observe(bar(minute, 100 + minute, 110, 99, 100, volume=40))) for minute in range(5)]
    assert took == [["a1 2@100"], ["a1 2@101"], ["a1 2@102"], ["a1 2@103"], []]
    end = venue.order("a1")
    assert (end.state, end.filled) == (OrderState.CANCELLED, dec(8))
    assert "the rest of 2.00 found no volume in 3 more candles" in end.reason


def test_market_order_when_no_volume_at_all_then_each_empty_bar_counts() -> None:
    venue = open_venue(HARSH)
    venue.submit(order("a1", BUY, "1"))
    for minute in range(4):
        assert venue.order("a1").state is OrderState.WORKING
        venue.observe(bar(minute, 100, 100, 100, 100, volume=0))
    assert venue.order("a1").state is OrderState.CANCELLED
    assert total(venue, "USDT") == free(venue, "USDT") == dec(10000)


def test_limit_when_volume_is_thin_then_the_rest_goes_on_resting() -> None:
    venue = open_venue(PaperCosts(maker_bps=dec(0)))
    venue.submit(order("a1", BUY, "1", LIMIT, "98"))
    for minute in range(9):
        assert prices(venue.observe(bar(minute, 100, 101, 97, 100, volume=2))) == ["a1 0.1@98"]
    assert venue.order("a1").state is OrderState.PARTIAL


def test_stop_when_volume_is_thin_then_the_rest_sells_at_the_next_opens() -> None:
    venue = open_venue(PaperCosts(spread_bps=dec(0), slippage_bps=dec(0)), btc="3")
    venue.submit(order("s1", SELL, "3", STOP, "95", reduce_only=True))
    assert prices(venue.observe(bar(0, 100, 101, 94, 100, volume=40))) == ["s1 2@95"]
    assert prices(venue.observe(bar(1, 99, 101, 98, 100, volume=40))) == ["s1 1@99"]


def test_volume_share_when_not_a_whole_lot_then_rounded_down() -> None:
    venue = open_venue(HARSH)
    venue.submit(order("a1", BUY, "1"))
    assert fills(venue.observe(bar(0, 100, 101, 99, 100, volume="0.119")))[0].quantity == dec("0.005")


def test_buy_when_the_open_gaps_beyond_the_balance_then_takes_what_it_pays_and_ends() -> None:
    venue = open_venue(PaperCosts.plain(dec(10)), usdt="1001")
    venue.submit(order("a1", BUY, "10"))
    fill = fills(venue.observe(bar(0, 120, 121, 119, 120)))[0]
    # 8.333 x 120 + fee 0.99996 = 1000.95996; one lot more would cost 1001.08008
    assert fill.quantity == dec("8.333")
    assert venue.order("a1").state is OrderState.CANCELLED
    assert "insufficient balance at the fill" in venue.order("a1").reason
    assert total(venue, "USDT") == dec(1001) - dec("1000.95996000")


def test_reduce_only_when_larger_than_the_position_then_clamped_and_never_turns() -> None:
    venue = open_venue()
    venue.submit(order("e1", SELL, "2", instrument=PERP))
    venue.observe(bar(0, 100, 101, 99, 100, instrument=PERP))
    venue.submit(order("x1", BUY, "3", instrument=PERP, reduce_only=True, minute=1))
    assert prices(venue.observe(bar(1, 100, 101, 99, 100, instrument=PERP))) == ["x1 2@100"]
    assert venue.positions() == ()
    assert (venue.order("x1").state, venue.order("x1").filled) == (OrderState.CANCELLED, dec(2))


def test_reduce_only_spot_when_coins_are_promised_elsewhere_then_those_are_left() -> None:
    venue = open_venue(btc="2")
    venue.submit(order("l1", SELL, "1.5", LIMIT, "200"))
    venue.submit(order("x1", SELL, "2", reduce_only=True))
    assert prices(venue.observe(bar(0, 100, 101, 99, 100))) == ["x1 0.5@100"]


def test_position_when_turned_by_an_order_that_may_then_opens_the_rest() -> None:
    venue = open_venue()
    venue.submit(order("e1", BUY, "1", instrument=PERP))
    venue.observe(bar(0, 100, 101, 99, 100, instrument=PERP))
    venue.submit(order("e2", SELL, "3", instrument=PERP, minute=1))
    venue.observe(bar(1, 110, 111, 109, 110, instrument=PERP))
    position = venue.positions()[0]
    assert (position.quantity, position.entry_price, total(venue, "USDT")) == (dec(-2), dec(110), dec(10010))


# -- order of things -----------------------------------------------------------------------------------------------


def test_bars_when_candles_come_in_any_order_then_the_outcome_is_the_same() -> None:
    outcomes = []
    for flip in (False, True):
        venue = open_venue(HARSH)
        venue.submit(order("b1", BUY, "1", instrument=SPOT))
        venue.submit(order("b2", BUY, "1", instrument=ETH))
        candles = [candle(0, (100, 101, 99, 100)), candle(0, (50, 51, 49, 50), key=ETH.key)]
        outcomes.append(venue.observe(Bars(at(1), tuple(reversed(candles) if flip else candles))))
    assert outcomes[0] == outcomes[1]
    assert [fill.trade_id for fill in fills(outcomes[0])] == ["demo-1", "demo-2"]


def test_candle_when_it_overlaps_one_already_matched_then_ignored() -> None:
    venue = open_venue()
    venue.observe(bar(59, 100, 101, 99, 100))
    venue.submit(order("a1", BUY, "1", LIMIT, "98", minute=0))
    hour = Candle(SPOT.key, Timeframe(3600), at(0), dec(100), dec(101), dec(90), dec(100), dec(1000))
    assert venue.observe(Bars(at(60), (hour,))) == ()


def test_candle_when_of_another_venue_then_only_moves_time() -> None:
    venue = open_venue()
    venue.submit(order("a1", BUY, "1"))
    other = candle(0, (100, 101, 99, 100), key="kraken:BTC/USDT")
    assert venue.observe(Bars(at(1), (other,))) == ()
    assert venue.resume_time == at(0) + timedelta(minutes=1)


def test_orders_when_equal_then_served_in_order_of_submission() -> None:
    venue = open_venue(usdt="150")
    venue.submit(order("z1", BUY, "1", LIMIT, "90"))
    venue.submit(order("a1", BUY, "0.5", LIMIT, "90"))
    assert prices(venue.observe(bar(0, 100, 101, 80, 100))) == ["z1 1@90", "a1 0.5@90"]


def test_plain_costs_when_asked_then_only_fee_and_slippage() -> None:
    costs = PaperCosts.plain(dec(10), dec(5))
    assert (costs.maker_bps, costs.taker_bps, costs.spread_bps, costs.slippage_bps) == (10, 10, 0, 5)
    assert costs.volume_share is None


@pytest.mark.parametrize(("usdt", "lots"), [("41.26460118", []), ("41.26460119", ["a1 0.001@41234.5"])])
def test_buy_when_the_rounded_fee_decides_then_not_one_digit_is_overdrawn(usdt, lots) -> None:
    # one lot costs 41.2345 and a fee of 0.030101185, rounded up to 0.03010119
    venue = open_venue(PaperCosts.plain(dec("7.3")), usdt=usdt)
    venue.submit(order("a1", BUY, "0.002", reference="20000"))
    assert prices(venue.observe(bar(0, "41234.5", 42000, 41000, 41500))) == lots
    assert free(venue, "USDT") >= 0
    assert venue.order("a1").state is OrderState.CANCELLED
