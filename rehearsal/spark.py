"""A Spark standalone cluster: a master, two workers, and the Connect server on it, with a token behind TLS.

https://spark.apache.org/docs/4.2.0/spark-standalone.html, https://spark.apache.org/docs/4.2.0/security.html,
https://hadoop.apache.org/docs/r3.5.0/hadoop-aws/tools/hadoop-aws/committers.html
"""

import json
import shlex
import sys
import urllib.request
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from crypto_platform.sandbox import java, ports
from crypto_platform.sandbox.spark import OPENED, spark_home
from crypto_platform.settings import LOOPBACK, Settings
from rehearsal import jars
from rehearsal.certificates import Certificates
from rehearsal.parts import Part

MASTER, CONNECT, TLS = "Spark master", "Spark Connect", "TLS of Spark Connect"
WORKERS = ("Spark worker 1", "Spark worker 2")

# What holds wherever the server runs.
CONFIGURATION = {
    "spark.authenticate": "true",
    "spark.network.crypto.enabled": "true",
    # Else Connect takes every core for good.
    "spark.cores.max": "2",
    "spark.sql.session.timeZone": "UTC",
}
# S3 for Spark, each job's files put in place by the magic committer; address and login are added.
S3_CONFIGURATION = {
    "spark.hadoop.fs.s3a.committer.name": "magic",
    "spark.hadoop.mapreduce.outputcommitter.factory.scheme.s3a": "org.apache.hadoop.fs.s3a.commit.S3ACommitterFactory",
    "spark.sql.sources.commitProtocolClass": "org.apache.spark.internal.io.cloud.PathOutputCommitProtocol",
    "spark.sql.parquet.output.committer.class": "org.apache.spark.internal.io.cloud.BindingParquetOutputCommitter",
}


