"""Make .venv ready: run by the Makefile with whatever python3 there is, so plain syntax and the standard library alone.

A .venv that is half made, or made by another Python, is made anew; one that is complete follows the lock.
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
    """Keep a .venv that worked until the new one is complete: without a network there would be none at all."""
    shutil.rmtree(FORMER, ignore_errors=True)
    if os.path.exists(VENV):
        print("replacing an incomplete or outdated .venv", flush=True)
        os.rename(VENV, FORMER)


def put_back() -> None:
    shutil.rmtree(VENV, ignore_errors=True)
    if os.path.exists(FORMER):
        os.rename(FORMER, VENV)
        print("the former .venv is back as it was", flush=True)


def make_venv() -> None:
    if subprocess.call([sys.executable, "-m", "venv", VENV]):
        shutil.rmtree(VENV, ignore_errors=True)
        sys.exit(
            "no virtual environment could be made; on Debian and Ubuntu: apt install python3-venv"
        )


def locked_block(name: str) -> str:
    """The lines of one package in the lock, hashes included."""
    with open(LOCK) as file:
        found = re.search(r"^%s==.*?(?=^\S|\Z)" % name, file.read(), re.MULTILINE | re.DOTALL)
    if found is None:
        sys.exit("%s is not in %s: restore that file" % (name, LOCK))
    return found.group()


def install() -> None:
    """uv installs in seconds what takes pip minutes, but it does not know pip's own configuration; where it fails, pip does it."""
    block = os.path.join(VENV, "uv.lock.txt")
    with open(block, "w") as file:
        file.write(locked_block("uv"))
    print("installing the locked packages into .venv (once; a minute or two)", flush=True)
    pip = [PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run([*pip, "--require-hashes", "--no-deps", "-r", block])
    uv = [
        PYTHON,
        "-m",
        "uv",
        "pip",
        "sync",
        "--quiet",
        "--python",
        PYTHON,
        "--require-hashes",
        LOCK,
    ]
    if subprocess.call(uv):
        print("uv could not reach the packages; pip tries", flush=True)
        run([*pip, "--require-hashes", "--no-deps", "-r", LOCK])
        run([*pip, "--no-deps", "--no-build-isolation", "-e", ROOT])
    else:
        run(
            [
                PYTHON,
                "-m",
                "uv",
                "pip",
                "install",
                "--quiet",
                "--python",
                PYTHON,
                "--no-deps",
                "--no-build-isolation",
                "-e",
                ROOT,
            ]
        )


def run(command: list) -> None:  # type: ignore[type-arg]  # list[str] is newer than some Pythons that must read this
    if subprocess.call(command):
        sys.exit(
            "failed: %s\nthe lines above say why; after mending it, run the same make command again"
            % " ".join(command)
        )


def maker() -> str:
    """Which Python made .venv, and where: neither can change under it."""
    return "%s\n%s\n" % (sys.version, ROOT)


def locked() -> str:
    with open(LOCK) as lock:
        return lock.read()


def packages() -> str:
    """What is installed, a line each: one that somebody removes later is missed at the next start."""
    found = glob.glob(os.path.join(VENV, "lib", "python*", "site-packages", "*.dist-info"))
    return "".join(os.path.basename(path) + "\n" for path in sorted(found))


def recorded() -> str:
    """What a complete .venv was made from; empty for one that is half made."""
    if not (os.path.exists(READY) and os.path.exists(PYTHON)):
        return ""
    with open(READY) as file:
        return file.read()


def missing(wanted: str) -> list:  # type: ignore[type-arg]  # list[str] is newer than some Pythons that must read this
    """Packages that were installed and are gone."""
    there = set(packages().splitlines())
    return [name.replace(".dist-info", "") for name in wanted.splitlines() if name not in there]


def main() -> None:
    made_from, _, wanted = recorded().partition(PACKAGES)
    gone = missing(wanted)
    if made_from == maker() + locked() and not gone:
        return
    check_machine()
    if gone:
        print("missing from .venv, and installed again: %s" % ", ".join(gone[:5]), flush=True)
    if made_from.startswith(maker()):
        os.remove(READY)  # an interrupted installation must not count as complete
        install()
    else:
        replace_venv()
    with open(READY, "w") as file:
        file.write(maker() + locked() + PACKAGES + packages())


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
