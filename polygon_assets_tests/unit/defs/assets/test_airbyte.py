"""The asset that keeps Airbyte's tickers equal to the subscriptions, with both in memory."""

from collections.abc import Iterator
from typing import cast

import dagster as dg
import pytest
from pydantic import SecretStr

from polygon_assets.batch.airbyte import provision
from polygon_assets.clients import subscription_store
from polygon_assets.clients.airbyte.transport import AirbyteError, AirbyteUnavailableError
from polygon_assets.defs.assets.airbyte import polygon_source
from polygon_assets.defs.graph.automation import SHORT_OUTAGES
from polygon_assets.defs.graph.keys import AIRBYTE_SOURCE
from polygon_assets.defs.graph.resources import Environment
from polygon_assets.settings import Settings
from polygon_assets.subscriptions import AcceptedSet
from polygon_assets_tests.unit.defs.conftest import NothingSet


class WithAirbyte(Environment):
    def settings(self) -> Settings:
        return Settings.model_construct(
            airbyte_workspace_id="workspace",
            airbyte_client_id="id",
            airbyte_client_secret=SecretStr("secret"),
        )


class InForce:
    """The store, and Airbyte's list."""

    channels: tuple[str, ...] | None = ("A.AAPL", "A.NVDA")
    tickers: tuple[str, ...] = ("AAPL", "MSFT")

    def accepted(self) -> AcceptedSet | None:
        return (
            AcceptedSet("version", "etag", "digest", "2026-11-20T00:00:00Z", self.channels)
            if self.channels is not None
            else None
        )

    def replace(self, _api: object, tickers: list[str]) -> list[str]:
        before, self.tickers = self.tickers, tuple(tickers)
        return list(before)


@pytest.fixture
def in_force(monkeypatch: pytest.MonkeyPatch) -> InForce:
    state = InForce()
    monkeypatch.setattr(subscription_store, "connect", lambda _settings: state)
    monkeypatch.setattr(provision, "open_close_tickers", lambda _api: list(state.tickers))
    monkeypatch.setattr(provision, "set_open_close_tickers", state.replace)
    return state


def run(instance: dg.DagsterInstance, environment: Environment) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        [polygon_source],
        instance=instance,
        resources={"environment": environment},
        raise_on_error=False,
    )


def metadata(result: dg.ExecuteInProcessResult) -> dict[str, object]:
    (event,) = result.asset_materializations_for_node("airbyte__polygon_source")
    return {name: value.value for name, value in event.metadata.items()}


def test_the_list_becomes_the_named_symbols_and_the_difference_is_shown(
    instance: dg.DagsterInstance, in_force: InForce
) -> None:
    shown = metadata(run(instance, WithAirbyte()))
    assert in_force.tickers == ("AAPL", "NVDA")
    assert (shown["tickers"], shown["added"], shown["removed"]) == (2, 1, 1)
    assert "+ NVDA\n- MSFT" in str(shown["difference"])
    assert "no change" in str(metadata(run(instance, WithAirbyte()))["difference"])


@pytest.mark.parametrize("channels", [("A.*",), None])
def test_where_no_symbol_is_named_the_list_stays_and_that_is_said(
    instance: dg.DagsterInstance, in_force: InForce, channels: tuple[str, ...] | None
) -> None:
    in_force.channels = channels
    shown = metadata(run(instance, WithAirbyte()))
    assert in_force.tickers == ("AAPL", "MSFT")
    assert "the list stays as it was" in str(shown["note"])


def test_where_there_is_no_airbyte_nothing_happens_and_nothing_fails(
    instance: dg.DagsterInstance, in_force: InForce
) -> None:
    assert run(instance, NothingSet()).success
    assert in_force.tickers == ("AAPL", "MSFT")
    assert instance.get_latest_materialization_event(AIRBYTE_SOURCE) is None


def refused(monkeypatch: pytest.MonkeyPatch, error: AirbyteError) -> None:
    def refuse(*_: object) -> list[str]:
        raise error

    monkeypatch.setattr(provision, "set_open_close_tickers", refuse)


def test_airbytes_refusal_is_the_failure(
    instance: dg.DagsterInstance, in_force: InForce, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert in_force.channels
    refused(monkeypatch, AirbyteError("PATCH /sources/1: HTTP 403: no", 403))
    result = run(instance, WithAirbyte())
    [event] = result.filter_events(lambda one: one.is_step_failure)
    assert event.step_failure_data.user_failure_data
    assert event.step_failure_data.user_failure_data.description == "PATCH /sources/1: HTTP 403: no"


@pytest.mark.parametrize(
    "error",
    [
        AirbyteError("POST /state: HTTP 423: a sync is running", 423),
        AirbyteUnavailableError("no answer"),
    ],
)
def test_a_sync_that_runs_or_a_short_outage_is_waited_for(
    instance: dg.DagsterInstance,
    in_force: InForce,
    monkeypatch: pytest.MonkeyPatch,
    error: AirbyteError,
) -> None:
    assert in_force.channels
    refused(monkeypatch, error)
    # Not as a run: it would wait between the tries.
    with dg.build_asset_context(instance=instance) as context, pytest.raises(dg.Failure) as failure:
        _ = [*cast("Iterator[object]", polygon_source(context, environment=WithAirbyte()))]
    assert failure.value.allow_retries
    assert polygon_source.op.retry_policy == SHORT_OUTAGES
