"""The embedded Kafka: one KRaft node on loopback, its log kept on disk.

``python -m crypto_platform.sandbox.kafka`` formats the storage when it is new and becomes the broker.
"""

import base64
import os
import shlex
import subprocess
import uuid
from pathlib import Path

from crypto_platform.sandbox import java
from crypto_platform.sandbox.parent_death import end_with_parent
from crypto_platform.settings import LOOPBACK, Settings

# https://kafka.apache.org/43/configuration/broker-configs/
PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller_port}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port}
controller.listener.names=CONTROLLER
log.dirs={log_dir}
auto.create.topics.enable=false
num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
"""
LOGGING = """\
rootLogger.level=WARN
rootLogger.appenderRef.console.ref=console
appender.console.type=Console
appender.console.name=console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d{ISO8601} %p %c{1}: %m%n
logger.server.name=kafka.server.KafkaRaftServer
logger.server.level=INFO
"""


def folder(settings: Settings) -> Path:
    return settings.crypto_platform_home / "sandbox" / "kafka"


def ready(settings: Settings) -> bool:
    """Whether the broker answers a request for metadata."""
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    client = AdminClient({"bootstrap.servers": settings.kafka_servers, "log_level": 0})
    try:
        return bool(client.list_topics(timeout=1).brokers)
    except KafkaException:
        return False


def write_configuration(settings: Settings) -> Path:
    """Write `server.properties` and its neighbours; return the folder they are in."""
    home = folder(settings)
    home.mkdir(parents=True, exist_ok=True)
    properties = PROPERTIES.format(
        host=LOOPBACK,
        port=settings.sandbox_kafka_port,
        controller_port=settings.sandbox_kafka_controller_port,
        log_dir=home / "data",
    )
    (home / "server.properties").write_text(properties)
    (home / "log4j2.properties").write_text(LOGGING)
    return home


def main() -> None:
    end_with_parent()
    settings = Settings()
    home = write_configuration(settings)
    jvm = [java.executable(settings), "-cp", f"{settings.jars}/kafka/*"]
    jvm += [f"-Dlog4j2.configurationFile={home / 'log4j2.properties'}", "-Djava.awt.headless=true"]
    properties = str(home / "server.properties")
    if not (home / "data" / "meta.properties").exists():
        # Kafka's own form of an id; a leading dash would be read as an option.
        cluster_id = "a" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]
        tool = [*jvm, *java.shared_classes(settings, "kafka", keeps=False), "kafka.tools.StorageTool"]
        subprocess.run([*tool, "format", "-t", cluster_id, "-c", properties], check=True, timeout=120)
    heap = ["-Xms256m", f"-Xmx{settings.sandbox_kafka_memory}", "-XX:+UseG1GC", "-XX:+ExitOnOutOfMemoryError"]
    options = [*java.shared_classes(settings, "kafka"), *shlex.split(settings.sandbox_java_options)]
    os.execv(jvm[0], [*jvm, *heap, *options, "kafka.Kafka", properties])  # noqa: S606


if __name__ == "__main__":
    main()
