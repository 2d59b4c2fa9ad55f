"""Secrets that show themselves nowhere, and logs without them."""

from __future__ import annotations

import copy
import logging
import pickle
import re
import traceback
from pathlib import Path

import pytest

from engine.domain.errors import BadInput
from engine.security import vault
from engine.security.redact import MASK, RedactionFilter, Redactor
from engine.security.secret import Secret


def test_cry_15_secret_shows_itself_nowhere() -> None:
    secret = Secret("hunter2-very-secret")
    shown = [
        repr(secret),
        str(secret),
        f"{secret}",
        f"{secret!r:>30}",
        repr([secret]),
        repr({"k": secret}),
    ]
    assert not any("hunter2" in piece for piece in shown)
    for leak in (pickle.dumps, copy.copy, copy.deepcopy, vars, hash):
        with pytest.raises(TypeError):
            leak(secret)
    try:
        raise BadInput(f"bad {secret}")
    except BadInput as error:
        lines = traceback.TracebackException.from_exception(error, capture_locals=True).format()
        assert "hunter2" not in "".join(lines)
    assert secret == Secret(b"hunter2-very-secret")
    assert secret != "hunter2-very-secret"
    assert secret
    assert not Secret(b"")


LEAKS = [
    "binance GET https://api.binance.com/api/v3/order?symbol=BTCUSDT&timestamp=1&signature=TOPSECRET&recvWindow=5",
    "https://x.example/?apiKey=TOPSECRET&a=1",
    "headers={'X-MBX-APIKEY': 'TOPSECRET', 'Content-Type': 'json'}",
    '{"apiKey": "TOPSECRET", "secret":"TOPSECRET", "price": "1.0"}',
    "X-BAPI-SIGN: TOPSECRET, X-BAPI-API-KEY: TOPSECRET",
    "API-Sign: TOPSECRET== KC-API-PASSPHRASE: TOPSECRET CB-ACCESS-SIGN: TOPSECRET",
    "Authorization: Bearer TOPSECRET1234",
    "token eyJhbGciOiJIUzI1NiJ9.TOPSECRET.abc",
    "Cookie: qd=TOPSECRET; other=1",
    "postgresql://user:TOPSECRET@db/quarterdeck",
    "https://hooks.slack.com/services/T0/B0/TOPSECRET",
    "https://api.telegram.org/bot123:TOPSECRET/sendMessage",
    "password=TOPSECRET user=eve",
    "-----BEGIN EC PRIVATE KEY-----\nTOPSECRET\n-----END EC PRIVATE KEY-----",
    "-----BEGIN PRIVATE KEY-----\nTOPSECRET",
]


@pytest.mark.parametrize("line", LEAKS)
def test_log_01_what_libraries_print_is_redacted(line: str) -> None:
    cleaned = Redactor().clean(line)
    assert "TOPSECRET" not in cleaned
    assert MASK in cleaned


@pytest.mark.parametrize(
    "line", ["signal=buy design=3 tokens=5 token_count=3", "digest 0f3a9c77 of 12 fills", "assigned: 4, signed off"]
)
def test_log_01_ordinary_lines_stay(line: str) -> None:
    assert Redactor().clean(line) == line


def test_log_02_known_value_is_redacted_wherever_it_stands() -> None:
    redactor = Redactor()
    redactor.remember(Secret("zebra-lantern-77"))
    redactor.remember(Secret("short"))
    assert redactor.clean("answer was <zebra-lantern-77>, short") == f"answer was <{MASK}>, short"


def test_log_03_filter_cleans_message_arguments_and_traceback(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("test.redaction")
    caplog.handler.addFilter(RedactionFilter(Redactor()))
    try:
        raise BadInput("GET https://x.example/?signature=TOPSECRET")
    except BadInput:
        logger.exception("failed with %s and %d", "api_key=TOPSECRET", 3)
    assert "TOPSECRET" not in caplog.text
    assert "Traceback" in caplog.text
    assert "and 3" in caplog.text


def test_log_04_structured_event_is_cleaned_by_name_and_by_text() -> None:
    event = {"event": "order", "secret": 7, "url": "x?signature=TOPSECRET", "n": 3, "nested": {"token": "TOPSECRET"}}
    event["listed"] = ["password=TOPSECRET", None, Secret("TOPSECRET")]
    cleaned = Redactor()(None, "info", event)
    assert "TOPSECRET" not in repr(cleaned)
    assert cleaned["n"] == 3


def test_cry_16_secrets_are_never_compared_with_equals_and_drawn_only_from_the_system() -> None:
    folder = Path(vault.__file__).parent
    for path in [*folder.glob("*.py"), *(folder.parent / "api").glob("*.py")]:
        code = path.read_text(encoding="utf-8")
        assert "import random" not in code, path.name
        assert not re.search(r"(password|token|secret|code|signature)\s*==", code), path.name
