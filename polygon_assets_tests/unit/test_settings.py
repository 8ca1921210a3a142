"""Settings: read from the environment, bad values named, all listed in the example file."""

import re
from pathlib import Path

import pytest

from polygon_assets.service_sizes import STREAM_SIZES, Size, stream_sizes
from polygon_assets.settings import Settings, SettingsError, load_settings

EXAMPLE = Path(__file__).parents[2] / "deploy" / "env.example"


def test_a_bad_value_is_named_with_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLICKHOUSE_PORT", "http")
    monkeypatch.setenv("MARKET_CALENDAR", "LSE")
    with pytest.raises(SettingsError, match="CLICKHOUSE_PORT='http'") as caught:
        load_settings()
    assert "MARKET_CALENDAR='LSE'" in str(caught.value)


@pytest.mark.parametrize("prefix", ["archive", "/archive/", "/"])
def test_an_archive_prefix_that_would_hide_the_objects_is_refused(
    prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARCHIVE_PREFIX", prefix)
    with pytest.raises(SettingsError, match=f"ARCHIVE_PREFIX='{prefix}'"):
        load_settings()


@pytest.mark.parametrize(
    ("content", "reason"), [(None, "No such file"), ("no certificate", "certificate")]
)
def test_a_bundle_without_certificates_is_named_with_the_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None, reason: str
) -> None:
    bundle = tmp_path / "ca.pem"
    if content is not None:
        bundle.write_text(content)
    monkeypatch.setenv("CA_BUNDLE", str(bundle))
    with pytest.raises(SettingsError) as caught:
        load_settings()
    message = str(caught.value)
    assert f"CA_BUNDLE='{bundle}': no certificate can be read from this file (" in message
    assert reason in message.split("(", 1)[1]
    assert "name a PEM file" in message


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("CLICKHOUSE_HOST", "host\udcff"),
        ("MARKET_REPLAY", "2026-13-45T99:99"),
        ("MARKET_REPLAY", "9999-12-31T23:59"),
        ("MARKET_REPLAY", "\u0662\u0660\u0662\u0666-11-20T15:50"),
        ("DRAIN_SECONDS", "inf"),
        ("NO_DATA_SECONDS", "1e400"),
        ("PRODUCER_COPIES", "9" * 400),
        ("ECS_TASK_SIZES", "producer=1"),
        ("ECS_TASK_SIZES", "page=1:2"),
        ("ECS_TASK_SIZES", "producer=0.75:2"),
        ("ECS_TASK_SIZES", "producer=1:2;archiver=0.25:4"),
        ("ECS_TASK_SIZES", "sink=1:2.5"),
    ],
)
def test_a_value_that_would_fail_later_is_refused_at_once(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=f"{variable}=") as caught:
        load_settings()
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("program", ["FILTER", "SINK", "ARCHIVER"])
def test_more_copies_than_partitions_are_refused_with_the_cure(
    program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"{program}_COPIES", "7")
    with pytest.raises(
        SettingsError, match=f"  {program}_COPIES=7 is more than KAFKA_PARTITIONS=6"
    ):
        load_settings()
    monkeypatch.setenv("KAFKA_PARTITIONS", "7")
    settings = load_settings()
    assert settings.copies(program.lower()) == 7


def test_task_sizes_replace_single_ones() -> None:
    sizes = stream_sizes(Settings(ecs_task_sizes=" producer=1:2; archiver=0.25:0.5 "))
    assert (sizes["producer"], sizes["archiver"]) == (Size(1.0, 2.0), Size(0.25, 0.5))
    assert sizes["sink"] == STREAM_SIZES["sink"]
    assert stream_sizes(Settings()) == STREAM_SIZES


def test_the_error_about_a_secret_does_not_show_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYGON_API_KEY", "very-secret\udcff")
    with pytest.raises(SettingsError, match=r"POLYGON_API_KEY=\*\*\*: .*UTF-8") as caught:
        load_settings()
    assert "very-secret" not in str(caught.value)


def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYGON_API_KEY", "very-secret")
    settings = load_settings()
    assert "very-secret" not in repr(settings)
    assert settings.polygon_api_key.get_secret_value() == "very-secret"


def test_the_example_file_lists_every_variable_with_its_default() -> None:
    listed = dict(re.findall(r"^#?([A-Z0-9_]+)=(.*)$", EXAMPLE.read_text(), re.MULTILINE))
    defaults = {}
    for name, field in Settings.model_fields.items():
        value = field.default
        text = value.get_secret_value() if hasattr(value, "get_secret_value") else str(value)
        defaults[name.upper()] = text.lower() if isinstance(value, bool) else text
    assert listed == defaults
