"""A webhook goes to a public address over TLS, never where it is led, and never for longer than its time."""

from __future__ import annotations

import ipaddress
import json
import logging
import socket
import ssl
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alert_fakes import Receiver, notice, raw_server
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from shared_data import shared_path

from engine.domain.errors import BadInput
from engine.monitoring import webhook
from engine.monitoring.channels import CHANNELS, check_address
from engine.monitoring.network import Network, NotDelivered, is_public
from engine.monitoring.webhook import Target, Webhook

STRICT = Network(timeout_s=2)
LOCAL = Network(timeout_s=2, allow_loopback=True)


def to(address: str, network: Network) -> Webhook:
    return Webhook(Target.parse(address), network)


def resolving(*answers: Sequence[str]) -> Network:
    """A network whose names resolve to one answer after the other, and whose connections are remembered."""
    left = list(answers)
    return Network(timeout_s=2, resolve=lambda _host, _port: left.pop(0) if len(left) > 1 else left[0])


def attacks() -> list[dict[str, str]]:
    rows = json.loads(shared_path("cases/security/attacks.json").read_text())
    return [row for row in rows if row["area"] == "ssrf"]


def test_ssrf_cases_when_listed_then_each_has_a_test_here() -> None:
    here = Path(__file__).read_text()
    missing = [row["id"] for row in attacks() if f"test_{row['id'].lower().replace('-', '_')}" not in here]
    assert not missing


@pytest.mark.parametrize("address", ["http://169.254.169.254/latest/meta-data/", "http://[fd00:ec2::254]/"])
@pytest.mark.parametrize("secure", [False, True])
def test_srf_01_metadata_address_when_named_then_refused(address: str, secure: bool) -> None:
    address = address.replace("http://", "https://") if secure else address
    with pytest.raises(BadInput):
        check_address(CHANNELS["webhook"], address, STRICT)
    with pytest.raises(NotDelivered, match="private network"):
        to(address, LOCAL).deliver(notice())


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:8501", "localhost", "[::1]", "0.0.0.0", "2130706433", "0177.0.0.1", "127.1", "0x7f.1",
        "[::ffff:127.0.0.1]", "[::]", "10.0.0.7", "172.16.3.4", "192.168.1.1", "100.64.0.1", "[fe80::1]", "[fc00::1]",
        "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[2001:0:1::1]", "224.0.0.1", "255.255.255.255",
    ],
)  # fmt: skip
def test_srf_02_private_and_loopback_when_spelled_in_any_way_then_refused(host: str) -> None:
    with pytest.raises(NotDelivered, match=r"private network|cannot be resolved"):
        to(f"https://{host}/", STRICT).deliver(notice())
    with pytest.raises(BadInput):
        check_address(CHANNELS["webhook"], f"https://{host}/", STRICT)


@pytest.mark.parametrize("found", [["127.0.0.1"], ["93.184.216.34", "10.0.0.1"], ["::1"], [], ["what"]])
def test_srf_02_name_when_any_address_of_it_is_private_then_refused(found: list[str]) -> None:
    with pytest.raises(NotDelivered, match="private network"):
        to("https://localhost.evil.nip.io/", resolving(found)).deliver(notice())


@pytest.mark.parametrize(
    ("address", "public"),
    [("93.184.216.34", True), ("2606:4700::1111", True), ("64:ff9b::5db8:d822", True), ("::ffff:1.1.1.1", True),
     ("2001:db8::1", False), ("3fff::1", False), ("240.0.0.1", False), ("198.18.0.1", False)],
)  # fmt: skip
def test_is_public_when_asked_then_only_the_open_internet_is(address: str, public: bool) -> None:
    assert is_public(ipaddress.ip_address(address)) is public


def test_srf_04_dns_rebinding_when_the_name_changes_after_the_check_then_the_checked_address_is_dialled() -> None:
    dialled: list[str] = []

    def dial(address: str, port: int, timeout_s: float) -> socket.socket:
        dialled.append(address)
        raise ConnectionRefusedError(f"{address}:{port} after {timeout_s}")

    answers = [["93.184.216.34"], ["127.0.0.1"]]
    network = Network(timeout_s=2, resolve=lambda _host, _port: answers.pop(0), dial=dial)
    with pytest.raises(NotDelivered, match="could not be reached"):
        to("https://rebinding.example/", network).deliver(notice())
    assert dialled == ["93.184.216.34"]
    assert answers == [["127.0.0.1"]]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_srf_05_redirect_when_answered_then_not_followed(web: Receiver, status: int) -> None:
    web.status, web.location = status, f"http://127.0.0.1:{web.port}/inside"
    with pytest.raises(NotDelivered, match=f"answered {status}; redirects are not followed"):
        to(web.address, LOCAL).deliver(notice())
    assert web.paths == ["/hook/s3cret-t0ken"]


