"""The ways people are told: one row a kind; Apprise carries all but webhooks, whose target anybody could name."""

from __future__ import annotations

import ipaddress
import logging
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol
from urllib.parse import parse_qsl, unquote, urlsplit

from engine.domain.codec import utc_text
from engine.domain.errors import BadInput
from engine.domain.facts import Notice, Severity
from engine.monitoring.network import Network, NotDelivered
from engine.monitoring.webhook import Target, Webhook

_MASK = "***"
_LONGEST_ANSWER = 300


class Channel(Protocol):
    """One address of one kind."""

    def check(self) -> None:
        """Raise `BadInput` or `NotDelivered` where the address cannot work; sends nothing."""

    def deliver(self, notice: Notice) -> str:
        """Send; what the channel answered. Raises `NotDelivered` with its answer."""


@dataclass(frozen=True, slots=True)
class ChannelKind:
    """A row of `CHANNELS`.

    ``schemes`` are those an address may begin with, ``options`` the parameters it may carry: others could switch off
    checks or make the library read files. ``host`` shows where it goes without showing the address.
    """

    title: str
    hint: str
    schemes: tuple[str, ...]
    options: frozenset[str]
    host: Callable[[str], str]
    make: Callable[[str, Network], Channel]


@dataclass(frozen=True, slots=True)
class ThroughApprise:
    """Delivers through the library."""

    address: str
    network: Network

    def __repr__(self) -> str:
        return "ThroughApprise(***)"

    def check(self) -> None:
        """The library must know the address, and a mail server must be public and encrypted."""
        self._plugin()

    def deliver(self, notice: Notice) -> str:
        """Send; raises `NotDelivered`."""
        library = _apprise()
        carrier = library.Apprise(asset=_asset(self.network.timeout_s))
        carrier.add(self._plugin())
        kinds = {
            Severity.INFO: library.NotifyType.INFO,
            Severity.WARNING: library.NotifyType.WARNING,
            Severity.CRITICAL: library.NotifyType.FAILURE,
        }
        result = carrier.notify(
            title=f"{notice.severity.value.upper()}: {notice.title}",
            body=_body(notice),
            notify_type=kinds[notice.severity],
            body_format=library.NotifyFormat.TEXT,
            interpret_escapes=False,
            timeout=self.network.timeout_s * 2,
            log_level=logging.WARNING,
        )
        if not result:
            said = " ".join(entry.message for entry in result.logs())
            raise NotDelivered(scrub(said, self.address) or "the service did not accept it and gave no reason")
        return "accepted"

    def _plugin(self) -> Any:
        plugin = _apprise().Apprise.instantiate(self.address, asset=_asset(self.network.timeout_s))
        if plugin is None:
            raise BadInput("the address is not complete for this kind of channel; compare it with the example")
        plugin.verify_certificate = True
        plugin.redirects = False
        plugin.socket_connect_timeout = plugin.socket_read_timeout = self.network.timeout_s
        if hasattr(plugin, "smtp_host"):
            self._check_mail(plugin)
        return plugin

    def _check_mail(self, plugin: Any) -> None:
        address = self.network.approved(plugin.smtp_host, plugin.port)
        if plugin.secure_mode == "insecure" and not ipaddress.ip_address(address).is_loopback:
            raise BadInput("mail without encryption would show its password; use mailtos:// without mode=insecure")


def scrub(text: str, address: str) -> str:
    """An answer without any part of the address it was sent to, on one line and of bounded length.

    >>> scrub("could not reach https://x.example/T0ken12345", "https://x.example/T0ken12345")
    'could not reach https://***/***'
    """
    rest = address.partition("://")[2]
    both = f"{rest} {unquote(rest)}"
    words = {*re.split(r"[/?&=,#;\s]+", both), *re.split(r"[/:?&=@,#;\s]+", both)}
    pieces = {word for word in words if len(word) > 3}
    for piece in sorted(pieces, key=len, reverse=True):
        text = re.sub(re.escape(piece), _MASK, text, flags=re.IGNORECASE)
    return " ".join("".join(mark if mark.isprintable() else " " for mark in text).split())[:_LONGEST_ANSWER]


