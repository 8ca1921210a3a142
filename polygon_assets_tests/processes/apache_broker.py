"""Apache Kafka with other properties than the stack's: short retention, or TLS, logins and ACLs.

Add a way of configuring a test's broker here; the stack's own one belongs to `local.apache_kafka`.
`python -m polygon_assets_tests.processes.apache_broker` runs it.
"""

import json
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from polygon_assets.clients import kafka_access
from polygon_assets.clients.kafka import connect_admin
from polygon_assets.local.apache_kafka import node
from polygon_assets.local.launcher.ports import HOST, free_port
from polygon_assets.local.launcher.servers import APACHE, KAFKAS, Server
from polygon_assets.settings import Settings
from polygon_assets_tests.certificates import Authority
from polygon_assets_tests.processes.harness import eventually

ADMINISTRATOR, ADMINISTRATORS_PASSWORD = "administrator", "administrators-password"
LOGIN_SECONDS = 10.0
_LOGIN = "org.apache.kafka.common.security"


def main() -> None:
    """Run a broker in the folder with its further properties, as JSON."""
    path, port = Path(sys.argv[1]), int(sys.argv[2])
    further = json.loads((path / "further.json").read_text())
    node.become(path, node.properties(HOST, port, path) | further)


def broker(further: Callable[[int], Mapping[str, object]]) -> Server:
    """Apache Kafka as a server of a stack; `further` takes its port and returns properties."""

    def command(port: int, data: Path) -> list[str]:
        (data / "further.json").write_text(json.dumps(further(port)))
        return [sys.executable, "-m", __name__, str(data), str(port)]

    return replace(KAFKAS[APACHE], command=command)


def guarded_broker(authority: Authority, other_port: int) -> Server:
    """A broker with TLS, PLAIN and SCRAM, which allows nothing to anybody but its administrator.

    At `other_port` its certificate names another machine.
    """

    def further(port: int) -> dict[str, object]:
        controller = free_port(0, {port, other_port})
        return {
            "controller.quorum.voters": f"1@{HOST}:{controller}",
            "listeners": f"CLIENTS://{HOST}:{port},OTHER://{HOST}:{other_port},"
            f"CONTROLLER://{HOST}:{controller}",
            "advertised.listeners": f"CLIENTS://{HOST}:{port},OTHER://{HOST}:{other_port}",
            "listener.security.protocol.map": "CLIENTS:SASL_SSL,OTHER:SASL_SSL,"
            "CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name": "CLIENTS",
            "sasl.mechanism.inter.broker.protocol": "PLAIN",
            "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(authority.server),
            "listener.name.other.ssl.keystore.type": "PEM",
            "listener.name.other.ssl.keystore.location": str(authority.other_server),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(authority.bundle),
            **_logins("clients"),
            **_logins("other"),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            # Anonymous is the broker itself, at its controller's listener.
            "super.users": f"User:{ADMINISTRATOR};User:ANONYMOUS",
        }

    return broker(further)


def _logins(listener: str) -> dict[str, str]:
    name, password = ADMINISTRATOR, ADMINISTRATORS_PASSWORD
    return {
        f"listener.name.{listener}.plain.sasl.jaas.config": f"{_LOGIN}.plain.PlainLoginModule "
        f'required username="{name}" password="{password}" user_{name}="{password}";',
        f"listener.name.{listener}.scram-sha-512.sasl.jaas.config": f"{_LOGIN}.scram."
        "ScramLoginModule required;",
    }


def administrators(settings: Settings) -> Settings:
    """The settings with the login of the administrator."""
    return settings.model_copy(
        update={
            "kafka_sasl_mechanism": "PLAIN",
            "kafka_sasl_username": ADMINISTRATOR,
            "kafka_sasl_password": SecretStr(ADMINISTRATORS_PASSWORD),
        }
    )


class Administrator:
    """Adds users, rights and topics, and takes them away.

    Kafka acknowledges a change when its controller has it; each method waits until the broker
    goes by it.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = administrators(settings)

    def add_user(self, name: str, password: str) -> None:
        """Create a user who logs in with SCRAM-SHA-512, or change the password."""
        from kafka.admin import ScramMechanism, UserScramCredentialUpsertion

        user = UserScramCredentialUpsertion(name, ScramMechanism.SCRAM_SHA_512, password)
        with closing(connect_admin(self.settings)) as admin:
            assert admin.alter_user_scram_credentials([user]) == {name: None}
        eventually(lambda: self._may_log_in(name, password), f"{name} may log in")

    def allow(self, user: str, operation: str, topic: str = "", group: str = "") -> None:
        """Add an ACL for the topic or the group."""
        with closing(connect_admin(self.settings)) as admin:
            acl = _acl(user, operation, topic, group)
            answer = admin.create_acls([acl])
            assert answer["failed"] == [], answer
            eventually(lambda: admin.describe_acls(acl)[0], f"{acl} is in force")

    def forbid(self, user: str, operation: str, topic: str = "", group: str = "") -> None:
        """Remove the ACL for the topic or the group."""
        with closing(connect_admin(self.settings)) as admin:
            acl = _acl(user, operation, topic, group)
            [(_, removed, _)] = admin.delete_acls([acl])
            assert len(removed) == 1, f"{user} had no ACL {operation} on {topic or group}"
            eventually(lambda: not admin.describe_acls(acl)[0], f"{acl} is no longer in force")

    def delete_topic(self, name: str) -> None:
        """Delete a topic with its messages."""
        with closing(connect_admin(self.settings)) as admin:
            admin.delete_topics([name])
            eventually(lambda: name not in admin.list_topics(), f"{name} is deleted")

    def _may_log_in(self, name: str, password: str) -> bool:
        update = {
            "kafka_sasl_mechanism": "SCRAM-SHA-512",
            "kafka_sasl_username": name,
            "kafka_sasl_password": SecretStr(password),
        }
        try:
            kafka_access.check(self.settings.model_copy(update=update), LOGIN_SECONDS)
        except kafka_access.KafkaRefusedError:
            return False
        return True


def _acl(user: str, operation: str, topic: str, group: str) -> Any:
    from kafka.admin import ACL, ACLOperation, ACLPermissionType, ResourcePattern, ResourceType

    kind = ResourceType.TOPIC if topic else ResourceType.GROUP
    return ACL(
        principal=f"User:{user}",
        host="*",
        operation=ACLOperation[operation],
        permission_type=ACLPermissionType.ALLOW,
        resource_pattern=ResourcePattern(kind, topic or group),
    )


if __name__ == "__main__":
    main()
