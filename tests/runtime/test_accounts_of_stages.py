"""Accounts of the settings: where each is reached, what is traded there, and which of them a stage takes."""

from __future__ import annotations

from typing import Any

import pytest

from config.settings import Settings, load
from engine.domain.errors import BadInput, SettingsError
from engine.domain.instruments import Kind
from engine.runtime.accounts import (
    STAGES,
    Account,
    account_of,
    accounts_of_stage,
    connections_of,
    named_accounts,
    public_address,
)

HERE = {"rest_url": "http://127.0.0.1:9/bybit", "websocket_url": "ws://127.0.0.1:9/bybit"}
TESTNET, LIVE = STAGES["testnet"], STAGES["live"]


def settings(**changes: Any) -> Settings:
    """Two sandboxes and a real account, with more by names whose dots are two underscores."""
    venues: dict[str, dict[str, Any]] = {
        "play": {"exchange": "bybit", "sandbox": True, **HERE},
        "play-too": {"exchange": "binance", "sandbox": True},
        "main": {"exchange": "kraken"},
    }
    values: dict[str, Any] = {
        f"venues.{name}.{field}": value for name, row in venues.items() for field, value in row.items()
    }
    return load(environment={}, changes=values | {k.replace("__", "."): v for k, v in changes.items()}).settings


def names(stage: str, stored: dict[str, bool], **changes: Any) -> list[str]:
    return [each.connection_id for each in accounts_of_stage(settings(**changes), STAGES[stage], stored)]


def test_account_when_the_settings_name_it_then_addresses_and_sandbox_come_from_there() -> None:
    found = account_of(settings(), "bybit/play", sandbox=False)
    assert found == Account("bybit/play", "bybit", True, HERE["rest_url"], HERE["websocket_url"], ())
    assert (found.is_here, found.label) == (True, "play")


def test_account_when_it_was_only_connected_then_the_exchange_itself_is_asked() -> None:
    assert account_of(settings(), "bybit/by hand", sandbox=True) == Account("bybit/by hand", "bybit", True)
    assert not account_of(settings(), "bybit/by hand").is_here
    with pytest.raises(BadInput, match="no exchange 'nowhere'; choose one of binance"):
        account_of(settings(), "nowhere/main")


def test_stage_when_it_names_no_account_then_it_takes_all_that_fit_and_have_keys() -> None:
    stored = {"bybit/play": False, "binance/play-too": True, "kraken/main": False, "bybit/by hand": True}
    assert names("testnet", stored) == ["bybit/play", "binance/play-too"]
    assert names("testnet", {"binance/play-too": True}) == ["binance/play-too"]
    assert names("live", stored) == ["kraken/main"]


def test_stage_when_it_names_accounts_then_by_name_or_by_exchange_and_label() -> None:
    stored = {"bybit/play": True, "binance/by hand": True}
    chosen = {"testnet__connections": ["play", "binance/by hand", "bybit/play"]}
    assert names("testnet", stored, **chosen) == ["bybit/play", "binance/by hand"]
    assert connections_of(settings(**chosen), TESTNET) == ("bybit/play", "binance/by hand")


REFUSED: list[tuple[str, str, dict[str, bool], dict[str, Any], str]] = [
    ("no keys", "testnet", {}, {}, r"keys of bybit/play are not stored.*venues add play --key"),
    ("none fits", "live", {}, {"venues__main__exchange": "bybit", "venues__main__sandbox": True}, r"describe one with"),
    ("named, no keys", "testnet", {}, {"testnet__connections": ["play"]}, r"keys of bybit/play are not stored"),
    ("unknown", "testnet", {"bybit/a": True}, {"testnet__connections": ["bybit/b"]}, r"no connection.*there are byb"),
    ("real", "testnet", {"kraken/main": True}, {"testnet__connections": ["main"]}, r"Kraken has no sandbox"),
    ("play", "live", {"bybit/play": True}, {"live__connections": ["play"]}, r"live trades real money"),
]