def check_address(kind: ChannelKind, address: str, network: Network) -> None:
    """Refuse an address that does not fit its kind.

    Raises
    ------
    BadInput
        Says what is wrong, never repeating the address.
    """
    scheme = address.partition("://")[0].lower()
    allowed = kind.schemes + (("mailto", "http", "json") if network.allow_loopback else ())
    if "://" not in address or scheme not in allowed:
        raise BadInput(f"an address of {kind.title} begins with {' or '.join(f'{name}://' for name in kind.schemes)}")
    if kind.options:
        for name, _ in parse_qsl(urlsplit(address).query, keep_blank_values=True):
            if name.lower() not in kind.options:
                known = ", ".join(sorted(kind.options))
                raise BadInput(f"the option {name[:20]!r} is not accepted in an address; accepted are {known}")
    try:
        kind.make(address, network).check()
    except NotDelivered as error:
        raise BadInput(str(error)) from error


@cache
def _apprise() -> Any:
    """The library, loaded on first use: it takes 0.15 s and 27 MB, and most starts send nothing.

    Its own log, and urllib3's, would hold addresses: nothing of them goes further than the answer we clean.
    """
    # Its mail carrier imports modules that Python 3.11 and 3.12 call deprecated.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import apprise

        apprise.Apprise.instantiate("mailtos://nobody@example.org")
    log = logging.getLogger("apprise")
    log.propagate = False
    log.setLevel(logging.WARNING)
    log.addHandler(logging.NullHandler())
    logging.getLogger("urllib3").setLevel(logging.WARNING)
    return apprise


@cache
def _asset(timeout_s: float) -> Any:
    return _apprise().AppriseAsset(
        app_id="Quarterdeck",
        app_desc="Quarterdeck alerts",
        app_url="",
        image_url_mask=None,
        image_url_logo=None,
        async_mode=False,
        secure_logging=True,
        http_redirects=False,
        pgp_autogen=False,
        allow_templates=False,
        service_timeout=timeout_s * 2,
    )


def _body(notice: Notice) -> str:
    place = f"Book {notice.book}, " if notice.book else ""
    return f"{notice.detail}\n\n{place}{utc_text(notice.at)[:19].replace('T', ' ')} UTC"


def _webhook(address: str, network: Network) -> Channel:
    return Webhook(Target.parse(address), network)


def _url_host(address: str) -> str:
    return urlsplit(address).hostname or ""


def _fixed(host: str) -> Callable[[str], str]:
    return lambda _address: host


def _scheme(address: str) -> str:
    return address.partition("://")[0].lower()


_SMS = ("twilio", "vonage", "nexmo", "msgbird", "clicksend", "bulksms", "plivo", "sinch", "seven", "d7sms", "sns")

CHANNELS: Mapping[str, ChannelKind] = {
    "email": ChannelKind(
        "E-mail",
        "mailtos://user:password@mail.example.org?to=you@example.org",
        ("mailtos",),
        frozenset({"to", "from", "cc", "bcc", "reply", "smtp", "mode", "user", "pass"}),
        _url_host,
        ThroughApprise,
    ),
    "slack": ChannelKind(
        "Slack",
        "slack://TokenA/TokenB/TokenC",
        ("slack",),
        frozenset({"to", "footer"}),
        _fixed("slack.com"),
        ThroughApprise,
    ),
    "sms": ChannelKind(
        "SMS",
        "twilio://AccountSid:AuthToken@FromNumber/ToNumber; also " + ", ".join(f"{name}://" for name in _SMS[1:]),
        _SMS,
        frozenset({"to", "from", "source", "region"}),
        _scheme,
        ThroughApprise,
    ),
    "telegram": ChannelKind(
        "Telegram",
        "tgram://BotToken/ChatId",
        ("tgram",),
        frozenset({"to", "silent", "topic", "thread"}),
        _fixed("api.telegram.org"),
        ThroughApprise,
    ),
    "webhook": ChannelKind(
        "Webhook",
        "https://host/path",
        ("https", "jsons"),
        frozenset(),
        _url_host,
        _webhook,
    ),
}
"""Kinds of channels; a new one is one row."""
