"""TCP ports of this machine: choosing a free one, and proving who listens and who answers there.

Add port look-ups here; which server uses which port belongs to `servers`.
"""

import random
import socket
from collections.abc import Sequence
from http.client import HTTPConnection, HTTPException

import psutil

from polygon_assets.errors import PolygonAssetsError
from polygon_assets.local.loopback import LOOPBACK

HOST = LOOPBACK
HEALTH_SECONDS = 2.0
_ATTEMPTS = 100
_RANGE = range(10_000, 32_768)
"""Linux gives higher ports to clients, so that a server that restarts could find its own taken."""
_draw = random.SystemRandom()
"""Independent of a test's seed: two processes with one seed would try the same ports."""


class NoFreePortError(PolygonAssetsError):
    """Every candidate port is taken; the message names the range."""


def free_port(preferred: int, reserved: set[int]) -> int:
    """`preferred` or the next port that is free and not in `reserved`; for 0, any free port."""
    if preferred:
        candidates: Sequence[int] = range(preferred, preferred + _ATTEMPTS)
    else:
        candidates = _draw.sample(_RANGE, _ATTEMPTS)
    for port in candidates:
        if port not in reserved and is_free(port):
            return port
    raise NoFreePortError(
        f"ports {min(candidates)} to {max(candidates)} on {HOST} are all taken: "
        "stop a program that listens on one of them"
    )


def is_free(port: int) -> bool:
    """Whether a server can listen on the port."""
    with socket.socket() as probe:
        # Servers set this too, so the last run's connections in TIME_WAIT block no port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def listens(pid: int, port: int) -> bool:
    """Whether process `pid` or one of its descendants listens on `port`.

    An answer on the port proves too little: a broker whose port another process took can stay alive
    without reporting an error.
    """
    try:
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return False
    return any(port in _listening_ports(process) for process in family)


def _listening_ports(process: psutil.Process) -> set[int]:
    try:
        connections = process.net_connections(kind="tcp")
    except psutil.Error:
        return set()  # the process has ended; the caller polls again
    return {
        connection.laddr.port
        for connection in connections
        if connection.status == psutil.CONN_LISTEN
    }


def answers(port: int, path: str) -> bool:
    """Whether GET gives 200. Not with urllib, which would use a proxy from the environment."""
    connection = HTTPConnection(HOST, port, timeout=HEALTH_SECONDS)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
