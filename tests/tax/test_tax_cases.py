"""The reference cases, lot by lot; those of methods that are not built yet are skipped by name."""

from __future__ import annotations

import json
import random
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from shared_data import shared_path
from tax_makers import at, events_of

from engine.tax import LOT_METHODS
from engine.tax.lots import Acquisition, Matching, Reason, held_over_a_year, match_lots

FIFO = (
    "au_discount_boundary_days",
    "au_fifo_parcels_and_discount",
    "au_losses_before_discount",
    "de_one_year_tax_free_fifo",
    "us_fifo_example_btc",
    "us_long_term_boundary_by_law",
    "us_oversell_is_an_error",
    "us_quote_fee_on_sale",
    "us_staking_income_then_sell",
    "us_swap_with_third_coin_fee",
    "us_transfer_between_own_accounts",
)
LATER = {
    "acb_average_cost_11_steps": "average cost",
    "ca_superficial_buyback": "average cost with the superficial-loss rule",
    "it_lifo_published_example": "LIFO",
    "perp_coin_margined_pnl": "coin-margined results; perpetuals here are linear",
    "uk_hmrc_30_day": "share pooling",
    "uk_hmrc_all_three_rules": "share pooling",
    "uk_hmrc_crypto_to_crypto": "share pooling",
    "uk_hmrc_same_day": "share pooling",
    "us_hifo_example_btc": "HIFO",
    "us_hifo_ladder": "HIFO",
    "us_lifo_example_btc": "LIFO",
    "us_method_change_by_year_1": "a method that changes by year",
}
KINDS = {Reason.SALE: "sell", Reason.FEE: "fee", Reason.MOVE: "move", Reason.GIFT: "gift", Reason.DONATION: "donate"}


def load(name: str) -> dict[str, Any]:
    case: dict[str, Any] = json.loads(shared_path(f"cases/tax/{name}.json").read_text())
    return case


def matched(case: dict[str, Any], per_account: bool = False, seed: int | None = None) -> Matching:
    events = events_of(case)
    if seed is not None:
        random.Random(seed).shuffle(events)
    return match_lots(events, LOT_METHODS["fifo"], per_account)


def rows_of(matching: Matching, case: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Matches, and income as a row of its own, as the case writes them."""
    rows: list[tuple[Any, ...]] = [
        (
            KINDS[match.disposal.reason], match.disposal.event_id, match.lot.event_id, match.disposal.at, match.lot.at,
            match.quantity, match.proceeds, match.cost, match.gain,
        )
        for match in matching.matches
    ]  # fmt: skip
    for event in events_of(case):
        if isinstance(event, Acquisition) and event.income:
            zero = Decimal(0)
            rows.append(("income", event.event_id, None, event.at, None, event.quantity, event.cost, zero, event.cost))
    return sorted(rows, key=lambda row: (row[1], row[2] or ""))


def expected_of(case: dict[str, Any]) -> list[tuple[Any, ...]]:
    rows = [
        (
            row["kind"], row["event_id"], row["lot_id"], at(row["disposed"]),
            at(row["acquired"]) if row["acquired"] else None,
            *(Decimal(row[name]) for name in ("amount", "proceeds", "cost_basis", "gain")),
        )
        for row in case["expected"]
    ]  # fmt: skip
    return sorted(rows, key=lambda row: (row[1], row[2] or ""))


def test_cases_when_listed_then_each_is_run_or_skipped_with_its_reason() -> None:
    names = {path.stem for path in shared_path("cases/tax").glob("*.json")}
    assert names == {*FIFO, *LATER}


@pytest.mark.parametrize("name", [name for name in FIFO if name != "us_oversell_is_an_error"])
@pytest.mark.parametrize("seed", [None, 1, 2])
def test_case_when_matched_fifo_then_every_lot_agrees_whatever_the_order_given(name: str, seed: int | None) -> None:
    case = load(name)
    matching = matched(case, seed=seed)
    assert not matching.shortfalls
    got, expected = rows_of(matching, case), expected_of(case)
    assert [row[:5] for row in got] == [row[:5] for row in expected]
    for mine, theirs in zip(got, expected, strict=True):
        for value, reference in zip(mine[5:], theirs[5:], strict=True):
            assert abs(value - reference) <= Decimal(case["tolerance"]), mine


def test_case_when_sold_more_than_held_then_a_shortfall_names_asset_account_and_time() -> None:
    case = load("us_oversell_is_an_error")
    (short,) = matched(case).shortfalls
    assert short.quantity == Decimal("0.00000001")
    for part in ("SOL", "main", "2021-06-01T00:00:00", "0.00000001 of the 5.00000001", "t2"):
        assert part in str(short)


@pytest.mark.parametrize("name", ["us_transfer_between_own_accounts"])
def test_case_when_each_account_is_its_own_pool_then_transferred_lots_keep_date_and_cost(name: str) -> None:
    case = load(name)
    matching = matched(case, per_account=True)
    assert not matching.shortfalls
    pieces: dict[Any, list[Decimal]] = {}
    for row in rows_of(matching, case):
        before = pieces.get(row[:5], [Decimal(0)] * 4)
        pieces[row[:5]] = [one + other for one, other in zip(before, row[5:], strict=True)]
    assert pieces == {row[:5]: list(row[5:]) for row in expected_of(case)}
    sold = {match.disposal.event_id: match.lot.at for match in matching.matches}
    assert sold["t4"] == at("2022-02-01")


@pytest.mark.parametrize("name", [name for name in FIFO if name != "us_oversell_is_an_error"])
def test_case_when_it_says_long_term_then_the_calendar_rule_agrees(name: str) -> None:
    case = load(name)
    zone = ZoneInfo(case.get("tax_timezone", "UTC"))
    for row in case["expected"]:
        wanted = row.get("tax_free") if row["long_term"] is None else row["long_term"]
        if row["acquired"] is not None and wanted is not None:
            days = (at(row[name]).astimezone(zone).date() for name in ("acquired", "disposed"))
            assert held_over_a_year(*days) is wanted, row


@pytest.mark.parametrize("name", sorted(LATER))
def test_case_when_its_method_is_not_built_then_skipped(name: str) -> None:
    pytest.skip(f"{name}: {LATER[name]} is not part of this release")
