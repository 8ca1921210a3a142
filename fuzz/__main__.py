"""`python -m fuzz`: every target in a process of its own, and a table of what came of it.

Only the command line belongs here; how inputs are chosen belongs to `engine`.
"""

import importlib.util
import re
import subprocess
import sys
import time
from typing import TypedDict, Unpack

import click
import msgspec

from fuzz import engine
from fuzz.engine import Failure, Outcome

FORM = "{:<14}{:>14}{:>10}{:>14}{:>12}{:>10}"
TARGET_NAMES = (
    "frames", "neighbours", "raw", "filtered", "dead letters", "gaps", "received", "heartbeats",
    "answers", "daily bars", "csvs", "settings",
)  # fmt: skip
"""The keys of TARGETS, whose import would cost this process seconds."""
MORE_SECONDS = 120
"""What a target's process may take beyond its time, for imports and the last input."""


class Options(TypedDict):
    """How long and how each target runs."""

    seconds: float
    runs: int
    seed: int
    coverage: bool


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("names", nargs=-1)
@click.option("--seconds", default=10.0, show_default=True, help="For each target.")
@click.option("--runs", default=10**9, help="Most executions of each target.")
@click.option("--seed", default=1, show_default=True, help="The same seed, the same inputs.")
@click.option(
    "--coverage", is_flag=True, help="Let atheris choose inputs by coverage (pip install atheris)."
)
@click.option("--child", is_flag=True, hidden=True)
def main(names: tuple[str, ...], child: bool, **options: Unpack[Options]) -> None:
    """Run every reader of outside input, or the named ones, on mutated inputs."""
    if options["coverage"] and importlib.util.find_spec("atheris") is None:
        raise click.UsageError("--coverage needs atheris: .venv/bin/pip install atheris")
    if unknown := set(names) - set(TARGET_NAMES):
        raise click.UsageError(f"no target {sorted(unknown)}; there are {', '.join(TARGET_NAMES)}")
    if child:
        _run(names[0], options)
        return
    print(FORM.format("target", "executions", "seconds", "executions/s", "peak MB", "failures"))
    failures = [
        f"{name}: {failure.error}\n    {failure.data!r}"
        for name in names or TARGET_NAMES
        for failure in _in_a_process(name, options).failures
    ]
    print("\n".join(failures))
    sys.exit(1 if failures else 0)


def _run(name: str, options: Options) -> None:
    limits = options["seed"], options["seconds"], options["runs"]
    if options["coverage"]:
        engine.by_coverage(name, *limits)
    outcome = engine.by_mutation(name, *limits)
    sys.stdout.buffer.write(msgspec.json.encode(outcome))


def _in_a_process(name: str, options: Options) -> Outcome:
    """Run a target and print its row of the table."""
    limits = [
        f"--seconds={options['seconds']}",
        f"--runs={options['runs']}",
        f"--seed={options['seed']}",
    ]
    command = [sys.executable, "-m", "fuzz", name, "--child", *limits]
    started = time.monotonic()
    ended = subprocess.run(
        [*command, "--coverage"] if options["coverage"] else command,
        capture_output=True,
        check=False,
        timeout=options["seconds"] + MORE_SECONDS,
    )
    if options["coverage"]:
        outcome = _of_coverage(ended, time.monotonic() - started)
    elif ended.returncode:
        outcome = Outcome(0, 0.0, 0.0, [_death(ended)])
    else:
        outcome = msgspec.json.decode(ended.stdout, type=Outcome)
    numbers = (outcome.executions, outcome.seconds, outcome.per_second, outcome.peak_mb)
    print(FORM.format(name, *(f"{number:,.0f}" for number in numbers), len(outcome.failures)))
    return outcome


def _of_coverage(ended: subprocess.CompletedProcess[bytes], seconds: float) -> Outcome:
    """The outcome in libFuzzer's statistics, and in the line that a failure printed."""
    stats = dict(re.findall(r"stat::(\w+):\s+(\d+)", ended.stderr.decode(errors="replace")))
    failures = [msgspec.json.decode(line, type=Failure) for line in ended.stdout.splitlines()]
    if ended.returncode and not failures:
        failures = [_death(ended)]
    executions = int(stats.get("number_of_executed_units", 0))
    return Outcome(executions, seconds, float(stats.get("peak_rss_mb", 0)), failures)


def _death(ended: subprocess.CompletedProcess[bytes]) -> Failure:
    return Failure(f"the process ended with code {ended.returncode}", ended.stderr[-1000:])


if __name__ == "__main__":
    main()
