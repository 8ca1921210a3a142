"""Alert rules, dashboard and documents name what the programs export, and promtool agrees.

Whether an alert fires belongs to deploy/prometheus/alerts*_test.yaml, which run here; the tests
that need promtool are skipped without it, and CI installs it.
"""

import json
import re
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest

from polygon_assets.inspection.alert_rules import ALERTS
from polygon_assets.inspection.probe import metrics_port
from polygon_assets.messages import PROGRAMS, Heartbeat, ProgramName
from polygon_assets.settings import Settings
from polygon_assets.streaming.metrics import registry_of

REPOSITORY = Path(__file__).parents[2]
PROMETHEUS = REPOSITORY / "deploy" / "prometheus"
RULE_TESTS = sorted(PROMETHEUS.glob("*_test.yaml"))
ALERTS_FILE = PROMETHEUS / "alerts.yaml"
RULES: list[dict[str, Any]] = yaml.safe_load(ALERTS_FILE.read_text())["groups"][0]["rules"]
SCRAPES = yaml.safe_load((PROMETHEUS / "prometheus.yaml").read_text())["scrape_configs"]
DASHBOARD = json.loads((REPOSITORY / "deploy" / "grafana" / "dashboard.json").read_text())
TARGETS: list[dict[str, str]] = [
    target for panel in DASHBOARD["panels"] for target in panel.get("targets", ())
]
DOCUMENT = (REPOSITORY / "docs" / "metrics.md").read_text()

OF_PROMETHEUS = {
    "up": {"job": {"polygon_assets"}},
    "ALERTS": {"alertname": {"PolygonAssets.*"}, "alertstate": {"firing"}},
}
"""Time series that Prometheus itself adds, with the values that we may select."""
WORDS = frozenset(
    (
        *("and", "or", "unless", "on", "by"),
        *("absent", "count", "count_over_time", "day_of_week", "histogram_quantile", "hour"),
        *("increase", "label_values", "max", "rate", "scalar", "sum", "time", "vector"),
    )
)
"""Functions and operators; every other word of an expression must be a metric."""
RANGE = "$__rate_interval"

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None,
    reason="promtool is not installed: it is in Debian's package prometheus, see .ci/run",
)


def _registry(program: ProgramName) -> CollectorRegistry:
    """What the program exports when everything is known."""
    beat = Heartbeat(
        program, "host:1:1", "streaming", 1, 2, "", 1, 1, 1, 1, lag=0, arrival_delay_ms=1,
        acknowledged_at=1,
    )  # fmt: skip
    return registry_of(program, lambda: beat, Settings())


@lru_cache(maxsize=1)
def exported() -> Mapping[str, Mapping[str, set[str]]]:
    """By name of a sample, its labels with their values: of all programs, in any state."""
    labels: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for program in PROGRAMS:
        for metric in _registry(program).collect():
            for sample in metric.samples:
                labels[sample.name].setdefault("job", {"polygon_assets"})
                labels[sample.name].setdefault("instance", set())
                for label, value in sample.labels.items():
                    labels[sample.name][label].add(value)
    return labels | OF_PROMETHEUS


def problems(expression: str) -> Iterator[str]:
    """Names, labels and values of a PromQL expression that nothing exports."""
    known = exported()
    selected: set[str] = set()
    for name, matchers in re.findall(r"([a-zA-Z_]\w*)\s*\{([^}]*)\}", expression):
        for label, _, value in re.findall(r'(\w+)\s*(=~|!=|!~|=)\s*"([^"]*)"', matchers):
            if label not in known.get(name, {}):
                yield f"{name} has no label {label}"
            elif value not in known[name][label] | {"$program"}:
                yield f"{name} never has {label}={value}"
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\"[^\"]*\"", "", expression)
    groupings = re.findall(r"\b(?:by|on)\s*\(([^)]*)\)", bare)
    bare = re.sub(r"\b(by|on)\s*\([^)]*\)", "", bare)
    bare = re.sub(r"label_values\((\w+), program\)", r"\1", bare)
    for word in re.findall(r"(?<![\w.])[a-zA-Z_]\w*", bare):
        if word not in WORDS and word not in known:
            yield f"{word} is exported by no program"
        selected |= set(known.get(word, ()))
    for label in filter(None, re.split(r"\W+", " ".join(groupings))):
        if label not in selected and label != "le":
            yield f"no metric of the expression has a label {label}"


def legend_problems(target: Mapping[str, str]) -> Iterator[str]:
    """Labels of a legend that the result of the expression does not have."""
    expression = target["expr"]
    result: set[str] = set()
    for name in re.findall(r"[a-zA-Z_]\w*", expression):
        result |= set(exported().get(name, {}))
    if re.match(r"(sum|max|count|scalar|histogram_quantile|0 -|time\(\) - max)\b", expression):
        groups = re.findall(r"\bby\s*\(([^)]*)\)", expression)
        result = set(re.split(r"\W+", " ".join(groups)))
    for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
        if label not in result:
            yield f"the result has no label {label}"


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_selects_only_what_is_exported(rule: dict[str, Any]) -> None:
    assert list(problems(rule["expr"])) == []


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target["expr"][:60])
def test_a_panel_selects_only_what_is_exported(target: dict[str, str]) -> None:
    assert [*problems(target["expr"]), *legend_problems(target)] == []


