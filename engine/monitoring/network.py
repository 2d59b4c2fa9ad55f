"""Which addresses alerts may be sent to: public ones, judged after the name was resolved."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from engine.domain.errors import QuarterdeckError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("64:ff9b:1::/48"))
_GLOBAL_V6 = ipaddress.IPv6Network("2000::/3")
_NOT_GLOBAL_V6 = tuple(ipaddress.IPv6Network(text) for text in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))


class NotDelivered(QuarterdeckError):
    """A channel did not accept a message; the text is its answer, without its address."""


def resolve(host: str, port: int) -> Sequence[str]:
    """Numeric addresses of a host, as the operating system finds them; raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def dial(address: str, port: int, timeout_s: float) -> socket.socket:
    """A TCP connection to a numeric address; raises OSError."""
    return socket.create_connection((address, port), timeout=timeout_s)


def is_public(address: Address) -> bool:
    """Whether anybody on the internet could be reached there.

    Addresses that carry an IPv4 one inside (mapped, NAT64) are judged by it; tunnels (6to4, Teredo) are refused.
    """
    if isinstance(address, ipaddress.IPv4Address):
        return address.is_global and not address.is_multicast and not address.is_reserved
    if address.ipv4_mapped is not None:
        return is_public(address.ipv4_mapped)
    if any(address in network for network in _NAT64):
        return is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return address in _GLOBAL_V6 and not any(address in network for network in _NOT_GLOBAL_V6)


@dataclass(frozen=True, slots=True)
class Network:
    """The way out.

    ``allow_loopback`` lets this computer itself be a target, and without TLS; private networks stay refused.
    """

    timeout_s: float = 10.0
    allow_loopback: bool = False
    resolve: Callable[[str, int], Sequence[str]] = resolve
    dial: Callable[[str, int, float], socket.socket] = dial

    def approved(self, host: str, port: int) -> str:
        """The numeric address to connect to: every address of the host must be allowed.

        Raises
        ------
        NotDelivered
            The name does not resolve, or to an address of this computer or a private network.
        """
        try:
            found = self.resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise NotDelivered("the host's name cannot be resolved; check it, and the network") from error
        if not found or not all(self._allows(text) for text in found):
            raise NotDelivered(
                "the host is on this computer or in a private network, which alerts are not sent to; use a public one"
            )
        return found[0]

    def _allows(self, text: str) -> bool:
        try:
            address = ipaddress.ip_address(text.split("%")[0])
        except ValueError:
            return False
        return is_public(address) or (self.allow_loopback and address.is_loopback)
