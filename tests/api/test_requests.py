"""What is believed of a request."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from engine.api.requests import FORWARDED, caller
from engine.security.door_config import DoorConfig

PROXIED = DoorConfig(trusted_proxies=("10.0.0.2", "10.0.0.3"))


def scope(peer: str, *claims: str) -> dict[str, object]:
    headers = [(b"x-forwarded-for", claim.encode()) for claim in claims]
    return {"type": "http", "client": (peer, 40000), "headers": headers}


@pytest.mark.parametrize(
    ("door", "peer", "claims", "address"),
    [
        (DoorConfig(), "203.0.113.9", (), "203.0.113.9"),
        (DoorConfig(), "1.2.3.4", ("1.2.3.4",), FORWARDED),
        (DoorConfig(), "127.0.0.1", ("1.2.3.4, 5.6.7.8",), FORWARDED),
        (PROXIED, "10.0.0.2", ("1.2.3.4, 5.6.7.8",), "5.6.7.8"),
        (PROXIED, "10.0.0.2", ("5.6.7.8, 10.0.0.3",), "5.6.7.8"),
        (PROXIED, "10.0.0.2", ("1.2.3.4", "9.9.9.9"), "9.9.9.9"),
        (PROXIED, "10.0.0.2", (" , ",), "10.0.0.2"),
        (PROXIED, "203.0.113.9", ("1.2.3.4",), "203.0.113.9"),
    ],
)
def test_lgn_08_address_is_believed_only_from_a_configured_proxy(
    door: DoorConfig, peer: str, claims: tuple[str, ...], address: str
) -> None:
    assert caller(scope(peer, *claims), door).address == address


@pytest.mark.parametrize(
    "values",
    [
        {"allowed_hosts": ["trade.example"]},
        {"allowed_hosts": ["*"], "tls": True},
        {"allowed_hosts": ["https://trade.example"], "tls": True},
        {"allowed_hosts": ["a b"], "tls": True},
        {"trusted_proxies": ["proxy"]},
        {"unknown": 1},
    ],
)
def test_door_config_when_unsafe_then_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        DoorConfig.model_validate(values)
