"""The control endpoint: switches faults on and tells what was really sent.

Only the translation from JSON to faults belongs here.
"""

from polygon_assets.local.exchange.exchange import Exchange
from polygon_assets.local.exchange.http import Reply, Request


def control(exchange: Exchange, request: Request) -> Reply:
    """Answer one request under /control."""
    if request.path == "/control/stats":
        feeds = {path: [connection.describe() for connection in feed.connections] for path, feed in exchange.feeds.items()}
        return Reply(content={"feeds": feeds})
    return Reply(404)
