"""The jobs that fill gaps and waive them, and what the ledger's asset shows of them."""

import datetime as dt
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import dagster as dg
import pytest
from clickhouse_connect.driver.client import Client

from polygon_assets.clients import clickhouse
from polygon_assets.defs.assets.stream_gaps import stream_gaps
from polygon_assets.defs.stream.fill_gaps import fill_gaps, waive_gaps
from polygon_assets.gap_filling import GapFillError
from polygon_assets.gap_filling.fill import GapFiller
from polygon_assets.local.launcher.stack import Stack
from polygon_assets.market_calendar import NEW_YORK
from polygon_assets.serving import gap_ledger
from polygon_assets.serving.gap_ledger import GapEntry
from polygon_assets.settings import Settings
from polygon_assets_tests.processes.gap_harness import OfStack, now
from polygon_assets_tests.processes.harness import put_in_force

SERVERS = ("kafka", "clickhouse", "s3")


@pytest.fixture
def environment(stack: Stack) -> dict[str, OfStack]:
    values = {name.lower(): value for name, value in stack.environment().items()}
    return {"environment": OfStack(values=values)}


@pytest.fixture
def client(settings: Settings) -> Iterator[Client]:
    with closing(clickhouse.connect(settings)) as client:
        yield client


def a_gap(gap_id: str) -> GapEntry:
    moment = now() - dt.timedelta(hours=1)
    return GapEntry(gap_id, moment, moment, "crash")


def run(job: dg.JobDefinition, environment: dict[str, OfStack], **config: object) -> bool:
    """Whether the run of a job with one op succeeds."""
    [op] = job.nodes
    result = job.execute_in_process(
        resources=environment,
        run_config={"ops": {op.name: {"config": config}}},
        raise_on_error=False,
    )
    return result.success


def state(client: Client, gap_id: str) -> tuple[str, str]:
    """A gap's state and note."""
    [entry] = [entry for entry in gap_ledger.read(client) if entry.gap_id == gap_id]
    return entry.state, entry.note


def test_a_gap_that_cannot_be_filled_holds_up_no_other(
    settings: Settings,
    client: Client,
    environment: dict[str, OfStack],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put_in_force(settings, "A.AAPL")
    gap_ledger.store(client, [a_gap("bad"), replace(a_gap("good"), channels=("A.AAPL",))], now())

    def fail_for_bad(_filler: GapFiller, gaps: list[GapEntry], _now: dt.datetime) -> list[GapEntry]:
        if gaps[0].gap_id == "bad":
            raise GapFillError("out of cheese")
        return [replace(gap, state="verified", note="") for gap in gaps]

    monkeypatch.setattr(GapFiller, "fill_together", fail_for_bad)
    assert not run(fill_gaps, environment, gap_ids=["bad", "good"])
    assert state(client, "bad") == ("open", "out of cheese")
    assert state(client, "good") == ("verified", "")
    assert not run(fill_gaps, environment, gap_ids=["nonsense"])


def test_a_person_waives_a_gap_with_a_reason_and_the_ledger_shows_it(
    client: Client, environment: dict[str, OfStack]
) -> None:
    gap = a_gap("accepted")
    gap_ledger.store(client, [gap], now())
    assert not run(waive_gaps, environment, gap_ids=[], reason="none is named")
    assert not run(waive_gaps, environment, gap_ids=["accepted"], reason=" ")
    assert run(waive_gaps, environment, gap_ids=["accepted"], reason="a test")
    assert state(client, "accepted") == ("waived", "a test")
    shown = dg.materialize([stream_gaps], resources=environment)
    [materialization] = shown.asset_materializations_for_node("clickhouse__stream_gaps")
    table = str(materialization.metadata["newest_settled"].value)
    assert f"| {gap.since.astimezone(NEW_YORK):%Y-%m-%d %H:%M:%S} | " in table
    assert "| waived | 0 | 0 |" in table
    assert "a test" in str(materialization.metadata["notes"].value)


def test_a_fill_that_ends_at_the_same_moment_does_not_undo_a_waiver(
    client: Client, environment: dict[str, OfStack], monkeypatch: pytest.MonkeyPatch
) -> None:
    gap = a_gap("raced")
    gap_ledger.store(client, [gap], now())
    sleep, fills = time.sleep, [replace(gap, state="filled")]

    def store_its_state_first(seconds: float) -> None:
        if fills and state(client, "raced")[0] == "waived":
            gap_ledger.store(client, [fills.pop()], now())
        sleep(seconds)

    monkeypatch.setattr(time, "sleep", store_its_state_first)
    assert run(waive_gaps, environment, gap_ids=["raced"], reason="a test")
    assert state(client, "raced") == ("waived", "a test")
