"""One process of the launcher: it ends when it is told to, and with the process that started it.

Servers of the embedded stack belong to test_stack.
"""

import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from polygon_assets.local.launcher.process import Process


def has_ended(pid: int) -> bool:
    """Whether a process is gone, or only its entry waits for a parent that collects it."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def is_started_for(process: psutil.Process, file: Path) -> bool:
    """Whether the process runs, with this file on its command line."""
    with suppress(psutil.Error):
        return str(file) in process.cmdline()
    return False


def test_nothing_outlives_the_process_that_started_it(tmp_path: Path) -> None:
    """The owner gets SIGKILL and cannot stop anything itself: the kernel must end the server."""
    script = (
        "import sys, time; from pathlib import Path\n"
        "from polygon_assets.local.launcher.process import Process\n"
        "sleep = [sys.executable, '-c', 'import time; time.sleep(60)']\n"
        "print(Process(sleep, {}, Path(sys.argv[1])).pid, flush=True); time.sleep(60)"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "log")], stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout
    child = int(owner.stdout.readline())
    assert Path(f"/proc/{child}").exists()
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    owner.stdout.close()
    deadline = time.monotonic() + 5
    while not has_ended(child):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_process_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    stubborn = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "print('ready'); time.sleep(60)"
    )
    process = Process([sys.executable, "-c", stubborn], {}, tmp_path / "log")
    while "ready" not in process.last_lines():
        time.sleep(0.02)
    process.stop(0.2)
    assert process.exit_code == -signal.SIGKILL


def test_a_stop_waits_for_what_delivers_and_kills_what_hangs(tmp_path: Path) -> None:
    """On a full disk Dagster's code server hangs, while a stream program still delivers."""
    ignore = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    hang = f"{ignore} print('hangs', flush=True); time.sleep(60)"
    deliver = (
        "import pathlib, signal, sys, time\n"
        "def end(*_): time.sleep(1); pathlib.Path(sys.argv[2]).write_text('all'); sys.exit()\n"
        "signal.signal(signal.SIGTERM, end); print('delivers', flush=True); time.sleep(60)"
    )
    parent = (
        "import signal, subprocess, sys, time\n"
        "hang, deliver = (subprocess.Popen([sys.executable, '-c', *a]) for a in"
        f" ([{hang!r}], [{deliver!r}, 'deliver', sys.argv[1]]))\n"
        "signal.signal(signal.SIGTERM, lambda *_: (deliver.terminate(), sys.exit()));"
        "print(hang.pid, flush=True); time.sleep(60)"
    )
    delivered = tmp_path / "delivered"
    process = Process([sys.executable, "-c", parent, str(delivered)], {}, tmp_path / "log")
    while not {"hangs", "delivers"} <= set(process.last_lines().split()):
        time.sleep(0.02)
    pid = next(int(word) for word in process.last_lines().split() if word.isdigit())
    began = time.monotonic()
    process.stop_tree(40, lambda command: "deliver" in command)
    assert delivered.read_text() == "all"
    assert has_ended(pid)
    assert time.monotonic() - began < 20, "it waited for the process that hangs"


DELIVERS_AFTER_A_SECOND = (
    "import pathlib, signal, sys, time\n"
    "def end(*_): time.sleep(1); pathlib.Path(sys.argv[2]).write_text('all'); sys.exit()\n"
    "signal.signal(signal.SIGTERM, end); print('delivers', flush=True); time.sleep(60)"
)
IT = f"[sys.executable, '-c', {DELIVERS_AFTER_A_SECOND!r}, *sys.argv[1:]]"
PARENT_THAT_DIED = f"""
import subprocess, sys, time
parent = "import subprocess, sys; subprocess.Popen(" + {IT!r} + ")"
subprocess.run([sys.executable, '-c', parent, *sys.argv[1:]])
time.sleep(60)
"""
PARENT_THAT_DIED_BESIDE_ITS_SESSION = PARENT_THAT_DIED.replace(
    '+ ")"', '+ ", start_new_session=True)"'
)
PARENT_THAT_DIES_DURING_THE_STOP = f"""
import signal, subprocess, sys, time
parent = "import subprocess, sys, time; subprocess.Popen(" + {IT!r} + "); time.sleep(60)"
parent = subprocess.Popen([sys.executable, '-c', parent, *sys.argv[1:]])
signal.signal(signal.SIGTERM, lambda *_: (parent.kill(), sys.exit()))
time.sleep(60)
"""
STARTED_DURING_THE_STOP = f"""
import signal, subprocess, sys, time
def end(*_):
    subprocess.Popen({IT}, stdout=subprocess.PIPE).stdout.readline()
    sys.exit()
signal.signal(signal.SIGTERM, end)
print('delivers', flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(PARENT_THAT_DIED, id="its parent died"),
        pytest.param(PARENT_THAT_DIED_BESIDE_ITS_SESSION, id="in a session of its own"),
        pytest.param(PARENT_THAT_DIES_DURING_THE_STOP, id="its parent dies during the stop"),
        pytest.param(STARTED_DURING_THE_STOP, id="started during the stop"),
    ],
)
def test_a_stop_ends_what_no_parent_would_stop(tmp_path: Path, script: str) -> None:
    """Dagster's code server is killed and its runs go on; its daemon starts one during a stop."""
    delivered = tmp_path / "delivered"
    process = Process(
        [sys.executable, "-c", script, "deliver", str(delivered)], {}, tmp_path / "log"
    )
    while "delivers" not in process.last_lines():
        time.sleep(0.02)
    process.stop_tree(40, lambda command: "deliver" in command)
    assert delivered.read_text() == "all"
    assert [other for other in psutil.process_iter() if is_started_for(other, delivered)] == []
