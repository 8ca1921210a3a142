"""TCP ports of this machine: which one to use, and who listens on it.

No server is known here.
"""

import re
import socket
import sys
from pathlib import Path

import psutil

HOST = "127.0.0.1"
_TRIED = 100
_LISTENING = "0A"


class NoFreePortError(Exception):
    """None of the ports tried is free; the message names them."""


def free_port(preferred: int, reserved: set[int]) -> int:
    """`preferred`, or the next one that nobody listens on and that is not in `reserved`; any free one for 0."""
    for port in range(preferred, preferred + _TRIED) if preferred else [0] * _TRIED:
        with socket.socket() as probe:
            # As servers do: connections of the last run in TIME_WAIT do not count.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            found = int(probe.getsockname()[1])
            if found not in reserved:
                return found
    raise NoFreePortError(f"ports {preferred} to {preferred + _TRIED - 1} are all taken")


def listens(pid: int, port: int) -> bool:
    """Whether process `pid` or one of its descendants listens on `port`.

    That something answers there is not enough: a broker that finds its port taken by another one may stay alive without a word.
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
    """Inodes of the sockets that listen on `port`, from the kernel's table (address:port in hexadecimal, state, ..., inode)."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {
        row[9]
        for row in rows
        if row[3] == _LISTENING and int(row[1].rpartition(":")[2], 16) == port
    }


def _sockets_of(pid: int) -> set[str]:
    try:
        links = [str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()]
    except OSError:
        return set()  # gone, or a descriptor closed meanwhile: asked again soon
    return {found[1] for link in links if (found := re.fullmatch(r"socket:\[(\d+)\]", link))}
