"""Whether Dagster still has its code location, and the reload that brings it back.

`dagster dev` runs our code in a process of its own, the largest of all. When that process is killed,
the code server beside it answers every question with an error until somebody reloads it by hand.
"""

import json
from http.client import HTTPConnection, HTTPException
from typing import Any

from polygon_assets.local.launcher.ports import HOST

ANSWER_SECONDS = 30.0
"""A reload loads the definitions, which took 9 s on a busy machine."""
_LOCATIONS = """
{ workspaceOrError { ... on Workspace { locationEntries {
    name loadStatus locationOrLoadError { __typename ... on RepositoryLocation { name } ... on PythonError { message } } } } } }
"""
_RELOAD = """
mutation ($name: String!) { reloadRepositoryLocation(repositoryLocationName: $name) {
    __typename ... on WorkspaceLocationEntry { locationOrLoadError { __typename ... on PythonError { message } } }
    ... on Error { message } } }
"""


class DagsterError(Exception):
    """The webserver gave no answer that can be used."""


def mend(port: int) -> str:
    """Reload the code locations that are in error; what was done, or nothing to report."""
    try:
        broken = {
            entry["name"]: _error(entry)
            for entry in ask(port, _LOCATIONS)["workspaceOrError"]["locationEntries"]
        }
        broken = {name: error for name, error in broken.items() if error}
        for name in broken:
            ask(port, _RELOAD, name=name)
    except (DagsterError, KeyError, TypeError):
        return ""  # the webserver's health is looked at by itself
    done = "is reloaded; the streams follow in half a minute"
    return "; ".join(
        f"code location {name} was in error ({error}) and {done}" for name, error in broken.items()
    )


def _error(entry: Any) -> str:
    """The first line of a location's error; empty for one that is loaded or loading."""
    found = entry["locationOrLoadError"] or {}
    lines = str(found.get("message", "")).strip().splitlines()
    return (lines or ["no message"])[0] if found.get("__typename") == "PythonError" else ""


def ask(port: int, query: str, **variables: str) -> Any:
    """The data of a GraphQL answer. Raises DagsterError."""
    connection = HTTPConnection(HOST, port, timeout=ANSWER_SECONDS)
    try:
        body = json.dumps({"query": query, "variables": variables})
        connection.request("POST", "/graphql", body, {"Content-Type": "application/json"})
        return json.loads(connection.getresponse().read())["data"]
    except (OSError, HTTPException, ValueError, KeyError) as error:
        raise DagsterError(f"the webserver on port {port} gave no answer: {error!r}") from error
    finally:
        connection.close()
