"""Build both images of deploy/Dockerfile and run their commands against the embedded stack.

`python -m scripts.check_images` needs root, buildah and debootstrap, but no container engine: the
base is a fresh Debian, and the containers are chroots. It takes about five minutes, and 6 GB in a
temporary folder.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from polygon_assets.clients import subscription_store
from polygon_assets.local.launcher.ports import HOST, free_port
from polygon_assets.local.launcher.stack import Stack, running_stack
from polygon_assets.subscriptions import accept
from scripts import sbom

PROJECT = Path(__file__).parents[1]
CONTEXT = (
    "pyproject.toml",
    "requirements.lock",
    "README.md",
    "dagster.yaml",
    "workspace.yaml",
    "polygon_assets",
    "deploy/ca",
    "deploy/Dockerfile",
    "deploy/stream-requirements.txt",
    "deploy/dagster.yaml",
    "deploy/workspace.yaml",
    "deploy/aws/dagster.yaml",
    "deploy/aws/workspace.yaml",
)
BASE = "localhost/base"
PACKAGES = "python3,python3-venv,ca-certificates"
CERTIFICATES = Path("/usr/local/share/ca-certificates")
"""This machine's own authorities, which its package registries may use."""
READ_ONLY = """
mount --bind "$0" "$0"
mount -o remount,ro,bind "$0"
mount -t tmpfs tmpfs "$0/tmp"
mount -t proc proc "$0/proc"
mount --rbind /dev "$0/dev"
exec "$@"
"""
"""In a mount namespace of its own, which ends with the process."""
START_SECONDS = 90.0


class CheckError(Exception):
    """An image cannot be built, or its command does something else than expected."""


class Images:
    """Builds and runs images with buildah, all below one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tool = ("buildah", "--root", f"{folder}/images", "--runroot", f"{folder}/run")

    def make_base(self) -> None:
        """A fresh Debian with Python, as the image BASE."""
        root = self._folder / "debian"
        run(("debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", str(root)))
        container = self._buildah("from", "scratch")
        run(("cp", "-a", f"{root}/.", self._buildah("mount", container)))
        self._buildah("commit", "-q", "--rm", container, BASE)
        shutil.rmtree(root)

    def build(self, target: str) -> None:
        context = self._folder / "context"
        if not context.exists():
            copy_context(context)
        self._buildah(
            "bud",
            "--pull-never",
            "--layers",  # the second image uses the first one's stages
            f"--build-arg=BASE={BASE}",
            f"--target={target}",
            f"--file={context}/deploy/Dockerfile",
            f"--tag=localhost/{target}",
            str(context),
        )

    def unmount(self) -> None:
        """Release the roots of all containers, without which their folder cannot be deleted."""
        self._buildah("umount", "--all")

    def sizes(self) -> dict[str, str]:
        """The size of each image by its name, the base included."""
        images = json.loads(self._buildah("images", "--json"))
        return {name: image["size"] for image in images for name in image["names"] or ()}

    def command(
        self, target: str, arguments: Sequence[str], environment: Mapping[str, str]
    ) -> tuple[str, ...]:
        """Runs `polygon-assets ARGUMENTS` in a new container, as the image's own user."""
        container = self._buildah("from", "--pull-never", f"localhost/{target}")
        variables = [f"--env={name}={value}" for name, value in environment.items()]
        words = ["tini", "-s", "--", "polygon-assets", *arguments]
        return (*self._tool, "run", *variables, container, "--", *words)

    def read_only_command(
        self, target: str, words: Sequence[str], environment: Mapping[str, str]
    ) -> tuple[str, ...]:
        """Runs words in a new container whose root is mounted read-only, with a writable /tmp.

        As Kubernetes, ECS and `docker run --read-only` do; buildah itself has no such option.
        """
        container = self._buildah("from", "--pull-never", f"localhost/{target}")
        root = self._buildah("mount", container)
        image = json.loads(self._buildah("inspect", container))["OCIv1"]["config"]
        variables = [*image["Env"], *(f"{name}={value}" for name, value in environment.items())]
        user = ("chroot", f"--userspec={image['User']}", root, "env", "-i", *variables)
        mounts = ("unshare", "--mount", "--propagation=private", "sh", "-ec", READ_ONLY, root)
        return (*mounts, *user, *words)

    def _buildah(self, *arguments: str) -> str:
        return run((*self._tool, *arguments))


def main() -> int:
    """Exit code 0 when both images are built and each command does what it should."""
    os.environ["BUILDAH_ISOLATION"] = "chroot"  # needs no further rights than root's
    with TemporaryDirectory() as folder:
        images = Images(Path(folder))
        try:
            images.make_base()
            for target in ("stream", "dagster"):
                images.build(target)
                check_parts(images, target)
            print(images.sizes(), flush=True)
            with running_stack(Path(folder) / "stack", fixed_ports=False) as stack:
                check(images, stack, Path(folder) / "producer.log")
        except CheckError as error:
            print(error)
            return 1
        finally:
            images.unmount()
    return 0


