"""The simulated exchange's command line: reads options, builds the exchange, serves until a signal.

Add an option with its default and help here; its behaviour belongs to the module that uses it.
"""

import asyncio
import datetime as dt
import os
import signal
import time
from typing import Any

import click
import uvloop

from polygon_assets.local.exchange.exchange import Exchange, Options
from polygon_assets.local.exchange.freed_memory import keep_freed_memory
from polygon_assets.local.exchange.market.clock import (
    AFTER_REPLAY_SECONDS,
    Clock,
    ReplayCalendar,
    ReplayClock,
)
from polygon_assets.local.exchange.market.lateness import Rates
from polygon_assets.local.exchange.market.market import Market
from polygon_assets.local.exchange.server import serve
from polygon_assets.local.loopback import (
    EXPOSE_HELP,
    LOOPBACK,
    ExposedHostError,
    refuse_exposed,
)
from polygon_assets.market_calendar import NEW_YORK, MarketCalendar

_SHARE = click.FloatRange(0, 1)
_POSITIVE = click.FloatRange(0, min_open=True)


@click.command()
@click.option("--host", default=LOOPBACK, show_default=True)
@click.option("--expose", is_flag=True, help=EXPOSE_HELP)
@click.option(
    "--port", default=8765, show_default=True, help="0 uses a free port; the address is printed."
)
@click.option(
    "--api-key",
    envvar="POLYGON_API_KEY",
    required=True,
    help="The only accepted key; prefer the variable, others can read a command line.",
)
@click.option("--seed", default=7, show_default=True, help="Another seed is another market.")
@click.option(
    "--tickers",
    type=click.IntRange(min=1),
    default=10_000,
    show_default=True,
    help="Size of the universe.",
)
@click.option(
    "--activity",
    type=_POSITIVE,
    default=1.0,
    show_default=True,
    help="Scales how often tickers trade; 1e9: every ticker in every second.",
)
@click.option("--calendar", type=click.Choice(["NYSE", "24/7"]), default="NYSE", show_default=True)
@click.option(
    "--replay",
    type=click.DateTime(["%Y-%m-%d"]),
    help="Replay this day, starting with the first subscription.",
)
@click.option(
    "--replay-from",
    type=click.DateTime(["%H:%M"]),
    help="New York time HH:MM at which the replay starts; the session's open by default.",
)
@click.option(
    "--speed",
    type=_POSITIVE,
    default=1.0,
    show_default=True,
    help="Speed of a replay, relative to the wall clock.",
)
@click.option(
    "--no-earlier-trades",
    is_flag=True,
    help="The replayed day has no trade before --replay-from, not even in its bars.",
)
@click.option(
    "--hold-seconds",
    default=2.0,
    show_default=True,
    help="Seconds between the end of a market second and its sending.",
)
@click.option(
    "--delayed-minutes", default=15.0, show_default=True, help="Delay of /delayed/stocks."
)
@click.option(
    "--max-connections",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Connections per cluster.",
)
@click.option(
    "--evict",
    type=click.Choice(["older", "newer", "abort"]),
    default="older",
    show_default=True,
    help="Which connection is ended above the cap, or that it is cut off without a status.",
)
@click.option("--auth-seconds", default=10.0, show_default=True, help="Time to authenticate.")
@click.option("--ping-seconds", default=20.0, show_default=True, help="Interval of ping frames.")
@click.option(
    "--buffer-bytes",
    default=8 << 20,
    show_default=True,
    help="Unread bytes after which a client is closed as a slow consumer.",
)
@click.option("--rate-limit", type=int, help="REST requests per minute; unlimited by default.")
@click.option(
    "--correction-rate",
    type=_SHARE,
    default=0.005,
    show_default=True,
    help="Share of bars that are corrected later.",
)
@click.option(
    "--duplicate-rate",
    type=_SHARE,
    default=0.001,
    show_default=True,
    help="Share of bars that are sent twice.",
)
@click.option(
    "--fraction-rate",
    type=_SHARE,
    default=0.02,
    show_default=True,
    help="Share of tickers with fractional volumes.",
)
def main(host: str, expose: bool, port: int, **options: Any) -> None:
    """Serve the vendor's WebSocket (/stocks, /delayed/stocks) and REST API: a synthetic market."""
    try:
        refuse_exposed(host, expose=expose)
    except ExposedHostError as error:
        raise click.UsageError(str(error)) from error
    keep_freed_memory()
    exchange = build_exchange(**options)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(exchange, host, port))
        # Exit at once: a thread may still compute an answer that no client will read.
        os._exit(0)


def build_exchange(**options: Any) -> Exchange:
    """An exchange with the command line's options; every option must be present."""
    calendar = MarketCalendar(options["calendar"])
    if replay := options["replay"]:
        calendar = ReplayCalendar(options["calendar"], replay.date())
    clock = _clock(
        calendar, replay.date() if replay else None, options["replay_from"], options["speed"]
    )
    # Only with this option: without it, a replay's bars equal those of the day in every other
    # market of this seed.
    begins = (
        dt.datetime.fromtimestamp(clock.exchange_start, dt.UTC)
        if options["no_earlier_trades"]
        else None
    )
    market = Market(
        options["seed"],
        options["tickers"],
        calendar,
        options["activity"],
        options["fraction_rate"],
        begins,
    )
    return Exchange(
        market=market,
        clock=clock,
        options=Options(**{name: options[name] for name in Options.__dataclass_fields__}),
        rates=Rates(options["correction_rate"], options["duplicate_rate"]),
        requests_per_minute=options["rate_limit"],
    )


def _clock(
    calendar: MarketCalendar, day: dt.date | None, start: dt.datetime | None, speed: float
) -> Clock:
    if day is None:
        if start or speed != 1.0:
            raise click.UsageError("--replay-from and --speed need --replay")
        wall = time.time()
        return Clock(wall, wall)
    session = calendar.session(day)
    if session is None:
        raise click.BadParameter(
            f"{day} is not a trading day of {calendar.name}: choose a trading day",
            param_hint="--replay",
        )
    moment = dt.datetime.combine(day, start.time(), NEW_YORK) if start else session.extended_open
    return ReplayClock(
        moment.timestamp(), speed, session.extended_close.timestamp() + AFTER_REPLAY_SECONDS
    )


async def _run(exchange: Exchange, host: str, port: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await serve(exchange, host, port, stop)


if __name__ == "__main__":
    main()