@pytest.mark.parametrize(
    "address",
    [
        "https://hooks.slack.com@evil.example/", "https://user:word@evil.example/", "https://evil.example\\@slack.com/",
        "https://slack.com/a\r\nHost: evil.example", "https://slack.com/a b", "https://hooks.sl\u0430ck.com/",
        "https://", "https:///path", "ftp://host/", "file:///etc/passwd", "gopher://host/", "host/path", "",
        "https://host:99999/", "https://[::1/", "https://host/<script>",
    ],
)  # fmt: skip
def test_srf_07_confusing_address_when_given_then_refused_without_repeating_it(address: str) -> None:
    with pytest.raises(BadInput) as caught:
        check_address(CHANNELS["webhook"], address, LOCAL)
    assert len(address) < 9 or address not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("https://evil.example#hooks.slack.com", "evil.example"),
        ("https://hooks.slack.com.evil.io/", "hooks.slack.com.evil.io"),
    ],
)
def test_srf_07_confusing_address_when_parsed_then_its_real_host_is_the_one_checked(address: str, host: str) -> None:
    asked: list[str] = []

    def resolve(name: str, _port: int) -> list[str]:
        asked.append(name)
        return ["127.0.0.1"]

    with pytest.raises(NotDelivered, match="private network"):
        to(address, Network(resolve=resolve)).deliver(notice())
    assert asked == [host]


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nX-Drip: ", b"HT"])
def test_srf_08_slow_answer_when_it_never_ends_then_given_up_in_time(answer: bytes) -> None:
    with raw_server(answer, hold=True) as port:
        before = time.monotonic()
        with pytest.raises(NotDelivered, match=r"did not answer within 0\.3 s"):
            to(f"http://127.0.0.1:{port}/", Network(timeout_s=0.3, allow_loopback=True)).deliver(notice())
        assert time.monotonic() - before < 2


def test_srf_08_endless_body_when_announced_then_it_is_not_read() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n" + b"x" * 4096
    with raw_server(head, hold=True) as port:
        before = time.monotonic()
        assert to(f"http://127.0.0.1:{port}/", LOCAL).deliver(notice()) == "127.0.0.1 answered 200 OK"
        assert time.monotonic() - before < 1


@pytest.mark.parametrize("answer", [b"SSH-2.0-OpenSSH\r\n", b"\x00\xff" * 20, b"HTTP/1.1 abc\r\n\r\n"])
def test_deliver_when_the_answer_is_not_http_then_not_delivered(answer: bytes) -> None:
    with raw_server(answer, hold=False) as port, pytest.raises(NotDelivered, match="could not be reached"):
        to(f"http://127.0.0.1:{port}/", LOCAL).deliver(notice())


def test_deliver_when_nobody_listens_then_not_delivered() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(NotDelivered, match="could not be reached: ConnectionRefusedError"):
        to(f"http://127.0.0.1:{port}/", LOCAL).deliver(notice())


def test_deliver_when_plain_http_then_only_to_this_computer_and_only_if_allowed() -> None:
    with pytest.raises(NotDelivered, match="https://"):
        to("http://public.example/", resolving(["93.184.216.34"])).deliver(notice())
    with pytest.raises(NotDelivered, match="private network"):
        to("http://127.0.0.1/", STRICT).deliver(notice())


def test_deliver_when_accepted_then_posted_as_json_with_every_field(web: Receiver) -> None:
    assert to(web.address + "?a=b", LOCAL).deliver(notice()) == "127.0.0.1 answered 204 No Content"
    assert web.paths == ["/hook/s3cret-t0ken?a=b"]
    assert web.posted == [
        {
            "text": "CRITICAL: Emergency brake\ndrawdown 10.4 % past 10 %",
            "key": "demo:brake",
            "severity": "critical",
            "title": "Emergency brake",
            "detail": "drawdown 10.4 % past 10 %",
            "book": "demo",
            "at": "2025-01-01T00:00:00.000000Z",
        }
    ]


def test_deliver_when_anything_is_logged_then_never_the_address(
    web: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    to(web.address, LOCAL).deliver(notice())
    assert "s3cret" not in caplog.text
    assert "s3cret" not in repr(Target.parse(web.address))


@pytest.fixture
def authority(tmp_path: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Server and client context of a certificate for ``localhost`` made for this test."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    (tmp_path / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain) + pem
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "key.pem")
    client = ssl.create_default_context(cadata=pem.decode())
    return server, client


@pytest.mark.parametrize(("host", "works"), [("localhost", True), ("127.0.0.1", False)])
def test_deliver_when_tls_then_the_certificate_must_name_the_host(
    authority: tuple[ssl.SSLContext, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch, host: str, works: bool
) -> None:
    server, client = authority
    monkeypatch.setattr(webhook, "_tls", lambda: client)
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        line, _ = listening.accept()
        try:
            with server.wrap_socket(line, server_side=True) as wire:
                wire.recv(65536)
                wire.sendall(b"HTTP/1.1 200 Fine\r\n\r\n")
        except OSError:
            line.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    network = Network(2, allow_loopback=True, resolve=lambda _host, _port: ["127.0.0.1"])
    target = f"https://{host}:{listening.getsockname()[1]}/"
    if works:
        assert to(target, network).deliver(notice()) == "localhost answered 200 Fine"
    else:
        with pytest.raises(NotDelivered, match="SSLCertVerificationError"):
            to(target, network).deliver(notice())
    thread.join(timeout=5)
    listening.close()
