"""Who may not run at the same time, whoever launched it: a pool holds one run (`concurrency.pools` in dagster.yaml).

A pool also holds for runs that a person starts in the UI, which a limit on tags of our jobs would not see.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from dagster import DagsterRun
from dagster._core.storage.tags import POOL_TAG_PREFIX

WORD_EVERY_SECONDS = 60.0
VENDOR_REQUESTS = "vendor_requests"
"""Airbyte syncs, loads by REST and changes of Airbyte's source.

They share the account's requests a minute, two syncs of one connection exclude each other, and a sync locks what the source changes.
"""


def mart_pool(name: str) -> str:
    """Builds of one mart: two at once would write the same rows."""
    return f"mart_{name}"


def pool_tag(pool: str) -> dict[str, str]:
    """By which Dagster finds the runs of a pool."""
    return {f"{POOL_TAG_PREFIX}{pool}": "true"}


def is_in_pool(run: DagsterRun) -> bool:
    """Whether a run takes a place in any pool: it knows its pools by itself, the tags are only in the table that is searched."""
    return bool(run.run_op_concurrency and run.run_op_concurrency.all_pools)


@contextmanager
def log_while_running(log: logging.Logger) -> Iterator[None]:
    """Say once a minute that the run is at work: one whose process is gone would hold its pool for ever, and is known by its silence."""
    over = threading.Event()

    def say() -> None:
        while not over.wait(WORD_EVERY_SECONDS):
            log.debug("at work")

    voice = threading.Thread(target=say, daemon=True)
    voice.start()
    try:
        yield
    finally:
        over.set()
        voice.join()
