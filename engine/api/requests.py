"""Reads what a request says about itself, believing only what cannot be forged: names, origin, address, cookies."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import Scope

from engine.domain.people import Caller
from engine.security.door_config import DoorConfig

FORWARDED = "forwarded"
"""Address of a caller that claims to be forwarded while no proxy is configured: all of them share one."""


def session_cookie(door: DoorConfig) -> str:
    """Name of the session cookie; the ``__Host-`` prefix exists only under TLS."""
    return "__Host-qd" if door.tls else "qd"


def form_cookie(door: DoorConfig) -> str:
    """Name of the cookie that ties a form to the browser before there is a session."""
    return "__Host-qd-form" if door.tls else "qd-form"


def host_is_known(headers: Headers, door: DoorConfig) -> bool:
    """Whether exactly one Host header names this console: a foreign name means DNS rebinding."""
    hosts = headers.getlist("host")
    if len(hosts) != 1:
        return False
    try:
        parts = urlsplit(f"//{hosts[0]}")
        _ = parts.port
    except ValueError:
        return False
    plain = not (parts.username or parts.password or parts.path or parts.query or parts.fragment)
    return plain and (parts.hostname or "").rstrip(".") in door.host_names


def origin_is_own(headers: Headers, door: DoorConfig) -> bool:
    """Whether the page that sent this is our own.

    Browsers name the origin with every POST and every websocket. A caller without one is no browser, has no cookie
    that it was not given, and is judged by session and form key alone; a browser's own word about the site counts too.
    """
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    origins = headers.getlist("origin")
    if not origins:
        return True
    expected = f"{'https' if door.tls else 'http'}://{headers['host']}"
    return len(origins) == 1 and origins[0].lower() == expected.lower()


def caller(scope: Scope, door: DoorConfig) -> Caller:
    """Address and browser of a request.

    The web server underneath replaces the address by ``X-Forwarded-For`` for any local caller, so without a configured
    proxy everything that carries this header counts as one and the same address: changing it gains nothing.
    """
    headers = Headers(scope=scope)
    client = scope.get("client")
    address = str(client[0]) if client else "unknown"
    claims = headers.getlist("x-forwarded-for")
    if claims and not door.trusted_proxies:
        address = FORWARDED
    elif claims and address in door.trusted_proxies:
        address = _last_untrusted(",".join(claims), door.trusted_proxies) or address
    return Caller(address[:64], _printable(headers.get("user-agent", "unknown"))[:200])


def cookies(headers: Headers) -> dict[str, str]:
    """Cookies by name; a name that occurs twice is left out, because one of them was planted."""
    found: dict[str, str] = {}
    twice: set[str] = set()
    for part in "; ".join(headers.getlist("cookie")).split(";"):
        name, _, value = part.strip().partition("=")
        if name in found:
            twice.add(name)
        found[name] = value
    return {name: value for name, value in found.items() if name and name not in twice}


def cookie_header(name: str, value: str, door: DoorConfig, max_age_s: int | None = None) -> tuple[bytes, bytes]:
    """A ``Set-Cookie`` header: HttpOnly, SameSite=Strict, whole site, Secure under TLS; age 0 deletes."""
    parts = [f"{name}={value}", "HttpOnly", "Path=/", "SameSite=Strict"]
    if door.tls:
        parts.append("Secure")
    if max_age_s is not None:
        parts.append(f"Max-Age={max_age_s}")
    return b"set-cookie", "; ".join(parts).encode("ascii")


def without_cookies(raw: Iterable[tuple[bytes, bytes]], names: set[str]) -> list[tuple[bytes, bytes]]:
    """Headers with the named cookies taken out, for code that has no business with them."""
    kept: list[tuple[bytes, bytes]] = []
    for header, value in raw:
        if header.lower() != b"cookie":
            kept.append((header, value))
            continue
        parts = [part.strip() for part in value.decode("latin-1").split(";")]
        rest = [part for part in parts if part.partition("=")[0] not in names]
        if rest:
            kept.append((header, "; ".join(rest).encode("latin-1")))
    return kept


def _last_untrusted(claims: str, trusted: tuple[str, ...]) -> str | None:
    hops = [hop.strip() for hop in claims.split(",") if hop.strip()]
    return next((_printable(hop) for hop in reversed(hops) if hop not in trusted), None)


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)
