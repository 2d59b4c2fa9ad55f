"""What an answer, or its absence, proves about an order: only the exchange's own words end one."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from engine.domain.errors import (
    OrderNotFound,
    VenueAmbiguous,
    VenueError,
    VenueRejected,
    VenueUnreachable,
)
from engine.exchanges import ExchangeRow
from engine.exchanges.client import USUAL_PAUSE_S, KeyRefused, VenueThrottled, redacted
from engine.exchanges.hosts import TOO_FREQUENT_S, UNTOLD_BAN_S, is_ban, told_pause_s
from engine.exchanges.places import refused_place

_NEVER_CONNECTED = ("NewConnectionError", "ConnectTimeoutError", "NameResolutionError", "ConnectTimeout")
_NO_SUCH_QUESTION = 404
_TIMED_OUT = 408
"""The exchange waited for itself in vain: it does not know what became of an order."""
_MAINTAINED = re.compile(
    r"(?i)\b(?:under|during|system|scheduled|server) maintenance\b(?! margin)|maintenance mode"
    r"|being (?:maintained|upgraded)|system (?:is )?upgrad"
)
_REQUEST = re.compile(r"\b(GET|POST|PUT|DELETE) https?://\S+ ?")
UNREADABLE = (ValueError, TypeError, KeyError, IndexError, AttributeError, ArithmeticError)
"""What ccxt's own parsers raise on an answer that is none."""


class ClockRefused(VenueUnreachable):
    """The venue took the request's time for wrong and refused it: nothing was accepted."""


class InMaintenance(VenueUnreachable):
    """The venue says that it is being maintained."""


class Wire:
    """What one ccxt client has put on the wire and got back since `reset`.

    It watches the client's session and its answers, so that the class of an error is judged by what happened and not
    by how the library names it.

    Parameters
    ----------
    client : ccxt client (synchronous)
    before : callable
        Gets every address before it is asked; what it raises stops the request, of which nothing is sent then.
    """

    def __init__(self, client: Any, before: Callable[[str], None] = lambda _url: None) -> None:
        self.client = client
        self._before = before
        self.url = ""
        self.asked = False
        self.wrote = False
        self.status: int | None = None
        self.is_json = False
        self.body = ""
        self.headers: dict[str, str] = {}
        self._request: Callable[..., Any] = client.session.request
        client.session.request = self._asked
        client.on_rest_response = self._answered

    def reset(self) -> None:
        """Before a call."""
        self.asked = False
        self.wrote, self.status, self.is_json, self.body, self.headers = False, None, False, "", {}

    def _asked(self, method: str, url: str, *arguments: Any, **more: Any) -> Any:
        self._before(url)
        self.asked, self.url = True, url
        if method != "GET":
            self.wrote, self.status, self.is_json, self.body = True, None, False, ""
        return self._request(method, url, *arguments, **more)

    def _answered(self, code: int, _reason: str, _url: str, _method: str, headers: Any, body: str, *_: Any) -> str:
        self.status, self.body = code, body
        self.is_json = _is_json(body) if self.wrote else body.lstrip()[:1] in ("{", "[")
        self.headers = {str(name).lower(): str(value) for name, value in headers.items()}
        return body.strip()