class Cluster:
    """Files in `folder`; `ports`: of the master, its page, two workers, their pages, Connect, and TLS before it."""

    def __init__(self, settings: Settings, folder: Path, ports: list[int], secret: str, token: str) -> None:
        self._settings, self._folder = settings, folder
        self._master, self._page, self._w1, self._w2, self._p1, self._p2, self._connect, self._tls = ports
        self._secret, self._token = secret, token

    @property
    def remote(self) -> str:
        """What SPARK_REMOTE is; the token is in an environment variable of its own."""
        return f"sc://localhost:{self._tls}/;use_ssl=true"

    def parts(self, s3_endpoint: str, s3_region: str, s3_user: str, s3_secret: str) -> list[Part]:
        """Master, workers and the Connect server, in order of their start."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        defaults = self._folder / "spark-defaults.conf"
        defaults.touch(mode=0o600)
        configuration = self._configuration() | {
            "spark.hadoop.fs.s3a.endpoint": s3_endpoint,
            "spark.hadoop.fs.s3a.endpoint.region": s3_region,
            "spark.hadoop.fs.s3a.path.style.access": "true",
            "spark.hadoop.fs.s3a.access.key": s3_user,
            "spark.hadoop.fs.s3a.secret.key": s3_secret,
        }
        defaults.write_text("".join(f"{name} {value}\n" for name, value in configuration.items()))
        master = f"spark://{LOOPBACK}:{self._master}"
        daemon = ["-Xmx192m", "-Dspark.authenticate=true", f"-Dspark.authenticate.secret={self._secret}"]
        daemon.append("-Dspark.network.crypto.enabled=true")
        where = ["--host", LOOPBACK, "--port", str(self._master), "--webui-port", str(self._page)]
        found = [
            self._part(
                MASTER,
                [*self._jvm(), *daemon, "org.apache.spark.deploy.master.Master", *where],
                lambda: ports.listens(self._master) and bool(self._state()),
            )
        ]
        for name, port, page in zip(WORKERS, (self._w1, self._w2), (self._p1, self._p2), strict=True):
            size = ["--cores", "1", "--memory", "1g", "--work-dir", str(self._folder / name.replace(" ", "-"))]
            at = ["--host", LOOPBACK, "--port", str(port), "--webui-port", str(page)]
            worker = [*self._jvm(), *daemon, "org.apache.spark.deploy.worker.Worker", *at, *size, master]
            found.append(self._part(name, worker, partial(self._has, port)))
        files = [*(self._settings.jars / "spark").glob("*.jar"), *(jars.folder(self._settings) / "s3a").glob("*.jar")]
        submit = [
            *self._jvm(),
            "-Xmx768m",
            "org.apache.spark.deploy.SparkSubmit",
            *("--class", "org.apache.spark.sql.connect.service.SparkConnectServer"),
            *("--master", master, "--properties-file", str(defaults)),
            *("--jars", ",".join(map(str, sorted(files))), "spark-internal"),
        ]
        return [*found, self._part(CONNECT, submit, lambda: ports.takes_grpc(self._connect))]

    def proxy(self, certificates: Certificates) -> Part:
        """TLS before the Connect server."""
        command = [sys.executable, "-m", "rehearsal.tls_proxy", "--port", str(self._tls)]
        command += ["--to-port", str(self._connect)]
        command += ["--certificate", str(certificates.certificate), "--key", str(certificates.key)]
        return Part(TLS, command, lambda: ports.listens(self._tls))

    def _has(self, port: int) -> bool:
        """Whether the master counts the worker at this port in."""
        return any(worker["port"] == port and worker["state"] == "ALIVE" for worker in self._state().get("workers", ()))

    def _state(self) -> dict[str, Any]:
        """The master's page for programs; empty while it does not answer, or by a page for people as it starts."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"http://{LOOPBACK}:{self._page}/json/", timeout=3) as answer:
                return dict(json.load(answer))
        except (OSError, json.JSONDecodeError):
            return {}

    def _configuration(self) -> dict[str, str]:
        return {
            "spark.authenticate.secret": self._secret,
            "spark.connect.authenticate.token": self._token,
            "spark.connect.grpc.binding.address": LOOPBACK,
            "spark.connect.grpc.binding.port": str(self._connect),
            "spark.driver.bindAddress": LOOPBACK,
            "spark.driver.host": LOOPBACK,
            "spark.executor.cores": "1",
            "spark.executor.memory": "600m",
            "spark.sql.shuffle.partitions": "2",
            "spark.local.dir": str(self._folder / "scratch"),
            "spark.sql.warehouse.dir": str(self._folder / "warehouse"),
            "spark.ui.enabled": "false",
            **CONFIGURATION,
            **S3_CONFIGURATION,
        }

    def _jvm(self) -> list[str]:
        return [
            java.executable(self._settings),
            "-XX:+IgnoreUnrecognizedVMOptions",
            "-XX:+UseSerialGC",
            *java.shared_classes(self._settings, "spark", keeps=False),
            *(f"--add-opens={package}=ALL-UNNAMED" for package in OPENED),
            "--sun-misc-unsafe-memory-access=allow",
            "--enable-native-access=ALL-UNNAMED",
            "-Dio.netty.tryReflectionSetAccessible=true",
            "-cp",
            f"{spark_home() / 'jars'}/*",
        ]

    def _java_home(self) -> Path:
        """The Java of executors: the bundled one without a module that Spark asks for and can do without."""
        program = self._folder / "java" / "bin" / "java"
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(
            "#!/bin/sh\nfor option; do\n  shift\n"
            '  [ "$option" = --add-modules=jdk.incubator.vector ] || set -- "$@" "$option"\ndone\n'
            f'exec {shlex.quote(java.executable(self._settings))} "$@"\n'
        )
        program.chmod(0o700)
        return program.parents[1]

    def _part(self, name: str, command: list[str], ready: Callable[[], bool]) -> Part:
        conf = self._folder / "conf"
        conf.mkdir(exist_ok=True)
        environment = {
            "SPARK_HOME": str(spark_home()),
            "SPARK_CONF_DIR": str(conf),
            "SPARK_LOCAL_IP": LOOPBACK,
            "SPARK_PUBLIC_DNS": LOOPBACK,
            # `spark-class` sets it; without it a worker finds no executor to start.
            "SPARK_SCALA_VERSION": "2.13",
            "JAVA_HOME": str(self._java_home()),
            "PYSPARK_PYTHON": sys.executable,
        }
        return Part(name, command, ready, environment)
