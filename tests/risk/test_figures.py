"""Portfolio figures: known values, signs, and honest unknowns."""

from __future__ import annotations

import json
from decimal import Decimal

import numpy as np
import pytest
from numpy.typing import NDArray
from shared_data import shared_path

from engine.domain.errors import BadInput
from engine.quant.stress import SCENARIOS
from engine.risk.figures import Holding, correlation, exposure, stress_rows, tail_risk, venue_loss_rows

D = Decimal
NAN = D("NaN")


def series(seed: int, days: int = 1_000) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(0.0, 0.02, days)


# Exposure


def test_exposure_when_long_and_short_then_gross_net_and_shares() -> None:
    holdings = [
        Holding("BTC", "a", D(3_000)),
        Holding("BTC", "b", D(-1_000)),
        Holding("ETH", "b", D(-2_000)),
    ]
    figure = exposure(holdings, D(10_000))
    assert (figure.gross, figure.net) == (D(6_000), D(0))
    assert (figure.gross_share, figure.net_share) == (D("0.6"), D(0))
    assert [(part.name, part.notional, part.share) for part in figure.coins] == [
        ("BTC", D(2_000), D("0.5")),
        ("ETH", D(-2_000), D("0.5")),
    ]
    assert [(part.name, part.notional) for part in figure.venues] == [("a", D(3_000)), ("b", D(3_000))]
    assert figure.coin_hhi == pytest.approx(0.5)
    assert figure.venue_hhi == pytest.approx(0.5)


def test_exposure_when_nothing_is_held_then_zero_and_no_concentration() -> None:
    figure = exposure([], D(10_000))
    assert figure.gross == figure.net == 0
    assert not figure.coins
    assert figure.coin_hhi is None
    assert figure.venue_hhi is None


@pytest.mark.parametrize("equity", [None, NAN, D(0), D(-1)], ids=str)
def test_exposure_when_equity_is_unusable_then_shares_are_unknown(equity: Decimal | None) -> None:
    figure = exposure([Holding("BTC", "a", D(1))], equity)
    assert figure.gross == 1
    assert figure.gross_share is None
    assert figure.net_share is None


def test_exposure_when_offsetting_then_the_coin_is_listed_without_a_share() -> None:
    figure = exposure([Holding("BTC", "a", D(5)), Holding("BTC", "b", D(-5))], D(10))
    assert [(part.notional, part.share) for part in figure.coins] == [(D(0), D(0))]
    assert figure.coin_hhi is None


def test_figures_when_a_notional_is_not_a_number_then_refused_by_name() -> None:
    with pytest.raises(BadInput, match="BTC at a is NaN"):
        exposure([Holding("BTC", "a", NAN)], D(1))
    with pytest.raises(BadInput, match="BTC is NaN"):
        tail_risk({"BTC": NAN}, {}, D(1))
    with pytest.raises(BadInput, match="BTC is NaN"):
        stress_rows({"BTC": NAN}, D(1))
    with pytest.raises(BadInput, match="kraken is NaN"):
        venue_loss_rows({"kraken": NAN}, D(1))


# Correlation


def test_correlation_when_measured_then_symmetric_with_known_values() -> None:
    base = series(1)
    figure = correlation({"BTC": base, "ETH": -base, "SOL": series(2)}, ["SOL", "BTC", "ETH", "BTC"])
    assert figure.coins == ("BTC", "ETH", "SOL")
    assert figure.matrix[0][0] == 1
    assert figure.matrix[0][1] == pytest.approx(-1)
    assert figure.matrix[0][2] == figure.matrix[2][0] == pytest.approx(np.corrcoef(base, series(2))[0, 1])
    assert (figure.observations, figure.reason) == (1_000, "")


def test_correlation_when_a_coin_never_moved_then_its_cells_are_unknown() -> None:
    figure = correlation({"BTC": series(1), "USDC": np.zeros(1_000)}, ["BTC", "USDC"])
    assert figure.matrix == ((1.0, None), (None, None))


@pytest.mark.parametrize(
    ("days", "coins", "reason"),
    [(29, ["BTC"], "29 days in common, 30 are needed"), (100, ["BTC", "DOGE"], "no price history of DOGE")],
)
def test_correlation_when_history_is_missing_then_unknown_with_its_reason(
    days: int, coins: list[str], reason: str
) -> None:
    figure = correlation({"BTC": series(1, days)}, coins)
    assert figure.reason == reason
    assert all(cell is None for row in figure.matrix for cell in row)


def test_correlation_when_nothing_is_held_then_empty() -> None:
    assert correlation({}, []).matrix == ()


def test_correlation_when_days_are_missing_then_only_common_days_count() -> None:
    short = series(2)
    short[:900] = np.nan
    assert correlation({"BTC": series(1), "SOL": short}, ["BTC", "SOL"]).observations == 100


