"""Which runs exclude each other, whoever launched them: a pool holds one run (see dagster.yaml).

Add a pool here. A pool also holds for runs that a person starts in the UI, which a limit on tags of
our jobs would not see.
"""

from dagster import DagsterRun
from dagster._core.storage.tags import POOL_TAG_PREFIX

VENDOR_REQUESTS = "vendor_requests"
"""Airbyte syncs, loads by REST and changes of Airbyte's source.

They share the account's requests a minute; two syncs of one connection exclude each other; and a
sync locks what a change of the source writes.
"""


def mart_pool(name: str) -> str:
    """The pool of one mart's builds: two at once would write the same rows."""
    return f"mart_{name}"


def pool_tag(pool: str) -> dict[str, str]:
    """The tag by which Dagster finds the runs of a pool."""
    return {f"{POOL_TAG_PREFIX}{pool}": "true"}


def is_in_pool(run: DagsterRun) -> bool:
    """Whether a run takes a place in any pool.

    Asked of the run's own field, because its pool tags are only in Dagster's table of tags.
    """
    return bool(run.run_op_concurrency and run.run_op_concurrency.all_pools)
