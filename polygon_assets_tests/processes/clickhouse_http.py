"""Hand-made HTTP requests to the embedded ClickHouse, for cases that a client library hides."""

import socket
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPMessage
from urllib.parse import urlencode

from polygon_assets.local.launcher.ports import HOST
from polygon_assets.settings import Settings

TIMEOUT_SECONDS = 60


@dataclass(frozen=True)
class Reply:
    status: int
    headers: HTTPMessage
    body: bytes


@dataclass(frozen=True)
class ClickHouseHttp:
    """Sends each request on a new connection, with the stack's credentials or with `headers`."""

    settings: Settings

    def authorization(self) -> str:
        password = self.settings.clickhouse_password.get_secret_value()
        return "Basic " + b64encode(f"{self.settings.clickhouse_user}:{password}".encode()).decode()

    def send(
        self,
        sql: str | bytes = b"",
        *,
        method: str = "POST",
        path: str = "/",
        headers: Mapping[str, str] | None = None,
        parameters: Mapping[str, str | int] | None = None,
        **more: str | int,
    ) -> Reply:
        connection = HTTPConnection(HOST, self.settings.clickhouse_port, timeout=TIMEOUT_SECONDS)
        try:
            query = urlencode(dict(parameters or {}) | more)
            sent = {"Authorization": self.authorization()} if headers is None else dict(headers)
            connection.request(
                method,
                f"{path}?{query}" if query else path,
                sql.encode() if isinstance(sql, str) else sql,
                sent,
            )
            answer = connection.getresponse()
            return Reply(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def ask(self, sql: str, **parameters: str | int) -> str:
        """The body of the answer, whose status must be 200."""
        reply = self.send(sql, parameters=parameters)
        assert reply.status == 200, reply.body
        return reply.body.decode().removesuffix("\n")

    def open(self, sql: str, *, version: str = "1.1", parameters: str = "") -> socket.socket:
        """A connection on which a query was sent and nothing was read."""
        connection = socket.create_connection(
            (HOST, self.settings.clickhouse_port), timeout=TIMEOUT_SECONDS
        )
        body = sql.encode()
        head = (
            f"POST /{parameters} HTTP/{version}\r\nHost: x\r\n"
            f"Authorization: {self.authorization()}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        connection.sendall(head.encode() + body)
        return connection

    def running(self) -> int:
        """The number of running queries, without this one."""
        return int(self.ask("SELECT count() - 1 FROM system.processes"))
