"""Settings of the network door: which names, proxies and sizes are accepted."""

from __future__ import annotations

import ipaddress
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


class DoorConfig(BaseModel):
    """Who may knock, and with how much."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    allowed_hosts: tuple[str, ...] = Field(
        (), description="Host names beside localhost under which the console is reached, without port"
    )
    tls: bool = Field(False, description="The console is reached over https, by its own certificate or a proxy's")
    trusted_proxies: tuple[str, ...] = Field(
        (), description="Addresses of reverse proxies whose X-Forwarded-For is believed; nobody else's is"
    )
    upload_megabytes: int = Field(200, ge=1, le=2048, description="Largest file that may be uploaded")

    @field_validator("allowed_hosts")
    @classmethod
    def _plain_names(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        for host in hosts:
            if not host or (any(c in host for c in "/:@*? ") and not _is_address(host)):
                raise ValueError(f"{host!r} is not a host name; write it without scheme, port and wildcard")
        return tuple(host.lower().rstrip(".") for host in hosts)

    @field_validator("trusted_proxies")
    @classmethod
    def _addresses(cls, proxies: tuple[str, ...]) -> tuple[str, ...]:
        for proxy in proxies:
            if not _is_address(proxy):
                raise ValueError(f"{proxy!r} is not an IP address; name each proxy by its address")
        return proxies

    @model_validator(mode="after")
    def _no_cookie_in_the_clear(self) -> Self:
        if not self.tls and not set(self.allowed_hosts) <= LOOPBACK_NAMES:
            raise ValueError("allowed_hosts beside localhost needs tls = true: cookies must not travel in the clear")
        return self

    @property
    def host_names(self) -> frozenset[str]:
        """Every accepted host name, lower case."""
        return LOOPBACK_NAMES | frozenset(self.allowed_hosts)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
