"""The table of crashes against the reference file, and what it does to positions."""

from __future__ import annotations

import math
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.quant import stress
from engine.quant.stress import SCENARIOS
from tests.quant.reference import assert_close, case_of, reference, skip_listed

NOT_IMPLEMENTED = {
    "black_thursday_12_13_mar_2020": "lies inside covid_mar_2020",
    "covid_full_20feb_16mar": "another window of covid_mar_2020",
}
DATED = ["covid_mar_2020", "china_may_2021", "celsius_3ac_jun_2022", "yen_carry_aug_2024", "bear_2021_2022"]


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario_when_compared_with_reference_then_equal(name: str) -> None:
    content = reference("stress_scenarios")
    for base, row in content["shock_table"][name].items():
        shock = SCENARIOS[name].shocks[base]
        if row is None:
            assert shock.proxy
            assert shock.fall == min(other.fall for other in SCENARIOS[name].shocks.values())
        else:
            assert not shock.proxy
            assert_close(shock.fall, row["close_to_close"], content["tolerance"])


@pytest.mark.parametrize("name", DATED)
def test_scenario_when_dated_then_window_of_the_reference(name: str) -> None:
    first, last = case_of(reference("stress_scenarios"), name)["inputs"]["window"]
    assert (SCENARIOS[name].first_day, SCENARIOS[name].last_day) == (
        date.fromisoformat(first),
        date.fromisoformat(last),
    )


@pytest.mark.parametrize("name", NOT_IMPLEMENTED)
def test_scenario_when_not_implemented_then_skipped_by_name(name: str) -> None:
    table = set(reference("stress_scenarios")["shock_table"])
    assert table == set(SCENARIOS) | set(NOT_IMPLEMENTED)
    skip_listed(NOT_IMPLEMENTED, name, table)


@pytest.mark.parametrize("case_id", ["apply_luna_may_2022", "apply_china_may_2021"])
def test_shocks_when_applied_then_reference_loss(case_id: str) -> None:
    content = reference("stress_scenarios")
    case = case_of(content, case_id)
    positions, expected = case["inputs"]["positions_usd"], case["expected"]
    profits = stress.apply_shocks(positions, case["inputs"]["shock"])
    for base, profit in profits.items():
        assert_close(profit, expected["pnl_by_asset"][base], content["tolerance"])
    assert_close(sum(profits.values()), expected["total_pnl"], content["tolerance"])
    result = stress.stress(positions, SCENARIOS[case_id.removeprefix("apply_")])
    assert_close(result.change, expected["portfolio_return"], content["tolerance"])


def test_shocks_when_one_is_missing_then_refused_by_name() -> None:
    with pytest.raises(ValueError, match="no shock for DOGE, XRP"):
        stress.apply_shocks({"XRP": 1.0, "DOGE": 1.0, "BTC": 1.0}, {"BTC": -0.5})


def test_stress_when_coin_has_no_history_then_worst_of_three_and_labelled() -> None:
    result = stress.stress({"DOGE": 100.0, "btc": 100.0}, SCENARIOS["ftx_nov_2022"])
    assert result.profit_by_base["DOGE"] == pytest.approx(-67.9404)
    assert list(result.proxies) == ["DOGE"]


def test_stress_when_solana_did_not_trade_then_labelled() -> None:
    assert "2020-08-11" in stress.stress({"SOL": 1.0}, SCENARIOS["covid_mar_2020"]).proxies["SOL"]


def test_stress_when_nothing_is_held_then_no_loss_and_no_share() -> None:
    result = stress.stress({}, SCENARIOS["covid_mar_2020"])
    assert result.profit == 0.0
    assert math.isnan(result.change)


@settings(max_examples=40, deadline=None)
@given(btc=st.floats(-1e7, 1e7), eth=st.floats(-1e7, 1e7))
def test_stress_when_position_is_turned_then_result_is_mirrored(btc: float, eth: float) -> None:
    for held, turned in zip(
        stress.stress_all({"BTC": btc, "ETH": eth}), stress.stress_all({"BTC": -btc, "ETH": -eth}), strict=True
    ):
        assert held.profit == pytest.approx(-turned.profit)
        assert held.profit >= -(abs(btc) + abs(eth))
