"""`python -m polygon_assets.local.airbyte`: serve one workspace until SIGTERM or SIGINT.

Add arguments and the start here; endpoints belong to `api`. The process ends as in a crash: the
kernel ends the connectors with it, committed rows are safe, and the next start marks running jobs
as failed.
"""

import argparse
import logging
import os
from pathlib import Path

import uvicorn

from polygon_assets.local import loopback
from polygon_assets.local.airbyte.api.configuration_api import ConfigurationApi
from polygon_assets.local.airbyte.api.http import application
from polygon_assets.local.airbyte.api.public_api import PublicApi
from polygon_assets.local.airbyte.api.tokens import Tokens
from polygon_assets.local.airbyte.sync.jobs import Jobs
from polygon_assets.local.airbyte.workspace.workspace import Workspace

logger = logging.getLogger("polygon_assets.local.airbyte")
_GRACE_SECONDS = 1


def main() -> None:
    """Serve one workspace until SIGTERM or SIGINT."""
    arguments = _arguments()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("snowflake.connector").setLevel(logging.WARNING)
    tokens = Tokens(arguments.client_id, arguments.client_secret)
    workspace = Workspace(arguments.path, arguments.workspace_id)
    jobs = Jobs(arguments.path, workspace)
    endpoints = [
        *PublicApi(workspace, jobs, tokens).endpoints(),
        *ConfigurationApi(workspace, jobs).endpoints(),
    ]
    logger.info("serving %s on http://%s:%d", arguments.path, arguments.host, arguments.port)
    uvicorn.run(
        application(endpoints, tokens),
        host=arguments.host,
        port=arguments.port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    # After SIGINT (SIGTERM has already ended the process): do not wait for a job that is loading.
    logging.shutdown()
    os._exit(0)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m polygon_assets.local.airbyte", description=main.__doc__
    )
    loopback.add_host_options(parser)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument(
        "--path",
        type=Path,
        required=True,
        help="directory of the workspace and its states; created if absent",
    )
    parser.add_argument("--workspace-id", required=True)
    parser.add_argument(
        "--client-id", required=True, help="of the application that may use the API"
    )
    parser.add_argument(
        "--client-secret",
        default=os.environ.get("AIRBYTE_CLIENT_SECRET", ""),
        help="prefer AIRBYTE_CLIENT_SECRET: other users can read a command line",
    )
    return loopback.parse(parser)


if __name__ == "__main__":
    main()
