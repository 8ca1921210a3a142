"""A program in a network of its own, which a test can cut: then nothing goes in or out.

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
from contextlib import suppress

import psutil

LOOPBACK = "127.0.0.1"
PRELUDE = "from polygon_assets_tests.processes.own_network import enter; enter()"
"""For `Programs.start`, with `PORTS` in the environment."""
PORTS = "OWN_NETWORK_PORTS"
"""The ports of this machine that the program reaches, separated by commas."""
_READ_A_BYTE = (
    f"{PRELUDE}; import os, socket;"
    f" assert socket.create_connection(('{LOOPBACK}', int(os.environ['{PORTS}']))).recv(1)"
)
_CUT, _MEND = signal.SIGUSR1, signal.SIGUSR2
_NEW_NETWORK, _NEW_USER = 0x40000000, 0x10000000
_SET_FLAGS, _UP = 0x8914, 0x1
_DIE_WITH_PARENT = 1
_libc = ctypes.CDLL(None, use_errno=True)


def enter() -> None:
    """Move this process into a network of its own, and start a child that relays to the ports.

    Call it before any thread starts. Raises OSError where the kernel does not allow it.
    """
    ours, childs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    parent = os.getpid()
    if os.fork() == 0:
        ours.close()
        try:
            _call("prctl", _DIE_WITH_PARENT, signal.SIGKILL)
            if os.getppid() == parent:
                _relay(childs)
        finally:
            os._exit(1)
    childs.close()
    _call("unshare", _NEW_NETWORK | (0 if os.geteuid() == 0 else _NEW_USER))
    # A socket stays in the network in which it was made: the child gets these, connects outside.
    switch = socket.socket()
    _set_up(switch, is_up=True)
    listeners = [
        socket.create_server((LOOPBACK, int(port))) for port in os.environ[PORTS].split(",")
    ]
    descriptors = [one.fileno() for one in (switch, *listeners)]
    socket.send_fds(ours, [b"."], descriptors)
    for one in (switch, *listeners, ours):
        one.close()


def is_allowed() -> bool:
    """Whether the kernel lets this user make a network, and a byte gets into it."""
    with socket.create_server((LOOPBACK, 0)) as server:
        server.settimeout(10)
        port = server.getsockname()[1]
        with subprocess.Popen(
            [sys.executable, "-c", _READ_A_BYTE],
            env=os.environ | {PORTS: str(port)},
            stderr=subprocess.DEVNULL,
        ) as attempt:
            with suppress(TimeoutError, subprocess.TimeoutExpired):
                connection, _ = server.accept()
                connection.sendall(b".")
                connection.close()
                attempt.wait(10)
            attempt.kill()
        return attempt.returncode == 0


def cut(pid: int) -> None:
    """Switch off the network of a program that entered its own."""
    _relay_of(pid).send_signal(_CUT)


def mend(pid: int) -> None:
    """Switch it on again; what was sent meanwhile arrives late, as TCP repeats it."""
    _relay_of(pid).send_signal(_MEND)


def _relay_of(pid: int) -> psutil.Process:
    [relay] = psutil.Process(pid).children()
    return relay


def _relay(parent: socket.socket) -> None:
    """Forward whatever arrives at the parent's listeners, until the parent ends."""
    _, descriptors, _, _ = socket.recv_fds(parent, 1, 100)
    switch, *listeners = (socket.socket(fileno=one) for one in descriptors)
    signal.signal(_CUT, lambda *_: _set_up(switch, is_up=False))
    signal.signal(_MEND, lambda *_: _set_up(switch, is_up=True))
    peers: dict[socket.socket, socket.socket] = {}
    while True:
        ready, _, _ = select.select([*listeners, *peers], (), ())
        for source in ready:
            if source in listeners:
                _accept(source, peers)
            elif source in peers:
                _forward(source, peers)


def _accept(listener: socket.socket, peers: dict[socket.socket, socket.socket]) -> None:
    inside, _ = listener.accept()
    try:
        outside = socket.create_connection(listener.getsockname())
    except OSError:
        inside.close()
    else:
        peers |= {inside: outside, outside: inside}


def _forward(source: socket.socket, peers: dict[socket.socket, socket.socket]) -> None:
    target, content = peers[source], b""
    with suppress(OSError):
        content = source.recv(1 << 16)
        target.sendall(content)
    if not content:
        for end in (source, target):
            del peers[end]
            end.close()


def _set_up(any_socket: socket.socket, *, is_up: bool) -> None:
    """Switch the loopback device of the socket's network on or off."""
    flags = _UP if is_up else 0
    fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("16sH14x", b"lo", flags))


def _call(name: str, *arguments: int) -> None:
    if getattr(_libc, name)(*arguments) != 0:
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")
