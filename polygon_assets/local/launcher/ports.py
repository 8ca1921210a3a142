"""TCP ports of this machine: choosing a free one, and proving which process listens on it.

Add port look-ups here; which server uses which port belongs to `servers`.
"""

import re
import socket
import sys
from pathlib import Path

import psutil

from polygon_assets.errors import PolygonAssetsError

HOST = "127.0.0.1"
_ATTEMPTS = 100
_TCP_LISTEN = "0A"  # state in /proc/net/tcp


class NoFreePortError(PolygonAssetsError):
    """Every candidate port is taken; the message names the range."""


def free_port(preferred: int, reserved: set[int]) -> int:
    """`preferred` or the next port that is free and not in `reserved`; for 0, any free port."""
    for port in range(preferred, preferred + _ATTEMPTS) if preferred else [0] * _ATTEMPTS:
        with socket.socket() as probe:
            # Servers set this too, so the last run's connections in TIME_WAIT block no port.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            bound = int(probe.getsockname()[1])
            if bound not in reserved:
                return bound
    raise NoFreePortError(
        f"ports {preferred} to {preferred + _ATTEMPTS - 1} on {HOST} are all taken: "
        "stop a program that listens on one of them"
    )


def listens(pid: int, port: int) -> bool:
    """Whether process `pid` or one of its descendants listens on `port`.

    An answer on the port proves too little: a broker whose port another process took can stay alive
    without reporting an error.
    """
    if not sys.platform.startswith("linux"):
        with socket.socket() as probe:
            return probe.connect_ex((HOST, port)) == 0
    try:
        family = [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    except psutil.NoSuchProcess:
        return False
    return any(_listening_sockets(port) & _sockets_of(member) for member in family)


def _listening_sockets(port: int) -> set[str]:
    """Inodes of the sockets that listen on `port`, from /proc/net/tcp.

    Columns: number, local address:port in hexadecimal, remote address:port, state, ..., inode.
    """
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {
        row[9]
        for row in rows
        if row[3] == _TCP_LISTEN and int(row[1].rpartition(":")[2], 16) == port
    }


def _sockets_of(pid: int) -> set[str]:
    try:
        links = [str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()]
    except OSError:
        return set()  # the process or a descriptor is gone; the caller polls again
    return {match[1] for link in links if (match := re.fullmatch(r"socket:\[(\d+)\]", link))}
