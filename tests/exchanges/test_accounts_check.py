"""What is said about a key, and what is never said."""

from __future__ import annotations

import base64
import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import ccxt
import pytest
from exchange_stand_in import HTML, Answer, Query, StandIn, running_stand_in

from engine.domain.errors import BadInput, VenueUnreachable
from engine.exchanges import EXCHANGES
from engine.exchanges.accounts import RIGHTS_READERS, AccountCheck, Rights, check_account
from engine.exchanges.client import Credentials, Door, asking, open_client, redacted
from engine.exchanges.wallets import read_balances

KEY, SECRET, PASSPHRASE = (
    "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zv",
    base64.b64encode(b"NhqPtmdSJYdKjVHjA7PZj4").decode(),
    "open sesame",
)
CREDENTIALS = Credentials(KEY, SECRET, PASSPHRASE)
PEM = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIA0000000000000000000000000000000000\n-----END EC PRIVATE KEY-----\n"

BINANCE_RIGHTS = {
    "ipRestrict": True,
    "createTime": 1623840271000,
    "enableReading": True,
    "enableWithdrawals": False,
    "enableMargin": False,
    "enableFutures": False,
    "enableSpotAndMarginTrading": True,
}
WRONG_KEY = Answer({"code": -2015, "msg": "Invalid API-key, IP, or permissions for action."}, 401)


