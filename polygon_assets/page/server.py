"""The page's server: each view at its address, one reader for all of them.

Add an address here; a view belongs to its module. Panel serves every script, style and font from
its own wheel, so that no request leaves the machine.
"""

import logging
import os
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import panel as pn
from tornado.web import RedirectHandler
from tornado.websocket import WebSocketClosedError

from polygon_assets.errors import PolygonAssetsError
from polygon_assets.page.cost_view import cost_view
from polygon_assets.page.day_view import day_view
from polygon_assets.page.market_view import Board, market_view
from polygon_assets.page.sources import Sources
from polygon_assets.page.symbol_view import symbol_view
from polygon_assets.page.trust_view import trust_view
from polygon_assets.settings import Settings

LOGIN_FORM = Path(__file__).with_name("login.html")
# Panel sends a visitor without a login to "./login": below /symbol and /day another address.
SYMBOL, DAY = (f"/{kind}/(?P<name>(?!login$)[^/]+)" for kind in ("symbol", "day"))
LOGIN_BELOW = [("/(?:symbol|day)/login", RedirectHandler, {"url": "../login", "permanent": False})]

NICENESS = 10


class PageError(PolygonAssetsError):
    """The page cannot be served; the message names the cause and the cure."""


def views(settings: Settings) -> dict[str, Any]:
    """The views by address; reading starts here, before the first visitor comes."""
    sources = Sources(settings)
    sources.start()
    shared = Board(sources)
    return {
        "/": lambda: market_view(sources, shared),
        SYMBOL: lambda: symbol_view(sources),
        DAY: lambda: day_view(sources),
        "/trust": lambda: trust_view(sources),
        "/cost": lambda: cost_view(sources),
    }


def login(settings: Settings, host: str) -> dict[str, str]:
    """Panel's options of the login; none on this machine alone without one.

    Panel ignores its own variables of a login where a program starts the server, so they are passed
    on. Raises PageError for an address that other machines reach without a login, and for a login
    without the secret that signs its cookies.
    """
    password = settings.page_password.get_secret_value()
    provider = pn.config.oauth_provider
    if not password and not provider:
        if _is_loopback(host):
            return {}
        raise PageError(
            f"--host {host} lets other machines in, and there is no login: set PAGE_PASSWORD, or "
            "PANEL_OAUTH_PROVIDER with PANEL_OAUTH_KEY and PANEL_OAUTH_SECRET"
        )
    cookie_secret = settings.page_cookie_secret.get_secret_value()
    if not cookie_secret:
        raise PageError("a login needs PAGE_COOKIE_SECRET: any long random text")
    if password:
        return {
            "basic_auth": password,
            "basic_login_template": str(LOGIN_FORM),
            "cookie_secret": cookie_secret,
        }
    return {
        "oauth_provider": str(provider),
        "oauth_key": str(pn.config.oauth_key),
        "oauth_secret": str(pn.config.oauth_secret),
        "cookie_secret": cookie_secret,
    }


def serve(settings: Settings, host: str, port: int) -> None:
    """Serve until SIGTERM or Ctrl-C. Raises PageError."""
    options = login(settings, host)
    # On a shared machine the streams get the processor first, so that visitors delay no stored row.
    os.nice(NICENESS)
    _quiet_departures()
    pn.extension("perspective", sizing_mode="stretch_width", notifications=False)
    pn.serve(
        views(settings),
        extra_patterns=LOGIN_BELOW,
        address=host,
        port=port,
        show=False,
        title="polygon_assets",
        websocket_origin=_origins(settings, host, port),
        liveness=True,
        verbose=False,
        **options,
    )


def _quiet_departures() -> None:
    """Keep two things out of the log that are no errors of the page.

    What is sent to a visitor who has just left fails, and a system that is away is shown on the
    page itself.
    """
    logging.getLogger("bokeh.server.views.ws").setLevel(logging.ERROR)
    logging.getLogger("asyncio").addFilter(
        lambda record: (
            not (record.exc_info and isinstance(record.exc_info[1], WebSocketClosedError))
        )
    )
    logging.getLogger("clickhouse_connect").setLevel(logging.CRITICAL)


def _origins(settings: Settings, host: str, port: int) -> list[str]:
    """The addresses in browsers that may open the page's WebSocket."""
    public = urlsplit(settings.page_url).netloc
    here = (host, "localhost", "127.0.0.1")
    return [*(f"{name}:{port}" for name in here), *([public] if public else [])]


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
