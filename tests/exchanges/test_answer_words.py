"""What an exchange answered is read by people: its sentence and its number, no JSON."""

from __future__ import annotations

import pytest

from engine.exchanges.answer_words import in_words
from engine.exchanges.client import redacted

ANSWERS = [
    ('{"retCode":10003,"retMsg":"API key is invalid.","result":{}}', "API key is invalid (code 10003)"),
    ('{"code":-2015,"msg":"Invalid API-key, IP, or permissions"}', "Invalid API-key, IP, or permissions (code -2015)"),
    ('{"code":"400100","msg":"Order size below the minimum"}', "Order size below the minimum (code 400100)"),
    ('{"error":["EOrder:Insufficient funds","EGeneral:Retry"]}', "EOrder:Insufficient funds, EGeneral:Retry"),
    ('{"error":"INVALID","error_details":"account is not available","message":""}', "account is not available"),
    ('{"errors":[{"id":"x","message":"invalid signature"}]}', "invalid signature"),
    ("bybit no JSON at all", "bybit no JSON at all"),
    ('{"cut": "off', '{"cut": "off'),
    ("{}", "{}"),
]


@pytest.mark.parametrize(("answer", "words"), ANSWERS, ids=[words for _, words in ANSWERS])
def test_answer_when_it_is_json_then_its_sentence_and_number(answer: str, words: str) -> None:
    assert in_words(answer) == words
    assert redacted(f"bybit {answer}") == f"bybit {words}"


def test_answer_when_it_holds_a_secret_then_hidden_all_the_same() -> None:
    answer = '{"msg":"key abcdefgh12345678 is bad","code":1}'
    assert redacted(answer, ("abcdefgh12345678",)) == "key [hidden] is bad (code 1)"
