"""Three Kafka brokers, each a controller too: SASL_SSL, SCRAM-SHA-512, ACLs, three replicas, two of them in sync.

https://kafka.apache.org/43/security/authentication-using-sasl/ and
https://kafka.apache.org/43/security/authorization-and-acls/
"""

import base64
import json
import subprocess
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from crypto_platform.sandbox import java
from crypto_platform.sandbox.kafka import LOGGING
from crypto_platform.settings import LOOPBACK, Settings
from rehearsal.certificates import Certificates
from rehearsal.parts import Part, PartError

NODES = (1, 2, 3)
TOPICS = "market."
REQUEST_SECONDS = 15
FORMAT_SECONDS = 120

# What the platform's user may do, and nothing else: (kind, name, pattern, operations).
ACLS = (
    ("topic", TOPICS, "prefixed", ("create", "describe", "describe_configs", "read", "write")),
    # Spark's consumer groups, one a query, and the one that reads dead letters.
    ("group", "spark-kafka-", "prefixed", ("read",)),
    ("group", "dead-letters", "literal", ("read",)),
)

# https://kafka.apache.org/43/configuration/broker-configs/
PROPERTIES = """\
process.roles=broker,controller
node.id={node}
controller.quorum.voters={voters}
listeners=CLIENT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=CLIENT://{host}:{port}
listener.security.protocol.map=CLIENT:SASL_SSL,CONTROLLER:SASL_SSL
inter.broker.listener.name=CLIENT
controller.listener.names=CONTROLLER
sasl.enabled.mechanisms=SCRAM-SHA-512
sasl.mechanism.inter.broker.protocol=SCRAM-SHA-512
# Controllers cannot use SCRAM with one another: its users are in the metadata that they have yet to read.
sasl.mechanism.controller.protocol=PLAIN
listener.name.client.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required \
username="broker" password="{broker_password}";
listener.name.controller.sasl.enabled.mechanisms=PLAIN
listener.name.controller.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
username="controller" password="{controller_password}" user_controller="{controller_password}";
ssl.keystore.type=PKCS12
ssl.keystore.location={key_store}
ssl.keystore.password={store_password}
ssl.truststore.type=PKCS12
ssl.truststore.location={trust_store}
ssl.truststore.password={store_password}
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:broker;User:controller
log.dirs={log_dir}
auto.create.topics.enable=false
default.replication.factor=3
min.insync.replicas=2
offsets.topic.replication.factor=3
transaction.state.log.replication.factor=3
transaction.state.log.min.isr=2
share.coordinator.state.topic.replication.factor=3
share.coordinator.state.topic.min.isr=2
group.initial.rebalance.delay.ms=0
"""


@dataclass(frozen=True)
class Logins:
    """Passwords: of the brokers' own user, of the controllers', of the platform's, and of Java's stores."""

    broker: str
    controller: str
    app: str
    stores: str


