"""A program in a network of its own, which a test can cut: then no byte comes in or goes out.

Add what concerns such a network here; starting programs belongs to `harness`.
"""

import ctypes
import fcntl
import os
import select
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Collection

import psutil

LOOPBACK = "127.0.0.1"
PRELUDE = "from polygon_assets_tests.processes.own_network import enter; enter()"
"""For `Programs.start`, with `PORTS` in the environment."""
PORTS = "OWN_NETWORK_PORTS"
"""The ports of this machine that the program reaches, separated by commas."""
_NEW_NETWORK, _NEW_USER = 0x40000000, 0x10000000
_SET_FLAGS, _UP = 0x8914, 0x1
_DIE_WITH_PARENT = 1
_libc = ctypes.CDLL(None, use_errno=True)


def enter() -> None:
    """Move this process into a network of its own, with a child that relays bytes to the ports.

    Call it before any thread starts. Raises OSError where the kernel does not allow it.
    """
    outside = os.open("/proc/self/ns/net", os.O_RDONLY)
    _call("unshare", _NEW_NETWORK | (0 if os.geteuid() == 0 else _NEW_USER))
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("16sH14x", b"lo", _UP))
    # A socket stays in the network in which it was made, so the child can have some of each.
    listeners = [
        socket.create_server((LOOPBACK, int(port))) for port in os.environ[PORTS].split(",")
    ]
    parent = os.getpid()
    if os.fork() == 0:
        try:
            _call("prctl", _DIE_WITH_PARENT, signal.SIGKILL)
            _call("setns", outside, _NEW_NETWORK)
            if os.getppid() == parent:
                _relay(listeners)
        finally:
            os._exit(1)
    for listener in listeners:
        listener.close()
    os.close(outside)


def is_allowed() -> bool:
    """Whether the kernel lets this user make a network."""
    attempt = subprocess.run(
        [sys.executable, "-c", PRELUDE],
        env=os.environ | {PORTS: "0"},
        capture_output=True,
        check=False,
    )
    return attempt.returncode == 0


def cut(pid: int) -> None:
    """Cut the network of a program that entered its own."""
    _relay_of(pid).suspend()


def mend(pid: int) -> None:
    """Connect it again; what was sent meanwhile arrives now, as with a real network."""
    _relay_of(pid).resume()


def _relay_of(pid: int) -> psutil.Process:
    [relay] = psutil.Process(pid).children()
    return relay


def _relay(listeners: Collection[socket.socket]) -> None:
    """Forward whatever arrives, for ever."""
    peers: dict[socket.socket, socket.socket] = {}
    while True:
        ready, _, _ = select.select([*listeners, *peers], (), ())
        for source in ready:
            if source in listeners:
                inside, _ = source.accept()
                beyond = socket.create_connection(source.getsockname())
                peers |= {inside: beyond, beyond: inside}
            elif source in peers:
                target = peers[source]
                try:
                    content = source.recv(1 << 16)
                    target.sendall(content)
                except OSError:
                    content = b""
                if not content:
                    for end in (source, target):
                        del peers[end]
                        end.close()


def _call(name: str, *arguments: int) -> None:
    if getattr(_libc, name)(*arguments) != 0:
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")