# Tail risk


def test_tail_when_compared_with_the_reference_then_order_statistic_and_its_cvar() -> None:
    cases = json.loads(shared_path("cases/quant/var_cvar.json").read_text(encoding="utf-8"))["cases"]
    checked = 0
    for case in cases:
        returns = np.array(case["inputs"].get("returns", []))
        if len(returns) < 200:
            continue
        expected = case["expected"]["alpha_0.05"]["hist_var_by_numpy_quantile_method"]["inverted_cdf"]
        figure = tail_risk({"BTC": D(10_000)}, {"BTC": returns}, D(20_000))[0]
        assert figure.var is not None
        assert float(figure.var) == pytest.approx(expected * 10_000, abs=1e-5)
        assert figure.var_share == figure.var / 20_000
        assert figure.cvar is not None
        assert figure.cvar >= figure.var
        checked += 1
    assert checked


def test_tail_when_short_then_the_gains_of_the_coin_are_the_losses() -> None:
    returns = {"BTC": np.linspace(-0.01, 0.10, 1_000)}
    long, short = (tail_risk({"BTC": D(side)}, returns, D(1_000))[0] for side in (1_000, -1_000))
    assert long.var is not None
    assert short.var is not None
    assert short.var > long.var


def test_tail_when_hedged_then_no_risk() -> None:
    base = series(1)
    for figure in tail_risk({"BTC": D(500), "WBTC": D(-500)}, {"BTC": base, "WBTC": base}, D(1_000)):
        assert figure.var == figure.cvar == 0


@pytest.mark.parametrize(("days", "known"), [(199, (False, False)), (200, (True, False)), (1_000, (True, True))])
def test_tail_when_history_is_short_then_unknown_with_its_reason(days: int, known: tuple[bool, bool]) -> None:
    figures = tail_risk({"BTC": D(1_000)}, {"BTC": series(1, days)}, D(1_000))
    assert tuple(figure.var is not None for figure in figures) == known
    for figure in figures:
        assert figure.observations == days
        assert (figure.reason == "") == (figure.var is not None)
        assert "are needed" in figure.reason or figure.var is not None


def test_tail_when_a_coin_has_no_history_then_unknown_and_named() -> None:
    figure = tail_risk({"BTC": D(1), "DOGE": D(1)}, {"BTC": series(1)}, D(1))[0]
    assert figure.var is None
    assert figure.reason == "no price history of DOGE"


@pytest.mark.parametrize(("equity", "share"), [(D(1), D(0)), (None, None)])
def test_tail_when_nothing_is_held_then_zero(equity: Decimal | None, share: Decimal | None) -> None:
    for figure in tail_risk({"BTC": D(0)}, {}, equity):
        assert figure.var == figure.cvar == 0
        assert figure.var_share == share
        assert figure.reason == "nothing is held"


def test_tail_when_histories_are_not_aligned_then_refused() -> None:
    with pytest.raises(BadInput, match="BTC 10, ETH 11"):
        tail_risk({"BTC": D(1), "ETH": D(1)}, {"BTC": series(1, 10), "ETH": series(2, 11)}, D(1))


# Stress


def test_stress_when_long_then_the_dated_fall_is_the_loss() -> None:
    rows = {row.scenario: row for row in stress_rows({"BTC": D(10_000)}, D(20_000))}
    assert list(rows) == list(SCENARIOS)
    covid = rows["covid_mar_2020"]
    assert covid.loss == D("5359.79")
    assert covid.share == D("0.2679895")
    assert covid.proxy == ""
    assert rows["ftx_nov_2022"].caveat


def test_stress_when_short_then_a_gain() -> None:
    assert all(row.loss < 0 for row in stress_rows({"ETH": D(-100)}, None))


def test_stress_when_a_coin_did_not_exist_then_the_proxy_is_named() -> None:
    rows = {row.scenario: row for row in stress_rows({"SOL": D(100), "DOGE": D(100)}, D(1))}
    assert "SOL" in rows["covid_mar_2020"].proxy
    assert "DOGE" in rows["ftx_nov_2022"].proxy


def test_stress_when_nothing_is_held_then_no_loss() -> None:
    assert all(row.loss == 0 and row.share == 0 for row in stress_rows({}, D(1)))


def test_venue_loss_when_a_venue_fails_then_all_that_is_there_is_gone() -> None:
    rows = venue_loss_rows({"kraken": D(2_000), "binance": D(6_000), "bybit": D(-5)}, D(10_000))
    assert [(row.title, row.loss, row.share) for row in rows] == [
        ("binance fails", D(6_000), D("0.6")),
        ("kraken fails", D(2_000), D("0.2")),
        ("bybit fails", D(0), D(0)),
    ]
