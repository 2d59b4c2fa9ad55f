"""What an exchange listed of a book's symbols, kept from start to start."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.domain.errors import VenueUnreachable
from engine.runtime.market_list import keep, kept

BTC, ETH = {"symbol": "BTC/USDT", "active": True}, {"symbol": "ETH/USDT", "active": True}
BOTH = {"BTC/USDT": BTC, "ETH/USDT": ETH}


def test_list_when_it_was_kept_then_a_start_without_an_answer_has_the_books_symbols(tmp_path: Path) -> None:
    path = tmp_path / "markets.json"
    assert keep(path, BOTH, ["BTC/USDT"]) == BOTH
    assert kept(path, "bybit") == {"BTC/USDT": BTC}


def test_list_when_a_symbol_is_gone_then_it_stays_as_one_that_is_not_traded_start_after_start(tmp_path: Path) -> None:
    path = tmp_path / "markets.json"
    keep(path, BOTH, ["BTC/USDT", "ETH/USDT"])
    for _ in range(2):
        assert keep(path, {"ETH/USDT": ETH}, ["BTC/USDT", "ETH/USDT"])["BTC/USDT"] == {**BTC, "active": False}
    assert keep(path, BOTH, ["BTC/USDT", "ETH/USDT"]) == BOTH


@pytest.mark.parametrize("text", [None, "", "half of {", "[]", "{}"])
def test_list_when_nothing_usable_was_kept_then_the_venue_is_named(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "markets.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(VenueUnreachable, match="bybit does not answer, and its list of markets was not kept"):
        kept(path, "bybit")
    assert keep(path, BOTH, ["BTC/USDT", "NEW/USDT"]) == BOTH
