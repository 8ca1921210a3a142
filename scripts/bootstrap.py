"""Prepare .venv. The Makefile runs this with any python3: plain syntax, standard library only.

An incomplete .venv, or one of another Python, is replaced; a complete one is updated to the lock.
"""

import glob
import os
import re
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".venv")
PYTHON = os.path.join(VENV, "bin", "python")
FORMER = VENV + ".former"
READY = os.path.join(VENV, ".ready")
PACKAGES = "# installed\n"
LOCK = os.path.join(ROOT, "requirements.lock")
NEEDED_BYTES = 3 * 1024**3  # .venv takes 1.6 GB, and the installer as much again while it unpacks


def check_machine() -> None:
    if sys.version_info < (3, 11):
        sys.exit(
            "Python 3.11 or newer is needed, this is %d.%d: make PYTHON=/path/to/python3.11 dev"
            % sys.version_info[:2]
        )
    free = shutil.disk_usage(ROOT).free
    if free < NEEDED_BYTES:
        sys.exit(
            "%.1f GB are free in %s, %.0f GB are needed: free some space"
            % (free / 1024.0**3, ROOT, NEEDED_BYTES / 1024.0**3)
        )


def set_aside() -> None:
    """Keep the old .venv until the new one is complete: a failed download must not leave none."""
    shutil.rmtree(FORMER, ignore_errors=True)
    if os.path.exists(VENV):
        print("replacing an incomplete or outdated .venv", flush=True)
        os.rename(VENV, FORMER)


def put_back() -> None:
    shutil.rmtree(VENV, ignore_errors=True)
    if os.path.exists(FORMER):
        os.rename(FORMER, VENV)
        print("the former .venv is restored", flush=True)


def make_venv() -> None:
    if subprocess.call([sys.executable, "-m", "venv", VENV]):
        shutil.rmtree(VENV, ignore_errors=True)
        sys.exit(
            "%s -m venv could not create %s; on Debian and Ubuntu: apt install python3-venv"
            % (sys.executable, VENV)
        )


def locked_block(name: str) -> str:
    """The lines of a package in the lock, including its hashes."""
    with open(LOCK) as file:
        match = re.search(r"^%s==.*?(?=^\S|\Z)" % name, file.read(), re.MULTILINE | re.DOTALL)
    if match is None:
        sys.exit("%s is not in %s: restore that file" % (name, LOCK))
    return match.group()


def install() -> None:
    """Install the locked packages with uv (seconds), or with pip (minutes) if uv fails.

    uv ignores pip's own configuration, which some machines need to reach the packages.
    """
    block = os.path.join(VENV, "uv.lock.txt")
    with open(block, "w") as file:
        file.write(locked_block("uv"))
    print("installing the locked packages into .venv (once; a minute or two)", flush=True)
    pip = [PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run([*pip, "--require-hashes", "--no-deps", "-r", block])
    uv = [PYTHON, "-m", "uv", "pip"]
    sync = ["sync", "--quiet", "--python", PYTHON, "--require-hashes", LOCK]
    project = ["--no-deps", "--no-build-isolation", "-e", ROOT]
    if subprocess.call([*uv, *sync]):
        print("uv could not install the packages; trying pip", flush=True)
        run([*pip, "--require-hashes", "--no-deps", "-r", LOCK])
        run([*pip, *project])
    else:
        run([*uv, "install", "--quiet", "--python", PYTHON, *project])


# `list` without a type argument: some Pythons that must parse this file do not support `list[str]`.
def run(command: list) -> None:  # type: ignore[type-arg]
    if subprocess.call(command):
        sys.exit(
            "failed: %s\nthe lines above give the reason; correct it and run the same make command "
            "again" % " ".join(command)
        )


def python_and_folder() -> str:
    """The Python and the folder of a .venv; if one of them changes, .venv must be replaced."""
    return "%s\n%s\n" % (sys.version, ROOT)


def locked() -> str:
    with open(LOCK) as lock:
        return lock.read()


def packages() -> str:
    """The installed packages, a line each, so that the next start detects a removed package."""
    paths = glob.glob(os.path.join(VENV, "lib", "python*", "site-packages", "*.dist-info"))
    return "".join(os.path.basename(path) + "\n" for path in sorted(paths))


def recorded() -> str:
    """The recorded Python, folder, lock and packages of a complete .venv; empty if incomplete."""
    if not (os.path.exists(READY) and os.path.exists(PYTHON)):
        return ""
    with open(READY) as file:
        return file.read()


def missing(recorded_packages: str) -> list:  # type: ignore[type-arg]
    """Recorded packages that are no longer installed."""
    installed = set(packages().splitlines())
    return [
        name.replace(".dist-info", "")
        for name in recorded_packages.splitlines()
        if name not in installed
    ]


def main() -> None:
    made_from, _, recorded_packages = recorded().partition(PACKAGES)
    removed = missing(recorded_packages)
    if made_from == python_and_folder() + locked() and not removed:
        return
    check_machine()
    if removed:
        print("missing from .venv, installing again: %s" % ", ".join(removed[:5]), flush=True)
    if made_from.startswith(python_and_folder()):
        os.remove(READY)  # an interrupted installation must not count as complete
        install()
    else:
        replace_venv()
    with open(READY, "w") as file:
        file.write(python_and_folder() + locked() + PACKAGES + packages())


def replace_venv() -> None:
    set_aside()
    try:
        make_venv()
        install()
    except BaseException:
        put_back()
        raise
    shutil.rmtree(FORMER, ignore_errors=True)


if __name__ == "__main__":
    main()
