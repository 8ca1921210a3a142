"""The parts of an image as a CycloneDX 1.6 document: its Debian and its Python packages.

It is made from what the image itself lists; `not_locked` compares that with the lock. Add a kind of
package here; building the images belongs to `check_images`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

Packages = Mapping[str, str]
"""Versions by name."""
DEBIAN = ("dpkg-query", "--show", "--showformat", "${Package} ${Version}\\n")
PYTHON = (
    "/opt/app/bin/python",
    "-c",
    "from importlib.metadata import distributions\n"
    "for part in distributions(): print(part.metadata['Name'], part.version)",
)


def packages(run: Callable[[Sequence[str]], str]) -> tuple[Packages, Packages]:
    """Debian's and Python's packages of an image in which `run` runs a command."""
    debian, python = (
        dict(line.split() for line in run(words).splitlines()) for words in (DEBIAN, PYTHON)
    )
    return debian, python


def sbom(image: str, debian: Packages, python: Packages) -> str:
    """The document. Raises ValueError where CycloneDX's schema refuses it."""
    bom = Bom(
        components=[*_components("deb", "debian", debian), *_components("pypi", None, python)]
    )
    bom.metadata.component = Component(name=image, type=ComponentType.CONTAINER, bom_ref=image)
    bom.register_dependency(bom.metadata.component, bom.components)
    text = JsonV1Dot6(bom).output_as_string(indent=2)
    if error := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        raise ValueError(f"the SBOM of {image} breaks CycloneDX's schema: {error}")
    return text


def _components(kind: str, namespace: str | None, versions: Packages) -> Iterator[Component]:
    for name, version in sorted(versions.items()):
        purl = PackageURL(kind, namespace, name, version)
        yield Component(
            name=name,
            version=version,
            type=ComponentType.LIBRARY,
            purl=purl,
            bom_ref=purl.to_string(),
        )


def not_locked(python: Packages, lock: Iterable[str]) -> list[str]:
    """The packages of an image that the lines of a lock do not have in that version."""
    locked = {line.split()[0] for line in lock if "==" in line and not line.startswith((" ", "#"))}
    return sorted(
        entry
        for name, version in python.items()
        if (entry := f"{name.lower().replace('_', '-').replace('.', '-')}=={version}") not in locked
    )


def write(folder: Path, image: str, debian: Packages, python: Packages) -> Path:
    """Write the document of an image; its path."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"sbom-{image}.json"
    file.write_text(sbom(image, debian, python))
    return file
