"""The embedded Spark: one Spark Connect server with `local[*]`, on loopback unless LISTEN_ADDRESS says otherwise.

``python -m crypto_platform.sandbox.spark`` becomes the server. https://spark.apache.org/docs/4.2.0/spark-connect-overview.html
"""

import os
import shlex
from importlib.util import find_spec
from pathlib import Path

from crypto_platform.sandbox import java, ports
from crypto_platform.sandbox.parent_death import end_with_parent
from crypto_platform.settings import LOOPBACK, Settings


def folder(settings: Settings) -> Path:
    return settings.crypto_platform_home / "sandbox" / "spark"


def spark_home() -> Path:
    """The Spark that pyspark ships."""
    spec = find_spec("pyspark")
    if spec is None or spec.origin is None:
        raise RuntimeError("pyspark is not installed: run `make setup`")
    return Path(spec.origin).parent


def ready(settings: Settings) -> bool:
    """Whether the server takes a gRPC connection."""
    return ports.takes_grpc(settings.sandbox_spark_port)


def configuration(settings: Settings) -> dict[str, str]:
    """What the server is started with."""
    home = folder(settings)
    return {
        "spark.connect.grpc.binding.address": settings.listen_address,
        "spark.connect.grpc.binding.port": str(settings.sandbox_spark_port),
        "spark.driver.bindAddress": LOOPBACK,
        "spark.driver.host": LOOPBACK,
        # A query's consumers and the messages they fetched are of no use to the next query; kept for the
        # default five minutes, those of a few loads fill the heap and the server does little but collect it.
        "spark.kafka.consumer.cache.timeout": "5s",
        "spark.kafka.consumer.cache.evictorThreadRunInterval": "5s",
        "spark.kafka.consumer.fetchedData.cache.timeout": "5s",
        "spark.kafka.consumer.fetchedData.cache.evictorThreadRunInterval": "5s",
        "spark.local.dir": str(home / "scratch"),
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.warehouse.dir": str(home / "warehouse"),
        "spark.sql.shuffle.partitions": str(os.cpu_count() or 1),
        "spark.ui.enabled": "false",
    }


# What Spark reaches inside the JDK, as its own launcher lists it (org.apache.spark.launcher.JavaModuleOptions).
OPENED = (
    "java.base/java.io",
    "java.base/java.lang",
    "java.base/java.lang.invoke",
    "java.base/java.lang.reflect",
    "java.base/java.net",
    "java.base/java.nio",
    "java.base/java.util",
    "java.base/java.util.concurrent",
    "java.base/java.util.concurrent.atomic",
    "java.base/jdk.internal.ref",
    "java.base/sun.nio.ch",
    "java.base/sun.nio.cs",
    "java.base/sun.security.action",
    "java.base/sun.util.calendar",
    "java.security.jgss/sun.security.krb5",
)


def command(settings: Settings) -> list[str]:
    """The Connect server with the Kafka connector, as `spark-submit` would start it.

    Not by that script: it asks for a module that the bundled Java lacks and Spark can do without, jdk.incubator.vector.

    Raises:
        JavaError: there is no Java.
    """
    jars = ",".join(str(jar) for jar in sorted((settings.jars / "spark").glob("*.jar")))
    options = [part for name, value in configuration(settings).items() for part in ("--conf", f"{name}={value}")]
    return [
        java.executable(settings),
        "-XX:+IgnoreUnrecognizedVMOptions",
        # Throughput counts here, not pauses: G1 takes a third more CPU of the two cores.
        "-XX:+UseParallelGC",
        f"-Xmx{settings.sandbox_spark_memory}",
        *java.shared_classes(settings, "spark"),
        *shlex.split(settings.sandbox_java_options),
        *(f"--add-opens={package}=ALL-UNNAMED" for package in OPENED),
        "--sun-misc-unsafe-memory-access=allow",
        "--enable-native-access=ALL-UNNAMED",
        "-Dio.netty.tryReflectionSetAccessible=true",
        "-cp",
        f"{spark_home() / 'jars'}/*",
        "org.apache.spark.deploy.SparkSubmit",
        "--class",
        "org.apache.spark.sql.connect.service.SparkConnectServer",
        "--master",
        "local[*]",
        "--jars",
        jars,
        *options,
        "spark-internal",
    ]


def main() -> None:
    end_with_parent()
    settings = Settings()
    folder(settings).mkdir(parents=True, exist_ok=True)
    os.environ["SPARK_HOME"] = str(spark_home())
    # Else it looks up the machine's own name, which not every machine can.
    os.environ["SPARK_LOCAL_IP"] = LOOPBACK
    arguments = command(settings)
    os.execv(arguments[0], arguments)  # noqa: S606


if __name__ == "__main__":
    main()
