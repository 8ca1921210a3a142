"""`python -m polygon_assets.local.snowflake`: serve the databases of one directory until SIGTERM.

Add arguments, HTTP routes that fakesnow lacks, signals and the order of the shutdown here; running
statements belongs to `engine`.
"""

import argparse
import asyncio
import gzip
import importlib
import json
import logging
import shutil
import sys
import threading
import time
import uuid
import warnings
from pathlib import Path
from typing import Any

import duckdb
import uvicorn
from fakesnow.transforms import stage
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from polygon_assets.local import loopback
from polygon_assets.local.snowflake.engine import Engine, Session
from polygon_assets.stop_signals import stop_event

logger = logging.getLogger("polygon_assets.local.snowflake")
# importlib, because the package also has a function of this name.
fakesnow_server: Any = importlib.import_module("fakesnow.server")
_SESSION_SECONDS = 4 * 3600
_GRACE_SECONDS = 3
_INTERNAL_ERROR = "000603"
# A lost answer is requested again within seconds, before a few clients have run this many others.
_KEPT_ANSWERS = 16
_statements: dict[str, asyncio.Future[Response]] = {}
"""By request id, the statements that run and the newest that were answered."""


async def login(request: Request) -> Response:
    """fakesnow's login; its answer gets a master token too.

    Without one the connector never closes its session.
    """
    _expire_sessions(time.monotonic())
    answer = await fakesnow_server.login_request(request)
    content = json.loads(bytes(answer.body))
    content["data"]["masterToken"] = content["data"]["token"]
    fakesnow_server.sessions[content["data"]["token"]].set_login(
        await _login_name(request), dict(request.query_params)
    )
    return JSONResponse(content)


async def _login_name(request: Request) -> str:
    """The user's name; Starlette keeps the body that fakesnow has already read."""
    body = await request.body()
    text = gzip.decompress(body) if request.headers.get("Content-Encoding") == "gzip" else body
    return str(json.loads(text)["data"].get("LOGIN_NAME") or "")


async def query(request: Request) -> Response:
    """Run a statement, once for all requests with its id.

    After a broken connection, or 60 s without an answer, the connector sends a statement again with
    the same id. Snowflake then returns the answer of the first; a second DROP or INSERT would lose
    or double data.
    """
    request_id = request.query_params.get("requestId") or uuid.uuid4().hex
    if request_id not in _statements:
        _statements[request_id] = asyncio.ensure_future(_run(request))
        answered = [key for key, statement in _statements.items() if statement.done()]
        for key in answered[:-_KEPT_ANSWERS]:
            del _statements[key]
    return await asyncio.shield(_statements[request_id])


async def _run(request: Request) -> Response:
    """fakesnow's query with an error answer for HTTP 500, which the connector would retry."""
    answer: Response = await fakesnow_server.query_request(request)
    if answer.status_code != 500:
        return answer
    return JSONResponse(
        {
            "data": {},
            "code": _INTERNAL_ERROR,
            "message": json.loads(bytes(answer.body))["message"],
            "success": False,
        }
    )


async def healthz(_: Request) -> Response:
    return PlainTextResponse("ok")


def main() -> int:
    """Serve; exit code 0 after a signal, 1 when the address or the directory cannot be used."""
    arguments = _arguments()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    # fakesnow 0.12.1 raises this warning about its own code.
    warnings.filterwarnings("ignore", "Arrow output on a DB-API result")
    # DuckDB has no comments in column definitions; sqlglot would warn for every comment.
    logging.getLogger("sqlglot").addFilter(
        lambda record: "CommentColumnConstraint" not in record.getMessage()
    )
    # The import of fakesnow has created a stage directory, which fakesnow never removes.
    shutil.rmtree(stage.LOCAL_BUCKET_PATH)
    arguments.path.mkdir(parents=True, exist_ok=True)
    try:
        engine = Engine(arguments.path)
    except duckdb.Error as error:
        logger.error(
            "%s cannot be used: %s; stop its owner or choose another --path", arguments.path, error
        )
        return 1
    _put_stages_in(arguments.path / "stages")
    engine.create(arguments.database, arguments.schema)
    fakesnow_server.shared_fs = engine
    try:
        return _serve(arguments.host, arguments.port)
    finally:
        for session in fakesnow_server.sessions.values():
            session.interrupt()
        engine.close()


def _serve(host: str, port: int) -> int:
    own_routes = [
        Route("/healthz", healthz),
        Route("/session/v1/login-request", login, methods=["POST"]),
        Route("/queries/v1/query-request", query, methods=["POST"]),
    ]
    config = uvicorn.Config(
        Starlette(routes=[*own_routes, *fakesnow_server.routes]),
        host,
        port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    server = uvicorn.Server(config)
    stop = stop_event()
    # In a thread uvicorn leaves signals to us; in the main thread it would end by its signal, so
    # the exit code would not be 0.
    serving = threading.Thread(target=server.run, name="serve", daemon=True)
    serving.start()
    while serving.is_alive() and not stop.wait(0.2):
        pass
    server.should_exit = True
    serving.join()
    return 0 if stop.is_set() else 1


def _put_stages_in(directory: Path) -> None:
    """Use an empty directory for stages: neither stages nor their files survive a restart."""
    shutil.rmtree(directory, ignore_errors=True)
    stage.LOCAL_BUCKET_PATH = str(directory)


def _expire_sessions(now: float) -> None:
    """Remove the sessions of clients that died, as Snowflake does after four hours."""
    for token, session in list(fakesnow_server.sessions.items()):
        if isinstance(session, Session) and now - session.used_at > _SESSION_SECONDS:
            del fakesnow_server.sessions[token]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m polygon_assets.local.snowflake", description=main.__doc__
    )
    loopback.add_host_options(parser)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument(
        "--path", type=Path, required=True, help="directory of the databases; created if absent"
    )
    parser.add_argument("--database", required=True, help="database to create if absent")
    parser.add_argument(
        "--schema",
        action="append",
        default=[],
        help="schema to create in it if absent; may be repeated",
    )
    return loopback.parse(parser)


if __name__ == "__main__":
    sys.exit(main())
