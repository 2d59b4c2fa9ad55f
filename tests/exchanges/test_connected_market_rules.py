"""New rules of instruments, as the exchange's list of markets tells them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from engine.domain.conditions import MarketNews
from engine.domain.market import to_ms
from engine.exchanges.connected.listing import read_as_it_is
from engine.exchanges.connected.market_rules import MarketRules
from engine.exchanges.connected.placing import Listed
from engine.exchanges.connected.venue_rows import BYBIT

SYMBOL = "BTC/USDT:USDT"
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def _markets(**changes: Any) -> dict[str, Any]:
    plain = {
        "symbol": SYMBOL, "base": "BTC", "quote": "USDT", "spot": False, "swap": True, "linear": True,
        "active": True, "contractSize": "1", "precision": {"price": "0.1", "amount": "0.001"},
        "limits": {"cost": {"min": "5"}, "leverage": {"max": "100"}}, "info": {"deliveryTime": "0"},
    }  # fmt: skip
    return {SYMBOL: plain | changes}


def _listed(**changes: Any) -> Listed:
    return read_as_it_is(BYBIT, _markets(**changes), SYMBOL, Decimal(3))


def _rules(listed: Listed | None = None) -> MarketRules:
    return MarketRules(BYBIT, "bybit", (listed or _listed(),))


def _ends(at: datetime) -> dict[str, str]:
    return {"deliveryTime": str(to_ms(at))}


CASES: list[tuple[str, dict[str, Any], str, str]] = [
    ("nothing is new", {}, "", ""),
    ("tick", {"precision": {"price": "0.5", "amount": "0.001"}}, "its tick is 0.5 now, it was 0.1", ""),
    ("lot", {"precision": {"price": "0.1", "amount": "0.01"}}, "its lot is 0.01 now, it was 0.001", ""),
    ("least value", {"limits": {"cost": {"min": "50"}}}, "its least value is 50 now, it was 5", ""),
    ("leverage", {"limits": {"cost": {"min": "5"}, "leverage": {"max": "2"}}},
     "its highest leverage is 2 now, it was 3", "its highest leverage is 2 now, it was 3. Look at it"),
    ("contract", {"contractSize": "0.1"}, "its contract is 0.1 now, it was 1", "its contract is 0.1 now"),
    ("halted", {"active": False}, "", "is not being traded at bybit now"),
    ("end announced", {"info": _ends(NOW + timedelta(days=6))}, "", "takes BTC/USDT:USDT off its list on 2026-11-27"),
    ("no end", {"info": _ends(datetime(2100, 12, 25, tzinfo=UTC))}, "", ""),
    ("no number", {"info": {"deliveryTime": "soon"}}, "", ""),
    ("no tick", {"precision": {"amount": "0.001"}}, "", "names no usable tick or lot"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "changes", "changed", "closed"), CASES, ids=[row[0] for row in CASES])
def test_rules_when_the_list_is_read_anew_then_what_is_new_is_told_once(
    what: str, changes: dict[str, Any], changed: str, closed: str
) -> None:
    rules = _rules()
    told = rules.read(_markets(**changes), NOW)
    assert len(told) == (1 if changed or closed else 0)
    assert rules.read(_markets(**changes), NOW) == []
    news = told[0] if told else MarketNews(_listed().instrument, Decimal(1))
    assert changed in news.changed
    assert bool(changed) is bool(news.changed)
    assert closed in news.closed
    assert bool(closed) is bool(news.closed)


def test_rules_when_a_contract_is_as_before_again_then_closed_until_a_person_has_looked() -> None:
    rules = _rules()
    rules.read(_markets(contractSize="0.1"), NOW)
    [news] = rules.read(_markets(), NOW)
    assert news.contract_size == 1
    assert "start the book again" in news.closed


def test_rules_when_a_halt_is_over_then_the_instrument_is_open_again() -> None:
    rules = _rules()
    rules.read(_markets(active=False), NOW)
    assert [(news.changed, news.closed) for news in rules.read(_markets(), NOW)] == [("", "")]


def test_rules_when_it_was_halted_at_the_start_then_that_is_the_first_news() -> None:
    rules = _rules(_listed(active=False))
    assert ["is not being traded" in news.closed for news in rules.begin()] == [True]
    assert rules.begin() == []


def test_modes_when_they_are_wrong_and_right_again_then_closed_for_so_long() -> None:
    rules, key = _rules(), _listed().instrument.key
    assert [news.closed for news in rules.set_modes({key: "in hedge mode"})] == ["in hedge mode"]
    assert rules.set_modes({key: "in hedge mode"}) == []
    assert [news.closed for news in rules.set_modes({})] == [""]