@pytest.mark.parametrize(("what", "stage", "stored", "changes", "words"), REFUSED, ids=[row[0] for row in REFUSED])
def test_stage_when_an_account_is_missing_or_unfit_then_refused_with_the_way_out(
    what: str, stage: str, stored: dict[str, bool], changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(BadInput, match=words):
        names(stage, stored, **changes)


def test_stage_when_two_accounts_are_at_one_exchange_then_refused() -> None:
    stored = {"bybit/play": True, "bybit/second": True}
    with pytest.raises(BadInput, match=r"bybit/play and bybit/second are both at Bybit"):
        names("testnet", stored, testnet__connections=["play", "bybit/second"])


def test_settings_when_a_stage_names_an_account_nobody_described_then_refused_with_those_there_are() -> None:
    with pytest.raises(SettingsError) as refused:
        settings(testnet__connections=["other"])
    said = "settings refused: testnet.connections: no account is described as [venues.other], there are main, play"
    assert str(refused.value).startswith(said)
    assert "got {" not in str(refused.value), "the rule is told, not everything it looked at"


TYPES: list[tuple[str, tuple[str, ...], dict[str, set[Kind]]]] = [
    ("bybit", (), {"bybit": {Kind.SPOT, Kind.PERPETUAL}}),
    ("bybit", ("unified",), {"bybit": {Kind.SPOT, Kind.PERPETUAL}}),
    ("bybit", ("spot", "funding"), {"bybit": {Kind.SPOT}}),
    ("binance", (), {"binance": {Kind.SPOT}, "binance-perp": {Kind.PERPETUAL}}),
    ("binance", ("futures",), {"binance-perp": {Kind.PERPETUAL}}),
    ("kucoin", ("spot", "earn"), {"kucoin": {Kind.SPOT}}),
    ("kraken", (), {"kraken": {Kind.SPOT}}),
    ("binance", ("funding",), {}),
]


@pytest.mark.parametrize(("exchange", "types", "traded"), TYPES)
def test_account_types_then_they_say_what_is_traded(
    exchange: str, types: tuple[str, ...], traded: dict[str, set[Kind]]
) -> None:
    account = Account(f"{exchange}/x", exchange, False, account_types=types)
    assert {row.name: set(kinds) for row, kinds in account.traded} == traded


def test_account_types_then_they_say_what_is_read() -> None:
    account = Account("binance/x", "binance", False, account_types=("spot", "earn"))
    assert [row.label for row in account.row.wallets.rows] == ["spot", "earn, flexible", "earn, locked"]


def test_account_types_when_written_in_the_exchanges_words_then_understood_and_unknown_ones_refused() -> None:
    found = settings(**{"venues.play.account_types": ["Spot", "linear", "swap"]}).venues["play"]
    assert found.account_types == ("spot", "futures")
    with pytest.raises(SettingsError, match="Kraken has no 'unified'; it has spot"):
        settings(**{"venues.main.account_types": ["unified"]})


def test_public_address_then_never_that_of_a_sandbox() -> None:
    assert public_address(settings(), "bybit") == ""
    moved = {"venues.main.rest_url": "http://127.0.0.1:9/k", "venues.main.websocket_url": "ws://127.0.0.1:9/k"}
    assert public_address(settings(**moved), "kraken") == "http://127.0.0.1:9/k"
    assert public_address(settings(paper__rest_url="http://127.0.0.1:8/p"), "binance") == "http://127.0.0.1:8/p"


@pytest.mark.parametrize(("moved", "refused"), [("rest_url", ""), ("websocket_url", "websocket_url without rest_url")])
def test_account_when_one_address_is_given_then_it_may_be_that_for_questions_alone(moved: str, refused: str) -> None:
    changes = {"venues.play.exchange": "bybit", "venues.play.sandbox": True, f"venues.play.{moved}": HERE[moved]}
    if refused:
        with pytest.raises(SettingsError, match=refused):
            load(environment={}, changes=changes)
    else:
        [account] = named_accounts(load(environment={}, changes=changes).settings)
        assert (account.rest_url, account.websocket_url) == (HERE["rest_url"], "")
