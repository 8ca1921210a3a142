"""Airbyte's public API (https://reference.airbyte.com): application, workspace, and all endpoints.

It has what dagster-airbyte and `clients.airbyte` use. Add an endpoint about the application or the
workspace here; every other resource has its own module.
"""

from msgspec import Struct

from polygon_assets.local.airbyte.api.actor_endpoints import ActorEndpoints
from polygon_assets.local.airbyte.api.connection_endpoints import ConnectionEndpoints
from polygon_assets.local.airbyte.api.definition_endpoints import DefinitionEndpoints
from polygon_assets.local.airbyte.api.http import Call, Endpoint
from polygon_assets.local.airbyte.api.job_endpoints import JobEndpoints
from polygon_assets.local.airbyte.api.tokens import LIFETIME_SECONDS, Tokens
from polygon_assets.local.airbyte.sync.jobs import Jobs
from polygon_assets.local.airbyte.workspace.objects import Json
from polygon_assets.local.airbyte.workspace.workspace import Workspace

ROOT = "/api/public/v1"


class TokenRequest(Struct):
    client_id: str
    client_secret: str


class PublicApi:
    """The endpoints under ROOT."""

    def __init__(self, workspace: Workspace, jobs: Jobs, tokens: Tokens) -> None:
        self._workspace = workspace
        self._jobs = jobs
        self._tokens = tokens

    def endpoints(self) -> list[Endpoint]:
        endpoints = [
            Endpoint("GET", "/health", lambda _: "Successful operation", public=True),
            Endpoint("POST", "/applications/token", self._issue_token, public=True),
            Endpoint("GET", "/workspaces", lambda call: call.page([self._workspace_reply()])),
            Endpoint("GET", "/workspaces/{workspace}", self._get_workspace),
            *DefinitionEndpoints(self._workspace).endpoints(),
            *ActorEndpoints(self._workspace).endpoints(),
            *ConnectionEndpoints(self._workspace, self._jobs).endpoints(),
            *JobEndpoints(self._workspace, self._jobs).endpoints(),
        ]
        # By default, Airbyte's own client requests its token at the root of the server.
        at_root = Endpoint("POST", "/applications/token", self._issue_token, public=True)
        return [at_root, *(endpoint.under(ROOT) for endpoint in endpoints)]

    def _issue_token(self, call: Call) -> Json:
        request = call.read_form(TokenRequest)
        token = self._tokens.issue(request.client_id, request.client_secret, call.now)
        return {"access_token": token, "token_type": "Bearer", "expires_in": LIFETIME_SECONDS}

    def _get_workspace(self, call: Call) -> Json:
        self._workspace.check_id(call.path["workspace"])
        return self._workspace_reply()

    def _workspace_reply(self) -> Json:
        return {
            "workspaceId": self._workspace.id,
            "name": "local",
            "dataResidency": "local",
            "notifications": {},
        }