def check_parts(images: Images, target: str) -> None:
    """Write the image's SBOM. Raises CheckError for a Python package that is not in the lock."""
    debian, python = sbom.packages(lambda words: run(images.read_only_command(target, words, {})))
    own = {"polygon-assets"}
    foreign = sbom.not_locked(
        {name: version for name, version in python.items() if name not in own},
        (PROJECT / "requirements.lock").read_text().splitlines(),
    )
    if foreign:
        raise CheckError(f"the image {target} has packages beside the lock: {foreign}")
    file = sbom.write(PROJECT / "build", target, debian, python)
    print(f"{file}: {len(debian)} packages of Debian, {len(python)} of Python", flush=True)


def check(images: Images, stack: Stack, log: Path) -> None:
    """Raises CheckError for a command of an image that does something else than expected."""
    settings, environment = stack.settings(), stack.environment()
    accepted = accept("channel\nA.AAPL\n", ("A.AAPL",), "etag-1", "2026-01-02T00:00:00+00:00")
    subscription_store.connect(settings).publish(accepted)
    print(run(images.command("stream", ["migrate"], environment)))
    metrics = {"METRICS_PORT": str(free_port(0, set()))}
    check_read_only(images)
    words = ["tini", "-s", "--", "polygon-assets", "stream", "producer"]
    producer = images.read_only_command("stream", words, environment | metrics)
    health = images.command("stream", ["health", "producer", "--ready"], environment | metrics)
    with log.open("wb") as file:
        process = psutil.Popen(producer, stdout=file, stderr=file)
    try:
        print(until_it_succeeds(health, log))
        # As an engine does: SIGTERM to the container's first process, which passes it on.
        parts = [process, *process.children(recursive=True)]
        [first] = [part for part in parts if part.name() == "tini"]
        first.terminate()
        if process.wait(60) or "draining" not in log.read_text():
            raise CheckError(f"the producer did not drain after SIGTERM:\n{log.read_text()}")
    finally:
        with suppress(psutil.NoSuchProcess):
            for part in process.children(recursive=True):
                part.kill()
    print(run(images.command("dagster", ["doctor"], environment)))
    check_page(images, environment, log.with_name("page.log"))


def check_page(images: Images, environment: dict[str, str], log: Path) -> None:
    """Raise CheckError unless a view is served, with a read-only root, and asks for the login."""
    port = free_port(0, set())
    address = f"http://{HOST}:{port}"
    words = ["polygon-assets", "page", "--host", "0.0.0.0", "--port", str(port)]
    login = {"PAGE_PASSWORD": "local", "PAGE_COOKIE_SECRET": "local"}
    with log.open("wb") as file:
        page = images.read_only_command("dagster", words, environment | login)
        process = psutil.Popen(page, stdout=file, stderr=file)
    try:
        print(until_it_succeeds(("curl", "-fsS", f"{address}/liveness?endpoint=/trust"), log))
        target = ("--write-out", "%{http_code} %{redirect_url}", f"{address}/trust")
        answer = run(("curl", "-sS", "--output", "/dev/null", *target))
        if not answer.startswith(f"302 {address}/login"):
            raise CheckError(f"a visitor without a login is not sent to it: {answer}")
    finally:
        for part in [process, *process.children(recursive=True)]:
            part.kill()
        process.wait()


def check_read_only(images: Images) -> None:
    """Raise CheckError if a process can write to the container's root."""
    answer = subprocess.run(
        images.read_only_command("stream", ["touch", "/opt/app/written"], {}),
        capture_output=True,
        text=True,
        check=False,
    )
    if "Read-only file system" not in answer.stderr:
        raise CheckError(f"the container's root is writable: {answer.returncode} {answer.stderr}")


def until_it_succeeds(command: Sequence[str], log: Path) -> str:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            return run(command)
        except CheckError as error:
            if time.monotonic() > deadline:
                raise CheckError(f"{error}\nthe program's log:\n{log.read_text()}") from None
            time.sleep(1)


def copy_context(folder: Path) -> None:
    """What an image is built from, with this machine's own authorities."""
    for name in CONTEXT:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (PROJECT / name).is_dir() else shutil.copy
        copy(PROJECT / name, folder / name)
    for certificate in CERTIFICATES.glob("*.crt"):
        shutil.copy(certificate, folder / "deploy" / "ca")


def run(command: Sequence[str]) -> str:
    """The standard output of a command. Raises CheckError if it fails, with all its output."""
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode:
        output = (answer.stdout + answer.stderr)[-4000:]
        raise CheckError(f"{' '.join(command)} failed ({answer.returncode}):\n{output}")
    return answer.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
