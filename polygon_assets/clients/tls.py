"""Which certificates the clients trust: those of CA_BUNDLE, or the system's.

Add the form in which a library takes them here; opening a connection belongs to the module of its
system. Every client verifies the server's certificate and its name, and no setting turns that off.
"""

import os
import ssl

from polygon_assets.settings import Settings


def context(settings: Settings) -> ssl.SSLContext:
    """For libraries that take a context: `websockets` and `urllib`."""
    return ssl.create_default_context(cafile=settings.ca_bundle or None)


def verify(settings: Settings) -> str | bool:
    """For `requests`, per request: its session's own option yields to REQUESTS_CA_BUNDLE."""
    return settings.ca_bundle or True


def export(settings: Settings) -> None:
    """For libraries that call `requests` and have no option: snowflake-connector, dagster-airbyte.

    They read REQUESTS_CA_BUNDLE of this process, which CA_BUNDLE replaces.
    """
    if settings.ca_bundle:
        os.environ["REQUESTS_CA_BUNDLE"] = settings.ca_bundle
