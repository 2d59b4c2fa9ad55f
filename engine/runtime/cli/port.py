"""Whether the console's port is free, asked before anything starts."""

from __future__ import annotations

import errno
import os
import socket

from engine.domain.errors import BadInput, EngineError

ADDRESS = "127.0.0.1"


class PortTaken(EngineError):
    """Another program listens on the console's port."""


def require_free_port(port: int) -> None:
    """Raise `PortTaken` or `BadInput` unless the console could listen on this port."""
    with socket.socket() as probe:
        if os.name == "posix":
            # As the server does: a port in its minute of rest after a stop is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ADDRESS, port))
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EPERM):
                raise BadInput(f"port {port} needs rights this user does not have; choose one above 1023") from error
            raise PortTaken(
                f"port {port} is taken by another program; choose another one: make run PORT={_other(port)}"
            ) from error


def _other(port: int) -> int:
    return port + 99 if port + 99 <= 65_535 else 8600
