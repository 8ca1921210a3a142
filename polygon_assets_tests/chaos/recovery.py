"""Whether all is well again after a fault: everything runs, answers, and new rows arrive.

Add a sign of health here; a person would look at the same in `status` and the UI.
"""

import datetime as dt
import json
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import requests

from polygon_assets.inspection.status import Facts, Status
from polygon_assets.local.launcher.state import StackNotRunningError
from polygon_assets.messages import PROGRAMS
from polygon_assets.settings import Settings
from polygon_assets_tests.chaos.system import DAGSTER_PARTS, SERVERS, System

POLL_SECONDS = 0.5
LONGEST_SECONDS = 300.0
FRESH_SECONDS = 10.0
"""The exchange holds a second back for 2 s, and `status` itself takes up to 5."""
ROLES = (*PROGRAMS, *SERVERS, "dagster", *DAGSTER_PARTS)
REFUSED = "events in the last five minutes"
"""Refused events are what a round of garbage must cause: they are counted, no sign of an outage."""


class NotRecoveredError(AssertionError):
    """Something is still wrong long after a fault; the message says what."""


@dataclass
class Recovery:
    """Watches one system; connections of `status` are kept from one look to the next."""

    system: System
    _settings: Settings | None = None
    _status: Status | None = None

    def wait(self, since: dt.datetime) -> None:
        """Wait until all is well with rows newer than `since`. Raises NotRecoveredError."""
        deadline = time.monotonic() + LONGEST_SECONDS
        while problems := list(self.problems(since)):
            if time.monotonic() > deadline:
                raise NotRecoveredError(f"after {LONGEST_SECONDS:.0f} s: " + "; ".join(problems))
            time.sleep(POLL_SECONDS)

    def problems(self, since: dt.datetime) -> Iterator[str]:
        """A sentence for each thing that is not well. Raises NotRecoveredError without a `dev`."""
        assert self.system.dev is not None
        if self.system.dev.poll() is not None:
            raise NotRecoveredError(f"dev ended with exit code {self.system.dev.returncode}")
        roles = self.system.roles()
        yield from (f"{role} does not run" for role in ROLES if role not in roles)
        try:
            facts = self._facts()
        except (StackNotRunningError, FileNotFoundError, json.JSONDecodeError) as error:
            yield str(error)
            return
        yield from (problem for problem in facts["problems"] if REFUSED not in problem)
        yield from _stale(facts, since)
        if not self._ui_answers():
            yield "the UI does not answer"

    def _facts(self) -> Facts:
        settings = self.system.settings()
        if self._status is None or settings != self._settings:
            self._settings, self._status = settings, Status(settings)
        return self._status.facts(dt.datetime.now(dt.UTC))

    def _ui_answers(self) -> bool:
        with suppress(requests.RequestException, KeyError, FileNotFoundError):
            port = self.system.state()["servers"]["dagster"]["port"]
            answer = requests.post(
                f"http://127.0.0.1:{port}/graphql",
                json={
                    "query": "{ workspaceOrError { ... on Workspace { locationEntries { "
                    "locationOrLoadError { __typename } } } } }"
                },
                timeout=5,
            )
            return '"RepositoryLocation"' in answer.text
        return False


def _stale(facts: Facts, since: dt.datetime) -> Iterator[str]:
    newest = facts["tables"].get("market.stock_aggregates", {}).get("newest")
    if newest is None:
        yield "no row of the stream is known"
        return
    moment, now = dt.datetime.fromisoformat(newest), dt.datetime.now(dt.UTC)
    if moment <= since or (now - moment).total_seconds() > FRESH_SECONDS:
        yield f"the newest second in the table is {moment:%H:%M:%S}"
