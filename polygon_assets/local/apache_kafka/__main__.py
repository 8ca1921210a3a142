"""`python -m polygon_assets.local.apache_kafka`: one broker of Apache Kafka as a process.

Only the options belong here; the broker's properties belong to `node`.
"""

import argparse
import sys
from pathlib import Path

from polygon_assets.local import loopback
from polygon_assets.local.apache_kafka import node
from polygon_assets.local.broker import BrokerError


def main() -> None:
    """Run a broker that is its own controller, with its data in --path."""
    parser = argparse.ArgumentParser(prog="python -m polygon_assets.local.apache_kafka")
    loopback.add_host_options(parser)
    parser.add_argument("--port", required=True, type=int)
    parser.add_argument("--path", required=True, type=Path, help="folder of the data")
    options = loopback.parse(parser)
    try:
        node.become(options.path, node.properties(options.host, options.port, options.path))
    except BrokerError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