class Judge:
    """Turns what ccxt raises into our own errors, without keys, signatures or addresses.

    Parameters
    ----------
    row : ExchangeRow
    secrets : tuple of str
        Texts that must not appear.
    doubtful : tuple of str
        Error codes with which this exchange says that it does not know itself what became of the request.
    refusals : tuple of str
        Parts of an answer (without blanks) that are a refusal, where the library has no name for the error.
    """

    def __init__(
        self, row: ExchangeRow, secrets: tuple[str, ...], doubtful: tuple[str, ...], refusals: tuple[str, ...] = ()
    ) -> None:
        self._row = row
        self._refusals = refusals
        self._secrets = secrets
        self._doubtful = re.compile(rf"(?<![\w.-])({'|'.join(map(re.escape, doubtful))})(?!\w)") if doubtful else None
        self._ccxt = importlib.import_module("ccxt")

    @property
    def library_error(self) -> type[Exception]:
        """Root of everything the library raises on purpose."""
        error: type[Exception] = self._ccxt.BaseError
        return error

    def words(self, error: BaseException) -> str:
        """The exchange's answer on one line."""
        text = _REQUEST.sub("", str(error).removeprefix(self._row.ccxt_id).strip())
        return redacted(text, self._secrets) or type(error).__name__

    def of_question(self, error: Exception, wire: Wire) -> VenueError:
        """Of a question: nothing depends on it but the answer."""
        if isinstance(error, self._ccxt.OrderNotFound) and wire.is_json:
            return OrderNotFound(f"{self._row.title}: {self.words(error)}")
        known = self._known_refusal(error, wire)
        if known is not None:
            return known
        if isinstance(error, self._ccxt.RequestTimeout):
            return VenueUnreachable(f"{self._row.title} did not answer within {wire.client.timeout / 1000:g} s")
        if isinstance(error, self._ccxt.BaseError):
            if not wire.asked:
                return VenueUnreachable(f"{self._row.title} was not asked: {self.words(error)}")
            if wire.status is None:
                return VenueUnreachable(f"{self._row.title} cannot be reached")
            if wire.status >= 500:
                return VenueUnreachable(f"{self._row.title} is not available ({wire.status}): {self.words(error)}")
            asked = f" (asked for {urlsplit(wire.url).path})" if wire.status == _NO_SUCH_QUESTION else ""
            return VenueUnreachable(f"{self._row.title} answered with an error: {self.words(error)}{asked}")
        return VenueUnreachable(f"{self._row.title}'s answer cannot be read ({type(error).__name__})")

    def of_order(self, error: Exception, wire: Wire) -> VenueError:
        """Of a call that places, changes or cancels an order: without proof it is ambiguous."""
        if not wire.wrote:
            return self._before_sending(error)
        if _never_connected(error):
            return VenueUnreachable(f"{self._row.title} cannot be reached; nothing was sent")
        if self._has_answered(wire) and (known := self._known_refusal(error, wire)) is not None:
            return known
        if self._has_answered(wire) and isinstance(error, self._ccxt.OrderNotFound):
            return OrderNotFound(f"{self._row.title}: {self.words(error)}")
        if self._has_answered(wire) and (self._is_proof(error) or self._is_refusal(wire)):
            return VenueRejected(f"{self._row.title} refused: {self.words(error)}")
        return VenueAmbiguous(f"{self._row.title} gave no proof of what became of it: {self.words(error)}")

    def _has_answered(self, wire: Wire) -> bool:
        """Whether the exchange itself said what became of an order; a door that refuses by number has, too."""
        if wire.status is None or wire.status in (418, 429):
            return wire.status is not None
        return wire.is_json and wire.status < 500 and wire.status != _TIMED_OUT and not self._is_doubtful(wire)

    def _before_sending(self, error: Exception) -> VenueError:
        if isinstance(error, self._ccxt.OperationFailed) or _never_connected(error):
            return VenueUnreachable(f"{self._row.title} cannot be reached; nothing was sent")
        return VenueRejected(f"nothing was sent to {self._row.title}: {self.words(error)}")

    def _known_refusal(self, error: Exception, wire: Wire) -> VenueError | None:
        """What the exchange said about us rather than about the order; None where it is something else."""
        ccxt, title = self._ccxt, self._row.title
        if wire.status is None:
            lacks_key = isinstance(error, ccxt.AuthenticationError) and not wire.asked
            return KeyRefused(f"{title} was not asked, there is no key for it") if lacks_key else None
        place = refused_place(title, wire.status, wire.body)
        if place:
            return VenueUnreachable(place)
        if wire.status in (418, 429) or isinstance(error, ccxt.RateLimitExceeded):
            return self._throttled(wire)
        if '"code":-2015' in wire.body.replace(" ", "") or isinstance(error, ccxt.AuthenticationError):
            return KeyRefused(f"{title} does not accept the key: {self.words(error)}")
        if isinstance(error, ccxt.DDoSProtection):
            return self._throttled(wire)
        if isinstance(error, ccxt.InvalidNonce):
            return ClockRefused(f"{title} takes the time of the request for wrong: {self.words(error)}")
        if isinstance(error, ccxt.OnMaintenance) or says_maintenance(wire):
            return InMaintenance(f"{title} is being maintained: {self.words(error)}")
        return None

    def _throttled(self, wire: Wire) -> VenueThrottled:
        wait_s, is_told = retry_after_s(wire), told_pause_s(wire.headers) is not None
        words = f"{self._row.title} asks for fewer questions, next one in {wait_s:.0f} s"
        return VenueThrottled(words, wait_s, is_ban=is_ban(wire.status, wire.body), is_told=is_told)

    def _is_doubtful(self, wire: Wire) -> bool:
        """Whether the exchange does not know itself, or knows the id: then an order of that id is there."""
        if "duplicate" in wire.body.lower():
            return True
        return self._doubtful is not None and self._doubtful.search(wire.body) is not None

    def _is_refusal(self, wire: Wire) -> bool:
        body = wire.body.replace(" ", "")
        return any(words in body for words in self._refusals)

    def _is_proof(self, error: Exception) -> bool:
        """A kind of refusal that the library knows; an error it has no name for proves nothing."""
        ccxt = self._ccxt
        kinds = (
            ccxt.InvalidOrder, ccxt.InsufficientFunds, ccxt.BadRequest, ccxt.OperationRejected, ccxt.ArgumentsRequired,
            ccxt.NotSupported,
        )  # fmt: skip
        return isinstance(error, kinds)


def retry_after_s(wire: Wire) -> float:
    """Seconds from the exchange's own header; else a minute, and what a ban lasts at least after one."""
    told_s = told_pause_s(wire.headers)
    if told_s is not None:
        return told_s
    if is_ban(wire.status, wire.body):
        return TOO_FREQUENT_S if wire.status == 403 else UNTOLD_BAN_S
    return USUAL_PAUSE_S


def says_maintenance(wire: Wire) -> bool:
    """Whether an answer that is an error says, in its own words, that the exchange is being maintained."""
    return wire.status is not None and _MAINTAINED.search(wire.body) is not None


def _is_json(body: str) -> bool:
    try:
        return isinstance(json.loads(body), dict | list)
    except ValueError:
        return False


def _never_connected(error: BaseException) -> bool:
    """Whether the connection itself was never made, by the chain of causes that the HTTP library leaves."""
    seen: BaseException | None = error
    for _ in range(8):
        if seen is None:
            return False
        if type(seen).__name__ in _NEVER_CONNECTED:
            return True
        inner = next((a for a in (*seen.args, getattr(seen, "reason", None)) if isinstance(a, BaseException)), None)
        seen = seen.__cause__ or inner
    return False
