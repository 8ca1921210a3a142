"""A scripted vendor: answers the handshake, then sends prepared frames as fast as the client reads them.

It computes nothing while it sends, so that it is never slower than the client. What a market looks like is `data`'s business.
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
    with serve(partial(_talk, texts), "127.0.0.1", port, compression=None) as server:
        print("ready", flush=True)
        server.serve_forever()


def _talk(texts: list[str], connection: ServerConnection) -> None:
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