class Cluster:
    """The brokers' files in `folder`; `ports` are the clients', then the controllers'."""

    USER = "platform"

    def __init__(
        self, settings: Settings, folder: Path, ports: list[int], certificates: Certificates, logins: Logins
    ) -> None:
        self._settings, self._folder, self._certificates, self._logins = settings, folder, certificates, logins
        self._ports = dict(zip(NODES, ports[:3], strict=True))
        self._controllers = dict(zip(NODES, ports[3:], strict=True))
        self._admin: AdminClient | None = None

    @property
    def servers(self) -> str:
        return ",".join(f"{LOOPBACK}:{port}" for port in self._ports.values())

    @staticmethod
    def name(node: int) -> str:
        return f"Kafka broker {node}"

    def parts(self) -> list[Part]:
        """The brokers, their storage formatted."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        (self._folder / "log4j2.properties").write_text(LOGGING)
        return [self._part(node) for node in NODES]

    def allow(self) -> None:
        """Give the platform's user what ACLS says.

        Raises:
            confluent_kafka.KafkaException: the brokers refuse.
        """
        bindings = [
            AclBinding(
                ResourceType[kind.upper()],
                name,
                ResourcePatternType[pattern.upper()],
                f"User:{self.USER}",
                "*",
                AclOperation[operation.upper()],
                AclPermissionType.ALLOW,
            )
            for kind, name, pattern, operations in ACLS
            for operation in operations
        ]
        for asked in self.admin.create_acls(bindings, request_timeout=REQUEST_SECONDS).values():
            asked.result(REQUEST_SECONDS)

    @property
    def admin(self) -> AdminClient:
        """As the brokers' own user, who may do all."""
        if self._admin is None:
            self._admin = AdminClient(self._client("broker", self._logins.broker))
        return self._admin

    def active_controller(self) -> int:
        """The node that leads the controllers' quorum, by what the nodes keep of its elections."""
        states = [json.loads(f.read_text()) for f in self._folder.glob("data-*/__cluster_metadata-0/quorum-state")]
        return int(max(states, key=lambda state: int(state["leaderEpoch"]))["leaderId"])

    def is_whole(self) -> bool:
        """Whether every partition has all its replicas in sync."""
        try:
            topics = self.admin.list_topics(timeout=2).topics.values()
        except KafkaException:
            return False
        found = [p for topic in topics for p in topic.partitions.values()]
        return all(len(partition.isrs) == len(NODES) for partition in found)

    def delete_topics(self) -> None:
        """Delete the platform's topics, and wait until they are gone."""
        names = [name for name in self.admin.list_topics(timeout=REQUEST_SECONDS).topics if name.startswith(TOPICS)]
        for asked in self.admin.delete_topics(names, request_timeout=REQUEST_SECONDS).values():
            asked.result(REQUEST_SECONDS)
        deadline = time.monotonic() + REQUEST_SECONDS
        while any(name in names for name in self.admin.list_topics(timeout=REQUEST_SECONDS).topics):
            if time.monotonic() > deadline:
                raise TimeoutError(f"the topics {', '.join(names)} are not gone after {REQUEST_SECONDS} s")
            time.sleep(0.2)

    def _part(self, node: int) -> Part:
        file = self._folder / f"broker-{node}.properties"
        file.touch(mode=0o600)
        file.write_text(
            PROPERTIES.format(
                node=node,
                host=LOOPBACK,
                port=self._ports[node],
                controller_port=self._controllers[node],
                voters=",".join(f"{n}@{LOOPBACK}:{port}" for n, port in self._controllers.items()),
                broker_password=self._logins.broker,
                controller_password=self._logins.controller,
                key_store=self._certificates.key_store,
                trust_store=self._certificates.trust_store,
                store_password=self._logins.stores,
                log_dir=self._folder / f"data-{node}",
            )
        )
        self._format(file)
        heap = ["-Xms128m", "-Xmx320m", "-XX:+UseSerialGC", "-XX:+ExitOnOutOfMemoryError"]
        return Part(self.name(node), [*self._jvm(), *heap, "kafka.Kafka", str(file)], ready=lambda: self._answers(node))

    # All nodes are formatted with one id and the same users.
    _id = "a" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]

    def _format(self, properties: Path) -> None:
        users = {"broker": self._logins.broker, self.USER: self._logins.app}
        scram = [
            part
            for user, password in users.items()
            for part in ("--add-scram", f"SCRAM-SHA-512=[name={user},password={password}]")
        ]
        command = [*self._jvm(), "kafka.tools.StorageTool", "format", "-t", self._id, "-c", str(properties), *scram]
        # It prints the users' salts and keys: to nobody.
        done = subprocess.run(
            command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=FORMAT_SECONDS
        )
        if done.returncode != 0:
            raise PartError(f"Kafka's storage could not be formatted: {done.stderr.strip()[-400:]}")

    def _jvm(self) -> list[str]:
        return [
            java.executable(self._settings),
            *java.shared_classes(self._settings, "kafka", keeps=False),
            "-cp",
            f"{self._settings.jars}/kafka/*",
            f"-Dlog4j2.configurationFile={self._folder / 'log4j2.properties'}",
            "-Djava.awt.headless=true",
        ]

    def _answers(self, node: int) -> bool:
        """Whether the broker itself answers, and the cluster counts it in."""
        own = self._client("broker", self._logins.broker) | {"bootstrap.servers": f"{LOOPBACK}:{self._ports[node]}"}
        try:
            return node in AdminClient(own).list_topics(timeout=2).brokers
        except KafkaException:
            return False

    def _client(self, user: str, password: str) -> dict[str, Any]:
        return {
            "bootstrap.servers": self.servers,
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": user,
            "sasl.password": password,
            "ssl.ca.location": str(self._certificates.authority),
            "log_level": 0,
        }
