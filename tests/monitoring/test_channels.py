"""Kinds of channels: what addresses they take, and that mail arrives through the library."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from email import message_from_bytes, policy

import pytest
from aiosmtpd.controller import Controller
from alert_fakes import Desk, notice

from engine.domain.errors import BadInput
from engine.domain.facts import Severity
from engine.monitoring.channels import CHANNELS, ThroughApprise, check_address, scrub
from engine.monitoring.network import Network, NotDelivered

LOCAL = Network(timeout_s=3, allow_loopback=True)
PUBLIC = Network(timeout_s=3, resolve=lambda _host, _port: ["93.184.216.34"])


class Mailbox:
    """Takes mail in; ``refusal`` is what it answers instead."""

    def __init__(self) -> None:
        self.mails: list[bytes] = []
        self.refusal = ""

    async def handle_DATA(self, _server: object, _session: object, envelope: object) -> str:  # noqa: N802 - their name
        if self.refusal:
            return self.refusal
        self.mails.append(envelope.content)  # type: ignore[attr-defined]
        return "250 OK"


class AnyPort(Controller):
    """Listens where the system has a free port."""

    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        super()._trigger_server()


@pytest.fixture
def mail() -> Iterator[tuple[Mailbox, str]]:
    """A mailbox on this computer and the address of a channel to it."""
    box = Mailbox()
    server = AnyPort(box, hostname="127.0.0.1", port=0)
    server.start()
    yield box, f"mailto://127.0.0.1:{server.port}?to=ada@example.org&from=desk@example.org"
    server.stop(no_assert=True)


def test_email_when_delivered_then_it_arrives_with_title_and_text(desk: Desk, mail: tuple[Mailbox, str]) -> None:
    box, address = mail
    channel = desk.centre.add_channel("e-mail", "Mail", address, "warning")
    assert desk.centre.test_channel(channel) == "accepted"
    desk.centre.raise_notice(notice(title="<b>Brake</b> {{config}} :smile:"))
    assert desk.centre.deliver_due() == 1
    sent = message_from_bytes(box.mails[1], policy=policy.default)
    assert sent["Subject"] == "CRITICAL: <b>Brake</b> {{config}} :smile:"
    assert sent["To"] == "ada@example.org"
    text = sent.get_body(("plain", "html")).get_content()
    assert "drawdown 10.4 % past 10 %" in text
    assert "Book demo, 2025-01-01 00:00:00 UTC" in text


class Kept(logging.Handler):
    """What reaches the program's own log, the test's mail server apart."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.name != "mail.log":
            self.lines.append(record.getMessage())


@pytest.fixture
def log() -> Iterator[Kept]:
    """The log at its loudest."""
    kept, root = Kept(), logging.getLogger()
    level = root.level
    root.addHandler(kept)
    root.setLevel(logging.DEBUG)
    yield kept
    root.setLevel(level)
    root.removeHandler(kept)


def test_email_when_the_server_refuses_then_its_answer_is_told_without_the_address(
    desk: Desk, mail: tuple[Mailbox, str], log: Kept, capfd: pytest.CaptureFixture[str]
) -> None:
    box, address = mail
    box.refusal = "554 no mail from strangers"
    channel = desk.centre.add_channel("email", "Mail", address, "warning")
    with pytest.raises(NotDelivered) as caught:
        desk.centre.test_channel(channel)
    assert str(caught.value) == 'Sending email to "***" failed.'
    for text in (*log.lines, *capfd.readouterr()):
        assert "ada@example.org" not in text
        assert address not in text


