"""The named queries of the serving tables: one `.sql` file each, with typed parameters that ClickHouse binds.

Nothing here connects or formats values; `client.query(load("last_prices"), parameters={...})` is how they are used.
"""

from functools import cache
from importlib import resources

_DIRECTORY = resources.files("polygon_assets.serving") / "queries"


class UnknownQueryError(Exception):
    """No query file has this name; the message lists those there are."""


@cache
def load(name: str) -> str:
    """The text of `queries/<name>.sql`; its first line says what it answers and its `{name:Type}` are the parameters.

    Raises UnknownQueryError.
    """
    if name not in names():
        raise UnknownQueryError(f"no query is called {name!r}; there are: {', '.join(names())}")
    return (_DIRECTORY / f"{name}.sql").read_text()


def names() -> list[str]:
    return sorted(
        entry.name.removesuffix(".sql")
        for entry in _DIRECTORY.iterdir()
        if entry.name.endswith(".sql")
    )
