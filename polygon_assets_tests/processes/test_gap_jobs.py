"""The jobs that fill gaps and waive them, and what the ledger's asset shows of them."""

import datetime as dt
import time
from contextlib import closing
from dataclasses import replace

import dagster as dg
import pytest

from polygon_assets.clients import clickhouse
from polygon_assets.defs.assets.stream_gaps import stream_gaps
from polygon_assets.defs.stream.fill_gaps import fill_gaps, waive_gaps
from polygon_assets.gap_filling.fill import GapFiller, GapFillError
from polygon_assets.local.launcher.stack import Stack
from polygon_assets.market_calendar import NEW_YORK
from polygon_assets.serving import gap_ledger
from polygon_assets.serving.gap_ledger import GapEntry
from polygon_assets.settings import Settings
from polygon_assets_tests.processes.gap_harness import OfStack, now
from polygon_assets_tests.processes.harness import put_in_force

SERVERS = ("kafka", "clickhouse", "s3")


def test_a_gap_that_cannot_be_filled_holds_up_no_other_and_a_person_may_waive_it(
    stack: Stack, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_in_force(settings, "A.AAPL")
    moment = now() - dt.timedelta(hours=1)
    bad = GapEntry("bad", moment, moment, "crash")
    good = replace(bad, gap_id="good", channels=("A.AAPL",))

    def fail_for_bad(_filler: GapFiller, gaps: list[GapEntry], _now: dt.datetime) -> list[GapEntry]:
        if gaps[0].gap_id == "bad":
            raise GapFillError("out of cheese")
        return [replace(gap, state="verified", note="") for gap in gaps]

    monkeypatch.setattr(GapFiller, "fill_together", fail_for_bad)
    values = {name.lower(): value for name, value in stack.environment().items()}
    environment = {"environment": OfStack(values=values)}

    def run(job: dg.JobDefinition, op: str, **config: object) -> bool:
        result = job.execute_in_process(
            resources=environment,
            run_config={"ops": {op: {"config": config}}},
            raise_on_error=False,
        )
        return result.success

    with closing(clickhouse.connect(settings)) as client:
        gap_ledger.store(client, [bad, good], now())

        def states() -> list[tuple[str, str]]:
            entries = {entry.gap_id: entry for entry in gap_ledger.read(client)}
            return [(entries[name].state, entries[name].note) for name in ("bad", "good")]

        assert not run(fill_gaps, "fill", gap_ids=["bad", "good"])
        assert states() == [("open", "out of cheese"), ("verified", "")]
        assert not run(fill_gaps, "fill", gap_ids=["nonsense"])
        assert not run(waive_gaps, "waive", gap_ids=[], reason="none is named")
        assert not run(waive_gaps, "waive", gap_ids=["bad"], reason=" ")

        def fill_ends_at_the_same_moment(_seconds: float) -> None:
            monkeypatch.setattr(time, "sleep", lambda _seconds: None)
            gap_ledger.store(client, [replace(bad, state="filled")], now())

        monkeypatch.setattr(time, "sleep", fill_ends_at_the_same_moment)
        assert run(waive_gaps, "waive", gap_ids=["bad"], reason="a test")
        assert states() == [("waived", "a test"), ("verified", "")]

    shown = dg.materialize([stream_gaps], resources=environment)
    [materialization] = shown.asset_materializations_for_node("clickhouse__stream_gaps")
    table = str(materialization.metadata["newest_settled"].value)
    since = f"{moment.astimezone(NEW_YORK):%Y-%m-%d %H:%M:%S}"
    assert f"| {since} | " in table
    assert "| waived | 0 | 0 |" in table
    assert "a test" in str(materialization.metadata["notes"].value)
