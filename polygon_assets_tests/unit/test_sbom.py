"""The SBOM of an image; what it is made from is checked by scripts.check_images."""

import json
import warnings

import pytest

from scripts import sbom

PYTHON = {"msgspec": "0.22.0", "dagster_aws": "0.29.13", "ruamel.yaml": "0.19.1"}
LOCK = (
    "msgspec==0.22.0 \\",
    "    --hash=sha256:00",
    "    # via polygon-assets==0.1.0",
    "dagster-aws==0.29.13 \\",
    "ruamel-yaml==0.19.1 ; python_version < '4' \\",
)


def test_each_package_is_a_part_with_its_address() -> None:
    with warnings.catch_warnings(action="error"):
        text = sbom.sbom("stream", {"tini": "0.19.0-1+b1"}, PYTHON)
    document = json.loads(text)
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    assert document["metadata"]["component"]["name"] == "stream"
    assert {part["purl"] for part in document["components"]} == {
        "pkg:deb/debian/tini@0.19.0-1%2Bb1",
        "pkg:pypi/msgspec@0.22.0",
        "pkg:pypi/dagster-aws@0.29.13",
        "pkg:pypi/ruamel.yaml@0.19.1",
    }


def test_an_image_lists_its_packages_itself() -> None:
    answers = {sbom.DEBIAN: "tini 0.19.0-1+b1\nlibc6 2.36-9\n", sbom.PYTHON: "msgspec 0.22.0\n"}
    debian, python = sbom.packages(lambda words: answers[tuple(words)])
    assert (debian, python) == (
        {"tini": "0.19.0-1+b1", "libc6": "2.36-9"},
        {"msgspec": "0.22.0"},
    )


@pytest.mark.parametrize(
    ("python", "found"),
    [
        pytest.param(PYTHON, [], id="as locked, however the name is written"),
        pytest.param({"msgspec": "0.22.1"}, ["msgspec==0.22.1"], id="another version"),
        pytest.param(
            {"polygon-assets": "0.1.0"}, ["polygon-assets==0.1.0"], id="in a comment only"
        ),
    ],
)
def test_a_package_beside_the_lock_is_found(python: dict[str, str], found: list[str]) -> None:
    assert sbom.not_locked(python, LOCK) == found
