"""`status` and `doctor`: print the state of the running system; they change nothing.

Add a read-only command here; what it reads, and how that is judged and drawn, belongs to
`polygon_assets.inspection`.
"""

import datetime as dt
import json
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from polygon_assets.commands.endpoints import DATA, read_endpoints

if TYPE_CHECKING:
    from polygon_assets.settings import Settings

WATCH_SECONDS = 2.0


@click.command()
@click.option(
    "--json", "as_json", is_flag=True, help="For scripts; with --watch, one line per check."
)
@click.option("--watch", is_flag=True, help="Check again every two seconds until Ctrl-C.")
def status(as_json: bool, watch: bool) -> None:
    """Show each part's reachability, rates, lag, newest event and rows.

    Exit code 1 if something is unhealthy.
    """
    from polygon_assets.inspection.status import Status

    settings, data = read_endpoints()
    read_facts = Status(settings, data, partial(_server_restarts, data)).facts
    if watch:
        _watch(read_facts, as_json)
    facts = read_facts(dt.datetime.now(dt.UTC))
    _show(facts, as_json)
    sys.exit(0 if facts["healthy"] else 1)


def _show(facts: dict[str, Any], as_json: bool) -> None:
    from rich.console import Console

    from polygon_assets.inspection.status_table import render

    if as_json:
        click.echo(json.dumps(facts, indent=2))
    else:
        Console().print(render(facts))


def _watch(read_facts: Callable[[dt.datetime], dict[str, Any]], as_json: bool) -> NoReturn:
    from rich.live import Live

    from polygon_assets.inspection.status_table import render

    try:
        with nullcontext() if as_json else Live(auto_refresh=False) as live:
            while True:
                facts = read_facts(dt.datetime.now(dt.UTC))
                if live:
                    live.update(render(facts), refresh=True)
                else:
                    click.echo(json.dumps(facts))
                time.sleep(WATCH_SECONDS)
    except KeyboardInterrupt:
        sys.exit(0)


@click.command()
@click.option(
    "--entitlements",
    is_flag=True,
    help="Also ask the vendor which endpoints and channels the plan includes: ten requests, and a "
    "WebSocket for a few seconds if no producer runs.",
)
def doctor(entitlements: bool) -> None:
    """Check the settings and each endpoint, and show how to get what is missing.

    Exit code 1 if anything is missing; a warning leaves it at 0.
    """
    from polygon_assets.batch.airbyte.connector import CONNECTIONS
    from polygon_assets.inspection import doctor as checks

    settings, data = read_endpoints()
    if entitlements and (seconds := checks.entitlement_seconds(settings)):
        click.echo(
            f"POLYGON_REQUESTS_PER_MINUTE={settings.polygon_requests_per_minute}: asking about the "
            f"plan takes at least {seconds:.0f} s"
        )
    everything_ok = True
    for finding in checks.examine(settings, data or DATA, CONNECTIONS, entitlements=entitlements):
        everything_ok &= finding.ok
        click.echo(f"{'ok     ' if finding.ok else 'MISSING'} {finding.name}: {finding.message}")
        if not finding.ok:
            click.echo(f"        {finding.cure}")
        elif finding.name == "Kafka":
            _warn_of_other_topics(settings)
    sys.exit(0 if everything_ok else 1)


def _warn_of_other_topics(settings: "Settings") -> None:
    """Warn of topics that differ from their declaration: the programs work with them all the same.

    Users, rights and quotas are left to `topics plan`, which an administrator runs.
    """
    from polygon_assets.provisioning import kafka_cluster
    from polygon_assets.provisioning.topic_plan import Declaration, plan
    from polygon_assets.topics import declared

    declaration = Declaration(declared(settings), settings.kafka_replication_factor)
    try:
        found = plan(declaration, kafka_cluster.read(settings, declaration))
    except kafka_cluster.KafkaClusterError as error:
        click.echo(f"warning topics: not compared: {error}")
        return
    for line in [*map(str, found.changes), *found.refusals]:
        click.echo(f"warning topics: {line.lstrip('+~! ').removeprefix('topic ')}")
    if found.changes:
        click.echo("        `polygon-assets topics plan` shows it, `topics apply` changes it")


def _server_restarts(data: Path | None) -> dict[str, int]:
    from polygon_assets.local.launcher.state import read_restarts

    return read_restarts(data) if data else {}
