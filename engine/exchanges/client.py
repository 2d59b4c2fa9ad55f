"""The one door to ccxt: opens a client, asks it a question, and turns whatever comes back wrong into our own errors."""

from __future__ import annotations

import importlib
import json
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, quote_plus

from engine.domain.errors import BadInput, VenueHeld, VenueRejected, VenueUnreachable
from engine.exchanges import ExchangeRow
from engine.exchanges.answer_words import in_words
from engine.exchanges.hosts import Hosts, Shut, told_pause_s
from engine.exchanges.places import refused_place

MIN_SECRET_LENGTH = 8
USUAL_PAUSE_S = 60.0
"""Seconds without a question where an exchange asks for fewer and does not say for how long."""
_MAX_ANSWER = 240
_HOST = re.compile(r"^https?://[^/]+")
_WEBSOCKET_HOST = re.compile(r"^wss?://[^/]+")
_QUERY = re.compile(r"(https?://[^\s?\"']+)\?[^\s\"']*")
_SIGNED = re.compile(r"(?i)\b(signature|sign|api[-_]?key|secret|passphrase|password)(\"?\s*[=:]\s*\"?)[^\s&\",}]+")
_REQUEST = re.compile(r"\b(GET|POST|PUT|DELETE) https?://\S+ ?")
_STATUS = "last_status"
"""Attribute of a client: the number of its last answer, None before it."""
_HTML = re.compile(r"(?is)<\s*(!doctype|html|head|body).*")


class KeyRefused(VenueRejected):
    """The exchange does not accept the key."""


class VenueThrottled(VenueUnreachable):
    """The exchange asks to be left alone for `retry_after_s` seconds; asking earlier makes it worse.

    ``is_ban`` tells a ban from a pause, ``is_told`` whether the exchange named the time itself.
    """

    def __init__(self, message: str, retry_after_s: float, *, is_ban: bool = False, is_told: bool = True) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.is_ban = is_ban
        self.is_told = is_told


class VenueResting(VenueThrottled, VenueHeld):
    """The time that an exchange asked to be left alone for is not over; nothing was sent."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """A key with its secret and, where the exchange wants one, its passphrase; never printed."""

    key: str = field(repr=False)
    secret: str = field(repr=False)
    passphrase: str = field(default="", repr=False)

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every text that must not appear anywhere."""
        return tuple(text.strip() for text in (self.key, self.secret, self.passphrase) if text.strip())


@dataclass(frozen=True, slots=True)
class Door:
    """How to reach an exchange: keys (None: public questions only), sandbox, patience, another host for tests, and
    what is known of bans and pauses (None: nothing is looked up or written down).
    """

    credentials: Credentials | None = None
    sandbox: bool = False
    timeout_s: float = 10.0
    rest_url: str | None = None
    hosts: Hosts | None = None


def open_client(row: ExchangeRow, door: Door) -> Any:
    """A synchronous ccxt client; nothing is sent yet. Numbers come back as text, so that no float ever carries money.

    Raises
    ------
    BadInput
        Where a sandbox is wished that the exchange does not have.
    """
    if door.sandbox and not row.has_sandbox:
        raise BadInput(f"{row.title} has no sandbox; connect without it")
    client = getattr(importlib.import_module("ccxt"), row.ccxt_id)(_options(door))
    client.number = str
    client.enableLastJsonResponse = True
    client.enableLastResponseHeaders = True
    client.logger = _silent_logger()
    _place(client, door)
    if door.hosts is not None:
        _heed(client, row, door.hosts)
    _note_status(client)
    return client


def _note_status(client: Any) -> None:
    """Keep the number of the last answer: ccxt leaves it out of the errors it makes of some bodies."""

    def told(code: int, _reason: str, _url: str, _method: str, _headers: Any, body: str, *_more: Any) -> str:
        setattr(client, _STATUS, code)
        return body.strip()

    client.on_rest_response = told