@pytest.mark.parametrize(
    ("kind", "address"),
    [
        ("email", "mailtos://user:word@mail.example.org?to=ada@example.org"),
        ("slack", "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"),
        ("telegram", "tgram://123456789:abcdefg_hijklmnop/12315544"),
        ("sms", "twilio://AC735c307c62944b5a5a5a5a5a5a5a5a5a:e29dfbcebf390dee9e29dfbcebf390de@18005551223/18005552323"),
        ("webhook", "https://hooks.example.org/services/a/b"),
        ("webhook", "jsons://hooks.example.org/services/a/b"),
    ],
)
def test_address_when_complete_then_accepted_and_its_hint_keeps_the_secret(kind: str, address: str) -> None:
    row = CHANNELS[kind]
    check_address(row, address, PUBLIC)
    host = row.host(address)
    assert host
    assert not {"word", "TIiajkdnlazkcOXrIdevi7FQ", "abcdefg_hijklmnop", "AC735c307c62944b5a5a5a5a5a5a5a5a5a"} & {host}
    assert address not in repr(row.make(address, PUBLIC))


@pytest.mark.parametrize(
    ("kind", "address", "why"),
    [
        ("email", "mailto://user:word@mail.example.org", "begins with mailtos://"),
        ("email", "mailtos://user:word@mail.example.org?mode=insecure", "without encryption"),
        ("email", "mailtos://user:word@mail.example.org?pgpkey=/etc/passwd", "'pgpkey'"),
        ("email", "mailtos://user:word@mail.example.org?verify=no", "'verify'"),
        ("email", "mailtos://nobody", "not complete"),
        ("slack", "https://hooks.slack.com/services/T/B/C", "begins with slack://"),
        ("slack", "slack://short", "not complete"),
        ("telegram", "tgram://nonsense", "not complete"),
        ("telegram", "tgram://123456789:abcdefg_hijklmnop/1?redirect=yes", "'redirect'"),
        ("sms", "json://127.0.0.1/", "begins with twilio://"),
        ("sms", "", "begins with"),
        ("webhook", "http://hooks.example.org/", "begins with https://"),
        ("webhook", "file:///etc/passwd", "begins with https://"),
    ],
)
def test_address_when_it_does_not_fit_then_refused_without_repeating_it(kind: str, address: str, why: str) -> None:
    with pytest.raises(BadInput, match=why) as caught:
        check_address(CHANNELS[kind], address, PUBLIC)
    assert not address or address not in str(caught.value)


@pytest.mark.parametrize("where", ["mail.internal", "mail.example.org?smtp=mail.internal"])
def test_email_when_its_server_is_private_then_refused(where: str) -> None:
    places = {"mail.internal": ["10.0.0.5"], "mail.example.org": ["93.184.216.34"]}
    network = Network(resolve=lambda host, _port: places[host])
    with pytest.raises(BadInput, match="private network"):
        check_address(CHANNELS["email"], f"mailtos://user:word@{where}", network)


def test_library_when_it_cannot_deliver_then_not_delivered_with_a_reason() -> None:
    channel = ThroughApprise("mailto://127.0.0.1:9?to=ada@example.org&from=desk@example.org", LOCAL)
    with pytest.raises(NotDelivered) as caught:
        channel.deliver(notice(severity=Severity.INFO))
    assert "ada@example.org" not in str(caught.value)


def test_scrub_when_an_answer_repeats_the_address_then_every_part_is_masked() -> None:
    address = "tgram://123456:S3cr%2Fet-T0ken/7788991?topic=4455667"
    said = "POST https://api.telegram.org/bot123456:S3cr/et-T0ken/send chat 7788991\r\ntopic 4455667 \x1b[31mfailed"
    cleaned = scrub(said, address)
    assert not [part for part in ("123456", "T0ken", "7788991", "4455667", "\n", "\x1b") if part in cleaned]
    assert cleaned.endswith("failed")
    assert len(scrub("x" * 5000, address)) == 300


def test_registry_when_read_then_every_kind_has_title_hint_and_schemes() -> None:
    assert set(CHANNELS) == {"email", "slack", "sms", "telegram", "webhook"}
    for row in CHANNELS.values():
        assert row.title
        assert row.hint.partition("://")[0] in row.schemes
