"""The address an embedded server listens on: loopback, unless a person wants another.

Add the options of every embedded server here; its port belongs to `launcher.ports`. These servers
have one password at most and no TLS, so only this machine may reach them.
"""

import argparse
import ipaddress

from polygon_assets.errors import PolygonAssetsError

LOOPBACK = "127.0.0.1"
EXPOSE_HELP = "let --host name an address that other machines reach: there is no TLS"


class ExposedHostError(PolygonAssetsError):
    """The address can be reached from other machines; names the value and both cures."""


def refuse_exposed(host: str, *, expose: bool) -> None:
    """Raise ExposedHostError for an address beyond this machine, unless `expose` allows it."""
    if not expose and not _is_loopback(host):
        raise ExposedHostError(
            f"--host {host!r} can be reached from other machines, and this server has no TLS: "
            f"use {LOOPBACK}, or add --expose where only trusted machines reach it"
        )


def add_host_options(parser: argparse.ArgumentParser) -> None:
    """Add --host and --expose; `parse` reads them."""
    parser.add_argument("--host", default=LOOPBACK, help="address to listen on")
    parser.add_argument("--expose", action="store_true", help=EXPOSE_HELP)


def parse(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The arguments; ends the process with a sentence and code 2 for an exposed address."""
    arguments = parser.parse_args()
    try:
        refuse_exposed(arguments.host, expose=arguments.expose)
    except ExposedHostError as error:
        parser.error(str(error))
    return arguments


def _is_loopback(host: str) -> bool:
    """Whether an address is this machine's own; of all names, only `localhost` counts as one."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