def shut_words(title: str, shut: Shut) -> str:
    """Why nothing is asked now."""
    what = "has shut this address out for another" if shut.is_ban else "asked for a pause of another"
    return f"{title} {what} {shut.left_s:.0f} s"


def _heed(client: Any, row: ExchangeRow, hosts: Hosts) -> None:
    """Let a client ask no host that wants to be left alone, and write down what it is told."""
    request = client.session.request

    def asked(method: str, url: str, *arguments: Any, **more: Any) -> Any:
        memory = hosts.at(row.name, url)
        shut = memory.shut()
        if shut is not None:
            raise VenueResting(shut_words(row.title, shut), shut.left_s, is_ban=shut.is_ban)
        answer = request(method, url, *arguments, **more)
        memory.hear(answer.status_code, answer.headers, answer.text if answer.status_code == 403 else "")
        return answer

    client.session.request = asked


def open_stream_client(ccxt_id: str, door: Door, websocket_url: str | None = None) -> Any:
    """A ccxt client for websockets, to be opened on the event loop that will use it; nothing is sent yet.

    Parameters
    ----------
    ccxt_id : str
        Class name in ccxt.
    door : Door
    websocket_url : str or None
        Another host for the websockets, for tests.

    Raises
    ------
    BadInput
        Where only one of both hosts is another one: keys of one place are not shown to another.
    """
    if (door.rest_url is None) is not (websocket_url is None):
        raise BadInput("rest_url and websocket_url belong together: give both, or none")
    client = getattr(importlib.import_module("ccxt.pro"), ccxt_id)(_options(door))
    client.number = str
    client.logger = _silent_logger()
    _place(client, door)
    if websocket_url is not None:
        client.urls["api"] = _moved(client.urls["api"], websocket_url.rstrip("/"), _WEBSOCKET_HOST)
        if hasattr(client, "is_spot_url"):  # Binance's: told by the name of its own host
            client.is_spot_url = lambda _socket: client.options["defaultType"] == "spot"
    return client


@contextmanager
def asking(row: ExchangeRow, client: Any, secrets: tuple[str, ...] = ()) -> Iterator[None]:
    """Translate what ccxt raises inside the block. Only for questions: never around an order.

    The original exception is dropped, not chained: it holds the signed URL.

    Raises
    ------
    KeyRefused
        The exchange does not accept the key.
    VenueThrottled
        It asks for fewer questions.
    VenueUnreachable
        No answer, or one that is no answer.
    """
    ccxt = importlib.import_module("ccxt")
    setattr(client, _STATUS, None)
    try:
        yield
    except ccxt.BaseError as error:
        raise _translated(ccxt, row, client, error, secrets) from None
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, ArithmeticError) as error:
        hint = ", or the key was not pasted whole" if secrets else ""
        raise VenueUnreachable(f"{row.title}'s answer cannot be read ({type(error).__name__}){hint}") from None


def redacted(text: str, secrets: tuple[str, ...] = ()) -> str:
    """One line of at most 240 characters without keys, signatures, URL queries, pages of HTML or JSON around words."""
    for form in sorted({form for secret in secrets for form in _forms(secret)}, key=len, reverse=True):
        text = text.replace(form, "[hidden]")
    text = in_words(text)
    text = _HTML.sub("an HTML page", text)
    text = _SIGNED.sub(r"\1\2[hidden]", _QUERY.sub(r"\1?[hidden]", text))
    text = " ".join(text.split())
    return text if len(text) <= _MAX_ANSWER else text[: _MAX_ANSWER - 1] + "…"


def _forms(secret: str) -> Iterator[str]:
    """The ways a secret may be written in an answer: as it is, in a URL, in JSON, and line by line."""
    yield from (secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1])
    yield from (line for line in secret.splitlines() if len(line) >= MIN_SECRET_LENGTH)


def _options(door: Door) -> dict[str, Any]:
    options: dict[str, Any] = {"enableRateLimit": True, "timeout": round(door.timeout_s * 1000)}
    keys = door.credentials
    if keys is not None:
        options |= {"apiKey": keys.key.strip(), "secret": keys.secret.strip(), "password": keys.passphrase.strip()}
    return options


