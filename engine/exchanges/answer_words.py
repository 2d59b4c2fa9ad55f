"""An exchange's answer as its own sentence and number, without the JSON it came in."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

_SENTENCES = ("retMsg", "msg", "message", "error_message", "error_description", "error_details", "error", "errors")
_CODES = ("retCode", "code", "error_code")
_DECODER = json.JSONDecoder()


def in_words(text: str) -> str:
    """The same text with every JSON object in it that holds a sentence given as that sentence; else as it was.

    >>> in_words('bybit {"retCode":10003,"retMsg":"API key is invalid.","result":{}}')
    'bybit API key is invalid (code 10003)'
    >>> in_words('{"error":["EAPI:Invalid key"]}'), in_words('{"result":1}'), in_words("{ not JSON")
    ('EAPI:Invalid key', '{"result":1}', '{ not JSON')
    """
    return "".join(_parts(text))


def _parts(text: str) -> Iterator[str]:
    while (start := text.find("{")) >= 0:
        try:
            found, end = _DECODER.raw_decode(text, start)
        except ValueError:
            found, end = None, start + 1
        yield text[:start]
        yield _said(found) or text[start:end]
        text = text[end:]
    yield text


def _said(answer: Any) -> str:
    """The sentence of an answer with its number; "" where it holds none."""
    if not isinstance(answer, Mapping):
        return ""
    sentence = next((words for name in _SENTENCES if (words := _sentence(answer.get(name)))), "")
    code = next((answer[name] for name in _CODES if isinstance(answer.get(name), int | str)), None)
    if not sentence or code in (None, "", sentence):
        return sentence
    return f"{sentence} (code {code})"


def _sentence(found: Any) -> str:
    if isinstance(found, str):
        return found.strip().rstrip(".")
    if isinstance(found, list):
        return ", ".join(words for each in found if (words := _sentence(each)))
    return _said(found)
