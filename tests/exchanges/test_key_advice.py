"""What to do about a refused key, for the words of each exchange."""

from __future__ import annotations

import pytest

from engine.exchanges import EXCHANGES
from engine.exchanges.key_advice import advice

SAID = [
    ("bybit", '{"retCode":10003,"retMsg":"API key is invalid."}', "pasted whole"),
    ("bybit", '{"retCode":10004,"retMsg":"Error sign, please check your signature"}', "secret does not belong"),
    ("bybit", '{"retCode":10010,"retMsg":"Unmatched IP"}', "address of this computer at the exchange"),
    ("bybit", '{"retCode":33004,"retMsg":"Your api key has expired."}', "make a new one"),
    ("bybit", '{"retCode":10005,"retMsg":"Permission denied"}', "right to read and to trade"),
    ("binance", '{"code":-2015,"msg":"Invalid API-key, IP, or permissions for action."}', "address of this computer"),
    ("binance", '{"code":-2014,"msg":"API-key format invalid."}', "pasted whole"),
    ("binance", '{"code":-1022,"msg":"Signature for this request is not valid."}', "secret does not belong"),
    ("kucoin", '{"code":"400004","msg":"Invalid KC-API-PASSPHRASE"}', "passphrase"),
    ("kucoin", '{"code":"400003","msg":"KC-API-KEY not exists"}', "still exists"),
    ("kucoin", '{"code":"400005","msg":"Invalid KC-API-SIGN"}', "secret does not belong"),
    ("kraken", "EAPI:Invalid key", "still exists"),
    ("kraken", "EAPI:Invalid signature", "secret does not belong"),
    ("kraken", "EGeneral:Permission denied", "right to read and to trade"),
    ("coinbase", "401 Unauthorized", "still exists"),
    ("kraken", "Kraken accepts the key, but it can withdraw: refused for trading.", "Take the right to withdraw"),
    ("coinbase", "something nobody has heard of", "View and Trade"),
]


@pytest.mark.parametrize(("exchange", "words", "way_out"), SAID, ids=[f"{row[0]}: {row[2]}" for row in SAID])
def test_advice_when_a_key_is_refused_then_says_the_way_out(exchange: str, words: str, way_out: str) -> None:
    assert way_out in advice(EXCHANGES[exchange], words, sandbox=False)


@pytest.mark.parametrize(("sandbox", "place"), [(True, "The sandbox was asked"), (False, "exchange itself was asked")])
def test_advice_when_the_exchange_has_a_sandbox_then_names_the_one_that_was_asked(sandbox: bool, place: str) -> None:
    assert place in advice(EXCHANGES["bybit"], "API key is invalid.", sandbox)
    assert place not in advice(EXCHANGES["kraken"], "EAPI:Invalid key", sandbox)
