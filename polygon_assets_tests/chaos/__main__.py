"""`make chaos`: strike a running system with faults for some minutes, then prove its tables.

Add an option of the run here. The exit code is 1 if anything was lost, wrong, orphaned or did not
recover.
"""

import logging
import random
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click

from polygon_assets.local.exchange.market.market import Market
from polygon_assets.local.launcher.servers import EMBEDDED, KAFKAS
from polygon_assets.market_calendar import MarketCalendar
from polygon_assets_tests.chaos.faults import can_cut_connections, catalogue
from polygon_assets_tests.chaos.report import Show
from polygon_assets_tests.chaos.run import Run
from polygon_assets_tests.chaos.system import System, small_disk

DISK_MB = 4096
ACTIVITY = 50.0
"""Nearly every ticker trades every second."""


@click.command()
@click.option("--minutes", default=3.0, show_default=True, help="How long faults strike.")
@click.option("--seed", type=int, help="Repeats the faults of an earlier run; random by default.")
@click.option("--kafka", type=click.Choice(sorted(KAFKAS)), default=EMBEDDED, show_default=True)
@click.option("--tickers", default=300, show_default=True, help="Tickers, one row a second each.")
@click.option("--only", default="", help="Only faults with one of these in their name: A,B,C.")
@click.option(
    "--keep",
    type=click.Path(path_type=Path),
    help="Folder for the logs and Dagster's storage of a run that failed.",
)
@click.option("--clock/--no-clock", default=False, help="Also set this machine's clock (root).")
@click.option(
    "--no-skips",
    is_flag=True,
    envvar="NO_SKIPS",
    help="Fail where this machine does not allow a fault, as CI does.",
)
def main(
    minutes: float,
    seed: int | None,
    kafka: str,
    tickers: int,
    only: str,
    *,
    keep: Path | None,
    clock: bool,
    no_skips: bool,
) -> None:
    """Strike the whole system with random faults, then compare its tables with the truth."""
    names = only.split(",")
    known = [fault.kind.name for fault in catalogue(disk=True, clock=True)]
    if not any(part in name for name in known for part in names):
        raise click.BadParameter(f"no fault has one of {names} in its name", param_hint="--only")
    seed = random.SystemRandom().randrange(10**6) if seed is None else seed
    _prepare_process()
    show = Show()
    show.begin(seed, minutes, kafka, tickers)
    with (
        tempfile.TemporaryDirectory(prefix="chaos-", ignore_cleanup_errors=True) as folder,
        small_disk(Path(folder), DISK_MB) as has_disk,
    ):
        options = ["--tickers", str(tickers), "--activity", str(ACTIVITY), "--kafka", kafka]
        system = System(Path(folder), options)
        left_out = list(_left_out(has_disk=has_disk))
        show.left_out(left_out)
        if left_out and no_skips:
            sys.exit(1)
        market = Market(tickers=tickers, calendar=MarketCalendar("24/7"), activity=ACTIVITY)
        faults = [
            fault
            for fault in catalogue(disk=has_disk, clock=clock)
            if any(part in fault.kind.name for part in names)
        ]
        run = Run(system, market, faults, random.Random(seed), show)
        try:
            run.strike_and_prove(minutes)
        except AssertionError as error:
            show.failure(error, Path(folder) / "dev.log")
            if keep:
                for part in ("logs", "home/.local/dagster"):
                    shutil.copytree(Path(folder) / part, keep / part, dirs_exist_ok=True)
            sys.exit(1)
        finally:
            system.kill_all()


def _prepare_process() -> None:
    # Its errors are what the faults cause; those that last are problems of the recovery.
    logging.getLogger("clickhouse_connect").setLevel(logging.CRITICAL)
    # Whoever ends the run ends its system too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    # A script's background process inherits an ignored SIGINT, and so would `dev`.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _left_out(*, has_disk: bool) -> Iterator[str]:
    """The faults that this machine does not allow, with the reason."""
    if not has_disk:
        yield "the full disk, because no file system can be mounted"
    if not can_cut_connections():
        yield "cut connections, which need root and `ss`"


if __name__ == "__main__":
    main()
