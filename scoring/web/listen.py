"""The socket that a server listens on."""

from __future__ import annotations

import socket


def bind(host: str, port: int, *, shared: bool) -> socket.socket:
    """Return a socket that is bound and does not listen yet.

    Parameters
    ----------
    shared
        Whether other processes may bind to the same port, each with a queue of its own.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind((host, port))
        bound.setblocking(False)  # noqa: FBT003 - the socket module's own signature
    except OSError as error:
        bound.close()
        raise OSError(f"cannot listen on {host} port {port}: {error}") from error
    return bound


def url_of(bound: socket.socket) -> str:
    """Return the address that a bound socket is reached at."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
