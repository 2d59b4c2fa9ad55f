"""Posts a notice as JSON to a web address: TLS, no redirects, no proxies, and only to the address that was checked."""

from __future__ import annotations

import http.client
import ipaddress
import json
import socket
import ssl
import threading
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from urllib.parse import urlsplit

from engine.domain.codec import utc_text
from engine.domain.errors import BadInput
from engine.domain.facts import Notice
from engine.monitoring.network import Network, NotDelivered

_NEVER_IN_URLS = frozenset(' \\"<>^`{|}')
_SECURE = {"https": True, "jsons": True, "http": False, "json": False}


@dataclass(frozen=True, slots=True)
class Target:
    """Where to post; ``path`` holds the query and often a secret, so it is never shown."""

    secure: bool
    host: str
    port: int
    path: str

    def __repr__(self) -> str:
        return f"Target({self.host!r}, {self.port})"

    @classmethod
    def parse(cls, address: str) -> Target:
        """Read ``https://host/path`` (or Apprise's ``jsons://``); raises `BadInput` without the address."""
        if not address.isascii() or not address.isprintable() or not _NEVER_IN_URLS.isdisjoint(address):
            raise BadInput("the address has characters that do not belong there; write host names in ASCII (xn--)")
        try:
            parts = urlsplit(address)
            port, host = parts.port, parts.hostname
        except ValueError as error:
            raise BadInput("the address cannot be read; it looks like https://host/path") from error
        secure = _SECURE.get(parts.scheme.lower())
        if secure is None or not host:
            raise BadInput("the address of a webhook begins with https:// and a host")
        if "@" in parts.netloc:
            raise BadInput("a user name or '@' before the host hides which host is meant; put the token into the path")
        query = f"?{parts.query}" if parts.query else ""
        return cls(secure, host, port or (443 if secure else 80), (parts.path or "/") + query)


class Webhook:
    """One web address.

    The connection goes to the very address that was judged, so a name that resolves differently a moment later gains
    nothing. The answer's body is not read, and a timer ends the connection after the timeout, however slowly the other
    side drips.
    """

    def __init__(self, target: Target, network: Network) -> None:
        self._target = target
        self._network = network

    def check(self) -> None:
        """Raise `NotDelivered` where the target may not be reached; sends nothing."""
        self._address()

    def deliver(self, notice: Notice) -> str:
        """Post it; the host's answer. Raises `NotDelivered`."""
        target, address = self._target, self._address()
        try:
            status, reason = self._post(address, json.dumps(_payload(notice)).encode())
        except TimeoutError as error:
            raise NotDelivered(f"{target.host} did not answer within {self._network.timeout_s:g} s") from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise NotDelivered(f"{target.host} could not be reached: {type(error).__name__}") from error
        if 300 <= status < 400:
            raise NotDelivered(f"{target.host} answered {status}; redirects are not followed, use the final address")
        if not 200 <= status < 300:
            raise NotDelivered(f"{target.host} answered {status} {reason}".rstrip())
        return f"{target.host} answered {status} {reason}".rstrip()

    def _address(self) -> str:
        """The numeric address that was judged and will be connected to."""
        address = self._network.approved(self._target.host, self._target.port)
        if not self._target.secure and not ipaddress.ip_address(address).is_loopback:
            raise NotDelivered("a webhook must begin with https://")
        return address

    def _post(self, address: str, body: bytes) -> tuple[int, str]:
        target, limit_s = self._target, self._network.timeout_s
        wire = self._network.dial(address, target.port, limit_s)
        ended = threading.Event()
        try:
            if target.secure:
                wire = _tls().wrap_socket(wire, server_hostname=target.host, do_handshake_on_connect=False)
            timer = threading.Timer(limit_s, _end, (wire, ended))
            timer.daemon = True
            timer.start()
            try:
                answer = _exchange(wire, target, body)
            finally:
                timer.cancel()
            # A line that was cut inside the headers reads like one that ended there.
            if ended.is_set():
                raise TimeoutError
            return answer
        except (OSError, http.client.HTTPException) as error:
            if ended.is_set():
                raise TimeoutError from error
            raise
        finally:
            wire.close()


def _exchange(wire: socket.socket, target: Target, body: bytes) -> tuple[int, str]:
    if isinstance(wire, ssl.SSLSocket):
        wire.do_handshake()
    maker = http.client.HTTPSConnection if target.secure else http.client.HTTPConnection
    connection = maker(target.host, target.port)
    connection.sock = wire
    headers = {"Content-Type": "application/json", "User-Agent": "quarterdeck", "Connection": "close"}
    connection.request("POST", target.path, body, headers)
    response = connection.getresponse()
    reason = "".join(mark for mark in response.reason if mark.isascii() and mark.isprintable())
    response.close()
    return response.status, reason[:60]


def _end(wire: socket.socket, ended: threading.Event) -> None:
    """Past the TLS layer, whose state belongs to the thread that waits on it."""
    ended.set()
    with suppress(OSError):
        socket.socket.shutdown(wire, socket.SHUT_RDWR)


@cache
def _tls() -> ssl.SSLContext:
    """The system's authorities; read once, because that takes longer than the message."""
    return ssl.create_default_context()


def _payload(notice: Notice) -> dict[str, str]:
    """``text`` is what Slack-like services show; the other fields are for machines."""
    return {
        "text": f"{notice.severity.value.upper()}: {notice.title}\n{notice.detail}",
        "key": notice.key,
        "severity": notice.severity.value,
        "title": notice.title,
        "detail": notice.detail,
        "book": notice.book,
        "at": utc_text(notice.at),
    }
