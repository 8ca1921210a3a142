"""A scripted vendor: answers the handshake, then sends frames as fast as the client reads them.

The frames are prepared before the first connection, so this server is never slower than the
client. Their content belongs to `data`.
"""

import sys
from functools import partial
from pathlib import Path

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from bench.data import frames

CONNECTED = '[{"ev":"status","status":"connected","message":"Connected Successfully"}]'
AUTHENTICATED = '[{"ev":"status","status":"auth_success","message":"authenticated"}]'
SUBSCRIBED = '[{"ev":"status","status":"success","message":"subscribed to: A.*"}]'


def main(port: int, folder: Path, events: int) -> None:
    """Serve until killed."""
    texts = [frame.decode() for frame in frames(folder, events)]
    with serve(partial(_send_all, texts), "127.0.0.1", port, compression=None) as server:
        print("ready", flush=True)
        server.serve_forever()


def _send_all(texts: list[str], connection: ServerConnection) -> None:
    try:
        connection.send(CONNECTED)
        connection.recv()
        connection.send(AUTHENTICATED)
        connection.recv()
        connection.send(SUBSCRIBED)
        for text in texts:
            connection.send(text)
        connection.recv()
    except ConnectionClosed:
        return


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
