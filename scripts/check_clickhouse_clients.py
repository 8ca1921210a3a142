"""Run ClickHouse's Java and Go clients, with their default settings, against the embedded server.

`python -m scripts.check_clickhouse_clients` builds the programs of `clickhouse_clients/`, lets each
client copy a table and compares its output and its rows with the expected ones. Programs that
cannot be built here (no Maven, no Go, no package registry) are skipped with a reason; with
NO_SKIPS, as in CI, that is a failure. The first run takes minutes, so `make test` has fast tests of
the same bytes instead (test_clickhouse_blocks, test_clickhouse_protocol).
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from clickhouse_connect.driver.client import Client

from polygon_assets.clients import clickhouse
from polygon_assets.local.launcher.ports import HOST
from polygon_assets.local.launcher.stack import running_stack
from polygon_assets.settings import Settings

SOURCES = Path(__file__).with_name("clickhouse_clients")
# The newest release, and the last one before the rewrite of the JDBC driver, which most
# installations still use.
JAVA_RELEASES = ("0.11.1", "0.7.2")
ROWS = 2000
SOURCE_TABLE = "clients_source"
TARGET_PREFIX = "clients_"
_BUILD_SECONDS, _RUN_SECONDS = 900, 300
_TIMES = "1767319445000 1767323045678"
_TYPES = "DateTime('Europe/Berlin') DateTime64(3, 'UTC')"

JAVA_EXPECTED = {
    "jdbc": {
        "types": _TYPES, "instants": _TIMES, "left at": "999", "error": "raised", "alive": "1",
    },
    "client-v2": {
        "ping": "true", "types": _TYPES, "instants": _TIMES,
        "query id": "java's own = java's own", "left at": "999", "error": "raised", "alive": "1",
    },
    "client-v1": {"ping": "true", "written": str(ROWS), "sum": "4999950000"},
}  # fmt: skip
_GO_VALUES = {
    "types": _TYPES, "instants": f"{_TIMES} Europe/Berlin", "query id": "go's own",
    "left at": "999", "error": "raised", "alive": "1",
}  # fmt: skip
GO_EXPECTED = dict.fromkeys(("go_default", "go_lz4", "go_zstd", "go_gzip"), _GO_VALUES)


class UnavailableError(Exception):
    """A tool or its package registry is missing; the message names it."""


@dataclass(frozen=True)
class Program:
    """A built program, the expected output of its clients, and the tables it writes."""

    name: str
    command: tuple[str, ...]
    expected: Mapping[str, Mapping[str, str]]

    @property
    def tables(self) -> list[str]:
        return [TARGET_PREFIX + client.replace("-", "_") for client in self.expected]


def main() -> int:
    """Exit code 0 when every client that could be built read and wrote the expected values.

    With NO_SKIPS, exit code 1 when one could not be built.
    """
    passed, failed, skipped = 0, 0, 0
    with TemporaryDirectory() as folder:
        programs: list[Program] = []
        for name, build in (
            *((release, build_java) for release in JAVA_RELEASES),
            ("go", build_go),
        ):
            try:
                programs.append(build(name, Path(folder)))
            except UnavailableError as error:
                print(f"skipped: {error}", flush=True)
                skipped += 1
        if not programs:
            print(f"0 passed, 0 failed, {skipped} skipped")
            return _exit_code(0, skipped)
        with running_stack(
            Path(folder) / "stack", only=("clickhouse",), fixed_ports=False
        ) as stack:
            for program in programs:
                problems = list(check(program, stack.settings()))
                print(f"{program.name}: {'; '.join(problems) or 'as expected'}", flush=True)
                failed, passed = failed + bool(problems), passed + (not problems)
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return _exit_code(failed, skipped)


def _exit_code(failed: int, skipped: int) -> int:
    return 1 if failed or (skipped and os.environ.get("NO_SKIPS")) else 0


def build_java(release: str, folder: Path) -> Program:
    """Build the Java program with one release of the clients.

    Raises UnavailableError without Java, Maven or its registry; exits if the program does not
    compile.
    """
    for tool in ("java", "javac", "mvn"):
        if not shutil.which(tool):
            raise UnavailableError(f"Java clients {release}: `{tool}` is not installed")
    project = folder / f"java-{release}"
    shutil.copytree(SOURCES / "java", project)
    maven = [
        "mvn",
        "-B",
        "-q",
        "-Dstyle.color=never",
        "-f",
        str(project / "pom.xml"),
        f"-Dclickhouse.version={release}",
    ]
    copied = _run([*maven, "dependency:copy-dependencies", f"-DoutputDirectory={project / 'libs'}"])
    if copied.returncode:
        raise UnavailableError(
            f"Java clients {release}: Maven could not download them: {_first_line(copied)}"
        )
    libraries = f"{project / 'libs'}/*"
    sources = [str(path) for path in project.glob("src/main/java/*.java")]
    _compile(["javac", "-d", str(project / "classes"), "-cp", libraries, *sources])
    path = f"{project / 'classes'}:{libraries}"
    command = ("java", "-Xmx512m", "-Duser.timezone=UTC", "-cp", path, "ClickHouseClients")
    return Program(f"Java clients {release}", command, JAVA_EXPECTED)


def build_go(_name: str, folder: Path) -> Program:
    """Build the Go program.

    Raises UnavailableError without Go or its module proxy; exits if the program does not compile.
    """
    if not shutil.which("go"):
        raise UnavailableError("clickhouse-go: `go` is not installed")
    project = folder / "go"
    shutil.copytree(SOURCES / "go", project)
    fetched = _run(["go", "mod", "download"], project)
    if fetched.returncode:
        raise UnavailableError(
            f"clickhouse-go: its modules could not be downloaded: {_first_line(fetched)}"
        )
    _compile(["go", "build", "-o", "check", "."], project)
    return Program("clickhouse-go over HTTP", (str(project / "check"),), GO_EXPECTED)


def check(program: Program, settings: Settings) -> Iterator[str]:
    """Run a program; returns the differences from its expected output and rows."""
    with clickhouse.connect(settings, database="market") as client:
        _create_tables(client, program.tables)
        password = settings.clickhouse_password.get_secret_value()
        arguments = (
            HOST,
            str(settings.clickhouse_port),
            settings.clickhouse_user,
            password,
            SOURCE_TABLE,
            TARGET_PREFIX,
        )
        ended = _run([*program.command, *arguments], seconds=_RUN_SECONDS)
        if ended.returncode:
            yield f"ended with code {ended.returncode}: {ended.stderr.strip()[-2000:]}"
        output = {
            (name, item): value
            for name, item, value in (line.split("\t", 2) for line in ended.stdout.splitlines())
        }
        for name, checks in program.expected.items():
            for item, value in checks.items():
                if output.get((name, item)) != value:
                    yield f"{name}: {item} is {output.get((name, item))!r}, not {value!r}"
        yield from (
            f"{table} differs from {SOURCE_TABLE}"
            for table in program.tables
            if not _same_rows(client, table)
        )


def _create_tables(client: Client, tables: list[str]) -> None:
    """Create empty target tables, and a source with values and NULLs in every nullable column."""
    for table in (SOURCE_TABLE, *tables):
        client.command(
            f"CREATE OR REPLACE TABLE {table} AS market.stock_aggregates "
            "ENGINE = MergeTree ORDER BY (symbol, start_timestamp)"
        )
    client.command(
        (SOURCES / "source_rows.sql").read_text(), parameters={"table": SOURCE_TABLE, "rows": ROWS}
    )


def _same_rows(client: Client, table: str) -> bool:
    rows = "SELECT count(), sum(cityHash64(tuple(*))) FROM {table:Identifier}"
    read, written = (
        client.query(rows, parameters={"table": name}).result_rows for name in (SOURCE_TABLE, table)
    )
    return read == written and read[0][0] == ROWS


def _run(
    command: list[str], folder: Path | None = None, seconds: int = _BUILD_SECONDS
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=seconds, check=False
    )


def _compile(command: list[str], folder: Path | None = None) -> None:
    compiled = _run(command, folder)
    if compiled.returncode:
        sys.exit(f"{' '.join(command[:2])} failed: {compiled.stderr[-3000:]}")


def _first_line(ended: subprocess.CompletedProcess[str]) -> str:
    lines = [line for line in (ended.stdout + ended.stderr).splitlines() if line.strip()]
    return lines[0][:300] if lines else f"exit code {ended.returncode}"


if __name__ == "__main__":
    sys.exit(main())
