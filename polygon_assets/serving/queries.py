"""The named queries of the serving tables: one `.sql` file each, with parameters ClickHouse binds.

Use one as `client.query(load("last_prices"), parameters={...})`. Add a query as a file in
`queries/`; connections belong to `clients.clickhouse`.
"""

from functools import cache
from importlib import resources

from polygon_assets.errors import PolygonAssetsError

_DIRECTORY = resources.files("polygon_assets.serving") / "queries"


class UnknownQueryError(PolygonAssetsError):
    """No query file has this name; the message lists the existing names."""


@cache
def load(name: str) -> str:
    """The text of `queries/<name>.sql`; `{name:Type}` in it are its parameters.

    Raises UnknownQueryError.
    """
    if name not in names():
        raise UnknownQueryError(f"no query is called {name!r}; choose one of {', '.join(names())}")
    return (_DIRECTORY / f"{name}.sql").read_text()


def names() -> list[str]:
    return sorted(
        entry.name.removesuffix(".sql")
        for entry in _DIRECTORY.iterdir()
        if entry.name.endswith(".sql")
    )