def _place(client: Any, door: Door) -> None:
    """Let a client ask where a door leads.

    The test exchange may lack questions that the exchange itself answers. At another address they are asked all the
    same: whoever answers there knows whether he does.
    """
    whole = client.urls["api"]
    if door.sandbox:
        client.set_sandbox_mode(True)
    if door.rest_url is not None:
        if isinstance(whole, Mapping):
            client.urls["api"] = {**whole, **client.urls["api"]}
        _move(client, door.rest_url)


def _move(client: Any, host: str) -> None:
    """Let a client ask another host, and name what that answers as it does at the exchange's own.

    ccxt chooses Binance's table of errors by the host: at any other a refusal would have no name, and prove nothing.
    """
    theirs = client.urls["api"]
    client.urls["api"] = _moved(theirs, host.rstrip("/"))
    if not hasattr(client, "get_exceptions_by_url"):
        return
    table_of = client.get_exceptions_by_url
    pairs = sorted(zip(_addresses(client.urls["api"]), _addresses(theirs), strict=True), reverse=True)

    def at_home(url: str, kind: str) -> Any:
        found = next((home + url.removeprefix(here) for here, home in pairs if url.startswith(here)), url)
        return table_of(found, kind)

    client.get_exceptions_by_url = at_home


def _addresses(urls: Any) -> Iterator[str]:
    """Every address of a tree of them, in its order."""
    if isinstance(urls, Mapping):
        for each in urls.values():
            yield from _addresses(each)
    elif isinstance(urls, str):
        yield urls


def _moved(urls: Any, host: str, pattern: re.Pattern[str] = _HOST) -> Any:
    """The same addresses on another host, those of the pattern's scheme."""
    if isinstance(urls, Mapping):
        return {name: _moved(url, host, pattern) for name, url in urls.items()}
    return pattern.sub(host, urls) if isinstance(urls, str) else urls


def _silent_logger() -> logging.Logger:
    """A logger nobody listens to: at debug level ccxt writes headers with keys, and urllib3 signed addresses."""
    logging.getLogger("urllib3").setLevel(logging.WARNING)
    logger = logging.Logger("ccxt-silent", logging.CRITICAL + 1)
    logger.propagate = False
    return logger


def _translated(
    ccxt: Any, row: ExchangeRow, client: Any, error: Exception, secrets: tuple[str, ...]
) -> VenueUnreachable | KeyRefused:
    answer = redacted(_REQUEST.sub("", str(error).removeprefix(row.ccxt_id).strip()), secrets)
    place = refused_place(row.title, vars(client).get(_STATUS), str(error))
    if place:
        return VenueUnreachable(place)
    if isinstance(error, ccxt.NotSupported) and client.isSandboxModeEnabled:
        return VenueUnreachable(f"{row.title}'s test exchange does not answer this")
    if "-2015" in answer or isinstance(error, ccxt.AuthenticationError):
        return KeyRefused(f"{row.title} does not accept the key: {answer}")
    if isinstance(error, ccxt.DDoSProtection | ccxt.RateLimitExceeded):
        told_s = told_pause_s(client.last_response_headers or {})
        wait_s = USUAL_PAUSE_S if told_s is None else told_s
        words = f"{row.title} asks for fewer questions, next one in {wait_s:.0f} s: {answer}"
        return VenueThrottled(words, wait_s, is_told=told_s is not None)
    if isinstance(error, ccxt.RequestTimeout):
        return VenueUnreachable(f"{row.title} did not answer within {client.timeout / 1000:g} s")
    if isinstance(error, ccxt.ExchangeNotAvailable):
        return VenueUnreachable(f"{row.title} is not available: {answer}")
    if isinstance(error, ccxt.NetworkError) and "{" not in answer:
        return VenueUnreachable(f"{row.title} cannot be reached; check the network connection")
    return VenueUnreachable(f"{row.title} answered with an error: {answer}")
