"""What an order that takes pays for its size: by hand, one candle a rule."""

from __future__ import annotations

import pytest
from paper_market import BUY, FREE, LIMIT, PERP, SELL, STOP, bar, dec, fills, open_venue, order, prices

from engine.domain.orders import Liquidity
from engine.exchanges.paper import PaperCosts

IMPACT = FREE.model_copy(update={"impact": dec(1)})
MOVING = (100, 103, 97, 100)
"""Its volatility is 0.06 / (2 sqrt(ln 2)) = 3.6034 %: a hundredth of its volume costs a tenth of that."""


@pytest.mark.parametrize(
    ("side", "quantity", "volume", "price"),
    [
        (BUY, "1", 100, "100.4"),  # 100.3603, up to the tick
        (SELL, "1", 100, "99.6"),  # 99.6397, down
        (BUY, "4", 100, "100.8"),  # four times the size, twice the impact: 100.7207
        (BUY, "1", 0, "103.7"),  # no volume: as if it were all of it, 103.6034
    ],
)
def test_market_order_when_it_takes_then_pays_the_square_root_of_its_share(
    side, quantity: str, volume: int, price: str
) -> None:
    venue = open_venue(IMPACT, btc="10")
    venue.submit(order("a1", side, quantity))
    assert prices(venue.observe(bar(0, *MOVING, volume=volume))) == [f"a1 {quantity}@{price}"]


def test_market_order_when_the_candle_does_not_move_then_pays_none() -> None:
    venue = open_venue(IMPACT)
    venue.submit(order("a1", BUY, "50"))
    assert prices(venue.observe(bar(0, 100, 100, 100, 100, volume=60))) == ["a1 50@100"]


def test_market_order_when_the_volume_share_cuts_it_then_pays_for_what_it_takes() -> None:
    venue = open_venue(IMPACT.model_copy(update={"volume_share": dec("0.01")}))
    venue.submit(order("a1", BUY, "4"))
    assert prices(venue.observe(bar(0, *MOVING, volume=100))) == ["a1 1@100.4"]
    assert prices(venue.observe(bar(1, *MOVING, volume=400))) == ["a1 3@100.4"]  # the rest, sqrt(3/400) x 3.603 = 0.312


def test_market_order_when_zero_volume_and_a_share_then_nothing_fills() -> None:
    venue = open_venue(IMPACT.model_copy(update={"volume_share": dec("0.05")}))
    venue.submit(order("a1", BUY, "4"))
    assert fills(venue.observe(bar(0, *MOVING, volume=0))) == []


@pytest.mark.parametrize(
    ("candle", "price"),
    [(MOVING, "97.6"), ((90, 93, 87, 90), "89.6")],
    ids=["98 less 0.3603 %: 97.647", "opens beyond it, range of 6 at 90: 0.4004 %, 89.640"],
)
def test_stop_when_triggered_or_jumped_over_then_pays_impact(candle: tuple[int, ...], price: str) -> None:
    venue = open_venue(IMPACT, btc="1")
    venue.submit(order("s1", SELL, "1", STOP, "98"))
    assert prices(venue.observe(bar(0, *candle, volume=100))) == [f"s1 1@{price}"]


def test_limit_when_it_rests_then_pays_none_and_when_it_takes_then_at_most_its_price() -> None:
    venue = open_venue(IMPACT)
    venue.submit(order("l1", BUY, "1", LIMIT, "98"))
    venue.submit(order("l2", BUY, "1", LIMIT, "100.2"))
    made = fills(venue.observe(bar(0, *MOVING, volume=100)))
    assert [(fill.client_id, fill.price, fill.liquidity) for fill in made] == [
        ("l2", dec("100.2"), Liquidity.TAKER),
        ("l1", dec(98), Liquidity.MAKER),
    ]


def test_liquidation_when_it_takes_then_pays_for_the_whole_position() -> None:
    venue = open_venue(IMPACT, usdt="100")
    venue.submit(order("t1", BUY, "10", instrument=PERP))
    venue.observe(bar(0, 100, 100, 100, 100, instrument=PERP))
    # at 90.4523; a range of 11 at 100 and a hundredth of the volume are 0.6606 %: 89.8548, down to the tick
    made = venue.observe(bar(1, 100, 101, 90, 95, volume=1000, instrument=PERP))
    assert prices(made) == ["liq2 10@89.8"]


def test_costs_when_nothing_is_said_then_no_impact() -> None:
    assert PaperCosts().impact == 0
