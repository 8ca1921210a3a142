"""The faults: what each one does to the running system.

Add a fault here, to `catalogue`; when it strikes belongs to `plan`, when its damage is repaired to
`recovery`. A fault that is over leaves nothing behind but its damage.
"""

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

import psutil

from polygon_assets.messages import PROGRAMS
from polygon_assets_tests.chaos.plan import Kind
from polygon_assets_tests.chaos.system import DAGSTER_PARTS, SERVERS, System

Strike = Callable[[System, random.Random], str]
"""Inflicts a fault, returns when it is over, and says in a few words what was done."""
LONGEST_STOP = 20.0
"""Seconds: heartbeats are missed after 15; `dev` restarts a server that hangs for 60."""
LONGEST_SLOWNESS = 15.0
RUNS_SECONDS, PAUSES_SECONDS = 0.02, 0.18
"""A slow process runs for the first, then waits for the second, again and again."""
FULL_SECONDS = 10.0
STEP_SECONDS = 5.0


@dataclass(frozen=True)
class Fault:
    """A fault and how it is inflicted."""

    kind: Kind
    strike: Strike
    role: str = ""
    """The process that is struck, if it is one."""


def catalogue(*, disk: bool, clock: bool) -> list[Fault]:
    """Every fault that this machine allows.

    `disk`: the system's folder is a small file system; `clock`: the machine's clock may be set.
    """
    return [
        *_of_programs(),
        *_of_servers(),
        *_of_dagster(),
        *_of_the_exchange(),
        *([Fault(Kind("disk full"), _fill_disk)] if disk else []),
        *([Fault(Kind("clock set forward and back"), _step_clock)] if clock else []),
    ]


def _of_programs() -> Iterator[Fault]:
    for program in PROGRAMS:
        yield from _of_process(program)
        yield Fault(Kind(f"SIGTERM {program}"), _kill(program, signal.SIGTERM), program)
        yield from _of_process(f"run of {program}")


def _of_servers() -> Iterator[Fault]:
    for server in SERVERS:
        yield from _of_process(server, server)
        yield from _of_connections(server, server)


def _of_process(role: str, server: str = "") -> Iterator[Fault]:
    """`server` is the server of the stack that may die with it."""
    yield Fault(Kind(f"kill -9 {role}", server), _kill(role), role)
    yield Fault(Kind(f"SIGSTOP {role}"), _stop(role), role)
    yield Fault(Kind(f"{role} slow"), _slow(role), role)


def _of_connections(name: str, server: str) -> Iterator[Fault]:
    if can_cut_connections():
        yield Fault(Kind(f"connections of {name} cut"), _cut(server))
        yield Fault(Kind(f"one connection of {name} cut"), _cut_one(server))


def _of_dagster() -> Iterator[Fault]:
    # The death of any of the three may end `dagster dev`, which the stack then restarts.
    for part in DAGSTER_PARTS:
        yield from _of_process(part, "dagster")
    yield from _of_connections("webserver", "dagster")
    yield Fault(Kind("SIGSTOP dev"), _stop("dev"), "dev")
    yield Fault(Kind("dev slow"), _slow("dev"), "dev")
    yield Fault(Kind("kill -9 dev, started again", alone=True), _restart_dev(signal.SIGKILL))
    yield Fault(Kind("Ctrl-C of dev, started again", alone=True), _restart_dev(signal.SIGINT))


def _of_the_exchange() -> Iterator[Fault]:
    actions: dict[str, tuple[str, dict[str, object]]] = {
        "connection dropped": ("drop", {}),
        "connection closed": ("close", {"code": 1011, "reason": "server error"}),
        "connection evicted": ("evict", {}),
        "events 3 s late": ("slow", {"delay": 3.0, "seconds": 8.0}),
        "unreadable frame": ("garbage", {"kind": "frame"}),
        "bad events": ("garbage", {"kind": "event"}),
        "frame above 1 MiB": ("garbage", {"kind": "large"}),
        "REST answers 429": ("rest", {"status": 429, "count": 20}),
        "REST answers 500": ("rest", {"status": 500, "count": 20}),
        "REST answers nothing": ("rest", {"status": 200, "count": 20, "empty": True}),
    }
    for name, (action, body) in actions.items():
        yield Fault(Kind(f"vendor: {name}"), _ask_exchange(action, body))
    yield Fault(Kind("vendor: dropped, handshakes refused"), _refuse_handshakes)


