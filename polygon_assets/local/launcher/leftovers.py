"""Ends what a killed stack left running, before the next one starts on the same folder.

Add how leftovers are recognised here; ending a running stack belongs to `stack`. When `dev` is
killed, Dagster's processes and the stream programs may live on for minutes: an old daemon then
takes runs from the queue and fails them, and an old consumer commits its offsets to the new,
empty broker, which hides the first messages from the new one.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

from polygon_assets.local.launcher.family import inheritors

MARK = "POLYGON_ASSETS_STACK"
"""The variable with the stack's folder, which every process of the stack inherits."""
END_SECONDS = 5.0


def end(data_dir: Path) -> int:
    """End every process of a former stack on this folder; returns how many there were.

    Call it with the folder's lock, so that no stack runs on it: SIGTERM, later SIGKILL.
    """
    left = list(_left(data_dir))
    for process in left:
        _send(process, signal.SIGTERM)
    _, alive = psutil.wait_procs(left, END_SECONDS)
    for process in alive:
        _send(process, signal.SIGKILL)
    psutil.wait_procs(alive, END_SECONDS)
    return len(left)


def _left(data_dir: Path) -> Iterator[psutil.Process]:
    own = {process.pid for process in psutil.Process().parents()} | {os.getpid()}
    return (process for process in inheritors(MARK, str(data_dir)) if process.pid not in own)


def _send(process: psutil.Process, number: signal.Signals) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)