@pytest.fixture(autouse=True)
def _unthrottled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pauses between real requests would only make the tests slow."""
    monkeypatch.setattr(ccxt.Exchange, "throttle", lambda _self, _cost=None: None)


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    with running_stand_in() as server:
        yield server


def _milliseconds(_query: Query) -> Answer:
    return Answer({"serverTime": round(time.time() * 1000)})


def _binance(stand_in: StandIn, **rights: Any) -> None:
    stand_in.routes["/api/v3/time"] = _milliseconds
    stand_in.answer("/sapi/v1/account/apiRestrictions", Answer(BINANCE_RIGHTS | rights))
    coins = [
        {"asset": "BTC", "free": "0.12345678", "locked": "0.10000000"},
        {"asset": "USDT", "free": "1000.5", "locked": "0"},
        {"asset": "XRP", "free": "0.00000000", "locked": "0.00000000"},
    ]
    stand_in.answer("/api/v3/account", Answer({"canTrade": True, "accountType": "SPOT", "balances": coins}))
    funding = [{"asset": "BNB", "free": "2", "locked": "0", "freeze": "0", "withdrawing": "0"}]
    stand_in.answer("/sapi/v1/asset/get-funding-asset", Answer(funding))


def _bybit(stand_in: StandIn, wallet: list[str], read_only: int = 0) -> None:
    now = round(time.time() * 1000)
    stand_in.answer("/v5/market/time", Answer({"retCode": 0, "retMsg": "OK", "result": {}, "time": now}))
    permissions = {"Spot": ["SpotTrade"], "ContractTrade": [], "Wallet": wallet, "Derivatives": []}
    key = {"readOnly": read_only, "permissions": permissions, "ips": ["203.0.113.7"], "deadlineDay": 83, "uta": 1}
    stand_in.answer("/v5/user/query-api", Answer({"retCode": 0, "retMsg": "", "result": key, "time": now}))
    info = {"unifiedMarginStatus": 6, "marginMode": "REGULAR_MARGIN"}
    stand_in.answer("/v5/account/info", Answer({"retCode": 0, "retMsg": "OK", "result": info, "time": now}))
    coin = {"coin": "USDT", "walletBalance": "250.75", "locked": "50", "equity": "250.75", "availableToWithdraw": ""}
    account = {"accountType": "UNIFIED", "totalEquity": "250", "coin": [coin]}
    balance = {"retCode": 0, "retMsg": "OK", "result": {"list": [account]}, "time": now}
    stand_in.answer("/v5/account/wallet-balance", Answer(balance))


def _ask(stand_in: StandIn, exchange: str = "binance", timeout_s: float = 5.0) -> AccountCheck:
    return check_account(EXCHANGES[exchange], CREDENTIALS, stand_in.url, timeout_s=timeout_s)


def _says_nothing_secret(check: AccountCheck) -> bool:
    return not any(text in repr(check) for text in (KEY, SECRET, PASSPHRASE, "signature=", "timestamp="))


def test_check_when_binance_key_is_good_then_it_is_approved_with_its_balances(stand_in: StandIn) -> None:
    _binance(stand_in)
    check = _ask(stand_in)
    assert check.approved
    assert check.ip_bound
    assert check.message == "Binance accepts the key: it can trade and cannot withdraw. 3 coins found."
    found = {(balance.account, balance.currency): (balance.total, balance.free) for balance in check.balances}
    assert found == {
        ("spot", "BTC"): (Decimal("0.22345678"), Decimal("0.12345678")),
        ("spot", "USDT"): (Decimal("1000.5"), Decimal("1000.5")),
        ("funding", "BNB"): (Decimal(2), Decimal(2)),
    }


def test_check_when_binance_key_can_withdraw_then_it_is_refused_for_trading(stand_in: StandIn) -> None:
    _binance(stand_in, enableWithdrawals=True)
    check = _ask(stand_in)
    assert (check.reachable, check.can_withdraw, check.approved) == (True, True, False)
    assert "can withdraw: refused for trading" in check.message


def test_check_when_binance_key_can_only_read_then_it_is_not_approved(stand_in: StandIn) -> None:
    _binance(stand_in, enableSpotAndMarginTrading=False)
    check = _ask(stand_in)
    assert (check.can_trade, check.approved) == (False, False)
    assert "can only read" in check.message


def test_check_when_the_key_is_wrong_then_the_exchanges_own_answer_is_given(stand_in: StandIn) -> None:
    _binance(stand_in)
    stand_in.answer("/sapi/v1/account/apiRestrictions", WRONG_KEY)
    check = _ask(stand_in)
    assert (check.reachable, check.can_trade, check.can_withdraw, check.approved) == (True, False, None, False)
    assert "does not accept the key" in check.message
    assert "Invalid API-key, IP, or permissions" in check.message


def test_check_when_the_key_dies_after_the_rights_then_it_is_the_key_not_a_rate_limit(stand_in: StandIn) -> None:
    _binance(stand_in)
    stand_in.answer("/api/v3/account", WRONG_KEY)
    check = _ask(stand_in)
    assert check.can_trade is False
    assert "does not accept the key" in check.message


@pytest.mark.parametrize("status", [200, 502])
def test_check_when_a_proxy_answers_with_html_then_it_is_not_reachable(stand_in: StandIn, status: int) -> None:
    _binance(stand_in)
    stand_in.answer("/api/v3/time", Answer(HTML.body, status, HTML.content_type))
    check = _ask(stand_in)
    assert not check.reachable
    assert "<" not in check.message


@pytest.mark.parametrize("answer", [HTML, Answer([]), Answer("null")], ids=["html", "empty list", "null"])
def test_check_when_the_balance_answer_is_none_then_it_is_said_and_not_taken_for_an_empty_wallet(
    stand_in: StandIn, answer: Answer
) -> None:
    _binance(stand_in)
    stand_in.answer("/api/v3/account", answer)
    check = _ask(stand_in)
    assert (check.can_withdraw, check.balances) == (False, ())
    assert "Balances could not be read" in check.message


@pytest.mark.parametrize("answer", [HTML, Answer([]), Answer("null")], ids=["html", "empty list", "null"])
def test_check_when_the_rights_answer_is_none_then_the_key_is_not_approved(stand_in: StandIn, answer: Answer) -> None:
    _binance(stand_in)
    stand_in.answer("/sapi/v1/account/apiRestrictions", answer)
    check = _ask(stand_in)
    assert (check.can_withdraw, check.can_trade, check.approved) == (None, None, False)


def test_check_when_rights_cannot_be_read_then_the_key_is_not_approved(stand_in: StandIn) -> None:
    _binance(stand_in)
    del stand_in.routes["/sapi/v1/account/apiRestrictions"]
    check = _ask(stand_in)
    assert (check.reachable, check.can_withdraw, check.approved) == (True, None, False)
    assert "unknown" in check.message


def test_check_when_the_exchange_does_not_answer_then_the_time_limit_is_named(stand_in: StandIn) -> None:
    def slow(query: Query) -> Answer:
        time.sleep(0.6)
        return _milliseconds(query)

    stand_in.routes["/api/v3/time"] = slow
    check = _ask(stand_in, timeout_s=0.2)
    assert (check.reachable, check.approved) == (False, False)
    assert check.message == "Binance did not answer within 0.2 s"


def test_check_when_nothing_listens_then_it_is_not_reachable() -> None:
    with running_stand_in() as gone:
        url = gone.url
    check = check_account(EXCHANGES["binance"], CREDENTIALS, url)
    assert (check.reachable, check.balances) == (False, ())
    assert "cannot be reached" in check.message


def test_check_when_the_second_wallet_is_closed_then_the_first_is_still_shown(stand_in: StandIn) -> None:
    _binance(stand_in)
    del stand_in.routes["/sapi/v1/asset/get-funding-asset"]
    check = _ask(stand_in)
    assert check.approved
    assert {balance.currency for balance in check.balances} == {"BTC", "USDT"}
    assert check.message.endswith("The funding wallet could not be read.")


def test_check_when_bybit_key_is_good_then_it_is_approved_with_its_balances(stand_in: StandIn) -> None:
    _bybit(stand_in, wallet=["AccountTransfer"])
    check = _ask(stand_in, "bybit")
    assert check.approved
    assert check.ip_bound
    assert [(balance.currency, balance.total) for balance in check.balances] == [("USDT", Decimal("250.75"))]


def test_check_when_bybit_key_can_withdraw_then_it_is_refused_for_trading(stand_in: StandIn) -> None:
    _bybit(stand_in, wallet=["AccountTransfer", "Withdraw"])
    check = _ask(stand_in, "bybit")
    assert (check.can_withdraw, check.approved) == (True, False)


def test_check_when_bybit_key_is_read_only_then_it_is_not_approved(stand_in: StandIn) -> None:
    _bybit(stand_in, wallet=[], read_only=1)
    assert _ask(stand_in, "bybit").can_trade is False


def test_check_when_bybit_tells_neither_rights_nor_kind_of_account_then_balances_are_read_all_the_same(
    stand_in: StandIn,
) -> None:
    _bybit(stand_in, wallet=[])
    for path in ("/v5/user/query-api", "/v5/account/info"):
        stand_in.answer(path, replace(HTML, status=404))
    check = _ask(stand_in, "bybit")
    assert (check.reachable, check.can_trade, check.approved) == (True, None, False)
    assert [balance.currency for balance in check.balances] == ["USDT"]


@pytest.mark.parametrize("code", [10003, 33004])
def test_check_when_bybit_refuses_the_key_then_its_own_words_are_given(stand_in: StandIn, code: int) -> None:
    _bybit(stand_in, wallet=[])
    refusal = {"retCode": code, "retMsg": "API key is invalid.", "result": {}, "time": 1}
    stand_in.answer("/v5/user/query-api", Answer(refusal))
    check = _ask(stand_in, "bybit")
    assert (check.reachable, check.can_trade, check.approved) == (True, False, False)
    assert "API key is invalid" in check.message


@pytest.mark.parametrize(
    "answer",
    [
        HTML,
        WRONG_KEY,
        Answer({"msg": f"unknown key {KEY} with {SECRET}", "code": -1}, 400),
        Answer(f"https://api.binance.com/x?apiKey={KEY}&signature=0badc0ffee", 500, "text/plain"),
        Answer([], 200),
        Answer("null", 200),
        Answer('"text"', 200),
    ],
    ids=["html", "wrong key", "echo", "signed url", "list", "null", "text"],
)
@pytest.mark.parametrize("exchange", list(EXCHANGES))
def test_check_when_private_answers_are_wrong_then_no_exchange_approves_and_no_secret_is_said(
    stand_in: StandIn, exchange: str, answer: Answer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    credentials = Credentials(KEY, PEM if exchange == "coinbase" else SECRET, PASSPHRASE)
    now_ms = round(time.time() * 1000)
    stand_in.routes["/api/v3/time"] = _milliseconds
    stand_in.answer("/v5/market/time", Answer({"retCode": 0, "result": {}, "time": now_ms}))
    stand_in.answer("/0/public/Time", Answer({"error": [], "result": {"unixtime": now_ms // 1000}}))
    stand_in.answer("/api/v1/timestamp", Answer({"code": "200000", "data": now_ms}))
    stand_in.answer("/v2/time", Answer({"data": {"epoch": now_ms // 1000}}))
    known = dict(stand_in.routes)
    stand_in.routes = _EveryOther(known, answer)
    check = check_account(EXCHANGES[exchange], credentials, stand_in.url)
    assert not check.approved
    assert check.balances == () or check.can_withdraw is None
    assert _says_nothing_secret(check)
    assert "PRIVATE KEY" not in repr(check)
    assert KEY not in caplog.text
    assert "signature=" not in caplog.text


class _EveryOther(dict):  # type: ignore[type-arg]
    """Known paths as they are, every other one with the same answer."""

    def __init__(self, known: dict[str, Any], answer: Answer) -> None:
        super().__init__(known)
        self._answer = answer

    def get(self, path: str, _default: Any = None) -> Any:
        """Route of a path."""
        return super().get(path, lambda _query: self._answer)


@pytest.mark.parametrize(
    ("exchange", "credentials", "said"),
    [
        ("binance", Credentials("", SECRET), "API key is missing"),
        ("binance", Credentials(KEY, " "), "API secret is missing"),
        ("kucoin", Credentials(KEY, SECRET), "Passphrase is missing"),
    ],
)
def test_check_when_a_field_is_unusable_then_nothing_is_sent(
    stand_in: StandIn, exchange: str, credentials: Credentials, said: str
) -> None:
    with pytest.raises(BadInput, match=said):
        check_account(EXCHANGES[exchange], credentials, stand_in.url)
    assert stand_in.requests == []


def test_check_when_the_exchange_has_no_sandbox_then_it_says_so(stand_in: StandIn) -> None:
    with pytest.raises(BadInput, match="Kraken has no sandbox"):
        check_account(EXCHANGES["kraken"], CREDENTIALS, stand_in.url, sandbox=True)


def test_client_when_a_sandbox_is_at_another_address_then_what_a_sandbox_lacks_is_asked_there() -> None:
    moved = open_client(EXCHANGES["binance"], Door(CREDENTIALS, sandbox=True, rest_url="http://127.0.0.1:9/base"))
    own = open_client(EXCHANGES["binance"], Door(CREDENTIALS, sandbox=True))
    try:
        assert moved.urls["api"]["sapi"] == "http://127.0.0.1:9/base/sapi/v1"
        assert moved.urls["api"]["private"] == "http://127.0.0.1:9/base/api/v3"
        assert "sapi" not in own.urls["api"]
    finally:
        moved.close()
        own.close()


def test_asking_when_the_test_exchange_lacks_the_question_then_it_is_said_in_words() -> None:
    row = EXCHANGES["binance"]
    client = open_client(row, Door(CREDENTIALS, sandbox=True))
    try:
        said = "Binance's test exchange does not answer this"
        with pytest.raises(VenueUnreachable, match=said), asking(row, client, CREDENTIALS.secrets):
            client.sapiGetAccountApiRestrictions()
    finally:
        client.close()


@pytest.mark.parametrize(
    ("method", "answer", "rights"),
    [
        (
            "privatePostGetApiKeyInfo",
            {"result": {"permissions": ["query-funds", "modify-trades"], "ipAllowlist": []}},
            Rights(True, False, False),
        ),
        (
            "privatePostGetApiKeyInfo",
            {"result": {"permissions": ["query-funds", "withdraw-funds"], "ipAllowlist": ["203.0.113.7"]}},
            Rights(False, True, True),
        ),
        ("privatePostGetApiKeyInfo", {"result": {"permissions": []}}, Rights(None, None, None)),
        (
            "v3PrivateGetBrokerageKeyPermissions",
            {"can_view": True, "can_trade": True, "can_transfer": False},
            Rights(True, False, None),
        ),
        ("v3PrivateGetBrokerageKeyPermissions", {"can_trade": True, "can_transfer": True}, Rights(True, True, None)),
        ("v3PrivateGetBrokerageKeyPermissions", {}, Rights(None, None, None)),
        ("privateGetUserApiKey", {"data": {"permission": "General,Spot"}}, Rights(True, False, False)),
        ("privateGetUserApiKey", {"data": {"permission": "General,Transfer"}}, Rights(False, None, False)),
        ("privateGetUserApiKey", {"data": {"permission": "General,Withdrawal"}}, Rights(False, True, False)),
        ("privateGetUserApiKey", {"data": {}}, Rights(None, None, None)),
        ("sapiGetAccountApiRestrictions", {"enableWithdrawals": "no"}, Rights(None, None, None)),
    ],
)
def test_rights_when_read_then_unknown_stays_unknown(method: str, answer: dict[str, Any], rights: Rights) -> None:
    assert RIGHTS_READERS[method](answer) == rights


@pytest.mark.parametrize("amount", ["NaN", "Infinity", "much", None])
def test_balances_when_an_amount_is_no_number_then_it_is_a_failure_not_an_empty_wallet(amount: str | None) -> None:
    answer = {"info": {}, "total": {"BTC": amount}, "free": {"BTC": "1"}}
    with pytest.raises(VenueUnreachable, match="BTC"):
        read_balances("binance", "spot", answer)


@pytest.mark.parametrize("row", EXCHANGES.values(), ids=list(EXCHANGES))
def test_registry_when_iterated_then_every_row_fits_ccxt(row: Any) -> None:
    client = open_client(row, Door(CREDENTIALS))
    try:
        assert callable(getattr(client, row.rights_method))
        assert row.rights_method in RIGHTS_READERS
        assert client.requiredCredentials["password"] == row.needs_passphrase
        assert {field.name for field in row.key_fields} <= {"key", "secret", "passphrase"}
        sandbox = open_client(row, Door(sandbox=True)) if row.has_sandbox else None
        assert sandbox is None or sandbox.urls["api"] != client.urls["api"]
    finally:
        client.close()


def test_redacted_when_secrets_appear_in_any_form_then_they_are_hidden() -> None:
    secret = "a+b/c=d secret"
    text = (
        f"GET https://x.com/p?signature=1f {secret} a%2Bb%2Fc%3Dd%20secret a%2Bb%2Fc%3Dd+secret <html>{secret}</html>"
    )
    assert redacted(text, (secret,)) == "GET https://x.com/p?[hidden] [hidden] [hidden] [hidden] an HTML page"


def test_redacted_when_a_secret_has_lines_then_no_line_of_it_is_left() -> None:
    escaped = PEM.strip().replace("\n", "\\n")
    answer = redacted(f'{{"secret_was": "{escaped}"}} and {PEM.splitlines()[1]}', (PEM.strip(),))
    assert "MHcCAQEE" not in answer


def test_credentials_when_printed_then_they_show_nothing() -> None:
    assert repr(CREDENTIALS) == "Credentials()"