def _process(system: System, role: str) -> psutil.Process | None:
    return system.roles().get(role)


def _kill(role: str, number: signal.Signals = signal.SIGKILL) -> Strike:
    def strike(system: System, _: random.Random) -> str:
        if (process := _process(system, role)) is None:
            return "was already down"
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)
        return ""

    return strike


def _stop(role: str) -> Strike:
    def strike(system: System, draw: random.Random) -> str:
        seconds = draw.uniform(2.0, LONGEST_STOP)
        if (process := _process(system, role)) is None:
            return "was already down"
        with suppress(psutil.NoSuchProcess):
            process.suspend()
            time.sleep(seconds)
            process.resume()
        return f"for {seconds:.0f} s"

    return strike


def _slow(role: str) -> Strike:
    """Let a process run for a tenth of the time: its clients meet a slow connection."""

    def strike(system: System, draw: random.Random) -> str:
        seconds = draw.uniform(5.0, LONGEST_SLOWNESS)
        if (process := _process(system, role)) is None:
            return "was already down"
        end = time.monotonic() + seconds
        with suppress(psutil.NoSuchProcess):
            while time.monotonic() < end:
                process.suspend()
                time.sleep(PAUSES_SECONDS)
                process.resume()
                time.sleep(RUNS_SECONDS)
        return f"for {seconds:.0f} s"

    return strike


def _cut(server: str) -> Strike:
    """Reset every TCP connection of a server, as a firewall that forgets them does."""

    def strike(system: System, _: random.Random) -> str:
        with suppress(KeyError, FileNotFoundError):
            _reset_connections("sport", "=", f":{_port(system, server)}")
        return ""

    return strike


def _cut_one(server: str) -> Strike:
    """Reset one TCP connection of a server, of whichever client."""

    def strike(system: System, draw: random.Random) -> str:
        with suppress(KeyError, FileNotFoundError):
            port = _port(system, server)
            clients = sorted(
                connection.raddr.port
                for connection in psutil.net_connections("tcp")
                if connection.status == psutil.CONN_ESTABLISHED
                and connection.laddr
                and connection.raddr
                and connection.laddr.port == port
            )
            if not clients:
                return "had no connection"
            _reset_connections(
                *("sport", "=", f":{port}", "and", "dport", "=", f":{draw.choice(clients)}")
            )
        return ""

    return strike


def _port(system: System, server: str) -> int:
    return int(system.state()["servers"][server]["port"])


def _reset_connections(*which: str) -> subprocess.CompletedProcess[bytes]:
    command = ["ss", "--kill", "--tcp", "state", "established", *which]
    return subprocess.run(command, capture_output=True, check=False)


def can_cut_connections() -> bool:
    """Whether the kernel lets this user reset connections; port 1 has none."""
    allowed = os.geteuid() == 0 and shutil.which("ss") is not None
    return allowed and _reset_connections("sport", "=", ":1").returncode == 0


def _restart_dev(number: signal.Signals) -> Strike:
    def strike(system: System, _: random.Random) -> str:
        system.stop(number)
        system.start()
        return ""

    return strike


def _ask_exchange(action: str, body: dict[str, object]) -> Strike:
    def strike(system: System, _: random.Random) -> str:
        with suppress(OSError, KeyError):
            system.exchange().control(action, **body)
        time.sleep(float(str(body.get("seconds", 0))))
        return ""

    return strike


def _refuse_handshakes(system: System, _: random.Random) -> str:
    with suppress(OSError, KeyError):
        system.exchange().control("handshake", status=503, count=3)
        system.exchange().control("drop")
    return ""


def _fill_disk(system: System, _: random.Random) -> str:
    ballast = system.folder / "ballast"
    try:
        with suppress(OSError), ballast.open("wb", buffering=0) as file:
            os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(system.folder).free)
            file.seek(0, os.SEEK_END)
            while file.write(bytes(1 << 16)):  # what others have freed meanwhile, until it fails
                pass
        time.sleep(FULL_SECONDS)
    finally:
        ballast.unlink(missing_ok=True)
    return f"for {FULL_SECONDS:.0f} s"


def _step_clock(_: System, draw: random.Random) -> str:
    """Set the machine's clock forward, then back by the same amount."""
    step = draw.uniform(1.0, STEP_SECONDS)
    for sign in (1, -1):
        time.clock_settime(time.CLOCK_REALTIME, time.time() + sign * step)
        time.sleep(2.0)
    return f"by {step:.1f} s"