def test_the_dashboards_variables_and_annotations_select_only_what_is_exported() -> None:
    [_, program] = DASHBOARD["templating"]["list"]
    [annotation] = DASHBOARD["annotations"]["list"]
    assert list(problems(program["definition"])) == []
    assert list(problems(annotation["expr"])) == []
    sources: list[Any] = [target["datasource"] for target in TARGETS]
    assert {source["uid"] for source in sources} == {"${datasource}"}


@pytest.mark.parametrize(
    "wrong",
    [
        "polygon_asset_lag_messages",
        'polygon_assets_lag_messages{topic="x"}',
        'polygon_assets_state{state="sleeping"}',
        'polygon_assets_alive{program="merger"}',
        "sum by (topic) (polygon_assets_lag_messages)",
        "max(polygon_assets_lag_messages) + on () typo",
    ],
)
def test_the_check_of_the_names_notices_a_wrong_one(wrong: str) -> None:
    assert list(problems(wrong))


def test_every_metric_is_documented_and_nothing_else() -> None:
    documented = set(re.findall(r"`(polygon_assets_\w+?)(?:\{[^`]*)?`", DOCUMENT))
    names = {re.sub(r"_(bucket|sum|count)$", "", name) for name in exported()}
    assert documented == {name for name in names if name.startswith("polygon_assets_")}


def test_the_dashboard_shows_every_metric_but_the_limits() -> None:
    shown = " ".join(target["expr"] for target in TARGETS)
    hidden = {name for name in exported() if name.startswith("polygon_assets_")} - set(
        re.findall(r"polygon_assets_\w+", shown)
    )
    assert {re.sub(r"_(bucket|sum|count)$", "", name) for name in hidden} == {
        "polygon_assets_write_duration_seconds",
        "polygon_assets_program_info",
        "polygon_assets_restarts_limit",
        "polygon_assets_producer_copies",
    }


def test_each_alert_fires_at_one_moment_of_the_tests_and_not_at_another() -> None:
    outcomes: dict[str, set[bool]] = defaultdict(set)
    for path in RULE_TESTS:
        for case in yaml.safe_load(path.read_text())["tests"]:
            for check in case["alert_rule_test"]:
                outcomes[check["alertname"]].add(bool(check.get("exp_alerts")))
    assert outcomes == {rule["alert"]: {True, False} for rule in RULES}


def test_numbers_that_stand_in_the_rules_again_are_the_defaults_of_the_settings() -> None:
    settings = Settings()
    holds = {rule["alert"]: rule.get("for") for rule in RULES}
    assert holds.pop("PolygonAssetsRestartLoop") is None, "the sensor does not hold it either"
    assert holds.pop("PolygonAssetsNothingRuns") == "5m"
    assert set(holds.values()) == {f"{settings.alert_hold_seconds / 60:g}m"}
    [loop] = [rule for rule in RULES if rule["alert"] == "PolygonAssetsRestartLoop"]
    assert re.findall(r"\[(\w+)\]", loop["expr"]) == [f"{settings.alert_restart_minutes:g}m"]


def test_the_document_says_of_each_alert_of_the_sensor_which_rule_mirrors_it() -> None:
    rows = re.findall(r"^\| (?:`(\w+)`|\S) \| (?:`(\w+)`|\S) \|", DOCUMENT, re.MULTILINE)
    assert [judged for judged, _ in rows if judged] == [alert.name for alert in ALERTS]
    assert {rule for _, rule in rows if rule} == {rule["alert"] for rule in RULES}


def test_the_example_scrapes_the_four_programs() -> None:
    [scrape] = SCRAPES
    [targets] = [part["targets"] for part in scrape["static_configs"]]
    settings = Settings.model_validate({"metrics_port": int(targets[0].rpartition(":")[2])})
    assert targets == [
        f"{settings.metrics_host}:{metrics_port(settings, program)}" for program in PROGRAMS
    ]
    [job] = set(re.findall(r'job="(\w+)"', ALERTS_FILE.read_text()))
    assert scrape["job_name"] == job


def promtool(*arguments: str, text: str = "") -> None:
    answer = subprocess.run(
        ["promtool", *arguments],
        input=text,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr


@needs_promtool
def test_promtool_runs_the_tests_of_the_rules() -> None:
    promtool("test", "rules", *map(str, RULE_TESTS))


@needs_promtool
def test_promtool_accepts_the_example_and_its_rules() -> None:
    promtool("check", "config", str(PROMETHEUS / "prometheus.yaml"))


@needs_promtool
def test_promtool_parses_every_expression_of_the_dashboard(tmp_path: Path) -> None:
    rules = [
        {
            "record": f"panel:{number}",
            "expr": target["expr"].replace(RANGE, "5m").replace("$program", ".*"),
        }
        for number, target in enumerate(TARGETS)
    ]
    file = tmp_path / "dashboard.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", str(file))


@needs_promtool
@pytest.mark.parametrize("program", PROGRAMS)
def test_promtool_finds_no_fault_in_the_names_of_the_metrics(program: ProgramName) -> None:
    promtool("check", "metrics", text=generate_latest(_registry(program)).decode())
