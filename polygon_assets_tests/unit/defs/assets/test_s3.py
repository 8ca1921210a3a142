"""The subscription asset run as Dagster runs it, over a store in memory."""

from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg
import pytest

from polygon_assets.clients import polygon, subscription_store
from polygon_assets.clients.polygon_answers import PolygonUnavailableError
from polygon_assets.clients.subscription_store import CsvVersion, SubscriptionStoreError
from polygon_assets.defs.assets import s3
from polygon_assets.defs.graph.keys import SUBSCRIPTIONS
from polygon_assets.defs.graph.resources import Environment
from polygon_assets.settings import Settings
from polygon_assets.subscriptions import AcceptedSet
from polygon_assets_tests.unit.defs.conftest import ALWAYS_OPEN, OpenMarket

ACTIVE_TICKERS = polygon.PolygonRest.active_tickers


@dataclass
class FakeStore:
    text: str = "channel\nA.AAPL\nA.MSFT\n"
    reachable: bool = True
    published: list[AcceptedSet] = field(default_factory=list)
    etag: str = "etag"
    readable: bool = True

    def read_csv(self) -> CsvVersion:
        if not self.reachable:
            raise SubscriptionStoreError("s3://bucket/subscriptions.csv: no answer")
        return CsvVersion(self.etag, self.text)

    def csv_etag(self) -> str:
        return self.etag

    def accepted(self) -> AcceptedSet | None:
        if not self.readable:
            raise SubscriptionStoreError("s3://bucket/accepted.json is no accepted set: truncated")
        return self.published[-1] if self.published else None

    def publish(self, accepted: AcceptedSet) -> None:
        self.published.append(accepted)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> FakeStore:
    store = FakeStore()
    monkeypatch.setattr(subscription_store, "connect", lambda _settings: store)
    monkeypatch.setattr(
        polygon.PolygonRest, "active_tickers", lambda _self: {"AAPL", "MSFT", "NVDA"}
    )
    return store


class Limited(Environment):
    """As OpenMarket, with a limit of costs."""

    usd: float
    prices_file: str = ""

    def settings(self) -> Settings:
        return ALWAYS_OPEN.model_copy(
            update={
                "subscriptions_max_usd_per_month": self.usd,
                "prices_file": self.prices_file,
            }
        )


def run(
    instance: dg.DagsterInstance, environment: Environment | None = None
) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        [s3.subscriptions],
        instance=instance,
        resources={"environment": environment or OpenMarket()},
        raise_on_error=False,
    )


def materialization(result: dg.ExecuteInProcessResult) -> dg.AssetMaterialization:
    (event,) = result.asset_materializations_for_node("s3__subscriptions")
    return event


def test_a_valid_file_is_published_under_a_version_with_difference_and_cost(
    instance: dg.DagsterInstance, store: FakeStore
) -> None:
    run(instance)
    store.text = "channel\nA.AAPL\nA.NVDA\n"
    result = run(instance)
    metadata = materialization(result).metadata
    assert result.success
    assert metadata["version"].value == store.published[-1].version
    assert metadata["previous_version"].value == store.published[0].version
    assert (metadata["added"].value, metadata["removed"].value) == (1, 1)
    assert "+ A.NVDA\n- A.MSFT" in str(metadata["difference"].value)
    assert metadata["estimated_events_per_second"].value == pytest.approx(2.0)
    assert metadata["estimated_rows_per_day"].value == 46_800
    assert [check.passed for check in result.get_asset_check_evaluations()] == [True, True]
    assert "| fargate_vcpu |" in str(metadata["estimate"].value)


def test_a_file_that_costs_more_than_allowed_is_not_put_in_force(
    instance: dg.DagsterInstance, store: FakeStore, tmp_path: Path
) -> None:
    run(instance)
    store.text = "channel\nA.*\n"
    result = run(instance, Limited(usd=1200))
    assert result.success
    valid, budget = result.get_asset_check_evaluations()
    assert (valid.passed, budget.passed) == (True, False)
    assert "The limit SUBSCRIPTIONS_MAX_USD_PER_MONTH is 1,200." in str(budget.description)
    nowhere = str(tmp_path / "nowhere")
    store.text = "channel\nA.NVDA\n"
    result = run(instance, Limited(usd=1200, prices_file=nowhere))
    assert not result.get_asset_check_evaluations()[1].passed
    assert len(store.published) == 1, "without prices nothing proves that the limit is kept"
    result = run(instance, Limited(usd=0, prices_file=nowhere))
    assert not result.get_asset_check_evaluations()[1].passed
    assert len(store.published) == 2


def test_an_invalid_file_leaves_the_last_set_in_force_and_lists_each_bad_line(
    instance: dg.DagsterInstance, store: FakeStore
) -> None:
    run(instance)
    store.text = "channel\nA.AAPL\nA.NOSUCH\nT.AAPL\n"
    result = run(instance)
    check, _ = result.get_asset_check_evaluations()
    assert result.success
    assert not check.passed
    assert check.description is not None
    assert (
        "line 3: 'A.NOSUCH': ticker 'NOSUCH' is not in the vendor's reference data"
        in check.description
    )
    assert "line 4: 'T.AAPL': unknown channel 'T'" in check.description
    assert result.asset_materializations_for_node("s3__subscriptions") == []
    assert len(store.published) == 1
    event = instance.get_latest_materialization_event(SUBSCRIPTIONS)
    assert event is not None
    assert event.run_id != result.run_id


@pytest.mark.parametrize("text", ["channel\nA.AAPL\n", "channel\nT.AAPL\n"])
def test_a_file_that_was_replaced_while_it_was_judged_is_not_put_in_force(
    instance: dg.DagsterInstance, store: FakeStore, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    def replaced(_self: object) -> set[str]:
        store.etag = "newer"
        return {"AAPL", "MSFT"}

    store.text = text
    monkeypatch.setattr(polygon.PolygonRest, "active_tickers", replaced)
    result = run(instance)
    assert not result.success
    (failure,) = [
        event.step_failure_data.user_failure_data
        for event in result.filter_events(lambda event: event.is_step_failure)
    ]
    assert failure is not None
    assert "the file changed from etag to newer" in str(failure.description)
    assert store.published == []
    assert result.get_asset_check_evaluations() == []


def test_a_set_in_force_that_cannot_be_read_is_repaired_by_the_next_valid_file(
    instance: dg.DagsterInstance, store: FakeStore
) -> None:
    store.readable = False
    result = run(instance)
    assert result.success
    assert len(store.published) == 1
    metadata = materialization(result).metadata
    assert "is no accepted set: truncated" in str(metadata["warning"].value)
    assert (metadata["previous_version"].value, metadata["added"].value) == ("none", 2)


@pytest.mark.parametrize("broken", ["s3", "rest", "empty reference data"])
def test_when_a_system_is_away_the_run_fails_and_nothing_changes(
    instance: dg.DagsterInstance, store: FakeStore, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    def away(_self: object) -> set[str]:
        raise PolygonUnavailableError("/v3/reference/tickers: no answer")

    if broken == "s3":
        store.reachable = False
    elif broken == "rest":
        monkeypatch.setattr(polygon.PolygonRest, "active_tickers", away)
    else:
        monkeypatch.setattr(polygon.PolygonRest, "active_tickers", ACTIVE_TICKERS)
        monkeypatch.setattr(polygon.PolygonRest, "list_tickers", lambda *_, **__: iter(()))
    result = run(instance)
    assert not result.success
    assert store.published == []
    assert result.get_asset_check_evaluations() == []
