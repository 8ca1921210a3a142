"""`python -m polygon_assets.local.clickhouse`: serve one data directory until SIGTERM or SIGINT.

Add arguments, signals and the order of the shutdown here; the protocol belongs to `http`.
"""

import argparse
import logging
import os
import sys
import threading
from pathlib import Path

from polygon_assets.local import loopback
from polygon_assets.local.clickhouse.engine import DataDirectoryError, Engine
from polygon_assets.local.clickhouse.health import EngineWatch
from polygon_assets.local.clickhouse.http import ClickHouseServer, Users
from polygon_assets.stop_signals import stop_event

logger = logging.getLogger("polygon_assets.local.clickhouse")
_GRACE_SECONDS = 5
ENGINE_DIED = 3  # the exit code of a process whose engine answers no query any more


def main() -> int:
    """Serve until a signal.

    Exit code 0 after a signal, 1 for an unusable directory or address, 3 for a dead engine.
    """
    arguments = _arguments()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    # chDB takes the server's time zone from TZ, not from its configuration file.
    os.environ["TZ"] = "UTC"
    stop = stop_event()
    try:
        engine = Engine(arguments.path)
        _serve(arguments, engine, stop)
    except DataDirectoryError as error:
        logger.error("%s", error)
        return 1
    return 0


def _serve(arguments: argparse.Namespace, engine: Engine, stop: threading.Event) -> None:
    watch = EngineWatch(engine.probe, _end_without_engine)
    try:
        users = Users(arguments.user, arguments.reader, arguments.password)
        server = ClickHouseServer(arguments.host, arguments.port, engine, users, watch.problem)
    except OSError as error:
        engine.close(grace_seconds=0)
        raise DataDirectoryError(
            f"{arguments.host}:{arguments.port} cannot be listened on: {error}; "
            "choose another --port or stop the program that uses this one"
        ) from error
    watch.start()
    threading.Thread(target=server.serve_forever, name="accept", daemon=True).start()
    logger.info("serving %s on http://%s:%d", arguments.path, arguments.host, server.server_port)
    stop.wait()
    watch.stop()
    server.shutdown()
    server.server_close()
    if not engine.close(_GRACE_SECONDS):
        # A running query would crash in the engine's static destructors. Acknowledged rows are on
        # disk.
        logger.warning("stopped with requests still running after %d s", _GRACE_SECONDS)
        logging.shutdown()
        os._exit(0)
    logger.info("stopped")


def _end_without_engine(reason: str) -> None:
    """End the process: only a new process gets a new engine, and the launcher starts one."""
    logger.error(
        "the engine has died and answers no query any more; ending with code %d. Last error: %s",
        ENGINE_DIED,
        reason,
    )
    logging.shutdown()
    os._exit(ENGINE_DIED)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m polygon_assets.local.clickhouse", description=main.__doc__
    )
    loopback.add_host_options(parser)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument(
        "--path", type=Path, required=True, help="data directory; created if absent"
    )
    parser.add_argument("--user", default="default")
    parser.add_argument("--reader", default="", help="a user who changes nothing; same password")
    parser.add_argument(
        "--password",
        default=os.environ.get("CLICKHOUSE_PASSWORD", ""),
        help="prefer CLICKHOUSE_PASSWORD: other users can read a command line",
    )
    return loopback.parse(parser)


if __name__ == "__main__":
    sys.exit(main())
