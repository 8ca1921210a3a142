"""A server of a stack that does nothing but listen, for tests of starts, deaths and stops."""

import sys

from polygon_assets.local.launcher.servers import Server


def listener(name: str, port: int = 0) -> Server:
    """A server that only accepts connections."""
    script = (
        "import socket, sys, time; s = socket.create_server(('127.0.0.1', int(sys.argv[1])));"
        "print('listening'); time.sleep(60)"
    )
    return Server(
        name,
        port,
        lambda port, _: [sys.executable, "-c", script, str(port)],
        lambda port: {f"{name}_PORT": str(port)},
    )
