"""What one part of the program is told of a ban keeps all others from asking, in other processes too."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.settings import Settings, load
from engine.exchanges.accounts import check_at
from engine.exchanges.client import Credentials, VenueThrottled, open_client
from engine.runtime.accounts import account_of, hosts_of

CREDENTIALS = Credentials("a-key-of-some-length", "a-secret-of-some-length")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load(environment={}, changes={"data_dir": str(tmp_path)}).settings


def test_ban_when_one_was_told_then_no_account_asks_that_host(settings: Settings) -> None:
    hosts_of(settings).at("binance", "https://api.binance.com/api/v3/klines").ban(600)
    account = account_of(settings, "binance/main")
    check = check_at(account.row, account.door(CREDENTIALS))
    assert not check.reachable
    assert "Binance has shut this address out for another" in check.message
    client = open_client(account.row, account.door())
    with pytest.raises(VenueThrottled):
        client.public_get_time()
    client.close()


def test_ban_when_it_is_the_real_exchanges_then_its_sandbox_is_another_host(settings: Settings) -> None:
    hosts_of(settings).at("binance", "https://api.binance.com/api/v3/klines").ban(600)
    there = open_client(account_of(settings, "binance/main").row, account_of(settings, "binance/main", True).door())
    assert hosts_of(settings).at("binance", there.urls["api"]["public"]).shut() is None
    there.close()
