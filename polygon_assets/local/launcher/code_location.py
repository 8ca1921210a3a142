"""Reloads Dagster's code location after its process was killed.

`dagster dev` runs our code in a separate process, the largest of all. When that process is killed,
Dagster answers every request with an error until somebody reloads the code location. Add calls to
Dagster's webserver here; restarting a whole server belongs to `revival`.
"""

import json
from http.client import HTTPConnection, HTTPException
from typing import Any

from polygon_assets.errors import PolygonAssetsError
from polygon_assets.local.launcher.ports import HOST

ANSWER_SECONDS = 30.0
"""A reload loads the definitions, which took 9 s on a busy machine."""
_LOCATIONS = """
{ workspaceOrError { ... on Workspace { locationEntries {
    name loadStatus locationOrLoadError {
        __typename ... on RepositoryLocation { name } ... on PythonError { message } } } } } }
"""
_RELOAD = """
mutation ($name: String!) { reloadRepositoryLocation(repositoryLocationName: $name) {
    __typename
    ... on WorkspaceLocationEntry {
        locationOrLoadError { __typename ... on PythonError { message } } }
    ... on Error { message } } }
"""


class DagsterError(PolygonAssetsError):
    """The webserver did not answer with data; the message names the port and the cause."""


def reload_failed_locations(port: int) -> str:
    """Reload each code location that is in error; returns a report, empty if there was none."""
    try:
        broken = {
            entry["name"]: _error(entry)
            for entry in ask(port, _LOCATIONS)["workspaceOrError"]["locationEntries"]
        }
        broken = {name: error for name, error in broken.items() if error}
        for name in broken:
            ask(port, _RELOAD, name=name)
    except (DagsterError, KeyError, TypeError):
        return ""  # the health check covers a webserver that does not answer
    outcome = "is reloaded; the streams restart within half a minute"
    return "; ".join(
        f"code location {name} was in error ({error}) and {outcome}"
        for name, error in broken.items()
    )


def _error(entry: Any) -> str:
    """The first line of a location's error; empty while the location is loaded or loading."""
    result = entry["locationOrLoadError"] or {}
    lines = str(result.get("message", "")).strip().splitlines()
    return (lines or ["no message"])[0] if result.get("__typename") == "PythonError" else ""


def ask(port: int, query: str, **variables: str) -> Any:
    """The `data` of the webserver's answer to a GraphQL query. Raises DagsterError."""
    connection = HTTPConnection(HOST, port, timeout=ANSWER_SECONDS)
    try:
        body = json.dumps({"query": query, "variables": variables})
        connection.request("POST", "/graphql", body, {"Content-Type": "application/json"})
        return json.loads(connection.getresponse().read())["data"]
    except (OSError, HTTPException, ValueError, KeyError) as error:
        raise DagsterError(f"the webserver on port {port} gave no answer: {error!r}") from error
    finally:
        connection.close()
